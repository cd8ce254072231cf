"""Runs around code that executes in any case: inline blocks and the manual life cycle."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from consist.active import ActiveRun, ActiveRunCacheOptions
from consist.cache.lookup import Timing
from consist.errors import NoActiveRun, RunAlreadyActive, RunStateError, WrongType, a_kind, hint
from consist.models.record import RunDocument
from consist.runs.arguments import RunArguments, RunRequest
from consist.runs.declared import check_no_options
from consist.runs.identify import identify
from consist.runs.lifecycle import close_run, new_run, running
from consist.runs.outputs import Watch, record_outputs, remains_recorded, watch
from consist.runs.request import resolve_run_invocation
from consist.runs.run import (
    hydrate_outputs,
    look_up,
    note_changed_code,
    note_copies,
    prepare_inputs,
    report,
    tell_outputs,
)
from consist.types import (
    OUTPUT_POLICIES,
    ArtifactRef,
    CacheOptions,
    ConfigLike,
    FacetLike,
    HashInputs,
    IdentityInputs,
    OutputPolicyOptions,
    PathLike,
    RunInputRef,
    check_option,
)

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.run import Run
    from consist.workspace import Workspace

logger = logging.getLogger("consist.runs")


# ---------------------------------------------------------------- blocks


@contextmanager
def trace(
    ws: Workspace,
    name: str,
    *,
    run_id: str | None = None,
    model: str | None = None,
    description: str | None = None,
    config: ConfigLike | None = None,
    adapter: Any = None,
    config_plan_ingest: bool = True,
    config_plan_profile_schema: bool = False,
    inputs: Mapping[str, RunInputRef] | Iterable[RunInputRef] | None = None,
    input_keys: Iterable[str] | str | None = None,
    optional_input_keys: Iterable[str] | str | None = None,
    depends_on: Iterable[RunInputRef] | None = None,
    tags: Iterable[str] | None = None,
    facet: FacetLike | None = None,
    facet_from: Iterable[str] | None = None,
    facet_schema_version: str | int | None = None,
    facet_index: bool | None = None,
    identity_inputs: IdentityInputs = None,
    year: int | None = None,
    iteration: int | None = None,
    parent_run_id: str | None = None,
    outputs: Iterable[str] | None = None,
    output_paths: Mapping[str, ArtifactRef] | None = None,
    capture_dir: PathLike | None = None,
    capture_pattern: str = "*",
    cache_mode: str = "reuse",
    cache_hydration: str | None = None,
    cache_version: int | None = None,
    cache_epoch: int | None = None,
    validate_cached_outputs: str = "lazy",
    code_identity: str | None = None,
    code_identity_extra_deps: Iterable[PathLike] | None = None,
    output_mismatch: str = "warn",
    output_missing: str = "warn",
    input_mismatch: str = "error",
) -> Generator[Workspace]:
    """Record the code of a ``with`` block as a run; the block executes every time.

    On a hit, ``is_cached`` is true inside the block, the cached outputs are there, and logging
    one of them again gives the cached artifact; code that does something else makes the run an
    executing one. Parameters are those of :func:`~consist.runs.run.run`, with the policies as
    plain keywords; inputs are logged and never loaded.

    Yields
    ------
    Tracker
        The tracker.

    Raises
    ------
    ValueError
        If an option has a value it does not know.
    RuntimeError
        If an output policy is ``"error"`` and broken.
    """
    given = dict(locals())
    workspace = given.pop("ws")
    with traced(workspace, block_arguments(given)) as run:
        yield run.workspace


def block_arguments(given: dict[str, Any]) -> RunArguments:
    """Pack the flat policy keywords of a block into options objects."""
    for name in ("output_mismatch", "output_missing"):
        check_option(name, given[name], OUTPUT_POLICIES)
    names = CacheOptions.__dataclass_fields__
    cache = {name: given.pop(name) for name in names if name in given}
    policy = {name: given.pop(name) for name in OutputPolicyOptions.__dataclass_fields__}
    return RunArguments(
        **given,
        cache_options=CacheOptions(**cache),
        output_policy=OutputPolicyOptions(**policy),
        block=True,
    )


@contextmanager
def traced(ws: Workspace, arguments: RunArguments) -> Generator[ActiveRun]:
    """Open a run for a block and close it behind, whatever the block does."""
    ws.check_writable("trace a block")
    timing = Timing(ws)
    request = resolve_run_invocation(ws, arguments)
    run, seen = prepare(ws, request, timing)
    with running(ws, run):
        make_ready(ws, run, request, timing)
        with remains_recorded(ws, run, seen):
            yield run
        record_outputs(ws, run, seen, None)
        close_run(ws, run)


def prepare(ws: Workspace, request: RunRequest, timing: Timing) -> tuple[ActiveRun, Watch]:
    """Make a run whose code executes in any case, as a hit where there is one."""
    timing.lap("signature_prefetch")
    identity = identify(ws, request)
    timing.lap("input_hashing")
    answer = look_up(ws, request, identity, timing)
    report(ws, request, identity, answer)
    return new_run(ws, request, identity, answer), watch(ws, request)


def make_ready(ws: Workspace, run: ActiveRun, request: RunRequest, timing: Timing) -> None:
    """Do what has to be done between the beginning of a block's run and its code."""
    if run.hit is None:
        timing.log()
        note_changed_code(ws, run)
        prepare_inputs(ws, run, request)
        return
    timing.skip()  # the beginning of the run is none of the phases
    note_copies(run, hydrate_outputs(ws, run, request))
    tell_outputs(run)
    timing.lap("hydration")
    timing.log()


