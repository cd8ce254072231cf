"""How the demo shows what happened, in tables that fit a terminal."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from consist import Run, RunResult, Tracker


def steps_tables(results: Sequence[RunResult]) -> Group:
    """Show every step of every scenario and year: run or hit, and how long it took."""
    by_scenario = groupby(results, key=lambda result: result.run.parent_run_id)
    return Group(*(_steps_table(str(name), list(steps)) for name, steps in by_scenario))


def verdict(tracker: Tracker, results: Sequence[RunResult], seconds: float) -> str:
    """Say in a sentence or two what a pass executed, and what it was spared.

    Parameters
    ----------
    tracker : Tracker
        Knows the runs that the hits go back to.
    results : sequence of RunResult
        All steps of the pass.
    seconds : float
        What the pass took in all.
    """
    hits = [result.run for result in results if result.cache_hit]
    said = (
        f"{len(results)} steps in {seconds:.2f} s: "
        f"{len(results) - len(hits)} executed, {len(hits)} hit."
    )
    if hits:
        to_compute = sum(_seconds(_executed(tracker, hit)) for hit in hits)
        to_find = sum(_seconds(hit) for hit in hits)
        said += (
            f" The hits took {to_find:.2f} s instead of {to_compute:.2f} s:"
            f" [bold green]{to_compute - to_find:.2f} s saved[/]."
        )
    return said


def results_table(rows: Sequence[Any]) -> Table:
    """Show the answer of :func:`examples.bay_area.questions.results_question`."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, caption="parking: for each car trip")
    table.add_column("scenario")
    for name in ("year", "residents", "trips", "car", "transit", "walk", "parking"):
        table.add_column(name, justify="right")
    for scenario, years in groupby(rows, key=lambda row: row.scenario):
        for place, row in enumerate(years):
            label = {0: Text(scenario, "bold"), 1: Text(row.assumption, "dim")}
            table.add_row(
                label.get(place, ""),
                str(row.year),
                f"{row.residents:,.0f}",
                f"{row.trips:,.0f}",
                f"{row.by_car:.1%}",
                f"{row.by_transit:.1%}",
                f"{row.on_foot:.1%}",
                f"${row.parking_per_car_trip:.2f}",
            )
        table.add_section()
    return table


def _steps_table(scenario: str, results: Sequence[RunResult]) -> Table:
    """Lay out one scenario: a row for each step, a column for each year."""
    runs = {(result.run.model_name, result.run.year): result for result in results}
    years = dict.fromkeys(year for _, year in runs)
    table = Table(title=scenario, title_justify="left", title_style="bold", show_footer=True)
    table.add_column("step", "total", min_width=16)
    for year in years:
        spent = sum(_seconds(result.run) for (_, when), result in runs.items() if when == year)
        table.add_column(str(year or "all years"), _show(spent), justify="right", min_width=11)
    for step in dict.fromkeys(step for step, _ in runs):
        table.add_row(step, *(_cell(runs.get((step, year))) for year in years))
    return table


def _cell(result: RunResult | None) -> Text:
    """Show one step of one year."""
    if result is None:
        return Text("")
    kind, style = ("hit", "green") if result.cache_hit else ("run", "bold yellow")
    return Text(f"{kind} {_show(_seconds(result.run))}", style)


def _show(seconds: float) -> str:
    """Write a duration so that a hit of a millisecond does not look like nothing."""
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.1f} ms"


def _executed(tracker: Tracker, run: Run) -> Run:
    """Follow a hit to the run that did the work."""
    while (source := run.meta.get("cache_source")) and (earlier := tracker.get_run(source)):
        run = earlier
    return run


def _seconds(run: Run) -> float:
    """Give the duration of a run that has ended."""
    return run.duration_seconds or 0.0
