"""Rows of artifacts go into the database, inside runs and after them, once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import text as sql

import consist
from consist import CacheOptions, Tracker
from consist.errors import (
    ArtifactChanged,
    FileGone,
    NoDatabase,
    NotSupportedYet,
    ReadOnlyTracker,
    StoreLocked,
    TrackerClosed,
    UnsupportedFormat,
    UsageError,
    WrongType,
)
from consist.hot import ingest as room
from consist.hot.staged_rows import in_memory
from consist.noop import NoopTracker

if TYPE_CHECKING:
    from consist.models.artifact import Artifact


def ask(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    with tracker.store.ask() as connection:
        return connection.execute(statement).fetchall()


def in_file(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    """Ask the file alone, as any DuckDB client would."""
    database = tracker.store.database  # type: ignore[attr-defined]
    with (
        database.alone(60) as alone,  # else a merge in the background may have it just now
        duckdb.connect(str(tracker.db_path), read_only=True) as connection,
    ):
        assert alone
        return connection.execute(statement).fetchall()


def staged(tracker: Tracker) -> list[str]:
    folder = Path(f"{tracker.db_path}.journal/rows")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def logged(tracker: Tracker, path: Path, key: str = "raw", **options: Any) -> Artifact:
    with tracker.start_run("make", model="make", **options):
        return tracker.log_artifact(path, key=key)


def test_rows_are_seen_at_once_and_stored_by_the_next_merge(tracker: Tracker, raw: Path) -> None:
    # ING-001, ING-002, ING-011
    with tracker.start_run("make", model="make", year=2030, iteration=2):
        artifact = tracker.log_artifact(raw, key="raw")
        result = tracker.ingest(artifact)
        assert result is not None
        assert (result.table, result.rows, result.run_id) == ("raw", 3, "make")
        assert result.columns == {"category": "VARCHAR", "value": "DOUBLE"}
        assert len(staged(tracker)) == 1
        assert not Path(str(tracker.db_path)).exists(), "the run did not touch the database"
        seen = "SELECT category, value, consist_run_id, consist_artifact_id, consist_year,"
        seen += " consist_iteration FROM global_tables.raw"
        before = ask(tracker, seen)
    assert before == [
        (name, value, "make", str(artifact.id), 2030, 2)
        for name, value in (("a", 0.2), ("b", 0.6), ("a", 0.9))
    ]
    assert tracker.store.sync()
    assert ask(tracker, seen) == before
    assert in_file(tracker, seen) == before
    assert staged(tracker) == []


def test_the_module_level_verb_means_the_tracker_in_reach(tracker: Tracker, raw: Path) -> None:
    with tracker.start_run("make", model="make"):
        artifact = consist.log_artifact(raw, key="raw")
        assert consist.ingest(artifact) is not None
    assert ask(tracker, "SELECT count(*) FROM global_tables.raw") == [(3,)]


def test_rows_that_need_more_memory_get_it(
    tracker: Tracker, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.hot.ingest.MEMORY", "1MB")
    with tracker.start_run("make", model="make"):
        result = tracker.ingest(tracker.log_artifact(raw, key="raw"))
    assert result is not None
    assert result.rows == 3


def test_an_artifact_knows_that_it_was_ingested(tracker: Tracker, raw: Path) -> None:
    # ING-012
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw", note="kept")
        tracker.ingest(artifact)
        inside = tracker.get_artifact("raw")
        assert inside is not None
        assert inside.meta["is_ingested"]
    for known in (artifact, tracker.get_artifact("raw")):
        assert known is not None
        assert known.meta["is_ingested"] is True
        assert known.meta["dlt_table_name"] == "raw"
        assert known.meta["note"] == "kept"
        summary = known.meta["schema_summary"]
        assert summary["columns"] == {"category": "VARCHAR", "value": "DOUBLE"}
        assert summary["n_rows"] == 3


def test_without_a_profile_there_is_no_summary(tracker: Tracker, raw: Path) -> None:
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw")
        tracker.ingest(artifact, profile_schema=False)
    assert "schema_summary" not in artifact.meta


@pytest.mark.parametrize("merged", [True, False])
def test_ingesting_again_replaces_the_rows(tracker: Tracker, raw: Path, merged: bool) -> None:
    artifact = logged(tracker, raw)
    with tracker.start_run("other", model="other"):
        for _ in range(2):
            tracker.ingest(artifact)
            if merged:
                tracker.store.sync()
        tracker.ingest(artifact, pd.DataFrame({"category": ["z"], "value": [1.0]}))
        found = ask(tracker, "SELECT category, consist_run_id FROM global_tables.raw")
        assert found == [("z", "other")]
    tracker.store.sync()
    assert in_file(tracker, "SELECT category, value FROM global_tables.raw") == [("z", 1.0)]
    ledger = "SELECT row_count FROM global_tables._consist_ingest"
    assert in_file(tracker, ledger) == [(1,)]


def test_after_its_run_an_artifact_is_ingested_for_it(tracker: Tracker, raw: Path) -> None:
    # C-28
    artifact = logged(tracker, raw, year=2040)
    result = tracker.ingest(artifact)
    assert result is not None
    assert result.run_id == "make"
    stored = "SELECT DISTINCT consist_run_id, consist_year FROM global_tables.raw"
    assert in_file(tracker, stored) == [("make", 2040)]
    assert staged(tracker) == []
    fetched = tracker.get_artifact("raw")
    assert fetched is not None
    assert fetched.meta["is_ingested"]


def test_rows_can_be_tagged_with_a_finished_run(tracker: Tracker, raw: Path) -> None:
    # ING-008
    artifact = logged(tracker, raw)
    with tracker.start_run("other", model="other"):
        pass
    result = tracker.ingest(artifact, run=tracker.get_run("other"))
    assert result is not None
    assert result.run_id == "other"
    with pytest.raises(WrongType, match="not a Run"):
        tracker.ingest(artifact, run="other")  # type: ignore[arg-type]


def test_outside_a_run_a_raw_input_belongs_to_none(tracker: Tracker, raw: Path) -> None:
    with tracker.start_run("use", model="use"):
        artifact = tracker.log_input(raw, key="raw")
    with pytest.raises(RuntimeError, match="needs an active run"):
        tracker.ingest(artifact)
    assert tracker.ingest(artifact, run=tracker.get_run("use")) is not None


def test_an_ingest_after_the_run_says_who_holds_the_database(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSIST_LOCK_WAIT", "0.2")
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        artifact = logged(tracker, raw)
        tracker.store.sync()
        owner = tracker.get_run("make")
        with duckdb.connect(str(tracker.db_path), read_only=True):
            with pytest.raises(StoreLocked):
                tracker.ingest(artifact, run=owner)
            with tracker.start_run("busy", model="busy"):
                tracker.ingest(artifact)  # a run never waits
            assert len(staged(tracker)) == 1, "and nothing of the refused one is left"
        assert ask(tracker, "SELECT count(*) FROM global_tables.raw") == [(3,)]


def test_a_frame_goes_in_with_its_index(tracker: Tracker, raw: Path) -> None:
    # ING-003
    frame = pd.DataFrame({"v": [1, 2]}, index=pd.Index(["x", "y"], name="who"))
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="LinkStats/Final-2")
        tracker.ingest(artifact, frame)
        tracker.ingest(tracker.log_artifact(raw, key="arrow"), pa.table({"a": [1]}))
    assert ask(tracker, "SELECT who, v FROM global_tables.link_stats_final_2") == [
        ("x", 1),
        ("y", 2),
    ]
    assert ask(tracker, "SELECT a FROM global_tables.arrow") == [(1,)]


def test_dicts_come_in_any_number(tracker: Tracker, raw: Path) -> None:
    # ING-003
    rows = ({"n": i} if i < 50_000 else {"n": i + 0.5, "late": "x"} for i in range(60_000))
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="many")
        result = tracker.ingest(artifact, rows)
        assert result is not None
        assert (result.rows, result.columns) == (60_000, {"n": "DOUBLE", "late": "VARCHAR"})
        frames = (pd.DataFrame({"n": [i]}) for i in range(3))
        tracker.ingest(tracker.log_artifact(raw, key="frames"), frames)
    assert ask(tracker, "SELECT count(late), max(n) FROM global_tables.many") == [
        (10_000, 59_999.5)
    ]
    ordered = "SELECT list(n) FROM global_tables.frames"
    assert ask(tracker, ordered) == [([0, 1, 2],)]


def test_tables_of_runs_that_differ_become_one(tracker: Tracker) -> None:
    tables = [
        {"a": [1, 2], "b": ["x", "y"]},
        {"A": [1.5, 2.0], "c": [True, None]},
        {"a": [2**60 + 1, 3], "b": ["u", "v"]},
        {"a": ["text", "3"]},
    ]
    frames = [pd.DataFrame(table) for table in tables]
    artifacts = []
    for number, frame in enumerate(frames):
        frame.to_parquet(f"t{number}.parquet")
        with tracker.start_run(f"r{number}", model="m"):
            artifacts.append(tracker.log_artifact(f"t{number}.parquet", key="t"))
            tracker.ingest(artifacts[-1])
            count = ask(tracker, "SELECT count(*) FROM global_tables.t")
            assert count == [(2 * number + 2,)]
        tracker.store.sync()
        expected = ["BIGINT", "DOUBLE", "VARCHAR", "VARCHAR"][number]
        assert in_file(tracker, "SELECT DISTINCT typeof(a) FROM global_tables.t") == [(expected,)]
    for number, (artifact, frame) in enumerate(zip(artifacts, frames, strict=True)):
        Path(f"t{number}.parquet").unlink()
        back = tracker.load_df(artifact, db_fallback="always")
        pd.testing.assert_frame_equal(back, frame)


def test_a_type_that_only_later_rows_break_is_widened(tracker: Tracker, here: Path) -> None:
    lines = ["n,m,d", *(["1,1,2030-01-01"] * 30_000), "2.5,x,2030-01-01 10:00:00"]
    (here / "t.csv").write_text("\n".join(lines) + "\n")
    with tracker.start_run("r", model="m"):
        result = tracker.ingest(tracker.log_artifact("t.csv", key="t"))
    assert result is not None
    assert result.columns == {"n": "DOUBLE", "m": "VARCHAR", "d": "VARCHAR"}
    last = "SELECT n, m, d FROM global_tables.t OFFSET 30000"
    assert ask(tracker, last) == [(2.5, "x", "2030-01-01 10:00:00")]


def test_rows_of_another_type_replace_those_of_an_artifact(tracker: Tracker, raw: Path) -> None:
    # Rows that are deleted in a transaction are still converted by it.
    artifact = logged(tracker, raw)
    for value in ("x", 1, 1.5, True, "x"):
        with tracker.start_run("r", model="m"):
            tracker.ingest(artifact, [{"a": value}])
        tracker.store.sync()
        assert in_file(tracker, "SELECT a FROM global_tables.raw") == [(value,)]


@pytest.mark.parametrize(
    "data",
    [pd.DataFrame([[1, 2]], columns=["a", "a"]), [{"a": 10**40}], [{"a": "\ud800"}]],
)
def test_rows_that_make_no_table_are_named(tracker: Tracker, raw: Path, data: Any) -> None:
    artifact = logged(tracker, raw)
    with pytest.raises(UsageError, match="rows given for 'raw'"):
        tracker.ingest(artifact, data)


def test_what_is_not_supported_is_said(tracker: Tracker, raw: Path) -> None:
    artifact = logged(tracker, raw)
    with tracker.start_run("r", model="m"):
        wide = pa.table({"d": pa.array([None], pa.decimal256(50, 2))})
        with pytest.raises(NotSupportedYet, match="'d' of type decimal256"):
            tracker.ingest(artifact, wide)
    assert staged(tracker) == []


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ("text", WrongType, "data is a str"),
        ({"a": [1]}, WrongType, "data is a dict"),
        (5, WrongType, "data is an int"),
        ([1, 2], WrongType, "a row is an int"),
        ([{"a": 1}, "x"], WrongType, "a row is a str"),
        ([{1: 1}], WrongType, "column name 1"),
        ([], UsageError, "no rows"),
        ([{"a": 1}, {"a": "x"}], UsageError, "make no table: column 'a' holds int, str: "),
        ([{"a": float("nan")}, {"a": 1}, {"a": "y"}], UsageError, "holds float, int, str: "),
        ([{"a": 2**70}], UsageError, "column 'a'"),
        (pd.DataFrame({"a": [1, "x"]}), UsageError, "make no table"),
        (pd.DataFrame(), UsageError, "without columns"),
    ],
)
def test_data_that_is_no_table_is_refused(
    tracker: Tracker, raw: Path, data: Any, error: type[Exception], text: str
) -> None:
    with tracker.start_run("r", model="m"):
        artifact = tracker.log_artifact(raw, key="raw")
        with pytest.raises(error, match=text):
            tracker.ingest(artifact, data)
        assert not artifact.meta.get("is_ingested")
    assert staged(tracker) == []


def test_missing_texts_in_records_of_pandas_are_missing(tracker: Tracker, raw: Path) -> None:
    records = [{"name": "a", "x": 1.5}, {"name": float("nan"), "x": float("nan")}]
    with tracker.start_run("r", model="m"):
        tracker.ingest(tracker.log_artifact(raw, key="raw"), records)
    found = tracker.run_query(sql("SELECT name, isnan(x) FROM global_tables.raw ORDER BY x"))
    assert [tuple(row) for row in found] == [("a", False), (None, True)]


def test_files_that_cannot_be_ingested_are_refused(tracker: Tracker, here: Path) -> None:
    (here / "t.csv").write_text("a,b\n1,2\n")
    (here / "ragged.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    (here / "broken.parquet").write_bytes(b"PAR1 no PAR1")
    (here / "t.json").write_text("[1]")
    with tracker.start_run("r", model="m"):
        artifact = tracker.log_artifact("t.csv", key="t")
        with pytest.raises(UnsupportedFormat, match="ragged"):
            tracker.ingest(tracker.log_artifact("ragged.csv", key="ragged"))
        with pytest.raises(UnsupportedFormat, match=r"broken\.parquet"):
            tracker.ingest(tracker.log_artifact("broken.parquet", key="broken"))
        with pytest.raises(UnsupportedFormat, match="holds no records"):
            tracker.ingest(tracker.log_artifact("t.json", key="j"))
        with pytest.raises(WrongType, match="pass an Artifact"):
            tracker.ingest("t.csv")  # type: ignore[arg-type]
        (here / "t.csv").write_text("a,b\n1,3\n")
        with pytest.raises(ArtifactChanged, match="'t' changed"):
            tracker.ingest(artifact)
        (here / "t.csv").unlink()
        with pytest.raises(FileGone, match="'t'"):
            tracker.ingest(artifact)
    assert staged(tracker) == []


def test_a_disk_without_room_is_said_and_leaves_nothing(
    tracker: Tracker, raw: Path, tmp_path: Path
) -> None:
    with tracker.start_run("r", model="m"):
        artifact = tracker.log_artifact(raw, key="raw")
        folder = Path(f"{tracker.db_path}.journal/rows")
        folder.write_text("a file stands where the folder should be")
        with pytest.raises(RuntimeError, match="cannot write"):
            tracker.ingest(artifact)
        folder.unlink()
        assert tracker.ingest(artifact) is not None


def test_who_may_ingest(tracker: Tracker, raw: Path, tmp_path: Path) -> None:
    artifact = logged(tracker, raw)
    tracker.close()
    with pytest.raises(TrackerClosed):
        tracker.ingest(artifact)
    where = (tracker.run_dir, tracker.db_path)
    with Tracker(*where, access_mode="read_only") as reader, pytest.raises(ReadOnlyTracker):
        reader.ingest(artifact)
    with Tracker(*where, access_mode="analysis") as analyst:
        assert analyst.ingest(artifact) is not None
    with Tracker(tmp_path / "no_database") as plain, plain.start_run("r", model="m"):
        other = plain.log_artifact(raw, key="raw")
        with pytest.raises(NoDatabase):
            plain.ingest(other)


def test_without_tracking_nothing_is_ingested(raw: Path, tmp_path: Path) -> None:
    tracker = NoopTracker(tmp_path / "noop")
    with tracker.start_run("r", model="m"):
        assert tracker.ingest(tracker.log_artifact(raw, key="raw")) is None
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as real:
        with real.start_run("r", model="m", cache_mode="readonly"):
            assert real.ingest(real.log_artifact(raw, key="raw")) is None
        assert staged(real) == []


def test_eager_validation_takes_rows_for_files(tracker: Tracker, raw: Path) -> None:
    # ING-012
    def make() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    def run() -> Any:
        options = CacheOptions(validate_cached_outputs="eager")
        return tracker.run(make, outputs=["made"], cache_options=options)

    first = run()
    first.outputs["made"].path.unlink()
    again = run()
    assert not again.cache_hit
    tracker.ingest(again.outputs["made"])
    again.outputs["made"].path.unlink()
    assert run().cache_hit


def test_a_rebuilt_database_claims_no_rows_that_it_lacks(
    tracker: Tracker, raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = logged(tracker, raw)
    tracker.ingest(artifact)
    tracker.store.sync()
    Path(str(tracker.db_path)).unlink()
    with caplog.at_level(logging.WARNING):
        found = tracker.get_artifact("raw")
    assert found is not None
    assert not found.meta.get("is_ingested")
    raw.unlink()
    with pytest.raises(FileGone):
        tracker.load_df(found, db_fallback="always")


def test_few_rows_are_staged_although_a_merge_leaves_no_memory(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: list[Path] = []

    def noted(spill: Path, *limit: str) -> Any:
        own.append(spill)
        return in_memory(spill, *limit)

    monkeypatch.setattr(room, "in_memory", noted)
    with tracker.store.scratch() as connection:  # the instance that merges work in, too
        connection.execute("SET memory_limit = '1MB'")
    path = tmp_path / "runs" / "many.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["a,b", *(f"{i},{i}.50" for i in range(10_000))]))
    with tracker.start_run("make", model="make"):
        result = tracker.ingest(tracker.log_artifact(path, key="many"))
    with tracker.store.scratch() as connection:
        connection.execute("RESET memory_limit")
    assert result is not None
    assert (result.rows, len(own)) == (10_000, 1)
    assert ask(tracker, "SELECT count(*), sum(b) FROM global_tables.many") == [
        (10_000, sum(range(10_000)) + 5_000)
    ]


def test_times_are_read_in_utc_wherever_the_machine_is(tmp_path: Path) -> None:
    script = """
import sys
from consist import Tracker
with Tracker(sys.argv[1] + "/runs", sys.argv[1] + "/p.duckdb", project_root=sys.argv[1]) as tracker:
    tracker.run_dir.mkdir(parents=True, exist_ok=True)
    path = tracker.run_dir / "t.csv"
    path.write_text("seen\\n2030-01-01T12:00:00+00\\n2030-01-01T07:00:00-05\\n")
    with tracker.start_run("make", model="make"):
        tracker.ingest(tracker.log_artifact(path, key="t"))
    for _ in range(2):  # staged, then stored
        with tracker.store.ask() as connection:
            said = "SELECT DISTINCT CAST(seen AS VARCHAR) FROM global_tables.t"
            print(connection.execute(said).fetchall())
        tracker.store.sync()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "TZ": "America/New_York"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.split("\n")[:2] == ["[('2030-01-01 12:00:00+00',)]"] * 2
