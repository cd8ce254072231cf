"""Ingested rows in the database: one table per name, in schema ``global_tables``.

A table has the columns of every artifact whose rows it holds, matched by name, and the columns of
provenance. A ledger in the same schema tells of each artifact which table its rows are in, which
types they had, and what it takes to make the source again. An artifact with nested records has a
table for each level; the ledger has an entry for each, and those below name their parent.

Types widen where no value changes by it; columns of plain values whose types have nothing in
common become text, from which each artifact's own type is read back. Where not even that is so, as
between a record and a number, the later rows get a column of their own, whose name ends in its
kind: a call that knows of the conflict refuses them before, and no row is ever lost to a merge.

The rows of an artifact are inserted in their order, by one statement, and read without an
``ORDER BY``: DuckDB keeps the order of insertion, so that nothing is ever sorted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from consist.models.record import IngestEvent, RowsRecord, StoredColumn, encode, replace

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("consist.store")

SCHEMA = "global_tables"
LEDGER = "_consist_ingest"
TEXT = "_consist_text_"
"""Beginning of the names of columns that hold what a source said where the value does not tell."""
SYSTEM_COLUMNS = {
    "consist_run_id": "VARCHAR",
    "consist_artifact_id": "VARCHAR",
    "consist_year": "INTEGER",
    "consist_iteration": "INTEGER",
}
_SYSTEM = {name: ("", kind) for name, kind in SYSTEM_COLUMNS.items()}
_RESERVED = re.compile(
    r"consist_(run_id|artifact_id|year|iteration|scenario_id|file)|_consist_.*|_dlt_.*",
    re.IGNORECASE,
)

Columns = dict[str, tuple[str, str]]
"""Name and type of the columns of a table, by lower-case name, in stored order."""


def is_reserved(name: str) -> bool:
    """Whether a column of a source cannot keep its name in a table."""
    return _RESERVED.fullmatch(name) is not None


class Staged(NamedTuple):
    """Rows of one table that no merge has stored, and the run that they are stored for."""

    event: IngestEvent
    path: Path

    @classmethod
    def parts(cls, event: IngestEvent, folder: Path) -> tuple[Staged, ...]:
        """Return the rows of every table that an event tells of, the artifact's own first."""
        every = (event.rows, *event.rows.children)
        return tuple(cls(replace(event, rows=rows), folder / rows.file) for rows in every)

    @property
    def scan(self) -> str:
        """SQL that reads the rows."""
        return f"read_parquet({literal(str(self.path))})"


def identifier(name: str) -> str:
    """Return a quoted name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string literal."""
    return "'" + text.replace("'", "''") + "'"


def kept_columns(rows: RowsRecord) -> Iterable[tuple[str, str, str]]:
    """Yield staged name, stored name and type of everything that a table keeps of some rows."""
    place = {name: number for number, name in enumerate(rows.first)}
    columns = [*rows.columns, *rows.added]
    for column in sorted(columns, key=lambda column: place.get(column.stored, len(place))):
        yield column.staged, column.stored, column.type
        if column.text is not None:
            yield column.text, TEXT + column.stored, "VARCHAR"


# ---------------------------------------------------------------- what is stored


def tables_of(connection: DuckDBPyConnection, database: str) -> dict[str, Columns]:
    """Return the tables of ingested rows in a catalog, with their columns."""
    found = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = ? AND schema_name = ? AND table_name <> ?"
        " ORDER BY table_name, column_index",
        [database, SCHEMA, LEDGER],
    )
    tables: dict[str, Columns] = {}
    for table, column, kind in found.fetchall():
        tables.setdefault(table, {})[column.lower()] = (column, kind)
    return tables


def stored_rows(
    connection: DuckDBPyConnection, database: str, artifact_id: str
) -> RowsRecord | None:
    """Return what the ledger of a database tells of an artifact, if it has one."""
    found = connection.execute(
        f"SELECT source FROM {database}.{SCHEMA}.{LEDGER} WHERE artifact_id = ?"
        " AND json_extract_string(source, '$.parent') IS NULL",
        [artifact_id],
    ).fetchall()
    return msgspec.json.decode(found[0][0], type=RowsRecord) if found else None


def ingested_at(
    connection: DuckDBPyConnection, database: str, artifact_ids: list[str]
) -> list[tuple[str, str, datetime]]:
    """Return artifact, table and time of the stored rows of some artifacts."""
    found = connection.execute(
        f"SELECT artifact_id, table_name, ingested_at FROM {database}.{SCHEMA}.{LEDGER}"
        " WHERE artifact_id IN (SELECT unnest(?))",
        [artifact_ids],
    )
    return found.fetchall()


