"""What a scenario and its steps may be given, and the errors for everything else."""

from __future__ import annotations

import inspect
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import CacheOptions, Coupler, OutputPolicyOptions, Tracker, define_step
from consist.errors import ConsistError, UnknownInput
from consist.noop import NoopTracker
from consist.runs import trace as runs_trace
from consist.workflow.scenario import ScenarioContext


class Broken(Exception):
    """Raised by code under test."""


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


# ---------------------------------------------------------------- defaults of steps


def facet_of(tracker: Tracker, run_id: str) -> Any:
    record = tracker.get_run_record(run_id)
    assert record is not None
    return record.facet


def test_tags_of_steps_are_the_default_and_are_replaced_by_a_steps_own(tracker: Tracker) -> None:
    @define_step(tags=["defined"])
    def defined() -> None:
        return None

    with tracker.scenario("s", tags=["header"], step_tags=["a", "b"]) as sc:
        assert sc.run(one, outputs=["f"]).run.tags == ["a", "b"]
        assert sc.run(one, "own", tags=["c"], outputs=["f"]).run.tags == ["c"]
        assert sc.run(one, "none", tags=[], outputs=["f"]).run.tags == []
        assert sc.run(defined).run.tags == ["defined"]
        with sc.trace("t", run_id="t"):
            pass
    assert tracker.find_run(id="t").tags == ["a", "b"]
    assert tracker.find_run(id="s").tags == ["header", "scenario_header"]
    assert len(tracker.find_runs(tags=["a"])) == 2


@dataclass
class Config:
    """A config that has a facet of its own."""

    rate: float = 0.5

    def to_consist_facet(self) -> dict[str, float]:
        return {"rate": self.rate}


def test_the_facet_of_steps_is_for_those_that_say_nothing_of_facets(tracker: Tracker) -> None:
    @define_step(facet={"defined": 1})
    def defined() -> None:
        return None

    with tracker.scenario("s", step_facet={"study": "north"}) as sc:
        plain = sc.run(one, outputs=["f"])
        own = sc.run(one, "own", facet={"x": 1}, outputs=["f"])
        of_config = sc.run(one, "c", config={"k": 2}, facet_from=["k"], outputs=["f"])
        by_step = sc.run(defined)
        of_model = sc.run(one, "m", config=Config(), outputs=["f"])
        with sc.trace("t", run_id="t"):
            pass
    assert facet_of(tracker, plain.run_id) == facet_of(tracker, "t") == {"study": "north"}
    assert facet_of(tracker, own.run_id) == {"x": 1}
    assert facet_of(tracker, of_config.run_id) == {"k": 2}
    assert facet_of(tracker, by_step.run_id) == {"defined": 1}
    assert facet_of(tracker, of_model.run_id) == {"rate": 0.5}
    assert facet_of(tracker, "s") == {}
    by_facet = tracker.find_runs(parent_id="s", index_by="facet.study")
    assert list(by_facet) == ["north"]


def test_the_defaults_of_steps_do_not_count_for_their_identity(tracker: Tracker) -> None:
    for tag, hit in (("a", False), ("b", True)):
        with tracker.scenario("s", step_tags=[tag], step_facet={"t": tag}) as sc:
            result = sc.run(one, outputs=["f"])
        assert result.cache_hit is hit
        assert result.run.tags == [tag]
        assert facet_of(tracker, result.run_id) == {"t": tag}


# ---------------------------------------------------------------- errors of arguments


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name of a scenario"),
    ({"name": None}, "name of a scenario"),
    ({"name": "s~2"}, "attempt"),
    ({"config": 5}, "config is an int"),
    ({"config": {1: 2}}, "config"),
    ({"config": {"x": object()}}, "'x'|x"),
    ({"tags": "text"}, "tags='text'"),
    ({"tags": [5]}, "tag 5"),
    ({"model": ""}, "model"),
    ({"step_cache_hydration": "bogus"}, "step_cache_hydration='bogus'"),
    ({"name_template": "{nonsense}"}, "nonsense"),
    ({"name_template": 5}, "name_template"),
    ({"cache_epoch": "1"}, "cache_epoch='1'"),
    ({"coupler": {}}, "coupler is a dict"),
    ({"require_outputs": "text"}, "require_outputs='text'"),
    ({"require_outputs": ["bad key"]}, "bad key"),
    ({"step_tags": "text"}, "step_tags='text'"),
    ({"step_facet": 5}, "step_facet"),
    ({"join": "no"}, "join='no'"),
    ({"year": "2030"}, "year='2030'"),
    ({"description": 5}, "description"),
    ({"facet_from": ["k"]}, "facet_from"),
    ({"note": object()}, "note"),
    ({"cache_mode": "bogus"}, "'cache_mode'"),
    ({"cache_hydration": "metadata"}, "'cache_hydration'"),
    ({"inputs": ["f"]}, "'inputs'"),
    ({"outputs": ["f"]}, "'outputs'"),
    ({"run_id": "x"}, "'run_id'"),
    ({"runtime_kwargs": {}}, "'runtime_kwargs'"),
    ({"output_missing": "error"}, "'output_missing'"),
    ({"executor": "python"}, "'executor'"),
    ({"load_inputs": True}, "'load_inputs'"),
    ({"hash_inputs": []}, "'hash_inputs'"),
]


