"""Runs of one identity at the same time: who asks for it waits, and is given the result."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from consist import CacheOptions, ExecutionOptions, Tracker, define_step
from consist.errors import InvalidOption, WrongType
from consist.models.record import ProcessRecord, encode
from consist.store.leases import STALE, Holder
from tests.unit.runs.waiting import (
    LONG,
    WAIT,
    open_tracker,
    run_step,
    sign,
    signs,
    step,
    tell_waits,
    until,
    upstream,
)
from tests.unit.store.children import finish, run_child, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from consist.models.result import RunResult

WORK = """
from tests.unit.runs.waiting import *
work(folder, {waiters}, {then!r})
"""


@pytest.fixture
def waits(tmp_path: Path) -> Iterator[None]:
    """Leave a sign for every run of this process that waits."""
    handler = tell_waits(tmp_path)
    yield
    logging.getLogger("consist.runs").removeHandler(handler)


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    with open_tracker(tmp_path) as opened:
        yield opened


class Worker(Protocol):
    def __call__(self, waiters: int = 0, then: str = "return") -> subprocess.Popen[str]: ...


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Return what starts a process that does one run; all of them end with the test."""
    started: list[subprocess.Popen[str]] = []

    def one_more(waiters: int = 0, then: str = "return") -> subprocess.Popen[str]:
        started.append(start(WORK.format(waiters=waiters, then=then), tmp_path))
        return started[-1]

    yield one_more
    for process in started:
        process.kill()
        process.communicate()


def leases(folder: Path) -> list[Path]:
    return list((folder / "provenance.duckdb.journal" / "leases").iterdir())


def recorded(folder: Path) -> list[Any]:
    with open_tracker(folder) as tracker:
        return tracker.find_runs()


def lease_of_step(folder: Path) -> str:
    """Return the name of the lease under which the step executes, found in another database."""
    folder.mkdir()
    found: list[Path] = []

    def look() -> None:
        until(folder, "executed")
        found.extend(leases(folder))
        sign(folder, "waiting")

    watcher = threading.Thread(target=look)
    watcher.start()
    with open_tracker(folder) as elsewhere:
        run_step(elsewhere, folder, waiters=1)
    watcher.join()
    (lease,) = found
    assert not leases(folder)
    return lease.name


def write_lease(folder: Path, name: str, age: float, host: str = "elsewhere") -> Path:
    """Let a process that is not known here have a lease."""
    path = folder / "provenance.duckdb.journal" / "leases" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(Holder(ProcessRecord(host, 4321, 1.0), "token", "its step")))
    touched = time.time() - age
    os.utime(path, (touched, touched))
    return path


# ---------------------------------------------------------------- one executes


PROCESSES = """
import multiprocessing
from tests.unit.runs.waiting import *

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=work, args=(folder, 3)) for _ in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    say([worker.exitcode for worker in workers])
"""

