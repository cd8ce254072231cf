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
from concurrent.futures import BrokenExecutor, Future
from typing import Any

import msgspec

from consist.errors import ConsistError, WorkersLost, WrongType, hint
from consist.identity import is_importable
from consist.models.record import RunRecord, replace
from consist.progress import DELAY, Show, counting
from consist.runs.arguments import RunArguments, RunRequest
from consist.runs.lifecycle import adopted
from consist.runs.request import resolve_run_invocation
from consist.runs.run import give_back_request
from consist.step import definition_of, function_name
from consist.types import CacheOptions
from consist.workflow.executors import InThisThread, SweepOptions
from consist.workflow.points import Places, Point
from consist.workflow.results import (
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    RUNNING,
    PointResult,
    SweepResult,
    points_failed,
    summary_of,
    tally,
)
from consist.workflow.same_code import project_sources
from consist.workflow.tasks import Outcome, Sweep, Task, failure, given_back, portable, why_not_sent
from consist.workspace import Workspace

Complete = Callable[[RunArguments, Any], RunArguments]
"""Gives the arguments of a step the defaults of its scenario, and a binding to its inputs."""

_MOST_WAITING = 10_000
_GRACE = 2.0


class Attempt(msgspec.Struct, eq=False):
    """One point on its way through the executor."""

    point: Point
    result: PointResult
    task: Task
    signature: str | None


def request_of(
    ws: Workspace, fn: Callable[..., Any], point: Point, complete: Complete
) -> RunRequest:
    """Return the request of a point, such that it means the same in another process."""
    options = dict(point.options)
    binding = options.pop("binding", None)
    arguments = RunArguments(fn=fn, config=point.config, **options)
    arguments = _waiting(complete(arguments, binding))
    return portable(ws, resolve_run_invocation(ws, arguments))


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
        self._sweep: Sweep | None = None
        self._sent: dict[Future[Outcome], Attempt] = {}
        self._ended: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        self._twins: dict[str, list[tuple[Point, PointResult]]] = {}
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
        self._places.check_shared(self._points)
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
        return summary_of(self.result)

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
        signature = identity.signature if request.cache.mode == "reuse" else None
        if signature in self._twins:
            self._twins[signature].append((point, result))  # its run is under way
            return None
        request = msgspec.structs.replace(request, code=identity.found_code)
        task = Task(self._shared(request), request)
        if signature is not None:
            self._twins[signature] = []
        return self._send(Attempt(point, result, task, signature))

    def _prepare(self, point: Point) -> RunRequest:
        return request_of(self._ws, self._fn, point, self._complete)

    def _shared(self, first: RunRequest) -> Sweep:
        """Return what is sent with every point, put together when the first one is sent."""
        if self._sweep is None:
            ws, files = self._ws, None if first.code is None else first.code.files
            sources, changed = project_sources(ws.project_root, files or ()), ()
            if ws.keeps and not is_importable(self._fn):
                ws.loaded.look(thorough=True)
                changed = ws.loaded.changed() if files is None else ws.loaded.changed_among(files)
            self._sweep = Sweep(ws, self._header, self._fn, sources, changed)
        return self._sweep

    def _send(self, attempt: Attempt) -> None:
        attempt.result.status = RUNNING
        try:
            future = self._executor.submit(attempt.task)
        except RuntimeError as error:  # broken, or shut down
            attempt.result.status = CANCELLED
            raise self._lost(error) from error
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            attempt.result.status = CANCELLED
            raise why_not_sent(attempt.task, error) from error
        except BaseException:
            attempt.result.status = INTERRUPTED
            raise
        attempt.result.attempts += 1
        self._sent[future] = attempt
        future.add_done_callback(self._ended.put)

    def _collect(self, show: Show) -> None:
        """Take in the next attempt that ended, and try again where that is asked for."""
        future = self._next_ended(show)
        attempt = self._sent.pop(future)
        outcome = self._outcome(future, attempt)
        again = outcome.status == "failed" and attempt.result.attempts <= self._options.retries
        if again and not self._stopped:
            return self._send(attempt)
        self._note(attempt.result, outcome, show)
        if outcome.stops and isinstance(self._executor, InThisThread):
            raise KeyboardInterrupt
        for point, result in self._twins.pop(attempt.signature or "", ()):
            if not self._stopped:
                self._offer(point, result, show)  # a hit, unless its twin failed
        return None

    def _next_ended(self, show: Show) -> Future[Outcome]:
        while True:
            try:
                return self._ended.get(timeout=DELAY)
            except queue.Empty:
                show(self._done, tally(self._count))

    def _outcome(self, future: Future[Outcome], attempt: Attempt) -> Outcome:
        if future.cancelled():
            return Outcome(status=CANCELLED, error="the executor cancelled it")
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, BrokenExecutor):
            attempt.result.take(lost())
            raise self._lost(error) from error
        if isinstance(error, (WrongType, pickle.PicklingError)):
            error = why_not_sent(attempt.task, error)
            attempt.result.take(failure(error))
            raise error  # no task can be sent
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
        for future, attempt in list(self._sent.items()):
            if future.cancel():
                del self._sent[future]
                attempt.result.status = CANCELLED
        deadline = time.monotonic() + _GRACE
        while self._sent:
            try:
                future = self._ended.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                return
            attempt = self._sent.pop(future, None)
            if attempt is not None and not future.cancelled():
                error = future.exception()
                broken = isinstance(error, BrokenExecutor)
                outcome = lost() if broken else failure(error) if error else future.result()
                self._note(attempt.result, outcome, show)


def lost() -> Outcome:
    """Return the outcome of a point whose worker is gone; whether it was begun nobody knows."""
    return Outcome(status=INTERRUPTED, error="the executor broke before the point had ended")


def _waiting(given: RunArguments) -> RunArguments:
    """Let a point wait while another sweep executes the same, unless something else is asked."""
    options = given.cache_options or CacheOptions()
    if options.in_flight is not None or definition_of(given.fn).in_flight is not None:
        return given
    options = dataclasses.replace(options, in_flight="wait")
    return msgspec.structs.replace(given, cache_options=options)
