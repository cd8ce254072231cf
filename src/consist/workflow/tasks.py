"""What is sent to the workers of a sweep, and what they do with it.

A task crosses the border of a process as bytes, and is read there in two parts: what all tasks of
the sweep have in common once per worker, then its own. A step that the worker can import is
imported there, and proven to be the code that the driver identified; a step of a script or a
notebook travels by value. The worker opens the tracker once and records the run itself, so that
a driver that dies loses nothing.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

import msgspec

from consist.artifacts.items import local_path, recorded
from consist.cache.lookup import Timing
from consist.errors import ConsistError, TimeLimitExceeded, WrongType, hint
from consist.models.record import ArtifactRecord, RunRecord, storable
from consist.models.result import RunResult
from consist.runs.arguments import RunRequest
from consist.runs.lifecycle import adopted, status_after
from consist.runs.run import execute_request
from consist.types import is_path
from consist.workflow.same_code import Sources, check_same, loaded_here
from consist.workspace import Workspace

_MOST_SAID = 4_000

Steps = Sequence[Mapping[str, Any]]
"""What a header notes of the runs under it."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt at a point.

    Attributes
    ----------
    status : str
        ``"completed"``, ``"failed"`` or ``"interrupted"``.
    run_id : str or None
        Its run; ``None`` where it failed before there was one.
    """

    status: str
    run_id: str | None = None
    cache_hit: bool = False
    duration_seconds: float | None = None
    error: str | None = None
    outputs: dict[str, ArtifactRecord] = {}
    stops: bool = False
    """Whether it was Ctrl-C."""


class Sweep:
    """What all points of a sweep have in common.

    Parameters
    ----------
    workspace : Workspace
        The tracker of the driver.
    header : RunRecord
        The scenario that every run belongs to.
    fn : callable
        The step.
    sources : mapping, optional
        Source files of the driver; a worker that has others refuses to execute.
    changed : tuple of str, optional
        Source files that changed after the driver had loaded them. A step that comes by value is
        not what they say; such a run is no cache source.
    """

    def __init__(
        self,
        workspace: Workspace,
        header: RunRecord,
        fn: Callable[..., Any] | None,
        sources: Sources | None = None,
        changed: tuple[str, ...] = (),
    ) -> None:
        self.workspace, self.header, self.fn = workspace, header, fn
        self.sources, self.changed = sources or {}, changed
        self._checked: set[tuple[str, ...] | None] = set()

    @cached_property
    def sent(self) -> bytes:
        """The same as bytes, for other processes.

        The step comes first: a module that it is imported from may open the tracker itself.
        """
        parts = (self.fn, self.workspace, self.header, dict(self.sources), self.changed)
        return _pickled(parts, f"the step {step_name(self.fn)!r}")

    @classmethod
    def received(cls, sent: bytes) -> Sweep:
        """Return what another process sent."""
        fn, workspace, header, sources, changed = pickle.loads(sent)  # noqa: S301 - as code is
        return cls(workspace, header, fn, sources, changed)

    def check_code(self, files: tuple[str, ...] | None) -> None:
        """Refuse to execute where the code is not the driver's; looked into once.

        Raises
        ------
        CodeDiffers
            Naming the files.
        """
        if files not in self._checked:
            check_same(step_name(self.fn), self.sources, files)
            self._checked.add(files)


class Task:
    """One point, ready to be executed here or elsewhere; calling it does so.

    Parameters
    ----------
    sweep : Sweep
        What it shares with the others.
    request : RunRequest
        The run.
    """

    def __init__(self, sweep: Sweep, request: RunRequest) -> None:
        self._sweep, self._request = sweep, request
        self.__name__ = request.name  # schedulers show it

    def __dask_tokenize__(self) -> str:
        """Be another task each time: one that is tried again is to be executed again."""
        return uuid4().hex

    def __reduce__(self) -> tuple[Any, ...]:
        request = msgspec.structs.replace(self._request, fn=None)
        return SentTask, (self._sweep.sent, _pickled(request, f"point {request.name!r}"))

    def __call__(self) -> Outcome:
        """Execute the point and say what became of it, whatever it raises."""
        return outcome_of(self._sweep, self._request)


class SentTask:
    """A task that came from another process, and has not been looked into yet."""

    def __init__(self, sweep: bytes, request: bytes) -> None:
        self._sent, self._request = sweep, request

    def __call__(self) -> Outcome:
        """Execute the point and say what became of it, whatever it raises."""
        try:
            sweep = _received(self._sent)
            request: RunRequest = pickle.loads(self._request)  # noqa: S301 - as code is
            if request.code is not None:
                sweep.check_code(request.code.files)
                code = msgspec.structs.replace(request.code, changed=sweep.changed)
                request = msgspec.structs.replace(request, code=code)
        except BaseException as error:  # noqa: BLE001 - whatever the classes of users raise
            return failure(error)
        request = msgspec.structs.replace(request, fn=sweep.fn)
        outcome = outcome_of(sweep, request)
        loaded_here.take_in_new()
        return outcome


def portable(ws: Workspace, request: RunRequest) -> RunRequest:
    """Return a request that means the same in another process.

    Inputs are records or absolute paths, and the run belongs to the header that it is executed
    under.
    """
    inputs = tuple(
        msgspec.structs.replace(item, source=_portable_source(ws, item.source))
        for item in request.inputs
    )
    folder = request.capture_dir
    return msgspec.structs.replace(
        request,
        inputs=inputs,
        capture_dir=None if folder is None else os.path.abspath(folder),  # noqa: PTH100
        parent_run_id=None,
    )


def _portable_source(ws: Workspace, source: Any) -> Any:
    record = recorded(source)
    if record is not None:
        return record
    return local_path(ws, source) if is_path(source) else source


def _pickled(value: object, what: str) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps(value)
    except WrongType:
        raise  # a part says itself why
    except Exception as error:
        problem = WrongType(f"{what} cannot be sent to another process: {error}")
        remedy = "define it in a module, and let it open what it needs itself"
        raise hint(problem, remedy) from error


def why_not_sent(task: Task, error: BaseException) -> BaseException:
    """Return what keeps a task from being sent, where an executor only says that it is so."""
    try:
        _pickled(task, f"point {task.__name__!r}")
    except WrongType as reason:
        return reason
    return error


# ---------------------------------------------------------------- in the worker

_MOST_SWEEPS = 4
_receiving = threading.Lock()
_received_here: dict[tuple[int, bytes], Sweep] = {}


def _begin_anew() -> None:
    global _receiving  # noqa: PLW0603 - another thread of the parent may have held it
    _receiving = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


def _received(sent: bytes) -> Sweep:
    """Return what the tasks of a sweep share; read once for each sweep and process."""
    with _receiving:
        key = os.getpid(), sent
        known = _received_here.get(key)
        if known is None:
            loaded_here.look()
            known = Sweep.received(sent)
            loaded_here.take_in_new()
            while len(_received_here) >= _MOST_SWEEPS:
                del _received_here[next(iter(_received_here))]
            _received_here[key] = known
        return known


# ---------------------------------------------------------------- execute


def outcome_of(sweep: Sweep, request: RunRequest) -> Outcome:
    """Execute a point; what it raises is told and not raised, so that no executor stumbles."""
    ws, request = sweep.workspace, msgspec.structs.replace(request, asked_at=datetime.now(UTC))
    with adopted(ws, sweep.header) as header:
        try:
            result = execute_request(ws, request, Timing(ws))
        except BaseException as error:  # noqa: BLE001 - a point that fails is told, not raised
            return failure(error, header.steps)
        return given_back(result, header.steps)


def given_back(result: RunResult, steps: Steps = ()) -> Outcome:
    """Return the outcome of a run that completed."""
    return Outcome(
        status="completed",
        run_id=result.run_id,
        cache_hit=result.cache_hit,
        duration_seconds=_last(steps).get("duration_seconds"),
        outputs=dict(result.output_records),
    )


def failure(error: BaseException, steps: Steps = ()) -> Outcome:
    """Return the outcome of a run that an error ended, or kept from beginning."""
    step = _last(steps)
    return Outcome(
        status=status_after(error),
        run_id=step.get("id"),
        duration_seconds=step.get("duration_seconds"),
        error=_told(error),
        stops=isinstance(error, KeyboardInterrupt),
    )


def _told(error: BaseException) -> str:
    """Return type and message of an error, and the notes that say what to do."""
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - it is the error's own
        message = "(its message cannot be had)"
    ours = isinstance(error, (ConsistError, TimeLimitExceeded)) and message
    said = message if ours else f"{kind}: {message}" if message else kind
    notes = getattr(error, "__notes__", ())
    return storable("; ".join([said, *map(str, notes)])[:_MOST_SAID])


def step_name(fn: object) -> str:
    """Return the name of a step for people."""
    return str(getattr(fn, "__qualname__", fn))


def _last(steps: Steps) -> Mapping[str, Any]:
    return steps[-1] if steps else {}
