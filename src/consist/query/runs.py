"""Find runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from consist.errors import NoSingleMatch, SnapshotMissing, UsageError, hint
from consist.models.run import ConsistRecord, Run
from consist.query import arguments as given
from consist.query.ask import columns, every, fetch, fetch_all
from consist.query.conditions import begins_with
from consist.query.filters import Filters, as_json
from consist.query.indexed import index_spec, indexed
from consist.query.meant import meant_run_id
from consist.query.newest import conditions_of, newest_runs
from consist.store.claims import attempt_id, split_attempt
from consist.store.snapshots import first_snapshot, read_snapshot
from consist.types import IndexBySpec

if TYPE_CHECKING:
    from consist.models.record import RunDocument
    from consist.workspace import Workspace

__all__ = [
    "as_json",
    "find_latest_run",
    "find_matching_run",
    "find_matching_runs",
    "find_recent_completed_runs_for_model",
    "find_run",
    "find_runs",
    "get_latest_run_id",
    "get_run",
    "get_run_config",
    "get_run_record",
    "meant_run_id",
]


# ---------------------------------------------------------------- one run


def get_run(ws: Workspace, run_id: str) -> Run | None:
    """Return a run by its id, or ``None`` if there is none, or no database.

    The plain id of several attempts means the latest; ``<id>~1`` is the first.

    Raises
    ------
    TypeError
        If the id is not text.
    """
    given.required_text("run_id", run_id)
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


def find_run(ws: Workspace, **kwargs: Any) -> Run:
    """Return the one run that matches.

    Parameters
    ----------
    **kwargs : Any
        Filters of :func:`find_runs`; with ``id=`` or ``run_id=`` that run is looked at, and has to
        meet the other filters as well.

    Raises
    ------
    ValueError
        If no run matches, or several do.
    TypeError
        For what is no filter.
    """
    asked = {name: kwargs.pop(name) for name in ("id", "run_id") if name in kwargs}
    ids = {given.required_text(name, value) for name, value in asked.items() if value is not None}
    if len(ids) > 1:
        raise UsageError(f"id={asked['id']!r} and run_id={asked['run_id']!r} are two runs")
    filters = Filters.of("find_run", kwargs)
    filters.check()
    runs = _two(ws, filters, next(iter(ids), None))
    if len(runs) != 1:
        raise _no_single(ws, filters, {**asked, **kwargs}, len(runs))
    return runs[0]


def _two(ws: Workspace, filters: Filters, run_id: str | None) -> list[Run]:
    """Return the runs that match, at most two."""
    if not ws.store.has_database:
        return []
    if run_id is None:
        return newest_runs(ws, filters.conditions(ws), 2, leaves=filters.leaves())
    found = get_run(ws, run_id)
    if found is None:
        return []
    same = [columns(Run).id == found.id, *filters.conditions(ws)]
    return newest_runs(ws, same, 1, leaves=filters.leaves())


def _no_single(
    ws: Workspace, filters: Filters, said: Mapping[str, Any], found: int
) -> NoSingleMatch:
    shown = ", ".join(f"{name}={value!r}" for name, value in said.items() if value is not None)
    if found == 0:
        return hint(NoSingleMatch(0, shown), "`consist runs` lists what there is")
    conditions = conditions_of(filters.conditions(ws), filters.leaves())
    ((count,),) = fetch(ws, select(func.count()).select_from(Run).where(*conditions))
    problem = NoSingleMatch(count, shown)
    return hint(problem, "find_runs returns all of them, find_latest_run the latest")


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
    facet: Mapping[str, Any] | None = None,
) -> Run | None:
    """Return the run with the highest iteration, else the newest one; ``None`` without a match.

    Parameters
    ----------
    parent_id, model, status, year, stage, phase, tags, metadata, facet
        Filters as for :func:`find_runs`.
    limit : int, default 10,000
        How many of the matching runs are considered, the newest ones.
    """
    limit = given.limit_of(limit)
    filters = Filters(
        parent_id=parent_id,
        model=model,
        status=status,
        year=year,
        stage=stage,
        phase=phase,
        tags=tags,
        metadata=metadata,
        facet=facet,
    )
    filters.check()
    if not ws.store.has_database or limit == 0:
        return None
    run = columns(Run)
    conditions = conditions_of(filters.conditions(ws), filters.leaves())
    considered = (
        select(run.id, run.iteration, run.created_at)
        .where(*conditions)
        .order_by(_desc(run.created_at), _desc(run.id))
        .limit(limit)
        .subquery()
        .c
    )
    order = _desc(considered.iteration).nulls_last(), _desc(considered.created_at)
    best = select(considered.id).order_by(*order, _desc(considered.id)).limit(1)
    return _first(ws, every(Run).where(run.id == best.scalar_subquery()))


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
    hashes = {"config_hash": config_hash, "input_hash": input_hash, "git_hash": git_hash}
    for name, value in hashes.items():
        given.required_text(name, value)
    found = find_matching_runs(ws, config_hash, input_hash, git_hash, limit=1)
    return found[0] if found else None


# ---------------------------------------------------------------- many runs


def find_matching_runs(
    ws: Workspace,
    config_hash: str | None = None,
    input_hash: str | None = None,
    git_hash: str | None = None,
    *,
    model: str | None = None,
    status: str | None = "completed",
    year: int | None = None,
    iteration: int | None = None,
    stage: str | None = None,
    phase: str | None = None,
    cache_epoch: int | None = None,
    run_scope: str | None = None,
    parent_id: str | None = None,
    facet: Mapping[str, Any] | None = None,
    limit: int = 100,
) -> list[Run]:
    """Return the completed runs that are alike in digests or in what they were asked for.

    Parameters
    ----------
    config_hash, input_hash, git_hash : str, optional
        Digests of config, inputs and code.
    model, year, iteration, stage, phase, parent_id, facet
        Filters as for :func:`find_runs`.
    status : str or None, default "completed"
        Status; ``None`` means any.
    cache_epoch : int, optional
        Number in the identity.
    run_scope : str, optional
        The id or the description of the run is this text, or begins with it and ``__``.
    limit : int, default 100
        Most runs to return.

    Returns
    -------
    list of Run
        Those that ended last first; empty without a database.
    """
    limit = given.limit_of(limit)
    filters = Filters(
        model=model,
        status=status,
        year=year,
        iteration=iteration,
        stage=stage,
        phase=phase,
        parent_id=parent_id,
        facet=facet,
        metadata=None if cache_epoch is None else {"cache_epoch": cache_epoch},
    )
    filters.check()
    hashes = {"config_hash": config_hash, "input_hash": input_hash, "git_hash": git_hash}
    run = columns(Run)
    same = [run[name] == given.text(name, value) for name, value in hashes.items() if value]
    if given.text("run_scope", run_scope) is not None:
        scope = func.coalesce(run.description, "")
        inside = [*begins_with(run.id, f"{run_scope}__"), *begins_with(scope, f"{run_scope}__")]
        same.append((run.id == run_scope) | (scope == run_scope) | inside[0] | inside[1])
    if not ws.store.has_database:
        return []
    conditions = conditions_of([*same, *filters.conditions(ws)], filters.leaves())
    order = [_desc(run.ended_at).nulls_last(), *(_desc(run[name]) for name in _TIMES)]
    return fetch_all(ws, Run, every(Run).where(*conditions).order_by(*order).limit(limit))


_TIMES = ("updated_at", "created_at", "started_at", "id")


def find_recent_completed_runs_for_model(ws: Workspace, model: str, limit: int = 20) -> list[Run]:
    """Return the latest completed runs of a model, newest first; empty without a database."""
    given.required_text("model", model)
    return _find(ws, Filters(model=model, status="completed"), limit)


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
    *,
    facet: Mapping[str, Any] | None = None,
) -> list[Run] | dict[Hashable, Run]:
    r"""Return the runs that match all filters, newest first.

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
        Entries that ``meta`` has to have, by their top-level names. A value is compared as a
        whole: numbers by value (1 is 1.0 and is not ``True``), mappings whatever their order, and
        ``None`` is an entry that is there and null.
    limit : int, default 100
        Most runs to return; the newest of all that match.
    index_by : str or IndexBySpec, optional
        Return a dict instead: by a field (``"year"``) or a facet value (``"facet.alpha"``,
        ``"facet:alpha"``), or by what ``index_by_field`` and ``index_by_facet`` return. Of several
        runs with one value, the newest is taken; runs without the facet value are left out.
    name : str, optional
        The same as ``model``.
    facet : mapping, optional
        Values that the facet has to have, all of them, compared like ``metadata``. Levels may be
        nested or joined by dots (``{"demand.growth": 0.1}``); a dot inside a name is ``\.``. Only
        indexed facets are found.

    Returns
    -------
    list of Run, or dict
        Empty without a database.

    Raises
    ------
    TypeError
        If ``index_by`` or a filter is of another type, or ``index_by`` names no field.
    ValueError
        If ``limit`` is negative, or runs are to be indexed by facet values that are lists.
    """
    index = None if index_by is None else index_spec(index_by)
    filters = Filters(
        tags=tags,
        year=year,
        iteration=iteration,
        stage=stage,
        phase=phase,
        model=model,
        status=status,
        parent_id=parent_id,
        metadata=metadata,
        name=name,
        facet=facet,
    )
    runs = _find(ws, filters, limit)
    return runs if index is None else indexed(ws, runs, index)


def _find(ws: Workspace, filters: Filters, limit: int) -> list[Run]:
    limit = given.limit_of(limit)
    filters.check()
    if not ws.store.has_database:
        return []
    return newest_runs(ws, filters.conditions(ws), limit, leaves=filters.leaves())


def _desc(column: Any) -> Any:
    return column.desc()


def _first(ws: Workspace, statement: Any) -> Run | None:
    rows = fetch_all(ws, Run, statement.limit(1))
    return rows[0] if rows else None


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
