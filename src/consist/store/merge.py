"""From journals into the database.

A merge moves whole batches in one transaction that also stores how far each journal was read, so a
record enters exactly once however often the merge is interrupted. It never makes a run wait: who
cannot get the file leaves a mark and goes on.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.models.record import EVENTS, Event, RunEvent, replace
from consist.store import locks
from consist.store.arriving import ArrivingRows
from consist.store.database import ALIAS, Database
from consist.store.folder import JournalFolder, StoreState
from consist.store.index import Index
from consist.store.journals import Journal, list_journals, read_entries, say_once
from consist.store.known import StoredKeys
from consist.store.migrations import migrate, set_value, store_values
from consist.store.naming import Settled
from consist.store.orphans import Ending, Orphans
from consist.store.purging import keep_away, purge, write_list
from consist.store.refill import missing_packages, newer_snapshots
from consist.store.schema import Columns, create_links, insert_rows, table_columns
from consist.store.storing import Batch, prepare, without_purged
from consist.store.tail import stored_positions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("consist.store")

_BATCH = 5_000
_ROUNDS = 3
_KEEP_ON_NETWORK = 600.0
WORK_MEMORY = "1GB"
"""What upkeep takes at most, unless single rows need more."""


class Merger:
    """Moves the records of one journal folder into its database.

    Parameters
    ----------
    database, folder, index
        The parts of the store.
    network : bool
        Whether other hosts, with look-up indexes of their own, may share the folder.
    """

    def __init__(
        self, database: Database, folder: JournalFolder, index: Index, *, network: bool = False
    ) -> None:
        self.database, self.folder, self.index = database, folder, index
        self.network = network
        self.columns: Columns = {}
        self.publishers: list[Callable[[DuckDBPyConnection], None]] = []
        self.publishes = False

    def merge(self, wait: float) -> bool:
        """Merge what every journal holds, and what others were turned away with meanwhile.

        Parameters
        ----------
        wait : float
            Seconds to wait for the database file.

        Returns
        -------
        bool
            Whether the database now knows everything that was acknowledged before the call.

        Raises
        ------
        StoreUnwritable, StoreDamaged, StoreTooNew
            If the database cannot be written, read or understood.
        """
        if not self._merge_once(wait):
            self.folder.ask_for_merge()
            # The holder may have looked for the mark just before it was there.
            if not self._merge_once(0.0):
                return False
        for _ in range(_ROUNDS):
            if not self.folder.merge_is_wanted() or not self._merge_once(0.0):
                break
        return True

    def merge_with(self, wait: float, record: Callable[[], None]) -> bool:
        """Merge, with a record that is only written once the database is ours.

        Parameters
        ----------
        wait : float
            Seconds to wait for the database file.
        record : callable
            Appends the record to the journal of this process.

        Returns
        -------
        bool
            Whether the database could be had; if not, nothing was recorded.
        """
        return self._merge_once(wait, record)

    def work(self, wait: float, work: Callable[[Session], None]) -> bool:
        """Merge, then do something else while the database is still ours.

        Parameters
        ----------
        wait : float
            Seconds to wait for the database file.
        work : callable
            Gets the session; what it raises comes out here, once the file is let go.

        Returns
        -------
        bool
            Whether the database could be had; if not, nothing was done.
        """
        return self._merge_once(wait, work=work)

    def migrate(self, connection: DuckDBPyConnection) -> None:
        """Bring the attached database to the current schema."""
        if migrate(connection, ALIAS, str(self.database.path)) or not self.columns:
            self.columns = table_columns(connection, ALIAS)

    def _merge_once(
        self,
        wait: float,
        record: Callable[[], None] | None = None,
        work: Callable[[Session], None] | None = None,
    ) -> bool:
        deadline = time.monotonic() + wait
        with self.database.alone(wait) as alone:
            if not alone:
                return False
            left = max(0.0, deadline - time.monotonic())
            with self.database.writing(left) as connection:
                if connection is None:
                    return False
                if record is not None:
                    record()
                session = Session(self, connection)
                session.run()
                if work is not None:
                    work(session)
                session.publish()
            session.end()
        return True


class Session:
    """One merge, while the database is attached for writing.

    Attributes
    ----------
    connection : DuckDBPyConnection
        Has the database attached.
    known : StoredKeys
        What its tables hold.
    afterwards : callable or None
        Called when the file is whole and detached, and everybody else is still kept away.
    """

    def __init__(self, merger: Merger, connection: DuckDBPyConnection) -> None:
        self.merger, self.connection = merger, connection
        self.database, self.folder = merger.database, merger.folder
        self.index = merger.index
        self.state = self.folder.state() or self.folder.set_up(None)
        self.batch: list[Event] = []
        self.read_to: dict[str, int] = {}
        self.ended: dict[str, Ending] = {}
        self.bumped = False
        self.unlimited = False
        self.afterwards: Callable[[], None] | None = None

    def run(self) -> None:
        """Store what the journals hold."""
        self.merger.migrate(self.connection)
        self._belong()
        self.known = StoredKeys(self.connection, ALIAS)
        self.positions = stored_positions(self.connection)
        self.rows = ArrivingRows(self.connection, self.folder)
        self.merged = list_journals(self.folder.merged)
        journals = list_journals(self.folder.path)
        taken = self._take(journals)
        try:
            if self.refilled:
                with self._transaction():
                    keep_away(self.connection, ALIAS, self.folder)
            self._read_all([*(self.merged if self.refilled else ()), *journals], taken)
            if self.refilled:
                self._refill()
            self._end_orphans(journals, taken)
            self._disclaim_rows()
            write_list(self.connection, ALIAS, self.folder)
            self._forget_positions([*journals, *self.merged])
            self._retire(journals, taken)
        finally:
            for descriptor in taken.values():
                locks.close_guarded(descriptor)

    # ------------------------------------------------------------ other work

    @contextmanager
    def changing(self) -> Generator[None]:
        """Change the database in one transaction, by what no journal tells of."""
        with self._transaction():
            yield
        self.needs_asking, self.covered = True, False

    def allow_memory(self) -> None:
        """Let work that somebody waits for have more memory and threads than a merge gets."""
        self.connection.execute("RESET threads")
        self.connection.execute(f"SET memory_limit = '{WORK_MEMORY}'")

    # ------------------------------------------------------------ belonging

    def _belong(self) -> None:
        """Find out whether this is the database that the journals were merged into.

        The store id in the database wins, because others may have copied the file.
        """
        values = store_values(self.connection, ALIAS)
        self.generation = int(values.get("generation", 0))
        state, store_id = self.state, values.get("store_id")
        same = store_id in {None, state.store_id}
        self.refilled = state.generation > 0 and not (same and self.generation >= state.generation)
        # The index can only say that it knows all up to this merge if it did up to the last one.
        self.covered = (
            same
            and self.generation == state.generation
            and self.index.generation >= state.generation
        )
        # Then only the database itself tells all that it holds, and no journal does.
        self.needs_asking = self.refilled or not same
        self.state = replace(state, store_id=store_id or state.store_id)
        if store_id is None:
            set_value(self.connection, ALIAS, "store_id", state.store_id)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Change the database; the first change of a merge also raises the generation."""
        self.connection.begin()
        try:
            yield
            if not self.bumped:
                self.generation = max(self.generation, self.state.generation) + 1
                set_value(self.connection, ALIAS, "generation", str(self.generation))
            self.connection.commit()
        except BaseException:
            self._roll_back()
            raise
        self.bumped = True

    def _roll_back(self) -> None:
        import duckdb

        with suppress(duckdb.Error):  # a commit that failed has done it already
            self.connection.rollback()

    # ------------------------------------------------------------ journals

    def _take(self, journals: list[Journal]) -> dict[str, int]:
        """Lock the journals whose owners are gone; return the descriptors by token."""
        taken: dict[str, int] = {}
        if not locks.locks_work(str(self.folder.path)):
            return taken
        for journal in journals:
            try:
                descriptor = locks.open_guarded(str(journal.path), os.O_RDWR)
            except OSError:
                continue
            if locks.try_flock(descriptor):
                taken[journal.token] = descriptor
            else:
                locks.close_guarded(descriptor)
        return taken

    def _read_all(self, journals: list[Journal], taken: Mapping[str, int]) -> None:
        for journal in journals:
            gone = journal.token in taken or journal.path.parent == self.folder.merged
            for event in self._new_events(journal, gone=gone):
                self._add(event)
        self._store_batch()

    def _new_events(self, journal: Journal, *, gone: bool) -> Iterator[Event]:
        token = journal.token
        reached = self.positions.get(token, 0)
        if not gone and journal.size <= reached:
            return
        known_here = self.index.position(token)
        self.covered &= known_here >= reached
        ending = self.ended.setdefault(token, Ending())
        for entry in read_entries(journal.path, reached, resync=gone):
            if ending.note(entry, reached):
                return
            self.read_to[token] = reached = entry.end
            if isinstance(entry.record, EVENTS):
                if self.covered and entry.end > known_here:
                    self.index.learn(entry.record, token, entry.end)
                yield entry.record

    def _add(self, event: Event) -> None:
        self.batch.append(event)
        if len(self.batch) >= _BATCH:
            self._store_batch()

    def _store_batch(self) -> None:
        """Store events and how far their journals were read, in one transaction."""
        moved = {t: end for t, end in self.read_to.items() if end > self.positions.get(t, 0)}
        if self.batch or moved:
            stored = self._store_all(moved)
            self.positions |= moved
            for event, _, renamed in stored:
                if renamed and isinstance(event, RunEvent):
                    self.index.learn_document(event.doc)
        self.batch, self.read_to = [], {}

    def _store_all(self, moved: Mapping[str, int]) -> list[Settled]:
        import duckdb

        while True:
            try:
                with self._transaction():
                    stored = self._store(self.batch) if self.batch else []
                    self._store_positions(moved)
                    return stored
            except duckdb.Error as error:
                again = self._may_take_more(error)
                # Rows that nobody can read must not keep everything else out for ever.
                if not self.rows.set_aside(error) and not again:
                    raise

    def _may_take_more(self, error: Exception) -> bool:
        """After the memory of a merge did not suffice, allow it what DuckDB takes by default."""
        if self.unlimited or "out of memory" not in str(error).lower():
            return False
        self.connection.execute("RESET memory_limit")
        self.unlimited = True
        return True

    def _store(self, events: list[Event]) -> list[Settled]:
        if purge(self.connection, ALIAS, events):
            self.known.grown("consist_purged")
        batch = prepare(without_purged(events, self.known.purged), self.known)
        self.store(batch)
        return batch.settled

    def store(self, batch: Batch) -> None:
        """Store what was prepared, in the transaction of the caller."""
        self._delete("run", "rowid", [run.row for run in batch.replaced])
        self._delete("run_extra", "run_id", batch.extras)
        self._delete("artifact", "id", batch.updated)
        insert_rows(self.connection, batch.rows, self.merger.columns, ALIAS)
        if batch.rows.tables.get("artifact_schema"):
            create_links(self.connection, ALIAS)
        if batch.keys:
            self.known.remember(batch.keys)
        if batch.rows.changes:
            self.known.grown("run_change")
        self.rows.store(batch.settled)

    def _delete(self, table: str, column: str, values: list[Any]) -> None:
        if values:
            self.connection.execute(
                f"DELETE FROM {ALIAS}.{table} WHERE {column} IN (SELECT unnest(?))", [values]
            )

    def _store_positions(self, moved: Mapping[str, int]) -> None:
        if moved:
            tokens = list(moved)
            self._delete("consist_journal", "token", tokens)
            self.connection.execute(
                f"INSERT INTO {ALIAS}.consist_journal SELECT unnest(?), unnest(?)",
                [tokens, list(moved.values())],
            )

    def _forget_positions(self, journals: list[Journal]) -> None:
        gone = list(self.positions.keys() - {journal.token for journal in journals})
        if self.bumped and gone:
            with self._transaction():
                self._delete("consist_journal", "token", gone)

    # ------------------------------------------------------------ what is missing

    def _refill(self) -> None:
        """Store the snapshots of runs that the database does not know, or not as they ended."""
        count = 0
        for event in newer_snapshots(self.connection, self.state.run_dirs):
            count += 1
            self._add(event)
        for event in missing_packages(self.connection, self.state.run_dirs):
            self._add(event)
        self._store_batch()
        logger.warning(
            "%s is not the database that its journal belongs to (deleted, restored or replaced);"
            " %d runs were filled in from snapshots",
            self.database.path,
            count,
        )

    def _disclaim_rows(self) -> None:
        """Let no artifact claim rows that are gone with a database or a staged file."""
        if not (self.refilled or self.rows.lost):
            return
        with self._transaction():
            count = self.rows.disclaim(refilled=self.refilled)
        if count:
            self.needs_asking, self.covered = True, False
            logger.warning(
                "ingested rows of %d artifacts are no longer in %s; ingest them again",
                count,
                self.database.path,
            )

    def _end_orphans(self, journals: list[Journal], taken: Mapping[str, int]) -> None:
        """Mark the runs of vanished processes and mend the snapshots they left behind."""
        gone = [journal for journal in journals if journal.token in taken]
        for journal in [*(self.merged if self.refilled else ()), *gone]:
            if not self.ended.get(journal.token, Ending()).needs_care:
                continue
            orphans = Orphans(journal.path)
            for event in orphans.interrupted(self.connection, ALIAS):
                self.index.learn_document(event.doc)
                self._add(event)
            orphans.mend_snapshots()
        self._store_batch()

    def _retire(self, journals: list[Journal], taken: Mapping[str, int]) -> None:
        """Move journals that nobody writes out of the way, once they are wholly stored."""
        for journal in journals:
            descriptor = taken.get(journal.token)
            if descriptor is None:
                continue
            ending = self.ended.get(journal.token, Ending())
            position = self.positions.get(journal.token, 0)
            match ending.of(journal.path, position, os.fstat(descriptor).st_size):
                case "stored":
                    name = f"{self.generation:012d}~{journal.path.name}"
                    _move(journal.path, self.folder.merged / name)
                case "damaged":
                    target = self.folder.damaged / journal.path.name
                    _move(journal.path, target)
                    self.needs_asking = True
                    say_once(target, "is damaged and kept; what could be read of it was stored")
                case _:
                    pass

    # ------------------------------------------------------------ afterwards

    def publish(self) -> None:
        """Let others write into the database what follows from it; no merge fails by that."""
        if not (self.bumped or self.merger.publishes):
            return
        self.merger.publishes = False
        for publisher in self.merger.publishers:
            try:
                publisher(self.connection)
            except Exception as error:  # noqa: BLE001 - the records are stored
                logger.warning("views in %s are not up to date: %s", self.database.path, error)

    def end(self) -> None:
        """Do what waits for the file to be whole, and leave everything as the next one needs it."""
        if self.afterwards is not None:
            self.afterwards()
        self.settle()

    def settle(self) -> None:
        """Once the file is detached and checkpointed: index, stamp, and empty ``merged/``."""
        if self.covered:
            self.index.persist(self.generation)
        cleared = self._clear_merged()
        self._clear_rows()
        self._clear_leases()
        stamp = self.folder.stamp()

        def change(state: StoreState | None) -> StoreState:
            state = state or self.state
            return replace(
                state,
                store_id=self.state.store_id,
                generation=self.generation,
                cleared=self.generation if self.needs_asking else max(cleared, state.cleared),
                database=stamp,
            )

        self.folder.change(change)
        self.folder.shorten_notice()

    def _clear_rows(self) -> None:
        newer = any(ending.newer for ending in self.ended.values())
        if not newer and not Path(f"{self.database.path}.wal").exists():
            self.rows.clean_up(self.positions)

    def _clear_leases(self) -> None:
        if self.folder.leases.exists():
            from consist.store.leases import Leases  # most stores never have one

            Leases(self.folder.leases).clear()

    def _clear_merged(self) -> int:
        """Remove journals that an earlier, checkpointed merge stored; return the newest such."""
        if self.refilled or Path(f"{self.database.path}.wal").exists():
            return 0
        before = time.time() - (_KEEP_ON_NETWORK if self.merger.network else 0.0)
        removed = [j for j in self.merged if j.path.stat().st_ctime <= before]
        for journal in removed:
            journal.path.unlink(missing_ok=True)
        if removed:
            self.index.persist(gone=[journal.token for journal in removed])
        return max((int(j.path.name.partition("~")[0]) for j in removed), default=0)


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
