"""Facets of runs: what is kept of them, and how it is asked for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel import select

import consist
from consist import FacetNotIndexed, Tracker, index_by_facet
from consist.models.facet import ConfigFacet, RunConfigKV


def record(tracker: Tracker, run_id: str, model: str = "m", **options: Any) -> None:
    tracker.begin_run(run_id, model, **options)
    tracker.end_run()


def ids(runs: Any) -> list[str]:
    return [run.id for run in runs]


@pytest.fixture(params=["unmerged", "merged"])
def place(request: pytest.FixtureRequest) -> str:
    return request.param


def settle(tracker: Tracker, place: str) -> None:
    if place == "merged":
        assert tracker.store.sync()


# ---------------------------------------------------------------- sources


class Model(BaseModel):
    alpha: float = 0.5
    facet_schema_version: str = "7"


@dataclass
class Data:
    alpha: float = 0.5


class Struct(msgspec.Struct):
    alpha: float = 0.5


@dataclass
class Converts:
    config: int = 1
    facet_schema_version = 3

    def to_consist_facet(self) -> dict[str, Any]:
        return {"alpha": 0.5}


@dataclass
class ConvertsToModel:
    config: int = 1

    def to_consist_facet(self) -> Model:
        return Model()


@pytest.mark.parametrize(
    ("facet", "schema", "version"),
    [
        ({"alpha": 0.5}, None, None),
        (Model(), "Model", "7"),
        (Data(), "Data", None),
        (Struct(), "Struct", None),
        (Converts(), "Converts", "3"),
        (ConvertsToModel(), "Model", "7"),
    ],
    ids=["dict", "pydantic", "dataclass", "msgspec", "converts", "converts-to-model"],
)
@pytest.mark.parametrize("where", ["facet", "config"])
def test_facets_come_from_mappings_models_and_whatever_gives_one(
    tracker: Tracker, facet: Any, schema: str | None, version: str | None, where: str
) -> None:
    # FAC-001, FAC-005, FAC-007
    if where == "config" and not hasattr(facet, "to_consist_facet"):
        record(tracker, "r", config=facet, facet_from=["alpha"])
        schema = version = None
    else:
        record(tracker, "r", **{where: facet})
    assert tracker.get_config_value("r", "alpha") == 0.5
    (stored,) = tracker.get_config_facets()
    assert (stored.namespace, stored.schema_name, stored.schema_version) == ("m", schema, version)
    run = tracker.get_run("r")
    assert run is not None
    assert run.meta["config_facet_id"] == stored.id
    assert run.meta["config_facet_namespace"] == "m"
    assert run.meta.get("config_facet_schema") == schema


def test_a_version_given_wins_and_the_same_values_under_another_are_another_facet(
    tracker: Tracker,
) -> None:
    # FAC-005
    record(tracker, "a", facet=Model())
    record(tracker, "b", facet=Model(), facet_schema_version=8)
    record(tracker, "c", facet=Model(), facet_schema_version=8)
    assert tracker.store.sync()
    assert [f.schema_version for f in tracker.get_config_facets()] == ["8", "7"]
    assert len(tracker.run_query(select(ConfigFacet))) == 2


def test_facet_from_copies_config_keys_and_what_is_given_wins(tracker: Tracker) -> None:
    # FAC-002
    config = {"a": 1, "b": {"c": math.inf}, "d": 4}
    record(tracker, "r", config=config, facet_from=["a", "b"], facet={"a": 2})
    assert tracker.get_config_values("r") == {"a": 2, "b.c": math.inf}


def test_facet_from_a_key_that_the_config_lacks_is_an_error_that_names_both(
    tracker: Tracker,
) -> None:
    # FAC-002
    with pytest.raises(KeyError, match=r"'missing'.*config.*alpha, beta"):
        record(tracker, "r", config={"alpha": 1, "beta": 2}, facet_from=["missing"])
    assert tracker.find_runs() == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"facet": Model}, "class Model"),
        ({"facet": 3}, "facet is an int"),
        ({"facet": {"a": object()}}, "facet"),
        ({"facet": {"a": 1}, "facet_index": "yes"}, "facet_index"),
        ({"facet": {"a": 1}, "facet_schema_version": 1.5}, "facet_schema_version"),
        ({"config": {"a": 1}, "facet_from": "a"}, "facet_from"),
        ({"config": {"a": 1}, "facet_from": [1]}, "facet_from"),
    ],
)
def test_what_is_no_facet_is_an_error_that_names_the_argument(
    tracker: Tracker, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(TypeError, match=match):
        record(tracker, "r", **options)


# ---------------------------------------------------------------- values


class Colour(Enum):
    RED = "red"


def test_every_value_comes_back_as_it_was_given(tracker: Tracker, place: str) -> None:
    # FAC-008, FAC-009, FAC-013
    given: dict[str, Any] = {
        "int": 3,
        "max": 2**63 - 1,
        "min": -(2**63),
        "odd": 2**53 + 1,
        "big": 2**64,
        "huge": -(10**40),
        "float": 0.1,
        "whole": 1.0,
        "tiny": 5e-324,
        "large": 1.7976931348623157e308,
        "zero": -0.0,
        "inf": math.inf,
        "minf": -math.inf,
        "yes": True,
        "none": None,
        "text": "größe'\"\\%_\n\t",
        "nul": "a\0b",
        "empty": "",
        "looks": "NaN",
        "long": "x" * 10_000,
        "list": [1, 1.0, True, None, "x", [2**64, math.inf]],
        "mapping in a list": [{"a.b": 1, "c": -math.inf}],
        "nothing": {},
    }
    others = {
        "when": datetime(2030, 1, 2, 3, 4, 5, 6, UTC),
        "day": date(2030, 1, 2),
        "decimal": Decimal("0.10"),
        "enum": Colour.RED,
        "np_int": np.int64(7),
        "np_float": np.float32(0.5),
        "np_bool": np.bool_(True),
        "path": Path("a/b"),
    }
    record(tracker, "r", facet={**given, **others, "nan": math.nan, "a.b": {"c.d": 1}})
    settle(tracker, place)
    found = tracker.get_config_values("r")
    assert math.isnan(found.pop("nan"))
    assert math.copysign(1, found["zero"]) == -1
    plain = {"when": "2030-01-02T03:04:05.000006+00:00", "day": "2030-01-02", "decimal": "0.10",
             "enum": "red", "np_int": 7, "np_float": 0.5, "np_bool": True,
             "path": "a/b"}  # fmt: skip
    assert found == {**given, **plain, r"a\.b.c\.d": 1}
    expected = {**given, **plain}
    assert {k: type(found[k]) for k in expected} == {k: type(v) for k, v in expected.items()}
    assert repr(found["list"]) == repr(given["list"])


def test_keys_that_look_alike_once_they_are_flat_stay_apart(tracker: Tracker, place: str) -> None:
    # FAC-009
    record(tracker, "r", facet={"a.b": 1, "a": {"b": 2}, "a\\": {"b": 3}, "a\\.b": 4, "c\\d": 5})
    settle(tracker, place)
    assert sorted(tracker.get_config_values("r").values()) == [1, 2, 3, 4, 5]
    assert tracker.get_config_value("r", r"a\.b") == 1
    assert tracker.get_config_value("r", "a.b") == 2
    assert tracker.get_config_value("r", r"c\d") == 5


def test_values_survive_the_loss_of_the_database(tmp_path: Path) -> None:
    facet = {"nan": math.inf, "big": 2**70, "list": [math.inf]}
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        record(tracker, "r", facet=facet)
    (tmp_path / "p.duckdb").unlink()
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        tracker.rebuild()
        assert tracker.get_config_values("r") == facet


def test_equal_facets_are_stored_once(tracker: Tracker, place: str) -> None:
    # FAC-001
    record(tracker, "a", facet={"x": 1, "y": {"z": 2}})
    settle(tracker, place)
    record(tracker, "b", facet={"y": {"z": 2}, "x": 1})
    record(tracker, "c", "other", facet={"y": {"z": 2}, "x": 1})
    settle(tracker, place)
    assert [f.namespace for f in tracker.get_config_facets()] == ["other", "m"]
    assert len({f.id for f in tracker.get_config_facets()}) == 1
    assert len(tracker.get_config_facets(namespace="m")) == 1


def test_a_facet_does_not_count_for_the_identity(tracker: Tracker) -> None:
    # FAC-001
    def step() -> None: ...

    tracker.run(step, facet={"a": 1})
    again = tracker.run(step, facet={"a": 2})
    assert again.cache_hit
    assert tracker.get_config_values(again.run_id) == {"a": 2}


# ---------------------------------------------------------------- too large


def test_without_an_index_a_facet_is_stored_and_nothing_is_said(tracker: Tracker) -> None:
    # FAC-003
    record(tracker, "r", facet={f"k{n}": n for n in range(600)}, facet_index=False)
    (stored,) = tracker.get_config_facets()
    assert stored.facet_json["k599"] == 599
    assert tracker.get_run_config_kv("r") == []
    assert tracker.get_config_values("r") == {}


@pytest.mark.parametrize(
    ("facet", "said"),
    [
        ({f"k{n}": n for n in range(501)}, r"501 values, more than 500.*CONSIST_MAX_FACET_LEAVES"),
        ({"text": "x" * 17_000}, r"17,011 bytes.*more than 16,384.*CONSIST_MAX_FACET_BYTES"),
    ],
)
def test_too_large_to_index_is_said_once_and_the_facet_is_stored(
    tracker: Tracker, facet: dict[str, Any], said: str
) -> None:
    # FAC-003
    with pytest.warns(FacetNotIndexed, match=rf"a run of 'm' has {said}") as caught:
        record(tracker, "r", facet=facet)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert isinstance(caught[0].message, consist.ConsistWarning)
    (stored,) = tracker.get_config_facets()
    assert stored.facet_json == facet
    assert tracker.get_config_values("r") == {}


def test_the_limits_are_raised_by_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSIST_MAX_FACET_BYTES", "100000")
    monkeypatch.setenv("CONSIST_MAX_FACET_LEAVES", "1000")
    with Tracker(tmp_path / "runs", tmp_path / "p.duckdb") as tracker:
        record(tracker, "r", facet={f"k{n}": "x" * 50 for n in range(900)})
        assert len(tracker.get_config_values("r")) == 900
        assert len(tracker.get_config_values("r", limit=10)) == 10


def test_at_the_limit_a_facet_is_indexed(tracker: Tracker) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(tracker, "r", facet={f"k{n}": n for n in range(500)})
    assert len(tracker.get_config_values("r")) == 500


def test_the_facet_of_an_artifact_has_the_same_limits(tracker: Tracker, here: Path) -> None:
    # FAC-006
    (here / "a.csv").write_text("a\n1\n")
    large = {f"k{n}": n for n in range(501)}
    with tracker.start_run("r", "m"):
        tracker.log_artifact("a.csv", "a", facet=large)
        with pytest.warns(FacetNotIndexed, match="artifact 'a' has 501 values"):
            tracker.log_artifact("a.csv", "a", facet=large, facet_index=True)
    artifact = tracker.get_artifact("a")
    assert artifact is not None
    assert "artifact_facet_id" in artifact.meta


# ---------------------------------------------------------------- getters


@pytest.fixture(scope="module", params=["unmerged", "merged"])
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tracker]:
    """Record three runs of a model and one of another; they are only asked for."""
    folder = tmp_path_factory.mktemp("asked")
    tracker = Tracker(folder / "runs", folder / "p.duckdb", project_root=folder)
    for n, mode in enumerate(("car", "bus", "car")):
        facet = {"n": n, "half": n / 2, "mode": mode, "on": n > 0, "in_%": {"x": 1}, "in_a": 2,
                 "sizes": [n, 1], "deep": {"n": n, "none": None}}  # fmt: skip
        record(tracker, f"r{n}", facet=facet, year=2020 + n)
    record(tracker, "other", "o", facet={"n": 1, "sizes": {"a": 1}})
    settle(tracker, request.param)
    yield tracker
    tracker.close()


def test_a_facet_is_got_by_its_id(asked: Tracker) -> None:
    # FAC-010
    run = asked.get_run("r1")
    assert run is not None
    facet = asked.get_config_facet(run.meta["config_facet_id"])
    assert isinstance(facet, ConfigFacet)
    assert facet.facet_json["mode"] == "bus"
    assert asked.get_config_facet("nothing") is None


def test_facets_are_listed_by_namespace_and_schema(asked: Tracker) -> None:
    # FAC-011
    assert len(asked.get_config_facets()) == 4
    assert len(asked.get_config_facets(limit=2)) == 2
    assert [f.facet_json["n"] for f in asked.get_config_facets(namespace="o")] == [1]
    assert asked.get_config_facets(schema_name="Model") == []
    with pytest.raises(TypeError):
        asked.get_config_facets("o")  # type: ignore[misc]


def test_stored_rows_are_by_key_and_prefixes_are_literal(asked: Tracker) -> None:
    # FAC-012
    rows = asked.get_run_config_kv("r1")
    assert all(isinstance(row, RunConfigKV) for row in rows)
    keys = [row.key for row in rows]
    assert keys == sorted(keys)
    assert len(keys) == 9
    assert [r.key for r in asked.get_run_config_kv("r1", prefix="in_%")] == ["in_%.x"]
    assert [r.key for r in asked.get_run_config_kv("r1", prefix="deep.")] == ["deep.n", "deep.none"]
    assert asked.get_run_config_kv("r1", prefix="in_%.x.") == []
    assert asked.get_run_config_kv("r1", namespace="o") == []
    assert len(asked.get_run_config_kv("r1", limit=2)) == 2
    assert asked.get_run_config_kv("nothing") == []


def test_values_are_by_key_in_the_namespace_of_the_model(asked: Tracker) -> None:
    # FAC-013, FAC-014, FAC-015
    assert asked.get_config_values("r1", keys=["n", "half", "on", "nothing"]) == {
        "n": 1,
        "half": 0.5,
        "on": True,
    }
    assert asked.get_config_values("r1", namespace="o") == {}
    assert asked.get_config_values("r1", prefix="deep") == {"deep.n": 1, "deep.none": None}
    assert asked.get_config_value("r1", "sizes") == [1, 1]
    assert asked.get_config_value("r1", "deep.none", default=5) is None
    assert asked.get_config_value("r1", "nothing", default=5) == 5
    assert asked.get_config_value("r1", "n", namespace="o", default=5) == 5
    with pytest.raises(TypeError, match="keys='n'"):
        asked.get_config_values("r1", keys="n")


def test_the_plain_id_of_several_attempts_means_the_completed_one(tracker: Tracker) -> None:
    # G-16
    record(tracker, "r", facet={"n": 1})
    tracker.begin_run("r", "m", facet={"n": 2})
    tracker.end_run("failed")
    assert tracker.get_config_value("r", "n") == 1
    assert tracker.get_config_value("r~2", "n") == 2


# ---------------------------------------------------------------- runs with a value


@pytest.mark.parametrize(
    ("asked_for", "expected"),
    [
        ({"key": "mode", "value_str": "car"}, ["r2", "r0"]),
        ({"key": "mode", "value_str": "ca"}, []),
        ({"key": "n", "value_num": 1}, ["r1"]),
        ({"key": "n", "value_num": 1.0}, ["r1"]),
        ({"key": "n", "value_num": np.int64(1)}, ["r1"]),
        ({"key": "n", "value_num": 1, "value_type": "float"}, []),
        ({"key": "half", "value_num": 1, "value_type": "float"}, ["r2"]),
        ({"key": "on", "value_bool": False}, ["r0"]),
        ({"key": "on", "value_num": 1}, []),
        ({"key": "deep.n", "value_num": 2}, ["r2"]),
        ({"key": "deep.none", "value_type": "null"}, ["r2", "r1", "r0"]),
        ({"key": "sizes", "value_type": "json"}, ["r2", "r1", "r0"]),
        ({"key": "n"}, ["r2", "r1", "r0"]),
        ({"key": "n", "limit": 1}, ["r2"]),
        ({"key": "nothing"}, []),
    ],
)
def test_runs_are_found_by_a_value(
    asked: Tracker, asked_for: dict[str, Any], expected: list[str]
) -> None:
    # FAC-016
    assert ids(asked.find_runs_by_facet_kv(namespace="m", **asked_for)) == expected


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**30])
def test_whole_numbers_of_any_size_are_matched_exactly(
    tracker: Tracker, place: str, number: int
) -> None:
    # FAC-016
    for n in (number - 1, number, number + 1):
        record(tracker, f"r{n}", facet={"n": n})
    settle(tracker, place)
    found = tracker.find_runs_by_facet_kv(namespace="m", key="n", value_num=number)
    assert ids(found) == [f"r{number}"]
    assert ids(tracker.find_runs(facet={"n": number})) == [f"r{number}"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.1, 1e300, 2.0**60])
def test_floats_are_matched_exactly(tracker: Tracker, place: str, number: float) -> None:
    record(tracker, "r", facet={"n": number, "text": str(number)})
    settle(tracker, place)
    find = tracker.find_runs_by_facet_kv
    assert ids(find(namespace="m", key="n", value_num=number)) == ["r"]
    assert find(namespace="m", key="n", value_num=0.5) == []
    assert find(namespace="m", key="text", value_num=number) == []


@pytest.mark.parametrize(
    ("values", "kind", "match"),
    [
        ({"value_num": 1, "value_str": "a"}, ValueError, "value_str and value_num"),
        ({"value_type": "number"}, ValueError, "value_type='number'"),
        ({"value_type": "str", "value_num": 1}, ValueError, "value_num never"),
        ({"value_num": True}, TypeError, "value_num=True"),
        ({"value_num": "1"}, TypeError, "value_num='1'"),
        ({"value_str": 1}, TypeError, "value_str=1"),
        ({"value_bool": 1}, TypeError, "value_bool=1"),
        ({"limit": -1}, ValueError, "limit=-1"),
        ({"limit": True}, TypeError, "limit=True"),
    ],
)
def test_a_value_that_cannot_be_meant_is_an_error(
    tracker: Tracker, values: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        tracker.find_runs_by_facet_kv(namespace="m", key="n", **values)


@pytest.mark.parametrize(
    ("facet", "expected"),
    [
        ({"mode": "car"}, ["r2", "r0"]),
        ({"mode": "car", "n": 2}, ["r2"]),
        ({"mode": "car", "n": 1}, []),
        ({"n": 1}, ["other", "r1"]),
        ({"n": 1.0}, ["other", "r1"]),
        ({"n": True}, []),
        ({"n": "1"}, []),
        ({"on": True}, ["r2", "r1"]),
        ({"on": 1}, []),
        ({"deep": {"n": 2}}, ["r2"]),
        ({"deep.n": 2}, ["r2"]),
        ({"deep": {"n": 2, "none": None}}, ["r2"]),
        ({"sizes": [1, 1]}, ["r1"]),
        ({"sizes": [1]}, []),
        ({"sizes": {"a": 1}}, ["other"]),
        ({}, ["other", "r2", "r1", "r0"]),
    ],
)
def test_runs_are_filtered_by_facets(
    asked: Tracker, facet: dict[str, Any], expected: list[str]
) -> None:
    assert ids(asked.find_runs(facet=facet)) == expected
    latest = asked.find_latest_run(facet=facet)
    assert [latest.id if latest else None] == (expected[:1] or [None])
    assert ids(asked.find_runs(facet=facet, limit=1)) == expected[:1]
    assert ids(asked.find_runs(facet=facet, limit=100_000)) == expected


def test_facets_are_filtered_before_the_limit_and_beside_other_filters(tracker: Tracker) -> None:
    for n in range(30):
        record(tracker, f"r{n}", facet={"even": n % 2 == 0, "n": n}, year=n % 3)
    found = tracker.find_runs(facet={"even": True}, year=0, limit=2)
    assert ids(found) == ["r24", "r18"]
    assert tracker.find_run(facet={"n": 7}).id == "r7"
    with pytest.raises(ValueError, match="15 runs"):
        tracker.find_run(facet={"even": False})
    assert ids(tracker.find_runs(facet={"even": True, "n": 4}, year=1, limit=1)) == ["r4"]


def test_a_facet_that_is_a_list_cannot_be_indexed_by(asked: Tracker) -> None:
    # QRY-006
    with pytest.raises(ValueError, match=r"'sizes' of run 'r\d' is a list") as caught:
        asked.find_runs(model="m", index_by="facet.sizes")
    assert caught.value.__notes__
    found = asked.find_runs(index_by=index_by_facet("n"))
    assert isinstance(found, dict)
    assert {key: run.id for key, run in found.items()} == {0: "r0", 1: "other", 2: "r2"}


# ---------------------------------------------------------------- pivot


def test_a_pivot_is_one_row_per_run(asked: Tracker) -> None:
    # FAC-019, FAC-020, FAC-021, G-13
    params = consist.pivot_facets(
        namespace="m",
        keys=["n", "half", "mode", "on", "deep.n"],
        value_columns={"mode": "value_str", "on": "value_bool", "n": "value_int"},
        label_map={"deep.n": "deep"},
    )
    assert params.c.keys() == ["run_id", "n", "half", "mode", "on", "deep"]
    rows = consist.run_query(select(params).order_by(params.c.run_id), tracker=asked)
    assert [tuple(row) for row in rows] == [
        ("r0", 0, 0.0, "car", False, 0.0),
        ("r1", 1, 0.5, "bus", True, 1.0),
        ("r2", 2, 1.0, "car", True, 2.0),
    ]


def test_pivots_are_joined_and_hold_whole_numbers_exactly(tracker: Tracker, place: str) -> None:
    # FAC-021
    record(tracker, "a", facet={"seed": 2**53 + 1, "sizes": [1, 2]})
    record(tracker, "b", "other", facet={"seed": 2})
    settle(tracker, place)
    one = consist.pivot_facets(keys=["seed"], value_column="value_int", label_prefix="p_")
    two = consist.pivot_facets(keys=["sizes"], value_columns={"sizes": "value_json"})
    joined = select(one.c.p_seed, two.c.sizes, consist.Run.model_name)
    joined = joined.join(two, one.c.run_id == two.c.run_id)
    joined = joined.join(consist.Run, consist.Run.id == one.c.run_id)  # type: ignore[arg-type]
    (row,) = tracker.run_query(joined)
    assert tuple(row) == (2**53 + 1, [1, 2], "m")


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"keys": []}, ValueError, "no keys"),
        ({"keys": "alpha"}, TypeError, "keys='alpha'"),
        ({"keys": ["a"], "value_columns": {"a": "value"}}, ValueError, r"value_columns\['a'\]"),
        ({"keys": ["a"], "value_columns": {"b": "value_str"}}, KeyError, "'b'"),
        ({"keys": ["a"], "value_column": "json"}, ValueError, "value_column='json'"),
        ({"keys": ["a"], "label_map": {"b": "c"}}, KeyError, "'b'"),
        ({"keys": ["a", "b"], "label_map": {"b": "a"}}, ValueError, "called a"),
        ({"keys": ["run_id"]}, ValueError, "called run_id"),
    ],
)
def test_a_pivot_of_what_is_not_there_is_an_error(
    options: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        consist.pivot_facets(**options)


# ---------------------------------------------------------------- no database


def test_without_a_database_the_answers_are_empty(tmp_path: Path) -> None:
    # QRY-042
    with Tracker(tmp_path / "runs") as tracker:
        record(tracker, "r", facet={"a": 1})
        assert tracker.get_config_facet("x") is None
        assert tracker.get_config_facets() == []
        assert tracker.get_run_config_kv("r") == []
        assert tracker.get_config_values("r") == {}
        assert tracker.get_config_value("r", "a", default=7) == 7
        assert tracker.find_runs_by_facet_kv(namespace="m", key="a") == []
        assert tracker.find_runs(facet={"a": 1}) == []
        assert tracker.find_matching_runs() == []
        assert tracker.find_recent_completed_runs_for_model("m") == []
        assert tracker.find_artifacts_by_params(params=["a=1"]) == []
        with pytest.raises(RuntimeError, match="db_session"), tracker.db_session():
            pass


def test_steps_index_their_facets_unless_told_otherwise(tracker: Tracker) -> None:
    # FAC-003, FAC-004, G-10
    def step() -> None: ...

    first = tracker.run(step, facet={"a": 1}, config={"n": 1})
    second = tracker.run(step, facet={"a": 1}, config={"n": 2}, facet_index=False)
    with tracker.trace("t", run_id="traced", facet={"a": 1}):
        pass
    assert [
        bool(tracker.get_config_values(r)) for r in (first.run_id, second.run_id, "traced")
    ] == [
        True,
        False,
        True,
    ]
    count = tracker.run_query(text("SELECT count(*) FROM config_facet"))
    assert [tuple(row) for row in count] == [(2,)]
