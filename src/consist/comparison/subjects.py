"""Which run or scenario somebody means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consist.comparison.records import document_of
from consist.errors import UsageError, WrongType, a_kind, hint
from consist.models.record import RunDocument
from consist.models.run import Run
from consist.query.runs import meant_run_id

if TYPE_CHECKING:
    from consist.workspace import Workspace

HEADER_TAG = "scenario_header"


def meant(ws: Workspace, subject: object) -> RunDocument:
    """Return what is known of a run, without its config.

    Parameters
    ----------
    subject : str, Run, RunResult or ScenarioContext
        A plain id or scenario name means its active attempt, else the latest completed one, else
        the latest; an object means the run that it is of.

    Raises
    ------
    UsageError
        If there is no such run.
    WrongType
        For anything else.
    """
    run_id = _id_of(ws, subject)
    found = document_of(ws, run_id)
    if found is None:
        problem = UsageError(f"there is no run or scenario {run_id!r} to compare")
        raise hint(problem, "`consist runs` lists what there is")
    return found


def _id_of(ws: Workspace, subject: object) -> str:
    if isinstance(subject, str):
        return meant_run_id(ws, subject)
    if isinstance(subject, Run):
        return subject.id
    run_id: Any = getattr(subject, "run_id", None)  # a result, or an open scenario
    if isinstance(run_id, str):
        return run_id
    raise hint(WrongType(f"cannot compare {a_kind(subject)}"), "pass a run, its id, or a scenario")


def is_scenario(document: RunDocument) -> bool:
    """Whether a run is the header of a scenario."""
    return HEADER_TAG in document.run.tags
