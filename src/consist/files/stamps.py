"""What the status of a file tells about its content.

A file is settled when any further change would show in its times. Before that, a change within the
same tick of the file system's clock could go unseen.
"""
# ruff: noqa: PTH116  # paths are text here, see bounds.py

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import time
from collections.abc import Iterable
from operator import itemgetter

from consist.errors import IdentityError
from consist.files.filesystem import is_network_device
from consist.identity import files as identity
from consist.identity.files import Entry

Stamp = tuple[int, int, int, int]
"""mtime_ns, ctime_ns, size, inode: if none of them changed, the bytes did not either."""

_TICK = 0.02  # a local file system stamps changes in steps of at most 10 ms
_COARSE_TICK = 2.5  # FAT stamps in steps of 2 s, and a server's clock is not ours
_BYTES_PER_SECOND = 1e9  # that SHA-256 reads, roughly


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what a digest is kept under, beside the path."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def mark_of(path: str) -> Stamp | str | None:
    """Return what is another one after a file, or anything in a folder, was written.

    ``None`` where there is nothing, or nothing that can be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return stamp_of(status)
        return glance(path) or manifest_of(identity.scan_directory(path))
    except (OSError, IdentityError):
        return None


def manifest_of(entries: Iterable[Entry]) -> str:
    """Return the digest of a folder's stamps: if it did not change, nothing in the folder did."""
    return _manifest(
        [
            (relative, kind)
            if kind == "directory"
            else (relative, of.st_mtime_ns, of.st_ctime_ns, of.st_size, of.st_ino)
            for relative, kind, of in entries
        ]
    )


def glance(path: str) -> str | None:
    """Return what :func:`manifest_of` makes of a scan of the folder, at little over its stats.

    ``None`` where it takes a real scan: in folders with links to other folders or to nowhere,
    and in those that cannot be read.
    """
    stamps: list[tuple[str | int, ...]] = []
    pending = [(path, "")]
    try:
        while pending:
            folder, prefix = pending.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    of = entry.stat()
                    relative = prefix + entry.name
                    if not stat.S_ISDIR(of.st_mode):
                        stamps.append(
                            (relative, of.st_mtime_ns, of.st_ctime_ns, of.st_size, of.st_ino)
                        )
                    elif entry.is_symlink():
                        return None
                    else:
                        stamps.append((relative, "directory"))
                        pending.append((entry.path, f"{relative}/"))
    except OSError:
        return None
    stamps.sort(key=itemgetter(0))
    return _manifest(stamps)


def _manifest(stamps: list[tuple[str | int, ...]]) -> str:
    # Version 2 writes equal values alike; later ones mark what happens to be shared in memory.
    return hashlib.sha256(marshal.dumps(stamps, 2)).hexdigest()


def line_of(entry: Entry) -> str:
    """Return what the digest of a file in a folder is kept under."""
    return "\0".join((entry.relative, *map(str, stamp_of(entry.stat))))


def _unsettled(status: os.stat_result) -> float:
    """Return for how many seconds a change of the file might still leave no trace."""
    changed = status.st_ctime_ns if os.name == "posix" else status.st_mtime_ns
    tick = _TICK
    if changed % 1_000_000_000 == 0 or is_network_device(status.st_dev):
        tick = _COARSE_TICK
    return max(0.0, changed / 1e9 + tick - time.time())


def _worth_waiting(seconds: float, size: int) -> bool:
    return 0 < seconds <= _COARSE_TICK and seconds * _BYTES_PER_SECOND < size


def settle(name: str, status: os.stat_result) -> tuple[os.stat_result, bool]:
    """Return the file's status to read it under, and whether its digest may be kept."""
    wait = _unsettled(status)
    if _worth_waiting(wait, status.st_size):
        time.sleep(wait)
        status = os.stat(name)
        wait = _unsettled(status)
    return status, not wait


def settle_folder(name: str, entries: list[Entry]) -> tuple[list[Entry], bool]:
    """Return the entries to read a folder under, and whether its digest may be kept."""
    wait = _unsettled_longest(entries)
    if _worth_waiting(wait, sum(entry.stat.st_size for entry in entries)):
        time.sleep(wait)
        entries = identity.scan_directory(name)
        wait = _unsettled_longest(entries)
    return entries, not wait


def _unsettled_longest(entries: Iterable[Entry]) -> float:
    return max((_unsettled(entry.stat) for entry in entries if entry.kind == "file"), default=0)
