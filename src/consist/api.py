"""The module-level verbs, on the tracker that is in reach.

A verb takes ``tracker=`` where one is passed, else the tracker of the innermost active run, else
the one of :func:`use_tracker`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from consist import artifacts
from consist.active import ActiveRun, innermost, own_innermost, workspace_in_reach
from consist.errors import NoTracker, WrongType, a_kind, hint
from consist.lazily import LazyRoom, LazyVerb
from consist.runs import folders, frames, lifecycle, outputs
from consist.runs import run as _run
from consist.runs import trace as _trace
from consist.runs.declared import flag
from consist.types import (
    CacheOptions,
    ExecutionOptions,
    IdentityInputs,
    OutputPolicyOptions,
)
from consist.workflow import scenario as _scenario
from consist.workspace import Workspace

if TYPE_CHECKING:
    from uuid import UUID

    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table
    from sqlmodel import SQLModel

    from consist.comparison import compare as comparison
    from consist.core.tracker import Tracker
    from consist.hot import ingest as hot
    from consist.integrations import ibis as ibis_
    from consist.maintenance import changes
    from consist.models.artifact import Artifact
    from consist.models.result import RunResult
    from consist.models.run import ConsistRecord, Run
    from consist.query import artifacts as find_artifacts_
    from consist.query import ask, runset
    from consist.query import history as history_
    from consist.query import runs as find_runs_
    from consist.runs import explain as _explain
    from consist.views import hybrid
    from consist.workflow.scenario import ScenarioContext
else:
    find_runs_ = LazyRoom("consist.query.runs")
    history_ = LazyRoom("consist.query.history")
    find_artifacts_ = LazyRoom("consist.query.artifacts")
    ask = LazyRoom("consist.query.ask")
    runset = LazyRoom("consist.query.runset")
    comparison = LazyRoom("consist.comparison.compare")
    _explain = LazyRoom("consist.runs.explain")
    hot = LazyRoom("consist.hot.ingest")
    changes = LazyRoom("consist.maintenance.changes")
    ibis_ = LazyRoom("consist.integrations.ibis")
    hybrid = LazyRoom("consist.views.hybrid")

P = ParamSpec("P")
R = TypeVar("R")

# ---------------------------------------------------------------- the tracker in reach


@dataclass(eq=False)
class _Use:
    """A block of :func:`use_tracker`, and the run that it stands in."""

    tracker: Workspace
    run: ActiveRun | None
    is_open: bool = True


_used: ContextVar[tuple[_Use, ...]] = ContextVar("consist_tracker", default=())
_default: Workspace | None = None


@contextmanager
def use_tracker(tracker: Tracker) -> Generator[Tracker]:
    """Let the verbs of ``consist`` mean this tracker inside the block.

    A run that is begun inside the block, of whatever tracker, comes before it.
    """
    use = _Use(_checked(tracker), own_innermost())
    _used.set((*_in_use(), use))
    try:
        yield tracker
    finally:  # not by a token: a generator may be closed in another context
        use.is_open = False
        _used.set(_in_use())


def _in_use() -> tuple[_Use, ...]:
    return tuple(use for use in _used.get() if use.is_open)


def set_current_tracker(tracker: Tracker | None) -> Tracker | None:
    """Let the verbs of ``consist`` mean this tracker from now on; return the earlier one."""
    global _default
    earlier, _default = _default, None if tracker is None else _checked(tracker)
    return cast("Tracker | None", earlier)


def current_tracker() -> Tracker:
    """Return the tracker that the verbs of ``consist`` mean here.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    return cast("Tracker", _reach(None, "current_tracker"))


def current_run() -> Run | None:
    """Return the run that code here belongs to, or ``None``."""
    from consist.models.run import Run

    active = innermost()
    return None if active is None else Run.from_record(active.record)


def current_consist() -> ConsistRecord | None:
    """Return everything that is known so far of the run that code here belongs to, or ``None``."""
    from consist.models.run import ConsistRecord

    active = innermost()
    if active is None:
        return None
    with active.lock:
        return ConsistRecord(active.document(), active.workspace.path_of)


