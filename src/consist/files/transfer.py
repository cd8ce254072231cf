"""Copy files and folders, whole or not at all."""
# ruff: noqa: PTH101, PTH102, PTH108, PTH103, PTH104, PTH112, PTH114, PTH115, PTH116, PTH117, PTH120, PTH121, PTH211  # paths are text here, see bounds.py

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from consist.errors import ChangedWhileCopied, ConsistError, PathEscape, UsageError, hint
from consist.files.atomic import beside, create, discard, publish, unwritable
from consist.files.bounds import absolute, leads_out, within
from consist.files.stamps import stamp_of
from consist.identity.files import digest_many
from consist.types import PathLike

Progress: TypeAlias = Callable[[int], None]

_BUFFER = 1 << 20
_CHUNK = 32 << 20  # of what the kernel copies between two calls of ``progress``
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_FICLONE = 0x40049409  # of Linux: ioctl that shares the blocks of a file


def copy(
    source: PathLike,
    destination: PathLike,
    *,
    link: str = "never",
    confirm: Callable[[], None] | None = None,
    progress: Progress | None = None,
    replace: bool = True,
) -> None:
    """Copy a file or a folder so that ``destination`` is old, absent or complete, never partial.

    The copy is made under a temporary name in the same folder and renamed. Times of
    modification and permissions stay; missing folders are created. The files of a folder are
    copied in parallel where that pays.

    Parameters
    ----------
    source : str or path
        File or folder. Symbolic links inside a folder are copied as links if they are relative
        and stay in it.
    destination : str or path
        The new file or folder itself, not the folder that it goes into. If it is the source,
        nothing is copied.
    link : {"never", "hardlink", "reflink"}
        ``"hardlink"`` gives the files a second name instead, and takes the right to write from
        both; ``"reflink"`` lets both share their blocks until one is written to. Where the
        system can do neither, bytes are copied.
    confirm : callable, optional
        Called when the copy is complete and has no name yet; what it raises, undoes it. Not
        called for hard links, which are the source itself.
    progress : callable, optional
        Called with the number of bytes copied since its last call, also from other threads.
    replace : bool, default True
        Whether an existing ``destination`` is replaced, a folder with all that it holds.

    Raises
    ------
    FileNotFoundError
        If there is no ``source``.
    FileExistsError
        If ``destination`` exists and ``replace`` is false.
    ChangedWhileCopied
        If a file changed while it was copied.
    PathEscape
        If ``destination`` is a symbolic link, or a link in the folder leads out of it.
    StoreUnwritable
        If the copy cannot be written.
    """
    origin, target = absolute(source), absolute(destination)
    mode, progress = os.stat(origin).st_mode, progress or _ignore
    check_places(origin, target)
    if _is_done(origin, target, link):
        return
    confirm = _agree if confirm is None or link == "hardlink" else confirm
    with _made_beside(target, origin) as temporary:
        if stat.S_ISDIR(mode):
            _fill_folder(temporary, origin, progress, link)
            confirm()
            _swap(temporary, target, replace=replace)
        elif stat.S_ISREG(mode):
            _fill(temporary, origin, progress, link)
            confirm()
            publish(temporary, target, exclusive=not replace)
        else:
            raise UsageError(f"{origin} is neither a file nor a folder")


def _agree() -> None:
    pass


def _is_done(origin: str, target: str, link: str) -> bool:
    """Whether the destination is the source; a second name for it is no copy."""
    if not os.path.lexists(target) or not os.path.samefile(origin, target):
        return False
    if link == "hardlink" or os.path.isdir(target) or os.stat(target).st_nlink == 1:
        return True
    return os.path.realpath(origin) == os.path.realpath(target)


def check_places(origin: str, target: str) -> None:
    """Refuse destinations that are symbolic links, or lie in the source or around it.

    Raises
    ------
    PathEscape, UsageError
    """
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


def _fill(path: str, origin: str, progress: Progress, link: str) -> None:
    """Create ``path`` with the bytes, times and permissions of ``origin``, or as a link to it."""
    if link == "hardlink" and _hard_linked(origin, path):
        progress(os.stat(path).st_size)
        return
    reader = os.open(origin, _READ)
    try:
        before = os.fstat(reader)
        writer = create(path, before.st_mode & 0o777)
        try:
            if link == "reflink" and _cloned(reader, writer):
                progress(before.st_size)
            else:
                _pour(reader, writer, before.st_size, progress)
            os.utime(writer, ns=(before.st_atime_ns, before.st_mtime_ns))
            written = os.fstat(writer).st_size
        finally:
            os.close(writer)
        after = os.fstat(reader)
    finally:
        os.close(reader)
    if written != before.st_size or stamp_of(after)[::2] != stamp_of(before)[::2]:
        raise ChangedWhileCopied(origin, _state(before), _state(after))


def _hard_linked(origin: str, path: str) -> bool:
    """Give a file a second name, and take the right to write from both; return whether it did.

    Another file system, or a file of somebody else's, has to be copied.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.link(origin, path)
    except OSError:
        return False
    try:
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~_WRITABLE)
    except OSError:
        os.unlink(path)
        return False
    return True


def _cloned(reader: int, writer: int) -> bool:
    """Share the blocks of a file until either is written to; return whether the system can."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True


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
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(writer, rest) :]
    return len(data)


def _ignore(_: int) -> None:
    pass


def _state(status: os.stat_result) -> str:
    return f"{status.st_size} bytes, modified at {status.st_mtime_ns} ns"


# ---------------------------------------------------------------- a folder


def _fill_folder(temporary: str, origin: str, progress: Progress, link: str) -> None:
    """Create ``temporary`` with everything that is in ``origin``; files are copied in parallel."""
    os.makedirs(temporary)
    sizes: dict[str, int] = {}
    for relative, entry in _entries(origin):
        path = f"{temporary}/{relative}"
        if entry.is_symlink():
            os.symlink(_inner_link(origin, entry.path), path)
        elif entry.is_dir():
            os.mkdir(path)
        elif entry.is_file():
            sizes[relative] = entry.stat(follow_symlinks=False).st_size
        else:
            raise UsageError(f"{entry.path} is neither a file nor a folder")

    def fill(relative: str) -> None:
        _fill(f"{temporary}/{relative}", f"{origin}/{relative}", progress, link)

    for_each(list(sizes), fill, list(sizes.values()))


def for_each(names: Sequence[str], function: Callable[[str], None], sizes: Sequence[int]) -> None:
    """Call a function with each name, in threads where so many bytes are worth it.

    Raises
    ------
    Exception
        Of the first name that fails.
    """

    def call(name: str) -> str:
        function(name)
        return name

    # The same question as for digests: do threads help with files of these sizes, or hinder?
    digest_many(names, call, sizes=sizes)


def size_of(path: PathLike) -> int:
    """Return how many bytes a file or folder holds."""
    if not os.path.isdir(path):
        return os.stat(path).st_size
    return sum(
        entry.stat(follow_symlinks=False).st_size
        for _, entry in _entries(os.fspath(path))
        if entry.is_file(follow_symlinks=False)
    )


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
