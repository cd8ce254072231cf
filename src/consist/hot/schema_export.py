"""Captured schemas out of the record: which one an artifact has, and as a model to be edited."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from consist.errors import NotRecorded, UsageError, WrongType, hint
from consist.files.atomic import unwritable, write_atomic
from consist.hot.stub import stub
from consist.models.observed import SchemaField, SchemaRecord, SchemaRelation
from consist.models.record import replace
from consist.store.global_tables import SYSTEM_COLUMNS
from consist.types import PathLike, check_option, is_path

if TYPE_CHECKING:
    from uuid import UUID

    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

_SOURCES = ("file", "duckdb", "user_provided")

_CHOSEN = """
SELECT schema_id FROM (
    SELECT schema_id, observed_at, id, CASE
        WHEN source = 'user_provided' THEN 0
        WHEN source = $source OR (source = 'dlt' AND $source = 'duckdb') THEN 1
        WHEN source = 'file' THEN 2 ELSE 3 END AS place
    FROM artifact_schema_observation WHERE artifact_id = $artifact
    UNION ALL
    SELECT json_extract_string(meta, '$.schema_id'), NULL, NULL, 4 FROM artifact
    WHERE id = $artifact
)
WHERE schema_id IN (SELECT id FROM artifact_schema)
ORDER BY place, observed_at DESC, id DESC LIMIT 1
"""
_KEY = """
SELECT a.key, o.source FROM artifact_schema_observation o JOIN artifact a ON a.id = o.artifact_id
WHERE o.schema_id = $schema ORDER BY o.source = 'user_provided' DESC, o.observed_at DESC, o.id DESC
LIMIT 1
"""


def export_schema_sqlmodel(
    ws: Workspace,
    *,
    schema_id: str | None = None,
    artifact_id: str | UUID | None = None,
    out_path: PathLike | None = None,
    table_name: str | None = None,
    class_name: str | None = None,
    abstract: bool = True,
    include_system_cols: bool = False,
    include_stats_comments: bool = True,
    prefer_source: str | None = None,
) -> str:
    """Return a captured schema as the source of a SQLModel class, to be edited by hand.

    The module imports as it is. Names of columns become names that Python takes; the column itself
    keeps its name. To make a table of the class, take ``__abstract__`` away, or pass
    ``abstract=False``, and give one column or more ``primary_key=True``.

    Parameters
    ----------
    schema_id : str, optional
        The schema; ``prefer_source`` is without effect then.
    artifact_id : str or UUID, optional
        The artifact whose schema it is. Exactly one of the two is given.
    out_path : str or Path, optional
        Write the text to this file as well, whole or not at all.
    table_name, class_name : str, optional
        Name of the table, by default the key of the artifact (of a model of the user: its own),
        and of the class, by default made of that.
    abstract : bool, default True
        Whether the class makes no table.
    include_system_cols : bool, default False
        Also list the columns that ingestion adds.
    include_stats_comments : bool, default True
        Say in comments what was seen in the columns.
    prefer_source : {"file", "duckdb", "user_provided"}, optional
        Which schema of an artifact: that of its file (as without it), or of its ingested rows. One
        that the user provided always comes first.

    Returns
    -------
    str
        The source.

    Raises
    ------
    ValueError
        Without a database, for none or both of the selectors, or a name that is none.
    KeyError
        If there is no such schema or artifact, or the artifact has no schema.

    Examples
    --------
    >>> print(tracker.export_schema_sqlmodel(artifact_id=trips.id))  # doctest: +SKIP
    """
    if not ws.store.has_database:
        problem = UsageError("export_schema_sqlmodel needs a tracker with a db_path")
        raise hint(problem, "captured schemas are kept in the database")
    check_option("prefer_source", prefer_source or "file", _SOURCES)
    _check_names(table_name, class_name, out_path)
    if (schema_id is None) == (artifact_id is None):
        raise UsageError("pass exactly one of schema_id and artifact_id")
    with ws.store.ask() as connection:
        if schema_id is None:
            schema_id = _schema_of(connection, str(artifact_id), prefer_source or "file")
        found = read_schema(connection, schema_id)
        key = connection.execute(_KEY, {"schema": schema_id}).fetchone()
    if include_system_cols:
        known = {field.name for field in found.fields}
        added = [SchemaField(name=n, type=k) for n, k in SYSTEM_COLUMNS.items() if n not in known]
        found = replace(found, fields=(*found.fields, *added))
    text = stub(
        found,
        table_name=table_name or _table_of(found, key),
        class_name=class_name,
        abstract=abstract,
        system_columns=include_system_cols,
        comments=include_stats_comments,
    )
    if out_path is not None:
        write_text(Path(out_path), text)
    return text


def _check_names(table_name: object, class_name: object, out_path: object) -> None:
    for what, name in {"table_name": table_name, "class_name": class_name}.items():
        if name is not None and (not isinstance(name, str) or not name):
            raise WrongType(f"{what}={name!r} is no name")
    if isinstance(class_name, str) and (
        not class_name.isidentifier() or keyword.iskeyword(class_name)
    ):
        raise UsageError(f"class_name={class_name!r} is no name that Python takes for a class")
    if out_path is not None and not is_path(out_path):
        raise WrongType(f"out_path={out_path!r} is no path")


def _table_of(found: SchemaRecord, key: tuple[str, str] | None) -> str:
    if (found.profile and "model" in found.profile) or key is None:
        return str(found.summary.get("table_name") or "table")
    return key[0]


def write_text(path: Path, text: str) -> None:
    """Write source to a file, whole or not at all.

    Raises
    ------
    StoreUnwritable
        If that cannot be done.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(str(path), error) from error
    write_atomic(path, text.encode())


