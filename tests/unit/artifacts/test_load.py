"""Reading what was recorded: options, what is read of a file, open relations, kinds."""

from __future__ import annotations

import gc
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest

import consist
from consist import RelationConnectionLeakWarning, Tracker
from consist.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consist.models.artifact import Artifact

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [0.5, None, 2.5]})


def written(path: Path) -> Path:
    match path.suffix:
        case ".csv":
            FRAME.to_csv(path, index=False)
        case ".parquet":
            FRAME.to_parquet(path)
        case _:
            path.write_text(json.dumps(FRAME.astype(object).to_dict("records")))
    return path


@pytest.fixture(params=["csv", "parquet"])
def table(tracker: Tracker, here: Path, request: pytest.FixtureRequest) -> Artifact:
    path = written(here / f"t.{request.param}")
    with tracker.start_run("make", model="make"):
        return tracker.log_artifact(path, key="t")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Tracker]:
    """A tracker in a process without open relations that warns beyond one."""
    gc.collect()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONSIST_RELATION_WARN_THRESHOLD", str(consist.active_relation_count() + 1))
        tracker = Tracker(tmp_path / "one", tmp_path / "one.duckdb")
    with tracker:
        yield tracker


# ---------------------------------------------------------------- options


def test_an_option_that_a_format_lacks_is_refused_by_every_verb(
    tracker: Tracker, table: Artifact
) -> None:
    # ART-038
    for verb in (tracker.load, tracker.load_df, consist.load, consist.load_df):
        with pytest.raises(UsageError, match=f"driver '{table.driver}' has no option 'skiprows'"):
            verb(table, skiprows=3)
    with (
        pytest.raises(UsageError, match="'skiprows'"),
        tracker.load_relation(table, skiprows=3),
    ):
        pass


@pytest.mark.parametrize("hot", [False, True])
def test_chosen_columns_and_rows_come_in_the_order_that_was_asked_for(
    tracker: Tracker, table: Artifact, hot: bool
) -> None:
    # ART-038, ART-039, ART-040
    how: dict[str, Any] = {"columns": ["c", "a"], "nrows": 2}
    if hot:
        tracker.ingest(table)
        table.path.unlink()
        how["db_fallback"] = "always"
    wanted = FRAME[["c", "a"]].head(2)
    pd.testing.assert_frame_equal(tracker.load_df(table, **how), wanted)
    assert tracker.load(table, **how).columns == ["c", "a"]
    pd.testing.assert_frame_equal(tracker.load(table, **how).df(), wanted, check_dtype=False)
    with tracker.load_relation(table, **how) as relation:
        assert len(relation.fetchall()) == 2
    with pytest.raises(ValueError, match="columns"):
        tracker.load(table, **{**how, "columns": "a"})
    for nrows in (None, 1):
        with pytest.raises((ValueError, KeyError), match="nope"):
            tracker.load_df(table, **{**how, "columns": ["nope"], "nrows": nrows})


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_a_relation_reads_the_asked_columns_and_rows_only(
    tracker: Tracker, here: Path, suffix: str
) -> None:
    # ART-039: the scan itself knows what is wanted of it
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(written(here / f"t.{suffix}"), key="t")
    with tracker.load_relation(artifact, columns=["b"], nrows=1) as relation:
        plan = relation.explain()
    assert re.search(r"Limit: 1\b", plan)
    assert re.search(r"Projections: b\s*│", plan), plan


def test_ingested_rows_are_read_as_far_as_they_are_wanted(
    tracker: Tracker, table: Artifact
) -> None:
    tracker.ingest(table)
    table.path.unlink()
    with tracker.load_relation(table, db_fallback="always", columns=["b"], nrows=2) as relation:
        (spooled,) = next(iter(tracker.memory["hot"].values())).folder.iterdir()
        assert relation.fetchall() == [("x",), ("y",)]
    with duckdb.connect() as reader:
        assert reader.sql(f"FROM '{spooled}'").columns == ["b"]
        assert len(reader.sql(f"FROM '{spooled}'").fetchall()) == 2
    with tracker.load_relation(table, db_fallback="always") as relation:
        assert len(relation.columns) == 3
        assert len(relation.fetchall()) == 3


