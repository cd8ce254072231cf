"""Hits: an earlier run is given back, and the new one is recorded in full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import (
    Figure,
    Sizes,
    alternate,
    at_most,
    at_most_times,
    calls,
    fresh,
    python,
)
from benchmarks.work import Project, filled

_SCRIPTS = Path(__file__).parent / "fresh"


def warm(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    small, large = Project(folder / "warm"), filled(folder, sizes.recorded_runs)
    step = small.remembered()
    with small.tracker() as few, large.tracker() as many:
        step(small.raw, 2.0)
        assert not small.run(few).cache_hit
        large.run(many)
        assert small.run(few).cache_hit
        assert large.run(many).cache_hit
        found = alternate(
            {
                "ours": calls(lambda _: small.run(few), sizes.calls),
                "joblib": calls(lambda _: step(small.raw, 2.0), sizes.calls),
                "many": calls(lambda _: large.run(many), sizes.calls),
            },
            sizes.rounds,
            sizes.calls,
        )
    ours, joblib, among_many = found["ours"], found["joblib"], found["many"]
    yield Figure(
        work="hit, warm, fully recorded",
        ours=ours.seconds,
        cpu=ours.cpu_seconds,
        reference="joblib.Memory (records nothing)",
        theirs=joblib.seconds,
        ratio=ours.over(joblib),
        goals=[at_most(ours.judged, 1e-3), at_most_times(ours.over(joblib), 6.0)],
    )
    yield Figure(
        work=f"the same among {sizes.recorded_runs:,} runs",
        ours=among_many.seconds,
        cpu=among_many.cpu_seconds,
        reference="among few",
        theirs=ours.seconds,
        ratio=among_many.over(ours),
        goals=[at_most_times(among_many.over(ours), 1.2)],
    )


def memory(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Hits leave nothing behind in the process."""
    place = folder / "memory"
    place.mkdir(parents=True, exist_ok=True)
    command = python(str(_SCRIPTS / "leave_nothing.py"), str(sizes.hits_in_memory))
    said = fresh(command, place).said
    yield Figure(
        work=f"memory after {sizes.hits_in_memory:,} hits",
        ours=said["grown"] / 2**20,
        unit="MB",
        reference="the process before them",
        theirs=said["before"] / 2**20,
        goals=[at_most(said["grown"] / 2**20, 10.0, "MB")],
    )
