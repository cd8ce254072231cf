"""``consist schema``: late captures, exports, relations and drifts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlmodel import Field, SQLModel
from typer.testing import CliRunner

from consist import Tracker
from consist.cli import app

PEOPLE = "id,zone\n1,10\n2,20\n3,99\n4,\n"


class ZoneRow(SQLModel, table=True):
    __tablename__ = "zones"
    zone: int = Field(primary_key=True)


class PersonRow(SQLModel, table=True):
    __tablename__ = "people"
    id: int = Field(primary_key=True)
    zone: int | None = Field(default=None, foreign_key="zones.zone")
    boss: int | None = Field(default=None, foreign_key="bosses.id")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text(PEOPLE)
    return tmp_path


@pytest.fixture
def tracked(folder: Path):
    """A database with a file that nobody profiled, and its folder."""
    with tracker_of(folder) as tracker, tracker.start_run("made", "m"):
        tracker.log_artifact("people.csv", "people")
    return folder


def tracker_of(folder: Path) -> Tracker:
    return Tracker(folder / "runs", folder / "provenance.duckdb")


def consist(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def capture(*words: object) -> Any:
    return json.loads(consist("schema", "capture-file", "--trust-db", *words, "--json"))


def snapshot(folder: Path) -> Any:
    return json.loads((folder / "runs/consist_runs/made.json").read_text())


def asked(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    with tracker_of(folder) as tracker, tracker.store.ask() as connection:
        return connection.execute(statement).fetchall()


# ---------------------------------------------------------------- capture-file


def test_a_recorded_file_is_captured_late_and_its_snapshot_tells(tracked: Path) -> None:
    found = capture("--artifact-key", "people", "--sample-rows", 2)
    assert found["captured"] is True
    assert found["path"] == str(tracked / "people.csv")
    assert found["sample_rows"] == 2
    seen = "SELECT schema_id, run_id, source, sample_rows FROM artifact_schema_observation"
    assert asked(tracked, seen) == [(found["schema_id"], "made", "file", 2)]
    document = snapshot(tracked)
    assert document["outputs"][0]["meta"]["schema_id"] == found["schema_id"]
    told = document["extra"]["changes"][0]["schemas"][0]
    assert [field["name"] for field in told["layout"]["fields"]] == ["id", "zone"]
    assert consist("schema", "capture-file", "--artifact-key", "people", "--trust-db").startswith(
        found["schema_id"]
    )
    # The whole database is lost, and the snapshot brings it back.
    (tracked / "provenance.duckdb").unlink()
    shutil.rmtree(tracked / "provenance.duckdb.journal")
    consist("db", "rebuild", "--json-dir", "runs", "--db-path", "provenance.duckdb")
    assert asked(tracked, "SELECT DISTINCT schema_id FROM artifact_schema_observation") == [
        (found["schema_id"],)
    ]
    text = consist("schema", "export", "--artifact-key", "people")
    assert f"# schema: {found['schema_id']}" in text


def test_known_content_is_not_captured_again(tracked: Path) -> None:
    first = capture("--table-key", "people", "--if-changed")
    assert first["captured"] is True
    again = capture("--artifact-id", first["artifact_id"], "--if-changed", "--run-id", "made")
    assert (again["captured"], again["schema_id"]) == (False, first["schema_id"])
    with tracker_of(tracked) as tracker, tracker.start_run("copied", "other"):
        shutil.copy("people.csv", "copy.csv")
        tracker.log_artifact("copy.csv", "copy")
    Path("copy.csv").unlink()
    other = capture("--artifact-key", "copy", "--if-changed", "--path", "copy.csv")
    assert (other["captured"], other["schema_id"]) == (False, first["schema_id"])
    count = "SELECT count(*) FROM artifact_schema_observation"
    assert asked(tracked, count) == [(2,)]
    # A run that comes later knows what was captured by hand.
    with tracker_of(tracked) as tracker, tracker.start_run("later", "third"):
        shutil.copy("people.csv", "later.csv")
        later = tracker.log_artifact("later.csv", "later", profile_file_schema="if_changed")
    assert later.meta["schema_id"] == first["schema_id"]
    assert "sample_rows" not in later.meta["schema_summary"]


def test_a_moved_file_must_have_the_recorded_bytes(tracked: Path) -> None:
    Path("people.csv").rename("moved.csv")
    words = ("schema", "capture-file", "--artifact-key", "people", "--trust-db")
    assert "--path tells where the file is now" in consist(*words, code=1)
    assert capture("--artifact-key", "people", "--path", "moved.csv")["captured"] is True
    Path("moved.csv").write_text("id\n1\n")
    said = consist(*words, "--path", "moved.csv", code=1)
    assert "moved.csv" in said
    assert "profile_file_schema=True" in said


def test_capturing_names_what_is_wrong(tracked: Path) -> None:
    Path("notes.txt").write_text("plain")
    Path("bad.parquet").write_text("no")
    with tracker_of(tracked) as tracker, tracker.start_run("more", "m"):
        tracker.log_artifact("notes.txt", "notes")
        tracker.log_artifact("bad.parquet", "bad")
    call = ("schema", "capture-file", "--trust-db")
    assert "'txt'" in consist(*call, "--artifact-key", "notes", code=1)
    assert "bad.parquet" in consist(*call, "--artifact-key", "bad", code=1)
    assert "give either" in consist(*call, code=2)
    assert "nobody" in consist(*call, "--artifact-key", "nobody", code=1)
    assert "'made'" in consist(*call, "--artifact-key", "bad", "--run-id", "made", code=1)
    assert asked(tracked, "SELECT count(*) FROM artifact_schema") == [(0,)]


# ---------------------------------------------------------------- export


def test_export_prints_or_writes_what_the_tracker_returns(tracked: Path) -> None:
    # SCH-005, SCH-006, SCH-007, SCH-009
    found = capture("--artifact-key", "people")
    text = consist("schema", "export", "--artifact-key", "people")
    assert consist("schema", "export", "--schema-id", found["schema_id"]) == text
    assert consist("schema", "export", "--artifact-id", found["artifact_id"]) == text
    consist("schema", "export", "--artifact-key", "people", "--out", "models.py")
    assert Path("models.py").read_text() == text
    other = consist(
        *("schema", "export", "--artifact-key", "people", "--class-name", "Person"),
        *("--table-name", "persons", "--concrete", "--no-stats-comments"),
        *("--include-system-cols", "--prefer-source", "file"),
    )
    assert "class Person(SQLModel, table=True):\n    __tablename__ = 'persons'" in other
    assert "__abstract__" not in other
    assert "# stats" not in other
    assert "consist_run_id" in other


def test_export_names_what_is_wrong(tracked: Path) -> None:
    # ERR-045, ERR-046
    assert "give one of" in consist("schema", "export", code=2)
    assert "capture-file" in consist("schema", "export", "--artifact-key", "people", code=1)
    assert "'none'" in consist("schema", "export", "--schema-id", "none", code=1)


# ---------------------------------------------------------------- apply-fks


def test_relations_are_checked_on_ingested_rows(folder: Path) -> None:
    Path("zones.csv").write_text("zone\n10\n20\n")
    with tracker_of(folder) as tracker, tracker.start_run("r", "m"):
        assert "foreign key" in consist("schema", "apply-fks")
        people = tracker.log_artifact("people.csv", "people", schema=PersonRow)
        tracker.ingest(people)
        tracker.store.sync()
    found = json.loads(consist("schema", "apply-fks", "--json"))
    assert found["applied"] == 0
    by_field = {relation["from_field"]: relation for relation in found["relations"]}
    assert by_field["zone"]["state"] == "unchecked"
    assert by_field["zone"]["reason"] == "no rows of 'zones' are ingested"
    assert by_field["boss"]["reason"] == "table 'people' has no column 'boss'"
    with tracker_of(folder) as tracker, tracker.start_run("z", "zones"):
        zones = tracker.log_artifact("zones.csv", "zones")
        tracker.ingest(zones)
    (zone,) = [
        relation
        for relation in json.loads(consist("schema", "apply-fks", "--json"))["relations"]
        if relation["from_field"] == "zone"
    ]
    assert (zone["state"], zone["rows"], zone["orphans"]) == ("broken", 3, 1)
    assert zone["examples"] == ["99"]
    said = " ".join(consist("schema", "apply-fks").split())
    assert "0 physical foreign keys" in said
    assert "0 of 1 checked relations hold" in said


# ---------------------------------------------------------------- drift


def table(columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({name: [value] for name, value in columns.items()})


def test_drifts_of_all_runs_are_listed_the_latest_first(folder: Path) -> None:
    with tracker_of(folder) as tracker:
        for number, columns in enumerate(
            [{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1.5, "c": "x"}, {"c": "x", "a": 1.5}]
        ):
            made = tracker.run(
                table, name=f"step{number}", config={"columns": columns}, outputs=["t"]
            )
            assert made.outputs
        tracker.run(table, name="other", config={"columns": {"z": 1}}, outputs=["u"])
    found = json.loads(consist("schema", "drift", "--key", "t", "--json"))
    assert [(d["gone"], d["new"], d["changed"]) for d in found] == [
        ([], [], {}),
        (["b"], ["c"], {"a": ["BIGINT", "DOUBLE"]}),
    ]
    assert found == json.loads(consist("schema", "drift", "--json"))
    assert found[1]["run_id"].startswith("step2")
    assert found[1]["before_run_id"].startswith("step1")
    assert found[1]["source"] == "file"
    assert len(json.loads(consist("schema", "drift", "--limit", 1, "--json"))) == 1
    said = consist("schema", "drift")
    assert "'b' is gone" in " ".join(said.split())
    assert "another order" in " ".join(said.split())
    assert "No table has other columns" in consist("schema", "drift", "--key", "u")
    assert "'nobody'" in consist("schema", "drift", "--key", "nobody", code=1)
