"""Aggregates over the tables of many runs through a view, beside plain DuckDB on the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import text

from benchmarks.harness import Figure, Sizes, alternate, at_most_times
from benchmarks.work import Project
from consist import Tracker

_COLD, _HOT = 1.5, 1.0
_QUESTION = "SELECT age, avg(trips), count(*) FROM {table} GROUP BY age"


def views(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Measure one question to the files of many runs, and to the same rows when ingested."""
    for name, limit in (("cold", _COLD), ("hot", _HOT)):
        project = Project(folder / f"views-{name}")
        files = project.runs / "tables"
        files.mkdir(parents=True)
        with project.tracker() as tracker, duckdb.connect() as plain:
            for number in range(sizes.viewed_runs):
                _record(tracker, plain, files / f"{number}.parquet", number, ingested=name == "hot")
            tracker.store.sync(wait=60.0)
            tracker.create_view("v_tables", "tables")
            glob = _plain(plain, f"read_parquet('{files}/*.parquet')")
            _check(glob(0)(), _ours(tracker)(0)())
            found = alternate({"glob": glob, "ours": _ours(tracker)}, sizes.rounds)
        ratio = found["ours"].over(found["glob"])
        yield Figure(
            work=f"aggregate over {sizes.viewed_runs} runs: {name}",
            ours=found["ours"].seconds,
            cpu=found["ours"].cpu_seconds,
            reference="read_parquet of all files",
            theirs=found["glob"].seconds,
            ratio=ratio,
            goals=[at_most_times(ratio, limit)],
        )


def _record(
    tracker: Tracker, plain: duckdb.DuckDBPyConnection, path: Path, number: int, *, ingested: bool
) -> None:
    rows = "SELECT r AS person, r % 90 AS age, (r * 7) % 11 AS trips FROM range(20000) t(r)"
    plain.execute(f"COPY ({rows}) TO '{path}'")
    with tracker.start_run(f"run_{number}", model="make", config={"number": number}):
        artifact = tracker.log_artifact(path, key="tables", direction="output")
        if ingested:
            tracker.ingest(artifact)


def _check(plain: Any, ours: Any) -> None:
    if sorted(plain) != sorted(map(tuple, ours)):
        raise AssertionError("the view does not say what the files do")


def _plain(plain: duckdb.DuckDBPyConnection, table: str) -> Callable[[int], Callable[[], object]]:
    return lambda _: lambda: plain.execute(_QUESTION.format(table=table)).fetchall()


def _ours(tracker: Tracker) -> Callable[[int], Callable[[], object]]:
    return lambda _: lambda: tracker.run_query(text(_QUESTION.format(table="v_tables")))
