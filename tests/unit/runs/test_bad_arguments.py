"""What cannot mean anything is one clear error of ours, before anything is run or recorded."""

# ruff: noqa: PT012 - one of several statements is what has to fail

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import consist
from consist import CacheOptions, ExecutionOptions, RunResult, Tracker, define_step
from consist.errors import ConsistError, InvalidRecord
from consist.models.record import replace


def step() -> None:
    raise AssertionError("nothing is to be run")


def positional(raw: Any, scale: int = 2, /, *, shift: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"a": [len(raw) * scale + shift]})


HALF = os.fsdecode(b"a\xff.csv")  # a file name of another encoding


# ---------------------------------------------------------------- runs

OF_RUN: dict[str, dict[str, Any]] = {
    "stage": {"stage": 3},
    "phase": {"phase": ["p"]},
    "parent_run_id": {"parent_run_id": 7},
    "description": {"description": 5},
    "tags": {"tags": "nightly"},
    "model": {"model": HALF},
    "tag": {"tags": [HALF]},
    "run id": {"run_id": "a\0b"},
    "name": {"name": "a\0b"},
    "depends_on": {"depends_on": "raw.csv"},
    "identity_inputs": {"identity_inputs": "raw.csv"},
    "facet_from": {"facet_from": "rate", "config": {"rate": 1}},
    "facet_index": {"facet": {"a": 1}, "facet_index": "yes"},
    "outputs": {"outputs": "clean"},
    "output_paths": {"output_paths": "clean.csv"},
    "output_paths['k']": {"output_paths": {"k": 5}},
    "capture_dir": {"capture_dir": 5},
    "capture_dir is empty": {"capture_dir": ""},
    "capture_pattern": {"capture_pattern": 5},
    "cache_options": {"cache_options": {"cache_mode": "overwrite"}},
    "output_policy": {"output_policy": {}},
    "execution_options": {"execution_options": CacheOptions()},
    "inputs": {"inputs": "raw.csv"},
    "year": {"year": "2030"},
    "runtime": {"runtime_kwargs": {"typo": 1}},
}


