"""The examples of the Tracker reference (002), run as printed."""


# ruff: noqa: TRY301 - the examples stand as printed

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sqlmodel import Field, SQLModel

import consist
from consist import Run, Tracker


class MySchema(SQLModel, table=True):
    my_id: int = Field(primary_key=True)


def run_model(year: int) -> Path:
    path = Path(f"results_{year}.csv")
    path.write_text(f"year\n{year}\n")
    return path


def test_the_minimal_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # TRK-002, RUN-057, QRY-013
    tracker = Tracker(run_dir="./runs", db_path="./provenance.duckdb")

    def write_summary() -> Path:
        out = consist.output_path("summary", ext="txt")
        out.write_text("summary\n")
        return out

    result = tracker.run(fn=write_summary, outputs=["summary"])
    latest = tracker.find_latest_run(model=result.run.model_name)

    print(result.run.id)
    print(latest.id if latest else None)
    assert capsys.readouterr().out.split() == [result.run_id] * 2
    tracker.close()


def test_construction_with_a_config(here: Path) -> None:
    # TRK-006, TRK-007
    from consist.core.tracker import Tracker as HomeTracker
    from consist.core.tracker_config import TrackerConfig

    config = TrackerConfig(run_dir="./runs", db_path="./provenance.duckdb")
    tracker = HomeTracker.from_config(config)
    assert tracker.run_dir == here / "runs"
    assert tracker.db_path == here / "provenance.duckdb"
    tracker.close()


def test_identity_keywords_on_run_and_trace(tracker: Tracker, here: Path) -> None:
    # SIG-007, SIG-008
    asim_config_dir = here / "configs"
    asim_config_dir.mkdir()
    (asim_config_dir / "settings.yaml").write_text("a: 1")

    def simulate() -> None:
        return None

    def both() -> tuple[bool, bool]:
        result = tracker.run(fn=simulate, identity_inputs=[("asim_config", asim_config_dir)])
        with tracker.trace("simulate_trace", identity_inputs=[("asim_config", asim_config_dir)]):
            return result.cache_hit, tracker.is_cached

    assert both() == (False, False)
    assert both() == (True, True)
    (asim_config_dir / "settings.yaml").write_text("a: 2")
    assert both() == (False, False)


def test_registered_schemas(tmp_path: Path) -> None:
    # TRK-012
    tracker = Tracker(run_dir=tmp_path / "r", schemas=[MySchema])
    assert "MySchema" in tracker.registered_schemas
    tracker.close()


@pytest.mark.parametrize("fails", [False, True])
def test_begin_and_end(tracker: Tracker, here: Path, fails: bool) -> None:
    # TRK-019, TRK-034, TRK-035; a path is logged with the key that it needs (ERR-010)
    input_file, output_file = here / "in.csv", here / "out.csv"
    input_file.write_text("a\n1\n")

    def example() -> None:
        run = tracker.begin_run("run_001", "urbansim", config={"a": 1})
        assert run.status == "running"
        try:
            tracker.log_artifact(input_file, key="input", direction="input")
            if fails:
                raise KeyError("work")
            output_file.write_text("a\n2\n")
            tracker.log_artifact(output_file, key="output", direction="output")
            tracker.end_run("completed")
        except Exception as e:
            tracker.end_run("failed", error=e)
            raise

    if fails:
        with pytest.raises(KeyError, match="work"):
            example()
    else:
        example()
    run = tracker.get_run("run_001")
    assert run is not None
    assert run.status == ("failed" if fails else "completed")
    assert list(tracker.get_run_inputs("run_001")) == ["input"]


def test_start_run(tracker: Tracker, here: Path) -> None:
    # TRK-038, C-22: the second argument is the key
    (here / "data.csv").write_text("a\n1\n")
    pd.DataFrame({"a": [1]}).to_parquet(here / "results.parquet")
    with tracker.start_run("run_1", "my_model", config={"p": 1}):
        tracker.log_artifact("data.csv", "input")
        tracker.log_artifact("results.parquet", "output")
    assert set(tracker.get_run_outputs("run_1")) == {"input", "output"}
    assert tracker.get_run_inputs("run_1") == {}


