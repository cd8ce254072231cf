"""Scenarios: a header run, its steps, and the coupler between them."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for
# ruff: noqa: PT012 - the block is what has to fail

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

import consist
from consist import (
    Artifact,
    BindingResult,
    CacheOptions,
    Coupler,
    ExecutionOptions,
    Run,
    Tracker,
    define_step,
)

LOADED = ExecutionOptions(load_inputs=True)


class Broken(Exception):
    """Raised by code under test."""


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def double(f: pd.DataFrame) -> pd.DataFrame:
    return f * 2


def got(tracker: Tracker, run_id: str) -> Run:
    run = tracker.get_run(run_id)
    assert run is not None
    return run


# ---------------------------------------------------------------- header


def test_the_header_is_a_run_with_the_scenarios_name(tracker: Tracker) -> None:
    # SCN-001, SCN-002, SCN-008, SCN-012
    sc = tracker.scenario("base", tags=["t"])
    assert sc.run_id == "base"
    assert tracker.get_run("base") is None
    with sc as inside:
        assert inside is sc
        assert sc.run_id == "base"
        assert got(tracker, "base").status == "running"
    header = got(tracker, "base")
    assert (header.status, header.model_name) == ("completed", "scenario")
    assert header.tags == ["t", "scenario_header"]


def test_the_documented_arguments_are_positional_in_order(tracker: Tracker) -> None:
    # SCN-009, SCN-010
    own = Coupler()
    sc = tracker.scenario(
        "s", {"mode": "test"}, ["t"], "demand", "metadata", "{func_name}", 4, own, []
    )
    with sc:
        result = sc.run(one, outputs=["f"])
    assert sc.coupler is own
    assert own.require("f").id == result.outputs["f"].id
    header = got(tracker, "s")
    assert (header.model_name, header.meta.get("cache_epoch")) != ("scenario", None)
    assert result.run.meta["cache_epoch"] == 4


def test_steps_belong_to_the_header_and_can_be_found_by_its_name(tracker: Tracker) -> None:
    # SCN-003, SCN-038, C-19
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        with sc.trace("look"):
            pass
    steps = tracker.find_runs(parent_id="s")
    assert [run.model_name for run in steps] == ["look", "one"]
    assert {run.parent_run_id for run in steps} == {"s"}
    assert all(run.id.startswith("s_") for run in steps)  # G-21


def test_the_config_of_a_scenario_stays_on_the_header(tracker: Tracker) -> None:
    # SCN-004, SCN-013
    with tracker.scenario("s", config={"mode": "test"}) as sc:
        assert isinstance(sc.config, MappingProxyType)
        assert sc.config["mode"] == "test"
        with pytest.raises(TypeError):
            sc.config["mode"] = "other"  # type: ignore[index]
        step = sc.run(one, outputs=["f"])
    assert tracker.get_run_config("s") == {"mode": "test"}
    assert tracker.get_run_config(step.run_id) == {}


def test_the_config_of_a_scenario_does_not_count_for_its_steps(tracker: Tracker) -> None:
    # SCN-004
    for mode, expected in (("a", False), ("b", True)):
        with tracker.scenario(f"s_{mode}", config={"mode": mode}) as sc:
            assert sc.run(one, outputs=["f"]).cache_hit is expected


class ScenarioConfig(BaseModel):
    mode: str = "test"


def test_a_model_may_be_the_config_of_a_scenario(tracker: Tracker) -> None:
    # SCN-013
    with tracker.scenario("s", config=ScenarioConfig()) as sc:
        assert dict(sc.config) == {"mode": "test"}


def test_keywords_of_a_scenario_go_to_the_header(tracker: Tracker) -> None:
    # SCN-006
    with tracker.scenario(
        "s",
        config={"rate": 0.1},
        facet_from=["rate"],
        description="why",
        year=2030,
        stage="calibration",
        weather="dry",
    ):
        pass
    header = got(tracker, "s")
    assert (header.description, header.year, header.stage) == ("why", 2030, "calibration")
    assert header.meta["weather"] == "dry"
    record = tracker.get_run_record("s")
    assert record is not None
    assert record.facet == {"rate": 0.1}


def test_a_header_is_never_looked_up_nor_a_source(tracker: Tracker) -> None:
    # G-22
    for _ in range(2):
        with tracker.scenario("s"):
            pass
    headers = tracker.find_runs(tags=["scenario_header"])
    assert [header.id for header in headers] == ["s~2", "s"]
    assert [header.meta.get("cache_hit") for header in headers] == [None, None]
    assert [header.signature for header in headers] == [None, None]


def test_the_header_lists_its_steps(tracker: Tracker) -> None:
    # SCN-005, SCN-017
    with tracker.scenario("s") as sc:
        first = sc.run(one, outputs=["f"])
        second = sc.run(double, inputs=["f"], execution_options=LOADED, outputs=["g"])
    steps = got(tracker, "s").meta["steps"]
    assert [step["id"] for step in steps] == [first.run_id, second.run_id]
    assert [step["status"] for step in steps] == ["completed"] * 2
    assert list(steps[1]["inputs"].values()) == ["f"]
    assert list(steps[1]["outputs"].values()) == ["g"]


def test_a_repeated_scenario_is_a_new_attempt_and_its_name_means_the_latest(
    tracker: Tracker,
) -> None:
    # G-16, SCN-045
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
    with tracker.scenario("s") as sc:
        assert sc.run_id == "s~2"
        hit = sc.run(one, outputs=["f"])
        assert [run.id for run in tracker.find_runs(parent_id="s")] == [hit.run_id]
    assert hit.cache_hit
    assert hit.run.parent_run_id == "s~2"
    assert [run.id for run in tracker.find_runs(parent_id="s")] == [hit.run_id]
    assert len(tracker.find_runs(parent_id="s~1")) == 1


def test_the_name_of_a_scenario_means_its_latest_completed_attempt(tracker: Tracker) -> None:
    # G-16
    with tracker.scenario("s") as sc:
        first = sc.run(one, outputs=["f"])
    with pytest.raises(Broken), tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        raise Broken
    assert got(tracker, "s").id == "s~2"
    assert [run.id for run in tracker.find_runs(parent_id="s")] == [first.run_id]


def test_an_exception_in_the_block_fails_the_header_and_comes_out(tracker: Tracker) -> None:
    # SCN-042
    error = Broken("boom")
    with pytest.raises(Broken) as caught, tracker.scenario("s", require_outputs=["x"]):
        raise error
    assert caught.value is error
    header = got(tracker, "s")
    assert (header.status, header.meta["failed_with"]) == ("failed", "boom")


def test_a_failed_step_is_named_on_the_header(tracker: Tracker) -> None:
    # SCN-042
    def step() -> None:
        raise Broken("boom")

    with pytest.raises(Broken), tracker.scenario("s") as sc:
        sc.run(step, run_id="bad")
    assert got(tracker, "bad").status == "failed"
    assert got(tracker, "s").meta["failed_step"] == "bad"


def test_a_step_whose_failure_is_caught_lets_the_scenario_complete(tracker: Tracker) -> None:
    def step() -> None:
        raise Broken

    with tracker.scenario("s") as sc:
        with pytest.raises(Broken):
            sc.run(step)
        assert not sc.run(one, outputs=["f"]).cache_hit
    assert got(tracker, "s").status == "completed"


def test_steps_outside_the_block_are_errors(tracker: Tracker) -> None:
    # ERR-057
    sc = tracker.scenario("s")
    with pytest.raises(RuntimeError, match="'s'"):
        sc.run(one, outputs=["f"])
    with pytest.raises(RuntimeError, match="'s'"), sc.trace("t"):
        pass
    with sc:
        pass
    with pytest.raises(RuntimeError, match="'s'"):
        sc.run(one, outputs=["f"])
    assert tracker.find_runs(model="one") == []


def test_an_unknown_hydration_of_steps_is_an_error_where_it_is_written(tracker: Tracker) -> None:
    # HYD-015
    with pytest.raises(ValueError, match="bogus"):
        tracker.scenario("s", step_cache_hydration="bogus")


# ---------------------------------------------------------------- inputs of the scenario


def test_inputs_of_the_scenario_are_those_of_its_header(tracker: Tracker, raw: Path) -> None:
    # SCN-014, SCN-016
    with tracker.scenario("s") as sc:
        artifact = sc.add_input("raw.csv", "data", origin="survey")
        assert isinstance(artifact, Artifact)
        assert isinstance(sc.inputs, MappingProxyType)
        assert dict(sc.inputs) == {"data": artifact}
        assert sc.coupler.require("data").id == artifact.id
        step = sc.run(double, inputs={"f": "data"}, outputs=["g"])
        assert dict(sc.inputs) == {"data": artifact}
    assert list(tracker.get_run_inputs("s")) == ["data"]
    assert tracker.get_run_inputs("s")["data"].meta["origin"] == "survey"
    assert list(tracker.get_run_inputs(step.run_id)) == ["data"]


def test_an_input_after_the_first_step_or_outside_is_an_error(tracker: Tracker, raw: Path) -> None:
    # ERR-057
    sc = tracker.scenario("s")
    with pytest.raises(RuntimeError, match="add an input"):
        sc.add_input(raw, "data")
    with sc:
        sc.run(one, outputs=["f"])
        with pytest.raises(RuntimeError, match="step"):
            sc.add_input(raw, "data")
    assert tracker.get_run_inputs("s") == {}


def test_step_is_an_old_name_of_trace(tracker: Tracker) -> None:
    # SCN-040, C-07
    with tracker.scenario("s") as sc, sc.step("init"):
        pass
    assert [run.model_name for run in tracker.find_runs(parent_id="s")] == ["init"]


# ---------------------------------------------------------------- names of steps


def test_the_name_may_come_first(tracker: Tracker) -> None:
    # SCN-018, C-08
    with tracker.scenario("s") as sc:
        assert sc.run("compile", fn=one, outputs=["f"]).run.model_name == "compile"
        assert sc.run(one, "other", outputs=["f"]).run.model_name == "other"


def test_a_name_given_twice_is_an_error(tracker: Tracker) -> None:
    # C-08
    with tracker.scenario("s") as sc, pytest.raises(TypeError):
        sc.run("compile", fn=one, name="other")


def test_a_name_template_names_steps_without_a_name_of_their_own(tracker: Tracker) -> None:
    # SCN-007
    @define_step(name_template="own_{year}")
    def templated() -> None:
        return None

    with tracker.scenario("s", name_template="{func_name}__{year}") as sc:
        names = [
            sc.run(one, year=2030, outputs=["f"]).run.model_name,
            sc.run(one, "given", year=2030, outputs=["f"]).run.model_name,
            sc.run(templated, year=2030).run.model_name,
        ]
    assert names == ["one__2030", "given", "own_2030"]


def test_a_block_may_have_its_own_id_and_year(tracker: Tracker) -> None:
    # SCN-029
    with tracker.scenario("s") as sc, sc.trace("simulate", run_id="s_2030", year=2030):
        pass
    assert got(tracker, "s_2030").year == 2030


# ---------------------------------------------------------------- inputs of steps


def test_a_listed_key_is_taken_from_the_coupler_and_loaded(tracker: Tracker) -> None:
    # SCN-019, SCN-020
    with tracker.scenario("s") as sc:
        first = sc.run(one, outputs=["f"])
        second = sc.run(double, inputs=["f"], execution_options=LOADED, outputs=["g"])
    assert second.value["a"].tolist() == [2]
    assert tracker.get_run_inputs(second.run_id)["f"].id == first.outputs["f"].id


def test_a_key_that_is_not_in_the_coupler_is_an_error_that_names_it(tracker: Tracker) -> None:
    # ERR-064
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        with pytest.raises(KeyError, match="'persons'") as caught:
            sc.run(double, "d", inputs=["persons"])
        assert "f" in str(caught.value)
        with pytest.raises(KeyError, match="'persons'"), sc.trace("t", inputs=["persons"]):
            pass
        with pytest.raises(KeyError, match="'persons'"):
            sc.run(double, "d", input_keys=["persons"])
    assert [run.model_name for run in tracker.find_runs(parent_id="s")] == ["one"]


def test_a_listed_text_that_is_a_path_is_a_path(tracker: Tracker, raw: Path) -> None:
    # C-04
    with tracker.scenario("s") as sc:
        result = sc.run(lambda: None, "d", inputs=["raw.csv"])
    assert [a.path for a in tracker.get_run_inputs(result.run_id).values()] == [raw]


def test_the_coupler_comes_before_a_file_of_the_same_name(tracker: Tracker, here: Path) -> None:
    # C-04
    (here / "f").write_text("file")
    with tracker.scenario("s") as sc:
        first = sc.run(one, outputs=["f"])
        listed = sc.run(double, inputs=["f"], execution_options=LOADED, outputs=["g"])
        mapped = sc.run(lambda x: None, "m", inputs={"x": "f"})
    for result in (listed, mapped):
        (found,) = tracker.get_run_inputs(result.run_id).values()
        assert found.id == first.outputs["f"].id


def test_a_path_is_taken_literally_though_the_coupler_has_its_name(
    tracker: Tracker, here: Path
) -> None:
    # C-04
    (here / "f").write_text("file")
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        result = sc.run(lambda x: None, "m", inputs={"x": Path("f")})
    (found,) = tracker.get_run_inputs(result.run_id).values()
    assert found.path == here / "f"


def test_the_mapping_form_loads_a_file(tracker: Tracker, raw: Path) -> None:
    # SCN-028, C-03
    with tracker.scenario("s") as sc:
        result = sc.run(lambda raw: raw.head(1), "first", inputs={"raw": raw}, outputs=["h"])
        with sc.trace("t", run_id="t", inputs={"raw": raw}):
            pass
    assert len(result.value) == 1
    assert list(tracker.get_run_inputs("t")) == ["raw"]


def test_a_ref_is_an_output_of_an_earlier_step(tracker: Tracker) -> None:
    # SCN-021, SCN-022
    with tracker.scenario("s") as sc:
        first = sc.run(one, outputs=["f"])
        result = sc.run(double, inputs={"f": consist.ref(first, key="f")}, outputs=["g"])
    assert result.value["a"].tolist() == [2]


def test_refs_builds_many_at_once(tracker: Tracker) -> None:
    # SCN-043
    def two() -> dict[str, Any]:
        return {"a": one(), "b": one() * 5}

    def total(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
        return a + b

    with tracker.scenario("s") as sc:
        first = sc.run(two, outputs=["a", "b"])
        result = sc.run(total, inputs=consist.refs(first, "a", "b"), outputs=["t"])
    assert result.value["a"].tolist() == [6]


def test_input_keys_still_work_and_absent_optional_ones_are_skipped(tracker: Tracker) -> None:
    # SCN-023, SCN-024, DEP-007
    def step(f: pd.DataFrame, maybe: Any = "default") -> pd.DataFrame:
        assert isinstance(maybe, str)
        return f

    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        result = sc.run(step, input_keys=["f"], optional_input_keys=["maybe"], outputs=["g"])
        single = sc.run(step, "single", input_keys="f", outputs=["h"])
        with sc.trace("t", run_id="t", input_keys=["f"], optional_input_keys=["maybe"]):
            pass
    assert list(tracker.get_run_inputs(result.run_id)) == ["f"]
    assert single.value["a"].tolist() == [1]
    assert list(tracker.get_run_inputs("t")) == ["f"]


def test_a_present_optional_key_is_used(tracker: Tracker) -> None:
    # SCN-024
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        result = sc.run(double, optional_input_keys=["f"], outputs=["g"])
    assert result.value["a"].tolist() == [2]


def test_a_binding_resolves_like_the_keywords(tracker: Tracker, raw: Path) -> None:
    # SCN-025, G-05
    def step(table: pd.DataFrame, f: pd.DataFrame) -> pd.DataFrame:
        return f

    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        binding = BindingResult(
            inputs={"table": raw}, input_keys=["f"], optional_input_keys=["maybe"]
        )
        result = sc.run(step, binding=binding, outputs=["g"])
    assert {a.key for a in tracker.get_run_inputs(result.run_id).values()} >= {"f"}
    assert len(tracker.get_run_inputs(result.run_id)) == 2


@pytest.mark.parametrize(
    "other", [{"inputs": ["f"]}, {"input_keys": ["f"]}, {"optional_input_keys": ["f"]}]
)
def test_a_binding_excludes_the_keywords(tracker: Tracker, other: dict[str, Any]) -> None:
    # ERR-026
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        with pytest.raises(ValueError, match="binding"):
            sc.run(double, binding=BindingResult(), **other)
    assert tracker.find_runs(model="double") == []


def test_a_block_takes_no_binding(tracker: Tracker) -> None:
    # SCN-026
    with (
        tracker.scenario("s") as sc,
        pytest.raises(TypeError, match="binding"),
        sc.trace("t", binding=BindingResult()),  # type: ignore[call-arg]
    ):
        pass


def test_a_declared_coupler_key_of_a_block_counts(tracker: Tracker) -> None:
    # SCN-027
    def scenario(n: int) -> bool:
        with tracker.scenario("s") as sc:
            sc.run(lambda: pd.DataFrame({"n": [n]}), "make", config={"n": n}, outputs=["f"])
            with sc.trace("t", inputs=["f"]):
                return tracker.is_cached

    assert [scenario(1), scenario(1), scenario(2)] == [False, True, False]


# ---------------------------------------------------------------- outputs of steps


def test_outputs_of_steps_are_in_the_coupler(tracker: Tracker) -> None:
    # COUP-020, SCN-015, SCN-017, SCN-036
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        assert isinstance(sc.coupler.require("f"), Artifact)
        with sc.trace("t"):
            tracker.log_dataframe(one(), "g")
            assert sc.coupler.require("g").key == "g"
        assert set(sc.coupler.keys()) == {"f", "g"}


def test_logging_in_a_block_goes_to_the_step_and_not_to_the_header(
    tracker: Tracker, raw: Path
) -> None:
    # SCN-031
    with consist.use_tracker(tracker), consist.scenario("s") as sc, sc.trace("t", run_id="t"):
        tracker.log_artifact(raw, key="a")
        consist.log_dataframe(one(), key="b")
    assert set(tracker.get_run_outputs("t")) == {"a", "b"}
    assert tracker.get_run_outputs("s") == {}


def test_on_a_hit_cached_outputs_are_in_the_coupler_before_the_block(tracker: Tracker) -> None:
    # COUP-022
    def block() -> tuple[bool, bool]:
        with tracker.scenario("s") as sc, sc.trace("t"):
            before = sc.coupler.get("f") is not None
            tracker.log_dataframe(one(), "f")
            return before, tracker.is_cached

    assert block() == (False, False)
    assert block() == (True, True)


def test_on_a_hit_outputs_of_a_function_are_in_the_coupler(tracker: Tracker) -> None:
    # COUP-022, CACHE-020
    ids = []
    for _ in range(2):
        with tracker.scenario("s") as sc:
            sc.run(one, outputs=["f"])
            ids.append(sc.coupler.require("f").id)
    assert ids[0] == ids[1]


def test_two_scenarios_do_not_share_their_coupler(tracker: Tracker) -> None:
    # COUP-021
    with tracker.scenario("a") as sc:
        sc.run(one, outputs=["f"])
    with tracker.scenario("b") as sc:
        assert sc.coupler.get("f") is None


def test_a_plain_run_inside_a_scenario_keeps_its_own_cache_entry(tracker: Tracker) -> None:
    # SCN-037, COUP-023
    tracker.run(one, outputs=["f"])
    with consist.use_tracker(tracker), consist.scenario("s") as sc:
        result = consist.run(one, outputs=["f"])
        assert result.cache_hit
        sc.coupler.update(result.outputs)
        with sc.trace("t", inputs=["f"]):
            assert len(consist.load_df(sc.coupler.require("f"))) == 1


def test_a_sweep_makes_a_run_and_an_entry_per_variant(tracker: Tracker) -> None:
    # SCN-039
    def step(t: float) -> pd.DataFrame:
        return pd.DataFrame({"t": [t]})

    for attempt in range(2):
        with tracker.scenario("sweep") as sc:
            hits = [sc.run(step, config={"t": t}, outputs=["r"]).cache_hit for t in (0.3, 0.5, 0.7)]
        assert hits == [attempt == 1] * 3
        assert len(tracker.find_runs(parent_id="sweep")) == 3


def test_steps_have_folders_of_their_own(tracker: Tracker) -> None:
    # SCN-046
    with tracker.scenario("s") as sc:
        paths = [
            sc.run(one, name, config={"n": name}, outputs=["f"]).outputs["f"].path
            for name in ("a", "b")
        ]
    assert paths[0].parent != paths[1].parent
    assert all(path.is_relative_to(tracker.run_dir / "outputs") for path in paths)


def test_the_same_step_for_two_years_keeps_both_outputs(tracker: Tracker) -> None:
    # SCN-046, SIG-027
    def step(year: int) -> pd.DataFrame:
        return pd.DataFrame({"year": [year]})

    with tracker.scenario("s") as sc:
        results = [
            sc.run(step, year=y, iteration=0, config={"year": y}, outputs=["f"])
            for y in (2020, 2030)
        ]
        again = sc.run(step, year=2020, iteration=0, config={"year": 2020}, outputs=["f"])
    values = [tracker.load_df(r.outputs["f"])["year"].tolist() for r in (*results, again)]
    assert values == [[2020], [2030], [2020]]
    assert again.cache_hit


# ---------------------------------------------------------------- expectations


def test_a_missing_required_output_fails_the_scenario_at_its_end(tracker: Tracker) -> None:
    # SCN-032, SCN-011, ERR-062
    with pytest.raises(RuntimeError, match=r"'s'.*b"), tracker.scenario("s") as sc:
        sc.require_outputs("f", "b")
        sc.run(one, outputs=["f"])
    header = got(tracker, "s")
    assert (header.status, header.meta["missing_outputs"]) == ("failed", ["b"])
    with (
        pytest.raises(RuntimeError, match="zarr_skims"),
        tracker.scenario("t", require_outputs=["zarr_skims"]),
    ):
        pass


def test_required_outputs_that_are_there_let_it_complete(tracker: Tracker) -> None:
    # SCN-032
    with tracker.scenario("s", require_outputs=["f"]) as sc:
        sc.run(one, outputs=["f"])
    assert got(tracker, "s").status == "completed"


def test_optional_outputs_never_raise(tracker: Tracker) -> None:
    # SCN-033
    with tracker.scenario("s") as sc:
        sc.declare_outputs("a", "b", required={"a": False})
    assert got(tracker, "s").status == "completed"


def test_an_undeclared_output_warns_where_that_was_asked_for(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # SCN-034
    with tracker.scenario("s") as sc:
        sc.require_outputs("f", warn_undefined=True, description={"f": "table"})
        sc.run(one, outputs=["f"])
        assert caplog.text == ""
        sc.run(one, "other", outputs=["typo"])
    assert "'typo'" in caplog.text
    assert sc.coupler.describe_outputs() == {"f": "table"}


def test_collected_outputs_get_their_prefix(tracker: Tracker) -> None:
    # SCN-035, C-17
    def many() -> dict[str, Any]:
        return {"persons": one(), "jobs": one()}

    with tracker.scenario("s") as sc:
        result = sc.run(many, outputs=["persons", "jobs"])
        collected = sc.collect_by_keys(result.outputs, "persons", prefix="2020_")
    assert list(collected) == ["2020_persons"]
    assert set(sc.coupler.keys()) == {"persons", "jobs", "2020_persons"}


# ---------------------------------------------------------------- hydration of steps


def test_the_hydration_of_a_scenario_is_the_default_of_its_steps(tmp_path: Path) -> None:
    # HYD-015
    database = tmp_path / "d.duckdb"
    with Tracker(tmp_path / "r1", database) as tracker:
        tracker.run(one, outputs=["f"])
    seen: list[Path] = []

    def step(f: Path, n: int) -> None:
        seen.append(f)

    with Tracker(tmp_path / "r2", database) as tracker:
        artifact = tracker.get_artifact("f")
        assert artifact is not None
        with tracker.scenario("s", step_cache_hydration="inputs-missing") as sc:
            own = CacheOptions(cache_hydration="metadata")
            sc.run(step, inputs={"f": artifact}, config={"n": 1}, cache_options=own)
            sc.run(step, inputs={"f": artifact}, config={"n": 2})
    assert seen[0].is_relative_to(tmp_path / "r1")
    assert seen[1].is_relative_to(tmp_path / "r2")


def test_a_scenario_through_the_module_takes_the_same_options(tracker: Tracker) -> None:
    # SCN-041
    with (
        consist.use_tracker(tracker),
        consist.scenario(
            "s", model="demand", step_cache_hydration="metadata", require_outputs=["f"]
        ) as sc,
    ):
        sc.run(one, outputs=["f"])
    assert got(tracker, "s").model_name == "demand"


# ---------------------------------------------------------------- references


def test_a_ref_of_the_only_output_needs_no_key(tracker: Tracker) -> None:
    result = tracker.run(one, outputs=["f"])
    assert consist.ref(result).key == "f"
    assert set(consist.refs(result)) == {"f"}
    assert consist.refs(alias=result)["alias"].key == "f"
    assert consist.refs(result, {"x": "f"})["x"].key == "f"
    assert consist.refs((result, "f"))["f"].key == "f"


def test_a_ref_to_nothing_names_what_there_is(tracker: Tracker) -> None:
    result = tracker.run(lambda: {"a": one(), "b": one()}, "s", outputs=["a", "b"])
    with pytest.raises(KeyError, match="'c'") as caught:
        consist.ref(result, key="c")
    assert "a, b" in str(caught.value)
    with pytest.raises(ValueError, match="a, b"):
        consist.ref(result)
    with pytest.raises(ValueError, match="'a'"):
        consist.refs((result, "a"), (result, "a"))
    with pytest.raises(TypeError, match="int"):
        consist.ref(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [{"iteration": 0}, {"iteration": 0, "year": 2030}])
def test_variants_of_one_step_and_iteration_keep_their_outputs(
    tracker: Tracker, labels: dict[str, int]
) -> None:
    # SCN-039, SCN-046: a sweep inside one iteration
    def step(rate: int) -> pd.DataFrame:
        return pd.DataFrame({"rate": [rate]})

    with tracker.scenario("s") as sc:
        results = [sc.run(step, config={"rate": rate}, outputs=["f"], **labels) for rate in (1, 2)]
    values = [tracker.load_df(result.outputs["f"])["rate"].tolist() for result in results]
    assert values == [[1], [2]]
