"""Attaching and detaching the DuckDB file.

Opening a DuckDB file costs ten milliseconds, attaching it to a kept in-memory instance less than
one. So each database file has one in-memory instance per process, shared by all trackers on it;
a question attaches the file read-only for its own duration, a merge attaches it for writing.

The file is opened in no other way while it is attached: closing any other descriptor of it would
drop DuckDB's own lock. Every attachment is also covered by an advisory lock beside the file, which
tells our own processes apart from foreign ones that hold it.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from consist.errors import StoreDamaged, StoreError, StoreLocked, StoreUnwritable, hint
from consist.files.atomic import beside, discard, publish, unwritable
from consist.store import locks
from consist.store.locks import FileLock

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("consist.store")

ALIAS = "consist_db"
PATIENCE = 2.0
"""Seconds of waiting for the file after which it is said who holds it."""
STORAGE_VERSION = "v1.5.0"
"""Written so that clients from DuckDB 1.5 on can open the file."""
BLOCK_SIZE = 65_536
"""A quarter of the default: an empty store takes 0.7 MB instead of 2.9, small merges write less."""
STORAGE = f"STORAGE_VERSION '{STORAGE_VERSION}', BLOCK_SIZE {BLOCK_SIZE}"

WRITER_MEMORY = "128MB"
"""What a merge takes at most, unless single rows need more; rows of any number pass through it."""

_THIS_PROCESS = "another connection of this process"

_instances: weakref.WeakValueDictionary[str, Database] = weakref.WeakValueDictionary()
_instances_lock = threading.Lock()
_numbers = itertools.count()


def open_database(path: Path) -> Database:
    """Return the one :class:`Database` of this process for a file."""
    key = os.path.realpath(path)
    with _instances_lock:
        found = _instances.get(key)
        if found is None:
            found = _instances[key] = Database(Path(key))
        return found


class Database:
    """One DuckDB file, as seen by this process.

    Readers share an attachment; a writer needs the file alone, also within the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch = 0
        """Grows whenever the in-memory instance is a new one and has to be furnished again."""
        self._life = 0
        self.refused: StoreLocked | None = None
        """Why the file could not be had for writing, the last time it could not."""
        self._begin()
        locks.on_fork(self, before=Database.freeze, in_parent=Database.thaw, in_child=_abandon)

    def _begin(self) -> None:
        self._connection: DuckDBPyConnection | None = None
        self._aside: DuckDBPyConnection | None = None
        self._changed = threading.Condition()
        self._readers = 0
        self._busy = False
        self._lock = FileLock(f"{self.path}.lock")

    @property
    def exists(self) -> bool:
        """Whether the file is there; an empty one counts as absent."""
        try:
            return self.path.stat().st_size > 0
        except OSError:
            return False

    # ------------------------------------------------------------ reading

    @contextmanager
    def reading(self, wait: float) -> Generator[DuckDBPyConnection]:
        """Attach the file read-only and yield a cursor of the in-memory instance.

        Where there is no file, nothing is attached.

        Raises
        ------
        StoreLocked
            If somebody else holds the file for longer than ``wait`` seconds.
        """
        self._enter_reading(wait)
        life, cursor = self._life, None
        try:
            cursor = self.scratch()
            yield cursor
        finally:
            if life == self._life:
                _close(cursor)
                self._leave_reading()
            else:
                locks.abandon(cursor)  # forked in the middle: it is the parent's

    def _enter_reading(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        with self._changed:
            if not self._changed.wait_for(lambda: not self._busy, wait):
                raise _locked(self.path, _THIS_PROCESS, wait)
            if self._readers:
                self._readers += 1
                return
            self._busy = True
        readers = 0
        try:
            self._attach_for_reading(deadline, wait)
            readers = 1
        finally:
            self._rest(readers)

    def _attach_for_reading(self, deadline: float, wait: float) -> None:
        if not self._acquire(deadline, shared=True):
            raise _locked(self.path, self._lock.holder(), wait)
        try:
            if self.exists:
                self._attach(" (READ_ONLY)", deadline, wait)
        except BaseException:
            self._lock.release()
            raise

    def _leave_reading(self) -> None:
        with self._changed:
            self._readers -= 1
            if self._readers:
                return
            self._busy = True
        try:
            self._detach()
            self._lock.release()
        finally:
            self._rest(0)

    # ------------------------------------------------------------ writing

    @property
    def is_being_merged(self) -> bool:
        """Whether a process of ours writes to the file just now."""
        probe = FileLock(self._lock.path)
        free = probe.acquire(shared=True)
        probe.release()
        return not free

    @contextmanager
    def alone(self, wait: float) -> Generator[bool]:
        """Keep every other thread and process of ours away; yield whether that was possible."""
        if not self._enter_alone(wait):
            self.refused = _locked(self.path, self._lock.holder(), wait)
            yield False
            return
        life = self._life
        try:
            yield True
        finally:
            if life == self._life:
                self._lock.release()
                self._rest(0)

    def _enter_alone(self, wait: float) -> bool:
        deadline = time.monotonic() + wait
        with self._changed:
            if not self._changed.wait_for(lambda: not self._busy and not self._readers, wait):
                return False
            self._busy = True
        taken = False
        try:
            taken = self._acquire(deadline)
        finally:
            if not taken:
                self._rest(0)
        return taken

    def _acquire(self, deadline: float, *, shared: bool = False) -> bool:
        """Take the lock beside the file; say who has it when that takes long."""
        left = _left(deadline)
        if self._lock.acquire(shared=shared, wait=min(left, PATIENCE)):
            return True
        if left <= PATIENCE:
            return False
        self._say_that_it_waits(self._lock.holder(), _left(deadline))
        return self._lock.acquire(shared=shared, wait=_left(deadline))

    def _say_that_it_waits(self, holder: str, left: float) -> None:
        logger.warning(
            "[Consist] waiting for %s, which is held by %s; giving up in %.0f s",
            self.path,
            holder,
            left,
        )

    @contextmanager
    def writing(self, wait: float) -> Generator[DuckDBPyConnection | None]:
        """Within :meth:`alone`, attach the file for writing; detaching writes the checkpoint.

        Yields
        ------
        DuckDBPyConnection or None
            ``None`` if somebody else holds the file for longer than ``wait`` seconds.
        """
        if not self.exists:
            self._create()
        try:
            self._attach("", time.monotonic() + wait, wait)
        except StoreLocked as error:
            self.refused = error
            yield None
            return
        life, cursor = self._life, None
        try:
            with self._written():
                cursor = self.scratch()
                # A merge leaves the machine to the runs; and DuckDB pays nearly twice for inserting
                # with two threads.
                cursor.execute(f"SET memory_limit = '{WRITER_MEMORY}'; SET threads = 1")
                yield cursor
        finally:
            if life == self._life:
                _close(cursor)
                self._detach()
                self._run("RESET memory_limit; RESET threads")
            else:
                locks.abandon(cursor)

    def _create(self) -> None:
        """Create an empty database; however that fails, nobody ever sees half of one."""
        temporary = beside(str(self.path), ".duckdb")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)  # DuckDB takes an empty file for a broken one
            self._run(f"ATTACH {_literal(temporary)} AS consist_new ({STORAGE})")
            self._run("DETACH consist_new")
            publish(temporary, str(self.path), exclusive=True)
        except FileExistsError:
            discard(temporary)
        except OSError as error:
            raise unwritable(str(self.path), error) from error
        except StoreError:
            discard(temporary)
            raise

    # ------------------------------------------------------------ attaching

    def _run(self, statement: str) -> None:
        with self._written():
            self._memory().execute(statement)

    @contextmanager
    def _written(self) -> Generator[None]:
        """Turn a write that fails into an error of ours, and begin with a new instance after it."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            with self._changed:  # whoever wants a cursor meanwhile gets one of the new instance
                failed, self._connection = self._connection, None
            if failed is not None:
                failed.close()  # and with it every cursor of it, so that the file is let go
            raise _unusable(self.path, str(error)) from error

    def _rest(self, readers: int) -> None:
        with self._changed:
            self._busy, self._readers = False, readers
            self._changed.notify_all()

    def _attach(self, options: str, deadline: float, wait: float) -> None:
        statement = f"ATTACH {_literal(str(self.path))} AS {ALIAS}{options}"
        pause, patient_until = 0.005, time.monotonic() + PATIENCE
        while True:
            holder = self._try_attach(statement)
            if holder is None:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise _locked(self.path, holder, wait)
            if time.monotonic() > patient_until:
                patient_until = math.inf
                self._say_that_it_waits(holder, left)
            time.sleep(min(pause, left))
            pause = min(pause * 2, 0.1)

    def _try_attach(self, statement: str) -> str | None:
        """Attach the file, or say who holds it."""
        import duckdb

        try:
            self._memory().execute(statement)
        except duckdb.Error as error:
            text = str(error)
            if "Unique file handle conflict" in text:
                return _THIS_PROCESS
            if "Could not set lock" in text:
                return _holder(text)
            raise _unusable(self.path, text) from error
        return None

    def _detach(self) -> None:
        # If the checkpoint fails (disk full), the write-ahead log keeps what was committed.
        try:
            self._run(f"DETACH DATABASE IF EXISTS {ALIAS}")
        except StoreError:
            self._lock.release()
            raise

    def _memory(self) -> DuckDBPyConnection:
        # Whoever comes second while an instance begins must get the same one, or a merge would
        # attach the file to one instance and write to another.
        with self._changed:
            if self._connection is None:
                self._connection = _instance()
                self.epoch += 1
            return self._connection

    def scratch(self) -> DuckDBPyConnection:
        """Return a cursor of the in-memory instance; a merge that fails closes it."""
        with self._changed:
            return self._memory().cursor()

    def aside(self) -> DuckDBPyConnection:
        """Return a cursor that no merge concerns, for what is not in the database.

        A merge limits memory and threads of the instance that the file is attached to.
        """
        with self._changed:
            if self._aside is None:
                self._aside = _instance()
            return self._aside.cursor()

    # ------------------------------------------------------------ fork

    def freeze(self) -> None:
        """Hold still while this process forks."""
        self._changed.acquire()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        self._changed.release()

    def abandon(self) -> None:
        """Begin anew in a forked child: the parent's threads and locks are not there."""
        locks.abandon(self._connection)
        locks.abandon(self._aside)
        self._life += 1
        self._begin()


