"""Sweeps in this process: what is executed, given back, retried, stopped, told and recorded."""

from __future__ import annotations

import os
import pickle
import pty
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import consist
from consist import CacheOptions, ExecutionOptions, Tracker
from consist import progress as progress_room
from consist.errors import PointsFailed, TimeLimitExceeded, UnknownKey, WorkersLost
from consist.execution.time_limit import time_limit
from consist.noop import NoopTracker
from consist.workflow.results import SweepResult

if TYPE_CHECKING:
    from collections.abc import Callable


class Counting(Executor):
    """Executes at once, and counts what is submitted."""

    def __init__(self) -> None:
        self.submitted = 0
        self.broken = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.broken:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.submitted += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def frame(demand: float) -> pd.DataFrame:
    return pd.DataFrame({"kpi": [demand * 2]})


def header(tracker: Tracker, run_id: str) -> Any:
    run = tracker.get_run(run_id)
    assert run is not None
    return run


# ---------------------------------------------------------------- what was done is given back


def test_a_thousand_points_again_submit_nothing(tracker: Tracker) -> None:
    executor, again = Counting(), Counting()
    count = 200

    def step(n: int) -> None:
        pass

    with tracker.scenario("s") as sc:
        assert len(sc.map(step, {"n": range(count)}, executor=executor).completed) == count
        sweep = sc.map(step, {"n": range(count)}, executor=again)
    assert (executor.submitted, again.submitted) == (count, 0)
    assert all(point.cache_hit and point.attempts == 0 for point in sweep)
    counts = header(tracker, "s").meta["sweeps"]
    assert [(c["points"], c["hits"], c["completed"]) for c in counts] == [
        (count, 0, count),
        (count, count, count),
    ]
    assert len(tracker.find_runs(parent_id="s", limit=1000)) == 2 * count


def test_equal_points_run_once(tracker: Tracker) -> None:
    done: list[int] = []
    gate = threading.Event()

    def step(n: int) -> None:
        gate.wait(5)
        done.append(n)

    with ThreadPoolExecutor(4) as pool, tracker.scenario("s") as sc:
        threading.Timer(0.1, gate.set).start()
        sweep = sc.map(step, [{"n": 1}] * 5 + [{"n": 2}], executor=pool)
    assert sorted(done) == [1, 2]
    assert [point.cache_hit for point in sweep] == [False, True, True, True, True, False]


def test_an_equal_point_runs_where_the_first_failed(tracker: Tracker) -> None:
    done: list[int] = []

    def step(n: int) -> None:
        done.append(n)
        if len(done) == 1:
            raise ValueError

    with ThreadPoolExecutor(1) as pool, tracker.scenario("s") as sc:
        sweep = sc.map(step, [{"n": 1}] * 3, executor=pool)
    assert [p.status for p in sweep] == ["failed", "completed", "completed"]
    assert len(done) == 2


def test_overwritten_points_are_all_executed(tracker: Tracker) -> None:
    executor = Counting()
    with tracker.scenario("s") as sc:
        for _ in range(2):
            sc.map(
                frame,
                [{"demand": 1}] * 2,
                outputs=["kpi"],
                executor=executor,
                cache_options=CacheOptions(cache_mode="overwrite"),
            )
    assert executor.submitted == 4


def test_a_readonly_sweep_leaves_nothing(tracker: Tracker) -> None:
    with tracker.scenario("s") as sc:
        sweep = sc.map(
            frame,
            {"demand": [1, 2]},
            outputs=["kpi"],
            cache_options=CacheOptions(cache_mode="readonly"),
        )
    assert len(sweep.completed) == 2
    assert tracker.find_runs(parent_id="s") == []


def test_hits_are_copied_where_it_is_asked_for(tracker: Tracker, here: Path) -> None:
    with tracker.scenario("s") as sc:
        sc.map(frame, {"demand": [1]}, outputs=["kpi"])
        with ThreadPoolExecutor(1) as pool:
            sweep = sc.map(
                frame,
                {"demand": [1]},
                outputs=["kpi"],
                executor=pool,
                cache_options=CacheOptions(cache_hydration="outputs-all"),
            )
    run = header(tracker, sweep[0].run_id or "")
    assert sweep[0].cache_hit
    assert all(Path(path).exists() for path in run.meta["materialized_outputs"].values())


