"""The journal folder beside the database: what is in it and which database it belongs to.

====================  ==============================================================
``store.json``        store id, merge generation, how the database file looked last
``store.lock``        held while ``store.json`` changes
``*.journal``         one per writing process
``notice``            one line with every record: the token of the journal it is in
``merged/``           journals that are wholly in the database, kept for a while
``damaged/``          journals and staged rows of which something could not be read, kept for good
``claims/``           one empty file per run id that was asked for by name
``leases/``           one file per run that others wait for
``joined/``           what blocks said that joined a scenario, and the locks they take meanwhile
``rows/``             rows that runs ingested and no merge has stored yet
``purged.json``       runs that were removed from the record, once there are any
``snapshots/``        locks under which the snapshots of runs are rewritten
``index.sqlite``      the look-up index (elsewhere where the folder is on a network)
``memo.sqlite``       digests of unchanged files
====================  ==============================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from consist.errors import StoreDamaged, StoreTooNew, StoreUnwritable, hint
from consist.files.atomic import unwritable, write_atomic
from consist.models.record import FORMAT_VERSION, encode, replace
from consist.store.locks import FileLock

Stamp = tuple[int, int, int]

_LONGEST_NOTICE = 4 * 2**20
_CHANGE_WAIT = 2.0


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    """Content of ``store.json``.

    Attributes
    ----------
    store_id : str
        Shared by database, journal folder and index.
    generation : int
        Number of the last merge.
    cleared : int
        Newest merge whose journals are gone; an index behind it has to ask the database.
    database : tuple of int or None
        Inode, size and mtime of the database file after that merge; ``None`` before the first.
    run_dirs : tuple of str
        Run folders whose snapshots can refill the database.
    """

    format: int = FORMAT_VERSION
    store_id: str
    generation: int = 0
    cleared: int = 0
    database: Stamp | None = None
    run_dirs: tuple[str, ...] = ()


class _Format(msgspec.Struct):
    format: int


class JournalFolder:
    """Paths and state of the folder ``<db_path>.journal``.

    Parameters
    ----------
    db_path : Path
        The database file.
    read_only : bool, default False
        Whether nothing may be created or written here, only looked at.
    """

    def __init__(self, db_path: Path, *, read_only: bool = False) -> None:
        self.db_path, self.read_only = db_path, read_only
        self.path = Path(f"{db_path}.journal")
        self.merged = self.path / "merged"
        self.damaged = self.path / "damaged"
        self.rows = self.path / "rows"
        self.notice = self.path / "notice"
        self.claims = self.path / "claims"
        self.leases = self.path / "leases"
        self.joined = self.path / "joined"
        self.purged = self.path / "purged.json"
        self.state_path = self.path / "store.json"
        self._wanted = self.path / "merge-wanted"

    # ------------------------------------------------------------ state

    def state(self) -> StoreState | None:
        """Read ``store.json``, or ``None`` where the folder was never set up.

        Raises
        ------
        StoreTooNew
            If a newer library set it up.
        StoreDamaged
            If it cannot be read.
        """
        try:
            text = self.state_path.read_bytes()
            found = msgspec.json.decode(text, type=_Format).format
            if found > FORMAT_VERSION:
                problem = StoreTooNew(str(self.state_path), found, FORMAT_VERSION)
                raise hint(problem, "upgrade consist")
            return msgspec.json.decode(text, type=StoreState)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            problem = StoreDamaged(str(self.state_path), str(error))
            raise hint(problem, "remove it; it is written anew from the database") from error

    def set_up(self, store_id: str | None, generation: int = 0) -> StoreState:
        """Create the folder for a store, or read what another process just created.

        In a folder that cannot be written, the state is only for this process.
        """
        fresh = StoreState(store_id=store_id or os.urandom(16).hex(), generation=generation)
        if self.read_only:
            return fresh
        try:
            for folder in (self.path, self.merged, self.claims):
                folder.mkdir(parents=True, exist_ok=True)
            return self.change(lambda state: state or fresh)
        except (OSError, StoreUnwritable):
            return fresh

    def change(self, change: Callable[[StoreState | None], StoreState]) -> StoreState:
        """Write what ``change`` makes of the state; others wait meanwhile.

        Raises
        ------
        StoreUnwritable
            If ``store.json`` cannot be written.
        """
        if self.read_only:
            raise StoreUnwritable(str(self.state_path), "opened for looking only")
        lock = FileLock(str(self.path / "store.lock"))
        lock.acquire(wait=_CHANGE_WAIT)
        try:
            known = self.state()
            state = change(known)
            if state != known:
                write_atomic(self.state_path, encode(state))
            return state
        finally:
            lock.release()

    def remember_run_dir(self, run_dir: str, fallback: StoreState) -> None:
        """Note a run folder whose snapshots belong to this store, where that can be written."""

        def add(state: StoreState | None) -> StoreState:
            state = state or fallback
            if run_dir in state.run_dirs:
                return state
            return replace(state, run_dirs=(*state.run_dirs, run_dir))

        try:
            self.change(add)
        except StoreUnwritable:
            return

    def stamp(self) -> Stamp | None:
        """Return inode, size and mtime of the database file as it is now."""
        try:
            found = self.db_path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None

    def state_stamp(self) -> Stamp | None:
        """Return what changes whenever ``store.json`` does."""
        try:
            found = os.stat(self.state_path)  # noqa: PTH116 - on the path of every miss
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    # ------------------------------------------------------------ notices

    def noticed(self, since: int) -> tuple[int, set[str] | None]:
        """Return the size of the notice file, and whose journals grew since it had another size.

        Returns
        -------
        tuple of int and set of str or None
            Tokens; ``None`` if all journals have to be looked at.
        """
        try:
            size = os.stat(self.notice).st_size  # noqa: PTH116 - on the path of every miss
        except OSError:
            return 0, None if since else set()
        if size == since:
            return size, set()
        if not 0 <= since < size:
            return size, None
        with self.notice.open("rb") as file:
            file.seek(since)
            return size, set(file.read(size - since).decode(errors="replace").split())

    def shorten_notice(self) -> None:
        """Begin the notice file again once it is long; readers then look at every journal."""
        if self.notice.exists() and self.notice.stat().st_size > _LONGEST_NOTICE:
            os.truncate(self.notice, 0)

    # ------------------------------------------------------------ marks

    def ask_for_merge(self) -> None:
        """Leave a mark for whoever holds the database."""
        try:
            self._wanted.touch()
        except OSError as error:
            raise unwritable(str(self._wanted), error) from error

    def merge_is_wanted(self) -> bool:
        """Take the mark away; return whether there was one."""
        try:
            self._wanted.unlink()
        except OSError:
            return False
        return True