# ---------------------------------------------------------------- manual life cycle


def begin_run(
    ws: Workspace,
    run_id: str,
    model: str,
    config: ConfigLike | None = None,
    inputs: Iterable[ArtifactRef] | Mapping[str, ArtifactRef] | None = None,
    tags: list[str] | None = None,
    description: str | None = None,
    cache_mode: str = "reuse",
    *,
    artifact_dir: PathLike | None = None,
    allow_external_paths: bool | None = None,
    facet: FacetLike | None = None,
    facet_from: list[str] | None = None,
    hash_inputs: HashInputs = None,
    code_identity: str | None = None,
    code_identity_extra_deps: list[PathLike] | None = None,
    facet_schema_version: str | int | None = None,
    facet_index: bool = True,
    **kwargs: Any,
) -> Run:
    """Begin a run now, to be ended by :func:`end_run` somewhere else.

    Parameters
    ----------
    run_id : str
        Id of the run. Asked for again, it becomes ``<id>~2``, ``~3`` and so on.
    model : str
        Model or process.
    config, tags, description, facet, facet_from, facet_schema_version, facet_index
        As for :func:`~consist.runs.run.run`.
    inputs : iterable or mapping, optional
        Paths and artifacts that the run uses.
    cache_mode : str, default "reuse"
        As in :class:`~consist.types.CacheOptions`.
    artifact_dir : path, optional
        Folder for outputs: relative to ``<run_dir>/outputs``, or absolute within ``run_dir``.
    allow_external_paths : bool, optional
        Allow ``artifact_dir`` and copies of cached outputs outside ``run_dir``.
    hash_inputs : iterable, optional
        Files and folders, or (name, path) pairs, that count for the identity alone.
    code_identity, code_identity_extra_deps
        As in :class:`~consist.types.CacheOptions`.
    **kwargs : Any
        ``year``, ``iteration``, ``stage``, ``phase``, ``parent_run_id``, ``cache_hydration``,
        ``cache_epoch``, ``cache_version``, ``validate_cached_outputs``, ``input_mismatch``,
        ``materialize_cached_output_paths`` and ``materialize_cached_outputs_dir``; everything
        else becomes metadata of the run.

    Returns
    -------
    Run
        The run, with status ``"running"``.

    Raises
    ------
    RuntimeError
        If a run is active on this thread or task.
    ValueError
        If a name, tag, option or metadata entry breaks its rules.
    TypeError
        For an option of ``run`` or ``trace`` that has no meaning here.
    """
    given = dict(locals())
    timing = Timing(ws)
    request = _manual_request(given.pop("ws"), given, given.pop("kwargs"))
    run, _ = prepare(ws, request, timing)
    with running(ws, run):
        make_ready(ws, run, request, timing)
    return _entity(run)


def _manual_request(ws: Workspace, given: dict[str, Any], meta: dict[str, Any]) -> RunRequest:
    """Check the arguments of a run by hand; what is no argument is metadata."""
    ws.check_writable("begin a run")
    active = ws.active.own()
    if active is not None and not active.is_header:
        problem = RunAlreadyActive(active.run_id, given["run_id"])
        raise hint(problem, "end it first; tracker.run and tracker.trace may be used inside a run")
    check_no_options("begin_run", meta, _INSTEAD)
    given["identity_inputs"] = given.pop("hash_inputs")
    cache = {name: given.pop(name) for name in _CACHE_ARGUMENTS}
    cache.update({name: meta.pop(name, None) for name in _CACHE_KEYWORDS})
    return resolve_run_invocation(
        ws,
        RunArguments(
            **given,
            name=given["model"],
            cache_options=CacheOptions(**cache),
            **{name: meta.pop(name, None) for name in _FIELD_KEYWORDS},
            meta=meta,
            block=True,
            manual=True,
        ),
    )


_INSTEAD = {
    "identity_inputs": "pass hash_inputs=",
    "in_flight": "the code of a block executes in any case, and waits for nobody",
    "cache_options": "pass cache_mode=, cache_hydration= and so on, each for itself",
}
_CACHE_ARGUMENTS = ("cache_mode", "code_identity", "code_identity_extra_deps")
_CACHE_KEYWORDS = (
    "cache_hydration",
    "cache_epoch",
    "cache_version",
    "validate_cached_outputs",
    "input_mismatch",
)
_FIELD_KEYWORDS = (
    "year",
    "iteration",
    "stage",
    "phase",
    "parent_run_id",
    "materialize_cached_output_paths",
    "materialize_cached_outputs_dir",
)


