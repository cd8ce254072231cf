"""Makes records and stores for the tests of the store; no test double among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from consist.models.record import (
    ArtifactRecord,
    Extra,
    FacetRecord,
    RunDocument,
    RunRecord,
    content_id,
    raw,
    replace,
)
from consist.settings import Settings
from consist.store.embedded import EmbeddedStore
from consist.store.locks import this_process

START = datetime(2026, 1, 1, tzinfo=UTC)


def artifact(key: str = "households", **values: Any) -> ArtifactRecord:
    digest = values.pop("hash", f"digest of {key}")
    defaults: dict[str, Any] = {
        "id": str(uuid4()),
        "key": key,
        "container_uri": f"./{key}.csv",
        "root": "/runs",
        "driver": "csv",
        "hash": digest,
        "content_id": content_id(digest, "csv"),
        "created_at": datetime.now(UTC),
    }
    return ArtifactRecord(**(defaults | values))


def run(name: str = "", **values: Any) -> RunRecord:
    now = datetime.now(UTC)
    run_id = name or f"step_{uuid4().hex}"
    defaults: dict[str, Any] = {
        "id": run_id,
        "uid": uuid4().hex,
        "requested_id": run_id.partition("~")[0],
        "status": "completed",
        "model_name": "step",
        "signature": f"signature of {run_id}",
        "started_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return RunRecord(**(defaults | values))


def document(name: str = "", *, tables: int = 1, **values: Any) -> RunDocument:
    """One finished run with output tables, config and facet, unless ``values`` say otherwise."""
    parts = {
        field: values.pop(field)
        for field in ("inputs", "outputs", "config", "facet", "extra")
        if field in values
    }
    record = run(name, **values)
    made = tuple(artifact(f"table_{n}", run_id=record.id) for n in range(tables))
    defaults: dict[str, Any] = {
        "outputs": made,
        "config": raw({"rate": 0.1}),
        "facet": {"rate": 0.1, "nested": {"year": 2030}},
        "extra": Extra(facet=FacetRecord(namespace="step"), process=this_process()),
    }
    return RunDocument(run=record, **(defaults | parts))


def ended(begun: RunDocument, status: str = "completed", **values: Any) -> RunDocument:
    later = begun.run.updated_at + timedelta(seconds=1)
    record = replace(begun.run, status=status, updated_at=later, ended_at=later)
    return replace(begun, run=record, **values)


def open_store(folder: Path, run_dir: str = "runs", **settings: Any) -> EmbeddedStore:
    (folder / run_dir).mkdir(parents=True, exist_ok=True)
    options = {"lock_wait": 1.0, "cache_dir": str(folder / "cache")} | settings
    return EmbeddedStore(folder / "db.duckdb", folder / run_dir, Settings(**options))


def record(store: EmbeddedStore, done: RunDocument) -> RunDocument:
    """Acknowledge a run and write its snapshot, as a tracker does."""
    done = replace(
        done, run=replace(done.run, meta={**done.run.meta, "_physical_run_dir": str(store.run_dir)})
    )
    store.write_snapshot(done.run.id, store.append(done))
    return done


def ids(store: EmbeddedStore, where: str = "true") -> list[str]:
    with store.ask() as connection:
        found = connection.execute(f"SELECT id FROM run WHERE {where} ORDER BY id").fetchall()
    return [row[0] for row in found]


def table(store: EmbeddedStore, statement: str) -> list[tuple[Any, ...]]:
    with store.ask() as connection:
        return connection.execute(statement).fetchall()


def merged(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database file alone, as any DuckDB client would."""
    import duckdb

    with duckdb.connect(str(folder / "db.duckdb"), read_only=True) as connection:
        return connection.execute(statement).fetchall()
