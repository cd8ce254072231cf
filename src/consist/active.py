"""What is running: on this thread or task, in this tracker, in this process.

A run belongs to the thread or task that began it, and to whatever that one calls. Code elsewhere
(a step's own worker threads, a callback of a framework) finds the run if it is the only open one
of the tracker; otherwise it is told which ones could be meant.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from consist.errors import NoActiveRun
from consist.models.record import (
    EXPLANATION,
    NULL,
    ArtifactFacetRecord,
    ArtifactRecord,
    Direction,
    Extra,
    Raw,
    RunDocument,
    RunRecord,
    replace,
)

_OF_A_HIT = frozenset({"cache_hit", "cache_source", "cache_match"})

Place = tuple[str, str, str | None, str | None]
Listener = Callable[[ArtifactRecord, Direction], None]


class ActiveRunCacheOptions(msgspec.Struct, frozen=True):
    """How the active run treats cached results.

    Attributes
    ----------
    cache_mode, cache_hydration, validate_cached_outputs : str
        As in :class:`~consist.types.CacheOptions`.
    """

    cache_mode: str = "reuse"
    cache_hydration: str = "metadata"
    validate_cached_outputs: str = "lazy"


@dataclass(eq=False)
class ActiveRun:
    """A run between its beginning and its end.

    Attributes
    ----------
    workspace : Workspace
        The tracker it belongs to.
    record : RunRecord
        Its row as known so far.
    inputs, outputs : dict
        Logged artifacts by id, in the order they were logged.
    named : dict
        Input artifacts by the name they were given, then by key.
    config, facet, extra
        What else its document will hold.
    hit : RunDocument or None
        The run that is being given back, as long as nothing contradicts it.
    executed : dict
        What ``extra`` holds if the run executes, and not if it is a hit.
    persisted : bool
        Whether anything is written; not in cache mode ``readonly``.
    is_header : bool
        Whether it is the header of a scenario, under which other runs are active.
    is_adopted : bool
        Whether its document is recorded elsewhere, so that only what is logged is written here.
    is_manual : bool
        Whether ``end_run`` ends it.
    listeners : list of callable
        Told of every logged artifact; a scenario's coupler is one.
    confirmed : set of str
        Ids of cached outputs that the code of a hit logged again.
    sources : tuple of str or None
        Source files that its identity was taken from; None if that is the whole project.
    steps : list of dict
        What a header knows of the runs that ended under it.
    facets : dict
        Facets that the run gave to artifacts, by artifact id.
    news : dict
        What the run said of artifacts that were recorded before, by artifact id.
    """

    workspace: Any
    record: RunRecord
    inputs: dict[str, ArtifactRecord] = field(default_factory=dict[str, ArtifactRecord])
    outputs: dict[str, ArtifactRecord] = field(default_factory=dict[str, ArtifactRecord])
    named: dict[str, ArtifactRecord] = field(default_factory=dict[str, ArtifactRecord])
    config: Raw = field(default_factory=lambda: NULL)
    facet: dict[str, Any] | None = None
    extra: Extra = field(default_factory=Extra)
    hit: RunDocument | None = None
    executed: dict[str, Any] = field(default_factory=dict[str, Any])
    persisted: bool = True
    is_header: bool = False
    is_adopted: bool = False
    is_manual: bool = False
    is_open: bool = True
    cache_options: ActiveRunCacheOptions = field(default_factory=ActiveRunCacheOptions)
    allow_external: bool = False
    listeners: list[Listener] = field(default_factory=list[Listener])
    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    sources: tuple[str, ...] | None = None
    confirmed: set[str] = field(default_factory=set[str])
    facets: dict[str, ArtifactFacetRecord] = field(default_factory=dict[str, ArtifactFacetRecord])
    news: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    artifact_dir: Path | None = None
    written_size: int = 0
    _given_back: dict[str, dict[str, list[ArtifactRecord]]] = field(
        default_factory=dict[str, dict[str, list[ArtifactRecord]]]
    )
    _places: dict[Place, str] = field(default_factory=dict[Place, str])
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def run_id(self) -> str:
        """The recorded id."""
        return self.record.id

    def document(self) -> RunDocument:
        """Return everything that is known of the run now."""
        names = {a.id: name for name, a in self.named.items() if name != a.key}
        extra = self.extra
        if names or self.facets or self.news:
            extra = replace(
                extra, input_names=names, artifact_facets=dict(self.facets), news=dict(self.news)
            )
        return RunDocument(
            run=self.record,
            inputs=tuple(self.inputs.values()),
            outputs=tuple(self.outputs.values()),
            config=self.config,
            facet=self.facet,
            extra=extra,
        )

    def given_back(self, direction: Direction) -> dict[str, list[ArtifactRecord]]:
        """Return what a hit gives back, by id and by key."""
        if direction not in self._given_back:
            found: dict[str, list[ArtifactRecord]] = {}
            hit = self.hit
            known = () if hit is None else hit.inputs if direction == "input" else hit.outputs
            for artifact in known:
                found.setdefault(artifact.id, []).append(artifact)
                found.setdefault(artifact.key, []).append(artifact)
            self._given_back[direction] = found
        return self._given_back[direction]

    def demote(self) -> None:
        """Turn a hit into an executing run, because its code did something else this time."""
        hit, self.hit = self.hit, None
        if hit is None:
            return
        for artifact in hit.outputs:
            if artifact.id not in self.confirmed:
                self.outputs.pop(artifact.id, None)
        meta = {k: v for k, v in self.record.meta.items() if k not in _OF_A_HIT}
        meta["demoted_from"] = hit.run.id
        meta[EXPLANATION] = {
            "status": "miss",
            "reason": "demoted",
            "candidate_run_id": hit.run.id,
            "matched_components": ["config", "inputs", "code"],
            "mismatched_components": [],
            "details": {},
            "confidence": "high",
        }
        self.record = replace(self.record, meta=meta)
        self.extra = replace(self.extra, **self.executed)

    def logged_at(self, location: Place) -> ArtifactRecord | None:
        """Return what this run logged last at a location."""
        artifact_id = self._places.get(location, "")
        return self.outputs.get(artifact_id) or self.inputs.get(artifact_id)

    def tell(self, artifact: ArtifactRecord, said: dict[str, Any]) -> None:
        """Let an artifact that was recorded before be known by what was said of it.

        Parameters
        ----------
        artifact : ArtifactRecord
            As it is now.
        said : dict
            The metadata that are new in it.
        """
        with self.lock:
            self.news[artifact.id] = {**self.news.get(artifact.id, {}), **said}
            for side in (self.inputs, self.outputs):
                if artifact.id in side:
                    side[artifact.id] = artifact
            for name, known in self.named.items():
                if known.id == artifact.id:
                    self.named[name] = artifact

    def add(self, artifact: ArtifactRecord, direction: Direction, name: str | None = None) -> None:
        """Take in a logged artifact, under another name than its key if asked; tell listeners."""
        with self.lock:
            if direction == "input":
                self.inputs[artifact.id] = artifact
                self.named.setdefault(name or artifact.key, artifact)
            else:
                self.outputs[artifact.id] = artifact
            self._places[artifact.location] = artifact.id
        for listener in list(self.listeners):
            listener(artifact, direction)


_stack: ContextVar[tuple[ActiveRun, ...]] = ContextVar("consist_active_runs", default=())
_process: dict[int, ActiveRun] = {}


class ActiveRuns:
    """The open runs of one tracker."""

    def __init__(self) -> None:
        self._open: dict[int, ActiveRun] = {}
        self._lock = threading.Lock()

    def push(self, run: ActiveRun) -> None:
        """Make ``run`` the active one of this thread or task."""
        with self._lock:
            self._open[id(run)] = run
            _process[id(run)] = run
        _stack.set((*_alive(), run))

    def pop(self, run: ActiveRun) -> None:
        """Take ``run`` out, wherever it was begun."""
        run.is_open = False
        with self._lock:
            self._open.pop(id(run), None)
            _process.pop(id(run), None)
        _stack.set(tuple(other for other in _stack.get() if other is not run))

    @contextmanager
    def inside(self, run: ActiveRun) -> Generator[None]:
        """Let the block belong to ``run``, wherever it stands."""
        token = _stack.set((*_alive(), run))
        try:
            yield
        finally:
            _stack.reset(token)

    def abandon(self) -> None:
        """Put every open run out of reach; nobody will end them any more."""
        for run in self:
            self.pop(run)

    def begin_anew(self) -> None:
        """Forget in a forked child what the parent runs; a lock may be held there for ever."""
        self._lock = threading.Lock()
        self.abandon()

    def own(self) -> ActiveRun | None:
        """Return the innermost run of this tracker on this thread or task."""
        for run in reversed(_stack.get()):
            if run.is_open and id(run) in self._open:
                return run
        return None

    def find(self) -> ActiveRun | None:
        """Return the run that code here belongs to, or ``None`` if there is no telling."""
        own = self.own()
        if own is not None:
            return own
        candidates = self._candidates()
        return candidates[0] if len(candidates) == 1 else None

    def require(self, action: str) -> ActiveRun:
        """Return the run that code here belongs to.

        Raises
        ------
        NoActiveRun
            Naming the candidates, if several runs could be meant.
        """
        found = self.find()
        if found is None:
            raise NoActiveRun(action, tuple(run.run_id for run in self._candidates()))
        return found

    def by_id(self, run_id: str) -> ActiveRun | None:
        """Return the open run with this recorded or asked-for id; first those of this thread."""
        with self._lock:
            runs = list(self._open.values())
        own = (run for run in reversed(_stack.get()) if run.is_open and id(run) in self._open)
        for run in (*own, *runs):
            if run_id in {run.record.id, run.record.requested_id}:
                return run
        return None

    def __iter__(self) -> Iterator[ActiveRun]:
        with self._lock:
            return iter(list(self._open.values()))

    def _candidates(self) -> list[ActiveRun]:
        with self._lock:
            runs = list(self._open.values())
        steps = [run for run in runs if not run.is_header]
        return steps or runs


def _alive() -> tuple[ActiveRun, ...]:
    return tuple(run for run in _stack.get() if run.is_open)


def own_innermost() -> ActiveRun | None:
    """Return the innermost run of any tracker on this thread or task."""
    for run in reversed(_stack.get()):
        if run.is_open:
            return run
    return None


def innermost() -> ActiveRun | None:
    """Return the innermost run of any tracker that code here belongs to."""
    own = own_innermost()
    if own is not None:
        return own
    open_runs = list(_process.values())
    steps = [run for run in open_runs if not run.is_header] or open_runs
    return steps[0] if len(steps) == 1 else None
