"""Append records to the journal of this process.

A journal is a file that one process appends to, one ``write`` per record; when that returns, the
record is acknowledged. The first record names the format, the store and the process. A journal is
created under a temporary name, locked by its owner and only then renamed, so whoever sees one can
tell by the lock whether its owner lives.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consist.errors import StoreUnwritable, hint
from consist.models.record import FORMAT_VERSION, encode
from consist.store import locks
from consist.store.frames import frame
from consist.store.journals import SUFFIX, CloseRecord, OpenRecord, journal_token

ROTATE_AT = 64 * 2**20
SYNC_INTERVAL = 0.1

_CREATE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
_NOTIFY = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_TICK = timedelta(microseconds=1)


class JournalWriter:
    """The journal of this process, created when the first record comes.

    Parameters
    ----------
    folder : Path
        Journal folder of the store.
    store_id : str
        Identity of the store, written into the first record.
    sync : bool
        Whether an acknowledged record is also forced to the disk, within 100 ms.
    """

    def __init__(self, folder: Path, store_id: str, *, sync: bool) -> None:
        self.folder, self.store_id, self.sync = folder, store_id, sync
        self._last_name = datetime.min.replace(tzinfo=UTC)
        self._begin()

    def _begin(self) -> None:
        self.token: str | None = None
        self.size = 0
        self.appended = 0
        self._descriptor = self._notice = -1
        self._set_aside: list[int] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._synced_at = 0.0
        self._sync_failed: OSError | None = None

    def append(self, payload: bytes) -> tuple[str, int]:
        """Write one record; when this returns, it is acknowledged.

        Returns
        -------
        tuple of str and int
            Token of the journal, which is the random part of its name, and the offset behind the
            record.

        Raises
        ------
        StoreUnwritable
            If the record could not be written whole. Nothing of it remains.
        """
        data = frame(payload)
        with self._lock:
            try:
                self._make_ready()
                self._write(data)
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            self.appended += 1
            self._notify()
            return str(self.token), self.size

    def close(self, active: Iterable[str] = ()) -> None:
        """Say that no more records come, and let go of the file.

        Parameters
        ----------
        active : iterable of str
            Internal ids of runs that were not ended.
        """
        with self._lock:
            self._stop_timer()
            if self._descriptor >= 0:
                # Without this record the journal only looks as if its owner had been killed.
                with suppress(OSError):
                    self._write(frame(encode(CloseRecord(tuple(active)))))
                    if self.sync:
                        os.fdatasync(self._descriptor)
                self._put_aside()
            while self._set_aside:
                locks.close_guarded(self._set_aside.pop())
            if self._notice >= 0:
                os.close(self._notice)
                self._notice = -1

    # ------------------------------------------------------------ fork

    def freeze(self) -> None:
        """Hold the journal still while this process forks."""
        self._lock.acquire()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        self._lock.release()

    def abandon(self) -> None:
        """Forget the parent's journal in a forked child; its descriptors are closed already."""
        if self._notice >= 0:
            os.close(self._notice)
        self._begin()

    # ------------------------------------------------------------ file

    def _make_ready(self) -> None:
        if self._sync_failed is not None:
            error, self._sync_failed = self._sync_failed, None
            self._put_aside()
            raise error
        if self._descriptor >= 0 and not self._is_gone() and self.size < ROTATE_AT:
            return
        self._put_aside()
        self._open()

    def _is_gone(self) -> bool:
        """Whether somebody removed the journal under our hands."""
        return os.fstat(self._descriptor).st_nlink == 0

    def _put_aside(self) -> None:
        """Never write to this file again, but keep its lock: its runs may still be active."""
        if self._descriptor >= 0:
            self._set_aside.append(self._descriptor)
        self._descriptor, self.token = -1, None

    def _open(self) -> None:
        name = self._next_name()
        temporary = self.folder / f".new-{name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = locks.open_guarded(str(temporary), _CREATE)
        try:
            locks.try_flock(self._descriptor)
            self.size = 0
            process = locks.this_process()
            opening = OpenRecord(FORMAT_VERSION, self.store_id, process, datetime.now(UTC))
            self._write(frame(encode(opening)))
            temporary.rename(self.folder / name)
            if self.sync:
                _sync_folder(self.folder)
            self._open_notice()
        except BaseException:
            if self._descriptor >= 0:
                locks.close_guarded(self._descriptor)
                self._descriptor = -1
            temporary.unlink(missing_ok=True)
            raise
        self.token = journal_token(name)

    def _next_name(self) -> str:
        # Journals are read in the order of their names, which must not hang on a clock set back.
        self._last_name = max(datetime.now(UTC), self._last_name + _TICK)
        return f"{self._last_name:%Y%m%dT%H%M%S%f}-{os.getpid()}-{os.urandom(8).hex()}{SUFFIX}"

    def _open_notice(self) -> None:
        if self._notice >= 0:
            os.close(self._notice)
            self._notice = -1
        self._notice = os.open(self.folder / "notice", _NOTIFY | os.O_CLOEXEC, 0o666)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            if self.sync:
                self._sync_soon()
        except OSError:
            self._take_back()
            raise
        except BaseException:
            self._put_aside()  # interrupted: how much was written is unknown
            raise
        self.size += len(data)

    def _take_back(self) -> None:
        """Remove the torn end of a failed write, or never write to this file again."""
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            self._put_aside()

    def _notify(self) -> None:
        # Others learn from this file which journals grew. A lost notice costs a needless miss
        # elsewhere, never a record.
        with suppress(OSError):
            os.write(self._notice, f"{self.token}\n".encode())

    # ------------------------------------------------------------ durability

    def _sync_soon(self) -> None:
        if self._timer is not None:
            return
        waited = time.monotonic() - self._synced_at
        if waited >= SYNC_INTERVAL:
            os.fdatasync(self._descriptor)
            self._synced_at = time.monotonic()
            return
        self._timer = threading.Timer(SYNC_INTERVAL - waited, self._sync_late)
        self._timer.daemon = True
        self._timer.start()

    def _sync_late(self) -> None:
        with self._lock:
            self._timer = None
            if self._descriptor >= 0:
                try:
                    os.fdatasync(self._descriptor)
                except OSError as error:
                    self._sync_failed = error
                self._synced_at = time.monotonic()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(folder: Path, error: OSError) -> StoreUnwritable:
    reason = error.strerror or type(error).__name__
    problem = StoreUnwritable(str(folder), reason)
    return hint(problem, "make room or give write permission; what was recorded before is safe")
