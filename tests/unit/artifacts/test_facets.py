"""What is said of artifacts: facets and metadata, of new ones and of ones recorded before."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pydantic import BaseModel
from sqlalchemy import text

from consist import Artifact, ExecutionOptions, Tracker


def rows(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in tracker.run_query(text(statement))]


def values(tracker: Tracker) -> list[tuple[Any, ...]]:
    return rows(
        tracker,
        "SELECT a.key, kv.key_path, kv.value_type, coalesce(kv.value_str, kv.value_num::VARCHAR,"
        " kv.value_bool::VARCHAR) FROM artifact_kv kv JOIN artifact a ON a.id = kv.artifact_id"
        " ORDER BY ALL",
    )


@pytest.fixture
def skim(here: Path) -> Path:
    path = here / "skim.csv"
    path.write_text("o,d\n1,2\n")
    return path


class SkimFacet(BaseModel):
    """Facet as a model, with a version of its own."""

    mode: str
    period: dict[str, int]
    facet_schema_version: str = "3"


# ---------------------------------------------------------------- facets


def test_a_facet_is_stored_and_named_in_the_metadata(tracker: Tracker, skim: Path) -> None:
    # FAC-006, FAC-007
    with tracker.start_run("r", "assignment"):
        artifact = tracker.log_artifact(skim, "skim", facet={"mode": "car"}, facet_schema_version=2)
    assert artifact.meta["artifact_facet_namespace"] == "assignment"
    assert artifact.meta["artifact_facet_schema_version"] == "2"
    stored = rows(
        tracker, "SELECT id, namespace, schema_version, json->>'mode' FROM artifact_facet"
    )
    assert stored == [(artifact.meta["artifact_facet_id"], "assignment", "2", "car")]
    assert values(tracker) == []  # not indexed unless asked for


def test_indexed_facets_are_flattened_with_their_types(tracker: Tracker, skim: Path) -> None:
    # FAC-006, FAC-007, FAC-008
    with tracker.start_run("r", "m"):
        tracker.log_output(
            skim, "skim", facet=SkimFacet(mode="car", period={"from": 6, "to": 9}), facet_index=True
        )
    assert values(tracker) == [
        ("skim", "facet_schema_version", "str", "3"),
        ("skim", "mode", "str", "car"),
        ("skim", "period.from", "int", "6.0"),
        ("skim", "period.to", "int", "9.0"),
    ]
    found = rows(tracker, "SELECT schema_name, schema_version FROM artifact_facet")
    assert found == [("SkimFacet", "3")]


def test_many_artifacts_have_facets_by_key(tracker: Tracker, here: Path) -> None:
    # ART-025
    paths = {mode: here / f"{mode}.csv" for mode in ("car", "bus", "walk")}
    for path in paths.values():
        path.write_text(path.name)
    with tracker.start_run("r", "m"):
        logged = tracker.log_artifacts(
            paths,
            facets_by_key={"car": {"mode": "car"}, "bus": {"mode": "bus"}},
            facet_schema_versions_by_key={"bus": 7},
            facet_index=True,
        )
    assert values(tracker) == [("bus", "mode", "str", "bus"), ("car", "mode", "str", "car")]
    assert logged["bus"].meta["artifact_facet_schema_version"] == "7"
    assert "artifact_facet_id" not in logged["walk"].meta


def test_facets_and_versions_of_keys_that_are_not_logged_are_errors(
    tracker: Tracker, skim: Path
) -> None:
    with tracker.start_run("r", "m"):
        with pytest.raises(ValueError, match=r"facets_by_key names bike, which are not logged"):
            tracker.log_artifacts({"skim": skim}, facets_by_key={"bike": {}})
        with pytest.raises(ValueError, match=r"facet_schema_versions_by_key names skim.*no facet"):
            tracker.log_artifacts({"skim": skim}, facet_schema_versions_by_key={"skim": 1})
    assert tracker.get_run_outputs("r") == {}


@pytest.mark.parametrize("facet", [3, "mode=car", ["car"], object()])
def test_a_facet_that_is_no_mapping_is_an_error(tracker: Tracker, skim: Path, facet: Any) -> None:
    with tracker.start_run("r", "m"), pytest.raises(TypeError, match="facet"):
        tracker.log_artifact(skim, "skim", facet=facet)
    assert tracker.get_run_outputs("r") == {}


def test_equal_facets_are_stored_once_and_each_artifact_has_its_values(
    tracker: Tracker, here: Path
) -> None:
    for number in range(3):
        path = here / f"{number}.csv"
        path.write_text(str(number))
        with tracker.start_run(f"r{number}", "m"):
            tracker.log_output(path, f"k{number}", facet={"mode": "car"}, facet_index=True)
        if number == 1:
            tracker.store.sync()
    for _ in range(2):
        assert rows(tracker, "SELECT count(*) FROM artifact_facet") == [(1,)]
        assert [row[0] for row in values(tracker)] == ["k0", "k1", "k2"]
        tracker.store.sync()


def test_facets_are_in_the_file_and_come_back_from_snapshots(tmp_path: Path, skim: Path) -> None:
    # TRK-016
    database = tmp_path / "p.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker, tracker.start_run("r", "m"):
        tracker.log_output(skim, "skim", facet={"mode": "car"}, facet_index=True)
    for _ in range(2):
        with duckdb.connect(str(database), read_only=True) as plain:
            found = plain.execute("SELECT key_path, value_str FROM artifact_kv").fetchall()
        assert found == [("mode", "car")]
        database.unlink()
        shutil.rmtree(f"{database}.journal")
        with Tracker(tmp_path / "runs", database) as tracker:
            tracker.rebuild()


def test_facets_are_seen_before_the_run_ends_and_not_counted_twice_after(
    tracker: Tracker, skim: Path
) -> None:
    # ART-021
    with tracker.start_run("r", "m"):
        tracker.log_output(skim, "skim", facet={"mode": "car"}, facet_index=True)
        assert len(values(tracker)) == 1
        tracker.store.sync()
        assert len(values(tracker)) == 1
    assert len(values(tracker)) == 1
    tracker.store.sync()
    assert len(values(tracker)) == 1


# ---------------------------------------------------------------- artifacts recorded before


def produced(tracker: Tracker, skim: Path) -> Artifact:
    with tracker.start_run("maker", "m"):
        return tracker.log_output(skim, "skim", source="survey")


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("by_path", [False, True])
def test_an_artifact_recorded_before_takes_in_what_is_said_of_it(
    tracker: Tracker, skim: Path, merged: bool, by_path: bool
) -> None:
    # ART-004, ART-020
    first = produced(tracker, skim)
    if merged:
        tracker.store.sync()
    with tracker.start_run("reader", "m"):
        given = (skim, "skim") if by_path else (first,)
        artifact = tracker.log_input(
            *given, checked=True, source="count", facet={"mode": "car"}, facet_index=True
        )
        assert artifact.id == first.id
        inside = tracker.get_artifact(first.id)
        assert inside is not None
        assert inside.meta["checked"] is True
    for _ in range(2):
        found = tracker.get_artifact(first.id)
        assert found is not None
        assert found.run_id == "maker"
        assert (found.meta["source"], found.meta["checked"]) == ("count", True)
        assert found.meta["artifact_facet_namespace"] == "m"
        assert rows(tracker, "SELECT count(*) FROM artifact") == [(1,)]
        assert values(tracker) == [("skim", "mode", "str", "car")]
        assert set(tracker.get_run_inputs("reader")) == {"skim"}
        tracker.store.sync()


def test_saying_the_same_again_changes_nothing(tracker: Tracker, skim: Path) -> None:
    first = produced(tracker, skim)
    with tracker.start_run("reader", "m"):
        assert tracker.log_input(first, source="survey").meta == first.meta
    record = tracker.get_run_record("reader")
    assert record is not None
    assert [artifact.meta for artifact in record.inputs] == [first.meta]


def test_what_is_said_of_an_own_output_that_is_read_again_reaches_both_sides(
    tracker: Tracker, skim: Path
) -> None:
    with tracker.start_run("r", "m"):
        first = tracker.log_output(skim, "skim")
        tracker.log_input(first, note="read back")
    for found in (tracker.get_run_outputs("r"), tracker.get_run_inputs("r")):
        assert found["skim"].meta["note"] == "read back"
    tracker.store.sync()
    assert rows(tracker, "SELECT meta->>'note' FROM artifact") == [("read back",)]


def said(tracker: Tracker, artifact: Artifact) -> dict[str, Any]:
    found = tracker.get_artifact(artifact.id)
    assert found is not None
    return {name: value for name, value in found.meta.items() if name in {"a", "b", "c", "d"}}


@pytest.mark.parametrize("merged", [False, True])
def test_what_several_runs_say_of_one_artifact_is_all_kept(
    tracker: Tracker, skim: Path, merged: bool
) -> None:
    first = produced(tracker, skim)
    tracker.begin_run("long", "m")
    tracker.log_input(first, a=1, b=1)
    with Tracker(tracker.run_dir, tracker.db_path) as other, other.start_run("short", "m"):
        other.log_input(skim, "skim", b=2, c=2)
    if merged:
        tracker.store.sync()
    assert said(tracker, first) == {"a": 1, "b": 2, "c": 2}
    tracker.log_input(first, d=4)
    tracker.end_run()
    for _ in range(2):
        assert said(tracker, first) == {"a": 1, "b": 2, "c": 2, "d": 4}
        tracker.store.sync()


def test_what_was_said_comes_back_from_snapshots(tmp_path: Path, skim: Path) -> None:
    database = tmp_path / "p.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker:
        first = produced(tracker, skim)
        for name, value in (("a", 1), ("b", 2), ("c", 3)):
            with tracker.start_run(f"reader_{name}", "m"):
                tracker.log_input(first, **{name: value})
    database.unlink()
    shutil.rmtree(f"{database}.journal")
    with Tracker(tmp_path / "runs", database) as tracker:
        tracker.rebuild()
        assert said(tracker, first) == {"a": 1, "b": 2, "c": 3}


def test_a_hit_gives_back_outputs_with_what_was_said_of_them_since(
    tracker: Tracker, skim: Path
) -> None:
    def step() -> Path:
        return skim

    first = tracker.run(step, outputs=["skim"]).outputs["skim"]
    with tracker.start_run("reader", "m"):
        tracker.log_input(first, checked=True)
    again = tracker.run(step, outputs=["skim"])
    assert again.cache_hit
    assert again.outputs["skim"].meta["checked"] is True


def test_another_facet_takes_the_place_of_the_first(tracker: Tracker, skim: Path) -> None:
    with tracker.start_run("maker", "m"):
        first = tracker.log_output(
            skim, "skim", facet=SkimFacet(mode="car", period={}), facet_schema_version=1
        )
    with tracker.start_run("reader", "other"):
        tracker.log_input(first, facet={"mode": "bus"})
    found = tracker.get_artifact(first.id)
    assert found is not None
    assert found.meta["artifact_facet_namespace"] == "other"
    assert found.meta["artifact_facet_schema"] is None
    assert found.meta["artifact_facet_schema_version"] is None
    stored = rows(
        tracker,
        "SELECT f.json->>'mode' FROM artifact a JOIN artifact_facet f"
        " ON f.id = a.meta->>'artifact_facet_id'",
    )
    assert stored == [("bus",)]


def test_what_is_said_of_an_input_inside_a_hit_is_kept(tracker: Tracker, skim: Path) -> None:
    for number in (1, 2):
        with tracker.trace("t", inputs={"skim": skim}):
            tracker.log_input(skim, "skim", number=number)
    assert tracker.find_runs()[0].meta["cache_hit"] is True
    assert tracker.get_run_inputs(tracker.find_runs()[0].id)["skim"].meta["number"] == 2


def test_the_context_of_a_run_sees_what_was_said(tracker: Tracker, skim: Path) -> None:
    def step(ctx: Any) -> None:
        ctx.log_input(skim, "skim", note="read")
        assert ctx.inputs["skim"].meta["note"] == "read"

    options = ExecutionOptions(inject_context=True, input_binding="none")
    tracker.run(step, inputs={"skim": skim}, execution_options=options)


KILLED = """
import os
from consist import Tracker

