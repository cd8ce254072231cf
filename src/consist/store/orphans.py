"""What a vanished process left behind: runs that never ended, snapshots that lag, torn records."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from consist.errors import StoreError
from consist.models.record import (
    ArtifactRecord,
    IngestEvent,
    LogEvent,
    RowEvent,
    RunDocument,
    RunEvent,
    replace,
)
from consist.store.journals import CloseRecord, Entry, UnknownRecord, read_entries
from consist.store.snapshots import refresh_snapshot

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SNAPSHOTS_CHECKED = 64
"""Only what a process did last can have missed its snapshot."""


class Orphans:
    """The runs in the journal of a process that is gone.

    Parameters
    ----------
    path : Path
        The journal, which nobody writes any more.
    """

    def __init__(self, path: Path) -> None:
        self._open: dict[str, RunDocument] = {}
        self._ended: deque[RunDocument] = deque(maxlen=_SNAPSHOTS_CHECKED)
        for entry in read_entries(path, resync=True):
            match entry.record:
                case RunEvent(doc=document):
                    self._take_in(document)
                case LogEvent() as event if event.uid in self._open:
                    self._open[event.uid] = _with_artifacts(self._open[event.uid], event)
                case IngestEvent() as event if event.uid in self._open:
                    self._open[event.uid] = _with_news(self._open[event.uid], event)
                case RowEvent(run=run) if run.uid in self._open:
                    self._take_in(replace(self._open[run.uid], run=run))
                case CloseRecord():
                    self._ended.clear()  # it had the time to write its snapshots
                case _:
                    pass

    def _take_in(self, document: RunDocument) -> None:
        if document.run.status == "running":
            self._open[document.run.uid] = document
        else:
            self._open.pop(document.run.uid, None)
            self._ended.append(document)

    def interrupted(self, connection: DuckDBPyConnection, schema: str) -> Iterator[RunEvent]:
        """Yield the end of every run that the tables of ``schema`` still take for running."""
        if not self._open:
            return
        rows = connection.execute(
            f"SELECT uid, updated_at, meta FROM {schema}.run"
            " WHERE status = 'running' AND uid IN (SELECT unnest(?))",
            [list(self._open)],
        ).fetchall()
        for uid, updated_at, meta in rows:
            document = self._open.pop(uid)
            if updated_at > document.run.updated_at:  # others joined the scenario meanwhile
                run = replace(document.run, meta=msgspec.json.decode(meta), updated_at=updated_at)
                document = replace(document, run=run)
            document = _interrupted(document)
            self._ended.append(document)
            yield RunEvent(document)

    def mend_snapshots(self) -> None:
        """Rewrite the snapshots of ended runs that lag behind the journal."""
        for document in self._ended:
            run_dir = document.run.meta.get("_physical_run_dir")
            if isinstance(run_dir, str):
                try:
                    refresh_snapshot(run_dir, document)
                except (StoreError, OSError):
                    continue  # another user's run folder; the record is in the database


def _with_artifacts(document: RunDocument, event: LogEvent) -> RunDocument:
    side = "inputs" if event.direction == "input" else "outputs"
    known: tuple[ArtifactRecord, ...] = getattr(document, side)
    logged = {artifact.id: artifact for artifact in (*known, *event.artifacts)}
    extra = replace(
        document.extra,
        artifact_facets={**document.extra.artifact_facets, **event.facets},
        news={**document.extra.news, **event.news},
        schemas=(*document.extra.schemas, *event.schemas),
    )
    return replace(document, extra=extra, **{side: tuple(logged.values())})


def _with_news(document: RunDocument, event: IngestEvent) -> RunDocument:
    """Let a document know what ingesting said of one of its artifacts."""
    told, known = event.artifact, document.extra.news
    news = {**known, told.id: {**known.get(told.id, {}), **event.news}}
    return replace(
        document,
        inputs=tuple(told if a.id == told.id else a for a in document.inputs),
        outputs=tuple(told if a.id == told.id else a for a in document.outputs),
        extra=replace(document.extra, news=news, schemas=(*document.extra.schemas, *event.schemas)),
    )


def _interrupted(document: RunDocument) -> RunDocument:
    process = document.extra.process
    meta = {**document.run.meta, "last_seen": document.run.updated_at.isoformat()}
    if process is not None:
        meta["interrupted"] = {"host": process.host, "pid": process.pid}
    now = max(datetime.now(UTC), document.run.updated_at)
    run = replace(document.run, status="interrupted", meta=meta, updated_at=now)
    return replace(document, run=run)


# ---------------------------------------------------------------- the ends of journals


class Ending:
    """What the unread part of a journal told about its owner and its state."""

    def __init__(self) -> None:
        self.newer = False
        self.damaged = False
        self._active: tuple[str, ...] | None = None

    def note(self, entry: Entry, reached: int) -> bool:
        """Take in the next record; return whether it has to be left to a newer library."""
        self.damaged |= entry.start > reached
        self.newer |= isinstance(entry.record, UnknownRecord)
        if isinstance(entry.record, CloseRecord):
            self._active = entry.record.active
        return self.newer

    @property
    def needs_care(self) -> bool:
        """Whether the owner may have left something undone."""
        return not self.newer and self._active != ()

    def of(self, path: Path, position: int, size: int) -> Literal["stored", "damaged", "unread"]:
        """Say what state a journal is in that was read up to ``position``."""
        if self.newer:
            return "unread"
        try:
            whole = position >= size or _has_torn_end(path, position)
        except OSError:
            return "unread"
        return "stored" if whole and not self.damaged else "damaged"


_BEGUN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} [0-9a-f]{0,8}|[0-9a-f]{8} [0-9a-f]{8} [^\n]*")


def _has_torn_end(path: Path, position: int) -> bool:
    """Whether behind ``position`` there is only the beginning of one record.

    That record was never acknowledged: its process was killed in the middle of the write.
    """
    with path.open("rb") as file:
        file.seek(position)
        return _BEGUN.fullmatch(file.read()) is not None
