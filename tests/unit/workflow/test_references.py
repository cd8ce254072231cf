"""Pointing at outputs of earlier runs, in every form."""

# ruff: noqa: ARG005 - every form is asked of the same two results

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import ExecutionOptions, RunResult, Tracker, ref, refs
from consist.noop import create_tracker


def both() -> dict[str, pd.DataFrame]:
    return {"a": pd.DataFrame({"n": [1]}), "b": pd.DataFrame({"n": [2]})}


@pytest.fixture
def one(tracker: Tracker) -> RunResult:
    return tracker.run(lambda: pd.DataFrame({"n": [0]}), "one", outputs=["only"])


@pytest.fixture
def two(tracker: Tracker) -> RunResult:
    return tracker.run(both, "two", outputs=["a", "b"])


def keys(found: dict[str, Any]) -> dict[str, str]:
    return {name: artifact.key for name, artifact in found.items()}


# ---------------------------------------------------------------- forms


def test_every_form_gives_what_it_says(one: RunResult, two: RunResult) -> None:
    # SCN-043, SCN-021
    assert ref(one) is one.outputs["only"]
    assert ref(two, key="b") is ref(two, "b") is two.outputs["b"]
    assert keys(refs()) == {}
    assert keys(refs(two)) == {"a": "a", "b": "b"}
    assert keys(refs(two, "b", "a")) == {"b": "b", "a": "a"}
    assert keys(refs(two, {"x": "a", "y": "a"})) == {"x": "a", "y": "a"}
    assert keys(refs(two, "b", {"x": "a"})) == {"b": "b", "x": "a"}
    assert keys(refs((one, "only"), (two, "a"))) == {"only": "only", "a": "a"}
    assert keys(refs(x=(two, "a"), y=one)) == {"x": "a", "y": "only"}
    assert keys(refs(two, "a", x=one, y=(two, "b"))) == {"a": "a", "x": "only", "y": "b"}
    assert keys(refs((two, "a"), x=one)) == {"a": "a", "x": "only"}


@pytest.mark.parametrize(
    "wrong",
    [
        refs,
        lambda one, two: refs(one, (two, "a")),
        lambda one, two: refs((two, "a"), one),
        lambda one, two: refs((two, "a", "b")),
        lambda one, two: refs((two,)),
        lambda one, two: refs(("a", two)),
        lambda one, two: refs(two, ["a"]),
        lambda one, two: refs(two, 5),
        lambda one, two: refs(two, {"x": 5}),
        lambda one, two: refs(x=(two, "a", "b")),
        lambda one, two: refs(x="a"),
        lambda one, two: refs("a", "b"),
        lambda one, two: refs(None),
        lambda one, two: ref(two, 5),
        lambda one, two: ref(one.output),
        lambda one, two: ref("only"),
    ],
)
def test_what_is_none_of_the_forms_is_told_so(
    wrong: Callable[[Any, Any], Any], one: RunResult, two: RunResult
) -> None:
    # SCN-043
    with pytest.raises(consist.errors.WrongType):
        wrong(one, two)


@pytest.mark.parametrize(
    ("ambiguous", "named"),
    [
        (lambda one, two: ref(two), "a, b"),
        (lambda one, two: refs(x=two), "a, b"),
        (lambda one, two: refs(two, "a", "a"), "'a' twice"),
        (lambda one, two: refs(two, "a", {"a": "b"}), "'a' twice"),
        (lambda one, two: refs(two, {"a": "b"}, "a"), "'a' twice"),
        (lambda one, two: refs(two, a=one), "'a' twice"),
        (lambda one, two: refs(two, {5: "a"}), "5"),
        (lambda one, two: refs(two, {"no good": "a"}), "no good"),
    ],
)
def test_what_could_mean_several_things_is_a_value_error(
    ambiguous: Callable[[Any, Any], Any], named: str, one: RunResult, two: RunResult
) -> None:
    # SCN-043
    with pytest.raises(ValueError, match=named):
        ambiguous(one, two)


def test_an_output_that_is_not_there_is_a_key_error_that_names_those_that_are(
    two: RunResult,
) -> None:
    # SCN-043
    for asked in (lambda: ref(two, "c"), lambda: refs(two, "c"), lambda: refs((two, "c"))):
        with pytest.raises(KeyError, match=r"'c'.*a, b"):
            asked()


def test_a_run_without_outputs_has_none_to_point_at(tracker: Tracker) -> None:
    result = tracker.run(lambda: None, "nothing")
    assert refs(result) == {}
    with pytest.raises(ValueError, match="no outputs"):
        ref(result)


# ---------------------------------------------------------------- as inputs


def total(a: Any, b: Any) -> pd.DataFrame:
    if isinstance(a, Path):
        a, b = pd.read_parquet(a), pd.read_parquet(b)
    return pd.DataFrame({"n": [a["n"].sum() + b["n"].sum()]})


@pytest.mark.parametrize("binding", ["loaded", "paths"])
def test_references_are_inputs_of_runs_and_steps_after_misses_and_hits(
    tracker: Tracker, binding: str
) -> None:
    # SCN-021, SCN-043
    options = ExecutionOptions(input_binding=binding)
    signatures = set()
    for _ in range(2):
        made = tracker.run(both, "two", outputs=["a", "b"])
        inputs = refs(made, {"a": "b", "b": "a"})
        with consist.use_tracker(tracker):
            plain = consist.run(total, inputs=inputs, outputs=["t"], execution_options=options)
        with tracker.scenario("s") as sc:
            step = sc.run(
                total,
                inputs=refs(a=(made, "b"), b=(made, "a")),
                outputs=["t"],
                execution_options=options,
            )
            with sc.trace("look", inputs=refs(step)):
                tracker.log_meta(seen=True)
        signatures.update({plain.signature, step.signature})
        assert tracker.load_df(step.output)["n"].tolist() == [3]
        assert set(tracker.get_run_inputs(plain.run_id)) == {"a", "b"}
    assert made.cache_hit
    assert step.cache_hit
    assert len(signatures) == 1


def test_references_work_where_tracking_is_disabled(tmp_path: Path) -> None:
    tracker = create_tracker(enabled=False, run_dir=tmp_path)
    made = tracker.run(both, "two", outputs=["a", "b"])
    result = tracker.run(total, inputs=refs(made), outputs=["t"])
    assert pd.read_parquet(ref(result).path)["n"].tolist() == [3]


def test_a_result_of_many_outputs_is_pointed_at_in_linear_time(tracker: Tracker) -> None:
    def many(_consist_ctx: consist.RunContext) -> None:
        folder = _consist_ctx.output_dir()
        for n in range(300):
            (folder / f"f{n}.txt").write_text("x")
        _consist_ctx.log_artifacts({f"k{n}": folder / f"f{n}.txt" for n in range(300)})

    result = tracker.run(many, execution_options=ExecutionOptions(inject_context=True))
    assert len(refs(result)) == 300
    with pytest.raises(ValueError, match="and 280 more"):
        ref(result)
