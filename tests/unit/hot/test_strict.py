"""A SQLModel class says what rows are: each rule is kept, and each breach is told."""

# ruff: noqa: DTZ001 - times without a zone are what many columns hold

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pytest
from annotated_types import Gt
from pydantic import AfterValidator, AwareDatetime, BaseModel, field_validator
from sqlalchemy import CheckConstraint, Column, DateTime, SmallInteger, String, UniqueConstraint
from sqlmodel import JSON, Field, SQLModel

from consist.errors import ModelUnusable, SchemaViolation
from consist.hot.model_columns import compiled, duckdb_types
from tests.unit.hot.strict_worlds import back, stored


def model_of(annotation: Any, **said: Any) -> Any:
    """Return a model with the one column ``v``."""
    options = {"primary_key": False, **said} if said else {}
    return type("Row", (SQLModel,), {"__annotations__": {"v": annotation}, "v": Field(**options)})


def column(*values: Any, kind: Any = None) -> pa.Table:
    return pa.table({"v": pa.array(values, kind)})


def text(*values: str) -> str:
    """Return CSV whose second column keeps rows of blanks from being no rows."""
    return "v\n" + "".join(f'"{value}"\n' for value in values)


class Color(enum.Enum):
    """An enumeration whose names are not its values."""

    RED = "r"
    BLUE = "b"


GOOD: list[tuple[Any, Any, Any]] = [
    (int, text("12", "+3", "3.0", "-0"), [12, 3, 3, 0]),
    (int, column(3.0, -2.0), [3, -2]),
    (int, column(True, False), [1, 0]),
    (int, column("7", " 8 "), [7, 8]),
    (float, text("1.50", "1e3", ".5", "nan"),
     [1.5, 1000.0, 0.5, pytest.approx(float("nan"), nan_ok=True)]),
    (float, column(2**53), [2.0**53]),
    (str, text("01234", "1.50", "2030-01-31"), ["01234", "1.50", "2030-01-31"]),
    (bool, text("true", "False", "0", "1"), [True, False, False, True]),
    (bool, column(0, 1), [False, True]),
    (bool, column(0.0, 1.0), [False, True]),
    (date, text("2030-01-31", "2030-01-31T00:00:00"), [date(2030, 1, 31)] * 2),
    (date, column(datetime(2030, 1, 31)), [date(2030, 1, 31)]),
    (datetime, text("2030-01-31 10:00", "2030-01-31"),
     [datetime(2030, 1, 31, 10), datetime(2030, 1, 31)]),
    (datetime, column(date(2030, 1, 31)), [datetime(2030, 1, 31)]),
    (datetime, column(1_000, kind=pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 1)]),
    (AwareDatetime, text("2030-01-31T10:00:00+02:00"), [datetime(2030, 1, 31, 8, tzinfo=UTC)]),
    (datetime, column(datetime(2030, 1, 31, tzinfo=UTC)), [datetime(2030, 1, 31, tzinfo=UTC)]),
    (time, text("10:00", "10:00:01.5"), [time(10), time(10, 0, 1, 500_000)]),
    (Decimal, text("1.50", "12"), [Decimal("1.5"), Decimal(12)]),
    (Decimal, column(0.1), [Decimal("0.1")]),
    (UUID, text("12345678-1234-5678-1234-567812345678"),
     [UUID(int=0x12345678123456781234567812345678)]),
    (bytes, text("é"), ["é".encode()]),
    (Color, text("r", "b"), ["r", "b"]),
    (Literal[1, 2], text("1", "2"), [1, 2]),
    (int | None, text("1", ""), [1, None]),
    (int | None, column("1", None), [1, None]),
    (str | None, column(None), [None]),
    (dict, text("{}"), ["{}"]),
    (list[str], column([1, 2]), [[1, 2]]),
]  # fmt: skip

