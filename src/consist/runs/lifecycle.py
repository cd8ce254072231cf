"""Begin, record and end a run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.active import ActiveRun, ActiveRunCacheOptions
from consist.artifacts.facets import facet_link
from consist.cache.lookup import NOTHING_FOUND, Answer
from consist.errors import RunAlreadyActive
from consist.identity import plain
from consist.models.record import (
    EXPLANATION,
    NULL,
    Extra,
    Raw,
    RunDocument,
    RunRecord,
    encode,
    raw,
    replace,
    storable,
)
from consist.runs.arguments import RunRequest
from consist.runs.environment import environment_of
from consist.runs.identify import Identity
from consist.runs.ids import automatic_id, new_uid, now
from consist.store.claims import Claim
from consist.store.locks import this_process

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.runs")

STEP_LABELS = ("year", "iteration", "stage", "phase")
"""What a header tells of a step where it has it."""

_REASONS_KEPT = 5
_TRACEBACK_KEPT = 16_384
_PACKAGE = str(Path(__file__).parents[1])


# ---------------------------------------------------------------- begin


def _claim(ws: Workspace, request: RunRequest, scenario: str | None) -> Claim:
    if request.run_id is None:
        run_id = automatic_id(request.name, scenario)
        return Claim(run_id, run_id, 1)
    _check_not_active(ws, request.run_id)
    if not _is_kept(ws, request):
        return Claim(request.run_id, request.run_id, 1)
    return ws.store.claim(request.run_id)


def stored_config(ws: Workspace, config: Any) -> Raw:
    """Return a config as the snapshot holds it; nothing where no run is kept."""
    return raw(plain(config if config is not None and ws.keeps else {}, "config"))


def _scenario_of(parent: ActiveRun | None) -> str | None:
    """Return the name of the scenario that a run is begun in, if it is a step of one."""
    return parent.record.requested_id if parent is not None and parent.is_header else None


def _is_kept(ws: Workspace, request: RunRequest) -> bool:
    return ws.keeps and request.cache.mode != "readonly"


def _check_not_active(ws: Workspace, requested_id: str) -> None:
    for run in ws.active:
        if run.record.requested_id == requested_id:
            raise RunAlreadyActive(run.run_id, requested_id)


@contextmanager
def running(ws: Workspace, run: ActiveRun) -> Generator[None]:
    """Begin a run, and end it where the block raises, as failed or interrupted.

    The error goes on unchanged. A block that does not raise ends the run itself.
    """
    try:
        _start(ws, run)
        yield
    except BaseException as error:
        if run.is_open and run.is_here:  # a forked child that exits does not end it
            close_run(ws, run, status_after(error), error)
        raise


@contextmanager
def adopted(ws: Workspace, header: RunRecord) -> Generator[ActiveRun]:
    """Let runs of the block belong to a scenario whose header is recorded already.

    Of the header, only what is logged to it is recorded here.

    Parameters
    ----------
    ws : Workspace
        Tracker of the runs.
    header : RunRecord
        The header as recorded, by whichever process.
    """
    run = ActiveRun(
        workspace=ws, record=header, persisted=ws.keeps, is_header=True, is_adopted=True
    )
    ws.active.push(run)
    try:
        yield run
    finally:
        ws.active.pop(run)


def new_run(
    ws: Workspace,
    request: RunRequest,
    identity: Identity | None,
    answer: Answer = NOTHING_FOUND,
    *,
    claim: Claim | None = None,
) -> ActiveRun:
    """Make a run under an id of its own, without beginning it.

    Parameters
    ----------
    ws, request
        Tracker and request.
    identity : Identity or None
        ``None`` for a scenario's header, which is never looked up.
    answer : Answer, optional
        The run that is being given back, or why there is none.
    claim : Claim, optional
        The id, where it was claimed before.
    """
    hit = answer.hit
    parent = _parent(ws, request)
    # What cannot be stored is an error before an id is taken.
    config = stored_config(ws, request.config) if answer.config is None else answer.config
    claim = claim or _claim(ws, request, _scenario_of(parent))
    run = ActiveRun(
        workspace=ws,
        record=_begun(ws, request, identity, answer, parent, claim),
        config=config,
        facet=None if request.facet is None else dict(request.facet.values),
        extra=_extra(ws, request, identity, hit),
        hit=hit,
        executed=_executed(identity),
        persisted=_is_kept(ws, request),
        is_header=request.header,
        is_manual=request.manual,
        cache_options=ActiveRunCacheOptions(
            request.cache.mode, request.cache.hydration, "eager" if request.cache.eager else "lazy"
        ),
        allow_external=request.allow_external,
        sources=None if identity is None else identity.sources,
    )
    for item in () if identity is None else identity.used:
        run.add(item.record, "input", item.name)
    if hit is not None:
        run.outputs.update({artifact.id: artifact for artifact in hit.outputs})
    if parent is not None:
        run.listeners.extend(parent.listeners)
    return run


def _start(ws: Workspace, run: ActiveRun) -> None:
    """Make a run the active one, write its start, and tell the hooks.

    A function-shaped hit is not written: it is over at once, and one record says it all.
    """
    ws.active.push(run)
    if run.persisted and (run.hit is None or run.extra.block):
        _announce(ws, run)
    if ws.hooks.start:
        ws.hooks.call(ws.hooks.start, _entity(run.record))


def _begun(
    ws: Workspace,
    request: RunRequest,
    identity: Identity | None,
    answer: Answer,
    parent: ActiveRun | None,
    claim: Claim,
) -> RunRecord:
    """Return the record of a run that begins now, under the claimed id."""
    began = now()
    return RunRecord(
        id=claim.run_id,
        uid=new_uid(),
        requested_id=claim.requested_id,
        attempt=claim.attempt,
        parent_run_id=request.parent_run_id if parent is None else parent.run_id,
        model_name=request.model,
        description=request.description,
        year=request.year,
        iteration=request.iteration,
        stage=request.stage,
        phase=request.phase,
        tags=request.tags,
        config_hash=None if identity is None else identity.config,
        git_hash=None if identity is None else identity.code,
        input_hash=None if identity is None else identity.inputs,
        signature=None if identity is None else identity.signature,
        meta=_meta(ws, request, identity, answer),
        started_at=began if answer.hit is None else request.asked_at,
        created_at=began,
        updated_at=began,
    )


def _parent(ws: Workspace, request: RunRequest) -> ActiveRun | None:
    """Return the run that this one is begun in: a scenario's header or an outer step."""
    if request.parent_run_id is not None:
        return ws.active.by_id(request.parent_run_id)
    return ws.active.own()


