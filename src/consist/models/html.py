"""Objects as notebooks show them: escaped, without scripts, styles of a page or anything to fetch.

Colours are those of the notebook, lines a grey that both light and dark themes bear.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, cast

from consist.models.record import storable

__all__ = ["Html", "block", "cell", "facts", "folded", "preformatted", "table"]

LONGEST_CELL = 200
MOST_ROWS = 20

_LINE = "1px solid rgba(128,128,128,.35)"
_CELL = (
    "padding:.15em .8em .15em 0;text-align:left;vertical-align:top;"
    f"border:0;border-bottom:{_LINE};white-space:pre-wrap;overflow-wrap:anywhere;max-width:40em"
)
_HEAD = f"{_CELL};font-weight:600"
_QUIET = "opacity:.7"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def cell(value: object) -> Html:
    """Return a value as escaped text, cut where it is long; nothing for ``None``."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("")
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else _text(value)
    if len(text) > LONGEST_CELL:
        text = text[: LONGEST_CELL - 1] + "…"
    return Html(html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", storable(text))))


def _text(value: object) -> str:
    if not isinstance(value, list | tuple | set | frozenset):
        return str(value)
    several = cast("Collection[object]", value)
    shown = ", ".join(map(str, islice(several, MOST_ROWS)))
    return f"{shown}, …" if len(several) > MOST_ROWS else shown


def block(heading: object, *parts: object) -> str:
    """Return what ``_repr_html_`` returns: a heading, and parts such as :func:`facts` below it."""
    body = "".join(map(cell, parts))
    return (
        f'<div style="margin:.3em 0"><div style="font-weight:600">{cell(heading)}</div>{body}</div>'
    )


def facts(named: Mapping[str, Any]) -> Html:
    """Return names and values, one a line; those that are ``None`` or empty are left out."""
    cells = ((name, cell(value)) for name, value in named.items())
    return _framed(
        "".join(
            f'<tr style="background:none"><th scope="row" style="{_HEAD}">{cell(name)}</th>'
            f'<td style="{_CELL}">{shown}</td></tr>'
            for name, shown in cells
            if shown
        )
    )


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], total: int | None = None
) -> Html:
    """Return rows under their column names.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.
    rows : iterable of sequence
        Their cells; only the first :data:`MOST_ROWS` are read.
    total : int, optional
        How many rows there are, where ``rows`` cannot tell.
    """
    shown = [*islice(rows, MOST_ROWS)]
    if total is None:
        total = len(rows) if isinstance(rows, Sequence) else len(shown)
    head = "".join(f'<th scope="col" style="{_HEAD}">{cell(name)}</th>' for name in columns)
    lines = "".join(f'<tr style="background:none">{_cells(row)}</tr>' for row in shown)
    framed = _framed(f'<tr style="background:none">{head}</tr>{lines}')
    more = total - len(shown)
    return Html(f'{framed}<div style="{_QUIET}">… and {more:,} more</div>') if more > 0 else framed


def _cells(row: Sequence[object]) -> str:
    return "".join(f'<td style="{_CELL}">{cell(value)}</td>' for value in row)


def _framed(lines: str) -> Html:
    if not lines:
        return Html("")
    return Html(
        '<table style="border-collapse:collapse;margin:.2em 0;background:none;color:inherit">'
        f"{lines}</table>"
    )


def folded(summary: object, *parts: object) -> Html:
    """Return parts that are shown when the summary is clicked."""
    body = "".join(map(cell, parts))
    return Html(f"<details><summary>{cell(summary)}</summary>{body}</details>")


def preformatted(lines: Iterable[str], most: int = 200) -> Html:
    """Return lines of text as they stand, at most so many."""
    source: Iterator[str] = iter(lines)
    shown = "\n".join(cell(line) for line in islice(source, most))
    if next(source, None) is not None:
        shown += "\n…"
    return Html(
        f'<pre style="background:none;color:inherit;margin:.2em 0;line-height:1.3">{shown}</pre>'
    )
