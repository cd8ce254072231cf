"""Look-ups without the database: by signature, by location, by asked-for id.

Memory first, then a small file that a fresh process opens in about a millisecond. What is learned
stays in memory until it is written in bulk, together with how far each journal has been read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from consist.models.changes import is_rejection, why_rejected
from consist.models.observed import SchemaRecord
from consist.models.record import (
    NULL,
    ArtifactRecord,
    Change,
    ChangeEvent,
    Event,
    IngestEvent,
    LogEvent,
    PackagesEvent,
    PurgeEvent,
    RowEvent,
    RunDocument,
    RunEvent,
    RunRecord,
    decode_document,
    encode,
    replace,
)
from consist.store.captured import CapturedSchemas, LatestSchema, Note
from consist.store.index_file import WRITE, IndexFile, Lines
from consist.store.recent import Earlier, PassedOver, RecentRuns, ended_badly, why_refused

_MEMORY_LIMIT = 4_096
_MOST_PASSED_OVER = 5
_OVERWRITTEN = "a later run with cache_mode='overwrite' took its place"
PURGED = "it was purged"
_ENDED_BADLY = frozenset({"failed", "interrupted"})

Location = tuple[str, str, str | None, str | None]


class Attempt(NamedTuple):
    """One run that asked for an id."""

    number: int
    uid: str
    status: str
    at: float = 0.0


class Written(NamedTuple):
    """What was recorded last at a path."""

    at: float
    artifact: str
    digest: str | None
    run_id: str | None
    is_folder: bool


_WRITTEN = ", ".join(Written._fields)


class Overwritten(NamedTuple):
    """What was recorded after an artifact, where it lies.

    Attributes
    ----------
    run_id : str or None
        The run that wrote it.
    certain : bool
        Whether it is other bytes at the very same place. Else it is a part of the artifact, or a
        folder around it, and only the bytes can tell.
    """

    run_id: str | None
    certain: bool


class Index:
    """Signature → candidates, location → latest version, asked-for id → attempts, model → runs.

    Parameters
    ----------
    path : Path
        The SQLite file; created on the first write.
    store_id : str
        Store that the file must belong to; another one's content is dropped.
    """

    def __init__(self, path: Path, store_id: str) -> None:
        self._file = IndexFile(path, store_id)
        self._recent = RecentRuns(self._file)
        self._captured = CapturedSchemas(self._file, self._note)
        self._lock = threading.RLock()
        self._positions: dict[str, int] = {}
        self._moved: set[str] = set()
        self._generation: int | None = None
        self._found: dict[str, list[RunDocument]] = {}
        self._serial = 0
        self._untouched: dict[str, int] = {}
        self._has_folders: bool | None = None
        self._has_news: bool | None = None
        self._forget()

    def _forget(self) -> None:
        """Drop what was learned, once it is written."""
        self._recent.forget()
        self._captured.forget()
        self._candidates: dict[str, dict[str, RunDocument]] = {}
        self._locations: dict[Location, ArtifactRecord] = {}
        self._written: dict[str, Written] = {}
        self._attempts: dict[str, dict[int, Attempt]] = {}
        self._superseded: dict[str, str] = {}
        self._news: dict[str, dict[str, Any]] = {}
        self._unwritten: dict[str, list[tuple[str, tuple[Any, ...]]]] = {}
        self._source = ""
        self._pending = 0

    # ------------------------------------------------------------ learning

    def learn(self, event: Event, token: str, position: int) -> None:
        """Take in an event that ends at ``position`` of a journal."""
        with self._lock:
            self._source = token
            if isinstance(event, LogEvent) and event.schemas:
                self._captured.learn(event.schemas, event.run_id, event.artifacts)
            match event:
                case RunEvent(doc=document):
                    self._learn_document(document)
                case LogEvent(direction="output", artifacts=artifacts):
                    self._learn_locations(artifacts)
                case LogEvent(artifacts=artifacts, news=news):
                    self._learn_news(artifacts, news)
                case RowEvent(run=run):
                    self._learn_row(run)
                case IngestEvent(artifact=artifact, news=news):
                    self._learn_news([artifact], {artifact.id: news})
                    self._captured.learn(event.schemas, event.run_id, [artifact])
                case ChangeEvent(uid=uid, change=change):
                    self._learn_change(uid, change)
                    self._captured.learn(change.schemas, event.run_id, ())
                case PurgeEvent():
                    self._learn_purge(event)
                case PackagesEvent():
                    pass
            self._advance(token, position)
            self._learned()

    def learn_document(self, document: RunDocument) -> None:
        """Take in a run that no journal tells of (any more)."""
        with self._lock:
            self._source = ""
            self._learn_document(document)
            self._learned()

    def reject(self, runs: Mapping[str, str]) -> None:
        """Let runs never be sources again, whether they are known or not.

        Parameters
        ----------
        runs : mapping of str to str
            Why, by internal id.
        """
        with self._lock:
            self._source = ""
            self._reject(runs)

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
            self.persist(wait=0.0)

    def _note(self, what: str, *values: Any) -> None:
        """Keep what has to be written, with the journal that it comes from."""
        self._unwritten.setdefault(self._source, []).append((what, values))

    def _learn_document(self, document: RunDocument) -> None:
        run, extra = document.run, document.extra
        if run.requested_id and (run.attempt > 1 or extra.claimed):
            self._learn_attempt(run)
        for change in extra.changes:
            self._learn_change(run.uid, change)
        if run.status == "running" or document.is_hit:
            return
        self._recent.learn(document)
        self._learn_locations(document.outputs)
        self._learn_locations(a for a in document.inputs if a.run_id is None)
        self._learn_news(document.inputs, extra.news)
        if extra.schemas:
            artifacts = (*document.inputs, *document.outputs)
            self._captured.learn(extra.schemas, run.id, artifacts)
        if extra.supersedes:
            self._reject(dict.fromkeys(extra.supersedes, _OVERWRITTEN))
        if document.is_source:
            light = _given_back(document)
            for signature in {run.signature, extra.content_signature} - {None}:
                self._candidates.setdefault(str(signature), {})[run.uid] = light
                self._note("candidate", signature, run.uid, light)
                self._found.pop(str(signature), None)
        elif run.status in _ENDED_BADLY:
            self._superseded.setdefault(run.uid, why_refused(document))
            self._note("superseded", run.uid, why_refused(document))
            for signature in (run.signature, extra.content_signature):
                self._found.pop(str(signature), None)

    def _learn_row(self, run: RunRecord) -> None:
        if run.status in _ENDED_BADLY:
            self._reject({run.uid: ended_badly(run.status)})
            self._recent.learn_row(run)
        if run.status != "running":
            self._learn_attempt(run)

    def _learn_attempt(self, run: RunRecord) -> None:
        numbers = self._attempts.setdefault(run.requested_id, {})
        known = numbers.get(run.attempt)
        # What is unknown is before all times; so is a run that has only begun.
        at = 0.0 if run.status == "running" else run.updated_at.timestamp()
        if known is None or known.uid != run.uid or at >= known.at:
            numbers[run.attempt] = Attempt(run.attempt, run.uid, run.status, at)
            self._note("attempt", run.requested_id, run.attempt, run.uid, run.status, at)

    def _learn_news(
        self, artifacts: Iterable[ArtifactRecord], news: Mapping[str, dict[str, Any]]
    ) -> None:
        """Take in what was said of artifacts that were recorded before."""
        for artifact in artifacts if news else ():
            known = self.located(artifact.location) if artifact.id in news else None
            if known is not None and known.id == artifact.id:
                meta = {**known.meta, **news[artifact.id]}
                self._learn_locations([replace(known, meta=meta)])

    def _learn_locations(self, artifacts: Iterable[ArtifactRecord]) -> None:
        for artifact in artifacts:
            known = self._locations.get(artifact.location)
            if known is None or known.created_at <= artifact.created_at:
                self._locations[artifact.location] = artifact
                at = artifact.created_at.timestamp()
                self._note("location", _place(artifact.location), at, artifact)
                self._learn_path(artifact, at)

    def _learn_path(self, artifact: ArtifactRecord, at: float) -> None:
        """Note what lies at a path, whatever the location is called there."""
        path = path_on_disk(artifact)
        known = None if path is None else self._written.get(path)
        if path is None or (known is not None and known.at > at):
            return
        self._serial += 1
        if artifact.is_folder:
            self._has_folders = True
        found = Written(at, artifact.id, artifact.hash, artifact.run_id, artifact.is_folder)
        self._written[path] = found
        self._note("written", path, *found)

    def _learn_change(self, uid: str, change: Change) -> None:
        """Take in what was said of a run, which may not be known yet itself."""
        if is_rejection(change):
            self._reject({uid: why_rejected(change)})
        for artifact_id, said in change.news.items():
            self._has_news = True
            known = self._news_of(artifact_id)
            self._news[artifact_id] = {**known, **said}
            self._note("news", artifact_id, encode(self._news[artifact_id]))

    def _learn_purge(self, event: PurgeEvent) -> None:
        """Forget runs that were removed from the record, and where their artifacts were."""
        uids, artifacts = set(event.runs), set(event.artifacts)
        self._reject(dict.fromkeys(uids, PURGED))
        for of_signature in self._candidates.values():
            for uid in uids & of_signature.keys():
                del of_signature[uid]
        for numbers in self._attempts.values():
            for number in [n for n, known in numbers.items() if known.uid in uids]:
                del numbers[number]
        self._recent.purge(uids)
        self._captured.purge(event.runs.values())
        self._note("purged_latest_schema", encode(list(event.runs.values())).decode())
        self._locations = {k: a for k, a in self._locations.items() if a.id not in artifacts}
        self._written = {p: w for p, w in self._written.items() if w.artifact not in artifacts}
        for table in ("candidate", "attempt", "recent", "refused"):
            self._note(f"purged_{table}", encode(list(uids)).decode())
        for table in ("location", "written", "news") if artifacts else ():
            self._note(f"purged_{table}", encode(list(artifacts)).decode())
        self._serial += 1

    def _reject(self, why: Mapping[str, str]) -> None:
        """Let these runs never be sources again."""
        for uid, reason in why.items():
            self._superseded.setdefault(uid, reason)
            self._note("superseded", uid, reason)
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
        found = self._all_of(signature)
        kept = [d for d in found if self._why_never(d.run.uid) is None]
        return sorted(kept, key=_recency, reverse=True)

    def passed_over(self, signature: str) -> list[PassedOver]:
        """Return the runs of a signature that can never be given back, and why; the latest few."""
        with self._lock:
            known = self._recent.refused(signature)
            found = [
                PassedOver(refused.run_id, self._why_never(uid) or refused.why)
                for uid, refused in known.items()
            ]
            for document in sorted(self._all_of(signature), key=_recency, reverse=True):
                why = None if document.run.uid in known else self._why_never(document.run.uid)
                if why is not None and len(found) < len(known) + _MOST_PASSED_OVER:
                    found.append(PassedOver(document.run.id, why))
            return found

    def _all_of(self, signature: str) -> list[RunDocument]:
        found = dict(self._candidates.get(signature, {}))
        rows = self._file.select("SELECT uid, body FROM candidate WHERE signature = ?", signature)
        for uid, body in rows:
            if uid not in found:
                found[uid] = decode_document(body)
        return list(found.values())

    def _why_never(self, uid: str) -> str | None:
        """Return why a run is never a source again, if it is not."""
        if uid in self._superseded:
            return self._superseded[uid]
        rows = self._file.select("SELECT why FROM superseded WHERE uid = ?", uid)
        return rows[0][0] if rows else None

    def recent_of(self, model: str) -> list[Earlier]:
        """Return the latest executed runs of a model that have ended, newest first."""
        with self._lock:
            return self._recent.of(model)

    def recent_document(self, model: str, uid: str) -> RunDocument | None:
        """Return one of them, without its outputs; its config where that is at hand."""
        with self._lock:
            return self._recent.document(model, uid)

    def schema_of_content(self, content: str) -> SchemaRecord | None:
        """Return the layout that a file of this content was seen to have."""
        with self._lock:
            return self._captured.of_content(content)

    def latest_schema(self, key: str, kind: str) -> LatestSchema | None:
        """Return what schema was captured last under a key, of files or of tables."""
        with self._lock:
            return self._captured.latest(key, kind)

    def layout(self, schema_id: str) -> SchemaRecord | None:
        """Return a captured layout by its id."""
        with self._lock:
            return self._captured.layout(schema_id)

    def located(self, location: Location) -> ArtifactRecord | None:
        """Return the latest recorded version at a location."""
        with self._lock:
            found = self._locations.get(location)
            if found is None:
                statement = "SELECT body FROM location WHERE place = ?"
                rows = self._file.select(statement, _place(location))
                found = msgspec.json.decode(rows[0][0], type=ArtifactRecord) if rows else None
            return found if found is None else self._with_news(found)

    def _with_news(self, artifact: ArtifactRecord) -> ArtifactRecord:
        """Return an artifact with what changes of runs said of it."""
        if self._has_news is None:
            self._has_news = bool(self._file.select("SELECT 1 FROM news LIMIT 1"))
        if not self._has_news:
            return artifact
        said = self._news_of(artifact.id)
        return replace(artifact, meta={**artifact.meta, **said}) if said else artifact

    def _news_of(self, artifact_id: str) -> dict[str, Any]:
        if artifact_id in self._news:
            return self._news[artifact_id]
        rows = self._file.select("SELECT meta FROM news WHERE artifact = ?", artifact_id)
        return msgspec.json.decode(rows[0][0], type=dict[str, Any]) if rows else {}

    def overwritten(self, artifact: ArtifactRecord) -> Overwritten | None:
        """Return what was recorded later where an artifact lies, in it or around it."""
        path = path_on_disk(artifact)
        if path is None:
            return None
        with self._lock:
            if self._untouched.get(artifact.id) == self._serial:
                return None
            found = self._later(artifact, path)
            if found is None:
                if len(self._untouched) >= _MEMORY_LIMIT:
                    self._untouched.clear()
                self._untouched[artifact.id] = self._serial
            return found

    def _later(self, artifact: ArtifactRecord, path: str) -> Overwritten | None:
        rows = self._file.select(f"SELECT {_WRITTEN} FROM written WHERE path = ?", path)
        known = [Written(*row) for row in rows]
        if path in self._written:  # another process may have written a newer one to the file
            known.append(self._written[path])
        same = max(known, key=lambda found: found.at, default=None)
        if same is not None and same.artifact != artifact.id and same.digest != artifact.hash:
            # A run that only read other bytes there does not tell what is there now.
            return Overwritten(same.run_id, certain=same.run_id is not None)
        other = (self._inside(artifact, path) if artifact.is_folder else None) or self._around(
            artifact, path
        )
        return None if other is None else Overwritten(other.run_id, certain=False)

    def _inside(self, artifact: ArtifactRecord, path: str) -> Written | None:
        """Return something that another run recorded in a folder later."""
        first = f"{path}/"
        for place, found in self._written.items():
            if place.startswith(first) and _is_news(found, artifact):
                return found
        return self._stored_news(
            artifact,
            "path > ? AND path < ?",
            first,
            f"{path}0",  # the character after the slash
        )

    def _around(self, artifact: ArtifactRecord, path: str) -> Written | None:
        """Return a folder around a path that another run recorded later."""
        if self._has_folders is None:
            statement = "SELECT 1 FROM written WHERE is_folder LIMIT 1"
            self._has_folders = bool(self._file.select(statement))
        if not self._has_folders:
            return None
        above = list(_above(path))
        for place in above:
            found = self._written.get(place)
            if found is not None and found.is_folder and _is_news(found, artifact):
                return found
        marks = ", ".join("?" * len(above))
        return self._stored_news(artifact, f"is_folder AND path IN ({marks})", *above)

    def _stored_news(self, artifact: ArtifactRecord, where: str, *values: str) -> Written | None:
        rows = self._file.select(
            f"SELECT {_WRITTEN} FROM written WHERE {where} AND at > ? AND run_id IS NOT ? LIMIT 1",
            *values,
            artifact.created_at.timestamp(),
            artifact.run_id,
        )
        return Written(*rows[0]) if rows else None

    def attempts(self, requested_id: str) -> dict[int, Attempt]:
        """Return the runs that asked for an id, by number."""
        with self._lock:
            statement = "SELECT attempt, uid, status, at FROM attempt WHERE requested_id = ?"
            found = {row[0]: Attempt(*row) for row in self._file.select(statement, requested_id)}
            for number, learned in self._attempts.get(requested_id, {}).items():
                stored = found.get(number)
                if stored is None or stored.uid != learned.uid or learned.at >= stored.at:
                    found[number] = learned
            return found

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
            self._serial += 1  # what others wrote to the file may be news
            self._has_folders = self._has_folders or None
            self._has_news = self._has_news or None

    def persist(
        self, generation: int | None = None, gone: Iterable[str] = (), wait: float = 0.5
    ) -> bool:
        """Write what was learned; return whether it could be written.

        Parameters
        ----------
        generation : int, optional
            Merge up to which everything is known from now on.
        gone : iterable of str
            Journals that were removed.
        wait : float
            Seconds to wait for another process that writes.
        """
        with self._lock:
            if generation is not None:
                self._generation = generation
            removed = list(gone)
            if not (self._unwritten or self._moved or removed or generation is not None):
                return True
            written = self._file.write(
                lambda progress: self._lines(progress, generation, removed), wait
            )
            if written:
                self._forget()
                self._moved.clear()
            return written

    def rebuild(
        self,
        documents: Callable[[], Iterator[RunDocument]],
        positions: Mapping[str, int],
        generation: int,
        rejected: Mapping[str, str] = MappingProxyType({}),
        schemas: Callable[[], Iterator[Note]] = lambda: iter(()),
    ) -> None:
        """Forget everything and learn these runs instead.

        Parameters
        ----------
        documents : callable
            Returns the runs.
        positions : mapping of str to int
            How far each journal is covered by them.
        generation : int
            Merge up to which everything is known then.
        rejected : mapping of str to str
            Why runs that may yet be met are never sources again, by internal id.
        schemas : callable
            Returns what is known of captured schemas.
        """
        with self._lock:
            self._forget()
            self._found.clear()
            self.reject(rejected)
            self._positions, self._moved = dict(positions), set(positions)
            self._generation = generation
            if self._file.rewrite(self._pieces(documents(), schemas(), generation)):
                self._moved.clear()
                return
            for document in documents():  # the file cannot be written, so memory has to do
                self._learn_document(document)
            for note in schemas():
                self._captured.take(note)

    def _pieces(
        self, documents: Iterator[RunDocument], schemas: Iterator[Note], generation: int
    ) -> Iterator[Lines]:
        while batch := list(islice(documents, _MEMORY_LIMIT)):
            for document in batch:
                self._learn_document(document)
            yield self._lines({})
            self._forget()
        while noted := list(islice(schemas, _MEMORY_LIMIT)):
            for what, values in noted:
                self._note(what, *values)
            yield self._lines({})
            self._forget()
        yield self._lines({}, generation)

    def _lines(
        self, progress: Mapping[str, int], generation: int | None = None, gone: Iterable[str] = ()
    ) -> Lines:
        """Return what the file lacks, given how far it knows each journal."""
        lines: Lines = {what: [] for what in WRITE}
        for token, notes in self._unwritten.items():
            # Where many processes work, each reads the records of all; one of them writes them.
            if token and progress.get(token, 0) >= self._positions.get(token, 0):
                continue
            for what, values in notes:
                lines[what].append(tuple(map(_cell, values)))
        lines |= self._recent.lines()
        lines["progress"] = [(token, self._positions[token]) for token in self._moved]
        lines["gone"] = [(token,) for token in gone]
        lines["meta"] = [] if generation is None else [("generation", str(generation))]
        return lines

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


def path_on_disk(artifact: ArtifactRecord) -> str | None:
    """Return the path that an artifact was written to, with its part; ``None`` if unknown.

    One file has one such path, however its location is called by trackers with other run folders
    and mounts. Where it was reached through symbolic links, the record says so.
    """
    uri, meta = artifact.container_uri, artifact.meta
    path = meta.get("real_path")
    if not isinstance(path, str):
        scheme, separator, relative = uri.partition("://")
        if separator:
            root = meta.get("mount_root")
            path = f"{root}/{relative}" if isinstance(root, str) and scheme != "file" else None
        else:
            path = f"{artifact.root}/{uri[2:]}" if artifact.root and uri[:2] == "./" else uri
    if path is None or (artifact.table_path is None and artifact.array_path is None):
        return path
    return "\0".join((path, artifact.table_path or "", artifact.array_path or ""))


def _is_news(found: Written, artifact: ArtifactRecord) -> bool:
    return found.at > artifact.created_at.timestamp() and found.run_id != artifact.run_id


def _above(path: str) -> Iterator[str]:
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _place(location: Location) -> str:
    return "\0".join(part or "" for part in location)


def _cell(value: Any) -> Any:
    return encode(value) if isinstance(value, RunDocument | ArtifactRecord) else value


def _given_back(document: RunDocument) -> RunDocument:
    """Return what a hit needs of its source."""
    extra = replace(document.extra, code_parts={}, changes=(), environment=NULL, schemas=())
    return replace(document, config=NULL, cached_run=NULL, facet=None, extra=extra)


def _recency(document: RunDocument) -> tuple[float, str]:
    return (document.run.created_at.timestamp(), document.run.uid)
