"""What processes and threads of the in-flight tests run; a module, as spawn imports it by name.

They tell each other what happened by files in a common folder, so that nothing hangs on luck.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import consist
from consist import CacheOptions, Tracker

if TYPE_CHECKING:
    from consist.models.result import RunResult

WAIT = CacheOptions(in_flight="wait")
LONG = 60.0
"""Seconds after which a test gives up on something that should happen at once."""


def sign(folder: Path, kind: str) -> None:
    """Leave a file that says what happened here."""
    (folder / f"{kind}-{os.getpid()}-{threading.get_ident()}").touch()


def signs(folder: Path, kind: str) -> int:
    return len(list(folder.glob(f"{kind}-*")))


def until(folder: Path, kind: str, count: int = 1) -> None:
    """Return once something was said often enough."""
    deadline = time.monotonic() + LONG
    while signs(folder, kind) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"{signs(folder, kind)} of {count} {kind}")
        time.sleep(0.005)


class Telling(logging.Handler):
    """Leaves a sign for every run that begins to wait."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self.folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        if " waits for " in record.getMessage():
            sign(self.folder, "waiting")


def tell_waits(folder: Path) -> Telling:
    logger = logging.getLogger("consist.runs")
    handler = Telling(folder)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return handler


def step(folder: Path, waiters: int = 0, then: str = "return") -> Path:
    """Execute until ``waiters`` others wait for it, and then end somehow."""
    sign(folder, "executed")
    until(folder, "waiting", waiters)
    if then == "hang":
        time.sleep(LONG)
    if then == "raise":
        raise ZeroDivisionError("as asked")
    path = consist.output_path("n", ext="txt")
    path.write_text("done")
    return path


def upstream() -> Path:
    path = consist.output_path("raw", ext="txt")
    path.write_text("the same whenever it is made")
    return path


def before() -> None:
    """Execute before the fork, so that the child inherits a tracker that was used."""


def open_tracker(folder: Path) -> Tracker:
    return Tracker(
        run_dir=folder / "runs", db_path=folder / "provenance.duckdb", project_root=folder
    )


def run_step(
    tracker: Tracker,
    folder: Path,
    options: CacheOptions = WAIT,
    year: int | None = None,
    inputs: list[Any] | None = None,
    **runtime: Any,
) -> RunResult:
    return tracker.run(
        step,
        year=year,
        inputs=inputs,
        outputs=["n"],
        cache_options=options,
        runtime_kwargs={"folder": folder, **runtime},
    )


def work(folder: Path, waiters: int = 0, then: str = "return") -> None:
    """Do one run in a process of its own and say how it came out."""
    tell_waits(folder)
    with open_tracker(folder) as tracker:
        result = run_step(tracker, folder, waiters=waiters, then=then)
        sign(folder, "hit" if result.cache_hit else "miss")


def work_in_tracker(tracker: Tracker, folder: Path, waiters: int) -> None:
    """Do one run in a forked child with the tracker of its parent."""
    tell_waits(folder)
    result = run_step(tracker, folder, waiters=waiters)
    sign(folder, "hit" if result.cache_hit else "miss")
