"""Logging inside a cache hit: the same again is the cached artifact, anything else ends the hit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from consist.active import ActiveRun
from consist.artifacts.items import Item, Linked
from consist.models.record import ArtifactRecord, Direction

if TYPE_CHECKING:
    from consist.workspace import Workspace


def cached(
    ws: Workspace, run: ActiveRun, item: Item, direction: Direction
) -> ArtifactRecord | None:
    """Return the cached artifact that ``item`` is, or end the hit if it is something else."""
    if run.hit is None:
        return None
    for record in _meant(run, item, direction):
        if _agrees(ws, record, item):
            run.confirmed.add(record.id)
            return record
    run.demote()
    return None


def _meant(run: ActiveRun, item: Item, direction: Direction) -> Iterable[ArtifactRecord]:
    """Yield what is given back under the key of ``item``, and an artifact that it is itself."""
    known = run.given_back(direction)
    if isinstance(item, Linked):
        yield from known.get(item.record.id, ())
    yield from known.get(item.key, ())
    if direction == "input" and item.key in run.named:
        yield run.named[item.key]


def _agrees(ws: Workspace, record: ArtifactRecord, item: Item) -> bool:
    """Whether nothing shows that ``item`` is other than the cached ``record``."""
    if isinstance(item, Linked):
        linked = item.record
        return linked.id == record.id or (linked.hash == record.hash and linked.hash is not None)
    if item.content_hash is not None:
        return item.content_hash == record.hash
    if not Path(item.path).exists() or record.hash is None:
        return True
    return ws.files.is_same(item.path, record.hash)
