"""``Tracker.run``: what it accepts, what it gives back, what it records."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for
# ruff: noqa: PLW0108 - the name of the parameter is what binds
# ruff: noqa: PT012 - the block is what has to fail

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import pandas as pd
import pytest
from pydantic import BaseModel

import consist
from consist import (
    Artifact,
    CacheOptions,
    CodeIdentityUnavailableError,
    ExecutionOptions,
    OutputPolicyOptions,
    Run,
    Tracker,
    define_step,
)
from consist.errors import InputMissing, UsageError, WrongType


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2, 3]})


# ---------------------------------------------------------------- names and ids


def test_only_function_and_name_are_positional() -> None:
    # RUN-001
    parameters = inspect.signature(Tracker.run).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional[1:] == ["fn", "name"]


def test_defaults_of_run_are_as_printed() -> None:
    # RUN-064
    defaults = {
        name: p.default
        for name, p in inspect.signature(Tracker.run).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    assert defaults.pop("capture_pattern") == "*"
    assert defaults.pop("config_plan_ingest") is True
    assert defaults.pop("config_plan_profile_schema") is False
    assert set(defaults.values()) == {None}


def test_a_run_without_a_name_is_called_after_its_function(tracker: Tracker) -> None:
    # RUN-002, RUN-003
    result = tracker.run(fn=frame, outputs=["f"])
    assert result.run.model_name == "frame"
    assert result.run_id.startswith("frame_")


def test_the_model_may_differ_from_the_name(tracker: Tracker) -> None:
    # RUN-003
    result = tracker.run(frame, "step", model="urbansim", outputs=["f"])
    assert result.run.model_name == "urbansim"
    assert result.run_id.startswith("step_")


def test_automatic_ids_never_repeat(tracker: Tracker) -> None:
    # RUN-004, MOD-004, G-21
    ids = {tracker.run(frame, outputs=["f"]).run_id for _ in range(20)}
    assert len(ids) == 20


def test_a_run_id_is_used_as_given(tracker: Tracker) -> None:
    # RUN-004
    assert tracker.run(frame, run_id="mine", outputs=["f"]).run_id == "mine"


@pytest.mark.parametrize("name", ["Größe & Höhe", "two words", "日本", "a/b", "..", "-x"])
def test_odd_names_and_ids_are_recorded_reversibly(tracker: Tracker, name: str) -> None:
    # G-16: file names encode ids
    result = tracker.run(frame, name, run_id=name, outputs=["f"])
    assert result.run_id == name
    found = tracker.get_run(name)
    assert found is not None
    assert found.model_name == name
    record = tracker.get_run_record(name)
    assert record is not None
    assert record.run.id == name
    assert result.outputs["f"].path.exists()
    assert result.outputs["f"].path.is_relative_to(tracker.run_dir)


def test_a_partial_and_a_lambda_can_be_run(tracker: Tracker) -> None:
    # RUN-002
    from functools import partial

    def scaled(factor: int) -> pd.DataFrame:
        return pd.DataFrame({"a": [factor]})

    first = tracker.run(partial(scaled, factor=2), outputs=["f"])
    assert first.run.model_name == "scaled"
    assert tracker.run(lambda: None).run.model_name == "lambda"


# ---------------------------------------------------------------- the result


def test_the_result_carries_outputs_hit_run_and_value(tracker: Tracker) -> None:
    # RUN-005, RUN-006, C-20
    result = tracker.run(frame, outputs=["f"])
    assert isinstance(result.outputs["f"], Artifact)
    assert result.cache_hit is False
    assert isinstance(result.run, Run)
    assert result.run.id == result.run_id
    pd.testing.assert_frame_equal(result.value, frame())


def test_the_second_identical_call_is_a_hit_and_executes_nothing(tracker: Tracker) -> None:
    # RUN-007, CACHE-002
    calls = []

    def step() -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"a": [1]})

    first = tracker.run(step, outputs=["f"])
    second = tracker.run(step, outputs=["f"])
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert len(calls) == 1
    assert second.value is None


def test_a_hit_gives_back_the_artifact_of_the_earlier_run(tracker: Tracker) -> None:
    # RUN-008, RUN-062, CACHE-009, CACHE-021, HYD-029
    first = tracker.run(frame, outputs=["f"])
    second = tracker.run(frame, outputs=["f"])
    assert second.outputs["f"].id == first.outputs["f"].id
    assert second.outputs["f"].run_id == first.run_id
    assert second.outputs["f"].path == first.outputs["f"].path
    pd.testing.assert_frame_equal(consist.load_df(second.outputs["f"]), frame())
    assert tracker.get_run_outputs(second.run_id)["f"].id == first.outputs["f"].id


def test_a_hit_is_recorded_as_a_run_of_its_own(tracker: Tracker) -> None:
    # CACHE-009, SCN-045
    first = tracker.run(frame, outputs=["f"])
    second = tracker.run(frame, outputs=["f"], tags=["again"], description="second")
    recorded = tracker.get_run(second.run_id)
    assert recorded is not None
    assert recorded.status == "completed"
    assert recorded.tags == ["again"]
    assert recorded.description == "second"
    assert recorded.meta["cache_hit"] is True
    assert recorded.meta["cache_source"] == first.run_id


# ---------------------------------------------------------------- config


class Cleaning(BaseModel):
    threshold: float = 0.5
    strict: bool = True


@dataclass
class Settings:
    threshold: float = 0.5


def test_a_config_dict_reaches_the_parameter_config(tracker: Tracker) -> None:
    # RUN-009, RUN-011
    seen = {}

    def step(config: dict[str, Any]) -> None:
        seen.update(config)

    tracker.run(step, config={"year": 2030})
    assert seen == {"year": 2030}


def test_a_pydantic_config_reaches_the_parameter_config_as_the_model(tracker: Tracker) -> None:
    # RUN-010
    seen = []

    def step(config: Cleaning) -> None:
        seen.append(config.threshold)

    tracker.run(step, config=Cleaning(threshold=0.7))
    assert seen == [0.7]


@pytest.mark.parametrize("config", [{"threshold": 0.7}, Cleaning(threshold=0.7), Settings(0.7)])
def test_a_config_key_fills_the_parameter_of_its_name(tracker: Tracker, config: Any) -> None:
    # RUN-012, G-01
    seen = []

    def step(threshold: float = 0.1) -> None:
        seen.append(threshold)

    tracker.run(step, config=config)
    assert seen == [0.7]


def test_precedence_is_input_then_runtime_then_config_then_default(
    tracker: Tracker, raw: Path
) -> None:
    # G-01
    seen = {}

    def step(raw: Path, b: int = 0, c: int = 0, d: int = 4) -> None:
        seen.update(raw=raw, b=b, c=c, d=d)

    tracker.run(
        step,
        inputs={"raw": raw},
        config={"raw": "no", "b": 0, "c": 3},
        runtime_kwargs={"b": 2},
        execution_options=ExecutionOptions(input_binding="paths"),
    )
    assert seen == {"raw": raw, "b": 2, "c": 3, "d": 4}


@pytest.mark.parametrize("config", [{1: 2}, {"a": 1, None: 2}])
def test_config_keys_that_are_no_text_are_an_error_before_anything(
    tracker: Tracker, config: Any
) -> None:
    # ERR-005
    with pytest.raises((TypeError, ValueError), match=r"1|None"):
        tracker.run(frame, config=config, outputs=["f"])
    assert tracker.find_runs() == []


def test_an_overlong_config_string_is_an_error_that_names_its_key(tracker: Tracker) -> None:
    # ERR-006
    with pytest.raises(ValueError, match="blob"):
        tracker.run(frame, config={"blob": "x" * 1_000_001}, outputs=["f"])
    assert tracker.find_runs() == []


def test_a_config_value_without_identity_is_an_error_that_names_the_path(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match="outer") as caught:
        tracker.run(frame, config={"outer": {"inner": object()}}, outputs=["f"])
    assert "inner" in str(caught.value)
    assert tracker.find_runs() == []


def test_the_full_config_lies_in_the_snapshot_and_its_hash_in_the_database(
    tracker: Tracker,
) -> None:
    # TRK-018, SIG-020, SIG-024
    result = tracker.run(frame, config={"a": {"b": [1, 2.5, None]}}, outputs=["f"])
    snapshot = json.loads((tracker.run_dir / "consist_runs" / f"{result.run_id}.json").read_text())
    assert snapshot["config"] == {"a": {"b": [1, 2.5, None]}}
    found = tracker.get_run(result.run_id)
    assert found is not None
    assert found.config_hash
    assert found.git_hash
    assert "config" not in found.meta


# ---------------------------------------------------------------- inputs


def test_a_named_input_is_bound_to_the_parameter_of_its_name(tracker: Tracker, raw: Path) -> None:
    # RUN-013, RUN-014
    seen = []

    def step(raw: pd.DataFrame) -> None:
        seen.append(raw)

    tracker.run(step, inputs={"raw": raw})
    pd.testing.assert_frame_equal(seen[0], pd.read_csv(raw))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (ExecutionOptions(load_inputs=True), pd.DataFrame),
        (ExecutionOptions(input_binding="loaded"), pd.DataFrame),
        (ExecutionOptions(input_binding="paths"), Path),
        (ExecutionOptions(input_binding="loaded", load_inputs=True), pd.DataFrame),
    ],
)
def test_the_binding_decides_what_a_parameter_receives(
    tracker: Tracker, raw: Path, options: ExecutionOptions, kind: type
) -> None:
    # RUN-015, RUN-017, RUN-018, DEP-010, C-03
    seen = []

    def step(raw: Any) -> None:
        seen.append(raw)

    tracker.run(step, inputs={"raw": raw}, execution_options=options)
    assert isinstance(seen[0], kind)


def test_contradicting_binding_options_are_an_error() -> None:
    # C-03
    with pytest.raises(ValueError, match="contradicts"):
        ExecutionOptions(load_inputs=False, input_binding="loaded")


def test_without_loading_the_function_gets_runtime_values_and_the_input_still_counts(
    tracker: Tracker, raw: Path
) -> None:
    # RUN-016
    seen = []

    def step(raw_file: Path) -> None:
        seen.append(raw_file)

    def call() -> bool:
        return tracker.run(
            step,
            inputs={"raw_file": raw},
            execution_options=ExecutionOptions(
                load_inputs=False, runtime_kwargs={"raw_file": Path("raw.csv")}
            ),
        ).cache_hit

    assert call() is False
    assert seen == [Path("raw.csv")]
    assert call() is True
    raw.write_text("category,value\nz,1\n")
    assert call() is False


def test_a_parameter_annotated_path_gets_a_path_though_loading_is_asked_for(
    tracker: Tracker, raw: Path
) -> None:
    # C-06
    seen = []

    def step(raw: Path) -> None:
        seen.append(raw)

    tracker.run(
        step, inputs={"raw": raw}, execution_options=ExecutionOptions(input_binding="loaded")
    )
    assert seen == [raw]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (Path | None, Path),
        (Optional[Path], Path),  # noqa: UP045 - what older code says
        (str | Path, Path),
        (Annotated[Path, "a table"], Path),
        ("Path|None", Path),
        ("Optional[Path]", Path),
        (Artifact | None, Artifact),
        ("Artifact|None", Artifact),
        (pd.DataFrame | None, pd.DataFrame),
        (pd.DataFrame | Path, pd.DataFrame),
        (Any, pd.DataFrame),
    ],
)
def test_a_parameter_gets_what_its_annotation_says_in_any_spelling(
    tracker: Tracker, raw: Path, annotation: Any, kind: type
) -> None:
    # C-06
    seen = []

    def step(raw: Any) -> None:
        seen.append(raw)

    step.__annotations__["raw"] = annotation
    tracker.run(step, inputs={"raw": raw})
    assert isinstance(seen[0], kind)


def test_a_file_without_a_loader_arrives_as_its_artifact(tracker: Tracker, here: Path) -> None:
    # C-06, SCN-022
    (here / "note.txt").write_text("hello")
    seen = []

    def step(note: Any) -> None:
        seen.append(note)

    tracker.run(step, inputs={"note": here / "note.txt"})
    assert isinstance(seen[0], Artifact)
    assert seen[0].path.read_text() == "hello"


def test_a_list_of_inputs_counts_and_binds_nothing(tracker: Tracker, raw: Path) -> None:
    # RUN-019
    def step(raw: str = "default") -> pd.DataFrame:
        return pd.DataFrame({"raw": [raw]})

    first = tracker.run(step, inputs=[raw], outputs=["f"])
    assert list(first.value["raw"]) == ["default"]
    assert tracker.run(step, inputs=[raw], outputs=["f"]).cache_hit
    raw.write_text("category,value\nz,1\n")
    assert not tracker.run(step, inputs=[raw], outputs=["f"]).cache_hit


def test_a_string_among_listed_inputs_is_a_path(tracker: Tracker, raw: Path) -> None:
    # C-04
    result = tracker.run(lambda: None, "s", inputs=["raw.csv"])
    assert [a.path for a in tracker.get_run_inputs(result.run_id).values()] == [raw]


def test_the_result_of_a_run_may_be_an_input(tracker: Tracker) -> None:
    # RUN-013
    first = tracker.run(frame, outputs=["f"])
    seen = []

    def step(table: pd.DataFrame) -> None:
        seen.append(len(table))

    second = tracker.run(step, inputs={"table": first})
    assert seen == [3]
    assert [a.id for a in tracker.get_run_inputs(second.run_id).values()] == [first.outputs["f"].id]


def test_a_missing_input_is_an_error_that_names_key_and_path_and_records_nothing(
    tracker: Tracker, here: Path
) -> None:
    # G-23
    called = []
    with pytest.raises(InputMissing, match=r"'raw'.*nowhere\.csv") as caught:
        tracker.run(lambda raw: called.append(raw), "s", inputs={"raw": "nowhere.csv"})
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.__notes__
    assert called == []
    assert tracker.find_runs() == []
    assert tracker.last_run is None


@pytest.mark.parametrize("argument", ["depends_on", "identity_inputs"])
def test_a_missing_dependency_is_an_error_that_names_it(tracker: Tracker, argument: str) -> None:
    # G-23
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        tracker.run(frame, outputs=["f"], **{argument: ["nowhere.yaml"]})
    assert tracker.find_runs() == []


def test_an_input_of_no_known_kind_is_an_error_that_names_it(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match=r"'raw'.*int") as caught:
        tracker.run(lambda raw: None, "s", inputs={"raw": 5})  # type: ignore[dict-item]
    assert caught.value.__notes__


def test_a_parameter_that_gets_nothing_is_an_error_that_names_it(
    tracker: Tracker, raw: Path
) -> None:
    def step(needed: int, raw: pd.DataFrame) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="needed") as caught:
        tracker.run(step, inputs={"raw": raw})
    assert any("runtime_kwargs" in note for note in caught.value.__notes__)
    assert tracker.find_runs(status="completed") == []


def test_depends_on_counts_and_is_recorded_as_input(tracker: Tracker, here: Path) -> None:
    # RUN-033, SIG-006
    settings = here / "settings.yaml"
    settings.write_text("a: 1")

    def call() -> consist.RunResult:
        return tracker.run(frame, outputs=["f"], depends_on=[settings])

    first = call()
    assert call().cache_hit
    settings.write_text("a: 2")
    assert not call().cache_hit
    assert [a.path for a in tracker.get_run_inputs(first.run_id).values()] == [settings]


def test_a_folder_may_be_an_input(tracker: Tracker, here: Path) -> None:
    # SIG-004
    (here / "data").mkdir()
    (here / "data" / "a.txt").write_text("1")

    def call() -> bool:
        return tracker.run(frame, outputs=["f"], inputs={"data": here / "data"}).cache_hit

    assert call() is False
    assert call() is True
    (here / "data" / "b.txt").write_text("2")
    assert call() is False


# ---------------------------------------------------------------- runtime arguments, context


def test_runtime_values_reach_the_function_and_do_not_count(tracker: Tracker) -> None:
    # RUN-020, RUN-021
    seen = []

    def step(verbose: bool) -> None:
        seen.append(verbose)

    first = tracker.run(step, runtime_kwargs={"verbose": True})
    second = tracker.run(
        step, execution_options=ExecutionOptions(runtime_kwargs={"verbose": False})
    )
    assert seen == [True]
    assert first.cache_hit is False
    assert second.cache_hit is True


def test_runtime_values_given_twice_are_an_error(tracker: Tracker) -> None:
    # ERR-025
    with pytest.raises(ValueError, match="runtime_kwargs"):
        tracker.run(
            frame,
            runtime_kwargs={"a": 1},
            execution_options=ExecutionOptions(runtime_kwargs={"a": 1}),
        )


def test_require_runtime_kwargs_refuses_before_anything(tracker: Tracker) -> None:
    # SCN-044, ERR-065
    @consist.require_runtime_kwargs("store")
    def step(store: str) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match=r"'step'.*store"):
        tracker.run(step)
    assert tracker.find_runs() == []
    with pytest.raises(AssertionError):
        tracker.run(step, runtime_kwargs={"store": "s"})


@pytest.mark.parametrize("names", [(), ("",), (1,)])
def test_require_runtime_kwargs_needs_names(names: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="name"):
        consist.require_runtime_kwargs(*names)


# ---------------------------------------------------------------- labels


def test_labels_are_recorded(tracker: Tracker) -> None:
    # RUN-034, RUN-035, MOD-001, MOD-006
    with tracker.start_run("outer", "outer"):
        pass
    result = tracker.run(
        frame,
        outputs=["f"],
        tags=["a", "b"],
        description="why",
        year=2030,
        iteration=2,
        phase="p",
        stage="s",
        parent_run_id="outer",
    )
    run = tracker.get_run(result.run_id)
    assert run is not None
    assert (run.tags, run.description, run.year, run.iteration) == (["a", "b"], "why", 2030, 2)
    assert (run.phase, run.stage, run.parent_run_id) == ("p", "s", "outer")
    assert run.meta["phase"] == "p"  # DEP-012
    assert run.meta["stage"] == "s"


@pytest.mark.parametrize("tags", [[""], ["x" * 257], ["  "]])
def test_an_invalid_tag_is_an_error(tracker: Tracker, tags: list[str]) -> None:
    # ERR-004
    with pytest.raises(ValueError, match="tag"):
        tracker.run(frame, tags=tags, outputs=["f"])
    assert tracker.find_runs() == []


def test_very_many_tags_are_kept_in_order(tracker: Tracker) -> None:
    # MOD-006
    tags = [f"tag {i}" for i in range(5_000)]
    result = tracker.run(frame, tags=tags, outputs=["f"])
    run = tracker.get_run(result.run_id)
    assert run is not None
    assert run.tags == tags
    assert [r.id for r in tracker.find_runs(tags=["tag 4999", "tag 7"])] == [run.id]


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_an_invalid_name_is_an_error(tracker: Tracker, name: str) -> None:
    # ERR-003
    with pytest.raises(ValueError, match="name"):
        tracker.run(frame, name, outputs=["f"])
    assert tracker.find_runs() == []


def test_an_overlong_description_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match="description"):
        tracker.run(frame, description="x" * 4_097, outputs=["f"])


@pytest.mark.parametrize("year", ["2030", 2030.5, True])
def test_a_year_that_is_no_whole_number_is_an_error(tracker: Tracker, year: Any) -> None:
    with pytest.raises(TypeError, match="year"):
        tracker.run(frame, year=year, outputs=["f"])


@pytest.mark.parametrize("run_id", ["a~2", "a~10", ""])
def test_a_run_id_that_cannot_be_recorded_is_an_error(tracker: Tracker, run_id: str) -> None:
    # G-16
    with pytest.raises(ValueError, match="run id"):
        tracker.run(frame, run_id=run_id, outputs=["f"])
    assert tracker.find_runs() == []


def test_an_overlong_run_id_is_an_error_and_records_nothing(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match="run id"):
        tracker.run(frame, run_id="ö" * 100, outputs=["f"])
    assert tracker.find_runs() == []


# ---------------------------------------------------------------- what every run says of itself


def test_a_run_says_where_it_ran_unless_its_owner_does(tracker: Tracker) -> None:
    # MOD-005
    assert tracker.run(lambda: None, "s").run.meta["hostname"] == os.uname().nodename
    with tracker.start_run("r", "m", hostname="node17", site="cluster"):
        pass
    run = tracker.get_run("r")
    assert run is not None
    assert (run.meta["hostname"], run.meta["site"]) == ("node17", "cluster")


def test_outside_of_git_a_run_says_what_identifies_its_code_and_why(
    tracker: Tracker, here: Path
) -> None:
    # SIG-015: nobody is forced to have git
    asked = CacheOptions(code_identity="callable_module")
    fallen = tracker.run(frame, "s", outputs=["f"]).run.meta
    assert fallen["code_identity"] == "callable_module"
    assert "not a git repository" in fallen["code_identity_fallback"]
    with tracker.trace("t"):
        pass
    block = tracker.find_runs()[0].meta
    assert "not a git repository" in block["code_identity_fallback"]
    chosen = tracker.run(frame, "s2", outputs=["f"], cache_options=asked).run.meta
    assert "code_identity_fallback" not in chosen
    with pytest.raises(CodeIdentityUnavailableError) as caught:
        tracker.run(frame, "s3", cache_options=CacheOptions(code_identity="repo_git"))
    assert caught.value.mode == "repo_git"


# ---------------------------------------------------------------- step definitions


def test_define_step_returns_the_function_itself_with_defaults_attached(tracker: Tracker) -> None:
    # RUN-058, RUN-059, RUN-060
    def step(_consist_ctx: Any) -> pd.DataFrame:
        assert _consist_ctx.run.id
        return frame()

    decorated = define_step(outputs=["f"], tags=["t"], inject_context=True, model="m")(step)
    assert decorated is step
    result = tracker.run(decorated)
    assert list(result.outputs) == ["f"]
    assert result.run.tags == ["t"]
    assert result.run.model_name == "m"


def test_the_cache_mode_of_a_step_definition_is_kept(tracker: Tracker) -> None:
    # RUN-059
    @tracker.define_step(cache_mode="overwrite")
    def step() -> None:
        return None

    assert not tracker.run(step).cache_hit
    assert not tracker.run(step).cache_hit


def test_an_argument_wins_over_the_step_definition(tracker: Tracker) -> None:
    # RUN-061
    @define_step(outputs=["from_step"], cache_mode="overwrite", tags=["from_step"])
    def step() -> pd.DataFrame:
        return frame()

    options = CacheOptions(cache_mode="reuse")
    first = tracker.run(step, outputs=["given"], tags=["given"], cache_options=options)
    second = tracker.run(step, outputs=["given"], cache_options=options)
    assert list(first.outputs) == ["given"]
    assert first.run.tags == ["given"]
    assert second.cache_hit


def test_a_default_may_be_computed_from_the_run(tracker: Tracker) -> None:
    # RUN-059
    @define_step(tags=lambda ctx: [f"year {ctx.year}"], name_template="{func_name}_{year}")
    def step() -> None:
        return None

    result = tracker.run(step, year=2030)
    assert result.run.tags == ["year 2030"]
    assert result.run.model_name == "step_2030"


def test_an_unknown_name_template_field_is_an_error_that_names_it(tracker: Tracker) -> None:
    @define_step(name_template="{nobody}")
    def step() -> None:
        return None

    with pytest.raises(ValueError, match="nobody") as caught:
        tracker.run(step)
    assert "func_name" in caught.value.__notes__[0]


# ---------------------------------------------------------------- failure


class Broken(Exception):
    """Raised by steps under test."""


def test_the_functions_own_exception_comes_out_unchanged(tracker: Tracker) -> None:
    # ERR-019, C-10
    error = Broken("boom")

    def step() -> None:
        raise error

    with pytest.raises(Broken) as caught:
        tracker.run(step, run_id="r")
    assert caught.value is error
    assert caught.value.__cause__ is None
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "failed"
    assert run.meta["error"] == "boom"
    assert run.ended_at is not None


@pytest.mark.parametrize(
    ("kind", "status"),
    [(KeyboardInterrupt, "interrupted"), (GeneratorExit, "interrupted"), (SystemExit, "failed")],
)
def test_a_function_that_is_stopped_from_outside_is_interrupted(
    tracker: Tracker, kind: type[BaseException], status: str
) -> None:
    # C-10
    def step() -> None:
        raise kind

    with pytest.raises(kind):
        tracker.run(step, run_id="r")
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == status
    assert consist.current_run() is None
    assert tracker.run(frame, outputs=["f"]).run.status == "completed"


def test_a_failed_run_keeps_what_it_logged(tracker: Tracker, here: Path) -> None:
    # CACHE-001
    def step() -> None:
        (here / "part.csv").write_text("a\n1\n")
        tracker.log_artifact("part.csv", key="part")
        raise Broken

    with pytest.raises(Broken):
        tracker.run(step, run_id="r")
    assert list(tracker.get_run_outputs("r")) == ["part"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"fn": None, "name": "x"},
        {"fn": None},
        {"fn": None, "name": "x", "execution_options": ExecutionOptions(executor="container")},
        {
            "fn": None,
            "name": "x",
            "execution_options": ExecutionOptions(executor="container", container={"image": "i"}),
        },
    ],
)
def test_a_run_without_a_function_is_an_error(tracker: Tracker, arguments: dict[str, Any]) -> None:
    # ERR-017, ERR-018
    with pytest.raises(ValueError, match=r"function|container|name"):
        tracker.run(**arguments)
    assert tracker.find_runs() == []


def test_an_unknown_executor_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match="executor"):
        tracker.run(frame, execution_options=ExecutionOptions(executor="bogus"))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CacheOptions(cache_mode="bogus"), "cache_mode"),
        (lambda: CacheOptions(cache_hydration="bogus"), "cache_hydration"),
        (lambda: CacheOptions(validate_cached_outputs="bogus"), "validate_cached_outputs"),
        (lambda: CacheOptions(code_identity="bogus"), "code_identity"),
        (lambda: OutputPolicyOptions(output_missing="bogus"), "output_missing"),
        (lambda: OutputPolicyOptions(output_mismatch="bogus"), "output_mismatch"),
        (lambda: ExecutionOptions(input_binding="bogus"), "input_binding"),
    ],
)
def test_an_unknown_option_value_is_an_error_that_names_option_and_choices(
    make: Callable[[], object], name: str
) -> None:
    # RUN-065, C-01, C-02
    with pytest.raises(ValueError, match=rf"{name}='bogus' is not one of '"):
        make()


@pytest.mark.parametrize("value", ["3", 1.5, True])
def test_a_cache_version_that_is_no_whole_number_is_an_error(value: Any) -> None:
    with pytest.raises(TypeError, match="cache_version"):
        CacheOptions(cache_version=value)


# ---------------------------------------------------------------- module-level run


def test_the_module_level_run_uses_the_tracker_in_reach(tracker: Tracker) -> None:
    # RUN-054, RUN-055, RUN-056
    with consist.use_tracker(tracker):
        result = consist.run(frame, outputs=["f"], config={"a": 1}, tags=["t"], year=2030)
    assert tracker.get_run(result.run_id) is not None
    assert (result.run.year, result.run.tags) == (2030, ["t"])


def test_use_tracker_restores_what_was_before_also_after_an_error(
    tracker: Tracker, tmp_path: Path
) -> None:
    # RUN-056
    with (
        Tracker(run_dir=tmp_path / "other") as other,
        consist.use_tracker(tracker),
    ):
        with pytest.raises(Broken), consist.use_tracker(other):
            assert consist.current_tracker() is other
            raise Broken
        assert consist.current_tracker() is tracker


def test_a_module_level_verb_without_a_tracker_is_an_error_that_names_it() -> None:
    # ERR-067
    with pytest.raises(RuntimeError, match=r"consist\.run"):
        consist.run(frame, outputs=["f"])
    with pytest.raises(RuntimeError, match="log_artifact"):
        consist.log_artifact("x", key="x")


def test_output_path_gives_a_managed_place_in_the_active_run(tracker: Tracker) -> None:
    # RUN-057
    def step() -> Path:
        out = consist.output_path("summary", ext="txt")
        out.write_text("s")
        return out

    result = tracker.run(step, outputs=["summary"])
    path = result.outputs["summary"].path
    assert path.name == "summary.txt"
    assert path.read_text() == "s"
    assert path.is_relative_to(tracker.run_dir / "outputs")


# ---------------------------------------------------------------- what is refused


LEGACY = [
    ("cache_mode", "reuse", "CacheOptions"),
    ("cache_hydration", "metadata", "CacheOptions"),
    ("cache_version", 1, "CacheOptions"),
    ("cache_epoch", 1, "CacheOptions"),
    ("validate_cached_outputs", "lazy", "CacheOptions"),
    ("code_identity", "repo_git", "CacheOptions"),
    ("code_identity_extra_deps", [], "CacheOptions"),
    ("output_missing", "warn", "OutputPolicyOptions"),
    ("output_mismatch", "warn", "OutputPolicyOptions"),
    ("inject_context", True, "ExecutionOptions"),
    ("load_inputs", True, "ExecutionOptions"),
    ("input_binding", "paths", "ExecutionOptions"),
    ("executor", "python", "ExecutionOptions"),
    ("container", {}, "ExecutionOptions"),
]


@pytest.mark.parametrize(("name", "value", "cls"), LEGACY)
@pytest.mark.parametrize("surface", ["tracker", "module", "scenario"])
def test_a_loose_policy_keyword_names_the_options_object(
    tracker: Tracker, surface: str, name: str, value: Any, cls: str
) -> None:
    # DEP-001, DEP-002, RUN-037
    with pytest.raises(TypeError, match=rf"{name}.*{cls}"):
        if surface == "tracker":
            tracker.run(frame, outputs=["f"], **{name: value})
        elif surface == "module":
            consist.run(frame, outputs=["f"], tracker=tracker, **{name: value})
        else:
            with tracker.scenario("s") as sc:
                sc.run(frame, outputs=["f"], **{name: value})
    assert tracker.find_runs(model="frame") == []


@pytest.mark.parametrize("name", ["config_plan", "hash_inputs"])
def test_config_plan_and_hash_inputs_are_refused_on_all_six_surfaces(
    tracker: Tracker, name: str
) -> None:
    # DEP-003, DEP-004
    given: dict[str, Any] = {name: []}
    with pytest.raises(TypeError, match=name):
        tracker.run(frame, **given)
    with pytest.raises(TypeError, match=name), tracker.trace("t", **given):
        pass
    with pytest.raises(TypeError, match=name):
        consist.run(frame, tracker=tracker, **given)
    with pytest.raises(TypeError, match=name), consist.trace("t", tracker=tracker, **given):
        pass
    with tracker.scenario("s") as sc:
        with pytest.raises(TypeError, match=name):
            sc.run(frame, **given)
        with pytest.raises(TypeError, match=name), sc.trace("t", **given):
            pass


def test_hash_inputs_stay_valid_on_begin_run_and_start_run(tracker: Tracker, here: Path) -> None:
    # DEP-005, DEP-013, SIG-009
    (here / "settings.yaml").write_text("a: 1")

    def hits() -> bool:
        with tracker.start_run("r", "m", hash_inputs=[("settings", "settings.yaml")]) as t:
            return t.is_cached

    assert hits() is False
    assert hits() is True
    (here / "settings.yaml").write_text("a: 2")
    assert hits() is False
    tracker.begin_run(
        "b",
        "m",
        hash_inputs=["settings.yaml"],
        cache_mode="overwrite",
        code_identity="callable_module",
        code_identity_extra_deps=["settings.yaml"],
    )
    tracker.end_run()


def test_an_unknown_keyword_is_a_type_error(tracker: Tracker) -> None:
    # SIG-028, C-11
    with pytest.raises(TypeError, match="bogus"):
        tracker.run(frame, bogus=1)  # type: ignore[call-arg]
    with (
        tracker.scenario("s") as sc,
        pytest.raises(TypeError, match="threshold"),
        sc.trace("t", threshold=0.5),  # type: ignore[call-arg]
    ):
        pass


def test_outputs_named_twice_are_an_error(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="twice"):
        tracker.run(frame, outputs=["a", "a"])
    assert tracker.find_runs() == []


@pytest.mark.parametrize("key", ["", "a b", "../x", "a//b", "-a", "x" * 257])
def test_an_invalid_output_key_is_an_error_before_anything(tracker: Tracker, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        tracker.run(frame, outputs=[key])
    assert tracker.find_runs() == []


def test_a_single_text_as_outputs_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(WrongType, match="outputs"):
        tracker.run(frame, outputs="abc")


def test_a_closed_tracker_refuses_to_run(tracker: Tracker) -> None:
    tracker.close()
    with pytest.raises(RuntimeError, match="closed"):
        tracker.run(frame, outputs=["f"])


@pytest.mark.parametrize("option", ["input_keys", "optional_input_keys"])
def test_input_keys_outside_a_scenario_are_accepted_and_deprecated(
    tracker: Tracker, raw: Path, option: str
) -> None:
    # DEP-006: in favour of inputs=
    given: dict[str, Any] = {option: ["raw.csv"]}
    with pytest.warns(DeprecationWarning, match="inputs"):
        result = tracker.run(frame, outputs=["f"], **given)
    assert [a.path for a in tracker.get_run_inputs(result.run_id).values()] == [raw]
