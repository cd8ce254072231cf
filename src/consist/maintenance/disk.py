"""What a database and the folder beside it take on the disk."""
# ruff: noqa: PTH118  # paths come by the thousand here

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from consist.files.filesystem import is_network
from consist.store.embedded import EmbeddedStore
from consist.store.index_file import default_path

_PARTS: tuple[str, ...] = (
    *("database", "journal", "merged", "damaged", "rows"),
    *("index", "memo", "claims", "other"),
)


def disk_use(store: EmbeddedStore) -> dict[str, int]:
    """Return how many bytes each part of a store takes.

    ``database`` with its write-ahead log, ``journal`` of running and unmerged processes, ``merged``
    journals that are kept a while, ``damaged`` ones, staged ``rows``, the look-up ``index``, the
    ``memo`` of digests, ``claims`` of run ids, and whatever ``other`` files lie there.
    """
    folder = store.folder
    parts = dict.fromkeys(_PARTS, 0)
    for path in (str(store.db_path), f"{store.db_path}.wal"):
        parts["database"] += _size(path)
    for path, size in _files(str(folder.path)):
        parts[_part(os.path.relpath(path, folder.path))] += size
    network = is_network(store.db_path.parent)
    store_id, cache = store.belonging.state.store_id, store.settings.cache_dir
    index = default_path(folder.path, store_id, cache, network=network)
    if folder.path not in index.parents:
        parts["index"] += sum(_size(f"{index}{suffix}") for suffix in ("", "-wal", "-shm"))
    return parts


def _part(relative: str) -> str:
    top, separator, _ = relative.partition(os.sep)
    if separator:
        return top if top in {"merged", "damaged", "rows", "claims"} else "other"
    if top.endswith(".journal"):
        return "journal"
    for name in ("index", "memo"):
        if top.startswith(f"{name}.sqlite"):
            return name
    return "other"


def _files(folder: str) -> Iterator[tuple[str, int]]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            yield path, _size(path)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def size_of_tree(path: str) -> int:
    """Return the bytes of a file, or of all files in a folder; links are not followed."""
    if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
        return sum(size for _, size in _files(path))
    return _size(path)


def readable(size: float) -> str:
    """Return a number of bytes as people say it.

    Examples
    --------
    >>> readable(1_536)
    '1.5 KiB'
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units:
        if size < 1024 or unit == units[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return ""


def folder_of(path: Path) -> Path:
    """Return the folder that holds snapshots: the one named, or ``consist_runs`` in it."""
    inside = path / "consist_runs"
    return inside if inside.is_dir() else path
