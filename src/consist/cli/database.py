"""The group ``db``: look at a database, keep it, fill it, part it, thin it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consist.cli.changing import DryRun, Force, Yes, changing, confirm
from consist.cli.options import AsJson, DbPath, RunDir, opened
from consist.cli.render import Column, note, print_heading, print_json, print_panel, print_table
from consist.cli.runs import known_run
from consist.cli.sections import Sections

if TYPE_CHECKING:
    from consist.maintenance.doctor import Diagnosis
    from consist.maintenance.purge import PurgePlan

db = typer.Typer(
    name="db",
    cls=Sections,
    help="Keep a provenance database healthy: look at it, copy it, fill it, thin it out.\n\n"
    "Others may record runs while any of these commands works.\n\n"
    "Examples:\n\n\b\n"
    "  consist db inspect\n"
    "  consist db doctor --json\n"
    "  consist db snapshot --out backup.duckdb\n"
    "  consist db purge trial --dry-run",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_SHOWN = 10
RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run; without '~<number>', its latest attempt."),
]
NoChildren = Annotated[
    bool, typer.Option("--no-children", help="Only this run, and not those below it.")
]


class Mode(StrEnum):
    """How much of a snapshot is stored."""

    minimal = "minimal"
    full = "full"


class Conflict(StrEnum):
    """What happens to a run whose id another one has."""

    rename = "rename"
    error = "error"
    skip = "skip"


class Unsafe(StrEnum):
    """What happens to a file that may not be removed."""

    fail = "fail"
    skip = "skip"


def _plain(report: object) -> Any:
    import msgspec

    return msgspec.to_builtins(report)


# ---------------------------------------------------------------- looking


@db.command()
def inspect(as_json: AsJson = False, run_dir: RunDir = None, db_path: DbPath = None) -> None:
    """Show how much there is, and what takes the room.

    Records that no merge has reached count as well. Nothing is changed.

    Examples:

    \b
      consist db inspect
      consist db inspect --json
    """
    from consist.maintenance.disk import readable
    from consist.maintenance.inspect import inspect_db

    with opened(db_path, run_dir) as tracker:
        found = inspect_db(tracker)
    if as_json:
        print_json(_plain(found))
        return
    statuses = ", ".join(f"{count} {status}" for status, count in found.runs_by_status.items())
    print_panel(
        "Database",
        {
            "Runs": f"{found.total_runs}" + (f" ({statuses})" if statuses else ""),
            "Zombies": _few(found.zombie_run_ids),
            "Unknown": _few(found.unknown_run_ids),
            "Artifacts": found.total_artifacts,
            "Orphaned artifacts": found.orphaned_artifact_count or None,
            "Snapshots": found.json_snapshot_count,
            "Snapshots agree": "yes" if found.json_db_parity else "no: consist db doctor",
            "Unmerged": readable(found.unmerged_bytes) if found.unmerged_bytes else None,
        },
    )
    used = [(part, readable(size)) for part, size in found.disk_use.items() if size]
    print_table((Column("Part", head=True), Column("Size", right=True)), used)
    if found.global_table_sizes:
        columns = (Column("Ingested table", head=True), Column("Rows", right=True))
        print_table(columns, found.global_table_sizes.items())


def _few(names: Iterable[str]) -> str | None:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more if listed else None


@db.command()
def doctor(as_json: AsJson = False, run_dir: RunDir = None, db_path: DbPath = None) -> None:
    """Look for what is wrong with the database, its journals and its snapshots.

    Every finding says what to do about it; nothing is changed. The exit code is 1 if there is a
    problem; notes alone do not count.

    Examples:

    \b
      consist db doctor
      consist db doctor --json
    """
    from consist.maintenance.doctor import doctor_db

    with opened(db_path, run_dir) as tracker:
        found = doctor_db(tracker)
    if as_json:
        print_json(_plain(found) | {"healthy": found.is_healthy})
    else:
        _print_diagnosis(found)
    if not found.is_healthy:
        raise typer.Exit(1)


def _print_diagnosis(found: Diagnosis) -> None:
    if not found.findings:
        note("Nothing is wrong.")
    for finding in found.findings:
        print_heading(f"{finding.severity}: {finding.check} ({finding.count})")
        for item in finding.items[:_SHOWN]:
            typer.echo(f"  {_clean(item)}")
        if finding.count > _SHOWN:
            note(f"  … and {finding.count - _SHOWN} more; --json lists them")
        note(f"  {finding.remedy}")


def _clean(text: object) -> str:
    from consist.cli.render import clean

    return clean(text)


# ---------------------------------------------------------------- copies


@db.command()
def snapshot(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The copy.")],
    no_checkpoint: Annotated[
        bool,
        typer.Option("--no-checkpoint", help="Copy the file as it is, without merging first."),
    ] = False,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Copy the database to a file that opens as a database by itself.

    All that was recorded so far is merged into it first. Beside the copy lies
    <stem>.snapshot_meta.json, which says what it is a copy of, and of when.

    Examples:

    \b
      consist db snapshot --out backups/2030-01-31.duckdb
    """
    from consist.maintenance.disk import readable

    with changing(db_path) as tracker:
        found = tracker.snapshot_db(out, checkpoint=not no_checkpoint, force=force, dry_run=dry_run)
    if as_json:
        print_json(_plain(found))
        return
    verb = "Would copy" if dry_run else "Copied"
    note(f"{verb} {readable(found.size)} to {found.path}")
    if not (found.checkpointed or no_checkpoint):
        note(f"Another program holds it: {found.unmerged_bytes} bytes of journals are not in it.")


