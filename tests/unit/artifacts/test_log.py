"""Logging and reading artifacts."""

# ruff: noqa: PT012 - the block is what has to fail

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pytest
from sqlmodel import Field, SQLModel

import consist
from consist import Artifact, RelationConnectionLeakWarning, Tracker
from consist.errors import FileGone


class TableRow(SQLModel, table=True):
    key: int = Field(primary_key=True)


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- one artifact


def test_a_logged_file_is_an_output_of_the_active_run(tracker: Tracker, raw: Path) -> None:
    # ART-001, ART-044, ART-045
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact("raw.csv", key="k")
    assert isinstance(artifact, Artifact)
    assert isinstance(artifact.id, UUID)
    assert (artifact.key, artifact.run_id, artifact.driver) == ("k", "r", "csv")
    assert artifact.path == raw
    assert isinstance(artifact.path, Path)
    assert artifact.hash == sha(raw)
    assert tracker.get_run_outputs("r")["k"].id == artifact.id


def test_an_input_has_no_producer(tracker: Tracker, raw: Path) -> None:
    # ART-002, ART-027, ART-044
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(raw, "k", "input")
        other = tracker.log_input(raw, "k")
    assert artifact.run_id is None
    assert other.hash == artifact.hash
    assert list(tracker.get_run_inputs("r")) == ["k"]
    assert tracker.get_run_outputs("r") == {}


def test_an_input_that_an_earlier_run_wrote_is_linked_to_it(tracker: Tracker, raw: Path) -> None:
    # ART-003
    with tracker.start_run("a", "m"):
        made = tracker.log_output(raw, "made")
    with tracker.start_run("b", "m2"):
        used = tracker.log_input(raw, "used")
    assert used.id == made.id
    assert used.run_id == "a"


def test_one_run_may_write_and_read_the_same_artifact(tracker: Tracker, raw: Path) -> None:
    # part 2 of the issue: a link lets one artifact be both
    with tracker.start_run("a", "m"):
        made = tracker.log_output(raw, "k")
        used = tracker.log_input(raw, "k")
    assert made.id == used.id
    assert list(tracker.get_run_inputs("a")) == ["k"]
    assert list(tracker.get_run_outputs("a")) == ["k"]


def test_an_artifact_needs_no_key(tracker: Tracker, raw: Path) -> None:
    # ART-004
    with tracker.start_run("a", "m"):
        made = tracker.log_artifact(raw, key="k")
    with tracker.start_run("b", "m2"):
        again = tracker.log_artifact(made, direction="input")
    assert again.id == made.id
    assert list(tracker.get_run_inputs("b")) == ["k"]


def test_a_schema_leaves_its_name(tracker: Tracker, raw: Path) -> None:
    # ART-006
    with tracker.start_run("a", "m"):
        assert tracker.log_artifact(raw, "k", schema=TableRow).meta["schema_name"] == "TableRow"


def test_driver_parts_and_metadata_are_kept(tracker: Tracker, raw: Path) -> None:
    # ART-007, ART-008, ART-020
    with tracker.start_run("a", "m"):
        tracker.log_artifact(
            raw,
            "k",
            driver="h5_table",
            table_path="/t",
            array_path="arr",
            note={"deep": [1, None]},
            year=2030,
        )
    found = tracker.get_artifact("k")
    assert found is not None
    assert (found.driver, found.table_path, found.array_path) == ("h5_table", "/t", "arr")
    assert found.meta["note"] == {"deep": [1, None]}
    assert found.meta["year"] == 2030


@pytest.mark.parametrize(
    ("name", "driver"),
    [("x.csv", "csv"), ("x.parquet", "parquet"), ("x.json", "json"), ("x.CSV", "csv")],
)
def test_the_driver_is_read_off_the_suffix(
    tracker: Tracker, here: Path, name: str, driver: str
) -> None:
    # ART-007
    (here / name).write_text("{}")
    with tracker.start_run("a", "m"):
        assert tracker.log_artifact(name, "k").driver == driver


