"""Commands that show runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from consist.cli import complete
from consist.cli.options import MOST_ROWS, AsJson, DbPath, RunId, opened
from consist.cli.render import (
    Column,
    moment,
    note,
    print_document,
    print_heading,
    print_json,
    print_panel,
    print_table,
    print_text,
)
from consist.cli.session import listed, numbered
from consist.errors import ConsistError, hint
from consist.models.record import EXPLANATION, INVALIDATED, NOTES, STATUS_FIXED

if TYPE_CHECKING:
    from consist.cache.explanation import Change, Explanation
    from consist.core.tracker import Tracker
    from consist.models.run import Run

Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=MOST_ROWS, help="Most rows to list.")
]

_SIGNATURE_LENGTH = 16
_COLUMNS = (
    Column("ID", apart=True, head=True),
    Column("Model", least=8),
    Column("Status"),
    Column("Tags", least=8),
    Column("Created"),
    Column("Duration (s)", right=True),
)


class Status(StrEnum):
    """What a run can be."""

    running = "running"
    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"


def runs(
    limit: Limit = 10,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only runs of this model.", autocompletion=complete.models
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG",
            help="Only runs with this tag; given several times, with all of them.",
            autocompletion=complete.tags,
        ),
    ] = None,
    status: Annotated[
        Status | None,
        typer.Option(
            metavar="STATUS", help="Only runs that are running, completed, failed or interrupted."
        ),
    ] = None,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """List runs, the newest first.

    Examples:

    \b
      consist runs --model trips --status failed
      consist runs --tag policy --limit 1000 --json
    """
    with opened(db_path) as tracker:
        wanted = None if status is None else status.value
        newest = tracker.find_runs(tag, model=model, status=wanted, limit=limit + 1)
        found = cast("list[Run]", newest)
        if as_json:
            print_json(facts_of(tracker, found[:limit]))
        elif not found:
            note("No runs match." if model or tag or status else "No runs yet.")
        else:
            print_runs(_COLUMNS, found[:limit], _row)
            note_more(len(found), limit)


def facts_of(tracker: Tracker, found: list[Run]) -> list[dict[str, Any]]:
    """Return what JSON tells of runs, and remember them as the last list."""
    listed("runs", (run.id for run in found))
    names = scenario_of(tracker, found)
    return [_brief(run, names.get(run.id)) for run in found]


def scenario_of(tracker: Tracker, found: list[Run]) -> dict[str, str]:
    """Return the name of the scenario of each run that has one, by run id."""
    from consist.cli.questions import scenario_names

    return scenario_names(tracker, found)


def print_runs(
    columns: Sequence[Column], found: list[Run], row: Callable[[Run], Sequence[object]]
) -> None:
    """Print a table of runs and remember them as the last list; ids come first."""
    listed("runs", (run.id for run in found))
    print_table(columns, numbered("#", map(row, found)))


def note_more(count: int, limit: int) -> None:
    """Say that a list goes on."""
    if count > limit:
        note(f"… and older ones; --limit shows more than {limit}")


def _brief(run: Run, scenario: str | None) -> dict[str, Any]:
    return {
        "id": run.id,
        "model": run.model_name,
        "status": run.status,
        "scenario_id": scenario,
        "year": run.year,
        "created_at": run.created_at,
        "duration_seconds": run.duration_seconds,
        "tags": run.tags,
        "meta": run.meta,
    }


def _row(run: Run) -> tuple[object, ...]:
    created, tags = moment(run.created_at), ", ".join(run.tags)
    return run.id, run.model_name, status_of(run), tags, created, seconds(run.duration_seconds)


def status_of(run: Run) -> str:
    """Return the status of a run for a table, and whether it was a cache hit or is invalid."""
    remarks = {"hit": run.meta.get("cache_hit"), "invalid": run.meta.get(INVALIDATED)}
    told = ", ".join(name for name, holds in remarks.items() if holds)
    return f"{run.status} ({told})" if told else run.status


def seconds(duration: float | None) -> str:
    """Return a duration for a table."""
    return "" if duration is None else f"{duration:.2f}"


# ---------------------------------------------------------------- one run


def show(
    run_id: RunId,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Show the facts, config and metadata of a run.

    Examples:

    \b
      consist show baseline_2030
      consist show baseline_2030~2 --json
    """
    with opened(db_path) as tracker:
        run = known_run(tracker, run_id)
        config = tracker.get_run_config(run.id, allow_missing=True)
        scenario = scenario_of(tracker, [run]).get(run.id)
        if as_json:
            print_json(_brief(run, scenario) | _details(run) | {"config": config})
            return
        print_panel("Run", _facts(run, scenario))
        meta = {name: value for name, value in run.meta.items() if name not in _SHOWN_APART}
        for title, document in (("Configuration", config), ("Metadata", meta)):
            if document:
                print_heading(title)
                print_document(document)
        if "traceback" in run.meta:
            print_heading("Traceback")
            print_text(run.meta["traceback"].rstrip())


