"""A tracker that does nothing but run the steps: what it does all the same, and what it leaves."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import (
    Artifact,
    CacheOptions,
    ExecutionOptions,
    NoopArtifact,
    NoopTracker,
    OutputPolicyOptions,
    Tracker,
    create_tracker,
    use_tracker,
)


@pytest.fixture
def off(here: Path) -> Tracker:
    return create_tracker(enabled=False, run_dir=here / "runs")


@pytest.fixture(params=["off", "on"])
def either(request: pytest.FixtureRequest, tracker: Tracker, off: Tracker) -> Tracker:
    """Both kinds, for what has to be the same."""
    return tracker if request.param == "on" else off


# ---------------------------------------------------------------- the switch


def test_an_enabled_tracker_is_the_one_of_the_factory(tracker: Tracker) -> None:
    assert create_tracker(tracker_factory=lambda: tracker) is tracker


def test_a_disabled_one_never_calls_the_factory(here: Path) -> None:
    def factory() -> Tracker:
        raise AssertionError

    made = create_tracker(enabled=False, tracker_factory=factory)
    assert isinstance(made, NoopTracker)
    assert isinstance(made, Tracker)
    assert made.run_dir == here / "runs"


def test_an_error_of_an_enabled_tracker_is_never_swallowed(here: Path) -> None:
    (here / "folder").mkdir()
    with pytest.raises(ValueError, match="db_path is a folder"):
        create_tracker(tracker_factory=lambda: Tracker("runs", here / "folder"))


def test_enabled_without_a_factory_is_an_error_that_says_what_to_pass() -> None:
    with pytest.raises(ValueError, match="tracker_factory") as caught:
        create_tracker()
    assert "tracker_factory=lambda" in caught.value.__notes__[0]


@pytest.mark.parametrize("enabled", ["false", 0, None])
def test_a_switch_that_is_no_bool_is_an_error(enabled: Any) -> None:
    with pytest.raises(TypeError, match="is not a bool"):
        create_tracker(enabled=enabled)


# ---------------------------------------------------------------- the same with and without


def clean(raw: pd.DataFrame, threshold: float) -> pd.DataFrame:
    return raw[raw["value"] > threshold]


def total(clean: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"total": [clean["value"].sum()]})


def test_a_workflow_gives_the_same_results(either: Tracker, raw: Path) -> None:
    # RUN-010, RUN-012, RUN-014, SCN-001
    with use_tracker(either), consist.scenario("base") as sc:
        sc.run(clean, inputs={"raw": raw}, config={"threshold": 0.5}, outputs=["clean"])
        options = ExecutionOptions(load_inputs=True)
        sc.run(total, inputs=["clean"], outputs=["total"], execution_options=options)
        with sc.trace("report", inputs=["total"]):
            frame = consist.load_df(sc.coupler.require("total"))
            report = consist.output_path("report", ext="txt")
            report.write_text(str(frame["total"].iloc[0]))
            consist.log_output(report, key="report", note="last")
        sc.require_outputs("report")
    assert frame["total"].tolist() == [1.5]
    assert sc.coupler.require("report").path.read_text() == "1.5"
    assert sc.coupler.require("report").meta["note"] == "last"
    assert consist.load_df(sc.coupler.require("clean"))["value"].tolist() == [0.6, 0.9]


def test_every_way_to_run_works(either: Tracker, raw: Path, here: Path) -> None:
    seen: list[str] = []
    either.on_run_start(lambda run: seen.append(f"start {run.model_name}"))
    either.on_run_complete(lambda run, outputs: seen.append(f"{run.status} {len(outputs)}"))
    either.begin_run("manual", "m", config={"a": 1}, inputs=[raw])
    either.log_meta(note="x")
    either.log_artifacts({"a": raw, "b": raw}, direction="input")
    with either.capture_outputs(here / "out", pattern="*.csv") as captured:
        (here / "out").mkdir()
        (here / "out" / "c.csv").write_text("a\n1\n")
    frame = pd.DataFrame({"a": [1]})
    assert either.load_df(either.log_dataframe(frame, "d"))["a"].tolist() == [1]
    run = either.end_run()
    assert run.meta["note"] == "x"
    assert [artifact.key for artifact in captured.artifacts] == ["c"]
    with either.start_run("again", "m"):
        assert not either.is_cached
    assert seen == ["start m", "completed 2", "start m", "completed 0"]


def test_checks_hold(either: Tracker, here: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        either.run(lambda raw: None, "s", inputs={"raw": here / "missing.csv"})  # noqa: ARG005
    with pytest.raises(ValueError, match="cache_mode"):
        either.run(lambda: None, "s", cache_options=CacheOptions(cache_mode="sometimes"))
    with pytest.raises(RuntimeError, match="k"):
        either.run(
            lambda: None,
            "s",
            outputs=["k"],
            output_policy=OutputPolicyOptions(output_missing="error"),
        )
    with pytest.raises(ZeroDivisionError):
        either.run(lambda: 1 / 0, "s")
    assert consist.current_run() is None


# ---------------------------------------------------------------- nothing is kept


def test_nothing_but_outputs_is_left(off: Tracker, raw: Path, here: Path) -> None:
    with off:
        result = off.run(clean, inputs={"raw": raw}, config={"threshold": 0.5}, outputs=["clean"])
    files = [p.relative_to(here) for p in here.rglob("*") if p.is_file()]
    output = result.outputs["clean"].path.relative_to(here)
    assert sorted(files) == sorted([Path("raw.csv"), output])


def test_every_run_executes_and_nothing_is_identified(off: Tracker, raw: Path) -> None:
    runs = [
        off.run(clean, inputs={"raw": raw}, config={"threshold": 0.5}, outputs=["clean"])
        for _ in range(2)
    ]
    assert [result.cache_hit for result in runs] == [False, False]
    run = runs[0].run
    assert (run.status, run.signature, run.config_hash, run.git_hash) == (
        "completed",
        None,
        None,
        None,
    )
    assert runs[0].outputs["clean"].hash is None


def test_questions_have_the_answers_of_a_tracker_without_a_database(off: Tracker) -> None:
    result = off.run(lambda: None, "s")
    assert off.find_runs() == []
    assert off.get_run(result.run_id) is None
    assert off.engine is None
    with pytest.raises(RuntimeError):
        off.run_query("SELECT 1")


def test_a_disabled_run_imports_neither_duckdb_nor_a_hash_of_files() -> None:
    code = (
        "import sys; from consist import create_tracker\n"
        "tracker = create_tracker(enabled=False)\n"
        "assert not tracker.run(lambda: None, 'nothing').cache_hit\n"
        "print({'duckdb', 'sqlmodel', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---------------------------------------------------------------- what stands for an artifact


def test_artifacts_are_stand_ins_with_key_and_path(off: Tracker, raw: Path) -> None:
    with off.start_run("r", "m"):
        artifact = off.log_output(raw, key="raw", note="x")
    assert isinstance(artifact, NoopArtifact)
    assert not isinstance(artifact, Artifact)
    assert (artifact.key, artifact.path, artifact.driver) == ("raw", raw, "csv")
    assert artifact.meta == {"note": "x"}
    assert consist.load_df(artifact)["value"].tolist() == [0.2, 0.6, 0.9]  # G-17
    copy = pickle.loads(pickle.dumps(artifact))
    assert (copy.key, copy.path, copy.driver) == ("raw", raw, "csv")


def test_a_stand_in_made_by_hand_serves_as_an_input_and_in_a_coupler(
    off: Tracker, raw: Path
) -> None:
    made = NoopArtifact("raw", raw)
    assert made.container_uri == str(raw)
    result = off.run(clean, inputs={"raw": made}, config={"threshold": 0.7}, outputs=["clean"])
    assert off.load_df(result.outputs["clean"])["value"].tolist() == [0.9]
    with off.scenario("s") as sc:
        sc.coupler.set_from_artifact("raw", made)
        assert sc.coupler.path("raw") == raw
        sc.run(clean, inputs={"raw": "raw"}, config={"threshold": 0.7}, outputs=["clean"])


def test_a_stand_in_is_the_file_at_its_path_for_a_tracker_that_keeps(
    tracker: Tracker, raw: Path
) -> None:
    made = NoopArtifact("survey", raw)

    def once() -> consist.RunResult:
        return tracker.run(clean, inputs={"raw": made}, config={"threshold": 0.7}, outputs=["c"])

    assert not once().cache_hit
    assert once().cache_hit
    raw.write_text("category,value\na,0.8\n")
    assert not once().cache_hit
    raw.unlink()
    with pytest.raises(FileNotFoundError, match="raw"):
        once()


def test_a_scenario_may_be_switched_off_for_itself(tracker: Tracker, raw: Path) -> None:
    with use_tracker(tracker), consist.scenario("off", enabled=False) as sc:
        result = sc.run(clean, inputs={"raw": raw}, config={"threshold": 0.7}, outputs=["clean"])
        assert isinstance(sc.coupler.require("clean"), NoopArtifact)
    assert consist.load_df(result.outputs["clean"])["value"].tolist() == [0.9]
    assert tracker.find_runs() == []
    with use_tracker(tracker), consist.scenario("on", enabled=True):
        pass
    assert [run.id for run in tracker.find_runs()] == ["on"]


def test_a_config_needs_no_identity_where_nothing_is_kept(off: Tracker) -> None:
    seen: list[object] = []
    thing = object()
    off.run(lambda config: seen.append(config["thing"]), "s", config={"thing": thing})
    assert seen == [thing]
