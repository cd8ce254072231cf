"""Inline blocks: they execute every time, and a hit lasts as long as nothing contradicts it."""

# ruff: noqa: PT012 - the block is what has to fail
# ruff: noqa: TRY301 - the examples stand as printed

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import Artifact, Tracker
from consist.cache.lookup import Question, Timing, find
from consist.errors import OutputMissing


class Broken(Exception):
    """Raised by code under test."""


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


# ---------------------------------------------------------------- signature


def test_the_defaults_of_trace_are_as_printed() -> None:
    # RUN-043, RUN-049, RUN-050
    parameters = inspect.signature(Tracker.trace).parameters
    assert [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD][1:] == ["name"]
    expected = {
        "cache_mode": "reuse",
        "cache_hydration": None,
        "cache_version": None,
        "cache_epoch": None,
        "validate_cached_outputs": "lazy",
        "code_identity": None,
        "code_identity_extra_deps": None,
        "output_mismatch": "warn",
        "output_missing": "warn",
    }
    assert {name: parameters[name].default for name in expected} == expected
    assert not {"phase", "stage", "fn", "runtime_kwargs"} & parameters.keys()


def test_a_block_is_a_run_named_like_it(tracker: Tracker) -> None:
    # RUN-043, RUN-044
    with tracker.trace("prepare", year=2030, tags=["t"]) as inside:
        assert inside is tracker
    (run,) = tracker.find_runs()
    assert run.model_name == "prepare"
    assert run.id.startswith("prepare_")
    assert (run.year, run.tags, run.status) == (2030, ["t"], "completed")


def test_the_body_executes_on_every_entry_and_the_hit_is_recorded(tracker: Tracker) -> None:
    # RUN-045, CACHE-019, CACHE-020
    executed = []
    for _ in range(3):
        with tracker.trace("t"):
            executed.append(tracker.is_cached)
    assert executed == [False, True, True]
    runs = tracker.find_runs()
    assert [run.status for run in runs] == ["completed"] * 3
    assert [bool(run.meta.get("cache_hit")) for run in runs] == [True, True, False]


def test_inputs_are_logged_in_both_forms(tracker: Tracker, raw: Path) -> None:
    # RUN-046
    with tracker.trace("a", run_id="a", inputs={"table": raw}):
        pass
    with tracker.trace("b", run_id="b", inputs=[raw]):
        pass
    assert list(tracker.get_run_inputs("a")) == ["table"]
    assert list(tracker.get_run_inputs("b")) == ["raw"]


def test_a_changed_input_is_a_miss(tracker: Tracker, raw: Path) -> None:
    # SIG-002
    def cached() -> bool:
        with tracker.trace("t", inputs=[raw]):
            return tracker.is_cached

    assert [cached(), cached()] == [False, True]
    raw.write_text("x\n1\n")
    assert cached() is False


def test_config_makes_entries_of_its_own(tracker: Tracker) -> None:
    # SIG-028, C-11
    def cached(threshold: float) -> bool:
        with tracker.trace("t", config={"threshold": threshold}):
            return tracker.is_cached

    assert [cached(t) for t in (0.3, 0.5, 0.3)] == [False, False, True]


def test_the_exception_of_a_block_comes_out_unchanged(tracker: Tracker) -> None:
    # C-10
    error = Broken("boom")
    with pytest.raises(Broken) as caught, tracker.trace("t", run_id="r"):
        raise error
    assert caught.value is error
    run = tracker.get_run("r")
    assert run is not None
    assert (run.status, run.meta["error"]) == ("failed", "boom")


