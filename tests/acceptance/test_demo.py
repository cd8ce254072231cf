"""The demo does what its README says: one workflow, three passes, each in a new process."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from sqlmodel import SQLModel, func, select

import consist
from examples.bay_area.questions import results_question
from examples.bay_area.workflow import YEARS, open_tracker

ROOT = Path(__file__).parents[2]


def make_pass(project: Path, output: Path, *options: str) -> None:
    command = [sys.executable, "-m", "examples.bay_area", "pass", "--output", str(output)]
    subprocess.run([*command, *options], cwd=project, check=True, capture_output=True)


def executed(tracker: consist.Tracker, header: str) -> Counter[tuple[str, int | None]]:
    """Return which steps of a scenario's attempt really ran."""
    steps = tracker.find_runs(parent_id=header)
    assert isinstance(steps, list)
    assert len(steps) == 3 + 4 * len(YEARS)
    return Counter((s.model_name, s.year) for s in steps if not s.meta.get("cache_hit"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout without uncommitted changes, under the default code identity."""
    checkout = tmp_path_factory.mktemp("checkout") / "project"
    shutil.copytree(
        ROOT / "examples", checkout / "examples", ignore=shutil.ignore_patterns("output", "__*")
    )
    for init in (ROOT / "examples").rglob("__*.py"):
        shutil.copy(init, checkout / init.relative_to(ROOT))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as released"]):
        subprocess.run([*git, *words], cwd=checkout, check=True, capture_output=True)
    return checkout


@pytest.fixture(scope="module")
def passes(project: Path) -> Path:
    # The outputs lie about in the checkout, where git does not ignore them.
    output = project / "results"
    make_pass(project, output)
    make_pass(project, output)
    make_pass(project, output, "--parking-price", "6")
    return output


def test_the_first_pass_executes_everything_that_is_not_shared(passes: Path) -> None:
    with open_tracker(passes) as tracker:
        assert len(executed(tracker, "baseline~1")) == 3 + 4 * len(YEARS)
        policy = executed(tracker, "parking_reform~1")
        assert policy == Counter((m, y) for m in ("trips", "district_summary") for y in YEARS)


def test_the_second_pass_executes_nothing(passes: Path) -> None:
    # CACHE-016, RUN-007, SCN-045
    with open_tracker(passes) as tracker:
        for header in ("baseline~2", "parking_reform~2"):
            assert executed(tracker, header) == Counter()


def test_one_changed_parameter_executes_exactly_the_steps_that_depend_on_it(passes: Path) -> None:
    # SIG-002, SIG-026
    with open_tracker(passes) as tracker:
        assert executed(tracker, "baseline~3") == Counter()
        changed = executed(tracker, "parking_reform~3")
        assert changed == Counter((m, y) for m in ("trips", "district_summary") for y in YEARS)


def test_every_run_is_identified_by_the_repository(passes: Path) -> None:
    # SIG-015
    with open_tracker(passes) as tracker:
        steps = tracker.find_runs(parent_id="baseline")
        assert {run.meta["code_identity"] for run in steps} == {"repo_git"}


def test_one_question_answers_across_scenarios_and_years(passes: Path) -> None:
    with open_tracker(passes) as tracker:
        rows = results_question(tracker)
        assert [(row.scenario, row.year) for row in rows] == [
            (scenario, year) for scenario in ("baseline", "parking_reform") for year in YEARS
        ]
        by_car = {(row.scenario, row.year): row.by_car for row in rows}
        for year in YEARS:
            assert by_car["parking_reform", year] < by_car["baseline", year]


class DistrictSummary(SQLModel):
    """Columns of ``district_summary`` that are compared."""

    district: str
    trips: int
    car_trips: int
    miles_driven: float


def test_summaries_through_a_view_are_those_of_the_files(passes: Path) -> None:
    # VIEW-003 VIEW-006
    with open_tracker(passes) as tracker:
        view = tracker.view(DistrictSummary, key="district_summary")
        keys = (view.consist_scenario_id, view.consist_year, view.district)
        sums = (func.sum(view.trips), func.sum(view.car_trips), func.sum(view.miles_driven))
        found = {tuple(row[:3]): tuple(row[3:]) for row in tracker.run_query(
            select(*keys, *sums).group_by(*keys)
        )}  # fmt: skip
        frames = [
            pd.read_parquet(output.path).assign(scenario=scenario, year=step.year)
            for scenario in ("baseline", "parking_reform")
            for step in tracker.find_runs(parent_id=scenario, model="district_summary")
            for output in [tracker.get_run_outputs(step.id)["district_summary"]]
        ]
    by = pd.concat(frames).groupby(["scenario", "year", "district"])
    wanted = by[["trips", "car_trips", "miles_driven"]].sum()
    assert found.keys() == set(wanted.index)
    for place, values in found.items():
        assert values == pytest.approx(tuple(wanted.loc[place]))


def test_the_lineage_reaches_the_raw_data(passes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # QRY-028, QRY-030, URI-001
    with open_tracker(passes) as tracker:
        tracker.print_lineage("district_summary")
        skims = tracker.get_artifact("skims")
    tree = capsys.readouterr().out
    for raw in ("skims [openmatrix]", "land_use [csv]", "raw_households [csv]"):
        assert raw in tree
    assert skims is not None
    assert skims.container_uri == "data://skims.omx"


def test_the_command_line_looks_further(passes: Path) -> None:
    command = [sys.executable, "-m", "consist.cli", "runs", "--json", "--limit", "3"]
    database = ["--db-path", str(passes / "provenance.duckdb")]
    printed = subprocess.run([*command, *database], check=True, capture_output=True, text=True)
    assert [run["status"] for run in json.loads(printed.stdout)] == ["completed"] * 3
