"""One view over artifacts that are chosen by schema, facets and runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Field, SQLModel

import consist
from consist import Tracker


class LinkStats(SQLModel):
    link: int
    volume: float


class Wide(SQLModel):
    volume: float
    link: int
    speed: float | None = None


class Wider(SQLModel):
    link: int
    volume: float
    speed: float | None = None
    toll: float | None = None


class Zones(SQLModel, table=True):
    __tablename__ = "zones_of_grouped_tests"  # pyright: ignore[reportAssignmentType]
    nobody: int = Field(primary_key=True)


@dataclass
class World:
    """Some runs, and what each artifact of theirs holds, for the reference."""

    tracker: Tracker
    artifacts: list[dict[str, Any]]

    def schema(self, key: str) -> str:
        found = self.tracker.get_artifact(key)
        assert found is not None
        return found.meta["schema_id"]

    def rows(self, name: str, columns: str = "*", tail: str = "") -> list[tuple[Any, ...]]:
        found = self.tracker.run_query(text(f"SELECT {columns} FROM {name} {tail}"))
        return [tuple(row) for row in found]

    def columns(self, name: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.tracker.run_query(text(f"DESCRIBE {name}"))}

    def keys(self, name: str) -> list[str]:
        """Return the keys of the artifacts that a view shows rows of, once each."""
        ids = "SELECT DISTINCT consist_artifact_id FROM"
        found = self.tracker.run_query(
            text(f"SELECT key FROM artifact WHERE id IN ({ids} {name}) ORDER BY key")
        )
        return [row[0] for row in found]

    def grouped(self, **asked: Any) -> list[str]:
        self.tracker.create_grouped_view("v_asked", **asked)
        return self.keys("v_asked")


def frame(number: int, *, extra: bool = False) -> pd.DataFrame:
    found = pd.DataFrame({"link": [1, 2], "volume": [number + 0.5, number * 10.0]})
    return found.assign(speed=[30.0, math.nan]) if extra else found


def log(
    tracker: Tracker, key: str, table: pd.DataFrame, *, fmt: str = "parquet", **how: Any
) -> Any:
    path = tracker.run_artifact_dir() / f"{key}.{fmt}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if fmt == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return tracker.log_artifact(
        path, key, direction="output", profile_file_schema=True, facet_index=True, **how
    )


def build(folder: Path) -> World:
    """Record two models in two years, their iterations under keys of their own."""
    tracker = Tracker(folder / "runs", folder / "p.duckdb", project_root=folder)
    artifacts: list[dict[str, Any]] = []
    for model in ("beam", "asim"):
        for year in (2018, 2030):
            run_id = f"{model}_{year}"
            with tracker.start_run(run_id, model, year=year, iteration=year % 5,
                                   facet={"seed": year, "demand": {"growth": 1.5}}):  # fmt: skip
                for number in range(2):
                    key = f"{model}_{year}_iter_{number}"
                    facet = {"artifact_family": "linkstats", "year": year, "iter": number,
                             "mode": "car" if number else "bus"}  # fmt: skip
                    made = log(tracker, key, frame(number + year), facet=facet)
                    if (model, number) == ("beam", 1):
                        tracker.ingest(made)
                    artifacts.append({"key": key, "model": model, "run": run_id, **facet})
    with tracker.start_run("other", "other"):
        log(tracker, "with_speed", frame(1, extra=True), facet={"iter": 0.5})
        log(tracker, "persons", pd.DataFrame({"person": [1]}))
        log(tracker, "as_csv", pd.DataFrame({"link": [7], "volume": [7.5]}), fmt="csv")
    tracker.begin_run("broken", "beam")
    log(tracker, "failed", frame(5), facet={"artifact_family": "linkstats"})
    tracker.end_run("failed")
    return World(tracker, artifacts)


@pytest.fixture(scope="module", params=["unmerged", "merged"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Yield one world that tests only ask."""
    made = build(tmp_path_factory.mktemp("world"))
    if request.param == "merged":
        assert made.tracker.store.sync()
    yield made
    made.tracker.close()


@pytest.fixture
def small(tracker: Tracker) -> World:
    """Return a world of one run, to be changed by a test."""
    with tracker.start_run("a", "beam", year=2018):
        log(tracker, "iter_0", frame(0), facet={"iter": 0})
        log(tracker, "iter_1", frame(1), facet={"iter": 1})
    return World(tracker, [])


