"""The examples of the usage guide (001), run as printed."""

# ruff: noqa: RET504 - the examples stand as printed

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel
from sqlmodel import select

import consist
from consist import (
    CacheOptions,
    ExecutionOptions,
    OutputPolicyOptions,
    Tracker,
    use_tracker,
)
from consist.utils import ArtifactKeyRegistry


@pytest.fixture
def legacy_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand in for the placeholder module ``legacy_model`` of the guide."""
    import sys

    def run(upstream: Path, output_dir: Any) -> None:
        Path(output_dir).mkdir(exist_ok=True)
        (Path(output_dir) / "results.csv").write_text(Path(upstream).read_text())
        (Path(output_dir) / "log.txt").write_text("no output")

    module = SimpleNamespace(run=run)
    monkeypatch.setitem(sys.modules, "legacy_model", module)  # type: ignore[arg-type]
    return module


def load_population() -> pd.DataFrame:
    return pd.DataFrame({"person": [1, 2]})


def run_model(year: int, population: pd.DataFrame) -> pd.DataFrame:
    return population.assign(year=year)


def load_zones(path: Any) -> list[dict[str, Any]]:
    return list(json.loads(Path(path).read_text()))


# ---------------------------------------------------------------- pattern 1


def test_data_cleaning_with_run(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # RUN-005, RUN-007, RUN-012, RUN-014, TRK-002, G-17
    calls = []

    def clean_data(raw: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
        calls.append(threshold)
        df = raw[raw["value"] > threshold]
        return df

    tracker = Tracker(run_dir="./runs", db_path="./provenance.duckdb")
    for expected in (False, True):
        with use_tracker(tracker):
            result = consist.run(
                fn=clean_data,
                inputs={"raw": Path("raw.csv")},
                config={"threshold": 0.5},
                outputs=["cleaned"],
            )

        cleaned_artifact = result.outputs["cleaned"]
        cleaned_df = consist.load_df(cleaned_artifact)
        print(f"Output: {cleaned_artifact.path}")
        assert result.cache_hit is expected
        assert cleaned_df["value"].tolist() == [0.6, 0.9]
    assert calls == [0.5]
    assert capsys.readouterr().out.count("cleaned.parquet") == 2
    tracker.close()


def test_the_options_objects(tracker: Tracker, raw: Path) -> None:
    # RUN-037, RUN-040, HYD-026
    def clean_data(raw: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
        return raw[raw["value"] > threshold]

    with use_tracker(tracker):
        result = consist.run(
            fn=clean_data,
            inputs={"raw": Path("raw.csv")},
            config={"threshold": 0.5},
            outputs=["cleaned"],
            cache_options=CacheOptions(cache_mode="reuse", cache_hydration="inputs-missing"),
            output_policy=OutputPolicyOptions(output_missing="error"),
            execution_options=ExecutionOptions(load_inputs=True),
        )
    assert consist.load_df(result.outputs["cleaned"])["value"].tolist() == [0.6, 0.9]


def test_raw_paths_with_injected_context(tracker: Tracker, raw: Path) -> None:
    # RUN-016, RUN-022, CTX-012
    def clean_data(raw_file: Path, _consist_ctx: Any) -> None:
        df = pd.read_csv(raw_file)
        out_path = _consist_ctx.run_dir / "cleaned.parquet"
        df.to_parquet(out_path)
        _consist_ctx.log_output(out_path, key="cleaned")

    def run() -> consist.RunResult:
        with use_tracker(tracker):
            return consist.run(
                fn=clean_data,
                inputs={"raw_file": Path("raw.csv")},
                execution_options=ExecutionOptions(
                    load_inputs=False,
                    runtime_kwargs={"raw_file": Path("raw.csv")},
                    inject_context=True,
                ),
            )

    first, second = run(), run()
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert len(consist.load_df(second.outputs["cleaned"])) == 3


class CleaningConfig(BaseModel):
    threshold: float = 0.5
    remove_outliers: bool = True


def test_a_pydantic_config(tracker: Tracker, raw: Path) -> None:
    # RUN-010, SIG-005
    def clean_data(raw: pd.DataFrame, config: CleaningConfig) -> pd.DataFrame:
        df = raw
        df = df[df["value"] >= config.threshold]
        if config.remove_outliers:
            df = df[df["value"] < df["value"].quantile(0.95)]
        return df

    def run(threshold: float) -> consist.RunResult:
        with use_tracker(tracker):
            return consist.run(
                fn=clean_data,
                inputs={"raw": Path("raw.csv")},
                config=CleaningConfig(threshold=threshold, remove_outliers=True),
                outputs=["cleaned"],
            )

    assert consist.load_df(run(0.5).outputs["cleaned"])["value"].tolist() == [0.6]
    assert not run(0.1).cache_hit
    assert run(0.5).cache_hit


def test_a_legacy_tool_with_capture_outputs(
    tracker: Tracker, here: Path, legacy_model: Any
) -> None:
    # CTX-010, CTX-011, RUN-033
    (here / "input.csv").write_text("a\n1\n")
    (here / "config.yaml").write_text("a: 1")
    (here / "parameters.json").write_text("{}")

    def run_legacy_model(upstream: Path, _consist_ctx: Any) -> None:
        import legacy_model  # type: ignore[import-not-found]

        output_dir = _consist_ctx.run_dir / "legacy_outputs"
        output_dir.mkdir(parents=True, exist_ok=True)
        with _consist_ctx.capture_outputs(output_dir, pattern="*.csv"):
            legacy_model.run(upstream, output_dir=output_dir)

    def run() -> consist.RunResult:
        with use_tracker(tracker):
            return consist.run(
                fn=run_legacy_model,
                inputs={"upstream": Path("input.csv")},
                depends_on=[Path("config.yaml"), Path("parameters.json")],
                execution_options=ExecutionOptions(
                    load_inputs=False,
                    runtime_kwargs={"upstream": Path("input.csv")},
                    inject_context=True,
                ),
            )

    assert list(run().outputs) == ["results"]
    assert run().cache_hit
    (here / "config.yaml").write_text("a: 2")
    assert not run().cache_hit


def test_a_fixed_capture_dir(tracker: Tracker, here: Path, legacy_model: Any) -> None:
    # RUN-030, RUN-031, RUN-032
    (here / "input.csv").write_text("a\n1\n")
    (here / "config.yaml").write_text("a: 1")
    with use_tracker(tracker):

        def run_legacy_model(upstream: Path) -> None:
            import legacy_model  # type: ignore[import-not-found]

            legacy_model.run(upstream, output_dir="outputs")

        result = consist.run(
            fn=run_legacy_model,
            inputs={"upstream": Path("input.csv")},
            depends_on=[Path("config.yaml")],
            execution_options=ExecutionOptions(
                load_inputs=False,
                runtime_kwargs={"upstream": Path("input.csv")},
            ),
            capture_dir=Path("outputs"),
            capture_pattern="*.csv",
        )
    assert list(result.outputs) == ["results"]
    assert result.outputs["results"].path == here / "outputs" / "results.csv"


# ---------------------------------------------------------------- pattern 2


def preprocess_data(raw: pd.DataFrame) -> pd.DataFrame:
    df = raw[raw["value"] > 0.5]
    return df


def analyze_data(preprocessed: pd.DataFrame) -> pd.DataFrame:
    summary = preprocessed.groupby("category", as_index=False)["value"].mean()
    return summary


class Keys(ArtifactKeyRegistry):
    RAW = "raw"
    PREPROCESSED = "preprocessed"
    ANALYSIS = "analysis"


def test_the_two_step_scenario(tracker: Tracker, raw: Path) -> None:
    # SCN-019, SCN-020, SCN-028, SCN-038, COUP-020, SIG-026
    def workflow() -> list[bool]:
        with use_tracker(tracker), consist.scenario("my_analysis") as sc:
            first = sc.run(
                name="preprocess",
                fn=preprocess_data,
                inputs={"raw": Path("raw.csv")},
                outputs=["preprocessed"],
            )

            second = sc.run(
                name="analyze",
                fn=analyze_data,
                inputs=["preprocessed"],
                execution_options=ExecutionOptions(load_inputs=True),
                outputs=["analysis"],
            )
            return [first.cache_hit, second.cache_hit]

    assert workflow() == [False, False]
    assert workflow() == [True, True]
    steps = tracker.find_runs(parent_id="my_analysis")
    assert {run.model_name for run in steps} == {"preprocess", "analyze"}
    # A row that is filtered out changes raw.csv and not what preprocess makes of it.
    raw.write_text(raw.read_text() + "a,0.1\n")
    assert workflow() == [False, True]
    raw.write_text(raw.read_text() + "a,0.8\n")
    assert workflow() == [False, False]


def test_the_key_registry_in_calls(tracker: Tracker, raw: Path) -> None:
    # COUP-025, COUP-026
    with tracker.scenario("s") as sc:
        sc.run(fn=preprocess_data, inputs={Keys.RAW: "raw.csv"}, outputs=[Keys.PREPROCESSED])
        sc.run(
            fn=analyze_data,
            inputs=[Keys.PREPROCESSED],
            execution_options=ExecutionOptions(load_inputs=True),
            outputs=[Keys.ANALYSIS],
        )
        Keys.validate([Keys.RAW, Keys.PREPROCESSED])
        assert set(sc.coupler.keys()) == {"preprocessed", "analysis"}


def test_the_namespaced_view(tracker: Tracker, raw: Path) -> None:
    # COUP-010, COUP-011
    with tracker.scenario("s") as sc:
        artifact = sc.add_input(raw, "raw")
        beam = sc.coupler.view("beam")
        beam.set("plans_in", artifact)
        assert beam.require("plans_in") is artifact
        assert sc.coupler.require("beam/plans_in") is artifact


def test_inline_steps_with_trace(tracker: Tracker, raw: Path) -> None:
    # RUN-045, SCN-027, SCN-028, SCN-031
    executed = []

    def workflow() -> None:
        with use_tracker(tracker), consist.scenario("my_analysis") as sc:
            with sc.trace(name="preprocess", inputs={"raw": Path("raw.csv")}):
                executed.append("preprocess")
                df = pd.read_csv("raw.csv")
                consist.log_dataframe(df, key="preprocessed")

            with sc.trace(name="analyze", inputs=["preprocessed"]):
                executed.append("analyze")
                df = consist.load_df(sc.coupler.require("preprocessed"))
                summary = df.groupby("category", as_index=False)["value"].mean()
                consist.log_dataframe(summary, key="analysis")

    workflow()
    workflow()
    assert executed == ["preprocess", "analyze"] * 2
    hits = [run.meta.get("cache_hit") for run in tracker.find_runs(parent_id="my_analysis")]
    assert hits == [True, True]


def test_the_multi_year_loop_with_trace(tracker: Tracker) -> None:
    # SCN-029, G-16
    def workflow() -> None:
        with use_tracker(tracker), consist.scenario("baseline", model="travel_demand") as sc:
            coupler = sc.coupler

            with sc.trace(name="initialize", run_id="baseline_init"):
                df_pop = load_population()
                consist.log_dataframe(df_pop, key="population")

            for year in [2020, 2030, 2040]:
                with sc.trace(
                    name="simulate",
                    run_id=f"baseline_{year}",
                    year=year,
                    inputs=["population"],
                ):
                    df_pop = consist.load_df(coupler.require("population"))
                    df_result = run_model(year, df_pop)

                    consist.log_dataframe(df_result, key="persons")

    workflow()
    found = tracker.find_runs(parent_id="baseline", model="simulate", index_by="year")
    assert isinstance(found, dict)
    assert {year: run.id for year, run in found.items()} == {
        2020: "baseline_2020",
        2030: "baseline_2030",
        2040: "baseline_2040",
    }
    workflow()
    found = tracker.find_runs(parent_id="baseline", model="simulate", index_by="year")
    assert isinstance(found, dict)
    assert found[2030].id == "baseline_2030~2"
    assert found[2030].meta["cache_hit"] is True
    persons = tracker.get_artifacts_for_run("baseline_2030").outputs["persons"]
    assert consist.load_df(persons)["year"].tolist() == [2030, 2030]


def simulate_year(population: pd.DataFrame, config: dict[str, Any]) -> pd.DataFrame:
    year = config["year"]
    return run_model(year, population)


def test_the_multi_year_loop_with_run(tracker: Tracker) -> None:
    # RUN-011, SCN-039
    def workflow() -> list[bool]:
        hits = []
        with use_tracker(tracker), consist.scenario("baseline", model="travel_demand") as sc:
            with sc.trace(name="initialize", run_id="baseline_init"):
                df_pop = load_population()
                consist.log_dataframe(df_pop, key="population")

            for year in [2020, 2030, 2040]:
                result = sc.run(
                    name=f"simulate_{year}",
                    fn=simulate_year,
                    inputs=["population"],
                    outputs=["persons"],
                    execution_options=ExecutionOptions(load_inputs=True),
                    config={"year": year},
                )
                hits.append(result.cache_hit)
        return hits

    assert workflow() == [False] * 3
    assert workflow() == [True] * 3


def make_outputs() -> dict[str, Any]:
    return {"zarr_skims": load_population(), "synthetic_population": load_population()}


@pytest.mark.parametrize("complete", [True, False])
def test_required_outputs(
    tracker: Tracker, complete: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # SCN-018, SCN-032, SCN-034, ERR-062
    keys = ["zarr_skims", "synthetic_population"] if complete else ["zarr_skims"]

    def workflow() -> None:
        with use_tracker(tracker), consist.scenario("workflow") as sc:
            sc.require_outputs(
                "zarr_skims",
                "synthetic_population",
                warn_undefined=True,
                description={
                    "zarr_skims": "Zone-to-zone travel times in Zarr format",
                    "synthetic_population": "Synthetic population with activity schedules",
                },
            )
            quiet = OutputPolicyOptions(output_mismatch="ignore")
            sc.run("compile", fn=make_outputs, outputs=keys, output_policy=quiet)

    with caplog.at_level(logging.WARNING):
        if complete:
            workflow()
        else:
            with pytest.raises(RuntimeError, match="synthetic_population"):
                workflow()
    assert caplog.text == ""


def test_declared_outputs_with_an_optional_one(tracker: Tracker) -> None:
    # SCN-033
    with use_tracker(tracker), consist.scenario("workflow") as sc:
        sc.declare_outputs(
            "zarr_skims",
            "synthetic_population",
            required={"zarr_skims": True, "synthetic_population": True},
        )
        sc.declare_outputs("debug_report", required={"debug_report": False})
        sc.run("compile", fn=make_outputs, outputs=["zarr_skims", "synthetic_population"])


@pytest.mark.parametrize("complete", [True, False])
def test_the_shortcut_for_required_outputs(tracker: Tracker, complete: bool) -> None:
    # SCN-011, ERR-062
    def workflow() -> None:
        with (
            use_tracker(tracker),
            consist.scenario(
                "workflow",
                require_outputs=["zarr_skims", "synthetic_population"],
            ) as sc,
        ):
            keys = ["zarr_skims", "synthetic_population"] if complete else ["zarr_skims"]
            quiet = OutputPolicyOptions(output_mismatch="ignore")
            sc.run("compile", fn=make_outputs, outputs=keys, output_policy=quiet)

    if complete:
        workflow()
    else:
        with pytest.raises(RuntimeError, match="synthetic_population"):
            workflow()


class CompileRunner:
    """Stands for the runner of a model, whose method is the step."""

    def run(self) -> None:
        for key in ("zarr_skims", "synthetic_population"):
            consist.log_dataframe(load_population(), key=key)


@pytest.mark.parametrize("debugging", [True, False])
def test_a_method_as_step_with_outputs_declared_on_the_way(
    tracker: Tracker, debugging: bool
) -> None:
    # SCN-018, SCN-033, C-08
    asim_compile_runner = CompileRunner()
    with use_tracker(tracker), consist.scenario("workflow") as sc:
        sc.declare_outputs(
            "zarr_skims",
            "synthetic_population",
            required={"zarr_skims": True, "synthetic_population": True},
        )

        if debugging:
            sc.declare_outputs("debug_report", required={"debug_report": False})

        compile_result = sc.run("compile", fn=asim_compile_runner.run)
    assert compile_result.run.model_name == "compile"
    assert set(compile_result.outputs) == {"zarr_skims", "synthetic_population"}


def test_collect_by_keys(tracker: Tracker) -> None:
    # SCN-035, SCN-036, COUP-019, C-17
    def forecast_fn() -> dict[str, Any]:
        return {"population": load_population(), "skims": load_population()}

    with tracker.scenario("s") as sc:
        for year in [2020, 2030]:
            result = sc.run(f"forecast_{year}", fn=forecast_fn, outputs=["population", "skims"])
            sc.collect_by_keys(result.outputs, "population", "skims", prefix=f"{year}_")
        assert {"2020_population", "2030_skims", "population"} <= set(sc.coupler.keys())


def test_bulk_logging_with_metadata(tracker: Tracker, here: Path) -> None:
    # ART-022 to ART-024
    (here / "results").mkdir()
    for name in ("persons", "households", "jobs"):
        pd.DataFrame({name: [1]}).to_parquet(here / "results" / f"{name}.parquet")
    with use_tracker(tracker), consist.scenario("outputs") as sc, sc.trace(name="export_outputs"):
        outputs = consist.log_artifacts(
            {
                "persons": "results/persons.parquet",
                "households": "results/households.parquet",
                "jobs": "results/jobs.parquet",
            },
            metadata_by_key={
                "households": {"role": "primary_unit"},
                "jobs": {"role": "employment_proxy"},
            },
            year=2030,
            scenario_name="base",
        )
    assert {key: a.meta.get("role") for key, a in outputs.items()} == {
        "persons": None,
        "households": "primary_unit",
        "jobs": "employment_proxy",
    }
    assert all(a.meta["year"] == 2030 for a in outputs.values())


def test_the_parameter_sweep(tracker: Tracker, here: Path) -> None:
    # SIG-028, C-11: the threshold belongs into the config
    pd.DataFrame({"value": [0.2, 0.4, 0.6, 0.8]}).to_csv(here / "data.csv", index=False)
    with use_tracker(tracker), consist.scenario("sensitivity_analysis") as sc:
        coupler = sc.coupler

        with sc.trace(name="setup"):
            df = pd.read_csv("data.csv")
            consist.log_dataframe(df, key="data")

        for threshold in [0.3, 0.5, 0.7]:
            with sc.trace(
                name="analyze",
                run_id=f"threshold_{threshold}",
                config={"threshold": threshold},
                inputs=["data"],
            ):
                df = consist.load_df(coupler.require("data"))
                filtered = df[df["value"] > threshold]
                consist.log_dataframe(filtered, key="filtered")
    counts = [
        len(tracker.load_df(tracker.get_run_outputs(f"threshold_{t}")["filtered"]))
        for t in (0.3, 0.5, 0.7)
    ]
    assert counts == [3, 2, 1]


# ---------------------------------------------------------------- advanced


def test_hydration_of_steps(tracker: Tracker) -> None:
    # HYD-015
    with (
        use_tracker(tracker),
        consist.scenario("baseline", step_cache_hydration="inputs-missing") as sc,
    ):
        coupler = sc.coupler
        with sc.trace(name="initialize"):
            consist.log_dataframe(load_population(), key="population")
        with sc.trace(name="simulate", inputs=["population"]):
            df_pop = consist.load_df(coupler.require("population"))
            assert len(df_pop) == 2


def test_a_run_inside_a_scenario(tracker: Tracker, here: Path) -> None:
    # SCN-037, COUP-023
    (here / "network.geojson").write_text('{"type": "FeatureCollection", "features": []}')

    def expensive_preprocessing(network_file: Path) -> pd.DataFrame:
        return pd.DataFrame({"bytes": [network_file.stat().st_size]})

    with use_tracker(tracker), consist.scenario("baseline") as sc:
        coupler = sc.coupler
        preprocess = consist.run(
            fn=expensive_preprocessing,
            inputs={"network_file": Path("network.geojson")},
            outputs=["processed"],
        )
        coupler.update(preprocess.outputs)

        with sc.trace(name="simulate", inputs=["processed"]):
            network = consist.load_df(coupler.require("processed"))
            assert len(network) == 1


# ---------------------------------------------------------------- sc.run and sc.trace


@pytest.fixture
def land_use(here: Path) -> Path:
    path = here / "land_use.geojson"
    path.write_text('[{"zone": 1, "jobs": 10}, {"zone": 2, "jobs": 20}]')
    return path


def test_trace_prints_every_time(
    tracker: Tracker, land_use: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # RUN-045, CACHE-020
    for _ in range(2):
        with use_tracker(tracker), consist.scenario("baseline") as sc:
            year = 2030
            with sc.trace(
                name="prepare_land_use",
                inputs={"geojson": Path("land_use.geojson")},
                year=year,
            ):
                print(f"Processing land use for year {year}")
                zones = load_zones("land_use.geojson")

                df_zones = pd.DataFrame(zones)
                consist.log_dataframe(df_zones, key="zones")
    assert capsys.readouterr().out.count("Processing") == 2
    hits = [run.meta.get("cache_hit") for run in tracker.find_runs(model="prepare_land_use")]
    assert hits == [True, None]


def test_run_prints_on_the_first_run_only(
    tracker: Tracker, land_use: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # CACHE-020, C-06
    for _ in range(2):
        with use_tracker(tracker), consist.scenario("baseline") as sc:

            def prepare_land_use(geojson_path: Path) -> pd.DataFrame:
                print("Processing land use")
                zones = load_zones(geojson_path)
                return pd.DataFrame(zones)

            result = sc.run(
                name="prepare_land_use",
                fn=prepare_land_use,
                inputs={"geojson_path": Path("land_use.geojson")},
                outputs=["zones"],
                execution_options=ExecutionOptions(load_inputs=True),
            )
            assert sc.coupler.require("zones").id == result.outputs["zones"].id
    assert capsys.readouterr().out.count("Processing") == 1
    assert consist.load_df(result.outputs["zones"])["jobs"].tolist() == [10, 20]


def test_file_outputs_through_the_context(tracker: Tracker, here: Path) -> None:
    # CTX-012
    pd.DataFrame({"a": [1]}).to_parquet(here / "data.parquet")

    def beam_preprocess(data_file: Path, _consist_ctx: Any) -> None:
        out_path = _consist_ctx.run_dir / "beam_inputs.parquet"
        pd.read_parquet(data_file).to_parquet(out_path)
        _consist_ctx.log_output(out_path, key="beam_inputs")

    with use_tracker(tracker), consist.scenario("baseline") as sc:
        sc.run(
            name="beam_preprocess",
            fn=beam_preprocess,
            inputs={"data_file": Path("data.parquet")},
            execution_options=ExecutionOptions(
                load_inputs=False,
                runtime_kwargs={"data_file": Path("data.parquet")},
                inject_context=True,
            ),
        )
        assert sc.coupler.require("beam_inputs").path.exists()


# ---------------------------------------------------------------- querying results


def test_finding_runs_and_loading_artifacts(tracker: Tracker) -> None:
    # QRY-005, QRY-009, QRY-015
    with use_tracker(tracker), consist.scenario("baseline") as sc:
        for year in [2020, 2030]:
            with sc.trace("simulate", year=year):
                consist.log_dataframe(run_model(year, load_population()), key="persons")
    run = consist.find_run(tracker=tracker, parent_id="baseline", year=2030, model="simulate")
    runs_by_year = consist.find_runs(
        tracker=tracker, parent_id="baseline", model="simulate", index_by="year"
    )
    result_2030 = runs_by_year[2030]
    assert result_2030.id == run.id

    artifacts = tracker.get_artifacts_for_run(run.id)
    persons_artifact = artifacts.outputs["persons"]

    df = consist.load_df(persons_artifact)
    assert df["year"].tolist() == [2030, 2030]


def test_facets_side_by_side(tracker: Tracker) -> None:
    # FAC-019, FAC-020, FAC-021, QRY-037
    for n, mode in enumerate(("car", "bus")):
        with tracker.trace(
            "simulate", run_id=f"s{n}", facet={"alpha": n / 2, "beta": n, "mode": mode}
        ):
            pass
    params = consist.pivot_facets(
        namespace="simulate",
        keys=["alpha", "beta", "mode"],
        value_columns={"mode": "value_str"},
    )

    rows = consist.run_query(
        select(params.c.run_id, params.c.alpha, params.c.beta, params.c.mode),
        tracker=tracker,
    )
    assert sorted(map(tuple, rows)) == [("s0", 0.0, 0.0, "car"), ("s1", 0.5, 1.0, "bus")]
