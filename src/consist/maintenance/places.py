"""Where snapshots and recorded bytes lie, and what may be removed there."""
# ruff: noqa: PTH106, PTH108, PTH112, PTH114, PTH118, PTH120  # paths are text here

from __future__ import annotations

import os
import shutil
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from consist.errors import ConsistError, NoDatabase
from consist.files.bounds import within
from consist.files.history import places
from consist.models.record import ArtifactRecord
from consist.store.embedded import EmbeddedStore
from consist.store.index import path_on_disk
from consist.store.snapshots import FOLDER

if TYPE_CHECKING:
    from consist.workspace import Workspace


def store_of(ws: Workspace, action: str, *, changes: bool = True) -> EmbeddedStore:
    """Return the store that an action is about.

    Raises
    ------
    NoDatabase
        If the tracker has none.
    TrackerClosed, ReadOnlyTracker
        If the action changes something, and this tracker may not.
    """
    if changes:
        ws.check_writable(action)
    ws.check_database(action)
    if not isinstance(ws.store, EmbeddedStore):
        raise NoDatabase(action)
    return ws.store


def run_folders(ws: Workspace, store: EmbeddedStore) -> list[str]:
    """Return the run folders that trackers on this machine used with a database."""
    return list(dict.fromkeys([str(ws.run_dir), *store.belonging.state.run_dirs]))


def snapshot_files(folders: Iterable[str | Path]) -> Iterator[Path]:
    """Yield the snapshots in some run folders, by name."""
    for folder in folders:
        place = Path(folder, FOLDER)
        with suppress(OSError):
            for name in sorted(os.listdir(place)):  # noqa: PTH208
                if name.endswith(".json") and not name.startswith("."):
                    yield place / name


def place_of(ws: Workspace, record: ArtifactRecord) -> str:
    """Return where the bytes of an artifact are, or else where they were written.

    Nothing is read for it: the first place that holds anything counts.
    """
    tried = _tried(ws, record)
    return next(filter(os.path.lexists, tried), tried[0])


def trusted_place_of(ws: Workspace, record: ArtifactRecord) -> str | None:
    """Return the same of the places that this tracker trusts.

    ``None`` if nothing is there, and others were not looked at.
    """
    tried = _tried(ws, record)
    trusted = [path for path in tried if ws.trusts(path)]
    found = next(filter(os.path.lexists, trusted), None)
    return tried[0] if found is None and len(trusted) == len(tried) else found


def _tried(ws: Workspace, record: ArtifactRecord) -> list[str]:
    """Return the places where an artifact may lie, first where it was written."""
    written = path_on_disk(record)
    first = [] if written is None else [written.partition("\0")[0]]
    try:
        others = places(ws.files.mounts, record.container_uri, record.root, record.meta)
    except ConsistError:
        return first or [record.container_uri]
    return list(dict.fromkeys([*first, *others]))


# ---------------------------------------------------------------- removing


class Bounds:
    """Inside which folders files may be removed.

    Parameters
    ----------
    ws, store
        Files may be removed below the run folders that trackers on this machine used with the
        database, and below the mounts of this tracker. What a database alone says is not enough.
    """

    def __init__(self, ws: Workspace, store: EmbeddedStore) -> None:
        roots = [*run_folders(ws, store), *ws.files.mounts.roots.values()]
        self._roots = [os.path.realpath(root) for root in roots]
        own = [str(store.db_path), str(store.folder.path), f"{store.db_path}.lock"]
        own += [os.path.join(root, name) for root in roots for name in (FOLDER, "consist.json")]
        self._own = [os.path.realpath(path) for path in own]

    def objection(self, path: str) -> str | None:
        """Return why nothing may be removed at a path, or ``None`` if it may."""
        folder, name = os.path.split(path)
        real = os.path.join(os.path.realpath(folder), name)
        if os.path.islink(path):
            return "is a symbolic link"
        if any(within(root, real) for root in self._roots):
            return "holds a run folder or mount"
        if not any(within(real, root) for root in self._roots):
            return "lies outside the run folders and mounts"
        if any(within(real, own) or within(own, real) for own in self._own):
            return "holds part of the record"
        return None

    def holds_snapshots(self, run_dir: str) -> bool:
        """Whether a folder is a run folder whose snapshots may be removed."""
        real = os.path.realpath(run_dir)
        inside = os.path.realpath(os.path.join(run_dir, FOLDER))
        return any(within(real, root) for root in self._roots) and within(inside, real)

    def remove(self, path: str) -> None:
        """Remove a file or folder, and the folders above it that are empty then."""
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)
        above = os.path.dirname(path)
        with suppress(OSError):
            while self.objection(above) is None:
                os.rmdir(above)  # fails where something is left
                above = os.path.dirname(above)


class Claimed:
    """Places that other artifacts refer to."""

    def __init__(self, records: Iterable[tuple[str, str | None]]) -> None:
        self._digests: dict[str, set[str | None]] = {}
        for path, digest in records:
            self._digests.setdefault(path, set()).add(digest)
        self._sorted = sorted(self._digests)

    def holds(self, path: str, digest: str | None) -> bool:
        """Whether another artifact has its bytes at a path, in it or around it.

        One of other bytes at the same path was overwritten, so it has nothing there any more.
        """
        same = self._digests.get(path)
        if same is not None and (digest in same or None in same or digest is None):
            return True
        if any(str(above) in self._digests for above in Path(path).parents):
            return True
        first = path + os.sep
        at = bisect_left(self._sorted, first)
        return at < len(self._sorted) and self._sorted[at].startswith(first)