def _reach(tracker: Workspace | None, action: str) -> Workspace:
    """Return the tracker that is meant: the innermost of active runs and ``use_tracker``.

    Code on a thread of its own, with neither, means the default tracker, else the one that all
    open runs of the process share.
    """
    if tracker is not None:
        return _checked(tracker)
    own, used = own_innermost(), _in_use()
    if used and (own is None or own is used[-1].run):
        return used[-1].tracker
    if own is not None:
        return own.workspace
    found = _default or workspace_in_reach()
    if found is None:
        raise hint(NoTracker(action), "with consist.use_tracker(tracker): ...")
    return found


def _checked(tracker: Workspace) -> Workspace:
    if not isinstance(cast("object", tracker), Workspace):
        raise WrongType(f"tracker is {a_kind(tracker)}, not a Tracker")
    return tracker


def on_current(verb: Callable[Concatenate[Workspace, P], R]) -> Callable[P, R]:
    """Make a module-level verb of a workspace verb; ``tracker=`` picks the tracker."""
    name = verb.__name__

    def call(*args: Any, tracker: Workspace | None = None, **kwargs: Any) -> Any:
        return verb(_reach(tracker, name), *args, **kwargs)

    if isinstance(verb, LazyVerb):
        return cast("Callable[P, R]", _Described(call, verb))
    wrapped = wraps(verb)(call)
    wrapped.__signature__ = _with_tracker(inspect.signature(verb))  # type: ignore[attr-defined]
    return cast("Callable[P, R]", wrapped)


class _Described:
    """A verb whose room is imported when it is first called or looked at."""

    def __init__(self, call: Callable[..., Any], verb: LazyVerb) -> None:
        self._call, self._verb = call, verb
        self.__name__ = verb.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function consist.{self.__name__}>"

    @property
    def __signature__(self) -> inspect.Signature:
        return _with_tracker(self._verb.__signature__)


def _with_tracker(signature: inspect.Signature) -> inspect.Signature:
    """Return a verb's signature with the workspace replaced by ``tracker=None``."""
    parameters = list(signature.parameters.values())[1:]
    tracker = inspect.Parameter("tracker", inspect.Parameter.KEYWORD_ONLY, default=None)
    end = len(parameters)
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        end -= 1
    return signature.replace(parameters=[*parameters[:end], tracker, *parameters[end:]])


# ---------------------------------------------------------------- run


def run(
    fn: Callable[..., Any] | None = None,
    name: str | None = None,
    tracker: Tracker | None = None,
    adapter: Any = None,
    identity_inputs: IdentityInputs = None,
    cache_options: CacheOptions | None = None,
    output_policy: OutputPolicyOptions | None = None,
    execution_options: ExecutionOptions | None = None,
    **kwargs: Any,
) -> RunResult:
    """Execute a function as a recorded run, or give back an earlier one.

    Parameters
    ----------
    fn, name, adapter, identity_inputs, cache_options, output_policy, execution_options, **kwargs
        As for ``Tracker.run``.
    tracker : Tracker, optional
        By default the one in reach.
    """
    return _run.run(
        _reach(tracker, "run"),
        fn,
        name,
        adapter=adapter,
        identity_inputs=identity_inputs,
        cache_options=cache_options,
        output_policy=output_policy,
        execution_options=execution_options,
        **kwargs,
    )


explain = on_current(_explain.explain)
trace = on_current(_trace.trace)
start_run = on_current(_trace.start_run)


def _scenario_on_current() -> Callable[..., ScenarioContext]:
    verb = _scenario.scenario

    def call(
        *args: Any, enabled: bool = True, tracker: Tracker | None = None, **kwargs: Any
    ) -> ScenarioContext:
        if flag("enabled", enabled):
            return verb(_reach(tracker, "scenario"), *args, **kwargs)
        from consist.noop import create_tracker

        try:
            run_dir = _reach(tracker, "scenario").run_dir
        except NoTracker:
            run_dir = Path("runs")
        return verb(create_tracker(enabled=False, run_dir=run_dir), *args, **kwargs)

    call = wraps(verb)(call)
    signature = _with_tracker(inspect.signature(verb))
    switch = inspect.Parameter("enabled", inspect.Parameter.KEYWORD_ONLY, default=True)
    parameters = list(signature.parameters.values())
    at = list(signature.parameters).index("tracker")
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*parameters[:at], switch, *parameters[at:]]
    )
    before, rest, after = (verb.__doc__ or "").partition("    **kwargs : Any")
    call.__doc__ = f"{before}{_OF_THE_MODULE}{rest}{after}"
    return call