def _extra(
    ws: Workspace, request: RunRequest, identity: Identity | None, hit: RunDocument | None
) -> Extra:
    claimed = request.run_id is not None
    environment = environment_of(ws) if _is_kept(ws, request) else NULL
    if identity is None:
        return Extra(
            reusable=False,
            claimed=claimed,
            facet=None if request.facet is None else request.facet.how,
            block=True,
            process=this_process(),
            environment=environment,
        )
    return Extra(
        content_signature=identity.content_signature,
        claimed=claimed,
        block=request.block,
        input_digests={item.record.id: item.record.content for item in identity.used},
        facet=None if request.facet is None else request.facet.how,
        process=this_process(),
        environment=environment,
        **(_executed(identity) if hit is None else {}),
    )


def _executed(identity: Identity | None) -> dict[str, Any]:
    """Return what a run keeps of its identity if it executes; a hit leaves that to its source."""
    if identity is None:
        return {}
    return {"code_parts": dict(identity.code_parts), "binding": dict(identity.binding)}


def _meta(
    ws: Workspace,
    request: RunRequest,
    identity: Identity | None,
    answer: Answer,
) -> dict[str, Any]:
    hit = answer.hit
    meta: dict[str, Any] = {
        "hostname": this_process().host,
        **request.meta,
        "_physical_run_dir": str(ws.run_dir),
        "cache_epoch": request.cache.epoch,
    }
    optional = {
        "mounts": dict(ws.files.mounts.roots),
        "cache_version": request.cache.version,
        "stage": request.stage,
        "phase": request.phase,
        "artifact_dir": request.artifact_dir,
        "declared_outputs": sorted(request.promised),
        "cache_lookup": None if hit is not None else ws.store.incomplete,
        "cache_rejected": [] if hit is not None else list(answer.rejected[:_REASONS_KEPT]),
        EXPLANATION: None if answer.why is None else answer.why.stored(),
        "waited_for": answer.waited,
    }
    meta.update({name: value for name, value in optional.items() if value not in (None, {}, [])})
    meta.update(facet_link("config_facet", request.facet))
    if identity is not None:
        meta.update(identity.meta)
    if hit is not None:
        meta["cache_hit"], meta["cache_source"] = True, hit.run.id
        if answer.matched == "content":
            meta["cache_match"] = "content"
    return meta


