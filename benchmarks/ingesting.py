"""Rows into the database, beside plain DuckDB on the same data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.harness import Figure, Prepare, Sizes, Work, alternate, at_most_times
from benchmarks.work import Project
from consist import Tracker

_BESIDE_DUCKDB = 1.3
_ROUNDS = 3


def ingest(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Measure rows from each kind of source, stored in the database when the call returns."""
    project = Project(folder / "ingest")
    frame = _frame(sizes.ingested_rows)
    parquet, csv = project.runs / "rows.parquet", project.runs / "rows.csv"
    frame.to_parquet(parquet)
    frame.to_csv(csv, index=False)
    sources = {
        "Parquet": (parquet, None, f"read_parquet('{parquet}')"),
        "CSV": (csv, None, f"read_csv('{csv}')"),
        "DataFrame": (parquet, frame, "frame"),
    }
    for name, (path, data, scan) in sources.items():
        with ExitStack() as stack:
            tracker = stack.enter_context(project.tracker())
            found = alternate(
                {
                    "duckdb": _create_table(folder / "plain", scan, frame),
                    "ours": _ours(tracker, name, path, data),
                },
                min(sizes.file_rounds, _ROUNDS),
            )
        ours, plain = found["ours"], found["duckdb"]
        ratio = ours.over(plain)
        yield Figure(
            work=f"ingest {sizes.ingested_rows:,} × 8: {name}",
            ours=ours.seconds,
            cpu=ours.cpu_seconds,
            reference="CREATE TABLE AS in DuckDB",
            theirs=plain.seconds,
            ratio=ratio,
            goals=[at_most_times(ratio, _BESIDE_DUCKDB)],
        )


def _frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "household": rng.integers(0, rows, rows),
            "mode": rng.choice(["car", "bus", "walk", "bike"], rows),
            "purpose": rng.choice(["work", "school", "shop"], rows),
            "distance": rng.random(rows),
            "duration": rng.random(rows) * 60,
            "zone": rng.integers(0, 1_000, rows),
            "peak": rng.random(rows) < 0.5,
        }
    )


def _create_table(folder: Path, scan: str, frame: pd.DataFrame) -> Prepare:
    folder.mkdir(exist_ok=True)

    def prepare(number: int) -> Work:
        path = folder / f"{len(list(folder.iterdir()))}-{number}.duckdb"

        def work() -> None:
            with duckdb.connect(str(path)) as connection:
                connection.register("frame", frame)
                connection.execute(f"CREATE TABLE rows AS FROM {scan}")

        return work

    return prepare


def _ours(tracker: Tracker, name: str, path: Path, data: pd.DataFrame | None) -> Prepare:
    def prepare(number: int) -> Work:
        run_id = f"{name}_{number}"
        with tracker.start_run(run_id, model="make", cache_mode="overwrite"):
            artifact = tracker.log_artifact(path, key=name)
        tracker.store.sync()
        owner = tracker.get_run(run_id)
        return lambda: tracker.ingest(artifact, data, run=owner)

    return prepare
