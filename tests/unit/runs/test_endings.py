"""How runs end that do not complete: what is kept of the error, and of the outputs so far."""

# ruff: noqa: PT012 - the block is what has to fail
# ruff: noqa: TRY301 - the test fails where a user's code would

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import consist
from consist import OutputPolicyOptions, Run, Tracker


class Broken(Exception):
    """Raised by code under test."""


class Unspeakable(Exception):
    """An error whose message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def ended(tracker: Tracker, run_id: str = "r") -> Run:
    run = tracker.get_run(run_id)
    assert run is not None
    return run


# ---------------------------------------------------------------- the error


def solve(value: int) -> None:
    """Fail two calls deep, so that a traceback has something to show."""
    raise Broken(f"no solution for {value}")


def test_the_original_exception_comes_back_and_the_record_tells_where_it_was(
    tracker: Tracker,
) -> None:
    # C-10, ERR-019
    with pytest.raises(Broken) as caught:
        tracker.run(lambda: solve(3), "s", run_id="r")
    assert caught.value.args == ("no solution for 3",)
    run = ended(tracker)
    assert run.status == "failed"
    assert run.meta["error"] == "no solution for 3"
    assert "in solve\n" in run.meta["traceback"]
    assert run.meta["traceback"].endswith("Broken: no solution for 3\n")
    record = tracker.get_run_record("r")
    assert record is not None
    assert record.run.meta["traceback"] == run.meta["traceback"]


def test_end_run_as_failed_keeps_message_and_traceback(tracker: Tracker) -> None:
    # TRK-035
    tracker.begin_run("r", "m")
    try:
        solve(1)
    except Broken as error:
        tracker.end_run("failed", error=error)
    run = ended(tracker)
    assert run.meta["error"] == "no solution for 1"
    assert "in solve\n" in run.meta["traceback"]


def test_an_error_that_cannot_be_told_still_ends_the_run(tracker: Tracker) -> None:
    def step() -> None:
        raise Unspeakable

    with pytest.raises(Unspeakable):
        tracker.run(step, run_id="r")
    run = ended(tracker)
    assert run.status == "failed"
    assert "Unspeakable" in run.meta["traceback"]


def test_a_long_traceback_is_kept_from_its_end(tracker: Tracker) -> None:
    def step() -> None:
        raise Broken("x" * 100_000 + " the end")

    with pytest.raises(Broken):
        tracker.run(step, run_id="r")
    kept = ended(tracker).meta["traceback"]
    assert len(kept) == 16_384
    assert kept.endswith(" the end\n")


def test_a_completed_run_says_nothing_of_errors(tracker: Tracker) -> None:
    run = tracker.run(lambda: None, "s").run
    assert not {"error", "traceback", "partial_outputs"} & run.meta.keys()


# ---------------------------------------------------------------- outputs so far


def test_outputs_of_a_failed_function_are_listed_as_partial_and_never_given_back(
    tracker: Tracker, here: Path
) -> None:
    # CACHE-001
    def step(fails: bool) -> None:
        folder = here / "logs"
        folder.mkdir(exist_ok=True)
        (folder / "model.log").write_text("half")
        (here / "table.csv").write_text("a\n1\n")
        tracker.log_artifact("table.csv", key="by_hand")
        (here / "declared.csv").write_text("a\n2\n")
        if fails:
            raise Broken

    def once(*, fails: bool, run_id: str) -> consist.RunResult:
        return tracker.run(
            step,
            run_id=run_id,
            runtime_kwargs={"fails": fails},
            output_paths={"declared": here / "declared.csv", "missing": here / "missing.csv"},
            capture_dir=here / "logs",
            output_policy=OutputPolicyOptions(output_missing="ignore"),
        )

    with pytest.raises(Broken):
        once(fails=True, run_id="r")
    run = ended(tracker)
    assert run.meta["partial_outputs"] == ["by_hand", "declared", "model"]
    assert sorted(tracker.get_run_outputs("r")) == ["by_hand", "declared", "model"]
    result = once(fails=False, run_id="again")
    assert not result.cache_hit
    assert "partial_outputs" not in result.run.meta


def test_a_failed_function_is_not_also_accused_of_missing_outputs(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    def step() -> None:
        raise Broken

    with caplog.at_level(logging.WARNING), pytest.raises(Broken):
        tracker.run(step, outputs=["never"], output_paths={"k": "never.csv"})
    assert "never" not in caplog.text


def test_outputs_of_a_block_that_raises_are_logged(tracker: Tracker, here: Path) -> None:
    # RUN-047
    with (
        pytest.raises(Broken),
        tracker.trace("t", run_id="r", output_paths={"k": here / "k.csv"}),
    ):
        (here / "k.csv").write_text("a\n1\n")
        raise Broken
    assert list(tracker.get_run_outputs("r")) == ["k"]
    assert ended(tracker).meta["partial_outputs"] == ["k"]


def test_a_hit_that_fails_keeps_no_partial_outputs(tracker: Tracker, here: Path) -> None:
    for _ in range(2):
        try:
            with tracker.trace("t", run_id="r", output_paths={"k": here / "k.csv"}):
                if tracker.is_cached:
                    raise Broken
                (here / "k.csv").write_text("a\n1\n")
        except Broken:
            pass
    run = ended(tracker, "r~2")
    assert run.status == "failed"
    assert "partial_outputs" not in run.meta


# ---------------------------------------------------------------- stopped from outside


def test_an_interrupted_scenario_and_its_step_say_so(tracker: Tracker) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        tracker.scenario("base") as sc,
        sc.trace("step", run_id="s"),
    ):
        raise KeyboardInterrupt
    header = ended(tracker, "base")
    assert (header.status, ended(tracker, "s").status) == ("interrupted", "interrupted")
    assert header.meta["failed_step"] == "s"
    assert header.meta["failed_with"] == "KeyboardInterrupt"


def test_interrupted_runs_reach_the_failed_hook_and_not_the_other(tracker: Tracker) -> None:
    # HOOK-002, HOOK-003
    told: list[tuple[str, str]] = []
    tracker.on_run_failed(lambda run, error: told.append((run.status, type(error).__name__)))
    tracker.on_run_complete(lambda run, outputs: told.append((run.status, "complete")))  # noqa: ARG005
    with pytest.raises(KeyboardInterrupt), tracker.start_run("r", "m"):
        raise KeyboardInterrupt
    assert told == [("interrupted", "KeyboardInterrupt")]


def test_a_run_can_be_ended_as_interrupted(tracker: Tracker) -> None:
    tracker.begin_run("r", "m")
    assert tracker.end_run("interrupted").status == "interrupted"
    assert ended(tracker).status == "interrupted"


SLEEPER = """
import sys, time
from consist import Tracker

tracker = Tracker(run_dir="runs", db_path="p.duckdb", project_root=".")

def step():
    print("ready", flush=True)
    time.sleep(60)

tracker.run(step, run_id="r")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_leaves_an_interrupted_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    if number == signal.SIGINT:  # Python's own handler, not one of ours
        assert "KeyboardInterrupt" in errors
    for mode in ("read_only", "standard"):
        with Tracker(tmp_path / "runs", tmp_path / "p.duckdb", access_mode=mode) as tracker:
            assert ended(tracker).status == "interrupted"


def test_no_signal_handler_is_installed(tracker: Tracker) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    tracker.run(lambda: None, "s")
    with tracker.trace("t"):
        assert {number: signal.getsignal(number) for number in before} == before
