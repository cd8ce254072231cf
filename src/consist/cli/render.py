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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_UNBOUNDED = 100_000
_GAP = 2
_INDENT = "  "
_LEAST_LABEL = 24
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
    """Print a value as JSON."""
    print_lines(json_text(value))


def json_text(value: object) -> str:
    """Return a value as JSON, in ASCII, so that every terminal and every program can take it."""
    return _pretty(value, ascii_only=True).replace("\x7f", "\\u007f")


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
    _print(_text(clean(text), "dim"))


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    title : str
        What stands above it.
    least : int or None
        Width to which its values may be cut; ``None`` if they have to stay whole.
    right : bool
        Whether it is aligned to the right.
    apart : bool
        Whether its values may get lines of their own where the terminal is narrow.
    head : bool
        Whether it names the row.
    """

    title: str
    least: int | None = None
    right: bool = False
    apart: bool = False
    head: bool = False


@dataclass(frozen=True)
class _Layout:
    """Which columns stand side by side, each with its width, and which above and below them."""

    widths: Mapping[int, int]
    above: Sequence[int] = ()
    below: Sequence[int] = ()

    @property
    def indent(self) -> str:
        return _INDENT if self.above else ""

    @property
    def width(self) -> int:
        return _total(self.widths) + len(self.indent)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print a table in the width of the terminal.

    Where it is too wide, values that may be cut are cut; then long ones get lines of their own;
    at last each row becomes a paragraph. Nothing that a user may want to copy is cut.
    """
    cells = [["" if value is None else clean(value) for value in row] for row in rows]
    width = _console().width
    layout = _side_by_side(columns, cells, width) or _with_own_lines(columns, cells, width)
    if layout is None:
        _print_lines(line for row in cells for line in _paragraph(columns, row, width))
    else:
        _print_lines(_table(columns, cells, layout, width))


def fits(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> bool:
    """Whether all columns of a table have room side by side."""
    return _side_by_side(columns, list(rows), _console().width) is not None


def _side_by_side(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int
) -> _Layout | None:
    return _laid_out(columns, cells, width, range(len(columns)))


def _with_own_lines(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int
) -> _Layout | None:
    together = [i for i, column in enumerate(columns) if not column.apart]
    apart = [i for i, column in enumerate(columns) if column.apart]
    layout = _laid_out(columns, cells, width - len(_INDENT), together) if together else None
    if layout is None:
        return None
    above = [i for i in apart if i < together[0]]
    return replace(layout, above=above, below=[i for i in apart if i > together[0]])


def _laid_out(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int, chosen: Iterable[int]
) -> _Layout | None:
    """Return columns side by side, or ``None`` if there is no room for them."""
    from rich.cells import cell_len

    content = {i: max((cell_len(row[i]) for row in cells), default=0) for i in chosen}
    wanted = {i: max(cell_len(columns[i].title), most) for i, most in content.items()}
    if _total(wanted) <= width:
        return _Layout(wanted)
    widths: dict[int, int] = {}
    for i, most in content.items():
        if most:  # columns without any value go first
            cut = columns[i].least
            widths[i] = max(cell_len(columns[i].title), most if cut is None else min(most, cut))
    spare = width - _total(widths)
    if spare < 0:
        return None
    for i, least in widths.items():
        more = min(spare, wanted[i] - least)
        widths[i], spare = least + more, spare - more
    return _Layout(widths)


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _table(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], layout: _Layout, width: int
) -> Iterator[Text]:
    titles = [column.title for column in columns]
    for line in _record(columns, titles, layout, width):
        yield _bold(line)
    widest = max([layout.width, *(len(titles[i]) for i in (*layout.above, *layout.below))])
    yield _text("─" * widest, "dim")
    for row in cells:
        yield from _record(columns, row, layout, width)


def _record(
    columns: Sequence[Column], row: Sequence[str], layout: _Layout, width: int
) -> Iterator[Text]:
    for i in layout.above:
        yield from map(_bold, _folded(_text(row[i]), width))
    line = _text(layout.indent)
    for i, room in layout.widths.items():
        cell = _cell(row[i])
        cell.truncate(room, overflow="ellipsis")
        cell.align("right" if columns[i].right else "left", room)
        line.append_text(cell).append(" " * _GAP)
    yield line
    for i in layout.below:
        if row[i]:
            yield from _folded(_text(row[i]), width, _INDENT)


def _paragraph(columns: Sequence[Column], row: Sequence[str], width: int) -> Iterator[Text]:
    """Yield a row as the value that names it, with the others below, each after its title."""
    head = next((i for i, column in enumerate(columns) if column.head), 0)
    yield from map(_bold, _folded(_text(row[head]), width))
    line = _text(_INDENT)
    for i, column in enumerate(columns):
        if i == head or not row[i]:
            continue
        item = _text(f"{column.title}: ", "dim").append_text(_cell(row[i]))
        if line.cell_len > len(_INDENT) and line.cell_len + item.cell_len > width:
            yield line
            line = _text(_INDENT)
        if len(_INDENT) + item.cell_len > width:
            yield from _folded(item, width, _INDENT)
        else:
            line.append_text(item).append(" " * _GAP)
    if line.cell_len > len(_INDENT):
        yield line


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
    _print(_text(clean(text), "bold"))


def print_text(text: str) -> None:
    """Print text of a program, such as a traceback, line by line as it is."""
    for line in text.split("\n"):
        _print(_text(clean(line)))


def print_lines(text: str) -> None:
    """Print text for a program: it is not folded, however long its lines are."""
    cleaned = "\n".join(map(clean, text.split("\n")))
    _write(f"{cleaned}\n")


def print_tree(lines: Iterable[str]) -> None:
    """Print the lines of a tree; what is too long goes on below, between the branches."""
    width = _console().width
    _print_lines(part for line in lines for part in _branch(line, width))


def _branch(line: str, width: int) -> Iterator[Text]:
    guides = re.match("[│├└─ ]*", line)
    lead = guides[0] if guides else ""
    label = _label(clean(line[len(lead) :]))
    deepest = max(1, width - _LEAST_LABEL)
    if len(lead) > deepest:  # the nearest branches tell more than the farthest
        lead = f"…{lead[len(lead) - deepest + 1 :]}"
    below = lead.replace("├──", "│  ").replace("└──", "   ") + _INDENT
    first, *rest = _folded(label, width - len(_INDENT), "", len(lead))
    yield _text(lead, "dim").append_text(first)
    for part in rest:
        yield _text(below, "dim").append_text(part)


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

    return Text.assemble((text, style))


def _bold(text: Text) -> Text:
    text.stylize("bold")
    return text


def _folded(text: Text, width: int, indent: str = "", taken: int = 0) -> Iterator[Text]:
    """Yield a text in lines that fit, whole words if possible, ``taken`` columns being used."""
    room = max(1, width - len(indent) - taken)
    for line in text.wrap(_console(), room, overflow="fold"):
        yield _text(indent).append_text(line)


def _console() -> Console:
    from rich.console import Console

    bounded = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return Console(width=None if bounded else _UNBOUNDED, highlight=False, markup=False)


def _print_lines(lines: Iterable[Text]) -> None:
    for line in lines:
        line.rstrip()
        _print(line)


def _print(renderable: RenderableType) -> None:
    console = _console()
    with console.capture() as capture:
        console.print(renderable, overflow="fold")
    _write(capture.get())


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    if not encoding.lower().startswith("utf"):
        spelled = text.translate(_ASCII).encode(encoding, "backslashreplace")
        text = spelled.decode(encoding)
    sys.stdout.write(text)