_SHOWN_APART = frozenset(
    {
        *("cache_rejected", "error", "partial_outputs", "traceback"),
        *(EXPLANATION, INVALIDATED, NOTES, STATUS_FIXED),
    }
)


def known_run(tracker: Tracker, run_id: str) -> Run:
    """Return a run.

    Raises
    ------
    ConsistError
        If there is none; the hint names some with a similar id.
    """
    run = tracker.get_run(run_id)
    if run is None:
        from consist.cli.questions import similar_runs

        unknown("run", run_id, similar_runs(tracker, run_id), "consist runs lists what there is")
    return run


def unknown(what: str, name: str, similar: list[str], remedy: str) -> NoReturn:
    """Say that something is not there, and what may have been meant."""
    problem = ConsistError(f"there is no {what} {name!r}")
    raise hint(problem, f"did you mean {' or '.join(similar)}?" if similar else remedy)


def _details(run: Run) -> dict[str, Any]:
    return {
        "requested_id": run.requested_id,
        "attempt": run.attempt,
        "parent_run_id": run.parent_run_id,
        "description": run.description,
        "iteration": run.iteration,
        "stage": run.stage,
        "phase": run.phase,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "cache_source": run.meta.get("cache_source"),
        "signature": run.signature,
        "config_hash": run.config_hash,
        "input_hash": run.input_hash,
        "git_hash": run.git_hash,
    }


def _facts(run: Run, scenario: str | None) -> dict[str, object]:
    duration = seconds(run.duration_seconds)
    return {
        "ID": run.id,
        "Model": run.model_name,
        "Description": run.description,
        "Status": run.status,
        "Attempt": run.attempt if run.attempt > 1 else None,
        "Parent": run.parent_run_id,
        "Scenario": scenario,
        "Year": run.year,
        "Iteration": run.iteration,
        "Stage": run.stage,
        "Phase": run.phase,
        "Created": moment(run.created_at, exact=True),
        "Duration": duration and f"{duration} s",
        "Tags": ", ".join(run.tags),
        "Signature": run.signature and run.signature[:_SIGNATURE_LENGTH],
        "Cached from": run.meta.get("cache_source"),
        "Why": _why(run),
        "Error": run.meta.get("error"),
        "Partial outputs": ", ".join(run.meta.get("partial_outputs", [])),
        **_said_later(run.meta),
    }


def _said_later(meta: Mapping[str, Any]) -> dict[str, object]:
    """Return what was said of a run after it was recorded, each with its time and author."""
    told: dict[str, object] = {}
    invalidated, fixed = meta.get(INVALIDATED), meta.get(STATUS_FIXED)
    if invalidated:
        told["Invalidated"] = _signed(invalidated, invalidated.get("reason"))
    if fixed:
        reason = f": {fixed['reason']}" if fixed.get("reason") else ""
        told["Status fixed"] = _signed(fixed, f"from {fixed.get('from')}{reason}")
    notes = meta.get(NOTES, [])
    for number, remark in enumerate(notes, 1):
        told["Note" if len(notes) == 1 else f"Note {number}"] = _signed(remark, remark.get("text"))
    return told


