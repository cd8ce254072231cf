"""The latest runs that meet conditions on their rows and on their facets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from consist.models.facet import RunConfigKV
from consist.models.run import Run
from consist.query.ask import asking, columns, every, fetch_all, newest, rows_as
from consist.query.conditions import Condition

if TYPE_CHECKING:
    from consist.workspace import Workspace

_FEW = 1_000


def newest_runs(
    ws: Workspace,
    conditions: Sequence[Condition],
    limit: int,
    *,
    leaves: Sequence[Sequence[Condition]] = (),
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
    leaves : sequence of sequences
        For each value of a facet, what has to hold for a row of it.
    """
    if limit == 0:
        return []
    run = columns(Run)
    together = conditions_of(conditions, leaves)
    if not leaves or limit > _FEW:
        return fetch_all(ws, Run, newest(Run, together, limit))
    # Which runs they are is asked of narrow columns, and only these are read.
    narrow = select(run.id, run.created_at).where(*together)
    order = run.created_at.desc(), run.id.desc()
    with asking(ws) as ask:
        found = ask(narrow.order_by(*order).limit(limit))
        if not found:
            return []
        ids, times = zip(*found, strict=True)
        wide = every(Run).where(run.id.in_(ids), run.created_at.in_(set(times)))
        return rows_as(ws, Run, ask(wide.order_by(*order)))


def conditions_of(
    conditions: Sequence[Condition], leaves: Sequence[Sequence[Condition]]
) -> list[Condition]:
    """Return what has to hold for the row of a run, its facet included."""
    run = columns(Run)
    return [*conditions, *(run.id.in_(_runs_with(leaf)) for leaf in leaves)]


def _runs_with(leaf: Sequence[Condition]) -> Any:
    return select(columns(RunConfigKV).run_id).where(*leaf)