_OF_THE_MODULE = """\
    enabled : bool, default True
        Whether to track; if not, the steps run under a :class:`~consist.noop.NoopTracker` whose
        run folder is that of the tracker in reach, or ``./runs``.
    tracker : Tracker, optional
        By default the one in reach.
"""

scenario = _scenario_on_current()


# ---------------------------------------------------------------- record

log_artifact = on_current(artifacts.log_artifact)
log_artifacts = on_current(artifacts.log_artifacts)
log_input = on_current(artifacts.log_input)
log_output = on_current(artifacts.log_output)
log_dataframe = on_current(frames.log_dataframe)
log_meta = on_current(lifecycle.log_meta)
register_artifact_facet_parser = on_current(artifacts.register_artifact_facet_parser)
ingest = on_current(hot.ingest)
capture_outputs = on_current(outputs.capture_outputs)
output_dir = on_current(folders.output_dir)
output_path = on_current(folders.output_path)
cached_artifacts = on_current(_trace.cached_artifacts)
cached_output = on_current(_trace.cached_output)

# ---------------------------------------------------------------- mend the record

annotate = on_current(changes.annotate)
invalidate = on_current(changes.invalidate)

# ---------------------------------------------------------------- read and ask

get_run = on_current(find_runs_.get_run)
find_run = on_current(find_runs_.find_run)


def find_runs(*, tracker: Tracker | None = None, **filters: Any) -> Any:
    """Return the runs that match all filters, newest first, as ``Tracker.find_runs`` does."""
    return find_runs_.find_runs(_reach(tracker, "find_runs"), **filters)


find_latest_run = on_current(find_runs_.find_latest_run)
run_set = on_current(runset.run_set)
history = on_current(history_.history)
get_artifact = on_current(find_artifacts_.get_artifact)
find_matching_run = on_current(find_runs_.find_matching_run)
find_matching_runs = on_current(find_runs_.find_matching_runs)
run_query = on_current(ask.run_query)
db_session = on_current(ask.db_session)
compare = on_current(comparison.compare)
view = on_current(hybrid.view)
register_views = on_current(hybrid.register_views)


def ibis_connection(tracker: Tracker | None = None) -> Backend:
    """Return an Ibis connection to all that a tracker remembers; by default the one in reach."""
    return ibis_.ibis_connection(_reach(tracker, "ibis_connection"))


def ibis_grouped_view(
    tracker: Tracker | None = None,
    *,
    view_name: str,
    artifact_id: Artifact | UUID | str | None = None,
    **selection: Any,
) -> Table:
    """Return an Ibis table over artifacts of a schema; see ``consist.integrations.ibis``."""
    return ibis_.ibis_grouped_view(
        _reach(tracker, "ibis_grouped_view"),
        view_name=view_name,
        artifact_id=artifact_id,
        **selection,
    )


def ibis_view(
    tracker: Tracker | None = None, model: type[SQLModel] | None = None, key: str | None = None
) -> Table:
    """Return an Ibis table over every recorded table of a key, typed by ``model`` if given."""
    return ibis_.ibis_view(_reach(tracker, "ibis_view"), model, key)


def _reading(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Make a reading verb; without a tracker in reach, the one that made the artifact serves."""

    def call(artifact: Any, tracker: Workspace | None = None, **kwargs: Any) -> Any:
        return verb(tracker or _reader(artifact, verb.__name__), artifact, **kwargs)

    call.__name__, call.__doc__ = verb.__name__, verb.__doc__
    return call


def _reader(artifact: Any, action: str) -> Workspace:
    owner = getattr(getattr(artifact, "resolver", None), "__self__", None)
    try:
        return _reach(None, action)
    except NoTracker:
        if isinstance(owner, Workspace):
            return owner
        raise


load = _reading(artifacts.load)
load_df = _reading(artifacts.load_df)
load_relation = _reading(artifacts.load_relation)
