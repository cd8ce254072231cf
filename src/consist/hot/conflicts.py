"""Columns that cannot be one with those of their table, refused before anything is recorded.

Inside a run nothing may wait for the database, so only what this process ingested itself is known;
what another process stored meanwhile gets a column of its own when it is merged. Outside a run the
table itself is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consist.errors import ColumnConflict, hint
from consist.formats.sql import identifier, literal
from consist.hot.staged_rows import in_memory
from consist.models.record import IngestEvent, StoredColumn
from consist.store.global_tables import SCHEMA, Staged, shape_of

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

_NAME = "column_shapes"


def refuse_conflicts(ws: Workspace, event: IngestEvent, path: Path, *, offline: bool) -> None:
    """Refuse rows with a column whose values no type holds together with those that are there.

    Raises
    ------
    ColumnConflict
        Naming table, column and both types.
    """
    own, artifact_id = Staged(event, path), event.artifact.id
    known = _known(ws, event.rows.table)
    found = [
        (column, kind)
        for column in event.rows.columns
        for kind, owner in known.get(column.stored.lower(), {}).values()
        if owner != artifact_id and shape_of(kind) != shape_of(column.type)
    ]
    if offline:
        found += _in_database(ws, event)
    for column, kind in found:
        if _has_values(own, column):
            problem = ColumnConflict(event.rows.table, column.name, kind, column.type)
            raise hint(problem, "convert or rename the column, or ingest under another key")


def shapes_told(ws: Workspace, event: IngestEvent, path: Path) -> dict[str, str]:
    """Return types of the columns that a table gets by an ingest, as far as they are news.

    Plain ones count only where they have values.
    """
    known = _known(ws, event.rows.table)
    return {
        column.stored.lower(): column.type
        for column in event.rows.columns
        if shape_of(column.type) not in known.get(column.stored.lower(), {})
        and (column.type != "INTEGER" or _has_values(Staged(event, path), column))
    }


def remember(ws: Workspace, event: IngestEvent, told: dict[str, str]) -> None:
    """Note what :func:`shapes_told` of an ingest, once it is recorded."""
    known, artifact_id = _known(ws, event.rows.table), event.artifact.id
    types = {column.stored.lower(): column.type for column in event.rows.columns}
    for column, shapes in list(known.items()):
        kept = shape_of(types[column]) if column in types else None
        for shape, (_, owner) in list(shapes.items()):
            if owner == artifact_id and shape != kept:  # what the artifact had is replaced
                shapes.pop(shape, None)
    for column, kind in told.items():
        known.setdefault(column, {}).setdefault(shape_of(kind), (kind, artifact_id))


def _known(ws: Workspace, table: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and first artifact of the columns of a table, by column and shape."""
    return ws.memory.setdefault(_NAME, {}).setdefault(table, {})


def _has_values(staged: Staged, column: StoredColumn) -> bool:
    with in_memory(staged.path.with_suffix(".spill")) as connection:
        return _counts(connection, identifier(column.staged), staged.scan, "true")


def _in_database(ws: Workspace, event: IngestEvent) -> list[tuple[StoredColumn, str]]:
    table = f"{SCHEMA}.{identifier(event.rows.table)}"
    others = f"consist_artifact_id <> {literal(event.artifact.id)}"
    with ws.store.ask() as connection:
        rows = connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'memory'"
            " AND schema_name = ? AND lower(table_name) = lower(?)",
            [SCHEMA, event.rows.table],
        ).fetchall()
        stored = {name.lower(): (name, kind) for name, kind in rows}
        return [
            (column, kind)
            for column in event.rows.columns
            if column.stored.lower() in stored
            for name, kind in [stored[column.stored.lower()]]
            if shape_of(kind) != shape_of(column.type)
            and _counts(connection, identifier(name), table, others)
        ]


def _counts(connection: DuckDBPyConnection, column: str, table: str, where: str) -> bool:
    statement = f"SELECT count({column}) > 0 FROM {table} WHERE {where}"
    return bool(connection.execute(statement).fetchall()[0][0])
