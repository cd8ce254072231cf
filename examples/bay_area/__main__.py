"""The demo: a forecast, the same once more, and one more with another price of parking.

Run it from the project's root::

    python -m examples.bay_area                         # the whole demo
    python -m examples.bay_area pass --parking-price 5  # one pass, with a price of your own
    python -m examples.bay_area results                 # what is known so far
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.live import Live

from examples.bay_area import report
from examples.bay_area.questions import results_question
from examples.bay_area.workflow import (
    BASELINE,
    OUTPUT,
    PARKING_REFORM,
    Policy,
    forecast,
    open_tracker,
)

OTHER_PARKING_PRICE = 6.0

console = Console(highlight=False)


def main() -> None:
    """Do what the command line asks for."""
    asked = _parser().parse_args()
    match asked.what:
        case "demo":
            demonstrate(asked)
        case "pass":
            make_pass(asked)
        case "results":
            show_results(asked.output)


def demonstrate(asked: argparse.Namespace) -> None:
    """Make three passes, each in a process of its own, and ask what came of them."""
    first = PARKING_REFORM.parking_price
    third = OTHER_PARKING_PRICE if asked.parking_price is None else asked.parking_price
    for title, price in (
        ("First pass", first),
        ("Second pass: the same in a new process", first),
        (f"Third pass: parking_reform at ${third:g} an hour instead of ${first:g}", third),
    ):
        console.rule(f"[bold]{title}", align="left")
        _pass_in_new_process(asked, price)
    show_results(asked.output)


def make_pass(asked: argparse.Namespace) -> None:
    """Forecast both scenarios, show every step as it ends, and say what was saved."""
    began = time.perf_counter()
    results = []
    with open_tracker(asked.output) as tracker:
        with Live(console=console, transient=True) as live:
            for policy in _policies(asked):
                for result in forecast(tracker, policy):
                    results.append(result)
                    live.update(report.steps_tables(results))
        seconds = time.perf_counter() - began
        console.print(report.steps_tables(results))
        console.print(report.verdict(tracker, results, seconds), end="\n\n")


def show_results(output: Path) -> None:
    """Show the results of all scenarios, where the latest comes from, and how to look further."""
    with open_tracker(output) as tracker:
        latest = tracker.get_artifact("district_summary")
        if latest is None:
            console.print("Nothing is known yet: make a pass first.")
            return
        console.rule("[bold]Results: one question over the files and the runs", align="left")
        console.print(report.results_table(results_question(tracker)))
        console.rule("[bold]Where the latest of them comes from", align="left")
        tracker.print_lineage(latest.id)
    console.rule("[bold]To look further", align="left")
    for command in ("runs", f"show {latest.run_id}", "lineage district_summary"):
        console.print(_consist(command, output), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.bay_area",
        description="A travel-demand forecast for downtown San Francisco.",
    )
    parser.add_argument("what", nargs="?", choices=("demo", "pass", "results"), default="demo")
    parser.add_argument(
        "--parking-price",
        type=float,
        metavar="DOLLARS",
        help="for an hour under parking_reform; in the demo, from the third pass on",
    )
    parser.add_argument("--cost-per-mile", type=float, default=BASELINE.cost_per_mile)
    parser.add_argument("--growth-rate", type=float, default=BASELINE.growth_rate)
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER")
    return parser


def _policies(asked: argparse.Namespace) -> tuple[Policy, Policy]:
    """Apply what was asked for: the price to the reform, everything else to both scenarios."""
    world = {"cost_per_mile": asked.cost_per_mile, "growth_rate": asked.growth_rate}
    reform = replace(PARKING_REFORM, **world)
    if asked.parking_price is not None:
        reform = replace(reform, parking_price=asked.parking_price)
    return replace(BASELINE, **world), reform


def _pass_in_new_process(asked: argparse.Namespace, parking_price: float) -> None:
    """Make one pass that can know of the others only what Consist remembers."""
    options = {
        "--parking-price": parking_price,
        "--cost-per-mile": asked.cost_per_mile,
        "--growth-rate": asked.growth_rate,
        "--output": asked.output,
    }
    command = [sys.executable, "-m", "examples.bay_area", "pass"]
    for option, value in options.items():
        command += [option, str(value)]
    subprocess.run(command, check=True)


def _consist(command: str, output: Path) -> str:
    """Spell a command so that it can be pasted into the shell that started the demo."""
    program = Path(sys.executable).with_name("consist")
    database = output / "provenance.duckdb"
    paths = [shlex.quote(os.path.relpath(path)) for path in (program, database)]
    return f"  {paths[0]} {command} --db-path {paths[1]}"


if __name__ == "__main__":
    main()