FORKED = """
import multiprocessing
from tests.unit.runs.waiting import *

with open_tracker(folder) as tracker:
    tracker.run(before, cache_options=WAIT)
    context = multiprocessing.get_context("fork")
    arguments = (tracker, folder, 3)
    workers = [context.Process(target=work_in_tracker, args=arguments) for _ in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    say([worker.exitcode for worker in workers])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "fork of a tracker"])
def test_of_processes_at_once_one_executes_and_the_others_hit(tmp_path: Path, method: str) -> None:
    code = FORKED if method == "fork of a tracker" else PROCESSES.format(method=method)
    assert run_child(code, tmp_path) == ["[0, 0, 0, 0]"]
    assert signs(tmp_path, "executed") == signs(tmp_path, "miss") == 1
    assert signs(tmp_path, "hit") == 3
    assert not leases(tmp_path)
    runs = [run for run in recorded(tmp_path) if run.model_name == "step"]
    assert len(runs) == 4
    assert sorted(bool(run.meta.get("cache_hit")) for run in runs) == [False, True, True, True]
    (executed,) = [run for run in runs if not run.meta.get("cache_hit")]
    assert "waited_for" not in executed.meta
    waited = [run.meta["waited_for"] for run in runs if run.meta.get("cache_hit")]
    assert {note["pid"] for note in waited} == {waited[0]["pid"]}
    assert all(note["seconds"] >= 0 for note in waited)


def test_of_threads_at_once_one_executes_and_the_others_hit(
    tracker: Tracker, tmp_path: Path, waits: None
) -> None:
    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(run_step, tracker, tmp_path, waiters=3) for _ in range(4)]
        results = [task.result() for task in tasks]
    assert sorted(result.cache_hit for result in results) == [False, True, True, True]
    assert {result.outputs["n"].path.read_text() for result in results} == {"done"}
    assert signs(tmp_path, "executed") == 1
    assert not leases(tmp_path)


@pytest.fixture
def executing(tracker: Tracker, tmp_path: Path) -> Iterator[Future[RunResult]]:
    """Let a thread execute the step until there is a sign that somebody waits."""
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run_step, tracker, tmp_path, waiters=1)
        until(tmp_path, "executed")
        yield task
        sign(tmp_path, "waiting")
        assert not task.result(LONG).cache_hit


def test_who_does_not_ask_for_it_executes_beside(
    tracker: Tracker, tmp_path: Path, executing: Future[RunResult]
) -> None:
    assert not run_step(tracker, tmp_path, CacheOptions()).cache_hit
    assert not executing.done()


def test_runs_of_another_identity_do_not_wait(
    tracker: Tracker, tmp_path: Path, executing: Future[RunResult]
) -> None:
    assert not run_step(tracker, tmp_path, year=2030).cache_hit
    assert not executing.done()


@pytest.mark.parametrize("mode", ["overwrite", "readonly"])
def test_modes_that_share_nothing_neither_wait_nor_are_waited_for(
    tracker: Tracker, tmp_path: Path, executing: Future[RunResult], mode: str
) -> None:
    seen: list[int] = []

    def look() -> None:
        seen.append(len(leases(tmp_path)))

    options = CacheOptions(in_flight="wait", cache_mode=mode)
    assert not run_step(tracker, tmp_path, options).cache_hit
    assert not executing.done()
    tracker.run(look, cache_options=options)
    assert seen == [1]


def test_what_another_input_of_the_same_content_is_made_of_does_not_count(
    tracker: Tracker, tmp_path: Path, waits: None
) -> None:
    """An upstream step that ran again to the same bytes has another signature."""
    made = [
        tracker.run(upstream, year=year, outputs=["raw"]).outputs["raw"] for year in (2030, 2040)
    ]
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(run_step, tracker, tmp_path, inputs=[raw], waiters=1) for raw in made]
        results = [task.result(LONG) for task in tasks]
    assert sorted(result.cache_hit for result in results) == [False, True]
    assert results[0].run.signature != results[1].run.signature


# ---------------------------------------------------------------- the one that executes fails


def test_if_it_fails_the_next_one_executes(tmp_path: Path, worker: Worker) -> None:
    first = worker(waiters=1, then="raise")
    until(tmp_path, "executed")
    second = worker()
    finish(second)
    assert first.wait(LONG) == 1
    assert "ZeroDivisionError: as asked" in first.communicate()[1]
    assert signs(tmp_path, "executed") == 2
    assert signs(tmp_path, "miss") == 1
    assert not leases(tmp_path)
    runs = sorted(recorded(tmp_path), key=lambda run: run.started_at)
    assert [run.status for run in runs] == ["failed", "completed"]
    assert runs[1].meta["waited_for"]["pid"] == first.pid
    assert runs[1].meta["cache_miss_explanation"]["candidate_run_id"] == runs[0].id


def test_after_a_kill_one_of_those_who_wait_executes_at_once(
    tmp_path: Path, worker: Worker
) -> None:
    first = worker(then="hang")
    until(tmp_path, "executed")
    others = [worker() for _ in range(2)]
    until(tmp_path, "waiting", 2)
    first.kill()
    killed = time.monotonic()
    first.communicate()
    for other in others:
        finish(other)
    assert time.monotonic() - killed < STALE / 2  # by its lock, and not by the time of its file
    assert signs(tmp_path, "executed") == 2
    assert (signs(tmp_path, "miss"), signs(tmp_path, "hit")) == (1, 1)
    assert not leases(tmp_path)


def test_a_wait_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, worker: Worker) -> None:
    first = worker(waiters=2)
    until(tmp_path, "executed")
    second = worker()
    until(tmp_path, "waiting")
    (lease,) = leases(tmp_path)
    held = lease.read_bytes()
    second.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in second.communicate(timeout=LONG)[1]
    assert second.returncode in {1, -signal.SIGINT}
    assert [path.read_bytes() for path in leases(tmp_path)] == [held]
    sign(tmp_path, "waiting")
    finish(first)
    assert not leases(tmp_path)
    (run,) = recorded(tmp_path)
    assert run.status == "completed"


def test_interrupting_the_one_that_executes_lets_others_go_on(
    tmp_path: Path, worker: Worker
) -> None:
    first = worker(then="hang")
    until(tmp_path, "executed")
    second = worker()
    until(tmp_path, "waiting")
    first.send_signal(signal.SIGINT)
    finish(second)
    assert "KeyboardInterrupt" in first.communicate(timeout=LONG)[1]
    assert signs(tmp_path, "miss") == 1
    statuses = sorted(run.status for run in recorded(tmp_path))
    assert statuses == ["completed", "interrupted"]


# ---------------------------------------------------------------- other hosts


def test_a_process_of_another_host_is_waited_for_while_it_gives_signs_of_life(
    tracker: Tracker, tmp_path: Path, waits: None, caplog: pytest.LogCaptureFixture
) -> None:
    name = lease_of_step(tmp_path / "elsewhere")
    lease = write_lease(tmp_path, name, age=STALE / 2)
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run_step, tracker, tmp_path)
        until(tmp_path, "waiting")
        assert not task.done()
        assert not signs(tmp_path, "executed")
        os.utime(lease, (0, 0))
        assert not task.result(LONG).cache_hit
    assert not leases(tmp_path)
    (line,) = [text for text in caplog.messages if " waits for " in text]
    assert line == "[Consist] 'step' waits for 'its step', which process 4321 on elsewhere executes"
    (run,) = tracker.find_runs()
    note = run.meta["waited_for"]
    assert (note["host"], note["pid"]) == ("elsewhere", 4321)


def test_a_process_of_another_host_without_signs_of_life_is_not_waited_for(
    tracker: Tracker, tmp_path: Path, waits: None
) -> None:
    write_lease(tmp_path, lease_of_step(tmp_path / "elsewhere"), age=STALE * 2)
    assert not run_step(tracker, tmp_path).cache_hit
    assert not signs(tmp_path, "waiting")
    assert not leases(tmp_path)


def test_a_lease_that_says_nothing_counts_by_its_time(tracker: Tracker, tmp_path: Path) -> None:
    lease = write_lease(tmp_path, lease_of_step(tmp_path / "elsewhere"), age=0)
    lease.write_bytes(b"")
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(run_step, tracker, tmp_path)
        with pytest.raises(TimeoutError):
            task.result(0.1)
        os.utime(lease, (0, 0))
        assert not task.result(LONG).cache_hit
    assert not leases(tmp_path)


# ---------------------------------------------------------------- runs inside runs


def test_a_run_inside_one_that_is_waited_for_waits_for_nobody(
    tracker: Tracker, tmp_path: Path, waits: None
) -> None:
    write_lease(tmp_path, lease_of_step(tmp_path / "elsewhere"), age=0)

    def outer() -> None:
        assert not run_step(tracker, tmp_path).cache_hit

    assert not tracker.run(outer, cache_options=WAIT).cache_hit
    assert signs(tmp_path, "executed") == 1
    assert not signs(tmp_path, "waiting")
    assert len(leases(tmp_path)) == 1  # the one of the other host


def test_a_run_of_its_own_identity_inside_does_not_wait_for_itself(tracker: Tracker) -> None:
    depths: list[int] = []

    def again(depth: int) -> None:
        depths.append(depth)
        if depth:
            runtime = {"depth": depth - 1}
            tracker.run(again, runtime_kwargs=runtime, cache_options=WAIT)

    tracker.run(again, runtime_kwargs={"depth": 2}, cache_options=WAIT)
    assert depths == [2, 1, 0]


def test_a_step_of_a_scenario_waits(
    tracker: Tracker, tmp_path: Path, waits: None, executing: Future[RunResult]
) -> None:
    with tracker.scenario("baseline") as sc:
        execution = ExecutionOptions(runtime_kwargs={"folder": tmp_path})
        result = sc.run(step, outputs=["n"], cache_options=WAIT, execution_options=execution)
        assert result.cache_hit
        assert sc.coupler.require("n") == result.outputs["n"]
    assert signs(tmp_path, "executed") == 1


def sweep(tracker: Tracker, folder: Path, name: str, **options: Any) -> list[bool]:
    execution = ExecutionOptions(runtime_kwargs={"folder": folder, "waiters": 1})
    with tracker.scenario(name) as sc:
        over = [{"n": 1}]
        points = sc.map(step, over, outputs=["n"], execution_options=execution, **options)
        return [point.cache_hit for point in points]


def test_points_of_two_sweeps_at_once_are_executed_once(
    tracker: Tracker, tmp_path: Path, waits: None
) -> None:
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(sweep, tracker, tmp_path, name) for name in ("first", "second")]
        assert sorted(hit for task in tasks for hit in task.result(LONG)) == [False, True]
    assert signs(tmp_path, "executed") == 1


def test_a_sweep_can_be_told_not_to_wait(
    tracker: Tracker, tmp_path: Path, executing: Future[RunResult]
) -> None:
    seen: list[int] = []

    def look(n: int) -> None:
        seen.append(len(leases(tmp_path)))

    def ask(**options: Any) -> None:
        with tracker.scenario("sweeps") as sc:
            sc.map(look, [{"n": len(seen)}], **options)

    ask()
    ask(cache_options=CacheOptions(in_flight="execute"))
    assert seen == [2, 1]  # one is that of the thread


FORKS_INSIDE = """
from tests.unit.runs.waiting import *
from consist.store.leases import Holder

