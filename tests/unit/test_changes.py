"""Runs are annotated, invalidated and corrected after they were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import consist
from consist import Tracker
from consist.cli.app import app
from consist.errors import ConsistError, NoDatabase, ReadOnlyTracker, UsageError, WrongType

CALLS: list[str] = []


def make(value: int) -> dict[str, Path]:
    CALLS.append("make")
    path = consist.output_path("made", ext="txt")
    path.write_text(str(value))
    return {"made": path}


def use(made: Path) -> dict[str, Path]:
    CALLS.append("use")
    path = consist.output_path("used", ext="txt")
    path.write_text(made.read_text() + "!")
    return {"used": path}


def finish(used: Path) -> dict[str, Path]:
    CALLS.append("finish")
    path = consist.output_path("end", ext="txt")
    path.write_text(used.read_text() + "?")
    return {"end": path}


@pytest.fixture
def tracker(tmp_path: Path) -> Any:
    CALLS.clear()
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", project_root=tmp_path) as tracker:
        yield tracker


def chain(tracker: Tracker, suffix: str = "") -> tuple[Any, Any, Any]:
    paths = {"input_binding": "paths"}
    options = {"execution_options": consist.ExecutionOptions(**paths)}  # type: ignore[arg-type]
    first = tracker.run(make, config={"value": 1}, outputs=["made"], run_id=f"first{suffix}")
    second = tracker.run(use, inputs={"made": first.outputs["made"]}, outputs=["used"],
                         run_id=f"second{suffix}", **options)  # fmt: skip
    third = tracker.run(finish, inputs={"used": second.outputs["used"]}, outputs=["end"],
                        run_id=f"third{suffix}", **options)  # fmt: skip
    return first, second, third


def known(tracker: Tracker, run_id: str) -> Any:
    return tracker.get_run(f"{run_id}~1")


def test_an_annotated_run_is_found_by_its_tags_and_stays_a_source(tracker: Tracker) -> None:
    chain(tracker)
    run = tracker.annotate("first", tags="published", note="figure 3")
    assert run.tags == ["published"]
    assert [note["text"] for note in run.meta["notes"]] == ["figure 3"]
    assert "@" in run.meta["notes"][0]["by"]
    assert [r.id for r in tracker.find_runs(tags=["published"])] == ["first"]
    assert tracker.annotate(run, remove_tags={"published"}).tags == []
    snapshot = json.loads((tracker.run_dir / "consist_runs/first.json").read_text())
    assert snapshot["run"]["meta"]["notes"][0]["text"] == "figure 3"
    assert tracker.run(make, config={"value": 1}, outputs=["made"]).cache_hit


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({}, UsageError),
        ({"tags": ["a"], "remove_tags": ["a"]}, UsageError),
        ({"tags": [1]}, WrongType),
        ({"tags": ["x" * 300]}, UsageError),
        ({"note": 1}, WrongType),
        ({"note": "x" * 10**6}, ValueError),
    ],
)
def test_what_cannot_be_said_is_refused(
    tracker: Tracker, said: dict[str, Any], error: type[Exception]
) -> None:
    tracker.run(make, config={"value": 1}, outputs=["made"], run_id="first")
    with pytest.raises(error):
        tracker.annotate("first", **said)
    assert known(tracker, "first").meta.get("notes") is None


def test_an_invalidated_run_executes_again_and_says_why(tracker: Tracker) -> None:
    chain(tracker)
    (run,) = tracker.invalidate("first", reason="a wrong value")
    assert run.meta["invalidated"]["reason"] == "a wrong value"
    why = tracker.explain(make, config={"value": 1}, outputs=["made"])
    assert not why.would_hit
    assert "invalidated by" in why.text
    assert "because a wrong value" in why.text
    again = tracker.run(make, config={"value": 1}, outputs=["made"])
    assert not again.cache_hit
    assert tracker.run(make, config={"value": 1}, outputs=["made"]).run.meta["cache_source"] == (
        again.run.id
    )


def test_of_a_hit_its_source_is_invalidated_and_downstream_what_used_it(tracker: Tracker) -> None:
    chain(tracker)
    hits = chain(tracker, " again")
    assert [hit.cache_hit for hit in hits] == [True] * 3
    other = tracker.run(make, config={"value": 2}, outputs=["made"], run_id="other")
    planned = tracker.invalidate("first again", reason="x", downstream=True, dry_run=True)
    assert [run.id for run in planned] == ["first", "second", "third"]
    assert known(tracker, "third").meta.get("invalidated") is None
    found = tracker.invalidate("first again", reason="x", downstream=True)
    assert [run.id for run in found] == ["first", "second", "third"]
    assert found[2].meta["invalidated"]["reason"] == "it used what first put out: x"
    CALLS.clear()
    assert not any(hit.cache_hit for hit in chain(tracker, " once more"))
    assert CALLS == ["make", "use", "finish"]
    assert other.run.id == "other"
    assert known(tracker, "other").meta.get("invalidated") is None


def test_a_corrected_status_is_found_and_keeps_the_run_from_being_given_back(
    tracker: Tracker,
) -> None:
    chain(tracker)
    run = tracker.fix_status("first", "failed", reason="half of it is missing")
    assert run.status == "failed"
    assert run.meta["status_fixed"]["from"] == "completed"
    assert [r.id for r in tracker.find_runs(status="failed")] == ["first"]
    with pytest.raises(UsageError, match="failed already"):
        tracker.fix_status("first", "failed")
    with pytest.raises(UsageError, match="has ended"):
        tracker.fix_status("first", "running")
    assert tracker.fix_status("first", "running", force=True).status == "running"
    assert tracker.fix_status("first", "completed").status == "completed"
    assert not tracker.run(make, config={"value": 1}, outputs=["made"]).cache_hit
    with pytest.raises(UsageError, match="no status 'done'"):
        tracker.fix_status("first", "done")  # type: ignore[arg-type]


def test_the_latest_attempt_is_meant(tracker: Tracker) -> None:
    chain(tracker)
    chain(tracker)
    assert tracker.annotate("first", tags=["x"]).id == "first~2"
    assert tracker.annotate("first~1", tags=["y"]).id == "first"
    with pytest.raises(UsageError, match="no run 'nobody'"):
        tracker.annotate("nobody", tags=["x"])


def test_who_may_only_look_or_has_no_database_changes_nothing(tmp_path: Path) -> None:
    with Tracker(tmp_path / "runs") as tracker, pytest.raises(NoDatabase):
        tracker.annotate("first", tags=["x"])
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        tracker.run(make, config={"value": 1}, outputs=["made"], run_id="first")
    with (
        Tracker(tmp_path / "runs", tmp_path / "db.duckdb", access_mode="read_only") as reading,
        pytest.raises(ReadOnlyTracker),
    ):
        reading.invalidate("first", reason="x")


def test_the_command_line_changes_runs(tracker: Tracker, tmp_path: Path) -> None:
    chain(tracker)
    tracker.close()

    def call(*words: str, code: int = 0) -> Any:
        found = CliRunner().invoke(app, [*words, "--db-path", str(tmp_path / "db.duckdb")])
        assert found.exit_code == code, found.output
        return json.loads(found.stdout) if "--json" in words else found.output

    told = call("annotate", "first", "second", "--tag", "a", "--note", "n", "--json")
    assert [run["tags"] for run in told["runs"]] == [["a"], ["a"]]
    assert "no run 'nobody'" in call("annotate", "first", "nobody", "--tag", "b", code=1)
    assert call("annotate", "first", "--remove-tag", "a", "--json")["runs"][0]["tags"] == []
    dry = ("invalidate", "first", "--reason", "x", "--downstream", "--dry-run")
    assert "third would be invalidated" in call(*dry)
    planned = call(*dry, "--json")
    assert [run["id"] for run in planned["runs"]] == ["first", "second", "third"]
    assert planned["runs"][0]["invalidated"] is None
    done = call("invalidate", "first", "--reason", "x", "--json")
    assert done["runs"][0]["invalidated"]["reason"] == "x"
    assert done["dry_run"] is False
    assert done["hits"] == {}
    fixed = call("db", "fix-status", "second", "failed", "--reason", "y", "--json")
    assert (fixed["from"], fixed["run"]["status"]) == ("completed", "failed")
    assert "has ended" in call("db", "fix-status", "third", "running", code=1)
    assert "is running" in call("db", "fix-status", "third", "running", "--force")


def test_the_module_has_the_verbs_too(tracker: Tracker) -> None:
    chain(tracker)
    with consist.use_tracker(tracker):
        assert consist.annotate("first", tags=["x"]).tags == ["x"]
        assert consist.invalidate("second", reason="x")[0].id == "second"
    with pytest.raises(ConsistError):
        consist.annotate("first", tags=["x"])
