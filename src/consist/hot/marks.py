"""Which artifacts the database holds rows of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consist.models.record import ArtifactRecord

if TYPE_CHECKING:
    from consist.workspace import Workspace


def is_ingested(ws: Workspace, record: ArtifactRecord) -> bool:
    """Whether the database holds the rows of an artifact, as far as the record knows by now."""
    if record.meta.get("is_ingested"):
        return True
    latest = ws.store.located(record.location)
    return latest is not None and latest.id == record.id and bool(latest.meta.get("is_ingested"))
