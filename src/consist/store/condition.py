"""What a database holds, and where it contradicts itself, as statements about its tables.

Every statement is asked with the tail, so that records which no merge has reached count as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from consist.models.record import ProcessRecord
from consist.store import locks
from consist.store.database import ALIAS
from consist.store.global_tables import LEDGER, SCHEMA, identifier, tables_of
from consist.store.migrations import CHANGES_SINCE, store_values
from consist.store.tail_rows import HAS_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Totals(NamedTuple):
    """How much a database holds."""

    runs_by_status: dict[str, int]
    artifacts: int
    orphaned_artifacts: int
    rows: dict[str, int]


def totals(connection: DuckDBPyConnection) -> Totals:
    """Count runs, artifacts and ingested rows."""
    by_status = _pairs(connection, "SELECT status, count(*) FROM main.run GROUP BY 1 ORDER BY 1")
    orphaned = (
        "SELECT count(*) FROM main.artifact a WHERE a.run_id IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM main.run_artifact_link l WHERE l.artifact_id = a.id)"
    )
    rows = {
        table: _number(connection, f"SELECT count(*) FROM memory.{SCHEMA}.{identifier(table)}")
        for table in tables_of(connection, "memory")
    }
    artifacts = _number(connection, "SELECT count(*) FROM main.artifact")
    return Totals(dict(by_status), artifacts, _number(connection, orphaned), rows)


def row_counts(connection: DuckDBPyConnection, artifact_ids: list[str]) -> dict[str, int]:
    """Return how many ingested rows some artifacts have, by table; tables without any left out."""
    counts: dict[str, int] = {}
    for table, columns in tables_of(connection, "memory").items():
        if "consist_artifact_id" in columns:
            found = connection.execute(
                f"SELECT count(*) FROM memory.{SCHEMA}.{identifier(table)}"
                " WHERE consist_artifact_id IN (SELECT unnest(?))",
                [artifact_ids],
            ).fetchall()
            counts[table] = int(found[0][0])
    return {table: count for table, count in counts.items() if count}


def _number(connection: DuckDBPyConnection, statement: str) -> int:
    return int(connection.execute(statement).fetchall()[0][0])


def _pairs(connection: DuckDBPyConnection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement).fetchall()


def _texts(connection: DuckDBPyConnection, statement: str) -> list[str]:
    return [row[0] for row in connection.execute(statement).fetchall()]


# ---------------------------------------------------------------- runs that never ended


class Unended(NamedTuple):
    """Runs that are recorded as running.

    Attributes
    ----------
    dead : list of str
        Their process is gone, or they have an end.
    alive : list of str
        Their process lives, on this host.
    unknown : dict
        Run of another host, or of a process that was not recorded: what is known of it.
    """

    dead: list[str]
    alive: list[str]
    unknown: dict[str, str]


def unended(connection: DuckDBPyConnection) -> Unended:
    """Tell which runs that the database takes for running still do."""
    found = Unended([], [], {})
    rows = connection.execute(
        "SELECT r.id, r.ended_at IS NOT NULL, r.updated_at, e.extra FROM main.run r"
        " LEFT JOIN main.run_extra e ON e.run_id = r.id WHERE r.status = 'running' ORDER BY r.id"
    ).fetchall()
    for run_id, has_end, updated_at, extra in rows:
        process = _process(extra)
        if has_end or (process is not None and locks.has_ended(process)):
            found.dead.append(run_id)
        elif process is None or process.host != locks.this_process().host:
            found.unknown[run_id] = _last_known(process, updated_at)
        else:
            found.alive.append(run_id)
    # What the tail shows as interrupted, no merge has recorded yet.
    stored = f" AND uid NOT IN (SELECT uid FROM {ALIAS}.main.run WHERE status = 'interrupted')"
    found.dead.extend(
        _texts(
            connection,
            "SELECT id FROM main.run WHERE status = 'interrupted' AND ended_at IS NULL"
            f"{stored if store_values(connection, ALIAS) else ''} ORDER BY id",
        )
    )
    return found


def _process(extra: str | None) -> ProcessRecord | None:
    found = msgspec.json.decode(extra).get("process") if extra else None
    return None if found is None else msgspec.convert(found, ProcessRecord)


def _last_known(process: ProcessRecord | None, at: datetime) -> str:
    who = "an unknown process" if process is None else f"process {process.pid} on {process.host}"
    return f"{who}, last heard of {at.isoformat()}"


# ---------------------------------------------------------------- contradictions

_QUESTIONS: Mapping[str, str] = {
    "completed_without_end_time": "SELECT id FROM main.run"
    " WHERE status IN ('completed', 'failed') AND ended_at IS NULL ORDER BY id",
    "dangling_parent_run_ids": "SELECT DISTINCT parent_run_id FROM main.run"
    " WHERE parent_run_id IS NOT NULL AND parent_run_id NOT IN (SELECT id FROM main.run)"
    " ORDER BY 1",
    "artifacts_with_missing_producing_run": "SELECT id FROM main.artifact WHERE run_id IS NOT NULL"
    " AND run_id NOT IN (SELECT id FROM main.run){purged} ORDER BY id",
    "duplicate_run_ids": "SELECT id FROM main.run GROUP BY id HAVING count(*) > 1 UNION"
    " SELECT min(id) FROM main.run GROUP BY uid HAVING count(*) > 1 ORDER BY 1",
    "duplicate_artifact_ids": "SELECT id FROM main.artifact GROUP BY id HAVING count(*) > 1"
    " ORDER BY id",
    "links_to_missing_artifacts": "SELECT DISTINCT run_id || ' -> ' || artifact_id"
    " FROM main.run_artifact_link WHERE artifact_id NOT IN (SELECT id FROM main.artifact)"
    " ORDER BY 1",
    "links_of_missing_runs": "SELECT DISTINCT run_id FROM main.run_artifact_link"
    " WHERE run_id NOT IN (SELECT id FROM main.run) ORDER BY 1",
}


def contradictions(connection: DuckDBPyConnection) -> dict[str, list[str]]:
    """Return the ids of all that cannot be as the tables say, by what is wrong with it."""
    version = int(store_values(connection, ALIAS).get("schema_version", 0))
    purged = f" AND run_id NOT IN (SELECT run_id FROM {ALIAS}.main.consist_purged)"
    purged = purged if version >= CHANGES_SINCE else ""
    return {
        name: _texts(connection, statement.format(purged=purged))
        for name, statement in _QUESTIONS.items()
    }


def drift(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return what is wrong with tables of ingested rows, by table."""
    if HAS_ROWS not in store_values(connection, ALIAS):
        return {}
    told = _pairs(
        connection,
        f"SELECT table_name, sum(row_count) FROM {ALIAS}.{SCHEMA}.{LEDGER} GROUP BY 1 ORDER BY 1",
    )
    tables = tables_of(connection, ALIAS)
    names = {name.lower(): name for name in tables}
    found: dict[str, str] = {}
    for table, count in told:
        known = names.pop(table.lower(), None)
        if known is None:
            found[table] = "the ledger names it, and it is not there"
            continue
        stored = f"{ALIAS}.{SCHEMA}.{identifier(known)}"
        there = _number(connection, f"SELECT count(*) FROM {stored}")
        if there != count:
            found[table] = f"it has {there} rows, and the ledger tells of {int(count)}"
    for name in names.values():
        if "consist_artifact_id" not in tables[name]:
            found[name] = "it has no column consist_artifact_id, so no artifact owns its rows"
        elif _number(connection, f"SELECT count(*) FROM {ALIAS}.{SCHEMA}.{identifier(name)}"):
            found[name] = "it has rows, and the ledger does not tell of them"
    return found


def run_ids(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return the recorded id of every run, by internal id."""
    return dict(connection.execute("SELECT uid, id FROM main.run").fetchall())
