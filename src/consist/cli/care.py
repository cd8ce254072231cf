"""Commands that look after files: free what can be made again, verify what is there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consist.cli.artifacts import note_untrusted
from consist.cli.changing import DryRun, Yes, changing, confirm
from consist.cli.options import AsJson, DbPath, Mounts, RunDir, TrustDb, opened
from consist.cli.render import Column, note, print_json, print_table
from consist.cli.runs import known_run

if TYPE_CHECKING:
    from consist.maintenance.collect import Collection

_SHOWN = 20


def gc(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Outputs of runs that ended so long ago, such as 30d."),
    ] = None,
    keep_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Only until all outputs together take no more, such as 500GB."
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Outputs of this scenario; may be given several times."),
    ] = None,
    keep_latest: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Keep the latest N attempts of each scenario, or runs of a model.",
        ),
    ] = 0,
    keep_tag: Annotated[
        str, typer.Option(metavar="TAG", help="Keep what runs and artifacts with this tag have.")
    ] = "keep",
    allow_external: Annotated[
        bool,
        typer.Option("--allow-external", help="Also outputs outside the run folders and mounts."),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    db_path: DbPath = None,
) -> None:
    """Free the bytes of outputs that can be made again; what is known of them stays.

    The plan says for each run how much it frees, and how long it takes to make that again. What
    nobody can make again, what was altered, what others refer to, what a running run uses and what
    is tagged stays.

    Examples:

    \b
      consist gc --older-than 90d --dry-run
      consist gc --keep-size 500GB --yes
    """
    if not (older_than or keep_size or scenario):
        raise typer.BadParameter("give --older-than, --keep-size or --scenario")
    options: dict[str, Any] = {
        "older_than": older_than,
        "keep_size": keep_size,
        "scenarios": scenario or [],
        "keep_latest": keep_latest,
        "keep_tag": keep_tag,
        "allow_external": allow_external,
    }
    with changing(db_path, run_dir, mount) as tracker:
        for name in scenario or ():
            known_run(tracker, name)
        if not (dry_run or yes):
            _print_plan(tracker.collect_garbage(**options, dry_run=True), err=True)
            confirm("Free all this?", yes=yes)
        found = tracker.collect_garbage(**options, dry_run=dry_run)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found))
        return
    if dry_run or yes:
        _print_plan(found)
    for path, reason in list(found.failed.items())[:_SHOWN]:
        note(f"not removed: {path}: {reason}")
    note("Nothing was freed: this is the plan." if dry_run else "Done.")


def _print_plan(found: Collection, *, err: bool = False) -> None:
    from consist.maintenance.disk import readable

    if err:
        for item in found.runs[:_SHOWN]:
            took = f"{item.seconds_with_upstream:.1f} s to make again"
            typer.echo(f"{item.run_id}: {readable(item.bytes)}, {took}", err=True)
    elif found.runs:
        columns = (
            Column("Run", head=True, apart=True),
            Column("Model", least=8),
            Column("Files", right=True),
            Column("Size", right=True),
            Column("To make again (s)", right=True),
        )
        print_table(
            columns,
            (
                (
                    i.run_id,
                    i.model,
                    len(i.paths),
                    readable(i.bytes),
                    f"{i.seconds_with_upstream:.1f}",
                )
                for i in found.runs[:_SHOWN]
            ),
        )
    more = len(found.runs) - _SHOWN
    lines = [f"… and {more} more runs"] if more > 0 else []
    lines.append(
        f"{readable(found.bytes_freed)} of {readable(found.bytes_present)} in"
        f" {found.files_freed} files"
    )
    lines += [f"kept: {count}, {reason}" for reason, count in found.kept.items()]
    for line in lines:
        if err:
            typer.echo(line, err=True)
        else:
            note(line)


def verify(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only what this run used or made.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only what this scenario and its runs used or made."),
    ] = None,
    key_prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only keys that begin with this.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Take files for unchanged that look as they did when last read."
        ),
    ] = False,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Mark what is missing, and take back marks that do not hold."),
    ] = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """Read recorded files again and say what is missing or altered.

    The exit code is 1 if anything is. Whatever was recorded without a digest, or by size and time
    alone, cannot be verified. Places that only the database names are not looked at without
    --trust-db or --fix.

    Examples:

    \b
      consist verify
      consist verify --scenario base --json
    """
    from consist.maintenance.verify import verify as look

    visited = partial(opened, trust_db=trust_db)
    with (changing if fix else visited)(db_path, run_dir, mount) as tracker:
        for name in filter(None, (run_id, scenario)):
            known_run(tracker, name)
        found = look(
            tracker,
            run_id,
            scenario=scenario,
            key_prefix=key_prefix,
            thorough=not quick,
            fix=fix,
        )
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found))
    else:
        columns = (
            Column("State"), Column("Key", head=True), Column("Run", apart=True),
            Column("Path", apart=True),
        )  # fmt: skip
        if found.problems:
            rows = ((p.verdict, p.key, p.run_id or "", p.path) for p in found.problems[:_SHOWN])
            print_table(columns, rows)
        if len(found.problems) > _SHOWN:
            note(f"… and {len(found.problems) - _SHOWN} more; --json lists them")
        note(
            ", ".join(f"{count} {what}" for what, count in found.counts.items() if count)
            or "Nothing to verify."
        )
        if fix:
            note(f"{found.marked} marked as missing, {found.unmarked} marks taken back")
        note_untrusted(found.counts["untrusted"])
    if not found.is_ok:
        raise typer.Exit(1)
