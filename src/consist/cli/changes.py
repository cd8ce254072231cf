"""Commands that say something of runs after they were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from consist.cli.changing import DryRun, changing
from consist.cli.options import AsJson, DbPath
from consist.cli.render import note as say
from consist.cli.render import print_json
from consist.cli.runs import Status, known_run

if TYPE_CHECKING:
    from consist.models.run import Run

RunIds = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="The runs; without '~<number>', their latest attempts."),
]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="The run; without '~<number>', its latest attempt.")
]


def annotate(
    run_ids: RunIds,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Give the runs this tag; may be given several times."),
    ] = None,
    remove_tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Take this tag from them; may be given several times."),
    ] = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="A remark.")] = None,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Give recorded runs tags or a remark, or take tags from them.

    Caching is not touched.

    Examples:

    \b
      consist annotate baseline --tag published --note "figure 3"
    """
    if not (tag or remove_tag) and note is None:
        raise typer.BadParameter("give --tag, --remove-tag or --note")
    with changing(db_path) as tracker:
        found = [known_run(tracker, run_id) for run_id in run_ids]
        changed = [
            tracker.annotate(run, tags=tag or (), remove_tags=remove_tag or (), note=note)
            for run in found
        ]
        if as_json:
            print_json({"runs": [_changed(run) for run in changed]})
            return
        for run in changed:
            say(f"{run.id}: tags {', '.join(run.tags) or 'none'}{_last_note(run)}")


def invalidate(
    run_ids: RunIds,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What is wrong with them.")],
    downstream: Annotated[
        bool,
        typer.Option("--downstream", help="Also all runs that used their outputs, and so on."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Let recorded runs never be given back again.

    The next run of the same identity executes. Of a run that was a hit, the run that it gave back
    is invalidated. Nothing is deleted.

    Examples:

    \b
      consist invalidate skims_2030 --reason "wrong tolls" --downstream --dry-run
    """
    with changing(db_path) as tracker:
        asked = [known_run(tracker, run_id) for run_id in run_ids]
        found: dict[str, Run] = {}
        hits: dict[str, str] = {}
        for run in asked:
            changed = tracker.invalidate(run, reason=reason, downstream=downstream, dry_run=dry_run)
            found |= {each.id: each for each in changed}
            if changed[0].id != run.id:
                hits[run.id] = changed[0].id
        if as_json:
            runs = [_changed(run) for run in found.values()]
            print_json({"dry_run": dry_run, "runs": runs, "hits": hits})
            return
        for run_id, source in hits.items():
            say(f"{run_id} was a hit of {source}")
        for run_id in found:
            say(f"{run_id} {'would be' if dry_run else 'is'} invalidated")


def fix_status(
    run_id: RunId,
    status: Annotated[
        Status, typer.Argument(metavar="STATUS", help="running, completed, failed or interrupted.")
    ],
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also let a run that has ended be running again.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Correct the status of a recorded run.

    A run whose status was corrected is never given back, since its outputs may be partial.

    Examples:

    \b
      consist db fix-status night_run failed --reason "the node was lost"
    """
    with changing(db_path) as tracker:
        run = known_run(tracker, run_id)
        before = run.status
        changed = tracker.fix_status(run, status.value, reason=reason, force=force, dry_run=dry_run)
        if as_json:
            print_json({"dry_run": dry_run, "from": before, "run": _changed(changed)})
        else:
            verb = "would be" if dry_run else "is"
            say(f"{run.id} {verb} {status.value}; it was {before}")


def _changed(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "model": run.model_name,
        "status": run.status,
        "tags": run.tags,
        "notes": run.meta.get("notes", []),
        "invalidated": run.meta.get("invalidated"),
        "status_fixed": run.meta.get("status_fixed"),
    }


def _last_note(run: Run) -> str:
    notes = run.meta.get("notes")
    return f"; note: {notes[-1]['text']}" if notes else ""
