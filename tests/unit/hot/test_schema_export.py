"""Captured schemas as models: which one is taken, what it is called, and that it comes back."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from sqlmodel import Field, SQLModel

from consist import Tracker
from consist.errors import StoreUnwritable
from consist.hot.model_layout import columns_of


class Curated(SQLModel, table=True):
    __tablename__ = "curated_trips"
    id: int = Field(primary_key=True)
    zone: int | None = Field(default=None, foreign_key="zones.zone")


@pytest.fixture
def tracker(tmp_path: Path):
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb") as tracker:
        yield tracker


@pytest.fixture
def trips(tracker: Tracker, tmp_path: Path) -> Any:
    """A table whose file has other columns than its rows in the database."""
    path = tmp_path / "trips.csv"
    path.write_text("Trip ID,mode,_dlt_mark\n" + "".join(f"{n},bus,1\n" for n in range(9)))
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(path, "link/stats", profile_file_schema=True)
        tracker.ingest(artifact, pd.DataFrame({"trip": [1], "day": ["mon"]}))
    return artifact


def imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_the_schema_of_an_artifact_or_by_its_id(tracker: Tracker, trips: Any) -> None:
    # SCH-003, SCH-004, SCH-010, SCH-012
    file = tracker.export_schema_sqlmodel(artifact_id=trips.id)
    assert file == tracker.export_schema_sqlmodel(artifact_id=str(trips.id))
    assert file == tracker.export_schema_sqlmodel(artifact_id=trips.id, prefer_source="file")
    assert "Column('Trip ID', BigInteger, nullable=True)" in file
    table = tracker.export_schema_sqlmodel(artifact_id=trips.id, prefer_source="duckdb")
    assert "Column('trip', BigInteger, nullable=True)" in table
    found = re.search(r"# schema: (\w+)", table)
    assert found is not None
    for source in (None, "file"):
        by_id = tracker.export_schema_sqlmodel(schema_id=found[1], prefer_source=source)
        assert by_id == table


def test_what_the_user_provided_comes_first(tracker: Tracker, trips: Any) -> None:
    # SCH-011
    with tracker.start_run("r2", "other"):
        tracker.log_artifact(trips, schema=Curated)
    for source in (None, "file", "duckdb", "user_provided"):
        text = tracker.export_schema_sqlmodel(artifact_id=trips.id, prefer_source=source)
        assert "class CuratedTrips(SQLModel, table=True):" in text
        assert "__tablename__ = 'curated_trips'" in text
        assert "primary_key=True" in text
        assert "foreign_key='zones.zone'" in text


def test_the_text_is_written_whole(tracker: Tracker, trips: Any, tmp_path: Path) -> None:
    # SCH-005
    target = tmp_path / "new/models.py"
    text = tracker.export_schema_sqlmodel(artifact_id=trips.id, out_path=target)
    assert target.read_text() == text
    assert text == tracker.export_schema_sqlmodel(artifact_id=trips.id)
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnwritable):
        tracker.export_schema_sqlmodel(artifact_id=trips.id, out_path=tmp_path / "file/models.py")


def test_names_columns_and_comments_as_asked(tracker: Tracker, trips: Any) -> None:
    # SCH-006, SCH-007, SCH-008, SCH-009
    plain = tracker.export_schema_sqlmodel(artifact_id=trips.id)
    assert "class LinkStats(SQLModel, table=True):" in plain
    assert "__tablename__ = 'link/stats'" in plain
    assert "__abstract__ = True" in plain
    assert "_dlt_mark" not in plain
    assert "consist_run_id" not in plain
    assert "# enum: 'bus'" in plain
    assert "null_count=0, distinct_count=9, min=0, max=8" in plain
    other = tracker.export_schema_sqlmodel(
        artifact_id=trips.id,
        table_name="trips",
        class_name="Trip",
        abstract=False,
        include_system_cols=True,
        include_stats_comments=False,
    )
    assert "class Trip(SQLModel, table=True):" in other
    assert "__tablename__ = 'trips'" in other
    assert "__abstract__" not in other
    for name in ("_dlt_mark", "consist_run_id", "consist_artifact_id", "consist_year"):
        assert f"Column({name!r}, " in other
    assert other.count("#") == 1  # the id


def test_the_stub_is_edited_registered_and_comes_back(tracker: Tracker, tmp_path: Path) -> None:
    # SCH-013
    path = tmp_path / "people.csv"
    path.write_text("id,Home Zone,income,born\n1,3,10.5,1990-01-31\n2,4,,1985-06-01\n")
    with tracker.start_run("r", "m"):
        people = tracker.log_artifact(path, "people", profile_file_schema=True)
    stub = tmp_path / "stub_people.py"
    text = tracker.export_schema_sqlmodel(artifact_id=people.id, out_path=stub)
    abstract = imported(stub).People
    assert list(columns_of(abstract)) == ["id", "Home Zone", "income", "born"]
    text = text.replace("    __abstract__ = True\n", "").replace(
        "Column('id', BigInteger, nullable=True)",
        "Column('id', BigInteger, primary_key=True, nullable=True)",
    )
    edited = tmp_path / "edited_people.py"
    edited.write_text(text)
    model = imported(edited).People
    with Tracker(tmp_path / "runs", tmp_path / "other.duckdb", schemas=[model]) as other:
        assert other.registered_schemas == {"People": model}
        with other.start_run("again", "m"):
            again = other.log_artifact(path, "people", profile_file_schema=True)
            other.ingest(again, schema=model)
        with other.store.ask() as connection:
            seen = connection.sql(
                "SELECT schema_id, source FROM artifact_schema_observation ORDER BY source"
            ).fetchall()
    by_source = {source: schema_id for schema_id, source in seen}
    # The model says that its key is never missing; file and rows have the layout of before.
    assert by_source.keys() == {"file", "duckdb", "user_provided"}
    assert by_source["file"] == by_source["duckdb"] == people.meta["schema_id"]


def test_a_thousand_columns(tracker: Tracker, tmp_path: Path) -> None:
    # SCH-003
    frame = pd.DataFrame({f"Zone {number}": [number] for number in range(1000)})
    done = tracker.run(lambda: frame, name="wide", outputs=["wide"])
    out = tmp_path / "wide_model.py"
    tracker.export_schema_sqlmodel(artifact_id=done.outputs["wide"].id, out_path=out)
    assert list(columns_of(imported(out).Wide)) == list(frame)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "exactly one"),
        ({"schema_id": "a", "artifact_id": "b"}, "exactly one"),
        ({"schema_id": "a", "prefer_source": "excel"}, "prefer_source"),
        ({"schema_id": "a", "class_name": "class"}, "class_name"),
        ({"schema_id": "a", "class_name": "a b"}, "class_name"),
    ],
)
def test_wrong_options_are_refused(tracker: Tracker, options: Any, words: str) -> None:
    # ERR-045
    with pytest.raises(ValueError, match=words):
        tracker.export_schema_sqlmodel(**options)


def test_without_a_database_there_is_nothing_to_export(tmp_path: Path) -> None:
    # ERR-045
    with Tracker(tmp_path / "runs") as tracker, pytest.raises(ValueError, match="db_path"):
        tracker.export_schema_sqlmodel(schema_id="a")


def test_what_is_not_there_is_a_key_error(tracker: Tracker, tmp_path: Path) -> None:
    # ERR-046
    path = tmp_path / "plain.csv"
    path.write_text("a\n1\n")
    with tracker.start_run("r", "m"):
        plain = tracker.log_artifact(path, "plain")
    for options in ({"schema_id": "no"}, {"artifact_id": "no"}, {"artifact_id": uuid4()}):
        with pytest.raises(KeyError):
            tracker.export_schema_sqlmodel(**options)
    with pytest.raises(KeyError) as caught:
        tracker.export_schema_sqlmodel(artifact_id=plain.id)
    assert "schema of 'plain'" in str(caught.value)
    assert "profile_file_schema=True" in caught.value.__notes__[0]