def test_logging_is_acknowledged_before_the_run_ends(tracker: Tracker, raw: Path) -> None:
    # ART-021, C-29
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(raw, "k")
        assert tracker.get_run_outputs("r")["k"].id == artifact.id
        found = tracker.get_artifact("k")
        assert found is not None
        # The file is rewritten whenever the record has doubled, not at every call.
        tracker.log_artifact(raw, "l")
        snapshot = json.loads((tracker.run_dir / "consist_runs" / "r.json").read_text())
        assert [a["key"] for a in snapshot["outputs"]] == ["k", "l"]


def test_every_output_is_a_version_of_its_own_and_equal_bytes_share_content(
    tracker: Tracker, raw: Path
) -> None:
    # ART-012
    with tracker.start_run("r", "m"):
        first = tracker.log_artifact(raw, "k")
        second = tracker.log_artifact(raw, "k")
    assert first.id != second.id
    assert first.content_id == second.content_id is not None


def test_reuse_options_warn_on_outputs_and_change_nothing(tracker: Tracker, raw: Path) -> None:
    # ART-013, ART-014, ART-015, DEP-008, DEP-009
    with tracker.start_run("r", "m"):
        first = tracker.log_artifact(raw, "k")
        with pytest.warns(DeprecationWarning, match="reuse_if_unchanged"):
            second = tracker.log_output(raw, "k", reuse_if_unchanged=True)
        third = tracker.log_artifact(raw, "k", reuse_scope="any_uri")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tracker.log_artifact(raw, "k", "input", reuse_if_unchanged=True)
    assert len({first.id, second.id, third.id}) == 3


def test_log_input_has_no_reuse_options_and_log_output_has() -> None:
    # ART-028
    import inspect

    assert "reuse_if_unchanged" not in inspect.signature(Tracker.log_input).parameters
    assert {"reuse_if_unchanged", "reuse_scope"} <= inspect.signature(
        Tracker.log_output
    ).parameters.keys()


def test_a_folder_may_be_an_output(tracker: Tracker, here: Path) -> None:
    (here / "zones").mkdir()
    (here / "zones" / "a").write_text("1")
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact("zones", "zones")
    assert artifact.hash is not None
    assert artifact.path == here / "zones"


# ---------------------------------------------------------------- content hashes


def test_a_stated_hash_is_taken_instead_of_reading(tracker: Tracker, raw: Path) -> None:
    # ART-009
    with tracker.start_run("r", "m"):
        assert tracker.log_artifact(raw, "k", content_hash="f" * 64).hash == "f" * 64


def test_a_stated_hash_that_contradicts_the_record_is_ignored_with_a_warning(
    tracker: Tracker, raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # ART-010
    with tracker.start_run("r", "m"):
        tracker.log_artifact(raw, "k")
        assert tracker.log_artifact(raw, "k", content_hash="f" * 64).hash == sha(raw)
        assert "'k'" in caplog.text
        forced = tracker.log_artifact(raw, "k", content_hash="f" * 64, force_hash_override=True)
        assert forced.hash == "f" * 64


def test_a_stated_hash_can_be_checked(tracker: Tracker, raw: Path) -> None:
    # ART-011, ERR-011
    with tracker.start_run("r", "m"):
        tracker.log_artifact(raw, "k", content_hash=sha(raw), validate_content_hash=True)
        with pytest.raises(ValueError, match=sha(raw)) as caught:
            tracker.log_artifact(raw, "bad", content_hash="f" * 64, validate_content_hash=True)
        assert str(raw) in str(caught.value)
    assert list(tracker.get_run_outputs("r")) == ["k"]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("log_artifact", ("raw.csv", "k")),
        ("log_artifacts", ({"k": "raw.csv"},)),
        ("log_input", ("raw.csv", "k")),
        ("log_output", ("raw.csv", "k")),
        ("log_dataframe", (pd.DataFrame(), "k")),
    ],
)
def test_logging_outside_a_run_is_an_error(
    tracker: Tracker, raw: Path, verb: str, arguments: tuple[Any, ...]
) -> None:
    # ERR-009, ERR-012
    with pytest.raises(RuntimeError, match="log_"):
        getattr(tracker, verb)(*arguments)
    assert tracker.find_artifacts() == []


