"""Rows of two tables: those of equal key value by value, or all of them as multisets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from consist.comparison.columns import Pair, Table, Tolerance, shown
from consist.comparison.differences import Example, TableComparison, ValueChange
from consist.formats.sql import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


_FOR_ALL = 10
"""So many times the examples of a column are looked at for all columns together."""


class Duplicates(Exception):
    """A key does not tell rows apart; its text says how many of them, and shows some."""


class Question(NamedTuple):
    """What is asked of two tables.

    Attributes
    ----------
    left, right : Table
        The tables.
    pairs : sequence of Pair
        Columns that both have.
    counts : tuple of int
        Numbers of rows.
    tolerance : Tolerance
        For numbers.
    examples : int
        Most examples of each difference.
    """

    left: Table
    right: Table
    pairs: Sequence[Pair]
    counts: tuple[int, int]
    tolerance: Tolerance
    examples: int


# ---------------------------------------------------------------- by key


def by_key(connection: DuckDBPyConnection, ask: Question, key: Sequence[str]) -> TableComparison:
    """Compare rows of equal key.

    One full outer join counts everything, and never gives more rows than both tables have: that
    happens only to keys that are no keys. What is shown is then fetched by the keys found.

    Raises
    ------
    Duplicates
        If several rows of a table share one key.
    """
    keys = [pair for pair in ask.pairs if pair.name in key]
    values = [pair for pair in ask.pairs if pair.name not in key]
    found = _counted(connection, ask, keys, values)
    _check_unique(connection, ask, keys, found)
    changed = [(number, pair) for number, pair in enumerate(values) if found[f"rows{number}"]]
    columns = tuple(_value_change(number, pair, found) for number, pair in changed)
    comparison = TableComparison(
        how="keyed",
        rows=ask.counts,
        key=tuple(key),
        added=found["added"],
        removed=found["removed"],
        changed=found["changed"],
        columns=columns,
    )
    if not ask.examples or comparison.same:
        return comparison
    rows = _fetched(connection, ask, keys, changed)
    return replace(
        comparison,
        columns=tuple(
            replace(column, examples=_examples(rows, at, ask.examples))
            for at, column in enumerate(columns)
        ),
        added_examples=tuple(row.key for row in rows if row.found == "right")[: ask.examples],
        removed_examples=tuple(row.key for row in rows if row.found == "left")[: ask.examples],
    )


def _value_change(number: int, pair: Pair, found: dict[str, Any]) -> ValueChange:
    most = found.get(f"abs{number}"), found.get(f"rel{number}")
    unit = pair.unit if most[0] is not None else None
    return ValueChange(pair.name, found[f"rows{number}"], *most, unit)


def _counted(
    connection: DuckDBPyConnection, ask: Question, keys: Sequence[Pair], values: Sequence[Pair]
) -> dict[str, Any]:
    """Return every count, the greatest differences and the smallest keys, by name."""
    inside, counts = _joined(keys), list(_TOTALS)
    some = f"min(k, {ask.examples or 1})"
    counts += [f"{some} FILTER (lp IS NULL) AS added_keys"]
    counts += [f"{some} FILTER (rp IS NULL) AS removed_keys"]
    any_differs = "false"
    for number, pair in enumerate(values):
        left, right = f"l.c{number}", f"r.c{number}"
        inside.append(f"l.p AND r.p AND {pair.differs(left, right, ask.tolerance)} AS n{number}")
        any_differs += f" OR n{number}"
        counts.append(f"count(*) FILTER (n{number}) AS rows{number}")
        # The smallest few of each column would cost as much as counting all columns does.
        counts.append(f"min(k) FILTER (n{number}) AS key{number}")
        distance = pair.distance(left, right)
        if distance is not None:
            inside.append(f"{distance} AS d{number}")
            finite = f"FILTER (n{number} AND isfinite(d{number}))"
            counts.append(f"max(d{number}) {finite} AS abs{number}")
            if pair.is_number:
                inside.append(f"greatest(abs({left}::DOUBLE), abs({right}::DOUBLE)) AS g{number}")
                counts.append(f"max(d{number} / g{number}) {finite} AS rel{number}")
    counts.append(f"count(*) FILTER ({any_differs}) AS changed")
    counts.append(f"min(k, {ask.examples * _FOR_ALL or 1}) FILTER ({any_differs}) AS changed_keys")
    # Beyond that many rows, keys are no keys, and there may be as many as the product.
    statement = (
        f"CREATE OR REPLACE TEMP TABLE consist_counts AS SELECT {', '.join(counts)} FROM ("
        f"SELECT {', '.join(inside)} FROM {_side(ask.left, keys, values, 0)} l"
        f" FULL OUTER JOIN {_side(ask.right, keys, values, 1)} r ON {_same_key(keys)}"
        f" LIMIT {sum(ask.counts) + 1})"
    )
    connection.execute(statement)
    row = connection.execute("SELECT * FROM consist_counts")
    names = [column[0] for column in row.description]
    return dict(zip(names, row.fetchall()[0], strict=True))


_TOTALS = (
    "count(*) AS total",
    "count(*) FILTER (lp IS NULL) AS added",
    "count(*) FILTER (rp IS NULL) AS removed",
)


def _joined(keys: Sequence[Pair]) -> list[str]:
    both = [f"CASE WHEN l.p THEN l.k{i} ELSE r.k{i} END" for i in range(len(keys))]
    return [f"{_one(both)} AS k", "l.p AS lp", "r.p AS rp"]


def _one(values: Sequence[str]) -> str:
    """Return the values of a key as one: a struct costs more than the value alone."""
    return values[0] if len(values) == 1 else f"row({', '.join(values)})"


def _side(table: Table, keys: Sequence[Pair], values: Sequence[Pair], side: int) -> str:
    """Return a query of one side, with columns of plain names."""
    columns = ["true AS p"]
    columns += [
        f"{pair.canonical()[side](identifier(pair.name))} AS k{i}" for i, pair in enumerate(keys)
    ]
    columns += [f"{identifier(pair.name)} AS c{i}" for i, pair in enumerate(values)]
    return f"(SELECT {', '.join(columns)} FROM {table.view})"


def _same_key(keys: Sequence[Pair]) -> str:
    return " AND ".join(f"l.k{i} IS NOT DISTINCT FROM r.k{i}" for i in range(len(keys)))


# ---------------------------------------------------------------- keys that are none


def _check_unique(
    connection: DuckDBPyConnection, ask: Question, keys: Sequence[Pair], found: dict[str, Any]
) -> None:
    """Refuse a key that several rows of a table share.

    Keys that both tables have show in the counts: each of them gave one row. Of keys that only one
    table has, the rows are counted.
    """
    matched = found["total"] - found["added"] - found["removed"]
    short = matched + found["removed"] - ask.counts[0], matched + found["added"] - ask.counts[1]
    if any(short) or found["total"] > sum(ask.counts):
        suspects = (0, 1)
    else:
        suspects = (0,) * bool(found["removed"]) + (1,) * bool(found["added"])
    told: list[str] = []
    for side in suspects:
        table = (ask.left, ask.right)[side]
        repeated = _repeated(connection, table, keys, side)
        if repeated:
            told.append(f"{repeated} of the {('left', 'right')[side]} table")
    if told:
        raise Duplicates(" and ".join(told))


def _repeated(
    connection: DuckDBPyConnection, table: Table, keys: Sequence[Pair], side: int
) -> str | None:
    named = ", ".join(f"k{i}" for i in range(len(keys)))
    rows = connection.execute(
        "SELECT count(*), sum(n), arg_max(k, n)::VARCHAR FROM ("
        f"SELECT row({named}) AS k, count(*) AS n FROM {_side(table, keys, (), side)}"
        f" GROUP BY {named} HAVING n > 1)"
    ).fetchall()
    distinct, count, most = rows[0]
    if not distinct:
        return None
    of_values = "one value" if distinct == 1 else f"{distinct:,} values"
    return f"{int(count):,} rows share {of_values}, such as {most},"


# ---------------------------------------------------------------- what is shown


class _Shown(NamedTuple):
    """A row to show: its key, where it is, and of each changed column both values."""

    key: dict[str, Any]
    found: str
    values: list[tuple[bool, Any, Any]]


def _fetched(
    connection: DuckDBPyConnection,
    ask: Question,
    keys: Sequence[Pair],
    changed: Sequence[tuple[int, Pair]],
) -> list[_Shown]:
    """Return the rows that are examples of something, in the order of their keys."""
    lists = "added_keys", "removed_keys", "changed_keys"
    wanted = [f"SELECT unnest({name}) AS k FROM consist_counts" for name in lists]
    wanted += [f"SELECT key{number} FROM consist_counts" for number, _ in changed]
    columns: list[str] = ["CASE WHEN l.p AND r.p THEN 'both' WHEN l.p THEN 'left' ELSE 'right' END"]
    for i, pair in enumerate(keys):
        sides = (_shown_value(pair, side, f"{'lr'[side]}.k{i}") for side in (0, 1))
        columns.append("CASE WHEN l.p THEN {} ELSE {} END".format(*sides))
    values = [pair for _, pair in changed]
    for i, pair in enumerate(values):
        left, right = f"l.c{i}", f"r.c{i}"
        columns.append(f"l.p AND r.p AND {pair.differs(left, right, ask.tolerance)}")
        columns += [shown(pair.left)(left), shown(pair.right)(right)]
    sides = [_with_key(_side(table, keys, values, side), keys)
             for side, table in enumerate((ask.left, ask.right))]  # fmt: skip
    found = connection.execute(
        f"SELECT {', '.join(columns)} FROM ({' UNION '.join(wanted)}) w"
        f" LEFT JOIN {sides[0]} l ON w.k IS NOT DISTINCT FROM l.k"
        f" LEFT JOIN {sides[1]} r ON w.k IS NOT DISTINCT FROM r.k"
        " WHERE l.p OR r.p ORDER BY w.k"
    ).fetchall()
    names, start = [pair.name for pair in keys], 1 + len(keys)
    return [
        _Shown(
            dict(zip(names, row[1:start], strict=True)),
            row[0],
            [row[at : at + 3] for at in range(start, len(row), 3)],
        )
        for row in found
    ]


def _shown_value(pair: Pair, side: int, value: str) -> str:
    """Return a key's value as it is shown; text where the sides are of different types."""
    return _text(pair, value) if side == 0 or pair.left == pair.right else f"{value}::VARCHAR"


