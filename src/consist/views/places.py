"""Where the bytes of a view's members are, so that no file is shown for what it no longer is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from consist.artifacts.verify import is_guess, standing
from consist.errors import Untrusted
from consist.models.record import ArtifactRecord

if TYPE_CHECKING:
    from consist.workspace import Workspace

Why = Literal["gone", "changed", "untrusted"]
Stamp = tuple[object, ...]

_REMEMBERED = 100_000


@dataclass(frozen=True)
class Place:
    """Where an artifact was found, or why it cannot be shown.

    ``files`` are the file itself, or those of a folder; ``stamp`` is what is looked at to see
    whether they are still the same. With ``why``, there are none.
    """

    path: str
    files: tuple[str, ...]
    stamp: Stamp
    why: Why | None = None


def place_of(ws: Workspace, record: ArtifactRecord, suffixes: Iterable[str] = ()) -> Place:
    """Return where the recorded bytes of an artifact are.

    What was found before and has not changed since costs one ``stat``; of a folder, one per entry.
    ``suffixes`` are those of the files in a folder that are read.
    """
    known: dict[str, Place] = ws.memory.setdefault("view_places", {})
    found = known.get(record.id)
    if found is None or found.stamp != stamp_of(found.path):
        found = _look(ws, record, tuple(suffixes))
        if len(known) >= _REMEMBERED:
            known.clear()
        known[record.id] = found
    return found


def stamp_of(path: str) -> Stamp:
    """Return what changes when a file or anything in a folder does; empty where nothing is."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for each of thousands of files
    except OSError:
        return ()
    own = (status.st_mtime_ns, status.st_size, status.st_ino)
    if not stat.S_ISDIR(status.st_mode):
        return own
    return (*own, *((name, *stamp_of(name)) for name in _files_in(path)))


def _look(ws: Workspace, record: ArtifactRecord, suffixes: tuple[str, ...]) -> Place:
    try:
        found = standing(ws, record)
    except Untrusted:
        return Place(record.container_uri, (), (), "untrusted")
    stamp = stamp_of(found.path)
    if found.state == "gone" or not stamp:
        return Place(found.path, (), stamp, "gone")
    if found.state == "changed" and not is_guess(record):
        return Place(found.path, (), stamp, "changed")
    if not os.path.isdir(found.path):  # noqa: PTH112
        return Place(found.path, (found.path,), stamp)
    files = (name for name in _files_in(found.path) if name.lower().endswith(suffixes))
    return Place(found.path, tuple(files), stamp)


def _files_in(folder: str) -> Iterator[str]:
    """Yield the files below a folder in the order of their names; not what tools hide there."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            if not name.startswith((".", "_")):
                yield os.path.join(parent, name)  # noqa: PTH118
