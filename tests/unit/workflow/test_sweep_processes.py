"""Sweeps through real executors: what reaches the workers, and what they may not do."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import consist
from consist import CacheOptions, ExecutionOptions, Tracker
from consist.errors import WorkersLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

KINDS = ["thread", "fork", "spawn", "forkserver", "loky", "dask", "dask threads"]
PROCESSES = ["fork", "spawn", "loky", "dask"]


@contextmanager
def executor_of(kind: str, workers: int = 2) -> Iterator[Executor]:
    if kind == "thread":
        with ThreadPoolExecutor(workers) as pool:
            yield pool
    elif kind == "loky":
        loky: Any = pytest.importorskip("loky")
        with loky.ProcessPoolExecutor(workers) as pool:
            yield pool
    elif kind.startswith("dask"):
        distributed: Any = pytest.importorskip("distributed")
        with distributed.Client(
            n_workers=1,
            threads_per_worker=workers,
            processes=kind == "dask",
            dashboard_address=":0",
        ) as client:
            yield client.get_executor()
    else:
        with ProcessPoolExecutor(workers, multiprocessing.get_context(kind)) as pool:
            yield pool


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[str], Executor]]:
    """Keep what takes long to start; what forks is made where the tracker has been used."""
    opened: dict[str, tuple[Any, Executor]] = {}

    def start(kind: str) -> Executor:
        if kind not in opened or kind == "fork":
            entered = executor_of(kind)
            opened[f"{kind} {len(opened)}" if kind == "fork" else kind] = (
                entered,
                pool := entered.__enter__(),
            )
            return pool
        return opened[kind][1]

    yield start
    for entered, _ in opened.values():
        entered.__exit__(None, None, None)


# ---------------------------------------------------------------- steps of a module


def returns(x: int) -> pd.DataFrame:
    return pd.DataFrame({"x": [x], "pid": [os.getpid()]})


def writes(x: int) -> dict[str, Path]:
    path = consist.output_path("out", ext="txt")
    path.write_text(str(x))
    return {"out": path}


def logs(x: int) -> None:
    path = consist.output_path("out", ext="txt")
    path.write_text(str(x))
    consist.log_artifact(path, key="out", direction="output")


def takes_context(x: int, _consist_ctx: Any) -> None:
    path = _consist_ctx.run_dir / f"of_context_{x}.txt"
    path.write_text(str(x))
    _consist_ctx.log_output(path, key="out")


class Model:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def run(self, x: int) -> dict[str, Path]:
        return writes(x * self.factor)

    def __call__(self, x: int) -> dict[str, Path]:
        return writes(x * self.factor)


def with_function(x: int, function: Callable[[int], int]) -> dict[str, Path]:
    return writes(function(x))


def steps_of(tracker: Tracker) -> dict[str, Callable[..., Any]]:
    factor = 3

    def closure(x: int) -> dict[str, Path]:
        return writes(x * factor)

    def of_global_tracker(x: int) -> None:
        path = tracker.run_dir / f"of_global_{x}.txt"
        path.write_text(str(x))
        tracker.log_artifact(path, key="out", direction="output")

    return {
        "module": writes,
        "frame": returns,
        "logs": logs,
        "context": takes_context,
        "lambda": lambda x: writes(x + 1),
        "closure": closure,
        "partial": functools.partial(Model(2).run),
        "partial of a lambda": functools.partial(with_function, function=lambda x: x + 7),
        "method": Model(4).run,
        "instance": Model(5),
        "global tracker": of_global_tracker,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_every_kind(
    tracker: Tracker, running: Callable[[str], Executor], kind: str
) -> None:
    tracker.run(returns, config={"x": 99}, outputs=["out"])
    tracker.find_runs()  # the database has been opened
    executor = running(kind)
    with tracker.scenario("s") as sc:
        for name, step in steps_of(tracker).items():
            declared = {} if name in {"logs", "context", "global tracker"} else {"outputs": ["out"]}
            context = name == "context"
            how: dict[str, Any] = {
                "executor": executor,
                "execution_options": ExecutionOptions(inject_context=context or None),
                **declared,
            }
            sweep = sc.map(step, {"x": [1, 2]}, name, **how)
            assert [(p.status, p.error) for p in sweep] == [("completed", None)] * 2, name
            assert all(Path(path).exists() for path in sweep.to_frame()["out"]), name
            assert not any(point.cache_hit for point in sweep), name
            again = sc.map(step, {"x": [1, 2]}, name, **how)
            assert [point.cache_hit for point in again] == [True, True], name
        assert "out" in sc.coupler
    assert len(tracker.find_runs(parent_id="s", limit=100)) == 4 * 11


@pytest.mark.parametrize("kind", PROCESSES)
def test_points_run_in_other_processes_and_record_there(
    tracker: Tracker, running: Callable[[str], Executor], kind: str
) -> None:
    with tracker.scenario("s") as sc:
        sweep = sc.map(returns, {"x": range(6)}, executor=running(kind), outputs=["out"])
    pids = {int(consist.load_df(point.output("out"))["pid"][0]) for point in sweep}
    assert os.getpid() not in pids
    runs = tracker.find_runs(parent_id="s", limit=100)
    assert sorted(run.id for run in runs) == sorted(str(point.run_id) for point in sweep)
    assert {run.status for run in runs} == {"completed"}
    assert all(run.parent_run_id == "s" for run in runs)


def test_inputs_and_folders_mean_the_same_in_a_worker_elsewhere(
    tracker: Tracker, raw: Path, tmp_path: Path
) -> None:
    def step(raw: pd.DataFrame, x: int) -> pd.DataFrame:
        return raw.assign(x=x)

    def elsewhere(folder: str) -> None:
        os.chdir(folder)

    other = tmp_path / "other"
    other.mkdir()
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(1, context, initializer=elsewhere, initargs=(str(other),))
    with pool, tracker.scenario("s") as sc:
        sweep = sc.map(
            step, {"x": [1]}, inputs={"raw": raw.name}, executor=pool, outputs=["scaled"]
        )
        listed = sc.map(
            lambda raw: raw.size,
            [{}],
            executor=pool,
            inputs={"raw": raw.name},
            identity_inputs=[raw.name],
        )
    assert sweep[0].error is None
    assert listed[0].run_id is not None
    assert len(consist.load_df(sweep[0].output("scaled"))) == 3


def test_a_worker_has_the_settings_of_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with executor_of("spawn", 1) as pool:
        pool.submit(int).result()  # the worker is there before the setting
        monkeypatch.setenv("CONSIST_MAX_METADATA_ITEMS", "3")
        with Tracker(tmp_path / "r", tmp_path / "p.duckdb") as tracker, tracker.scenario("s") as sc:
            sweep = sc.map(
                lambda n: consist.log_meta(**{f"item_{i}": i for i in range(n)}),
                {"n": [3, 4]},
                executor=pool,
            )
    assert [point.status for point in sweep] == ["completed", "failed"]


# ---------------------------------------------------------------- what breaks


@pytest.mark.parametrize("kind", ["fork", "loky"])
def test_a_worker_that_dies_loses_no_finished_point(tracker: Tracker, kind: str) -> None:
    def step(x: int, die: bool) -> None:
        if x == 3 and die:
            os._exit(7)

    over = {"x": range(6)}
    how: dict[str, Any] = {"execution_options": ExecutionOptions(runtime_kwargs={"die": True})}
    with (
        executor_of(kind, 1) as pool,
        pytest.raises(WorkersLost) as caught,
        tracker.scenario("s") as sc,
    ):
        sc.map(step, over, executor=pool, **how)
    statuses = [point.status for point in caught.value.result]
    assert statuses[:3] == ["completed"] * 3
    assert set(statuses[3:]) == {"interrupted"}
    again = {"execution_options": ExecutionOptions(runtime_kwargs={"die": False})}
    with executor_of(kind, 1) as pool, tracker.scenario("s") as sc:
        rest = sc.map(step, over, executor=pool, **again)
    assert [point.cache_hit for point in rest] == [True] * 3 + [False] * 3
    runs = tracker.find_runs(parent_id="s~1", limit=100)
    assert sorted(run.status for run in runs) == ["completed"] * 3 + ["interrupted"]


@pytest.mark.parametrize("kind", ["fork", "dask"])
def test_whatever_is_raised_in_a_worker_is_told(
    tracker: Tracker, running: Callable[[str], Executor], kind: str
) -> None:
    class CannotBePickled(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(a)
            self.held = lambda: b

    makers = [lambda: CannotBePickled(1, 2), SystemExit, KeyboardInterrupt, BaseException]

    def step(x: int) -> None:
        error = makers[x]()
        raise error

    with tracker.scenario("s") as sc:
        sweep = sc.map(step, {"x": range(len(makers))}, executor=running(kind))
    assert [p.status for p in sweep] == ["failed", "failed", "interrupted", "failed"]
    assert all(point.run_id is not None for point in sweep)


def test_a_point_that_is_tried_again_is_executed_again_by_dask(
    tracker: Tracker, running: Callable[[str], Executor], here: Path
) -> None:
    def step(marks: str) -> None:
        file = Path(marks)
        file.write_text(file.read_text() + "x" if file.exists() else "x")
        if len(file.read_text()) < 3:
            raise ValueError

    with tracker.scenario("s") as sc:
        sweep = sc.map(step, {"marks": [str(here / "m")]}, executor=running("dask"), retries=2)
    assert (sweep[0].status, sweep[0].attempts) == ("completed", 3)


def test_a_step_that_cannot_be_sent_is_named(
    tracker: Tracker, running: Callable[[str], Executor]
) -> None:
    import threading

    lock = threading.Lock()
    for kind in ("fork", "loky", "dask"):
        with pytest.raises(TypeError, match="cannot be sent"), tracker.scenario("s") as sc:
            sc.map(
                lambda x, lock: None,  # noqa: ARG005
                {"x": [1]},
                executor=running(kind),
                execution_options=ExecutionOptions(runtime_kwargs={"lock": lock}),
            )


def forget(folder: str) -> None:
    sys.path.remove(folder)


def test_a_module_that_the_worker_cannot_import_is_named(
    tracker: Tracker, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "only_in_the_driver.py").write_text("def step(x):\n    pass\n")
    monkeypatch.syspath_prepend(str(here))
    module = importlib.import_module("only_in_the_driver")
    with executor_of("spawn", 1) as pool, tracker.scenario("s") as sc:
        pool.submit(forget, str(here)).result()
        sweep = sc.map(module.step, {"x": [1]}, executor=pool)
    assert sweep[0].status == "failed"
    assert "only_in_the_driver" in (sweep[0].error or "")


# ---------------------------------------------------------------- code that differs

HELPER = """
RATE = {rate}