# ---------------------------------------------------------------- steps before and after


def test_points_take_inputs_of_earlier_steps_and_give_some_to_the_next(
    tracker: Tracker, raw: Path
) -> None:
    def prepare(raw: pd.DataFrame) -> pd.DataFrame:
        return raw

    def scale(clean: pd.DataFrame, factor: int) -> pd.DataFrame:
        return clean.assign(value=clean.value * factor)

    def gather(parts: list[Any]) -> pd.DataFrame:
        return pd.concat(parts)

    with tracker.scenario("s") as sc:
        made = sc.run(prepare, inputs={"raw": raw}, outputs=["clean"])
        sweep = sc.map(scale, {"factor": [1, 2]}, input_keys=["clean"], outputs=["scaled"])
        listed = sc.map(scale, {"factor": [1, 2]}, inputs={"clean": "clean"}, outputs=["scaled"])
        refs = sc.map(
            scale,
            {"factor": [1, 2]},
            outputs=["scaled"],
            point_options=lambda _: {"inputs": {"clean": consist.ref(made)}},
        )
        last = sc.coupler.require("scaled")
        assert last.run_id == refs[1].outputs["scaled"].run_id
        names = {f"part_{n}": artifact for n, artifact in enumerate(sweep.artifacts("scaled"))}
        total = sc.run(
            lambda part_0, part_1: gather([part_0, part_1]), "total", inputs=names, outputs=["sum"]
        )
    assert [p.cache_hit for p in listed] == [True, True]
    assert [p.cache_hit for p in refs] == [True, True]
    assert len(consist.load_df(total.outputs["sum"])) == 6


def test_a_key_that_is_not_there_stops_the_sweep(tracker: Tracker) -> None:
    with pytest.raises(KeyError), tracker.scenario("s") as sc:
        sc.map(frame, {"demand": [1]}, input_keys=["nothing"])


def test_a_sweep_in_a_step_of_a_sweep(tracker: Tracker) -> None:
    def inner(n: int) -> None:
        pass

    def outer(m: int) -> None:
        with tracker.scenario(f"inner_{m}") as sc:
            sc.map(inner, {"n": [m, m + 10]}).raise_if_failed()

    with tracker.scenario("s") as sc:
        sc.map(outer, {"m": [1, 2]}).raise_if_failed()
    assert len(tracker.find_runs(model="inner")) == 4


def test_two_sweeps_of_a_scenario_at_once(tracker: Tracker) -> None:
    def step(n: int) -> None:
        time.sleep(0.001)

    with tracker.scenario("s") as sc, ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(2) as two:
        both = [two.submit(sc.map, step, {"n": range(k, k + 10)}, executor=pool) for k in (0, 100)]
        assert [len(one.result().completed) for one in both] == [10, 10]
    assert len(header(tracker, "s").meta["sweeps"]) == 2


@pytest.mark.parametrize("kind", ["noop", "no database"])
def test_trackers_that_remember_less(here: Path, kind: str) -> None:
    tracker = NoopTracker("runs") if kind == "noop" else Tracker("runs")
    with tracker, tracker.scenario("s") as sc, ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            sweep = sc.map(frame, {"demand": [1, 2]}, outputs=["kpi"], executor=pool)
            assert [p.status for p in sweep] == ["completed"] * 2
            assert all(Path(path).exists() for path in sweep.to_frame()["kpi"])


def test_hooks_are_called_where_a_point_is_executed(tracker: Tracker) -> None:
    told: list[str] = []
    tracker.on_run_complete(lambda run, _outputs: told.append(run.id))
    with tracker.scenario("s") as sc, ThreadPoolExecutor(2) as pool:
        sweep = sc.map(frame, {"demand": [1, 2]}, outputs=["kpi"], executor=pool)
    assert {point.run_id for point in sweep} < set(told)


# ---------------------------------------------------------------- failures


class Unsaid(Exception):
    def __str__(self) -> str:
        raise RuntimeError


