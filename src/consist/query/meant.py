"""Which run is meant by an id that several attempts asked for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from consist.models.run import Run
from consist.query.ask import Ask, asking, columns
from consist.store.claims import split_attempt

if TYPE_CHECKING:
    from consist.workspace import Workspace


class Meant(NamedTuple):
    """A recorded run, as far as questions about what belongs to it need it."""

    id: str
    model: str
    created_at: datetime
    status: str


def meant_run_id(ws: Workspace, run_id: str) -> str:
    """Return the attempt whose results are meant by an id.

    The one active in this tracker, else the latest completed one, else the latest.
    """
    known = _known(ws, run_id)
    if known is not None:
        return known
    with asking(ws) as ask:
        found = _attempts(ask, columns(Run).requested_id == run_id)
    return found[0].id if found else run_id


def meant_run(ws: Workspace, run_id: str, ask: Ask) -> Meant | None:
    """Return the run of that attempt, ``None`` if nothing is recorded of it."""
    run, known = columns(Run), _known(ws, run_id)
    condition = run.requested_id == run_id if known is None else run.id == known
    found = _attempts(ask, condition)
    return found[0] if found else None


def _known(ws: Workspace, run_id: str) -> str | None:
    """Return the recorded id where nobody has to be asked for it."""
    requested, attempt = split_attempt(run_id)
    if attempt is not None:
        return requested if attempt == 1 else run_id
    active = ws.active.by_id(run_id)
    return None if active is None else active.run_id


def _attempts(ask: Ask, condition: Any) -> list[Meant]:
    """Return the runs that meet a condition, completed ones first, each sort latest first."""
    run = columns(Run)
    statement = select(run.id, run.model_name, run.created_at, run.status, run.attempt)
    rows = ask(statement.where(condition))
    rows.sort(key=lambda row: (row[3] == "completed", row[4]), reverse=True)
    return [Meant(*row[:4]) for row in rows]