BAD: list[tuple[Any, Any, str, int]] = [
    (int, text("12", "1.5", "x", "1e3", "1_000"), "no whole number", 4),
    (int, text("9223372036854775808"), "no whole number", 1),
    (int, column(1.5, float("nan"), float("inf"), 1e19), "no whole number", 4),
    (int, column(2**63, kind=pa.uint64()), "no whole number", 1),
    (int, column(date(2030, 1, 1)), "no whole number", 1),
    (float, text("1.5", "1,5", "0x1", "1e999"), "no number", 3),
    (float, column(2**53 + 1), "no number", 1),
    (float, text("9007199254740993"), "no number", 1),
    (str, column(1), "no text", 1),
    (bool, text("yes", "T", "2"), "neither true nor false", 3),
    (bool, column(2), "neither true nor false", 1),
    (date, text("01/31/2030", "2030-02-30", "2030-01-31 10:00"), "no date", 3),
    (date, column(datetime(2030, 1, 31, 1)), "no date", 1),
    (datetime, text("2030-01-31T10:00:00Z"), "no date and time", 1),
    (datetime, column(1, kind=pa.timestamp("ns")), "no date and time", 1),
    (AwareDatetime, text("2030-01-31T10:00:00"), "with a zone", 1),
    (time, text("25:00"), "no time of day", 1),
    (Decimal, text("1e3", "0.12345678901"), "no decimal", 2),
    (UUID, text("1234"), "no UUID", 1),
    (Color, text("r", "RED", "green"), "is none of 'r', 'b'", 2),
    (Literal[1, 2], text("3"), "is none of 1, 2", 1),
    (int, text("1", ""), "does not allow", 1),
    (int, column(1, None), "does not allow", 1),
    (dict, text("{", "[1]"), "is no JSON object", 2),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "data", "expected"), GOOD)
def test_values_are_cast_exactly(annotation: Any, data: Any, expected: list[Any]) -> None:
    # ING-007
    _, rows = stored(model_of(annotation), data)
    assert [row[0] for row in rows] == expected


@pytest.mark.parametrize(("annotation", "data", "rule", "count"), BAD)
def test_what_is_not_exact_is_a_violation(
    annotation: Any, data: Any, rule: str, count: int
) -> None:
    # ING-007
    with pytest.raises(ValueError, match="Schema Contract Violation") as caught:
        stored(model_of(annotation), data)
    error = caught.value
    assert isinstance(error, SchemaViolation)
    assert sum(v.rows or 0 for v in error.violations) == count, str(error)
    assert any(rule in v.rule for v in error.violations), str(error)


RULES: list[tuple[Any, dict[str, Any], Any, Any, str]] = [
    (int, {"ge": 0}, column(0), column(-1), ">= 0"),
    (int, {"gt": 0}, column(1), column(0), "> 0"),
    (float, {"le": 1.5}, column(1.5), column(1.6), "<= 1.5"),
    (float, {"lt": 1}, column(0.5), column(1.0), "< 1"),
    (float, {"ge": 0}, column(0.0), column(float("nan")), ">= 0"),
    (int, {"multiple_of": 5}, column(10), column(11), "multiple of 5"),
    (float, {"multiple_of": 0.1}, column(0.3), column(0.35), "multiple of 0.1"),
    (str, {"max_length": 2}, column("né"), column("née"), "longer than 2 characters"),
    (bytes, {"max_length": 2}, column(b"ab"), column(b"abc"), "longer than 2 bytes"),
    (str, {"min_length": 2}, column("ab"), column("a"), "shorter than 2 characters"),
    (str, {"regex": "^[a-z]+$"}, column("ab"), column("aB"), "does not match '^[a-z]+$'"),
    (str, {"regex": "b{1,2}"}, column("abba"), column("aa"), "does not match"),
    (str, {"sa_column": Column("v", String(2))}, column("ab"), column("abc"), "longer than 2"),
    (int, {"sa_column": Column("v", SmallInteger())}, column(32767), column(32768), "whole number"),
    (Decimal, {"max_digits": 4, "decimal_places": 1}, text("123.4"), text("1234.5"), "no decimal"),
    (Decimal, {"max_digits": 3}, text("1.23"), text("1.234"), "more than 3 digits"),
    (Annotated[int, Gt(3)], {}, column(4), column(3), "> 3"),
    (Annotated[int, Gt(3)] | None, {}, column(4, None), column(3), "> 3"),
    (float, {"allow_inf_nan": False}, column(1.0), column(float("inf")), "not finite"),
    (int, {"primary_key": True}, column(1, 2), column(1, 1), "primary key"),
    (int | None, {"primary_key": True}, column(1, 2), column(1, 1), "primary key"),
    (str, {"unique": True}, column("a", "b"), column("a", "a"), "unique column"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "said", "good", "bad", "rule"), RULES)
