"""What the end of a block does to the header of its scenario, where several blocks share one.

A block that ends adds its steps to the header and decides anew how the scenario went: a failure
stays until a step of the same model, year, iteration, stage and phase completes. A header ends
with the block that opened it, and never begins again; what ends later corrects it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consist.active import ActiveRun
from consist.errors import StoreError, StoreUnwritable
from consist.files.places import RunPlaces
from consist.models.record import (
    NULL,
    ArtifactRecord,
    RowEvent,
    RunDocument,
    RunRecord,
    encode,
    replace,
    storable,
)
from consist.runs.ids import now
from consist.runs.lifecycle import STEP_LABELS, status_after
from consist.store.claims import Claim
from consist.store.joint import JointState
from consist.store.locks import has_ended
from consist.store.snapshots import write_snapshot

if TYPE_CHECKING:
    from consist.workspace import Workspace

LISTED = 1_000
"""Most steps of joined blocks, and most failures, that a header lists."""

_END_WAIT = 30.0
_ERROR_KEPT = 2_000
_OF_A_FAILURE = ("failed_with", "failed_step", "missing_outputs", "error", "traceback")


class BlockEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a block went.

    Attributes
    ----------
    began : datetime
        When it began.
    steps : list of dict
        What a header tells of the steps that ended in it.
    failure : dict or None
        What a header tells of it if it failed.
    sweeps : list of dict
        What a header tells of the sweeps in it.
    after_opener : bool
        Whether the process that opened the scenario was gone already when it began.
    meta : dict
        Metadata that it logged to the header.
    inputs, outputs : tuple of ArtifactRecord
        What it logged to the header.
    """

    began: datetime
    steps: list[dict[str, Any]]
    failure: dict[str, Any] | None = None
    sweeps: list[dict[str, Any]] = []
    after_opener: bool = False
    meta: dict[str, Any] = {}
    inputs: tuple[ArtifactRecord, ...] = ()
    outputs: tuple[ArtifactRecord, ...] = ()


def failure_of(
    steps: list[dict[str, Any]], error: BaseException, missing: Iterable[str]
) -> dict[str, Any]:
    """Return what a header tells of a block that ended with an error.

    The step to blame is the last one that did not complete, else the last one.
    """
    bad = [step for step in steps if step["status"] != "completed"]
    blamed = (bad or steps or [None])[-1]
    found: dict[str, Any] = {
        "id": bad[-1]["id"] if bad else None,
        "like": None if blamed is None else _like(blamed),
        "status": status_after(error),
        "error": storable(str(error) or type(error).__name__)[:_ERROR_KEPT],
        "at": now().isoformat(),
    }
    return {**found, "missing_outputs": list(missing)} if missing else found


def _like(step: Mapping[str, Any]) -> list[Any]:
    """Return what a step has to have in common with another one to make good for it."""
    return [step["model"], *(step.get(name) for name in STEP_LABELS)]


def opener_is_gone(header: RunDocument) -> bool:
    """Whether the process that opened a scenario ended without closing it."""
    process, run = header.extra.process, header.run
    if run.ended_at is not None:
        return False
    return run.status != "running" or (process is not None and has_ended(process))


# ---------------------------------------------------------------- recording


def record_end(
    ws: Workspace, header: RunDocument, end: BlockEnd, *, opened: bool = False
) -> RunRecord:
    """Add a block that has ended to the header of its scenario, and record that.

    Parameters
    ----------
    ws : Workspace
        Tracker of the block.
    header : RunDocument
        The header as this block knows it; if it opened the scenario, as it recorded it.
    end : BlockEnd
        How the block went.
    opened : bool, default False
        Whether this is the block that opened the scenario.

    Returns
    -------
    RunRecord
        The header as it is now.
    """
    joint, run_id = ws.store.joint(header.run.requested_id), header.run.id
    with joint.held(_END_WAIT):
        state = joint.state(run_id)
        if state is None:
            # Whoever closes the header from now on sees the file; who did before is seen below.
            state = JointState(run_dir=str(header.run.meta.get("_physical_run_dir", ws.run_dir)))
            joint.write(run_id, state)
        newest = header if opened else _newest(ws, header, state.run_dir)
        gone = not opened and opener_is_gone(newest)
        state = _with_block(state, newest, end, gone=gone)
        ended = opened or gone or newest.run.status != "running"
        document = _header(newest, state, ended=ended)
        joint.write(run_id, replace(state, updated_at=document.run.updated_at))
        ws.store.amend(RowEvent(document.run))
        _write(ws, document, state.run_dir, opened=opened)
    return document.run


def _newest(ws: Workspace, header: RunDocument, run_dir: str) -> RunDocument:
    """Return the header as recorded last, as far as that can be had."""
    run = header.run
    try:
        return ws.store.recorded(Claim(run.id, run.requested_id, run.attempt), run_dir) or header
    except StoreError:
        return header  # there is no snapshot, and somebody else holds the database


