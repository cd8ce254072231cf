"""What a database holds, and where it contradicts itself, as statements about its tables.

Every statement is asked with the tail, so that records which no merge has reached count as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from consist.models.record import ProcessRecord
from consist.store import locks
from consist.store.arriving import RowsAside
from consist.store.database import ALIAS
from consist.store.global_tables import LEDGER, SCHEMA, common_type, shape_of
from consist.store.migrations import CHANGES_SINCE, store_values
from consist.store.row_tables import RowTable, asked_tables, count, row_tables
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
    rows = {table.name: count(connection, table) for table in asked_tables(connection)}
    artifacts = _number(connection, "SELECT count(*) FROM main.artifact")
    return Totals(dict(by_status), artifacts, _number(connection, orphaned), rows)


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
    """Return what is wrong with tables of ingested rows, by table.

    Tables that name no artifacts are none of ours, and nothing is known of what they should hold.
    """
    if HAS_ROWS not in store_values(connection, ALIAS):
        return {}
    tables = row_tables(connection, ALIAS)
    found: dict[str, list[str]] = {}
    for name, told in _told(connection).items():
        table = tables.get(name.lower())
        if table is None:
            found[name] = ["the ledger names it, and it is not there"]
        elif not table.is_by_artifact:
            found[name] = ["it has no column consist_artifact_id, so no artifact owns its rows"]
        else:
            found[table.name] = list(_misfits(connection, table, told))
    for table in tables.values():
        if table.is_by_artifact:
            found.setdefault(table.name, []).extend(_miscounted(connection, table))
    return {table: "; ".join(what) for table, what in sorted(found.items()) if what}


def _told(connection: DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """Return the columns that ingests gave each table, with their types, as the ledger tells."""
    shape = '[{"stored": "VARCHAR", "type": "VARCHAR"}]'
    rows = _pairs(
        connection,
        "SELECT DISTINCT table_name, c.stored, c.type FROM (SELECT table_name,"
        f" unnest(from_json(json_extract(source, '$.columns'), '{shape}')) AS c"
        f" FROM {ALIAS}.{SCHEMA}.{LEDGER}) ORDER BY ALL",
    )
    told: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        told.setdefault(table, []).append((column, kind))
    return told


_APART = re.compile(r"(.+)__((?:list_of_)*(?:plain|struct|map|union))(?:_\d+)?")


def kept_apart(connection: DuckDBPyConnection) -> list[str]:
    """Tell which columns hold values that those of the same name could not take in."""
    if HAS_ROWS not in store_values(connection, ALIAS):
        return []
    shape = '[{"name": "VARCHAR", "stored": "VARCHAR", "type": "VARCHAR"}]'
    rows = _pairs(
        connection,
        "SELECT table_name, c.name, c.stored, c.type, count(DISTINCT artifact_id) FROM (SELECT"
        f" table_name, artifact_id, unnest(from_json(json_extract(source, '$.columns'), '{shape}'))"
        f" AS c FROM {ALIAS}.{SCHEMA}.{LEDGER}) WHERE c.name <> c.stored"
        " AND contains(c.stored, '__') GROUP BY ALL ORDER BY ALL",
    )
    tables = row_tables(connection, ALIAS)
    found: list[str] = []
    for table, name, stored, kind, artifacts in rows:
        match, known = _APART.fullmatch(stored), tables.get(table.lower())
        first = known.columns.get(match[1].lower()) if match and known else None
        if first is not None and shape_of(first[1]) != shape_of(kind):
            found.append(
                f"{table}: {stored} has {name!r} of {artifacts} artifacts, {kind}; {first[0]} is"
                f" {first[1]}"
            )
    return found


def still_aside(connection: DuckDBPyConnection, told: Iterable[RowsAside]) -> list[str]:
    """Tell which rows were put aside and have not been ingested again since."""
    told = list(told)
    again = connection.execute(
        "SELECT id FROM main.artifact WHERE id IN (SELECT unnest(?::VARCHAR[]))"
        " AND json_extract_string(meta, '$.is_ingested') = 'true'",
        [[one.artifact_id for one in told]],
    ).fetchall()
    there = {row[0] for row in again}
    return [
        f"{one.key} of {one.run_id}, for table {one.table}: {one.files[0]}; {one.reason}"
        for one in told
        if one.artifact_id not in there
    ]


def _misfits(
    connection: DuckDBPyConnection, table: RowTable, told: list[tuple[str, str]]
) -> Iterator[str]:
    for column, kind in told:
        known = table.columns.get(column.lower())
        if known is None:
            yield f"column {column!r}, which was ingested as {kind}, is not there"
        elif (
            known[1] not in {kind, "VARCHAR"}
            and common_type(connection, known[1], kind) != known[1]
        ):
            yield f"column {column!r}, ingested as {kind}, is {known[1]}, which cannot hold it"


def _miscounted(connection: DuckDBPyConnection, table: RowTable) -> Iterator[str]:
    """Say which artifacts have other rows in a table than the ledger tells."""
    ledger = f"{ALIAS}.{SCHEMA}.{LEDGER}"
    (row,) = connection.execute(
        "WITH told AS (SELECT artifact_id AS id, sum(row_count) AS told"
        f" FROM {ledger} WHERE lower(table_name) = lower(?) GROUP BY ALL),"
        " there AS (SELECT consist_artifact_id AS id, count(*) AS there"
        f" FROM {table.source} WHERE consist_artifact_id IS NOT NULL GROUP BY ALL)"
        " SELECT count_if(told IS NULL), coalesce(sum(there) FILTER (told IS NULL), 0),"
        " count_if(told <> coalesce(there, 0)), min(id) FILTER (told <> coalesce(there, 0)),"
        " coalesce(sum(told) FILTER (told <> coalesce(there, 0)), 0),"
        " coalesce(sum(there) FILTER (told <> coalesce(there, 0)), 0)"
        " FROM told FULL JOIN there USING (id)",
        [table.name],
    ).fetchall()
    unknown, rows, wrong, first, told, there = row
    if unknown:
        yield f"it has {int(rows)} rows of {unknown} artifacts that the ledger does not tell of"
    if wrong:
        yield (
            f"it has {int(there)} rows of {wrong} artifacts, such as {first}, of which the ledger"
            f" tells {int(told)}"
        )


def run_ids(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return the recorded id of every run, by internal id."""
    return dict(connection.execute("SELECT uid, id FROM main.run").fetchall())
