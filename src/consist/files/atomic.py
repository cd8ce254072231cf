"""Write files so that nobody ever sees half of one: a temporary file, then a rename.

A folder that stands for one thing, such as an array store, is written in the same way.
"""
# ruff: noqa: PTH103, PTH104, PTH105, PTH108, PTH112, PTH118, PTH120  # paths are text here, see bounds.py

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from consist.errors import StoreUnwritable, hint
from consist.types import PathLike

TEMPORARY_PREFIX = ".consist-"

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
# How systems tell that a folder cannot take a name: a folder with content or a link has it.
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)

_REMEDIES = {
    errno.ENOSPC: "free some space on this file system and try again",
    errno.EDQUOT: "free some of your quota and try again",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
    errno.EROFS: "the file system is mounted read-only; choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where the file should go",
}


def unwritable(path: str, error: OSError) -> StoreUnwritable:
    """Return the error for a failed write, with a remedy where there is a usual one."""
    found = StoreUnwritable(path, error.strerror or str(error))
    remedy = _REMEDIES.get(error.errno or 0)
    return hint(found, remedy) if remedy else found


def write_atomic(path: PathLike, data: bytes, *, exclusive: bool = False) -> None:
    """Make ``path`` a file that holds ``data``; readers see the old bytes or all the new ones.

    A temporary file in the same folder is renamed into place. Missing folders are created.

    Parameters
    ----------
    path : str or path
        The file.
    data : bytes
        Its content.
    exclusive : bool, default False
        Never replace an existing file.

    Raises
    ------
    FileExistsError
        With ``exclusive``, if ``path`` exists.
    StoreUnwritable
        If the file cannot be written: disk full, no permission, read-only file system. Nothing
        is left behind then.
    """
    target = os.fspath(path)
    temporary = beside(target)
    try:
        descriptor = create(temporary)
        try:
            _fill(descriptor, data)
            publish(temporary, target, exclusive=exclusive)
        except BaseException:
            discard(temporary)
            raise
    except FileExistsError:
        raise
    except OSError as error:
        raise unwritable(target, error) from error


@contextmanager
def replacing(path: PathLike) -> Generator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    The temporary path lies in the same folder and has the same suffixes, so that writers which
    choose a format or a compression by name do as they would. The block makes it a file or a
    folder; a folder replaces an older one whole. When the block raises, what it made is removed
    and what ``path`` held stays.

    Raises
    ------
    StoreUnwritable
        If the folder of ``path`` cannot be created, nothing was written, or a file would replace
        a folder or a folder a file.

    Examples
    --------
    >>> with replacing("/tmp/table.csv") as temporary:
    ...     _ = temporary.write_text("a,b")
    """
    target = str(Path(path))  # a folder may be named with a slash at its end
    suffixes = "".join(Path(target).suffixes)
    temporary = beside(target, suffixes)
    try:
        os.makedirs(os.path.dirname(temporary) or ".", exist_ok=True)
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        yield Path(temporary)
        _rename(temporary, target)
    except BaseException:
        discard(temporary)
        raise


def _rename(temporary: str, target: str) -> None:
    try:
        if os.path.isdir(temporary):
            publish_folder(temporary, target)
        else:
            publish(temporary, target, exclusive=False)
    except OSError as error:
        raise unwritable(target, error) from error


# ---------------------------------------------------------------- the steps


def beside(target: str, suffix: str = ".tmp") -> str:
    """Return an unused name for a temporary file in the folder of ``target``."""
    return os.path.join(os.path.dirname(target), f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{suffix}")


def create(temporary: str, mode: int = 0o666) -> int:
    """Create a file that must be new, with its folder if need be; return its descriptor."""
    try:
        return os.open(temporary, _CREATE, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(temporary), exist_ok=True)
        return os.open(temporary, _CREATE, mode)


def _fill(descriptor: int, data: bytes) -> None:
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def publish(temporary: str, target: str, *, exclusive: bool) -> None:
    """Give a complete temporary file its name; ``exclusive`` never replaces a file."""
    if not exclusive:
        _replace(temporary, target)
        return
    try:
        os.link(temporary, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        _claim_and_replace(temporary, target)
    else:
        os.unlink(temporary)


def _replace(temporary: str, target: str) -> None:
    # A rename over an existing file makes ext4 write the new one out at once, a millisecond or
    # more; an exchange does not. What survives a loss of power is not promised here.
    if not _exchange(temporary, target):
        os.replace(temporary, target)
        return
    try:
        os.unlink(temporary)
    except OSError:  # a folder stood there
        _exchange(temporary, target)
        raise


def _exchange(one: str, other: str) -> bool:
    """Swap two existing names in one step, where the system can; return whether it did."""
    swap = _renameat2()
    return swap is not None and not swap(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    found = getattr(ctypes.CDLL(None), "renameat2", None)
    if found is not None:
        text, number = ctypes.c_char_p, ctypes.c_int
        found.argtypes = (number, text, number, text, ctypes.c_uint)
    return found


def _claim_and_replace(temporary: str, target: str) -> None:
    """Publish where the file system has no hard links: an empty file is the claim."""
    os.close(os.open(target, _CREATE, 0o666))
    os.replace(temporary, target)


def publish_folder(temporary: str, target: str) -> None:
    """Give a complete temporary folder its name, in the place of an older folder if need be.

    Where the system can swap two names, ``target`` is never absent; elsewhere it is between two
    renames, and it is never half-written.
    """
    if os.path.lexists(target) and not os.path.isdir(target):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target)
    if _exchange(temporary, target):
        discard(temporary)
        return
    aside = beside(target)
    try:
        while not _took_name(temporary, target):  # not even now: another writer was faster
            discard(aside)
            with suppress(FileNotFoundError):
                os.rename(target, aside)
    except BaseException:
        with suppress(OSError):
            os.rename(aside, target)
        raise
    discard(aside)


def _took_name(temporary: str, target: str) -> bool:
    """Rename a folder unless something has the name; return whether it did."""
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in _OCCUPIED:
            return False
        raise
    return True


def discard(temporary: str) -> None:
    """Remove a temporary file, or a temporary folder with all that it holds, if it is there."""
    try:
        os.unlink(temporary)
    except OSError:
        if os.path.isdir(temporary):
            import shutil

            shutil.rmtree(temporary, ignore_errors=True)
