"""Digests of files and directories.

The digest of a file is the SHA-256 of its bytes. That of a directory covers everything a reader of
it could see: the relative name of every file and folder, hidden and empty ones too, and the
digest of every file. Whoever keeps digests (a memo of unchanged files) passes its own
``digest_file``; one that is shared by threads must allow it.

A path that does not exist raises ``FileNotFoundError`` (or its relatives) unchanged, since only the
caller knows what the path was for. Whatever else keeps bytes from being read is an
:class:`~consist.errors.IdentityError`; no digest ever stands for bytes that were not read.
"""
# Paths come by the ten thousand here, and Path objects take their time.
# ruff: noqa: PTH112, PTH115, PTH116, PTH118

from __future__ import annotations

import os
import stat as modes
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count
from operator import itemgetter
from typing import NamedTuple

from consist.errors import IdentityError, hint
from consist.identity.canonical import digest

PathLike = str | os.PathLike[str]
DigestFile = Callable[[str], str]

FAST = "fast:"
"""How a digest begins that was taken of size and time, not of bytes."""

_BUFFER = 1 << 18
_SMALL = 1 << 16
# Below this much work, starting threads costs more than they save.
_MANY_BYTES = 2 << 20
_MOST_WORKERS = 8
_PROBE = 64
_LONG_PROBE = 0.02
# Opening a pipe would wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Entry(NamedTuple):
    """One thing inside a directory.

    Attributes
    ----------
    relative : str
        Path below the directory, with forward slashes.
    kind : str
        ``"file"``, ``"directory"``, ``"link"`` (leads nowhere, or back to a folder that it lies
        in) or ``"special"`` (a pipe, socket or device).
    stat : os.stat_result
        Of what a symbolic link leads to, except for ``"link"``.
    """

    relative: str
    kind: str
    stat: os.stat_result


