"""Under which id a run is stored, and whether an event about it is out of date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from consist.models.changes import own_status
from consist.models.record import (
    ArtifactRecord,
    ChangeEvent,
    IngestEvent,
    LogEvent,
    RowEvent,
    RunBound,
    RunDocument,
    RunEvent,
    RunRecord,
    replace,
)
from consist.store.claims import attempt_id, split_attempt
from consist.store.known import Known, KnownRun, key_of


class Settled(NamedTuple):
    """An event as it is stored.

    Attributes
    ----------
    event : Event
        Under the id that its run has in the tables.
    current : bool
        Whether nothing newer is known of the run's row.
    renamed : bool
        Whether the id is not the one that the run was recorded with.
    """

    event: RunBound
    current: bool
    renamed: bool


def settle(
    events: Iterable[RunBound], known: Known, present: set[int]
) -> tuple[list[Settled], dict[str, KnownRun]]:
    """Give every run an id of its own, and tell newer rows from older ones.

    A run keeps the id it was first stored under. A run whose id is taken by another one, which
    happens where claims could not see each other, becomes the next free attempt.

    Parameters
    ----------
    events : iterable of RunBound
        Journal by journal, each in the order it was written.
    known : Known
        The place that the events are going to.
    present : set of int
        Those of their keys that are known there.

    Returns
    -------
    list of Settled and dict of str to KnownRun
        The events, and those of their runs that are known already, by internal id.
    """
    listed = list(events)
    asked = dict(map(_about, listed))
    stored, owners = _known_runs(asked, known, present)
    final = _final_ids(asked, stored, owners, known)
    latest = {uid: (run.status, run.updated_at) for uid, run in stored.items()}
    return [_settled(event, final, latest) for event in listed], stored


def _about(event: RunBound) -> tuple[str, str]:
    """Return internal and recorded id of the run an event is about."""
    match event:
        case RunEvent(doc=document):
            return document.run.uid, document.run.id
        case RowEvent(run=run):
            return run.uid, run.id
        case LogEvent() | IngestEvent() | ChangeEvent():
            return event.uid, event.run_id


def event_uid(event: RunBound) -> str:
    """Return the internal id of the run an event is about."""
    return _about(event)[0]


# ---------------------------------------------------------------- ids


def _known_runs(
    asked: Mapping[str, str], known: Known, present: set[int]
) -> tuple[dict[str, KnownRun], dict[str, str]]:
    uids = [uid for uid in asked if key_of("run", uid) in present]
    ids = [run_id for run_id in asked.values() if key_of("run", run_id) in present]
    found = known.runs(uids, ids) if uids or ids else []
    stored = {run.uid: run for run in found if run.uid in asked}
    return stored, {run.id: run.uid for run in found}


def _final_ids(
    asked: Mapping[str, str], stored: Mapping[str, KnownRun], owners: dict[str, str], known: Known
) -> dict[str, str]:
    final: dict[str, str] = {}
    for uid, run_id in asked.items():
        if uid in stored:
            final[uid] = stored[uid].id
        elif owners.setdefault(run_id, uid) == uid:
            final[uid] = run_id
        else:
            final[uid] = _next_free(split_attempt(run_id)[0], owners, known)
            owners[final[uid]] = uid
    return final


def _next_free(requested: str, owners: Mapping[str, str], known: Known) -> str:
    attempt = max(known.last_attempt(requested), 1) + 1
    while attempt_id(requested, attempt) in owners:
        attempt += 1
    return attempt_id(requested, attempt)


def _settled(
    event: RunBound, final: Mapping[str, str], latest: dict[str, tuple[str, datetime]]
) -> Settled:
    uid, run_id = _about(event)
    renamed = final[uid] != run_id
    if renamed:
        event = _with_id(event, final[uid])
    run = event.doc.run if isinstance(event, RunEvent) else getattr(event, "run", None)
    if run is None:
        return Settled(event, current=True, renamed=renamed)
    current = uid not in latest or _is_newer(run, *latest[uid])
    if current:
        latest[uid] = (own_status(run.status, run.meta), run.updated_at)
    return Settled(event, current, renamed)


def _is_newer(run: RunRecord, status: str, updated_at: datetime) -> bool:
    # Journals of several processes are read one after the other, and clocks are set back: a run
    # that has ended does not begin again, whatever the times say.
    if (own_status(run.status, run.meta) == "running") != (status == "running"):
        return status == "running"
    return run.updated_at >= updated_at


def _with_id(event: RunBound, run_id: str) -> RunBound:
    """Return the event for a run that is stored under another id than it was recorded with."""
    match event:
        case RunEvent(doc=document):
            return RunEvent(_renamed_document(document, run_id))
        case LogEvent():
            artifacts = _produced_by(event.artifacts, event.run_id, run_id)
            return replace(event, run_id=run_id, artifacts=artifacts)
        case RowEvent(run=run):
            return RowEvent(_renamed_run(run, run_id))
        case IngestEvent(artifact=artifact):
            (artifact,) = _produced_by((artifact,), event.run_id, run_id)
            return replace(event, run_id=run_id, artifact=artifact)
        case ChangeEvent():
            return replace(event, run_id=run_id)


def _renamed_document(document: RunDocument, run_id: str) -> RunDocument:
    old = document.run.id
    return replace(
        document,
        run=_renamed_run(document.run, run_id),
        inputs=_produced_by(document.inputs, old, run_id),
        outputs=_produced_by(document.outputs, old, run_id),
    )


def _renamed_run(run: RunRecord, run_id: str) -> RunRecord:
    meta = {**run.meta, "renamed_from": run.id}
    return replace(run, id=run_id, attempt=split_attempt(run_id)[1] or 1, meta=meta)


def _produced_by(
    artifacts: tuple[ArtifactRecord, ...], old: str, new: str
) -> tuple[ArtifactRecord, ...]:
    return tuple(replace(a, run_id=new) if a.run_id == old else a for a in artifacts)
