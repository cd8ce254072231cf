"""Which artifacts a grouped view shows: by the columns they have, by facets and by format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from consist.artifacts.predicates import Predicate, parse_predicates
from consist.errors import UsageError, hint, some_of
from consist.models.artifact import Artifact
from consist.models.facet import ArtifactKV
from consist.query.ask import columns
from consist.query.leaves import Reading, holds, with_leaf
from consist.views.members import Selector, of_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

_MEANT = """
WITH wanted AS (
    SELECT unnest(from_json(?, '["VARCHAR"]')) AS name
    UNION SELECT name FROM artifact_schema_field WHERE schema_id = ?
), met AS (
    SELECT f.schema_id, count(DISTINCT f.name) AS has, count(DISTINCT w.name) AS shared
    FROM artifact_schema_field f LEFT JOIN wanted w ON w.name = f.name GROUP BY f.schema_id
)
SELECT schema_id, has = shared AND shared = (SELECT count(*) FROM wanted)
FROM met WHERE has = shared OR shared = (SELECT count(*) FROM wanted)
ORDER BY schema_id
"""
_OF_SCHEMAS = """
SELECT artifact_id FROM artifact_schema_observation
WHERE schema_id IN (SELECT unnest(from_json(?, '["VARCHAR"]')))
UNION ALL
SELECT id FROM artifact
WHERE json_extract_string(meta, '/schema_id') IN (SELECT unnest(from_json(?, '["VARCHAR"]')))
"""


@dataclass(frozen=True)
class Columns:
    """The layouts that are meant: one by its id, or those with the fields of a model.

    Of a model, the layouts of exactly its fields are meant, and only where there is none those
    that lack some of its fields or have more. ``compatible`` means all of them.
    """

    schema_id: str | None = None
    fields: tuple[str, ...] = ()
    compatible: bool = False

    def ids(self, connection: DuckDBPyConnection) -> list[str]:
        """Return the ids of the recorded layouts that are meant."""
        if self.schema_id is not None and not self.compatible:
            return [self.schema_id]
        found = connection.execute(_MEANT, [_listed(self.fields), self.schema_id]).fetchall()
        ids = [schema_id for schema_id, _ in found]
        if self.schema_id is not None:
            return sorted({self.schema_id, *ids})
        exact = [schema_id for schema_id, is_exact in found if is_exact]
        return ids if self.compatible or not exact else exact

    def check_recorded(self, connection: DuckDBPyConnection) -> None:
        """Refuse a schema that nobody has seen, because nothing could ever be shown.

        Raises
        ------
        UsageError
            Naming the schema, or the fields.
        """
        if self.schema_id is None:
            if self.ids(connection):
                return
            problem = UsageError(f"no recorded schema goes with the fields {some_of(self.fields)}")
        else:
            seen = "SELECT 1 FROM artifact_schema_field WHERE schema_id = ? LIMIT 1"
            if connection.execute(seen, [self.schema_id]).fetchone():
                return
            if connection.execute(f"{_OF_SCHEMAS} LIMIT 1", _twice([self.schema_id])).fetchone():
                return
            problem = UsageError(f"no schema {self.schema_id!r} is recorded")
        raise hint(
            problem,
            "schemas are recorded when tables are logged with profile_file_schema=True or"
            " ingested; of a file that was logged, by `consist schema capture-file`",
        )


def of_columns(connection: DuckDBPyConnection, meant: Columns) -> Selector:
    """Select the artifacts on which one of the meant layouts was seen."""
    return of_query(_OF_SCHEMAS, _twice(meant.ids(connection)))


def of_drivers(ws: Workspace, drivers: Iterable[str]) -> Selector:
    """Select the artifacts of these formats.

    Raises
    ------
    UsageError
        Naming those there are, if one is no format of tables.
    """
    wanted = list(drivers)
    known = sorted(name for name, driver in ws.formats.all().items() if driver.kind == "table")
    if unknown := [name for name in wanted if name not in known]:
        problem = UsageError(f"drivers: {some_of(unknown)} is no format of tables")
        raise hint(problem, f"there are {some_of(known)}")
    return Selector(
        """a.driver IN (SELECT unnest(from_json(?, '["VARCHAR"]')))""", (_listed(wanted),)
    )


def of_params(params: object, namespace: str | None) -> Selector | None:
    """Select the artifacts whose present facet meets all predicates; nothing without any.

    Where the key of a predicate begins with a namespace, that one counts; any other is looked for
    in ``namespace``, and without one in every.
    """
    predicates = parse_predicates(params)
    if not predicates:
        return None
    kv = columns(ArtifactKV)
    leaves = [with_leaf([holds(kv, each, _readings(each, namespace))]) for each in predicates]
    text, parameters = _as_text(select(columns(Artifact).id).where(*leaves))
    return of_query(text, parameters)


def _readings(predicate: Predicate, namespace: str | None) -> Iterator[Reading]:
    first, *others = predicate.readings()
    yield first if namespace is None else (namespace, predicate.key)
    yield from others


def _as_text(statement: Any) -> tuple[str, list[Any]]:
    """Return a statement as DuckDB takes it, with its parameters in their order."""
    from duckdb_sqlalchemy import Dialect

    compiled = statement.compile(
        dialect=Dialect(paramstyle="qmark"), compile_kwargs={"render_postcompile": True}
    )
    return str(compiled), [compiled.params[name] for name in compiled.positiontup]


def _twice(ids: Iterable[str]) -> tuple[str, str]:
    listed = _listed(ids)
    return listed, listed


def _listed(values: Iterable[str]) -> str:
    return msgspec.json.encode([*values]).decode()