@db.command()
def compact(dry_run: DryRun = False, as_json: AsJson = False, db_path: DbPath = None) -> None:
    """Give back the space that the database no longer needs.

    Everything is copied into a fresh file that takes the place of the old one in one step, so
    there has to be room for the copy.

    Examples:

    \b
      consist db compact
    """
    from consist.maintenance.disk import readable

    with changing(db_path) as tracker:
        found = tracker.compact_db(dry_run=dry_run)
    if as_json:
        print_json(_plain(found))
    elif dry_run:
        note(f"The database takes {readable(found.bytes_before)}.")
    else:
        note(f"{readable(found.bytes_before)} before, {readable(found.bytes_after)} after.")


@db.command()
def rebuild(
    json_dir: Annotated[
        Path | None,
        typer.Option(
            "--json-dir",
            metavar="DIR",
            help="Folder of snapshots, or a run folder that has one; by default consist_runs.",
        ),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            metavar="MODE",
            help="minimal stores runs, artifacts and links; full also what can be asked of facets.",
        ),
    ] = Mode.full,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    db_path: DbPath = None,
) -> None:
    """Fill the database, which may be absent, from the snapshots of runs.

    What is there already stays as it is. A file that cannot be read is named, and the others are
    taken in; the exit code is 1 then.

    Examples:

    \b
      consist db rebuild --json-dir runs/consist_runs
      consist db rebuild --json-dir runs --dry-run --json
    """
    with changing(db_path, run_dir, creates=not dry_run) as tracker:
        found = tracker.rebuild_db(json_dir, mode=mode.value, dry_run=dry_run)
    if as_json:
        print_json(_plain(found))
    else:
        would = "would be " if dry_run else ""
        note(
            f"{found.json_files_scanned} snapshots: {found.runs_inserted} runs {would}inserted,"
            f" {found.runs_updated} {would}brought up to date, {found.runs_already_present} there"
            f" already; {found.artifacts_inserted} artifacts {would}inserted"
        )
        for error in found.errors[:_SHOWN]:
            note(f"not read: {error}")
        if found.error_count > _SHOWN:
            note(f"… and {found.error_count - _SHOWN} more; --json lists them")
    if found.error_count:
        raise typer.Exit(1)


# ---------------------------------------------------------------- shards