def test_run_with_and_without_config(tracker: Tracker, raw: Path) -> None:
    # RUN-007, RUN-009, SIG-005
    def clean_data(raw: pd.DataFrame) -> pd.DataFrame:
        return raw[raw["value"] > 0.5]

    def plain() -> consist.RunResult:
        return tracker.run(
            fn=clean_data,
            inputs={"raw": Path("raw.csv")},
            outputs=["cleaned"],
        )

    def configured() -> consist.RunResult:
        return tracker.run(
            fn=clean_data,
            inputs={"raw": Path("raw.csv")},
            config={"threshold": 0.5},
            outputs=["cleaned"],
        )

    hits = [run().cache_hit for run in (plain, plain, configured, configured, plain)]
    assert hits == [False, True, False, True, True]
    assert tracker.load_df(plain().outputs["cleaned"])["value"].tolist() == [0.6, 0.9]


def test_trace_with_output_paths(tracker: Tracker, raw: Path, here: Path) -> None:
    # RUN-047, C-14
    def block() -> bool:
        with tracker.trace("my_analysis", output_paths={"results": "./results.csv"}):
            df = pd.read_csv("raw.csv")
            df["value"] = df["value"] * 2
            df.to_csv("./results.csv", index=False)
            return tracker.is_cached

    assert block() is False
    (run,) = tracker.find_runs()
    artifact = tracker.get_run_outputs(run.id)["results"]
    assert artifact.path == here / "results.csv"
    assert tracker.load_df(artifact)["value"].tolist() == [0.4, 1.2, 1.8]
    assert block() is True
    again = tracker.find_runs()[0]
    assert tracker.get_run_outputs(again.id)["results"].id == artifact.id
    assert again.meta["cache_hit"] is True


def test_the_scenario_loop(tracker: Tracker) -> None:
    # SCN-003, SCN-029
    with tracker.scenario("baseline") as sc:
        for year in [2020, 2030, 2040]:
            with sc.trace(name="simulate", year=year):
                results = run_model(year)
                tracker.log_artifact(results, key="output")
    found = tracker.find_runs(parent_id="baseline", index_by="year")
    assert isinstance(found, dict)
    assert sorted(found) == [2020, 2030, 2040]
    for year, run in found.items():
        output = tracker.get_run_outputs(run.id)["output"]
        assert tracker.load_df(output)["year"].tolist() == [year]


def test_the_scenario_with_an_input_and_an_old_step(tracker: Tracker, here: Path) -> None:
    # SCN-016, SCN-040, C-07
    (here / "data.csv").write_text("a\n1\n")
    with tracker.scenario("baseline", config={"mode": "test"}) as sc:
        sc.add_input("data.csv", key="data")
        with sc.step("init"):
            ...
    assert list(tracker.get_run_inputs("baseline")) == ["data"]


def test_log_artifacts(tracker: Tracker, here: Path) -> None:
    # ART-022, ART-023
    for name in ("persons", "households"):
        (here / f"{name}.csv").write_text("a\n1\n")
    with tracker.start_run("r", "m"):
        artifacts = tracker.log_artifacts(
            {"persons": "persons.csv", "households": "households.csv"},
            metadata_by_key={"households": {"role": "primary"}},
            year=2030,
        )
    assert set(artifacts) == {"persons", "households"}
    assert artifacts["households"].meta["role"] == "primary"


def test_hooks_as_decorator_and_as_call(
    tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    # HOOK-001, HOOK-004
    @tracker.on_run_start
    def log_start(run: Run) -> None:
        print(f"Starting run {run.id}")

    def notify(run: Run) -> None:
        print(f"Notify {run.id}")

    tracker.on_run_start(notify)
    with tracker.start_run("r", "m"):
        pass
    assert capsys.readouterr().out == "Starting run r\nNotify r\n"
