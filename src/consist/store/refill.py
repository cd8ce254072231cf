"""What a database lacks that was deleted, restored or replaced: found in snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from consist.models.record import RunDocument, RunEvent, replace
from consist.store import locks
from consist.store.database import ALIAS
from consist.store.snapshots import iter_snapshots

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def newer_snapshots(connection: DuckDBPyConnection, run_dirs: Iterable[str]) -> Iterator[RunEvent]:
    """Yield the runs whose snapshots say more than the attached database.

    A run whose process is known to be gone without having ended it comes as interrupted.
    """
    rows = connection.execute(f"SELECT uid, status, updated_at FROM {ALIAS}.run").fetchall()
    known: dict[str, tuple[str, datetime]] = {row[0]: (row[1], row[2]) for row in rows}
    for run_dir in run_dirs:
        for document in iter_snapshots(run_dir):
            run = document.run
            if run.uid in known and not says_more(document, *known[run.uid]):
                continue
            found = ended_if_orphan(document)
            known[run.uid] = (found.run.status, found.run.updated_at)
            yield RunEvent(found)


def says_more(document: RunDocument, status: str, updated_at: datetime) -> bool:
    """Whether a snapshot tells of a run what tables with this status and time do not know."""
    if document.run.status == "running":
        return False
    return status == "running" or document.run.updated_at > updated_at


def ended_if_orphan(document: RunDocument) -> RunDocument:
    """Return a run as interrupted if its process is known to be gone without having ended it."""
    process = document.extra.process
    if document.run.status != "running" or process is None or not locks.has_ended(process):
        return document
    now = max(datetime.now(UTC), document.run.updated_at)
    return replace(document, run=replace(document.run, status="interrupted", updated_at=now))
