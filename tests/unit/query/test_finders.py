"""Finding runs and artifacts: what filters mean, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

import consist
from consist import Artifact, FacetIndex, Run, RunFieldIndex, Tracker


def ids(runs: Any) -> list[str]:
    return [run.id for run in runs]


def record(tracker: Tracker, run_id: str, model: str = "m", **options: Any) -> None:
    tracker.begin_run(run_id, model, **options)
    tracker.end_run()


# ---------------------------------------------------------------- metadata

STORED: dict[str, Any] = {
    "one": 1,
    "float": 1.0,
    "true": True,
    "text": "1",
    "null": None,
    "list": [1, "a"],
    "deep": {"a": {"b": 1, "c": None}, "x": [1]},
    "big": 2**63 - 1,
    "large": 1e16,
    "zero": 0.0,
    "empty": {},
}


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"one": 1}, True),
        ({"one": 1.0}, True),
        ({"one": True}, False),
        ({"one": "1"}, False),
        ({"float": 1}, True),
        ({"true": True}, True),
        ({"true": 1}, False),
        ({"text": "1"}, True),
        ({"text": 1}, False),
        ({"null": None}, True),
        ({"absent": None}, False),
        ({"one": None}, False),
        ({"list": [1, "a"]}, True),
        ({"list": [1.0, "a"]}, True),
        ({"list": ["a", 1]}, False),
        ({"list": [1]}, False),
        ({"deep": {"x": [1], "a": {"c": None, "b": 1}}}, True),
        ({"deep": {"a": {"b": 1, "c": None}}}, False),
        ({"deep": {"a": {"b": 1}, "x": [1]}}, False),
        ({"deep.a": {"b": 1, "c": None}}, False),
        ({"big": 2**63 - 1}, True),
        ({"big": 2**63 - 2}, False),
        ({"big": float(2**63 - 1)}, False),
        ({"large": 10**16}, True),
        ({"large": 1e16}, True),
        ({"zero": 0}, True),
        ({"zero": -0.0}, True),
        ({"empty": {}}, True),
        ({"empty": []}, False),
        ({"one": 1, "text": "1"}, True),
        ({"one": 1, "text": "2"}, False),
        ({"one": math.nan}, False),
        ({}, True),
    ],
)
def test_metadata_are_compared_by_value(
    recorded: Tracker, metadata: dict[str, Any], found: bool
) -> None:
    # QRY-004
    assert ids(recorded.find_runs(metadata=metadata)) == (["r"] if found else [])


@pytest.fixture(scope="module", params=["unmerged", "merged"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("recorded")
    with Tracker(folder / "runs", folder / "p.duckdb", project_root=folder) as tracker:
        record(tracker, "r", **STORED)
        if request.param == "merged":
            assert tracker.store.sync()
        yield tracker


def test_metadata_and_tags_are_filtered_before_the_limit(tracker: Tracker) -> None:
    # QRY-002, QRY-004
    for n in range(6):
        record(tracker, f"r{n}", odd=n % 2, tags=["%", f"t{n % 2}"])
    assert ids(tracker.find_runs(metadata={"odd": 0}, limit=2)) == ["r4", "r2"]
    assert ids(tracker.find_runs(tags=["t0"], limit=1)) == ["r4"]
    assert ids(tracker.find_runs(tags=["%", "t1"], limit=9)) == ["r5", "r3", "r1"]
    assert tracker.find_runs(tags=["t"]) == []


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("filters", "kind", "match"),
    [
        ({"limit": -1}, ValueError, "limit=-1 is negative"),
        ({"limit": True}, TypeError, "limit=True"),
        ({"limit": 1.5}, TypeError, r"limit=1\.5"),
        ({"limit": None}, TypeError, "limit is None"),
        ({"tags": "sim"}, TypeError, "tags='sim'"),
        ({"tags": [1]}, TypeError, "tags=1"),
        ({"year": "2030"}, TypeError, "year='2030'"),
        ({"year": True}, TypeError, "year=True"),
        ({"model": 5}, TypeError, "model=5"),
        ({"parent_id": 5}, TypeError, "parent_id=5"),
        ({"metadata": [1]}, TypeError, "metadata="),
        ({"metadata": {1: 1}}, TypeError, "a key of metadata=1"),
        ({"facet": "a"}, TypeError, "facet='a'"),
        ({"index_by": "facet."}, ValueError, "names no key"),
    ],
)
def test_a_filter_of_another_type_is_an_error_that_names_it(
    recorded: Tracker, filters: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        recorded.find_runs(**filters)


def test_limits_reach_from_nothing_to_everything(recorded: Tracker) -> None:
    assert recorded.find_runs(limit=0) == []
    assert ids(recorded.find_runs(limit=10**30)) == ["r"]
    assert recorded.find_artifacts(limit=0) == []
    with pytest.raises(ValueError, match="negative"):
        recorded.find_artifacts(limit=-5)


def test_an_id_does_not_outdo_other_filters(recorded: Tracker) -> None:
    # QRY-009, QRY-010
    assert recorded.find_run(id="r", model="m").id == "r"
    with pytest.raises(ValueError, match=r"no run.*model=.other."):
        recorded.find_run(id="r", model="other")
    with pytest.raises(ValueError, match="two runs"):
        recorded.find_run(id="r", run_id="s")
    with pytest.raises(TypeError, match="limit"):
        recorded.find_run(limit=5)
    with pytest.raises(TypeError, match="run_id=5"):
        recorded.get_run(5)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the latest


def test_the_latest_is_taken_of_so_many_as_are_considered(tracker: Tracker) -> None:
    # QRY-011, QRY-012
    for n, iteration in enumerate((9, 1, 2, None)):
        record(tracker, f"r{n}", iteration=iteration, tags=["a"])
    found = [tracker.find_latest_run(tags=["a"], limit=n) for n in (1, 2, 10_000)]
    assert ids(found) == ["r3", "r2", "r0"]
    assert tracker.find_latest_run(limit=0) is None
    with pytest.raises(TypeError, match="iteration"):
        tracker.find_latest_run(iteration=9)  # type: ignore[call-arg]


def test_recent_and_matching_runs_are_the_completed_ones(tracker: Tracker) -> None:
    for n in range(3):
        record(tracker, f"base__{n}", "m", config={"a": 1}, facet={"n": n})
    record(tracker, "epoch", cache_epoch=7)
    tracker.begin_run("other", "m", description="base__x")
    tracker.end_run("failed")
    assert ids(tracker.find_recent_completed_runs_for_model("m", limit=2)) == ["epoch", "base__2"]
    run = tracker.get_run("base__1")
    assert run is not None
    hashes = (run.config_hash, run.input_hash, run.git_hash)
    assert all(hashes)
    latest = tracker.find_matching_run(*map(str, hashes))
    assert latest is not None
    assert latest.id == "base__2"
    assert len(tracker.find_matching_runs(*map(str, hashes))) == 3
    assert ids(tracker.find_matching_runs(run_scope="base", limit=1)) == ["base__2"]
    assert ids(tracker.find_matching_runs(run_scope="base", status="failed")) == ["other"]
    assert ids(tracker.find_matching_runs(cache_epoch=7)) == ["epoch"]
    assert ids(tracker.find_matching_runs(facet={"n": 0}, model="m")) == ["base__0"]
    assert tracker.find_matching_runs(run_scope="bas") == []
    assert consist.find_matching_runs(model="nobody", tracker=tracker) == []


@pytest.mark.parametrize("index", [RunFieldIndex("run_id"), "id", "run_id"])
def test_runs_are_indexed_by_their_id(recorded: Tracker, index: Any) -> None:
    # QRY-005, QRY-007
    assert list(recorded.find_runs(index_by=index)) == ["r"]


def test_an_index_may_name_the_namespace_of_a_facet(tracker: Tracker) -> None:
    # QRY-007
    record(tracker, "r", "m", facet={"a": 1})
    assert list(tracker.find_runs(index_by=FacetIndex("a", namespace="m"))) == [1]
    assert tracker.find_runs(index_by=FacetIndex("a", namespace="o")) == {}
    with pytest.raises(ValueError, match="is a list"):
        tracker.find_runs(index_by="tags")


# ---------------------------------------------------------------- artifacts


def test_a_key_that_looks_like_an_id_is_found(tracker: Tracker, here: Path) -> None:
    # QRY-018
    key = "12345678123456781234567812345678"
    (here / "a.csv").write_text("a")
    with tracker.start_run("r", "m"):
        tracker.log_output("a.csv", key)
    found = tracker.get_artifact(key)
    assert found is not None
    assert found.key == key


def test_an_artifact_that_is_missing_on_disk_yields_to_one_that_is_there(
    tracker: Tracker, here: Path
) -> None:
    # QRY-018
    for name in ("a", "b"):
        (here / f"{name}.csv").write_text(name)
        with tracker.start_run(f"r_{name}", "m"):
            tracker.log_output(f"{name}.csv", "k", missing_on_disk=name == "b")
    found = tracker.get_artifact("k")
    assert found is not None
    assert found.run_id == "r_a"
    other = tracker.get_artifact("k", run_id="r_b")
    assert other is not None
    assert other.run_id == "r_b"


def test_a_uri_means_the_own_run_folder_first(tmp_path: Path) -> None:
    # QRY-027
    for name in ("one", "two"):
        with Tracker(tmp_path / name, tmp_path / "p.duckdb", project_root=tmp_path) as tracker:
            path = tracker.run_dir / "a.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
            with tracker.start_run(name, "m"):
                tracker.log_output(path, "a")
    for name in ("one", "two"):
        with Tracker(tmp_path / name, tmp_path / "p.duckdb", project_root=tmp_path) as tracker:
            found = tracker.get_artifact_by_uri("./a.csv")
            assert found is not None
            assert found.run_id == name
    with Tracker(tmp_path / "three", tmp_path / "p.duckdb", project_root=tmp_path) as tracker:
        found = tracker.get_artifact_by_uri("./a.csv")
        assert found is not None
        assert found.run_id == "two"


def test_creators_and_consumers_are_runs_or_ids(recorded: Tracker) -> None:
    # QRY-016
    with pytest.raises(TypeError, match="creator is an int"):
        recorded.find_artifacts(creator=5)  # type: ignore[arg-type]
    assert recorded.find_artifacts(creator="nobody") == []


# ---------------------------------------------------------------- SQL


def test_a_session_asks_the_same_tables(tracker: Tracker, here: Path) -> None:
    # QRY-036, QRY-037
    (here / "a.csv").write_text("a")
    with tracker.start_run("r", "m", year=2030):
        tracker.log_output("a.csv", "a")
    with tracker.db_session() as session:
        run = session.exec(select(Run).where(Run.id == "r")).one()
        artifact = session.exec(select(Artifact)).one()
        assert session.get(Run, "r") is run
    assert (run.year, artifact.path.read_text()) == (2030, "a")
    with consist.db_session(tracker=tracker) as session:
        assert session.exec(select(Run.year)).all() == [2030]
    record(tracker, "later")
    assert tracker.store.sync()  # nothing holds the file


def test_what_is_no_statement_is_an_error_with_the_remedy(recorded: Tracker) -> None:
    # QRY-036
    with pytest.raises(TypeError, match="not a str") as caught:
        recorded.run_query("SELECT 1")  # type: ignore[arg-type]
    assert "text(" in caught.value.__notes__[0]
