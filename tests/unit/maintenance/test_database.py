"""Figures, diagnosis, copies, compaction and rebuilding, on a real project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import consist
from consist import Tracker
from consist.errors import ReadOnlyTracker, StoreLocked
from consist.models.record import encode, indent, replace
from consist.store.snapshots import load_snapshot
from tests.unit.maintenance.conftest import World, step_of
from tests.unit.store.worlds import document, open_store, record


def counts(tracker: Tracker) -> dict[str, int]:
    found = tracker.inspect_db()
    return {"runs": found.total_runs, "artifacts": found.total_artifacts}


def test_figures_are_those_of_the_record_merged_or_not(world: World) -> None:
    before = world.tracker.inspect_db()
    assert before.unmerged_bytes > 0
    world.tracker.store.sync()
    after = world.tracker.inspect_db()
    assert (after.total_runs, after.runs_by_status) == (5, {"completed": 5})
    assert after.total_artifacts == before.total_artifacts == 4
    assert after.orphaned_artifact_count == 0
    assert after.json_snapshot_count == 5
    assert after.json_db_parity
    assert after.unmerged_bytes == 0
    assert after.db_file_size_mb > 0.1
    assert world.tracker.doctor_db().findings == []


def test_a_killed_run_is_a_zombie_until_it_is_known_as_interrupted(world: World) -> None:
    code = (
        "import os, signal; from consist import Tracker\n"
        "tracker = Tracker('runs', 'p.duckdb'); tracker.begin_run('lost', 'model')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=world.folder, check=False)
    assert world.tracker.inspect_db().zombie_run_ids == ["lost"]
    (finding,) = world.tracker.doctor_db().findings
    assert (finding.check, finding.severity) == ("zombie_run_ids", "problem")
    world.tracker.store.sync()
    assert world.tracker.inspect_db().zombie_run_ids == []
    assert world.tracker.get_run("lost").status == "interrupted"


def test_a_run_of_another_host_is_unknown_and_no_zombie(tmp_path: Path) -> None:
    from consist.models.record import ProcessRecord

    store = open_store(tmp_path)
    begun = document("far", status="running")
    far = replace(begun.extra, process=ProcessRecord("elsewhere", 7, 1.0))
    record(store, replace(begun, extra=far))
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        found = tracker.inspect_db()
        assert found.zombie_run_ids == []
        assert "process 7 on elsewhere" in found.unknown_run_ids["far"]
        assert tracker.doctor_db().is_healthy
    store.close()


def test_the_doctor_finds_what_contradicts_itself(world: World) -> None:
    tracker = world.tracker
    tracker.store.sync()
    with duckdb.connect("p.duckdb") as file:
        file.execute("UPDATE run SET ended_at = NULL WHERE id = ?", [world.cleaned])
        file.execute("DELETE FROM artifact WHERE key = 'raw'")
        file.execute("INSERT INTO run SELECT * FROM run WHERE id = 'high'")
        file.execute("UPDATE artifact SET run_id = 'nobody' WHERE key = 'clean'")
        file.execute("UPDATE run SET parent_run_id = 'nothing' WHERE parent_run_id = 'high'")
    (world.folder / "runs/consist_runs/torn.json").write_text('{"run": {')
    found = tracker.doctor_db()
    assert found.completed_without_end_time == [world.cleaned]
    assert found.dangling_parent_run_ids == ["nothing"]
    assert len(found.artifacts_with_missing_producing_run) == 1
    checks = {finding.check for finding in found.findings}
    assert {"duplicate_run_ids", "links_to_missing_artifacts", "unreadable_snapshots"} <= checks
    assert all(finding.remedy for finding in found.findings)
    assert not found.is_healthy


def test_snapshots_are_compared_by_content(world: World) -> None:
    tracker = world.tracker
    tracker.store.sync()
    path = world.folder / f"runs/consist_runs/{world.cleaned}.json"
    known = load_snapshot(path, world.cleaned)
    later = replace(known.run, updated_at=known.run.updated_at + timedelta(hours=1))
    path.write_bytes(indent(encode(replace(known, run=later))))
    (finding,) = tracker.doctor_db().findings
    assert (finding.check, finding.items) == ("snapshots_newer_than_database", [str(path)])
    assert tracker.doctor_db(snapshots=False).findings == []
    assert tracker.rebuild_db().runs_updated == 1
    assert tracker.doctor_db().findings == []


def test_a_copy_is_a_database_and_says_what_it_is_of(world: World) -> None:
    made = world.tracker.snapshot_db("backup/copy.duckdb")
    assert made.checkpointed
    meta = json.loads(Path("backup/copy.snapshot_meta.json").read_text())
    assert meta["operation"] == "snapshot"
    assert meta["source_db_path"] == str(world.folder / "p.duckdb")
    assert meta["snapshot_ts_utc"].endswith("+00:00")
    with Tracker("elsewhere", "backup/copy.duckdb") as copy:
        assert counts(copy) == counts(world.tracker)
        assert copy.get_run("base").status == "completed"
    with pytest.raises(ValueError, match="exists"):
        world.tracker.snapshot_db("backup/copy.duckdb")
    world.tracker.snapshot_db("backup/copy.duckdb", force=True)
    with pytest.raises(ValueError, match="the database itself"):
        world.tracker.snapshot_db("p.duckdb", force=True)


def test_a_copy_says_what_it_lacks_where_another_program_reads(world: World) -> None:
    tracker = world.tracker
    tracker.store.sync()
    code = (
        "import duckdb, sys; c = duckdb.connect('p.duckdb', read_only=True)\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    with consist.Tracker("runs", "p.duckdb") as second:
        second.run(lambda: None, name="later")
        second.store.settings = replace(second.settings, lock_wait=0.2)
        made = second.snapshot_db("copy.duckdb")
        assert not made.checkpointed
        assert made.unmerged_bytes > 0
        with pytest.raises(StoreLocked):
            second.compact_db()
    reader.communicate()


def test_compacting_gives_space_back_and_changes_nothing_else(tmp_path: Path) -> None:
    store = open_store(tmp_path, lock_wait=5.0)
    done = [record(store, document(tables=2, ended_at=datetime.now(UTC))) for _ in range(300)]
    store.sync()
    for round_ in range(4):
        for known in done:
            run = replace(
                known.run,
                description=f"{round_}" * 200,
                updated_at=known.run.updated_at + timedelta(seconds=round_ + 1),
                ended_at=known.run.updated_at,
            )
            record(store, replace(known, run=run))
        store.sync()
    store.close()
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        before, size = counts(tracker), (tmp_path / "db.duckdb").stat().st_size
        assert tracker.compact_db(dry_run=True).bytes_after == size
        found = tracker.compact_db()
        assert min(size, found.bytes_before) > found.bytes_after
        assert counts(tracker) == before == {"runs": 300, "artifacts": 600}
        tracker.run(lambda: None, name="goes on")
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as again:
        assert again.inspect_db().total_runs == 301
        assert again.doctor_db().is_healthy


@pytest.mark.parametrize(
    "point", ["consist.store.copying._copy_tables", "consist.store.copying._swap", "os.replace"]
)
def test_a_compaction_that_is_killed_leaves_the_database_as_it_was(
    world: World, point: str
) -> None:
    world.tracker.close()
    module, _, name = point.rpartition(".")
    code = (
        "import os, signal, consist.store.copying, consist\n"
        "tracker = consist.Tracker('runs', 'p.duckdb'); tracker.store.sync()\n"
        f"{module}.{name} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "tracker.compact_db()"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Tracker("runs", "p.duckdb") as tracker:
        assert counts(tracker) == {"runs": 5, "artifacts": 4}
        left = [path for path in world.folder.glob(".consist-*") if path.suffix == ".duckdb"]
        for path in left:
            os.utime(path, (0, 0))
        assert tracker.compact_db().files_removed == len(left)
        assert tracker.doctor_db().is_healthy
        assert not list(world.folder.glob(".consist-*"))


def test_a_database_is_filled_from_snapshots_once(world: World) -> None:
    snapshots = world.folder / "runs/consist_runs"
    (snapshots / "torn.json").write_text("{")
    with Tracker("other", "new.duckdb") as fresh:
        planned = fresh.rebuild_db("runs", dry_run=True)
        assert (planned.runs_inserted, planned.artifacts_inserted) == (5, 4)
        assert fresh.inspect_db().total_runs == 0
        found = fresh.rebuild_db("runs")
        assert found.json_files_scanned == 6
        assert (found.runs_inserted, found.artifacts_inserted) == (5, 4)
        assert found.error_count == 1
        assert found.errors[0].startswith(str(snapshots / "torn.json"))
        again = fresh.rebuild_db(snapshots)
        assert (again.runs_inserted, again.runs_already_present) == (0, 5)
        assert counts(fresh) == counts(world.tracker)
        assert facets(fresh) == facets(world.tracker)


def facets(tracker: Tracker) -> list[tuple[object, ...]]:
    with tracker.store.ask() as connection:
        return connection.execute(
            "SELECT run_id, key, value_int FROM run_config_kv ORDER BY ALL"
        ).fetchall()


def test_a_full_rebuild_completes_a_minimal_one(world: World) -> None:
    with Tracker("other", "new.duckdb") as fresh:
        fresh.rebuild_db("runs", mode="minimal")
        assert counts(fresh) == counts(world.tracker)
        assert facets(fresh) == []
        assert fresh.rebuild_db("runs", mode="full").runs_already_present == 5
        assert facets(fresh) == facets(world.tracker) != []
        fresh.rebuild_db("runs", mode="full")
        assert facets(fresh) == facets(world.tracker)


def test_a_rebuilt_database_answers_look_ups(world: World) -> None:
    from tests.unit.maintenance.conftest import clean

    with Tracker("runs", "new.duckdb") as fresh:
        fresh.rebuild_db()
        result = fresh.run(clean, inputs={"raw": "raw.csv"}, outputs=["clean"])
        assert result.cache_hit


def test_only_those_who_may_record_change_a_database(world: World) -> None:
    step_of(world.tracker, "base")
    with Tracker("runs", "p.duckdb", access_mode="read_only") as reader:
        assert reader.inspect_db().total_runs == 5
        assert reader.doctor_db().is_healthy
        for change in (
            reader.compact_db,
            reader.rebuild_db,
            lambda: reader.snapshot_db("x.duckdb"),
            lambda: reader.purge_db("base"),
            lambda: reader.collect_garbage(scenarios=["base"]),
            lambda: reader.verify(fix=True),
        ):
            with pytest.raises(ReadOnlyTracker):
                change()
        assert reader.purge_db("base", dry_run=True).executed is False
    with Tracker("runs") as without, pytest.raises(RuntimeError, match="db_path"):
        without.inspect_db()