def select_staged(staged: Staged) -> str:
    """Return SQL for staged rows under their staged names: the columns and their texts."""
    picked = [
        f"CAST({identifier(name)} AS {kind}) AS {identifier(name)}"
        for name, _, kind in kept_columns(staged.event.rows)
    ]
    return f"SELECT {', '.join(picked)} FROM {staged.scan}"


def select_stored(database: str, artifact_id: str, rows: RowsRecord) -> str:
    """Return SQL for stored rows as :func:`select_staged` gives them."""
    picked = [
        f"CAST({identifier(stored)} AS {kind}) AS {identifier(staged)}"
        for staged, stored, kind in kept_columns(rows)
    ]
    table = f"{database}.{SCHEMA}.{identifier(rows.table)}"
    return (
        f"SELECT {', '.join(picked)} FROM {table}"
        f" WHERE consist_artifact_id = {literal(artifact_id)}"
    )


# ---------------------------------------------------------------- storing

LEDGER_COLUMNS = (
    "(artifact_id VARCHAR, run_id VARCHAR, table_name VARCHAR, row_count BIGINT,"
    " ingested_at TIMESTAMP WITH TIME ZONE, source VARCHAR)"
)


def enter(connection: DuckDBPyConnection, ledger: str, event: IngestEvent) -> None:
    """Note in a ledger which rows an artifact has."""
    rows = event.rows
    connection.execute(
        f"INSERT INTO {ledger} VALUES (?, ?, ?, ?, ?, ?)",
        [event.artifact.id, event.run_id, rows.table, rows.count, event.at, encode(rows).decode()],
    )


class Loader:
    """Stores rows in the tables of one attached database, inside the caller's transaction."""

    def __init__(self, connection: DuckDBPyConnection, database: str) -> None:
        self._connection, self._database = connection, database
        self._ledger = f"{database}.{SCHEMA}.{LEDGER}"
        self._ready = False

    def load(self, *parts: Staged) -> bool:
        """Let the rows of an artifact be these; return whether they are newer than what is there.

        Whatever any table had of the artifact goes. All of it happens in the transaction of the
        caller, so that it counts once or not at all.
        """
        event = parts[0].event
        self._make_ready()
        known = self._connection.execute(
            f"SELECT table_name, ingested_at > ?::TIMESTAMPTZ FROM {self._ledger}"
            " WHERE artifact_id = ?",
            [event.at, event.artifact.id],
        ).fetchall()
        if any(is_newer for _, is_newer in known):
            return False
        for table, _ in known:
            self._forget(table, event.artifact.id)
        for part in parts:
            staged = self._apart(part)
            columns = self._fitted(staged)
            self._insert(staged, columns)
            enter(self._connection, self._ledger, staged.event)
        return True

    def _make_ready(self) -> None:
        if not self._ready:
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._database}.{SCHEMA}")
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {self._ledger} {LEDGER_COLUMNS}")
            self._ready = True

    def _forget(self, table: str, artifact_id: str) -> None:
        for target, column in ((self._target(table), "consist_artifact_id"),
                               (self._ledger, "artifact_id")):  # fmt: skip
            self._connection.execute(f"DELETE FROM {target} WHERE {column} = ?", [artifact_id])

    def _target(self, table: str) -> str:
        return f"{self._database}.{SCHEMA}.{identifier(table)}"

    def _insert(self, staged: Staged, columns: Columns) -> None:
        event = staged.event
        picked = {
            stored: f"CAST({_value(name, kind, wanted)} AS {wanted})"
            for name, stored, kind in kept_columns(event.rows)
            for wanted in [columns[stored.lower()][1]]
        }
        picked |= _provenance(staged)
        names = ", ".join(map(identifier, picked))
        values = ", ".join(picked.values())
        self._connection.execute(
            f"INSERT INTO {self._target(event.rows.table)} ({names})"
            f" SELECT {values} FROM {staged.scan}"
        )

    # ------------------------------------------------------------ columns

    def _apart(self, staged: Staged) -> Staged:
        """Give columns that cannot be one with those of the table a name of their own."""
        found = {name.lower(): (name, columns) for name, columns in self._tables().items()}
        name, columns = found.get(staged.event.rows.table.lower(), ("", {}))
        apart = kept_apart(self._connection, columns, staged, self._target(name), columns)
        pairs = zip(staged.event.rows.columns, apart.event.rows.columns, strict=True)
        for old, kind, new in ((a.stored, a.type, b.stored) for a, b in pairs):
            if old != new:
                logger.warning(
                    "[Consist] column %r of table %r is %s, and the rows of %r have %s: theirs"
                    " are in column %r",
                    old,
                    name,
                    columns[old.lower()][1],
                    staged.event.artifact.key,
                    kind,
                    new,
                )
        return apart

    def _fitted(self, staged: Staged) -> Columns:
        """Make the table hold the columns of some rows; return them as they are then."""
        table = staged.event.rows.table
        target = self._target(table)
        wanted = {stored: kind for _, stored, kind in kept_columns(staged.event.rows)}
        found = {name.lower(): columns for name, columns in self._tables().items()}
        columns = found.get(table.lower())
        if columns is None:
            texts = {name: kind for name, kind in wanted.items() if name.startswith(TEXT)}
            every = {n: k for n, k in wanted.items() if n not in texts} | SYSTEM_COLUMNS | texts
            text = ", ".join(f"{identifier(name)} {kind}" for name, kind in every.items())
            self._connection.execute(f"CREATE TABLE {target} ({text})")
            return {name.lower(): (name, kind) for name, kind in every.items()}
        for name, kind in {**wanted, **SYSTEM_COLUMNS}.items():
            known = columns.get(name.lower())
            if known is None:
                self._connection.execute(
                    f"ALTER TABLE {target} ADD COLUMN {identifier(name)} {kind}"
                )
                columns[name.lower()] = (name, kind)
            elif known[1] != kind:
                columns[name.lower()] = (known[0], self._widened(staged, known, kind))
        return columns

    def _tables(self) -> dict[str, Columns]:
        return tables_of(self._connection, self._database)

    def _widened(self, staged: Staged, known: tuple[str, str], kind: str) -> str:
        """Give a column a type that holds its values and the new ones; return that type."""
        name, stored = known
        target = self._target(staged.event.rows.table)
        new = next(s for s, c, _ in kept_columns(staged.event.rows) if c.lower() == name.lower())
        common = evolved_type(
            self._connection,
            (stored, target, identifier(name)),
            (kind, staged.scan, identifier(new)),
        )
        if common != stored:
            # Rows that this transaction deleted are converted as well; only they can fail.
            column = identifier(name)
            value = f"TRY_CAST({column} AS {common})"
            if shape_of(stored) != shape_of(common):  # there are no values
                value = f"NULL::{common}"
            self._connection.execute(
                f"ALTER TABLE {target} ALTER COLUMN {column} TYPE {common} USING {value}"
            )
        return common


