"""Views where the database is somebody else's: looked at, out of reach, or in use."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import consist
from consist import Tracker
from consist.core.visitor import Visitor
from consist.errors import StoreLocked
from tests.unit.store.children import holding, run_child

FRAME = pd.DataFrame({"a": [1, 2]})


def ask(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    with tracker.store.ask(views=True) as connection:
        return connection.execute(statement).fetchall()


def made(tracker: Tracker, run_id: str, *, ingest: bool = False, **where: Any) -> Any:
    with tracker.start_run(run_id, model="make", config={"of": run_id}):
        artifact = tracker.log_dataframe(FRAME, key="trips", **where)
        if ingest:
            tracker.ingest(artifact)
    return artifact


def test_a_visitor_sees_hot_rows_and_only_files_that_it_may_look_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # VIEW-001, VIEW-006
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    with Tracker(home / "runs", home / "p.duckdb", allow_external_paths=True) as tracker:
        made(tracker, "cold")
        elsewhere.mkdir()
        FRAME.to_parquet(elsewhere / "out.parquet")
        with tracker.start_run("outside", model="make"):
            tracker.log_artifact(elsewhere / "out.parquet", key="trips")
        made(tracker, "hot", ingest=True).path.unlink()
        tracker.create_view("v_trips", "trips")
        tracker.store.sync()
        made(tracker, "staged", ingest=True).path.unlink()
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
        counts = "SELECT consist_run_id, count(*) FROM v_trips GROUP BY ALL ORDER BY 1"
        with Visitor(tmp_path / "mine", home / "p.duckdb") as visitor:
            seen = ask(visitor, counts)
            visitor.create_view("v_own", "trips")
            assert ask(visitor, counts.replace("v_trips", "v_own")) == seen
        assert seen == [("cold", 2), ("hot", 2), ("staged", 2)]
        assert "trips" in caplog.text, "what it passes over, it says"
        for how in ({"folders": [elsewhere]}, {"trust_db": True}):
            with Visitor(tmp_path / "mine", home / "p.duckdb", **how) as visitor:
                assert [run for run, _ in ask(visitor, counts)] == [
                    "cold", "hot", "outside", "staged",
                ]  # fmt: skip
        after = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
        assert before == after, "who looks leaves nothing behind"


@pytest.fixture
def public() -> Iterator[Path]:
    """Yield a folder that every user can reach; pytest keeps its own to itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


READING = """
import logging, os, tempfile
logging.disable()
import pandas as pd
from consist import Tracker
place = tempfile.mkdtemp()  # imports what another user may not read
with Tracker(place + "/runs", place + "/p.duckdb") as warm:
    with warm.start_run("a", model="m"):
        warm.ingest(warm.log_dataframe(pd.DataFrame({{"a": [1]}}), key="trips"))
    warm.create_view("v", "trips")
    with warm.store.ask(views=True) as connection:
        connection.execute("FROM v").fetchall()
if {other}:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
assert not os.access(folder, os.W_OK)
for mode in ("read_only", "analysis"):
    with Tracker(folder / "runs", folder / "p.duckdb", access_mode=mode) as looking:
        looking.create_view("v_own", "trips")
        with looking.store.ask(views=True) as connection:
            for name in ("v_trips", "v_own"):
                say(connection.execute(f"SELECT consist_run_id, sum(a) FROM {{name}} GROUP BY ALL"
                                       " ORDER BY 1").fetchall())
"""


def test_a_folder_that_cannot_be_written_answers_questions_over_views(public: Path) -> None:
    # VIEW-006
    with Tracker(public / "runs", public / "p.duckdb") as tracker:
        made(tracker, "cold")
        made(tracker, "hot", ingest=True)
        tracker.create_view("v_trips", "trips")
    there = [public, *public.rglob("*")]
    for path in there:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        lines = run_child(READING.format(other=os.geteuid() == 0), public)
    finally:
        for path in there:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert lines == ["[('cold', 3), ('hot', 3)]"] * 4


def test_runs_go_on_with_ingests_and_views_while_somebody_holds_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # ING-002, VIEW-006
    monkeypatch.setenv("CONSIST_LOCK_WAIT", "0.4")
    monkeypatch.setattr("consist.store.database.PATIENCE", 0.1)
    caplog.set_level(logging.WARNING, "consist")
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        first = made(tracker, "first")
        tracker.store.sync()
        staged = tracker.store.folder.rows
        with holding(tmp_path, read_only=True) as holder:
            tracker.create_view("v_trips", "trips")
            made(tracker, "second", ingest=True).path.unlink()
            assert ask(tracker, "SELECT count(*) FROM v_trips") == [(4,)]
            assert len(list(staged.glob("*.parquet"))) == 1
            with pytest.raises(StoreLocked, match=str(holder.pid)):
                tracker.ingest(first)
            assert f"waiting for {tmp_path / 'db.duckdb'}, which is held by" in caplog.text
            assert str(holder.pid) in caplog.text
            assert len(list(staged.iterdir())) == 1, "nothing of the refused one is left"
        with holding(tmp_path):
            third = made(tracker, "third", ingest=True)
            tracker.create_view("v_again", "trips")
            assert len(tracker.load_df(third, db_fallback="always")) == 2
            with pytest.raises(StoreLocked):
                ask(tracker, "FROM v_again")
    monkeypatch.delenv("CONSIST_LOCK_WAIT")
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        tracker.create_view("v_trips", "trips")
        assert ask(tracker, "SELECT count(*) FROM v_trips") == [(6,)]
        ingested = "SELECT DISTINCT consist_run_id FROM global_tables.trips ORDER BY 1"
        assert ask(tracker, ingested) == [("second",), ("third",)]
        assert tracker.ingest(first) is not None
    with duckdb.connect(str(tmp_path / "db.duckdb"), read_only=True) as plain:
        assert plain.execute("SELECT count(*) FROM v_trips").fetchall() == [(6,)]


def step_that_ingests(x: int) -> None:
    tracker = consist.current_tracker()
    artifact = consist.log_dataframe(pd.DataFrame({"x": [x] * 3}), key="cells")
    tracker.ingest(artifact)


@pytest.mark.parametrize("kind", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_sweep_ingest(tmp_path: Path, kind: str) -> None:
    # ING-002, VIEW-006
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        made(tracker, "before", ingest=True)
        assert ask(tracker, "SELECT count(*) FROM global_tables.trips") == [(2,)]
        context = multiprocessing.get_context(kind)
        with ProcessPoolExecutor(2, context) as pool, tracker.scenario("s") as sc:
            sweep = sc.map(step_that_ingests, {"x": range(4)}, "cells", executor=pool)
            assert [(point.status, point.error) for point in sweep] == [("completed", None)] * 4
        tracker.create_view("v_cells", "cells")
        found = ask(
            tracker,
            "SELECT x, count(*), any_value(consist_scenario_id) FROM v_cells GROUP BY x ORDER BY x",
        )
        assert found == [(x, 3, "s") for x in range(4)]
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as plain:
        assert plain.execute("SELECT count(*) FROM global_tables.cells").fetchall() == [(12,)]