def rate():
    return {rate}


def scaled():
    return RATE
"""
STEPS = """
import {helper} as helper


def simulate(x):
    return str(helper.rate() * x)
"""


class Edited:
    """A module of steps and one that helps it, which can be edited."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.helper_name, self.steps_name = folder, f"helper_{name}", f"steps_{name}"
        self.edit(1)
        (folder / f"{self.steps_name}.py").write_text(STEPS.format(helper=self.helper_name))

    def edit(self, rate: int) -> None:
        (self.folder / f"{self.helper_name}.py").write_text(HELPER.format(rate=rate) + "#" * rate)

    def load(self) -> tuple[ModuleType, ModuleType]:
        """Import both as a new session would."""
        for name in (self.helper_name, self.steps_name):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module(self.helper_name), importlib.import_module(self.steps_name)


@pytest.fixture
def edited(here: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    monkeypatch.syspath_prepend(str(here))
    return Edited(here, here.parent.name.replace("-", "_").replace("[", "_").replace("]", "_"))


def step_that_needs(helper: ModuleType, steps: ModuleType, how: str) -> Callable[..., Any]:
    simulate, name = steps.simulate, helper.__name__

    def by_value(x: int) -> Path:
        module: Any = sys.modules.get(name) or importlib.import_module(name)
        path = consist.output_path("out", ext="txt")
        path.write_text(str(module.rate() * x))
        return path

    def calling(x: int) -> Path:
        path = consist.output_path("out", ext="txt")
        path.write_text(simulate(x))
        return path

    return {"by value": by_value, "calling": calling, "partial": functools.partial(calling)}[how]


@pytest.mark.parametrize("identity", ["callable_module", "callable_deps"])
@pytest.mark.parametrize("how", ["calling", "partial"])
@pytest.mark.parametrize("kind", ["spawn", pytest.param("loky", marks=pytest.mark.slow)])
def test_a_worker_with_old_code_is_refused(
    here: Path, edited: Edited, kind: str, how: str, identity: str
) -> None:
    asked: dict[str, Any] = {
        "outputs": ["out"],
        "cache_options": CacheOptions(code_identity=identity),
    }

    def written(sweep: Any) -> list[str]:
        return [Path(path).read_text() for path in sweep.to_frame()["out"]]

    with Tracker("runs", "p.duckdb") as tracker, executor_of(kind, 1) as pool:
        with tracker.scenario("s") as sc:
            first = sc.map(
                step_that_needs(*edited.load(), how), {"x": [1, 2]}, executor=pool, **asked
            )
            assert [point.error for point in first] == [None, None]
            assert written(first) == ["1", "2"]
        edited.edit(10)
        step = step_that_needs(*edited.load(), how)
        over = {"x": [3, 4]}
        with tracker.scenario("s") as sc:
            refused = sc.map(step, over, executor=pool, **asked)
            assert [point.status for point in refused] == ["failed", "failed"]
            assert edited.helper_name in (refused[0].error or "")
            assert "restart the workers" in (refused[0].error or "")
        with executor_of(kind, 1) as anew, tracker.scenario("s") as sc:
            assert written(sc.map(step, over, executor=anew, **asked)) == ["30", "40"]


def test_a_worker_that_is_older_than_an_edit_may_load_it_afterwards(
    here: Path, edited: Edited
) -> None:
    with Tracker("runs", "p.duckdb") as tracker, executor_of("spawn", 1) as pool:
        pool.submit(int).result()
        edited.edit(7)
        step = step_that_needs(*edited.load(), "calling")
        for over in ([1], [2]):
            with tracker.scenario("s") as sc:
                sweep = sc.map(step, {"x": over}, executor=pool, outputs=["out"])
            assert [point.error for point in sweep] == [None]


def test_an_edit_while_a_sweep_runs_does_not_change_what_is_executed(
    here: Path, edited: Edited
) -> None:
    _helper, steps = edited.load()
    file = here / f"{edited.helper_name}.py"
    simulate = steps.simulate

    def step(x: int) -> Path:
        path = consist.output_path("out", ext="txt")
        path.write_text(simulate(x))
        if x == 1:
            file.write_text(HELPER.format(rate=99))
        return path

    tracker = Tracker("runs", "p.duckdb")
    with tracker, executor_of("spawn", 1) as pool, tracker.scenario("s") as sc:
        sweep = sc.map(step, {"x": [1, 2, 3]}, executor=pool, outputs=["out"])
    assert [point.error for point in sweep] == [None] * 3
    assert [Path(path).read_text() for path in sweep.to_frame()["out"]] == ["1", "2", "3"]


def test_a_constant_that_only_the_driver_has_changed_is_refused(here: Path, edited: Edited) -> None:
    helper, _ = edited.load()
    helper.RATE = 5  # pyright: ignore[reportAttributeAccessIssue]
    scaled: Any = helper.scaled
    asked = CacheOptions(code_identity="callable_deps")
    for step in (scaled, lambda: scaled()):  # noqa: PLW0108 - one by import, one by value
        tracker = Tracker("runs", "p.duckdb")
        with tracker, executor_of("spawn", 1) as pool, tracker.scenario("s") as sc:
            sweep = sc.map(step, [{}], "scaled", executor=pool, cache_options=asked)
        assert "RATE" in (sweep[0].error or "")


# ---------------------------------------------------------------- scripts

SCRIPT = """
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import pandas as pd

import consist
from consist import Tracker

tracker = Tracker("runs", "p.duckdb")
FACTOR = 3


def scaled(x):
    return x * FACTOR


def simulate(x):
    path = consist.output_path("note", ext="txt")
    path.write_text("noted")
    tracker.log_artifact(path, key="note", direction="output")
    return pd.DataFrame({"x": [scaled(x)]})


if __name__ == "__main__":
    tracker.run(simulate, config={"x": 99}, outputs=["kpi"])
    pool = ProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1]))
    with pool, tracker.scenario("s") as sc:
        sweep = sc.map(simulate, {"x": [1, 2, 3]}, executor=pool, outputs=["kpi", "note"])
    sweep.raise_if_failed()
    print([int(consist.load_df(p.output("kpi"))["x"][0]) for p in sweep], sweep)
    tracker.close()
"""


@pytest.mark.parametrize(
    "kind", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)]
)
def test_a_script_with_a_tracker_of_its_own(here: Path, kind: str) -> None:
    (here / "script.py").write_text(SCRIPT)
    said: list[str] = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "script.py", kind], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        said.append(done.stdout.strip())
    assert "[3, 6, 9]" in said[0]
    assert "(0 hits)" in said[0]
    assert "(3 hits)" in said[1]
    with Tracker("runs", "p.duckdb") as tracker:
        runs = tracker.find_runs(parent_id="s~1", limit=10)
        assert len(runs) == 3
        keys = {
            a.key for run in runs for a in tracker.get_artifacts_for_run(run.id).outputs.values()
        }
        assert keys == {"kpi", "note"}
