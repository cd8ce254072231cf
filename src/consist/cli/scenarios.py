"""Commands that show scenarios, and the one that searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consist.cli import complete
from consist.cli.options import MOST_ROWS, AsJson, DbPath, opened
from consist.cli.render import Column, clean, moment, note, print_heading, print_json, print_table
from consist.cli.runs import (
    Limit,
    facts_of,
    note_more,
    print_runs,
    scenario_of,
    seconds,
    status_of,
    unknown,
)
from consist.cli.session import listed, numbered

if TYPE_CHECKING:
    from consist.core.visitor import Visitor
    from consist.models.run import Run

_LONGEST_TEXT = 256
_SCENARIOS = (
    Column("Scenario ID", apart=True, head=True),
    Column("Runs", right=True),
    Column("Status"),
    Column("First Run"),
    Column("Last Run"),
)
_CHILDREN = (
    Column("ID", apart=True, head=True),
    Column("Model", least=8),
    Column("Year", right=True),
    Column("Status"),
    Column("Created"),
    Column("Duration (s)", right=True),
)
_FOUND = (
    Column("ID", apart=True, head=True),
    Column("Model", least=8),
    Column("Scenario", least=8),
    Column("Status"),
    Column("Created"),
)


def scenarios(limit: Limit = 20, as_json: AsJson = False, db_path: DbPath = None) -> None:
    """List scenarios, those with the latest run first.

    Each time that a scenario was run is one row: '<name>', '<name>~2', '<name>~3', …

    Examples:

    \b
      consist scenarios --limit 5
    """
    from consist.cli.questions import scenarios as newest_scenarios

    with opened(db_path) as tracker:
        found = newest_scenarios(tracker, limit + 1)
    shown = found[:limit]
    listed("runs", (scenario.id for scenario in shown))
    if as_json:
        print_json(
            [
                {
                    "id": scenario.id,
                    "name": scenario.name,
                    "attempt": scenario.attempt,
                    "status": scenario.status,
                    "runs": scenario.runs,
                    "first_run": scenario.first,
                    "last_run": scenario.last,
                }
                for scenario in shown
            ]
        )
    elif not shown:
        note("No scenarios yet.")
    else:
        rows = [(s.id, s.runs, s.status, moment(s.first), moment(s.last)) for s in shown]
        print_table(_SCENARIOS, numbered("#", rows))
        note_more(len(found), limit)


def scenario(
    scenario_id: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO_ID",
            help="The scenario; without '~<number>', its latest completed attempt.",
            autocompletion=complete.scenario_names,
        ),
    ],
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST_ROWS, help="Most runs to list.")
    ] = 1_000,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """List the runs of a scenario in the order in which they began.

    Examples:

    \b
      consist scenario baseline
      consist scenario baseline~2 --json
    """
    from consist.cli.questions import runs_of_scenario

    with opened(db_path) as tracker:
        header = _known_scenario(tracker, scenario_id)
        found = runs_of_scenario(tracker, header.id, limit + 1)
        shown = found[:limit]
        if as_json:
            print_json(
                {
                    "id": header.id,
                    "name": header.requested_id,
                    "attempt": header.attempt,
                    "status": header.status,
                    "runs": facts_of(tracker, shown),
                }
            )
            return
    print_heading(f"{clean(header.id)} · {header.status}")
    if not shown:
        note("The scenario has no runs.")
        return
    print_runs(
        _CHILDREN,
        shown,
        lambda run: (
            *(run.id, run.model_name, run.year, status_of(run)),
            *(moment(run.created_at), seconds(run.duration_seconds)),
        ),
    )
    if len(found) > limit:
        note(f"… and later ones; --limit shows more than {limit}")


def _known_scenario(tracker: Visitor, scenario_id: str) -> Run:
    from consist.cli.questions import similar_scenarios
    from consist.query.runs import get_run, meant_run_id

    header = get_run(tracker, meant_run_id(tracker, scenario_id))
    if header is None:
        similar = similar_scenarios(tracker, scenario_id)
        unknown("scenario", scenario_id, similar, "consist scenarios lists what there is")
    return header


def search(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="A part of an id, a model or a tag, in any case.")
    ],
    limit: Limit = 20,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Find runs by a part of their id, model or a tag, the newest first.

    Case does not count, and every letter of TEXT stands for itself.

    Examples:

    \b
      consist search calibr
      consist search "100%" --json
    """
    from consist.cli.questions import search as find_text

    if not 0 < len(text) <= _LONGEST_TEXT:
        raise typer.BadParameter(f"TEXT has to have 1 to {_LONGEST_TEXT} characters")
    with opened(db_path) as tracker:
        found = find_text(tracker, text, limit + 1)
        shown = found[:limit]
        if as_json:
            print_json(facts_of(tracker, shown))
            return
        names = scenario_of(tracker, shown)
    if not shown:
        note("No runs match.")
        return
    print_runs(
        _FOUND,
        shown,
        lambda run: (
            *(run.id, run.model_name, names.get(run.id)),
            *(status_of(run), moment(run.created_at)),
        ),
    )
    note_more(len(found), limit)
