"""Runs from their snapshots, straight into the database.

The journals are merged first; then snapshots are read in batches, and what the database does not
know, or not as it ended, is stored as a merge would. A second time, nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from consist.errors import SnapshotMissing
from consist.models.record import RunDocument, RunEvent, replace
from consist.store.copying import with_database
from consist.store.database import ALIAS
from consist.store.merge import WORK_MEMORY
from consist.store.migrations import set_value, store_values
from consist.store.refill import Stored, missing_packages
from consist.store.row_tables import disclaim
from consist.store.rows import stored_extra
from consist.store.snapshots import load_snapshot
from consist.store.storing import prepare

if TYPE_CHECKING:
    from consist.store.embedded import EmbeddedStore
    from consist.store.merge import Session

Depth = Literal["minimal", "full"]

_BATCH = 2_000
_MINIMAL = "rebuilt_minimal"
"""Entry of the store's own table: some runs were stored without their facets."""
_ERRORS_KEPT = 1_000


class TakenIn(msgspec.Struct):
    """What became of snapshots.

    ``errors`` are the files that could not be read, each with the reason; the first thousand.
    """

    scanned: int = 0
    inserted: int = 0
    updated: int = 0
    already_present: int = 0
    purged: int = 0
    artifacts: int = 0
    error_count: int = 0
    errors: dict[str, str] = {}


Advance = Callable[[int], None]


def take_in(
    store: EmbeddedStore,
    files: Iterable[Path],
    *,
    run_dir: Path,
    depth: Depth,
    dry_run: bool,
    advance: Advance,
) -> TakenIn:
    """Store the runs of snapshot files that the database does not know.

    Parameters
    ----------
    store : EmbeddedStore
        Where to; the database may be absent.
    files : iterable of Path
        Snapshots.
    run_dir : Path
        The run folder that they are from, which may know packages of environments.
    depth : {"minimal", "full"}
        Whether runs, artifacts and links are stored, or their facets as well.
    dry_run : bool
        Whether to count only.
    advance : callable
        Gets how many files were looked at.

    Raises
    ------
    StoreLocked
        If somebody else holds the database; nothing was stored then.
    """
    report = TakenIn()
    if dry_run:
        _count(store, files, report, advance)
        return report
    with_database(
        store, lambda session: _Intake(session, depth, report).run(files, run_dir, advance)
    )
    return report


def _count(store: EmbeddedStore, files: Iterable[Path], report: TakenIn, advance: Advance) -> None:
    with store.ask() as connection:
        stored = Stored(connection, "main")
        ids = connection.execute("SELECT id FROM main.artifact").fetchall()
    artifacts = {row[0] for row in ids}
    for document in _documents(files, report, advance):
        for new in _sorted_out([document], stored, report)[0]:
            met = {a.id for a in (*new.inputs, *new.outputs)}
            report.artifacts += len(met - artifacts)
            artifacts |= met