BEAM = [f"beam_{year}_iter_{number}" for year in (2018, 2030) for number in (0, 1)]
ASIM = [f"asim_{year}_iter_{number}" for year in (2018, 2030) for number in (0, 1)]
ALL = sorted([*ASIM, *BEAM, "as_csv"])

# ---------------------------------------------------------------- schemas


def test_a_schema_selects_artifacts_of_any_key_and_rows_know_their_run(world: World) -> None:
    # VIEW-007
    schema = world.schema(BEAM[0])
    assert world.tracker.create_grouped_view("v_links", schema_id=schema) == "v_links"
    reference = [
        (item["run"], item["year"], link, volume)
        for item in world.artifacts
        for link, volume in frame(item["iter"] + item["year"]).itertuples(index=False)
    ]
    csv = [("other", None, 7, 7.5)]
    found = world.rows("v_links", "consist_run_id, consist_year, link, volume")
    assert sorted(found, key=str) == sorted(reference + csv, key=str)
    assert [*world.columns("v_links")] == [
        "link", "volume", "consist_run_id", "consist_artifact_id", "consist_year",
        "consist_iteration", "consist_scenario_id",
    ]  # fmt: skip


def test_compatible_schemas_have_fewer_or_more_columns(world: World) -> None:
    # VIEW-018
    narrow, wide = world.schema(BEAM[0]), world.schema("with_speed")
    assert world.grouped(schema_id=narrow) == ALL
    assert world.grouped(schema_id=narrow, schema_compatible=True) == [*ALL, "with_speed"]
    assert world.grouped(schema_id=wide) == ["with_speed"]
    assert world.grouped(schema_id=wide, schema_compatible=True) == [*ALL, "with_speed"]
    assert [*world.columns("v_asked")][:3] == ["link", "volume", "speed"]
    assert world.grouped(schema_id=world.schema("persons"), schema_compatible=True) == ["persons"]


def test_a_model_means_its_exact_fields_first_and_else_what_goes_with_them(world: World) -> None:
    # VIEW-008
    assert world.grouped(schema=LinkStats) == ALL
    assert world.grouped(schema=Wide) == ["with_speed"]
    assert world.grouped(schema=Wide, schema_compatible=True) == [*ALL, "with_speed"]
    assert world.grouped(schema=Wider) == [*ALL, "with_speed"]
    assert [*world.columns("v_asked")][:4] == ["link", "volume", "speed", "toll"]
    world.tracker.create_grouped_view("v_wide", schema=Wide, include_system_columns=False)
    assert world.columns("v_wide") == {"volume": "DOUBLE", "link": "INTEGER", "speed": "DOUBLE"}


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({}, "neither schema_id nor schema"),
        ({"schema_id": "x", "schema": LinkStats}, "both schema_id and schema"),
        ({"schema_id": "x"}, "no schema 'x' is recorded"),
        ({"schema_id": "x", "schema_compatible": True}, "no schema 'x' is recorded"),
        ({"schema_id": " "}, "is no id of a schema"),
        ({"schema_id": 7}, "is no id of a schema"),
        ({"schema": Zones}, "no recorded schema goes with the fields nobody"),
        ({"schema": dict}, "schema=dict is no SQLModel class"),
        ({"schema": SQLModel}, "schema=SQLModel is no SQLModel class with fields"),
        ({"schema": LinkStats, "params": ["year>2018"]}, "'year>2018'"),
        ({"schema": LinkStats, "params": ["=2018"]}, "names no key"),
        ({"schema": LinkStats, "mode": "warm"}, "'hybrid', 'hot_only', 'cold_only'"),
        ({"schema": LinkStats, "if_exists": "append"}, "'replace', 'error'"),
        ({"schema": LinkStats, "missing_files": "skip"}, "'warn', 'error', 'skip_silent'"),
        ({"schema": LinkStats, "drivers": ["parq"]}, "parq is no format of tables"),
        ({"schema": LinkStats, "attach_facets": ["a.b", "a_b"]}, "are both column 'facet_a_b'"),
        ({"schema": LinkStats, "attach_facets": [""]}, "is no key"),
    ],
)
def test_what_cannot_be_is_an_error_that_says_so(
    world: World, asked: dict[str, Any], what: str
) -> None:
    # ERR-042
    with pytest.raises(ValueError, match=what):
        world.tracker.create_grouped_view("v_wrong", **asked)
    with pytest.raises(Exception, match="v_wrong"):
        world.rows("v_wrong")


