"""The database file copied whole: to keep it as it was, or to be rid of space that it wastes.

Both happen while everybody else is kept away from the file and it is attached nowhere, since
DuckDB loses its own lock when another descriptor of the file is closed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from consist.errors import StoreError, StoreLocked, UsageError, hint
from consist.files.atomic import TEMPORARY_PREFIX, beside, discard, publish, unwritable
from consist.store.database import ALIAS, STORAGE
from consist.store.global_tables import literal
from consist.store.journals import list_journals
from consist.store.merge import Session

if TYPE_CHECKING:
    from consist.store.embedded import EmbeddedStore

_NEW = "consist_compacted"
_ABANDONED = 3600.0  # seconds after which a temporary file belongs to nobody who lives
_SETTLED = 86_400.0  # … and a claim of a run that is recorded protects nothing any more


def with_database(store: EmbeddedStore, work: Callable[[Session], None]) -> None:
    """Merge, and do something while the database is ours alone.

    Raises
    ------
    StoreLocked
        If somebody else holds the database for longer than ``lock_wait``; nothing was done then.
    """
    wait = store.settings.lock_wait
    if not store.merger.work(wait, work):
        raise store.database.refused or StoreLocked(str(store.db_path), "another process", wait)


# ---------------------------------------------------------------- a copy


class Snapshot(NamedTuple):
    """How a copy was made: whether all records were merged first, and how many bytes were not."""

    merged: bool
    unmerged_bytes: int


def copy_database(store: EmbeddedStore, target: Path, *, merge: bool, replace: bool) -> Snapshot:
    """Copy the database to a file that is there whole or not at all.

    Parameters
    ----------
    store : EmbeddedStore
        The store, which others may use meanwhile; their runs are recorded, and merged later.
    target : Path
        The copy.
    merge : bool
        Whether what journals hold goes into the database first. Where somebody holds it who only
        reads, it is copied as it is, and the answer says so.
    replace : bool
        Whether an existing file may be replaced.

    Raises
    ------
    StoreLocked
        If somebody else holds the file to write to it.
    StoreUnwritable
        If the copy cannot be written, or nothing was ever merged that could be copied.
    """
    if merge:
        done = store.merger.work(
            store.settings.lock_wait,
            lambda session: _copy_afterwards(session, store.db_path, target, replace=replace),
        )
        if done:
            return Snapshot(merged=True, unmerged_bytes=0)
    _copy_as_it_is(store, target, replace=replace)
    return Snapshot(merged=False, unmerged_bytes=unmerged_bytes(store))


def _copy_afterwards(session: Session, source: Path, target: Path, *, replace: bool) -> None:
    session.afterwards = lambda: _copy(source, target, replace=replace)


def _copy_as_it_is(store: EmbeddedStore, target: Path, *, replace: bool) -> None:
    database, wait = store.database, store.settings.lock_wait
    with database.reading(wait):  # whoever writes to the file now is named
        pass
    with database.alone(wait) as alone:
        if not alone:
            raise database.refused or StoreLocked(str(store.db_path), "another process", wait)
        _copy(store.db_path, target, replace=replace)


def _copy(source: Path, target: Path, *, replace: bool) -> None:
    temporary = beside(str(target), ".duckdb")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = _stamp(source)
        shutil.copyfile(source, temporary)
        _check_calm(source, before)
        _force(temporary)
        publish(temporary, str(target), exclusive=not replace)
    except FileExistsError:
        discard(temporary)
        raise hint(UsageError(f"{target} exists"), "choose another name, or replace it") from None
    except OSError as error:
        discard(temporary)
        raise unwritable(str(target), error) from error
    except BaseException:
        discard(temporary)
        raise


def _check_calm(source: Path, before: tuple[int, int, int]) -> None:
    """Refuse a copy that was made while somebody, who is none of ours, wrote to the file."""
    log = Path(f"{source}.wal")
    if _stamp(source) != before or (log.exists() and log.stat().st_size):
        problem = StoreLocked(str(source), "a process that writes to it", 0.0)
        raise hint(problem, "copy it again when that process has closed the file")


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _force(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unmerged_bytes(store: EmbeddedStore) -> int:
    """Return how many bytes of journals the database does not know."""
    from consist.store.tail import stored_positions

    with store.database.reading(store.settings.lock_wait) as connection:
        known = stored_positions(connection) if store.database.exists else {}
    journals = list_journals(store.folder.path)
    return sum(max(0, journal.size - known.get(journal.token, 0)) for journal in journals)


# ---------------------------------------------------------------- compaction


class Compaction(NamedTuple):
    """What became of the database file and of what lay about it."""

    bytes_before: int
    bytes_after: int
    files_removed: int
    claims_removed: int


def compact_database(store: EmbeddedStore) -> Compaction:
    """Copy everything into a fresh file that takes the place of the old one.

    Until the new file is whole and on the disk, nothing happens to the old one; then one rename
    swaps them. The copy keeps the identity of the store, and counts as a merge.

    Raises
    ------
    StoreLocked
        If somebody else holds the database.
    StoreUnwritable
        If there is no room for the copy; everything is as before then.
    """
    path = store.database.path  # links are followed, so that the file behind them is the one
    temporary = beside(str(path), ".duckdb")
    sizes: list[int] = []

    def work(session: Session) -> None:
        with session.changing():
            pass  # rows get new numbers: whoever remembers some has to see another generation
        _copy_tables(session, temporary)
        session.afterwards = lambda: sizes.extend(_swap(temporary, path))

    try:
        with_database(store, work)
    except BaseException:
        for name in (temporary, f"{temporary}.wal"):
            discard(name)
        raise
    before, after = sizes
    return Compaction(before, after, _remove_temporaries(store), _remove_claims(store))


def _copy_tables(session: Session, temporary: str) -> None:
    session.allow_memory()
    session.connection.execute("CHECKPOINT " + ALIAS)
    session.connection.execute(f"ATTACH {literal(temporary)} AS {_NEW} ({STORAGE})")
    try:
        session.connection.execute(f"COPY FROM DATABASE {ALIAS} TO {_NEW}")
        _check_counts(session)
    finally:
        session.connection.execute(f"DETACH {_NEW}")


def _check_counts(session: Session) -> None:
    counts = {
        database: session.connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ?"
            " ORDER BY ALL",
            [database],
        ).fetchall()
        for database in (ALIAS, _NEW)
    }
    tables = counts[ALIAS]
    same = tables == counts[_NEW] and all(
        _rows(session, ALIAS, *table) == _rows(session, _NEW, *table) for table in tables
    )
    if not same:
        raise StoreError("the compacted copy of the database lacks rows; the original stays")


def _rows(session: Session, database: str, schema: str, table: str) -> int:
    from consist.store.global_tables import identifier

    name = f"{database}.{identifier(schema)}.{identifier(table)}"
    return int(session.connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])


def _swap(temporary: str, path: Path) -> tuple[int, int]:
    log = Path(f"{path}.wal")
    if log.exists():  # it belongs to the old file and would be played into the new one
        raise StoreError(f"{path} has a write-ahead log that could not be checkpointed")
    before, after = path.stat().st_size, Path(temporary).stat().st_size
    try:
        shutil.copymode(path, temporary)
        _force(temporary)
        os.replace(temporary, path)  # noqa: PTH105 - one is text
    except OSError as error:
        raise unwritable(str(path), error) from error
    return before, after


# ---------------------------------------------------------------- what lies about


def temporaries(store: EmbeddedStore) -> list[Path]:
    """Return the temporary files that processes which died left beside the database."""
    folders = (store.db_path.parent, store.folder.path)
    before = time.time() - _ABANDONED
    found: list[Path] = []
    for folder in folders:
        for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime < before:
                    found.append(path)
    return found


def _remove_temporaries(store: EmbeddedStore) -> int:
    count = 0
    for path in temporaries(store):
        with suppress(OSError):
            path.unlink()
            count += 1
    return count


def _remove_claims(store: EmbeddedStore) -> int:
    """Remove claims of runs that are long recorded: their record keeps their ids."""
    from consist.files.places import decode_name

    before, old = time.time() - _SETTLED, dict[str, Path]()
    with suppress(FileNotFoundError):
        for path in store.folder.claims.iterdir():
            with suppress(OSError, UsageError):
                if path.stat().st_mtime < before:
                    old[decode_name(path.name)] = path
    if not old:
        return 0
    with store.ask() as connection:
        known = connection.execute(
            "SELECT id FROM main.run WHERE id IN (SELECT unnest(?)) AND status <> 'running'",
            [list(old)],
        ).fetchall()
    for (run_id,) in known:
        old[run_id].unlink(missing_ok=True)
    return len(known)
