"""Rows through staging and tables and back, without a tracker around them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from consist.hot.csv_rows import stage_csv
from consist.hot.parquet_rows import stage_parquet
from consist.hot.staged_rows import StagedRows, in_memory
from consist.models.record import ArtifactRecord, IngestEvent, RowsRecord, new_uuid
from consist.store.global_tables import Loader, Staged, select_staged, select_stored, stored_rows
from consist.store.tail_rows import ArtifactRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection


def event_of(rows: StagedRows, file: str, table: str = "t", artifact_id: str = "") -> IngestEvent:
    artifact = ArtifactRecord(
        id=artifact_id or new_uuid(), key=table, container_uri="./t", created_at=datetime.now(UTC)
    )
    record = RowsRecord(
        table=table,
        file=file,
        count=rows.count,
        columns=rows.columns,
        recipe=rows.recipe,
        added=rows.added,
        first=rows.first,
    )
    return IngestEvent(
        uid="u", run_id="r", year=2030, artifact=artifact, news={}, rows=record,
        at=datetime.now(UTC),
    )  # fmt: skip


def staged_file(connection: DuckDBPyConnection, source: Path, folder: Path) -> Staged:
    """Stage a file as ``ingest`` does."""
    target = folder / f"{new_uuid()}.parquet"
    target.touch()
    stage = stage_csv if ".csv" in source.name else stage_parquet
    return Staged(event_of(stage(connection, source, target), target.name), target)


def both_ways(source: Path, folder: Path) -> Iterator[ArtifactRows]:
    """Yield the rows of a file as staged, then as stored in tables."""
    with in_memory(folder / "spill") as connection:
        staged = staged_file(connection, source, folder)
        yield ArtifactRows(connection, staged.event.rows, select_staged(staged))
        Loader(connection, "memory").load(staged)
        artifact_id = staged.event.artifact.id
        rows = stored_rows(connection, "memory", artifact_id)
        assert rows is not None
        yield ArtifactRows(connection, rows, select_stored("memory", artifact_id, rows))
