"""Which artifacts a view shows, and what run, scenario, year and iteration each stands for.

A scenario contributes the outputs of the attempt that is meant, once each, executed or hit; an
artifact of a run outside scenarios appears once, under the run that made it. Runs that did not
complete contribute nothing unless they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from consist.artifacts.keys import check_key
from consist.models.record import ArtifactRecord
from consist.store.claims import split_attempt
from consist.store.maintenance import as_record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace


@dataclass(frozen=True)
class Selector:
    """Which artifacts: a condition on the columns of ``artifact a``, and its parameters."""

    condition: str
    parameters: tuple[object, ...] = ()

    def __and__(self, other: Selector) -> Selector:
        """Return what meets both."""
        return Selector(
            f"({self.condition}) AND ({other.condition})", (*self.parameters, *other.parameters)
        )


def of_key(key: str) -> Selector:
    """Select the artifacts of a key."""
    return Selector("a.key = ?", (check_key(key),))


def of_ids(artifact_ids: Iterable[str]) -> Selector:
    """Select artifacts by their ids; however many they are, they are one parameter."""
    listed = msgspec.json.encode([*artifact_ids]).decode()
    return Selector("""a.id IN (SELECT unnest(from_json(?::JSON, '["VARCHAR"]')))""", (listed,))


def of_query(query: str, parameters: Iterable[object] = ()) -> Selector:
    """Select the artifacts whose ids a query returns; its tables are those of ``main``."""
    return Selector(f"a.id IN ({query})", tuple(parameters))


@dataclass(frozen=True)
class RunFilter:
    """Which runs a view shows artifacts of.

    ``run_id`` and ``parent_run_id`` mean the attempt that is meant; ``name~1`` is an earlier one.
    ``parent_run_id`` is a scenario or any other parent. ``status`` is ``"completed"`` by default.
    """

    run_id: str | None = None
    parent_run_id: str | None = None
    model: str | None = None
    status: str | None = None
    year: int | None = None
    iteration: int | None = None

    def told(self) -> dict[str, str | int | None]:
        """Return what is asked for, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


EVERY_RUN = RunFilter()


@dataclass(frozen=True)
class Member:
    """An artifact, and the run that it stands for in a view.

    ``attached`` are values of further columns, the same in each of its rows, by the names that the
    view's layout declares.
    """

    record: ArtifactRecord
    run_id: str
    year: int | None
    iteration: int | None
    scenario: str | None
    attached: Mapping[str, Any] = field(default_factory=dict[str, Any])


def find_members(
    ws: Workspace,
    connection: DuckDBPyConnection,
    selector: Selector,
    runs: RunFilter = EVERY_RUN,
    *,
    active: Iterable[str] | None = None,
) -> list[Member]:
    """Return the members of a view in the order in which their runs began.

    Parameters
    ----------
    ws : Workspace
        Knows which attempts are active.
    connection : DuckDBPyConnection
        As ``ws.store.ask()`` yields it: its tables hold every acknowledged record.
    selector : Selector
        Which artifacts.
    runs : RunFilter
        Of which runs.
    active : iterable of str, optional
        Ids of active runs; by default those of this tracker.
    """
    now = active_ids(ws) if active is None else list(active)
    statement, parameters = _statement(connection, selector, runs, now)
    found = connection.execute(statement, parameters)
    names = [column[0] for column in found.description or ()]
    members: list[Member] = []
    for row in found.fetchall():
        values = dict(zip(names, row, strict=True))
        facts = [values.pop(f"member_{name}") for name in ("run", "year", "iteration", "scenario")]
        members.append(Member(as_record(values), *facts))
    return members


def active_ids(ws: Workspace) -> list[str]:
    """Return the ids of the runs and scenarios that are active in this tracker."""
    return sorted({run.run_id for run in ws.active})


# ---------------------------------------------------------------- SQL

