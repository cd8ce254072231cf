"""Text for people and for programs.

Whatever was stored is shown as it is: never as markup, and never as something that a terminal would
obey. Tables take the width that the terminal has; where the output goes to a file or a pipe, they
take what they need.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_UNBOUNDED = 100_000
_GAP = 2
_MOST_LINES = 100
# C0, C1, line separators, and what changes the direction of the text around it.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ASCII = str.maketrans({"├": "|", "│": "|", "└": "`", "─": "-", "←": "<-", "…": "..."})
_STYLES = {
    "completed": "green",
    "failed": "red",
    "interrupted": "magenta",
    "missing": "red",
    "primary": "green",
    "running": "yellow",
}


def clean(value: object) -> str:
    r"""Return ``value`` as text whose control characters are spelled out.

    Examples
    --------
    >>> clean("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))


# ---------------------------------------------------------------- JSON


def print_json(value: object) -> None:
    """Print a value as JSON, in ASCII, so that every terminal and every program can take it."""
    _write(f"{_pretty(value, ascii_only=True)}\n".replace("\x7f", "\\u007f"))


def print_document(value: object) -> None:
    """Print a JSON document for people, at most its first hundred lines."""
    from rich.highlighter import JSONHighlighter

    lines = _pretty(value, ascii_only=False).split("\n")
    text = _text("\n".join(map(clean, lines[:_MOST_LINES])))
    _print(JSONHighlighter()(text))
    if len(lines) > _MOST_LINES:
        note(f"… {len(lines) - _MOST_LINES} more lines; --json prints all")


def _pretty(value: object, *, ascii_only: bool) -> str:
    encoded = json.dumps(value, default=_spelled, ensure_ascii=ascii_only)
    # NaN and the infinities are no JSON.
    finite = json.loads(encoded, parse_constant=lambda _: None)
    return json.dumps(finite, indent=2, ensure_ascii=ascii_only)


def _spelled(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# ---------------------------------------------------------------- short texts


def moment(value: datetime | None, *, exact: bool = False) -> str:
    """Return a time in the zone of this machine, ``exact`` with seconds and zone."""
    if value is None:
        return ""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S %z" if exact else "%Y-%m-%d %H:%M")


def note(text: str) -> None:
    """Print a remark on what is shown."""
    _print(_text(text, "dim"))


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    title : str
        What stands above it.
    least : int or None
        Width to which it may be cut; ``None`` if it has to stay whole.
    right : bool
        Whether it is aligned to the right.
    """

    title: str
    least: int | None = None
    right: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, or where the terminal is too narrow for it, one paragraph for each row."""
    cells = [["" if value is None else clean(value) for value in row] for row in rows]
    console = _console()
    laid_out = _lay_out(columns, cells, console.width)
    if laid_out is None:
        for row in cells:
            _print(_paragraph(columns, row, console.width))
    else:
        _print(_table(columns, cells, laid_out))


def fits(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> bool:
    """Whether a table would be printed as one."""
    return _lay_out(columns, [list(map(clean, row)) for row in rows], _console().width) is not None


def _lay_out(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int
) -> Mapping[int, int] | None:
    """Return the width of each column that is shown, or ``None`` if there is no room for them."""
    from rich.cells import cell_len

    content = [max((cell_len(row[i]) for row in cells), default=0) for i in range(len(columns))]
    wanted = {i: max(cell_len(c.title), content[i]) for i, c in enumerate(columns)}
    if _total(wanted) <= width:
        return wanted
    shown = {i: wanted[i] for i in wanted if content[i]}
    least = {i: _least(columns[i], content[i]) for i in shown}
    spare = width - _total(least)
    if spare < 0:
        return None
    for i, most in shown.items():
        more = min(spare, most - least[i])
        least[i], spare = least[i] + more, spare - more
    return least


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _least(column: Column, content: int) -> int:
    from rich.cells import cell_len

    title = max(map(cell_len, column.title.split()))
    return max(title, content if column.least is None else min(content, column.least))


def _table(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Mapping[int, int]
) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, width in widths.items():
        table.add_column(
            _text(columns[i].title, "bold"),
            justify="right" if columns[i].right else "left",
            width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in cells:
        table.add_row(*(_cell(row[i]) for i in widths))
    return table


def _paragraph(columns: Sequence[Column], row: Sequence[str], width: int) -> RenderableType:
    """Return a row as its first value, with the others below it, each after its title."""
    from rich.cells import chop_cells
    from rich.text import Text

    indent = "  "
    lines = [_text(part, "bold") for part in chop_cells(row[0], width)]
    line = Text(indent)
    for column, value in zip(columns[1:], row[1:], strict=True):
        if not value:
            continue
        item = Text.assemble((f"{column.title}: ", "dim"), _cell(value))
        if line.cell_len > len(indent) and line.cell_len + item.cell_len + _GAP > width:
            lines.append(line)
            line = Text(indent)
        line = line.append(" " * (_GAP if line.cell_len > len(indent) else 0)).append_text(item)
        if line.cell_len > width:
            lines += _folded(item, width, indent)
            line = Text(indent)
    return Text("\n").join([*lines, line] if line.cell_len > len(indent) else lines)


def _folded(item: Text, width: int, indent: str) -> list[Text]:
    from rich.text import Text

    room = max(1, width - len(indent))
    return [Text(indent).append_text(part) for part in item.wrap(_console(), room, overflow="fold")]


# ---------------------------------------------------------------- panels and lines


def print_panel(title: str, facts: Mapping[str, object]) -> None:
    """Print a frame with one fact a line; facts without a value are left out."""
    from rich import box
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        if value is not None and value != "":
            grid.add_row(_text(name), _cell(clean(value)))
    _print(Panel.fit(grid, title=_text(title, "bold"), title_align="left", box=box.ROUNDED))


def print_heading(text: str) -> None:
    """Print what the lines below are about."""
    _write("\n")
    _print(_text(text, "bold"))


def print_tree(lines: Iterable[str]) -> None:
    """Print the lines of a tree; what is too long goes on below, between the branches."""
    console = _console()
    for line in lines:
        guides = re.match("[│├└─ ]*", line)
        lead = guides[0] if guides else ""
        _print(_branch(lead, clean(line[len(lead) :]), console.width))


def _branch(lead: str, label: str, width: int) -> RenderableType:
    from rich.cells import chop_cells
    from rich.text import Text

    deepest = max(0, width - 24)
    if len(lead) > deepest:  # the nearest branches tell more than the farthest
        lead = "…" + lead[len(lead) - deepest + 1 :] if deepest else ""
    below = lead.replace("├── ", "│   ").replace("└── ", "    ")
    parts = chop_cells(label, max(1, width - len(lead)))
    lines = [
        Text.assemble((below if i else lead, "dim"), _label(part)) for i, part in enumerate(parts)
    ]
    return Text("\n").join(lines)


def _label(text: str) -> Text:
    made = _text(text)
    made.highlight_regex(r"^[^ ]+", "bold")
    made.highlight_regex(r"\[[^\]]*\]", "cyan")
    return made


# ---------------------------------------------------------------- out


def _cell(text: str) -> Text:
    return _text(text, _STYLES.get(text, ""))


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)


def _console() -> Console:
    from rich.console import Console

    bounded = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return Console(width=None if bounded else _UNBOUNDED, highlight=False, markup=False)


def _print(renderable: RenderableType) -> None:
    console = _console()
    with console.capture() as capture:
        console.print(renderable, overflow="fold")
    lines = capture.get().split("\n")
    _write("\n".join(line.rstrip() for line in lines))


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    if not encoding.lower().startswith("utf"):
        spelled = text.translate(_ASCII).encode(encoding, "backslashreplace")
        text = spelled.decode(encoding)
    sys.stdout.write(text)
