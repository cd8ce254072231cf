"""Figures of a database, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from consist.errors import InvalidRunId
from consist.files.places import decode_name
from consist.maintenance.disk import disk_use
from consist.maintenance.places import run_folders, snapshot_files, store_of
from consist.store.condition import run_ids, totals, unended
from consist.store.copying import unmerged_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from consist.workspace import Workspace


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a database holds.

    Attributes
    ----------
    total_runs, total_artifacts : int
        How many there are, those included that no merge has reached.
    runs_by_status : dict
        How many runs are ``completed``, ``failed``, ``interrupted`` and ``running``.
    orphaned_artifact_count : int
        Artifacts that no run made and no run is linked to.
    zombie_run_ids : list of str
        Runs that are recorded as running and whose process is gone, or that have an end.
    unknown_run_ids : dict
        Runs that are recorded as running by other hosts, and when they were last heard of.
    global_table_sizes : dict
        Ingested rows by table.
    db_file_size_mb : float
        Size of the database file in MB (10^6 bytes).
    json_snapshot_count : int
        Snapshots in the run folders that were used on this machine.
    json_db_parity : bool
        Whether the runs that have a snapshot here are those of the database.
    disk_use : dict
        Bytes by part; see :func:`~consist.maintenance.disk.disk_use`.
    unmerged_bytes : int
        What journals hold that the database file does not know yet.
    """

    total_runs: int
    runs_by_status: dict[str, int]
    total_artifacts: int
    orphaned_artifact_count: int
    zombie_run_ids: list[str]
    unknown_run_ids: dict[str, str]
    global_table_sizes: dict[str, int]
    db_file_size_mb: float
    json_snapshot_count: int
    json_db_parity: bool
    disk_use: dict[str, int]
    unmerged_bytes: int


def inspect_db(ws: Workspace) -> Inspection:
    """Return figures of the database: runs, artifacts, rows, and the room they take.

    Raises
    ------
    RuntimeError
        Without a database, or if it cannot be read within ``CONSIST_LOCK_WAIT`` seconds.
    """
    store = store_of(ws, "inspect_db", changes=False)
    with store.ask() as connection:
        found, open_runs = totals(connection), unended(connection)
        ids = set(run_ids(connection).values())
    files = list(snapshot_files(run_folders(ws, store)))
    use = disk_use(store)
    return Inspection(
        total_runs=sum(found.runs_by_status.values()),
        runs_by_status=found.runs_by_status,
        total_artifacts=found.artifacts,
        orphaned_artifact_count=found.orphaned_artifacts,
        zombie_run_ids=open_runs.dead,
        unknown_run_ids=open_runs.unknown,
        global_table_sizes=found.rows,
        db_file_size_mb=use["database"] / 1e6,
        json_snapshot_count=len(files),
        json_db_parity={_run_id(path) for path in files} == ids,
        disk_use=use,
        unmerged_bytes=unmerged_bytes(store),
    )


def _run_id(path: Path) -> str:
    try:
        return decode_name(path.stem)
    except InvalidRunId:
        return path.name