def _announce(ws: Workspace, run: ActiveRun) -> None:
    """Write the start of a run, before any code of users runs."""
    run.written_size = len(run.inputs) + len(run.outputs)
    document = run.document()
    if run.hit is not None:
        # What a block gives back is known when it ends; links cannot be taken back.
        document = replace(document, outputs=())
    # A function is over soon; a block may be looked at while it goes on.
    latest = run.extra.block
    ws.store.write_snapshot(run.run_id, ws.store.append(document), latest=latest)


# ---------------------------------------------------------------- change


def log_meta(ws: Workspace, **kwargs: Any) -> None:
    """Merge values into the metadata of the active run; acknowledged when the call returns.

    Raises
    ------
    RuntimeError
        Outside an active run.
    ValueError
        If a limit on metadata is exceeded; nothing is changed then.
    """
    from consist.artifacts.keys import check_meta
    from consist.models.record import RowEvent

    run = ws.active.require("log_meta")
    values = {key: plain(value, f"meta[{key!r}]") for key, value in kwargs.items()}
    check_meta({**_users_meta(run), **values}, ws.settings)
    with run.lock:
        run.check_open("log_meta")
        run.record = replace(run.record, meta={**run.record.meta, **values}, updated_at=now())
        if run.persisted and not run.is_adopted:
            ws.store.amend(RowEvent(run.record))
            ws.store.write_snapshot(run.run_id, encode(run.document()))


_OWN_META = frozenset(
    {"hostname", "_physical_run_dir", "mounts", "cache_epoch", "cache_version", "stage", "phase",
     "artifact_dir", "declared_outputs", "cache_lookup", "cache_rejected", "code_identity",
     "code_identity_extra_deps", "code_identity_fallback", "code_identity_unseen",
     "code_identity_unresolved", "consist_hash_inputs", "changed_inputs", "materialized_outputs",
     "steps", "steps_left_out", "failures", "failures_left_out", "sweeps", "waited_for",
     "schema_drift", EXPLANATION}
)  # fmt: skip


def _users_meta(run: ActiveRun) -> dict[str, Any]:
    return {key: value for key, value in run.record.meta.items() if key not in _OWN_META}


# ---------------------------------------------------------------- end


def status_after(error: BaseException | None) -> str:
    """Return how a run ends whose code ended with ``error``.

    Code that was stopped from outside (Ctrl-C, a cancelled task, a closed generator) has not
    failed; it was interrupted.
    """
    if error is None:
        return "completed"
    asyncio = sys.modules.get("asyncio")
    cancelled = () if asyncio is None else (asyncio.CancelledError,)
    stopped = isinstance(error, (KeyboardInterrupt, GeneratorExit, *cancelled))
    return "interrupted" if stopped else "failed"


