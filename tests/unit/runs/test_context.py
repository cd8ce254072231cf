"""The context that a step may ask for."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for

from __future__ import annotations

import copy
import functools
import os
import pickle
import typing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pandas as pd
import pytest

import consist
from consist import Artifact, ExecutionOptions, RunContext, Tracker, define_step
from consist.errors import UnknownKey
from consist.runs.bind import parameters_of

if TYPE_CHECKING:
    from decimal import Decimal

    from consist import RunContext as Ctx

INJECT = ExecutionOptions(inject_context=True)


def run(tracker: Tracker, fn: Callable[..., Any], **kwargs: Any) -> Any:
    return tracker.run(fn, run_id="r", execution_options=INJECT, **kwargs)


def test_a_context_that_nobody_asked_for_is_told_how_to_be_asked_for(tracker: Tracker) -> None:
    def named(ctx: Any) -> None: ...

    def annotated(run: RunContext) -> None: ...

    for step in (named, annotated):
        with pytest.raises(ValueError, match="gets no value for") as caught:
            tracker.run(step)
        assert "inject_context=True" in caught.value.__notes__[-1]


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


SEEN: list[Any] = []


class Model:
    def step(self, ctx: Any) -> None:
        SEEN.append(ctx)

    def __call__(self, ctx: RunContext) -> None:
        SEEN.append(ctx)


def with_optional(context: Optional[RunContext] = None) -> None:  # noqa: UP045 - as people write it
    SEEN.append(context)


def with_union(context: RunContext | None) -> None:
    SEEN.append(context)


def with_annotated(context: Annotated[RunContext, "injected"]) -> None:
    SEEN.append(context)


def with_module(context: consist.RunContext) -> None:
    SEEN.append(context)


def with_quotes(context: "RunContext") -> None:  # noqa: UP037 - a text within a text
    SEEN.append(context)


def with_what_only_type_checkers_know(rate: Decimal, here: Optional[RunContext] = None) -> None:  # noqa: UP045
    SEEN.append(here)


def with_keyword_only(*, ctx: Any) -> None:
    SEEN.append(ctx)


def with_position_only(ctx: Any, /) -> None:
    SEEN.append(ctx)


def with_any_keyword(**kwargs: Any) -> None:
    SEEN.append(kwargs["_consist_ctx"])


def with_short_and_any_keyword(ctx: Any, **kwargs: Any) -> None:
    assert kwargs == {}
    SEEN.append(ctx)


def with_position(first: int, ctx: Any) -> None:
    SEEN.append(ctx)


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "fn",
    [
        with_optional,
        with_union,
        with_annotated,
        with_module,
        with_quotes,
        with_keyword_only,
        with_position_only,
        with_any_keyword,
        with_short_and_any_keyword,
        functools.partial(with_position, 1),
        logged(with_union),
        functools.partial(logged(with_union)),
        Model().step,
        Model(),
    ],
)
def test_the_context_reaches_its_parameter_however_the_step_is_written(
    tracker: Tracker, fn: Callable[..., Any]
) -> None:
    # RUN-022, RUN-023, C-12
    SEEN.clear()
    tracker.run(fn, "step", execution_options=INJECT)
    assert [type(seen) for seen in SEEN] == [RunContext]


def test_an_annotation_that_cannot_be_evaluated_hides_no_other(tracker: Tracker) -> None:
    # C-12, C-06: `Decimal` is imported for type checkers alone
    SEEN.clear()
    tracker.run(with_what_only_type_checkers_know, config={"rate": 1}, execution_options=INJECT)
    assert [type(seen) for seen in SEEN] == [RunContext]

    def step(rate: Decimal, raw: Path | str, here: Optional[Ctx]) -> None: ...  # noqa: UP045

    assert parameters_of(step).kinds == {"rate": "any", "raw": "path", "here": "any"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Missing | RunContext", "any"),
        ("RunContext | None | Missing[", "any"),
        ("None | RunContext", "context"),
        ("typing.Optional[consist.RunContext]", "context"),
        ("Union['RunContext', None]", "context"),
        ("Annotated[RunContext, Missing()]", "context"),
        ("Optional[Path]", "path"),
        ("str | pathlib.Path", "path"),
        ("list[Path]", "any"),
        ("Artifact | None", "artifact"),
        ("str", "any"),
        ("", "any"),
    ],
)
def test_a_text_that_cannot_be_evaluated_counts_by_what_is_written(text: str, kind: str) -> None:
    # C-06, C-12
    def step(value: Any) -> None: ...

    step.__annotations__["value"] = text
    step.__globals__.pop("Missing", None)
    assert parameters_of(step).kinds == {"value": kind}


def test_a_class_of_others_that_is_called_like_ours_is_not_ours() -> None:
    # C-12: other libraries have a RunContext and an Artifact, too
    class RunContext: ...

    class Artifact: ...

    def step(a: Any, b: Any, c: Any) -> None: ...

    step.__annotations__.update(a=RunContext, b=Artifact, c=typing.Optional[RunContext])  # noqa: UP045
    assert parameters_of(step).kinds == {"a": "any", "b": "any", "c": "any"}


def test_a_step_that_has_no_place_for_the_context_is_told_before_it_runs(tracker: Tracker) -> None:
    # C-12
    def step(raw: Any = None) -> None: ...

    for run_it in (
        lambda: tracker.run(step, execution_options=INJECT),
        lambda: tracker.run(define_step(inject_context=True)(step)),
    ):
        with pytest.raises(ValueError, match="no parameter for the run context") as caught:
            run_it()
        assert "_consist_ctx" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="inject_context=5"):
        tracker.run(define_step(inject_context=5)(step))
    assert tracker.find_runs() == []


def test_the_context_does_not_take_the_place_of_what_was_given(tracker: Tracker, raw: Path) -> None:
    # C-12
    def step(ctx: Any) -> None: ...

    for given in ({"inputs": {"ctx": raw}}, {"runtime_kwargs": {"ctx": 1}}):
        with pytest.raises(ValueError, match="ctx: both the run context and"):
            tracker.run(step, execution_options=INJECT, **given)


def test_a_config_key_does_not_take_the_place_of_the_context(tracker: Tracker) -> None:
    # C-12
    seen = []

    def step(ctx: RunContext, config: Any) -> None:
        seen.append((type(ctx), config["ctx"]))

    run(tracker, step, config={"ctx": 1})
    assert seen == [(RunContext, 1)]


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
    ctx = kept[0]
    uses: dict[str, Callable[[], Any]] = {
        "inputs": lambda: ctx.inputs,
        "run_dir": lambda: ctx.run_dir,
        "output_dir": ctx.output_dir,
        "output_path": lambda: ctx.output_path("k"),
        "load": lambda: ctx.load("k"),
        "log_artifact": lambda: ctx.log_artifact("x", "k"),
        "log_artifacts": lambda: ctx.log_artifacts({}),
        "log_input": lambda: ctx.log_input("x", "k"),
        "log_output": lambda: ctx.log_output("x", "k"),
        "log_meta": lambda: ctx.log_meta(a=1),
        "capture_outputs": lambda: ctx.capture_outputs("x").__enter__(),
    }
    for name, use in uses.items():
        with pytest.raises(RuntimeError, match=rf"RunContext\.{name}\b") as caught:
            use()
        assert "'r' has ended" in caught.value.__notes__[0]
    assert ctx.run.id == "r"


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


def test_folders_and_loads_of_the_context_follow_the_run_of_a_scenario(
    tracker: Tracker, raw: Path
) -> None:
    # CTX-001: an artifact_dir of the run comes before the name by year and iteration
    seen = []

    def step(ctx: RunContext) -> None:
        seen.append(ctx.run_dir)
        assert ctx.output_dir() == ctx.run_dir

    with tracker.scenario("s") as sc:
        for n in range(2):
            sc.run(step, year=2030, iteration=1, config={"n": n}, execution_options=INJECT)
    base = tracker.run_dir / "outputs" / "s" / "step" / "year_2030"
    assert seen == [base / "iteration_1", base / "iteration_1~2"]


@pytest.mark.parametrize("namespace", ["..", "../x", "/x", "a/../../x"])
def test_an_output_folder_cannot_leave_that_of_the_run(tracker: Tracker, namespace: str) -> None:
    # CTX-004
    def step(ctx: RunContext) -> None:
        ctx.output_dir(namespace)

    with pytest.raises(ValueError, match="outside"):
        run(tracker, step)


def test_keys_with_dots_keep_them(tracker: Tracker) -> None:
    # CTX-005, CTX-006
    def step(ctx: RunContext) -> None:
        assert ctx.output_path("v1.2", "csv").name == "v1.2.csv"
        assert ctx.output_path("a", ext="").name == "a"
        assert ctx.output_path("a", ext="..GEO.Json").name == "a.geo.json"

    run(tracker, step)


def test_the_context_means_its_own_run_inside_another(tracker: Tracker, raw: Path) -> None:
    # CTX-009: the inner run gets nothing, and stays the active one
    def inner(outer: RunContext, ctx: RunContext) -> None:
        outer.log_meta(from_inner=True)
        outer.log_output(raw, key="of_outer")
        with outer.capture_outputs(outer.output_dir("c")):
            (outer.run_dir / "c" / "captured.csv").write_text("a\n1\n")
        ctx.log_meta(own=True)
        tracker.log_output(raw, key="of_inner")
        assert len(outer.load(outer.inputs["table"]).df()) == 3

    def outer(ctx: RunContext) -> None:
        options = ExecutionOptions(inject_context="ctx", runtime_kwargs={"outer": ctx})
        tracker.run(inner, run_id="inner", execution_options=options)

    result = run(tracker, outer, inputs={"table": raw})
    assert set(tracker.get_run_outputs("r")) == {"of_outer", "captured"}
    assert set(tracker.get_run_outputs("inner")) == {"of_inner"}
    assert result.run.meta["from_inner"] is True
    assert "from_inner" not in tracker.get_run("inner").meta  # type: ignore[union-attr]


def test_the_context_serves_threads_of_a_step_while_other_steps_run(tracker: Tracker) -> None:
    # CTX-009, G-22: without it, nobody could tell which of the two is meant
    def step(n: int, ctx: RunContext) -> None:
        def work(part: int) -> None:
            path = ctx.output_path(f"part{part}", "csv")
            path.write_text(f"n\n{n}\n")
            ctx.log_output(path, key=f"part{part}")

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(work, range(4)))

    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(lambda n: tracker.run(step, config={"n": n}, execution_options=INJECT), (1, 2))
        )
    for n, result in enumerate(results, 1):
        assert set(result.outputs) == {f"part{part}" for part in range(4)}
        values = {tracker.load_df(a)["n"].item() for a in result.outputs.values()}
        assert values == {n}


def test_a_context_cannot_be_sent_to_another_process(tracker: Tracker) -> None:
    # CTX-009
    def step(ctx: RunContext) -> None:
        for send in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="RunContext") as caught:
                send(ctx)
            assert "ctx.output_path" in caught.value.__notes__[0]

    run(tracker, step)


# ---------------------------------------------------------------- capturing


def captured(tracker: Tracker, fill: Callable[[Path], None], **options: Any) -> list[str]:
    def step(ctx: RunContext) -> None:
        folder = ctx.output_dir("legacy")
        (folder / "there.csv").write_text("a\n1\n")
        (folder / "gone.csv").write_text("a\n1\n")
        with ctx.capture_outputs(folder, **options):
            fill(folder)

    return sorted(run(tracker, step).outputs)


def test_a_file_that_is_rewritten_in_the_same_second_and_size_is_captured(tracker: Tracker) -> None:
    # CTX-010
    def fill(folder: Path) -> None:
        status = (folder / "there.csv").stat()
        (folder / "there.csv").write_text("a\n2\n")
        os.utime(folder / "there.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
        (folder / "gone.csv").unlink()

    assert captured(tracker, fill) == ["there"]


def test_files_of_nested_folders_are_captured_where_that_is_asked_for(tracker: Tracker) -> None:
    # CTX-010, CTX-011
    def fill(folder: Path) -> None:
        for name in ("a/x.csv", "b/x.csv", "y.csv"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("a\n1\n")

    assert captured(tracker, fill) == ["y"]
    assert captured(tracker, fill, pattern="*.csv", recursive=True) == ["a/x", "b/x", "y"]


def test_what_a_failing_block_wrote_is_logged_and_its_error_is_the_one_that_counts(
    tracker: Tracker,
) -> None:
    # CTX-010
    def fill(folder: Path) -> None:
        (folder / "partial.csv").write_text("a\n1\n")
        raise OSError("the licence has expired")

    def fill_badly(folder: Path) -> None:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        folder.write_text("no folder any more")
        raise OSError("the licence has expired")

    for number, broken in enumerate((fill, fill_badly), 1):
        with pytest.raises(OSError, match="licence"):
            captured(tracker, broken)
        found = tracker.get_run(f"r~{number}")
        assert found is not None
        assert found.status == "failed"
        assert found.meta.get("partial_outputs", []) == (["partial"] if broken is fill else [])


def test_a_run_that_ends_inside_of_a_capture_has_missed_its_files(tracker: Tracker) -> None:
    # ERR-016
    tracker.begin_run("r", "m")
    folder = tracker.output_dir("c")

    def capture() -> None:
        with tracker.capture_outputs(folder):
            (folder / "late.csv").write_text("a\n1\n")
            tracker.end_run()

    with pytest.raises(RuntimeError, match="capture_outputs"):
        capture()
    assert tracker.get_run_outputs("r") == {}
