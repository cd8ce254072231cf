"""Find runs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import ColumnElement, func, select

from consist.errors import NoSingleMatch, SnapshotMissing, WrongType, hint
from consist.models.facet import RunConfigKV
from consist.models.run import ConsistRecord, Run
from consist.query.ask import columns, every, fetch, fetch_all, newest
from consist.store.claims import attempt_id, split_attempt
from consist.store.snapshots import first_snapshot, read_snapshot
from consist.types import FacetKeyIndex, FieldIndex, IndexBySpec

if TYPE_CHECKING:
    from consist.models.record import RunDocument
    from consist.workspace import Workspace


# ---------------------------------------------------------------- one run


def get_run(ws: Workspace, run_id: str) -> Run | None:
    """Return a run by its id, or ``None`` if there is none, or no database.

    The plain id of several attempts means the latest; ``<id>~1`` is the first.
    """
    if not ws.store.has_database:
        return None
    run = columns(Run)
    requested, attempt = split_attempt(run_id)
    if attempt == 1:
        return _first(ws, every(Run).where(run.id == requested))
    exact = every(Run).where(run.id == run_id)
    if attempt is not None:
        return _first(ws, exact)
    latest = every(Run).where(run.requested_id == run_id).order_by(_desc(run.attempt))
    return _first(ws, latest) or _first(ws, exact)


def meant_run_id(ws: Workspace, run_id: str) -> str:
    """Return the attempt whose results are meant by an id.

    The one active in this tracker, else the latest completed one, else the latest.
    """
    run = columns(Run)
    requested, attempt = split_attempt(run_id)
    if attempt is not None:
        return requested if attempt == 1 else run_id
    active = ws.active.by_id(run_id)
    if active is not None:
        return active.run_id
    rows = fetch(
        ws,
        select(run.id, run.status).where(run.requested_id == run_id).order_by(_desc(run.attempt)),
    )
    completed = [row[0] for row in rows if row[1] == "completed"]
    return (completed or [row[0] for row in rows] or [run_id])[0]


def find_run(ws: Workspace, **kwargs: Any) -> Run:
    """Return the one run that matches.

    Parameters
    ----------
    **kwargs : Any
        Filters of :func:`find_runs`, or ``id=`` or ``run_id=``.

    Raises
    ------
    ValueError
        If no run matches, or several do.
    """
    run_id = kwargs.pop("id", None) or kwargs.pop("run_id", None)
    if run_id is not None:
        found = get_run(ws, run_id)
        runs: list[Run] = [] if found is None else [found]
    else:
        runs = _find(ws, limit=2, **kwargs)
    if len(runs) != 1:
        filters = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
        count = len(runs) if run_id or not runs else len(_find(ws, limit=1_000, **kwargs))
        problem = NoSingleMatch(count, filters or f"id={run_id!r}")
        if count == 0:
            raise hint(problem, "`consist runs` lists what there is")
        raise hint(problem, "find_runs returns all of them, find_latest_run the latest")
    return runs[0]


def find_latest_run(
    ws: Workspace,
    *,
    parent_id: str | None = None,
    model: str | None = None,
    status: str | None = None,
    year: int | None = None,
    stage: str | None = None,
    phase: str | None = None,
    tags: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
    limit: int = 10_000,
) -> Run | None:
    """Return the run with the highest iteration, else the newest one; ``None`` without a match.

    Filters are those of :func:`find_runs`.
    """
    if not ws.store.has_database or limit < 1:
        return None
    filters = _filters(
        ws,
        parent_id=parent_id,
        model=model,
        status=status,
        year=year,
        stage=stage,
        phase=phase,
        tags=tags,
        metadata=metadata,
    )
    run = columns(Run)
    order = (_desc(run.iteration).nulls_last(), _desc(run.created_at), _desc(run.id))
    return _first(ws, every(Run).where(*filters).order_by(*order))


def get_latest_run_id(ws: Workspace, **kwargs: Any) -> str:
    """Return the id of what :func:`find_latest_run` finds.

    Raises
    ------
    ValueError
        If nothing matches.
    """
    found = find_latest_run(ws, **kwargs)
    if found is None:
        filters = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
        raise NoSingleMatch(0, filters)
    return found.id


def find_matching_run(
    ws: Workspace, config_hash: str, input_hash: str, git_hash: str
) -> Run | None:
    """Return the newest completed run with these three digests, or ``None``."""
    if not ws.store.has_database:
        return None
    run = columns(Run)
    same = (
        run.config_hash == config_hash,
        run.input_hash == input_hash,
        run.git_hash == git_hash,
        run.status == "completed",
    )
    return _first(ws, newest(Run, same))


# ---------------------------------------------------------------- many runs


def find_runs(
    ws: Workspace,
    tags: list[str] | None = None,
    year: int | None = None,
    iteration: int | None = None,
    stage: str | None = None,
    phase: str | None = None,
    model: str | None = None,
    status: str | None = None,
    parent_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    limit: int = 100,
    index_by: str | IndexBySpec | None = None,
    name: str | None = None,
) -> list[Run] | dict[Hashable, Run]:
    """Return the runs that match all filters, newest first.

    Parameters
    ----------
    tags : list of str, optional
        Labels that a run has to have, all of them.
    year, iteration, stage, phase, model, status : optional
        Values of these fields.
    parent_id : str, optional
        Scenario or outer run; the plain name of a scenario means its active attempt, else the
        latest completed one, else the latest.
    metadata : dict, optional
        Entries that ``meta`` has to have exactly.
    limit : int, default 100
        Most runs to return.
    index_by : str or IndexBySpec, optional
        Return a dict instead: by a field (``"year"``) or a facet value (``"facet.alpha"``). Of
        several runs with one value, the newest is taken.
    name : str, optional
        The same as ``model``.

    Returns
    -------
    list of Run, or dict
        Empty without a database.

    Raises
    ------
    TypeError
        If ``index_by`` is of another type.
    ValueError
        If it names no field.
    """
    index = None if index_by is None else _index_spec(index_by)
    runs = _find(
        ws,
        tags=tags,
        year=year,
        iteration=iteration,
        stage=stage,
        phase=phase,
        model=model,
        status=status,
        parent_id=parent_id,
        metadata=metadata,
        limit=limit,
        name=name,
    )
    return runs if index is None else _indexed(ws, runs, index)


def _find(ws: Workspace, *, limit: int = 100, **filters: Any) -> list[Run]:
    if not ws.store.has_database:
        return []
    conditions = _filters(ws, **filters)
    return fetch_all(ws, Run, newest(Run, conditions, limit))


def _filters(
    ws: Workspace,
    *,
    tags: Iterable[str] | None = None,
    parent_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    name: str | None = None,
    **fields: Any,
) -> list[ColumnElement[bool]]:
    run = columns(Run)
    names = {"model": "model_name"}
    unknown = fields.keys() - {"year", "iteration", "stage", "phase", "model", "status"}
    if unknown:
        raise WrongType(f"unknown filter {', '.join(sorted(unknown))}")
    conditions: list[ColumnElement[bool]] = [
        run[names.get(field, field)] == value
        for field, value in fields.items()
        if value is not None
    ]
    if name is not None:
        conditions.append(run.model_name == name)
    if parent_id is not None:
        conditions.append(run.parent_run_id == meant_run_id(ws, parent_id))
    conditions += [func.json_contains(run.tags, as_json(tag)) for tag in tags or ()]
    conditions += [
        func.json_extract(run.meta, _pointer(key)) == as_json(value)
        for key, value in (metadata or {}).items()
    ]
    return conditions


def as_json(value: Any) -> str:
    """Return a value as the text that JSON columns are compared with."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _desc(column: Any) -> Any:
    return column.desc()