def forks():
    (lease,) = (folder / "provenance.duckdb.journal" / "leases").iterdir()
    held = lease.read_bytes()
    for end in ("at once", "in good order"):
        pid = os.fork()
        if pid == 0:
            found = tracker.store.try_lease(lease.name, "child")
            if not isinstance(found, Holder) or found.process.pid != os.getppid():
                os._exit(1)
            if end == "at once":
                os._exit(0)
            raise SystemExit(0)
        assert os.waitpid(pid, 0)[1] == 0, end
        assert lease.read_bytes() == held
        assert isinstance(tracker.store.try_lease(lease.name, "self"), Holder)

with open_tracker(folder) as tracker:
    tracker.run(forks, cache_options=WAIT)
    say(os.listdir(folder / "provenance.duckdb.journal" / "leases"))
"""


def test_a_child_of_the_one_that_executes_does_not_end_its_lease(tmp_path: Path) -> None:
    assert run_child(FORKS_INSIDE, tmp_path) == ["[]"]


# ---------------------------------------------------------------- where there are no leases


def test_where_no_leases_can_be_kept_everybody_executes(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "provenance.duckdb.journal" / "leases"
    folder.touch()
    for year in (2030, 2040):
        assert not run_step(tracker, tmp_path, year=year).cache_hit
    assert signs(tmp_path, "executed")
    (line,) = [text for text in caplog.messages if "leases" in text]
    assert line == f"{folder} cannot keep leases: Not a directory"


def test_without_a_database_everybody_executes(tmp_path: Path) -> None:
    with Tracker(run_dir=tmp_path / "runs") as tracker:
        for _ in range(2):
            assert not run_step(tracker, tmp_path).cache_hit
    assert not list(tmp_path.glob("*.journal"))


# ---------------------------------------------------------------- the option


def test_it_is_an_option_with_two_values() -> None:
    assert CacheOptions(in_flight="execute") != CacheOptions(in_flight="wait")
    with pytest.raises(InvalidOption, match="in_flight"):
        CacheOptions(in_flight="queue")


def test_a_step_can_ask_for_it_and_a_call_can_say_no(tracker: Tracker, tmp_path: Path) -> None:
    seen: list[int] = []

    @define_step(in_flight="wait")
    def look() -> None:
        seen.append(len(leases(tmp_path)))

    tracker.run(look, year=1)
    tracker.run(look, year=2, cache_options=CacheOptions(in_flight="execute"))
    assert seen == [1, 0]


def test_blocks_are_told_that_they_do_not_wait(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match="in_flight"), tracker.trace("block", in_flight="wait"):
        pass
    with pytest.raises(WrongType, match="in_flight") as refused:
        tracker.begin_run("id", "model", in_flight="wait")
    (remedy,) = refused.value.__notes__
    assert remedy == "the code of a block executes in any case, and waits for nobody"
    with pytest.raises(TypeError, match=r"cache_options=CacheOptions\(in_flight=...\)"):
        tracker.run(len, in_flight="wait")