def _abandon(database: Database) -> None:
    global _instances_lock  # noqa: PLW0603 - a thread of the parent may have held it
    _instances_lock = threading.Lock()
    database.abandon()


def _instance() -> DuckDBPyConnection:
    """Return a new in-memory instance, which spills into a folder of its own."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # An unknown table is an error, and not whatever variable of some library has its name.
    connection.execute("SET GLOBAL python_enable_replacements = false")
    spill = f"consist-{os.getpid()}-{next(_numbers)}.spill"
    folder = os.path.join(tempfile.gettempdir(), spill)  # noqa: PTH118
    connection.execute(f"SET temp_directory = {_literal(folder)}")
    return connection


def _close(cursor: DuckDBPyConnection | None) -> None:
    if cursor is not None:
        cursor.close()


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _holder(message: str) -> str:
    found = re.search(r"held in (.+?)(?:\. See|$)", message, re.DOTALL)
    return found.group(1).strip() if found else "another process"


def _locked(path: Path, holder: str, waited: float) -> StoreLocked:
    return hint(
        StoreLocked(str(path), holder, waited),
        "close the other connection, or raise CONSIST_LOCK_WAIT; runs are recorded meanwhile",
    )


_DAMAGE = re.compile(
    r"not a valid DuckDB|corrupt|could not read enough bytes|version number|deseriali",
    re.IGNORECASE,
)


def _unusable(path: Path, text: str) -> StoreDamaged | StoreUnwritable:
    reason = text.splitlines()[0]
    if not _DAMAGE.search(text):
        return StoreUnwritable(str(path), reason)
    remedy = "move the file away; the next open fills a new one from the snapshots"
    return hint(StoreDamaged(str(path), reason), remedy)