@pytest.mark.parametrize(
    ("given", "named"), BAD, ids=[f"{n}-{next(iter(g))}" for n, (g, _) in enumerate(BAD)]
)
def test_what_a_scenario_cannot_be_given_is_one_error_before_anything(
    tracker: Tracker, given: dict[str, Any], named: str
) -> None:
    with (
        pytest.raises((ValueError, TypeError, KeyError), match=named) as caught,
        tracker.scenario(**{"name": "s", **given}) as sc,
    ):
        sc.run(one, outputs=["f"])
    assert isinstance(caught.value, ConsistError)
    assert tracker.find_runs() == []
    assert not (tracker.run_dir / "consist_runs").exists()


@pytest.mark.parametrize("option", ["inputs", "outputs", "run_id", "cache_hydration", "cache_mode"])
def test_an_option_of_steps_says_where_it_belongs(tracker: Tracker, option: str) -> None:
    with pytest.raises(TypeError, match=option) as caught:
        tracker.scenario("s", **{option: "x"})
    assert caught.value.__notes__


def test_metadata_of_a_scenario_are_free(tracker: Tracker) -> None:
    # SCN-006
    with tracker.scenario("s", weather="dry", years=[2030], steps_planned=3):
        pass
    meta = tracker.find_run(id="s").meta
    assert (meta["weather"], meta["years"], meta["steps_planned"]) == ("dry", [2030], 3)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("output", "outputs"), ("tag", "tags"), ("cache_versions", "cache_version"),
     ("inject_contexts", "inject_context"), ("year", "single run"),
     ("runtime_kwargs", "single run"), ("cache_epoch", "single run")],
)  # fmt: skip
def test_what_a_step_definition_would_silently_ignore_is_an_error(name: str, remedy: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'") as caught:
        define_step(**{name: 1})
    assert remedy in caught.value.__notes__[0]


def test_a_step_definition_keeps_metadata() -> None:
    @define_step(owner="land use", unit="zones")
    def step() -> None:
        return None

    assert dict(step.__consist_step__.extra) == {"owner": "land use", "unit": "zones"}  # type: ignore[attr-defined]


# ---------------------------------------------------------------- inputs that are nothing


@pytest.mark.parametrize("inputs", [{"y": "nokey"}, ["nokey"], ["data/raw.csv"], {"y": "no.csv"}])
def test_a_text_that_is_neither_a_key_nor_a_file_says_both(
    tracker: Tracker, here: Path, inputs: Any
) -> None:
    # ERR-064, G-23
    (text,) = inputs.values() if isinstance(inputs, dict) else inputs
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        for attempt in (lambda: sc.run(lambda y: y, inputs=inputs), lambda: traced(sc, inputs)):
            with pytest.raises(UnknownInput) as caught:
                attempt()
            said = str(caught.value)
            assert f"'{text}' is neither a key of the coupler nor a file" in said
            assert "known keys: f" in said
            assert str(here / text) in said
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, FileNotFoundError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == said.splitlines()[0]
    assert [run.model_name for run in tracker.find_runs(parent_id="s")] == ["one"]


def traced(sc: ScenarioContext, inputs: Any) -> None:
    with sc.trace("t", inputs=inputs):
        pass


def test_a_text_that_can_be_no_key_is_a_path(tracker: Tracker, tmp_path: Path) -> None:
    # G-23
    with tracker.scenario("s") as sc, pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        sc.run(one, inputs={"f": str(tmp_path / "gone.csv")})


# ---------------------------------------------------------------- life cycle


def test_a_scenario_object_is_one_block(tracker: Tracker) -> None:
    sc = tracker.scenario("s")
    with sc:
        with pytest.raises(RuntimeError, match="'s'") as caught, sc:
            pass
        assert "again" in caught.value.__notes__[0]
        assert sc.run(one, outputs=["f"]).run.parent_run_id == "s"
    with pytest.raises(RuntimeError, match="'s'"), sc:
        pass
    assert [run.id for run in tracker.find_runs(tags=["scenario_header"])] == ["s"]
    assert tracker.find_run(id="s").status == "completed"


def test_a_scenario_may_end_on_another_thread_than_it_began_on(tracker: Tracker) -> None:
    sc = tracker.scenario("s")
    sc.__enter__()
    results: list[Any] = []

    def work() -> None:
        results.append(sc.run(one, outputs=["f"]))
        sc.__exit__(None, None, None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results[0].run.parent_run_id == "s"
    assert tracker.find_run(id="s").status == "completed"
    with pytest.raises(RuntimeError, match="not open"):
        sc.run(one, outputs=["f"])
    assert tracker.run(one, "after", outputs=["f"]).run.parent_run_id is None


def test_a_scenario_inside_a_scenario_is_its_child_with_a_coupler_of_its_own(
    tracker: Tracker,
) -> None:
    # G-22, COUP-021
    with tracker.scenario("outer") as outer:
        outer.run(one, outputs=["f"])
        with tracker.scenario("inner") as inner:
            assert inner.coupler.get("f") is None
            step = inner.run(one, "step", outputs=["g"])
        assert outer.coupler.get("g") is None
        after = outer.run(one, "after", outputs=["h"])
    assert step.run.parent_run_id == "inner"
    assert tracker.find_run(id="inner").parent_run_id == "outer"
    assert after.run.parent_run_id == "outer"
    ids = [step["model"] for step in tracker.find_run(id="outer").meta["steps"]]
    assert ids == ["one", "after"]


def test_a_scenario_inside_a_step_is_a_child_of_the_step(tracker: Tracker) -> None:
    # G-22
    def step() -> None:
        with tracker.scenario("inner") as inner:
            inner.run(one, outputs=["g"])

    with tracker.scenario("outer") as outer:
        result = outer.run(step)
        assert outer.coupler.get("g") is None
    assert tracker.find_run(id="inner").parent_run_id == result.run_id
    assert [run.parent_run_id for run in tracker.find_runs(model="one")] == ["inner"]


def test_a_scenario_of_a_name_that_is_open_is_an_error(tracker: Tracker) -> None:
    # G-16
    with tracker.scenario("s"), pytest.raises(RuntimeError, match="'s'"), tracker.scenario("s"):
        pass
    assert len(tracker.find_runs()) == 1


# ---------------------------------------------------------------- signatures


def test_a_block_of_a_scenario_has_the_signature_of_trace() -> None:
    # SCN-030
    ours = inspect.signature(ScenarioContext.trace).parameters
    theirs = inspect.signature(runs_trace.trace).parameters
    flat = [*CacheOptions.__dataclass_fields__, *OutputPolicyOptions.__dataclass_fields__]
    assert theirs.keys() & set(flat) == ours.keys() & set(flat) != set()
    assert list(ours)[1:] == list(theirs)[1:]
    for name in list(ours)[1:]:
        assert (ours[name].default, ours[name].kind) == (theirs[name].default, theirs[name].kind)


def test_a_block_of_a_scenario_follows_the_flat_policies(tracker: Tracker) -> None:
    # SCN-030, ERR-021, ERR-022
    def block(**options: Any) -> bool:
        with tracker.scenario("s") as sc, sc.trace("t", **options):
            return tracker.is_cached

    assert [block(), block(), block(cache_mode="overwrite"), block(cache_version=2)] == [
        False,
        True,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="output_missing"):
        block(output_missing="bogus")
    with pytest.raises(RuntimeError, match="gone"):
        block(outputs=["gone"], output_missing="error")
    with pytest.raises(TypeError, match="threshold"):  # C-11
        block(threshold=5)


def test_the_module_shows_the_documented_signature() -> None:
    # SCN-041
    documented = list(inspect.signature(Tracker.scenario).parameters.values())[1:]
    shown = inspect.signature(consist.scenario).parameters
    for parameter in documented:
        assert shown[parameter.name] == parameter
    assert shown.keys() - {p.name for p in documented} == {"enabled", "tracker"}
    assert "enabled : bool" in (consist.scenario.__doc__ or "")


def test_the_module_takes_the_switch_and_the_tracker(tracker: Tracker, here: Path) -> None:
    # SCN-041
    with consist.scenario("s", {"n": 1}, tracker=tracker, step_tags=["t"]) as sc:
        assert sc.run(one, outputs=["f"]).run.tags == ["t"]
    with consist.scenario("s", enabled=False) as sc:
        assert sc.run(one, outputs=["f"]).value["a"].tolist() == [1]
    assert len(tracker.find_runs(tags=["scenario_header"])) == 1
    with pytest.raises(TypeError, match="enabled"):
        consist.scenario("s", enabled="false")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [Coupler, lambda: None])
def test_a_tracker_that_does_nothing_takes_the_same_arguments(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    with NoopTracker(tmp_path / "runs").scenario(
        "s", {"n": 1}, step_tags=["t"], step_facet={"a": 1}, coupler=make()
    ) as sc:
        sc.run(one, outputs=["f"])
        assert sc.coupler.require("f").key == "f"
    with pytest.raises(TypeError, match="cache_mode"):
        NoopTracker(tmp_path / "runs").scenario("s", cache_mode="reuse")