@pytest.mark.parametrize(
    "asked",
    [
        {"params": "year=2018"},
        {"params": [2018]},
        {"drivers": "parquet"},
        {"attach_facets": "year"},
        {"include_system_columns": "no"},
        {"schema_compatible": 1},
        {"year": "2018"},
        {"model": 7},
    ],
)
def test_values_of_another_type_are_errors(world: World, asked: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        world.tracker.create_grouped_view("v_wrong", schema=LinkStats, **asked)


def test_names_are_plain_and_a_database_is_needed(world: World, tmp_path: Path) -> None:
    # ERR-041
    for name in ("v-x", "run", 'v" AS SELECT 1 --', ""):
        with pytest.raises(ValueError, match=r"view name|provenance database"):
            world.tracker.create_grouped_view(name, schema=LinkStats)
    with Tracker(tmp_path / "bare") as bare, pytest.raises(RuntimeError, match="create_grouped_v"):
        bare.create_grouped_view("v", schema=LinkStats)


# ---------------------------------------------------------------- facets, formats and runs


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"params": ["year=2018"]}, [*ASIM[:2], *BEAM[:2]]),  # VIEW-009
        ({"params": ["year>=2019", "iter<=0"]}, [ASIM[2], BEAM[2]]),
        ({"params": ["mode=car"], "namespace": "beam"}, [BEAM[1], BEAM[3]]),  # VIEW-010
        ({"params": ["asim.mode=car"], "namespace": "beam"}, [ASIM[1], ASIM[3]]),
        ({"params": ["asim.mode=car", "year=2018"]}, [ASIM[1]]),
        ({"params": ["mode='2018'"]}, []),
        ({"params": []}, ALL),
        ({"namespace": "beam"}, ALL),
        ({"drivers": ["csv"]}, ["as_csv"]),  # VIEW-011
        ({"drivers": ["csv", "parquet"]}, ALL),
        ({"drivers": []}, []),
        ({"run_id": "beam_2018"}, BEAM[:2]),  # VIEW-017
        ({"run_id": "nobody"}, []),
        ({"model": "asim"}, ASIM),
        ({"year": 2030}, [*ASIM[2:], *BEAM[2:]]),
        ({"iteration": 2018 % 5}, [*ASIM[:2], *BEAM[:2]]),
        ({"status": "failed"}, ["failed"]),
        ({"model": "beam", "year": 2030, "params": ["iter=1"]}, [BEAM[3]]),
        ({"mode": "hot_only"}, [BEAM[1], BEAM[3]]),  # VIEW-014
        ({"mode": "cold_only"}, ALL),
        ({"mode": "hybrid", "model": "beam"}, BEAM),
    ],
)
def test_artifacts_are_chosen(world: World, asked: dict[str, Any], expected: list[str]) -> None:
    assert world.grouped(schema=LinkStats, **asked) == sorted(expected)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from(["beam", "asim"]),
            "year": st.sampled_from([2018, 2030]),
            "low": st.integers(0, 2),
            "high": st.integers(-1, 1),
            "mode": st.sampled_from(["car", "bus"]),
        },
    )
)
def test_any_selection_is_what_pandas_finds(world: World, asked: dict[str, Any]) -> None:
    params = ["artifact_family=linkstats"]
    params += [f"{key}{sign}{asked[name]}" for name, key, sign in
               (("low", "iter", ">="), ("high", "iter", "<="), ("mode", "mode", "="))
               if name in asked]  # fmt: skip
    runs = {name: asked[name] for name in ("model", "year") if name in asked}
    world.tracker.create_grouped_view("v_any", schema=LinkStats, params=params, **runs)
    known = pd.DataFrame(world.artifacts)
    known = known[(known.iter >= asked.get("low", 0)) & (known.iter <= asked.get("high", 1))]
    for name in ("model", "year", "mode"):
        known = known[known[name] == asked[name]] if name in asked else known
    tables = [frame(row.iter + row.year).assign(run=row.run) for row in known.itertuples()]
    expected = [] if not tables else pd.concat(tables)[["run", "link", "volume"]].values.tolist()
    found = world.rows("v_any", "consist_run_id, link, volume")
    assert sorted(map(list, found)) == sorted(expected)