class _Intake:
    """Taking snapshots in, while the database is ours."""

    def __init__(self, session: Session, depth: Depth, report: TakenIn) -> None:
        self.session, self.depth, self.report = session, depth, report

    def run(self, files: Iterable[Path], run_dir: Path, advance: Advance) -> None:
        session = self.session
        session.connection.execute(f"SET memory_limit = '{WORK_MEMORY}'")
        stored = Stored(session.connection)
        incomplete = _MINIMAL in store_values(session.connection, ALIAS)
        before = self._artifacts()
        for documents in _batches(_documents(files, self.report, advance)):
            new, present = _sorted_out(documents, stored, self.report)
            with session.changing():
                self._store(new)
                self._disclaim(new)
                if incomplete and self.depth == "full":
                    self._complete(present)
        packages = list(missing_packages(session.connection, [str(run_dir)]))
        if packages:
            with session.changing():
                session.store(prepare(packages, session.known))
        self.report.artifacts = self._artifacts() - before
        self._note(incomplete)

    def _artifacts(self) -> int:
        found = self.session.connection.execute(f"SELECT count(*) FROM {ALIAS}.artifact")
        return int(found.fetchall()[0][0])

    def _store(self, documents: Sequence[RunDocument]) -> None:
        events = [RunEvent(d if self.depth == "full" else _without_facets(d)) for d in documents]
        if not events:
            return
        batch = prepare(events, self.session.known)
        if self.depth == "minimal":
            extras = {d.run.uid: d.extra for d in documents}
            rows = batch.rows.tables.get("run_extra", {})
            for settled in batch.settled:
                if isinstance(settled.event, RunEvent):
                    run = settled.event.doc.run
                    if (run.id,) in rows:
                        extra = stored_extra(extras[run.uid])
                        rows[run.id,] = {"run_id": run.id, "extra": extra}
        self.session.store(batch)

    def _disclaim(self, documents: Sequence[RunDocument]) -> None:
        """Let no artifact claim ingested rows, of which snapshots have none."""
        ids = {
            artifact.id
            for document in documents
            for artifact in (*document.inputs, *document.outputs)
            if artifact.meta.get("is_ingested")
        }
        if ids:
            disclaim(self.session.connection, "SELECT unnest(?)", [list(ids)])

    def _complete(self, documents: Iterable[RunDocument]) -> None:
        """Store the facets of runs that were stored without them."""
        events = [RunEvent(document) for document in documents if _has_facets(document)]
        if events:
            batch = prepare(events, self.session.known)
            for table in ("run", "run_extra"):
                batch.rows.tables.pop(table, None)
            self.session.store(batch._replace(replaced=[], extras=[], updated=[]))

    def _note(self, incomplete: bool) -> None:
        connection = self.session.connection
        if self.depth == "minimal" and self.report.inserted and not incomplete:
            with self.session.changing():
                set_value(connection, ALIAS, _MINIMAL, "1")
        elif self.depth == "full" and incomplete:
            with self.session.changing():
                connection.execute(f"DELETE FROM {ALIAS}.consist_store WHERE key = ?", [_MINIMAL])


# ---------------------------------------------------------------- documents


def _documents(files: Iterable[Path], report: TakenIn, advance: Advance) -> Iterator[RunDocument]:
    for path in files:
        report.scanned += 1
        try:
            yield load_snapshot(path, path.stem)
        except SnapshotMissing as error:
            report.error_count += 1
            if len(report.errors) < _ERRORS_KEPT:
                report.errors[str(path)] = " ".join(getattr(error, "__notes__", [str(error)]))
        advance(report.scanned)


def _batches(documents: Iterator[RunDocument]) -> Iterator[list[RunDocument]]:
    """Yield documents in batches, reading the next one while DuckDB stores the last."""

    def some() -> list[RunDocument]:
        return list(islice(documents, _BATCH))

    with ThreadPoolExecutor(1, "consist-read") as reader:
        ahead = reader.submit(some)
        while batch := ahead.result():
            ahead = reader.submit(some)
            yield batch


def _sorted_out(
    documents: Iterable[RunDocument], stored: Stored, report: TakenIn
) -> tuple[list[RunDocument], list[RunDocument]]:
    """Return what has to be stored, and what is there already."""
    new: list[RunDocument] = []
    present: list[RunDocument] = []
    for document in documents:
        match stored.standing(document):
            case "purged":
                report.purged += 1
            case "known":
                report.already_present += 1
                present.append(document)
            case "new":
                report.inserted += 1
                new.append(stored.take_in(document))
            case "newer":
                report.updated += 1
                new.append(stored.take_in(document))
    return new, present


def _has_facets(document: RunDocument) -> bool:
    extra = document.extra
    return document.facet is not None or bool(extra.artifact_facets or _observed(document))


def _observed(document: RunDocument) -> bool:
    extra = document.extra
    return bool(extra.schemas) or any(change.schemas for change in extra.changes)


def _without_facets(document: RunDocument) -> RunDocument:
    changes = tuple(replace(change, schemas=()) for change in document.extra.changes)
    extra = replace(document.extra, artifact_facets={}, facet=None, schemas=(), changes=changes)
    return replace(document, facet=None, extra=extra)
