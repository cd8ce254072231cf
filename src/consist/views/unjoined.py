"""Ingested rows that tell themselves what a view says of them.

A join by text ids takes longer than all else that an aggregate over a table does. Stored rows know
run, year and iteration, so there is nothing to join where a view shows each row of a table once,
and under the run that it was stored for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from consist.store.database import ALIAS
from consist.store.global_tables import LEDGER, SCHEMA, identifier, literal
from consist.views.parts import FILE, Layout, Part

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ID, _SCENARIO = "consist_artifact_id", "consist_scenario_id"
_LOOKED_UP = 300
"""Artifacts of several scenarios whose names are looked up; that of many takes long."""

_STAGED = """
SELECT count(*) FROM duckdb_views() WHERE database_name = 'memory' AND schema_name = ?
    AND view_name = ? AND contains(sql, 'read_parquet')
"""
_SHOWN = f"""
WITH shown AS (
    SELECT unnest(from_json(?, '[{{"id": "VARCHAR", "run": "VARCHAR"}}]'), max_depth := 2)
), stored AS (
    SELECT artifact_id, run_id, row_count FROM {ALIAS}.{SCHEMA}.{LEDGER} WHERE table_name = ?
)
SELECT count(*), count(shown.id), coalesce(sum(stored.row_count), 0)
FROM stored LEFT JOIN shown
    ON shown.id = stored.artifact_id AND coalesce(shown.run, stored.run_id) = stored.run_id
"""


def unjoined(connection: DuckDBPyConnection, table: str, part: Part, layout: Layout) -> Part:
    """Return the scan of a table without a join, where none is needed."""
    if layout.attached:
        return part
    scenario = _scenario(part.rows) if layout.system else ""
    if scenario is None or not _is_whole(connection, table, part):
        return part
    own = {name: f"f.{name}" for name in layout.of_members}
    return replace(part, own=own | ({_SCENARIO: scenario} if layout.system else {}))


def _is_whole(connection: DuckDBPyConnection, table: str, part: Part) -> bool:
    """Whether each row of a table is one of the part's, once, and of the run that it tells."""
    ids = {row[FILE] for row in part.rows}
    if len(ids) < len(part.rows) or _first(connection, _STAGED, [SCHEMA, table])[0]:
        return False
    shown = [{"id": row[FILE], "run": row.get("consist_run_id")} for row in part.rows]
    stored, found, rows = _first(connection, _SHOWN, [msgspec.json.encode(shown).decode(), table])
    if not stored == found == len(ids):
        return False
    return rows == _first(connection, f"SELECT count(*) FROM {part.scan}")[0]


def _scenario(rows: Sequence[Any]) -> str | None:
    """Return SQL for the scenario of a row, ``None`` where a join tells it sooner."""
    scenarios = {row[_SCENARIO] for row in rows}
    if len(scenarios) == 1:
        name = scenarios.pop()
        return "CAST(NULL AS VARCHAR)" if name is None else literal(str(name))
    if len(rows) > _LOOKED_UP:
        return None
    ids, names = ([row[column] for row in rows] for column in (_ID, _SCENARIO))
    return f"MAP({_texts(ids)}, {_texts(names)})[f.{identifier(_ID)}]"


def _texts(values: list[object]) -> str:
    listed = literal(msgspec.json.encode(values).decode())
    return f"""from_json({listed}, '["VARCHAR"]')"""


def _first(connection: DuckDBPyConnection, query: str, values: Sequence[object] = ()) -> Any:
    return connection.execute(query, list(values)).fetchall()[0]
