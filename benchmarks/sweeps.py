"""Sweeps of points that do nothing: what is added to the bare executor, in the same run."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import loky
from distributed import Client

from benchmarks.harness import Figure, Samples, Sizes, Work, alternate, at_most
from benchmarks.work import Project
from consist import Tracker

_WORKERS = 2
_GOAL = 5e-3


def nothing(point: int) -> None:
    """Take no time, so that all that is measured is around it."""


def sweeps(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    for kind, start in _EXECUTORS.items():
        project = Project(folder / f"sweep-{kind}")
        with project.tracker() as tracker, start() as executor:
            found = _measured(tracker, executor, sizes)
        yield from _figures(kind, sizes, found)


def _measured(tracker: Tracker, executor: Executor, sizes: Sizes) -> dict[str, Samples]:
    count = sizes.points

    def bare(_number: int) -> Work:
        def work() -> None:
            for future in [executor.submit(nothing, point) for point in range(count)]:
                future.result()

        return work

    def swept(number: int, hits: int) -> Work:
        def work() -> None:
            points = range(number * count, (number + 1) * count)
            with tracker.scenario("sweep") as sc:
                sweep = sc.map(nothing, {"point": points}, executor=executor, progress=False)
            if sum(point.cache_hit for point in sweep.completed) != hits:
                raise RuntimeError(f"{sweep} where {hits} hits were expected")

        return work

    return alternate(
        {
            "bare": bare,
            "first": lambda number: swept(number, 0),
            "again": lambda number: swept(number, count),
        },
        sizes.sweep_rounds,
        count,
    )


def _figures(kind: str, sizes: Sizes, found: Mapping[str, Samples]) -> Iterator[Figure]:
    bare = found["bare"]
    beyond = found["first"].beyond(bare)
    yield Figure(
        work=f"one of {sizes.points} points through {kind}, beyond the bare executor",
        ours=beyond.seconds,
        cpu=beyond.cpu_seconds,
        reference="the bare executor",
        theirs=bare.seconds,
        goals=[at_most(beyond.judged, _GOAL)],
    )
    again = found["again"]
    yield Figure(
        work="… the second time, all of them hits",
        ours=again.seconds,
        cpu=again.cpu_seconds,
        reference="the bare executor",
        theirs=bare.seconds,
        goals=[at_most(again.judged, _GOAL)],
    )


# ---------------------------------------------------------------- executors


def _forking() -> Executor:
    return ProcessPoolExecutor(_WORKERS, multiprocessing.get_context("fork"))


def _loky() -> Any:
    return loky.ProcessPoolExecutor(_WORKERS)


@contextmanager
def _dask() -> Iterator[Executor]:
    with Client(
        n_workers=_WORKERS, threads_per_worker=1, dashboard_address=":0", set_as_default=False
    ) as client:
        yield client.get_executor()


_EXECUTORS: Mapping[str, Callable[[], AbstractContextManager[Executor]]] = {
    "a forking pool": _forking,
    "loky": _loky,
    "Dask": _dask,
}