def test_attempts_of_a_scenario_are_told_apart(tracker: Tracker) -> None:
    for volume in (1, 2):
        with tracker.scenario("base") as scenario, scenario.trace("assign", year=2030):
            log(tracker, f"links_{volume}", frame(volume))
    world = World(tracker, [])
    assert world.grouped(schema=LinkStats) == ["links_2"]
    assert world.rows("v_asked", "DISTINCT consist_scenario_id, consist_year") == [("base", 2030)]
    assert world.grouped(schema=LinkStats, parent_run_id="base") == ["links_2"]
    assert world.grouped(schema=LinkStats, parent_run_id="base~1") == ["links_1"]
    assert world.grouped(schema=LinkStats, parent_run_id="nobody") == []
    first = world.tracker.get_artifact("links_1")
    assert first is not None
    assert world.grouped(schema=LinkStats, run_id=first.run_id) == ["links_1"]


# ---------------------------------------------------------------- columns


def test_facets_are_columns_of_the_type_of_their_values(tracker: Tracker) -> None:
    # VIEW-012
    facets: list[dict[str, Any]] = [
        {"flag": True, "n": 1, "x": 1, "word": "a", "mixed": 1, "deep": {"a": 1}, "big": 2**70,
         "odd": "it's", "own": "artifact", "list": [1, "b"], "gone": None},
        {"flag": False, "n": 2**60, "x": 1.5, "word": "true", "mixed": True, "big": 1,
         "odd": None, "list": [], "not-plain": 3},
        {},
    ]  # fmt: skip
    with tracker.start_run("r", "beam", facet={"own": "run", "seed": 7, "deep": {"a": 5}}):
        for number, facet in enumerate(facets):
            log(tracker, f"t{number}", pd.DataFrame({"link": [number], "volume": [0.0]}),
                facet=facet)  # fmt: skip
    keys = ["flag", "n", "x", "word", "mixed", "deep.a", "big", "odd", "own", "seed", "list",
            "gone", "nobody", "not-plain", "beam.seed"]  # fmt: skip
    world = World(tracker, [])
    tracker.create_grouped_view("v", schema=LinkStats, attach_facets=keys)
    kinds = world.columns("v")
    found = {name: [kinds[name], *(row[0] for row in world.rows("v", name, "ORDER BY link"))]
             for name in kinds if name.startswith("facet_")}  # fmt: skip
    assert found == {
        "facet_flag": ["BOOLEAN", True, False, None],
        "facet_n": ["BIGINT", 1, 2**60, None],
        "facet_x": ["DOUBLE", 1.0, 1.5, None],
        "facet_word": ["VARCHAR", "a", "true", None],
        "facet_mixed": ["VARCHAR", "1", "true", None],
        "facet_deep_a": ["BIGINT", 1, 5, 5],
        "facet_big": ["VARCHAR", str(2**70), "1", None],
        "facet_odd": ["VARCHAR", "it's", None, None],
        "facet_own": ["VARCHAR", "artifact", "run", "run"],
        "facet_seed": ["BIGINT", 7, 7, 7],
        "facet_list": ["VARCHAR", '[1,"b"]', "[]", None],
        "facet_gone": ["VARCHAR", None, None, None],
        "facet_nobody": ["VARCHAR", None, None, None],
        "facet_not_plain": ["BIGINT", None, 3, None],
        "facet_beam_seed": ["BIGINT", 7, 7, 7],
    }


def test_numbers_that_are_none_and_infinite_ones_are_columns_too(tracker: Tracker) -> None:
    with tracker.start_run("r", "beam"):
        for number, value in enumerate((math.nan, math.inf, 1.5)):
            log(tracker, f"t{number}", pd.DataFrame({"link": [number], "volume": [0.0]}),
                facet={"x": value})  # fmt: skip
    world = World(tracker, [])
    tracker.create_grouped_view("v", schema=LinkStats, attach_facets=["x"])
    found = [row[0] for row in world.rows("v", "facet_x", "ORDER BY link")]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, 1.5]


