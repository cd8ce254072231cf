"""Which schema counts for an ingest, and what a refused one leaves behind: nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pytest
from pydantic import field_validator
from sqlmodel import Field, SQLModel

from consist import Tracker
from consist.errors import ModelUnusable, SchemaViolation, UsageError, WrongType
from tests.unit.hot.test_ingest import ask, in_file, logged, staged

if TYPE_CHECKING:
    from consist.models.artifact import Artifact


class Zone(SQLModel):
    """A model without a table of its own."""

    category: str
    value: float = Field(ge=0)


class Narrow(SQLModel):
    """A model that the raw table breaks."""

    __tablename__ = "NarrowZones"
    category: str
    value: int


@pytest.fixture
def world(tmp_path: Path) -> Any:
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", schemas=[Zone, Narrow]) as tracker:
        yield tracker


def described(tracker: Tracker, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in ask(tracker, f"DESCRIBE global_tables.{table}")}


def test_the_given_schema_counts_before_the_recorded_one(world: Tracker, raw: Path) -> None:
    # ING-004
    with world.start_run("make", model="make"):
        artifact = world.log_artifact(raw, key="raw", schema=Narrow)
        result = world.ingest(artifact, schema=Zone)
        assert result is not None
        assert result.table == "raw"
        with pytest.raises(SchemaViolation, match="Narrow"):
            world.ingest(world.log_artifact(raw, key="other", schema=Zone), schema=Narrow)


def test_the_recorded_schema_counts_also_in_another_session(tmp_path: Path, raw: Path) -> None:
    # ING-005, ING-006, ART-006
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", schemas=[Narrow]) as first:
        artifact = logged_as(first, raw, Narrow)
        assert artifact.meta["schema_name"] == "Narrow"
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", schemas=[Narrow]) as second:
        fetched = second.get_artifact("raw")
        assert fetched is not None
        with pytest.raises(SchemaViolation, match="value: is no whole number"):
            second.ingest(fetched)
        result = second.ingest(fetched, pd.DataFrame({"category": ["a"], "value": [1.0]}))
        assert result is not None
        assert (result.table, result.columns["value"]) == ("narrow_zones", "BIGINT")
        assert in_file(second, "SELECT category, value FROM global_tables.narrow_zones") == [
            ("a", 1)
        ]


def logged_as(tracker: Tracker, path: Path, schema: Any) -> Artifact:
    with tracker.start_run("make", model="make"):
        return tracker.log_artifact(path, key="raw", schema=schema)


def test_a_name_without_a_class_is_said_once_and_checks_nothing(
    tracker: Tracker, raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw", schema=Narrow)
        for _ in range(2):
            assert tracker.ingest(artifact) is not None
    (record,) = [r for r in caplog.records if "not registered" in r.message]
    assert "schemas=[Narrow]" in record.message


def test_what_is_not_checked_is_said_once(
    tracker: Tracker, raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Checked(Zone):
        @field_validator("category")
        @classmethod
        def short(cls, value: str) -> str:
            return value

    with caplog.at_level(logging.WARNING), tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw")
        for _ in range(2):
            tracker.ingest(artifact, schema=Checked)
    (record,) = [r for r in caplog.records if "does not check" in r.message]
    assert "validator short()" in record.message


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", ["csv", "parquet", "given"])
def test_a_refused_ingest_leaves_nothing(
    tracker: Tracker, raw: Path, here: Path, kind: str, inside: bool
) -> None:
    frame = pd.read_csv(raw)
    frame.to_parquet("raw.parquet")
    path, data = (here / "raw.parquet", None) if kind == "parquet" else (raw, None)
    data = frame if kind == "given" else data
    artifact = logged(tracker, path)
    before = dict(artifact.meta)

    def refused() -> None:
        with pytest.raises(ValueError, match="Schema Contract Violation"):
            tracker.ingest(artifact, data, schema=Narrow)

    if inside:
        with tracker.start_run("again", model="m"):
            refused()
    else:
        refused()
    assert staged(tracker) == []
    assert artifact.meta == before
    tracker.store.sync()
    fetched = tracker.get_artifact("raw")
    assert fetched is not None
    assert "is_ingested" not in fetched.meta
    tables = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'global_tables'"
    assert in_file(tracker, tables) == [(0,)]


def test_fields_that_sqlmodel_has_no_column_for_are_logged_and_checked(
    tracker: Tracker, raw: Path
) -> None:
    class Row(SQLModel):
        category: Literal["a", "b"]
        value: float
        parts: list[int] | None = None

    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw", schema=Row)
        result = tracker.ingest(artifact, schema=Row)
    assert result is not None
    assert result.columns == {"category": "VARCHAR", "value": "DOUBLE", "parts": "JSON"}


def test_rows_move_to_the_table_of_their_schema(tracker: Tracker, raw: Path) -> None:
    class Moved(Zone):
        __tablename__ = "elsewhere"

    artifact = logged(tracker, raw)
    tracker.ingest(artifact)
    assert in_file(tracker, "SELECT count(*) FROM global_tables.raw") == [(3,)]
    with tracker.start_run("again", model="m"):
        tracker.ingest(artifact, schema=Moved)
        for _ in range(2):  # before and after a merge
            assert ask(tracker, "SELECT count(*) FROM global_tables.elsewhere") == [(3,)]
            assert ask(tracker, "SELECT count(*) FROM global_tables.raw") == [(0,)]
            tracker.store.sync()
    ledger = "SELECT table_name, row_count FROM global_tables._consist_ingest"
    assert in_file(tracker, ledger) == [("elsewhere", 3)]


def test_csv_is_read_as_the_model_says_and_comes_back_as_it_was(
    tracker: Tracker, here: Path
) -> None:
    class Trip(SQLModel):
        zone: str
        distance: float
        late: str | None

    path = here / "trips.csv"
    path.write_text('zone,distance,late\n10,1,\n20,02.50,""\n')
    original = path.read_bytes()
    artifact = logged(tracker, path)
    before = tracker.load_df(artifact)
    tracker.ingest(artifact, schema=Trip)
    assert in_file(tracker, "SELECT zone, distance, late FROM global_tables.raw") == [
        ("10", 1.0, None), ("20", 2.5, ""),
    ]  # fmt: skip
    path.unlink()
    pd.testing.assert_frame_equal(tracker.load_df(artifact, db_fallback="always"), before)
    from consist.hot.rows import restore

    restore(tracker, artifact.to_record(), path)
    assert path.read_bytes() == original


# ---------------------------------------------------------------- registered schemas


def test_schemas_are_found_by_name(world: Tracker) -> None:
    # SCH-001, SCH-002, ERR-039
    assert world.get_registered_schema("Zone") is Zone
    assert world.get_registered_schema("zone") is None
    assert world.get_registered_schema("Other", default=Narrow) is Narrow
    with pytest.raises(TypeError, match="is an int, not text"):
        world.get_registered_schema(5)  # type: ignore[arg-type]
    for blank in ("", "  "):
        with pytest.raises(ValueError, match="empty"):
            world.get_registered_schema(blank)


def test_what_is_registered_is_a_model_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    twin = type("Zone", (SQLModel,), {"__annotations__": {"a": int}})
    assert Tracker(tmp_path, schemas=[Zone, Zone]).get_registered_schema("Zone") is Zone
    with pytest.raises(UsageError, match="two schemas are called 'Zone'"):
        Tracker(tmp_path, schemas=[Zone, twin])
    for wrong in (int, "Zone", Zone(category="a", value=1)):
        with pytest.raises(WrongType, match="no SQLModel class but"):
            Tracker(tmp_path, schemas=[wrong])  # type: ignore[list-item]
    with pytest.raises(WrongType, match="not a list"):
        Tracker(tmp_path, schemas=Zone)  # type: ignore[arg-type]


def test_what_is_no_schema_is_refused(tracker: Tracker, raw: Path) -> None:
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw")
        for wrong in (int, {"a": int}):
            with pytest.raises(WrongType, match="no SQLModel class"):
                tracker.ingest(artifact, schema=wrong)  # type: ignore[arg-type]
    assert staged(tracker) == []


# ---------------------------------------------------------------- frames


def test_a_logged_frame_is_ingested_with_its_schema(tracker: Tracker, here: Path) -> None:
    # ART-033
    frame = pd.DataFrame({"category": ["a", "b"], "value": [1, 2]})
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_dataframe(frame, "zones", schema=Zone)
        text = tracker.log_dataframe(frame, "text", schema=Zone, path=here / "text.csv")
    assert artifact.meta["schema_name"] == "Zone"
    assert artifact.meta["is_ingested"]
    assert text.meta["is_ingested"]
    for table in ("zones", "text"):
        assert described(tracker, table)["value"] == "DOUBLE"
        rows = ask(tracker, f"SELECT category, value FROM global_tables.{table}")
        assert rows == [("a", 1.0), ("b", 2.0)]


def test_a_frame_that_breaks_its_schema_is_kept_and_said_to_be(tracker: Tracker) -> None:
    frame = pd.DataFrame({"category": ["a"], "value": [-1.0]})
    with tracker.start_run("make", model="make"):
        with pytest.raises(SchemaViolation, match="not >= 0") as caught:
            tracker.log_dataframe(frame, "zones", schema=Zone)
        kept = tracker.get_artifact("zones")
        with pytest.raises(ModelUnusable):
            tracker.log_dataframe(
                frame, "never", schema=type("Odd", (SQLModel,), {"__annotations__": {"a": complex}})
            )
        assert tracker.get_artifact("never") is None
    assert kept is not None
    assert "is_ingested" not in kept.meta
    assert any("the file is kept and recorded" in note for note in caught.value.__notes__)
    assert len(tracker.load_df(kept)) == 1


def test_a_frame_without_a_database_is_recorded_and_not_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.DataFrame({"category": ["a"], "value": [-1.0]})
    with (
        caplog.at_level(logging.WARNING),
        Tracker(tmp_path / "runs") as tracker,
        tracker.start_run("make", model="make"),
    ):
        artifact = tracker.log_dataframe(frame, "zones", schema=Zone)
        assert len(tracker.load_df(artifact)) == 1
    assert "neither checked nor ingested" in caplog.text


def test_a_hit_does_not_ingest_again(tracker: Tracker) -> None:
    frame = pd.DataFrame({"category": ["a"], "value": [1.0]})
    for number in range(2):
        with tracker.start_run(f"make{number}", model="make", config={"a": 1}):
            artifact = tracker.log_dataframe(frame, "zones", schema=Zone)
    assert artifact.run_id == "make0"
    rows = ask(tracker, "SELECT DISTINCT consist_run_id FROM global_tables.zones")
    assert rows == [("make0",)]
