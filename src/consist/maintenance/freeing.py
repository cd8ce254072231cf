"""Which outputs can be freed because they can be made again, and what that costs."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from consist.errors import UnknownKey, hint
from consist.maintenance.disk import size_of_tree
from consist.maintenance.places import Bounds, Claimed, place_of, store_of
from consist.models.record import ArtifactRecord
from consist.progress import counting
from consist.store.maintenance import as_record

if TYPE_CHECKING:
    from consist.workspace import Workspace

_PIECE = 10_000


class Freeable(msgspec.Struct, kw_only=True):
    """The outputs of one run that can be freed, and what it takes to make them again.

    Attributes
    ----------
    run_id, model : str
        The run that made them.
    artifact_ids, keys, paths : list of str
        What would be freed.
    bytes : int
        How much that is.
    seconds : float
        How long the run took.
    upstream_run_ids : list of str
        Runs that have to be done again first, because their outputs are gone as well.
    seconds_with_upstream : float
        How long all of these took.
    """

    run_id: str
    model: str
    artifact_ids: list[str] = []
    keys: list[str] = []
    paths: list[str] = []
    bytes: int = 0
    seconds: float = 0.0
    upstream_run_ids: list[str] = []
    seconds_with_upstream: float = 0.0


class Collection(msgspec.Struct, kw_only=True):
    """What was freed, or would be.

    Attributes
    ----------
    runs : list of Freeable
        By run, those first that save most bytes for each second of doing them again.
    bytes_freed, files_freed : int
        Together.
    bytes_present : int
        What outputs of recorded runs took before.
    kept : dict
        How many outputs stay, by reason.
    failed : dict
        Paths that could not be removed, with the reason.
    executed : bool
        Whether anything was removed.
    """

    runs: list[Freeable] = []
    bytes_freed: int = 0
    files_freed: int = 0
    bytes_present: int = 0
    kept: dict[str, int] = {}
    failed: dict[str, str] = {}
    executed: bool = False


class _Run(msgspec.Struct):
    id: str
    requested_id: str
    attempt: int
    parent: str | None
    model: str
    status: str
    tags: list[str]
    started_at: datetime
    ended_at: datetime | None
    is_hit: bool

    @property
    def seconds(self) -> float:
        return 0.0 if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


class _Output(msgspec.Struct):
    record: ArtifactRecord
    path: str


class Plan:
    """Which outputs can be freed, and what it costs to make them again."""

    def __init__(self, ws: Workspace, *, keep_tag: str, allow_external: bool) -> None:
        self.ws, self.keep_tag, self.allow_external = ws, keep_tag, allow_external
        self.bounds = Bounds(ws, store_of(ws, "collect_garbage", changes=False))
        self.kept: Counter[str] = Counter()
        with ws.store.ask() as connection:
            self.runs = _runs(connection)
            self.links = _links(connection, self.runs)
        self.children: dict[str, list[str]] = defaultdict(list)
        for run in self.runs.values():
            if run.parent is not None:
                self.children[run.parent].append(run.id)
        tagged = (run.id for run in self.runs.values() if keep_tag in run.tags)
        self.tagged = self._with_steps(tagged)
        self.places: dict[str, str] = {}
        self.producer: dict[str, str | None] = {}
        self.gone: set[str] = set()
        self._made: dict[str, tuple[frozenset[str], str | None]] = {}

    def _with_steps(self, run_ids: Iterable[str]) -> set[str]:
        """Return runs and all runs below them."""
        found, pending = set[str](), list(run_ids)
        while pending:
            run_id = pending.pop()
            if run_id not in found:
                found.add(run_id)
                pending.extend(self.children.get(run_id, ()))
        return found

    def wanted_runs(self, scenarios: Sequence[str], keep_latest: int) -> set[str]:
        """Return the runs whose outputs are asked for."""
        wanted = {run.id for run in self.runs.values() if run.status == "completed"}
        if scenarios:
            wanted &= self._below(scenarios, keep_latest)
        elif keep_latest:
            by_model: dict[str, list[_Run]] = defaultdict(list)
            for run in self.runs.values():
                if run.id in wanted and not run.is_hit:
                    by_model[run.model].append(run)
            for runs in by_model.values():
                runs.sort(key=lambda run: (run.started_at, run.id))
                wanted -= {run.id for run in runs[-keep_latest:]}
        return wanted

    def _below(self, names: Sequence[str], keep_latest: int) -> set[str]:
        attempts: dict[str, list[_Run]] = defaultdict(list)
        for run in self.runs.values():
            attempts[run.requested_id].append(run)
        found = set[str]()
        for name in names:
            runs = sorted(attempts.get(name, ()), key=lambda run: run.attempt)
            if not runs:
                raise hint(
                    UnknownKey(name, "the database", ()), "consist scenarios lists their names"
                )
            meant = runs[:-keep_latest] if keep_latest else runs
            found |= self._with_steps(run.id for run in meant)
        return found

    # ------------------------------------------------------------ outputs

    def choose(self, wanted: set[str], age: timedelta | None, limit: int | None) -> Collection:
        """Return what is to be freed.

        Parameters
        ----------
        wanted : set of str
            Runs whose outputs are asked for.
        age : timedelta, optional
            How long no run may have had to do with them.
        limit : int, optional
            Bytes that all outputs may take.
        """
        self.before = None if age is None else datetime.now(UTC) - age
        self.wanted = wanted
        candidates, others = self._outputs(wanted)
        shared = Counter((output.path, output.record.hash) for output in candidates)
        others += [place for place, count in shared.items() if count > 1]
        others += [(o.path, o.record.hash) for o in candidates if self._is_protected(o.record)]
        claimed = Claimed(others)
        sizes = {output.record.id: size_of_tree(output.path) for output in candidates}
        by_run: dict[str, list[_Output]] = defaultdict(list)
        with counting("looking", len(candidates), shown=self.ws.settings.progress) as show:
            for number, output in enumerate(candidates):
                show(number, "")
                reason = self._objection(output, claimed)
                if reason is None:
                    by_run[str(output.record.run_id)].append(output)
                else:
                    self.kept[reason] += 1
        found = [self._freeable(run_id, outputs, sizes) for run_id, outputs in by_run.items()]
        found = [item for item in found if item is not None]
        found.sort(key=lambda item: (-item.bytes / max(item.seconds, 1e-3), item.run_id))
        if limit is not None:
            found = self._down_to(found, limit)
        self._cost(found)
        return Collection(
            runs=found,
            bytes_freed=sum(item.bytes for item in found),
            files_freed=sum(len(item.paths) for item in found),
            bytes_present=self.present,
            kept=dict(self.kept),
        )

    def _outputs(self, wanted: set[str]) -> tuple[list[_Output], list[tuple[str, str | None]]]:
        """Return the outputs of wanted runs that are there, and the places of everything else."""
        candidates: list[_Output] = []
        others: list[tuple[str, str | None]] = []
        seen = set[str]()
        self.present = 0
        for record in self._artifacts():
            path = place_of(self.ws, record)
            self.places[record.id], self.producer[record.id] = path, record.run_id
            there = os.path.lexists(path)
            if not there:
                self.gone.add(record.id)
            if there and record.run_id is not None and path not in seen:
                seen.add(path)
                self.present += size_of_tree(path)
            if not there:
                continue
            if record.run_id not in wanted:
                others.append((path, record.hash))
            elif record.table_path is None and record.array_path is None:
                candidates.append(_Output(record, path))  # parts go with their containers
        return candidates, others

    def _artifacts(self) -> Iterable[ArtifactRecord]:
        with self.ws.store.ask() as connection:
            found = connection.execute("SELECT * FROM main.artifact ORDER BY created_at DESC, id")
            names = [column[0] for column in found.description or ()]
            while rows := found.fetchmany(_PIECE):
                for row in rows:
                    yield as_record(dict(zip(names, row, strict=True)))

    def _objection(self, output: _Output, claimed: Claimed) -> str | None:
        """Return why an output stays, or ``None`` if it may go."""
        return self._wanted_by(output.record) or self._stays_there(output, claimed)

    def _wanted_by(self, record: ArtifactRecord) -> str | None:
        """Return who still wants an output."""
        if self._is_tagged(record):
            return f"tagged {self.keep_tag}"
        if record.id in self.links.busy:
            return "a running run uses it"
        if self.before is not None and self._used_at(record) >= self.before:
            return "it was used lately"
        if not self.wanted.issuperset(self.links.holders.get(record.id, ())):
            return "a run that is not meant was given it back"
        return None

    def _stays_there(self, output: _Output, claimed: Claimed) -> str | None:
        """Return why the bytes at a place may not be removed."""
        record, path = output.record, output.path
        objection = self.bounds.objection(path)
        outside = "lies outside the run folders and mounts"
        if objection is not None and not (objection == outside and self.allow_external):
            return objection
        if claimed.holds(path, record.hash):
            return "another artifact refers to it"
        if record.hash is None:
            return "it was recorded without a digest"
        if not self.ws.files.is_same(path, record.hash):
            return "it holds other bytes than were recorded"
        return None

    def _is_protected(self, record: ArtifactRecord) -> bool:
        return record.id in self.links.busy or self._is_tagged(record)

    def _is_tagged(self, record: ArtifactRecord) -> bool:
        tags = record.meta.get("tags")
        own = isinstance(tags, list | tuple) and self.keep_tag in tags
        return own or not self.tagged.isdisjoint(self.links.holders.get(record.id, ()))

    def _used_at(self, record: ArtifactRecord) -> datetime:
        return self.links.used_at.get(record.id, record.created_at)

    def _freeable(
        self, run_id: str, outputs: list[_Output], sizes: dict[str, int]
    ) -> Freeable | None:
        _, obstacle = self._remade(run_id, set())
        if obstacle is not None:
            self.kept[obstacle] += len(outputs)
            return None
        run = self.runs[run_id]
        item = Freeable(run_id=run_id, model=run.model, seconds=run.seconds)
        item.artifact_ids = [output.record.id for output in outputs]
        item.keys = [output.record.key for output in outputs]
        item.paths = list(dict.fromkeys(output.path for output in outputs))
        by_path = {output.path: sizes[output.record.id] for output in outputs}
        item.bytes = sum(by_path.values())
        return item

    def _down_to(self, found: list[Freeable], limit: int) -> list[Freeable]:
        left, chosen = self.present, list[Freeable]()
        for item in found:
            if left <= limit:
                self.kept["the size is met without it"] += len(item.artifact_ids)
                continue
            chosen.append(item)
            left -= item.bytes
        return chosen

    # ------------------------------------------------------------ making again

    def _cost(self, chosen: list[Freeable]) -> None:
        """Say what it takes to make everything again, once all of it is gone."""
        self._made.clear()
        freed = {artifact_id for item in chosen for artifact_id in item.artifact_ids}
        for item in chosen:
            runs, _ = self._remade(item.run_id, freed)
            item.upstream_run_ids = sorted(runs - {item.run_id})
            item.seconds_with_upstream = sum(self.runs[run_id].seconds for run_id in runs)

    def _remade(self, run_id: str, freed: set[str]) -> tuple[frozenset[str], str | None]:
        """Return the runs that have to be done again for one, and what makes that impossible."""
        order, pending = list[str](), [run_id]
        entered = set[str]()
        while pending:  # children before parents, without recursion: chains may be long
            current = pending.pop()
            if current in entered or current in self._made:
                continue
            entered.add(current)
            order.append(current)
            pending.extend(self._needed(current, freed))
        for current in reversed(order):
            self._made[current] = self._sum(current, freed)
        return self._made[run_id]

    def _needed(self, run_id: str, freed: set[str]) -> Iterable[str]:
        for artifact_id in self.links.inputs.get(run_id, ()):
            producer = self.producer.get(artifact_id)
            absent = artifact_id in self.gone or artifact_id in freed
            if absent and producer is not None and producer in self.runs and producer != run_id:
                yield producer

    def _sum(self, run_id: str, freed: set[str]) -> tuple[frozenset[str], str | None]:
        runs, obstacle = {run_id}, None
        for artifact_id in self.links.inputs.get(run_id, ()):
            if artifact_id in self.gone and self.producer.get(artifact_id) not in self.runs:
                obstacle = "an input that it was made from is gone, and nothing makes that again"
        for producer in self._needed(run_id, freed):
            above, problem = self._made.get(producer, (frozenset[str](), None))
            runs |= above
            obstacle = obstacle or problem
        return frozenset(runs), obstacle


def _runs(connection: Any) -> dict[str, _Run]:
    rows = connection.execute(
        "SELECT id, requested_id, attempt, parent_run_id, model_name, status, tags, started_at,"
        " ended_at, coalesce(json_extract_string(meta, '$.cache_hit') = 'true', false)"
        " FROM main.run"
    ).fetchall()
    names = _Run.__struct_fields__
    found: dict[str, _Run] = {}
    for row in rows:
        values = dict(zip(names, row, strict=True))
        values["tags"] = msgspec.json.decode(values["tags"]) if values["tags"] else []
        found[row[0]] = _Run(**values)
    return found


class _Links(msgspec.Struct):
    """Which runs an artifact has to do with.

    Attributes
    ----------
    inputs : dict
        Artifacts that a run used, by its id.
    holders : dict
        Runs that put an artifact out or were given it back, by its id.
    busy : set of str
        Artifacts of running runs.
    used_at : dict
        When the last run ended that had to do with an artifact.
    """

    inputs: dict[str, list[str]] = {}
    holders: dict[str, list[str]] = {}
    busy: set[str] = set()
    used_at: dict[str, datetime] = {}


def _links(connection: Any, runs: dict[str, _Run]) -> _Links:
    links = _Links()
    found = connection.execute("SELECT run_id, artifact_id, direction FROM main.run_artifact_link")
    while rows := found.fetchmany(_PIECE):
        for run_id, artifact_id, direction in rows:
            if direction == "input":
                links.inputs.setdefault(run_id, []).append(artifact_id)
            else:
                links.holders.setdefault(artifact_id, []).append(run_id)
            run = runs.get(run_id)
            if run is None:
                continue
            if run.status == "running":
                links.busy.add(artifact_id)
            elif run.ended_at is not None:
                last = links.used_at.get(artifact_id, run.ended_at)
                links.used_at[artifact_id] = max(last, run.ended_at)
    return links