def file_digest(path: PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hex, reading it in pieces.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IdentityError
        Naming the path, if it cannot be read or is no regular file.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
        try:
            return _descriptor_digest(descriptor, path)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _descriptor_digest(descriptor: int, path: PathLike) -> str:
    status = os.fstat(descriptor)
    if not modes.S_ISREG(status.st_mode):
        error = IdentityError(f"{os.fspath(path)} is not a regular file")
        raise hint(error, "A directory has a directory_digest; a pipe or device has no content.")
    if status.st_size < _SMALL:
        content = os.read(descriptor, _SMALL)
        if len(content) < _SMALL:
            return sha256(content).hexdigest()
        os.lseek(descriptor, 0, os.SEEK_SET)
    hashed, buffer = sha256(), bytearray(_BUFFER)
    view = memoryview(buffer)
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        while size := file.readinto(buffer):
            hashed.update(view[:size])
    return hashed.hexdigest()


def fast_digest(status: os.stat_result) -> str:
    """Return ``"fast:<hex>"``, taken of size and modification time alone."""
    return FAST + digest("fast", status.st_size, status.st_mtime_ns)


def digest_path(path: PathLike, digest_file: DigestFile = file_digest) -> str:
    """Return the digest of a file or of a directory, whichever the path is."""
    if os.path.isdir(path):
        return directory_digest(path, digest_file)
    return digest_file(os.fspath(path))


# ---------------------------------------------------------------- directories


def directory_digest(path: PathLike, digest_file: DigestFile = file_digest) -> str:
    """Return one digest for everything in a directory, the same wherever the directory lies.

    A symbolic link counts as what it leads to, so that a copy that follows links is the same
    directory; one that leads nowhere, or back to a folder above it, counts as its text. Of pipes,
    sockets and devices only the name counts. Permissions and times do not.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such directory.
    IdentityError
        Naming the path, if something in it cannot be read.
    """
    entries = scan_directory(path)
    files = [entry for entry in entries if entry.kind == "file"]
    root = os.path.join(path, "")
    paths = [root + entry.relative for entry in files]
    sizes = [entry.stat.st_size for entry in files]
    digests = digest_many(paths, digest_file, sizes=sizes)
    contents = {entry.relative: found for entry, found in zip(files, digests, strict=True)}
    return tree_digest(path, entries, contents)


def scan_directory(path: PathLike) -> list[Entry]:
    """List everything below a directory, sorted by relative name, with one ``stat`` each."""
    entries: list[Entry] = []
    root = os.fspath(path)
    _scan(root, "", frozenset({_place(os.stat(root))}), entries)
    entries.sort(key=itemgetter(0))
    return entries


def tree_digest(path: PathLike, entries: Sequence[Entry], contents: dict[str, str]) -> str:
    """Return the digest of a scanned directory whose files have these digests.

    Parameters
    ----------
    path
        The directory.
    entries
        What :func:`scan_directory` found in it.
    contents
        Relative name of each file → its digest. If one of them is a fast digest, the result
        begins with ``"fast:"``, too.
    """
    listing: list[str] = []
    for relative, kind, _ in entries:
        content = contents[relative] if kind == "file" else ""
        if kind == "link":
            content = os.readlink(os.path.join(path, relative))
        listing += (relative, kind, content)
    guessed = any(found.startswith(FAST) for found in contents.values())
    # No name and no link has a NUL in it.
    return (FAST if guessed else "") + digest("directory", "\0".join(listing))


def _scan(folder: str, prefix: str, above: frozenset[tuple[int, int]], into: list[Entry]) -> None:
    try:
        with os.scandir(folder) as found:
            for item in found:
                entry = _look_at(item, prefix + item.name, above)
                into.append(entry)
                if entry.kind == "directory":
                    inside = above | {_place(entry.stat)}
                    _scan(item.path, f"{entry.relative}/", inside, into)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise _unreadable(error.filename or folder, error) from error


def _look_at(item: os.DirEntry[str], relative: str, above: frozenset[tuple[int, int]]) -> Entry:
    try:
        status = item.stat()
    except OSError:
        if not item.is_symlink():
            raise
        return Entry(relative, "link", item.stat(follow_symlinks=False))
    if modes.S_ISREG(status.st_mode):
        return Entry(relative, "file", status)
    if not modes.S_ISDIR(status.st_mode):
        return Entry(relative, "special", status)
    if item.is_symlink() and _place(status) in above:
        return Entry(relative, "link", item.stat(follow_symlinks=False))
    return Entry(relative, "directory", status)


def _place(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# ---------------------------------------------------------------- many files


def digest_many(
    paths: Sequence[PathLike],
    digest_file: DigestFile = file_digest,
    workers: int | None = None,
    sizes: Sequence[int] | None = None,
) -> list[str]:
    """Return the digests of many files, in order, with threads where that pays.

    Parameters
    ----------
    paths
        Files.
    digest_file
        What digests one of them.
    workers
        Number of threads; by default chosen from the number of files and their sizes.
    sizes
        Sizes in bytes, if they are known; otherwise some files are asked for theirs.

    Raises
    ------
    FileNotFoundError, IdentityError
        For the first file that fails, as ``digest_file`` raises it.
    """
    names = [os.fspath(path) for path in paths]
    if workers is not None:
        return _digest_all(names, digest_file, workers)
    if _are_large(names, sizes):
        return _digest_all(names, digest_file, min(_MOST_WORKERS, os.cpu_count() or 1))
    if len(names) <= _PROBE:
        return _digest_all(names, digest_file, 1)
    # Small files in memory take Python's own time, and threads only get in each other's way.
    # Small files on a network take waiting, and threads wait together.
    first, rest = names[:_PROBE], names[_PROBE:]
    wall, worked = time.perf_counter(), time.thread_time()
    digests = _digest_all(first, digest_file, 1)
    wall, worked = time.perf_counter() - wall, time.thread_time() - worked
    waiting = wall > _LONG_PROBE and wall > 3 * worked
    return digests + _digest_all(rest, digest_file, _MOST_WORKERS if waiting else 1)


def _are_large(names: list[str], sizes: Sequence[int] | None) -> bool:
    total = 0
    for index, name in enumerate(names):
        total += sizes[index] if sizes is not None else _size(name)
        if total >= _MANY_BYTES:
            return total >= _SMALL * (index + 1)
    return False


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:  # digesting it will say what is wrong
        return 0


def _digest_all(names: list[str], digest_file: DigestFile, workers: int) -> list[str]:
    if workers < 2 or len(names) < 2:
        return [digest_file(name) for name in names]
    digests = [""] * len(names)
    failures: dict[int, BaseException] = {}
    turns = count()

    def work() -> None:
        for index in turns:
            if index >= len(names) or failures:
                return
            try:
                digests[index] = digest_file(names[index])
            except BaseException as error:  # noqa: BLE001  (raised again by the caller)
                failures[index] = error

    threads = [
        threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(names)) - 1)
    ]
    for thread in threads:
        thread.start()
    try:
        work()
    except BaseException as error:  # noqa: BLE001  (an interrupt; raised again)
        failures[-1] = error
    for thread in threads:
        thread.join()
    if failures:
        raise failures[min(failures)]
    return digests


def _unreadable(path: PathLike, error: OSError) -> IdentityError:
    return IdentityError(f"cannot read {os.fspath(path)}: {error.strerror or error}")