def _signed(said: Mapping[str, Any], text: object) -> str:
    try:
        when = moment(datetime.fromisoformat(said["at"]))
    except (KeyError, TypeError, ValueError):
        when = str(said.get("at"))
    return f"{text} ({said.get('by')}, {when})"


def _why(run: Run) -> str | None:
    """Return in a line why a run executed."""
    found = None if run.meta.get("cache_hit") else explanation_of(run)
    return None if found is None else str(found)


# ---------------------------------------------------------------- why it executed


def explain(
    run_id: RunId,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Show why a run executed, or which run it was given back from.

    Examples:

    \b
      consist explain baseline_2030
    """
    with opened(db_path) as tracker:
        run = known_run(tracker, run_id)
    found = explanation_of(run)
    if found is None:
        problem = ConsistError(f"run {run.id!r} has no explanation")
        raise hint(problem, _NO_EXPLANATION)
    if as_json:
        print_json({"id": run.id} | found.to_dict())
        return
    print_panel("Why", _reasons(run, found))
    if found.changes:
        print_heading("What differs")
        print_table(_CHANGES, map(_changed, found.changes))
    for kind, count in found.not_listed.items():
        note(f"… and {count} more ({kind})")
    if found.rejected:
        print_heading("Not taken")
        print_text("\n".join(found.rejected))


_NO_EXPLANATION = "headers of scenarios are never looked up, and earlier versions kept none"
_CHANGES = (
    Column("What", least=6),
    Column("Name", apart=True, head=True),
    Column("Change"),
    Column("Before", least=8),
    Column("Now", least=8),
    Column("Where", apart=True),
)


def explanation_of(run: Run) -> Explanation | None:
    """Return why a recorded run executed or did not; ``None`` where that is not known."""
    from consist.cache.explanation import Explanation

    return Explanation.of_meta(run.meta, run.model_name, run.signature)


def _reasons(run: Run, found: Explanation) -> dict[str, object]:
    return {
        "Run": run.id,
        "Model": run.model_name,
        "Verdict": found.headline,
        "Reason": found.reason,
        "Compared with": None if found.would_hit else found.candidate_run_id,
        "Equal": ", ".join(found.matched_components),
        "Different": ", ".join(found.mismatched_components),
        "Confidence": None if found.would_hit else found.confidence,
        "Incomplete": found.incomplete,
    }


def _changed(change: Change) -> tuple[object, ...]:
    return (
        *(change.what, change.name, change.change),
        *(change.before, change.now, change.note),
    )


# ---------------------------------------------------------------- all runs


def summary(as_json: AsJson = False, db_path: DbPath = None) -> None:
    """Count runs and artifacts.

    Examples:

    \b
      consist summary
    """
    from consist.cli.questions import totals

    with opened(db_path) as tracker:
        counted = totals(tracker)
    runs_in_all = sum(counted.by_status.values())
    if as_json:
        print_json(
            {
                "runs": runs_in_all,
                "runs_by_status": counted.by_status,
                "artifacts": counted.artifacts,
                "first_run": counted.first,
                "last_run": counted.last,
                "models": [{"model": m, "runs": n} for m, n in counted.by_model.items()],
            }
        )
        return
    statuses = ", ".join(f"{number} {status}" for status, number in counted.by_status.items())
    print_panel(
        "Summary",
        {
            "Runs": f"{runs_in_all} ({statuses})" if statuses else runs_in_all,
            "Artifacts": counted.artifacts,
            "First run": moment(counted.first),
            "Last run": moment(counted.last),
        },
    )
    if counted.by_model:
        columns = (Column("Model", least=12), Column("Run Count", right=True))
        print_heading("Models")
        print_table(columns, counted.by_model.items())
