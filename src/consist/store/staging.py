"""Rows on their way into the database: Parquet files beside the journals that name them.

A file is written under a temporary name, locked by its owner, renamed, and only then named by a
journal record; the lock is held until the record is written. A file that no unread record names
and whose lock is free is therefore of no use to anybody: its rows were stored, or its owner died
before it could say what they are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from consist.errors import UsageError
from consist.files.atomic import unwritable
from consist.store import locks

SUFFIX = ".parquet"
_BEGUN = ".new-"
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL


class StagedFile:
    """A place for the rows of one artifact.

    Attributes
    ----------
    path : Path
        Where to write them, as Parquet, to the existing empty file.
    name : str
        What a record calls the file.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.urandom(8).hex()}{SUFFIX}"
        self.path = folder / f"{_BEGUN}{self.name}"
        self._kept = folder / self.name

    def keep(self, *, sync: bool) -> None:
        """Give the file the name that a record may refer to."""
        if sync:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self.path.rename(self._kept)

    def discard(self) -> None:
        """Remove the file, whichever name it has."""
        for path in (self.path, self._kept):
            path.unlink(missing_ok=True)


class Staging:
    """The folder of staged rows.

    Parameters
    ----------
    folder : Path
        Created when the first rows come.
    sync : bool
        Whether rows are forced to the disk before a record names them.
    """

    def __init__(self, folder: Path, *, sync: bool) -> None:
        self.folder, self.sync = folder, sync

    @contextmanager
    def place(self) -> Generator[StagedFile]:
        """Yield a place for rows, locked until the block ends and removed if it raises.

        Raises
        ------
        StoreUnwritable
            If no file can be created there.
        """
        staged = StagedFile(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = locks.open_guarded(str(staged.path), _CREATE)
        except OSError as error:
            raise unwritable(str(staged.path), error) from error
        owner = os.getpid()
        try:
            locks.try_flock(descriptor)
            yield staged
        except BaseException:
            if os.getpid() == owner:
                staged.discard()
            raise
        finally:
            locks.close_guarded(descriptor)

    def keep(self, staged: StagedFile) -> None:
        """Make a file ready to be named by a record.

        Raises
        ------
        StoreUnwritable
            If it cannot be renamed or forced to the disk.
        """
        if staged.path.parent != self.folder:
            raise UsageError(f"{staged.path} was not staged in {self.folder}")
        try:
            staged.keep(sync=self.sync)
        except OSError as error:
            raise unwritable(str(staged.path), error) from error


def clear(folder: Path, keep: Collection[str], named: Callable[[], Collection[str]]) -> None:
    """Remove files that nobody needs.

    Parameters
    ----------
    folder : Path
        Of staged rows.
    keep : collection of str
        Names that are needed although their owner may be gone.
    named : callable
        Returns the names in all records that no merge has stored. It is called once the locks of
        what is to be removed were found free: a record that names one of them is there by then.
    """
    free = [path for path in listed(folder) if path.name not in keep and _is_free(path)]
    needed = named() if free else ()
    for path in free:
        if path.name.removeprefix(_BEGUN) not in needed:
            path.unlink(missing_ok=True)
    for path in _workplaces(folder):
        if not path.with_suffix(SUFFIX).exists():  # its owner made that first
            shutil.rmtree(path, ignore_errors=True)


def _workplaces(folder: Path) -> list[Path]:
    """Return the folders in which rows are prepared, also of processes that were killed."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def listed(folder: Path) -> list[Path]:
    """Return the staged files there are, also those just being written."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


def _is_free(path: Path) -> bool:
    # Its owner holds the lock alone; those who read the rows share it.
    return path.exists() and not locks.is_locked(str(path)) and not locks.is_shared(str(path))
