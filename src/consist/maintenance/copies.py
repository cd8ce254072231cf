"""Keep a database as it is now, and be rid of the space that it no longer needs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.errors import UsageError, hint
from consist.files.atomic import write_atomic
from consist.maintenance.disk import disk_use
from consist.maintenance.places import store_of
from consist.models.record import encode, indent
from consist.store.copying import compact_database, copy_database

if TYPE_CHECKING:
    from consist.types import PathLike
    from consist.workspace import Workspace


class DatabaseCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a database.

    Attributes
    ----------
    path, sidecar : str
        The copy, and the file beside it that says what it is.
    size : int
        Bytes of the copy.
    checkpointed : bool
        Whether all that was acknowledged was merged into the database first.
    unmerged_bytes : int
        How many bytes of journals the copy lacks; 0 where ``checkpointed``.
    dry_run : bool
        Whether only the plan was made.
    """

    path: str
    sidecar: str
    size: int
    checkpointed: bool
    unmerged_bytes: int
    dry_run: bool = False


def snapshot_db(
    ws: Workspace,
    dest: PathLike,
    checkpoint: bool = True,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> DatabaseCopy:
    """Copy the database to a file that opens as a database by itself.

    Others may record runs meanwhile. The copy is there whole or not at all, and beside it lies
    ``<stem>.snapshot_meta.json`` with what it is a copy of, and of when.

    Parameters
    ----------
    dest : str or Path
        The copy, relative to the current folder.
    checkpoint : bool, default True
        Merge what was recorded so far into the database first. Where another program reads the
        file all the time and that is not possible, it is copied as it is; ``checkpointed`` and
        ``unmerged_bytes`` of the answer say so.
    force : bool, default False
        Replace an existing file.
    dry_run : bool, default False
        Check only.

    Returns
    -------
    DatabaseCopy

    Raises
    ------
    ValueError
        If the file exists, or is the database itself.
    RuntimeError
        Without a database, if another program writes to it, or if the copy cannot be written.

    Examples
    --------
    >>> tracker.snapshot_db("backup.duckdb").checkpointed  # doctest: +SKIP
    True
    """
    store = store_of(ws, "snapshot_db")
    target = Path(os.path.abspath(dest))  # noqa: PTH100 - links are kept as given
    if target.exists() and target.samefile(store.db_path):
        raise UsageError(f"{target} is the database itself")
    if target.exists() and not force:
        raise hint(UsageError(f"{target} exists"), "choose another name, or pass force (--force)")
    sidecar = target.with_name(f"{target.stem}.snapshot_meta.json")
    if dry_run:
        return DatabaseCopy(
            path=str(target),
            sidecar=str(sidecar),
            size=store.db_path.stat().st_size if store.db_path.exists() else 0,
            checkpointed=checkpoint,
            unmerged_bytes=0,
            dry_run=True,
        )
    at = datetime.now(UTC)
    done = copy_database(store, target, merge=checkpoint, replace=force)
    meta = {
        "operation": "snapshot",
        "snapshot_ts_utc": at.isoformat(),
        "source_db_path": str(store.db_path),
        "checkpointed": done.merged,
        "unmerged_bytes": done.unmerged_bytes,
    }
    write_atomic(sidecar, indent(encode(meta)))
    return DatabaseCopy(
        path=str(target),
        sidecar=str(sidecar),
        size=target.stat().st_size,
        checkpointed=done.merged,
        unmerged_bytes=done.unmerged_bytes,
    )


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What compacting a database brought.

    Attributes
    ----------
    bytes_before, bytes_after : int
        Size of the database file.
    folder_bytes_before, folder_bytes_after : int
        Size of everything in the folder beside it.
    files_removed, claims_removed : int
        Temporary files of processes that died, and claims of ids that are long recorded.
    dry_run : bool
        Whether only the sizes were looked at.
    """

    bytes_before: int
    bytes_after: int
    folder_bytes_before: int
    folder_bytes_after: int
    files_removed: int = 0
    claims_removed: int = 0
    dry_run: bool = False


def compact_db(ws: Workspace, *, dry_run: bool = False) -> Compacted:
    """Give back the space that the database file no longer needs.

    Everything is copied into a fresh file, which takes the place of the old one in one step; a
    process that dies in the middle leaves the old one as it was. Journals that were merged,
    temporary files of dead processes and outdated claims go as well. There has to be room for the
    copy.

    Parameters
    ----------
    dry_run : bool, default False
        Only say how large everything is.

    Returns
    -------
    Compacted

    Raises
    ------
    RuntimeError
        Without a database, if somebody else holds it, or if there is no room.
    """
    store = store_of(ws, "compact_db")
    before = disk_use(store)
    outside = sum(before.values()) - before["database"]
    if dry_run:
        return Compacted(
            bytes_before=before["database"],
            bytes_after=before["database"],
            folder_bytes_before=outside,
            folder_bytes_after=outside,
            dry_run=True,
        )
    done = compact_database(store)
    after = disk_use(store)
    return Compacted(
        bytes_before=done.bytes_before,
        bytes_after=done.bytes_after,
        folder_bytes_before=outside,
        folder_bytes_after=sum(after.values()) - after["database"],
        files_removed=done.files_removed,
        claims_removed=done.claims_removed,
    )
