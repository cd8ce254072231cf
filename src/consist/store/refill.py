"""What a database lacks that was deleted, restored or replaced: found in snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from consist.models.changes import own_status
from consist.models.record import STATUS_FIXED, PackagesEvent, RunDocument, RunEvent, replace
from consist.store import locks
from consist.store.database import ALIAS
from consist.store.migrations import CHANGES_SINCE, store_values
from consist.store.snapshots import iter_packages, iter_snapshots

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Stored:
    """What a database knows of runs, to be compared with their snapshots.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has the database attached.
    schema : str
        Whose tables are asked: the database's, or ``main``, where the tail is joined to it.
    """

    def __init__(self, connection: DuckDBPyConnection, schema: str = ALIAS) -> None:
        fixed = f"json_extract_string(meta, '$.{STATUS_FIXED}.from')"
        rows = connection.execute(
            f"SELECT uid, coalesce({fixed}, status), updated_at FROM {schema}.run"
        ).fetchall()
        self._known: dict[str, tuple[str, datetime]] = {row[0]: (row[1], row[2]) for row in rows}
        told = connection.execute(f"SELECT id FROM {schema}.run_change").fetchall()
        self._changes = {row[0] for row in told}
        self._purged = _ids(connection, "consist_purged", "uid")

    def standing(self, document: RunDocument) -> Literal["new", "newer", "known", "purged"]:
        """Return how a snapshot stands to the database."""
        uid = document.run.uid
        if uid in self._purged:
            return "purged"
        if uid not in self._known:
            return "new"
        told = all(change.id in self._changes for change in document.extra.changes)
        return "known" if told and not _says_more(document, *self._known[uid]) else "newer"

    def take_in(self, document: RunDocument) -> RunDocument:
        """Know a document from now on; return it as it is to be stored.

        A run whose process is known to be gone without having ended it comes as interrupted.
        """
        self._changes |= {change.id for change in document.extra.changes}
        found, run = _ended_if_orphan(document), document.run
        status = own_status(found.run.status, found.run.meta)
        self._known[run.uid] = (status, found.run.updated_at)
        return found


def newer_snapshots(connection: DuckDBPyConnection, run_dirs: Iterable[str]) -> Iterator[RunEvent]:
    """Yield the runs whose snapshots say more than the attached database.

    A run whose process is known to be gone without having ended it comes as interrupted.
    """
    stored = Stored(connection)
    for run_dir in run_dirs:
        for document in iter_snapshots(run_dir):
            if stored.standing(document) in {"new", "newer"}:
                yield RunEvent(stored.take_in(document))


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