def _provenance(staged: Staged) -> dict[str, str]:
    event = staged.event
    return {
        "consist_run_id": literal(event.run_id),
        "consist_artifact_id": literal(event.artifact.id),
        "consist_year": f"CAST({_number(event.year)} AS INTEGER)",
        "consist_iteration": f"CAST({_number(event.iteration)} AS INTEGER)",
    }


def _number(value: int | None) -> str:
    return "NULL" if value is None else str(int(value))


def evolved_type(
    connection: DuckDBPyConnection, stored: tuple[str, str, str], new: tuple[str, str, str]
) -> str:
    """Return a type that holds the values of two columns, each given as type, table and column."""

    def count(what: str, table: str) -> int:
        return int(connection.execute(f"SELECT {what} FROM {table}").fetchall()[0][0])

    for (own, table, column), (other, *_) in ((stored, new), (new, stored)):
        if own != other and not count(f"count({column})", table):
            return other
    common = common_type(connection, stored[0], new[0])
    for own, table, name in (stored, new):
        column = f"CAST({name} AS {own})"
        back = f"TRY_CAST(TRY_CAST({column} AS {common}) AS {own})"
        if common not in {own, "VARCHAR"} and (
            not _binds(connection, f"TRY_CAST(TRY_CAST(NULL::{own} AS {common}) AS {own})")
            or count(f"count_if({back} IS DISTINCT FROM {column})", table)
        ):
            return "VARCHAR"
    return common


def common_type(connection: DuckDBPyConnection, one: str, other: str) -> str:
    """Return the type that DuckDB gives a column of both, or text where it knows none."""
    import duckdb

    if one == other:
        return one
    # A cursor of its own, since an error would end the transaction of the connection.
    with connection.cursor() as aside:
        try:
            statement = f"DESCRIBE SELECT NULL::{one} AS it UNION ALL SELECT NULL::{other}"
            (row,) = aside.execute(statement).fetchall()
            aside.execute(f"SELECT CAST(NULL::{one} AS {row[1]}), CAST(NULL::{other} AS {row[1]})")
        except duckdb.Error:
            return "VARCHAR"
    return str(row[1])


def shape_of(kind: str) -> str:
    """Return what the values of a type are: ``plain``, or lists, records, maps or unions of what.

    Examples
    --------
    >>> [shape_of(kind) for kind in ("BIGINT", "BIGINT[]", "STRUCT(a INTEGER)[3]")]
    ['plain', 'list of plain', 'list of struct']
    """
    if kind.endswith("]"):
        return f"list of {shape_of(kind[: kind.rindex('[')])}"
    head = kind.partition("(")[0].lower()
    return head if head in {"struct", "map", "union"} else "plain"


