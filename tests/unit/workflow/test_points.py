"""What the points of a sweep are: grids, lists, tables; their values, configs and arguments."""

from __future__ import annotations

import datetime as dt
import enum
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel, SecretStr

from consist.errors import ConsistError, InvalidMetadata, UsageError
from consist.workflow.points import Point, points_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from consist import Tracker


class Color(enum.Enum):
    RED = 1


@dataclass
class Row:
    a: int = 1
    b: str = "x"


class Model(BaseModel):
    a: int = 1
    key: SecretStr = SecretStr("hush")


def points(over: Any, config: Any = None, **options: Any) -> list[Point]:
    return points_of(over, config, options, None)


def parameters(over: Any) -> list[dict[str, Any]]:
    return [dict(point.parameters) for point in points(over)]


# ---------------------------------------------------------------- what may be given


def test_a_grid_is_every_combination_in_order() -> None:
    assert parameters({"a": [1, 2], "b": ["x", "y"]}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 2],
        (0, 1, 2),
        range(3),
        np.arange(3),
        pd.Series([0, 1, 2]),
        pd.Index([0, 1, 2]),
        pa.array([0, 1, 2]),
    ],
    ids=lambda values: type(values).__name__,
)
def test_values_of_a_grid_are_plain(values: Any) -> None:
    found = [point["a"] for point in parameters({"a": values})]
    assert found == [0, 1, 2]
    assert {type(value) for value in found} == {int}


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
def test_times_of_an_array_are_times(unit: str) -> None:
    (found,) = parameters({"at": np.array(["2030-01-02"], dtype=f"datetime64[{unit}]")})
    assert found["at"] in {dt.date(2030, 1, 2), dt.datetime(2030, 1, 2)}  # noqa: DTZ001


def test_nanoseconds_are_not_cut_off() -> None:
    with pytest.raises(TypeError, match="nanoseconds"):
        points({"at": np.array([1], dtype="datetime64[ns]")})


class TableOfPolars:
    """Polars is not installed here; this has the methods of it that are asked for."""

    def to_dicts(self) -> list[dict[str, Any]]:
        return [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}),
        pa.record_batch({"a": [1, 2], "b": ["x", "y"]}),
        TableOfPolars(),
    ],
    ids=lambda table: type(table).__name__,
)
def test_a_table_has_one_point_per_row(table: Any) -> None:
    found = parameters(table)
    assert found == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert type(found[0]["a"]) is int


def test_a_frame_gives_plain_times_and_none(tracker: Tracker) -> None:
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2030-01-01", None]),
            "long": pd.to_timedelta([1, None], unit="D"),
            "count": pd.array([1, None], dtype="Int64"),
            "kind": pd.Categorical(["x", "y"]),
        }
    )
    first, second = parameters(frame)
    assert first["at"] == dt.datetime(2030, 1, 1)  # noqa: DTZ001
    assert type(first["at"]) is dt.datetime
    assert type(first["long"]) is dt.timedelta
    assert second["at"] is second["long"] is second["count"] is None
    with tracker.scenario("s") as sc:
        assert len(sc.map(lambda config: None, frame).completed) == 2  # noqa: ARG005


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        math.inf,
        None,
        dt.date(2030, 1, 1),
        Color.RED,
        np.float64(0.5),
        {"x": [1, {"y": 2}]},
        [1, 2],
        "",
        "ä\n",
    ],
    ids=range(10),
)
def test_a_value_is_found_again(tracker: Tracker, value: Any) -> None:
    def step(config: Any) -> None:
        pass

    with tracker.scenario("s") as sc:
        assert [p.cache_hit for p in sc.map(step, {"a": [value]})] == [False]
        assert [p.cache_hit for p in sc.map(step, {"a": [value]})] == [True]


def test_generators_are_read_once() -> None:
    assert len(points({"a": n} for n in range(3))) == 3
    assert len(points({"a": (n for n in range(3)), "b": [1, 2]})) == 6


@pytest.mark.parametrize("kind", [list, iter, pd.DataFrame])
def test_nothing_is_a_sweep_of_no_points(tracker: Tracker, kind: Callable[[Any], Any]) -> None:
    with tracker.scenario("s") as sc:
        sweep = sc.map(lambda: None, kind([]))
    assert len(sweep) == 0
    assert sweep.to_frame().empty
    assert next(iter(sweep.to_frame().columns)) == "status"
    run = tracker.get_run("s")
    assert run is not None
    assert run.meta["sweeps"] == [{"name": "lambda", "points": 0, "hits": 0}]


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ("abc", "over is a str"),
        (3, "over is an int"),
        (None, "over is"),
        ({"a": "abc"}, "not a list of values"),
        ({"a": {"x": 1}}, "not a list of values"),
        ([Row], "point 0 is a type"),
        ([(1, 2)], "point 0 is a tuple"),
        (np.zeros((2, 2)), "point 0 is a ndarray"),
        (pd.Series([1]), "point 0 is an int"),
        ([{"a": 1}, {1: 2}], "point 1 has the parameter 1"),
    ],
    ids=range(10),
)
def test_what_is_no_points_is_named(over: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told) as caught:
        points(over)
    assert isinstance(caught.value, ConsistError)


def test_a_hundred_thousand_points_take_no_time_to_speak_of() -> None:
    began = time.process_time()
    found = points({"a": range(1_000), "b": range(100)}, {"c": 1})
    assert len(found) == 100_000
    assert time.process_time() - began < 5


# ---------------------------------------------------------------- the config


