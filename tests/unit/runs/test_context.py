"""The context that a step may ask for."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from consist import Artifact, ExecutionOptions, RunContext, Tracker
from consist.errors import UnknownKey

INJECT = ExecutionOptions(inject_context=True)


def run(tracker: Tracker, fn: Callable[..., Any], **kwargs: Any) -> Any:
    return tracker.run(fn, run_id="r", execution_options=INJECT, **kwargs)


@pytest.mark.parametrize("name", ["_consist_ctx", "ctx"])
def test_the_context_is_passed_under_its_usual_names(tracker: Tracker, name: str) -> None:
    # RUN-022, RUN-023, C-12
    seen: list[Any] = []
    namespace: dict[str, Any] = {"seen": seen}
    exec(f"def step({name}):\n    seen.append({name})", namespace)
    wrapped = namespace["step"]

    def with_usual(_consist_ctx: Any) -> None:
        wrapped(_consist_ctx)

    def with_short(ctx: Any) -> None:
        wrapped(ctx)

    run(tracker, with_usual if name == "_consist_ctx" else with_short)
    assert isinstance(seen[0], RunContext)


def test_the_context_is_passed_to_the_parameter_of_its_type(tracker: Tracker) -> None:
    # C-12
    seen = []

    def step(context: RunContext) -> None:
        seen.append(context)

    run(tracker, step)
    assert isinstance(seen[0], RunContext)


def test_the_context_is_passed_under_the_name_given(tracker: Tracker) -> None:
    # C-12
    seen = []

    def step(here: Any) -> None:
        seen.append(here)

    tracker.run(step, execution_options=ExecutionOptions(inject_context="here"))
    assert isinstance(seen[0], RunContext)


def test_a_context_name_that_the_function_does_not_have_is_an_error(tracker: Tracker) -> None:
    # C-12
    with pytest.raises(ValueError, match="'there'"):
        tracker.run(
            lambda here: None, "s", execution_options=ExecutionOptions(inject_context="there")
        )


def test_the_folders_of_the_context_are_those_of_the_run(tracker: Tracker) -> None:
    # CTX-001, CTX-003, CTX-004, CTX-005, CTX-006, CTX-007
    def step(_consist_ctx: RunContext) -> None:
        ctx = _consist_ctx
        base = ctx.output_dir()
        assert base == ctx.run_dir == tracker.run_artifact_dir()
        assert base.is_absolute()
        assert base.is_dir()
        assert ctx.output_dir("sub") == base / "sub"
        assert (base / "sub").is_dir()
        assert ctx.output_path("key") == base / "key.parquet"
        nested = ctx.output_path("a/b", ext=".CSV")
        assert nested == base / "a" / "b.csv"
        assert nested.parent.is_dir()
        assert ctx.output_path("a/b", ext=".CSV") == nested

    run(tracker, step)


def test_the_folder_of_the_context_follows_a_function_that_names_it(tracker: Tracker) -> None:
    # CTX-001
    tracker.set_run_subdir_fn(lambda run: "mine")

    def step(_consist_ctx: RunContext) -> None:
        assert _consist_ctx.run_dir == tracker.run_dir / "outputs" / "mine"

    run(tracker, step)


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", ""])
def test_an_output_path_cannot_leave_the_folder(tracker: Tracker, key: str) -> None:
    def step(_consist_ctx: RunContext) -> None:
        _consist_ctx.output_path(key)

    with pytest.raises(ValueError, match=r"outside|segment"):
        run(tracker, step)


def test_inputs_are_there_by_the_name_they_were_given(tracker: Tracker, raw: Path) -> None:
    # CTX-002, CTX-008
    def step(_consist_ctx: RunContext) -> None:
        inputs = _consist_ctx.inputs
        assert list(inputs) == ["table"]
        assert isinstance(inputs["table"], Artifact)
        loaded = _consist_ctx.load("table")
        assert len(loaded.df()) == 3
        assert len(_consist_ctx.load(inputs["table"]).df()) == 3
        with pytest.raises(UnknownKey, match=r"'nothing'.*table"):
            _consist_ctx.load("nothing")

    run(tracker, step, inputs={"table": raw})


def test_the_context_is_of_no_use_after_the_run(tracker: Tracker) -> None:
    # ERR-058
    kept: list[RunContext] = []

    def step(_consist_ctx: RunContext) -> None:
        kept.append(_consist_ctx)

    run(tracker, step)
    with pytest.raises(RuntimeError, match="inputs"):
        _ = kept[0].inputs


def test_logging_through_the_context_is_logging_into_the_run(tracker: Tracker, raw: Path) -> None:
    # CTX-009, CTX-012
    def step(_consist_ctx: RunContext) -> None:
        ctx = _consist_ctx
        for key in ("a", "b", "c"):
            (ctx.run_dir / f"{key}.csv").write_text("a\n1\n")
        ctx.log_output(ctx.run_dir / "a.csv", key="a", note="n")
        ctx.log_artifact(ctx.run_dir / "b.csv", "b")
        ctx.log_artifacts({"c": ctx.run_dir / "c.csv"})
        ctx.log_input(raw, key="late")
        ctx.log_meta(score=0.5)

    result = run(tracker, step)
    assert set(result.outputs) == {"a", "b", "c"}
    assert result.outputs["a"].meta["note"] == "n"
    assert list(tracker.get_run_inputs("r")) == ["late"]
    assert result.run.meta["score"] == 0.5


def test_captured_files_are_logged_by_stem_when_the_block_ends(tracker: Tracker) -> None:
    # CTX-010, CTX-011
    def step(_consist_ctx: RunContext) -> None:
        folder = _consist_ctx.run_dir / "legacy"
        with _consist_ctx.capture_outputs(folder, pattern="*.csv") as captured:
            folder.mkdir()
            pd.DataFrame({"a": [1]}).to_csv(folder / "results.csv", index=False)
            (folder / "log.txt").write_text("no")
            assert captured.artifacts == []
        assert [a.key for a in captured.artifacts] == ["results"]

    assert list(run(tracker, step).outputs) == ["results"]
