"""What is running: on this thread or task, in this tracker, in this process.

A run belongs to the thread or task that began it, and to whatever that one calls. Code elsewhere
(a step's own worker threads, a callback of a framework) finds the run if it is the only open one
of the tracker; otherwise it is told which ones could be meant. A run belongs to one process: what
a forked child does to its copy of a run would be lost, and is refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from consist.errors import NoActiveRun, RunStateError, hint
from consist.models.record import (
    EXPLANATION,
    NULL,
    ArtifactFacetRecord,
    ArtifactRecord,
    Direction,
    Extra,
    ObservedSchema,
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
    schemas : list of ObservedSchema
        What schemas the run observed on artifacts.
    process : int
        Id of the process that began it.
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
    schemas: list[ObservedSchema] = field(default_factory=list[ObservedSchema])
    _layouts: set[str] = field(default_factory=set[str])
    artifact_dir: Path | None = None
    written_size: int = 0
    _given_back: dict[str, dict[str, list[ArtifactRecord]]] = field(
        default_factory=dict[str, dict[str, list[ArtifactRecord]]]
    )
    _places: dict[Place, str] = field(default_factory=dict[Place, str])
    lock: threading.RLock = field(default_factory=threading.RLock)
    process: int = field(default_factory=os.getpid)

    @property
    def run_id(self) -> str:
        """The recorded id."""
        return self.record.id

    @property
    def is_here(self) -> bool:
        """Whether this process began it, rather than one that it was forked from."""
        return self.process == os.getpid()

    def check_here(self, action: str) -> None:
        """Refuse what a forked child would do to its copy of a run.

        Raises
        ------
        RunStateError
        """
        if not self.is_here:
            problem = RunStateError(
                f"{action}: run {self.run_id!r} is active in another process, which this one was"
                " forked from"
            )
            raise hint(problem, "return paths from a worker process and log them in the step")

    def check_open(self, action: str) -> None:
        """Refuse what comes too late; called under the lock, since the end takes it, too.

        Raises
        ------
        NoActiveRun
        """
        if not self.is_open:
            raise hint(NoActiveRun(action), f"run {self.run_id!r} has ended in the meantime")

    def document(self) -> RunDocument:
        """Return everything that is known of the run now."""
        names = {a.id: name for name, a in self.named.items() if name != a.key}
        extra = self.extra
        if names or self.facets or self.news:
            extra = replace(
                extra, input_names=names, artifact_facets=dict(self.facets), news=dict(self.news)
            )
        if self.schemas:
            extra = replace(extra, schemas=tuple(self.schemas))
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

    def observe(self, observed: ObservedSchema) -> ObservedSchema:
        """Keep what schema an artifact has; return it as it is to be told.

        A layout that this run has told before is not told again.
        """
        with self.lock:
            known = observed.schema_id in self._layouts
            told = replace(observed, layout=None) if known else observed
            self._layouts.add(observed.schema_id)
            self.schemas.append(told)
            return told

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
# One lock, to be held over a fork; entered again where a finalizer ends a run meanwhile.
_lock = threading.RLock()


class ActiveRuns:
    """The open runs of one tracker."""

    def __init__(self) -> None:
        self._open: dict[int, ActiveRun] = {}

    def push(self, run: ActiveRun) -> None:
        """Make ``run`` the active one of this thread or task."""
        with _lock:
            self._open[id(run)] = run
            _process[id(run)] = run
        _stack.set((*_alive(), run))

    def pop(self, run: ActiveRun) -> None:
        """Take ``run`` out, wherever it was begun."""
        run.is_open = False
        with _lock:
            self._open.pop(id(run), None)
            _process.pop(id(run), None)
        _stack.set(_alive())

    @contextmanager
    def inside(self, run: ActiveRun) -> Generator[None]:
        """Let the block belong to ``run``, wherever it stands."""
        _stack.set((*_alive(), run))
        try:
            yield
        finally:  # not by a token: a generator may be closed in another context
            _stack.set(_without_last(run))

    def abandon(self) -> None:
        """Put every open run out of reach; nobody will end them any more."""
        for run in self:
            self.pop(run)

    def begin_anew(self) -> None:
        """Forget in a forked child what the parent runs."""
        self.abandon()

    def own(self) -> ActiveRun | None:
        """Return the innermost run of this tracker on this thread or task."""
        for run in reversed(_stack.get()):
            if run.is_open and id(run) in self._open:
                return run
        return None

    def guess(self) -> ActiveRun | None:
        """Return the run that code here belongs to, or ``None`` if there is no telling."""
        found = self.own() or _only(self._candidates())
        return found if found is not None and found.is_here else None

    def find(self, action: str) -> ActiveRun | None:
        """Return the run that code here belongs to, or ``None`` if none is open.

        Raises
        ------
        NoActiveRun
            Naming the candidates, if several runs could be meant.
        RunStateError
            If it is the run of another process.
        """
        found = self.own()
        if found is None:
            candidates = self._candidates()
            if len(candidates) > 1:
                raise _ambiguous(action, candidates)
            found = _only(candidates)
        if found is not None:
            found.check_here(action)
        return found

    def require(self, action: str) -> ActiveRun:
        """Return the run that code here belongs to.

        Raises
        ------
        NoActiveRun
            If there is none, or naming the candidates, if several runs could be meant.
        RunStateError
            If it is the run of another process.
        """
        found = self.find(action)
        if found is None:
            raise NoActiveRun(action)
        return found

    def to_end(self) -> ActiveRun | None:
        """Return the run that ``end_run`` means: one that was begun by hand, if there is one.

        Raises
        ------
        NoActiveRun
            Naming the candidates, if several runs could be meant.
        RunStateError
            If it is the run of another process.
        """
        own = self.own()
        if own is None or own.is_header:
            manual = [run for run in self if run.is_manual and run.is_here]
            if len(manual) > 1:
                problem = NoActiveRun("end_run", tuple(run.run_id for run in manual))
                raise hint(problem, "say which one: end_run(run_id=...)")
            if manual:
                return manual[0]
        return self.find("end_run")

    def by_id(self, run_id: str) -> ActiveRun | None:
        """Return the open run with this recorded or asked-for id; first those of this thread."""
        own = (run for run in reversed(_stack.get()) if run.is_open and id(run) in self._open)
        for run in (*own, *self):
            if run_id in {run.record.id, run.record.requested_id}:
                return run
        return None

    def __iter__(self) -> Iterator[ActiveRun]:
        with _lock:
            return iter(list(self._open.values()))

    def _candidates(self) -> list[ActiveRun]:
        return _could_be_meant(list(self))


def _could_be_meant(runs: list[ActiveRun]) -> list[ActiveRun]:
    """Return the open runs that code elsewhere could mean; a header only where nothing else is."""
    here = [run for run in runs if run.is_here] or runs
    return [run for run in here if not run.is_header] or here


def _only(runs: list[ActiveRun]) -> ActiveRun | None:
    return runs[0] if len(runs) == 1 else None


def _ambiguous(action: str, candidates: list[ActiveRun]) -> NoActiveRun:
    problem = NoActiveRun(action, tuple(run.run_id for run in candidates))
    return hint(
        problem,
        "on a thread of your own, use the context of the run (inject_context=True), or start the"
        " thread's work with contextvars.copy_context().run",
    )


def _alive() -> tuple[ActiveRun, ...]:
    return tuple(run for run in _stack.get() if run.is_open)


def _without_last(run: ActiveRun) -> tuple[ActiveRun, ...]:
    """Return the stack of this context without the innermost mention of a run."""
    stack = _alive()
    for at in reversed(range(len(stack))):
        if stack[at] is run:
            return stack[:at] + stack[at + 1 :]
    return stack


def own_innermost() -> ActiveRun | None:
    """Return the innermost run of any tracker on this thread or task."""
    for run in reversed(_stack.get()):
        if run.is_open:
            return run
    return None


def _meant_anywhere() -> list[ActiveRun]:
    with _lock:
        runs = list(_process.values())
    return _could_be_meant(runs)


def innermost() -> ActiveRun | None:
    """Return the innermost run of any tracker that code here belongs to."""
    return own_innermost() or _only(_meant_anywhere())


def workspace_in_reach() -> Any:
    """Return the tracker of the innermost run, or the one that all open runs share, or ``None``."""
    own = own_innermost()
    if own is not None:
        return own.workspace
    found = {id(run.workspace): run.workspace for run in _meant_anywhere()}
    return next(iter(found.values())) if len(found) == 1 else None


# ---------------------------------------------------------------- forks


def _begin_anew() -> None:
    """Let go, in a forked child, of what other threads of the parent may have held."""
    _lock.release()
    for run in _process.values():
        run.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_anew
    )
