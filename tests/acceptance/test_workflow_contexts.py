"""The examples of the document on workflow contexts (003), run as printed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import BindingResult, ExecutionOptions, RunContext, Tracker


@pytest.mark.parametrize("passes", [1, 2])
def test_the_binding_envelope(here: Path, passes: int) -> None:
    # SCN-025, C-06, G-05, RUN-026
    Path("raw.csv").write_text("a\n1\n")
    tracker = Tracker(run_dir="./runs", db_path="./provenance.duckdb")

    def prepare(raw: Path) -> dict[str, Path]:
        out = consist.output_path("prepared", ext="parquet")
        out.write_text("prepared\n")
        return {"prepared": out}

    def analyze(prepared: Path) -> dict[str, Path]:
        out = consist.output_path("analysis", ext="parquet")
        out.write_text(prepared.read_text())
        return {"analysis": out}

    for _ in range(passes):
        with tracker.scenario("baseline") as sc:
            prep = sc.run(
                fn=prepare,
                inputs={"raw": Path("raw.csv")},
                execution_options=ExecutionOptions(input_binding="paths"),
                outputs=["prepared"],
            )

            analysis = sc.run(
                fn=analyze,
                binding=BindingResult(
                    inputs={"prepared": consist.ref(prep, key="prepared")},
                    input_keys=["prepared"],
                ),
                execution_options=ExecutionOptions(input_binding="loaded"),
                outputs=["analysis"],
            )
    assert analysis.outputs["analysis"].path.read_text() == "prepared\n"
    assert analysis.cache_hit is (passes == 2)
    assert len(tracker.get_run_inputs(analysis.run_id)) == 1
    tracker.close()


def test_the_minimal_scenario(here: Path) -> None:
    # SCN-021, SCN-022, RUN-057
    tracker = Tracker(run_dir="./runs", db_path="./provenance.duckdb")

    def prepare() -> Path:
        out = consist.output_path("prepared", ext="txt")
        out.write_text("prepared\n")
        return out

    def analyze(prepared_artifact: Any) -> Path:
        out = consist.output_path("analysis", ext="txt")
        out.write_text(prepared_artifact.path.read_text())
        return out

    for expected in (False, True):
        with tracker.scenario("baseline") as sc:
            prep = sc.run(fn=prepare, name="prepare", outputs=["prepared"])
            analysis = sc.run(
                fn=analyze,
                name="analyze",
                inputs={"prepared_artifact": consist.ref(prep, key="prepared")},
                outputs=["analysis"],
            )
        assert (prep.cache_hit, analysis.cache_hit) == (expected, expected)
        assert analysis.outputs["analysis"].path.read_text() == "prepared\n"
    tracker.close()


def test_the_example_of_the_scenario_context(tracker: Tracker, here: Path) -> None:
    # SCN-023, DEP-007
    Path("data.csv").write_text("a\n1\n")

    def preprocess_fn(raw: pd.DataFrame) -> pd.DataFrame:
        return raw

    def model_fn(clean: pd.DataFrame) -> pd.DataFrame:
        return clean * 2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with tracker.scenario("base_case") as sc:
            sc.run(preprocess_fn, inputs={"raw": "data.csv"}, outputs=["clean"])
            result = sc.run(model_fn, input_keys=["clean"], outputs=["results"])
    assert tracker.load_df(result.outputs["results"])["a"].tolist() == [2]


def test_the_three_forms_of_sc_run(tracker: Tracker, here: Path) -> None:
    # SCN-017, SCN-021, SCN-025
    raw_path = Path("raw.csv")
    raw_path.write_text("a\n1\n")
    seen: list[Any] = []

    def step(raw: Any, data: Any = None, maybe: Any = None) -> pd.DataFrame:
        seen.append((raw, data, maybe))
        return pd.DataFrame({"a": [1]})

    with tracker.scenario("s") as sc:
        previous_result = sc.run(
            fn=step,
            inputs={"raw": raw_path},
            execution_options=ExecutionOptions(input_binding="paths"),
            outputs=["raw"],
        )

        sc.run(
            fn=step,
            inputs={"raw": consist.ref(previous_result, key="raw")},
            execution_options=ExecutionOptions(input_binding="loaded"),
            outputs=["data"],
        )

        sc.run(
            fn=step,
            binding=BindingResult(
                inputs={"raw": raw_path},
                input_keys=["data"],
                optional_input_keys=["maybe"],
            ),
            execution_options=ExecutionOptions(input_binding="paths"),
            outputs=["last"],
        )
    assert seen[0] == (raw_path.resolve(), None, None)
    assert isinstance(seen[1][0], pd.DataFrame)
    assert seen[2][0] == raw_path.resolve()
    assert seen[2][1].name == "data.parquet"
    assert seen[2][2] is None


def test_the_example_of_the_run_context(tracker: Tracker) -> None:
    # CTX-001, CTX-009, C-12
    def my_step(ctx: RunContext) -> None:
        output_path = ctx.run_dir / "results.csv"
        output_path.write_text("a\n1\n")
        ctx.log_artifact(output_path, "results")

    result = tracker.run(my_step, execution_options=ExecutionOptions(inject_context=True))
    assert list(result.outputs) == ["results"]


def test_set_from_artifact_in_both_examples(tracker: Tracker, here: Path) -> None:
    # COUP-008, COUP-009
    path = here / "persons.csv"
    path.write_text("a\n1\n")
    with tracker.scenario("s") as sc, sc.trace("t"):
        coupler = sc.coupler
        artifact = tracker.log_output(path, key="persons")
        assert coupler.set_from_artifact("persons", artifact) is artifact
        assert coupler.require("persons") is artifact
        artifact = tracker.log_output(path, key="key") or path
        coupler.set_from_artifact("key", path)
        assert coupler.get("key") == path


def test_identity_inputs_on_steps(tracker: Tracker, here: Path) -> None:
    # SIG-007, SIG-008
    asim_config_dir = here / "configs"
    asim_config_dir.mkdir()
    (asim_config_dir / "settings.yaml").write_text("a: 1")

    def prepare() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    def workflow() -> tuple[bool, bool]:
        with tracker.scenario("baseline") as sc:
            step = sc.run(
                fn=prepare,
                name="prepare",
                identity_inputs=[("asim_config", asim_config_dir)],
                outputs=["prepared"],
            )
            with sc.trace("analyze", identity_inputs=[("asim_config", asim_config_dir)]):
                assert step.outputs["prepared"].path.exists()
                return step.cache_hit, tracker.is_cached

    assert workflow() == (False, False)
    assert workflow() == (True, True)
    (asim_config_dir / "settings.yaml").write_text("a: 2")
    assert workflow() == (False, False)


@pytest.mark.xfail(strict=True, reason="adapter= belongs to the issue on config adapters (CFG)")
def test_an_adapter_on_steps(tracker: Tracker) -> None:
    # SIG-010
    with tracker.scenario("baseline") as sc:
        sc.run(fn=lambda: None, name="prepare", adapter=object())
