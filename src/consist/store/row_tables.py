"""Tables of ingested rows, ours and others', and how each tells whose rows it holds.

Ours name the artifact of every row. Others may live in the same schema: rows that name a run only,
and caches that many runs share. The mode of a table, after its columns, says what an export, a
merge and a purge do with it:

``run_scoped``
    it has ``consist_run_id``: its rows go with their artifacts, and those without an artifact
    with their runs;
``run_link``
    it has ``run_id``: its rows go with their runs;
``unscoped_cache``
    it has neither: its rows belong to nobody, and stay.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from consist.store.database import ALIAS
from consist.store.global_tables import LEDGER, SCHEMA, Columns, identifier, tables_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Mode = Literal["run_scoped", "run_link", "unscoped_cache"]
ARTIFACT, RUN, LINK, HASH = "consist_artifact_id", "consist_run_id", "run_id", "content_hash"


class RowTable(NamedTuple):
    """One table of the schema ``global_tables`` in one catalog."""

    name: str
    catalog: str
    columns: Columns

    @property
    def source(self) -> str:
        """Its name in SQL."""
        return f"{self.catalog}.{SCHEMA}.{identifier(self.name)}"

    @property
    def mode(self) -> Mode:
        """How it tells whose rows it holds."""
        if RUN in self.columns or ARTIFACT in self.columns:
            return "run_scoped"
        return "run_link" if LINK in self.columns else "unscoped_cache"

    @property
    def is_by_artifact(self) -> bool:
        """Whether its rows name artifacts, as those that we ingest do."""
        return ARTIFACT in self.columns

    @property
    def run_column(self) -> str | None:
        """The column that names runs."""
        return next((name for name in (RUN, LINK) if name in self.columns), None)

    @property
    def without_artifact(self) -> str:
        """SQL that holds for rows which belong to a run alone."""
        if self.run_column is None:
            return "false"
        return f"{ARTIFACT} IS NULL" if self.is_by_artifact else "true"

    def belongs(self, artifacts: str, runs: str) -> str:
        """Return SQL that holds for the rows of some artifacts and runs, given as queries."""
        parts: list[str] = []
        if self.is_by_artifact:
            parts.append(f"{ARTIFACT} IN ({artifacts})")
        if self.run_column is not None:
            parts.append(f"({self.without_artifact} AND {self.run_column} IN ({runs}))")
        return f"({' OR '.join(parts)})" if parts else "false"


def row_tables(connection: DuckDBPyConnection, catalog: str) -> dict[str, RowTable]:
    """Return the tables of a catalog by lower-case name, our bookkeeping aside."""
    return {
        name.lower(): RowTable(name, catalog, columns)
        for name, columns in tables_of(connection, catalog).items()
        if not name.lower().startswith("_consist_")
    }


def asked_tables(connection: DuckDBPyConnection) -> list[RowTable]:
    """Return the tables as a question sees them: stored rows and those that no merge stored."""
    return list({**row_tables(connection, ALIAS), **row_tables(connection, "memory")}.values())


def count(connection: DuckDBPyConnection, table: RowTable, condition: str = "true") -> int:
    """Return how many rows of a table fulfil a condition."""
    found = connection.execute(f"SELECT count(*) FROM {table.source} WHERE {condition}")
    return int(found.fetchall()[0][0])


def prunable(tables: Iterable[RowTable], gone: str, stay: str) -> Iterator[tuple[RowTable, str]]:
    """Yield the caches that runs had a part in, with SQL that holds for rows nobody uses any more.

    A row of a cache is used by the runs that a table of mode ``run_link`` links to its
    ``content_hash``; without such a table nothing is known of a cache, and all of it stays.

    Parameters
    ----------
    tables : iterable of RowTable
        All tables.
    gone, stay : str
        Queries that give the ids of runs which go, and of those which stay.
    """
    listed = list(tables)
    links = [t for t in listed if t.mode == "run_link" and HASH in t.columns]
    if not links:
        return

    def linked(runs: str) -> str:
        return " UNION ALL ".join(
            f"SELECT CAST({HASH} AS VARCHAR) FROM {link.source}"
            f" WHERE {LINK} IN ({runs}) AND {HASH} IS NOT NULL"
            for link in links
        )

    for table in listed:
        if table.mode == "unscoped_cache" and HASH in table.columns:
            value = f"CAST({HASH} AS VARCHAR)"
            yield table, f"{value} IN ({linked(gone)}) AND {value} NOT IN ({linked(stay)})"


def purgeable(
    connection: DuckDBPyConnection, artifacts: list[str], *, caches: bool
) -> list[tuple[RowTable, int]]:
    """Return how many rows go with some artifacts and the runs in the table ``purged_run``."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE purged_artifact AS SELECT unnest(?::VARCHAR[]) AS id",
        [artifacts],
    )
    tables, gone = asked_tables(connection), "SELECT id FROM purged_run"
    going = [(table, table.belongs("SELECT id FROM purged_artifact", gone)) for table in tables]
    if caches:
        going += prunable(tables, gone, f"SELECT id FROM main.run WHERE id NOT IN ({gone})")
    counts = [(table, count(connection, table, which)) for table, which in going]
    return [(table, rows) for table, rows in counts if rows]


def has_ledger(connection: DuckDBPyConnection, catalog: str) -> bool:
    """Whether a catalog tells which rows were ingested from which artifact."""
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?"
        " AND table_name = ?",
        [catalog, SCHEMA, LEDGER],
    )
    return bool(found.fetchall())


@contextmanager
def in_order(connection: DuckDBPyConnection) -> Generator[None]:
    """Let rows that are picked by a join keep the order they have.

    DuckDB promises no order behind a join. It keeps it where one thread streams the rows past the
    ids, which the optimizer must not turn round.
    """
    (row,) = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(row[0])}")
        connection.execute("RESET disabled_optimizers")


def disclaim(connection: DuckDBPyConnection, artifacts: str, values: Iterable[object] = ()) -> None:
    """Let none of some artifacts, given as a query, claim rows that the database lacks."""
    there = ""
    if has_ledger(connection, ALIAS):
        there = f" AND id NOT IN (SELECT artifact_id FROM {ALIAS}.{SCHEMA}.{LEDGER})"
    connection.execute(
        f"UPDATE {ALIAS}.artifact SET meta = json_merge_patch(meta, '{{\"is_ingested\": false}}')"
        " WHERE json_extract_string(meta, '$.is_ingested') = 'true'"
        f" AND id IN ({artifacts}){there}",
        list(values),
    )
