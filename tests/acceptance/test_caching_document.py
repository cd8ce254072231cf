"""The examples of the document on caching and hydration (000), run as printed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

import consist
from consist import CacheOptions, ExecutionOptions, Tracker, define_step, use_tracker


def run_dispatch_model() -> Path:
    path = Path("dispatch.parquet")
    pd.DataFrame({"mw": [1.0, 2.0]}).to_parquet(path)
    return path


def test_the_grid_dispatch_example(
    tracker: Tracker,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # CACHE-003, HYD-002, HYD-009, HYD-011, HYD-020, HYD-029
    with tracker.start_run(
        "grid_dispatch_baseline", model="grid_sim", year=2024, cache_mode="overwrite"
    ):
        results = run_dispatch_model()
        cached_dispatch_artifact = tracker.log_artifact(results, key="dispatch")

    with (
        use_tracker(tracker),
        tracker.start_run(
            "reliability_analysis",
            model="analysis",
            inputs=[cached_dispatch_artifact],
            cache_hydration="metadata",
        ),
    ):
        print(f"Result came from run {cached_dispatch_artifact.run_id}")

        df = consist.load_df(cached_dispatch_artifact)
    assert len(df) == 2
    assert "grid_dispatch_baseline" in capsys.readouterr().out

    def export(*, logs: bool) -> None:
        with tracker.start_run(
            "export_for_reporting",
            model="export",
            cache_hydration="outputs-requested",
            materialize_cached_output_paths={"dispatch": Path("./local_outputs/dispatch.parquet")},
        ):
            local = tracker.run_dir / "local_outputs" / "dispatch.parquet"
            if logs:
                tracker.log_artifact(results, key="dispatch")
            else:
                assert len(pd.read_parquet(local)) == 2

    export(logs=True)
    export(logs=False)


def test_a_requested_output_that_is_not_cached_only_warns(
    tracker: Tracker, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # HYD-011
    for _ in range(2):
        with tracker.start_run(
            "export_for_reporting",
            model="export",
            cache_hydration="outputs-requested",
            materialize_cached_output_paths={"dispatch": Path("./local_outputs/dispatch.parquet")},
        ):
            pass
    assert "'dispatch'" in caplog.text
    assert not (tracker.run_dir / "local_outputs").exists()


def test_invalidation_by_epochs_and_versions(tmp_path: Path) -> None:
    # SIG-011, SIG-012, SIG-013, TRK-005, RUN-060
    def hits(tracker_epoch: int, scenario_epoch: int | None, version: int) -> bool:
        with Tracker(tmp_path / "r", tmp_path / "d.duckdb", cache_epoch=tracker_epoch) as tracker:

            @define_step(cache_version=version)
            def simulate() -> None:
                return None

            with tracker.scenario("baseline", cache_epoch=scenario_epoch) as sc:
                return sc.run(simulate).cache_hit

    assert hits(2, 4, 3) is False
    assert hits(2, 4, 3) is True
    assert hits(2, 5, 3) is False
    assert hits(2, 4, 4) is False
    assert hits(2, None, 3) is False
    assert hits(3, None, 3) is False
    assert hits(2, None, 3) is True


def test_pattern_1_hands_artifacts_on(tracker: Tracker, raw: Path) -> None:
    # COUP-005, COUP-020, COUP-022, C-04
    def workflow() -> list[bool]:
        cached = []
        with use_tracker(tracker), consist.scenario("my_scenario") as scenario:
            with scenario.trace("ingest"):
                cached.append(tracker.is_cached)
                consist.log_artifact("raw.csv", key="raw", direction="output")

            with scenario.trace("transform", inputs=["raw"]):
                cached.append(tracker.is_cached)
                raw_art = scenario.coupler.require("raw")
                df = consist.load_df(raw_art, tracker=tracker)
                assert len(df) >= 3
        return cached

    assert workflow() == [False, False]
    assert workflow() == [True, True]
    raw.write_text(raw.read_text() + "c,0.1\n")
    assert workflow()[1] is False


@pytest.mark.parametrize("loaded", [True])
def test_pattern_2_a_cached_run(tracker: Tracker, raw: Path, loaded: bool) -> None:
    # RUN-026, RUN-015, C-06
    def clean(raw_file: Path) -> dict[str, Any]:
        cleaned_df = pd.read_csv(raw_file).dropna()
        return {"cleaned": cleaned_df}

    def run() -> consist.RunResult:
        with use_tracker(tracker):
            return consist.run(
                fn=clean,
                inputs={"raw_file": Path("raw.csv")},
                outputs=["cleaned"],
                execution_options=ExecutionOptions(load_inputs=loaded),
            )

    first, second = run(), run()
    assert len(consist.load_df(first.outputs["cleaned"])) == 3
    assert second.cache_hit


def test_pattern_3_resumes_after_a_failure(tracker: Tracker, raw: Path) -> None:
    # CACHE-001, CACHE-010, SCN-042
    broken = True

    def early(raw: pd.DataFrame) -> pd.DataFrame:
        return raw

    def late(prepared: pd.DataFrame) -> pd.DataFrame:
        if broken:
            raise OSError("disk")
        return prepared

    def workflow() -> list[bool]:
        hits = []
        with tracker.scenario("resume") as sc:
            hits.append(sc.run(early, inputs={"raw": raw}, outputs=["prepared"]).cache_hit)
            options = ExecutionOptions(load_inputs=True)
            result = sc.run(late, inputs=["prepared"], outputs=["done"], execution_options=options)
            hits.append(result.cache_hit)
        return hits

    with pytest.raises(OSError, match="disk"):
        workflow()
    failed = tracker.find_runs(model="late")
    assert [run.status for run in failed] == ["failed"]
    broken = False
    # Whether the cured step may hit is no question: nothing of it was ever completed.
    assert workflow() == [True, False]
    assert workflow() == [True, True]


def test_inputs_missing_extends_a_scenario_in_another_workspace(tmp_path: Path) -> None:
    # HYD-003, HYD-005
    database = tmp_path / "d.duckdb"
    with Tracker(tmp_path / "workspace_2024", database) as tracker:
        tracker.run(lambda: pd.DataFrame({"a": [1]}), "make", run_id="made", outputs=["f"])
    with Tracker(tmp_path / "workspace_2025", database) as tracker:
        cached_artifact = tracker.load_input_bundle("made")["f"]
        with tracker.start_run(
            "next_step",
            model="step",
            inputs=[cached_artifact],
            cache_hydration="inputs-missing",
        ):
            assert cached_artifact.path.is_relative_to(tmp_path / "workspace_2025")
            assert tracker.load_df(cached_artifact)["a"].tolist() == [1]


def test_requested_outputs_through_run(tracker: Tracker) -> None:
    # HYD-010
    def step() -> None:
        out = tracker.run_dir / "outputs" / "features.csv"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("a\n1\n")

    def run() -> consist.RunResult:
        with use_tracker(tracker):
            return consist.run(
                fn=step,
                cache_options=CacheOptions(cache_hydration="outputs-requested"),
                output_paths={"features": Path("outputs/features.csv")},
            )

    assert list(run().outputs) == ["features"]
    assert run().cache_hit


HOUSEHOLDS = b'id,zone,income,since\r\n007,"a, b",1.50,01/31/2030\r\n008,,NA,02/28/2030\r\n'


def make_the_bundle(folder: Path) -> None:
    tracker = Tracker(run_dir="bundle_build", db_path="inputs.duckdb")

    with tracker.start_run("inputs_bundle_v1", model="input_bundle", cache_mode="overwrite"):
        households = tracker.log_artifact("households.csv", key="households", direction="output")
        persons = tracker.log_artifact("persons.csv", key="persons", direction="output")
        tracker.ingest(households)
        tracker.ingest(persons)

    tracker.close()


@pytest.fixture
def shared(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into the folder of a collaborator who got the database file and nothing else."""
    Path("households.csv").write_bytes(HOUSEHOLDS)
    Path("persons.csv").write_text("id,age\n1,30\n2,\n")
    make_the_bundle(here)
    other = tmp_path / "collaborator"
    other.mkdir()
    shutil.copy("inputs.duckdb", other)
    shutil.rmtree(here)
    monkeypatch.chdir(other)
    return other