@db.command()
def export(
    run_id: RunId,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The shard.")],
    no_children: NoChildren = False,
    no_lineage: Annotated[
        bool,
        typer.Option("--no-lineage", help="Without the runs whose outputs these runs used."),
    ] = False,
    include_data: Annotated[
        bool, typer.Option("--include-data", help="Also ingested rows.")
    ] = False,
    include_snapshots: Annotated[
        bool,
        typer.Option("--include-snapshots", help="Also snapshots, in shard_snapshots beside it."),
    ] = False,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Write a run, and the runs below it, into a database of its own.

    Such a shard holds the runs upstream as well, so that it tells every lineage to its beginning.

    Examples:

    \b
      consist db export base --out base.duckdb --include-snapshots
      consist db export base --out base.duckdb --dry-run --json
    """
    from consist.maintenance.shards import export_db

    with opened(db_path) as tracker:
        found = export_db(
            tracker,
            known_run(tracker, run_id).id,
            out,
            children=not no_children,
            lineage=not no_lineage,
            include_data=include_data,
            include_snapshots=include_snapshots,
            force=force,
            dry_run=dry_run,
        )
    if as_json:
        print_json(_plain(found))
        return
    verb = "Would write" if dry_run else "Wrote"
    upstream = f" and {len(found.lineage_run_ids)} upstream" if found.lineage_run_ids else ""
    note(
        f"{verb} {len(found.run_ids)} runs{upstream} with {found.artifact_count} artifacts to"
        f" {found.out_path}"
    )
    if found.ingested_rows_left_out:
        rows = sum(found.ingested_rows_left_out.values())
        note(f"{rows} ingested rows are left out; --include-data takes them along")


@db.command()
def merge(
    shard: Annotated[Path, typer.Argument(metavar="SHARD", help="A database file.")],
    conflict: Annotated[
        Conflict,
        typer.Option(
            metavar="WHAT",
            help="What to do with a run whose id another run has: rename it to the next attempt,"
            " error (merge nothing), or skip it and what is below it.",
        ),
    ] = Conflict.rename,
    include_snapshots: Annotated[
        bool,
        typer.Option(
            "--include-snapshots", help="Also snapshots, from shard_snapshots beside the shard."
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    db_path: DbPath = None,
) -> None:
    """Take the runs of a shard, or of another database, into this one: all or none.

    A run that is there already is not taken in again, and no run replaces another.

    Examples:

    \b
      consist db merge node-17.duckdb --include-snapshots
      consist db merge node-17.duckdb --conflict error --dry-run
    """
    with changing(db_path, run_dir, creates=not dry_run) as tracker:
        found = tracker.merge_db(
            shard, conflict=conflict.value, include_snapshots=include_snapshots, dry_run=dry_run
        )
    if as_json:
        print_json(_plain(found))
        return
    verb = "Would merge" if dry_run else "Merged"
    note(
        f"{verb} {len(found.runs_merged)} runs and {found.artifacts_merged} artifacts;"
        f" {len(found.runs_already_present)} runs were there already"
    )
    _list("renamed", [f"{old} is {new} here" for old, new in found.runs_renamed.items()])
    _list("left out", found.runs_skipped)
    tables = found.incompatible_global_tables_skipped
    _list("ingested rows", [f"{table}: {n}" for table, n in found.ingested_tables_merged.items()])
    _list("ingested rows left out", [f"{table}: {why}" for table, why in tables.items()])
    _list("of no run, left out", found.unscoped_cache_tables_skipped)


def _list(title: str, lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        note(f"{title}: {line}")
    if len(lines) > _SHOWN:
        note(f"{title}: {len(lines) - _SHOWN} more; --json lists them")


# ---------------------------------------------------------------- purging


@db.command()
def purge(
    run_id: RunId,
    no_children: NoChildren = False,
    delete_ingested_data: Annotated[
        bool, typer.Option("--delete-ingested-data", help="Also ingested rows.")
    ] = False,
    prune_cache: Annotated[
        bool,
        typer.Option("--prune-cache", help="Also rows of shared tables that only these runs use."),
    ] = False,
    delete_files: Annotated[
        bool, typer.Option("--delete-files", help="Also the files that these runs wrote.")
    ] = False,
    unsafe_delete_targets: Annotated[
        Unsafe,
        typer.Option(
            metavar="WHAT",
            help="What to do about files outside the run folders and mounts, or behind symbolic"
            " links: fail, or skip them.",
        ),
    ] = Unsafe.fail,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    db_path: DbPath = None,
) -> None:
    """Remove a run, and the runs below it, from the record for good.

    The plan is shown first. Artifacts and files that others refer to stay. Make a copy before:
    consist db snapshot.

    Examples:

    \b
      consist db purge trial --delete-files --dry-run
      consist db purge trial --delete-files --yes
    """
    from consist.maintenance.purge import plan_purge, purge_db

    def carried_out(*, planned: bool) -> Any:
        return purge_db(
            tracker,
            run.id,
            children=not no_children,
            delete_ingested_data=delete_ingested_data,
            prune_cache=prune_cache,
            delete_files=delete_files,
            unsafe_delete_targets=unsafe_delete_targets.value,
            dry_run=planned,
        )

    with changing(db_path, run_dir) as tracker:
        run = known_run(tracker, run_id)
        if not dry_run and not yes:
            plan = plan_purge(
                tracker,
                run.id,
                children=not no_children,
                delete_files=delete_files,
                prune_cache=prune_cache,
            )
            _print_plan(plan, err=True)
            confirm("Remove all this for good?", yes=yes)
        found = carried_out(planned=dry_run)
    if as_json:
        print_json(_plain(found))
    else:
        if dry_run:
            _print_plan(found.plan)
        done = "Would purge" if dry_run else "Purged"
        note(f"{done} {len(found.plan.run_ids)} runs.")
        if found.ingested_data_skipped:
            note("Their ingested rows stay; --delete-ingested-data removes them.")


def _print_plan(plan: PurgePlan, *, err: bool = False) -> None:
    from consist.maintenance.disk import readable

    facts: Mapping[str, str | None] = {
        "Runs": _few(plan.run_ids),
        "Artifacts": str(len(plan.orphaned_artifact_ids)),
        "Snapshots": str(len(plan.json_files)),
        "Files": f"{len(plan.disk_files)}, {readable(plan.disk_bytes)}"
        if plan.disk_files
        else None,
        "Ingested rows": _few(f"{table}: {n}" for table, n in plan.ingested_data.items()),
        "Unsafe": _few(
            f"{path} {why}"
            for path, why in {**plan.unsafe_json_files, **plan.unsafe_disk_files}.items()
        ),
        "Kept": _few(f"{path}: {why}" for path, why in plan.kept_disk_files.items()),
    }
    for name, value in facts.items():
        if value:
            typer.echo(f"{name}: {_clean(value)}", err=err)
    typer.echo("A copy first: consist db snapshot --out FILE", err=err)
