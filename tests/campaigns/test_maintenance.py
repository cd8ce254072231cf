"""A database rebuilt from snapshots, exported, merged and purged, counted at each step."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from consist import Tracker
from consist.files.places import RunPlaces
from consist.models.record import encode
from consist.store.snapshots import write_snapshot
from tests.unit.store.worlds import document

STEPS = 100
"""Runs of a scenario, its header included."""


def write_snapshots(run_dir: Path, runs: int, values: int) -> None:
    """Write scenarios of chained runs, each with two outputs and a facet."""
    places, before = RunPlaces(run_dir), ()
    for number in range(runs):
        step = number % STEPS
        header = f"scenario_{number // STEPS}"
        done = document(
            header if step == 0 else f"{header}_step_{step}",
            tables=0 if step == 0 else 2,
            inputs=before,
            parent_run_id=None if step == 0 else header,
            ended_at=datetime.now(UTC),
            facet={f"p{k}": number * k for k in range(values)},
            meta={"_physical_run_dir": str(run_dir)},
        )
        before = done.outputs[:1]
        write_snapshot(places, done.run.id, encode(done), latest=False)


def figures(tracker: Tracker) -> tuple[int, ...]:
    """Count the rows of every table that belongs to runs."""
    tables = ("run", "run_extra", "artifact", "run_artifact_link", "run_config_kv")
    with tracker.store.ask() as connection:
        found = [connection.execute(f"SELECT count(*) FROM {t}").fetchall() for t in tables]
    return tuple(int(rows[0][0]) for rows in found)


def copied_plainly(source: Path, target: Path) -> float:
    """Return how long DuckDB takes to copy all tables into a new file."""
    began = time.perf_counter()
    with duckdb.connect() as plain:
        plain.execute(f"ATTACH '{source}' AS old (READ_ONLY); ATTACH '{target}' AS new")
        plain.execute("COPY FROM DATABASE old TO new")
    return time.perf_counter() - began


@pytest.mark.parametrize(
    ("runs", "values"), [(300, 3), pytest.param(100_000, 20, marks=pytest.mark.slow)]
)
def test_counts_agree_from_snapshots_to_purge(tmp_path: Path, runs: int, values: int) -> None:
    write_snapshots(tmp_path / "runs", runs, values)
    scenarios = runs // STEPS
    took: dict[str, float] = {}

    def timed(name: str, began: float) -> None:
        took[name] = round(time.perf_counter() - began, 2)

    whole = (runs, runs, (runs - scenarios) * 2, *_links(runs, scenarios), runs * values)
    with Tracker(tmp_path / "runs", tmp_path / "a.duckdb") as tracker:
        began = time.perf_counter()
        found = tracker.rebuild_db()
        timed("rebuild", began)
        assert (found.runs_inserted, found.artifacts_inserted) == (runs, whole[2])
        assert figures(tracker) == whole
        began = time.perf_counter()
        assert tracker.rebuild_db().runs_already_present == runs
        timed("rebuild again", began)
        began = time.perf_counter()
        assert tracker.inspect_db().json_db_parity
        timed("inspect", began)
        began = time.perf_counter()
        assert tracker.doctor_db().findings == []
        timed("doctor", began)

        parts = []
        began = time.perf_counter()
        for number in (0, 1):
            shard = tmp_path / f"shard_{number}.duckdb"
            parts.append(tracker.export_db(f"scenario_{number}", shard))
        timed("export of two scenarios", began)
        assert [len(part.run_ids) for part in parts] == [STEPS, STEPS]

        with Tracker(tmp_path / "other", tmp_path / "b.duckdb") as other:
            began = time.perf_counter()
            for number in (0, 1):
                merged = other.merge_db(tmp_path / f"shard_{number}.duckdb")
                assert len(merged.runs_merged) == STEPS
            assert figures(other)[:3] == (2 * STEPS, 2 * STEPS, (STEPS - 1) * 4)
            assert other.doctor_db(snapshots=False).is_healthy
            timed("merge of two shards", began)
            began = time.perf_counter()
            merged = other.merge_db(tmp_path / "a.duckdb")
            timed("merge of all", began)
            assert len(merged.runs_already_present) == 2 * STEPS
            assert len(merged.runs_merged) == runs - 2 * STEPS
            assert figures(other) == whole

        began = time.perf_counter()
        plan = tracker.purge_db("scenario_0").plan
        timed("purge of a scenario", began)
        assert len(plan.run_ids) == STEPS
        left = figures(tracker)
        assert left[:2] == (runs - STEPS, runs - STEPS)
        assert left[2] == whole[2] - len(plan.orphaned_artifact_ids)
        assert left[4] == whole[4] - STEPS * values
        assert tracker.rebuild_db().runs_inserted == 0
        assert tracker.inspect_db().json_db_parity
        began = time.perf_counter()
        sizes = tracker.compact_db()
        timed("compact", began)
        assert figures(tracker) == left
        assert tracker.doctor_db().is_healthy
    took["plain DuckDB copy"] = round(
        copied_plainly(tmp_path / "a.duckdb", tmp_path / "plain.duckdb"), 2
    )
    print(runs, took, sizes.bytes_before, sizes.bytes_after, os.times().user)


def _links(runs: int, scenarios: int) -> tuple[int]:
    """Return how many links there are: outputs, and each step's input from the one before."""
    with_input = runs - scenarios - scenarios  # neither headers' followers nor the first
    followers = scenarios - 1  # headers, which got an output of the scenario before
    return ((runs - scenarios) * 2 + with_input + followers,)
