"""A run as a database of its own, and such a database into another one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.errors import SnapshotMissing, UnknownKey, hint
from consist.files.atomic import write_atomic
from consist.files.places import RunPlaces, safe_name
from consist.maintenance.places import store_of
from consist.models.record import ArtifactRecord, RunDocument, encode, indent, replace
from consist.query.runs import get_run
from consist.store.shard_in import Conflict, MergedShard, merge_shard
from consist.store.shard_out import select, write_shard
from consist.store.snapshots import first_snapshot, load_snapshot
from consist.types import check_option

if TYPE_CHECKING:
    from consist.models.run import Run
    from consist.types import PathLike
    from consist.workspace import Workspace

CONFLICTS = ("rename", "error", "skip")
SNAPSHOTS = "shard_snapshots"
"""Folder beside a shard with the snapshots of its runs."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard holds.

    Attributes
    ----------
    run_ids : list of str
        The run and those below it.
    lineage_run_ids : list of str
        Runs whose outputs these used, directly or over others.
    artifact_count : int
        Artifacts of all of them.
    out_path : str
        The shard.
    ingested_rows, ingested_rows_left_out : dict
        Ingested rows that are in it and that are not, by table.
    ingested_table_modes : dict
        How each table tells whose rows it holds: ``run_scoped``, as what Consist ingests, or
        ``run_link``, a table of somebody else with a column ``run_id``.
    unscoped_cache_tables_skipped : list of str
        Tables whose rows belong to no run; they are in no shard.
    snapshots_copied : int
        Snapshots in the folder ``shard_snapshots`` beside it.
    dry_run : bool
        Whether only the plan was made.
    """

    run_ids: list[str]
    lineage_run_ids: list[str]
    artifact_count: int
    out_path: str
    ingested_rows: dict[str, int]
    ingested_rows_left_out: dict[str, int]
    ingested_table_modes: dict[str, str]
    unscoped_cache_tables_skipped: list[str] = []
    snapshots_copied: int = 0
    dry_run: bool = False


def export_db(
    ws: Workspace,
    run_id: str,
    out: PathLike,
    *,
    children: bool = True,
    lineage: bool = True,
    include_data: bool = False,
    include_snapshots: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> Exported:
    """Write a run, and the runs below it, into a database file of its own: a shard.

    A shard opens as a database by itself. It holds whole runs: with the runs whose outputs were
    used, and so on upstream, so that it tells every lineage to its beginning. Full configs are
    only in snapshots.

    Parameters
    ----------
    run_id : str
        The run; a plain id of several attempts means the latest.
    out : str or Path
        The shard, relative to the current folder.
    children : bool, default True
        Also the runs whose chain of parents leads to it.
    lineage : bool, default True
        Also the runs upstream.
    include_data : bool, default False
        Also the ingested rows of all artifacts, and the rows of other tables in
        ``global_tables`` that name one of the runs. Without them, no artifact of the shard claims
        any.
    include_snapshots : bool, default False
        Also copy the snapshots, to the folder ``shard_snapshots`` beside the shard.
    force : bool, default False
        Replace an existing file.
    dry_run : bool, default False
        Only say what it would hold.

    Returns
    -------
    Exported

    Raises
    ------
    KeyError
        If there is no such run.
    ValueError
        If the file exists.
    RuntimeError
        Without a database, or if a file cannot be read or written.
    """
    store = store_of(ws, "export_db", changes=False)
    run = _known(ws, run_id)
    target = Path(os.path.abspath(out))  # noqa: PTH100 - links are kept as given
    if dry_run:
        chosen = select(store, run.id, children=children, lineage=lineage)
    else:
        chosen = write_shard(
            store,
            run.id,
            target,
            children=children,
            lineage=lineage,
            data=include_data,
            replace=force,
        )
    runs = [*chosen.run_ids, *chosen.lineage_run_ids]
    copied = 0
    if include_snapshots:
        copied = _copy_snapshots(ws, runs, target.parent / SNAPSHOTS, dry_run=dry_run)
    return Exported(
        run_ids=chosen.run_ids,
        lineage_run_ids=chosen.lineage_run_ids,
        artifact_count=chosen.artifact_count,
        out_path=str(target),
        ingested_rows=chosen.rows if include_data else {},
        ingested_rows_left_out={} if include_data else chosen.rows,
        ingested_table_modes=chosen.modes,
        unscoped_cache_tables_skipped=chosen.caches,
        snapshots_copied=copied,
        dry_run=dry_run,
    )


def _known(ws: Workspace, run_id: str) -> Run:
    run = get_run(ws, run_id)
    if run is None:
        problem = UnknownKey(run_id, "the database", ())
        raise hint(problem, "consist runs lists the newest ids")
    return run


def _copy_snapshots(ws: Workspace, run_ids: Iterable[str], folder: Path, *, dry_run: bool) -> int:
    count = 0
    for run_id, uid, run_dir in _whereabouts(ws, run_ids):
        document = first_snapshot((run_dir, str(ws.run_dir)), run_id, uid)
        if document is None:
            continue
        count += 1
        if not dry_run:
            write_atomic(folder / f"{safe_name(run_id)}.json", indent(encode(document)))
    return count


def _whereabouts(ws: Workspace, run_ids: Iterable[str]) -> list[tuple[str, str, str | None]]:
    with ws.store.ask() as connection:
        return connection.execute(
            "SELECT id, uid, json_extract_string(meta, '$._physical_run_dir') FROM main.run"
            " WHERE id IN (SELECT unnest(?)) ORDER BY id",
            [list(run_ids)],
        ).fetchall()


# ---------------------------------------------------------------- merging


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the runs of a shard.

    Attributes
    ----------
    shard_path : str
        The shard.
    runs_merged : list of str
        Runs that are new, under the ids they have here.
    runs_updated, runs_already_present : list of str
        Runs that were known as running and have ended, and runs that were there.
    runs_skipped : list of str
        Runs that were left out: of a conflict under ``"skip"``, or purged here on purpose.
    runs_renamed : dict
        Id in the shard → id here, where they differ.
    artifacts_merged : int
        Artifacts that are new.
    ingested_tables_merged : dict
        Ingested rows that were taken in, by table.
    incompatible_global_tables_skipped : dict
        Tables whose rows were left out, with the reason.
    unscoped_cache_tables_skipped : list of str
        Tables whose rows belong to no run; they were left out.
    conflicts_detected : list of str
        Ids of the shard that other runs have here.
    snapshots_merged : int
        Snapshots that were copied to the run folder.
    dry_run : bool
        Whether only the plan was made.
    """

    shard_path: str
    runs_merged: list[str]
    runs_updated: list[str]
    runs_already_present: list[str]
    runs_skipped: list[str]
    runs_renamed: dict[str, str]
    artifacts_merged: int
    ingested_tables_merged: dict[str, int]
    incompatible_global_tables_skipped: dict[str, str]
    conflicts_detected: list[str]
    unscoped_cache_tables_skipped: list[str] = []
    snapshots_merged: int = 0
    dry_run: bool = False


