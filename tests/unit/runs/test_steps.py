"""Defaults that a step function carries: every field, given or computed, and who wins."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

import consist
from consist import CacheOptions, ExecutionOptions, StepContext, Tracker, define_step


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


def test_every_field_is_a_default_of_run(tracker: Tracker, raw: Path, here: Path) -> None:
    # RUN-058, RUN-059
    parameters = here / "parameters.yaml"
    parameters.write_text("speed: 3")

    @define_step(
        model="demand",
        description="cleans",
        outputs=["clean"],
        inputs={"raw": raw},
        config={"threshold": 0.5, "mode": "fast"},
        identity_inputs=[("parameters", parameters)],
        facet={"own": 1},
        facet_from=["mode"],
        facet_schema_version=2,
        facet_index=False,
        cache_version=7,
        validate_cached_outputs="eager",
        code_identity="callable_source",
        tags=["nightly"],
        owner="me",
    )
    def clean(raw: pd.DataFrame, threshold: float) -> pd.DataFrame:
        return raw[raw["value"] > threshold]

    result = tracker.run(clean)
    run = result.run
    assert (run.model_name, run.description, run.tags) == ("demand", "cleans", ["nightly"])
    assert tracker.load_df(result.outputs["clean"])["value"].tolist() == [0.6, 0.9]
    assert run.meta["cache_version"] == 7
    assert run.meta["code_identity"] == "callable_source"
    assert list(run.meta["consist_hash_inputs"]) == ["parameters"]
    assert tracker.get_run_config(run.id) == {"threshold": 0.5, "mode": "fast"}
    record = tracker.get_run_record(run.id)
    assert record is not None
    assert record.facet == {"own": 1, "mode": "fast"}
    facets = tracker.run_query(text("SELECT schema_version FROM config_facet"))
    assert [tuple(row) for row in facets] == [("2",)]
    assert tracker.run(clean).cache_hit
    result.outputs["clean"].path.unlink()
    assert not tracker.run(clean).cache_hit  # eager
    parameters.write_text("speed: 4")
    assert not tracker.run(clean).cache_hit


def test_every_field_may_be_computed_from_the_run_to_be(tracker: Tracker, here: Path) -> None:
    # RUN-059
    seen: list[StepContext] = []

    def tags(context: StepContext) -> list[str]:
        seen.append(context)
        return [f"{context.model}-{context.year}"]

    @define_step(
        model=lambda ctx: f"{ctx.func_name}_model",
        name_template=lambda ctx: "{model}_{iteration}" if ctx.year else "other",
        description=lambda ctx: f"stage {ctx.stage}, phase {ctx.phase}",
        config=lambda ctx: {"scale": ctx.require_runtime("scale")},
        output_paths=lambda ctx: {"k": ctx.consist_workspace / f"{ctx.year}.csv"},
        cache_mode=lambda ctx: "overwrite" if ctx.get_runtime("force", False) else "reuse",
        tags=tags,
    )
    def step(scale: int, settings: dict[str, Any], force: bool = False) -> None:
        table(scale).to_csv(tracker.run_dir / "2030.csv", index=False)

    def once(**more: Any) -> consist.RunResult:
        runtime = {"scale": 2, "settings": {"a": 1}, **more}
        fields: dict[str, Any] = {"year": 2030, "iteration": 4, "stage": "s", "phase": "p"}
        return tracker.run(step, runtime_kwargs=runtime, **fields)

    run = once().run
    assert run.id.startswith("step_model_4_")
    assert (run.model_name, run.description) == ("step_model", "stage s, phase p")
    assert run.tags == ["step_model-2030"]
    assert tracker.get_run_config(run.id) == {"scale": 2}
    assert list(tracker.get_run_outputs(run.id)) == ["k"]
    assert once().cache_hit
    assert not once(force=True).cache_hit
    context = seen[0]
    assert context.runtime_settings == {"a": 1}
    assert context["runtime_settings"] == {"a": 1}
    assert context["scale"] == 2
    assert (context.get("year"), context.get("nobody", 5), context.get("model")) == (
        2030,
        5,
        "step_model",
    )
    assert context.runtime_workspace is None
    assert context.get("runtime_state", "none") == "none"
    assert context.consist_settings.max_metadata_items == 200
    assert context.consist_state is None
    with pytest.raises(KeyError):
        context["nobody"]


def test_a_computed_default_that_needs_a_runtime_argument_says_which(tracker: Tracker) -> None:
    @define_step(tags=lambda ctx: [ctx.require_runtime("label")])
    def step() -> None: ...

    with pytest.raises(ValueError, match=r"'step'.*'label'"):
        tracker.run(step)
    assert tracker.find_runs() == []


def test_old_names_of_runtime_arguments_warn(tracker: Tracker) -> None:
    @define_step(tags=lambda ctx: [str(ctx.settings), str(ctx.workspace), str(ctx.state)])
    def step(settings: int) -> None: ...

    with pytest.warns(DeprecationWarning, match="use runtime_") as caught:
        result = tracker.run(step, runtime_kwargs={"settings": 1})
    assert result.run.tags == ["1", "None", "None"]
    assert {str(w.filename) for w in caught} == {__file__}


def test_a_computed_default_sees_the_run_it_belongs_to(tracker: Tracker) -> None:
    @define_step(tags=lambda ctx: [ctx.consist_state.id, *ctx.consist_state.tags])
    def step() -> None: ...

    with tracker.scenario("base", tags=["nightly"]) as sc:
        result = sc.run(step)
    assert result.run.tags == ["base", "nightly", "scenario_header"]


def test_arguments_win_over_defaults_and_defaults_over_the_built_in_ones(
    tracker: Tracker, raw: Path
) -> None:
    # RUN-061
    @define_step(
        model="from_step",
        name_template="from_step",
        description="from step",
        config={"n": 1},
        tags=["from_step"],
        cache_mode="overwrite",
        inject_context="context",
        input_binding="paths",
    )
    def step(config: Any, context: Any, raw: Any = None) -> None:
        step.seen = (config, raw)  # type: ignore[attr-defined]

    run = tracker.run(step, inputs={"raw": raw}).run
    assert (run.model_name, run.description, run.tags) == ("from_step", "from step", ["from_step"])
    assert step.seen == ({"n": 1}, raw)
    result = tracker.run(
        step,
        "given",
        model="given",
        description="given",
        config={"n": 2},
        tags=["given"],
        inputs={"raw": raw},
        cache_options=CacheOptions(cache_mode="reuse"),
        execution_options=ExecutionOptions(input_binding="loaded"),
    )
    run = result.run
    assert run.id.startswith("given_")
    assert (run.model_name, run.description, run.tags) == ("given", "given", ["given"])
    config, loaded = step.seen
    assert config == {"n": 2}
    assert isinstance(loaded, pd.DataFrame)


def test_an_invalid_default_is_the_same_error_as_an_invalid_argument(tracker: Tracker) -> None:
    @define_step(cache_mode="sometimes")
    def step() -> None: ...

    with pytest.raises(ValueError, match=r"cache_mode.*'sometimes'"):
        tracker.run(step)


@pytest.mark.parametrize(
    "default",
    [
        {"input_binding": "by magic"},
        {"code_identity": "guess"},
        {"validate_cached_outputs": "sometimes"},
        {"cache_hydration": "none"},
        {"outputs": "one_text"},
        {"tags": "one text"},
        {"cache_version": "new"},
    ],
)
def test_a_default_that_means_nothing_is_an_error_that_names_it(
    tracker: Tracker, default: dict[str, Any]
) -> None:
    @define_step(**default)
    def step() -> None: ...

    with pytest.raises((ValueError, TypeError), match=next(iter(default))):
        tracker.run(step)
    assert tracker.find_runs() == []


def test_a_partial_of_a_step_keeps_its_defaults(tracker: Tracker) -> None:
    @consist.require_runtime_kwargs("scale")
    @define_step(outputs=["k"], model="m")
    def step(n: int, scale: int) -> pd.DataFrame:
        return table(n * scale)

    bound = partial(step, 3)
    result = tracker.run(bound, runtime_kwargs={"scale": 2})
    assert result.run.model_name == "m"
    assert tracker.load_df(result.outputs["k"])["a"].tolist() == [6]
    with pytest.raises(ValueError, match=r"'step'.*scale"):
        tracker.run(bound)


def test_input_keys_of_a_step_come_from_the_coupler(tracker: Tracker, raw: Path) -> None:
    @define_step(outputs=["clean"])
    def prepare() -> pd.DataFrame:
        return table(1, 2)

    @define_step(input_keys=["clean"], optional_input_keys=["extra"], outputs=["total"])
    def total(clean: pd.DataFrame, extra: pd.DataFrame | None = None) -> pd.DataFrame:
        assert extra is None
        return table(int(clean["a"].sum()))

    with tracker.scenario("base") as sc:
        sc.run(prepare)
        result = sc.run(total)
        assert tracker.load_df(result.outputs["total"])["a"].tolist() == [3]
        with pytest.raises(KeyError, match="clean"):
            sc.run(define_step(input_keys=["missing"])(lambda missing: missing), "s")


def test_inputs_of_a_step_come_from_the_coupler_too(tracker: Tracker) -> None:
    @define_step(outputs=["clean"])
    def prepare() -> pd.DataFrame:
        return table(1, 2)

    @define_step(inputs=["clean"], input_binding="loaded")
    def total(clean: pd.DataFrame) -> None:
        assert clean["a"].tolist() == [1, 2]

    with tracker.scenario("base") as sc:
        sc.run(prepare)
        result = sc.run(total)
    assert list(tracker.get_run_inputs(result.run_id)) == ["clean"]


def test_input_keys_of_a_step_outside_of_scenarios_are_inputs_or_paths(
    tracker: Tracker, raw: Path
) -> None:
    # DEP-006
    @define_step(input_keys=["raw", "raw.csv"], optional_input_keys=["nowhere.csv"])
    def step(raw: pd.DataFrame) -> None:
        assert len(raw) == 3

    result = tracker.run(step, inputs={"raw": raw})
    assert set(tracker.get_run_inputs(result.run_id)) == {"raw"}
    with pytest.raises(FileNotFoundError, match="gone"):
        tracker.run(define_step(input_keys="gone.csv")(lambda: None), "s")


def test_a_runtime_argument_without_a_parameter_is_an_error_before_the_run(
    tracker: Tracker,
) -> None:
    def step(scale: int) -> None: ...

    with pytest.raises(ValueError, match=r"'step' has no parameter for runtime 'scalle'") as caught:
        tracker.run(step, runtime_kwargs={"scale": 1, "scalle": 2})
    assert caught.value.__notes__ == ["its parameters are scale"]
    assert tracker.find_runs() == []
    tracker.run(lambda **anything: None, "s", runtime_kwargs={"scalle": 2})  # noqa: ARG005