# ---------------------------------------------------------------- reading


def _schema_of(connection: DuckDBPyConnection, artifact_id: str, source: str) -> str:
    row = connection.execute(_CHOSEN, {"artifact": artifact_id, "source": source}).fetchone()
    if row is not None:
        return str(row[0])
    known = connection.execute("SELECT key FROM artifact WHERE id = ?", [artifact_id]).fetchone()
    if known is None:
        raise NotRecorded(artifact_id)
    problem = NotRecorded(f"schema of {known[0]!r}")
    raise hint(problem, "log it with profile_file_schema=True, or: consist schema capture-file")


def read_schema(connection: DuckDBPyConnection, schema_id: str) -> SchemaRecord:
    """Return a captured schema.

    Raises
    ------
    NotRecorded
        If there is none of this id.
    """
    row = connection.execute(
        "SELECT summary_json, profile_json FROM artifact_schema WHERE id = ?", [schema_id]
    ).fetchone()
    if row is None:
        raise hint(NotRecorded(schema_id), "no schema of this id was captured")
    columns = connection.execute(
        "SELECT name, logical_type, nullable, stats_json, enum_values_json"
        " FROM artifact_schema_field WHERE schema_id = ? ORDER BY ordinal_position",
        [schema_id],
    ).fetchall()
    relations = connection.execute(
        "SELECT from_field, to_table, to_field, relationship_type, cardinality"
        " FROM artifact_schema_relation WHERE schema_id = ? ORDER BY from_field",
        [schema_id],
    ).fetchall()
    return SchemaRecord(
        id=schema_id,
        fields=tuple(
            SchemaField(name=n, type=k, nullable=null, stats=_read(s), values=_tuple(_read(v)))
            for n, k, null, s, v in columns
        ),
        summary=_read(row[0]) or {},
        profile=_read(row[1]),
        relations=tuple(
            SchemaRelation(from_field=f, to_table=t, to_field=c, kind=kind, cardinality=n)
            for f, t, c, kind, n in relations
        ),
    )


def _read(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _tuple(values: Any) -> tuple[Any, ...] | None:
    return None if values is None else tuple(cast("list[Any]", values))
