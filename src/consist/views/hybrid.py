"""One SQL view over the files that many runs recorded under one key."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.artifacts.keys import check_key
from consist.errors import UsageError, hint
from consist.models.record import ArtifactRecord
from consist.store.maintenance import as_record

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

logger = logging.getLogger("consist.views")

SYSTEM_COLUMNS = {
    "consist_run_id": "VARCHAR",
    "consist_artifact_id": "VARCHAR",
    "consist_year": "INTEGER",
    "consist_iteration": "INTEGER",
    "consist_scenario_id": "VARCHAR",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

# A scenario contributes the outputs of the attempt that is meant (the latest completed one) once,
# executed or hit; a run outside scenarios contributes as the producer alone.
_SOURCES = """
WITH header AS (
    SELECT id, requested_id FROM (
        SELECT r.id, r.requested_id, row_number() OVER (
            PARTITION BY r.requested_id ORDER BY (r.status = 'completed') DESC, r.attempt DESC
        ) AS place
        FROM run r WHERE json_contains(r.tags, '"scenario_header"')
    ) WHERE place = 1
)
SELECT r.id AS member_run, r.year AS member_year, r.iteration AS member_iteration,
    header.requested_id AS member_scenario, a.*
FROM artifact a
JOIN run_artifact_link l ON l.artifact_id = a.id AND l.direction = 'output'
JOIN run r ON r.id = l.run_id AND r.status = 'completed'
LEFT JOIN header ON header.id = r.parent_run_id
WHERE a.key = ? AND (header.id IS NOT NULL OR (r.parent_run_id IS NULL AND a.run_id = r.id))
ORDER BY r.created_at, a.id
"""


@dataclass(frozen=True)
class Source:
    """A file, and the run that it stands for in a view."""

    record: ArtifactRecord
    path: Path
    run_id: str
    year: int | None
    iteration: int | None
    scenario: str | None


def create_view(ws: Workspace, view_name: str, concept_key: str) -> str:
    """Make a SQL view over every recorded table of a key, whichever run it is from.

    The view has the columns of the files, matched by name, and ``consist_run_id``,
    ``consist_artifact_id``, ``consist_year``, ``consist_iteration`` and ``consist_scenario_id``
    (the plain name of the scenario). It follows what is recorded: each question through this
    tracker sees the files there are by then. Missing files are passed over with a warning.

    Parameters
    ----------
    view_name : str
        Name of the view: letters, digits and underscores.
    concept_key : str
        Artifact key.

    Returns
    -------
    str
        The name of the view.

    Raises
    ------
    RuntimeError
        Without a database.
    ValueError
        If the name is not a plain identifier or belongs to a table of the library.
    """
    from consist.store.schema import KEYS

    ws.check_database("create_view")
    check_key(concept_key)
    if not _NAME.fullmatch(view_name):
        problem = UsageError(f"view name {view_name!r} is not a plain identifier")
        raise hint(problem, "use letters, digits and underscores")
    if view_name in KEYS:
        raise UsageError(f"{view_name!r} is a table of the provenance database")
    views: dict[str, str] = ws.memory.setdefault("views", {})
    if not views:
        ws.store.furnish(lambda connection: _refresh(ws, connection, views))
    views[view_name] = concept_key
    return view_name


def _refresh(ws: Workspace, connection: DuckDBPyConnection, views: dict[str, str]) -> None:
    """Bring the views up to date with what is recorded."""
    known: dict[str, Any] = ws.memory.setdefault("view_sources", {})
    for name, key in views.items():
        sources = _sources(ws, connection, key)
        stamp = (id(ws.store), tuple((s.record.id, s.run_id, str(s.path)) for s in sources))
        if known.get(name) != stamp or not _exists(connection, name):
            connection.execute(f'CREATE OR REPLACE VIEW main."{name}" AS {view_sql(ws, sources)}')
            known[name] = stamp


def _exists(connection: DuckDBPyConnection, name: str) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM duckdb_views() WHERE view_name = ? AND schema_name = 'main'"
        " AND database_name = current_database()",
        [name],
    ).fetchone()
    return bool(row and row[0])


def _sources(ws: Workspace, connection: DuckDBPyConnection, key: str) -> list[Source]:
    found = connection.execute(_SOURCES, [key])
    names = [column[0] for column in found.description or ()]
    sources: list[Source] = []
    for row in found.fetchall():
        values = dict(zip(names, row, strict=True))
        facts = [values.pop(f"member_{name}") for name in ("run", "year", "iteration", "scenario")]
        record = as_record(values)
        path = ws.path_of(record)
        if ws.formats.driver(record.driver).kind != "table":
            continue
        if not path.exists():
            logger.warning("[Consist] view over %r passes over a missing file: %s", key, path)
            continue
        sources.append(Source(record, path, *facts))
    return sources


# ---------------------------------------------------------------- SQL


def view_sql(ws: Workspace, sources: Sequence[Source]) -> str:
    """Return the statement that unites the files, each row with the run it stands for."""
    if not sources:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {n}" for n, kind in SYSTEM_COLUMNS.items())
        return f"SELECT {columns} WHERE false"
    parts: list[str] = []
    for driver in dict.fromkeys(source.record.driver for source in sources):
        mine = [source for source in sources if source.record.driver == driver]
        paths = list(dict.fromkeys(str(source.path) for source in mine))
        scan = ws.formats.driver(driver).scan(paths, filename="consist_file")
        parts.append(
            f"SELECT f.* EXCLUDE (consist_file), m.* EXCLUDE (consist_file)"
            f" FROM {scan} f JOIN ({_members(mine)}) m USING (consist_file)"
        )
    return " UNION ALL BY NAME ".join(parts)


def _members(sources: Iterable[Source]) -> str:
    rows = ", ".join(
        "("
        + ", ".join(
            [
                _text(str(source.path)),
                _text(source.run_id),
                _text(source.record.id),
                _number(source.year),
                _number(source.iteration),
                _text(source.scenario),
            ]
        )
        + ")"
        for source in sources
    )
    casts = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in SYSTEM_COLUMNS.items())
    names = ", ".join(("consist_file", *SYSTEM_COLUMNS))
    return f"SELECT consist_file, {casts} FROM (VALUES {rows}) t({names})"


def _text(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def _number(value: int | None) -> str:
    return "NULL" if value is None else str(int(value))