def test_system_columns_can_be_left_out(world: World) -> None:
    # VIEW-013
    world.tracker.create_grouped_view(
        "v_bare", schema=LinkStats, include_system_columns=False, attach_facets=["iter"]
    )
    assert [*world.columns("v_bare")] == ["link", "volume", "facet_iter"]


# ---------------------------------------------------------------- life of a view


def test_a_view_follows_what_is_recorded(small: World) -> None:
    tracker = small.tracker
    tracker.create_grouped_view("v", schema=LinkStats, attach_facets=["iter"])
    assert small.rows("v", "count(*)") == [(4,)]
    with tracker.start_run("b", "beam"):
        made = log(tracker, "iter_9", frame(9), facet={"iter": 9.5})
        assert small.rows("v", "count(*)") == [(4,)]  # it has not completed
    assert small.rows("v", "count(*), max(facet_iter)") == [(6, 9.5)]
    tracker.ingest(made)
    tracker.create_grouped_view("v_hot", schema=LinkStats, mode="hot_only")
    assert small.rows("v_hot", "count(*)") == [(2,)]
    assert small.rows("v", "count(*)") == [(6,)]


def test_an_existing_view_is_replaced_or_kept(small: World) -> None:
    # VIEW-015, ERR-043
    tracker = small.tracker
    tracker.create_grouped_view("v", schema=LinkStats, params=["iter=0"])
    tracker.create_grouped_view("v", schema=LinkStats, params=["iter=1"])
    assert small.keys("v") == ["iter_1"]
    tracker.create_view("v_key", "iter_0")
    for name in ("v", "V", "v_key"):
        with pytest.raises(ValueError, match=f"there is a view '{name}'"):
            tracker.create_grouped_view(name, schema=LinkStats, if_exists="error")
    assert small.keys("v") == ["iter_1"]
    tracker.create_grouped_view("v_new", schema=LinkStats, if_exists="error")
    assert small.keys("v_new") == ["iter_0", "iter_1"]


def test_missing_files_are_passed_over_with_or_without_a_warning(
    small: World, caplog: pytest.LogCaptureFixture
) -> None:
    # VIEW-016
    gone = small.tracker.get_artifact("iter_0")
    assert gone is not None
    gone.path.unlink()
    with caplog.at_level(logging.WARNING, "consist.views"):
        assert small.grouped(schema=LinkStats, missing_files="skip_silent") == ["iter_1"]
        assert not caplog.records
        assert small.grouped(schema=LinkStats) == ["iter_1"]
    assert "missing file" in caplog.text
    assert str(gone.path) in caplog.text


def test_missing_files_can_be_an_error_of_this_view_alone(small: World) -> None:
    # ERR-044
    tracker, asked = small.tracker, {"schema": LinkStats, "missing_files": "error"}
    tracker.create_grouped_view("v", **asked)
    assert small.rows("v", "count(*)") == [(4,)]
    gone = tracker.get_artifact("iter_0")
    assert gone is not None
    content = gone.path.read_bytes()
    gone.path.unlink()
    with pytest.raises(FileNotFoundError, match="iter_0"):
        tracker.create_grouped_view("v_second", **asked)
    for columns in ("*", "count(*)", "sum(link)"):
        with pytest.raises(Exception, match="iter_0"):
            small.rows("v", columns, "WHERE link > 1")
    assert len(tracker.find_runs()) == 1  # other questions are answered
    with pytest.raises(Exception, match="v_second"):
        small.rows("v_second")
    gone.path.write_bytes(content)
    assert small.rows("v", "count(*)") == [(4,)]
    gone.path.unlink()
    tracker.create_grouped_view("v", **(asked | {"missing_files": "skip_silent"}))
    with pytest.raises(FileNotFoundError):
        tracker.create_grouped_view("v", **asked)
    assert small.rows("v", "count(*)") == [(2,)]  # what the name meant before


def test_overwritten_files_are_shown_for_who_wrote_them(tracker: Tracker) -> None:
    path = tracker.run_dir / "shared.parquet"
    for number, run_id in enumerate("ab"):
        with tracker.start_run(run_id, "beam"):
            path.parent.mkdir(parents=True, exist_ok=True)
            frame(number).to_parquet(path)
            tracker.log_artifact(
                path, f"iter_{number}", direction="output", profile_file_schema=True
            )
    world = World(tracker, [])
    tracker.create_grouped_view("v", schema=LinkStats)
    assert world.rows("v", "DISTINCT consist_run_id") == [("b",)]


