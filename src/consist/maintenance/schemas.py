"""Captured schemas, looked at as a whole: late captures, drifts, and relations that hold."""
# ruff: noqa: S608  # names of tables and columns are quoted, values are bound

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consist.errors import ArtifactChanged, FileGone, UnsupportedFormat, UsageError, hint
from consist.formats.sql import identifier
from consist.hot.naming import table_name
from consist.hot.schema_export import read_schema
from consist.hot.schemas import check_sample, is_tabular, look, observation
from consist.identity.files import FAST
from consist.maintenance.changes import recorded_run, say
from consist.models.record import ArtifactRecord, replace
from consist.store.captured import content_of
from consist.store.global_tables import SCHEMA, Columns, tables_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.models.artifact import Artifact
    from consist.workspace import Workspace


class CapturedFile(msgspec.Struct, frozen=True):
    """What became of a late capture.

    Attributes
    ----------
    schema_id : str
        The schema that the artifact has.
    path : str
        The file.
    artifact_id : str
        The artifact.
    captured : bool
        Whether the file was looked at; not where its content had a schema already.
    sample_rows : int or None
        How many rows were looked at.
    """

    schema_id: str
    path: str
    artifact_id: str
    captured: bool
    sample_rows: int | None = None


class Drift(msgspec.Struct, frozen=True):
    """A table that has other columns than the one of its key that was captured before.

    Attributes
    ----------
    key : str
        Key of both.
    source : {"file", "table"}
        Whether files were compared, or ingested rows.
    at : str
        When the later one was captured.
    run_id, artifact_id, schema_id
        The later one: who captured it, where, and the layout.
    before_run_id, before_schema_id
        The earlier one.
    gone, new : list of str
        Columns that only one of them has.
    changed : dict
        What columns were and are, by name, where type or nullability differ.
    """

    key: str
    source: str
    at: str
    run_id: str | None
    artifact_id: str
    schema_id: str
    before_run_id: str | None
    before_schema_id: str
    gone: list[str] = []
    new: list[str] = []
    changed: dict[str, list[str]] = {}


class Relation(msgspec.Struct, frozen=True):
    """Whether the values of a column are found in the column that it refers to.

    Attributes
    ----------
    from_table, from_field, to_table, to_field : str
        What refers to what.
    state : {"holds", "broken", "unchecked"}
        Whether every value is found; not checked where rows are not ingested.
    reason : str or None
        Why it could not be checked.
    rows : int
        Rows with a value.
    orphans : int
        Rows among them whose value is not found.
    examples : list of str
        Some of these values.
    """

    from_table: str
    from_field: str
    to_table: str
    to_field: str
    state: str
    reason: str | None = None
    rows: int = 0
    orphans: int = 0
    examples: list[str] = []


# ---------------------------------------------------------------- capturing late


def capture_file_schema(
    ws: Workspace,
    artifact: Artifact,
    path: Path,
    *,
    sample_rows: int = 1000,
    if_changed: bool = False,
) -> CapturedFile:
    """Capture the columns of the file of an artifact that was recorded before.

    The record and the snapshot of the run that made the artifact, or used it first, tell the schema
    from then on.

    Parameters
    ----------
    artifact : Artifact
        The artifact.
    path : Path
        Where the file is now; its bytes must be the recorded ones.
    sample_rows : int, default 1000
        How many rows are looked at.
    if_changed : bool, default False
        Look at nothing where a file of this content has a schema already.

    Returns
    -------
    CapturedFile

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds other bytes, or is no table.
    """
    check_sample(sample_rows, "sample_rows")
    record = artifact.to_record()
    if not is_tabular(ws, record.driver):
        raise UnsupportedFormat(record.driver, f"capture columns of {record.key!r}")
    known = _known(ws, record) if if_changed else None
    if known is not None and known[1]:
        return CapturedFile(known[0], str(path), record.id, captured=False)
    rows: int | None = None
    if known is not None:
        with ws.store.ask() as connection:
            found = read_schema(connection, known[0])
    else:
        _check_bytes(ws, record, path)
        found, rows = look(ws, record, path, sample_rows)
        found = replace(found, summary={**found.summary, "table_name": table_name(record.key)})
    seen = replace(
        observation(record, found, "file", rows), key=record.key, content=content_of(record)
    )
    summary: dict[str, Any] = {"source": "file", "n_columns": len(found.fields)}
    summary |= {"sample_rows": rows} if rows is not None else {}
    news = {"schema_id": found.id, "schema_summary": summary}
    run = recorded_run(ws, _run_of(ws, record), "capture a schema")
    say(ws, [run], schemas=(seen,), news={record.id: news})
    return CapturedFile(found.id, str(path), record.id, captured=known is None, sample_rows=rows)


