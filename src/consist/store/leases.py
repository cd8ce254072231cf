"""Who is doing what others would only repeat: files that live as long as their owner does.

A lease is a file beside the journals, created exclusively by whoever does the work and removed
when it is done. While its owner lives, it holds the lock of the file, and a thread of it touches
the file every five seconds. So others can tell a dead owner: on its own host by the lock, at once;
from another host, or where locks do not work, by the time of the file, after thirty seconds.

A lease saves work and guards nothing. Where it fails, the same work is done twice.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from consist.models.record import ProcessRecord, encode
from consist.store import locks
from consist.store.journals import say_once

BEAT = 5.0
"""Seconds between two signs of life."""
STALE = 30.0
"""Seconds after the last one that an owner counts as dead, where nothing else tells."""

_ROUNDS = 20
_LONGEST = 64 * 2**10
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL


class Holder(msgspec.Struct, frozen=True):
    """Content of a lease: who has it, and for what.

    Attributes
    ----------
    process : ProcessRecord or None
        The process that has it; ``None`` where it took it a moment ago and has not said so yet.
    token : str
        Different for every lease that was ever taken.
    what : str
        What it does, for people.
    """

    process: ProcessRecord | None
    token: str
    what: str


_UNSAID = Holder(None, "", "")


class Lease:
    """The right to do something that nobody else does meanwhile."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._process = os.getpid()

    def release(self) -> None:
        """Give it back. A second time, or in a forked child of its holder, does nothing."""
        if self._descriptor < 0 or self._process != os.getpid():
            return
        descriptor, self._descriptor = self._descriptor, -1
        _let_go(self._path, descriptor)


class Leases:
    """The leases of one store.

    Parameters
    ----------
    folder : Path
        Where they lie; created with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clock = _FolderClock(folder)

    def take(self, name: str, what: str) -> Lease | Holder | None:
        """Take a lease, or tell who has it.

        Parameters
        ----------
        name : str
            What it is about; a file name.
        what : str
            The same for people.

        Returns
        -------
        Lease, Holder or None
            ``None`` where no leases can be kept, such as in a folder that cannot be written.
        """
        path = str(self.folder / name)
        try:
            for _ in range(_ROUNDS):
                lease = self._create(path, what)
                found = lease or self._holder(path)
                if found is not None:
                    return found
        except OSError as error:
            say_once(self.folder, f"cannot keep leases: {error.strerror or error}")
            return None
        return None

    def clear(self) -> None:
        """Remove what dead owners left behind and nobody wanted since."""
        old = time.time() - STALE  # only who looks old by this clock is looked at
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.stat().st_mtime < old:
                        self._holder(entry.path)

    # ------------------------------------------------------------ own ones

    def _create(self, path: str, what: str) -> Lease | None:
        """Create the file of a lease, locked before it says whose it is; ``None`` if it is there.

        Nobody touches the lock of a file that says nothing, so no look at it is in the way.
        """
        try:
            descriptor = locks.open_guarded(path, _CREATE)
        except FileExistsError:
            return None
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True)
            return None
        try:
            locks.try_flock(descriptor)
            holder = Holder(locks.this_process(), os.urandom(16).hex(), what)
            os.write(descriptor, encode(holder))
            _heart.keep(descriptor)
            return Lease(path, descriptor)
        except BaseException:
            _let_go(path, descriptor)
            raise

    # ------------------------------------------------------------ others'

    def _holder(self, path: str) -> Holder | None:
        """Return who has a lease, or ``None`` if nobody does; a dead owner's file is removed."""
        try:
            descriptor, lock = _open(path)
        except FileNotFoundError:
            return None
        try:
            holder = _read(descriptor)
            if self._lives(holder, descriptor, lock):
                return holder
            # The lock, where there are locks, is ours now: of all who wait, one gets here.
            _remove(path, descriptor)
            return None
        finally:
            locks.close_guarded(descriptor)

    def _lives(self, holder: Holder, descriptor: int, lock: int) -> bool:
        process = holder.process
        if process is None:
            return self._is_fresh(descriptor) or not locks.try_flock(descriptor, lock)
        if not locks.try_flock(descriptor, lock):
            return True  # whatever the time says: native code can keep its threads still for hours
        if process.host == locks.this_process().host and (
            locks.locks_work(str(self.folder)) or locks.has_ended(process)
        ):
            return False
        return self._is_fresh(descriptor)

    def _is_fresh(self, descriptor: int) -> bool:
        return self._clock.now() - os.fstat(descriptor).st_mtime <= STALE


def _open(path: str) -> tuple[int, int]:
    """Open another's lease; return the descriptor and the lock that it can be asked for."""
    try:
        return locks.open_guarded(path, os.O_RDWR), fcntl.LOCK_EX
    except PermissionError:  # another user's
        return locks.open_guarded(path, os.O_RDONLY), fcntl.LOCK_SH


def _read(descriptor: int) -> Holder:
    try:
        return msgspec.json.decode(os.read(descriptor, _LONGEST), type=Holder)
    except msgspec.DecodeError:
        return _UNSAID


def _let_go(path: str, descriptor: int) -> None:
    """Remove a lease of this process and close it; one that cannot be removed counts as dead."""
    _heart.forget(descriptor)
    try:
        _remove(path, descriptor)
    except OSError as error:
        say_once(Path(path), f"cannot be removed: {error.strerror or error}")
    finally:
        locks.close_guarded(descriptor)


def _remove(path: str, descriptor: int) -> None:
    """Remove a file, if it is still the one that was opened."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):  # noqa: PTH116 - paths are text here
            os.unlink(path)  # noqa: PTH108


class _FolderClock:
    """The clock by which the file system of a folder dates its files; another host may keep it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ahead = 0.0
        self._asked_at = -STALE

    def now(self) -> float:
        here = time.monotonic()
        if here - self._asked_at >= STALE:
            self._ahead, self._asked_at = self._ask() - here, here
        return time.monotonic() + self._ahead

    def _ask(self) -> float:
        probe = self._folder / f".clock-{os.urandom(8).hex()}"
        try:
            probe.touch(exist_ok=False)
            return probe.stat().st_mtime
        except OSError:
            return time.time()
        finally:
            with suppress(OSError):
                probe.unlink()


# ---------------------------------------------------------------- signs of life


class _Heart:
    """A daemon thread that touches the leases of this process; it ends when there are none."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Hold nothing; in a forked child, nothing of what its parent holds."""
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._beats = False

    def keep(self, descriptor: int) -> None:
        """Touch a file from now on."""
        with self._lock:
            self._held.add(descriptor)
            if not self._beats:
                with suppress(RuntimeError):  # no thread can be had: the lock alone has to tell
                    threading.Thread(target=self._run, name="consist-leases", daemon=True).start()
                    self._beats = True

    def forget(self, descriptor: int) -> None:
        """Leave a file alone, before it is closed."""
        with self._lock:
            self._held.discard(descriptor)

    def _run(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._lock:
                if not self._held:
                    self._beats = False
                    return
                for descriptor in self._held:
                    with suppress(OSError):
                        os.utime(descriptor)

    def freeze(self) -> None:
        """Hold still while this process forks."""
        self._lock.acquire()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        self._lock.release()


_heart = _Heart()
locks.on_fork(_heart, before=_Heart.freeze, in_parent=_Heart.thaw, in_child=_Heart.begin)
