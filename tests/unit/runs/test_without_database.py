"""A tracker without ``db_path``: everything executes, snapshots are written (G-25)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import Tracker


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Tracker]:
    with Tracker(run_dir=tmp_path / "runs") as tracker:
        yield tracker


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def test_runs_execute_and_leave_snapshots(plain: Tracker) -> None:
    # TRK-003, TRK-017, G-25
    result = plain.run(one, run_id="r", outputs=["f"], config={"n": 1})
    snapshot = json.loads((plain.run_dir / "consist_runs" / "r.json").read_text())
    assert snapshot["run"]["status"] == "completed"
    assert snapshot["config"] == {"n": 1}
    assert plain.load_df(result.outputs["f"])["a"].tolist() == [1]
    assert plain.engine is None


def test_nothing_is_looked_up(plain: Tracker) -> None:
    # G-25
    assert [plain.run(one, outputs=["f"]).cache_hit for _ in range(2)] == [False, False]


def test_attempts_are_counted_by_the_snapshots(plain: Tracker) -> None:
    # G-16, G-25
    assert [plain.run(one, run_id="r", outputs=["f"]).run_id for _ in range(2)] == ["r", "r~2"]


def test_nothing_but_the_run_folder_is_written(plain: Tracker, tmp_path: Path, here: Path) -> None:
    # TRK-003
    plain.run(one, outputs=["f"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["project", "runs"]
    assert list(here.iterdir()) == []


def test_the_getters_answer_empty_or_none(plain: Tracker) -> None:
    # QRY-017, QRY-020, QRY-021, QRY-024, SIG-022, G-25
    result = plain.run(one, run_id="r", outputs=["f"])
    assert plain.get_run("r") is None
    assert plain.find_runs() == []
    assert plain.find_latest_run() is None
    assert plain.find_artifacts() == []
    assert plain.get_artifact("f") is None
    assert plain.get_artifact_by_uri(result.outputs["f"].container_uri) is None
    assert plain.get_run_inputs("r") == {}
    assert plain.get_run_outputs("r") == {}
    artifacts = plain.get_artifacts_for_run("r")
    assert (artifacts.inputs, artifacts.outputs) == ({}, {})
    assert plain.find_matching_run("a", "b", "c") is None
    assert plain.get_artifact_lineage("f") is None
    assert plain.history().empty


def test_what_reads_snapshots_works(plain: Tracker) -> None:
    # QRY-022, QRY-025, G-25
    plain.run(one, run_id="r", outputs=["f"], config={"n": 1})
    record = plain.get_run_record("r")
    assert record is not None
    assert [a.key for a in record.outputs] == ["f"]
    assert plain.get_run_config("r") == {"n": 1}
    assert plain.last_run is not None
    assert plain.last_run.run.id == "r"


def test_the_latest_attempt_is_read_from_its_snapshot(plain: Tracker) -> None:
    # G-16, G-25
    for n in (1, 2):
        plain.run(one, run_id="r", outputs=["f"], config={"n": n})
    assert plain.get_run_config("r") == {"n": 2}
    assert plain.get_run_config("r~1") == {"n": 1}


def test_questions_in_sql_are_errors_that_name_the_cure(plain: Tracker) -> None:
    # ERR-050
    from sqlmodel import select

    from consist import Run

    with pytest.raises(RuntimeError, match=r"run_query.*db_path"):
        plain.run_query(select(Run))


@pytest.mark.parametrize("verb", ["find_run", "get_latest_run_id"])
def test_one_run_cannot_be_found(plain: Tracker, verb: str) -> None:
    # ERR-036, ERR-037
    plain.run(one, run_id="r", outputs=["f"])
    with pytest.raises(ValueError, match="no run"):
        getattr(plain, verb)(model="one")


def test_scenarios_hand_artifacts_on(plain: Tracker) -> None:
    # G-25
    def double(f: pd.DataFrame) -> pd.DataFrame:
        return f * 2

    with consist.use_tracker(plain), consist.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        options: dict[str, Any] = {"execution_options": consist.ExecutionOptions(load_inputs=True)}
        result = sc.run(double, inputs=["f"], outputs=["g"], **options)
    assert result.value["a"].tolist() == [2]
    record = plain.get_run_record("s")
    assert record is not None
    assert [step["model"] for step in record.run.meta["steps"]] == ["one", "double"]


def test_a_failed_run_leaves_its_snapshot(plain: Tracker) -> None:
    def step() -> None:
        raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        plain.run(step, run_id="r")
    record = plain.get_run_record("r")
    assert record is not None
    assert record.run.status == "failed"
