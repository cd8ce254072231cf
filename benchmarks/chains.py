"""A scenario of chained steps, each taking the output of the one before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import joblib

from benchmarks.harness import Figure, Samples, Sizes, Work, alternate, at_most
from benchmarks.work import Project
from consist import Tracker


def step(raw: Path, number: int, folder: Path) -> Path:
    """Append a line to a copy of a small file."""
    target = folder / f"step_{number}.csv"
    target.write_text(f"{raw.read_text()[-1000:]}\n{number},{number}")
    return target


def scenario(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    project = Project(folder / "chain")
    written, remembered = project.runs / "steps", project.folder / "joblib_steps"
    for place in (written, remembered):
        place.mkdir(parents=True)

    with ExitStack() as stack:

        def ours(number: int) -> Work:
            stack.close()  # what was recorded before is merged, outside of what is timed

            def work() -> None:
                tracker = stack.enter_context(project.tracker())
                hits = _chain(tracker, project.raw, written, sizes.steps)
                assert hits == (0 if number < 0 else sizes.steps)

            return work

        def theirs(_: int) -> Work:
            cached = joblib.Memory(project.folder / "joblib", verbose=0).cache(step)
            return lambda: _remembered_chain(cached, project.raw, remembered, sizes.steps)

        missed, missed_by_joblib = _once(ours(-1)), _once(theirs(-1))
        time.sleep(0.05)
        found = alternate({"ours": ours, "joblib": theirs}, sizes.chain_rounds)
    yield Figure(
        work=f"scenario of {sizes.steps} chained steps, all executed",
        ours=missed.seconds,
        cpu=missed.cpu_seconds,
        reference="joblib.Memory",
        theirs=missed_by_joblib.seconds,
    )
    hit, hit_by_joblib = found["ours"], found["joblib"]
    yield Figure(
        work="… all hits, in a fresh tracker",
        ours=hit.seconds,
        cpu=hit.cpu_seconds,
        reference="joblib.Memory",
        theirs=hit_by_joblib.seconds,
        ratio=hit.over(hit_by_joblib),
        goals=[at_most(hit.judged, 0.4)],
    )


def _once(work: Work) -> Samples:
    found = Samples()
    with found.timed():
        work()
    return found


def _chain(tracker: Tracker, raw: Path, folder: Path, steps: int) -> int:
    """Run the scenario; return how many steps hit."""
    hits, source = 0, raw
    with tracker.scenario("chain") as sc:
        for number in range(steps):
            source = sc.run(
                step,
                name=f"step_{number}",
                inputs={"raw": source},
                config={"number": number, "folder": folder},
                outputs=["rows"],
            )
            hits += source.cache_hit
    return hits


def _remembered_chain(cached: object, raw: Path, folder: Path, steps: int) -> None:
    for number in range(steps):
        raw = cached(raw, number, folder)