def _first(ws: Workspace, statement: Any) -> Run | None:
    rows = fetch_all(ws, Run, statement.limit(1))
    return rows[0] if rows else None


# ---------------------------------------------------------------- index


def _index_spec(index_by: object) -> IndexBySpec:
    if isinstance(index_by, FieldIndex | FacetKeyIndex):
        return index_by
    if not isinstance(index_by, str):
        raise WrongType(f"index_by={index_by!r} is neither text nor an index")
    if index_by.startswith(("facet.", "facet:")):
        return FacetKeyIndex(index_by[6:])
    return FieldIndex(index_by)


def _indexed(ws: Workspace, runs: list[Run], index: IndexBySpec) -> dict[Hashable, Run]:
    indexed: dict[Hashable, Run] = {}
    if isinstance(index, FacetKeyIndex):
        values = _facet_values(ws, [run.id for run in runs], index.key)
        for run in runs:
            if run.id in values:
                indexed.setdefault(values[run.id], run)
        return indexed
    field = {"model": "model_name", "parent_id": "parent_run_id"}.get(index.name, index.name)
    if field not in Run.model_fields:
        raise hint(
            WrongType(f"index_by={index.name!r} is no field of a run"),
            f"fields: {', '.join(Run.model_fields)}; facets: 'facet.<key>'",
        )
    for run in runs:
        indexed.setdefault(getattr(run, field), run)
    return indexed


