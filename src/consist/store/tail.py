"""What the database does not know yet, joined to every question.

The in-memory instance holds one view per table, under the table's own name: the rows of the
attached database, united with the rows of journals that no merge has reached. Merging is therefore
never needed to answer. Runs that the database knows in an earlier state are hidden by the number
of their row, which costs a question nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from consist.models.record import Event, LogEvent, RowEvent, RunEvent
from consist.store import locks
from consist.store.database import ALIAS, Database
from consist.store.folder import JournalFolder
from consist.store.journals import list_journals, read_entries
from consist.store.known import Keys, KnownRun, StoredKeys
from consist.store.migrations import check_version, create_tables, store_values
from consist.store.schema import insert_rows, table_columns
from consist.store.storing import Batch, prepare

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH = 5_000
_SCHEMA = "tail"
_HIDDEN = {
    "run": f"rowid NOT IN (SELECT row FROM {_SCHEMA}.hidden)",
    "run_extra": f"run_id NOT IN (SELECT run_id FROM {_SCHEMA}.run_extra)",
}
"""What leaves out stored rows that have a newer one in the tail."""

_LINKS = (
    "CREATE OR REPLACE VIEW main.consist_schema_links AS SELECT r.schema_id,"
    " s.summary_json->>'table_name' AS from_table, r.from_field, r.to_table, r.to_field,"
    " r.relationship_type, r.cardinality FROM main.artifact_schema_relation r"
    " LEFT JOIN main.artifact_schema s ON s.id = r.schema_id"
)

_tails: weakref.WeakKeyDictionary[Database, Tail] = weakref.WeakKeyDictionary()


def tail_of(database: Database, folder: JournalFolder) -> Tail:
    """Return the one tail of this process for a database, whose tables it lives in."""
    return _tails.setdefault(database, Tail(str(database.path), folder))


class Tail:
    """The views over database and unmerged records, brought up to date by each question."""

    def __init__(self, path: str, folder: JournalFolder) -> None:
        self.path, self.folder = path, folder
        self._lock = threading.Lock()
        self._epoch = -1
        self._stored: dict[str, str] | None = None
        self._positions: dict[str, int] = {}
        self._columns: dict[str, dict[str, str]] = {}
        self._known = _TailKeys()
        locks.on_fork(self, before=Tail.freeze, in_parent=Tail.thaw, in_child=Tail.abandon)

    def refresh(self, connection: DuckDBPyConnection, epoch: int) -> None:
        """Make the views of the attached instance complete.

        Parameters
        ----------
        connection : DuckDBPyConnection
            A cursor of the in-memory instance, with the database attached if it exists.
        epoch : int
            Which in-memory instance this is.
        """
        with self._lock:
            stored = store_values(connection, ALIAS)
            check_version(int(stored.get("schema_version", 0)), self.path)
            connection.begin()
            try:
                self._renew(connection, epoch, stored)
                self._read_on(connection)
                connection.commit()
            except BaseException:
                self._epoch = -1
                connection.rollback()
                raise

    # ------------------------------------------------------------ views

    def _renew(self, connection: DuckDBPyConnection, epoch: int, stored: dict[str, str]) -> None:
        """Begin anew where the instance or what the database knows is not what it was."""
        if epoch != self._epoch:
            self._furnish(connection)
            self._epoch, self._stored = epoch, None
        if stored == self._stored:
            return
        before = (self._stored or {}).get("schema_version")
        if self._stored is None or before != stored.get("schema_version"):
            self._create_views(connection)
        self._clear(connection)
        self._positions = stored_positions(connection) if stored else {}
        self._known = _TailKeys(StoredKeys(connection, ALIAS) if stored else None)
        self._stored = stored

    def _furnish(self, connection: DuckDBPyConnection) -> None:
        connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE; CREATE SCHEMA {_SCHEMA}")
        create_tables(connection, _SCHEMA)
        connection.execute(f"CREATE TABLE {_SCHEMA}.hidden (row BIGINT)")
        self._columns = table_columns(connection, "memory", _SCHEMA)

    def _create_views(self, connection: DuckDBPyConnection) -> None:
        stored = table_columns(connection, ALIAS)
        for table, columns in self._columns.items():
            view = _union(table, columns, stored.get(table))
            connection.execute(f"CREATE OR REPLACE VIEW main.{table} AS {view}")
        connection.execute(_LINKS)

    def _clear(self, connection: DuckDBPyConnection) -> None:
        if self._known.own:
            for table in (*self._columns, "hidden"):
                connection.execute(f"DELETE FROM {_SCHEMA}.{table}")

    # ------------------------------------------------------------ rows

    def _read_on(self, connection: DuckDBPyConnection) -> None:
        known = self._known.on(connection)
        batch: list[Event] = []
        for event in self._new_events():
            batch.append(event)
            if len(batch) >= _BATCH:
                self._store(connection, prepare(batch, known))
                batch = []
        if batch:
            self._store(connection, prepare(batch, known))

    def _new_events(self) -> Iterator[Event]:
        for journal in list_journals(self.folder.path):
            position = self._positions.get(journal.token, 0)
            if journal.size <= position:
                continue
            for entry in read_entries(journal.path, position):
                self._positions[journal.token] = entry.end
                if isinstance(entry.record, RunEvent | LogEvent | RowEvent):
                    yield entry.record

    def _store(self, connection: DuckDBPyConnection, batch: Batch) -> None:
        hidden = [run.row for run in batch.replaced if run.row >= 0]
        own = [run.id for run in batch.replaced if run.row < 0]
        if hidden:
            connection.execute(f"INSERT INTO {_SCHEMA}.hidden SELECT unnest(?)", [hidden])
        for table, column, ids in (("run", "id", own), ("run_extra", "run_id", batch.extras)):
            if ids:
                statement = f"DELETE FROM {_SCHEMA}.{table} WHERE {column} IN (SELECT unnest(?))"
                connection.execute(statement, [ids])
        insert_rows(connection, batch.rows, self._columns, _SCHEMA)
        self._known.take_in(batch)

    # ------------------------------------------------------------ fork

    def freeze(self) -> None:
        """Hold still while this process forks."""
        self._lock.acquire()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        self._lock.release()

    def abandon(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._epoch = -1


class _TailKeys:
    """What database and tail hold together."""

    def __init__(self, stored: StoredKeys | None = None) -> None:
        self._stored = stored
        self._runs: dict[str, KnownRun] = {}
        self._uids: dict[str, str] = {}
        self.own: set[int] = set()

    def on(self, connection: DuckDBPyConnection) -> _TailKeys:
        """Use another cursor of the same instance from now on."""
        if self._stored is not None:
            self._stored = StoredKeys(connection, ALIAS)
        self._tables = StoredKeys(connection, _SCHEMA)
        return self

    def take_in(self, batch: Batch) -> None:
        """Note what the tail holds from now on."""
        self.own |= batch.keys
        for row in batch.rows.tables.get("run", {}).values():
            run = KnownRun(-1, row["uid"], row["id"], row["status"], row["updated_at"])
            self._runs[run.uid] = run
            self._uids[run.id] = run.uid

    def present(self, keys: Iterable[int]) -> set[int]:
        """Return those of the keys that are known."""
        wanted = set(keys)
        own = wanted & self.own
        rest = wanted - own
        return own | self._stored.present(rest) if self._stored and rest else own

    def runs(self, uids: Iterable[str], ids: Iterable[str]) -> list[KnownRun]:
        """Return the runs with these internal or recorded ids."""
        uids, ids = list(uids), list(ids)
        wanted = {*uids, *(self._uids[run_id] for run_id in ids if run_id in self._uids)}
        own = [self._runs[uid] for uid in wanted if uid in self._runs]
        if self._stored is None:
            return own
        stored = self._stored.runs(uids, ids)
        return own + [run for run in stored if run.uid not in self._runs]

    def last_attempt(self, requested_id: str) -> int:
        """Return the highest number of an asked-for id, 0 without any."""
        own = self._tables.last_attempt(requested_id)
        return max(own, self._stored.last_attempt(requested_id) if self._stored else 0)

    def rows_of(self, table: str, columns: tuple[str, ...], run_ids: Iterable[str]) -> Keys:
        """Return the keys of a table's rows that belong to these runs."""
        run_ids = list(run_ids)
        own = self._tables.rows_of(table, columns, run_ids)
        return own | self._stored.rows_of(table, columns, run_ids) if self._stored else own


def _union(table: str, columns: Mapping[str, str], stored: Mapping[str, str] | None) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    tail = f"SELECT {names} FROM {_SCHEMA}.{table}"
    if stored is None:
        return tail
    # A database that could not be migrated yet, because it cannot be written, lacks columns.
    found = ", ".join(f'"{n}"' if n in stored else f'NULL AS "{n}"' for n in columns)
    condition = f" WHERE {_HIDDEN[table]}" if table in _HIDDEN else ""
    return f"SELECT {found} FROM {ALIAS}.main.{table}{condition} UNION ALL {tail}"


def stored_positions(connection: DuckDBPyConnection) -> dict[str, int]:
    """Return how far the attached database has read each journal."""
    rows = connection.execute(f"SELECT token, position FROM {ALIAS}.consist_journal").fetchall()
    return {str(token): int(position) for token, position in rows}
