"""What columns logged tables have is captured, kept, and compared with what they had before."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlmodel import Field, SQLModel

from consist import Tracker
from consist.errors import UsageError
from consist.formats.parquet import ParquetDriver
from consist.hot.profile import profile_file, profile_footer
from consist.settings import Settings

ROWS = "id,mode,cost,day\n" + "".join(
    f"{n},{('bus', 'car')[n % 2]},{n * 1.5},2030-01-{n + 1:02}\n" for n in range(20)
)


class Household(SQLModel, table=True):
    __tablename__ = "households"
    household_id: int = Field(primary_key=True)


class TripRow(SQLModel, table=True):
    __tablename__ = "trips"
    id: int = Field(primary_key=True)
    mode: str | None = Field(default=None, max_length=10)
    household: int = Field(foreign_key="households.household_id")


@pytest.fixture
def tracker(tmp_path: Path):
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        yield tracker


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    path = tmp_path / "trips.csv"
    path.write_text(ROWS)
    return path


def asked(tracker: Tracker, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with tracker.store.ask() as connection:
        return connection.execute(statement, list(values)).fetchall()


def columns(tracker: Tracker, schema_id: str) -> list[tuple[Any, ...]]:
    return asked(
        tracker,
        "SELECT name, logical_type, nullable FROM artifact_schema_field WHERE schema_id = ?"
        " ORDER BY ordinal_position",
        schema_id,
    )


# ---------------------------------------------------------------- files


def test_columns_of_a_csv_file_are_captured_and_stay(tracker: Tracker, trips: Path) -> None:
    # ART-016, ART-018, ART-019
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(
            trips, "trips", profile_file_schema=True, file_schema_sample_rows=8
        )
    trips.unlink()
    assert artifact.meta["schema_summary"] == {"source": "file", "n_columns": 4, "sample_rows": 8}
    tracker.store.sync()
    found = columns(tracker, artifact.meta["schema_id"])
    assert found == [
        ("id", "BIGINT", True),
        ("mode", "VARCHAR", True),
        ("cost", "DOUBLE", True),
        ("day", "DATE", True),
    ]
    seen = asked(tracker, "SELECT artifact_id, run_id, source, sample_rows"
                          " FROM artifact_schema_observation")  # fmt: skip
    assert seen == [(str(artifact.id), "r", "file", 8)]
    ((stats, is_enum, values),) = asked(
        tracker,
        "SELECT stats_json, is_enum, enum_values_json FROM artifact_schema_field"
        " WHERE name = 'mode'",
    )
    assert (is_enum, json.loads(values)) == (True, ["bus", "car"])
    assert json.loads(stats) == {
        "null_count": 0, "distinct_count": 2, "min": "bus", "max": "car"
    }  # fmt: skip
    ((stats,),) = asked(tracker, "SELECT stats_json FROM artifact_schema_field WHERE name='cost'")
    assert json.loads(stats)["max"] == 10.5  # of eight rows


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet", "json"])
def test_every_format_of_tables_is_captured(tracker: Tracker, tmp_path: Path, suffix: str) -> None:
    # ART-016
    frame = pd.DataFrame({"id": [1, 2], "mode": ["bus", None]})
    path = tmp_path / f"trips.{suffix}"
    match suffix:
        case "parquet":
            frame.to_parquet(path)
        case "json":
            frame.to_json(path, orient="records")
        case _:
            frame.to_csv(path, index=False)
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(path, "trips", profile_file_schema=True)
    found = columns(tracker, artifact.meta["schema_id"])
    assert found == [("id", "BIGINT", True), ("mode", "VARCHAR", True)]


def test_what_is_no_table_or_broken_is_logged_with_one_warning(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # ART-016
    files = {"bad.parquet": b"no", "empty.csv": b"", "binary.csv": b"a\0b\n", "text.txt": b"text"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with tracker.start_run("r", "m"):
        for name in files:
            caplog.clear()
            artifact = tracker.log_artifact(
                tmp_path / name, Path(name).stem, profile_file_schema=True
            )
            assert "schema_id" not in artifact.meta
            (said,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
            assert repr(Path(name).stem) in said
    assert len(tracker.get_artifacts_for_run("r").outputs) == len(files)


@pytest.mark.parametrize(
    "options",
    [
        {"profile_file_schema": "always"},
        {"profile_file_schema": 1},
        {"profile_file_schema": True, "file_schema_sample_rows": 0},
        {"profile_file_schema": True, "file_schema_sample_rows": True},
        {"file_schema_sample_rows": "many"},
    ],
)
def test_other_options_are_refused(tracker: Tracker, trips: Path, options: Any) -> None:
    with tracker.start_run("r", "m"):
        with pytest.raises(ValueError, match=r"profile_file_schema=|file_schema_sample_rows="):
            tracker.log_artifact(trips, "trips", **options)
        with pytest.raises(ValueError, match=r"profile_file_schema=|file_schema_sample_rows="):
            tracker.log_dataframe(pd.DataFrame({"a": [1]}), "frame", **options)


def test_the_environment_sets_defaults(
    tmp_path: Path, trips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.from_environment({}).schema_sample_rows == 1000
    assert (
        Settings.from_environment({"CONSIST_SCHEMA_SAMPLE_ROWS": "None"}).schema_sample_rows is None
    )
    with pytest.raises(UsageError, match="CONSIST_SCHEMA_SAMPLE_ROWS"):
        Settings.from_environment({"CONSIST_SCHEMA_SAMPLE_ROWS": "0"})
    monkeypatch.setenv("CONSIST_SCHEMA_SAMPLE_ROWS", "5")
    monkeypatch.setenv("CONSIST_SCHEMA_PROFILE_ENABLED", "1")
    notes = tmp_path / "notes.txt"
    notes.write_text("no table")
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker, tracker.start_run("r", "m"):
        found = tracker.log_artifacts({"trips": trips, "notes": notes})
        assert found["trips"].meta["schema_summary"]["sample_rows"] == 5
        assert "schema_id" not in found["notes"].meta
        plain = tracker.log_artifact(trips, "more", profile_file_schema=False)
        assert "schema_id" not in plain.meta


# ---------------------------------------------------------------- if changed


def test_known_content_is_not_looked_at_again(
    tracker: Tracker, trips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ART-017
    with tracker.start_run("first", "m"):
        first = tracker.log_artifact(trips, "trips", profile_file_schema="if_changed")
    looked: list[Path] = []

    def count(driver: Any, path: Path, *rest: Any) -> Any:
        looked.append(path)
        return profile_file(driver, path, *rest)

    monkeypatch.setattr("consist.hot.profile.profile_file", count)
    copy = tmp_path / "copy.csv"
    shutil.copy(trips, copy)
    with tracker.start_run("second", "m"):
        second = tracker.log_artifact(copy, "copied", profile_file_schema="if_changed")
        assert not looked
        assert second.meta["schema_id"] == first.meta["schema_id"]
        copy.write_text("id\n1\n")
        third = tracker.log_artifact(copy, "copied", profile_file_schema="if_changed")
        assert third.meta["schema_id"] != first.meta["schema_id"]
        assert looked == [copy]
        again = tracker.log_artifact(trips, "again", profile_file_schema=True)
        assert looked == [copy, trips]
        assert again.meta["schema_id"] == first.meta["schema_id"]
    seen = asked(tracker, "SELECT count(*) FROM artifact_schema_observation")
    assert seen == [(4,)]


@pytest.mark.parametrize("lost", ["nothing", "index", "old index"])
def test_a_later_process_knows_as_much(
    tmp_path: Path, trips: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    # ART-017
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker, tracker.start_run("f", "m"):
        first = tracker.log_artifact(trips, "trips", profile_file_schema=True)
    index = tmp_path / "db.duckdb.journal/index.sqlite"
    if lost == "index":
        index.unlink()
    elif lost == "old index":
        with sqlite3.connect(index) as connection:
            connection.execute("UPDATE meta SET value = '5' WHERE name = 'version'")
            connection.execute("DROP TABLE captured")
        connection.close()
    monkeypatch.setattr("consist.hot.profile.profile_file", None)
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        monkeypatch.setattr(tracker.store, "ask", None)
        with tracker.start_run("second", "m"):
            second = tracker.log_artifact(trips, "copied", profile_file_schema="if_changed")
        assert second.meta["schema_id"] == first.meta["schema_id"]
        known = tracker.store.layout(second.meta["schema_id"])
        assert known is not None
        assert [field.name for field in known.fields] == ["id", "mode", "cost", "day"]
        assert known.fields[1].values == ("bus", "car")


# ---------------------------------------------------------------- frames


def make() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "mode": ["bus", "car", None], "cost": [1.0, 2.5, 4.0]})


def test_frames_that_steps_return_are_always_captured(tracker: Tracker) -> None:
    done = tracker.run(make, outputs=["trips"])
    made = done.outputs["trips"]
    assert columns(tracker, made.meta["schema_id"]) == [
        ("id", "BIGINT", True),
        ("mode", "VARCHAR", True),
        ("cost", "DOUBLE", True),
    ]
    ((stats,),) = asked(tracker, "SELECT stats_json FROM artifact_schema_field WHERE name = 'id'")
    assert json.loads(stats) == {"null_count": 0, "min": 1, "max": 3}
    hit = tracker.run(make, outputs=["trips"])
    assert hit.cache_hit
    assert hit.outputs["trips"].meta == made.meta
    assert asked(tracker, "SELECT count(*) FROM artifact_schema_observation") == [(1,)]


def test_a_frame_without_columns_has_no_schema(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    made = tracker.run(pd.DataFrame, name="none", outputs=["empty"]).outputs["empty"]
    assert "schema_id" not in made.meta
    assert not caplog.records


@pytest.mark.parametrize(
    "kind",
    [
        pa.bool_(), pa.int8(), pa.uint64(), pa.float32(), pa.large_string(), pa.binary(),
        pa.date32(), pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "UTC"),
        pa.time64("us"), pa.decimal128(10, 2), pa.list_(pa.int64()),
        pa.dictionary(pa.int32(), pa.string()), pa.struct([("a", pa.int64())]), pa.duration("s"),
        pa.float16(), pa.time64("ns"), pa.timestamp("ns", "UTC"),
    ],
    ids=str,
)  # fmt: skip
def test_the_footer_tells_the_types_that_duckdb_reads(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "t.parquet"
    column = pa.field("required", pa.int32(), nullable=False)
    schema = pa.schema([pa.field("x", kind), column])
    pq.write_table(pa.table([pa.nulls(2, kind), pa.array([1, 2], pa.int32())], schema=schema), path)
    read = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()[0][1]
    footer = profile_footer(path)
    whole, rows = profile_file(ParquetDriver(), path, 10)
    assert (whole.fields[0].type, whole.fields[1].nullable, rows) == (read, False, 2)
    assert footer is None or footer[0].id == whole.id


def test_the_footer_just_written_tells_what_reading_it_tells(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": [1, 2], "mode": pd.Categorical(["car", None]), "x": [0.5, None], "at": ["a", "b"]}
    )
    path, other = tmp_path / "t.parquet", tmp_path / "other.parquet"
    for table in (frame, frame.set_index("id"), frame.iloc[:0], frame[["x"]]):
        ParquetDriver().write(table, path)
        moved = path.rename(tmp_path / "moved.parquet")
        assert profile_footer(moved) == profile_footer(moved) is not None
    ParquetDriver().write(frame, path)
    frame[["x"]].to_parquet(other)
    seen = profile_footer(other)
    assert seen is not None
    assert [field.name for field in seen[0].fields] == ["x"]


def test_a_frame_that_is_logged_is_captured_if_asked(tracker: Tracker) -> None:
    with tracker.start_run("r", "m"):
        plain = tracker.log_dataframe(make(), "plain")
        asked_for = tracker.log_dataframe(make(), "asked", driver="csv", profile_file_schema=True)
    assert "schema_id" not in plain.meta
    assert asked_for.meta["schema_summary"]["sample_rows"] == 3


# ---------------------------------------------------------------- models and ingestion


def test_a_model_is_captured_with_its_foreign_keys(tracker: Tracker, trips: Path) -> None:
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(trips, "trips", schema=TripRow)
    schema_id = artifact.meta["schema_id"]
    assert artifact.meta["schema_name"] == "TripRow"
    assert columns(tracker, schema_id) == [
        ("id", "INTEGER", False),
        ("mode", "VARCHAR", True),
        ("household", "INTEGER", False),
    ]
    assert asked(tracker, "SELECT * FROM consist_schema_links") == [
        (schema_id, "trips", "household", "households", "household_id", "foreign_key", None)
    ]
    tracker.store.sync()
    assert asked(tracker, "SELECT to_table FROM consist_schema_links") == [("households",)]


def test_ingestion_captures_the_table_once_per_layout(tracker: Tracker, trips: Path) -> None:
    # ING-009
    with tracker.start_run("r", "m"):
        first = tracker.log_artifact(trips, "trips")
        tracker.ingest(first)
        second = tracker.log_artifact(trips, "again")
        tracker.ingest(second, profile_schema=True)
        third = tracker.log_artifact(trips, "third")
        tracker.ingest(third, profile_schema=False)
    assert first.meta["schema_id"] == second.meta["schema_id"]
    assert first.meta["schema_summary"]["table_name"] == "trips"
    assert "schema_id" not in third.meta
    assert asked(tracker, "SELECT count(*) FROM artifact_schema") == [(1,)]
    seen = "SELECT source, sample_rows FROM artifact_schema_observation"
    assert asked(tracker, seen) == [("duckdb", 20)] * 2
    stored = tracker.get_artifact(first.id)
    assert stored is not None
    assert stored.meta["schema_id"] == first.meta["schema_id"]


def test_ingestion_outside_a_run_captures_as_well(tracker: Tracker, trips: Path) -> None:
    # ING-009
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(trips, "trips")
    tracker.ingest(artifact)
    assert asked(tracker, "SELECT run_id, source FROM artifact_schema_observation") == [
        ("r", "duckdb")
    ]
    assert artifact.meta["schema_id"]


# ---------------------------------------------------------------- drift


def test_other_columns_than_before_are_noted_once(
    tracker: Tracker, trips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tracker.start_run("first", "m"):
        tracker.log_artifact(trips, "trips", profile_file_schema=True)
    with tracker.start_run("same", "other"):
        tracker.log_artifact(trips, "trips", profile_file_schema=True)
    assert not caplog.records
    trips.write_text("id,mode,price,day\nx,bus,1.5,2030-01-01\n")
    with tracker.start_run("other", "m"):
        tracker.log_artifact(trips, "trips", profile_file_schema=True)
        tracker.log_artifact(trips, "trips", profile_file_schema=True)
    (said,) = [r.getMessage() for r in caplog.records]
    assert "'trips' differ from those that run 'same' recorded" in said
    assert "'cost' is gone, 'price' is new, 'id' was BIGINT and is VARCHAR" in said
    run = tracker.get_run("other")
    assert run is not None
    (drift,) = run.meta["schema_drift"]
    assert (drift["key"], drift["before_run"]) == ("trips", "same")
    assert (drift["gone"], drift["new"]) == (["cost"], ["price"])
    assert drift["changed"] == {"id": ["BIGINT", "VARCHAR"]}


def test_frames_of_another_layout_drift_and_models_do_not(tracker: Tracker, trips: Path) -> None:
    tracker.run(make, outputs=["trips"])

    def more() -> pd.DataFrame:
        return make().assign(day=pd.Timestamp(2030, 1, 1))

    done = tracker.run(more, outputs=["trips"])
    assert [d["new"] for d in done.run.meta["schema_drift"]] == [["day"]]
    with tracker.start_run("r", "m"):
        tracker.log_artifact(trips, "trips", schema=TripRow)
    run = tracker.get_run("r")
    assert run is not None
    assert "schema_drift" not in run.meta