RAISED: list[tuple[Callable[[], BaseException], str, str]] = [
    (lambda: ValueError("no"), "failed", "ValueError: no"),
    (ValueError, "failed", "ValueError"),
    (Unsaid, "failed", "Unsaid: (its message cannot be had)"),
    (lambda: ValueError("y" * 10_000_000), "failed", "ValueError: " + "y" * 3988),
    (lambda: ValueError("\ud800"), "failed", "ValueError: \\ud800"),
    (lambda: SystemExit(3), "failed", "SystemExit: 3"),
    (lambda: BaseException("base"), "failed", "BaseException: base"),
    (GeneratorExit, "interrupted", "GeneratorExit"),
]


@pytest.mark.parametrize("threads", [False, True])
def test_whatever_a_step_raises_is_told_and_the_others_go_on(
    tracker: Tracker, *, threads: bool
) -> None:
    def step(n: int) -> None:
        if n < len(RAISED):
            error = RAISED[n][0]()
            raise error

    with tracker.scenario("s") as sc, ThreadPoolExecutor(2) as pool:
        over = {"n": range(len(RAISED) + 1)}
        sweep = sc.map(step, over, executor=pool if threads else None)
    told = [(point.status, point.error) for point in sweep]
    assert told == [(status, text) for _, status, text in RAISED] + [("completed", None)]
    for point in sweep.failed:
        assert header(tracker, point.run_id or "").status == point.status
    failures = header(tracker, "s").meta["sweeps"][0]["failures"]
    assert [f["parameters"] for f in failures] == [{"n": n} for n in range(len(RAISED))]
    assert max(len(f["error"]) for f in failures) == 500


def test_an_input_that_is_not_there_fails_its_point(tracker: Tracker, raw: Path) -> None:
    with tracker.scenario("s") as sc:
        sweep = sc.map(
            lambda a: None,  # noqa: ARG005
            {"a": [1, 2]},
            point_options=lambda p: {"depends_on": [raw if p["a"] == 2 else "gone.csv"]},
        )
    assert [p.status for p in sweep] == ["failed", "completed"]
    assert "gone.csv" in (sweep[0].error or "")
    assert sweep[0].run_id is None


@pytest.mark.parametrize("threads", [False, True])
def test_retries_are_counted(tracker: Tracker, *, threads: bool) -> None:
    tries: list[int] = []

    def step(n: int) -> None:
        tries.append(n)
        if tries.count(n) <= n:
            raise ValueError

    with tracker.scenario("s") as sc, ThreadPoolExecutor(2) as pool:
        sweep = sc.map(step, {"n": [0, 1, 2, 3]}, retries=2, executor=pool if threads else None)
    assert [point.attempts for point in sweep] == [1, 2, 3, 3]
    assert [point.status for point in sweep] == ["completed"] * 3 + ["failed"]
    assert len(tracker.find_runs(parent_id="s")) == 9


@pytest.mark.parametrize("threads", [False, True])
def test_the_sweep_stops_at_a_failure_where_asked(tracker: Tracker, *, threads: bool) -> None:
    def step(n: int) -> None:
        if n == 1:
            raise ValueError("one")
        time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool, tracker.scenario("s") as sc:
        with pytest.raises(PointsFailed, match="1 failed") as caught:
            sc.map(step, {"n": range(50)}, on_error="raise", executor=pool if threads else None)
        assert isinstance(caught.value.result, SweepResult)
        statuses = [point.status for point in caught.value.result]
        assert statuses[:2] == ["completed", "failed"]
        assert statuses.count("cancelled") > 25  # those that threads began meanwhile go on
        assert "running" not in statuses
        assert any("ValueError: one" in note for note in caught.value.__notes__)


# ---------------------------------------------------------------- executors


@pytest.mark.parametrize(
    ("executor", "told"),
    [
        ("thread", "executor is a str"),
        (ThreadPoolExecutor, "executor is the class ThreadPoolExecutor"),
        (object(), "executor is"),
    ],
    ids=["text", "class", "object"],
)
def test_what_is_no_executor_is_named(tracker: Tracker, executor: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told), tracker.scenario("s") as sc:
        sc.map(frame, {"demand": [1]}, executor=executor)


