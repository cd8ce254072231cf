"""The store that needs no server: journal, index and one DuckDB file."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.errors import (
    InvalidRecord,
    InvalidRunId,
    SnapshotMissing,
    StoreError,
    StoreLocked,
    StoreUnwritable,
    TrackerClosed,
)
from consist.files.atomic import unwritable
from consist.files.filesystem import is_network
from consist.files.places import RunPlaces
from consist.models.observed import SchemaRecord
from consist.models.record import (
    NULL,
    ArtifactRecord,
    ChangeEvent,
    Event,
    IngestEvent,
    LogEvent,
    PackagesEvent,
    PurgeEvent,
    RowEvent,
    RunDocument,
    RunEvent,
    decode_event,
    encode,
    encode_run_event,
)
from consist.settings import Settings
from consist.store import claims, locks, snapshots
from consist.store.background import BackgroundMerger
from consist.store.belonging import Belonging
from consist.store.captured import LatestSchema
from consist.store.claims import Claim
from consist.store.database import open_database
from consist.store.folder import JournalFolder
from consist.store.global_tables import select_staged
from consist.store.index import Attempt, Index, Location, Overwritten
from consist.store.index_file import default_path
from consist.store.joint import Joint
from consist.store.journal import JournalWriter
from consist.store.lookups import Lookups
from consist.store.maintenance import artifacts_of_content, artifacts_of_scenario, document_of
from consist.store.merge import Merger
from consist.store.recent import Earlier, PassedOver
from consist.store.refill import missing_packages, newer_snapshots
from consist.store.snapshot_writer import SnapshotWriter
from consist.store.snapshots import tell_snapshot
from consist.store.staged_lookup import StagedLookup
from consist.store.staging import StagedFile, Staging
from consist.store.tail import tail_of
from consist.store.tail_rows import ArtifactRows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy import Engine

    from consist.store.leases import Holder, Lease, Leases

logger = logging.getLogger("consist.store")

EXIT_WAIT = 2.0
_OPEN_WAIT = 0.25
_LOOK_INTERVAL = 0.1  # seconds between two looks at what others recorded, where there are hits


class EmbeddedStore:
    """Remembers runs in ``<db_path>.journal`` and ``<db_path>``.

    Parameters
    ----------
    db_path : Path
        The DuckDB file; created by the first merge.
    run_dir : Path
        Run folder of the tracker; its snapshots can refill the database.
    settings : Settings
        Lock waits, durability and cache folder.
    read_only : bool, default False
        Whether questions leave nothing behind, no folder, no lock file and no merge.

    Raises
    ------
    StoreTooNew
        If a newer library wrote the store.
    StoreDamaged
        If what names the store cannot be read.
    """

    has_database = True

    def __init__(
        self, db_path: Path, run_dir: Path, settings: Settings, *, read_only: bool = False
    ) -> None:
        self.db_path, self.run_dir, self.settings = db_path, run_dir, settings
        self.read_only = read_only
        self.places = RunPlaces(run_dir)
        self.folder = JournalFolder(db_path, read_only=read_only)
        self.database = open_database(db_path)
        self.tail = tail_of(self.database, self.folder)
        self._closed = False
        self._furnishers: list[Callable[[DuckDBPyConnection, int], None]] = []
        self._publishers: list[Callable[[DuckDBPyConnection], None]] = []
        self._open_parts(forked=False)
        self.belonging.look(_OPEN_WAIT)
        if str(run_dir) not in self.belonging.state.run_dirs:
            self.folder.remember_run_dir(str(run_dir), self.belonging.state)
        locks.on_fork(
            self, before=EmbeddedStore.freeze, in_parent=EmbeddedStore.thaw, in_child=_abandon
        )
        _open_stores.add(self)

    def _open_parts(self, *, forked: bool) -> None:
        network = is_network(self.db_path.parent)
        durability = self.settings.durability
        sync = durability == "disk" or (durability == "auto" and network)
        self._lock = threading.RLock()
        self.belonging = Belonging(self.folder, self.database)
        store_id = self.belonging.state.store_id
        if not forked:
            self.journal = JournalWriter(self.folder.path, store_id, sync=sync)
            cache_dir = self.settings.cache_dir
            path = default_path(self.folder.path, store_id, cache_dir, network=network)
            self.index = Index(path, store_id)
        self.lookups = Lookups(self.index, self.folder, self.database, self.belonging)
        self.snapshots = SnapshotWriter(self.places, self.folder.path / "snapshots")
        self.staging = Staging(self.folder.rows, sync=sync)
        self.staged = StagedLookup(self.folder)
        self.merger = Merger(self.database, self.folder, self.index, network=network)
        self.merger.publishers = self._publishers
        self.background = BackgroundMerger(self._merge_in_background, forked=forked)
        self._engine: Engine | None = None
        self._engine_without_views: Engine | None = None
        self._leases: Leases | None = None
        self._active: set[str] = set()
        self._look_at = 0.0
        self._finalizer_pid = 0
        self._complaints: set[str] = set()

    # ------------------------------------------------------------ recording

    def append(self, document: RunDocument) -> bytes:
        """Acknowledge what is known of a run; return the document as encoded.

        Raises
        ------
        StoreUnwritable
            If the record could not be written; nothing of it remains.
        InvalidRecord
            If nobody could read it again.
        TrackerClosed
            After :meth:`close`.
        """
        encoded = _encoded(document, document.run.id)
        self._append(RunEvent(document), encode_run_event(encoded), document.run.id)
        if document.run.status == "running":
            self._active.add(document.run.uid)
        else:
            self._active.discard(document.run.uid)
        self.snapshots.announce(document.run)
        return encoded

    def amend(self, event: LogEvent | RowEvent) -> None:
        """Acknowledge a change of an active run."""
        run_id = event.run_id if isinstance(event, LogEvent) else event.run.id
        self._append(event, _encoded(event, run_id), run_id)

    def change(self, events: Iterable[ChangeEvent]) -> None:
        """Acknowledge what is said of runs that were recorded, and let their snapshots tell it.

        Where a snapshot is gone or cannot be written, the record alone holds it.
        """
        for event in events:
            self._append(event, _encoded(event, event.run_id), event.run_id)
            if event.run_dir is not None:
                with self.snapshots.alone(event.run_id):
                    tell_snapshot(event.run_dir, event.run_id, event.uid, event.change)

    def purge(self, event: PurgeEvent) -> None:
        """Remove runs from the record before returning.

        Raises
        ------
        StoreLocked
            If somebody else holds the database for longer than ``lock_wait``; nothing is
            recorded then.
        """
        about = next(iter(event.runs.values()), "a purge")
        payload = _encoded(event, about)
        self._when_merged(lambda: self._append(event, payload, about))

    def remember_packages(self, event: PackagesEvent) -> None:
        """Keep the packages of this environment: in the record, and beside the snapshots."""
        self._append(event, encode(event), event.id)
        with suppress(StoreUnwritable):  # the record has them
            snapshots.write_packages(self.places, event)

    def stage(self) -> AbstractContextManager[StagedFile]:
        """Yield a place for the rows of one table; they are gone if the block raises.

        Raises
        ------
        StoreUnwritable
            If no file can be created beside the journal.
        """
        if self._closed:
            raise TrackerClosed("ingest")
        return self.staging.place()

    def ingest(self, event: IngestEvent, *staged: StagedFile) -> None:
        """Acknowledge staged rows; the next merge stores them, and every question sees them."""
        for part in staged:
            self.staging.keep(part)
        self._append(event, _encoded(event, event.run_id), event.run_id)

    def ingest_now(self, event: IngestEvent, *staged: StagedFile) -> None:
        """Store staged rows in the database before returning.

        Raises
        ------
        StoreLocked
            If somebody else holds the database for longer than ``lock_wait``; nothing is
            recorded then.
        """
        self._when_merged(lambda: self.ingest(event, *staged))

    def _when_merged(self, record: Callable[[], None]) -> None:
        """Write a record that must be in the database when this returns, or not at all."""
        if not self.merger.merge_with(self.settings.lock_wait, record):
            raise self.database.refused or StoreLocked(
                str(self.db_path), "another process", self.settings.lock_wait
            )

    @contextmanager
    def rows_of(self, artifact_id: str) -> Generator[ArtifactRows | None]:
        """Yield the ingested rows of an artifact, ``None`` if there are none.

        Rows that are only staged are read without the database.

        Raises
        ------
        StoreLocked
            If they are in the database, and its file cannot be read in time.
        """
        if self._closed:
            raise TrackerClosed("read ingested rows")
        with self.staged.held(artifact_id) as staged:
            if staged is not None:
                with self.database.aside() as connection:
                    yield ArtifactRows(connection, staged.event.rows, select_staged(staged))
                return
        with self.ask() as connection:
            yield self.tail.rows(connection, artifact_id)

    def _append(self, event: Event, payload: bytes, run_id: str) -> None:
        # What cannot be read again must not be acknowledged. A hit consists of what was read.
        if not (isinstance(event, RunEvent) and event.doc.is_hit):
            _check_readable(payload, run_id)
        with self._lock:
            if self._closed:
                raise TrackerClosed("record a run")
            token, position = self.journal.append(payload)
            self.index.learn(event, token, position)
        self._finish_at_exit()
        self.background.wake()

    def write_snapshot(self, run_id: str, document: bytes, *, latest: bool = True) -> None:
        """Write the readable file of a run, once its record is acknowledged."""
        self.snapshots.write(run_id, document, latest=latest)

    # ------------------------------------------------------------ looking up

    @property
    def incomplete(self) -> str | None:
        """Why look-ups may miss what was recorded, or ``None`` if they cannot."""
        return self.lookups.incomplete

    def candidates(self, signature: str, *, thorough: bool = True) -> list[RunDocument]:
        """Return the runs that may be given back for a signature, newest first."""
        found = self.index.candidates(signature)
        if not thorough or not self._catch_up(known=bool(found)):
            return found
        return self.index.candidates(signature)

    def _catch_up(self, *, known: bool) -> bool:
        """Learn what others recorded: always for a miss; for a hit now and then.

        Another process may have overwritten the outputs of a hit. Hits of many processes at once
        would read each other's records all the time, so they look at intervals.
        """
        now = time.monotonic()
        if known and now < self._look_at:
            return False
        self._look_at = now + _LOOK_INTERVAL
        return self.lookups.catch_up(self.journal.token)

    def schema_of_content(self, content: str) -> SchemaRecord | None:
        """Return the layout that a file of this content was seen to have."""
        return self.index.schema_of_content(content)

    def latest_schema(self, key: str, kind: str) -> LatestSchema | None:
        """Return what schema was captured last under a key, of files or of tables."""
        return self.index.latest_schema(key, kind)

    def layout(self, schema_id: str) -> SchemaRecord | None:
        """Return a captured layout by its id."""
        return self.index.layout(schema_id)

    def overwritten(self, artifact: ArtifactRecord) -> Overwritten | None:
        """Return what was recorded later where an artifact lies, in it or around it."""
        return self.index.overwritten(artifact)

    def recent(self, model: str) -> list[Earlier]:
        """Return the latest executed runs of a model that have ended, newest first."""
        return self.index.recent_of(model)

    def recent_document(self, model: str, uid: str) -> RunDocument | None:
        """Return one of :meth:`recent` without outputs, with its config where that is known.

        What the index took from the database has none; it is read from the snapshot then.
        """
        document = self.index.recent_document(model, uid)
        if document is None or bytes(document.config) != bytes(NULL):
            return document
        folder = document.run.meta.get("_physical_run_dir", self.run_dir)
        try:
            found = snapshots.read_snapshot(str(folder), document.run.id)
        except (SnapshotMissing, InvalidRunId):
            return document
        same = found.run.uid == uid
        return msgspec.structs.replace(document, config=found.config) if same else document

    def passed_over(self, signature: str) -> list[PassedOver]:
        """Return the runs of a signature that can never be given back, and why; the latest few."""
        return self.index.passed_over(signature)

    def located(self, location: Location) -> ArtifactRecord | None:
        """Return the latest recorded version at a location."""
        return self.index.located(location)

    def of_content(self, content_id: str) -> list[ArtifactRecord]:
        """Return the recorded artifacts of a content, newest first; this asks the database.

        Raises
        ------
        StoreLocked
            If the database file cannot be read in time.
        """
        with self.ask() as connection:
            return artifacts_of_content(connection, content_id)

    def attempts(self, requested_id: str) -> dict[int, Attempt]:
        """Return the runs that asked for an id, by number."""
        self.lookups.catch_up(self.journal.token)
        return self.index.attempts(requested_id)

    def claim(self, requested_id: str) -> Claim:
        """Claim the next attempt of an id.

        Raises
        ------
        StoreUnwritable
            If neither the journal folder nor the run folder can be written.
        """
        first = max(self.attempts(requested_id), default=0) + 1
        try:
            return claims.claim(requested_id, first, self.folder.claims, self.run_dir)
        except OSError as error:
            raise unwritable(str(error.filename or self.folder.claims), error) from error

    def try_lease(self, name: str, what: str) -> Lease | Holder | None:
        """Take the sole right to do something, or tell who has it."""
        if self.read_only:
            return None
        if self._leases is None:
            from consist.store.leases import Leases  # most runs wait for nobody

            self._leases = Leases(self.folder.leases)
        found = self._leases.take(name, what)
        self._look_at = 0.0
        return found

    def last_claimed(self, requested_id: str) -> int:
        """Return the highest attempt of an id that was claimed, recorded or not; 0 without any."""
        known = max(self.attempts(requested_id), default=0)
        return claims.last_claimed(requested_id, known, self.folder.claims, self.run_dir)

    def claim_attempt(self, requested_id: str, attempt: int) -> Claim | None:
        """Claim one attempt of an id, or return ``None`` if somebody else has it.

        Raises
        ------
        StoreUnwritable
            If neither the journal folder nor the run folder can be written.
        """
        try:
            return claims.claim_attempt(requested_id, attempt, self.folder.claims, self.run_dir)
        except OSError as error:
            raise unwritable(str(error.filename or self.folder.claims), error) from error

    def recorded(self, claim: Claim, run_dir: str | None = None) -> RunDocument | None:
        """Return what is recorded of a claimed run, ``None`` if that is nothing.

        From its snapshot in ``run_dir`` or in the run folder of this store; else from the
        database, without its config.
        """
        known = self.attempts(claim.requested_id).get(claim.attempt)
        if known is None:
            return None
        found = snapshots.first_snapshot((run_dir, str(self.run_dir)), claim.run_id, known.uid)
        if found is None:
            with self.ask() as connection:
                found = document_of(connection, claim.run_id)
        return found

    def joint(self, requested_id: str) -> Joint:
        """Return what the blocks share that joined a scenario."""
        return Joint(self.folder.joined, requested_id)

    def artifacts_of_scenario(self, run_id: str) -> list[ArtifactRecord]:
        """Return the latest artifact of each key that a scenario has made; asks the database.

        Raises
        ------
        StoreLocked
            If the database file cannot be read in time.
        """
        with self.ask() as connection:
            return artifacts_of_scenario(connection, run_id)

    # ------------------------------------------------------------ asking

    @contextmanager
    def ask(self, *, views: bool = False) -> Generator[DuckDBPyConnection]:
        """Yield a DuckDB connection whose tables hold every acknowledged record.

        ``views`` are there for who may name them: bringing them up to date costs time.

        Raises
        ------
        StoreLocked
            If somebody else holds the database file for longer than ``lock_wait``.
        TrackerClosed
            After :meth:`close`.
        """
        if self._closed:
            raise TrackerClosed("answer a question")
        self._fill_in_first()
        with self.database.reading(self.settings.lock_wait) as connection:
            revision = self.tail.refresh(connection, self.database.epoch)
            for furnish in self._furnishers if views else ():
                furnish(connection, revision)
            yield connection

    def scratch(self) -> DuckDBPyConnection:
        """Return a connection that sees those tables while somebody asks, and holds nothing."""
        return self.database.scratch()

    @property
    def instance(self) -> int:
        """Which instance such connections belong to: after a merge that failed, another."""
        return self.database.epoch

    def furnish(self, function: Callable[[DuckDBPyConnection, int], None]) -> None:
        """Call ``function`` with the connection of every question that may name views.

        The number it also gets is another one if anything may have been recorded since the last.
        """
        self._furnishers.append(function)

    def publish(self, function: Callable[[DuckDBPyConnection], None]) -> None:
        """Call ``function`` with the connection of every merge, once the records are stored."""
        self._publishers.append(function)

    def publish_soon(self) -> None:
        """Let the next merge, at the latest that of :meth:`close`, publish in any case."""
        self.merger.publishes = True

    def _fill_in_first(self) -> None:
        """Merge before the question if the database lacks what it once had."""
        self.belonging.look(self.settings.lock_wait)
        if self.belonging.refill and not self.read_only:
            try:
                self.sync()
            except StoreError as error:
                self._complain(error)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy engine over the same tables and the views.

        It holds nothing between connections.
        """
        if self._engine is None:
            from consist.store.engine import make_engine

            self._engine = make_engine(self, views=True)
        return self._engine

    @property
    def engine_without_views(self) -> Engine:
        """The same for questions of our own, which name no view."""
        if self._engine_without_views is None:
            from consist.store.engine import make_engine

            self._engine_without_views = make_engine(self, views=False)
        return self._engine_without_views

    # ------------------------------------------------------------ merging

    def sync(self, wait: float = EXIT_WAIT) -> bool:
        """Bring the database file up to date; return whether it could be had in time."""
        return self.merger.merge(wait)

    def rebuild(self, run_dirs: Iterable[Path]) -> int:
        """Take in the runs of snapshots that the store does not know, or not as they ended.

        Returns
        -------
        int
            How many they were.
        """
        self.sync()
        folders = [str(folder) for folder in run_dirs]
        count = 0
        with self.ask() as connection:
            for event in newer_snapshots(connection, folders):
                self._append(event, encode(event), event.doc.run.id)
                count += 1
            for packages in missing_packages(connection, folders):
                self._append(packages, encode(packages), packages.id)
        self.sync()
        return count

    def _merge_in_background(self) -> bool:
        try:
            return self.sync(0.0)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self._complain(error)
            return True

    def _complain(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text not in self._complaints:
            self._complaints.add(text)
            logger.warning("merging into %s failed; runs are safe. %s", self.db_path, text)

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Merge what can be merged in two seconds, and let go of every file."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.background.stop()
        pending = self.journal.appended > 0 or (self.belonging.refill and not self.read_only)
        pending |= self.merger.publishes and self.database.exists and not self.read_only
        self.journal.close(self._active)
        if pending:
            try:
                self.merger.merge(EXIT_WAIT)
            except Exception as error:  # noqa: BLE001 - closing must not fail; runs are recorded
                self._complain(error)
        if not self.read_only:
            self.index.persist()
        self.index.close()
        _open_stores.discard(self)

    def _finish_at_exit(self) -> None:
        """In a child of ``multiprocessing``, exit handlers do not run, but finalizers do."""
        if self._finalizer_pid == os.getpid():
            return
        self._finalizer_pid = os.getpid()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, _close_referenced, (weakref.ref(self),), exitpriority=10)

    # ------------------------------------------------------------ fork

    def freeze(self) -> None:
        """Hold everything still while this process forks."""
        self._lock.acquire()
        for part in (self.lookups, self.index, self.journal):
            part.freeze()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        for part in (self.journal, self.index, self.lookups):
            part.thaw()
        self._lock.release()

    def abandon(self) -> None:
        """Begin anew in a forked child: nothing of the parent's may be closed or written."""
        self.journal.abandon()
        self.index.abandon()
        with suppress(StoreError):
            self._open_parts(forked=True)


def _check_readable(payload: bytes, run_id: str) -> None:
    try:
        decode_event(payload)
    except msgspec.ValidationError as error:
        raise InvalidRecord(run_id, str(error)) from error


def _encoded(record: object, run_id: str) -> bytes:
    try:
        return encode(record)
    except UnicodeEncodeError as error:
        reason = f"{error.object[error.start : error.end]!r} is no character"
        raise InvalidRecord(run_id, reason) from error


_open_stores: weakref.WeakSet[EmbeddedStore] = weakref.WeakSet()


def _abandon(store: EmbeddedStore) -> None:
    store.abandon()


def _close_referenced(reference: weakref.ref[EmbeddedStore]) -> None:
    store = reference()
    if store is not None:
        store.close()


@atexit.register
def _close_all() -> None:
    for store in list(_open_stores):
        store.close()
