"""What the commands ask beyond the verbs of the tracker, as statements with bound values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import String, func, or_, type_coerce
from sqlmodel import select

from consist.models.artifact import Artifact
from consist.models.base import UTCDateTime
from consist.models.run import Run

if TYPE_CHECKING:
    from datetime import datetime

    from consist.core.tracker import Tracker

HEADER_TAG = "scenario_header"
_SIMILAR = 3
_SAME_HASH = 100


class ScenarioTotals(NamedTuple):
    """How much ran in one attempt of a scenario, and when."""

    id: str
    name: str
    attempt: int
    status: str
    runs: int
    first: datetime
    last: datetime


class Totals(NamedTuple):
    """How much there is, and from when."""

    by_status: dict[str, int]
    by_model: dict[str, int]
    artifacts: int
    first: datetime | None
    last: datetime | None


def totals(tracker: Tracker) -> Totals:
    """Count runs and artifacts."""
    run = _columns(Run)
    by_status = tracker.run_query(
        select(run.status, func.count()).group_by(run.status).order_by(run.status)
    )
    by_model = tracker.run_query(
        select(run.model_name, func.count())
        .group_by(run.model_name)
        .order_by(func.count().desc(), run.model_name)
    )
    first, last = tracker.run_query(select(func.min(run.created_at), func.max(run.created_at)))[0]
    artifacts = tracker.run_query(select(func.count()).select_from(Artifact))[0]
    return Totals(dict(by_status), dict(by_model), artifacts, first, last)


def by_hash(tracker: Tracker, prefix: str) -> list[Artifact]:
    """Return the newest few artifacts whose digests begin with a text."""
    columns = _columns(Artifact)
    return tracker.run_query(
        select(Artifact)
        .where(columns.hash.startswith(prefix, autoescape=True))
        .order_by(columns.created_at.desc(), columns.id.desc())
        .limit(_SAME_HASH)
    )


def scenarios(tracker: Tracker, limit: int) -> list[ScenarioTotals]:
    """Return the attempts of scenarios, those with the latest run first."""
    run = _columns(Run)
    inner: Any = (
        select(
            run.parent_run_id,
            func.count().label("runs"),
            func.min(run.created_at).label("first"),
            func.max(run.created_at).label("last"),
        )
        .where(run.parent_run_id.is_not(None))
        .group_by(run.parent_run_id)
        .subquery()
    )
    last = func.coalesce(inner.c.last, run.created_at)
    rows = tracker.run_query(
        _select(
            *(run.id, run.requested_id, run.attempt, run.status),
            func.coalesce(inner.c.runs, 0),
            func.coalesce(inner.c.first, run.created_at, type_=UTCDateTime()),
            func.coalesce(inner.c.last, run.created_at, type_=UTCDateTime()),
        )
        .select_from(_table(Run).outerjoin(inner, inner.c.parent_run_id == run.id))
        .where(_is_header())
        .order_by(last.desc(), run.id.desc())
        .limit(limit)
    )
    return [ScenarioTotals(*row) for row in rows]


def runs_of_scenario(tracker: Tracker, run_id: str, limit: int) -> list[Run]:
    """Return the runs of a scenario in the order in which they began."""
    run = _columns(Run)
    return tracker.run_query(
        select(Run).where(run.parent_run_id == run_id).order_by(run.created_at, run.id).limit(limit)
    )


def search(tracker: Tracker, text: str, limit: int) -> list[Run]:
    """Return the runs whose id, model or a tag contains a text, whatever its case; newest first."""
    run = _columns(Run)
    tags = func.array_to_string(func.json_extract_string(run.tags, "$[*]"), "\0")
    return tracker.run_query(
        select(Run)
        .where(
            or_(
                *(
                    column.icontains(text, autoescape=True)
                    for column in (run.id, run.model_name, type_coerce(tags, String))
                )
            )
        )
        .order_by(run.created_at.desc(), run.id.desc())
        .limit(limit)
    )


def scenario_names(tracker: Tracker, runs: Iterable[Run]) -> dict[str, str]:
    """Return the plain name of the nearest scenario above each run that has one, by run id."""
    parents = {run.id: run.parent_run_id for run in runs}
    above: dict[str, Run] = {}
    wanted = {parent for parent in parents.values() if parent is not None}
    while wanted:
        found = tracker.run_query(select(Run).where(_columns(Run).id.in_(sorted(wanted))))
        above |= {run.id: run for run in found}
        wanted = {run.parent_run_id for run in found if run.parent_run_id and not _heads(run)}
        wanted -= above.keys()
    names = {run_id: _nearest(parent, above) for run_id, parent in parents.items()}
    return {run_id: name for run_id, name in names.items() if name is not None}


def _nearest(run_id: str | None, above: dict[str, Run]) -> str | None:
    seen = set[str]()
    while run_id in above and run_id not in seen:
        run = above[run_id]
        if _heads(run):
            return run.requested_id
        seen.add(run_id)
        run_id = run.parent_run_id
    return None


def _heads(run: Run) -> bool:
    return HEADER_TAG in run.tags


def similar_runs(tracker: Tracker, text: str) -> list[str]:
    """Return the newest few run ids that contain a text."""
    return _containing(tracker, _columns(Run).id, _columns(Run).created_at, text)


def similar_scenarios(tracker: Tracker, text: str) -> list[str]:
    """Return the newest few names of scenarios that contain a text."""
    run = _columns(Run)
    return _containing(tracker, run.requested_id, run.created_at, text, _is_header())


def similar_keys(tracker: Tracker, text: str) -> list[str]:
    """Return the newest few artifact keys that contain a text."""
    return _containing(tracker, _columns(Artifact).key, _columns(Artifact).created_at, text)


def _containing(
    tracker: Tracker, column: Any, created: Any, text: str, *conditions: Any
) -> list[str]:
    rows = tracker.run_query(
        select(column)
        .where(column.icontains(text, autoescape=True), *conditions)
        .group_by(column)
        .order_by(func.max(created).desc())
        .limit(_SIMILAR)
    )
    return [row if isinstance(row, str) else row[0] for row in rows]


def _select(*selected: Any) -> Any:
    return cast("Any", select)(*selected)


def _is_header() -> Any:
    return func.json_contains(_columns(Run).tags, f'"{HEADER_TAG}"')


def _columns(model: Any) -> Any:
    return _table(model).c


def _table(model: Any) -> Any:
    return model.__table__