def kept_apart(
    connection: DuckDBPyConnection, columns: Columns, staged: Staged, table: str, stored: Columns
) -> Staged:
    """Return rows with other names for columns that cannot be one with those of a table.

    ``stored`` are those of the columns that ``table`` has by now. What has no values is no
    obstacle.
    """
    changed: dict[str, str] = {}
    taken = set(columns) | {stored.lower() for _, stored, _ in kept_columns(staged.event.rows)}
    for column in staged.event.rows.columns:
        known = columns.get(column.stored.lower())
        if known is None or shape_of(known[1]) == shape_of(column.type):
            continue
        if not _has_values(connection, column.staged, staged.scan):
            continue
        if column.stored.lower() in stored and not _has_values(connection, known[0], table):
            continue
        base = fit = f"{column.stored}__{shape_of(column.type).replace(' ', '_')}"
        number = 0
        while _is_taken(fit.lower(), column, columns, taken):
            number += 1
            fit = f"{base}_{number}"
        taken.add(fit.lower())
        changed[column.stored] = fit
    if not changed:
        return staged
    rows = staged.event.rows
    renamed = tuple(
        replace(column, stored=changed.get(column.stored, column.stored)) for column in rows.columns
    )
    return Staged(replace(staged.event, rows=replace(rows, columns=renamed)), staged.path)


def _is_taken(name: str, column: StoredColumn, columns: Columns, taken: set[str]) -> bool:
    known = columns.get(name)
    same = known is not None and shape_of(known[1]) == shape_of(column.type)
    return name in taken and not same


def _has_values(connection: DuckDBPyConnection, column: str, table: str) -> bool:
    statement = f"SELECT count({identifier(column)}) > 0 FROM {table}"
    return bool(connection.execute(statement).fetchall()[0][0])


def _binds(connection: DuckDBPyConnection, expression: str) -> bool:
    import duckdb

    with connection.cursor() as aside:
        try:
            aside.execute(f"SELECT {expression}")
        except duckdb.Error:
            return False
    return True


# ---------------------------------------------------------------- views


def view_of(
    connection: DuckDBPyConnection,
    database: str,
    table: str,
    stored: Columns | None,
    pending: Iterable[Staged],
    outdated: Iterable[str],
) -> str:
    """Return SQL that unites the stored rows of a table with those of no merge yet.

    ``pending`` are staged rows; what is stored of the artifacts ``outdated`` no longer counts.
    """
    columns: Columns = dict(stored or {})
    source = f"{database}.{SCHEMA}.{identifier(table)}"
    apart: list[Staged] = []
    for given in pending:
        staged = kept_apart(connection, columns, given, source, stored or {})
        apart.append(staged)
        kept = {name: (inside, kind) for inside, name, kind in kept_columns(staged.event.rows)}
        for name, (inside, kind) in (kept | _SYSTEM).items():
            known = columns.get(name.lower(), (name, kind))
            if shape_of(known[1]) == shape_of(kind):
                common = common_type(connection, known[1], kind)
            else:  # one of them has no values
                common = kind if _has_values(connection, inside, staged.scan) else known[1]
            columns[name.lower()] = (known[0], common)
    parts: list[str] = []
    if stored is not None:
        parts.append(_stored_part(database, table, columns, stored, outdated))
    parts += [_staged_part(columns, staged) for staged in apart]
    return " UNION ALL ".join(parts)


def _stored_part(
    database: str, table: str, columns: Columns, stored: Columns, outdated: Iterable[str]
) -> str:
    values = {key: _value(name, kind, columns[key][1]) for key, (name, kind) in stored.items()}
    hidden = ", ".join(map(literal, outdated)) if "consist_artifact_id" in stored else ""
    where = f" WHERE (consist_artifact_id IN ({hidden})) IS NOT TRUE" if hidden else ""
    source = f"{database}.{SCHEMA}.{identifier(table)}"
    return f"SELECT {_typed(columns, values)} FROM {source}{where}"


def _staged_part(columns: Columns, staged: Staged) -> str:
    values = {
        stored.lower(): _value(name, kind, columns[stored.lower()][1])
        for name, stored, kind in kept_columns(staged.event.rows)
    }
    values |= _provenance(staged)
    return f"SELECT {_typed(columns, values)} FROM {staged.scan}"


def _value(name: str, kind: str, wanted: str) -> str:
    # What differs in its shape has no values, and cannot be cast.
    return identifier(name) if shape_of(kind) == shape_of(wanted) else "NULL"


def _typed(columns: Columns, values: Mapping[str, str]) -> str:
    return ", ".join(
        f"CAST({values.get(key, 'NULL')} AS {kind}) AS {identifier(name)}"
        for key, (name, kind) in columns.items()
    )