def test_rules_hold(annotation: Any, said: dict[str, Any], good: Any, bad: Any, rule: str) -> None:
    if "allow_inf_nan" in said:
        from pydantic import Field as PlainField

        annotation, said = Annotated[annotation, PlainField(**said)], {}
    if "sa_column" in said:
        model: Any = type(
            "Row", (SQLModel,), {"__annotations__": {"v": annotation}, "v": Field(**said)}
        )
    else:
        model = model_of(annotation, **said)
    stored(model, good)
    with pytest.raises(SchemaViolation) as caught:
        stored(model, bad)
    (violation,) = caught.value.violations
    assert rule in violation.rule


class Person(SQLModel, table=True):
    """A model with a table."""

    __tablename__ = "strict_people"
    __table_args__ = (UniqueConstraint("zone", "seat"), CheckConstraint("age < seat"))
    person_id: int = Field(primary_key=True)
    zone: str = Field(max_length=5)
    seat: int
    age: int | None = Field(default=None, ge=0)
    weight: float = 1.0


class Stub(SQLModel):
    """A model as the export writes it."""

    __abstract__ = True
    zone_id: str | None = Field(default=None, sa_column=Column("Zone ID", String(), nullable=True))
    count: int = Field(sa_column=Column("count", SmallInteger(), nullable=False))
    at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    more: Any = Field(default=None, sa_column=Column("more", JSON()))
    consist_run_id: str | None = None


def test_columns_of_a_table_and_of_a_stub() -> None:
    assert duckdb_types(Person) == {
        "person_id": "BIGINT", "zone": "VARCHAR", "seat": "BIGINT", "age": "BIGINT",
        "weight": "DOUBLE",
    }  # fmt: skip
    assert duckdb_types(Stub) == {
        "Zone ID": "VARCHAR", "count": "SMALLINT", "at": "TIMESTAMP WITH TIME ZONE", "more": "JSON",
    }  # fmt: skip
    found = compiled(Person)
    assert found.unique == (("person_id",), ("zone", "seat"))
    assert found.unchecked == ("CHECK (age < seat)",)


def test_defaults_fill_columns_that_the_data_lack_and_the_model_orders_them() -> None:
    data = pa.table({"seat": [1, 2], "zone": ["a", "a"], "person_id": [1, 2]})
    for given in (data, "seat,zone,person_id\n1,a,1\n2,a,2\n"):
        types, rows = stored(Person, given)
        assert list(types) == ["person_id", "zone", "seat", "age", "weight"]
        assert rows == [(1, "a", 1, None, 1.0), (2, "a", 2, None, 1.0)]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    nine = "9" * 60
    data = "person_id,zone,Seat,age\n1,000001,1,-1\n1,ok,2,x\n2,ok,2,x\n,ok,2," + "9" * 80 + "\n"
    with pytest.raises(SchemaViolation) as caught:
        stored(Person, data)
    assert str(caught.value).splitlines() == [
        "Schema Contract Violation: 'people' (4 rows) is no Person",
        "  seat: is missing from the data",
        "  Seat: is not in the model, whose column is called 'seat'",
        "  person_id: has no value, which the model does not allow: 1 row (row 4)",
        "  zone: is longer than 5 characters: 1 row (row 1: '000001')",
        f"  age: is no whole number of its type: 3 rows (row 2: 'x', row 3: 'x', row 4: '{nine}…')",
        "  age: is not >= 0: 1 row (row 1: '-1')",
        "  person_id: is not unique, as a primary key has to be: 2 rows (row 1: '1')",
    ]


