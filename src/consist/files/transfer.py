"""Copy files and folders, whole or not at all."""
# ruff: noqa: PTH102, PTH103, PTH104, PTH112, PTH114, PTH115, PTH116, PTH117, PTH120, PTH121, PTH123, PTH211  # paths are text here, see bounds.py

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from typing import TypeAlias

from consist.errors import (
    ConsistError,
    HashMismatch,
    InputChanged,
    PathEscape,
    UsageError,
    hint,
)
from consist.files.atomic import beside, create, discard, publish, unwritable
from consist.files.bounds import absolute, leads_out, within
from consist.types import PathLike

Progress: TypeAlias = Callable[[int], None]

_BUFFER = 1 << 20
_CHUNK = 32 << 20  # of what the kernel copies between two calls of ``progress``


def copy(
    source: PathLike,
    destination: PathLike,
    *,
    expected: str | Mapping[str, str] | None = None,
    progress: Progress | None = None,
    replace: bool = True,
) -> None:
    """Copy a file or a folder so that ``destination`` is old, absent or complete, never partial.

    The copy is made under a temporary name in the same folder and renamed. Times of
    modification and permissions stay; missing folders are created.

    Parameters
    ----------
    source : str or path
        File or folder. Symbolic links inside a folder are copied as links if they are relative
        and stay in it.
    destination : str or path
        The new file or folder itself, not the folder that it goes into. If it is the source,
        nothing is copied.
    expected : str or mapping of str to str, optional
        SHA-256 in hex that the bytes must have: of the file, or of each file of a folder by its
        relative path with ``/``. Checked while copying, at the price of reading through Python.
    progress : callable, optional
        Called with the number of bytes copied since its last call.
    replace : bool, default True
        Whether an existing ``destination`` is replaced, a folder with all that it holds.

    Raises
    ------
    FileNotFoundError
        If there is no ``source``.
    FileExistsError
        If ``destination`` exists and ``replace`` is false.
    HashMismatch
        If the bytes are not the expected ones.
    InputChanged
        If a file changed while it was copied.
    PathEscape
        If ``destination`` is a symbolic link, or a link in the folder leads out of it.
    StoreUnwritable
        If the copy cannot be written.
    """
    origin, target = absolute(source), absolute(destination)
    mode, progress = os.stat(origin).st_mode, progress or _ignore
    _check_places(origin, target)
    if os.path.lexists(target) and os.path.samefile(origin, target):
        _verify(origin, expected)
    elif stat.S_ISDIR(mode):
        _copy_folder(origin, target, _per_file(expected), progress, replace=replace)
    elif stat.S_ISREG(mode):
        with _made_beside(target, origin) as temporary:
            _fill(temporary, origin, _for_file(expected), progress)
            publish(temporary, target, exclusive=not replace)
    else:
        raise UsageError(f"{origin} is neither a file nor a folder")


def _check_places(origin: str, target: str) -> None:
    if os.path.islink(target):
        error = PathEscape(target, os.path.dirname(target))
        raise hint(error, "the destination is a symbolic link; remove it or name its target")
    real_origin, real_target = os.path.realpath(origin), os.path.realpath(target)
    if real_origin != real_target and (
        within(real_target, real_origin) or within(real_origin, real_target)
    ):
        raise UsageError(f"{origin} and {target} lie in one another")


@contextmanager
def _made_beside(target: str, origin: str) -> Generator[str]:
    """Yield a temporary name beside ``target``; after an error nothing of that name is left."""
    temporary = beside(target)
    try:
        yield temporary
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and _is_failed_write(error, origin):
            raise unwritable(target, error) from error
        raise


def _is_failed_write(error: OSError, origin: str) -> bool:
    if isinstance(error, (ConsistError, FileExistsError)):
        return False
    return not (isinstance(error.filename, str) and within(error.filename, origin))


def _remove(temporary: str) -> None:
    if os.path.isdir(temporary):
        import shutil

        shutil.rmtree(temporary, ignore_errors=True)
    else:
        discard(temporary)


# ---------------------------------------------------------------- one file


