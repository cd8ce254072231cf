"""Configs as snapshots hold them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import json
import uuid
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest

from consist.errors import UnhashableValue
from consist.identity.plain import MASK, plain

Point = namedtuple("Point", "x y")  # noqa: PYI024


class Color(enum.Enum):
    RED = "red"


class Strategy(enum.Enum):
    BEST = enum.member(len)


@dataclass
class Step:
    size: float


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    out: Path = Path("a/b")
    token: pydantic.SecretStr = pydantic.SecretStr("hunter2")
    kept_out: str = pydantic.Field(default="hidden", exclude=True)
    step: Step = Step(2)


class Own:
    def __consist_identity__(self) -> object:
        return {"rate": 1}


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (1 << 5000, hex(1 << 5000)),
        (0.5, 0.5),
        (2.0, 2.0),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (1 + 2j, "(1+2j)"),
        (decimal.Decimal("1.50"), "1.50"),
        (fractions.Fraction(1, 3), "1/3"),
        ("text", "text"),
        ("half \ud83d", "half \\ud83d"),
        (b"\x00\xff", "AP8="),
        (Path("a") / "b", "a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.datetime(2030, 1, 2, tzinfo=dt.UTC), "2030-01-02T00:00:00+00:00"),
        (dt.date(2030, 1, 2), "2030-01-02"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(hours=1), "1:00:00"),
        (range(3), "range(0, 3)"),
        (Color.RED, "red"),
        (Strategy.BEST, "BEST"),
        ((1, [2]), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "[1, 2]": "c"}),
        ({1: "a", "1": "b"}, {"1": "a", "1 (str)": "b"}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Step(1), {"size": 1}),
        (Own(), {"rate": 1}),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.clongdouble(1j), "1j"),
        (np.int8(1), 1),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array([1.0, np.nan]), [1.0, "NaN"]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), [[1, 2.0]]),
        (np.datetime64("2030-01-02"), "2030-01-02"),
        (np.array(["2030-01-02", "NaT"], dtype="M8[ns]"), ["2030-01-02T00:00:00.000000000", "NaT"]),
    ],
)
def test_values_are_readable(value: Any, rendered: Any) -> None:
    found = plain(value)
    assert found == rendered
    assert type(found) is type(rendered)
    assert json.loads(json.dumps(found, allow_nan=False)) == rendered
    assert msgspec.json.decode(msgspec.json.encode(found)) == rendered


def test_a_model_is_a_mapping_without_its_secrets() -> None:
    """What its author keeps out of dumps is not written to disk either, but its name is."""
    assert plain(Model(extra=1)) == {
        "out": "a/b",
        "token": MASK,
        "kept_out": MASK,
        "step": {"size": 2},
        "extra": 1,
    }


def test_a_large_array_is_told_by_its_digest() -> None:
    zeros = np.zeros((2, 501))
    shown = plain(zeros)
    assert isinstance(shown, dict)
    assert shown["ndarray"].keys() == {"dtype", "shape", "sha256"}
    assert shown["ndarray"]["shape"] == [2, 501]
    assert shown != plain(zeros + 1)
    assert plain(np.zeros(1000)) == [0.0] * 1000


def test_a_large_array_of_objects_is_told_by_what_they_are() -> None:
    """Their bytes are addresses."""
    texts = [f"text {number}" for number in range(1001)]
    copies = [f"text {number}" for number in range(1001)]
    assert plain(np.array(texts, dtype=object)) == plain(np.array(copies, dtype=object))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, object()]}, r"config\['a'\]\[1\]"),
        (Model(extra=object()), r"config\.extra"),
        ({object(): 1}, r"config\[<object"),
        ({frozenset({len}): 1}, r"config\["),
    ],
)
def test_what_has_no_identity_has_no_rendering(value: object, place: str) -> None:
    with pytest.raises(UnhashableValue, match=place):
        plain(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = [value]
    with pytest.raises(UnhashableValue, match="too many levels"):
        plain(value)