def _known(ws: Workspace, record: ArtifactRecord) -> tuple[str, bool] | None:
    """Return the schema that files of this content have, and whether it is of this artifact."""
    with ws.store.ask() as connection:
        row = connection.execute(
            "SELECT o.schema_id, a.id = $id FROM artifact_schema_observation o"
            " JOIN artifact a ON a.id = o.artifact_id WHERE o.source = 'file'"
            " AND coalesce(a.content_id, a.hash, a.id) = $content"
            " AND a.table_path IS NOT DISTINCT FROM $part"
            " ORDER BY 2 DESC, o.observed_at DESC, o.id DESC LIMIT 1",
            {
                "id": record.id,
                "content": record.content_id or record.hash or record.id,
                "part": record.table_path,
            },
        ).fetchone()
    return None if row is None else (str(row[0]), bool(row[1]))


def _check_bytes(ws: Workspace, record: ArtifactRecord, path: Path) -> None:
    if not path.exists():
        raise hint(FileGone(record.key, (str(path),)), "--path tells where the file is now")
    if record.hash is None or record.hash.startswith(FAST):
        return
    if not ws.files.is_same(path, record.hash):
        found = ws.files.digest(path)
        problem = ArtifactChanged(record.key, str(path), record.hash, found, record.run_id, None)
        raise hint(problem, "log the file as it is now, with profile_file_schema=True")


def _run_of(ws: Workspace, record: ArtifactRecord) -> str:
    """Return the run that made an artifact, or the first that used it."""
    with ws.store.ask() as connection:
        row = connection.execute(
            "SELECT r.id FROM run_artifact_link l JOIN run r ON r.id = l.run_id"
            " WHERE l.artifact_id = $id"
            " ORDER BY r.id IS NOT DISTINCT FROM $run DESC, r.created_at, r.id LIMIT 1",
            {"id": record.id, "run": record.run_id},
        ).fetchone()
    if row is None:
        raise UsageError(f"no recorded run made or used {record.key!r}")
    return str(row[0])


# ---------------------------------------------------------------- drift

_DRIFTS = """
WITH seen AS (
    SELECT a.key, CASE o.source WHEN 'file' THEN 'file' ELSE 'table' END AS kind,
        o.id, o.schema_id, o.run_id, o.artifact_id, o.observed_at
    FROM artifact_schema_observation o JOIN artifact a ON a.id = o.artifact_id
    WHERE o.source <> 'user_provided' AND ($key IS NULL OR a.key = $key)
), told AS (
    SELECT *, lag(schema_id) OVER w AS before, lag(run_id) OVER w AS before_run FROM seen
    WINDOW w AS (PARTITION BY key, kind ORDER BY observed_at, id)
), drift AS (
    SELECT * FROM told WHERE before <> schema_id ORDER BY observed_at DESC, id DESC LIMIT $limit
), pair AS (
    SELECT DISTINCT before, schema_id AS after FROM drift
), field AS (
    SELECT p.before, p.after, f.name, f.ordinal_position AS place,
        f.logical_type || CASE WHEN f.nullable THEN '' ELSE ' NOT NULL' END AS old, NULL AS new
    FROM pair p JOIN artifact_schema_field f ON f.schema_id = p.before
    UNION ALL
    SELECT p.before, p.after, f.name, f.ordinal_position,
        NULL, f.logical_type || CASE WHEN f.nullable THEN '' ELSE ' NOT NULL' END
    FROM pair p JOIN artifact_schema_field f ON f.schema_id = p.after
), side AS (
    SELECT before, after, name, min(place) AS place, max(old) AS old, max(new) AS new
    FROM field GROUP BY ALL
), difference AS (
    SELECT before, after,
        list(name ORDER BY place) FILTER (WHERE new IS NULL) AS gone,
        list(name ORDER BY place) FILTER (WHERE old IS NULL) AS new,
        list([name, old, new] ORDER BY place) FILTER (WHERE old <> new) AS changed
    FROM side GROUP BY ALL
)
SELECT d.key, d.kind, d.observed_at::VARCHAR, d.run_id, d.artifact_id, d.schema_id, d.before_run,
    d.before, f.gone, f.new, f.changed
FROM drift d LEFT JOIN difference f ON f.before = d.before AND f.after = d.schema_id
ORDER BY d.observed_at DESC, d.id DESC
"""


