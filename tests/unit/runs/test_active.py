"""Which run is active where: threads, tasks, nested runs, several trackers."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import multiprocessing
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import ExecutionOptions, RunContext, Tracker, define_step
from consist.active import _process, _stack
from consist.errors import NoActiveRun


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


def test_what_is_known_of_the_current_run_so_far(tracker: Tracker, raw: Path) -> None:
    # background 8.7
    assert consist.current_consist() is None

    def step() -> None:
        tracker.log_artifact(raw, key="k")
        known = in_thread(consist.current_consist)
        assert known is not None
        assert (known.run.id, known.run.status) == ("r", "running")
        assert [artifact.key for artifact in known.outputs] == ["k"]
        assert known.outputs[0].path == raw
        assert known.config == {"n": 1}
        tracker.log_meta(seen=True)
        assert "seen" not in known.run.meta

    tracker.run(step, run_id="r", config={"n": 1})
    assert consist.current_consist() is None


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


# ---------------------------------------------------------------- callbacks


class Framework:
    """Calls hooks as frameworks do: each on a thread, or in a task, of its own."""

    def __init__(self, in_tasks: bool) -> None:
        self._in_tasks = in_tasks

    def call(self, work: Callable[[], Any]) -> Any:
        if not self._in_tasks:
            return in_thread(work)

        async def task() -> Any:
            return await asyncio.create_task(self._wrap(work))

        return asyncio.run(task())

    async def _wrap(self, work: Callable[[], Any]) -> Any:
        return work()


@pytest.fixture(params=["threads", "tasks"])
def framework(request: pytest.FixtureRequest) -> Framework:
    return Framework(in_tasks=request.param == "tasks")


def test_callbacks_that_begin_log_and_end_apart_find_the_run(
    tracker: Tracker, raw: Path, framework: Framework
) -> None:
    # G-22: a framework's on_start, on_step and on_end
    framework.call(lambda: tracker.begin_run("job", "m"))
    assert framework.call(current) == "job"
    framework.call(lambda: tracker.log_artifact(raw, key="k"))
    framework.call(lambda: tracker.log_meta(step=1))
    ended = framework.call(tracker.end_run)
    assert (ended.id, ended.status) == ("job", "completed")
    assert ended.meta["step"] == 1
    assert list(tracker.get_run_outputs("job")) == ["k"]
    assert current() is None
    assert framework.call(current) is None


def test_end_run_means_the_run_that_was_begun_by_hand(
    tracker: Tracker, framework: Framework
) -> None:
    # G-22: a step that happens to be executed elsewhere is not what on_end wants to end
    framework.call(lambda: tracker.begin_run("job", "m"))
    with tracker.scenario("s"):
        busy, done = threading.Event(), threading.Event()

        def step() -> None:
            busy.set()
            assert done.wait(20)

        with ThreadPoolExecutor(1) as pool:
            stepping = pool.submit(tracker.run, step)
            try:
                assert busy.wait(20)
                assert framework.call(tracker.end_run).id == "job"
            finally:
                done.set()
            assert stepping.result().run.status == "completed"


def test_of_several_jobs_each_is_ended_by_its_id(tracker: Tracker, framework: Framework) -> None:
    # G-22, ERR-002
    for name in ("one", "two"):
        framework.call(lambda name=name: tracker.begin_run(name, "m"))
    with pytest.raises(RuntimeError, match="one, two") as caught:
        framework.call(tracker.end_run)
    assert "run_id" in caught.value.__notes__[0]
    assert framework.call(lambda: tracker.end_run(run_id="one")).id == "one"
    assert framework.call(lambda: tracker.end_run("failed")).id == "two"
    assert {run.id: run.status for run in tracker.find_runs()} == {
        "one": "completed",
        "two": "failed",
    }
    with pytest.raises(RuntimeError, match="end_run"):
        tracker.end_run(run_id="one")


def test_what_belongs_to_no_run_for_sure_is_not_guessed(
    tracker: Tracker, framework: Framework
) -> None:
    # G-22: an answer without a run would mix the files of two runs, or execute what is cached
    for name in ("one", "two"):
        framework.call(lambda name=name: tracker.begin_run(name, "m"))
    for asked in (
        lambda: tracker.output_path("k"),
        tracker.output_dir,
        tracker.run_artifact_dir,
        lambda: tracker.is_cached,
        tracker.cached_artifacts,
        lambda: consist.log_meta(a=1),
    ):
        with pytest.raises(NoActiveRun, match="one, two"):
            framework.call(asked)
    for name in ("one", "two"):
        tracker.end_run(run_id=name)
    assert tracker.run_artifact_dir() == tracker.run_dir / "outputs"


def test_verbs_find_the_tracker_that_all_open_runs_share(tracker: Tracker) -> None:
    # RUN-056: which run is unclear on a thread of its own, which tracker is not
    for name in ("one", "two"):
        in_thread(lambda name=name: tracker.begin_run(name, "m"))
    assert in_thread(consist.current_tracker) is tracker
    assert in_thread(lambda: consist.run(lambda: None, "third")).run.parent_run_id is None
    for name in ("one", "two"):
        tracker.end_run(run_id=name)


class EndsTheRun:
    """A path that somebody else ends the run by, while it is looked at."""

    def __init__(self, tracker: Tracker, path: Path) -> None:
        self._tracker, self._path = tracker, path

    def __fspath__(self) -> str:
        if list(self._tracker.active):
            self._tracker.end_run()
        return str(self._path)


def test_what_is_logged_while_the_run_ends_is_told_that_it_is_too_late(
    tracker: Tracker, raw: Path
) -> None:
    # ERR-009: a worker thread that outlives its step; its output would be recorded nowhere
    for log in (tracker.log_artifact, tracker.log_input):
        tracker.begin_run("r", "m")
        with pytest.raises(RuntimeError, match="needs an active run") as caught:
            log(EndsTheRun(tracker, raw), key="late")
        assert "has ended" in caught.value.__notes__[0]
    for run in tracker.find_runs():
        assert tracker.get_artifacts_for_run(run.id).outputs == {}
        assert tracker.get_artifacts_for_run(run.id).inputs == {}


# ---------------------------------------------------------------- blocks entered and left apart


BLOCKS: dict[str, Callable[[Tracker], Any]] = {
    "trace": lambda tracker: tracker.trace("b", run_id="b"),
    "start_run": lambda tracker: tracker.start_run("b", "m"),
    "scenario": lambda tracker: tracker.scenario("b"),
    "use_tracker": consist.use_tracker,
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_an_async_fixture_is_left_in_another_task(tracker: Tracker, block: str) -> None:
    # G-22: as pytest and web frameworks drive their fixtures and dependencies
    @asynccontextmanager
    async def fixture() -> AsyncIterator[Any]:
        with BLOCKS[block](tracker) as inside:
            yield inside

    async def drive() -> None:
        entered = fixture()
        await asyncio.create_task(entered.__aenter__())
        await asyncio.create_task(entered.__aexit__(None, None, None))

    asyncio.run(drive())
    assert current() is None
    assert [run.status for run in tracker.find_runs()] == (
        [] if block == "use_tracker" else ["completed"]
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_entered_here_and_left_in_a_thread_is_over_here_too(
    tracker: Tracker, block: str
) -> None:
    # G-22
    entered = BLOCKS[block](tracker)
    entered.__enter__()
    assert consist.current_tracker() is tracker
    in_thread(lambda: entered.__exit__(None, None, None))
    assert current() is None
    with pytest.raises(RuntimeError, match="needs a tracker"):
        consist.current_tracker()


def test_generators_that_interleave_their_blocks_leave_nothing_behind(
    tracker: Tracker, other: Tracker
) -> None:
    # RUN-056
    @contextmanager
    def using(which: Tracker) -> Iterator[None]:
        with consist.use_tracker(which):
            yield

    first, second = using(tracker), using(other)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert consist.current_tracker() is other
    second.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="needs a tracker"):
        consist.current_tracker()


def test_capturing_through_a_context_may_end_in_another_task(tracker: Tracker) -> None:
    # CTX-010
    def step(ctx: RunContext) -> None:
        async def drive() -> None:
            folder = ctx.output_dir("legacy")
            capturing = ctx.capture_outputs(folder)

            async def enter() -> None:
                capturing.__enter__()

            async def leave() -> None:
                (folder / "k.csv").write_text("a\n1\n")
                capturing.__exit__(None, None, None)

            await asyncio.create_task(enter())
            await asyncio.create_task(leave())

        asyncio.run(drive())

    options = ExecutionOptions(inject_context=True)
    assert list(tracker.run(step, execution_options=options).outputs) == ["k"]


def test_a_scenario_entered_in_one_thread_runs_its_steps_in_others(tracker: Tracker) -> None:
    # G-22, SCN-003, COUP-020
    with ThreadPoolExecutor(1) as pool:
        sc = pool.submit(tracker.scenario("s").__enter__).result()
        first = in_thread(lambda: sc.run(lambda: pd.DataFrame({"a": [1]}), "first", outputs=["t"]))

        def look() -> Any:
            with sc.trace("second", inputs=["t"]):
                tracker.log_meta(seen=True)
                return current()

        second = in_thread(look)
        sc.__exit__(None, None, None)
    assert {run.id for run in tracker.find_runs(parent_id="s")} == {first.run_id, second}
    header = tracker.get_run("s")
    assert header is not None
    assert [step["id"] for step in header.meta["steps"]] == [first.run_id, second]
    assert current() is None


def test_to_thread_and_copied_contexts_belong_to_the_run_they_were_taken_in(
    tracker: Tracker,
) -> None:
    # G-22: of two runs that are open, there is no doubt
    async def work(name: str) -> tuple[str | None, str | None]:
        with tracker.trace(name, run_id=name):
            await asyncio.sleep(0)
            context = contextvars.copy_context()
            in_pool = in_thread(lambda: context.run(current))
            return await asyncio.to_thread(current), in_pool

    async def both() -> list[Any]:
        return await asyncio.gather(work("a"), work("b"))

    assert asyncio.run(both()) == [("a", "a"), ("b", "b")]


def test_a_hundred_blocks_of_one_event_loop_do_not_mix(tracker: Tracker) -> None:
    # G-22
    async def work(n: int, go: asyncio.Event) -> tuple[int, str | None]:
        with tracker.trace("t", run_id=f"t{n}"):
            await go.wait()
            tracker.log_meta(n=n)
            await asyncio.sleep(0)
            return n, current()

    async def all_of_them() -> list[tuple[int, str | None]]:
        go = asyncio.Event()
        tasks = [asyncio.create_task(work(n, go)) for n in range(100)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(all_of_them()) == [(n, f"t{n}") for n in range(100)]
    assert {run.id: run.meta["n"] for run in tracker.find_runs()} == {
        f"t{n}": n for n in range(100)
    }


# ---------------------------------------------------------------- other processes


def tried(*asked: Callable[[], Any]) -> list[str]:
    """Return how each call ends, in a process where nothing is to be printed."""
    ends = []
    for call in asked:
        try:
            ends.append(repr(call()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent looks at it
            ends.append(f"{type(error).__name__}: {error}")
    return ends


def test_a_forked_child_cannot_change_the_run_of_its_parent(tracker: Tracker, raw: Path) -> None:
    # G-22: what it did to its copy would be lost, silently
    def step(ctx: RunContext) -> list[str]:
        tracker.log_meta(before=True)
        asked = (
            lambda: tracker.log_artifact(raw, key="k"),
            lambda: consist.log_meta(a=1),
            lambda: ctx.log_meta(a=1),
            lambda: ctx.output_path("k"),
            tracker.end_run,
            lambda: tracker.output_path("k"),
        )
        return in_fork(lambda: tried(*asked))

    result = tracker.run(
        step, "r", outputs=[], execution_options=ExecutionOptions(inject_context=True)
    )
    assert len(result.value) == 6
    for end in result.value:
        assert end.startswith("RunStateError")
        assert result.run_id in end
    assert result.run.status == "completed"
    assert tracker.get_run_outputs(result.run_id) == {}


def test_a_forked_child_records_runs_of_its_own_under_that_of_its_parent(tracker: Tracker) -> None:
    # G-22
    def inner() -> None:
        tracker.log_meta(child=True)

    def outer() -> list[str]:
        return in_fork(lambda: [tracker.run(inner, run_id="inner").run_id])

    assert tracker.run(outer, run_id="outer", outputs=[]).value == ["inner"]
    inner_run = tracker.get_run("inner")
    assert inner_run is not None
    assert inner_run.parent_run_id == "outer"
    assert inner_run.meta["child"] is True


EXITING_CHILD = """
import os, sys
from consist import Tracker

