"""Which schemas were captured: by the content of a file, and the latest of each key.

A part of the look-up index, so that a run that logs a file never asks the database what is known
of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from consist.models.observed import ObservedSchema, SchemaField, SchemaRecord
from consist.models.record import ArtifactRecord, encode
from consist.store.index_file import IndexFile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KINDS = {"file": "file", "duckdb": "table", "dlt": "table"}
"""What is compared with each other over time, by source; what a user states is not observed."""

_BATCH = 1_000
_decode = msgspec.json.Decoder(SchemaRecord).decode


class LatestSchema(NamedTuple):
    """What was captured last under a key.

    Attributes
    ----------
    at : float
        When, in seconds.
    schema_id : str
        The layout.
    artifact_id, run_id : str
        The artifact it was seen on, and the run that saw it.
    """

    at: float
    schema_id: str
    artifact_id: str
    run_id: str


Note = tuple[str, tuple[Any, ...]]
"""What to write, by the names of ``index_file.WRITE``."""


def content_of(artifact: ArtifactRecord) -> str | None:
    """Return what stands for the content of a table: its content id, else its hash, and part."""
    content = artifact.content_id or artifact.hash
    return content if content is None else "\0".join((content, artifact.table_path or ""))


class CapturedSchemas:
    """Learns of schemas as the index does, and is written with it.

    Parameters
    ----------
    file : IndexFile
        What is behind memory.
    note : callable
        Takes what is to be written.
    """

    def __init__(self, file: IndexFile, note: Callable[..., None]) -> None:
        self._file, self._note = file, note
        self.forget()

    def forget(self) -> None:
        """Drop what was learned, once it is written."""
        self._layouts: dict[str, SchemaRecord] = {}
        self._contents: dict[str, str] = {}
        self._latest: dict[tuple[str, str], LatestSchema] = {}

    # ------------------------------------------------------------ learning

    def learn(
        self, observed: Iterable[ObservedSchema], run_id: str, artifacts: Iterable[ArtifactRecord]
    ) -> None:
        """Take in what a run saw on some artifacts."""
        listed = list(observed)
        known = {artifact.id: artifact for artifact in artifacts} if listed else {}
        for one in listed:
            if one.layout is not None and one.schema_id not in self._layouts:
                self._layouts[one.schema_id] = one.layout
                self._note("layout", one.schema_id, encode(one.layout))
            kind, artifact = KINDS.get(one.source), known.get(one.artifact_id)
            if kind is not None:
                self._learn_one(one, kind, run_id, artifact)

    def _learn_one(
        self, one: ObservedSchema, kind: str, run_id: str, artifact: ArtifactRecord | None
    ) -> None:
        content = one.content if artifact is None else content_of(artifact)
        if kind == "file" and content is not None and self._contents.get(content) != one.schema_id:
            self._contents[content] = one.schema_id
            self._note("captured", content, one.schema_id)
        key = one.key if artifact is None else artifact.key
        if key is None:
            return
        found = LatestSchema(one.at.timestamp(), one.schema_id, one.artifact_id, run_id)
        before = self._latest.get((key, kind))
        if before is None or before.at < found.at:
            self._latest[key, kind] = found
            self._note("latest_schema", key, kind, *found)

    def take(self, note: Note) -> None:
        """Take in one of :func:`stored`, where there is no file that holds it."""
        match note:
            case "layout", (schema_id, body):
                self._layouts[schema_id] = _decode(body)
            case "captured", (content, schema_id):
                self._contents[content] = schema_id
            case _, (key, kind, *found):
                self._latest[key, kind] = LatestSchema(*found)
            case _:
                raise AssertionError(note)

    def purge(self, run_ids: Iterable[str]) -> None:
        """Forget what these runs were the last to see."""
        gone = set(run_ids)
        self._latest = {k: found for k, found in self._latest.items() if found.run_id not in gone}

    # ------------------------------------------------------------ asking

    def layout(self, schema_id: str) -> SchemaRecord | None:
        """Return a layout by its id."""
        known = self._layouts.get(schema_id)
        if known is not None:
            return known
        rows = self._file.select("SELECT body FROM layout WHERE id = ?", schema_id)
        return _decode(rows[0][0]) if rows else None

    def of_content(self, content: str) -> SchemaRecord | None:
        """Return the layout that a file of this content was seen to have."""
        schema_id = self._contents.get(content)
        if schema_id is None:
            statement = "SELECT schema_id FROM captured WHERE content = ?"
            rows = self._file.select(statement, content)
            schema_id = rows[0][0] if rows else None
        return None if schema_id is None else self.layout(schema_id)

    def latest(self, key: str, kind: str) -> LatestSchema | None:
        """Return what was captured last under a key."""
        # A miss has read what others recorded, so the file knows nothing later than memory.
        if (key, kind) in self._latest:
            return self._latest[key, kind]
        rows = self._file.select(
            f"SELECT {', '.join(LatestSchema._fields)} FROM latest_schema"
            " WHERE key = ? AND kind = ?",
            key,
            kind,
        )
        return LatestSchema(*rows[0]) if rows else None


# ---------------------------------------------------------------- from the database


def stored(connection: DuckDBPyConnection, database: str) -> Iterator[Note]:
    """Yield everything that a database knows of schemas, as it is to be written."""
    seen = (
        f"FROM {database}.artifact_schema_observation o"
        f" JOIN {database}.artifact a ON a.id = o.artifact_id"
    )
    layouts = (
        "SELECT s.id, s.summary_json::VARCHAR, s.profile_json::VARCHAR,"
        " to_json(list({'name': f.name, 'type': f.logical_type, 'nullable': f.nullable,"
        " 'stats': f.stats_json, 'values': f.enum_values_json} ORDER BY f.ordinal_position))"
        f" FROM {database}.artifact_schema s JOIN {database}.artifact_schema_field f"
        " ON f.schema_id = s.id GROUP BY ALL"
    )
    for schema_id, summary, profile, columns in _rows(connection, layouts):
        yield "layout", (schema_id, encode(_record(schema_id, summary, profile, columns)))
    contents = (
        "SELECT concat(coalesce(a.content_id, a.hash), chr(0), a.table_path),"
        f" arg_max(o.schema_id, o.observed_at) {seen} WHERE o.source = 'file'"
        " AND coalesce(a.content_id, a.hash) IS NOT NULL GROUP BY 1"
    )
    for row in _rows(connection, contents):
        yield "captured", row
    kind = "CASE o.source WHEN 'file' THEN 'file' ELSE 'table' END"
    latest = (
        f"SELECT a.key, {kind}, epoch(max(o.observed_at)), {_last('schema_id')},"
        f" {_last('artifact_id')}, {_last('run_id')} {seen}"
        " WHERE o.source <> 'user_provided' AND o.run_id IS NOT NULL GROUP BY 1, 2"
    )
    for row in _rows(connection, latest):
        yield "latest_schema", row


def _last(column: str) -> str:
    return f"arg_max(o.{column}, o.observed_at)"


def _rows(connection: DuckDBPyConnection, statement: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.cursor()
    found = cursor.execute(statement)
    while rows := found.fetchmany(_BATCH):
        yield from rows
    cursor.close()


def _record(schema_id: str, summary: str | None, profile: str | None, columns: str) -> SchemaRecord:
    fields: list[Mapping[str, Any]] = msgspec.json.decode(columns)
    return SchemaRecord(
        id=schema_id,
        fields=tuple(msgspec.convert(field, SchemaField) for field in fields),
        summary=msgspec.json.decode(summary) if summary else {},
        profile=msgspec.json.decode(profile) if profile else None,
    )
