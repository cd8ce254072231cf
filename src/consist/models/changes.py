"""What was said of a run after it was recorded, applied to its record.

Applying is a function of the record and of all changes that are known: it does not matter in which
order they arrive, before or after the run's own record, nor how often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from consist.models.record import (
    INVALIDATED,
    NOTES,
    STATUS_FIXED,
    ArtifactRecord,
    Change,
    RunDocument,
    RunRecord,
    replace,
)

_NOTE = {"at", "by", "text"}


def own_status(status: str, meta: Mapping[str, Any]) -> str:
    """Return the status that the run itself ended with, whatever was corrected by hand."""
    fixed: Any = meta.get(STATUS_FIXED)
    return str(fixed.get("from", status)) if isinstance(fixed, dict) else status  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def is_rejection(change: Change) -> bool:
    """Whether a run is never a cache source again after this change.

    The outputs of a run whose status had to be corrected may be partial.
    """
    return change.invalid or change.status is not None


def why_rejected(change: Change) -> str:
    """Return a sentence on why a run is never a cache source again."""
    if change.invalid:
        return invalidated_by(change.by, change.reason)
    because = f" because {change.reason}" if change.reason else ""
    return f"its status was set to {change.status} by {change.by or 'hand'}{because}"


def invalidated_by(by: str | None, reason: str | None) -> str:
    """Return the sentence on an invalidated run."""
    because = f" because {reason}" if reason else ""
    return f"it was invalidated by {by or 'somebody'}{because}"


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return each change once, in the order they were said."""
    known = {change.id: change for change in changes}
    return tuple(sorted(known.values(), key=lambda change: (change.at, change.id)))


def changed_run(run: RunRecord, changes: Iterable[Change]) -> RunRecord:
    """Return the record of a run as it is after all changes; without any, the record as it is."""
    listed = in_order(changes)
    if not listed:
        return run
    meta = dict(run.meta)
    status = own_status(run.status, meta)
    for key in (INVALIDATED, STATUS_FIXED):
        if isinstance(meta.get(key), dict):
            del meta[key]
    _apply_notes(meta, listed)
    _apply_invalidation(meta, listed)
    return replace(
        run,
        status=_apply_status(meta, listed, status, run.updated_at),
        tags=_tags(run.tags, listed),
        meta=meta,
    )


def changed_document(document: RunDocument, changes: Iterable[Change]) -> RunDocument:
    """Return a document as it is after changes, those it has already included."""
    known = {change.id for change in document.extra.changes}
    new = in_order(change for change in changes if change.id not in known)
    listed = in_order((*document.extra.changes, *new))
    if not listed:
        return document
    news = merged_news(new)
    return replace(
        document,
        run=changed_run(document.run, listed),
        inputs=_told(document.inputs, news),
        outputs=_told(document.outputs, news),
        extra=replace(document.extra, changes=listed),
    )


def merged_news(changes: Iterable[Change]) -> dict[str, dict[str, Any]]:
    """Return what changes say of artifacts, by artifact id; the later word counts."""
    found: dict[str, dict[str, Any]] = {}
    for change in in_order(changes):
        for artifact_id, said in change.news.items():
            found[artifact_id] = {**found.get(artifact_id, {}), **said}
    return found


# ---------------------------------------------------------------- one thing each


def _tags(tags: Iterable[str], changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the labels: first those that no change speaks of, then the added ones in order."""
    said: dict[str, bool] = {}
    for change in changes:
        for tag, stays in (
            *((tag, False) for tag in change.untagged),
            *((tag, True) for tag in change.tags),
        ):
            said.pop(tag, None)
            said[tag] = stays
    own = (tag for tag in tags if tag not in said)
    return (*own, *(tag for tag, stays in said.items() if stays))


def _apply_notes(meta: dict[str, Any], changes: Iterable[Change]) -> None:
    noted = [
        {"at": change.at.isoformat(), "by": change.by, "text": change.note}
        for change in changes
        if change.note is not None
    ]
    if not noted:
        return
    known: Any = meta.get(NOTES, [])
    listed: list[Any] = [*known] if isinstance(known, list) else [known]  # pyright: ignore[reportUnknownVariableType]
    meta[NOTES] = [entry for entry in listed if not _is_note(entry)] + noted


def _is_note(entry: Any) -> bool:
    """Whether an entry is ours, and not one that a run wrote under the same name."""
    return isinstance(entry, dict) and entry.keys() == _NOTE  # pyright: ignore[reportUnknownMemberType]


def _apply_invalidation(meta: dict[str, Any], changes: Iterable[Change]) -> None:
    last = next((change for change in reversed(tuple(changes)) if change.invalid), None)
    if last is not None:
        meta[INVALIDATED] = {"at": last.at.isoformat(), "by": last.by, "reason": last.reason}


def _apply_status(
    meta: dict[str, Any], changes: Iterable[Change], status: str, updated_at: datetime
) -> str:
    """Note a corrected status, and return the one that counts.

    A run that ended later than it was corrected knows better.
    """
    last = next((c for c in reversed(tuple(changes)) if c.status is not None), None)
    if last is None or last.status is None:
        return status
    told: dict[str, Any] = {"at": last.at.isoformat(), "by": last.by}
    told |= {"from": status, "to": last.status, "reason": last.reason}
    meta[STATUS_FIXED] = told
    spoke = _spoke_at(meta, updated_at)
    if status != "running" and spoke > last.at:
        told["until"] = spoke.isoformat()
        return status
    return last.status


def _spoke_at(meta: Mapping[str, Any], updated_at: datetime) -> datetime:
    """Return when the run itself was last heard of; what others found dead said no more."""
    seen = meta.get("last_seen")
    return datetime.fromisoformat(seen) if isinstance(seen, str) else updated_at


def _told(
    artifacts: tuple[ArtifactRecord, ...], news: Mapping[str, Mapping[str, Any]]
) -> tuple[ArtifactRecord, ...]:
    if not news:
        return artifacts
    return tuple(
        replace(a, meta={**a.meta, **news[a.id]}) if a.id in news else a for a in artifacts
    )
