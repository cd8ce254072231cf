"""Locks, process identity and whatever else differs between operating systems.

Advisory whole-file locks (``flock``) belong to the open file description, so a descriptor that a
forked child inherits keeps the lock of its parent alive: every locked descriptor is guarded here,
and a child closes all of them right after the fork.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from consist.models.record import ProcessRecord

if sys.platform == "win32":  # pragma: no cover
    raise ImportError("Consist's store needs POSIX file locks")

import fcntl

_T = TypeVar("_T")

# ---------------------------------------------------------------- descriptors

_guarded: set[int] = set()
_guarding = threading.Lock()


def open_guarded(path: str, flags: int) -> int:
    """Open a file whose descriptor no forked child shall keep."""
    # A fork between the opening and the entry into the set would let the child keep the lock.
    with _guarding:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        _guarded.add(descriptor)
        return descriptor


def close_guarded(descriptor: int) -> None:
    """Close a guarded descriptor, which lets go of its lock."""
    with _guarding:
        if descriptor in _guarded:
            _guarded.discard(descriptor)
            os.close(descriptor)


def try_flock(descriptor: int, mode: int = fcntl.LOCK_EX) -> bool:
    """Take a lock on an open descriptor if nobody else holds it.

    Where the file system knows no locks, it counts as taken; see :func:`locks_work`.
    """
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_locked(path: str) -> bool:
    """Whether somebody holds the lock of a file, asked without writing anything."""
    try:
        descriptor = open_guarded(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_flock(descriptor, fcntl.LOCK_SH)
    finally:
        close_guarded(descriptor)


def is_shared(path: str) -> bool:
    """Whether the lock of a file is held by some who share it."""
    try:
        descriptor = open_guarded(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return try_flock(descriptor, fcntl.LOCK_SH) and not try_flock(descriptor)
    finally:
        close_guarded(descriptor)


@cache
def locks_work(folder: str) -> bool:
    """Whether advisory locks exclude anybody in ``folder``, tried on a file of its own."""
    path = os.path.join(folder, f".probe-{os.getpid()}-{time.monotonic_ns():x}")  # noqa: PTH118
    descriptors: list[int] = []
    try:
        descriptors += [open_guarded(path, os.O_RDWR | os.O_CREAT) for _ in range(2)]
        return try_flock(descriptors[0]) and not try_flock(descriptors[1])
    except OSError:
        return False
    finally:
        for descriptor in descriptors:
            close_guarded(descriptor)
        Path(path).unlink(missing_ok=True)


class FileLock:
    """An advisory lock on a file, created when needed.

    Parameters
    ----------
    path : str
        The lock file. It is never removed: removing a lock file while somebody waits for it
        would let two processes hold "the" lock.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, wait: float = 0.0) -> bool:
        """Try for ``wait`` seconds to take the lock; return whether it was taken.

        Where the file neither exists nor can be created (a read-only folder), nobody writes, and
        the lock counts as taken.
        """
        descriptor = _open_lock_file(self.path, create=not shared)
        if descriptor is None:
            return True
        if _flock_within(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait):
            self._descriptor = descriptor
            return True
        close_guarded(descriptor)
        return False

    def release(self) -> None:
        """Let go of the lock, if held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            close_guarded(descriptor)

    def holder(self) -> str:
        """Name a process that holds the lock, as far as the system tells."""
        try:
            inode = os.stat(self.path).st_ino  # noqa: PTH116 - paths are text here
            table = Path("/proc/locks").read_text()
        except OSError:
            return "another process"
        found = re.search(rf"FLOCK\s+\S+\s+\S+\s+(\d+)\s+\S+:{inode}\s", table)
        return f"process {found.group(1)}" if found else "another process"


def _open_lock_file(path: str, *, create: bool) -> int | None:
    # Who only reads leaves nothing behind: where nobody made the file yet, nobody merges.
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY) if create else (os.O_RDONLY,):
        try:
            return open_guarded(path, flags)
        except OSError:
            continue
    return None


def _flock_within(descriptor: int, mode: int, wait: float) -> bool:
    deadline = time.monotonic() + wait
    pause = 0.001
    while not try_flock(descriptor, mode):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.05)
    return True


def create_exclusively(path: str) -> bool:
    """Create an empty file that must not exist yet; return whether this call created it."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        return False
    return True


# ---------------------------------------------------------------- processes


def _process_start(pid: int) -> float:
    """Seconds since boot at which a process of this host started; 0.0 where unknown.

    One that has died and that its parent has not noticed yet is not known either.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] in {"Z", "X"}:
            return 0.0
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


_LOADED = time.time()


@cache
def _identity(pid: int) -> ProcessRecord:
    return ProcessRecord(os.uname().nodename, pid, _process_start(pid))


def this_process() -> ProcessRecord:
    """Return host, pid and start time of the calling process."""
    return _identity(os.getpid())


def process_born() -> float:
    """Return when the calling process started, in seconds since the epoch.

    Where the system does not tell, when this library was loaded.
    """
    started = this_process().started
    if not started or not hasattr(time, "CLOCK_BOOTTIME"):
        return _LOADED
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - started)


@cache
def user_name() -> str:
    """Return the name of the user that this process belongs to; its number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def this_user() -> str:
    """Return who acts, as ``user@host``."""
    return f"{user_name()}@{os.uname().nodename}"


def has_ended(process: ProcessRecord) -> bool:
    """Whether a process of this host is known to be gone; never true for another host's."""
    if process.host != os.uname().nodename:
        return False
    if Path("/proc/self/stat").exists():
        return _process_start(process.pid) != process.started
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


# ---------------------------------------------------------------- fork

Hook = Callable[[], None]

_before: weakref.WeakKeyDictionary[Any, Hook] = weakref.WeakKeyDictionary()
_in_parent: weakref.WeakKeyDictionary[Any, Hook] = weakref.WeakKeyDictionary()
_in_child: weakref.WeakKeyDictionary[Any, Hook] = weakref.WeakKeyDictionary()


def on_fork(
    owner: _T,
    *,
    before: Callable[[_T], None],
    in_parent: Callable[[_T], None],
    in_child: Callable[[_T], None],
) -> None:
    """Call three functions around every fork for as long as ``owner`` lives.

    The functions get the owner, so that nothing here keeps it alive. What was registered last is
    asked first: a store is built on its database, and whoever needs both locks takes the store's
    first.
    """
    reference = weakref.ref(owner)

    def call(function: Callable[[_T], None]) -> Hook:
        def run() -> None:
            target = reference()
            if target is not None:
                function(target)

        return run

    _before[owner] = call(before)
    _in_parent[owner] = call(in_parent)
    _in_child[owner] = call(in_child)


def abandon(thing: object) -> None:
    """Make sure that what a forked child inherited is never closed or destroyed in it."""
    if thing is not None:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _hold_still() -> None:
    for hook in reversed(list(_before.values())):
        hook()
    _guarding.acquire()


def _go_on() -> None:
    _guarding.release()
    for hook in list(_in_parent.values()):
        hook()


def _begin_anew() -> None:
    for descriptor in _guarded:
        os.close(descriptor)
    _guarded.clear()
    _guarding.release()
    for hook in list(_in_child.values()):
        hook()


os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_begin_anew)
