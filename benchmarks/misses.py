"""Misses: what is added to the plain call of a function that writes its own small file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Figure, Sizes, alternate, at_most, calls
from benchmarks.work import Project, scale


def miss(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    project = Project(folder / "miss")
    step, raw = project.remembered(), project.raw
    with project.tracker() as tracker:
        found = alternate(
            {
                "plain": calls(lambda number: scale(raw, number), sizes.calls),
                "ours": calls(lambda number: project.run(tracker, number + 0.25), sizes.calls),
                "joblib": calls(lambda number: step(raw, number + 0.5), sizes.calls),
            },
            sizes.rounds,
            sizes.calls,
        )
    plain = found["plain"]
    ours, joblib = found["ours"].beyond(plain), found["joblib"].beyond(plain)
    yield Figure(
        work=f"miss, beyond the plain call of {plain.seconds * 1e3:.2g} ms",
        ours=ours.seconds,
        cpu=ours.cpu_seconds,
        reference="joblib.Memory, beyond it",
        theirs=joblib.seconds,
        goals=[at_most(ours.judged, 2e-3)],
    )
