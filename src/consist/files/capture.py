"""Which files of a folder are new or changed, and by which keys they are known."""
# ruff: noqa: PTH116, PTH117, PTH122  # paths are text here, see bounds.py

from __future__ import annotations

import fnmatch
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from consist.errors import PathEscape, UsageError
from consist.files.atomic import TEMPORARY_PREFIX
from consist.files.bounds import absolute, prefix_of
from consist.types import PathLike

_TICK_NS = 20_000_000  # no local file system stamps files more coarsely than 10 ms
_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst"})
_UNFIT = re.compile(r"[^A-Za-z0-9_.:/-]")
_KEY_LENGTH = 256

_Stamp = tuple[int, int, int, int]


class DirectoryCapture:
    """Remembers what a folder holds, to tell later what is new or changed.

    Parameters
    ----------
    directory : str or path
        The folder, relative to the current one; it need not exist yet.
    pattern : str, default "*"
        Glob for file names, or for paths below the folder if it contains ``/``. Hidden files
        count only where the pattern begins with a dot.
    recursive : bool, default False
        Also look into subfolders, though not through symbolic links.

    Raises
    ------
    PathEscape
        If the pattern contains ``..``.
    UsageError
        If the pattern is empty or absolute.
    NotADirectoryError
        If ``directory`` is a file.

    Notes
    -----
    A file counts as changed if size, time of modification, time of status change or inode
    differ. Should a file be so young that rewriting it at once could leave all four as they
    are, construction waits for the clock to tick, at most 20 ms.
    """

    def __init__(self, directory: PathLike, pattern: str = "*", *, recursive: bool = False) -> None:
        self.directory = absolute(directory)
        _check_pattern(pattern)
        self._find = _Finder(self.directory, pattern, recursive=recursive)
        self._before = self._find.stamps()
        _let_tick_pass(self._before.values())

    def changed(self) -> list[Path]:
        """Return the files that are new or changed by now, sorted by path."""
        now = self._find.stamps()
        return [Path(path) for path in sorted(now) if now[path] != self._before.get(path)]


class _Finder:
    """Lists the matching files of a folder with their stamps."""

    def __init__(self, directory: str, pattern: str, *, recursive: bool) -> None:
        self._directory, self._pattern, self._recursive = directory, pattern, recursive
        self._by_path = "/" in pattern or "**" in pattern
        self._matches = re.compile(fnmatch.translate(pattern)).match
        self._hidden = pattern.rpartition("/")[2].startswith(".")

    def stamps(self) -> dict[str, _Stamp]:
        found: dict[str, _Stamp] = {}
        for path in self._globbed() if self._by_path else self._listed():
            try:
                status = os.stat(path)
            except OSError:  # a broken link, or removed in the meantime
                continue
            found[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        return found

    def _listed(self) -> Iterator[str]:
        pending = [self._directory]
        while pending:
            try:
                entries = os.scandir(pending.pop())
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if self._recursive and self._visible(entry.name):
                            pending.append(entry.path)
                    elif entry.is_file() and self._wanted(entry.name):
                        yield entry.path

    def _globbed(self) -> Iterator[str]:
        folder = Path(self._directory)
        for path in folder.rglob(self._pattern) if self._recursive else folder.glob(self._pattern):
            parents = path.relative_to(folder).parts[:-1]
            if self._visible(path.name) and all(map(self._visible, parents)) and path.is_file():
                yield str(path)

    def _wanted(self, name: str) -> bool:
        return self._matches(name) is not None and self._visible(name)

    def _visible(self, name: str) -> bool:
        if name.startswith(TEMPORARY_PREFIX):
            return False
        return self._hidden or not name.startswith(".")


def _check_pattern(pattern: str) -> None:
    if not pattern or os.path.isabs(pattern):
        raise UsageError(f"pattern={pattern!r} is not a glob below the folder")
    if ".." in pattern.split("/"):
        raise PathEscape(pattern, "the captured folder")


def _let_tick_pass(stamps: Iterable[_Stamp]) -> None:
    youngest = max((changed for _, _, changed, _ in stamps), default=0)
    wait = youngest + _TICK_NS - time.time_ns()
    if wait > 0:
        time.sleep(min(wait, _TICK_NS) / 1e9)


# ---------------------------------------------------------------- keys


def capture_keys(paths: Iterable[PathLike], root: PathLike) -> dict[str, Path]:
    """Return the captured files by artifact key, in the order of their paths.

    The key of a file is the first of these that no other file of the capture shares: its stem
    (``trips``), its path below ``root`` without suffix (``day1/trips``), that with suffix
    (``day1/trips.csv``). So one set of files always gets the same keys, and a file alone of its
    name gets the plain stem. Characters that keys cannot have become ``_``; where that makes
    two keys equal, the later path gets ``-2``.

    Parameters
    ----------
    paths : iterable of str or path
        Files below ``root``.
    root : str or path
        The captured folder.

    Examples
    --------
    >>> list(capture_keys(["/out/a/x.csv", "/out/b/x.csv", "/out/log.txt"], "/out"))
    ['a/x', 'b/x', 'log']
    """
    top = prefix_of(absolute(root))
    files = sorted({absolute(path) for path in paths})
    names = [_candidates(file.removeprefix(top).replace(os.sep, "/")) for file in files]
    return dict(zip(_distinct(names), map(Path, files), strict=True))


def _candidates(relative: str) -> tuple[str, str, str]:
    bare = _without_suffix(relative)
    return _fit(bare.rpartition("/")[2]), _fit(bare), _fit(relative)


def _without_suffix(path: str) -> str:
    bare, suffix = os.path.splitext(path)
    return os.path.splitext(bare)[0] if suffix.lower() in _COMPRESSED else bare


def _fit(text: str) -> str:
    """Return the nearest text that may be an artifact key."""
    key = _UNFIT.sub("_", text).replace("..", "__")
    if not key[:1].isalnum() and not key.startswith("_"):
        key = f"_{key}"
    return key[:_KEY_LENGTH]


def _distinct(names: Sequence[tuple[str, ...]]) -> list[str]:
    level = [0] * len(names)
    while crowded := _crowded([name[at] for name, at in zip(names, level, strict=True)], level):
        for index in crowded:
            level[index] += 1
    keys: dict[str, None] = {}
    for name, at in zip(names, level, strict=True):
        keys[_unused(name[at], keys)] = None
    return list(keys)


def _crowded(keys: list[str], level: list[int]) -> list[int]:
    """Return which keys are shared and have a longer form left."""
    sharing: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        sharing.setdefault(key, []).append(index)
    groups = [group for group in sharing.values() if len(group) > 1]
    return [index for group in groups for index in group if level[index] < 2]


def _unused(key: str, taken: dict[str, None]) -> str:
    number, unused = 2, key
    while unused in taken:
        ending = f"-{number}"
        unused, number = key[: _KEY_LENGTH - len(ending)] + ending, number + 1
    return unused
