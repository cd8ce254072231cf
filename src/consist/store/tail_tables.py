"""The tables of the tail, in the in-memory instance, and the views that join them to the database.

A handful of new rows is kept as JSON that the views take apart when they are asked, because a
statement for each of five tables costs ten times as much; larger numbers move into tables. Runs
that the database knows in an earlier state are hidden by the number of their row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from consist.store.database import ALIAS
from consist.store.migrations import create_tables
from consist.store.rows import Rows
from consist.store.schema import insert_rows, json_batches, table_columns, unpacked
from consist.store.storing import Batch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = "tail"
MERGED, UNMERGED = "merged", "unmerged"
"""Schemas with the two parts of every table, for questions that have to order each by itself."""
_FEW = 60
_HIDDEN = {
    "run": f"rowid NOT IN (SELECT row FROM {SCHEMA}.hidden)",
    "run_extra": f"run_id NOT IN (SELECT run_id FROM {SCHEMA}.hidden_extra)",
    "artifact": f"id NOT IN (SELECT id FROM {SCHEMA}.hidden_artifact)",
}
"""What leaves out stored rows that have a newer one in the tail."""

_LINKS = (
    "CREATE OR REPLACE VIEW main.consist_schema_links AS SELECT r.schema_id,"
    " s.summary_json->>'table_name' AS from_table, r.from_field, r.to_table, r.to_field,"
    " r.relationship_type, r.cardinality FROM main.artifact_schema_relation r"
    " LEFT JOIN main.artifact_schema s ON s.id = r.schema_id"
)


class TailTables:
    """Rows that the database does not have, and views of both."""

    def __init__(self) -> None:
        self.columns: dict[str, dict[str, str]] = {}
        self._few = Rows()
        self._moved = False

    def create(self, connection: DuckDBPyConnection) -> None:
        """Create the tables, empty, in a new in-memory instance."""
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
        create_tables(connection, SCHEMA)
        connection.execute(
            f"CREATE TABLE {SCHEMA}.few (name VARCHAR, rows JSON);"
            f"CREATE TABLE {SCHEMA}.hidden (row BIGINT);"
            f"CREATE TABLE {SCHEMA}.hidden_extra (run_id VARCHAR);"
            f"CREATE TABLE {SCHEMA}.hidden_artifact (id VARCHAR)"
        )
        self.columns = table_columns(connection, "memory", SCHEMA)
        self._few, self._moved = Rows(), False

    def create_views(self, connection: DuckDBPyConnection) -> None:
        """Unite every table with the one of the attached database, as far as that has it."""
        stored = table_columns(connection, ALIAS)
        views = [f"CREATE SCHEMA IF NOT EXISTS memory.{name}" for name in (MERGED, UNMERGED)]
        for table, columns in self.columns.items():
            merged, unmerged = _merged(table, columns, stored.get(table)), _unmerged(table, columns)
            both = f"{merged} UNION ALL {unmerged}"
            parts = {MERGED: merged, UNMERGED: unmerged, "main": both}
            views += [
                f"CREATE OR REPLACE VIEW memory.{schema}.{table} AS {sql}"
                for schema, sql in parts.items()
            ]
        connection.execute(";".join([*views, _LINKS]))

    def clear(self, connection: DuckDBPyConnection) -> None:
        """Forget all rows."""
        hidden = ("hidden", "hidden_extra", "hidden_artifact")
        tables = ["few", *hidden, *(self.columns if self._moved else ())]
        connection.execute(";".join(f"DELETE FROM {SCHEMA}.{table}" for table in tables))
        self._few, self._moved = Rows(), False

    # ------------------------------------------------------------ rows

    def store(self, connection: DuckDBPyConnection, batch: Batch) -> None:
        """Take in new rows, and hide the earlier ones of the same runs."""
        stored = [run for run in batch.replaced if run.row >= 0]
        if stored:
            rows, ids = [run.row for run in stored], [run.id for run in stored]
            connection.execute(f"INSERT INTO {SCHEMA}.hidden SELECT unnest(?)", [rows])
            extras = [run_id for run_id in ids if run_id in batch.extras]
            connection.execute(f"INSERT INTO {SCHEMA}.hidden_extra SELECT unnest(?)", [extras])
        if batch.updated:
            hide = f"INSERT INTO {SCHEMA}.hidden_artifact SELECT unnest(?)"
            connection.execute(hide, [batch.updated])
            if self._moved:
                _delete(connection, "artifact", "id", batch.updated)
        own = [run.id for run in batch.replaced if run.row < 0]
        if self._moved and own:
            _delete(connection, "run", "id", own)
            _delete(connection, "run_extra", "run_id", batch.extras)
        for table, by_key in batch.rows.tables.items():
            self._few.tables.setdefault(table, {}).update(by_key)
        if sum(map(len, self._few.tables.values())) > _FEW:
            self._move(connection)
        else:
            self._write_few(connection, batch.rows.tables)

    def _write_few(self, connection: DuckDBPyConnection, tables: Iterable[str]) -> None:
        changed = [table for table in tables if self._few.tables[table]]
        pages = [
            value
            for table in changed
            for text in json_batches(self._few.tables[table].values())
            for value in (table, text)
        ]
        if pages:
            names = ", ".join(f"'{table}'" for table in changed)
            values = ", ".join(["(?, ?)"] * (len(pages) // 2))
            connection.execute(f"DELETE FROM {SCHEMA}.few WHERE name IN ({names})")
            connection.execute(f"INSERT INTO {SCHEMA}.few VALUES {values}", pages)

    def _move(self, connection: DuckDBPyConnection) -> None:
        connection.execute(f"DELETE FROM {SCHEMA}.few")
        insert_rows(connection, self._few, self.columns, SCHEMA)
        self._few, self._moved = Rows(), True


def _delete(connection: DuckDBPyConnection, table: str, column: str, ids: list[str]) -> None:
    statement = f"DELETE FROM {SCHEMA}.{table} WHERE {column} IN (SELECT unnest(?))"
    connection.execute(statement, [ids])


def _unmerged(table: str, columns: Mapping[str, str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    few = unpacked(columns, "rows")
    return (
        f"SELECT {names} FROM {SCHEMA}.{table} UNION ALL SELECT {names}"
        f" FROM (SELECT {few} FROM {SCHEMA}.few WHERE name = '{table}')"
    )


def _merged(table: str, columns: Mapping[str, str], stored: Mapping[str, str] | None) -> str:
    if stored is None:
        return f"SELECT * FROM {SCHEMA}.{table} WHERE false"
    # A database that could not be migrated yet, because it cannot be written, lacks columns.
    found = ", ".join(f'"{n}"' if n in stored else f'NULL AS "{n}"' for n in columns)
    condition = f" WHERE {_HIDDEN[table]}" if table in _HIDDEN else ""
    return f"SELECT {found} FROM {ALIAS}.main.{table}{condition}"
