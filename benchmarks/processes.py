"""Several processes with run folders of their own on one database."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from benchmarks.harness import (
    Figure,
    Goal,
    Sizes,
    at_least,
    at_most,
    decoded,
    environment,
    python,
)
from consist import Tracker

_SCRIPT = Path(__file__).parent / "fresh" / "many_runs.py"
_PATIENCE = 120.0


def together(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    place = folder / "processes"
    place.mkdir(parents=True)
    ours, theirs = _run(place, "consist", sizes), _run(place, "joblib", sizes)
    total = sizes.processes * sizes.runs_each
    crowd = f"{sizes.processes} processes × {sizes.runs_each}"
    for what, goal in (("misses", 0.0), ("hits", 1_000.0)):
        each = [said[what] for said in ours]
        rate, longest = _rate(each, total), max(one["longest"] for one in each)
        yield Figure(
            work=f"{crowd} {what} on one database",
            ours=rate,
            unit="runs/s",
            reference="joblib.Memory",
            theirs=_rate([said[what] for said in theirs], total),
            goals=[at_least(rate, goal, "runs/s")] if goal else [],
        )
        yield Figure(
            work="… longest call after the first of each process",
            ours=longest,
            reference="joblib.Memory",
            theirs=max(said[what]["longest"] for said in theirs),
            goals=[at_most(longest, 1.0)],
        )
    yield _recorded(place, 2 * total)


def _recorded(place: Path, expected: int) -> Figure:
    with Tracker(place, place / "provenance.duckdb") as tracker:
        tracker.store.sync(wait=60.0)
        runs = tracker.find_runs(limit=2 * expected)
    recorded = sum(run.status == "completed" for run in runs)
    return Figure(
        work="… runs recorded after all have ended",
        ours=recorded,
        unit="runs",
        reference="runs made",
        theirs=expected,
        goals=[Goal("all", recorded == expected == len(runs))],
    )


def _run(place: Path, library: Literal["consist", "joblib"], sizes: Sizes) -> list[Any]:
    """Let all processes work at the same time; return what each of them said."""
    running = [
        subprocess.Popen(
            python(str(_SCRIPT), library, str(number), str(sizes.runs_each)),
            cwd=place,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(sizes.processes)
    ]
    try:
        for what in ("misses", "hits"):
            _await(place, what, running)
            (place / f"go-{what}").touch()
        outputs = [process.communicate(timeout=_PATIENCE)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    if any(process.returncode for process in running):
        raise RuntimeError(f"a process with {library} failed")
    for mark in [*place.glob("go-*"), *place.glob("ready-*")]:
        mark.unlink()
    return [decoded(output) for output in outputs]


def _await(place: Path, what: str, running: list[subprocess.Popen[str]]) -> None:
    """Wait until every process is ready."""
    until = time.monotonic() + _PATIENCE
    while len(list(place.glob(f"ready-{what}-*"))) < len(running):
        if time.monotonic() > until or any(process.poll() for process in running):
            raise RuntimeError("a process did not get ready")
        time.sleep(0.005)


def _rate(each: list[Any], total: int) -> float:
    return total / (max(one["ended"] for one in each) - min(one["began"] for one in each))