def schema_drifts(ws: Workspace, key: str | None = None, *, limit: int = 100) -> list[Drift]:
    """Return where tables of a key have other columns than before, the latest first.

    Files are compared with files, ingested rows with ingested rows, in the order in which they were
    captured, across all runs.

    Parameters
    ----------
    key : str, optional
        Only tables of this key.
    limit : int, default 100
        Most drifts to return.

    Raises
    ------
    RuntimeError
        Without a database, or if somebody else holds it.
    """
    ws.check_database("schema_drifts")
    with ws.store.ask() as connection:
        rows: list[Any] = connection.execute(_DRIFTS, {"key": key, "limit": limit}).fetchall()
    return [_drift(row) for row in rows]


def _drift(row: Any) -> Drift:
    gone: list[str] = row[8] or []
    new: list[str] = row[9] or []
    changed: list[list[str]] = row[10] or []
    return Drift(*row[:8], gone=gone, new=new, changed={one[0]: one[1:] for one in changed})


# ---------------------------------------------------------------- relations


def check_relations(ws: Workspace) -> list[Relation]:
    """Return which foreign keys of captured schemas the ingested rows keep to.

    A value counts as found if any row of the other table has it, of whichever run. DuckDB cannot
    add foreign keys to tables that exist, so nothing is changed: view ``consist_schema_links`` has
    the relations, and this says which of them hold.

    Raises
    ------
    RuntimeError
        Without a database, or if somebody else holds it.
    """
    ws.check_database("check_relations")
    with ws.store.ask() as connection:
        links = connection.execute(
            "SELECT DISTINCT from_table, from_field, to_table, to_field FROM consist_schema_links"
            " ORDER BY ALL"
        ).fetchall()
        columns = tables_of(connection, "memory")
        return [_checked(connection, columns, *map(str, link)) for link in links]


def _checked(
    connection: DuckDBPyConnection,
    columns: dict[str, Columns],
    from_table: str,
    from_field: str,
    to_table: str,
    to_field: str,
) -> Relation:
    names = (from_table, from_field, to_table, to_field)
    for table, field in ((from_table, from_field), (to_table, to_field)):
        if table not in columns:
            return Relation(*names, "unchecked", f"no rows of {table!r} are ingested")
        if field.lower() not in columns[table]:
            return Relation(*names, "unchecked", f"table {table!r} has no column {field!r}")
    (own, kind), (other, other_kind) = (
        columns[from_table][from_field.lower()],
        columns[to_table][to_field.lower()],
    )
    cast = "CAST({} AS VARCHAR)" if kind != other_kind else "{}"
    value, known = cast.format(identifier(own)), cast.format(identifier(other))
    statement = (  # names are quoted
        f"WITH v AS (SELECT {value} AS v FROM memory.{SCHEMA}.{identifier(from_table)}"
        f" WHERE {identifier(own)} IS NOT NULL),"
        f" k AS (SELECT DISTINCT {known} AS v FROM memory.{SCHEMA}.{identifier(to_table)}),"
        " o AS (SELECT v FROM v ANTI JOIN k USING (v))"
        " SELECT (SELECT count(*) FROM v), (SELECT count(*) FROM o),"
        " (SELECT list(v::VARCHAR ORDER BY v) FROM (SELECT DISTINCT v FROM o ORDER BY v LIMIT 3))"
    )
    rows, orphans, examples = connection.execute(statement).fetchall()[0]
    state = "broken" if orphans else "holds"
    return Relation(*names, state, None, rows, orphans, examples or [])
