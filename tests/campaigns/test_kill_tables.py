"""Killed while it ingests into several tables, a process leaves each artifact whole, or not at all.

Rows go in inside runs and after them, again under the same artifact, and with records inside that
make tables of their own; merges and questions over views come in between.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import duckdb
import pytest

from consist import Tracker
from consist.store import staging
from tests.campaigns.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ROWS, LEGS = 200, 2
WORKER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
import dlt, pandas as pd
from consist import Tracker
folder = Path({folder!r})
tracker = Tracker(folder / "runs", folder / "p.duckdb")
for number in range(100_000):
    name = {prefix!r} + str(number)
    frame = pd.DataFrame({{"n": range({rows}), "round": 1}})
    with tracker.start_run(name, model="make", config={{"of": name}}):
        cells = tracker.log_dataframe(frame, key="cells")
        links = tracker.log_dataframe(frame, key="links")
        tracker.ingest(cells)
        print("cells", name, 1, flush=True)
        if number % 4 == 0:
            trips = tracker.log_dataframe(frame.head(3), key="trips")
            tracker.ingest(trips, [{{"n": n, "legs": [{{"leg": i}} for i in range({legs})]}}
                                   for n in range({rows})])
            print("trips", name, 1, flush=True)
    tracker.ingest(links)
    print("links", name, 1, flush=True)
    tracker.ingest(cells, frame.assign(round=2))
    print("cells", name, 2, flush=True)
    tracker.create_view("v_cells", "cells")
    with tracker.store.ask() as connection:
        connection.execute("SELECT count(*) FROM v_cells").fetchall()
"""


def kill_one(folder: Path, prefix: str, count: int, after: float) -> set[tuple[str, str, int]]:
    """Let a process ingest ``count`` times and ``after`` seconds more, and kill it.

    Returns what it acknowledged.
    """
    code = WORKER.format(root=str(ROOT), folder=str(folder), prefix=prefix, rows=ROWS, legs=LEGS)
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert worker.stdout
    first = "".join(worker.stdout.readline() for _ in range(count))
    timer = threading.Timer(after, worker.kill)
    timer.start()
    output, errors = worker.communicate(timeout=120)
    timer.join()
    assert worker.returncode == -9, errors
    lines = [line for line in (first + output).splitlines(keepends=True) if line.endswith("\n")]
    return {(table, run, int(times)) for table, run, times in map(str.split, lines)}


def check(tracker: Tracker, done: set[tuple[str, str, int]]) -> None:
    with tracker.store.ask() as connection:
        for table in ("cells", "links", "trips"):
            times = "min(round), max(round)" if table != "trips" else "1, 1"
            rows = connection.execute(
                f"SELECT consist_run_id, count(*), count(DISTINCT n), {times}"
                f" FROM global_tables.{table} GROUP BY consist_run_id"
            ).fetchall()
            assert all(counts == [ROWS, ROWS] for _, *counts in (row[:3] for row in rows)), table
            seen = {run: (first, last) for run, _, _, first, last in rows}
            for name, run, round_ in done:
                if name == table:
                    first, last = seen[run]
                    assert first == last >= round_, (table, run)
        legs = connection.execute(
            "SELECT consist_artifact_id, count(*) FROM global_tables.trips__legs GROUP BY ALL"
        ).fetchall()
        whole = connection.execute("SELECT DISTINCT consist_artifact_id FROM global_tables.trips")
        assert dict(legs) == dict.fromkeys((row[0] for row in whole.fetchall()), ROWS * LEGS)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [40])
def test_tables_survive_kills(tmp_path: Path, kills: int) -> None:
    # ING-002
    rng = random.Random(11)
    done: set[tuple[str, str, int]] = set()
    for number in range(kills):
        count, after = rng.randint(1, 8), rng.uniform(0.0, 0.5)
        done |= kill_one(tmp_path, f"k{number}-", count, after)
    assert {table for table, *_ in done} == {"cells", "links", "trips"}
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        check(tracker, done)
        assert tracker.store.sync(60.0)
        check(tracker, done)
        found = tracker.doctor_db(snapshots=False)
        assert found.is_healthy, found.findings
    assert staging.listed(tmp_path / "p.duckdb.journal/rows") == []
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as plain:
        tables = plain.execute("SELECT count(*) FROM global_tables.cells").fetchall()
        assert tables[0][0] % ROWS == 0