with Tracker(sys.argv[1], sys.argv[2]) as tracker, tracker.trace("t", run_id="t"):
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    tracker.log_meta(after=True)
"""


def test_a_forked_child_that_exits_inside_a_block_does_not_end_it(tmp_path: Path) -> None:
    # G-22: the exit unwinds the block in the child
    places = [str(tmp_path / "runs"), str(tmp_path / "p.duckdb")]
    subprocess.run([sys.executable, "-c", EXITING_CHILD, *places], check=True, timeout=60)
    with Tracker(*places) as tracker:
        run = tracker.get_run("t")
    assert run is not None
    assert run.status == "completed"
    assert run.meta["after"] is True


_TO_DO: list[Callable[[], list[str]]] = []


def in_fork(work: Callable[[], list[str]]) -> list[str]:
    """Call ``work`` in a forked child and return what it returned."""
    _TO_DO[:] = [work]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_do).result(timeout=60)


def _do() -> list[str]:
    return _TO_DO[0]()


# ---------------------------------------------------------------- memory


def test_runs_that_are_over_leave_nothing_behind(tracker: Tracker) -> None:
    # decision 4: neither here, nor where they were ended, nor in a task that goes on
    tracker.begin_run("elsewhere", "m")
    run = weakref.ref(next(iter(tracker.active)))
    in_thread(tracker.end_run)
    for n in range(200):
        with tracker.trace("t", cache_mode="readonly"):
            tracker.log_meta(n=n)
        tracker.run(lambda: None, "f", config={"n": n % 2})
    gc.collect()
    assert list(tracker.active) == []
    assert _stack.get() == ()
    assert [run for run in _process.values() if run.workspace is tracker] == []
    assert run() is None


def test_a_run_that_is_ended_while_garbage_is_collected_does_not_wait_for_itself(
    tracker: Tracker,
) -> None:
    # a generator with an open block may be finalized anywhere, also while runs are counted
    from consist import active

    def numbers() -> Iterator[int]:
        with tracker.start_run("r", "m"):
            yield 1

    generator = numbers()
    next(generator)
    with active._lock:
        del generator
        gc.collect()
    assert list(tracker.active) == []
