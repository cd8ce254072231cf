"""The documents' examples on captured schemas (001 "Generating Schemas", 002), run as printed."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlmodel import Field, SQLModel

from consist import Tracker
from consist.hot.model_layout import columns_of
from consist.models.schema import (
    ArtifactSchema,
    ArtifactSchemaField,
    ArtifactSchemaObservation,
    ArtifactSchemaRelation,
)


class LinkRow(SQLModel, table=True):
    __tablename__ = "links"
    link_id: int = Field(primary_key=True)
    volume: float


class LinkstatsRow(SQLModel, table=True):
    __tablename__ = "curated_linkstats"
    row: int = Field(primary_key=True)
    link_id: int = Field(foreign_key="links.link_id")
    volume: float = 0.0


@pytest.fixture
def tracker(tmp_path: Path):
    with Tracker(tmp_path / "runs", tmp_path / "provenance.duckdb") as tracker:
        yield tracker


@pytest.fixture
def art(tracker: Tracker, tmp_path: Path) -> Any:
    path = tmp_path / "linkstats.csv"
    path.write_text("row,link_id,volume\n1,10,0.5\n2,11,1.5\n")
    with tracker.start_run("beam", "beam"):
        artifact = tracker.log_artifact(
            path, "linkstats", profile_file_schema=True, file_schema_sample_rows=1
        )
        tracker.ingest(artifact, data=pd.DataFrame({"row": [1], "link": ["a"]}))
    return artifact


def test_export_schema_sqlmodel(tracker: Tracker, art: Any) -> None:
    # SCH-003, SCH-004, SCH-010
    file_stub = tracker.export_schema_sqlmodel(artifact_id=art.id)
    table_stub = tracker.export_schema_sqlmodel(artifact_id=art.id, prefer_source="duckdb")
    assert "link_id" in file_stub
    assert "Column('link', String, nullable=True)" in table_stub
    schema_id = file_stub.partition("# schema: ")[2].split()[0]
    assert tracker.export_schema_sqlmodel(schema_id=schema_id) == file_stub


def test_captured_schemas_stay_when_files_move_or_are_deleted(tracker: Tracker, art: Any) -> None:
    # ART-019
    Path(art.path).unlink()
    assert "volume" in tracker.export_schema_sqlmodel(artifact_id=art.id)


def test_the_exported_stub_is_edited_and_registered_for_views(
    tracker: Tracker, art: Any, tmp_path: Path
) -> None:
    # SCH-013
    target = tmp_path / "my_models.py"
    text = tracker.export_schema_sqlmodel(
        artifact_id=art.id, out_path=target, abstract=False, class_name="Linkstats"
    )
    target.write_text(
        text.replace("Column('row', BigInteger,", "Column('row', BigInteger, primary_key=True,")
    )
    spec = importlib.util.spec_from_file_location("my_models", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_models"] = module
    spec.loader.exec_module(module)
    assert list(columns_of(module.Linkstats)) == ["row", "link_id", "volume"]
    again = Tracker(tmp_path / "runs", tmp_path / "provenance.duckdb", schemas=[module.Linkstats])
    assert again.registered_schemas["Linkstats"] is module.Linkstats
    again.close()


def test_the_tables_of_schemas_are_asked_as_models(tracker: Tracker, art: Any) -> None:
    # The classes of consist.models.schema, background 5.1
    from sqlmodel import select

    with tracker.start_run("model", "other"):
        tracker.log_artifact(art, schema=LinkstatsRow)
    seen = tracker.run_query(select(ArtifactSchemaObservation))
    assert {(str(one.artifact_id), one.source) for one in seen} == {
        (str(art.id), source) for source in ("file", "duckdb", "user_provided")
    }
    assert {one.id for one in tracker.run_query(select(ArtifactSchema))} == {
        one.schema_id for one in seen
    }
    fields = tracker.run_query(
        select(ArtifactSchemaField).where(ArtifactSchemaField.name == "volume")
    )
    assert {field.logical_type for field in fields} == {"DOUBLE"}
    (relation,) = tracker.run_query(select(ArtifactSchemaRelation))
    assert (relation.from_field, relation.to_table, relation.to_field) == (
        "link_id", "links", "link_id"
    )  # fmt: skip


def test_a_hit_captures_nothing_and_tells_what_its_source_had(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    def made() -> pd.DataFrame:
        return pd.DataFrame({"zone": [1, 2]})

    first = tracker.run(made, outputs=["zones"])
    with caplog.at_level(logging.DEBUG, "consist.hot"):
        hit = tracker.run(made, outputs=["zones"])
    assert hit.cache_hit
    assert not [record for record in caplog.records if record.name == "consist.hot"]
    assert hit.outputs["zones"].meta["schema_id"] == first.outputs["zones"].meta["schema_id"]