def test_an_index_of_pandas_comes_along(tracker: Tracker, here: Path) -> None:
    frame = FRAME.set_index("b")
    frame.to_parquet("i.parquet")
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact("i.parquet", key="i")
        tracker.ingest(artifact)
    cold = [tracker.load_df(artifact, columns=["c"], nrows=n) for n in (None, 2)]
    Path("i.parquet").unlink()
    for n, expected in zip((None, 2), cold, strict=True):
        pd.testing.assert_frame_equal(expected, frame[["c"]].head(n or 3))
        hot = tracker.load_df(artifact, columns=["c"], nrows=n, db_fallback="always")
        pd.testing.assert_frame_equal(hot, expected)


# ---------------------------------------------------------------- relations


def test_relations_count_while_they_are_open(one: Tracker, table: Artifact) -> None:
    # ART-041, ART-042
    before = consist.active_relation_count()
    with one.load_relation(table):
        assert consist.active_relation_count() == before + 1
    assert consist.active_relation_count() == before
    relation = one.load(table)
    assert consist.active_relation_count() == before + 1
    assert len(consist.to_df(relation, close=False)) == 3
    assert consist.active_relation_count() == before + 1
    assert len(consist.to_df(relation.filter("a > 1"))) == 2
    assert consist.active_relation_count() == before + 1, "what is derived is not what was opened"
    assert len(consist.to_df(relation)) == 3
    assert consist.active_relation_count() == before
    with pytest.raises(duckdb.Error, match="closed"):
        relation.fetchall()
    with pytest.raises(TypeError, match="to_df takes a relation"):
        consist.to_df(FRAME)  # type: ignore[arg-type]


def test_the_warning_comes_when_the_threshold_is_crossed(one: Tracker, table: Artifact) -> None:
    # ART-042, ENV-003
    kept = [one.load(table)]
    with pytest.warns(RelationConnectionLeakWarning, match="2 lazy|lazy relations") as caught:
        kept.append(one.load(table))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.append(one.load(table))
        kept.clear()
        kept.append(one.load(table))
    with pytest.warns(RelationConnectionLeakWarning), one.load_relation(table):
        pass


@pytest.mark.parametrize("text", ["many", "-1", "1.5"])
def test_a_threshold_that_is_no_number_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    # ENV-003
    monkeypatch.setenv("CONSIST_RELATION_WARN_THRESHOLD", text)
    with pytest.raises(ValueError, match="CONSIST_RELATION_WARN_THRESHOLD"):
        Tracker(tmp_path / "w")


# ---------------------------------------------------------------- kinds

KINDS = {
    "parquet": "dataframe tabular",
    "csv": "dataframe tabular",
    "gtfs": "dataframe tabular",
    "h5_table": "dataframe tabular",
    "json": "tabular json",
    "zarr": "zarr",
    "h5": "hdf",
    "hdf5": "hdf",
    "geojson": "spatial",
    "geoparquet": "spatial",
    "shapefile": "spatial",
    "geopackage": "spatial",
    "netcdf": "",
    "unknown": "",
}


@pytest.mark.parametrize("driver", KINDS)
def test_the_driver_tells_what_loading_gives(tracker: Tracker, here: Path, driver: str) -> None:
    (here / "x").write_text("x")
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact("x", key="x", driver=driver)
    names = ("dataframe", "tabular", "json", "zarr", "hdf", "spatial")
    found = {name for name in names if getattr(consist, f"is_{name}_artifact")(artifact)}
    assert found == set(KINDS[driver].split())


def test_what_is_no_artifact_is_of_no_kind() -> None:
    for value in (None, "t.csv", Path("t.csv"), FRAME):
        assert not consist.is_tabular_artifact(value)