def _with_key(side: str, keys: Sequence[Pair]) -> str:
    return f"(SELECT *, {_one([f'k{i}' for i in range(len(keys))])} AS k FROM {side})"


def _examples(rows: Sequence[_Shown], at: int, most: int) -> tuple[Example, ...]:
    found = (Example(row.key, *row.values[at][1:]) for row in rows if row.values[at][0])
    return tuple(islice(found, most))


# ---------------------------------------------------------------- without a key


def as_sets(connection: DuckDBPyConnection, ask: Question) -> TableComparison:
    """Count the rows that only one of the tables has, each as often as it has it more often."""
    sides = " UNION ALL ".join(
        f"SELECT {weight} AS w, {_row(ask.pairs, side)} FROM {table.view}"
        for side, (table, weight) in enumerate(((ask.left, 1), (ask.right, -1)))
    )
    names = ", ".join(f"c{i}" for i in range(len(ask.pairs)))
    texts = ", ".join(_text(pair, f"c{i}") for i, pair in enumerate(ask.pairs))
    least = f"min(row({names}, row({texts})), {ask.examples})" if ask.examples else "NULL"
    some = "added_rows", "removed_rows"
    examples = (
        [f"{least} FILTER (n < 0) AS {some[0]}", f"{least} FILTER (n > 0) AS {some[1]}"]
        if ask.examples
        else [f"NULL AS {name}" for name in some]
    )
    statement = (
        "SELECT coalesce(sum(-n) FILTER (n < 0), 0), coalesce(sum(n) FILTER (n > 0), 0),"
        f" {', '.join(examples)} FROM ("
        f"SELECT {names}, sum(w) AS n FROM ({sides}) GROUP BY {names} HAVING n <> 0)"
    )
    added, removed, added_rows, removed_rows = connection.execute(statement).fetchall()[0]
    return TableComparison(
        how="sets",
        rows=ask.counts,
        added=int(added),
        removed=int(removed),
        added_examples=_rows_of(ask.pairs, added_rows),
        removed_examples=_rows_of(ask.pairs, removed_rows),
    )


def _row(pairs: Sequence[Pair], side: int) -> str:
    return ", ".join(
        f"{pair.canonical()[side](identifier(pair.name))} AS c{i}" for i, pair in enumerate(pairs)
    )


def _text(pair: Pair, name: str) -> str:
    """Return how a value of a group is shown: as it is where it still has a type to show."""
    return shown(pair.left)(name) if pair.left == pair.right else f"{name}::VARCHAR"


def _rows_of(pairs: Sequence[Pair], rows: Any) -> tuple[dict[str, Any], ...]:
    names = [pair.name for pair in pairs]
    return tuple(dict(zip(names, _members(_members(row)[-1]), strict=True)) for row in rows or ())


def _members(row: Any) -> tuple[Any, ...]:
    return tuple(cast("dict[str, Any]", row).values()) if isinstance(row, dict) else tuple(row)
