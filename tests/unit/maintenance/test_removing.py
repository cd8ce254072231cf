"""Purging runs, freeing bytes, verifying files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consist import CacheOptions, Tracker
from consist.errors import FileGone, PurgeRefused
from tests.unit.maintenance.conftest import World, clean, scale, step_of


def test_a_purge_removes_runs_and_what_only_they_had(world: World) -> None:
    tracker, step = world.tracker, step_of(world.tracker, "high")
    file = world.file(step)
    planned = tracker.purge_db("high", delete_files=True, dry_run=True)
    assert planned.plan.run_ids == ["high", step]
    assert planned.plan.child_run_ids == [step]
    assert planned.plan.disk_files == [str(file)]
    assert tracker.inspect_db().total_runs == 5
    done = tracker.purge_db("high", delete_files=True)
    assert done.executed
    assert not file.exists()
    assert not file.parent.exists()
    assert tracker.get_run("high") is None
    found = tracker.inspect_db()
    assert (found.total_runs, found.total_artifacts) == (3, 3)
    assert found.json_db_parity
    assert tracker.doctor_db().is_healthy
    with pytest.raises(KeyError):
        tracker.purge_db("high")


def test_nothing_brings_a_purged_run_back(world: World) -> None:
    shutil.copytree("runs/consist_runs", "kept/consist_runs")
    world.tracker.purge_db("high")
    found = world.tracker.rebuild_db("kept")
    assert (found.runs_inserted, found.runs_purged) == (0, 2)
    assert world.tracker.get_run("high") is None


def test_a_facet_stays_as_long_as_a_run_has_it_indexed_or_not(tmp_path: Path) -> None:
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        for name, index in (("one", True), ("two", False)):
            with tracker.start_run(name, "m", facet={"alpha": 1}, facet_index=index):
                pass
        (facet,) = tracker.get_config_facets()
        tracker.purge_db("one")
        assert tracker.get_config_facet(facet.id) is not None
        tracker.purge_db("two")
        assert tracker.get_config_facets() == []


def test_files_of_others_stay(world: World) -> None:
    tracker = world.tracker
    shared = world.file(world.cleaned)
    done = tracker.purge_db(world.cleaned, delete_files=True)
    assert done.plan.orphaned_artifact_ids != []  # the raw input, which nobody else used
    assert Path("raw.csv").exists()
    assert shared.exists()
    step = step_of(tracker, "base")
    altered = world.file(step)
    altered.write_bytes(b"mine now")
    plan = tracker.purge_db("base", delete_files=True).plan
    assert plan.kept_disk_files == {str(altered): "holds other bytes than were recorded"}
    assert altered.read_bytes() == b"mine now"


def test_files_behind_a_link_out_of_the_run_folder_are_refused_or_skipped(world: World) -> None:
    tracker, step = world.tracker, step_of(world.tracker, "high")
    file = world.file(step)
    outside = world.folder / "outside"
    shutil.move(file.parent, outside)
    file.parent.symlink_to(outside)
    with pytest.raises(PurgeRefused, match="lies outside"):
        tracker.purge_db("high", delete_files=True)
    assert tracker.get_run("high") is not None
    done = tracker.purge_db("high", delete_files=True, unsafe_delete_targets="skip")
    assert done.skipped_unsafe_disk_files == [str(file)]
    assert (outside / file.name).exists()


def test_a_running_run_is_not_purged(world: World) -> None:
    with (
        world.tracker.scenario("busy"),
        Tracker("other", "p.duckdb") as second,
        pytest.raises(PurgeRefused, match="running"),
    ):
        second.purge_db("busy")


def test_a_purge_that_is_killed_can_be_repeated(world: World) -> None:
    world.tracker.close()
    code = (
        "import os, signal, consist\n"
        "tracker = consist.Tracker('runs', 'p.duckdb')\n"
        "tracker.store.purge = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "tracker.purge_db('high', delete_files=True)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Tracker("runs", "p.duckdb") as tracker:
        assert tracker.get_run("high") is not None
        tracker.purge_db("high", delete_files=True)
        found = tracker.inspect_db()
        assert (found.total_runs, found.json_db_parity) == (3, True)
        assert tracker.doctor_db().is_healthy


# ---------------------------------------------------------------- freeing


def test_freed_outputs_are_told_by_name_and_made_again(world: World) -> None:
    tracker, step = world.tracker, step_of(world.tracker, "high")
    planned = tracker.collect_garbage(scenarios=["high"], dry_run=True)
    assert world.file(step).exists()
    assert [item.run_id for item in planned.runs] == [step]
    assert planned.bytes_freed == world.file(step).stat().st_size
    done = tracker.collect_garbage(scenarios=["high"])
    assert done.executed
    assert not world.file(step).exists()
    artifact = tracker.get_run_outputs(step)["scaled"]
    assert artifact.meta["freed"]["bytes"] == planned.bytes_freed
    with pytest.raises(FileGone) as told:
        tracker.load(artifact)
    assert "garbage collection freed it" in told.value.__notes__[0]
    assert step in told.value.__notes__[0]
    assert tracker.verify().counts == {
        "ok": 3, "missing": 0, "altered": 0, "unverifiable": 0, "overwritten": 0, "freed": 1,
        "untrusted": 0,
    }  # fmt: skip
    cleaned = tracker.get_run_outputs(world.cleaned)["clean"]
    with tracker.scenario("high") as scenario:
        again = scenario.run(
            scale,
            name="scale",
            inputs={"clean": cleaned},
            config={"factor": 2},
            outputs=["scaled"],
            cache_options=CacheOptions(validate_cached_outputs="eager"),
        )
    assert not again.cache_hit
    assert Path(again.outputs["scaled"].path).exists()


def test_the_plan_counts_what_is_upstream(world: World) -> None:
    found = world.tracker.collect_garbage(older_than="0s", dry_run=True)
    by_run = {item.run_id: item for item in found.runs}
    step = by_run[step_of(world.tracker, "high")]
    assert step.upstream_run_ids == [world.cleaned]
    assert step.seconds_with_upstream == pytest.approx(step.seconds + by_run[world.cleaned].seconds)
    savings = [item.bytes / max(item.seconds, 1e-3) for item in found.runs]
    assert savings == sorted(savings, reverse=True)


def test_what_must_stay_stays(world: World) -> None:
    tracker = world.tracker
    high, base = step_of(tracker, "high"), step_of(tracker, "base")
    world.file(high).write_bytes(b"mine now")
    with tracker.scenario("kept", tags=["keep"]) as scenario:
        kept = scenario.run(clean, inputs={"raw": "raw.csv"}, outputs=["clean"], tags=["keep"],
                            cache_options=CacheOptions(cache_mode="overwrite")).run.id  # fmt: skip
    found = tracker.collect_garbage(older_than="0s")
    assert base in {item.run_id for item in found.runs}
    assert world.file(high).read_bytes() == b"mine now"
    assert world.file(kept).exists()
    assert found.kept["tagged keep"] == 1
    assert found.kept["it holds other bytes than were recorded"] == 1


def test_what_a_run_was_given_back_is_its_own(world: World) -> None:
    tracker = world.tracker
    cleaned = tracker.get_run_outputs(world.cleaned)["clean"]
    with tracker.scenario("final") as scenario:
        scenario.run(
            scale,
            name="scale",
            inputs={"clean": cleaned},
            config={"factor": 2},
            outputs=["scaled"],
        )
    hit = tracker.get_run(step_of(tracker, "final"))
    assert hit is not None
    assert hit.meta["cache_source"] == step_of(tracker, "high")
    found = tracker.collect_garbage(scenarios=["high"], dry_run=True)
    assert found.kept == {"a run that is not meant was given it back": 1}
    freed = tracker.collect_garbage(older_than="0s", dry_run=True)
    assert hit.meta["cache_source"] in {item.run_id for item in freed.runs}
    tracker.annotate("final", tags=["keep"])
    kept = tracker.collect_garbage(older_than="0s", dry_run=True)
    assert hit.meta["cache_source"] not in {item.run_id for item in kept.runs}
    assert kept.kept == {"tagged keep": 1}


def test_what_nobody_can_make_again_stays(world: World) -> None:
    Path("raw.csv").unlink()
    found = world.tracker.collect_garbage(older_than="0s", keep_size=0)
    assert world.cleaned not in {item.run_id for item in found.runs}
    assert world.file(world.cleaned).exists()
    assert any("nothing makes that again" in reason for reason in found.kept)


def test_only_as_much_is_freed_as_is_asked_for(world: World) -> None:
    everything = world.tracker.collect_garbage(older_than="0s", dry_run=True)
    limit = everything.bytes_present - 1
    found = world.tracker.collect_garbage(keep_size=limit, dry_run=True)
    assert [item.run_id for item in found.runs] == [everything.runs[0].run_id]
    assert world.tracker.collect_garbage(older_than="30d").runs == []
    assert world.tracker.collect_garbage(keep_size="1TB").runs == []
    latest = world.tracker.collect_garbage(scenarios=["base", "high"], keep_latest=1)
    assert latest.runs == []


@pytest.mark.parametrize(
    "options",
    [{}, {"older_than": "soon"}, {"keep_size": "much"}, {"older_than": "1d", "keep_latest": -1}],
)
def test_a_collection_that_says_nothing_is_refused(
    world: World, options: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        world.tracker.collect_garbage(**options)
    with pytest.raises(KeyError):
        world.tracker.collect_garbage(scenarios=["nobody"])


# ---------------------------------------------------------------- verifying


def test_what_is_missing_or_altered_is_found_and_marked(world: World) -> None:
    tracker = world.tracker
    high, base = step_of(tracker, "high"), step_of(tracker, "base")
    assert tracker.verify().is_ok
    altered, gone = world.file(high), world.file(base)
    status = altered.stat()
    data = bytearray(altered.read_bytes())
    data[-30] ^= 1
    altered.write_bytes(data)
    os.utime(altered, ns=(status.st_atime_ns, status.st_mtime_ns))
    moved = gone.rename(world.folder / "moved")
    found = tracker.verify(fix=True)
    assert {(p.verdict, p.run_id) for p in found.problems} == {("altered", high), ("missing", base)}
    assert (found.counts["ok"], found.marked) == (2, 1)
    assert tracker.get_run_outputs(base)["scaled"].meta["missing_on_disk"] is True
    assert tracker.validate().counts["missing"] == 1
    moved.rename(gone)
    mended = tracker.validate(fix=True)
    assert (mended.is_ok, mended.unmarked) == (True, 1)
    assert tracker.get_run_outputs(base)["scaled"].meta["missing_on_disk"] is False


def test_a_part_can_be_verified(world: World) -> None:
    world.file(step_of(world.tracker, "high")).unlink()
    assert world.tracker.verify(world.cleaned).counts["ok"] == 2
    assert world.tracker.verify(scenario="base").is_ok
    assert not world.tracker.verify(scenario="high").is_ok
    assert world.tracker.verify(key_prefix="raw").counts["ok"] == 1
    assert world.tracker.verify(thorough=False).counts["missing"] == 1
    with pytest.raises(KeyError):
        world.tracker.verify("nobody")


def test_what_was_recorded_by_size_and_time_cannot_be_verified(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("a\n1\n")
    with Tracker(tmp_path / "r", tmp_path / "f.duckdb", hashing_strategy="fast") as tracker:
        tracker.run(clean, inputs={"raw": tmp_path / "raw.csv"}, outputs=["clean"])
        found = tracker.verify()
        assert (found.counts["unverifiable"], found.is_ok) == (2, True)
