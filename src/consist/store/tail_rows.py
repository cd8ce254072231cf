"""Ingested rows as every question sees them: stored ones, and staged ones that no merge reached."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from consist.models.record import IngestEvent, RowsRecord
from consist.store.database import ALIAS
from consist.store.global_tables import (
    LEDGER,
    LEDGER_COLUMNS,
    SCHEMA,
    SYSTEM_COLUMNS,
    Staged,
    enter,
    identifier,
    ingested_at,
    kept_columns,
    literal,
    select_staged,
    select_stored,
    stored_rows,
    tables_of,
    view_of,
)
from consist.store.journals import say_once
from consist.store.naming import Settled

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

HAS_ROWS = "rows"
"""Entry of the store's own table, there since rows were first stored."""


class ArtifactRows(NamedTuple):
    """The rows of one artifact, wherever they are.

    ``table`` is SQL for ``connection``: the columns of the source and the texts, under their staged
    names and with their types, in the order of the source.
    """

    connection: DuckDBPyConnection
    rows: RowsRecord
    table: str


class TailRows:
    """Views over the tables of ingested rows, in the schema of the same name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pending: dict[str, tuple[Staged, ...]] = {}
        self._stored = False
        self._outdated = False
        self._views: set[str] = set()
        self._readable: set[Path] = set()

    def renew(self, *, stored: bool, new_instance: bool) -> None:
        """Forget what was staged: the database, or the instance that is asked, is another."""
        self._outdated |= stored or bool(self._pending) or bool(self._views)
        self._pending, self._stored = {}, stored
        self._readable = set()
        if new_instance:
            self._views = set()

    def take_in(self, settled: Iterable[Settled]) -> None:
        """Note rows that records tell of."""
        for event, *_ in settled:
            if isinstance(event, IngestEvent):
                self._take_in(event)

    def _take_in(self, event: IngestEvent) -> None:
        known = self._pending.get(event.artifact.id)
        if known is not None and known[0].event.at > event.at:
            return
        parts = Staged.parts(event, self.folder)
        for path in (part.path for part in parts):
            if not path.exists():
                say_once(path, "is gone, and with it rows that no merge had stored")
                return
        self._pending[event.artifact.id] = parts
        self._outdated = True

    def create_views(self, connection: DuckDBPyConnection) -> None:
        """Bring the views up to date, if anything changed."""
        if not self._outdated:
            return
        stored = tables_of(connection, ALIAS) if self._stored else {}
        replaced = self._replaced(connection)
        names = {name.lower(): name for name in stored}
        by_table: dict[str, list[Staged]] = {}
        for staged in chain.from_iterable(self._pending.values()):
            table = staged.event.rows.table
            by_table.setdefault(names.get(table.lower(), table), []).append(staged)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{SCHEMA}")
        wanted = stored.keys() | by_table.keys()
        for table in self._views - wanted:
            connection.execute(f"DROP VIEW IF EXISTS memory.{SCHEMA}.{identifier(table)}")
        for table in wanted:
            pending, outdated = by_table.get(table, []), replaced.get(table.lower(), [])
            broken = next((one for one in pending if not self._opens(connection, one)), None)
            sql = (
                view_of(connection, ALIAS, table, stored.get(table), pending, outdated)
                if broken is None
                else _failing(broken)
            )
            name = f"memory.{SCHEMA}.{identifier(table)}"
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
        self._views, self._outdated = set(wanted), False

    def _opens(self, connection: DuckDBPyConnection, staged: Staged) -> bool:
        """Whether a staged file is one; else only questions for its table may fail."""
        import duckdb

        if staged.path not in self._readable:
            # A cursor of its own, since an error would end the transaction of the connection.
            with connection.cursor() as aside:
                try:
                    aside.execute(f"SELECT * FROM {staged.scan} LIMIT 0")
                except duckdb.Error:
                    return False
            self._readable.add(staged.path)
        return True

    def _replaced(self, connection: DuckDBPyConnection) -> dict[str, list[str]]:
        """Return the artifacts whose stored rows no longer count, by table in lower case.

        Staged rows of which the database has newer ones already are forgotten.
        """
        found: dict[str, list[str]] = {}
        if self._stored and self._pending:
            known = ingested_at(connection, ALIAS, list(self._pending))
            for artifact_id, _, at in known:
                staged = self._pending.get(artifact_id)
                if staged is not None and at > staged[0].event.at:
                    del self._pending[artifact_id]
            for artifact_id, table, _ in known:
                if artifact_id in self._pending:
                    found.setdefault(table.lower(), []).append(artifact_id)
        return found

    def fill_ledger(self, connection: DuckDBPyConnection) -> None:
        """Put into the temporary table ``asked_ledger`` what is known of all rows there are."""
        connection.execute(f"CREATE OR REPLACE TEMP TABLE asked_ledger {LEDGER_COLUMNS}")
        if self._stored:
            connection.execute(
                f"INSERT INTO asked_ledger FROM {ALIAS}.{SCHEMA}.{LEDGER}"
                " WHERE artifact_id NOT IN (SELECT unnest(?::VARCHAR[]))",
                [list(self._pending)],
            )
        for staged in chain.from_iterable(self._pending.values()):
            enter(connection, "asked_ledger", staged.event)

    def of(self, connection: DuckDBPyConnection, artifact_id: str) -> ArtifactRows | None:
        """Return the rows of an artifact, if there are any."""
        if artifact_id in self._pending:
            staged = self._pending[artifact_id][0]
            return ArtifactRows(connection, staged.event.rows, select_staged(staged))
        rows = stored_rows(connection, ALIAS, artifact_id) if self._stored else None
        if rows is None:
            return None
        return ArtifactRows(connection, rows, select_stored(ALIAS, artifact_id, rows))


def _failing(staged: Staged) -> str:
    """Return SQL that says why the rows of a table cannot be read."""
    event = staged.event
    why = (
        f"{staged.path} is damaged; it has the rows of {event.artifact.key!r} of run"
        f" {event.run_id!r}, and the next merge puts it aside"
    )
    kinds = {name: kind for _, name, kind in kept_columns(event.rows)} | SYSTEM_COLUMNS
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(n)}" for n, kind in kinds.items())
    return f"SELECT {columns} WHERE CAST(error({literal(why)}) AS BOOLEAN)"
