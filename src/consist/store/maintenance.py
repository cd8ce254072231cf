"""Reading whole runs back out of the database, and filling it from what lies beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from consist.models.changes import in_order, why_rejected
from consist.models.record import (
    ArtifactRecord,
    Change,
    Extra,
    RunDocument,
    RunRecord,
    replace,
)
from consist.store.captured import stored
from consist.store.database import ALIAS
from consist.store.index import PURGED, Index
from consist.store.known import changes_of
from consist.store.migrations import CHANGES_SINCE, store_values
from consist.store.tail import stored_positions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH = 5_000


def learn_all(connection: DuckDBPyConnection, index: Index) -> None:
    """Let an index learn everything that the attached database knows, and nothing else."""
    values = store_values(connection, ALIAS)
    if not values:
        index.rebuild(lambda: iter(()), {}, 0)
        return
    index.rebuild(
        lambda: iter_documents(connection, f"{ALIAS}.main"),
        stored_positions(connection),
        int(values.get("generation", 0)),
        _rejected(connection, int(values.get("schema_version", 0))),
        lambda: stored(connection, f"{ALIAS}.main"),
    )


def _rejected(connection: DuckDBPyConnection, schema_version: int) -> dict[str, str]:
    """Return why runs that journals may yet tell of are never sources again."""
    if schema_version < CHANGES_SINCE:
        return {}
    rows = connection.execute(
        f"SELECT uid, change FROM {ALIAS}.run_change"
        " WHERE change->>'$.invalid' = 'true' OR change->>'$.status' IS NOT NULL"
        " ORDER BY created_at DESC, id DESC"
    ).fetchall()
    said = {uid: why_rejected(msgspec.json.decode(change, type=Change)) for uid, change in rows}
    gone = connection.execute(f"SELECT uid FROM {ALIAS}.consist_purged").fetchall()
    return {**said, **{uid: PURGED for (uid,) in gone}}


def iter_documents(connection: DuckDBPyConnection, schema: str) -> Iterator[RunDocument]:
    """Yield every run of a database as a document, without config and facet.

    Runs come in the order they were created, in batches, so that memory stays bounded.
    """
    version = int(store_values(connection, ALIAS).get("schema_version", 0))
    order = connection.cursor()
    found = order.execute(
        f"SELECT r.*, e.extra FROM {schema}.run r LEFT JOIN {schema}.run_extra e"
        " ON e.run_id = r.id ORDER BY r.created_at, r.uid"
    )
    names = [column[0] for column in found.description or ()]
    while rows := found.fetchmany(_BATCH):
        runs = [dict(zip(names, row, strict=True)) for row in rows]
        artifacts = _artifacts_of(connection, schema, [run["id"] for run in runs])
        uids = [run["uid"] for run in runs]
        changes = changes_of(connection, schema, uids) if version >= CHANGES_SINCE else {}
        for run in runs:
            yield _document(run, artifacts.get(run["id"], []), changes.get(run["uid"], ()))
    order.close()


def _artifacts_of(
    connection: DuckDBPyConnection, schema: str, run_ids: list[str], order: str = "l.rowid"
) -> dict[str, list[tuple[str, ArtifactRecord]]]:
    found = connection.execute(
        f"SELECT l.run_id AS linked_run, l.direction, a.* FROM {schema}.run_artifact_link l"
        f" JOIN {schema}.artifact a ON a.id = l.artifact_id"
        f" WHERE l.run_id IN (SELECT unnest(?)) ORDER BY {order}",
        [run_ids],
    )
    names = [column[0] for column in found.description or ()]
    by_run: dict[str, list[tuple[str, ArtifactRecord]]] = {}
    for row in found.fetchall():
        values = dict(zip(names, row, strict=True))
        run_id, direction = values.pop("linked_run"), values.pop("direction")
        by_run.setdefault(run_id, []).append((direction, _record(values, ArtifactRecord)))
    return by_run


def _document(
    run: dict[str, Any],
    artifacts: list[tuple[str, ArtifactRecord]],
    changes: Iterable[Change],
) -> RunDocument:
    text = run.pop("extra")
    extra = msgspec.json.decode(text, type=Extra) if text else Extra()
    return RunDocument(
        run=_record(run, RunRecord),
        inputs=tuple(record for direction, record in artifacts if direction == "input"),
        outputs=tuple(record for direction, record in artifacts if direction == "output"),
        extra=replace(extra, changes=in_order(changes)) if changes else extra,
    )


def artifacts_of_content(connection: DuckDBPyConnection, content_id: str) -> list[ArtifactRecord]:
    """Return the artifacts of a content, newest first."""
    found = connection.execute(
        "SELECT * FROM main.artifact WHERE content_id = ? ORDER BY created_at DESC, id DESC",
        [content_id],
    )
    names = [column[0] for column in found.description or ()]
    return [as_record(dict(zip(names, row, strict=True))) for row in found.fetchall()]


_OF_SCENARIO = """
WITH RECURSIVE step (id, ended) AS (
    SELECT id, ended_at FROM main.run WHERE parent_run_id = $id AND status = 'completed'
    UNION ALL
    SELECT r.id, r.ended_at FROM main.run r JOIN step s ON r.parent_run_id = s.id
    WHERE r.status = 'completed'
), had (artifact_id, ended) AS (
    SELECT artifact_id, NULL::TIMESTAMPTZ FROM main.run_artifact_link WHERE run_id = $id
    UNION ALL
    SELECT l.artifact_id, s.ended FROM step s JOIN main.run_artifact_link l ON l.run_id = s.id
    WHERE l.direction = 'output'
)
SELECT a.* FROM had JOIN main.artifact a ON a.id = had.artifact_id
QUALIFY row_number() OVER (
    PARTITION BY a.key ORDER BY had.ended DESC NULLS LAST, a.created_at DESC, a.id DESC
) = 1
"""


def artifacts_of_scenario(connection: DuckDBPyConnection, run_id: str) -> list[ArtifactRecord]:
    """Return the latest artifact of each key that completed steps of a scenario put out.

    What was logged to the header itself counts as older than that.
    """
    found = connection.execute(_OF_SCENARIO, {"id": run_id})
    names = [column[0] for column in found.description or ()]
    return [as_record(dict(zip(names, row, strict=True))) for row in found.fetchall()]


def document_of(connection: DuckDBPyConnection, run_id: str) -> RunDocument | None:
    """Return what the tables hold of a run: all but its config and facet."""
    found = connection.execute(
        "SELECT r.*, e.extra FROM main.run r LEFT JOIN main.run_extra e ON e.run_id = r.id"
        " WHERE r.id = ?",
        [run_id],
    )
    names = [column[0] for column in found.description or ()]
    row = found.fetchone()
    if row is None:
        return None
    artifacts = _artifacts_of(connection, "main", [run_id], order="a.created_at").get(run_id, [])
    run = dict(zip(names, row, strict=True))
    changes = changes_of(connection, "main", [run["uid"]])
    return _document(run, artifacts, changes.get(run["uid"], ()))


def as_record(values: dict[str, Any]) -> ArtifactRecord:
    """Return the record of a row of table ``artifact``, given by column."""
    return _record(values, ArtifactRecord)


def _record(values: dict[str, Any], kind: type[Any]) -> Any:
    """Make a record of a row; JSON columns come as text."""
    decoded = {
        name: msgspec.json.decode(value) if name in {"meta", "tags"} and value else value
        for name, value in values.items()
    }
    return msgspec.convert(decoded, kind)