def test_capturing_outside_a_run_is_an_error(tracker: Tracker) -> None:
    # ERR-016
    with pytest.raises(RuntimeError, match="capture_outputs"), tracker.capture_outputs("x"):
        pass


def test_a_path_without_a_key_is_an_error_that_names_the_path(tracker: Tracker, raw: Path) -> None:
    # ERR-010
    with tracker.start_run("r", "m"):
        with pytest.raises(ValueError, match=r"raw\.csv") as caught:
            tracker.log_artifact("raw.csv")
        assert "key=" in caught.value.__notes__[0]
    assert tracker.find_artifacts() == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": "raw.csv", "key": "no good"}, ValueError),
        ({"path": "raw.csv", "key": "k", "direction": "sideways"}, ValueError),
        ({"path": 5, "key": "k"}, TypeError),
        ({"path": None, "key": "k"}, TypeError),
    ],
)
def test_what_cannot_be_logged_leaves_nothing(
    tracker: Tracker, raw: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with tracker.start_run("r", "m"), pytest.raises(error):
        tracker.log_artifact(**arguments)
    assert tracker.find_artifacts() == []


def test_a_file_that_is_not_there_warns_and_has_no_digest(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # G-23
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact("nowhere.csv", "k")
    assert artifact.hash is None
    assert artifact.content_id is None
    assert "'k'" in caplog.text


# ---------------------------------------------------------------- many artifacts


@pytest.fixture
def three(here: Path) -> dict[str, str]:
    for name in ("persons", "households", "jobs"):
        (here / f"{name}.csv").write_text(f"{name}\n1\n")
    return {name: f"{name}.csv" for name in ("persons", "households", "jobs")}


def test_many_are_logged_at_once_with_shared_and_own_metadata(
    tracker: Tracker, three: dict[str, str]
) -> None:
    # ART-022, ART-023, ART-024
    with tracker.start_run("r", "m"):
        logged = tracker.log_artifacts(
            three,
            metadata_by_key={"households": {"role": "unit", "year": 1}},
            year=2030,
            scenario_name="base",
        )
    assert list(logged) == list(three)
    found = tracker.get_run_outputs("r")
    assert set(found) == set(three)
    assert {key: a.meta["year"] for key, a in found.items()} == {
        "persons": 2030,
        "households": 1,
        "jobs": 2030,
    }
    assert all(a.meta["scenario_name"] == "base" for a in found.values())
    assert found["households"].meta["role"] == "unit"


def test_many_may_share_a_driver_and_be_inputs(tracker: Tracker, three: dict[str, str]) -> None:
    # ART-026
    with tracker.start_run("r", "m"):
        logged = tracker.log_artifacts(three, direction="input", driver="special")
    assert {a.driver for a in logged.values()} == {"special"}
    assert set(tracker.get_run_inputs("r")) == set(three)


@pytest.mark.parametrize(
    ("outputs", "options", "error", "match"),
    [
        ({"persons": "persons.csv"}, {"metadata_by_key": {"x": {}}}, ValueError, "x"),
        ({5: "persons.csv"}, {}, TypeError, "5"),
        ({"persons": "persons.csv", "no good": "jobs.csv"}, {}, ValueError, "no good"),
        ({"persons": "persons.csv", "jobs": 5}, {}, TypeError, "int"),
        (["persons.csv"], {}, TypeError, "mapping"),
        ({"persons": "persons.csv"}, {"direction": "sideways"}, ValueError, "direction"),
    ],
)
def test_of_many_all_or_none_are_logged(
    tracker: Tracker,
    three: dict[str, str],
    outputs: Any,
    options: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    # ERR-013, ERR-014
    with tracker.start_run("r", "m"), pytest.raises(error, match=match):
        tracker.log_artifacts(outputs, **options)
    assert tracker.get_run_outputs("r") == {}


def test_hundreds_logged_one_by_one_are_all_there(tracker: Tracker, here: Path) -> None:
    # C-29
    (here / "x.csv").write_text("a\n1\n")
    with tracker.start_run("r", "m"):
        for n in range(300):
            tracker.log_artifact("x.csv", f"k{n}")
    assert len(tracker.get_run_outputs("r")) == 300
    snapshot = json.loads((tracker.run_dir / "consist_runs" / "r.json").read_text())
    assert len(snapshot["outputs"]) == 300


# ---------------------------------------------------------------- frames


def test_a_frame_goes_to_parquet_in_the_folder_of_the_run(tracker: Tracker) -> None:
    # ART-029, ART-030, ART-031, G-03
    with tracker.start_run("r", "m"):
        artifact = tracker.log_dataframe(table(1, 2), "t")
        assert artifact.path == tracker.run_artifact_dir() / "t.parquet"
    pd.testing.assert_frame_equal(tracker.load_df(artifact), table(1, 2))


def test_the_suffix_of_a_path_decides_its_format(tracker: Tracker, here: Path) -> None:
    # ART-031, G-03
    with tracker.start_run("r", "m"):
        artifact = tracker.log_dataframe(table(1), "t", path="deep/t.csv", index=False)
    assert artifact.driver == "csv"
    assert (here / "deep" / "t.csv").read_text() == "a\n1\n"


def test_keywords_reach_the_writer(tracker: Tracker) -> None:
    # ART-032
    with tracker.start_run("r", "m"):
        artifact = tracker.log_dataframe(
            table(1), "t", driver="csv", meta={"unit": "km"}, sep=";", index=True
        )
    assert artifact.path.read_text() == ";a\n0;1\n"
    assert artifact.meta["unit"] == "km"


@pytest.mark.parametrize("driver", ["unsupported", "json"])
def test_a_driver_that_writes_no_frames_is_an_error_that_names_it(
    tracker: Tracker, driver: str
) -> None:
    # ERR-015
    if driver == "json" and tracker.formats.driver("json").kind == "table":
        pytest.skip("JSON writes frames")
    with tracker.start_run("r", "m"), pytest.raises(ValueError, match=driver):
        tracker.log_dataframe(table(1), "t", driver=driver)
    assert tracker.get_run_outputs("r") == {}


def test_the_defaults_of_log_dataframe_are_as_printed() -> None:
    # ART-034
    import inspect

    parameters = inspect.signature(Tracker.log_dataframe).parameters
    assert parameters["direction"].default == "output"
    assert parameters["profile_file_schema"].default is False
    assert parameters["file_schema_sample_rows"].default == 1000


# ---------------------------------------------------------------- capture


def test_new_and_changed_files_are_captured_when_the_block_ends(
    tracker: Tracker, here: Path
) -> None:
    # ART-035, ART-036, ART-037, G-06
    (here / "out" / "sub").mkdir(parents=True)
    (here / "out" / "untouched.csv").write_text("1")
    (here / "out" / "changed.csv").write_text("1")
    with tracker.start_run("r", "m"):
        with tracker.capture_outputs("out", pattern="*.csv") as flat:
            (here / "out" / "changed.csv").write_text("22")
            (here / "out" / "new.csv").write_text("1")
            (here / "out" / "sub" / "deep.csv").write_text("1")
        with tracker.capture_outputs(here / "out", recursive=True) as deep:
            (here / "out" / "sub" / "deeper.csv").write_text("1")
    assert [a.key for a in flat.artifacts] == ["changed", "new"]
    assert [a.path.name for a in deep.artifacts] == ["deeper.csv"]
    assert set(tracker.get_run_outputs("r")) >= {"changed", "new"}


def test_what_a_failing_capture_block_wrote_is_still_logged(tracker: Tracker, here: Path) -> None:
    # ART-035: nothing is lost
    with (
        pytest.raises(KeyError),
        tracker.start_run("r", "m"),
        tracker.capture_outputs("out"),
    ):
        (here / "out").mkdir()
        (here / "out" / "part.csv").write_text("1")
        raise KeyError
    assert list(tracker.get_run_outputs("r")) == ["part"]


# ---------------------------------------------------------------- reading


@pytest.fixture
def stored(tracker: Tracker) -> Artifact:
    return tracker.run(lambda: table(1, 2, 3), "make", outputs=["t"]).outputs["t"]


def test_load_gives_a_relation_and_load_df_a_frame(tracker: Tracker, stored: Artifact) -> None:
    # ART-038, ART-039, ART-040
    relation = tracker.load(stored)
    assert relation.filter("a > 1").fetchall() == [(2,), (3,)]
    assert consist.load(stored, tracker=tracker).fetchall() == relation.fetchall()
    assert consist.load_df(stored, tracker=tracker)["a"].tolist() == [1, 2, 3]
    del relation


def test_options_of_the_format_are_passed_on(tracker: Tracker, raw: Path) -> None:
    # ART-038
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(raw, "k")
    assert tracker.load_df(artifact, nrows=1).shape == (1, 2)


def test_a_relation_of_a_block_is_closed_at_its_end(tracker: Tracker, stored: Artifact) -> None:
    # ART-041
    with tracker.load_relation(stored) as relation:
        assert relation.fetchall() == [(1,), (2,), (3,)]
    with pytest.raises(Exception, match=r"(?i)closed|connection"):
        relation.filter("a > 1").fetchall()


def test_many_open_relations_warn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Artifact
) -> None:
    # ART-042, ENV-003
    monkeypatch.setenv("CONSIST_RELATION_WARN_THRESHOLD", "2")
    with Tracker(tmp_path / "w") as tracker:
        kept = [tracker.load(stored), tracker.load(stored)]
        with pytest.warns(RelationConnectionLeakWarning, match="threshold 2"):
            kept.append(tracker.load(stored))
        assert consist.active_relation_count() >= 3
        kept.clear()
        kept.append(tracker.load(stored))
        kept.clear()


def test_an_output_is_loaded_by_run_and_key(tracker: Tracker, stored: Artifact) -> None:
    # ART-043
    run_id = str(stored.run_id)
    assert len(tracker.load_run_output(run_id, "t").fetchall()) == 3
    with pytest.raises(KeyError, match="'nothing'"):
        tracker.load_run_output(run_id, "nothing")


def test_bytes_that_are_gone_are_an_error_that_names_key_and_path(
    tracker: Tracker, stored: Artifact
) -> None:
    stored.path.unlink()
    for verb in (tracker.load, tracker.load_df):
        with pytest.raises(FileGone, match="'t'") as caught:
            verb(stored)
        assert isinstance(caught.value, FileNotFoundError)
        assert str(stored.path) in str(caught.value)
        assert caught.value.__notes__


def test_a_format_without_a_loader_is_an_error_that_names_it(tracker: Tracker, here: Path) -> None:
    (here / "note.txt").write_text("hello")
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact("note.txt", "note")
    with pytest.raises(ValueError, match="note") as caught:
        tracker.load(artifact)
    assert "artifact.path" in caught.value.__notes__[0]


@pytest.mark.parametrize("what", [None, 5, "t"])
def test_only_artifacts_can_be_loaded(tracker: Tracker, what: Any) -> None:
    with pytest.raises(TypeError, match=type(what).__name__):
        tracker.load(what)


def test_an_unknown_fallback_is_an_error(tracker: Tracker, stored: Artifact) -> None:
    # G-02
    with pytest.raises(ValueError, match="db_fallback"):
        tracker.load_df(stored, db_fallback="bogus")
    assert len(tracker.load_df(stored, db_fallback="always")) == 3


def test_an_artifact_is_read_after_its_tracker_is_no_longer_in_use(
    tracker: Tracker, stored: Artifact
) -> None:
    # G-17
    with consist.use_tracker(tracker):
        pass
    assert consist.load_df(stored)["a"].tolist() == [1, 2, 3]
    assert stored.path.exists()


def test_an_artifact_survives_pickling_with_its_path(stored: Artifact) -> None:
    # G-17: workers of a pool get artifacts
    import pickle

    path = stored.path
    again = pickle.loads(pickle.dumps(stored))
    assert again.id == stored.id
    assert again.path == path