def merge_db(
    ws: Workspace,
    shard: PathLike,
    *,
    conflict: Conflict = "rename",
    include_snapshots: bool = False,
    dry_run: bool = False,
) -> Merged:
    """Take the runs of a shard, or of another whole database, into this one.

    All of it happens in one transaction. Runs are told apart by their internal ids: one that is
    there already is not taken in a second time, and no run ever replaces another. The ingested
    rows of an artifact come along, also where the artifact was here without them; of two ingests
    of the same artifact the later one counts.

    Parameters
    ----------
    shard : str or Path
        A file that ``export_db`` or a tracker wrote.
    conflict : {"rename", "error", "skip"}
        What to do with a run whose id another run has here. ``"rename"``: it becomes the next
        attempt, ``<id>~2``, with ``meta["renamed_from"]``, and what refers to it in the shard
        follows. ``"error"``: nothing is merged. ``"skip"``: it is left out, and with it what is
        below it. The same goes for tables of ingested rows that do not fit: under ``"error"``
        nothing is merged, else their rows are left out and the artifacts do not claim them. Types
        that differ are widened as by an ingest.
    include_snapshots : bool, default False
        Also copy the snapshots from the folder ``shard_snapshots`` beside the shard into the run
        folder.
    dry_run : bool, default False
        Only say what would happen.

    Returns
    -------
    Merged

    Raises
    ------
    ValueError
        If there is no such file, or it is this database.
    RuntimeError
        Without a database; if it or the shard is held by somebody else; if the shard is no
        database of Consist or of a newer one; under ``"error"``, if ids are taken.
    """
    check_option("conflict", conflict, CONFLICTS)
    store = store_of(ws, "merge_db")
    path = Path(os.path.abspath(shard))  # noqa: PTH100 - links are kept as given
    done = merge_shard(store, path, conflict=conflict, dry_run=dry_run)
    snapshots = 0
    if include_snapshots:
        snapshots = _take_snapshots(ws, done, path.parent / SNAPSHOTS, dry_run=dry_run)
    return Merged(
        shard_path=str(path),
        runs_merged=done.merged,
        runs_updated=done.updated,
        runs_already_present=done.present,
        runs_skipped=[*done.skipped, *done.purged],
        runs_renamed=done.renamed,
        artifacts_merged=done.artifacts,
        ingested_tables_merged=done.rows,
        incompatible_global_tables_skipped=done.refused_tables,
        unscoped_cache_tables_skipped=done.caches,
        conflicts_detected=done.conflicts,
        snapshots_merged=snapshots,
        dry_run=dry_run,
    )


def _take_snapshots(ws: Workspace, done: MergedShard, folder: Path, *, dry_run: bool) -> int:
    places, count = RunPlaces(ws.run_dir), 0
    for uid, (shard_id, own_id) in done.uids.items():
        try:
            document = load_snapshot(folder / f"{safe_name(shard_id)}.json", shard_id)
        except SnapshotMissing:
            continue
        target = Path(places.snapshot_path(own_id))
        if document.run.uid != uid or _is_of_another(target, uid):
            continue
        count += 1
        if not dry_run:
            write_atomic(target, indent(encode(_renamed(document, own_id, done.renamed))))
    return count


def _is_of_another(path: Path, uid: str) -> bool:
    try:
        return load_snapshot(path, path.stem).run.uid != uid
    except SnapshotMissing:
        return False


def _renamed(document: RunDocument, own_id: str, names: Mapping[str, str]) -> RunDocument:
    """Return a document with the ids that its run, and those it names, have here."""
    run, meta = document.run, dict(document.run.meta)
    if not names:
        return document
    if own_id != run.id:
        meta["renamed_from"] = run.id
    if meta.get("cache_source") in names:
        meta["cache_source"] = names[meta["cache_source"]]
    attempt = int(own_id.rpartition("~")[2]) if own_id != run.id else run.attempt

    def made(artifacts: tuple[ArtifactRecord, ...]) -> tuple[ArtifactRecord, ...]:
        return tuple(
            replace(a, run_id=names[a.run_id]) if a.run_id and a.run_id in names else a
            for a in artifacts
        )

    parent = run.parent_run_id
    run = replace(
        run,
        id=own_id,
        attempt=attempt,
        parent_run_id=parent if parent is None else names.get(parent, parent),
        meta=meta,
    )
    return replace(document, run=run, inputs=made(document.inputs), outputs=made(document.outputs))
