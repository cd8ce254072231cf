"""The examples of the documents on ingesting rows, as printed, and what they promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest

import consist
from consist import CacheOptions, Tracker, use_tracker
from consist.noop import NoopTracker

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    with tracker.store.ask() as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("kind", ["frame", "list", "generator"])
def test_rows_given_as_data(tracker: Tracker, here: Path, kind: str) -> None:
    # ING-001, ING-003
    df = pd.DataFrame({"id": [1, 2], "mode": ["car", "bus"]})
    records = df.to_dict("records")

    def stream() -> Iterator[dict[str, Any]]:
        yield from records

    Path("file.csv").write_text("id,mode\n1,car\n")
    with tracker.start_run("r", model="m", year=2030, iteration=1):
        art = tracker.log_artifact("file.csv", key="trips")
        tracker.ingest(art, data={"frame": df, "list": records, "generator": stream()}[kind])
    tracker.store.sync()
    with duckdb.connect(str(tracker.db_path), read_only=True) as connection:
        found = connection.execute("SELECT * FROM global_tables.trips").fetchall()
    assert found == [(1, "car", "r", str(art.id), 2030, 1), (2, "bus", "r", str(art.id), 2030, 1)]


def test_rows_of_the_file_offline_and_after_it_is_gone(tracker: Tracker, here: Path) -> None:
    # ING-002, ING-008, ING-010
    for number in (1, 2):
        Path(f"{number}.csv").write_text(f"id\n{number}\n")
        with tracker.start_run(f"r{number}", model="m"):
            tracker.log_output(f"{number}.csv", key="trips")
    art = tracker.get_artifact("trips")
    assert art is not None
    tracker.ingest(art)
    assert rows(tracker, "SELECT id, consist_run_id FROM global_tables.trips") == [(2, "r2")]
    tracker.ingest(art, run=tracker.get_run("r1"))
    assert rows(tracker, "SELECT id, consist_run_id FROM global_tables.trips") == [(2, "r1")]
    Path("2.csv").unlink()
    with pytest.raises(FileNotFoundError):
        tracker.load_df(art, db_fallback="never")
    assert list(tracker.load_df(art, db_fallback="always").id) == [2]


def test_runs_stay_distinguishable_under_one_key(tracker: Tracker, here: Path) -> None:
    # ING-011
    for number in (1, 2):
        with tracker.start_run(f"r{number}", model="m", year=2030 + number):
            path = here / f"{number}.csv"
            path.write_text("id\n7\n")
            tracker.ingest(tracker.log_output(path, key="trips"))
    found = "SELECT consist_run_id, consist_year FROM global_tables.trips ORDER BY ALL"
    assert rows(tracker, found) == [("r1", 2031), ("r2", 2032)]


def test_rows_count_as_the_file_for_eager_validation(tracker: Tracker, here: Path) -> None:
    # ING-012
    calls: list[int] = []

    def make() -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"a": [1]})

    options = CacheOptions(validate_cached_outputs="eager")
    first = tracker.run(make, outputs=["made"], cache_options=options)
    tracker.ingest(first.outputs["made"])
    first.outputs["made"].path.unlink()
    again = tracker.run(make, outputs=["made"], cache_options=options)
    assert (again.cache_hit, len(calls)) == (True, 1)
    with tracker.start_run("hit", model="m"):  # what a hit gave back can be ingested again
        assert tracker.ingest(again.outputs["made"], [{"a": 2}]) is not None
    assert rows(tracker, "SELECT a FROM global_tables.made") == [(2,)]


def test_without_a_database_or_a_run(here: Path, tmp_path: Path) -> None:
    # ERR-047, ERR-048, ERR-049
    Path("t.csv").write_text("a\n1\n")
    with Tracker(tmp_path / "plain") as plain, plain.start_run("r", model="m"):
        art = plain.log_artifact("t.csv", key="t")
        with pytest.raises(RuntimeError, match="db_path"):
            plain.ingest(art)
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        with tracker.start_run("r", model="m"):
            raw = tracker.log_input("t.csv", key="t")
        with pytest.raises(RuntimeError, match="active run"):
            tracker.ingest(raw)

        def broken() -> Iterator[dict[str, Any]]:
            yield {"a": 1}
            raise LookupError("the meter was offline")

        with pytest.raises(LookupError, match="offline"):
            tracker.ingest(raw, broken(), run=tracker.get_run("r"))


def test_in_steps_of_every_kind(tracker: Tracker, here: Path, tmp_path: Path) -> None:
    def make() -> Path:
        path = consist.output_path("t", ext="csv")
        path.write_text("a\n1\n")
        art = consist.log_output(path, key="inside")
        assert consist.ingest(art) is not None
        return path

    with tracker.scenario("study") as study:
        study.run(make, name="step", outputs=["t"])
    with tracker.trace("traced"):
        path = here / "traced.csv"
        path.write_text("a\n2\n")
        assert tracker.ingest(tracker.log_output(path, key="inside")) is not None
    assert rows(tracker, "SELECT a FROM global_tables.inside ORDER BY a") == [(1,), (2,)]
    # of another run folder on the same database
    with Tracker(tmp_path / "elsewhere", tracker.db_path) as other:
        art = other.get_artifact("inside")
        assert art is not None
        assert other.ingest(art) is not None
    assert rows(tracker, "SELECT count(*) FROM global_tables.inside") == [(2,)]
    with (
        use_tracker(NoopTracker(tmp_path / "noop")),
        consist.current_tracker().start_run("n", model="m"),
    ):
        assert consist.ingest(consist.log_artifact(path, key="inside")) is None
