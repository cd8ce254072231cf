"""Starting the processes of a campaign."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
ROOT = WORKER.parents[2]


def start_worker(folder: Path, prefix: str, count: int, way: str) -> subprocess.Popen[str]:
    """Start a worker and wait until it is ready to begin."""
    worker = subprocess.Popen(
        [sys.executable, str(WORKER), str(folder), way, prefix, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert worker.stdout
    if worker.stdout.readline() != "ready\n":
        raise AssertionError(worker.communicate()[1])
    return worker


def begin(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin
    worker.stdin.write("\n")
    worker.stdin.flush()


def acknowledged(output: str) -> dict[str, float]:
    """Return the seconds of each run that a worker said was done; a torn last line says nothing."""
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {parts[0]: float(parts[1]) for parts in lines if len(parts) == 2}
