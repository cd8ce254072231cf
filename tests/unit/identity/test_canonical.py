"""What is the same value, what is another one, and what is refused (SIG-001, SIG-021)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import re
import sys
import types
import uuid
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
import sqlmodel

from consist.errors import InvalidMetadata, UnhashableValue, WrongType
from consist.identity.canonical import VERSIONS, check_config_keys, digest, encode
from consist.settings import MAX_NESTING

UTC = dt.UTC
NAN = float("nan")
INFINITY = float("inf")
Point = namedtuple("Point", "x y")  # noqa: PYI024
Spot = namedtuple("Spot", "x y")  # noqa: PYI024


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    CRIMSON = "red"  # noqa: PIE796


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    RED = "red"


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclass
class Step:
    size: float
    note: str = field(default="", compare=False, repr=False)


@dataclass(slots=True)
class Slotted:
    size: float


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    alpha: float = 0.5
    hidden: str = pydantic.Field(default="h", exclude=True)
    _private: int = pydantic.PrivateAttr(default=1)


class Other(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    alpha: float = 0.5
    hidden: str = pydantic.Field(default="h", exclude=True)


class Login(pydantic.BaseModel):
    token: pydantic.SecretStr


class Row(sqlmodel.SQLModel):
    name: str
    count: int = 0


class Struct(msgspec.Struct):
    size: float


class Own:
    def __init__(self, state: object) -> None:
        self.state = state

    def __consist_identity__(self) -> object:
        return self.state


class Text(str):
    __slots__ = ()


class Late(dt.tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, when: object) -> None:
        return None


def at(hours: int) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours))


SAME: list[tuple[Any, ...]] = [
    (1, 1.0, np.int64(1), np.float32(1), decimal.Decimal("1.00"), fractions.Fraction(2, 2), 1 + 0j),
    (0, 0.0, -0.0, np.float64(-0.0), decimal.Decimal("-0"), decimal.Decimal("0E+999999"), 0j),
    (0.5, np.float64(0.5), decimal.Decimal("0.5"), fractions.Fraction(1, 2), np.longdouble(0.5)),
    (decimal.Decimal("0.1"), decimal.Decimal("0.10"), fractions.Fraction(1, 10)),
    (0.1, fractions.Fraction(0.1), np.longdouble(np.float64(0.1))),
    (10**400, decimal.Decimal(10) ** 400, fractions.Fraction(10**400)),
    (1e300, int(1e300)),
    (decimal.Decimal("1E+200000"), decimal.Decimal("10E+199999")),
    (NAN, -NAN, np.nan, np.float32("nan"), decimal.Decimal("NaN"), decimal.Decimal("sNaN")),
    (INFINITY, np.inf, decimal.Decimal("Infinity"), np.longdouble("inf")),
    (-INFINITY, decimal.Decimal("-Infinity")),
    (1j, 0 + 1j, np.complex64(1j), np.clongdouble(1j)),
    (True, np.True_),
    (None,),
    ("red", np.str_("red"), Text("red")),
    (b"x", bytearray(b"x"), memoryview(b"x"), np.bytes_(b"x")),
    ([1, 2], (1, 2), deque([1, 2]), [1.0, 2.0]),
    ({1, 2}, frozenset({2, 1}), {1: 0, 2: 0}.keys(), {1.0, 2.0}),
    ({NAN}, {float("nan"), float("nan")}),
    (
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        OrderedDict(b=2, a=1),
        defaultdict(int, a=1, b=2),
        Counter(a=1, b=2),
        ChainMap({"a": 1}, {"b": 2}),
        types.MappingProxyType({"a": 1, "b": 2}),
        {Text("a"): 1, np.str_("b"): 2},
    ),
    ({1: "x"}, {1.0: "x"}, {np.int8(1): "x"}),
    (Path("a/b"), PurePosixPath("a/b"), PureWindowsPath("a\\b"), Path("a//b")),
    (dt.date(2030, 1, 2),),
    (
        dt.datetime(2030, 1, 2, 12, tzinfo=UTC),
        dt.datetime(2030, 1, 2, 13, tzinfo=at(1)),
        dt.datetime(2030, 1, 2, 13, tzinfo=ZoneInfo("Europe/Berlin")),
    ),
    (dt.datetime(2030, 1, 2, 12), dt.datetime(2030, 1, 2, 12, fold=1)),  # noqa: DTZ001
    (dt.datetime.min.replace(tzinfo=at(14)), dt.datetime.min.replace(tzinfo=at(14))),
    (dt.time(12, tzinfo=UTC), dt.time(13, tzinfo=at(1))),
    (dt.timedelta(days=1), dt.timedelta(hours=24)),
    (uuid.UUID(int=5), uuid.UUID(str(uuid.UUID(int=5)))),
    (range(0), range(5, 5)),
    (range(3), range(0, 3, 1)),
    (range(0, 3, 2), range(0, 4, 2)),
    (range(2, 3), range(2, 100, 100)),
    (Color.RED, Color.CRIMSON),
    (Rights.READ | Rights.WRITE, Rights.WRITE | Rights.READ),
    (Step(1.0), Step(1)),
    (Model(), Model(alpha=0.5)),
    (Point(1, 2), Point(1.0, 2.0)),
    (np.array([1, 2]), np.array([1, 2], dtype=">i8"), np.array([[1, 9], [2, 9]])[:, 0]),
    (np.array([[1, 2], [3, 4]]), np.asfortranarray([[1, 2], [3, 4]])),
    (np.array([1, "a", None], dtype=object), np.array([1.0, "a", None], dtype=object)),
    (np.datetime64("2030-01-02"), np.datetime64("2030-01-02")),
    (Own({"a": 1}), Own({"a": 1.0})),
]

DISTINCT: list[Any] = [
    None, True, False, 0, 1, 2, -1, 0.5, 0.1, decimal.Decimal("0.1"), fractions.Fraction(1, 3),
    10**400, 10**400 + 1, -(10**400), 1 << 5000, (1 << 5000) + 1, 1e300, 5e-324,
    decimal.Decimal("1E+200000"), decimal.Decimal("-1E+200000"), decimal.Decimal("1E-200000"),
    decimal.Decimal("1.0000000000000000000000000000000000001"), NAN, INFINITY, -INFINITY,
    1j, -1j, complex(NAN, 1), 1 + 1j,
    "", "1", "0.5", "true", "null", "nan", "red", "a/b", "2030-01-02", "\ud83d\ude00", "😀", "\0",
    '"', "\\", '{"$path":"a/b"}', b"", b"red", b"1",
    [], [[]], [1], ["1"], [None], [1, [2]], [[1], 2], [[1, 2]], [1, 2], [2, 1],
    {}, {"a": 1}, {"a": "1"}, {"a": None}, {"": {}}, {1: "x"}, {"1": "x"}, {None: "x"},
    {True: "x"}, {(1, 2): "x"}, {"$path": "a/b"}, {"$map": [["$path", "a/b"]]}, {"$": 1},
    {b"1": "x"}, {Color.RED: "x"}, {"red": "x"},
    set(), {1}, {"1"}, {1, 2}, frozenset({frozenset({1})}), {(1, 2)},
    Path("a/b"), Path("/a/b"), Path("b"), Path(),
    dt.date(2030, 1, 2), dt.datetime(2030, 1, 2, tzinfo=UTC),
    dt.datetime(2030, 1, 2),  # noqa: DTZ001
    dt.datetime(2030, 1, 2, microsecond=1), dt.time(0), dt.time(0, tzinfo=UTC),  # noqa: DTZ001
    dt.time(0, tzinfo=ZoneInfo("Europe/Berlin")), dt.time(0, tzinfo=ZoneInfo("Europe/Paris")),
    dt.datetime.min.replace(tzinfo=at(14)), dt.datetime.max.replace(tzinfo=at(-12)),
    dt.timedelta(0), dt.timedelta(microseconds=1), dt.timedelta(microseconds=-1),
    uuid.UUID(int=1), uuid.UUID(int=2), range(0), range(1), range(2), range(0, 4, 2),
    range(1, 0, -1), range(0, -4, -2),
    Color.RED, Color.BLUE, Number.ONE, Word.RED, Rights.READ, Rights.READ | Rights.WRITE, Rights(0),
    Step(1), Step(1, note="n"), Step(2), Slotted(1), Struct(1), Point(1, 2), Spot(1, 2),
    Point(2, 1),
    Model(), Model(alpha=1), Model(hidden="i"), Model(extra=1), Model(extra=2), Other(),
    Row(name="a"), Row(name="a", count=1), pydantic.SecretStr("a"), pydantic.SecretStr("b"),
    pydantic.SecretBytes(b"a"), Own(1), Own(2), Own([1]),
    np.array([]), np.array([1]), np.array([1.0]), np.array([[1]]), np.array(1), np.array([1, 2]),
    np.array([True]), np.array(["a"]), np.array([b"a"]), np.array([1], dtype=object),
    np.array(["a"], dtype=object), np.array([1j]),
    np.array(["a"], dtype=np.dtypes.StringDType()), np.array([1], dtype=np.longdouble),
    np.array([2], dtype=np.longdouble), np.array([1], dtype=np.clongdouble),
    np.array(["2030-01-02"], dtype="M8[D]"), np.array(["NaT"], dtype="M8[D]"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]),
    np.zeros((0, 3)), np.zeros((3, 0)),
    np.datetime64("2030-01-02"), np.datetime64("NaT"), np.timedelta64(1, "s"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0],
]  # fmt: skip


@pytest.mark.parametrize("group", SAME, ids=lambda group: repr(group[0])[:40])
def test_equal_values_are_one_value(group: tuple[Any, ...]) -> None:
    assert len({encode(value) for value in group}) == 1


def test_different_values_differ_from_each_other() -> None:
    spelled: dict[bytes, Any] = {}
    for value in DISTINCT:
        other = spelled.setdefault(encode(value), value)
        assert other is value, (value, other)


def test_no_value_is_mistaken_when_it_is_nested() -> None:
    spelled = {encode({"key": [value]}) for value in DISTINCT}
    assert len(spelled) == len({encode(value) for value in DISTINCT})


def test_spelling_is_compact_json_with_sorted_keys() -> None:
    """SIG-021: the order of keys does not matter."""
    assert encode({"b": (1.0, None), "a": "ü"}) == '{"a":"ü","b":[1,null]}'.encode()


def test_keys_of_all_kinds_may_stand_in_one_mapping() -> None:
    assert encode({"b": 1, 2: 2, None: 3}) == encode({None: 3, 2: 2, "b": 1})


def test_a_fresh_interpreter_with_another_limit_of_digits_agrees() -> None:
    limit = sys.get_int_max_str_digits()
    number = 10**6000
    before = encode(number)
    try:
        sys.set_int_max_str_digits(0)
        assert encode(number) == before
        sys.set_int_max_str_digits(640)
        assert encode(number) == before
        assert encode(1e300)
        assert encode([10**1000])
    finally:
        sys.set_int_max_str_digits(limit)


def test_equal_times_of_day_in_a_zone_without_offset_differ_from_bare_ones() -> None:
    assert encode(dt.time(1, tzinfo=Late())) != encode(dt.time(1))


def test_a_secret_enters_as_a_digest_only() -> None:
    spelled = encode(Login(token=pydantic.SecretStr("hunter2")))
    assert b"hunter2" not in spelled
    assert spelled != encode(Login(token=pydantic.SecretStr("hunter3")))


def test_fields_that_a_dump_leaves_out_count_and_private_ones_do_not() -> None:
    one, two = Model(), Model()
    two._private = 2
    assert encode(one) == encode(two)
    assert encode(one) != encode(Model(hidden="other"))
    assert encode(Step(1, note="a")) != encode(Step(1, note="b"))


def test_a_field_that_was_never_set_is_no_field() -> None:
    assert encode(Model.model_construct(alpha=1, hidden="h")) == encode(Model(alpha=1))
    partial = Slotted.__new__(Slotted)
    assert b"size" not in encode(partial)


def test_a_deprecated_field_is_read_without_its_warning() -> None:
    class Old(pydantic.BaseModel):
        rate: float = pydantic.Field(default=1.0, deprecated="use speed")

    assert encode(Old(rate=2)) != encode(Old(rate=3))


def test_a_table_model_counts_by_its_columns() -> None:
    class Journey(sqlmodel.SQLModel, table=True):
        id: int | None = sqlmodel.Field(default=None, primary_key=True)
        mode: str

    assert encode(Journey(mode="car")) == encode(Journey(mode="car"))
    assert encode(Journey(mode="car")) != encode(Journey(mode="bus"))


# ---------------------------------------------------------------- refusals


class Bare:
    pass


@pytest.mark.parametrize(
    ("value", "place", "name", "remedy"),
    [
        ({"a": [1, {"b": object()}]}, "config['a'][1]['b']", "object", "runtime_kwargs"),
        ({"a": Bare()}, "config['a']", "Bare", "__consist_identity__"),
        ({"f": len}, "config['f']", "builtin_function_or_method", "name as text"),
        ({"f": lambda: 1}, "config['f']", "function", "name as text"),
        ({"f": int}, "config['f']", "type", "name as text"),
        ({"m": Model(extra=Bare())}, "config['m'].extra", "Bare", "plain data"),
        ({"s": Step(Bare())}, "config['s'].size", "Bare", "plain data"),
        ({"p": Point(1, Bare())}, "config['p'][1]", "Bare", "plain data"),
        ({"s": {Bare()}}, "config['s']{…}", "Bare", "plain data"),
        ({"o": Own(Bare())}, "config['o'].__consist_identity__()", "Bare", "plain data"),
        ({1: Bare()}, "config[1]", "Bare", "plain data"),
        ({Bare: 1}, "config[<class", "type", "name as text"),
        ({"n": np.array([Bare()], dtype=object)}, "config['n'][0]", "Bare", "plain data"),
        ({"n": np.ma.array([1], mask=[True])}, "config['n']", "numpy", "plain data"),
        ({"d": pd.DataFrame({"a": [1]})}, "config['d']", "pandas.DataFrame", "as an input"),
        ({"d": pd.Series([1])}, "config['d']", "pandas.Series", "as an input"),
        ({"d": pd.Timestamp("2030-01-02")}, "config['d']", "pandas.Timestamp", "to_pydatetime"),
        ({"g": (x for x in [1])}, "config['g']", "generator", "plain data"),
        (object(), "config", "object", "plain data"),
    ],
)
def test_a_value_without_identity_is_named_with_its_remedy(
    value: object, place: str, name: str, remedy: str
) -> None:
    with pytest.raises(UnhashableValue, match=re.escape(name)) as caught:
        encode(value)
    assert caught.value.key_path.startswith(place)
    assert remedy in " ".join(caught.value.__notes__)
    assert isinstance(caught.value, TypeError)


def test_the_place_begins_with_the_name_that_the_caller_gives() -> None:
    with pytest.raises(UnhashableValue, match=r"facet\['a'\] is a object"):
        encode({"a": object()}, where="facet")


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_nesting_has_a_limit() -> None:
    encode(nested(MAX_NESTING))
    with pytest.raises(UnhashableValue, match="list below too many levels") as caught:
        encode(nested(MAX_NESTING + 1))
    assert "…" in caught.value.key_path
    assert "contains itself" in caught.value.__notes__[0]


@pytest.mark.parametrize("container", ["list", "dict", "set", "model", "object", "array"])
def test_a_value_that_contains_itself_is_refused(container: str) -> None:
    value: Any
    if container == "list":
        value = []
        value.append(value)
    elif container == "dict":
        value = {}
        value["a"] = {1: value}
    elif container == "set":
        value = Own(None)
        value.state = {value}
    elif container == "model":
        value = Model()
        value.extra = value
    elif container == "object":
        value = Own(None)
        value.state = value
    else:
        value = np.array([None], dtype=object)
        value[0] = value
    with pytest.raises(UnhashableValue, match="too many levels"):
        encode(value)


def test_the_error_of_a_refusal_survives_pickling() -> None:
    import pickle

    with pytest.raises(UnhashableValue) as caught:
        encode({"a": object()})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# ---------------------------------------------------------------- digests


def test_a_digest_tells_kinds_and_parts_apart() -> None:
    digests = {digest("run", "a", "b"), digest("run", "ab"), digest("run", ["a", "b"]),
               digest("code", "a", "b"), digest("run", "b", "a"), digest("run")}  # fmt: skip
    assert len(digests) == 6
    assert all(re.fullmatch(r"[0-9a-f]{64}", found) for found in digests)


def test_a_digest_changes_with_the_version_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest("run", "a")
    monkeypatch.setitem(VERSIONS, "run", VERSIONS["run"] + 1)
    assert digest("run", "a") != before


def test_a_digest_has_room_for_the_deepest_config() -> None:
    assert digest("config", {"config": nested(MAX_NESTING)})


def test_an_unknown_kind_has_no_version() -> None:
    with pytest.raises(KeyError):
        digest("nonsense")


# ---------------------------------------------------------------- top level of a config


def test_keys_of_a_config_are_text() -> None:
    """ERR-005."""
    with pytest.raises(WrongType, match="key 1 of config is an int") as caught:
        check_config_keys({"a": {1: "fine below"}, 1: "x"})
    assert isinstance(caught.value, TypeError)
    assert "'1'" in caught.value.__notes__[0]


def test_a_key_or_a_text_that_is_too_long_is_an_error() -> None:
    """ERR-006."""
    check_config_keys({"k" * 256: "x", "text": "x" * 1_000_000})
    with pytest.raises(InvalidMetadata, match="longer than 256"):
        check_config_keys({"k" * 257: "x"})
    with pytest.raises(ValueError, match=r"config\['text'\] is longer than 1000000"):
        check_config_keys({"text": "x" * 1_000_001})
    with pytest.raises(ValueError, match="longer than 1000000"):
        check_config_keys(Model(hidden="x" * 1_000_001))


@pytest.mark.parametrize("config", [[1], "text", 5, {1, 2}])
def test_a_config_has_names(config: object) -> None:
    with pytest.raises(WrongType, match="not a mapping or a model"):
        check_config_keys(config)


def test_a_config_without_identity_is_refused_as_such() -> None:
    with pytest.raises(UnhashableValue, match=r"config is a pandas\.DataFrame"):
        check_config_keys(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize("config", [{}, Model(), Step(1), types.MappingProxyType({"a": 1})])
def test_mappings_and_models_are_configs(config: object) -> None:
    check_config_keys(config)
