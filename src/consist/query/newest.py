"""The latest runs that meet conditions on their rows and on their facets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import select, union_all

from consist.models.facet import RunConfigKV
from consist.models.run import Run
from consist.query.ask import Ask, among, asking, columns, every, fetch_all, newest, parts, rows_as
from consist.query.conditions import Condition

if TYPE_CHECKING:
    from consist.workspace import Workspace

Leaf: TypeAlias = Callable[[Any], Sequence[Condition]]
"""Says what has to hold for the columns of one row of a run's facet."""

_FEW = 1_000
_SPARE = 4
_FURTHER = 4
"""Where some were found among so many, look among as many times more before looking at all."""


def newest_runs(
    ws: Workspace, conditions: Sequence[Condition], limit: int, *, leaves: Sequence[Leaf] = ()
) -> list[Run]:
    """Return the runs that meet all conditions, the latest first.

    Parameters
    ----------
    ws : Workspace
        Tracker.
    conditions : sequence
        What has to hold for the row of a run.
    limit : int
        Most runs to return.
    leaves : sequence of callables
        For each value of a facet, what has to hold for a row of it.
    """
    if limit == 0:
        return []
    if leaves and limit <= _FEW:
        with asking(ws) as ask:
            found = _of_latest(ask, conditions, limit, leaves)
            if found is None:
                found = _of_all(ask, conditions_of(conditions, leaves), limit)
            return rows_as(ws, Run, found)
    return fetch_all(ws, Run, newest(Run, conditions_of(conditions, leaves), limit))


def conditions_of(conditions: Sequence[Condition], leaves: Sequence[Leaf]) -> list[Condition]:
    """Return what has to hold for the row of a run, its facet included."""
    run, kv = columns(Run), columns(RunConfigKV)
    return [*conditions, *(run.id.in_(select(kv.run_id).where(*leaf(kv))) for leaf in leaves)]


def _of_latest(
    ask: Ask, conditions: Sequence[Condition], limit: int, leaves: Sequence[Leaf]
) -> list[Any] | None:
    """Return the rows of runs among the latest that have the first of the values.

    ``None`` if there may be more than these: then everything has to be looked at. Mostly a few
    narrow columns tell which runs they are, and only these runs are read.
    """
    first, *others = leaves
    most = limit * _SPARE if conditions or others else limit + 1
    having = ask(_latest_with(first, most))
    found = _among(ask, having, conditions, limit, others)
    if len(found) < limit and len(having) == most and len(found) * _FURTHER >= limit:
        most *= _FURTHER
        having = ask(_latest_with(first, most))
        found = _among(ask, having, conditions, limit, others)
    return found if len(found) == limit or len(having) < most else None


def _among(
    ask: Ask,
    having: Sequence[Any],
    conditions: Sequence[Condition],
    limit: int,
    leaves: Sequence[Leaf],
) -> list[Any]:
    """Return the rows of those of some runs, the latest first, that meet everything else."""
    if not having:
        return []
    run, kv = columns(Run), columns(RunConfigKV)
    ids, span = [row[0] for row in having], (having[-1][1], having[0][1])
    own = [among(kv.run_id, ids), kv.created_at.between(*span)]
    also = [run.id.in_(select(kv.run_id).where(*leaf(kv), *own)) for leaf in leaves]
    wide = every(Run).where(among(run.id, ids), run.created_at.between(*span), *conditions, *also)
    return ask(wide.order_by(run.created_at.desc(), run.id.desc()).limit(limit))


def _of_all(ask: Ask, conditions: Sequence[Condition], limit: int) -> list[Any]:
    """Return the rows of the latest runs that meet all conditions, which cost a lot to check."""
    run = columns(Run)
    order = run.created_at.desc(), run.id.desc()
    narrow = select(run.id, run.created_at).where(*conditions)
    found = ask(narrow.order_by(*order).limit(limit))
    if not found:
        return []
    ids, span = [row[0] for row in found], (found[-1][1], found[0][1])
    wide = every(Run).where(among(run.id, ids), run.created_at.between(*span))
    return ask(wide.order_by(*order))


def _latest_with(leaf: Leaf, most: int) -> Any:
    """Return a select of the latest runs with a value: id and time."""
    latest = [
        select(kv.run_id, kv.created_at)
        .where(*leaf(kv))
        .order_by(kv.created_at.desc(), kv.run_id.desc())
        .limit(most)
        .subquery()
        for kv in parts(RunConfigKV)
    ]
    both = union_all(*(select(part.c.run_id, part.c.created_at) for part in latest)).subquery().c
    order = both.created_at.desc(), both.run_id.desc()
    return select(both.run_id, both.created_at).order_by(*order).limit(most)
