"""A driver of sweeps for the campaigns, to be killed or interrupted.

``python sweeping.py FOLDER KIND POINTS SECONDS``: every point leaves a mark of its own for each
time that it is executed, and says so.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def executor_of(kind: str) -> Iterator[Executor | None]:
    if kind == "inline":
        yield None
    elif kind == "thread":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    elif kind == "dask":
        from distributed import Client

        with Client(n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
            yield client.get_executor()
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context(kind)) as pool:
            yield pool


def step(n: int, marks: str, seconds: float) -> None:
    """Take a while, then leave a mark; in small naps, as Python code can be interrupted."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.002)
    (Path(marks) / f"{n}.{os.getpid()}.{time.monotonic_ns()}").touch()
    sys.stdout.write(f"done {n}\n")  # one write, or lines of threads mix
    sys.stdout.flush()


def main(folder: str, kind: str, points: str, seconds: str) -> None:
    """Sweep, and print what came of it."""
    place = Path(folder)
    marks = place / "marks"
    marks.mkdir(exist_ok=True)
    with Tracker(place / "runs", place / "p.duckdb", project_root=place) as tracker:
        with executor_of(kind) as executor, tracker.scenario("s") as sc:
            how: dict[str, Any] = {
                "runtime_kwargs": {"marks": str(marks), "seconds": float(seconds)}
            }
            from consist import ExecutionOptions

            sweep = sc.map(
                step,
                {"n": range(int(points))},
                executor=executor,
                execution_options=ExecutionOptions(**how),
            )
        print(repr(sweep), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
