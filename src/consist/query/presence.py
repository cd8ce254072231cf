"""Which recorded files are still there."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from consist.models.artifact import Artifact
from consist.progress import counting
from consist.query.ask import columns, every, fetch, fetch_all

if TYPE_CHECKING:
    from consist.workspace import Workspace

_AT_ONCE = 10_000


@dataclass
class Absence:
    """What is gone.

    Attributes
    ----------
    checked : int
        How many artifacts there are.
    missing : int
        How many of them have no file.
    untrusted : int
        How many were not looked for.
    newest : list of Artifact
        The missing ones recorded last, newest first.
    """

    checked: int = 0
    missing: int = 0
    untrusted: int = 0
    newest: list[Artifact] = field(default_factory=list[Artifact])


def absent(ws: Workspace, access: Callable[[Artifact], str], limit: int) -> Absence:
    """Look for the file of every artifact.

    The database is asked for some thousands at a time and free in between.

    Parameters
    ----------
    access : callable
        Tells of an artifact ``"missing"``, ``"untrusted"`` where it may not be looked for, or
        anything else.
    limit : int
        Most missing artifacts to return.
    """
    found = Absence()
    total = fetch(ws, select(func.count()).select_from(Artifact))[0][0]
    with counting("looking for files", total, shown=ws.settings.progress) as show:
        for batch in _batches(ws):
            answers = [(artifact, access(artifact)) for artifact in batch]
            missing = [artifact for artifact, answer in answers if answer == "missing"]
            found.checked += len(batch)
            found.missing += len(missing)
            found.untrusted += sum(answer == "untrusted" for _, answer in answers)
            found.newest = heapq.nlargest(limit, [*found.newest, *missing], key=_when)
            show(found.checked, "")
    return found


def _when(artifact: Artifact) -> tuple[datetime, str]:
    return artifact.created_at, str(artifact.id)


def _batches(ws: Workspace) -> Iterator[list[Artifact]]:
    artifact = columns(Artifact)
    last = ""
    while True:
        following = every(Artifact).where(artifact.id > last).order_by(artifact.id)
        batch = fetch_all(ws, Artifact, following.limit(_AT_ONCE))
        if batch:
            yield batch
        if len(batch) < _AT_ONCE:
            return
        last = str(batch[-1].id)
