"""One step for every point of a sweep, through any executor.

The driver identifies every point and gives back what was done before; the rest it sends to the
executor, whose workers record their own runs (:mod:`.tasks`).
"""

from __future__ import annotations

import dataclasses
import pickle
import queue
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any

import msgspec

from consist.errors import ConsistError, UsageError, WorkersLost, WrongType, a_kind, hint
from consist.models.record import RunRecord, replace
from consist.progress import DELAY, Show, counting
from consist.runs.arguments import RunArguments, RunRequest
from consist.runs.lifecycle import adopted
from consist.runs.request import resolve_run_invocation
from consist.runs.run import give_back_request
from consist.step import definition_of, function_name
from consist.types import CacheOptions, check_option
from consist.workflow.points import Places, Point
from consist.workflow.results import (
    CANCELLED,
    COMPLETED,
    RUNNING,
    PointResult,
    SweepResult,
    points_failed,
    tally,
)
from consist.workflow.tasks import Outcome, Sweep, Task, failure, given_back, portable
from consist.workspace import Workspace

ON_ERROR = ("continue", "raise")

Complete = Callable[[RunArguments, Any], RunArguments]
"""Gives the arguments of a step the defaults of its scenario, and a binding to its inputs."""

_MOST_WAITING = 10_000
_GRACE = 2.0
_FAILURES_LISTED = 20


class SweepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a sweep is executed; see :meth:`~consist.workflow.scenario.ScenarioContext.map`."""

    executor: Executor | None = None
    retries: int = 0
    on_error: str = "continue"
    progress: bool = True

    def __post_init__(self) -> None:
        if self.executor is not None and not callable(getattr(self.executor, "submit", None)):
            problem = WrongType(f"executor is {a_kind(self.executor)}, which cannot submit")
            raise hint(problem, "pass a concurrent.futures.Executor, such as ThreadPoolExecutor()")
        retries: object = self.retries
        if type(retries) is not int or retries < 0:
            raise UsageError(f"retries={retries!r} is not a whole number from 0")
        check_option("on_error", self.on_error, ON_ERROR)


def request_of(
    ws: Workspace, fn: Callable[..., Any], point: Point, complete: Complete
) -> RunRequest:
    """Return the request of a point, such that it means the same in another process."""
    options = dict(point.options)
    binding = options.pop("binding", None)
    arguments = RunArguments(fn=fn, config=point.config, **options)
    arguments = _waiting(complete(arguments, binding))
    return portable(ws, resolve_run_invocation(ws, arguments))


class InThisThread(Executor):
    """Executes each task where and when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function; what stops the process (Ctrl-C) is raised at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - a future holds it for whoever asks
            future.set_exception(error)
        return future


