"""Which columns say that two rows are the same one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from consist.comparison.columns import Pair, Table
from consist.formats.sql import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WHOLE = re.compile(r"(?i)id|key|uid|uuid|guid|code|index|idx|rowid|row_number|__index_level_\d+__")
_ENDING = re.compile(r"(?i).*[\W_](id|key|uid|uuid|guid|code|index|idx|no|number|nr)")
_CAMEL = re.compile(r".*[a-z\d](Id|ID|Key|Code|UUID|Index)")
_DIMENSION = re.compile(
    r"(?i)year|iteration|month|day|date|hour|minute|period|time_?bin|timestep|step|scenario|zone|taz"
    r"|origin|destination|orig|dest|from|to|o|d|i|j|mode|purpose|link|node|route|segment|type|name"
)
_MOST_IN_SET = 3
_MOST_LIKELY = 6
_NEARLY = 0.8
"""Share of distinct values from which a column may be unique: they are counted roughly."""


def likely_keys(
    connection: DuckDBPyConnection,
    tables: tuple[Table, Table],
    pairs: Sequence[Pair],
    counts: tuple[int, int],
) -> Iterator[tuple[str, ...]]:
    """Yield what may be a key of both tables, the likeliest first; whether it is, was not checked.

    Single columns that are named like ids or keys; then two or three of them, and of columns
    named like dimensions, together. Floats, nested values and columns with nulls are none.
    """
    if not all(counts):
        return
    usable = [pair for pair in pairs if pair.left.is_keylike and pair.right.is_keylike]
    named = [pair.name for pair in usable if _is_named_like_key(pair.name)]
    others = [p.name for p in usable if p.name not in named and _DIMENSION.fullmatch(p.name)]
    candidates = [*sorted(named, key=_likelihood), *others][:_MOST_LIKELY]
    if not candidates:
        return
    alone = _nearly_unique(connection, tables, [(name,) for name in candidates], counts)
    yield from alone
    rest = [name for name in candidates if (name,) not in alone]
    for size in range(2, _MOST_IN_SET + 1):
        together = [*combinations(rest, size)]
        yield from _nearly_unique(connection, tables, together, counts)


def _is_named_like_key(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (_WHOLE, _ENDING, _CAMEL))


def _likelihood(name: str) -> bool:
    """Names that say nothing but 'id' come first; then columns in their order."""
    return not _WHOLE.fullmatch(name)


def _nearly_unique(
    connection: DuckDBPyConnection,
    tables: tuple[Table, Table],
    sets: Sequence[tuple[str, ...]],
    counts: tuple[int, int],
) -> list[tuple[str, ...]]:
    """Return the sets of columns without nulls that have about as many values as there are rows."""
    left: list[tuple[str, ...]] = list(sets)
    for table, count in zip(tables, counts, strict=True):
        if not left:
            return []
        asked = ", ".join(_distinct(names) for names in left)
        found = connection.execute(f"SELECT {asked} FROM {table.view}").fetchall()[0]
        pairs = zip(left, found, strict=True)
        left = [names for names, n in pairs if n is not None and n >= _NEARLY * count]
    return left


def _distinct(names: Sequence[str]) -> str:
    columns = [identifier(name) for name in names]
    whole = " AND ".join(f"count({column}) = count(*)" for column in columns)
    return f"CASE WHEN {whole} THEN approx_count_distinct(hash({', '.join(columns)})) END"
