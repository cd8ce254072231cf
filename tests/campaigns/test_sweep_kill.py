"""A sweep that is killed or interrupted loses nothing that was done, and goes on with the rest."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from consist import Tracker

DRIVER = Path(__file__).with_name("sweeping.py")
PATIENCE = 90.0


def start(folder: Path, kind: str, points: int, seconds: float) -> subprocess.Popen[str]:
    """Start a sweep as the leader of a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(folder), kind, str(points), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(driver: subprocess.Popen[str], count: int) -> None:
    """Wait until so many points said that they are done."""
    assert driver.stdout
    for _ in range(count):
        line = driver.stdout.readline()
        assert line.startswith("done"), line + driver.communicate()[1]


def end(driver: subprocess.Popen[str]) -> None:
    """Make sure that nothing of a sweep is left running."""
    with suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=PATIENCE)


def executed(folder: Path) -> Counter[int]:
    return Counter(int(mark.name.partition(".")[0]) for mark in (folder / "marks").iterdir())


def recorded(folder: Path) -> dict[int, list[str]]:
    """Return the statuses of the runs of every point, hits left out."""
    found: dict[int, list[str]] = {}
    with Tracker(folder / "runs", folder / "p.duckdb", project_root=folder) as tracker:
        for run in tracker.find_runs(model="step", limit=100_000):
            if not run.meta.get("cache_hit"):
                config = tracker.get_run_config(run.id) or {}
                found.setdefault(int(config["n"]), []).append(run.status)
    return found


def finish(folder: Path, kind: str, points: int) -> str:
    driver = start(folder, kind, points, 0)
    said, errors = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, errors
    return said.strip().splitlines()[-1]


def check_the_rest(folder: Path, kind: str, points: int) -> None:
    """Run the sweep again; only what was not completed is executed."""
    before, marks = recorded(folder), executed(folder)
    done = {n for n, statuses in before.items() if "completed" in statuses}
    said = finish(folder, kind, points)
    assert f"{points:,} completed" in said
    hits = re.search(r"\(([\d,]+) hits?\)", said)
    assert hits
    assert int(hits[1].replace(",", "")) == len(done)
    again = executed(folder) - marks
    assert set(again) == set(range(points)) - done
    assert set(again.values()) <= {1}
    left = {n: statuses for n, statuses in before.items() if n not in done}
    assert {status for statuses in left.values() for status in statuses} <= {"interrupted"}, left


@pytest.mark.parametrize("kind", ["fork", "thread"])
@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_a_killed_driver_loses_nothing(tmp_path: Path, kind: str, kills: int) -> None:
    chance = random.Random(kills)
    points = 40 * kills + 20
    for _ in range(kills):
        driver = start(tmp_path, kind, points, 0.02)
        try:
            wait_for(driver, chance.randint(5, 15))
        finally:
            os.kill(driver.pid, signal.SIGKILL)
            end(driver)
    assert executed(tmp_path)
    check_the_rest(tmp_path, kind, points)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("kind", ["fork"])
def test_a_killed_worker_ends_the_sweep_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    driver = start(tmp_path, kind, 60, 0.05)
    try:
        wait_for(driver, 8)
        os.kill(children_of(driver.pid)[0], signal.SIGKILL)
        _, errors = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 1
        assert "WorkersLost" in errors
        assert "run the sweep again" in errors
    finally:
        end(driver)
    check_the_rest(tmp_path, kind, 60)


@pytest.mark.parametrize(
    ("kind", "whom"),
    [
        ("inline", "driver"),
        ("thread", "group"),
        ("fork", "driver"),
        *(
            pytest.param(kind, whom, marks=pytest.mark.slow)
            for kind, whom in (
                *(("inline", "group"), ("thread", "driver"), ("fork", "group")),
                *(("dask", "driver"), ("dask", "group")),
            )
        ),
    ],
)
def test_ctrl_c_cancels_what_was_not_begun(tmp_path: Path, kind: str, whom: str) -> None:
    if kind == "dask" and whom == "group":
        pytest.skip("the nanny of Dask restarts workers that a terminal interrupts")
    driver = start(tmp_path, kind, 200, 0.05)
    try:
        wait_for(driver, 5)
        began = time.monotonic()
        (os.kill if whom == "driver" else os.killpg)(driver.pid, signal.SIGINT)
        _, errors = driver.communicate(timeout=PATIENCE)
        assert time.monotonic() - began < 60
        assert driver.returncode in {1, 130, -signal.SIGINT}, errors
        assert "KeyboardInterrupt" in errors
        assert "consist/workflow" not in errors.split("KeyboardInterrupt")[-1]
        if whom == "driver" and kind != "dask":
            assert errors.count("Traceback") <= 3, errors
    finally:
        end(driver)
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb", project_root=tmp_path) as tracker:
        header = tracker.get_run("s~1")
        assert header is not None
        assert header.status == "interrupted"
        (sweep,) = header.meta["sweeps"]
        assert sweep["points"] == 200
        assert sweep["cancelled"] > 100
    found = Counter(s for statuses in recorded(tmp_path).values() for s in statuses)
    assert found.keys() <= {"completed", "interrupted"}
    assert found["completed"] >= 3  # five said that they were done, two of them perhaps just so
    check_the_rest(tmp_path, kind if kind != "dask" else "thread", 200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fork", "dask"])
def test_a_thousand_points_are_recorded_once_and_are_hits_then(tmp_path: Path, kind: str) -> None:
    assert "1,000 completed (0 hits)" in finish(tmp_path, kind, 1000)
    assert "1,000 completed (1,000 hits)" in finish(tmp_path, kind, 1000)
    assert set(executed(tmp_path).values()) == {1}
    assert all(statuses == ["completed"] for statuses in recorded(tmp_path).values())
    assert len(recorded(tmp_path)) == 1000
