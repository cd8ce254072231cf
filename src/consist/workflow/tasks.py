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
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from consist.artifacts.items import local_path, recorded
from consist.cache.lookup import Timing
from consist.errors import CodeDiffers, ConsistError, TimeLimitExceeded, WrongType, hint
from consist.models.record import ArtifactRecord, RunRecord
from consist.models.result import RunResult
from consist.runs.arguments import RunRequest
from consist.runs.lifecycle import adopted, status_after
from consist.runs.run import execute_request
from consist.store.locks import process_born, this_process
from consist.types import is_path
from consist.workspace import Workspace

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
    began : float
        When the sweep began; a worker with older code is refused.
    """

    def __init__(
        self, workspace: Workspace, header: RunRecord, fn: Callable[..., Any] | None, began: float
    ) -> None:
        self.workspace, self.header, self.fn, self.began = workspace, header, fn, began

    @cached_property
    def sent(self) -> bytes:
        """The same as bytes, for other processes."""
        parts = (self.workspace, self.header, self.fn, self.began)
        return _pickled(parts, f"the step {getattr(self.fn, '__qualname__', self.fn)!r}")


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

    def __reduce__(self) -> tuple[Any, ...]:
        request = msgspec.structs.replace(self._request, fn=None)
        return SentTask, (self._sweep.sent, _pickled(request, f"point {request.name!r}"))

    def __call__(self) -> Outcome:
        """Execute the point and say what became of it."""
        return outcome_of(self._sweep, self._request)


class SentTask:
    """A task that came from another process, and has not been looked into yet."""

    def __init__(self, sweep: bytes, request: bytes) -> None:
        self._sent, self._request = sweep, request

    def __call__(self) -> Outcome:
        """Execute the point and say what became of it."""
        try:
            sweep = _received(self._sent)
            request = pickle.loads(self._request)  # noqa: S301 - from the driver, as code is
        except Exception as error:  # noqa: BLE001 - whatever the classes of users raise
            return failure(error)
        request = msgspec.structs.replace(request, fn=sweep.fn)
        return outcome_of(sweep, request, stopped=KeyboardInterrupt)


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
    except Exception as error:
        problem = WrongType(f"{what} cannot be sent to another process: {error}")
        remedy = "define it in a module, and let it open what it needs itself"
        raise hint(problem, remedy) from error


# ---------------------------------------------------------------- in the worker

_receiving = threading.Lock()
_latest: tuple[int, bytes, Sweep] | None = None


def _received(sent: bytes) -> Sweep:
    """Return what the tasks of a sweep share; read once for each sweep and process."""
    global _latest  # noqa: PLW0603 - one sweep at a time is what a worker sees
    with _receiving:
        known = _latest
        if known is not None and known[0] == os.getpid() and known[1] == sent:
            return known[2]
        loaded = {name: str(getattr(sys.modules[name], "__file__", "")) for name in [*sys.modules]}
        sweep = Sweep(*pickle.loads(sent))  # noqa: S301 - from the driver, as code is
        _check_not_stale(sweep, loaded)
        _latest = os.getpid(), sent, sweep
        return sweep


def _check_not_stale(sweep: Sweep, loaded: dict[str, str]) -> None:
    """Refuse to execute code that this process loaded before the files were edited.

    Raises
    ------
    CodeDiffers
        Naming the files.
    """
    born, root = process_born(), f"{sweep.workspace.project_root}{os.sep}"
    stale = [
        file
        for file in {*loaded.values()}
        if file.startswith(root)
        and "site-packages" not in file
        and born < _modified(file) < sweep.began
    ]
    if stale:
        names = tuple(sorted(file.removeprefix(root) for file in stale)[:10])
        name = str(getattr(sweep.fn, "__qualname__", sweep.fn))
        problem = CodeDiffers(name, this_process().host, names)
        raise hint(problem, "these files changed after the worker was started; restart the workers")


def _modified(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return 0.0


# ---------------------------------------------------------------- execute


def outcome_of(sweep: Sweep, request: RunRequest, **errors: type[BaseException]) -> Outcome:
    """Execute a point; errors of the step, and further ones if asked, are told and not raised."""
    ws, request = sweep.workspace, msgspec.structs.replace(request, asked_at=datetime.now(UTC))
    with adopted(ws, sweep.header) as header:
        try:
            result = execute_request(ws, request, Timing(ws))
        except (Exception, TimeLimitExceeded, SystemExit, *errors.values()) as error:  # noqa: BLE001
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
    )


def _told(error: BaseException) -> str:
    """Return type and message of an error, and the notes that say what to do."""
    said = str(error) if isinstance(error, ConsistError) else f"{type(error).__name__}: {error}"
    return "; ".join([said, *getattr(error, "__notes__", ())])


def _last(steps: Steps) -> Mapping[str, Any]:
    return steps[-1] if steps else {}