tracker = Tracker("runs", "p.duckdb", project_root=".")
for name in ("a", "b"):
    open(name, "w").write(name)
tracker.begin_run("r", "m")
first = tracker.log_output("a", "a")
tracker.log_output("b", "b", facet={"mode": "car"}, facet_index=True)
tracker.log_input(first, extra=5)
os._exit(9)
"""


def test_a_killed_run_keeps_what_it_said(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        tracker.store.sync()
        record = tracker.get_run_record("r")
        assert record is not None
        assert record.run.status == "interrupted"
        assert [a.key for a in record.outputs] == ["a", "b"]
        assert list(record.document.extra.artifact_facets) == [str(record.outputs[1].id)]
    (tmp_path / "p.duckdb").unlink()
    shutil.rmtree(tmp_path / "p.duckdb.journal")
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        tracker.rebuild()
        assert values(tracker) == [("b", "mode", "str", "car")]
        outputs = tracker.get_run_outputs("r")
        assert outputs["a"].meta["extra"] == 5


def test_a_hit_gives_back_its_artifact_whatever_is_said_of_it(tracker: Tracker, skim: Path) -> None:
    # C-15
    for number in (1, 2):
        with tracker.trace("t"):
            artifact = tracker.log_output(skim, "skim", number=number)
    assert tracker.find_runs()[0].meta["cache_hit"] is True
    assert artifact.meta["number"] == 1


def test_an_artifact_keeps_its_format_and_content(tracker: Tracker, skim: Path) -> None:
    first = produced(tracker, skim)
    with tracker.start_run("reader", "m"):
        same = tracker.log_artifact(first, direction="input", driver="csv", content_hash=first.hash)
        assert same.id == first.id
        with pytest.raises(ValueError, match=r"'skim' is recorded with another driver"):
            tracker.log_artifact(first, direction="input", driver="parquet")
        with pytest.raises(ValueError, match=r"another content_hash"):
            tracker.log_artifact(first, direction="input", content_hash="0" * 64)


def test_an_artifact_may_be_given_another_name_in_the_context(tracker: Tracker, skim: Path) -> None:
    first = produced(tracker, skim)

    def step(ctx: Any) -> None:
        ctx.log_input(first, "baseline")
        assert list(ctx.inputs) == ["baseline"]
        assert ctx.inputs["baseline"].key == "skim"

    tracker.run(step, execution_options=ExecutionOptions(inject_context=True))


def test_metadata_are_plain_data(tracker: Tracker, skim: Path) -> None:
    with tracker.start_run("r", "m"):
        artifact = tracker.log_output(skim, "skim", rows=np.int64(3), where=Path("a/b"))
        assert artifact.meta["rows"] == 3
        assert artifact.meta["where"] == "a/b"
        with pytest.raises(TypeError, match="metadata 'thing'"):
            tracker.log_output(skim, "other", thing=object())
    assert list(tracker.get_run_outputs("r")) == ["skim"]


# ---------------------------------------------------------------- reuse of inputs


def test_an_equal_input_elsewhere_is_the_recorded_artifact_where_asked(
    tracker: Tracker, skim: Path, here: Path
) -> None:
    # ART-015
    first = produced(tracker, skim)
    copy = here / "copy.csv"
    copy.write_bytes(skim.read_bytes())
    with tracker.start_run("reader", "m"):
        own = tracker.log_artifact(copy, "a", "input")
        same_place = tracker.log_artifact(copy, "b", "input", reuse_if_unchanged=True)
        linked = tracker.log_artifact(
            copy, "c", "input", reuse_if_unchanged=True, reuse_scope="any_uri"
        )
    assert first.id not in {own.id, same_place.id}
    assert linked.id != first.id  # the copy was recorded later
    with tracker.start_run("other", "m"):
        moved = here / "moved.csv"
        moved.write_bytes(skim.read_bytes())
        assert tracker.log_artifact(
            moved, "d", "input", reuse_if_unchanged=True, reuse_scope="any_uri"
        ).id in {own.id, same_place.id}
        fresh = here / "fresh.csv"
        fresh.write_text("nobody has this")
        assert (
            tracker.log_artifact(
                fresh, "e", "input", reuse_if_unchanged=True, reuse_scope="any_uri"
            ).key
            == "e"
        )


@pytest.mark.parametrize("direction", ["input", "output"])
def test_an_unknown_reuse_scope_is_an_error(tracker: Tracker, skim: Path, direction: str) -> None:
    with tracker.start_run("r", "m"), pytest.raises(ValueError, match=r"reuse_scope.*'nearby'"):
        tracker.log_artifact(skim, "skim", direction, reuse_scope="nearby")