class Driver:
    """Takes the points of one sweep through an executor.

    Parameters
    ----------
    workspace : Workspace
        The tracker.
    header : RunRecord
        The scenario that the runs belong to.
    fn : callable
        The step.
    points : list of Point
        In order.
    complete : callable
        Gives a step the defaults of the scenario.
    options : SweepOptions
        How to execute.
    """

    def __init__(
        self,
        workspace: Workspace,
        header: RunRecord,
        fn: Callable[..., Any],
        points: list[Point],
        complete: Complete,
        options: SweepOptions,
    ) -> None:
        self._ws, self._header, self._options = workspace, replace(header, meta={}), options
        self._fn, self._points, self._complete = fn, points, complete
        self._places = Places()
        self._executor = options.executor or InThisThread()
        self._sweep = Sweep(workspace, self._header, fn, time.time())
        self._sent: dict[Future[Outcome], tuple[PointResult, Task]] = {}
        self._ended: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        self._count: Counter[str] = Counter()
        self._stopped = False
        results = [PointResult(workspace, point.index, point.parameters) for point in points]
        self.result = SweepResult(function_name(fn), results)

    # ------------------------------------------------------------ all of them

    def run(self) -> SweepResult:
        """Execute every point that was not done before.

        Raises
        ------
        PointsFailed
            With ``on_error="raise"``, once a point has failed.
        WorkersLost
            If the executor broke.
        """
        wanted = self._options.progress and self._ws.settings.progress
        with counting(self.result.name, len(self._points), shown=wanted) as show:
            try:
                self._offer_all(show)
                while self._sent and not self._stopped:
                    self._collect(show)
            finally:
                self._take_back(show)
        if self._stopped:
            raise points_failed(self.result)
        return self.result

    def summary(self) -> dict[str, Any]:
        """Return what the header of the scenario keeps of the sweep."""
        listed = [p for p in self.result if p.error is not None][:_FAILURES_LISTED]
        failures = [{"parameters": p.parameters, "run": p.run_id, "error": p.error} for p in listed]
        return {
            "name": self.result.name,
            "points": len(self._points),
            "hits": self._count["hits"],
            **dict(Counter(point.status for point in self.result)),
            **({"failures": failures} if failures else {}),
        }

    def _offer_all(self, show: Show) -> None:
        for point, result in zip(self._points, self.result, strict=True):
            self._offer(point, result, show)
            while len(self._sent) >= _MOST_WAITING or not self._ended.empty():
                self._collect(show)
            if self._stopped:
                return

    # ------------------------------------------------------------ one of them

    def _offer(self, point: Point, result: PointResult, show: Show) -> None:
        """Give back a point that was done before; send it to a worker otherwise."""
        try:
            request = self._prepare(point)
        except ConsistError as error:
            if point.index == 0:
                raise  # what is wrong with the first is most likely wrong with all
            return self._note(result, failure(error), show)
        self._places.take(point.index, request)
        try:
            with adopted(self._ws, self._header):
                known, identity = give_back_request(self._ws, request)
        except (ConsistError, OSError) as error:
            return self._note(result, failure(error), show)
        if known is not None:
            return self._note(result, given_back(known), show)
        request = msgspec.structs.replace(request, code=identity.found_code)
        return self._send(result, Task(self._sweep, request))

    def _prepare(self, point: Point) -> RunRequest:
        return request_of(self._ws, self._fn, point, self._complete)

    def _send(self, result: PointResult, task: Task) -> None:
        result.attempts += 1
        result.status = RUNNING
        try:
            future = self._executor.submit(task)
        except (BrokenExecutor, RuntimeError) as error:  # broken, or shut down
            raise self._lost(error) from error
        self._sent[future] = result, task
        future.add_done_callback(self._ended.put)

    def _collect(self, show: Show) -> None:
        """Take in the next attempt that ended, and try again where that is asked for."""
        future = self._next_ended(show)
        result, task = self._sent.pop(future)
        outcome = self._outcome(future)
        again = outcome.status != COMPLETED and result.attempts <= self._options.retries
        if again and not self._stopped:
            self._send(result, task)
        else:
            self._note(result, outcome, show)

    def _next_ended(self, show: Show) -> Future[Outcome]:
        while True:
            try:
                return self._ended.get(timeout=DELAY)
            except queue.Empty:
                show(self._done, tally(self._count))

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        try:
            return future.result()
        except BrokenExecutor as error:
            raise self._lost(error) from error
        except (WrongType, pickle.PicklingError):
            raise  # no task can be sent
        except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever executors raise
            return failure(error)

    def _note(self, result: PointResult, outcome: Outcome, show: Show) -> None:
        result.take(outcome)
        self._count[outcome.status] += 1
        self._count["hits"] += outcome.cache_hit
        if outcome.status != COMPLETED and self._options.on_error == "raise":
            self._stopped = True
        show(self._done, tally(self._count))

    @property
    def _done(self) -> int:
        return self._count.total() - self._count["hits"]

    def _lost(self, error: BaseException) -> WorkersLost:
        problem = WorkersLost(self.result.name, f"{tally(self._count)}; {error}", self.result)
        return hint(problem, "run the sweep again with a new executor: what was done is given back")

    # ------------------------------------------------------------ the end

    def _take_back(self, show: Show) -> None:
        """Cancel what was not begun, and wait a moment for what is about to end."""
        for future, (result, _) in list(self._sent.items()):
            if future.cancel():
                del self._sent[future]
                result.status = CANCELLED
        deadline = time.monotonic() + _GRACE
        while self._sent:
            try:
                future = self._ended.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                return
            found = self._sent.pop(future, None)
            if found is not None and not future.cancelled() and future.exception() is None:
                self._note(found[0], future.result(), show)


def _waiting(given: RunArguments) -> RunArguments:
    """Let a point wait while another sweep executes the same, unless something else is asked."""
    options = given.cache_options or CacheOptions()
    if options.in_flight is not None or definition_of(given.fn).in_flight is not None:
        return given
    options = dataclasses.replace(options, in_flight="wait")
    return msgspec.structs.replace(given, cache_options=options)
