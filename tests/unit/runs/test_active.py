"""Which run is active where: threads, tasks, nested runs, several trackers."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import Tracker, define_step


class Broken(Exception):
    """Raised by code under test."""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Tracker]:
    with Tracker(tmp_path / "other", tmp_path / "other.duckdb") as tracker:
        yield tracker


def in_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def current() -> str | None:
    run = consist.current_run()
    return None if run is None else run.id


# ---------------------------------------------------------------- threads


def test_runs_in_two_threads_do_not_see_each_other(tracker: Tracker) -> None:
    # G-22
    barrier = threading.Barrier(2, timeout=20)

    def work(name: str) -> tuple[str, str | None, list[str]]:
        with tracker.start_run(name, "m"):
            barrier.wait()
            tracker.log_dataframe(pd.DataFrame({"n": [name]}), f"out_{name}")
            tracker.log_meta(name=name)
            seen = current()
            barrier.wait()
        return name, seen, list(tracker.get_run_outputs(name))

    with ThreadPoolExecutor(2) as pool:
        for name, seen, outputs in pool.map(work, ["a", "b"]):
            assert seen == name
            assert outputs == [f"out_{name}"]
            run = tracker.get_run(name)
            assert run is not None
            assert run.meta["name"] == name
            assert run.parent_run_id is None


def test_a_run_in_another_thread_does_not_keep_this_one_from_beginning(tracker: Tracker) -> None:
    # ERR-001, G-22: "on the same thread or task"
    began, done = threading.Event(), threading.Event()

    def background() -> None:
        with tracker.start_run("background", "m"):
            began.set()
            assert done.wait(20)

    thread = threading.Thread(target=background)
    thread.start()
    try:
        assert began.wait(20)
        tracker.begin_run("here", "m")
        assert current() == "here"
        assert tracker.end_run().id == "here"
    finally:
        done.set()
        thread.join()
    assert {run.id: run.status for run in tracker.find_runs()} == {
        "here": "completed",
        "background": "completed",
    }


def test_functions_in_many_threads_are_all_recorded_and_none_is_a_child(tracker: Tracker) -> None:
    # G-22
    def step(n: int) -> pd.DataFrame:
        return pd.DataFrame({"n": [n]})

    def work(n: int) -> consist.RunResult:
        return tracker.run(step, config={"n": n}, outputs=["f"])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(24)))
    assert [tracker.load_df(r.outputs["f"])["n"].tolist() for r in results] == [
        [n] for n in range(24)
    ]
    runs = tracker.find_runs()
    assert len(runs) == 24
    assert {run.parent_run_id for run in runs} == {None}


def test_a_steps_own_worker_threads_log_into_it(tracker: Tracker, raw: Path) -> None:
    # G-22
    def step() -> None:
        in_thread(lambda: tracker.log_artifact(raw, key="made_in_thread"))

    result = tracker.run(step)
    assert list(tracker.get_run_outputs(result.run_id)) == ["made_in_thread"]


def test_logging_where_several_runs_could_be_meant_names_them(tracker: Tracker, raw: Path) -> None:
    # G-22
    with tracker.start_run("a", "m"):

        def elsewhere() -> None:
            with tracker.start_run("b", "m"):
                context = contextvars.Context()
                with pytest.raises(RuntimeError, match=r"a, b|b, a"):
                    context.run(tracker.log_artifact, raw, key="k")

        in_thread(elsewhere)
    assert tracker.get_run_outputs("a") == {}
    assert tracker.get_run_outputs("b") == {}


def test_use_tracker_in_one_thread_is_not_overruled_by_a_run_in_another(
    tracker: Tracker, other: Tracker
) -> None:
    # RUN-054, RUN-056: thread 1 is inside a run of `tracker`, thread 2 uses `other`
    def elsewhere() -> str:
        with consist.use_tracker(other):
            return consist.run(lambda: None, "mine").run_id

    with tracker.start_run("busy", "m"):
        run_id = in_thread(elsewhere)
    assert other.get_run(run_id) is not None
    assert tracker.get_run(run_id) is None


def test_use_tracker_inside_a_run_of_another_tracker_means_what_it_says(
    tracker: Tracker, other: Tracker
) -> None:
    # RUN-056
    with tracker.start_run("busy", "m"), consist.use_tracker(other):
        result = consist.run(lambda: None, "mine")
    assert other.get_run(result.run_id) is not None


# ---------------------------------------------------------------- tasks


def test_runs_in_two_tasks_do_not_see_each_other(tracker: Tracker) -> None:
    # G-22
    async def work(name: str) -> tuple[str | None, str | None]:
        with tracker.start_run(name, "m"):
            before = current()
            await asyncio.sleep(0.02)
            tracker.log_dataframe(pd.DataFrame({"n": [1]}), f"out_{name}")
            return before, current()

    async def both() -> list[Any]:
        return await asyncio.gather(work("a"), work("b"))

    assert asyncio.run(both()) == [("a", "a"), ("b", "b")]
    for name in "ab":
        assert list(tracker.get_run_outputs(name)) == [f"out_{name}"]


def test_a_cancelled_task_leaves_its_run_interrupted(tracker: Tracker) -> None:
    async def work() -> None:
        with tracker.start_run("r", "m"):
            await asyncio.sleep(20)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "interrupted"
    assert current() is None


def test_steps_of_a_scenario_in_a_thread_pool_belong_to_it(tracker: Tracker) -> None:
    # G-22, SCN-003
    def step(n: int) -> pd.DataFrame:
        return pd.DataFrame({"n": [n]})

    with tracker.scenario("s") as sc, ThreadPoolExecutor(3) as pool:
        results = list(
            pool.map(
                lambda n: sc.run(step, f"step_{n}", config={"n": n}, outputs=[f"f{n}"]), range(6)
            )
        )
    assert {result.run.parent_run_id for result in results} == {"s"}
    assert set(sc.coupler.keys()) == {f"f{n}" for n in range(6)}


# ---------------------------------------------------------------- nested runs


def test_a_run_inside_a_function_is_a_child(tracker: Tracker) -> None:
    # G-22
    def inner() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    def outer() -> pd.DataFrame:
        result = tracker.run(inner, run_id="inner", outputs=["i"])
        assert current() == "outer"
        return tracker.load_df(result.outputs["i"])

    tracker.run(outer, run_id="outer", outputs=["o"])
    run = tracker.get_run("inner")
    assert run is not None
    assert run.parent_run_id == "outer"
    assert list(tracker.get_run_outputs("outer")) == ["o"]
    assert list(tracker.get_run_outputs("inner")) == ["i"]


def test_a_block_inside_a_function_is_a_child(tracker: Tracker) -> None:
    # G-22
    def outer() -> None:
        with tracker.trace("inner", run_id="inner"):
            tracker.log_dataframe(pd.DataFrame({"a": [1]}), "i")

    tracker.run(outer, run_id="outer")
    run = tracker.get_run("inner")
    assert run is not None
    assert run.parent_run_id == "outer"
    assert list(tracker.get_run_outputs("inner")) == ["i"]
    assert tracker.get_run_outputs("outer") == {}


def test_a_failing_inner_run_leaves_the_outer_one_active(tracker: Tracker) -> None:
    # G-22
    def inner() -> None:
        raise Broken

    def outer() -> None:
        with pytest.raises(Broken):
            tracker.run(inner, run_id="inner")
        assert current() == "outer"

    tracker.run(outer, run_id="outer")
    statuses = {run.id: run.status for run in tracker.find_runs()}
    assert statuses == {"inner": "failed", "outer": "completed"}


def test_begin_and_start_inside_a_function_are_errors(tracker: Tracker) -> None:
    # ERR-001, G-22
    def outer() -> None:
        with pytest.raises(RuntimeError, match="'outer'"):
            tracker.begin_run("x", "m")
        with (
            pytest.raises(RuntimeError, match="'outer'"),
            tracker.start_run("y", "m"),
        ):
            pass

    tracker.run(outer, run_id="outer")
    assert [run.id for run in tracker.find_runs()] == ["outer"]


def test_a_run_begun_inside_a_scenario_belongs_to_its_header(tracker: Tracker) -> None:
    # G-22, SCN-037
    with tracker.scenario("s"):
        tracker.begin_run("manual", "m")
        tracker.end_run()
        plain = tracker.run(lambda: None, "plain")
    manual = tracker.get_run("manual")
    assert manual is not None
    assert manual.parent_run_id == "s"
    assert plain.run.parent_run_id == "s"


def test_runs_of_two_trackers_do_not_mix(tracker: Tracker, other: Tracker, raw: Path) -> None:
    with tracker.start_run("a", "m"), other.start_run("b", "m"):
        tracker.log_artifact(raw, key="for_a")
        other.log_artifact(raw, key="for_b")
    assert list(tracker.get_run_outputs("a")) == ["for_a"]
    assert list(other.get_run_outputs("b")) == ["for_b"]
    run = other.get_run("b")
    assert run is not None
    assert run.parent_run_id is None


def test_closing_a_tracker_takes_its_open_run_out_of_reach(
    tracker: Tracker, other: Tracker
) -> None:
    # RUN-056: a run that nobody ended must not bind the verbs to a closed tracker
    other.begin_run("forgotten", "m")
    other.close()
    assert current() is None
    with consist.use_tracker(tracker):
        assert consist.run(lambda: None, "next").run.status == "completed"


# ---------------------------------------------------------------- current_run


def test_the_current_run_is_that_of_the_code_that_asks(tracker: Tracker) -> None:
    assert consist.current_run() is None
    seen = []

    @define_step()
    def step() -> None:
        seen.append(current())

    tracker.run(step, run_id="r")
    assert seen == ["r"]
    assert consist.current_run() is None


def test_a_generator_that_is_left_open_does_not_keep_its_run_active(tracker: Tracker) -> None:
    def numbers() -> Iterator[int]:
        with tracker.start_run("r", "m"):
            yield 1
            yield 2

    generator = numbers()
    assert next(generator) == 1
    generator.close()  # type: ignore[attr-defined]
    assert current() is None
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == "interrupted"
