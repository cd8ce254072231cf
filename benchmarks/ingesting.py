"""Rows into the database, beside plain DuckDB on the same data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from sqlmodel import Field, SQLModel

from benchmarks.harness import Figure, Prepare, Sizes, Work, alternate, at_most, at_most_times
from benchmarks.work import Project
from consist import Tracker

_BESIDE_DUCKDB = 1.3
_ROUNDS = 3
_FEW = 10
_FIXED = 0.02


def ingest(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Measure rows from each kind of source, and what is paid for ten of them."""
    project = Project(folder / "ingest")
    yield from _many(sizes, folder, project)
    yield from _few(sizes, project)


def _many(sizes: Sizes, folder: Path, project: Project) -> Iterator[Figure]:
    """Measure rows that are stored in the database when the call returns."""
    frame = _frame(sizes.ingested_rows)
    parquet, csv, lines = (project.runs / f"rows.{end}" for end in ("parquet", "csv", "json"))
    frame.to_parquet(parquet)
    frame.to_csv(csv, index=False)
    frame.to_json(lines, orient="records", lines=True)
    arrow = pa.Table.from_pandas(frame)
    sources = {
        "Parquet": (parquet, None, f"read_parquet('{parquet}')", None),
        "CSV": (csv, None, f"read_csv('{csv}')", None),
        "JSON": (lines, None, f"read_json('{lines}')", None),
        "DataFrame": (parquet, frame, "frame", None),
        "Arrow": (parquet, arrow, "frame", None),
        "Parquet, strict": (parquet, None, f"read_parquet('{parquet}')", Rows),
    }
    for name, (path, data, scan, schema) in sources.items():
        table = arrow if data is arrow else frame
        with project.tracker() as tracker:
            found = alternate(
                {
                    "duckdb": _create_table(folder / "plain", scan, table),
                    "ours": _ours(tracker, name, path, data, schema),
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


def _few(sizes: Sizes, project: Project) -> Iterator[Figure]:
    """Measure ten rows, which cost what every ingest costs."""
    frame = _frame(_FEW)
    sources = {"Parquet": project.runs / "few.parquet", "CSV": project.runs / "few.csv"}
    frame.to_parquet(sources["Parquet"])
    frame.to_csv(sources["CSV"], index=False)
    with project.tracker() as tracker:
        for name, path in sources.items():
            sides = {
                "in a run": _in_run(tracker, f"few {name}", path),
                "after it": _ours(tracker, f"few {name} later", path, None, None),
            }
            for where, ours in alternate(sides, sizes.file_rounds).items():
                yield Figure(
                    work=f"ingest {_FEW} × 8 {where}: {name}",
                    ours=ours.seconds,
                    cpu=ours.cpu_seconds,
                    goals=[at_most(ours.judged, _FIXED)],
                )


class Rows(SQLModel):
    """What the measured rows are held to."""

    id: int = Field(ge=0)
    household: int
    mode: str
    purpose: str
    distance: float = Field(ge=0)
    duration: float
    zone: int = Field(ge=0, lt=1_000)
    peak: bool


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


def _create_table(folder: Path, scan: str, frame: pd.DataFrame | pa.Table) -> Prepare:
    folder.mkdir(exist_ok=True)

    def prepare(number: int) -> Work:
        path = folder / f"{len(list(folder.iterdir()))}-{number}.duckdb"

        def work() -> None:
            with duckdb.connect(str(path)) as connection:
                connection.register("frame", frame)
                connection.execute(f"CREATE TABLE rows AS FROM {scan}")

        return work

    return prepare


def _ours(
    tracker: Tracker,
    name: str,
    path: Path,
    data: pd.DataFrame | pa.Table | None,
    schema: type[SQLModel] | None,
) -> Prepare:
    key = name.replace(", ", "_").replace(" ", "_")

    def prepare(number: int) -> Work:
        run_id = f"{key}_{number}"
        with tracker.start_run(run_id, model="make", cache_mode="overwrite"):
            artifact = tracker.log_artifact(path, key=key)
        tracker.store.sync()
        owner = tracker.get_run(run_id)
        return lambda: tracker.ingest(artifact, data, schema=schema, run=owner)

    return prepare


def _in_run(tracker: Tracker, name: str, path: Path) -> Prepare:
    key = name.replace(" ", "_")

    def prepare(number: int) -> Work:
        # A round also begins and ends its run, so that nothing is left open if it fails.
        with tracker.start_run(f"{key}_made_{number}", model="make", cache_mode="overwrite"):
            artifact = tracker.log_artifact(path, key=key)

        def work() -> None:
            with tracker.start_run(f"{key}_{number}", model="take", cache_mode="overwrite"):
                tracker.ingest(artifact)

        return work

    return prepare