def _write(ws: Workspace, document: RunDocument, run_dir: str, *, opened: bool) -> None:
    """Write the snapshot of a header where its opener has it, if that can be."""
    if bytes(document.config) == bytes(NULL) or not Path(run_dir).is_dir():
        return  # it came from the database, which lacks a part, or its folder is gone
    try:
        write_snapshot(RunPlaces(run_dir), document.run.id, encode(document), latest=opened)
    except StoreUnwritable:
        if run_dir == str(ws.run_dir):
            raise  # somebody else's folder need not be open to us; the record is made


def _with_block(state: JointState, header: RunDocument, end: BlockEnd, *, gone: bool) -> JointState:
    known = {step["id"]: step for step in state.steps}
    new = {step["id"]: step for step in end.steps if step["id"] not in known}
    listed = list(known.values()) + list(new.values())[: max(LISTED - len(known), 0)]
    earlier = header.run.meta.get("failures", ()) if state.failures is None else state.failures
    sweeps = header.run.meta.get("sweeps", ()) if state.sweeps is None else state.sweeps
    failures = _failures([*earlier, *([_vanished(header)] if gone else ())], end)
    return replace(
        state,
        steps=tuple(listed),
        steps_left_out=state.steps_left_out + len(known) + len(new) - len(listed),
        failures=tuple(failures[:LISTED]),
        failures_left_out=state.failures_left_out + len(failures[LISTED:]),
        sweeps=(*sweeps, *end.sweeps)[:LISTED],
        meta={**state.meta, **end.meta},
        inputs=_joined(state.inputs, end.inputs),
        outputs=_joined(state.outputs, end.outputs),
    )


def _vanished(header: RunDocument) -> dict[str, Any]:
    process = header.extra.process
    who = "" if process is None else f" {process.pid} on {process.host}"
    return {
        "id": None,
        "like": None,
        "status": "interrupted",
        "error": f"the process{who} that opened the scenario ended without closing it",
        "at": now().isoformat(),
        "opener": True,
    }


def _failures(known: Iterable[dict[str, Any]], end: BlockEnd) -> list[dict[str, Any]]:
    """Return the failures that are left after a block, its own included."""
    done = {tuple(_like(step)) for step in end.steps if step["status"] == "completed"}
    kept = [failure for failure in known if not _is_made_good(failure, done, end)]
    if end.failure is None:
        return kept
    again = [failure for failure in kept if failure["like"] != end.failure["like"]]
    return [*again, end.failure]


def _is_made_good(
    failure: Mapping[str, Any], done: Collection[tuple[Any, ...]], end: BlockEnd
) -> bool:
    if failure["like"] is not None:
        return tuple(failure["like"]) in done
    # Nobody knows what it would have done: a whole block that began later makes good for it.
    if end.failure is not None:
        return False
    later = datetime.fromisoformat(failure["at"]) <= end.began
    return later or (end.after_opener and "opener" in failure)


def _joined(
    known: tuple[ArtifactRecord, ...], more: tuple[ArtifactRecord, ...]
) -> tuple[ArtifactRecord, ...]:
    return tuple({artifact.id: artifact for artifact in (*known, *more)}.values())


def _header(newest: RunDocument, state: JointState, *, ended: bool) -> RunDocument:
    run = newest.run
    at = max(now(), *(t + _TICK for t in (run.updated_at, state.updated_at) if t is not None))
    failures = list(state.failures or ())
    run = replace(
        run,
        status=_status(state) if ended else run.status,
        meta=_meta(run.meta, state, failures),
        ended_at=at if ended else None,
        updated_at=at,
    )
    return replace(
        newest,
        run=run,
        inputs=_joined(newest.inputs, state.inputs),
        outputs=_joined(newest.outputs, state.outputs),
    )


_TICK = timedelta(microseconds=1)


def _status(state: JointState) -> str:
    if not state.failures and not state.failures_left_out:
        return "completed"
    only = {failure["status"] for failure in state.failures or ()} == {"interrupted"}
    return "interrupted" if only and not state.failures_left_out else "failed"


def _meta(
    meta: Mapping[str, Any], state: JointState, failures: list[dict[str, Any]]
) -> dict[str, Any]:
    steps = {step["id"]: step for step in (*meta.get("steps", ()), *state.steps)}
    found = {**meta, **state.meta, "steps": list(steps.values())}
    if state.sweeps:
        found["sweeps"] = list(state.sweeps)
    counts = {
        "steps_left_out": state.steps_left_out,
        "failures": failures,
        "failures_left_out": state.failures_left_out,
    }
    for name, value in counts.items():
        found.pop(name, None)
        if value:
            found[name] = value
    if not failures:
        return {name: value for name, value in found.items() if name not in _OF_A_FAILURE}
    found["failed_with"], found["failed_step"] = failures[-1]["error"], failures[-1]["id"]
    missing = {key: None for failure in failures for key in failure.get("missing_outputs", ())}
    found.pop("missing_outputs", None)
    return {**found, "missing_outputs": list(missing)} if missing else found


# ---------------------------------------------------------------- a block that joined


def logged_meta(run: ActiveRun, header: RunDocument) -> dict[str, Any]:
    """Return the metadata that a joined block logged to its header."""
    before = header.run.meta
    return {k: v for k, v in run.record.meta.items() if before.get(k, _NEW) != v}


_NEW = object()
