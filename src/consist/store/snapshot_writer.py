"""Writing the snapshots of this process's runs without losing what others said of them.

A run that is going on may be annotated by another process, which rewrites its snapshot. So whoever
writes a snapshot a second time holds a lock, and looks whether the file is still the one that it
wrote. A run that is written only once, as a hit is, needs neither.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from consist.files.places import RunPlaces
from consist.models.record import RunRecord, decode_document, encode
from consist.store import snapshots
from consist.store.locks import FileLock

_STRIPES = 32
_WAIT = 2.0

Stamp = tuple[int, int] | None


class SnapshotWriter:
    """Writes the snapshots below one run folder.

    Parameters
    ----------
    places : RunPlaces
        Layout of the run folder.
    locks : Path
        Folder of the lock files, created when it is needed.
    """

    def __init__(self, places: RunPlaces, locks: Path) -> None:
        self.places, self._locks = places, locks
        self._written: dict[str, Stamp] = {}
        self._ended: set[str] = set()

    def announce(self, run: RunRecord) -> None:
        """Note that a run was recorded as it is now, whose snapshot is going to be written."""
        if run.status == "running":
            self._written.setdefault(run.id, None)
        elif run.id in self._written:
            self._ended.add(run.id)

    def write(self, run_id: str, document: bytes, *, latest: bool) -> None:
        """Write the snapshot of a run, with what others said of it meanwhile."""
        if run_id not in self._written:
            snapshots.write_snapshot(self.places, run_id, document, latest=latest)
            return
        path = self.places.snapshot_path(run_id)
        with self.alone(run_id):
            before = self._written[run_id]
            if before is not None and before != _stamp(path):
                document = _with_changes(Path(path), document)
            snapshots.write_snapshot(self.places, run_id, document, latest=latest)
            self._written[run_id] = _stamp(path)
        if run_id in self._ended:
            self._ended.discard(run_id)
            del self._written[run_id]

    @contextmanager
    def alone(self, run_id: str) -> Generator[None]:
        """Let no other process write the snapshot of a run meanwhile, where file locks work."""
        with suppress(OSError):
            self._locks.mkdir(parents=True, exist_ok=True)
        stripe = zlib.crc32(run_id.encode()) % _STRIPES
        lock = FileLock(f"{self._locks}/{stripe:02d}.lock")
        lock.acquire(wait=_WAIT)
        try:
            yield
        finally:
            lock.release()


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 - on the path of every run
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _with_changes(path: Path, document: bytes) -> bytes:
    return encode(snapshots.with_changes_in(path, decode_document(document)))