def _fill(path: str, origin: str, expected: str | None, progress: Progress) -> None:
    """Create ``path`` with the bytes, times and permissions of ``origin``."""
    with open(origin, "rb", buffering=0) as reader:
        before = os.fstat(reader.fileno())
        with open(create(path, before.st_mode & 0o777), "wb", buffering=0) as writer:
            size, target = before.st_size, writer.fileno()
            if expected is None:
                _pour(reader.fileno(), target, size, progress)
            elif (found := _pour_and_digest(reader, target, size, progress)) != expected:
                raise HashMismatch(origin, expected, found)
            os.utime(writer.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
            written = writer.tell()
        after = os.fstat(reader.fileno())
    if written != before.st_size or _state(after) != _state(before):
        raise InputChanged(origin, _state(before), _state(after))


def _pour(reader: int, writer: int, size: int, progress: Progress) -> None:
    """Copy as many bytes as the file had at first, so that a growing one comes to an end."""
    for move in (_in_kernel, _through_memory):
        while size and (moved := move(reader, writer, size)):
            size -= moved
            progress(moved)


def _in_kernel(reader: int, writer: int, size: int) -> int:
    """Copy without passing bytes through Python; 0 at the end, or where the system cannot."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(reader, writer, min(size, _CHUNK))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        return 0


def _through_memory(reader: int, writer: int, size: int) -> int:
    data = os.read(reader, min(size, _BUFFER))
    _write_all(writer, memoryview(data))
    return len(data)


def _pour_and_digest(reader: FileIO, writer: int, size: int, progress: Progress) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_BUFFER))
    while size and (count := reader.readinto(buffer[: min(size, _BUFFER)])):
        digest.update(buffer[:count])
        _write_all(writer, buffer[:count])
        size -= count
        progress(count)
    return digest.hexdigest()


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _ignore(_: int) -> None:
    pass


def _state(status: os.stat_result) -> str:
    return f"{status.st_size} bytes, modified at {status.st_mtime_ns} ns"


# ---------------------------------------------------------------- a folder


def _copy_folder(
    origin: str,
    target: str,
    expected: Mapping[str, str] | None,
    progress: Progress,
    *,
    replace: bool,
) -> None:
    with _made_beside(target, origin) as temporary:
        os.makedirs(temporary)
        found: set[str] = set()
        for relative, entry in _entries(origin):
            path = f"{temporary}/{relative}"
            if entry.is_symlink():
                os.symlink(_inner_link(origin, entry.path), path)
            elif entry.is_dir():
                os.mkdir(path)
            elif not entry.is_file():
                raise UsageError(f"{entry.path} is neither a file nor a folder")
            else:
                found.add(relative)
                digest = None if expected is None else expected.get(relative, "not listed")
                _fill(path, entry.path, digest, progress)
        if expected is not None and (missing := sorted(expected.keys() - found)):
            raise HashMismatch(f"{origin}/{missing[0]}", expected[missing[0]], "no file")
        _swap(temporary, target, replace=replace)


def _entries(origin: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything below a folder with its relative path, folders before their content."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(f"{origin}/{prefix}") as entries:
            for entry in entries:
                relative = prefix + entry.name
                yield relative, entry
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{relative}/")


def _inner_link(origin: str, link: str) -> str:
    text = os.readlink(link)
    if os.path.isabs(text) or leads_out(origin, link):
        raise hint(PathEscape(link, origin), "replace the symbolic link by what it points to")
    return text


def _swap(temporary: str, target: str, *, replace: bool) -> None:
    """Rename a complete folder into place; an old one is removed once the new one stands."""
    if not os.path.isdir(target):
        os.rename(temporary, target)
        return
    if not replace:
        raise FileExistsError(f"{target} exists")
    old = beside(target)
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(old, target)
        raise
    import shutil

    shutil.rmtree(old, ignore_errors=True)


# ---------------------------------------------------------------- verification


def _for_file(expected: str | Mapping[str, str] | None) -> str | None:
    if expected is None or isinstance(expected, str):
        return expected
    raise UsageError("a file is verified by one digest, not by a mapping")


def _per_file(expected: str | Mapping[str, str] | None) -> Mapping[str, str] | None:
    if isinstance(expected, str):
        raise UsageError("a folder is verified by a digest for each file")
    return expected


def _verify(path: str, expected: str | Mapping[str, str] | None) -> None:
    """Check bytes that need not be copied."""
    if expected is None:
        return
    stated = {"": expected} if isinstance(expected, str) else expected
    for relative, digest in stated.items():
        name = f"{path}/{relative}" if relative else path
        with open(name, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise HashMismatch(name, digest, found)