def test_an_interrupted_block_is_an_interrupted_run(tracker: Tracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.trace("t", run_id="r"):
        raise KeyboardInterrupt
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "interrupted"
    assert consist.current_run() is None


def test_a_failed_block_is_no_source(tracker: Tracker) -> None:
    # CACHE-001
    for fails in (True, False):
        try:
            with tracker.trace("t"):
                assert not tracker.is_cached
                if fails:
                    raise Broken
        except Broken:
            pass


def test_leaving_a_block_early_by_return_completes_it(tracker: Tracker) -> None:
    def early() -> int:
        with tracker.trace("t", run_id="r"):
            return 1

    assert early() == 1
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "completed"


# ---------------------------------------------------------------- outputs


def test_declared_paths_are_logged_after_the_block(tracker: Tracker, here: Path) -> None:
    # RUN-047
    with tracker.trace("t", run_id="r", output_paths={"k": here / "x.csv"}):
        (here / "x.csv").write_text("a\n1\n")
        assert tracker.get_run_outputs("r") == {}
    assert tracker.get_run_outputs("r")["k"].path == here / "x.csv"


def test_a_captured_folder_is_logged_after_the_block(tracker: Tracker, here: Path) -> None:
    # RUN-048
    (here / "out").mkdir()
    (here / "out" / "old.csv").write_text("1")
    with tracker.trace("t", run_id="r", capture_dir="out", capture_pattern="*.csv"):
        (here / "out" / "new.csv").write_text("1")
        (here / "out" / "new.txt").write_text("1")
    assert list(tracker.get_run_outputs("r")) == ["new"]


def test_a_declared_output_that_is_missing_is_an_error_under_that_policy(
    tracker: Tracker,
) -> None:
    # RUN-051, ERR-022
    with (
        pytest.raises(OutputMissing, match=r"'r'.*wanted") as caught,
        tracker.trace("t", run_id="r", outputs=["wanted"], output_missing="error"),
    ):
        pass
    assert isinstance(caught.value, RuntimeError)
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "failed"


def test_a_declared_output_that_is_missing_warns_by_default(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # RUN-051
    with tracker.trace("t", outputs=["wanted"]):
        pass
    assert "wanted" in caplog.text
    caplog.clear()
    with tracker.trace("u", outputs=["wanted"], output_missing="ignore"):
        pass
    assert "wanted" not in caplog.text


@pytest.mark.parametrize(
    "option",
    ["output_mismatch", "output_missing", "cache_mode", "validate_cached_outputs"],
)
def test_an_unknown_policy_is_an_error_before_the_block(tracker: Tracker, option: str) -> None:
    # ERR-021, C-01, C-02
    given: dict[str, Any] = {option: "bogus"}
    with pytest.raises(ValueError, match=option), tracker.trace("t", **given):
        pytest.fail("the block must not run")
    assert tracker.find_runs() == []


# ---------------------------------------------------------------- demotion


def logged(tracker: Tracker, path: Path, key: str = "k") -> tuple[Artifact, bool, bool]:
    """Log one output in a block; return it, and whether the block was a hit before and after."""
    with tracker.trace("t"):
        before = tracker.is_cached
        artifact = tracker.log_artifact(path, key=key, direction="output")
        return artifact, before, tracker.is_cached


def recorded(tracker: Tracker, run_id: str) -> tuple[set[str], set[str]]:
    """Return the output keys of a run as its snapshot and as the database have them."""
    record = tracker.get_run_record(run_id)
    assert record is not None
    return {artifact.key for artifact in record.outputs}, set(tracker.get_run_outputs(run_id))


def test_logging_the_same_output_gives_the_cached_artifact(tracker: Tracker, here: Path) -> None:
    # RUN-052, C-15
    path = here / "x.csv"
    path.write_text("a\n1\n")
    first, *_ = logged(tracker, path)
    second, before, after = logged(tracker, path)
    assert (before, after) == (True, True)
    assert second.id == first.id
    assert second.run_id == first.run_id


def test_a_placeholder_path_under_a_known_key_gives_the_cached_artifact(
    tracker: Tracker, here: Path
) -> None:
    # RUN-052, G-23
    path = here / "x.csv"
    path.write_text("a\n1\n")
    first, *_ = logged(tracker, path)
    second, _, after = logged(tracker, here / "not_there.csv")
    assert after is True
    assert second.id == first.id


def test_other_content_under_a_known_key_demotes(tracker: Tracker, here: Path) -> None:
    # RUN-053, C-15
    path = here / "x.csv"
    path.write_text("a\n1\n")
    first, *_ = logged(tracker, path)
    path.write_text("a\n2\n")
    second, before, after = logged(tracker, path)
    assert (before, after) == (True, False)
    assert second.id != first.id
    run = tracker.find_runs()[0]
    assert run.meta.get("cache_hit") is None
    assert second.run_id == run.id
    assert tracker.get_run_outputs(run.id)["k"].id == second.id


def test_an_unknown_key_demotes_and_the_record_holds_only_what_this_run_did(
    tracker: Tracker, here: Path
) -> None:
    # RUN-053, C-15
    path = here / "x.csv"
    path.write_text("a\n1\n")
    logged(tracker, path)
    _, before, after = logged(tracker, path, key="other")
    assert (before, after) == (True, False)
    (run, _) = tracker.find_runs()
    assert recorded(tracker, run.id) == ({"other"}, {"other"})


def test_what_was_logged_before_the_demotion_stays_with_the_run(
    tracker: Tracker, here: Path
) -> None:
    # RUN-053, C-15: an output that this block logged must not be lost
    (here / "x.csv").write_text("a\n1\n")
    (here / "y.csv").write_text("a\n2\n")

    def block(*, more: bool) -> None:
        with tracker.trace("t"):
            tracker.log_artifact("x.csv", key="x")
            if more:
                tracker.log_artifact("y.csv", key="y")

    block(more=False)
    block(more=True)
    (run, _) = tracker.find_runs()
    assert run.meta.get("cache_hit") is None
    assert recorded(tracker, run.id) == ({"x", "y"}, {"x", "y"})


def test_an_input_that_the_cached_run_did_not_have_demotes(
    tracker: Tracker, raw: Path, here: Path
) -> None:
    # C-15
    def block(path: Path | None) -> bool:
        with tracker.trace("t"):
            if path is not None:
                tracker.log_artifact(path, key="late", direction="input")
            return tracker.is_cached

    assert block(None) is False
    assert block(None) is True
    assert block(raw) is False


def test_a_late_input_that_has_changed_makes_the_candidate_invalid(
    tracker: Tracker, raw: Path
) -> None:
    # C-15
    def block() -> tuple[bool, bool]:
        with tracker.trace("t"):
            before = tracker.is_cached
            tracker.log_input(raw, key="late")
            return before, tracker.is_cached

    assert block() == (False, False)
    assert block() == (True, True)
    raw.write_text("x\n5\n")
    assert block() == (False, False)
    assert block() == (True, True)


def test_a_late_input_of_a_function_that_has_changed_is_a_miss(tracker: Tracker, raw: Path) -> None:
    # C-15
    def step() -> pd.DataFrame:
        tracker.log_input(raw, key="late")
        return pd.read_csv(raw)

    def hits() -> bool:
        return tracker.run(step, outputs=["f"]).cache_hit

    assert [hits(), hits()] == [False, True]
    raw.write_text("x\n5\n")
    assert [hits(), hits()] == [False, True]


def test_an_equal_table_keeps_the_hit_and_leaves_nothing_behind(tracker: Tracker) -> None:
    # C-15
    def block(*values: int) -> tuple[Artifact, bool]:
        with tracker.trace("t"):
            return tracker.log_dataframe(table(*values), "k"), tracker.is_cached

    first, _ = block(1, 2)
    files = sorted(p for p in tracker.run_dir.rglob("*.parquet"))
    second, still = block(1, 2)
    assert still is True
    assert second.id == first.id
    assert sorted(p for p in tracker.run_dir.rglob("*.parquet")) == files
    third, still = block(1, 3)
    assert still is False
    assert third.id != first.id
    assert tracker.load_df(third)["a"].tolist() == [1, 3]


def test_two_blocks_with_other_outputs_are_never_a_hit_for_a_function(
    tracker: Tracker, here: Path
) -> None:
    # C-15: what a block does is not part of its identity
    for n in (1, 2):
        with tracker.trace("t"):
            tracker.log_dataframe(table(n), "k")
    (latest, first) = tracker.find_runs()
    assert latest.signature == first.signature
    question = Question(signature=str(first.signature), content_signature=None)
    assert find(tracker, question, Timing(tracker)).hit is None


def test_a_demoted_run_is_the_source_of_the_next_block(tracker: Tracker) -> None:
    # C-15, RUN-053
    def block(n: int) -> tuple[bool, Artifact]:
        with tracker.trace("t"):
            artifact = tracker.log_dataframe(table(n), "k")
            return tracker.is_cached, artifact

    block(1)
    _, second = block(2)
    still, third = block(2)
    assert still is True
    assert third.id == second.id


def test_a_failing_block_with_a_hit_is_recorded_as_failed(tracker: Tracker) -> None:
    # CACHE-001
    with tracker.trace("t"):
        pass
    with pytest.raises(Broken), tracker.trace("t", run_id="r"):
        assert tracker.is_cached
        raise Broken
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "failed"
    with tracker.trace("t"):
        assert tracker.is_cached


def test_consist_trace_is_that_of_the_tracker(tracker: Tracker, raw: Path) -> None:
    # RUN-063
    with consist.use_tracker(tracker), consist.trace("t", identity_inputs=[raw]):
        consist.log_dataframe(table(1), "k")
    assert list(tracker.get_run_outputs(tracker.find_runs()[0].id)) == ["k"]
