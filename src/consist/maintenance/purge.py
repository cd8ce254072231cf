"""Remove runs for good: their records, their snapshots, and if wished their files.

Files go first, then snapshots, then the record, so that whatever a crash leaves behind is found
again when the purge is repeated.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from consist.errors import PurgeRefused, SnapshotMissing, StoreLocked, UnknownKey, hint
from consist.files.places import RunPlaces
from consist.maintenance.places import Bounds, Claimed, place_of, store_of
from consist.models.record import ArtifactRecord, PurgeEvent
from consist.query.runs import get_run
from consist.store.condition import unended
from consist.store.locks import this_user
from consist.store.maintenance import as_record
from consist.store.row_tables import purgeable
from consist.store.shard_out import subtree
from consist.store.snapshots import load_snapshot
from consist.types import check_option

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.store.embedded import EmbeddedStore
    from consist.workspace import Workspace

UNSAFE = ("fail", "skip")
_PIECE = 10_000


class PurgePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge removes.

    Attributes
    ----------
    run_ids, child_run_ids : list of str
        All runs, and those of them that are below the one that was named.
    orphaned_artifact_ids : list of str
        Artifacts that no other run is linked to.
    json_files, disk_files : list of str
        Snapshots, and files or folders that these runs wrote.
    unsafe_json_files, unsafe_disk_files : dict
        What may not be removed, with the reason.
    kept_disk_files : dict
        Files that stay, with the reason: other artifacts refer to them, or they hold other bytes.
    ingested_data : dict
        Ingested rows of the orphaned artifacts and of these runs, by table; where caches are
        pruned, also the rows of caches that no other run is linked to.
    ingested_table_modes : dict
        How each of these tables tells whose rows it holds: ``run_scoped``, ``run_link`` or
        ``unscoped_cache``.
    disk_bytes : int
        What the files take.
    """

    run_ids: list[str]
    child_run_ids: list[str]
    orphaned_artifact_ids: list[str]
    json_files: list[str]
    disk_files: list[str]
    unsafe_json_files: dict[str, str]
    unsafe_disk_files: dict[str, str]
    kept_disk_files: dict[str, str]
    ingested_data: dict[str, int]
    ingested_table_modes: dict[str, str]
    disk_bytes: int
    uids: dict[str, str]