def test_pattern_5_builds_a_bundle(here: Path) -> None:
    # BUN-001, BUN-008
    Path("households.csv").write_bytes(HOUSEHOLDS)
    Path("persons.csv").write_text("id,age\n1,30\n")
    for _ in range(2):
        make_the_bundle(here)
    with Tracker(run_dir="bundle_build", db_path="inputs.duckdb") as tracker:
        assert len(tracker.find_runs(model="input_bundle")) == 2
        rows = tracker.run_query(text("SELECT * FROM global_tables.households"))
        assert len(rows) == 4


def test_pattern_5_consumes_a_bundle(shared: Path) -> None:
    # BUN-002, BUN-004, BUN-005, BUN-007
    tracker = Tracker(run_dir="runs", db_path="inputs.duckdb")

    bundle_outputs = tracker.load_input_bundle("inputs_bundle_v1")
    inputs = list(bundle_outputs.values())

    with tracker.start_run(
        "simulate",
        model="simulate",
        inputs=inputs,
        cache_hydration="inputs-missing",
    ):
        assert bundle_outputs["households"].path.read_bytes() == HOUSEHOLDS
        persons = pd.read_csv(bundle_outputs["persons"].path)
        assert persons["age"].isna().tolist() == [False, True]

    assert set(tracker.get_run_inputs("simulate")) == {"households", "persons"}
    tracker.close()


def test_pattern_5_serves_several_models(shared: Path) -> None:
    # BUN-003, BUN-006
    tracker = Tracker(run_dir="runs", db_path="inputs.duckdb")
    bundle_outputs = tracker.load_input_bundle("inputs_bundle_v1")

    with tracker.start_run(
        "model_a",
        model="model_a",
        inputs=[bundle_outputs["households"]],
        cache_hydration="inputs-missing",
    ):
        assert bundle_outputs["households"].path.exists()
        assert not bundle_outputs["persons"].path.exists()

    with tracker.start_run(
        "model_b",
        model="model_b",
        inputs=[bundle_outputs["persons"]],
        cache_hydration="inputs-missing",
    ):
        assert bundle_outputs["persons"].path.exists()

    def count(households: pd.DataFrame, persons: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"n": [len(households) + len(persons)]})

    result = tracker.run(
        count,
        inputs=bundle_outputs,
        outputs=["counted"],
        execution_options=ExecutionOptions(load_inputs=True),
        cache_options=CacheOptions(cache_hydration="inputs-missing"),
    )
    assert tracker.load_df(result.outputs["counted"])["n"].tolist() == [4]
    tracker.close()


def test_a_bundle_can_be_read_where_nothing_may_be_written(shared: Path) -> None:
    # HYD-021
    (shared / "inputs.duckdb").chmod(0o444)
    with Tracker(run_dir="runs", db_path="inputs.duckdb", access_mode="read_only") as tracker:
        bundle = tracker.load_input_bundle("inputs_bundle_v1")
        frame = tracker.load_df(bundle["households"], db_fallback="always")
        assert frame["id"].tolist() == ["007", "008"]
    assert sorted(path.name for path in shared.iterdir()) == ["inputs.duckdb"]