@pytest.mark.parametrize("named", OF_RUN)
def test_arguments_of_run_are_checked_before_it_begins(
    tracker: Tracker, raw: Path, named: str
) -> None:
    # RUN-004, ERR-004, G-07
    with pytest.raises((ValueError, TypeError), match=named.replace("[", r"\[")) as caught:
        tracker.run(step, **OF_RUN[named])
    assert isinstance(caught.value, ConsistError)
    assert tracker.find_runs() == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (lambda: ExecutionOptions(load_inputs="yes"), "load_inputs"),  # type: ignore[arg-type]
        (lambda: ExecutionOptions(inject_context=5), "inject_context"),  # type: ignore[arg-type]
        (lambda: ExecutionOptions(runtime_kwargs="a"), "runtime_kwargs"),  # type: ignore[arg-type]
        (lambda: CacheOptions(code_identity_extra_deps="a.py"), "code_identity_extra_deps"),
    ],
)
def test_options_objects_check_their_fields(options: Callable[[], Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        options()


OF_TRACKER: dict[str, dict[str, Any]] = {
    "mounts": {"mounts": 5},
    "schemas": {"schemas": ["Model"]},
    "run_subdir_fn": {"run_subdir_fn": "by year"},
    "allow_external_paths": {"allow_external_paths": "no"},
}


@pytest.mark.parametrize("named", OF_TRACKER)
def test_arguments_of_a_tracker_are_checked_when_it_is_made(named: str) -> None:
    with pytest.raises(TypeError, match=named):
        Tracker("runs", **OF_TRACKER[named])


def test_permission_for_outside_paths_is_a_bool(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="allow_external_paths"):
        tracker.begin_run("r", "m", artifact_dir=tmp_path, allow_external_paths="no")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="run_subdir_fn"):
        tracker.set_run_subdir_fn(5)  # type: ignore[arg-type]


async def later(_run: Any) -> None: ...


@pytest.mark.parametrize("hook", [None, 5, later])
def test_a_hook_that_nobody_could_call_is_refused(tracker: Tracker, hook: Any) -> None:
    for register in (tracker.on_run_start, tracker.on_run_complete, tracker.on_run_failed):
        with pytest.raises(TypeError, match="hook"):
            register(hook)


def test_other_things_in_place_of_trackers_runs_and_functions_are_refused(
    tracker: Tracker,
) -> None:
    with pytest.raises(TypeError, match="tracker is an int"):
        consist.run(step, tracker=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tracker is an int"), consist.use_tracker(5):  # type: ignore[arg-type]
        pass
    with pytest.raises(TypeError, match="run is an int"):
        tracker.run_artifact_dir(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be a step"):
        define_step(outputs=["o"])(len)
    with tracker.start_run("r", "m"):
        with pytest.raises(TypeError, match="ActiveRunCacheOptions"):
            tracker.restore_cache_options(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="key=5"):
            tracker.output_path(5)  # type: ignore[arg-type]


def test_end_run_takes_an_exception_and_goes_on_after_anything_else(tracker: Tracker) -> None:
    tracker.begin_run("r", "m")
    with pytest.raises(TypeError, match="no exception"):
        tracker.end_run("failed", error="text")  # type: ignore[arg-type]
    assert tracker.end_run("failed", error=ValueError("text")).status == "failed"


def test_a_function_or_block_is_not_ended_by_hand(tracker: Tracker) -> None:
    def ends() -> None:
        tracker.end_run("failed", error=ValueError("no convergence"))

    with pytest.raises(RuntimeError, match="ends with its function") as caught:
        tracker.run(ends, run_id="r")
    assert "raise an exception" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="ends with its function"), tracker.trace("t"):
        tracker.end_run()


# ---------------------------------------------------------------- logging

OF_LOGGING: dict[str, dict[str, Any]] = {
    "driver": {"driver": 5},
    "content_hash": {"content_hash": 5},
    "table_path": {"table_path": 5},
    "array_path": {"array_path": Path("x")},
    "facet_index": {"facet": {"a": 1}, "facet_index": np.True_},
    "direction": {"direction": "sideways"},
    "no character": {"driver": HALF},
}


@pytest.mark.parametrize("named", OF_LOGGING)
def test_arguments_of_logging_are_checked_and_the_run_goes_on(
    tracker: Tracker, raw: Path, named: str
) -> None:
    # ART-021
    with tracker.start_run("r", "m"):
        with pytest.raises((ValueError, TypeError), match=named) as caught:
            tracker.log_artifact(raw, "k", **OF_LOGGING[named])
        assert isinstance(caught.value, ConsistError)
        tracker.log_artifact(raw, "other")
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "completed"
    assert list(tracker.get_run_outputs("r")) == ["other"]


def test_more_that_cannot_be_logged(tracker: Tracker, raw: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    with tracker.start_run("r", "m"):
        with pytest.raises(ValueError, match="a path is empty"):
            tracker.log_artifact("", "k")
        with pytest.raises(ValueError, match="names the mount 's3'"):
            tracker.log_artifact("s3://bucket/x.csv", "k")
        with pytest.raises(ValueError, match="mount"):
            tracker.log_dataframe(frame, "k", path="typo://x.csv")
        with pytest.raises(TypeError, match="metadata of 'a' is an int"):
            tracker.log_artifacts({"a": raw}, metadata_by_key={"a": 5})  # type: ignore[dict-item]
        with pytest.raises(TypeError, match="metadata 'o'"):
            tracker.log_dataframe(frame, "k", meta={"o": object()})
        with pytest.raises(TypeError, match="metadata are an int"):
            tracker.log_dataframe(frame, "k", meta=5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="nothing"):
            tracker.log_artifact("gone.csv", "k", content_hash="abc", validate_content_hash=True)
        with pytest.raises(TypeError, match="directory=5"), tracker.capture_outputs(5):  # type: ignore[arg-type]
            pass
        artifact = tracker.log_dataframe(frame, "k", meta={"rows": np.int64(1)})
        assert artifact.meta["rows"] == 1
    assert [p.name for p in tracker.run_dir.rglob("*.parquet")] == ["k.parquet"]


def test_a_long_key_has_a_shorter_file(tracker: Tracker) -> None:
    frame = pd.DataFrame({"a": [1]})
    keys = ["k" * 256, "k" * 255 + "j"]
    result = tracker.run(lambda: (frame, frame), "s", outputs=keys)
    assert list(result.outputs) == keys
    paths = {artifact.path for artifact in result.outputs.values()}
    assert len(paths) == 2
    assert all(path.exists() for path in paths)


# ---------------------------------------------------------------- what must not be lost


def test_what_could_not_be_read_again_is_never_acknowledged(tracker: Tracker) -> None:
    with tracker.start_run("r", "m"):
        run = tracker.active.require("the test")
        record, run.record = run.record, replace(run.record, stage=3)
        with pytest.raises(InvalidRecord, match=r"'r' cannot be recorded: Expected `str \| null`"):
            tracker.log_meta(a=1)
        run.record = record
    assert tracker.get_run("r") is not None


@pytest.mark.parametrize("way", ["run", "trace", "start_run"])
def test_an_error_about_an_odd_file_name_comes_back_and_ends_the_run(
    tracker: Tracker, way: str
) -> None:
    # C-10
    def fails() -> None:
        raise OSError(f"cannot read {HALF}")

    with pytest.raises(OSError, match="cannot read"):
        if way == "run":
            tracker.run(fails, run_id="r")
        else:
            with tracker.trace("t", run_id="r") if way == "trace" else tracker.start_run("r", "m"):
                fails()
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "failed"
    assert run.meta["error"] == r"cannot read a\udcff.csv"


@pytest.mark.parametrize("way", ["run", "trace", "start_run", "begin_run", "hit", "scenario"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_stopped_while_it_begins_is_ended(
    tracker: Tracker, way: str, kind: type[BaseException]
) -> None:
    # TRK-042
    quiet = lambda: None  # noqa: E731
    if way == "hit":
        tracker.run(quiet, "s")
    stops = [kind]

    @tracker.on_run_start
    def stop(_run: Any) -> None:
        if stops:
            raise stops.pop()

    with pytest.raises(kind):
        if way in {"run", "hit"}:
            tracker.run(quiet, "s", run_id="r")
        elif way == "begin_run":
            tracker.begin_run("r", "m")
        elif way == "scenario":
            with tracker.scenario("r"):
                pass
        else:
            with tracker.trace("t", run_id="r") if way == "trace" else tracker.start_run("r", "m"):
                pass
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == ("interrupted" if kind is KeyboardInterrupt else "failed")
    assert consist.current_run() is None
    later = tracker.run(quiet, "s").run
    assert (later.parent_run_id, later.status) == (None, "completed")


# ---------------------------------------------------------------- what is meant is done


def test_parameters_without_a_name_are_filled_by_position(tracker: Tracker, raw: Path) -> None:
    result = tracker.run(
        positional, inputs={"raw": raw}, config={"shift": 1}, outputs=["a"], runtime_kwargs={}
    )
    assert tracker.load_df(result.outputs["a"])["a"].tolist() == [7]
    given = tracker.run(
        positional, inputs={"raw": raw}, config={"shift": 1, "scale": 3}, outputs=["a"]
    )
    assert tracker.load_df(given.outputs["a"])["a"].tolist() == [10]


def make(tracker: Tracker, number: int) -> consist.Artifact:
    def write() -> Path:
        path = Path(f"o{number}.txt")
        path.write_text(str(number))
        return path

    return tracker.run(write, config={"n": number}, outputs=["out"]).outputs["out"]


def test_an_artifact_is_recorded_under_the_key_it_is_returned_for(tracker: Tracker) -> None:
    # RUN-025, RUN-026, RUN-028
    first = make(tracker, 1)

    def forward() -> consist.Artifact:
        return first

    results = {
        "one": tracker.run(forward, "one", outputs=["renamed"]),
        "two": tracker.run(lambda: {"p": first, "q": first}, "two", outputs=["p", "q"]),
        "path": tracker.run(lambda: None, "path", output_paths={"renamed": first}),
        "same": tracker.run(lambda: first, "same", outputs=["out"]),
        "plain": tracker.run(lambda: first, "plain"),
    }
    keys = {name: sorted(result.outputs) for name, result in results.items()}
    assert keys == {
        "one": ["renamed"],
        "two": ["p", "q"],
        "path": ["renamed"],
        "same": ["out"],
        "plain": ["out"],
    }
    renamed = results["one"].outputs["renamed"]
    assert (renamed.path, renamed.run_id) == (first.path, first.run_id)
    assert renamed.content_id == first.content_id
    assert renamed.id != first.id
    assert results["same"].outputs["out"].id == first.id
    assert tracker.run(forward, "one", outputs=["renamed"]).cache_hit
    with tracker.start_run("r", "m"):
        logged = tracker.log_artifacts({"third": first})
        assert logged["third"].key == "third"
    assert list(tracker.get_run_outputs("r")) == ["third"]


def test_inputs_that_share_a_key_are_told_apart(tracker: Tracker, here: Path) -> None:
    # MOD-007
    x, y = make(tracker, 1), make(tracker, 2)
    result = tracker.run(lambda a, b: None, "s", inputs={"a": x, "b": y})  # noqa: ARG005
    found = tracker.get_run_inputs(result.run_id)
    assert {name: artifact.id for name, artifact in found.items()} == {"a": x.id, "b": y.id}
    for name in ("d1", "d2"):
        (here / name).mkdir()
        (here / name / "data.csv").write_text(name)
    listed = tracker.run(lambda: None, "t", inputs=["d1/data.csv", "d2/data.csv"])
    assert sorted(tracker.get_run_inputs(listed.run_id)) == ["data", "data~2"]


def test_a_declared_output_above_the_current_folder_is_meant_there(
    tracker: Tracker, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-14, G-28
    (here / "notebooks").mkdir()
    monkeypatch.chdir(here / "notebooks")

    def write() -> None:
        Path("../o.csv").write_text("a\n1\n")

    result = tracker.run(write, output_paths={"o": "../o.csv"})
    assert result.outputs["o"].path == here / "o.csv"


def test_a_result_travels_to_another_process(tracker: Tracker) -> None:
    result = tracker.run(lambda: pd.DataFrame({"a": [1]}), "s", outputs=["k"])
    _ = result.outputs, result.run
    copy: RunResult = pickle.loads(pickle.dumps(result))
    assert (copy.run_id, copy.cache_hit, list(copy.outputs)) == (result.run_id, False, ["k"])
    assert copy.outputs["k"].path == result.outputs["k"].path
    assert copy.run.signature == result.run.signature
    assert tracker.load_df(copy.outputs["k"])["a"].tolist() == [1]
