"""Rows held to a model without a tracker around them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from consist.hot.csv_rows import stage_csv
from consist.hot.model_columns import compiled
from consist.hot.parquet_rows import stage_parquet
from consist.hot.staged_rows import in_memory
from consist.hot.strict import Contract, held_to
from consist.store.global_tables import kept_columns
from consist.store.tail_rows import ArtifactRows
from tests.unit.hot.worlds import event_of


def stored(model: Any, rows: Any) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Return types and rows that the table gets of CSV text or an Arrow table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = folder / "staged.parquet"
        target.touch()
        contract = Contract("people", compiled(model), "people")
        with in_memory(folder / "spill") as connection:
            if isinstance(rows, str):
                (folder / "rows.csv").write_text(rows)
                staged = stage_csv(connection, folder / "rows.csv", target, contract)
            else:
                pq.write_table(rows, folder / "rows.parquet")
                staged = stage_parquet(connection, folder / "rows.parquet", target)
                staged = held_to(connection, staged, target, contract)
            event = event_of(staged, target.name)
            picked = list(kept_columns(event.rows))
            values = ", ".join(
                f'CAST("{inside}" AS {kind})' for inside, out, kind in picked if out[0] != "_"
            )
            found = connection.execute(f"SELECT {values} FROM read_parquet('{target}')").fetchall()
            return {out: kind for _, out, kind in picked if out[0] != "_"}, found


def back(model: Any, table: pa.Table) -> pa.Table:
    """Return what an Arrow table is once it has gone through the types of a model."""
    from consist.hot.parquet_rows import batches
    from consist.store.global_tables import Loader, Staged, select_stored, stored_rows

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = folder / "staged.parquet"
        target.touch()
        pq.write_table(table, folder / "rows.parquet")
        with in_memory(folder / "spill") as connection:
            rows = stage_parquet(connection, folder / "rows.parquet", target)
            rows = held_to(connection, rows, target, Contract("t", compiled(model), "t"))
            staged = Staged(event_of(rows, target.name), target)
            Loader(connection, "memory").load(staged)
            artifact = staged.event.artifact.id
            record = stored_rows(connection, "memory", artifact)
            assert record is not None
            select = select_stored("memory", artifact, record)
            parts = list(batches(ArtifactRows(connection, record, select)))
            return pa.Table.from_batches(parts, table.schema)
