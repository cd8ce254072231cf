"""Runs as databases of their own, and such databases into others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from consist import Tracker
from consist.errors import StoreDamaged, StoreTooNew
from tests.unit.maintenance.conftest import World, step_of
from tests.unit.store.worlds import document, open_store, record


def test_a_shard_is_a_database_with_every_lineage(world: World) -> None:
    planned = world.tracker.export_db("high", "high.duckdb", dry_run=True)
    assert not Path("high.duckdb").exists()
    made = world.tracker.export_db("high", "high.duckdb", include_snapshots=True)
    step = step_of(world.tracker, "high")
    assert made.run_ids == planned.run_ids == ["high", step]
    assert made.lineage_run_ids == [world.cleaned]
    assert (made.artifact_count, made.snapshots_copied) == (3, 3)
    with Tracker("elsewhere", "high.duckdb") as shard:
        assert shard.inspect_db().total_runs == 3
        assert shard.doctor_db().is_healthy
        tree = shard.get_artifact_lineage("scaled")
        assert tree["producing_run"]["inputs"][0]["producing_run"]["run"].id == world.cleaned
        (found,) = shard.find_runs(index_by=None, model="scale")
        assert found.id == step
    alone = world.tracker.export_db("high", "h.duckdb", children=False, lineage=False)
    assert (alone.run_ids, alone.lineage_run_ids) == (["high"], [])
    with pytest.raises(KeyError):
        world.tracker.export_db("nobody", "x.duckdb")
    with pytest.raises(ValueError, match="exists"):
        world.tracker.export_db("high", "h.duckdb")


def test_a_shard_goes_in_once(world: World) -> None:
    world.tracker.export_db("high", "high.duckdb", include_snapshots=True)
    with Tracker("there", "there.duckdb") as other:
        planned = other.merge_db("high.duckdb", dry_run=True, include_snapshots=True)
        assert other.inspect_db().total_runs == 0
        done = other.merge_db("high.duckdb", include_snapshots=True)
        assert done.runs_merged == planned.runs_merged
        assert (len(done.runs_merged), done.artifacts_merged, done.snapshots_merged) == (3, 3, 3)
        again = other.merge_db("high.duckdb")
        assert (again.runs_merged, len(again.runs_already_present)) == ([], 3)
        assert other.inspect_db().total_artifacts == 3
        world.tracker.export_db("base", "base.duckdb")
        second = other.merge_db("base.duckdb")
        assert (len(second.runs_merged), second.runs_already_present) == (2, [world.cleaned])
        assert other.doctor_db().is_healthy
        assert other.find_runs(parent_id="high")[0].id == step_of(world.tracker, "high")


@pytest.fixture
def conflicting(world: World, tmp_path: Path) -> Path:
    """A shard whose scenario has the same name as another one, with runs of its own."""
    world.tracker.export_db("high", "high.duckdb", include_snapshots=True)
    return tmp_path / "high.duckdb"


def its_own(folder: Path) -> Tracker:
    tracker = Tracker(folder / "own", folder / "own.duckdb")
    with tracker.scenario("high") as scenario:
        scenario.run(lambda: None, name="mine")
    return tracker


def test_a_taken_id_becomes_the_next_attempt(conflicting: Path, world: World) -> None:
    with its_own(conflicting.parent) as own:
        mine = own.get_run("high~1").uid
        done = own.merge_db(conflicting, include_snapshots=True)
        assert done.conflicts_detected == ["high"]
        assert done.runs_renamed == {"high": "high~2"}
        assert own.get_run("high~1").uid == mine
        merged = own.get_run("high~2")
        assert (merged.requested_id, merged.attempt) == ("high", 2)
        assert merged.meta["renamed_from"] == "high"
        assert [r.id for r in own.find_runs(parent_id="high~2")] == [step_of(world.tracker, "high")]
        assert own.get_run_record("high~2").run.id == "high~2"
        assert own.merge_db(conflicting).runs_merged == []
        assert own.doctor_db().is_healthy
        with own.scenario("high") as third:
            third.run(lambda: None, name="more")
        assert own.get_run("high").attempt == 3


def test_a_taken_id_can_stop_a_merge_or_be_left_out(conflicting: Path, world: World) -> None:
    with its_own(conflicting.parent) as own:
        before = own.inspect_db().total_runs
        with pytest.raises(RuntimeError, match="have the ids high"):
            own.merge_db(conflicting, conflict="error")
        assert own.inspect_db().total_runs == before
        done = own.merge_db(conflicting, conflict="skip")
        assert done.runs_skipped == ["high", step_of(world.tracker, "high")]
        assert done.runs_merged == [world.cleaned]
        assert [r.model_name for r in own.find_runs(parent_id="high")] == ["mine"]
        assert own.doctor_db().is_healthy


def test_ingested_rows_go_along_if_asked(world: World) -> None:
    artifact = world.tracker.get_run_outputs(world.cleaned)["clean"]
    world.tracker.ingest(artifact)
    without = world.tracker.export_db(world.cleaned, "a.duckdb")
    assert without.ingested_rows == {}
    assert without.ingested_rows_left_out == {"clean": 100}
    with Tracker("a", "a.duckdb") as shard:
        assert shard.get_artifact("clean").meta["is_ingested"] is False
    taken = world.tracker.export_db(world.cleaned, "b.duckdb", include_data=True)
    assert taken.ingested_rows == {"clean": 100}
    with Tracker("c", "c.duckdb") as other:
        assert other.merge_db("b.duckdb").ingested_tables_merged == {"clean": 100}
        assert other.doctor_db().is_healthy
        Path(artifact.path).unlink()
        assert len(other.load_df(other.get_artifact("clean"), db_fallback="always")) == 100


def test_what_is_no_shard_is_refused(world: World) -> None:
    tracker = world.tracker
    tracker.store.sync()
    Path("text.duckdb").write_text("no database" * 1_000)
    with duckdb.connect("foreign.duckdb") as foreign:
        foreign.execute("CREATE TABLE t (x INTEGER)")
    tracker.export_db("high", "new.duckdb")
    with duckdb.connect("new.duckdb") as newer:
        newer.execute("UPDATE consist_store SET value = '99' WHERE key = 'schema_version'")
    for name in ("text.duckdb", "foreign.duckdb"):
        with pytest.raises(StoreDamaged):
            tracker.merge_db(name)
    with pytest.raises(StoreTooNew):
        tracker.merge_db("new.duckdb")
    for name, words in (("absent.duckdb", "no shard"), ("p.duckdb", "the database itself")):
        with pytest.raises(ValueError, match=words):
            tracker.merge_db(name)
    with pytest.raises(ValueError, match="conflict='maybe'"):
        tracker.merge_db("new.duckdb", conflict="maybe")
    assert tracker.inspect_db().total_runs == 5


def test_a_merge_that_is_killed_leaves_nothing_and_can_be_repeated(world: World) -> None:
    world.tracker.export_db("high", "high.duckdb")
    code = (
        "import os, signal, consist, consist.store.shard_in as room\n"
        "room._Merge._store_keys = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "consist.Tracker('there', 'there.duckdb').merge_db('high.duckdb')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Tracker("there", "there.duckdb") as other:
        assert other.inspect_db().total_runs == 0
        assert len(other.merge_db("high.duckdb").runs_merged) == 3
        assert other.doctor_db().is_healthy


def test_another_whole_database_can_be_merged_with_what_its_journals_hold(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "node")
    runs = [record(store, document(f"run_{n}")) for n in range(20)]
    store.journal.close()  # nothing was merged
    with Tracker(tmp_path / "runs", tmp_path / "all.duckdb") as tracker:
        done = tracker.merge_db(tmp_path / "node/db.duckdb")
        assert sorted(done.runs_merged) == sorted(run.run.id for run in runs)
    store.close()