# ---------------------------------------------------------------- in the file, and through Ibis


def test_the_file_has_the_view_for_any_client_and_read_only_trackers(tmp_path: Path) -> None:
    database = tmp_path / "p.duckdb"
    asked: dict[str, Any] = {"attach_facets": ["iter"], "params": ["iter>=1"]}
    with Tracker(tmp_path / "runs", database) as tracker:
        with tracker.start_run("a", "beam"):
            log(tracker, "iter_0", frame(0), facet={"iter": 0})
            log(tracker, "iter_1", frame(1), facet={"iter": 1})
        tracker.create_grouped_view("v", schema=LinkStats, **asked)
    with duckdb.connect(str(database), read_only=True) as plain:
        found = plain.execute("SELECT link, volume, facet_iter FROM v ORDER BY link").fetchall()
    assert found == [(1, 1.5, 1), (2, 10.0, 1)]
    with Tracker(tmp_path / "runs", database) as tracker, tracker.start_run("b", "beam"):
        log(tracker, "iter_2", frame(2), facet={"iter": 2})
    with Tracker(tmp_path / "runs", database, access_mode="read_only") as looking:
        assert World(looking, []).keys("v") == ["iter_1", "iter_2"]
    with duckdb.connect(str(database), read_only=True) as plain:
        assert plain.execute("SELECT count(*), max(facet_iter) FROM v").fetchall() == [(4, 2)]


def test_a_comment_that_somebody_wrote_into_the_file_does_no_harm(tmp_path: Path) -> None:
    database = tmp_path / "p.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker:
        with tracker.start_run("a", "beam"):
            log(tracker, "iter_0", frame(0), facet={"iter": 0})
        tracker.create_grouped_view("v", schema=LinkStats)
    for told in (
        '"params": ["x"]',
        '"columns": {"a": "INTEGER); DROP TABLE run; --"}',
        '"mode": "hot"',
        '"attach_facets": [1]',
        '"runs": {"year": "x"}',
    ):
        comment = f'consist view {{"digest": "x", "asked": {{"name": "v", {told}}}}}'
        with duckdb.connect(str(database)) as plain:
            plain.execute(f"COMMENT ON VIEW v IS '{comment}'")
        with Tracker(tmp_path / "runs", database, access_mode="read_only") as looking:
            assert [run.id for run in looking.find_runs()] == ["a"]


@pytest.mark.filterwarnings("ignore:fetch_arrow_table")  # both are what Ibis itself calls
@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
def test_ibis_shows_a_grouped_view_by_a_sample(small: World) -> None:
    pytest.importorskip("ibis")
    tracker = small.tracker
    sample = tracker.get_artifact("iter_0")
    assert sample is not None
    asked: dict[str, Any] = {"namespace": "beam", "params": ["iter=1"], "attach_facets": ["iter"]}
    for given_as in (sample, sample.id, str(sample.id)):
        table = consist.ibis_grouped_view(tracker, view_name="v", artifact_id=given_as, **asked)
        rows = table.execute()[["link", "volume", "facet_iter"]].values.tolist()
        assert sorted(rows) == [[1, 1.5, 1], [2, 10.0, 1]]
    assert (
        consist.ibis_grouped_view(tracker, view_name="w", schema=LinkStats).count().execute() == 4
    )
    with pytest.raises(KeyError, match="nobody"):
        consist.ibis_grouped_view(tracker, view_name="v", artifact_id="nobody")
    with pytest.raises(ValueError, match="artifact_id and schema"):
        consist.ibis_grouped_view(tracker, view_name="v", artifact_id=sample, schema=LinkStats)
    with pytest.raises(ValueError, match="neither schema_id nor schema"):
        consist.ibis_grouped_view(tracker, view_name="v")
    with pytest.raises(TypeError, match="colour"):
        consist.ibis_grouped_view(tracker, view_name="v", artifact_id=sample, colour="red")
    with tracker.start_run("plain", "beam"):
        bare = tracker.log_artifact(sample.path, "bare", direction="output")
    if "schema_id" not in bare.meta:
        with pytest.raises(ValueError, match="no schema was seen"):
            consist.ibis_grouped_view(tracker, view_name="v", artifact_id=bare)
