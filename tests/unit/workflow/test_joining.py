"""Scenarios that several blocks share: one job per year, seen as one."""

# ruff: noqa: PT012 - the block is what has to fail

from __future__ import annotations

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import consist
from consist import Coupler, Run, Tracker
from consist.noop import NoopTracker
from consist.store.claims import Claim
from tests.unit.store.children import finish, start

if TYPE_CHECKING:
    import subprocess

YEARS = list(range(2030, 2038))


class Broken(Exception):
    """Raised by code under test."""


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def double(f: pd.DataFrame) -> pd.DataFrame:
    return f * 2


def fail() -> None:
    raise Broken("no vacant parcel")


def got(tracker: Tracker, run_id: str) -> Run:
    run = tracker.get_run(run_id)
    assert run is not None
    return run


def again(tracker: Tracker) -> Tracker:
    """Another tracker of the same store, as another process has it."""
    assert tracker.db_path
    return Tracker(tracker.run_dir, tracker.db_path)


def seen_everywhere(tracker: Tracker, run_id: str) -> Run:
    """The header as questions before and after a merge, its snapshot and the index have it."""
    asked = got(tracker, run_id)
    record = tracker.get_run_record(run_id)
    assert record is not None
    attempt = tracker.store.attempts(asked.requested_id)[asked.attempt]
    with again(tracker) as fresh:
        assert fresh.store.sync()
    with again(tracker) as fresh:
        merged = got(fresh, run_id)
    for other in (record.run, merged):
        assert (other.status, other.meta, other.ended_at, other.updated_at) == (
            asked.status,
            asked.meta,
            asked.ended_at,
            asked.updated_at,
        )
    if asked.status != "running":
        assert (attempt.uid, attempt.status) == (asked.uid, asked.status)
    return asked


def step_names(header: Run) -> list[str]:
    return [step["model"] for step in header.meta["steps"]]


# ---------------------------------------------------------------- one process after the other


def test_without_an_attempt_the_first_opens_the_scenario(tracker: Tracker) -> None:
    # G-16
    with tracker.scenario("s", join=True, config={"n": 1}, tags=["t"]) as sc:
        assert sc.run_id == "s"
        assert got(tracker, "s").status == "running"
        sc.run(one, outputs=["f"])
    header = seen_everywhere(tracker, "s")
    assert (header.status, step_names(header)) == ("completed", ["one"])
    assert header.tags == ["t", "scenario_header"]
    assert tracker.get_run_config("s") == {"n": 1}


def test_joined_blocks_add_their_steps_to_the_latest_attempt(tracker: Tracker) -> None:
    # G-16
    for _ in range(2):
        with tracker.scenario("s") as sc:
            sc.run(one, outputs=["f"])
    for year in (2030, 2040):
        with again(tracker) as other, other.scenario("s", join=True) as sc:
            assert sc.run_id == "s~2"
            step = sc.run(one, "sim", year=year, outputs=["g"])
            assert step.run_id.startswith("s_sim_")  # G-21
            assert step.run.parent_run_id == "s~2"
    header = seen_everywhere(tracker, "s")
    assert (header.id, header.status) == ("s~2", "completed")
    assert step_names(header) == ["one", "sim", "sim"]
    assert [step.get("year") for step in header.meta["steps"]] == [None, 2030, 2040]
    assert [run.year for run in tracker.find_runs(parent_id="s")] == [2040, 2030, None]
    assert len(tracker.find_runs(tags=["scenario_header"])) == 2