def test_a_row_wins_over_what_all_have_in_common() -> None:
    (point,) = points([{"a": 2}], {"a": 1, "b": 3})
    assert point.config == {"a": 2, "b": 3}
    assert point.parameters == {"a": 2}


@pytest.mark.parametrize("row", [Row(5), Model(a=5)], ids=lambda row: type(row).__name__)
def test_a_model_is_a_point_and_reaches_the_step_as_it_is(row: Any) -> None:
    (point,) = points([row])
    assert point.config is row
    assert point.parameters["a"] == 5


def test_models_and_mappings_may_be_mixed() -> None:
    assert points({"b": ["y"]}, Row())[0].config == {"a": 1, "b": "y"}
    assert points([Row(7)], {"c": 1})[0].config == {"a": 7, "b": "x", "c": 1}


def test_a_base_that_is_no_config_is_named() -> None:
    with pytest.raises(TypeError, match="config is a list"):
        points([{"a": 1}], [1])


def test_secrets_stay_secret(tracker: Tracker) -> None:
    def step(config: Any) -> None:
        raise ValueError

    with tracker.scenario("s") as sc:
        sc.map(step, [Model()])
    assert "hush" not in str(tracker.get_run("s"))


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("template", "name"),
    [("g_{a}", "g_1.5"), ("g_{a:.0f}", "g_2"), ("plain", "plain"), ("{b}{{}}", "x{}")],
)
def test_a_name_holds_parameters(template: str, name: str) -> None:
    assert points([{"a": 1.5, "b": "x"}], name=template)[0].options["name"] == name


@pytest.mark.parametrize("template", ["g_{c}", "g_{", "g_{}", "g_{a.real}", "g_{b[0]}", "{a:%%}"])
def test_a_name_that_cannot_be_filled_in_is_named(template: str) -> None:
    with pytest.raises(InvalidMetadata) as caught:
        points([{"a": 1.5, "b": "x"}], name=template)
    assert template in str(caught.value)


def test_the_model_stays_that_of_the_function(tracker: Tracker) -> None:
    def growth(rate: float) -> None:
        pass

    with tracker.scenario("s") as sc:
        sweep = sc.map(growth, {"rate": [0.1]}, name="growth_{rate}")
    run = tracker.get_run(sweep[0].run_id or "")
    assert run is not None
    assert (run.model_name, "growth_0.1" in run.id) == ("growth", True)


# ---------------------------------------------------------------- arguments of a point


def test_points_have_arguments_of_their_own(tracker: Tracker) -> None:
    def step(a: int) -> None:
        pass

    def own(given: Any) -> dict[str, Any] | None:
        if given["a"] == 1:
            return None
        return {"year": 2030, "tags": ["high"], "run_id": "the-second", "stage": "late"}

    with tracker.scenario("s") as sc:
        sweep = sc.map(step, {"a": [1, 2]}, tags=["all"], year=2020, point_options=own)
    first, second = (tracker.get_run(point.run_id or "") for point in sweep)
    assert first is not None
    assert second is not None
    assert (first.year, first.tags) == (2020, ["all"])
    assert (second.id, second.year, second.tags) == ("the-second", 2030, ["high"])


def test_a_point_may_have_another_config() -> None:
    found = points_of([{"a": 1}], {"b": 2}, {}, lambda given: {"config": {"q": given["a"]}})
    assert found[0].config == {"q": 1}
    assert "config" not in found[0].options


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (lambda _: [1], "point_options returned a list for point 0"),
        ({"year": 1}, "point_options is a dict"),
        (lambda _: {"fn": print}, "'fn'"),
        (lambda given: {"over": 1} if given["a"] == 2 else {}, "'over'"),
    ],
)
def test_arguments_that_no_step_takes_are_named_before_anything_is_executed(
    tracker: Tracker, own: Any, told: str
) -> None:
    done: list[int] = []
    with pytest.raises(TypeError, match=told) as caught, tracker.scenario("s") as sc:
        sc.map(done.append, {"a": [1, 2]}, point_options=own)
    assert isinstance(caught.value, ConsistError)
    assert not done


def test_an_error_of_point_options_says_at_which_point() -> None:
    def own(given: Any) -> Any:
        return {"year": 1 // given["a"]}

    with pytest.raises(ZeroDivisionError) as caught:
        points_of([{"a": 1}, {"a": 0}], None, {}, own)
    assert caught.value.__notes__ == ["in point_options, for point 1 {'a': 0}"]


@pytest.mark.parametrize(
    "same",
    [{"run_id": "one"}, {"output_paths": {"o": "./x.csv"}}, {"capture_dir": "outputs"}],
    ids=lambda same: next(iter(same)),
)
@pytest.mark.parametrize("per_point", [False, True])
def test_points_do_not_share_places(
    tracker: Tracker, same: dict[str, Any], per_point: bool
) -> None:
    done: list[int] = []

    def step(a: int) -> None:
        done.append(a)

    given: dict[str, Any] = {"point_options": lambda _: same} if per_point else same
    with pytest.raises(UsageError, match="points 0 and 1") as caught, tracker.scenario("s") as sc:
        sc.map(step, {"a": [1, 2]}, **given)
    assert not done
    assert "point_options" in caught.value.__notes__[0]


def test_places_are_the_same_however_they_are_spelled(tracker: Tracker) -> None:
    spelled: Callable[[Any], Any] = lambda given: {  # noqa: E731
        "output_paths": {"o": ["./x.csv", "x.csv"][given["a"]]}
    }
    with pytest.raises(UsageError, match="the same output path"), tracker.scenario("s") as sc:
        sc.map(lambda a: None, {"a": [0, 1]}, point_options=spelled)  # noqa: ARG005
