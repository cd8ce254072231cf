"""The tables of the tail, in the in-memory instance, and the views that join them to the database.

A handful of new rows is kept as JSON that the views take apart when they are asked, because a
statement for each of five tables costs ten times as much; larger numbers move into tables. Runs
that the database knows in an earlier state are hidden by the number of their row.

Tables of which everything is merged are shown as they are: then DuckDB skips what a question does
not need, which it does not do below a union. Most answers come three to eight times sooner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from consist.store.database import ALIAS
from consist.store.migrations import create_tables
from consist.store.rows import Rows
from consist.store.schema import LINKS, insert_rows, json_batches, table_columns, unpacked
from consist.store.storing import Batch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = "tail"
MERGED, UNMERGED = "merged", "unmerged"
"""Schemas with the two parts of every table, for questions that have to order each by itself."""
_FEW = 60
_CALM = 3
_HIDDEN = {
    "run": f"rowid NOT IN (SELECT row FROM {SCHEMA}.hidden)",
    "run_extra": f"run_id NOT IN (SELECT run_id FROM {SCHEMA}.hidden_extra)",
    "artifact": f"id NOT IN (SELECT id FROM {SCHEMA}.hidden_artifact)",
}
"""What leaves out stored rows that have a newer one in the tail."""

_LINKS = f"CREATE OR REPLACE VIEW main.{LINKS}"
_TEXTS = ("python", "platform", "host", "user", "job", "commit", "branch", "packages")
_ENVIRONMENT = (
    "CREATE OR REPLACE VIEW main.run_environment AS SELECT run_id, "
    + ", ".join(f"e->>'$.{name}' AS \"{name}\"" for name in _TEXTS)
    + ", CAST(e->>'$.dirty' AS BOOLEAN) AS dirty"
    " FROM (SELECT run_id, extra->'$.environment' AS e FROM main.run_extra) WHERE e IS NOT NULL"
)
"""Where each run was done; ``packages`` is an id in table ``package_set``."""


class TailTables:
    """Rows that the database does not have, and views of both."""

    def __init__(self) -> None:
        self.columns: dict[str, dict[str, str]] = {}
        self._merged: dict[str, dict[str, str]] = {}
        self._begin()

    def _begin(self) -> None:
        self._few = Rows()
        self._moved = self._filled = False
        self._joined: set[str] = set()
        self._hiding: set[str] = set()
        self._calm = 0

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
        self._begin()

    def create_views(self, connection: DuckDBPyConnection) -> None:
        """Show every table of the attached database, as far as it has them, and nothing else."""
        self._merged = table_columns(connection, ALIAS)
        self._joined, self._hiding = set(), set()
        schemas = [f"CREATE SCHEMA IF NOT EXISTS memory.{name}" for name in (MERGED, UNMERGED)]
        connection.execute(";".join([*schemas, *self._views(self.columns), _LINKS, _ENVIRONMENT]))

    def _views(self, tables: Iterable[str]) -> Iterator[str]:
        """Yield the statements that show tables as they are now."""
        for table in tables:
            columns = self.columns[table]
            hides = table in self._hiding
            both = merged = _merged(table, columns, self._merged.get(table), hides=hides)
            unmerged = _empty(table)
            if table in self._joined:
                unmerged = _unmerged(table, columns)
                both = f"{merged} UNION ALL {unmerged}"
            for schema, sql in ((MERGED, merged), (UNMERGED, unmerged), ("main", both)):
                yield f"CREATE OR REPLACE VIEW memory.{schema}.{table} AS {sql}"

    def _unite(
        self, connection: DuckDBPyConnection, joined: Collection[str], hiding: Collection[str]
    ) -> None:
        """Let the views show unmerged rows of some tables, and hide merged ones of others."""
        outdated = {*joined} - self._joined | {*hiding} - self._hiding
        if outdated:
            self._joined.update(joined)
            self._hiding.update(hiding)
            connection.execute(";".join(self._views(sorted(outdated))))

    def settle(self, connection: DuckDBPyConnection) -> None:
        """Show the tables as they are merged, once several questions found nothing else.

        Not at once: somebody who records and asks in turn would pay for it again and again.
        """
        self._calm = 0 if self._filled else self._calm + 1
        if self._calm > _CALM and self._joined:
            outdated = sorted(self._joined | self._hiding)
            self._joined, self._hiding = set(), set()
            connection.execute(";".join(self._views(outdated)))

    def clear(self, connection: DuckDBPyConnection) -> None:
        """Forget all rows."""
        hidden = ("hidden", "hidden_extra", "hidden_artifact")
        tables = ["few", *hidden, *(self.columns if self._moved else ())]
        connection.execute(";".join(f"DELETE FROM {SCHEMA}.{table}" for table in tables))
        self._few, self._moved, self._filled = Rows(), False, False

    # ------------------------------------------------------------ rows

    def store(self, connection: DuckDBPyConnection, batch: Batch) -> None:
        """Take in new rows, and hide the earlier ones of the same runs."""
        self._filled = True
        stored = [run for run in batch.replaced if run.row >= 0]
        hiding = [
            *(("run", "run_extra") if stored else ()),
            *(["artifact"] if batch.updated else ()),
        ]
        self._unite(connection, [name for name, rows in batch.rows.tables.items() if rows], hiding)
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


def _empty(table: str) -> str:
    return f"SELECT * FROM {SCHEMA}.{table} WHERE false"


def _merged(
    table: str, columns: Mapping[str, str], stored: Mapping[str, str] | None, *, hides: bool
) -> str:
    if stored is None:
        return _empty(table)
    # A database that could not be migrated yet, because it cannot be written, lacks columns.
    found = ", ".join(
        f'"{name}"' if name in stored else f'CAST(NULL AS {kind}) AS "{name}"'
        for name, kind in columns.items()
    )
    condition = f" WHERE {_HIDDEN[table]}" if hides else ""
    return f"SELECT {found} FROM {ALIAS}.main.{table}{condition}"