def test_columns_beyond_the_model_are_violations_unless_it_is_additive() -> None:
    class Exact(SQLModel):
        a: int

    class Additive(Exact):
        __consist_additive_schema__ = True

    more = pa.table({"more": ["x"], "a": [1.0]})
    with pytest.raises(SchemaViolation, match="more: is not in the model") as caught:
        stored(Exact, more)
    assert any("__consist_additive_schema__" in note for note in caught.value.__notes__)
    assert stored(Additive, more) == ({"a": "BIGINT", "more": "VARCHAR"}, [(1, "x")])
    with pytest.raises(SchemaViolation, match="'a'"):
        stored(Additive, pa.table({"A": [1]}))
    ours = pa.table({"a": [1], "consist_run_id": ["r"], "__index_level_0__": [5]})
    assert stored(Exact, ours)[1][0][0] == 1


def test_a_number_of_messages_stays_readable() -> None:
    wide = type("Wide", (SQLModel,), {"__annotations__": {f"c{i}": int for i in range(50)}})
    with pytest.raises(SchemaViolation) as caught:
        stored(wide, pa.table({f"c{i}": ["x"] for i in range(50)}))
    assert len(caught.value.violations) == 20
    assert str(caught.value).endswith("  and 30 more")


def test_a_table_without_rows_is_a_table() -> None:
    empty = pa.table({"v": pa.array([], pa.string())})
    assert stored(model_of(int), empty) == ({"v": "BIGINT"}, [])
    assert stored(model_of(int), "v\n") == ({"v": "BIGINT"}, [])


class Inner(BaseModel):
    """Something inside."""

    a: int


@pytest.mark.parametrize(
    ("annotation", "said", "text"),
    [
        (complex, {}, "field 'v' of Row is of type complex"),
        (int | str, {}, "field 'v' of Row is of type int | str"),
        (Literal[1, "a"], {}, "not all text or all whole"),
        (str, {"regex": "(?=a)b"}, "field 'v' of Row has the pattern"),
        (int, {"max_length": 3}, "max_length"),
    ],
)
def test_what_has_no_counterpart_names_field_and_type(
    annotation: Any, said: dict[str, Any], text: str
) -> None:
    with pytest.raises(ModelUnusable) as caught:
        compiled(model_of(annotation, **said))
    assert text in str(caught.value)


def test_what_is_not_checked_is_listed() -> None:
    class Row(SQLModel):
        v: Annotated[int, AfterValidator(abs)]
        inner: Inner
        parts: list[int]

        @field_validator("v")
        @classmethod
        def positive(cls, v: int) -> int:
            return v

    assert compiled(Row).unchecked == (
        "AfterValidator of field 'v'",
        "what is inside field 'inner'",
        "what is inside field 'parts'",
        "validator positive()",
    )


def test_what_the_source_said_comes_back() -> None:
    class Row(SQLModel):
        whole: int
        number: float
        flag: bool
        word: int
        day: date
        raw: bytes
        empty: date | None
        kept: str

    table = pa.table(
        {
            "whole": [1.0, 2.0],
            "number": pa.array([1, 2], pa.int32()),
            "flag": [0, 1],
            "word": ["007", "8"],
            "day": [datetime(2030, 1, 1), datetime(2030, 1, 2)],
            "raw": ["é", "x"],
            "empty": pa.nulls(2),
            "kept": ["a", "b"],
        }
    )
    assert back(Row, table).equals(table)