def _facet_values(ws: Workspace, run_ids: list[str], key: str) -> dict[str, Any]:
    kv = columns(RunConfigKV)
    rows = fetch(
        ws,
        select(
            kv.run_id, kv.value_type, kv.value_str, kv.value_num, kv.value_int, kv.value_bool
        ).where(kv.key == key, kv.run_id.in_(run_ids)),
    )
    return {row[0]: facet_value(*row[1:]) for row in rows}


def facet_value(
    kind: str, text: str | None, number: float | None, whole: int | None, truth: bool | None
) -> Any:
    """Return the value of a facet's leaf from the column of its type."""
    match kind:
        case "int":
            return int(text or 0) if whole is None else whole
        case "float":
            return number
        case "bool":
            return truth
        case "null":
            return None
        case _:
            return text


# ---------------------------------------------------------------- records and tables


def get_run_record(
    ws: Workspace, run_id: str, *, allow_missing: bool = False
) -> ConsistRecord | None:
    """Read everything about a run from its JSON snapshot.

    Parameters
    ----------
    run_id : str
        The run; a plain id of several attempts means the latest.
    allow_missing : bool, default False
        Return ``None`` if there is no readable snapshot.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    run = get_run(ws, run_id)
    try:
        return ConsistRecord(_snapshot_of(ws, run_id, run), ws.path_of)
    except SnapshotMissing:
        if allow_missing:
            return None
        raise


def _snapshot_of(ws: Workspace, run_id: str, run: Run | None) -> RunDocument:
    """Read a snapshot where the run was done, or else from the run folder of this tracker."""
    if run is None:
        return read_snapshot(ws.run_dir, _latest_snapshot(ws, run_id))
    folder = run.meta.get("_physical_run_dir", ws.run_dir)
    found = first_snapshot((str(folder), str(ws.run_dir)), run.id, run.uid)
    return found or read_snapshot(folder, run.id)


def _latest_snapshot(ws: Workspace, run_id: str) -> str:
    """Return the latest attempt of an id that left a snapshot in this run folder."""
    requested, attempt = split_attempt(run_id)
    if attempt is not None:
        return requested if attempt == 1 else run_id
    number = 1
    while Path(ws.files.places.snapshot_path(attempt_id(run_id, number + 1))).exists():
        number += 1
    return attempt_id(run_id, number)


def get_run_config(
    ws: Workspace, run_id: str, *, allow_missing: bool = False
) -> dict[str, Any] | None:
    """Return the full config of a run from its snapshot; see :func:`get_run_record`."""
    record = get_run_record(ws, run_id, allow_missing=allow_missing)
    return None if record is None else record.config