class Purge(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge did.

    Attributes
    ----------
    plan : PurgePlan
        What was to be removed.
    executed : bool
        Whether it was.
    ingested_data_skipped : bool
        Whether ingested rows stay in the database although nothing refers to them.
    skipped_unsafe_json_files, skipped_unsafe_disk_files : list of str
        What was left where it is.
    """

    plan: PurgePlan
    executed: bool
    ingested_data_skipped: bool
    skipped_unsafe_json_files: list[str]
    skipped_unsafe_disk_files: list[str]


def purge_db(
    ws: Workspace,
    run_id: str,
    *,
    children: bool = True,
    delete_ingested_data: bool = False,
    prune_cache: bool = False,
    delete_files: bool = False,
    unsafe_delete_targets: Literal["fail", "skip"] = "fail",
    dry_run: bool = False,
) -> Purge:
    """Remove a run, and the runs below it, from the record for good.

    Artifacts that only they had go with them; what other runs used or gave back stays. Neither a
    journal nor a snapshot brings the runs back. Make a copy first: :func:`snapshot_db`.

    Parameters
    ----------
    run_id : str
        The run; a plain id of several attempts means the latest.
    children : bool, default True
        Also the runs whose chain of parents leads to it.
    delete_ingested_data : bool, default False
        Also the ingested rows of the artifacts that go, and the rows of other tables in
        ``global_tables`` that name one of these runs in ``run_id``. Without it rows stay, and their
        columns go on telling whose they were.
    prune_cache : bool, default False
        Also rows of shared tables, which name no run: those whose ``content_hash`` a table with
        ``run_id`` and ``content_hash`` links to these runs and to no run that stays.
    delete_files : bool, default False
        Also the files that these runs wrote, as far as they still hold what was recorded and no
        other artifact refers to them. Inputs that nobody produced are never removed.
    unsafe_delete_targets : {"fail", "skip"}
        What to do about a file outside the run folders and mounts, or behind a symbolic link:
        refuse all, or leave it.
    dry_run : bool, default False
        Only plan.

    Returns
    -------
    Purge

    Raises
    ------
    KeyError
        If there is no such run.
    PurgeRefused
        If one of the runs is running, or a file is unsafe to remove.
    RuntimeError
        Without a database, or if somebody else holds it; nothing was removed then.
    """
    check_option("unsafe_delete_targets", unsafe_delete_targets, UNSAFE)
    store = store_of(ws, "purge_db", changes=not dry_run)
    plan = plan_purge(
        ws, run_id, children=children, delete_files=delete_files, prune_cache=prune_cache
    )
    modes = plan.ingested_table_modes
    report = Purge(
        plan=plan,
        executed=not dry_run,
        ingested_data_skipped=not delete_ingested_data
        and any(modes[table] != "unscoped_cache" for table in plan.ingested_data),
        skipped_unsafe_json_files=list(plan.unsafe_json_files),
        skipped_unsafe_disk_files=list(plan.unsafe_disk_files),
    )
    if dry_run:
        return report
    _check(plan, unsafe_delete_targets)
    if not store.sync(ws.settings.lock_wait):
        raise store.database.refused or StoreLocked(str(store.db_path), "another process", 0.0)
    _carry_out(ws, store, plan, rows=delete_ingested_data, cache=prune_cache)
    return report


def _check(plan: PurgePlan, unsafe: str) -> None:
    targets = {**plan.unsafe_json_files, **plan.unsafe_disk_files}
    if targets and unsafe == "fail":
        path, reason = next(iter(targets.items()))
        problem = PurgeRefused(f"{path} {reason} ({len(targets)} such in all)")
        raise hint(
            problem, "leave them with unsafe_delete_targets='skip', or name their run folder"
        )


def _carry_out(
    ws: Workspace, store: EmbeddedStore, plan: PurgePlan, *, rows: bool, cache: bool
) -> None:
    bounds = Bounds(ws, store)
    for path in plan.disk_files:
        bounds.remove(path)
    for path in plan.json_files:
        Path(path).unlink(missing_ok=True)
    store.purge(
        PurgeEvent(
            runs=plan.uids,
            artifacts=tuple(plan.orphaned_artifact_ids),
            rows=rows,
            cache=cache,
            at=datetime.now(UTC),
            by=this_user(),
        )
    )


# ---------------------------------------------------------------- the plan


def plan_purge(
    ws: Workspace,
    run_id: str,
    *,
    children: bool = True,
    delete_files: bool = False,
    prune_cache: bool = False,
) -> PurgePlan:
    """Find out what :func:`purge_db` would remove.

    Raises
    ------
    KeyError
        If there is no such run.
    PurgeRefused
        If one of the runs is running.
    """
    store = store_of(ws, "purge_db", changes=False)
    run = get_run(ws, run_id)
    if run is None:
        problem = UnknownKey(run_id, "the database", ())
        raise hint(problem, "it may have been purged already; consist runs lists the newest ids")
    with ws.store.ask() as connection:
        run_ids = subtree(connection, run.id) if children else [run.id]
        _check_ended(connection, run_ids)
        whereabouts = _whereabouts(connection, run_ids)
        orphaned = _orphaned(connection, run_ids)
        rows = purgeable(connection, [artifact.id for artifact in orphaned], caches=prune_cache)
        own = {run_id for run_id, *_ in whereabouts}
        others = _others(ws, connection, {a.id for a in orphaned}) if delete_files else Claimed(())
    bounds = Bounds(ws, store)
    json_files, unsafe_json = _snapshots(ws, whereabouts, bounds)
    files = _Files()
    for artifact in orphaned if delete_files else ():
        if artifact.run_id in own:
            files.judge(ws, artifact, bounds, others)
    return PurgePlan(
        run_ids=run_ids,
        child_run_ids=run_ids[1:],
        orphaned_artifact_ids=[artifact.id for artifact in orphaned],
        json_files=json_files,
        disk_files=list(files.removable),
        unsafe_json_files=unsafe_json,
        unsafe_disk_files=files.unsafe,
        kept_disk_files=files.kept,
        ingested_data={table.name: n for table, n in rows},
        ingested_table_modes={table.name: table.mode for table, _ in rows},
        disk_bytes=sum(files.removable.values()),
        uids={uid: run_id for run_id, uid, _ in whereabouts},
    )


def _check_ended(connection: DuckDBPyConnection, run_ids: list[str]) -> None:
    found = unended(connection)
    running = {*found.alive, *found.unknown}.intersection(run_ids)
    if running:
        problem = PurgeRefused(f"run {min(running)!r} is running")
        raise hint(
            problem,
            "wait for its end; if its process is gone: consist db fix-status RUN failed",
        )


def _whereabouts(
    connection: DuckDBPyConnection, run_ids: list[str]
) -> list[tuple[str, str, str | None]]:
    return connection.execute(
        "SELECT id, uid, json_extract_string(meta, '$._physical_run_dir') FROM main.run"
        " WHERE id IN (SELECT unnest(?)) ORDER BY id",
        [run_ids],
    ).fetchall()


def _orphaned(connection: DuckDBPyConnection, run_ids: list[str]) -> list[ArtifactRecord]:
    """Return the artifacts of runs that no other run made or is linked to."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE purged_run AS SELECT unnest(?::VARCHAR[]) AS id", [run_ids]
    )
    found = connection.execute(
        "SELECT a.* FROM main.artifact a WHERE (a.run_id IN (SELECT id FROM purged_run)"
        " OR (a.id IN (SELECT artifact_id FROM main.run_artifact_link"
        "  WHERE run_id IN (SELECT id FROM purged_run))"
        "  AND (a.run_id IS NULL OR a.run_id NOT IN (SELECT id FROM main.run))))"
        " AND a.id NOT IN (SELECT artifact_id FROM main.run_artifact_link"
        "  WHERE run_id NOT IN (SELECT id FROM purged_run)) ORDER BY a.id"
    )
    return list(_records(found))


