"""Free the bytes of outputs that can be made again; what is known of them stays."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from consist.errors import UnknownKey, UsageError, hint
from consist.maintenance.disk import size_of_tree
from consist.maintenance.marks import mark
from consist.maintenance.places import Bounds, Claimed, place_of, store_of
from consist.maintenance.purge import by_whom
from consist.models.record import ArtifactRecord
from consist.progress import counting
from consist.store.maintenance import as_record

if TYPE_CHECKING:
    from consist.workspace import Workspace

FREED = "freed"
"""Metadata of an artifact whose bytes were freed: when, by whom and how many."""

_PIECE = 10_000
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


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


def collect_garbage(
    ws: Workspace,
    *,
    older_than: str | timedelta | None = None,
    keep_size: str | int | None = None,
    scenarios: Sequence[str] = (),
    keep_latest: int = 0,
    keep_tag: str = "keep",
    allow_external: bool = False,
    dry_run: bool = False,
) -> Collection:
    """Free bytes of outputs that can be made again, while all that is known of them stays.

    A freed output is marked, so that whoever asks for it is told how to make it again, and a run
    that would have been given back is executed again. Nothing is freed that nobody can make again,
    that holds other bytes than were recorded, that another artifact refers to, that a running run
    uses, or that is tagged. Ingested rows stay.

    Parameters
    ----------
    older_than : str or timedelta, optional
        Only outputs of runs that ended so long ago: ``"30d"``, ``"12h"``, ``"2w"``.
    keep_size : str or int, optional
        Free only until all outputs together take no more than this: ``"500GB"``, ``"1TiB"``, or
        bytes. What saves most bytes for each second of doing it again goes first.
    scenarios : sequence of str
        Only outputs of these scenarios, all attempts.
    keep_latest : int, default 0
        Keep the outputs of the latest so many attempts of each scenario; where no scenarios are
        named, of the latest so many runs of each model.
    keep_tag : str, default "keep"
        Runs with this tag, and artifacts with it in their ``tags``, keep their outputs.
    allow_external : bool, default False
        Also outputs outside the run folders and mounts.
    dry_run : bool, default False
        Only plan.

    Returns
    -------
    Collection

    Raises
    ------
    ValueError
        If nothing says what is to be freed, or an age or size cannot be read.
    KeyError
        If a scenario is not known.
    RuntimeError
        Without a database, or where nothing may be recorded.
    """
    store_of(ws, "collect_garbage", changes=not dry_run)
    limit = None if keep_size is None else _bytes(keep_size)
    age = None if older_than is None else _age(older_than)
    if age is None and limit is None and not scenarios:
        problem = UsageError("nothing says which outputs are to be freed")
        raise hint(problem, "give older_than, keep_size or scenarios")
    if keep_latest < 0:
        raise UsageError(f"keep_latest={keep_latest!r} is negative")
    plan = _Plan(ws, keep_tag=keep_tag, allow_external=allow_external)
    wanted = plan.wanted_runs(age, scenarios, keep_latest)
    found = plan.choose(wanted, limit)
    if not dry_run:
        _carry_out(ws, found)
    return found


def _age(given: str | timedelta) -> timedelta:
    if isinstance(given, timedelta):
        return given
    found = _AGE.fullmatch(str(given).strip().lower())
    if found is None:
        problem = UsageError(f"older_than={given!r} is no age")
        raise hint(problem, "write a number and one of s, m, h, d, w, y, such as 30d")
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


def _bytes(given: str | int) -> int:
    if isinstance(given, int) and given >= 0:
        return given
    found = _SIZE.fullmatch(str(given).strip())
    if found is None:
        problem = UsageError(f"keep_size={given!r} is no size")
        raise hint(problem, "write a number and one of B, KB, MB, GB, TB, GiB, such as 500GB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _POWERS[found[2].lower()])


# ---------------------------------------------------------------- the plan


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


class _Plan:
    """Which outputs can be freed, and what it costs to make them again."""

    def __init__(self, ws: Workspace, *, keep_tag: str, allow_external: bool) -> None:
        self.ws, self.keep_tag, self.allow_external = ws, keep_tag, allow_external
        self.bounds = Bounds(ws, store_of(ws, "collect_garbage", changes=False))
        self.kept: Counter[str] = Counter()
        with ws.store.ask() as connection:
            self.runs = _runs(connection)
            self.inputs, self.busy = _inputs(connection, self.runs)
        self.places: dict[str, str] = {}
        self.producer: dict[str, str | None] = {}
        self.gone: set[str] = set()
        self._made: dict[str, tuple[frozenset[str], str | None]] = {}

    def wanted_runs(
        self, age: timedelta | None, scenarios: Sequence[str], keep_latest: int
    ) -> set[str]:
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
        if age is not None:
            before = datetime.now(UTC) - age
            wanted = {i for i in wanted if (self.runs[i].ended_at or before) < before}
        return wanted

    def _below(self, names: Sequence[str], keep_latest: int) -> set[str]:
        children: dict[str, list[str]] = defaultdict(list)
        attempts: dict[str, list[_Run]] = defaultdict(list)
        for run in self.runs.values():
            attempts[run.requested_id].append(run)
            if run.parent is not None:
                children[run.parent].append(run.id)
        found = set[str]()
        for name in names:
            runs = sorted(attempts.get(name, ()), key=lambda run: run.attempt)
            if not runs:
                raise hint(
                    UnknownKey(name, "the database", ()), "consist scenarios lists their names"
                )
            pending = [run.id for run in (runs[:-keep_latest] if keep_latest else runs)]
            while pending:
                run_id = pending.pop()
                if run_id not in found:
                    found.add(run_id)
                    pending.extend(children.get(run_id, ()))
        return found

    # ------------------------------------------------------------ outputs

    def choose(self, wanted: set[str], limit: int | None) -> Collection:
        """Return what is to be freed."""
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
        record, path = output.record, output.path
        if self._is_tagged(record):
            return f"tagged {self.keep_tag}"
        if record.id in self.busy:
            return "a running run uses it"
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
        return record.id in self.busy or self._is_tagged(record)

    def _is_tagged(self, record: ArtifactRecord) -> bool:
        run, tags = self.runs.get(str(record.run_id)), record.meta.get("tags")
        own = isinstance(tags, list | tuple) and self.keep_tag in tags
        return own or (run is not None and self.keep_tag in run.tags)

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
        for artifact_id in self.inputs.get(run_id, ()):
            producer = self.producer.get(artifact_id)
            absent = artifact_id in self.gone or artifact_id in freed
            if absent and producer is not None and producer in self.runs and producer != run_id:
                yield producer

    def _sum(self, run_id: str, freed: set[str]) -> tuple[frozenset[str], str | None]:
        runs, obstacle = {run_id}, None
        for artifact_id in self.inputs.get(run_id, ()):
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


def _inputs(connection: Any, runs: dict[str, _Run]) -> tuple[dict[str, list[str]], set[str]]:
    """Return the inputs of each run, and the artifacts that running runs are linked to."""
    inputs: dict[str, list[str]] = defaultdict(list)
    busy = set[str]()
    found = connection.execute("SELECT run_id, artifact_id, direction FROM main.run_artifact_link")
    while rows := found.fetchmany(_PIECE):
        for run_id, artifact_id, direction in rows:
            if direction == "input":
                inputs[run_id].append(artifact_id)
            if run_id in runs and runs[run_id].status == "running":
                busy.add(artifact_id)
    return inputs, busy


# ---------------------------------------------------------------- freeing


def _carry_out(ws: Workspace, found: Collection) -> None:
    """Mark outputs as freed and remove them, run by run.

    The mark comes first: bytes that are gone without one look lost, and a mark on bytes that are
    still there means nothing.
    """
    bounds, by = Bounds(ws, store_of(ws, "collect_garbage")), by_whom()
    with counting("freeing", len(found.runs), shown=ws.settings.progress) as show:
        for start in range(0, len(found.runs), 100):
            piece = found.runs[start : start + 100]
            at = datetime.now(UTC).isoformat()
            mark(
                ws,
                {i: {FREED: _said(item, at, by)} for item in piece for i in item.artifact_ids},
                by,
            )
            back: dict[str, dict[str, Any]] = {}
            for item in piece:
                for path in item.paths:
                    try:
                        bounds.remove(path)
                    except OSError as error:
                        found.failed[path] = error.strerror or str(error)
                        back |= {i: {FREED: None} for i in item.artifact_ids}
            if back:
                mark(ws, back, by)
            show(start + len(piece), "")
    found.executed = True


def _said(item: Freeable, at: str, by: str) -> dict[str, Any]:
    return {"at": at, "by": by, "bytes": item.bytes, "seconds": round(item.seconds, 3)}
