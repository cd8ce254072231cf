"""Questions about runs and artifacts."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from sqlalchemy import text
from sqlmodel import func, select

import consist
from consist import Artifact, Run, Tracker, index_by_facet, index_by_field


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def ids(runs: Any) -> list[str]:
    return [run.id for run in runs]


@pytest.fixture
def years(tracker: Tracker) -> Tracker:
    """Record three years of a scenario and one run beside it."""
    with tracker.scenario("base") as sc:
        for n, year in enumerate((2020, 2030, 2040)):
            with sc.trace(
                "simulate",
                run_id=f"base_{year}",
                year=year,
                iteration=n,
                tags=["sim", f"y{year}"],
                facet={"alpha": n / 2, "mode": "car", "deep": {"n": n}},
            ):
                tracker.log_dataframe(pd.DataFrame({"year": [year]}), "persons")
    with tracker.start_run("other", "m", tags=["sim"], stage="s", phase="p", weather={"a": 1}):
        pass
    return tracker


# ---------------------------------------------------------------- find_runs


def test_all_runs_newest_first(years: Tracker) -> None:
    # QRY-001, G-15
    assert ids(years.find_runs()) == ["other", "base_2040", "base_2030", "base_2020", "base"]
    assert ids(years.find_runs(limit=2)) == ["other", "base_2040"]
    assert years.find_runs(limit=0) == []


def test_by_default_a_hundred_are_returned(tracker: Tracker) -> None:
    # QRY-001
    for n in range(103):
        tracker.run(one, config={"n": n}, outputs=["f"])
    assert len(tracker.find_runs()) == 100
    assert len(tracker.find_runs(limit=1000)) == 103


def test_all_tags_are_required(years: Tracker) -> None:
    # QRY-002
    assert ids(years.find_runs(tags=["sim", "y2030"])) == ["base_2030"]
    assert years.find_runs(tags=["sim", "nothing"]) == []
    assert years.find_runs(tags=["si"]) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"year": 2030}, ["base_2030"]),
        ({"iteration": 0}, ["base_2020"]),
        ({"stage": "s"}, ["other"]),
        ({"phase": "p"}, ["other"]),
        ({"model": "m"}, ["other"]),
        ({"name": "m"}, ["other"]),
        ({"status": "failed"}, []),
        ({"parent_id": "base"}, ["base_2040", "base_2030", "base_2020"]),
        ({"parent_id": "base", "year": 2020, "status": "completed"}, ["base_2020"]),
        ({"metadata": {"weather": {"a": 1}}}, ["other"]),
        ({"metadata": {"weather": {"a": 2}}}, []),
        ({"metadata": {"nothing": None}}, []),
    ],
)
def test_filters_select(years: Tracker, filters: dict[str, Any], expected: list[str]) -> None:
    # QRY-003, QRY-004
    assert ids(years.find_runs(**filters)) == expected


@pytest.mark.parametrize("key", ["a.b", "a/b", "a~b", 'q"uote', "größe", "a b", "$x", "0"])
def test_metadata_is_found_under_any_key(tracker: Tracker, key: str) -> None:
    # QRY-004
    tracker.begin_run("r", "m", **{key: "va'lue\"x"})
    tracker.end_run()
    assert ids(tracker.find_runs(metadata={key: "va'lue\"x"})) == ["r"]
    assert tracker.find_runs(metadata={key: "other"}) == []


@pytest.mark.parametrize("value", [1, 1.5, True, "x", [1, 2], None])
def test_metadata_is_compared_as_a_value(tracker: Tracker, value: Any) -> None:
    # QRY-004
    tracker.begin_run("r", "m", k=value)
    tracker.end_run()
    assert ids(tracker.find_runs(metadata={"k": value})) == ["r"]
    assert tracker.find_runs(metadata={"k": "other"}) == []


def test_tags_with_odd_characters_are_found(tracker: Tracker) -> None:
    # QRY-002
    odd = ["it's", 'q"uote', "back\\slash", "größe", "%", "a,b"]
    tracker.run(one, tags=odd, run_id="r", outputs=["f"])
    for tag in odd:
        assert ids(tracker.find_runs(tags=[tag])) == ["r"]


@pytest.mark.parametrize("index", ["year", index_by_field("year")], ids=["text", "object"])
def test_runs_are_indexed_by_a_field(years: Tracker, index: Any) -> None:
    # QRY-005, QRY-007
    found = years.find_runs(parent_id="base", index_by=index)
    assert isinstance(found, dict)
    assert {year: run.id for year, run in found.items()} == {
        2020: "base_2020",
        2030: "base_2030",
        2040: "base_2040",
    }


@pytest.mark.parametrize(
    "index",
    ["facet.alpha", "facet:alpha", index_by_facet("alpha")],
    ids=["dot", "colon", "object"],
)
def test_runs_are_indexed_by_a_facet(years: Tracker, index: Any) -> None:
    # QRY-006, QRY-007
    found = years.find_runs(index_by=index)
    assert isinstance(found, dict)
    assert {value: run.id for value, run in found.items()} == {
        0.0: "base_2020",
        0.5: "base_2030",
        1.0: "base_2040",
    }


def test_of_runs_with_one_index_value_the_newest_is_taken(years: Tracker) -> None:
    # QRY-008, G-15
    found = years.find_runs(index_by="model")
    assert isinstance(found, dict)
    assert found["simulate"].id == "base_2040"


@pytest.mark.parametrize("index", [123, ["year"], ("facet", "a")])
def test_an_index_of_another_type_is_an_error(years: Tracker, index: Any) -> None:
    # ERR-038
    with pytest.raises(TypeError, match="index_by"):
        years.find_runs(index_by=index)


def test_an_index_that_is_no_field_is_an_error_that_names_it(years: Tracker) -> None:
    with pytest.raises((ValueError, TypeError), match="bogus"):
        years.find_runs(index_by="bogus")


def test_an_unknown_filter_is_an_error_that_names_it(years: Tracker) -> None:
    with pytest.raises(TypeError, match="bogus"):
        years.find_runs(bogus=1)
    with pytest.raises(TypeError, match="bogus"):
        years.find_run(bogus=1)


# ---------------------------------------------------------------- one run


def test_the_single_match_is_found(years: Tracker) -> None:
    # QRY-009, QRY-010, QRY-015
    assert years.find_run(parent_id="base", year=2030).id == "base_2030"
    assert years.find_run(id="other").id == "other"
    assert years.find_run(run_id="other").id == "other"
    found = consist.find_run(tracker=years, parent_id="base", year=2030, model="simulate")
    assert found.id == "base_2030"
    assert len(consist.find_runs(tracker=years, model="simulate")) == 3


@pytest.mark.parametrize(
    ("filters", "match"),
    [
        ({"model": "nobody"}, "no run.*nobody"),
        ({"model": "simulate"}, "3 runs"),
        ({"id": "x"}, "x"),
    ],
)
def test_none_or_several_matches_are_an_error_that_counts_them(
    years: Tracker, filters: dict[str, Any], match: str
) -> None:
    # ERR-036
    with pytest.raises(ValueError, match=match) as caught:
        years.find_run(**filters)
    assert caught.value.__notes__


def test_the_latest_has_the_highest_iteration_else_the_newest(years: Tracker) -> None:
    # QRY-011, QRY-012, QRY-013, QRY-014, G-08
    latest = years.find_latest_run(model="simulate")
    assert latest is not None
    assert latest.id == "base_2040"
    assert years.get_latest_run_id(model="m") == "other"
    assert years.find_latest_run(model="nobody") is None
    with pytest.raises(ValueError, match="nobody"):  # ERR-037
        years.get_latest_run_id(model="nobody")
    with pytest.raises(TypeError):
        years.find_latest_run("simulate")  # type: ignore[misc]


def test_an_older_run_of_a_higher_iteration_is_the_latest(tracker: Tracker) -> None:
    # QRY-011
    for iteration in (5, 2):
        tracker.run(one, run_id=f"i{iteration}", iteration=iteration, outputs=["f"])
    latest = tracker.find_latest_run(model="one")
    assert latest is not None
    assert latest.id == "i5"


def test_an_unknown_run_is_none_or_empty(years: Tracker) -> None:
    # QRY-021, QRY-024
    assert years.get_run("nobody") is None
    assert years.get_run_inputs("nobody") == {}
    assert years.get_run_outputs("nobody") == {}
    assert years.get_artifacts_for_run("nobody").outputs == {}


# ---------------------------------------------------------------- records


def test_config_and_record_come_from_the_snapshot(tracker: Tracker) -> None:
    # QRY-022, QRY-025
    tracker.run(one, run_id="r", outputs=["f"], config={"deep": {"a": [1, None, "x"]}})
    assert tracker.get_run_config("r") == {"deep": {"a": [1, None, "x"]}}
    record = tracker.get_run_record("r")
    assert record is not None
    assert record.run.id == "r"
    assert [a.key for a in record.outputs] == ["f"]
    assert record.outputs[0].path.exists()


def test_the_record_of_a_hit_names_the_run_given_back(tracker: Tracker) -> None:
    # MOD-008
    for run_id in ("a", "b"):
        tracker.run(one, run_id=run_id, outputs=["f"])
    record = tracker.get_run_record("b")
    assert record is not None
    assert record.cached_run is not None
    assert record.cached_run.id == "a"


@pytest.mark.parametrize("verb", ["get_run_config", "get_run_record"])
def test_a_missing_snapshot_is_an_error_unless_that_is_allowed(tracker: Tracker, verb: str) -> None:
    # QRY-023, QRY-025, ERR-051
    with pytest.raises(FileNotFoundError, match="'nobody'"):
        getattr(tracker, verb)("nobody")
    assert getattr(tracker, verb)("nobody", allow_missing=True) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_an_unreadable_snapshot_counts_as_missing(tracker: Tracker, content: bytes) -> None:
    # QRY-025
    tracker.run(one, run_id="r", outputs=["f"])
    (tracker.run_dir / "consist_runs" / "r.json").write_bytes(content)
    assert tracker.get_run_record("r", allow_missing=True) is None


def test_the_record_of_a_run_in_another_run_folder_is_found(tmp_path: Path) -> None:
    # QRY-025, CACHE-017
    with Tracker(tmp_path / "r1", tmp_path / "d.duckdb") as tracker:
        tracker.run(one, run_id="r", outputs=["f"], config={"a": 1})
    with Tracker(tmp_path / "r2", tmp_path / "d.duckdb") as tracker:
        assert tracker.get_run_config("r") == {"a": 1}


def test_history_is_a_table_of_recent_runs_with_any_of_the_tags(years: Tracker) -> None:
    # QRY-031, QRY-032, G-09
    history = years.history(limit=2)
    assert list(history["id"]) == ["other", "base_2040"]
    assert {"status", "model_name", "duration_seconds"} <= set(history.columns)
    assert list(years.history(tags=["y2020", "y2030"])["id"]) == ["base_2030", "base_2020"]
    assert years.history(tags=["nothing"]).empty


# ---------------------------------------------------------------- artifacts


def test_artifacts_are_found_by_creator_consumer_and_key(years: Tracker) -> None:
    # QRY-016
    run = years.get_run("base_2030")
    assert run is not None
    made = years.find_artifacts(creator="base_2030")
    assert [a.key for a in made] == ["persons"]
    assert years.find_artifacts(creator=run)[0].id == made[0].id
    user = years.run(lambda x: None, "use", inputs={"x": made[0]})
    assert [a.id for a in years.find_artifacts(consumer=user.run)] == [made[0].id]
    assert len(years.find_artifacts(key="persons")) == 3
    assert len(years.find_artifacts(key="persons", limit=1)) == 1
    assert years.find_artifacts(key="person") == []


def test_an_artifact_is_got_by_key_or_id(years: Tracker) -> None:
    # QRY-018, QRY-019
    latest = years.get_artifact("persons")
    assert latest is not None
    assert latest.run_id == "base_2040"
    for identity in (latest.id, str(latest.id)):
        found = years.get_artifact(identity)
        assert found is not None
        assert found.id == latest.id
    first = years.get_artifact("persons", run_id="base_2020")
    assert first is not None
    assert first.run_id == "base_2020"
    assert years.get_artifact("persons", run_id="other") is None
    assert years.get_artifact("nothing") is None
    assert years.get_artifact(uuid4()) is None


def test_inputs_and_outputs_of_a_run_are_by_key(years: Tracker, raw: Path) -> None:
    # QRY-020, QRY-024, MOD-007
    years.run(one, run_id="r", inputs=[raw], outputs=["f"])
    found = years.get_artifacts_for_run("r")
    assert (list(found.inputs), list(found.outputs)) == (["raw"], ["f"])
    assert years.get_run_inputs("r").keys() == found.inputs.keys()


def test_one_artifact_of_a_run_is_got_by_key_or_part(years: Tracker) -> None:
    # QRY-026
    found = years.get_run_artifact("base_2020", key="persons")
    part = years.get_run_artifact("base_2020", key_contains="pers")
    assert found is not None
    assert part is not None
    assert found.id == part.id
    assert years.get_run_artifact("base_2020", key="nothing") is None
    assert years.get_run_artifact("base_2020", key="persons", direction="input") is None
    with pytest.raises(ValueError, match="direction"):
        years.get_run_artifact("base_2020", key="persons", direction="bogus")


def test_an_artifact_is_got_by_its_portable_place(tracker: Tracker) -> None:
    # QRY-027
    artifact = tracker.run(one, outputs=["f"]).outputs["f"]
    found = tracker.get_artifact_by_uri(artifact.container_uri)
    assert found is not None
    assert found.id == artifact.id
    assert tracker.get_artifact_by_uri(artifact.container_uri, table_path="t") is None
    assert tracker.get_artifact_by_uri("./nothing") is None


def test_a_historical_path_is_that_of_the_producing_workspace(tmp_path: Path) -> None:
    # HYD-019
    with Tracker(tmp_path / "r1", tmp_path / "d.duckdb") as tracker:
        first = tracker.run(one, run_id="r", outputs=["f"]).outputs["f"]
    with Tracker(tmp_path / "r2", tmp_path / "d.duckdb") as tracker:
        artifact, run = tracker.get_artifact("f"), tracker.get_run("r")
        assert artifact is not None
        assert run is not None
        assert tracker.resolve_historical_path(artifact, run) == first.path


@pytest.mark.parametrize("case", ["unknown", "failed", "empty"])
def test_what_is_no_bundle_is_an_error_that_names_it(tracker: Tracker, case: str) -> None:
    # ERR-035
    if case != "unknown":
        tracker.begin_run(case, "m")
        tracker.end_run("failed" if case == "failed" else "completed")
    with pytest.raises(ValueError, match=case):
        tracker.load_input_bundle(case)


def test_the_id_of_a_bundle_is_text(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match="run_id=5 is an int"):
        tracker.load_input_bundle(5)  # pyright: ignore[reportArgumentType]


def test_a_bundle_is_the_outputs_of_a_run(years: Tracker) -> None:
    # BUN-002, BUN-003, BUN-004, BUN-007
    bundle = years.load_input_bundle("base_2020")
    assert list(bundle) == ["persons"]
    with years.start_run("a", "m", inputs=bundle):
        pass
    with years.start_run("b", "m", inputs=list(bundle.values())):
        pass
    for run_id in "ab":
        assert years.get_run_inputs(run_id)["persons"].id == bundle["persons"].id


# ---------------------------------------------------------------- SQL


def test_statements_see_every_acknowledged_record(years: Tracker) -> None:
    # TRK-013, ERR-050
    rows = years.run_query(select(Run.id, Run.year).where(Run.year == 2030))
    assert [tuple(row) for row in rows] == [("base_2030", 2030)]
    assert ids(years.run_query(select(Run).where(Run.model_name == "m"))) == ["other"]
    assert years.run_query(select(func.count()).select_from(Artifact)) == [3]
    assert [tuple(r) for r in years.run_query(text("SELECT count(*) FROM run"))] == [(5,)]
    assert consist.run_query(select(Run.id).where(Run.id == "other"), tracker=years) == ["other"]


def test_attempts_can_be_grouped_in_sql(tracker: Tracker) -> None:
    # G-16
    for _ in range(2):
        tracker.run(one, run_id="r", outputs=["f"])
    rows = tracker.run_query(text("SELECT requested_id, max(attempt) FROM run GROUP BY ALL"))
    assert [tuple(row) for row in rows] == [("r", 2)]


def test_a_wrong_statement_is_an_error_and_the_next_one_works(years: Tracker) -> None:
    with pytest.raises(Exception, match="nothing"):
        years.run_query(text("SELECT * FROM nothing"))
    assert len(years.find_runs()) == 5


def test_a_question_while_a_run_is_active_sees_it(tracker: Tracker) -> None:
    # C-29
    with tracker.start_run("r", "m"):
        assert tracker.run_query(select(Run.status)) == ["running"]
    assert tracker.run_query(select(Run.status)) == ["completed"]


# ---------------------------------------------------------------- lineage


@pytest.fixture
def chain(tracker: Tracker, raw: Path) -> Tracker:
    """Record raw → clean → total, and raw → total as well."""
    clean = tracker.run(
        lambda raw: raw.head(2), "clean", run_id="c", inputs={"raw": raw}, outputs=["clean"]
    )
    tracker.run(
        lambda clean, raw: clean,
        "total",
        run_id="t",
        year=2030,
        inputs={"clean": clean, "raw": raw},
        outputs=["total"],
    )
    return tracker


def test_the_lineage_goes_back_to_raw_files(chain: Tracker) -> None:
    # QRY-028
    tree = chain.get_artifact_lineage("total")
    assert tree is not None
    assert tree["artifact"].key == "total"
    made = tree["producing_run"]
    assert made["run"].id == "t"
    inputs = {node["artifact"].key: node for node in made["inputs"]}
    assert set(inputs) == {"clean", "raw"}
    assert inputs["raw"]["producing_run"] is None
    assert inputs["clean"]["producing_run"]["run"].id == "c"
    assert [n["artifact"].key for n in inputs["clean"]["producing_run"]["inputs"]] == ["raw"]


def test_the_depth_of_a_lineage_is_bounded(chain: Tracker) -> None:
    # QRY-029
    tree = chain.get_artifact_lineage("total", max_depth=0)
    assert tree is not None
    assert tree["producing_run"] is None
    tree = chain.get_artifact_lineage("total", max_depth=1)
    assert tree is not None
    nodes = tree["producing_run"]["inputs"]
    assert all(node["producing_run"] is None for node in nodes)


def test_the_lineage_of_nothing_is_none(chain: Tracker) -> None:
    assert chain.get_artifact_lineage("nothing") is None
    with pytest.raises(KeyError, match="'nothing'"):
        chain.print_lineage("nothing")


def test_the_lineage_after_a_hit_names_the_run_that_executed(chain: Tracker, raw: Path) -> None:
    # CACHE-021, HYD-029
    again = chain.run(lambda raw: raw.head(2), "clean", inputs={"raw": raw}, outputs=["clean"])
    tree = chain.get_artifact_lineage(again.outputs["clean"].id)
    assert tree is not None
    assert tree["producing_run"]["run"].id == again.outputs["clean"].run_id


def test_a_lineage_is_printed_as_a_tree(chain: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
    chain.print_lineage("total", show_run_ids=True)
    lines = capsys.readouterr().out.splitlines()
    assert "total" in lines[0]
    assert "2030" in lines[0]
    assert any("clean" in line and "─" in line for line in lines[1:])
    assert sum("raw" in line for line in lines) == 2


def test_an_artifact_that_is_input_and_output_of_one_run_does_not_loop(
    tracker: Tracker, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracker.start_run("r", "m"):
        tracker.log_output(raw, "k")
        tracker.log_input(raw, "k")
    tree = tracker.get_artifact_lineage("k")
    assert tree is not None
    assert tree["producing_run"]["run"].id == "r"
    tracker.print_lineage("k")
    assert "k" in capsys.readouterr().out


def test_answers_are_plain_objects_after_the_tracker_is_closed(years: Tracker) -> None:
    run, artifact = years.get_run("other"), years.get_artifact("persons")
    years.close()
    assert run is not None
    assert artifact is not None
    assert json.dumps(run.tags) == '["sim"]'
    assert artifact.path.name == "persons.parquet"


def test_history_has_its_columns_even_where_nothing_is_found(
    years: Tracker, tmp_path: Path
) -> None:
    # QRY-031, QRY-033
    columns = [*Run.model_fields, "duration_seconds"]
    with Tracker(run_dir=tmp_path / "bare") as bare:
        assert bare.history().empty
        assert list(bare.history().columns) == columns
    assert list(years.history(limit=0).columns) == columns
    assert len(years.history(tags=[])) == len(years.history()) == 5
    for wrong in ("sim", [1], 3):
        with pytest.raises(TypeError, match="tags"):
            years.history(tags=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="limit"):
        years.history(limit="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="below zero"):
        years.history(limit=-1)