# `above` climbs from each run to the nearest scenario header, past the steps that began it.
_MEMBERS = """
WITH RECURSIVE linked AS (
    SELECT l.artifact_id, r.id, r.parent_run_id, r.year, r.iteration, r.created_at
    FROM artifact a
    JOIN run_artifact_link l ON l.artifact_id = a.id AND l.direction = 'output'
    JOIN run r ON r.id = l.run_id
    WHERE {runs} AND {selected}
), header AS (
    SELECT id, requested_id, attempt, status FROM run
    WHERE contains(tags::VARCHAR, '"scenario_header"')
), above AS (
    SELECT id, id AS upper FROM linked
    UNION
    SELECT above.id, r.parent_run_id FROM above JOIN run r ON r.id = above.upper
    WHERE r.parent_run_id IS NOT NULL AND NOT contains(r.tags::VARCHAR, '"scenario_header"')
), placed AS (
    SELECT above.id, header.id AS header, header.requested_id AS scenario
    FROM above JOIN header ON header.id = above.upper
), meant AS (
    SELECT id FROM header QUALIFY row_number() OVER (
        PARTITION BY requested_id ORDER BY {order}
    ) = 1
), member AS (
    SELECT linked.*, placed.scenario FROM linked
    LEFT JOIN placed ON placed.id = linked.id
    JOIN artifact a ON a.id = linked.artifact_id
    WHERE {shown}
    QUALIFY row_number() OVER (
        PARTITION BY linked.artifact_id, placed.header
        ORDER BY linked.created_at, linked.id
    ) = 1
)
SELECT member.id AS member_run, member.year AS member_year, member.iteration AS member_iteration,
    member.scenario AS member_scenario, a.*
FROM member JOIN artifact a ON a.id = member.artifact_id
ORDER BY member.created_at, member.id, a.id
"""
_ACTIVE_FIRST = "(id IN (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))) DESC, "
_LATEST_COMPLETED = "(status = 'completed') DESC, attempt DESC"


def _statement(
    connection: DuckDBPyConnection, selector: Selector, runs: RunFilter, active: list[str]
) -> tuple[str, list[object]]:
    conditions, parameters = _run_conditions(connection, runs, active)
    shown, last = _shown(connection, runs, active)
    statement = _MEMBERS.format(
        runs=" AND ".join(conditions),
        selected=selector.condition,
        order=_ACTIVE_FIRST + _LATEST_COMPLETED,
        shown=shown,
    )
    return statement, [*parameters, *selector.parameters, _listed(active), *last]


def _run_conditions(
    connection: DuckDBPyConnection, runs: RunFilter, active: list[str]
) -> tuple[list[str], list[object]]:
    wanted: dict[str, object] = {"r.status": runs.status or "completed"}
    if runs.run_id is not None:
        wanted["r.id"] = meant_id(connection, runs.run_id, active)
    for column, value in (("model_name", runs.model), ("year", runs.year),
                          ("iteration", runs.iteration)):  # fmt: skip
        if value is not None:
            wanted[f"r.{column}"] = value
    return [f"{column} = ?" for column in wanted], [*wanted.values()]


def _shown(
    connection: DuckDBPyConnection, runs: RunFilter, active: list[str]
) -> tuple[str, list[object]]:
    """Return under which of its runs an artifact is shown; whoever names one means that one."""
    if runs.parent_run_id is not None:
        parent = meant_id(connection, runs.parent_run_id, active)
        return "(placed.header = ? OR linked.parent_run_id = ?)", [parent, parent]
    if runs.run_id is not None:
        return "true", []
    return (
        "CASE WHEN placed.header IS NULL THEN a.run_id IS NOT DISTINCT FROM linked.id"
        " ELSE placed.header IN (SELECT id FROM meant) END"
    ), []


def meant_id(connection: DuckDBPyConnection, run_id: str, active: list[str]) -> str:
    """Return the attempt that an id means: the active one, the latest completed, the latest."""
    requested, attempt = split_attempt(run_id)
    if attempt is not None:
        return requested if attempt == 1 else run_id
    found = connection.execute(
        f"SELECT id FROM run WHERE requested_id = ? ORDER BY {_ACTIVE_FIRST}{_LATEST_COMPLETED}"
        " LIMIT 1",
        [run_id, _listed(active)],
    ).fetchone()
    return run_id if found is None else str(found[0])


def _listed(values: list[str]) -> str:
    return msgspec.json.encode(values).decode()