def close_run(
    ws: Workspace,
    run: ActiveRun,
    status: str = "completed",
    error: BaseException | None = None,
    meta: Mapping[str, Any] | None = None,
) -> RunDocument:
    """End a run: write its record and its snapshot, and tell the hooks.

    The record comes first: when it is written, the run is remembered whatever happens next.
    """
    ended = now()
    ws.active.pop(run)
    with run.lock:
        if status != "completed":
            run.demote()  # what was to be given back was not
        values = {**run.record.meta, **(meta or {}), **_error_meta(error)}
        if status != "completed" and run.outputs:
            values["partial_outputs"] = sorted({a.key for a in run.outputs.values()})
        run.record = replace(
            run.record, status=status, meta=values, ended_at=ended, updated_at=ended
        )
        run.extra = _final_extra(ws, run, status)
        document = run.document()
        if run.hit is not None:
            document = replace(document, cached_run=raw(run.hit.run))
    if run.is_manual:
        ws.memory["ended_run"] = document
    if not run.is_header:
        ws.memory["last_run"] = document
        _tell_header(ws, document)
    if run.persisted:
        ws.store.write_snapshot(run.run_id, ws.store.append(document))
    _tell(ws, document, error)
    return document


def _error_meta(error: BaseException | None) -> dict[str, str]:
    """Return what a run keeps of the error that ended it: its message, and where it came from."""
    if error is None:
        return {}
    import traceback

    told = traceback.TracebackException.from_exception(error)
    ours = list(takewhile(lambda frame: frame.filename.startswith(_PACKAGE), told.stack))
    if len(ours) < len(told.stack):  # what led to the user's code says nothing about it
        del told.stack[: len(ours)]
    return {
        "error": storable(str(told)) or type(error).__name__,
        "traceback": storable("".join(told.format()))[-_TRACEBACK_KEPT:],
    }


def _tell_header(ws: Workspace, document: RunDocument) -> None:
    """Let the scenario that a run belongs to list it among its steps."""
    parent_id = document.run.parent_run_id
    header = None if parent_id is None else ws.active.by_id(parent_id)
    if header is None or not header.is_header:
        return
    run = document.run
    ended = run.ended_at or run.updated_at
    header.steps.append(
        {
            "id": run.id,
            "model": run.model_name,
            **{name: value for name in STEP_LABELS if (value := getattr(run, name)) is not None},
            "status": run.status,
            "description": run.description,
            "started_at": run.started_at.isoformat(),
            "ended_at": ended.isoformat(),
            "duration_seconds": (ended - run.started_at).total_seconds(),
            "inputs": {artifact.id: artifact.key for artifact in document.inputs},
            "outputs": {artifact.id: artifact.key for artifact in document.outputs},
        }
    )


def _final_extra(ws: Workspace, run: ActiveRun, status: str) -> Extra:
    extra = run.extra
    late = tuple(i for i in run.inputs if i not in extra.input_digests)
    changed: dict[str, Any] = {"late_inputs": late} if late else {}
    if run.persisted:
        found = environment_of(ws, patient=run.hit is None)
        if found is not extra.environment:
            changed["environment"] = found  # git has answered meanwhile
    overwrites = run.cache_options.cache_mode == "overwrite" and status == "completed"
    if overwrites and run.record.signature is not None:
        found = ws.store.candidates(run.record.signature, thorough=False)
        changed["supersedes"] = tuple(document.run.uid for document in found)
    return replace(extra, **changed) if changed else extra


def _tell(ws: Workspace, document: RunDocument, error: BaseException | None) -> None:
    hooks = ws.hooks
    if document.run.status != "completed":
        if hooks.failed:
            hooks.call(hooks.failed, _entity(document.run), error)
    elif hooks.complete:
        outputs = [ws.artifact_of(artifact) for artifact in document.outputs]
        hooks.call(hooks.complete, _entity(document.run), outputs)


def _entity(record: RunRecord) -> Any:
    from consist.models.run import Run

    return Run.from_record(record)