def test_a_client_in_place_of_its_executor_is_named(tracker: Tracker) -> None:
    class Client:
        def submit(self) -> None: ...
        def get_executor(self) -> None: ...

    with pytest.raises(TypeError) as caught, tracker.scenario("s") as sc:
        sc.map(frame, {"demand": [1]}, executor=Client())  # pyright: ignore[reportArgumentType]
    assert "get_executor()" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "wrong", [{"retries": -1}, {"retries": True}, {"on_error": "stop"}, {"progress": 1}], ids=str
)
def test_wrong_options_of_a_sweep_are_named(tracker: Tracker, wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught, tracker.scenario("s") as sc:
        sc.map(frame, {"demand": [1]}, **wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_an_executor_that_was_shut_down_loses_the_sweep_and_not_what_was_done(
    tracker: Tracker,
) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with tracker.scenario("s") as sc:
        sc.map(frame, {"demand": [1]}, outputs=["kpi"])
        with pytest.raises(WorkersLost) as caught:
            sc.map(frame, {"demand": [1, 2, 3]}, outputs=["kpi"], executor=pool)
    assert [p.status for p in caught.value.result] == ["completed", "cancelled", "cancelled"]


def test_a_tracker_that_is_closed_in_the_middle(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path / "runs", tmp_path / "p.duckdb")
    found: list[SweepResult] = []

    def step(n: int) -> None:
        if n == 1:
            tracker.close()

    def sweep() -> None:
        with tracker.scenario("s") as sc:
            found.append(sc.map(step, {"n": range(4)}))

    with pytest.raises(RuntimeError, match="not open"):
        sweep()
    assert [point.status for point in found[0]][2:] == ["failed", "failed"]


# ---------------------------------------------------------------- time limits


def nap(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.005)


@pytest.mark.parametrize("threads", [False, True])
def test_a_point_that_takes_too_long_fails(tracker: Tracker, *, threads: bool) -> None:
    with tracker.scenario("s") as sc, ThreadPoolExecutor(2) as pool:
        sweep = sc.map(
            nap,
            {"seconds": [0.0, 20.0]},
            executor=pool if threads else None,
            execution_options=ExecutionOptions(time_limit=0.3),
        )
    assert [point.status for point in sweep] == ["completed", "failed"]
    assert "time limit of 0.3 s" in (sweep[1].error or "")
    assert (sweep[1].duration_seconds or 99) < 10


def in_main(work: Callable[[], None]) -> None:
    work()


def in_thread(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


@pytest.mark.parametrize("way", [in_main, in_thread])
def test_a_limit_that_the_step_keeps_to_itself_counts_all_the_same(
    way: Callable[[Callable[[], None]], None],
) -> None:
    def swallowing() -> None:
        with time_limit(0.05), suppress(BaseException):
            nap(5)

    with pytest.raises(TimeLimitExceeded):
        way(swallowing)


@pytest.mark.parametrize("way", [in_main, in_thread])
@pytest.mark.parametrize(("outer", "inner"), [(0.05, 30.0), (30.0, 0.05)])
def test_of_limits_within_limits_the_shorter_holds(
    way: Callable[[Callable[[], None]], None], outer: float, inner: float
) -> None:
    def nested() -> None:
        with time_limit(outer), time_limit(inner):
            nap(20)

    with pytest.raises(TimeLimitExceeded, match=r"0\.05"):
        way(nested)


@pytest.mark.parametrize("way", [in_main, in_thread])
def test_a_limit_that_meets_the_end_of_the_step_leaves_nothing_behind(
    way: Callable[[Callable[[], None]], None],
) -> None:
    import signal

    def racing() -> None:
        for number in range(60):
            try:
                with time_limit(0.002):
                    until = time.monotonic() + 0.0015 + number * 2e-5
                    while time.monotonic() < until:
                        pass
            except TimeLimitExceeded:
                pass
        nap(0.02)

    before = signal.getsignal(signal.SIGALRM)
    way(racing)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_subprocess_is_stopped_with_its_step() -> None:
    import subprocess

    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded), time_limit(0.2):
        subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"], check=False)
    assert time.monotonic() - began < 20


# ---------------------------------------------------------------- the result


def test_the_table_has_a_row_per_point(tracker: Tracker) -> None:
    def step(demand: float) -> pd.DataFrame:
        if demand == 2:
            raise ValueError("two")
        return frame(demand)

    with tracker.scenario("s") as sc:
        sweep = sc.map(step, {"demand": [1, 2, 3]}, outputs=["kpi"])
    table = sweep.to_frame()
    assert list(table.columns) == [
        "demand", "status", "run_id", "cache_hit", "duration_seconds", "attempts", "error", "kpi",
    ]  # fmt: skip
    assert table.index.name == "point"
    assert list(table["status"]) == ["completed", "failed", "completed"]
    assert list(table["demand"]) == [1, 2, 3]
    assert Path(table["kpi"][0]).exists()
    assert table["kpi"][1] is None or pd.isna(table["kpi"][1])
    assert (len(sweep[:2]), sweep[-1].index, len(sweep.failed)) == (2, 2, 1)
    assert repr(sweep) == "SweepResult('step': 3 points, 2 completed (0 hits), 1 failed)"
    assert [a.key for a in sweep.completed.artifacts("kpi")] == ["kpi", "kpi"]
    with pytest.raises(PointsFailed, match="1 failed"):
        sweep.artifacts("kpi")
    with pytest.raises(UnknownKey, match="other"):
        sweep.completed.artifacts("other")
    again = pickle.loads(pickle.dumps(sweep))
    assert again.to_frame().equals(table)


def test_names_that_are_taken_have_a_word_before_them(tracker: Tracker) -> None:
    def step(config: Any) -> dict[str, pd.DataFrame]:
        return {"status": frame(1), "a": frame(2)}

    with tracker.scenario("s") as sc:
        sweep = sc.map(step, [{"status": "x", "a": 1, "error": 2}], outputs=["status", "a"])
    columns = set(sweep.to_frame().columns)
    assert {"parameter_status", "parameter_error", "a", "output_status", "output_a"} <= columns


def test_parameters_meet_inputs_and_runtime_arguments(tracker: Tracker, raw: Path) -> None:
    seen: list[Any] = []

    def step(a: Any, b: Any) -> None:
        seen.append((type(a).__name__, b))

    with tracker.scenario("s") as sc:
        sc.map(
            step,
            {"a": [1], "b": [2], "unused": [3]},
            inputs={"a": raw},
            execution_options=ExecutionOptions(runtime_kwargs={"b": 5}),
        ).raise_if_failed()
    assert seen == [("DataFrame", 5)]


def test_what_was_varied_may_be_anything_and_the_header_stays_readable(tracker: Tracker) -> None:
    with tracker.scenario("s") as sc:
        sweep = sc.map(
            lambda config: None,  # noqa: ARG005
            {"a": [object(), pd.DataFrame({"x": range(1000)}), "\ud800", "z" * 100_000, Unsaid()]},
        )
    assert len(sweep.failed) >= 3
    failures = header(tracker, "s").meta["sweeps"][0]["failures"]
    assert max(len(str(failure)) for failure in failures) < 2_000


# ---------------------------------------------------------------- the bar


@pytest.mark.parametrize(
    ("wish", "shown"), [(None, True), ("argument", False), ("environment", False)]
)
def test_the_bar_is_on_terminals_only_and_by_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str | None, *, shown: bool
) -> None:
    monkeypatch.setattr(progress_room, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    if wish == "environment":
        monkeypatch.setenv("CONSIST_PROGRESS", "0")
    ours, theirs = pty.openpty()
    with (
        os.fdopen(theirs, "w") as terminal,
        Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker,
        monkeypatch.context() as patched,
    ):
        patched.setattr(sys, "stderr", terminal)
        with tracker.scenario("s") as sc:
            sc.map(nap, {"seconds": [0.0, 0.3]}, progress=wish != "argument")
        terminal.flush()
        os.set_blocking(ours, False)
        written = ""
        with suppress(BlockingIOError):
            while True:  # a terminal gives at most 4 kB at a time
                written += os.read(ours, 100_000).decode(errors="replace")
    os.close(ours)
    assert ("nap" in written and "2/2" in written) is shown
    assert ("1 completed" in written) is shown
