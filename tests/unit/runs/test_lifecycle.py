"""``begin_run``, ``start_run``, ``end_run``: the manual life cycle."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

import consist
from consist import Run, Tracker


class Broken(Exception):
    """Raised by code under test."""


def snapshot(tracker: Tracker, run_id: str) -> dict[str, Any]:
    text = (tracker.run_dir / "consist_runs" / f"{run_id}.json").read_text()
    return dict(json.loads(text))


def status_of(tracker: Tracker, run_id: str) -> str:
    run = tracker.get_run(run_id)
    assert run is not None
    return run.status


# ---------------------------------------------------------------- begin


def test_begin_run_returns_the_started_run(tracker: Tracker) -> None:
    # TRK-019
    run = tracker.begin_run("r", "urbansim")
    assert isinstance(run, Run)
    assert (run.id, run.model_name, run.status, run.ended_at) == ("r", "urbansim", "running", None)
    assert run.duration_seconds is None
    tracker.end_run()


def test_a_run_that_began_is_there_before_it_ends(tracker: Tracker) -> None:
    # TRK-016, TRK-017
    tracker.begin_run("r", "m", config={"a": 1})
    assert status_of(tracker, "r") == "running"
    assert snapshot(tracker, "r")["run"]["status"] == "running"
    tracker.end_run()
    assert status_of(tracker, "r") == "completed"
    assert snapshot(tracker, "r")["run"]["status"] == "completed"


def test_the_first_seven_arguments_are_positional(tracker: Tracker, raw: Path) -> None:
    # TRK-020, TRK-023, TRK-024
    tracker.begin_run("r", "m", {"a": 1}, [raw], ["t"], "why", "overwrite")
    tracker.end_run()
    run = tracker.get_run("r")
    assert run is not None
    assert (run.tags, run.description) == (["t"], "why")
    assert tracker.get_run_config("r") == {"a": 1}
    assert list(tracker.get_run_inputs("r")) == ["raw"]
    with pytest.raises(TypeError):
        tracker.begin_run("r", "m", {}, [], [], "why", "reuse", "dir")  # type: ignore[misc]
    assert consist.current_run() is None


class Config(BaseModel):
    rate: float = 0.1


@pytest.mark.parametrize("config", [{"rate": 0.1}, Config()])
def test_the_config_may_be_a_mapping_or_a_model(tracker: Tracker, config: Any) -> None:
    # TRK-021
    tracker.begin_run("r", "m", config=config)
    tracker.end_run()
    assert tracker.get_run_config("r") == {"rate": 0.1}


def test_inputs_may_be_text_paths_and_artifacts(tracker: Tracker, raw: Path, here: Path) -> None:
    # TRK-022
    (here / "b.csv").write_text("b\n1\n")
    with tracker.start_run("first", "m"):
        made = tracker.log_dataframe(pd.DataFrame({"a": [1]}), "made")
    tracker.begin_run("r", "m", inputs=["raw.csv", here / "b.csv", made])
    tracker.end_run()
    assert set(tracker.get_run_inputs("r")) == {"raw", "b", "made"}


def test_inputs_may_be_a_mapping_of_keys(tracker: Tracker, raw: Path) -> None:
    # BUN-003, C-13
    with tracker.start_run("r", "m", inputs={"table": raw}):
        pass
    assert list(tracker.get_run_inputs("r")) == ["table"]


def test_fields_are_recorded_and_stage_and_phase_are_mirrored(tracker: Tracker) -> None:
    # TRK-030, TRK-031, TRK-032, DEP-012
    tracker.begin_run("r", "m", year=2030, iteration=3, stage="s", phase="p", weather="dry")
    run = tracker.end_run()
    assert (run.year, run.iteration, run.stage, run.phase) == (2030, 3, "s", "p")
    assert (run.meta["stage"], run.meta["phase"], run.meta["weather"]) == ("s", "p", "dry")
    assert [r.id for r in tracker.find_runs(metadata={"weather": "dry"})] == ["r"]


def test_technical_keywords_are_no_metadata(tracker: Tracker) -> None:
    # C-24
    tracker.begin_run(
        "r",
        "m",
        cache_hydration="metadata",
        validate_cached_outputs="lazy",
        cache_epoch=3,
        cache_version=2,
        parent_run_id="p",
    )
    run = tracker.end_run()
    assert run.parent_run_id == "p"
    assert not {"cache_hydration", "validate_cached_outputs", "parent_run_id"} & run.meta.keys()


def test_beginning_while_a_run_is_active_is_an_error_and_leaves_it_alone(
    tracker: Tracker,
) -> None:
    # ERR-001, G-22
    tracker.begin_run("first", "m")
    with pytest.raises(RuntimeError, match=r"'second'.*'first'"):
        tracker.begin_run("second", "m")
    assert tracker.get_run("second") is None
    assert tracker.end_run().id == "first"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"model": ""}, "name|model"),
        ({"model": "x" * 257}, "name|model"),
        ({"tags": [""]}, "tag"),
        ({"tags": ["x" * 257]}, "tag"),
        ({"config": {1: 2}}, "1"),
        ({"config": {"blob": "x" * 1_000_001}}, "blob"),
        ({"cache_mode": "bogus"}, "cache_mode"),
        ({"validate_cached_outputs": "bogus"}, "validate_cached_outputs"),
        ({"code_identity": "bogus"}, "code_identity"),
        ({"run_id": "a~2"}, "run id"),
        ({"inputs": ["nowhere.csv"]}, "nowhere"),
        ({"hash_inputs": ["nowhere.csv"]}, "nowhere"),
        ({"note": "x" * 65_537}, "note"),
        ({"k" * 257: 1}, "kkk"),
        ({f"k{i}": i for i in range(201)}, "201"),
        ({"facet_from": ["nothing"]}, "nothing"),
    ],
)
def test_a_refused_beginning_leaves_nothing_behind(
    tracker: Tracker, arguments: dict[str, Any], match: str
) -> None:
    # ERR-003 to ERR-007, TRK-033, TRK-042
    given: dict[str, Any] = {"run_id": "r", "model": "m", **arguments}
    with pytest.raises((ValueError, TypeError, KeyError, FileNotFoundError), match=match):
        tracker.begin_run(**given)
    assert tracker.find_runs() == []
    assert list(tracker.run_dir.glob("consist_runs/*")) == []
    tracker.begin_run("r", "m")
    assert tracker.end_run().attempt == 1


@pytest.mark.parametrize(
    ("variable", "value", "meta"),
    [
        ("CONSIST_MAX_METADATA_ITEMS", "2", {"a": 1, "b": 2, "c": 3}),
        ("CONSIST_MAX_METADATA_KEY_LENGTH", "3", {"abcd": 1}),
        ("CONSIST_MAX_METADATA_VALUE_LENGTH", "3", {"a": "abcd"}),
    ],
)
def test_limits_on_metadata_follow_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    meta: dict[str, Any],
) -> None:
    # TRK-033, ENV-004, ENV-005, ENV-006, ERR-007
    monkeypatch.setenv(variable, value)
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker:
        with pytest.raises(ValueError, match="metadata") as caught:
            tracker.begin_run("r", "m", **meta)
        assert variable in caught.value.__notes__[0]
    monkeypatch.setenv(variable, "1000")
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker:
        tracker.begin_run("r", "m", **meta)
        assert meta.items() <= tracker.end_run().meta.items()


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_a_limit_that_is_no_number_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CONSIST_MAX_METADATA_ITEMS", value)
    with pytest.raises(ValueError, match="CONSIST_MAX_METADATA_ITEMS"):
        Tracker(tmp_path / "r")


def test_the_own_entries_of_the_library_do_not_count_against_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # TRK-033
    monkeypatch.setenv("CONSIST_MAX_METADATA_ITEMS", "1")
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker:
        tracker.begin_run("r", "m", a=1, stage="s", phase="p")
        tracker.log_meta(a=2)
        with pytest.raises(ValueError, match="metadata"):
            tracker.log_meta(b=2)
        assert tracker.end_run().meta["a"] == 2


# ---------------------------------------------------------------- artifact folders


def test_a_relative_artifact_folder_lies_below_outputs(tracker: Tracker) -> None:
    # TRK-025
    tracker.begin_run("r", "m", artifact_dir="sub/x")
    assert tracker.run_artifact_dir() == tracker.run_dir / "outputs" / "sub" / "x"
    tracker.end_run()


def test_an_absolute_artifact_folder_inside_the_run_folder_is_kept(tracker: Tracker) -> None:
    # TRK-026
    inside = tracker.run_dir / "own"
    tracker.begin_run("r", "m", artifact_dir=inside)
    assert tracker.run_artifact_dir() == inside
    tracker.end_run()


def test_an_absolute_artifact_folder_outside_needs_permission(
    tracker: Tracker, tmp_path: Path
) -> None:
    # TRK-027, TRK-028, ERR-008
    outside = tmp_path / "outside"
    with pytest.raises(ValueError, match="outside") as caught:
        tracker.begin_run("r", "m", artifact_dir=outside)
    assert "allow_external_paths" in caught.value.__notes__[0]
    assert tracker.get_run("r") is None
    tracker.begin_run("r", "m", artifact_dir=outside, allow_external_paths=True)
    assert tracker.run_artifact_dir() == outside
    tracker.end_run()


def test_a_trackers_permission_can_be_taken_back_for_one_run(tmp_path: Path) -> None:
    # TRK-028
    outside = tmp_path / "outside"
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", allow_external_paths=True) as tracker:
        tracker.begin_run("a", "m", artifact_dir=outside)
        assert tracker.run_artifact_dir() == outside
        tracker.end_run()
        with pytest.raises(ValueError, match="outside"):
            tracker.begin_run("b", "m", artifact_dir=outside, allow_external_paths=False)


def test_an_artifact_folder_that_climbs_out_is_refused(tracker: Tracker) -> None:
    # ERR-008
    with pytest.raises(ValueError, match=r"\.\."):
        tracker.begin_run("r", "m", artifact_dir="../../x")
    assert tracker.get_run("r") is None


def test_the_default_folder_lies_below_outputs_for_any_run(tracker: Tracker) -> None:
    # TRK-047, TRK-048, SCN-046
    run = tracker.begin_run("r", "m")
    inside = tracker.run_artifact_dir()
    artifact = tracker.log_dataframe(pd.DataFrame({"a": [1]}), "t")
    ended = tracker.end_run()
    assert isinstance(inside, Path)
    assert inside.is_relative_to(tracker.run_dir / "outputs")
    assert artifact.path.parent == inside
    assert tracker.run_artifact_dir(run) == tracker.run_artifact_dir(ended) == inside


def test_a_function_may_name_the_folder_of_a_run(tracker: Tracker) -> None:
    # TRK-046, TRK-048
    run = tracker.begin_run("r", "m", year=2030)
    default = tracker.run_artifact_dir()
    tracker.end_run()
    tracker.set_run_subdir_fn(lambda run: f"{run.model_name}/{run.year}")
    assert tracker.run_artifact_dir(run) == tracker.run_dir / "outputs" / "m" / "2030"
    with tracker.start_run("s", "m", year=2040):
        made = tracker.log_dataframe(pd.DataFrame({"a": [1]}), "t")
    assert made.path.parent == tracker.run_dir / "outputs" / "m" / "2040"
    tracker.set_run_subdir_fn(None)
    assert tracker.run_artifact_dir(run) == default


# ---------------------------------------------------------------- end


def test_end_run_completes_and_returns_the_run(tracker: Tracker) -> None:
    # TRK-034, MOD-002
    tracker.begin_run("r", "m")
    run = tracker.end_run()
    assert (run.id, run.status) == ("r", "completed")
    assert isinstance(run.ended_at, datetime)
    assert run.duration_seconds is not None
    assert run.duration_seconds >= 0


def test_end_run_as_failed_keeps_the_message(tracker: Tracker) -> None:
    # TRK-035
    tracker.begin_run("r", "m")
    run = tracker.end_run("failed", error=Broken("it broke"))
    assert run.status == "failed"
    recorded = tracker.get_run("r")
    assert recorded is not None
    assert "it broke" in recorded.meta["error"]
    assert snapshot(tracker, "r")["run"]["meta"]["error"] == "it broke"


def test_an_error_without_a_text_is_named_by_its_class(tracker: Tracker) -> None:
    # TRK-035
    tracker.begin_run("r", "m")
    assert tracker.end_run("failed", error=Broken()).meta["error"] == "Broken"


def test_ending_again_warns_and_returns_the_run(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # TRK-037, C-09
    tracker.begin_run("r", "m")
    tracker.end_run()
    with caplog.at_level(logging.WARNING):
        again = tracker.end_run()
    assert again.id == "r"
    assert "'r'" in caplog.text
    assert status_of(tracker, "r") == "completed"


def test_ending_again_as_failed_changes_nothing(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # TRK-037
    tracker.begin_run("r", "m")
    tracker.end_run()
    assert tracker.end_run("failed", error=Broken("late")).status == "completed"
    assert status_of(tracker, "r") == "completed"


def test_ending_where_nothing_was_begun_is_an_error(tracker: Tracker) -> None:
    # ERR-002
    with pytest.raises(RuntimeError, match="end_run"):
        tracker.end_run()


def test_an_unknown_status_is_an_error_and_the_run_goes_on(tracker: Tracker) -> None:
    tracker.begin_run("r", "m")
    with pytest.raises(ValueError, match=r"status='done'"):
        tracker.end_run("done")
    assert tracker.end_run().status == "completed"


def test_end_run_inside_a_block_ends_it_once(tracker: Tracker) -> None:
    # TRK-037, C-09
    with tracker.start_run("r", "m"):
        tracker.end_run()
    assert status_of(tracker, "r") == "completed"


# ---------------------------------------------------------------- start_run


def test_start_run_yields_the_tracker_and_completes(tracker: Tracker) -> None:
    # TRK-038, TRK-039
    with tracker.start_run("r", "m") as inside:
        assert inside is tracker
        assert status_of(tracker, "r") == "running"
    assert status_of(tracker, "r") == "completed"


def test_start_run_fails_with_the_blocks_own_exception(tracker: Tracker) -> None:
    # TRK-039, TRK-042
    error = Broken("boom")
    with pytest.raises(Broken) as caught, tracker.start_run("r", "m"):
        raise error
    assert caught.value is error
    assert status_of(tracker, "r") == "failed"
    with tracker.start_run("s", "m"):
        pass
    assert status_of(tracker, "s") == "completed"


def test_start_run_passes_every_keyword_on(tracker: Tracker, raw: Path) -> None:
    # TRK-040
    with tracker.start_run(
        "r",
        "m",
        config={"a": 1},
        inputs=[raw],
        tags=["t"],
        description="why",
        cache_mode="reuse",
        facet={"b": 2},
        facet_from=["a"],
        hash_inputs=[raw],
        facet_schema_version=1,
        facet_index=True,
        year=2030,
        iteration=1,
        stage="s",
        phase="p",
    ):
        pass
    record = tracker.get_run_record("r")
    assert record is not None
    assert record.config == {"a": 1}
    assert record.facet == {"a": 1, "b": 2}
    assert record.run.tags == ["t"]
    assert (record.run.year, record.run.iteration) == (2030, 1)


# ---------------------------------------------------------------- metadata


def test_log_meta_merges_and_is_seen_before_the_run_ends(tracker: Tracker) -> None:
    # TRK-043, C-29
    tracker.begin_run("r", "m", a=1, b=1)
    tracker.log_meta(b=2, c={"d": [1, 2]})
    expected = {"a": 1, "b": 2, "c": {"d": [1, 2]}}
    recorded = tracker.get_run("r")
    assert recorded is not None
    assert expected.items() <= recorded.meta.items()
    assert expected.items() <= snapshot(tracker, "r")["run"]["meta"].items()
    tracker.end_run()
    assert expected.items() <= snapshot(tracker, "r")["run"]["meta"].items()


def test_log_meta_outside_a_run_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(RuntimeError, match="log_meta"):
        tracker.log_meta(a=1)


def test_log_meta_over_a_limit_changes_nothing(tracker: Tracker) -> None:
    # ERR-007
    tracker.begin_run("r", "m")
    tracker.log_meta(a=1)
    with pytest.raises(ValueError, match="'b'"):
        tracker.log_meta(a=2, b="x" * 65_537)
    assert tracker.end_run().meta["a"] == 1


# ---------------------------------------------------------------- the last run


def test_there_is_no_last_run_before_the_first(tracker: Tracker) -> None:
    # TRK-008
    assert tracker.last_run is None
    tracker.begin_run("r", "m")
    assert tracker.last_run is None
    tracker.end_run()


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_the_last_run_is_the_record_of_the_run_that_ended(
    tracker: Tracker, raw: Path, status: str
) -> None:
    # TRK-009, MOD-008
    tracker.begin_run("r", "m", config={"a": 1}, inputs=[raw])
    tracker.log_dataframe(pd.DataFrame({"a": [1]}), "t")
    tracker.end_run(status)
    record = tracker.last_run
    assert isinstance(record, consist.ConsistRecord)
    assert (record.run.id, record.run.status) == ("r", status)
    assert record.config == {"a": 1}
    assert [a.key for a in record.inputs] == ["raw"]
    assert [a.key for a in record.outputs] == ["t"]


def test_the_latest_record_is_in_consist_json(tracker: Tracker) -> None:
    # TRK-016, C-23
    for run_id in ("first", "second"):
        with tracker.start_run(run_id, "m"):
            pass
    tracker.close()
    latest = json.loads((tracker.run_dir / "consist.json").read_text())
    assert latest["run"]["id"] == "second"


# ---------------------------------------------------------------- cache options


def test_suspended_cache_options_are_defaults_until_restored(tracker: Tracker) -> None:
    # TRK-044, TRK-045
    with tracker.start_run("r", "m", cache_mode="overwrite", cache_hydration="inputs-missing"):
        options = tracker.suspend_cache_options()
        assert (options.cache_mode, options.cache_hydration) == ("overwrite", "inputs-missing")
        assert tracker.suspend_cache_options().cache_mode == "reuse"
        tracker.restore_cache_options(options)
        assert tracker.suspend_cache_options() == options
        tracker.restore_cache_options(options)


# ---------------------------------------------------------------- attempts


def start(tracker: Tracker, run_id: str, *, fail: bool = False, **kwargs: Any) -> Run:
    tracker.begin_run(run_id, "m", cache_mode="overwrite", **kwargs)
    return tracker.end_run("failed" if fail else "completed")


def test_an_id_that_is_asked_for_again_is_a_new_attempt(tracker: Tracker) -> None:
    # G-16, RUN-004
    runs = [start(tracker, "r") for _ in range(3)]
    assert [run.id for run in runs] == ["r", "r~2", "r~3"]
    assert [run.attempt for run in runs] == [1, 2, 3]
    assert {run.requested_id for run in runs} == {"r"}
    assert len({run.uid for run in runs}) == 3
    assert len(tracker.find_runs()) == 3


def test_get_run_of_the_plain_id_is_the_latest_attempt(tracker: Tracker) -> None:
    # G-16, QRY-021
    start(tracker, "r")
    start(tracker, "r", fail=True)
    for asked, expected in [("r", "r~2"), ("r~1", "r"), ("r~2", "r~2")]:
        found = tracker.get_run(asked)
        assert found is not None
        assert found.id == expected
    assert tracker.get_run("r~3") is None
    assert tracker.get_run("other~1") is None


def test_results_of_the_plain_id_are_those_of_the_latest_completed_attempt(
    tracker: Tracker,
) -> None:
    # G-16
    for n, status in ((1, "completed"), (2, "completed"), (3, "failed")):
        tracker.begin_run("r", "m", cache_mode="overwrite")
        tracker.log_dataframe(pd.DataFrame({"n": [n]}), "t")
        tracker.end_run(status)
    assert tracker.load_df(tracker.get_run_outputs("r")["t"])["n"].tolist() == [2]
    assert tracker.load_df(tracker.get_run_outputs("r~1")["t"])["n"].tolist() == [1]
    assert tracker.load_df(tracker.get_run_outputs("r~3")["t"])["n"].tolist() == [3]


def test_results_of_a_plain_id_that_never_completed_are_those_of_the_latest(
    tracker: Tracker,
) -> None:
    # G-16
    for n in (1, 2):
        tracker.begin_run("r", "m", cache_mode="overwrite")
        tracker.log_dataframe(pd.DataFrame({"n": [n]}), "t")
        tracker.end_run("failed")
    assert tracker.load_df(tracker.get_run_outputs("r")["t"])["n"].tolist() == [2]


def test_every_attempt_keeps_its_snapshot(tracker: Tracker) -> None:
    # G-16: nothing is overwritten
    for n in (1, 2):
        start(tracker, "r", config={"n": n})
    assert snapshot(tracker, "r")["config"] == {"n": 1}
    assert snapshot(tracker, "r~2")["config"] == {"n": 2}
    assert tracker.get_run_config("r~1") == {"n": 1}
    assert tracker.get_run_config("r") == {"n": 2}


def test_an_id_that_is_active_cannot_be_begun_again(tracker: Tracker) -> None:
    # G-16
    def step() -> None:
        with pytest.raises(RuntimeError, match="'r'"):
            tracker.run(lambda: None, "inner", run_id="r")

    tracker.run(step, run_id="r")
    assert [run.id for run in tracker.find_runs()] == ["r"]


def test_attempts_go_on_in_another_tracker(tmp_path: Path) -> None:
    # G-16
    ids = []
    for folder in ("a", "b", "a"):
        with Tracker(tmp_path / folder, tmp_path / "d.duckdb") as tracker:
            ids.append(start(tracker, "r").id)
    assert ids == ["r", "r~2", "r~3"]


def test_a_function_run_counts_its_attempts_also_on_hits(tracker: Tracker) -> None:
    # G-16
    results = [tracker.run(lambda: None, "s", run_id="r") for _ in range(2)]
    assert [result.run_id for result in results] == ["r", "r~2"]
    assert results[1].cache_hit


def test_creation_times_strictly_increase(tracker: Tracker) -> None:
    # G-29
    times = [start(tracker, "r").created_at for _ in range(5)]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    "name",
    [
        "outputs",
        "identity_inputs",
        "depends_on",
        "output_missing",
        "cache_options",
        "inject_context",
    ],
)
def test_an_option_of_run_is_never_taken_for_metadata(tracker: Tracker, name: str) -> None:
    keyword: dict[str, Any] = {name: ["x"]}
    with pytest.raises(TypeError, match=rf"begin_run\(\) got an unexpected .* '{name}'") as caught:
        tracker.begin_run("r", "m", **keyword)
    assert caught.value.__notes__
    with pytest.raises(TypeError, match=rf"'{name}'"), tracker.start_run("r", "m", **keyword):
        pass
    if name != "inject_context":
        with pytest.raises(TypeError, match=rf"scenario\(\) got an unexpected .* '{name}'"):
            tracker.scenario("s", **keyword)
    assert tracker.find_runs() == []
