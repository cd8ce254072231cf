"""Function-shaped runs: a hit skips the function, a miss executes and records it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from consist.active import ActiveRun
from consist.artifacts.items import local_path, recorded
from consist.artifacts.materialize import carry_out
from consist.artifacts.verify import changed_input, gone, standing
from consist.cache.hydrate import (
    HydrationRequest,
    plan_missing_inputs,
    plan_outputs,
    restore_missing_rows,
)
from consist.cache.lookup import NOTHING_FOUND, Answer, Question, Timing, find, log_decision
from consist.execution import PythonExecutor
from consist.hot.marks import is_ingested
from consist.models.record import RunDocument, replace
from consist.models.result import RunResult
from consist.runs.arguments import RunArguments, RunRequest
from consist.runs.bind import bind
from consist.runs.context import RunContext
from consist.runs.folders import artifact_dir_of
from consist.runs.identify import Identity, identify
from consist.runs.lifecycle import close_run, new_run, running, stored_config
from consist.runs.outputs import check_missing, record_outputs, remains_recorded, watch
from consist.runs.request import resolve_run_invocation
from consist.types import (
    ArtifactRef,
    CacheOptions,
    ConfigLike,
    ExecutionOptions,
    FacetLike,
    IdentityInputs,
    OutputPolicyOptions,
    PathLike,
    RunInputRef,
    explain_legacy_options,
)

if TYPE_CHECKING:
    from consist.workspace import Workspace


@explain_legacy_options
def run(
    ws: Workspace,
    fn: Callable[..., Any] | None = None,
    name: str | None = None,
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
    phase: str | None = None,
    stage: str | None = None,
    parent_run_id: str | None = None,
    outputs: Iterable[str] | None = None,
    output_paths: Mapping[str, ArtifactRef] | None = None,
    capture_dir: PathLike | None = None,
    capture_pattern: str = "*",
    cache_options: CacheOptions | None = None,
    output_policy: OutputPolicyOptions | None = None,
    execution_options: ExecutionOptions | None = None,
    runtime_kwargs: Mapping[str, Any] | None = None,
) -> RunResult:
    """Execute a function as a recorded run, or give back an earlier run of the same identity.

    The identity is made of the code, the config, the inputs, ``model``, ``year``, ``iteration``,
    ``cache_epoch`` and ``cache_version``. Everything else given here is recorded, and may differ
    between a run and its cache hit.

    Parameters
    ----------
    fn : callable
        The step. Its parameters are filled from the inputs of their names, ``runtime_kwargs``,
        config keys of their names, and the whole config for one called ``config``.
    name : str, optional
        Name of the run; by default that of the function.
    run_id : str, optional
        Id of the run; by default made of the name. Asked for again, it becomes ``<id>~2``.
    model : str, optional
        Model or component; by default the name.
    description : str, optional
        Purpose, for people; at most 4,096 characters.
    config : mapping or model, optional
        Parameters that decide the result. The full config goes into the snapshot.
    adapter, config_plan_ingest, config_plan_profile_schema
        Not supported yet.
    inputs : mapping or iterable, optional
        Files, artifacts or results of runs. Given as a mapping, each becomes the argument of its
        name; given as a list, they count for the identity alone.
    input_keys, optional_input_keys
        Deprecated, and only for scenario steps.
    depends_on : iterable, optional
        Further files or artifacts that the result depends on.
    tags : iterable of str, optional
        Labels for questions.
    facet : mapping or model, optional
        Small values for questions.
    facet_from : iterable of str, optional
        Config keys to copy into the facet.
    facet_schema_version : str or int, optional
        Version of the facet's schema.
    facet_index : bool, optional
        Whether facet values can be asked for one by one; by default yes.
    identity_inputs : iterable, optional
        Paths, or (name, path) pairs, whose content counts for the identity without being inputs.
    year, iteration : int, optional
        Part of the identity.
    phase, stage : str, optional
        Labels for questions.
    parent_run_id : str, optional
        By default the run that this one is begun in.
    outputs : iterable of str, optional
        Keys of what the function returns: a frame, series or path for one key, a mapping by key,
        or a list in the order of the keys. Without keys, a function may return nothing, a path,
        an artifact, or a mapping of these; anything else is a ``TypeError`` once it has run.
    output_paths : mapping, optional
        Files that the function writes, by key. A relative path may mean the run folder or the
        current one; the one that this run wrote is meant.
    capture_dir : path, optional
        Folder whose new and changed files are the outputs, by their stems.
    capture_pattern : str, default "*"
        Which of them.
    cache_options, output_policy, execution_options : optional
        See :class:`~consist.types.CacheOptions`, :class:`~consist.types.OutputPolicyOptions` and
        :class:`~consist.types.ExecutionOptions`.
    runtime_kwargs : mapping, optional
        Arguments that reach the function without counting for the identity.

    Returns
    -------
    RunResult
        ``outputs`` by key, ``cache_hit``, ``run``, and the function's return value as ``value``.

    Raises
    ------
    FileNotFoundError
        If an input does not exist, or an output that is to be copied on a hit.
    ArtifactChanged
        If an input given as an artifact (:class:`~consist.errors.InputChanged`), or an output that
        is to be copied, no longer has the bytes that were recorded.
    TypeError, ValueError
        If the arguments cannot mean what they say.
    RuntimeError
        If an output policy is ``"error"`` and broken.
    Exception
        Whatever the function raises, unchanged; the run is recorded as failed then.
    """
    arguments = dict(locals())
    return execute_run(arguments.pop("ws"), RunArguments(**arguments))


def execute_run(ws: Workspace, arguments: RunArguments) -> RunResult:
    """Identify a run, look for it, and give it back or execute it."""
    ws.check_writable("run a step")
    timing = Timing(ws)
    request = resolve_run_invocation(ws, arguments)
    timing.lap("signature_prefetch")
    return execute_request(ws, request, timing)


def execute_request(ws: Workspace, request: RunRequest, timing: Timing) -> RunResult:
    """Identify a run that is checked already, look for it, and give it back or execute it."""
    identity = identify(ws, request)
    timing.lap("input_hashing")
    answer = _search(ws, request, identity, timing)
    if answer.hit is None and request.cache.waits and identity.signature is not None:
        with _in_turn(ws, request, identity, answer, timing) as answer:
            return _conclude(ws, request, identity, answer, timing)
    return _conclude(ws, request, identity, answer, timing)


def _conclude(
    ws: Workspace, request: RunRequest, identity: Identity, answer: Answer, timing: Timing
) -> RunResult:
    """Give back what was found, or execute."""
    answer = _explained(ws, request, identity, answer, timing)
    report(ws, request, identity, answer)
    if answer.hit is None:
        timing.log()
        return _execute(ws, request, identity, answer)
    result = _give_back(ws, request, identity, answer)
    timing.lap("hydration")
    timing.log()
    return result


def give_back_request(ws: Workspace, request: RunRequest) -> tuple[RunResult | None, Identity]:
    """Give back an earlier run, where there is one; nothing is executed."""
    timing = Timing(ws)
    identity = identify(ws, request)
    answer = _search(ws, request, identity, timing)
    if answer.hit is None:
        return None, identity
    report(ws, request, identity, answer)
    return _give_back(ws, request, identity, answer), identity


def is_done(ws: Workspace, request: RunRequest) -> bool:
    """Tell whether a run would be given back; nothing is recorded and nothing executed.

    A run that executes in any case (``cache_mode="overwrite"``) never is.
    """
    return _search(ws, request, identify(ws, request), Timing(ws)).hit is not None


# ---------------------------------------------------------------- look up


def look_up(ws: Workspace, request: RunRequest, identity: Identity, timing: Timing) -> Answer:
    """Look for an earlier run, unless the caller wants to execute in any case.

    Where there is none, the answer says why.
    """
    answer = _search(ws, request, identity, timing)
    return _explained(ws, request, identity, answer, timing)


def _explained(
    ws: Workspace, request: RunRequest, identity: Identity, answer: Answer, timing: Timing
) -> Answer:
    """Return a miss with why it is one."""
    if answer.hit is not None or identity.signature is None:
        return answer
    from consist.runs.why import explain_miss  # a hit needs none of it

    config = stored_config(ws, request.config)
    why = explain_miss(ws, request, identity, answer, config)
    timing.skip()
    return replace(answer, why=why, config=config, rejected=why.rejected)


def _search(ws: Workspace, request: RunRequest, identity: Identity, timing: Timing) -> Answer:
    if identity.signature is None or request.cache.mode == "overwrite":
        return NOTHING_FOUND
    return find(
        ws,
        Question(
            signature=identity.signature,
            content_signature=identity.content_signature,
            keys=request.promised,
            strict=request.output_missing == "error",
            block=request.block,
            eager=request.cache.eager,
        ),
        timing,
    )


def _in_turn(
    ws: Workspace, request: RunRequest, identity: Identity, answer: Answer, timing: Timing
) -> AbstractContextManager[Answer]:
    """Wait for a run of the same identity that is being executed; let others wait for this one."""
    from consist.runs.in_flight import in_turn  # most runs wait for nobody

    def look_again() -> Answer:
        timing.skip()
        return _search(ws, request, identity, timing)

    # By the content of the inputs, since what is found by it is found by the signature as well.
    wanted = identity.content_signature or str(identity.signature)
    return in_turn(ws, wanted, request.run_id or request.name, answer, look_again)


def report(ws: Workspace, request: RunRequest, identity: Identity, answer: Answer) -> None:
    """Write the debug line of a cache decision, if it is asked for."""
    log_decision(
        ws,
        str(identity.signature),
        answer,
        inputs=len(identity.used),
        hydration=request.cache.hydration,
    )


# ---------------------------------------------------------------- hit


def _give_back(ws: Workspace, request: RunRequest, identity: Identity, answer: Answer) -> RunResult:
    run = new_run(ws, request, identity, answer)
    with running(ws, run):
        check_missing(run, request)
        copied = hydrate_outputs(ws, run, request)
        tell_outputs(run)
        note_copies(run, copied)
        document = close_run(ws, run)
    return _result(ws, document, cache_hit=True)


def tell_outputs(run: ActiveRun) -> None:
    """Tell the listeners of a hit about the outputs it gives back."""
    for artifact in run.outputs.values():
        for listener in run.listeners:
            listener(artifact, "output")


def hydrate_outputs(ws: Workspace, run: ActiveRun, request: RunRequest) -> dict[str, str]:
    """Copy cached outputs where they were asked for; return destinations by key."""
    policy = request.cache.hydration
    if policy not in {"outputs-requested", "outputs-all"}:
        return {}
    asked = request.cache.output_paths or request.output_paths
    wanted = HydrationRequest(
        policy=policy,
        paths={key: _destination(ws, path) for key, path in asked.items()},
        folder=_folder(ws, run, request.cache.outputs_dir),
    )
    copies = plan_outputs(
        ws, list(run.outputs.values()), wanted, allow_external=request.allow_external
    )
    return carry_out(ws, copies)


def _destination(ws: Workspace, asked: ArtifactRef) -> Path:
    """Return where a cached output is wanted: a relative path means the run folder."""
    record = recorded(asked)
    if record is not None:
        return ws.path_of(record)
    text = os.fspath(cast("PathLike", asked))
    if "://" in text:
        return Path(local_path(ws, text))
    return Path(os.path.normpath(ws.run_dir / text))


def _folder(ws: Workspace, run: ActiveRun, asked: str | None) -> Path:
    return artifact_dir_of(ws, run) if asked is None else ws.run_dir / asked


def note_copies(run: ActiveRun, copied: Mapping[str, str]) -> None:
    """Keep with a run where its cached outputs were copied."""
    if copied:
        with run.lock:
            meta = {**run.record.meta, "materialized_outputs": dict(copied)}
            run.record = replace(run.record, meta=meta)


# ---------------------------------------------------------------- miss


def _execute(ws: Workspace, request: RunRequest, identity: Identity, answer: Answer) -> RunResult:
    run = new_run(ws, request, identity, answer)
    with running(ws, run):
        note_changed_code(ws, run, () if request.code is None else request.code.changed)
        prepare_inputs(ws, run, request)
        seen = watch(ws, request)
        call = bind(ws, request, run.named, RunContext(ws, run))
        with remains_recorded(ws, run, seen):
            value = PythonExecutor().execute(call)
        record_outputs(ws, run, seen, value)
        document = close_run(ws, run)
    return _result(ws, document, cache_hit=False, value=value)


def note_changed_code(ws: Workspace, run: ActiveRun, elsewhere: tuple[str, ...] = ()) -> None:
    """Note source files that changed after they were loaded; such a run is no cache source.

    What it executes is not what its identity says.

    Parameters
    ----------
    ws, run
        Tracker and run.
    elsewhere : tuple of str
        Those of the process that the code came from by value.
    """
    if not ws.keeps:
        return
    if run.sources is None:
        ws.loaded.look(thorough=True)
        changed = ws.loaded.changed()
    else:
        changed = ws.loaded.changed_among(run.sources)
    if changed or elsewhere:
        files = list(dict.fromkeys((*changed, *elsewhere)))
        meta = {**run.record.meta, "code_changed_since_load": files}
        run.record = replace(run.record, meta=meta)
        run.extra = replace(run.extra, reusable=False)


def prepare_inputs(ws: Workspace, run: ActiveRun, request: RunRequest) -> None:
    """Bring back inputs that are gone, if asked for, and make sure of those that are there.

    Raises
    ------
    FileGone
        If the bytes of an input are nowhere.
    InputChanged
        If an input no longer has the bytes that it was identified by.
    """
    inputs = list(run.inputs.values())
    if request.cache.hydration == "inputs-missing":
        carry_out(ws, plan_missing_inputs(ws, inputs, allow_external=request.allow_external))
        restore_missing_rows(ws, inputs)
    for record in inputs:
        found = standing(ws, record)
        if found.state == "gone" and not is_ingested(ws, record):
            raise gone(record, found.path)
        if found.state == "changed":
            raise changed_input(ws, record, found.path)


def _result(
    ws: Workspace, document: RunDocument, *, cache_hit: bool, value: Any = None
) -> RunResult:
    return RunResult(
        document.run,
        document.outputs,
        cache_hit=cache_hit,
        artifact_of=ws.artifact_of,
        value=value,
    )
