"""Killed while it ingests, a process keeps every row that it acknowledged, once, and no other."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from consist.store import staging
from tests.campaigns.processes import ROOT
from tests.unit.store.worlds import open_store, table

ROWS = 2_000
WORKER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.unit.store.test_rows import *
folder = Path({folder!r})
store = open_store(folder)
for number in range(100_000):
    name = {prefix!r} + str(number)
    done = record(store, document(name))
    ingest(store, done, {rows})
    print(name, flush=True)
    if number % 5 == 4:
        store.sync(0.0)
"""


def kill_one(folder: Path, prefix: str, after: float) -> list[str]:
    """Let a process ingest for ``after`` seconds, kill it, and return what it acknowledged."""
    code = WORKER.format(root=str(ROOT), folder=str(folder), prefix=prefix, rows=ROWS)
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert worker.stdout
    first = worker.stdout.readline().strip()
    timer = threading.Timer(after, worker.kill)
    timer.start()
    output, errors = worker.communicate(timeout=60)
    timer.join()
    assert worker.returncode == -9, errors
    return [first, *(line.strip() for line in output.splitlines(keepends=True) if "\n" in line)]


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_rows_survive_kills(tmp_path: Path, kills: int) -> None:
    rng = random.Random(7)
    done: set[str] = set()
    for number in range(kills):
        done |= set(kill_one(tmp_path, f"k{number}-", rng.uniform(0.0, 0.8)))
    store = open_store(tmp_path, "checker")
    counts = "SELECT consist_run_id, count(*), count(DISTINCT n)"
    counts += " FROM global_tables.t GROUP BY ALL"
    for _ in range(2):
        found = {run: numbers for run, *numbers in table(store, counts)}
        assert done <= found.keys()
        assert all(numbers == [ROWS, ROWS] for numbers in found.values())
        assert len(found) <= len(done) + kills, "a record may be there that nobody heard of"
        assert store.sync(60)
    store.close()
    assert staging.listed(tmp_path / "db.duckdb.journal/rows") == []
