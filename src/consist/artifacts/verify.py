"""Whether what lies at the place of an artifact is still what was recorded."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from consist.artifacts.describe import content_digest
from consist.errors import ArtifactChanged, ConsistError, FileGone, InputChanged, hint
from consist.identity.files import FAST
from consist.models.record import ArtifactRecord

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.artifacts")

_REMEMBERED = 10_000

State = Literal["same", "unknown", "changed", "gone"]


class Standing(msgspec.Struct, frozen=True):
    """What was found at the place of an artifact.

    Attributes
    ----------
    state : {"same", "unknown", "changed", "gone"}
        ``"unknown"``: something is there, and no digest was recorded to compare it with.
    path : str
        Where it was looked for.
    """

    state: State
    path: str


def standing(ws: Workspace, record: ArtifactRecord) -> Standing:
    """Compare the file or folder of an artifact with its record.

    What the memo knows costs one ``stat`` (of a folder: one per entry); anything else is read.
    """
    path = str(ws.path_of(record))
    if ws.keeps and ws.files.is_same(path, record.hash):
        _remember(ws, record, path)
        return Standing("same", path)
    if ws.keeps and says_the_same(ws, record, path):
        return Standing("same", path)
    if not os.path.exists(path):  # noqa: PTH110 - a path as text, on the way of every input
        return Standing("gone", path)
    return Standing("changed" if ws.keeps and record.hash is not None else "unknown", path)


def says_the_same(ws: Workspace, record: ArtifactRecord, path: str) -> bool:
    """Whether a file of other bytes has the recorded content, where its format tells that apart."""
    recorded = record.meta.get("content_digest")
    if recorded is None or not ws.formats.has_digest(record.driver):
        return False
    return content_digest(ws, record.driver, path) == recorded


def change_of(ws: Workspace, record: ArtifactRecord) -> str | None:
    """Return where an artifact lies that holds other bytes than were recorded.

    ``None`` if it holds the recorded ones, if nothing is there, or if nothing can be told. An
    artifact that was looked at before, and has not changed since, costs one ``stat``.
    """
    if record.hash is None or not ws.keeps:
        return None
    last = ws.memory.get("verified", {}).get(record.id)
    if last is not None and ws.files.is_same(last, record.hash):
        return None
    found = standing(ws, record)
    return found.path if found.state == "changed" else None


def _remember(ws: Workspace, record: ArtifactRecord, path: str) -> None:
    known: dict[str, str] = ws.memory.setdefault("verified", {})
    if len(known) >= _REMEMBERED:
        known.clear()
    known[record.id] = path


def verified_path(ws: Workspace, record: ArtifactRecord) -> Path:
    """Return the path of an artifact whose bytes are there, and are those that were recorded.

    An artifact without a digest cannot be compared. One that was recorded by size and time alone
    (``hashing_strategy="fast"``) and has others now may have the same bytes; the log says so.

    Raises
    ------
    FileGone
        Naming the path.
    ArtifactChanged
        Naming who wrote the artifact, and who overwrote it where the record knows.
    """
    found = standing(ws, record)
    if found.state == "gone":
        raise gone(record, found.path)
    if found.state == "changed":
        if not is_guess(record):
            raise changed(ws, record, found.path)
        warn_of_guess(record, found.path)
    return Path(found.path)


def warn_of_guess(record: ArtifactRecord, path: str) -> None:
    """Say that nobody can tell whether a file is still what was recorded."""
    logger.warning(
        "[Consist] %r cannot be verified: %s was recorded by its size and time, which differ",
        record.key,
        path,
    )


def is_guess(record: ArtifactRecord) -> bool:
    """Whether an artifact was recorded by size and time instead of content."""
    return record.hash is not None and record.hash.startswith(FAST)


# ---------------------------------------------------------------- errors


def gone(record: ArtifactRecord, *tried: str) -> FileGone:
    """Return the error for an artifact whose bytes are nowhere."""
    by = "" if record.run_id is None else f" (run {record.run_id!r})"
    freed = record.meta.get("freed")
    if isinstance(freed, dict):
        return hint(
            FileGone(record.key, tried),
            f"garbage collection freed it on {str(freed.get('at'))[:10]}"  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
            f" (by {freed.get('by')}); run the step that made it again{by}, which took"  # pyright: ignore[reportUnknownMemberType]
            f" {freed.get('seconds')} s",  # pyright: ignore[reportUnknownMemberType]
        )
    return hint(
        FileGone(record.key, tried),
        f"was it moved or deleted? Run the step that made it again{by}",
    )


def changed(ws: Workspace, record: ArtifactRecord, path: str) -> ArtifactChanged:
    """Return the error for an artifact whose place holds other bytes."""
    problem = ArtifactChanged(*facts_of(ws, record, path))
    return hint(problem, f"restore the file, or {_again(record)}")


def changed_input(ws: Workspace, record: ArtifactRecord, path: str) -> InputChanged:
    """Return the error for an input that was recorded with other bytes."""
    return hint(
        InputChanged(*facts_of(ws, record, path)),
        f"{_again(record)}, restore the file, or take it as it is: with"
        " CacheOptions(input_mismatch='miss'), or by passing its path instead of the artifact",
    )


def _again(record: ArtifactRecord) -> str:
    if record.run_id is None:
        return "log the file again"
    return f"run the step that wrote it again (run {record.run_id!r}), with cache_mode='overwrite'"


def facts_of(
    ws: Workspace, record: ArtifactRecord, path: str
) -> tuple[str, str, str, str, str | None, str | None]:
    """Return key, path, recorded and found digest, who wrote and who overwrote an artifact."""
    try:
        found = ws.files.digest(path)
    except (OSError, ConsistError):
        found = "nothing readable"
    return record.key, path, record.hash or "", found, record.run_id, overwriter(ws, record)


def overwriter(ws: Workspace, record: ArtifactRecord) -> str | None:
    """Return the run that recorded other bytes at the place of an artifact later, if any did."""
    later = ws.store.overwritten(record)
    return None if later is None else later.run_id
