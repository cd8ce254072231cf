"""What the database does not know yet, joined to every question.

The in-memory instance holds one view per table, under the table's own name: the rows of the
attached database, united with the rows of journals that no merge has reached. Merging is therefore
never needed to answer.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from consist.models.changes import own_status
from consist.models.record import (
    EVENTS,
    ArtifactRecord,
    Change,
    Event,
    ProcessRecord,
    RunRecord,
)
from consist.store import locks
from consist.store.database import ALIAS, Database
from consist.store.folder import JournalFolder
from consist.store.journals import Journal, list_journals, owner_of, read_entries
from consist.store.known import (
    Keys,
    KnownRun,
    StoredKeys,
    artifact_meta,
    artifact_records,
    run_records,
)
from consist.store.migrations import CHANGES_SINCE, check_version, store_values
from consist.store.orphans import Orphans
from consist.store.storing import BY_RUN, Batch, prepare, without_purged
from consist.store.tail_rows import HAS_ROWS, ArtifactRows, TailRows
from consist.store.tail_tables import TailTables

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH = 5_000

_tails: weakref.WeakKeyDictionary[Database, Tail] = weakref.WeakKeyDictionary()


def tail_of(database: Database, folder: JournalFolder) -> Tail:
    """Return the one tail of this process for a database, whose tables it lives in."""
    return _tails.setdefault(database, Tail(str(database.path), folder))


class Tail:
    """The views over database and unmerged records, brought up to date by each question."""

    def __init__(self, path: str, folder: JournalFolder) -> None:
        self.path, self.folder = path, folder
        self._lock = threading.Lock()
        self._epoch: int = -1
        self._stored: dict[str, str] | None = None
        self._store_id: str | None = None
        self._positions: dict[str, int] = {}
        self._owners: dict[str, ProcessRecord | None] = {}
        self._ended: set[str] = set()
        self._revision = 0
        self._tables = TailTables()
        self._rows = TailRows(folder.rows)
        self._known = _TailKeys()
        locks.on_fork(self, before=Tail.freeze, in_parent=Tail.thaw, in_child=Tail.abandon)

    def refresh(self, connection: DuckDBPyConnection, epoch: int) -> int:
        """Make the views of the attached instance complete; return the revision of what they say.

        Parameters
        ----------
        connection : DuckDBPyConnection
            A cursor of the in-memory instance, with the database attached if it exists.
        epoch : int
            Which in-memory instance this is.

        Returns
        -------
        int
            Another number than the last time if anything may be different from then.
        """
        with self._lock:
            stored = store_values(connection, ALIAS)
            check_version(int(stored.get("schema_version", 0)), self.path)
            connection.begin()
            try:
                self._renew(connection, epoch, stored)
                self._read_on(connection)
                self._end_orphans(connection)
                self._tables.settle(connection)
                self._rows.create_views(connection)
                connection.commit()
            except BaseException:
                self._epoch = -1
                connection.rollback()
                raise
            return self._revision

    def fill_ledger(self, connection: DuckDBPyConnection) -> None:
        """Put what is known of all ingested rows into the temporary table ``asked_ledger``."""
        with self._lock:
            self._rows.fill_ledger(connection)

    def rows(self, connection: DuckDBPyConnection, artifact_id: str) -> ArtifactRows | None:
        """Return the ingested rows of an artifact; after :meth:`refresh`, while attached."""
        with self._lock:
            return self._rows.of(connection, artifact_id)

    # ------------------------------------------------------------ views

    def _renew(self, connection: DuckDBPyConnection, epoch: int, stored: dict[str, str]) -> None:
        """Begin anew where the instance or what the database knows is not what it was."""
        new = epoch != self._epoch
        if new:
            self._tables.create(connection)
            self._epoch, self._stored = epoch, None
        # A store that was removed and begun anew in the life of this process is another one.
        state = self.folder.state()
        store_id = None if state is None else state.store_id
        if stored == self._stored and store_id == self._store_id:
            return
        self._store_id = store_id
        before = (self._stored or {}).get("schema_version")
        if self._stored is None or before != stored.get("schema_version"):
            self._tables.create_views(connection)
        self._tables.clear(connection)
        self._rows.renew(stored=HAS_ROWS in stored, new_instance=new)
        self._ended.clear()
        self._positions = stored_positions(connection) if stored else {}
        has_changes = int(stored.get("schema_version", 0)) >= CHANGES_SINCE
        keys = StoredKeys(connection, ALIAS, has_changes=has_changes) if stored else None
        self._known = _TailKeys(keys)
        self._stored = stored
        self._revision += 1

    # ------------------------------------------------------------ rows

    def _read_on(self, connection: DuckDBPyConnection) -> None:
        known = self._known.use(connection)
        batch: list[Event] = []
        for event in self._new_events():
            batch.append(event)
            if len(batch) >= _BATCH:
                self._store(connection, prepare(without_purged(batch, known.purged), known))
                batch = []
        if batch:
            self._store(connection, prepare(without_purged(batch, known.purged), known))

    def _new_events(self) -> Iterator[Event]:
        for journal in list_journals(self.folder.path):
            position = self._positions.get(journal.token, 0)
            if journal.size <= position:
                continue
            for entry in read_entries(journal.path, position):
                self._positions[journal.token] = entry.end
                if isinstance(entry.record, EVENTS):
                    yield entry.record

    def _end_orphans(self, connection: DuckDBPyConnection) -> None:
        """Show the runs of vanished processes as interrupted; the next merge records it."""
        for journal in list_journals(self.folder.path):
            if journal.token not in self._ended and self._is_orphan(journal):
                self._ended.add(journal.token)
                events = list(Orphans(journal.path).interrupted(connection, "main"))
                if events:
                    self._store(connection, prepare(events, self._known))

    def _is_orphan(self, journal: Journal) -> bool:
        if journal.token not in self._owners:
            self._owners[journal.token] = owner_of(journal.path)
        owner = self._owners[journal.token]
        # The same number may be another process in another container of this name.
        gone = owner is not None and locks.has_ended(owner)
        return gone and not locks.is_locked(str(journal.path))

    def _store(self, connection: DuckDBPyConnection, batch: Batch) -> None:
        self._tables.store(connection, batch)
        self._known.take_in(batch)
        self._rows.take_in(batch.settled)
        self._revision += 1

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
        self._connection: DuckDBPyConnection | None = None
        self._keys: set[int] = set()
        self._runs: dict[str, KnownRun] = {}
        self._uids: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        self._links: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
        self._changes: dict[str, list[Change]] = {}

    def use(self, connection: DuckDBPyConnection) -> _TailKeys:
        """Use another cursor of the same instance from now on."""
        self._connection = connection
        if self._stored is not None:
            self._stored = self._stored.on(connection)
        return self

    def artifact_meta(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata of artifacts as they are now, by id."""
        return {} if self._connection is None else artifact_meta(self._connection, "main", ids)

    def changes(self, uids: Iterable[str]) -> dict[str, list[Change]]:
        """Return what was said of runs after they were recorded, by their internal ids."""
        uids = list(uids)
        found = self._stored.changes(uids) if self._stored else {}
        for uid in uids:
            if uid in self._changes:
                found[uid] = [*found.get(uid, ()), *self._changes[uid]]
        return found

    def records(self, uids: Iterable[str]) -> list[RunRecord]:
        """Return the rows of runs as they are now."""
        return [] if self._connection is None else run_records(self._connection, "main", uids)

    def artifacts(self, ids: Iterable[str]) -> list[ArtifactRecord]:
        """Return the rows of artifacts as they are now."""
        return [] if self._connection is None else artifact_records(self._connection, "main", ids)

    def purged(self, uids: Iterable[str]) -> set[str]:
        """Return those of the runs that a merge has purged."""
        return self._stored.purged(uids) if self._stored else set()

    def take_in(self, batch: Batch) -> None:
        """Note what the tail holds from now on."""
        self._keys |= batch.keys
        tables = batch.rows.tables
        for row in tables.get("run", {}).values():
            status = own_status(row["status"], row["meta"])
            run = KnownRun(-1, row["uid"], row["id"], status, row["updated_at"])
            self._runs[run.uid] = run
            self._uids[run.id] = run.uid
            asked = row["requested_id"]
            self._attempts[asked] = max(row["attempt"], self._attempts.get(asked, 0))
        for uid, changes in batch.rows.changes.items():
            self._changes.setdefault(uid, []).extend(changes)
        for table in BY_RUN:
            for key, row in tables.get(table, {}).items():
                self._links.setdefault((table, row["run_id"]), set()).add(key)

    def present(self, keys: Iterable[int]) -> set[int]:
        """Return those of the keys that are known."""
        wanted = set(keys)
        own = wanted & self._keys
        rest = wanted - own
        return own | self._stored.present(rest) if self._stored and rest else own

    def runs(self, uids: Iterable[str], ids: Iterable[str]) -> list[KnownRun]:
        """Return the runs with these internal or recorded ids."""
        uids, ids = set(uids), set(ids)
        wanted = uids | {self._uids[run_id] for run_id in ids if run_id in self._uids}
        own = [self._runs[uid] for uid in wanted if uid in self._runs]
        uids -= self._runs.keys()
        ids -= self._uids.keys()
        if self._stored is None or not (uids or ids):
            return own
        return own + [r for r in self._stored.runs(uids, ids) if r.uid not in self._runs]

    def last_attempt(self, requested_id: str) -> int:
        """Return the highest number of an asked-for id, 0 without any."""
        own = self._attempts.get(requested_id, 0)
        return max(own, self._stored.last_attempt(requested_id) if self._stored else 0)

    def rows_of(self, table: str, columns: tuple[str, ...], run_ids: Iterable[str]) -> Keys:
        """Return the keys of a table's rows that belong to these runs."""
        run_ids = list(run_ids)
        own = frozenset[tuple[Any, ...]]().union(
            *(self._links.get((table, run_id), ()) for run_id in run_ids)
        )
        return own | self._stored.rows_of(table, columns, run_ids) if self._stored else own


def stored_positions(connection: DuckDBPyConnection) -> dict[str, int]:
    """Return how far the attached database has read each journal."""
    rows = connection.execute(f"SELECT token, position FROM {ALIAS}.consist_journal").fetchall()
    return {str(token): int(position) for token, position in rows}
