"""Look-ups without the database: by signature, by location, by asked-for id.

Memory first, then a small file that a fresh process opens in about a millisecond. What is learned
stays in memory until it is written in bulk, together with how far each journal has been read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from consist.models.record import (
    NULL,
    ArtifactRecord,
    Event,
    LogEvent,
    RowEvent,
    RunDocument,
    RunEvent,
    RunRecord,
    decode_document,
    encode,
    replace,
)
from consist.store.index_file import IndexFile, Lines

_MEMORY_LIMIT = 4_096
_ENDED_BADLY = frozenset({"failed", "interrupted"})

Location = tuple[str, str, str | None, str | None]


class Attempt(NamedTuple):
    """One run that asked for an id."""

    number: int
    uid: str
    status: str


class Index:
    """Signature → candidates, location → latest version, asked-for id → attempts.

    Parameters
    ----------
    path : Path
        The SQLite file; created on the first write.
    store_id : str
        Store that the file must belong to; another one's content is dropped.
    """

    def __init__(self, path: Path, store_id: str) -> None:
        self._file = IndexFile(path, store_id)
        self._lock = threading.RLock()
        self._positions: dict[str, int] = {}
        self._moved: set[str] = set()
        self._generation: int | None = None
        self._found: dict[str, list[RunDocument]] = {}
        self._forget()

    def _forget(self) -> None:
        """Drop what was learned, once it is written."""
        self._candidates: dict[str, dict[str, RunDocument]] = {}
        self._locations: dict[Location, ArtifactRecord] = {}
        self._attempts: dict[str, dict[int, Attempt]] = {}
        self._superseded: set[str] = set()
        self._pending = 0

    # ------------------------------------------------------------ learning

    def learn(self, event: Event, token: str, position: int) -> None:
        """Take in an event that ends at ``position`` of a journal."""
        with self._lock:
            match event:
                case RunEvent(doc=document):
                    self._learn_document(document)
                case LogEvent(direction="output", artifacts=artifacts):
                    self._learn_locations(artifacts)
                case RowEvent(run=run):
                    self._learn_row(run)
                case LogEvent():
                    pass
            self._advance(token, position)
            self._learned()

    def learn_document(self, document: RunDocument) -> None:
        """Take in a run that no journal tells of (any more)."""
        with self._lock:
            self._learn_document(document)
            self._learned()

    def advance(self, token: str, position: int) -> None:
        """Note that a journal was read up to ``position``."""
        with self._lock:
            self._advance(token, position)

    def _advance(self, token: str, position: int) -> None:
        if position > self._positions.get(token, 0):
            self._positions[token] = position
            self._moved.add(token)

    def _learned(self) -> None:
        self._pending += 1
        if self._pending >= _MEMORY_LIMIT:
            self._pending = 0  # if it fails now, the next try is as far away again
            self.persist()

    def _learn_document(self, document: RunDocument) -> None:
        run, extra = document.run, document.extra
        if run.requested_id and (run.attempt > 1 or extra.claimed):
            self._learn_attempt(run)
        if run.status == "running" or document.is_hit:
            return
        self._learn_locations(document.outputs)
        self._learn_locations(a for a in document.inputs if a.run_id is None)
        if extra.supersedes:
            self._reject(extra.supersedes)
        if document.is_source:
            light = replace(document, config=NULL, cached_run=NULL, facet=None)
            for signature in {run.signature, extra.content_signature} - {None}:
                self._candidates.setdefault(str(signature), {})[run.uid] = light
                self._found.pop(str(signature), None)
        elif run.status in _ENDED_BADLY:
            self._superseded.add(run.uid)
            for signature in (run.signature, extra.content_signature):
                self._found.pop(str(signature), None)

    def _learn_row(self, run: RunRecord) -> None:
        if run.status in _ENDED_BADLY:
            self._reject((run.uid,))
        if run.status != "running" and run.attempt in self.attempts(run.requested_id):
            self._learn_attempt(run)

    def _learn_attempt(self, run: RunRecord) -> None:
        numbers = self._attempts.setdefault(run.requested_id, {})
        known = numbers.get(run.attempt)
        if known is None or known.uid != run.uid or run.status != "running":
            numbers[run.attempt] = Attempt(run.attempt, run.uid, run.status)

    def _learn_locations(self, artifacts: Iterable[ArtifactRecord]) -> None:
        for artifact in artifacts:
            known = self._locations.get(artifact.location)
            if known is None or known.created_at <= artifact.created_at:
                self._locations[artifact.location] = artifact

    def _reject(self, uids: Iterable[str]) -> None:
        """Let these runs never be sources again."""
        self._superseded.update(uids)
        self._found.clear()

    # ------------------------------------------------------------ asking

    def candidates(self, signature: str) -> list[RunDocument]:
        """Return the runs that may be given back for a signature, newest first."""
        with self._lock:
            known = self._found.get(signature)
            if known is None:
                known = self._load_candidates(signature)
                if len(self._found) >= _MEMORY_LIMIT:
                    self._found.clear()
                if known:
                    self._found[signature] = known
            return known

    def _load_candidates(self, signature: str) -> list[RunDocument]:
        found = dict(self._candidates.get(signature, {}))
        rows = self._file.select("SELECT uid, body FROM candidate WHERE signature = ?", signature)
        for uid, body in rows:
            if uid not in found:
                found[uid] = decode_document(body)
        kept = [d for uid, d in found.items() if not self._is_superseded(uid)]
        return sorted(kept, key=_recency, reverse=True)

    def _is_superseded(self, uid: str) -> bool:
        if uid in self._superseded:
            return True
        return bool(self._file.select("SELECT 1 FROM superseded WHERE uid = ?", uid))

    def located(self, location: Location) -> ArtifactRecord | None:
        """Return the latest recorded version at a location."""
        with self._lock:
            found = self._locations.get(location)
            if found is None:
                statement = "SELECT body FROM location WHERE place = ?"
                rows = self._file.select(statement, _place(location))
                found = msgspec.json.decode(rows[0][0], type=ArtifactRecord) if rows else None
            return found

    def attempts(self, requested_id: str) -> dict[int, Attempt]:
        """Return the runs that asked for an id, by number."""
        with self._lock:
            statement = "SELECT attempt, uid, status FROM attempt WHERE requested_id = ?"
            rows = self._file.select(statement, requested_id)
            stored = {number: Attempt(number, uid, status) for number, uid, status in rows}
            return stored | self._attempts.get(requested_id, {})

    # ------------------------------------------------------------ file

    def position(self, token: str) -> int:
        """Return how far a journal has been read, by this process or an earlier one."""
        with self._lock:
            if token not in self._positions:
                statement = "SELECT position FROM progress WHERE token = ?"
                rows = self._file.select(statement, token)
                self._positions[token] = int(rows[0][0]) if rows else 0
            return self._positions[token]

    @property
    def generation(self) -> int:
        """The merge up to which everything is known here; 0 where nothing is."""
        with self._lock:
            if self._generation is None:
                statement = "SELECT value FROM meta WHERE name = ?"
                rows = self._file.select(statement, "generation")
                self._generation = int(rows[0][0]) if rows else 0
            return self._generation

    def forget_generation(self) -> None:
        """Read the covered merge from the file again; another process may have moved it."""
        with self._lock:
            self._generation = None

    def persist(self, generation: int | None = None, gone: Iterable[str] = ()) -> bool:
        """Write what was learned; return whether it could be written.

        Parameters
        ----------
        generation : int, optional
            Merge up to which everything is known from now on.
        gone : iterable of str
            Journals that were removed.
        """
        with self._lock:
            if generation is not None:
                self._generation = generation
            lines = self._lines(generation, gone)
            if not any(lines.values()):
                return True
            written = self._file.write(lines)
            if written:
                self._forget()
                self._moved.clear()
            return written

    def rebuild(
        self,
        documents: Callable[[], Iterator[RunDocument]],
        positions: Mapping[str, int],
        generation: int,
    ) -> None:
        """Forget everything and learn these runs instead."""
        with self._lock:
            self._forget()
            self._found.clear()
            self._positions, self._moved = dict(positions), set(positions)
            self._generation = generation
            if self._file.rewrite(self._pieces(documents(), generation)):
                self._moved.clear()
                return
            for document in documents():  # the file cannot be written, so memory has to do
                self._learn_document(document)

    def _pieces(self, documents: Iterator[RunDocument], generation: int) -> Iterator[Lines]:
        while batch := list(islice(documents, _MEMORY_LIMIT)):
            for document in batch:
                self._learn_document(document)
            yield self._lines(None, ())
            self._forget()
        yield self._lines(generation, ())

    def _lines(self, generation: int | None, gone: Iterable[str]) -> Lines:
        return {
            "candidate": [
                (signature, uid, encode(document))
                for signature, documents in self._candidates.items()
                for uid, document in documents.items()
            ],
            "superseded": [(uid,) for uid in self._superseded],
            "location": [
                (_place(location), record.created_at.timestamp(), encode(record))
                for location, record in self._locations.items()
            ],
            "attempt": [
                (requested, number, attempt.uid, attempt.status)
                for requested, numbers in self._attempts.items()
                for number, attempt in numbers.items()
            ],
            "progress": [(token, self._positions[token]) for token in self._moved],
            "gone": [(token,) for token in gone],
            "meta": [] if generation is None else [("generation", str(generation))],
        }

    def close(self) -> None:
        """Close the file; the index can be used again afterwards."""
        with self._lock:
            self._file.close()

    # ------------------------------------------------------------ fork

    def freeze(self) -> None:
        """Hold still while this process forks."""
        self._lock.acquire()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        self._lock.release()

    def abandon(self) -> None:
        """Keep what is known in a forked child, but not the parent's connection and lock."""
        self._file.abandon()
        self._lock = threading.RLock()


def _place(location: Location) -> str:
    return "\0".join(part or "" for part in location)


def _recency(document: RunDocument) -> tuple[float, str]:
    return (document.run.created_at.timestamp(), document.run.uid)
