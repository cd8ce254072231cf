"""What tables hold already, found without reading them.

Tables have no keys of their own (see ``migrations``), and looking for one id in a column of texts
reads the whole column. So the 64-bit digest of every id that may come a second time (of runs,
artifacts, contents, facets and schemas) is kept in a narrow table, which answers thirty times
faster. Two different ids of one store share a digest with a probability of 1e-8 at a million ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec

from consist.models.record import (
    STATUS_FIXED,
    ArtifactFacetRecord,
    ArtifactRecord,
    Change,
    ChangeEvent,
    Event,
    FacetRecord,
    IngestEvent,
    LogEvent,
    ObservedSchema,
    PackagesEvent,
    PurgeEvent,
    RowEvent,
    RunEvent,
    RunRecord,
    facet_digest,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FACET = ("id", "namespace", "schema_name", "schema_version")
HASHED: Mapping[str, tuple[str, ...]] = {
    "artifact": ("id",),
    "artifact_content": ("id",),
    "config_facet": _FACET,
    "artifact_facet": _FACET,
    "artifact_kv": ("artifact_id", "facet_id", "namespace"),
    "run_change": ("id",),
    "package_set": ("id",),
    "artifact_schema": ("id",),
    "artifact_schema_field": ("schema_id",),
    "artifact_schema_observation": ("id",),
    "artifact_schema_relation": ("schema_id", "from_field"),
}
"""Tables whose rows are shared by runs, with the columns whose values are among the keys."""

R = TypeVar("R", RunRecord, ArtifactRecord)

Keys = frozenset[tuple[Any, ...]]


class KnownRun(NamedTuple):
    """A run that has a row already. ``row`` is its number in the database, -1 in the tail.

    ``status`` is its own, whatever was corrected by hand.
    """

    row: int
    uid: str
    id: str
    status: str
    updated_at: datetime


class Known(Protocol):
    """What a place for rows holds already."""

    def present(self, keys: Iterable[int]) -> set[int]:
        """Return those of the keys that are known."""
        ...

    def runs(self, uids: Iterable[str], ids: Iterable[str]) -> list[KnownRun]:
        """Return the runs with these internal or recorded ids."""
        ...

    def last_attempt(self, requested_id: str) -> int:
        """Return the highest number of an asked-for id, 0 without any."""
        ...

    def rows_of(self, table: str, columns: tuple[str, ...], run_ids: Iterable[str]) -> Keys:
        """Return the keys of a table's rows that belong to these runs."""
        ...

    def artifact_meta(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata of artifacts as they are now, by id."""
        ...

    def changes(self, uids: Iterable[str]) -> dict[str, list[Change]]:
        """Return what was said of runs after they were recorded, by their internal ids."""
        ...

    def records(self, uids: Iterable[str]) -> list[RunRecord]:
        """Return the rows of runs as they are now."""
        ...

    def artifacts(self, ids: Iterable[str]) -> list[ArtifactRecord]:
        """Return the rows of artifacts as they are now."""
        ...


def key_of(table: str, *ids: str | None) -> int:
    """Return the digest under which an id of a table is known."""
    text = "\0".join((table, *(part or "" for part in ids)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def keys_of(event: Event) -> set[int]:
    """Return the keys of everything an event is about."""
    match event:
        case RunEvent(doc=document):
            run, artifacts = document.run, (*document.inputs, *document.outputs)
            keys = {key_of("run", run.uid), key_of("run", run.id)}
            keys |= _facet_keys(document.extra.artifact_facets)
            keys |= {key_of("run_change", change.id) for change in document.extra.changes}
            keys |= _schema_keys(document.extra.schemas)
            for change in document.extra.changes:
                keys |= _schema_keys(change.schemas)
            if document.facet is not None and document.extra.facet is not None:
                digest = facet_digest(document.facet)
                keys.add(_facet_key("config_facet", digest, document.extra.facet))
        case LogEvent(uid=uid, run_id=run_id, artifacts=artifacts, facets=facets):
            keys = {key_of("run", uid), key_of("run", run_id)} | _facet_keys(facets)
            keys |= _schema_keys(event.schemas)
        case RowEvent(run=run):
            keys, artifacts = {key_of("run", run.uid), key_of("run", run.id)}, ()
        case IngestEvent(uid=uid, run_id=run_id, artifact=artifact):
            keys, artifacts = {key_of("run", uid), key_of("run", run_id)}, (artifact,)
            keys |= _schema_keys(event.schemas)
        case ChangeEvent(uid=uid, run_id=run_id, change=change):
            # The artifacts are not here: that something was said of one does not make it known.
            keys = {key_of("run", uid), key_of("run", run_id), key_of("run_change", change.id)}
            keys |= _schema_keys(change.schemas)
            artifacts = ()
        case PackagesEvent(id=packages):
            keys, artifacts = {key_of("package_set", packages)}, ()
        case PurgeEvent():
            keys, artifacts = set[int](), ()
    keys.update(key_of("artifact", artifact.id) for artifact in artifacts)
    contents = {artifact.content_id for artifact in artifacts} - {None}
    keys.update(key_of("artifact_content", str(content)) for content in contents)
    return keys


def _facet_keys(facets: Mapping[str, ArtifactFacetRecord]) -> set[int]:
    keys: set[int] = set()
    for artifact_id, facet in facets.items():
        keys.add(_facet_key("artifact_facet", facet.id, facet.how))
        if facet.how.index:
            keys.add(key_of("artifact_kv", artifact_id, facet.id, facet.how.namespace))
    return keys


def _schema_keys(observed: Iterable[ObservedSchema]) -> set[int]:
    keys: set[int] = set()
    for one in observed:
        keys.add(key_of("artifact_schema_observation", one.id))
        if one.layout is not None:
            keys.add(key_of("artifact_schema", one.schema_id))
            keys.add(key_of("artifact_schema_field", one.schema_id))
            keys |= {
                key_of("artifact_schema_relation", one.schema_id, relation.from_field)
                for relation in one.layout.relations
            }
    return keys


def _facet_key(table: str, digest: str, how: FacetRecord) -> int:
    return key_of(table, digest, how.namespace, how.schema_name, how.schema_version)


class StoredKeys:
    """What the tables of an attached database hold."""

    def __init__(
        self, connection: DuckDBPyConnection, database: str, *, has_changes: bool = True
    ) -> None:
        self._connection, self._database = connection, database
        # A database that cannot be written is not migrated either.
        self._has_changes = has_changes
        self._empty: dict[str, bool] = {}

    def on(self, connection: DuckDBPyConnection) -> StoredKeys:
        """Use another cursor of the same instance from now on; the database is as it was."""
        self._connection = connection
        return self

    def _lacks(self, table: str) -> bool:
        """Whether a table that most stores have no use for has no rows, asked once."""
        if table not in self._empty:
            first = f"SELECT 1 FROM {self._database}.{table} LIMIT 1"
            found = self._has_changes and self._connection.execute(first).fetchone()
            self._empty[table] = not found
        return self._empty[table]

    def grown(self, table: str) -> None:
        """Note that a table has rows now."""
        self._empty[table] = False

    def present(self, keys: Iterable[int]) -> set[int]:
        """Return those of the keys that are known."""
        found = self._connection.execute(
            f"SELECT hash FROM {self._database}.consist_key WHERE hash IN"
            " (SELECT unnest(from_json(?::JSON, '[\"UBIGINT\"]')))",
            [_json(keys)],
        )
        return {row[0] for row in found.fetchall()}

    def remember(self, keys: Iterable[int]) -> None:
        """Store keys that were not known."""
        self._connection.execute(
            f"INSERT INTO {self._database}.consist_key"
            " SELECT unnest(from_json(?::JSON, '[\"UBIGINT\"]'))",
            [_json(keys)],
        )

    def runs(self, uids: Iterable[str], ids: Iterable[str]) -> list[KnownRun]:
        """Return the runs with these internal or recorded ids."""
        fixed = f"json_extract_string(meta, '$.{STATUS_FIXED}.from')"
        columns = f"rowid, uid, id, coalesce({fixed}, status), updated_at"
        wanted = "(SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))"
        found = self._connection.execute(
            f"SELECT {columns} FROM {self._database}.run WHERE uid IN {wanted}"
            f" UNION SELECT {columns} FROM {self._database}.run WHERE id IN {wanted}",
            [_json(uids), _json(ids)],
        )
        return [KnownRun(*row) for row in found.fetchall()]

    def last_attempt(self, requested_id: str) -> int:
        """Return the highest number of an asked-for id, 0 without any."""
        row = self._connection.execute(
            f"SELECT coalesce(max(attempt), 0) FROM {self._database}.run WHERE requested_id = ?",
            [requested_id],
        ).fetchone()
        return int(row[0]) if row else 0

    def artifact_meta(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata of artifacts as they are now, by id."""
        return artifact_meta(self._connection, self._database, ids)

    def changes(self, uids: Iterable[str]) -> dict[str, list[Change]]:
        """Return what was said of runs after they were recorded, by their internal ids."""
        if self._lacks("run_change"):
            return {}
        return changes_of(self._connection, self._database, uids)

    def records(self, uids: Iterable[str]) -> list[RunRecord]:
        """Return the rows of runs as they are now."""
        return run_records(self._connection, self._database, uids)

    def artifacts(self, ids: Iterable[str]) -> list[ArtifactRecord]:
        """Return the rows of artifacts as they are now."""
        return artifact_records(self._connection, self._database, ids)

    def purged(self, uids: Iterable[str]) -> set[str]:
        """Return those of the runs that were purged."""
        if self._lacks("consist_purged"):
            return set()
        found = self._connection.execute(
            f"SELECT uid FROM {self._database}.consist_purged WHERE uid IN"
            " (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))",
            [_json(uids)],
        )
        return {row[0] for row in found.fetchall()}

    def rows_of(self, table: str, columns: tuple[str, ...], run_ids: Iterable[str]) -> Keys:
        """Return the keys of a table's rows that belong to these runs."""
        found = self._connection.execute(
            f"SELECT {', '.join(columns)} FROM {self._database}.{table} WHERE run_id IN"
            " (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))",
            [_json(run_ids)],
        )
        return frozenset(found.fetchall())


def artifact_meta(
    connection: DuckDBPyConnection, schema: str, ids: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return the metadata of artifacts in the tables of a schema, by id."""
    found = connection.execute(
        f"SELECT id, meta FROM {schema}.artifact WHERE id IN"
        " (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))",
        [_json(ids)],
    )
    return {row[0]: msgspec.json.decode(row[1]) if row[1] else {} for row in found.fetchall()}


def changes_of(
    connection: DuckDBPyConnection, schema: str, uids: Iterable[str]
) -> dict[str, list[Change]]:
    """Return the changes in the tables of a schema, by the internal ids of their runs."""
    rows = connection.execute(
        f"SELECT uid, change FROM {schema}.run_change WHERE uid IN"
        " (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))",
        [_json(uids)],
    ).fetchall()
    found: dict[str, list[Change]] = {}
    for uid, change in rows:
        found.setdefault(uid, []).append(msgspec.json.decode(change, type=Change))
    return found


def run_records(
    connection: DuckDBPyConnection, schema: str, uids: Iterable[str]
) -> list[RunRecord]:
    """Return the rows of runs in the tables of a schema."""
    return _records(connection, RunRecord, f"{schema}.run WHERE uid", uids)


def artifact_records(
    connection: DuckDBPyConnection, schema: str, ids: Iterable[str]
) -> list[ArtifactRecord]:
    """Return the rows of artifacts in the tables of a schema."""
    return _records(connection, ArtifactRecord, f"{schema}.artifact WHERE id", ids)


def _records(
    connection: DuckDBPyConnection, kind: type[R], table_where: str, ids: Iterable[str]
) -> list[R]:
    names = kind.__struct_fields__
    rows = connection.execute(
        f"SELECT {', '.join(names)} FROM {table_where} IN"
        " (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))",
        [_json(ids)],
    ).fetchall()
    found: list[R] = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        for name in values.keys() & {"tags", "meta"}:
            values[name] = msgspec.json.decode(values[name])
        found.append(msgspec.convert(values, kind))
    return found


def _json(values: Iterable[int] | Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