_ENDS = ("completed", "failed", "interrupted")


def end_run(
    ws: Workspace,
    status: str = "completed",
    error: BaseException | None = None,
    *,
    run_id: str | None = None,
) -> Run:
    """End the run that :func:`begin_run` began: write its record and tell the hooks.

    It may have begun on another thread or task: the only open run that was begun by hand is
    meant then.

    Parameters
    ----------
    status : str, default "completed"
        ``"completed"``, ``"failed"`` or ``"interrupted"``.
    error : Exception, optional
        What went wrong; its message and traceback go into the metadata.
    run_id : str, optional
        Which run, by the id that was asked for or recorded, where several are open.

    Returns
    -------
    Run
        The run as recorded. Ending a run that has ended already only warns.

    Raises
    ------
    RuntimeError
        If no run was ever begun, the active one ends with its function or block, or several could
        be meant.
    ValueError
        If the status is unknown.
    """
    check_option("status", status, _ENDS)
    run = ws.active.to_end() if run_id is None else _open_run(ws, run_id)
    if run is None or run.is_header:
        return _ended_before(ws, run_id)
    if error is not None and not isinstance(cast("object", error), BaseException):
        raise hint(WrongType(f"error={error!r} is no exception"), "pass the exception itself")
    if not run.is_manual:
        problem = RunStateError(f"run {run.run_id!r} ends with its function or block")
        raise hint(problem, "raise an exception to let it fail; end_run ends runs of begin_run")
    return _document_entity(close_run(ws, run, status, error))


def _open_run(ws: Workspace, run_id: str) -> ActiveRun | None:
    run = ws.active.by_id(run_id)
    if run is not None:
        run.check_here("end_run")
    return run


def _ended_before(ws: Workspace, run_id: str | None) -> Run:
    document: RunDocument | None = ws.memory.get("ended_run")
    if run_id is not None:
        if document is None or run_id not in {document.run.id, document.run.requested_id}:
            open_runs = tuple(run.run_id for run in ws.active if run.is_manual)
            raise NoActiveRun(f"end_run(run_id={run_id!r})", open_runs)
    elif document is None or document is not ws.memory.get("last_run"):
        raise NoActiveRun("end_run")
    logger.warning("[Consist] run %r has ended already", document.run.id)
    return _document_entity(document)


@contextmanager
def start_run(ws: Workspace, run_id: str, model: str, **kwargs: Any) -> Generator[Workspace]:
    """Begin a run and end it behind the block; see :func:`begin_run`.

    Yields
    ------
    Tracker
        The tracker.

    Raises
    ------
    Exception
        Whatever the block raises, after the run is recorded as failed.
    """
    timing = Timing(ws)
    given = _BEGIN.bind(ws, run_id, model, **kwargs)
    given.apply_defaults()
    request = _manual_request(ws, _without_workspace(given.arguments), given.arguments["kwargs"])
    run, _ = prepare(ws, request, timing)
    with running(ws, run):
        make_ready(ws, run, request, timing)
        yield ws
        if run.is_open:
            close_run(ws, run)


_BEGIN = inspect.signature(begin_run)


def _without_workspace(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in {"ws", "kwargs"}}


def _entity(run: ActiveRun) -> Run:
    from consist.models.run import Run

    return Run.from_record(run.record)


def _document_entity(document: RunDocument) -> Run:
    from consist.models.run import Run

    return Run.from_record(document.run)


# ---------------------------------------------------------------- inside a hit


def cached_artifacts(ws: Workspace, direction: str = "output") -> dict[str, Artifact]:
    """Return what the active run gives back, by key; empty where it is no hit.

    Parameters
    ----------
    direction : {"output", "input"}
        Which side.
    """
    check_option("direction", direction, ("input", "output"))
    run = ws.active.find("cached_artifacts")
    if run is None or run.hit is None:
        return {}
    records = run.hit.outputs if direction == "output" else run.hit.inputs
    return {record.key: ws.artifact_of(record) for record in records}


def cached_output(ws: Workspace, key: str | None = None) -> Artifact | None:
    """Return one output that the active run gives back, by key or the first; else ``None``."""
    found = cached_artifacts(ws)
    return next(iter(found.values()), None) if key is None else found.get(key)


def suspend_cache_options(ws: Workspace) -> ActiveRunCacheOptions:
    """Reset the cache options of the active run to their defaults; return what they were."""
    run = ws.active.require("suspend_cache_options")
    options, run.cache_options = run.cache_options, ActiveRunCacheOptions()
    return options


def restore_cache_options(ws: Workspace, options: ActiveRunCacheOptions) -> None:
    """Put back what :func:`suspend_cache_options` returned."""
    if not isinstance(cast("object", options), ActiveRunCacheOptions):
        problem = WrongType(f"options is {a_kind(options)}, not ActiveRunCacheOptions")
        raise hint(problem, "pass what suspend_cache_options returned")
    ws.active.require("restore_cache_options").cache_options = options
