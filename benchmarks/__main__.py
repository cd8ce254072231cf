"""Measure, and print one table: ``python -m benchmarks [--quick] [--only NAME] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.harness import FULL, QUICK, Figure, Sizes, crowded, shown
from benchmarks.themes import THEMES


def main() -> int:
    """Do what the command line asks for; 1 if a measurement failed, not if a goal was missed."""
    asked = _parser().parse_args()
    sizes = QUICK if asked.quick else FULL
    figures: dict[str, list[Figure]] = {}
    failed: list[str] = []
    progress = Console(stderr=True)
    with _folder(asked.folder) as folder, progress.status("") as status:
        for name in asked.only or THEMES:
            status.update(f"{name} …")
            try:
                figures[name] = measure(name, sizes, folder)
            except Exception:  # noqa: BLE001 - the other themes can still be measured
                failed.append(name)
                progress.print(f"[red]{name} could not be measured[/]")
                progress.print(traceback.format_exc(), markup=False)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table([figure for found in figures.values() for figure in found]))
    console.print(_machine())
    if asked.json:
        asked.json.write_text(json.dumps(as_plain(figures), indent=2) + "\n")
    return 1 if failed else 0


def measure(name: str, sizes: Sizes, folder: Path) -> list[Figure]:
    """Measure one theme."""
    return list(THEMES[name](sizes, folder))


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures as a table that fits the terminal."""
    found = Table(title="What Consist costs, beside its references")
    found.add_column("work", ratio=3)
    found.add_column("ours", justify="right", style="bold", no_wrap=True)
    found.add_column("CPU", justify="right", style="dim", no_wrap=True)
    found.add_column("beside", ratio=2, style="dim")
    found.add_column("takes", justify="right", no_wrap=True)
    found.add_column("ratio", justify="right", no_wrap=True)
    found.add_column("goal", no_wrap=True)
    for figure in figures:
        found.add_row(
            figure.work,
            shown(figure.ours, figure.unit),
            "" if figure.cpu is None else shown(figure.cpu, "s"),
            figure.reference,
            "" if figure.theirs is None else shown(figure.theirs, figure.unit),
            "" if figure.compared is None else f"{figure.compared:.2f}×",
            "\n".join(_verdict(goal.text, met=goal.met) for goal in figure.goals),
        )
    return found


def _verdict(text: str, *, met: bool) -> str:
    return f"[green]✓ {text}[/]" if met else f"[red]✗ {text}[/]"


def as_plain(figures: dict[str, list[Figure]]) -> dict[str, object]:
    """Return everything as plain data, times in seconds."""
    return {
        "machine": _machine(),
        "figures": [
            {
                "theme": theme,
                "work": figure.work,
                "ours": figure.ours,
                "cpu": figure.cpu,
                "unit": figure.unit,
                "reference": figure.reference,
                "theirs": figure.theirs,
                "ratio": figure.compared,
                "goals": [{"text": goal.text, "met": goal.met} for goal in figure.goals],
            }
            for theme, found in figures.items()
            for figure in found
        ],
    }


def _machine() -> str:
    load = os.getloadavg()[0]
    said = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}"
    return f"{said}: goals are held against processor time" if crowded() else said


@contextmanager
def _folder(asked: Path | None) -> Iterator[Path]:
    """Yield a folder to work in: a temporary one below what was asked for."""
    if asked is not None:
        asked.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="consist-bench-", dir=asked) as folder:
        yield Path(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 10,000 recorded runs")
    parser.add_argument(
        "--only", action="append", choices=list(THEMES), metavar="NAME", help=", ".join(THEMES)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
