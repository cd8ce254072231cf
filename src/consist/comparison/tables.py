"""Two tables: their columns, and their rows by key or as multisets."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from consist.comparison.columns import ColumnType, Pair, Table, Tolerance
from consist.comparison.differences import ColumnChange, TableComparison
from consist.comparison.keys import likely_keys
from consist.comparison.rows import Duplicates, Question, as_sets, by_key
from consist.errors import UsageError, hint

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

MEMORY = 4 << 30
"""Bytes that DuckDB may take for a comparison, or half of what the machine has if that is less;
what needs more goes to temporary files."""

_POLLED = 0.25  # seconds
_MOST_TRIED = 5

_EXACT = Tolerance()

Report = Callable[[float], None]
"""Says which share of a statement is done."""


@dataclass(frozen=True)
class TableOptions:
    """How tables are compared.

    Attributes
    ----------
    on : tuple of str or None
        Key columns; ``None`` finds a key, an empty tuple compares rows as sets.
    tolerance : Tolerance
        For numbers that are not whole.
    examples : int
        Most examples of each difference.
    """

    on: tuple[str, ...] | None = None
    tolerance: Tolerance = _EXACT
    examples: int = 3


@contextmanager
def workbench() -> Generator[DuckDBPyConnection]:
    """Yield a connection of bounded memory, with a folder for what does not fit."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="consist-compare-") as folder:
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{min(MEMORY, _memory() // 2) >> 20}MiB",
                "temp_directory": folder,
                "preserve_insertion_order": "false",
            },
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not on this system
        return 2 * MEMORY


@contextmanager
def watched(connection: DuckDBPyConnection, report: Report) -> Generator[None]:
    """Report how far the statements of the block are, several times a second."""
    connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLLED):
            report(max(0.0, connection.query_progress()) / 100)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def taken(name: str, relation: DuckDBPyRelation, *, copied: bool) -> Table:
    """Return a relation under a name of ours; ``copied`` if reading it again costs much."""
    view = f'"consist_{name}"'
    if copied:
        relation.create(f"consist_{name}")
    else:
        relation.create_view(f"consist_{name}", replace=True)
    kinds = map(ColumnType.of, relation.types)
    return Table(view, dict(zip(relation.columns, kinds, strict=True)))


# ---------------------------------------------------------------- comparison


def compare_tables(
    connection: DuckDBPyConnection, left: Table, right: Table, options: TableOptions
) -> TableComparison:
    """Compare two tables of a connection."""
    pairs = [
        Pair(name, left.columns[name], right.columns[name])
        for name in left.columns
        if name in right.columns
    ]
    counts = _count(connection, left), _count(connection, right)
    ask = Question(left, right, pairs, counts, options.tolerance, options.examples)
    notes = [note for pair in pairs if (note := pair.note)]
    found = _rows(connection, ask, options.on, notes)
    return replace(found, schema=tuple(schema_changes(left, right)), notes=tuple(notes))


def _count(connection: DuckDBPyConnection, table: Table) -> int:
    return connection.execute(f"SELECT count(*) FROM {table.view}").fetchall()[0][0]


def _rows(
    connection: DuckDBPyConnection,
    ask: Question,
    on: Sequence[str] | None,
    notes: list[str],
) -> TableComparison:
    if not ask.pairs:
        notes.append("no column is in both tables, so no rows were compared")
        return TableComparison(how="columns", rows=ask.counts)
    if on:
        check_key(on, ask.left, ask.right)
        try:
            return by_key(connection, ask, on)
        except Duplicates as problem:
            notes.append(f"({', '.join(on)}) is no key: {problem} so rows were compared as sets")
    elif on is None:
        found = _by_found_key(connection, ask)
        if found is not None:
            return found
        notes.append("no key was found, so rows were compared as sets; on= names one")
    if ask.tolerance:
        notes.append("tolerances do not count where rows are compared as sets")
    return as_sets(connection, ask)


def _by_found_key(connection: DuckDBPyConnection, ask: Question) -> TableComparison | None:
    likely = likely_keys(connection, (ask.left, ask.right), ask.pairs, ask.counts)
    for _, key in zip(range(_MOST_TRIED), likely, strict=False):
        try:
            return replace(by_key(connection, ask, key), key_found=True)
        except Duplicates:
            continue
    return None


def check_key(on: Iterable[str], left: Table, right: Table) -> None:
    """Refuse key columns that are not in both tables.

    Raises
    ------
    UsageError
        Naming the first of them and the columns that both have.
    """
    both = [name for name in left.columns if name in right.columns]
    for name in on:
        if name not in both:
            problem = UsageError(f"the key column {name!r} is not in both tables")
            raise hint(problem, f"both have {', '.join(both) or 'no column'}")


# ---------------------------------------------------------------- columns


def schema_changes(left: Table, right: Table) -> Iterable[ColumnChange]:
    """Yield the columns that are not the same: in the order of the left table, then the right."""
    shared = [name for name in left.columns if name in right.columns]
    in_right = [name for name in right.columns if name in left.columns]
    for name in left.columns:
        if name not in right.columns:
            yield ColumnChange(name, "removed", left.columns[name].text, None)
        elif left.columns[name].text != right.columns[name].text:
            yield ColumnChange(name, "retyped", left.columns[name].text, right.columns[name].text)
    for name in right.columns:
        if name not in left.columns:
            yield ColumnChange(name, "added", None, right.columns[name].text)
    if shared != in_right:
        kept = _in_common_order(shared, in_right)
        for name in shared:
            if name not in kept:
                places = list(left.columns).index(name) + 1, list(right.columns).index(name) + 1
                yield ColumnChange(name, "moved", *map(str, places))


def _in_common_order(left: Sequence[str], right: Sequence[str]) -> set[str]:
    """Return the most names that stand in one order on both sides."""
    from bisect import bisect_left

    place = {name: at for at, name in enumerate(right)}
    ends: list[int] = []
    chains: list[list[str]] = []
    for name in left:
        at = bisect_left(ends, place[name])
        chain = [*(chains[at - 1] if at else ()), name]
        ends[at : at + 1], chains[at : at + 1] = [place[name]], [chain]
    return set(chains[-1])