def test_the_environment_may_ask_for_joining(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # G-16
    with tracker.scenario("s"):
        pass
    monkeypatch.setenv("CONSIST_SCENARIO_JOIN", "1")
    with again(tracker) as other:
        with other.scenario("s") as sc:
            assert sc.run_id == "s"
        with other.scenario("s", join=False) as sc:
            assert sc.run_id == "s~2"
        with consist.use_tracker(other), consist.scenario("s") as sc:
            assert sc.run_id == "s~2"


def test_a_header_that_is_joined_while_its_opener_runs_ends_with_it(tracker: Tracker) -> None:
    with tracker.scenario("s") as opener:
        opener.run(one, outputs=["f"])
        with again(tracker) as other:
            with other.scenario("s", join=True) as sc:
                sc.run(one, "sim", outputs=["g"])
            header = seen_everywhere(other, "s")
            assert (header.status, header.ended_at) == ("running", None)
            assert step_names(header) == ["sim"]
    header = seen_everywhere(tracker, "s")
    assert (header.status, step_names(header)) == ("completed", ["one", "sim"])


def test_what_an_opener_logs_to_its_header_leaves_joined_steps(tracker: Tracker) -> None:
    with tracker.scenario("s") as opener:
        with again(tracker) as other, other.scenario("s", join=True) as sc:
            sc.run(one, "sim", outputs=["g"])
            other.log_meta(jobs=8)
        tracker.log_meta(machine="big")
        opener.run(one, outputs=["f"])
    header = seen_everywhere(tracker, "s")
    assert step_names(header) == ["one", "sim"]
    assert (header.meta["machine"], header.meta["jobs"]) == ("big", 8)


def test_what_a_joined_block_logs_between_its_steps_is_the_headers(
    tracker: Tracker, raw: Path
) -> None:
    with tracker.scenario("s", config={"n": 1}) as sc:
        sc.add_input(raw, "base")
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        assert set(sc.inputs) == {"base"}
        sc.add_input(raw, "data")
        assert set(sc.inputs) == {"base", "data"}
        assert sc.coupler.require("data").path == raw
        other.log_meta(jobs=8)
        other.log_artifact(raw, "note")
        sc.run(one, outputs=["f"])
        with pytest.raises(RuntimeError, match="step"):
            sc.add_input(raw, "late")
    header = seen_everywhere(tracker, "s")
    assert header.meta["jobs"] == 8
    for ask in (tracker, again(tracker)):
        assert {a.key for a in ask.get_run_inputs("s").values()} == {"base", "data"}
        assert set(ask.get_run_outputs("s")) == {"note"}
    record = tracker.get_run_record("s")
    assert record is not None
    assert {a.key for a in record.inputs} == {"base", "data"}
    assert record.config == {"n": 1}


def grown(rate: int) -> pd.DataFrame:
    return pd.DataFrame({"rate": [rate]})


@pytest.mark.parametrize("opener_joins", [True, False])
def test_sweeps_of_joined_blocks_are_on_the_header(tracker: Tracker, opener_joins: bool) -> None:
    with tracker.scenario("s", join=opener_joins) as opener:
        opener.map(grown, over={"rate": [1, 2]}, outputs=["f"], progress=False)
        for _ in range(2):
            with again(tracker) as other, other.scenario("s", join=True) as sc:
                sc.map(grown, over={"rate": [2, 3]}, outputs=["f"], progress=False)
    header = seen_everywhere(tracker, "s")
    assert sorted(sweep["points"] for sweep in header.meta["sweeps"]) == [2, 2, 2]
    assert len(tracker.find_runs(parent_id="s")) == 6


# ---------------------------------------------------------------- what is said of the header


def test_the_config_of_a_joined_block_is_the_headers(tracker: Tracker) -> None:
    # G-16
    with tracker.scenario("s", config={"n": 1, "m": 2}):
        pass
    with tracker.scenario("s", join=True) as sc:
        assert dict(sc.config) == {"n": 1, "m": 2}
    with tracker.scenario("s", join=True, config={"m": 2, "n": 1}, tags=["x"], year=2030):
        pass
    header = got(tracker, "s")
    assert (header.tags, header.year) == (["scenario_header"], None)


def test_another_config_than_the_headers_is_an_error_that_names_the_keys(
    tracker: Tracker,
) -> None:
    # G-16
    with tracker.scenario("s", config={"n": 1, "m": 2}):
        pass
    with (
        pytest.raises(ValueError, match=r"'k', 'n'\n") as caught,
        tracker.scenario("s", join=True, config={"n": 5, "m": 2, "k": 0}),
    ):
        pass
    assert "opened with" in caught.value.__notes__[0]
    assert tracker.find_runs(parent_id="s") == []
    assert len(tracker.find_runs()) == 1


def test_a_run_is_no_scenario_to_join(tracker: Tracker) -> None:
    with tracker.start_run("s", "model"):
        pass
    with (
        pytest.raises(ValueError, match="no scenario"),
        tracker.scenario("s", join=True),
    ):
        pass


# ---------------------------------------------------------------- coupler


def test_a_key_that_another_block_made_is_found_when_it_is_asked_for(tracker: Tracker) -> None:
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
        made = sc.run(lambda: one() * 3, "later", outputs=["f"]).outputs["f"]
        with pytest.raises(Broken):
            sc.run(fail, "bad")
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        result = sc.run(double, inputs={"f": "f"}, outputs=["g"])
        assert result.value["a"].tolist() == [6]
        assert sc.coupler.require("f").id == made.id
        assert "f" in sc.coupler
        assert set(sc.coupler.keys()) == {"f", "g"}
        assert dict(sc.coupler.items())["g"].id == result.outputs["g"].id
        assert len(sc.coupler.values()) == len(sc.coupler) == 2
        assert sc.coupler.path("f") == made.path
        assert sc.coupler.view("ns").get("f") is None
        sc.run(one, outputs=["f"])
        assert sc.coupler.require("f").id != made.id
    assert list(tracker.get_run_inputs(result.run_id)) == ["f"]


def test_what_steps_that_did_not_complete_put_out_is_not_found(tracker: Tracker, raw: Path) -> None:
    with pytest.raises(Broken), tracker.scenario("s") as sc, sc.trace("t"):
        tracker.log_artifact(raw, "partial")
        raise Broken
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        assert sc.coupler.get("partial") is None
        with pytest.raises(KeyError, match="partial"):
            sc.coupler.require("partial")
        with pytest.raises(KeyError, match="partial"):
            sc.run(double, inputs=["partial"])


def test_a_joined_block_asks_no_database_before_it_needs_a_key(
    tracker: Tracker, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
    with again(tracker) as other:
        asked: list[str] = []
        ask = other.store.artifacts_of_scenario
        monkeypatch.setattr(
            other.store, "artifacts_of_scenario", lambda i: (asked.append(i), ask(i))[1]
        )
        with other.scenario("s", join=True) as sc:
            sc.run(one, "own", outputs=["g"])
            sc.run(double, inputs={"f": "g"}, outputs=["h"])
            sc.run(lambda raw: raw, "file", inputs={"raw": "raw.csv"}, outputs=["i"])
            assert asked == []
            sc.run(double, "d", inputs={"f": "f"}, outputs=["j"])
            sc.run(double, "e", inputs={"f": "f"}, outputs=["k"])
            assert asked == ["s"]


def test_outputs_of_runs_inside_steps_are_found_as_well(tracker: Tracker) -> None:
    # G-22
    def outer() -> None:
        tracker.run(one, outputs=["inner"])

    with tracker.scenario("s") as sc:
        sc.run(outer)
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        assert sc.coupler.require("inner").key == "inner"


def test_a_coupler_that_is_passed_is_used_as_it_is(tracker: Tracker) -> None:
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
    own = Coupler()
    with tracker.scenario("s", join=True, coupler=own) as sc:
        assert sc.coupler is own
        assert sc.coupler.get("f") is None


def test_required_outputs_of_a_joined_block_are_its_own(tracker: Tracker) -> None:
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
    with (
        pytest.raises(RuntimeError, match="f"),
        tracker.scenario("s", join=True, require_outputs=["f"]) as sc,
    ):
        sc.run(double, inputs={"f": "f"}, outputs=["g"])
    header = seen_everywhere(tracker, "s")
    assert (header.status, header.meta["missing_outputs"]) == ("failed", ["f"])
    with tracker.scenario("s", join=True, require_outputs=["f"]) as sc:
        sc.run(double, inputs={"f": "f"}, outputs=["f"])
    assert got(tracker, "s").status == "completed"


# ---------------------------------------------------------------- failures


def failing_year(tracker: Tracker, year: int) -> None:
    with pytest.raises(Broken), tracker.scenario("s", join=True) as sc:
        sc.run(fail, "sim", year=year)


def test_a_failed_year_that_is_run_again_is_made_good(tracker: Tracker) -> None:
    # G-16
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
    for year in (2030, 2040, 2040):
        failing_year(tracker, year)
    header = seen_everywhere(tracker, "s")
    assert header.status == "failed"
    assert [failure["like"] for failure in header.meta["failures"]] == [
        ["sim", 2030, None, None, None],
        ["sim", 2040, None, None, None],
    ]
    assert header.meta["failures"][1]["error"] == header.meta["failed_with"] == "no vacant parcel"
    assert got(tracker, header.meta["failed_step"]).year == 2040
    with tracker.scenario("s", join=True) as sc:
        sc.run(one, "sim", year=2040, outputs=["g"])
    header = seen_everywhere(tracker, "s")
    assert (header.status, len(header.meta["failures"])) == ("failed", 1)
    with tracker.scenario("s", join=True) as sc:
        sc.run(one, "sim", year=2030, outputs=["g"])
    header = seen_everywhere(tracker, "s")
    assert header.status == "completed"
    assert not header.meta.keys() & {"failures", "failed_with", "failed_step", "error"}
    assert len(header.meta["steps"]) == 6


def test_a_failed_opener_is_made_good_by_a_joined_block(tracker: Tracker) -> None:
    # G-16, SCN-042
    with pytest.raises(Broken), tracker.scenario("s") as sc:
        sc.run(fail, "sim", year=2030)
    assert got(tracker, "s").meta["failures"][0]["like"][:2] == ["sim", 2030]
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        sc.run(one, "other", outputs=["f"])
    assert seen_everywhere(tracker, "s").status == "failed"
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        sc.run(one, "sim", year=2030, outputs=["f"])
    header = seen_everywhere(tracker, "s")
    assert header.status == "completed"
    assert not header.meta.keys() & {"failures", "failed_with", "error", "traceback"}


def test_a_block_that_fails_before_any_step_is_made_good_by_a_whole_later_one(
    tracker: Tracker,
) -> None:
    with tracker.scenario("s"):
        pass
    with pytest.raises(Broken), tracker.scenario("s", join=True):
        raise Broken
    assert got(tracker, "s").meta["failures"][0]["like"] is None
    failing_year(tracker, 2030)
    assert len(got(tracker, "s").meta["failures"]) == 2
    with tracker.scenario("s", join=True) as sc:
        sc.run(one, "sim", year=2030, outputs=["f"])
    assert seen_everywhere(tracker, "s").status == "completed"


def test_a_joined_block_that_was_stopped_leaves_the_header_interrupted(tracker: Tracker) -> None:
    with tracker.scenario("s"):
        pass
    with pytest.raises(KeyboardInterrupt), tracker.scenario("s", join=True):
        raise KeyboardInterrupt
    assert seen_everywhere(tracker, "s").status == "interrupted"


def test_long_lists_are_bounded(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consist.workflow.blocks.LISTED", 3)
    with tracker.scenario("s") as sc:
        for n in range(4):
            sc.run(one, config={"n": n}, outputs=["f"])
    for year in range(4):
        with tracker.scenario("s", join=True) as sc:
            sc.run(one, "sim", year=year, outputs=["f"])
    header = seen_everywhere(tracker, "s")
    assert (len(header.meta["steps"]), header.meta["steps_left_out"]) == (7, 1)
    for year in range(4):
        failing_year(tracker, year)
    header = seen_everywhere(tracker, "s")
    assert (len(header.meta["failures"]), header.meta["failures_left_out"]) == (3, 1)
    for year in range(4):
        with tracker.scenario("s", join=True) as sc:
            sc.run(one, "sim", year=year, outputs=["f"])
    assert seen_everywhere(tracker, "s").status == "failed"


# ---------------------------------------------------------------- threads, other trackers


def test_threads_of_one_tracker_join_without_mixing_their_blocks(tracker: Tracker) -> None:
    ready = threading.Barrier(4)

    def job(year: int) -> list[str]:
        with tracker.scenario("s", join=True) as sc:
            ready.wait(10)
            with ThreadPoolExecutor(1) as pool:  # a thread that knows nothing of the block
                pool.submit(sc.run, one, "sim", year=year, outputs=[f"of_{year}"]).result()
            with sc.trace("look", year=year):
                tracker.log_meta(year=year)
            ready.wait(10)
            return [key for key in sc.coupler.keys() if sc.coupler.holds(key)]  # noqa: SIM118

    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(job, YEARS[:4]))
    assert keys == [[f"of_{year}"] for year in YEARS[:4]]
    header = seen_everywhere(tracker, "s")
    assert (header.status, len(header.meta["steps"])) == ("completed", 8)
    assert len(tracker.find_runs(tags=["scenario_header"])) == 1


def test_a_tracker_with_another_run_folder_joins_too(tracker: Tracker, tmp_path: Path) -> None:
    assert tracker.db_path
    with tracker.scenario("s", config={"n": 1}) as sc:
        sc.run(one, outputs=["f"])
    with Tracker(tmp_path / "elsewhere", tracker.db_path) as other:
        for year in (2030, 2040):
            with other.scenario("s", join=True) as sc:
                sc.run(double, year=year, inputs={"f": "f"}, outputs=["g"])
        assert not (tmp_path / "elsewhere" / "consist_runs" / "s.json").exists()
    header = seen_everywhere(tracker, "s")
    assert step_names(header) == ["one", "double", "double"]
    assert tracker.get_run_config("s") == {"n": 1}


def test_a_header_without_its_snapshot_is_joined_all_the_same(
    tracker: Tracker, tmp_path: Path
) -> None:
    assert tracker.db_path
    with tracker.scenario("s", config={"n": 1}) as sc:
        sc.run(one, outputs=["f"])
    shutil.rmtree(tracker.run_dir)
    with (
        Tracker(tmp_path / "elsewhere", tracker.db_path) as other,
        other.scenario("s", join=True, config={"n": 2}) as sc,
    ):
        sc.run(one, "sim", outputs=["g"])
    header = got(tracker, "s")
    assert (header.status, step_names(header)) == ("completed", ["one", "sim"])
    assert not tracker.run_dir.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_folder_that_only_its_owner_may_write_is_left_alone(
    tracker: Tracker, tmp_path: Path
) -> None:
    assert tracker.db_path
    with tracker.scenario("s"):
        pass
    folder = tracker.run_dir / "consist_runs"
    folder.chmod(0o500)
    try:
        with (
            Tracker(tmp_path / "elsewhere", tracker.db_path) as other,
            other.scenario("s", join=True) as sc,
        ):
            sc.run(one, outputs=["f"])
    finally:
        folder.chmod(0o700)
    assert step_names(got(tracker, "s")) == ["one"]


def test_joining_without_a_database_goes_by_the_run_folder(tmp_path: Path) -> None:
    for year in (2030, 2040):
        with (
            Tracker(tmp_path / "runs") as tracker,
            tracker.scenario("s", join=True, config={"n": 1}) as sc,
        ):
            assert dict(sc.config) == {"n": 1}
            sc.run(one, "sim", year=year, outputs=["f"])
    record = tracker.get_run_record("s")
    assert record is not None
    assert [step["year"] for step in record.run.meta["steps"]] == [2030, 2040]
    assert record.run.status == "completed"
    assert not (tmp_path / "runs" / "consist_runs" / "s~2.json").exists()


def test_where_nothing_is_kept_there_is_nothing_to_join(tmp_path: Path) -> None:
    noop = NoopTracker(tmp_path / "runs")
    for _ in range(2):
        with noop.scenario("s", join=True) as sc:
            assert sc.run(one, outputs=["f"]).value["a"].tolist() == [1]
    assert not (tmp_path / "runs" / "consist_runs").exists()


def test_a_plain_scenario_makes_none_of_the_files_of_joined_ones(tracker: Tracker) -> None:
    with tracker.scenario("s") as sc:
        sc.run(one, outputs=["f"])
    assert tracker.db_path
    assert not (Path(f"{tracker.db_path}.journal") / "joined").exists()


# ---------------------------------------------------------------- claims


def test_a_claim_whose_owner_died_while_joining_goes_to_the_next(tracker: Tracker) -> None:
    # G-16
    from consist.store.joint import JointState

    claim = tracker.store.claim_attempt("s", 1)
    assert claim == Claim("s", "s", 1)
    tracker.store.joint("s").write("s", JointState(run_dir=str(tracker.run_dir), failures=()))
    with again(tracker) as other, other.scenario("s", join=True) as sc:
        sc.run(one, outputs=["f"])
    assert [run.id for run in tracker.find_runs(tags=["scenario_header"])] == ["s"]
    assert seen_everywhere(tracker, "s").status == "completed"


def test_a_claim_of_nobody_knows_whom_is_waited_for_and_then_left(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.workflow.joining._PATIENCE", 0.05)
    assert tracker.store.claim_attempt("s", 1) is not None
    assert tracker.store.claim_attempt("s", 1) is None
    assert tracker.store.last_claimed("s") == 1
    with tracker.scenario("s", join=True) as sc:
        assert sc.run_id == "s~2"
    with tracker.scenario("s", join=True) as sc:
        assert sc.run_id == "s~2"
    assert seen_everywhere(tracker, "s").id == "s~2"


# ---------------------------------------------------------------- processes

JOB = """
import pandas as pd
from consist import Tracker
def sim(year):
    if {fails!r} == year: raise ValueError("no vacant parcel")
    return pd.DataFrame({{"year": [year]}})
def main(year):
    with Tracker(folder / "runs", folder / "db.duckdb") as tracker:
        say("ready"); wait()
        with tracker.scenario("base", join=True, config={{"growth": 1}}) as sc:
            say(sc.run_id)
            if {holds!r}: wait()
            sc.run(sim, config={{"year": year}}, year=year, outputs=[f"of_{{year}}"])
            if {holds!r}: say("ran"); wait()
try: main({year})
except ValueError as error: say(error)
"""


def job(folder: Path, year: int, *, fails: int = 0, holds: bool = False) -> subprocess.Popen[str]:
    return start(JOB.format(year=year, fails=fails, holds=holds), folder)


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin
    child.stdin.write("\n")
    child.stdin.flush()


def opened(folder: Path) -> Tracker:
    return Tracker(folder / "runs", folder / "db.duckdb")


def check_seen_as_one(folder: Path, years: list[int]) -> Run:
    with opened(folder) as tracker:
        assert [run.id for run in tracker.find_runs(tags=["scenario_header"])] == ["base"]
        steps: Any = tracker.find_runs(parent_id="base", index_by="year")
        assert sorted(steps) == years
        assert all(run.id.startswith("base_sim_") for run in steps.values())
        header = seen_everywhere(tracker, "base")
        assert {step["year"] for step in header.meta["steps"]} <= set(years)
        return header


def test_eight_processes_that_start_together_are_one_scenario(tmp_path: Path) -> None:
    # G-16
    children = [job(tmp_path, year) for year in YEARS]
    assert [said(child) for child in children] == ["ready"] * 8
    for child in children:
        go(child)
    assert [finish(child).strip() for child in children] == ["base"] * 8
    header = check_seen_as_one(tmp_path, YEARS)
    assert sorted(step["year"] for step in header.meta["steps"]) == YEARS
    assert header.status == "completed"
    with opened(tmp_path) as tracker, tracker.scenario("base", join=True) as sc:
        assert len(sc.coupler) == 8
        assert tracker.load_df(sc.coupler.require("of_2033"))["year"].tolist() == [2033]


def test_a_year_that_fails_is_run_again_in_a_process_of_its_own(tmp_path: Path) -> None:
    # G-16
    for year in YEARS[:3]:
        out = finish(job(tmp_path, year, fails=2031)).split("\n")
        assert out[1] == "base"
    header = check_seen_as_one(tmp_path, YEARS[:3])
    assert (header.status, len(header.meta["failures"])) == ("failed", 1)
    finish(job(tmp_path, 2031))
    with opened(tmp_path) as tracker:
        header = seen_everywhere(tracker, "base")
        assert (header.status, len(header.meta["steps"])) == ("completed", 4)


def test_an_opener_that_is_killed_leaves_a_header_that_is_made_good(tmp_path: Path) -> None:
    # G-16
    opener = job(tmp_path, 2030, holds=True)
    assert said(opener) == "ready"
    go(opener)
    assert said(opener) == "base"
    go(opener)
    assert said(opener) == "ran"
    inside = job(tmp_path, 2031, holds=True)
    assert said(inside) == "ready"
    go(inside)
    assert said(inside) == "base"
    os.kill(opener.pid, signal.SIGKILL)
    opener.communicate()
    # It joined while the opener was there, so it cannot make good for it.
    finish(inside)
    header = check_seen_as_one(tmp_path, [2030, 2031])
    assert header.status == "interrupted"
    assert [step["year"] for step in header.meta["steps"]] == [2031]  # of blocks that ended
    assert str(opener.pid) in header.meta["failures"][0]["error"]
    finish(job(tmp_path, 2032))
    header = check_seen_as_one(tmp_path, [2030, 2031, 2032])
    assert header.status == "completed"
    assert "failures" not in header.meta


@pytest.mark.parametrize("merges", [False, True])
def test_a_killed_opener_is_interrupted_and_keeps_what_others_added(
    tmp_path: Path, merges: bool
) -> None:
    # G-16
    opener = job(tmp_path, 2030, holds=True)
    assert said(opener) == "ready"
    go(opener)
    assert said(opener) == "base"
    finish(job(tmp_path, 2031))
    os.kill(opener.pid, signal.SIGKILL)
    opener.communicate()
    with opened(tmp_path) as tracker:
        if merges:
            assert tracker.store.sync()
        header = got(tracker, "base")
        assert (header.status, header.meta["steps"][0]["year"]) == ("interrupted", 2031)
    finish(job(tmp_path, 2030))
    header = check_seen_as_one(tmp_path, [2030, 2031])
    assert header.status == "completed"


def test_without_file_locks_one_attempt_is_opened_all_the_same(tmp_path: Path) -> None:
    # G-16: as on a network file system that does not know them
    without = "import consist.store.joint as j; j.FileLock.acquire = lambda *a, **k: True\n"
    without += "j.locks_work = lambda folder: False\n"
    children = [
        start(without + JOB.format(year=y, fails=0, holds=False), tmp_path) for y in YEARS[:4]
    ]
    assert [said(child) for child in children] == ["ready"] * 4
    for child in children:
        go(child)
    assert [finish(child).strip() for child in children] == ["base"] * 4
    with opened(tmp_path) as tracker:
        assert len(tracker.find_runs(tags=["scenario_header"])) == 1
        assert len(tracker.find_runs(parent_id="base")) == 4
