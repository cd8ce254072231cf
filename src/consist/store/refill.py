"""What a database lacks that was deleted, restored or replaced: found in snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from consist.models.changes import own_status
from consist.models.record import STATUS_FIXED, PackagesEvent, RunDocument, RunEvent, replace
from consist.store import locks
from consist.store.database import ALIAS
from consist.store.migrations import CHANGES_SINCE, store_values
from consist.store.snapshots import iter_packages, iter_snapshots

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def newer_snapshots(connection: DuckDBPyConnection, run_dirs: Iterable[str]) -> Iterator[RunEvent]:
    """Yield the runs whose snapshots say more than the attached database.

    A run whose process is known to be gone without having ended it comes as interrupted.
    """
    fixed = f"json_extract_string(meta, '$.{STATUS_FIXED}.from')"
    rows = connection.execute(
        f"SELECT uid, coalesce({fixed}, status), updated_at FROM {ALIAS}.run"
    ).fetchall()
    known: dict[str, tuple[str, datetime]] = {row[0]: (row[1], row[2]) for row in rows}
    changes, purged = (
        _ids(connection, "run_change", "id"),
        _ids(connection, "consist_purged", "uid"),
    )
    for run_dir in run_dirs:
        for document in iter_snapshots(run_dir):
            run = document.run
            if run.uid in purged:
                continue
            told = {change.id for change in document.extra.changes}
            if run.uid in known and told <= changes and not _says_more(document, *known[run.uid]):
                continue
            changes |= told
            found = _ended_if_orphan(document)
            known[run.uid] = (own_status(found.run.status, found.run.meta), found.run.updated_at)
            yield RunEvent(found)


def missing_packages(
    connection: DuckDBPyConnection, run_dirs: Iterable[str]
) -> Iterator[PackagesEvent]:
    """Yield the packages of environments that only run folders know."""
    known = _ids(connection, "package_set", "id")
    for run_dir in run_dirs:
        for event in iter_packages(run_dir):
            if event.id not in known:
                known.add(event.id)
                yield event


def _ids(connection: DuckDBPyConnection, table: str, column: str) -> set[str]:
    if int(store_values(connection, ALIAS).get("schema_version", 0)) < CHANGES_SINCE:
        return set()
    return {
        row[0] for row in connection.execute(f"SELECT {column} FROM {ALIAS}.{table}").fetchall()
    }


def _says_more(document: RunDocument, status: str, updated_at: datetime) -> bool:
    if own_status(document.run.status, document.run.meta) == "running":
        return False
    return status == "running" or document.run.updated_at > updated_at


def _ended_if_orphan(document: RunDocument) -> RunDocument:
    process = document.extra.process
    if document.run.status != "running" or process is None or not locks.has_ended(process):
        return document
    now = max(datetime.now(UTC), document.run.updated_at)
    return replace(document, run=replace(document.run, status="interrupted", updated_at=now))