def _records(found: DuckDBPyConnection) -> Iterator[ArtifactRecord]:
    names = [column[0] for column in found.description or ()]
    while rows := found.fetchmany(_PIECE):
        for row in rows:
            yield as_record(dict(zip(names, row, strict=True)))


def _others(ws: Workspace, connection: DuckDBPyConnection, leaving: set[str]) -> Claimed:
    """Return the places of all artifacts that stay."""
    found = connection.execute("SELECT * FROM main.artifact")
    return Claimed(
        (place_of(ws, record), record.hash)
        for record in _records(found)
        if record.id not in leaving and "freed" not in record.meta
    )


def _snapshots(
    ws: Workspace, whereabouts: Iterable[tuple[str, str, str | None]], bounds: Bounds
) -> tuple[list[str], dict[str, str]]:
    """Return the snapshots of runs, and those that may not be removed."""
    found: list[str] = []
    unsafe: dict[str, str] = {}
    for run_id, uid, run_dir in whereabouts:
        for folder in dict.fromkeys((run_dir or str(ws.run_dir), str(ws.run_dir))):
            path = RunPlaces(folder).snapshot_path(run_id)
            try:
                is_own = load_snapshot(Path(path), run_id).run.uid == uid
            except SnapshotMissing:
                continue
            if not is_own:
                continue
            if bounds.holds_snapshots(folder):
                found.append(path)
            else:
                unsafe[path] = "lies outside the run folders"
    return found, unsafe


class _Files:
    """Files of artifacts, sorted by what may happen to them."""

    def __init__(self) -> None:
        self.removable: dict[str, int] = {}
        self.unsafe: dict[str, str] = {}
        self.kept: dict[str, str] = {}

    def judge(
        self, ws: Workspace, artifact: ArtifactRecord, bounds: Bounds, others: Claimed
    ) -> None:
        from consist.maintenance.disk import size_of_tree

        path = place_of(ws, artifact)
        if artifact.table_path is not None or artifact.array_path is not None:
            return  # a part goes with its container
        if not os.path.lexists(path):
            return
        objection = bounds.objection(path)
        if objection is not None:
            self.unsafe[path] = objection
        elif others.holds(path, artifact.hash):
            self.kept[path] = "another artifact refers to it"
        elif not ws.files.is_same(path, artifact.hash):
            self.kept[path] = "holds other bytes than were recorded"
        else:
            self.removable[path] = size_of_tree(path)
