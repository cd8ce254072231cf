"""DuckDB finds in rows what pydantic finds in them one by one.

The two differ on purpose, and the values drawn here leave that out:

- truth values are ``true``, ``false``, ``0`` and ``1``; pydantic also takes ``yes`` and ``on``;
- dates and times are ISO texts; pydantic also takes numbers as seconds since 1970;
- whole numbers are of 64 bits and have no underscores;
- numbers that a double does not hold exactly are refused where they come as whole numbers;
- ``datetime`` text has no zone, unless the field is an ``AwareDatetime``;
- ``str`` takes no bytes.
"""

from __future__ import annotations

import csv
import io
import math
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlmodel import Field, SQLModel

from consist.errors import SchemaViolation
from tests.unit.hot.strict_worlds import stored

_WHOLE = st.integers(-(2**53), 2**53)
_TEXTS = st.sampled_from(
    ["0", "1", "12", "-3", "+4", "3.0", "1.5", "1e3", " 7 ", "007", "x", "é", "abc", "abcd", "true",
     "False", "2030-01-31", "2030-13-01", "2030-02-30", "31/01/2030", "nan", "-", "1,5", "0x1"]
)  # fmt: skip
_ANNOTATIONS = st.sampled_from([int, float, str, bool, date])
_RULES: dict[Any, Any] = {
    int: st.fixed_dictionaries({}, optional={"ge": st.integers(-5, 5), "lt": st.integers(0, 20)}),
    float: st.fixed_dictionaries({}, optional={"gt": st.integers(-5, 5), "le": st.floats(0, 9)}),
    str: st.fixed_dictionaries(
        {}, optional={"min_length": st.integers(0, 2), "max_length": st.integers(2, 4)}
    ),
}
_TYPED: list[tuple[Any, Any]] = [
    (_WHOLE, pa.int64()),
    (st.floats(width=64), pa.float64()),
    (st.booleans(), pa.bool_()),
    (st.dates(), pa.date32()),
    (_TEXTS, pa.string()),
]


@st.composite
def fields(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """Draw an annotation, and what is said of the field."""
    annotation = draw(_ANNOTATIONS)
    said = draw(_RULES.get(annotation, st.just({})))
    return (annotation | None if draw(st.booleans()) else annotation), said


def model_of(drawn: list[tuple[Any, dict[str, Any]]]) -> Any:
    names = [f"c{i}" for i in range(len(drawn))]
    body: dict[str, Any] = {
        name: Field(**said) for name, (_, said) in zip(names, drawn, strict=True)
    }
    body["__annotations__"] = {n: kind for n, (kind, _) in zip(names, drawn, strict=True)}
    return type("Row", (SQLModel,), body)


def expected(model: Any, rows: list[dict[str, Any]]) -> tuple[set[str], list[tuple[Any, ...]]]:
    """Return the columns in which pydantic finds fault, and the values where it finds none."""
    faults: set[str] = set()
    values: list[tuple[Any, ...]] = []
    for row in rows:
        try:
            values.append(tuple(model.model_validate(row).model_dump().values()))
        except ValidationError as error:
            faults |= {str(fault["loc"][0]) for fault in error.errors()}
    return faults, values


def agree(model: Any, rows: list[dict[str, Any]], data: Any) -> None:
    faults, values = expected(model, rows)
    if faults:
        with pytest.raises(SchemaViolation) as caught:
            stored(model, data)
        assert {violation.column for violation in caught.value.violations} == faults
        return
    _, found = stored(model, data)
    assert [list(map(comparable, row)) for row in found] == [
        list(map(comparable, row)) for row in values
    ]


def comparable(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def is_beyond(annotation: Any, value: Any) -> bool:
    """Whether pydantic and we differ on purpose about a value."""
    plain = next(k for k in (int, float, str, bool, date) if annotation in {k, k | None})
    if plain is date:
        return isinstance(value, bool | int | float) or (
            isinstance(value, str) and value.strip().lstrip("+-").replace(".", "").isdigit()
        )  # seconds since 1970
    if plain is bool:
        return False
    return plain is int and isinstance(value, float) and abs(value) >= 2**63


@settings(max_examples=60)
@given(st.data())
def test_typed_columns(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(fields(), min_size=1, max_size=4))
    columns: dict[str, Any] = {}
    size = data.draw(st.integers(0, 6))
    for i, (annotation, _) in enumerate(drawn):
        values, kind = data.draw(st.sampled_from(_TYPED))
        allowed = values.filter(lambda v, a=annotation: not is_beyond(a, v))
        listed = data.draw(st.lists(st.none() | allowed, min_size=size, max_size=size))
        columns[f"c{i}"] = pa.array(listed, kind)
    table = pa.table(columns)
    agree(model_of(drawn), table.to_pylist(), table)


@settings(max_examples=60)
@given(st.data())
def test_columns_of_text(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(fields(), min_size=2, max_size=4))
    columns = [
        _TEXTS.filter(lambda v, a=annotation: not is_beyond(a, v)) | st.none()
        for annotation, _ in drawn
    ]
    listed = data.draw(st.lists(st.tuples(*columns), max_size=6))
    names = [f"c{i}" for i in range(len(drawn))]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(listed)
    rows = [dict(zip(names, row, strict=True)) for row in listed]
    agree(model_of(drawn), rows, text.getvalue())
