"""The documents' examples of ingestion with a schema (002), as printed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sqlmodel import Field, SQLModel

from consist import Tracker


class MyDataSchema(SQLModel, table=True):
    """The schema of the examples."""

    __tablename__ = "mydata"
    id: int = Field(primary_key=True)
    name: str


class DifferentSchema(SQLModel):
    """Another one."""

    id: float
    name: str


class MySchema(SQLModel):
    """The schema of the example of the registry."""

    a: int


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mydata.csv"
    path.write_text("id,name\n1,x\n")
    return path


def test_the_schema_that_a_file_was_logged_with_is_used(tmp_path: Path, file: Path) -> None:
    # ART-006, ING-001, ING-004, ING-005, ING-007
    df = pd.DataFrame({"id": [1, 2], "name": ["x", "y"]})
    with (
        Tracker(tmp_path / "runs", tmp_path / "db.duckdb", schemas=[MyDataSchema]) as tracker,
        tracker.start_run("r", model="m"),
    ):
        art = tracker.log_artifact(file, key="mydata", schema=MyDataSchema)
        assert art.meta["schema_name"] == "MyDataSchema"
        # Automatically looks up and uses MyDataSchema for ingestion
        result = tracker.ingest(art, data=df)
        assert result is not None
        assert result.columns == {"id": "BIGINT", "name": "VARCHAR"}

        with pytest.raises(ValueError, match="Schema Contract Violation"):
            tracker.ingest(art, data=df.assign(more=1))

        # Explicitly override the default schema during ingestion
        result = tracker.ingest(art, data=df, schema=DifferentSchema)
        assert result is not None
        assert result.columns["id"] == "DOUBLE"


def test_schemas_are_looked_up_across_sessions(tmp_path: Path, file: Path) -> None:
    # ING-005, ING-006
    df = pd.DataFrame({"id": [1], "name": [2]})
    # Session 1:
    with (
        Tracker(tmp_path / "runs", tmp_path / "db.duckdb", schemas=[MyDataSchema]) as tracker,
        tracker.start_run("r", model="m"),
    ):
        tracker.log_artifact(file, key="mydata", schema=MyDataSchema)
    # Session 2:
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", schemas=[MyDataSchema]) as tracker2:
        art2 = tracker2.get_artifact("mydata")
        assert art2 is not None
        # Looks up MyDataSchema by artifact's schema_name ("MyDataSchema")
        with pytest.raises(ValueError, match="name: is no text"):
            tracker2.ingest(art2, data=df)
        result = tracker2.ingest(art2, data=df.assign(name="x"))
        assert result is not None
        assert result.table == "mydata"


def test_a_schema_is_resolved_by_its_name(tmp_path: Path) -> None:
    # SCH-001, SCH-002, ERR-039
    tracker = Tracker(tmp_path / "runs", schemas=[MySchema])
    schema_cls = tracker.get_registered_schema("MySchema")
    missing = tracker.get_registered_schema("UnknownSchema")
    assert schema_cls is MySchema
    assert missing is None
    assert tracker.get_registered_schema("myschema", default=MySchema) is MySchema
    with pytest.raises(TypeError):
        tracker.get_registered_schema(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        tracker.get_registered_schema(" ")


def test_a_frame_is_ingested_with_its_schema(tmp_path: Path) -> None:
    # ART-033
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        with tracker.start_run("r", model="m"):
            artifact = tracker.log_dataframe(pd.DataFrame({"a": [1.0]}), "rows", schema=MySchema)
        assert artifact.meta["is_ingested"]
        with tracker.store.ask() as connection:
            found = connection.execute("SELECT a, typeof(a) FROM global_tables.rows").fetchall()
        assert found == [(1, "BIGINT")]


def test_an_error_of_the_ingestion_comes_out_of_the_run(tmp_path: Path, file: Path) -> None:
    # ERR-049
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        with (
            pytest.raises(ValueError, match="Schema Contract Violation"),
            tracker.start_run("r", model="m"),
        ):
            tracker.ingest(tracker.log_artifact(file, key="mydata"), schema=MySchema)
        run = tracker.get_run("r")
        assert run is not None
        assert run.status == "failed"
        assert "Schema Contract Violation" in str(run.meta)
