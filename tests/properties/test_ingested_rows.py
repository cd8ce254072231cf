"""Rows that went into the database come back as they were, whatever they were."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from consist.errors import UnsupportedFormat
from consist.formats.csv import CsvDriver
from consist.hot.csv_rows import typed, write_csv
from consist.hot.naming import stored_names
from consist.hot.parquet_rows import write_parquet
from consist.store.global_tables import is_reserved
from tests.unit.hot.worlds import both_ways

# ---------------------------------------------------------------- CSV

_NUMBERS = st.integers(-(2**63), 2**63 - 1).map(str) | st.floats().map(repr)
_ODD = st.sampled_from(
    ["", "007", "1.50", "+5", "-0", "1e3", "NA", "nan", "inf", "true", "False", "T", "01/31/2030",
     "2030-01-31", "31.01.2030", "2030-01-31 10:00:00", "2030-01-31T10:00:00Z", "10:00", " 5", "5 ",
     "1,5", "1_000", "12345678901234567890", "0.1000000000000000055", "null", "NULL", "\\N"]
)  # fmt: skip
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\x01"), max_size=8)
_DATES = st.dates().map(str) | st.datetimes().map(str)
_COLUMN = st.sampled_from([_NUMBERS, _ODD, _TEXT, _DATES, st.booleans().map(str)])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Draw a header and rows, each column of one kind and now and then of another."""
    width = draw(st.integers(2, 5))
    kinds = [draw(_COLUMN) for _ in range(width)]
    rows = draw(st.lists(st.tuples(*(kind | _ODD for kind in kinds)).map(list), max_size=12))
    names = draw(st.lists(st.text("abAB_ 1", min_size=1), min_size=width, max_size=width))
    return [f"c{name}" for name in names], rows


def write(path: Path, table: tuple[list[str], list[list[str]]], **how: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **how)
    header, rows = table
    writer.writerow(header)
    writer.writerows(rows)
    data = text.getvalue().encode()
    path.write_bytes(data)
    return data


def fields(data: bytes, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


def same_frames(one: bytes, other: bytes, delimiter: str) -> bool:
    frames = [pd.read_csv(io.BytesIO(data), sep=delimiter) for data in (one, other)]
    return frames[0].equals(frames[1]) and list(frames[0].dtypes) == list(frames[1].dtypes)


@settings(max_examples=30)
@given(
    table=tables(),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_csv_file_comes_back_field_by_field(
    table: tuple[list[str], list[list[str]]], delimiter: str, end: str, quoting: Any
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "a.csv", folder / "b.csv"
        original = write(source, table, delimiter=delimiter, lineterminator=end, quoting=quoting)
        try:
            for found in both_ways(source, folder):
                write_csv(found, target)
                rebuilt = target.read_bytes()
                assert fields(rebuilt, delimiter) == fields(original, delimiter)
                assert same_frames(rebuilt, original, delimiter)
                hot = found.connection.sql(typed(found, None, None)).df()
                assert list(hot.columns) == [column.name for column in found.rows.columns]
                assert len(hot) == found.rows.count
        except UnsupportedFormat:
            # What cannot be read as a table cannot be ingested; that is said, not guessed.
            try:
                CsvDriver().frame(source, sample_rows=-1)
            except UnsupportedFormat:
                return
            raise


# ---------------------------------------------------------------- Parquet

_TYPES: dict[Any, Any] = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    pa.large_string(): st.text("ab"),
    pa.binary(): st.binary(),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("ns", "Europe/Berlin"): st.integers(0, 2**60),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    pa.duration("ns"): st.integers(-(2**60), 2**60),
    pa.decimal128(20, 4): st.decimals(-(10**15), 10**15, places=4),
    pa.list_(pa.int32()): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(0, 9), "b": st.text("xy'\", {}")}
    ),
    pa.map_(pa.string(), pa.int32()): st.lists(
        st.tuples(st.text("ab", min_size=1), st.integers(0, 9)),
        max_size=2,
        unique_by=lambda t: t[0],
    ),
    pa.dictionary(pa.int8(), pa.string(), ordered=True): st.sampled_from(["x", "y", "z"]),
    pa.null(): st.none(),
}
_NAMES = st.lists(
    st.sampled_from(
        ["a", "A", "b c", "consist_run_id", "_consist_row", "file_row_number", 'q"', "ä"]
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def arrow_tables(draw: st.DrawFn) -> pa.Table:
    names = draw(_NAMES)
    length = draw(st.integers(0, 8))
    columns = []
    for _ in names:
        kind = draw(st.sampled_from(list(_TYPES)))
        values = draw(st.lists(st.none() | _TYPES[kind], min_size=length, max_size=length))
        if pa.types.is_dictionary(kind):
            columns.append(pa.array(values, pa.string()).dictionary_encode().cast(kind))
        else:
            columns.append(pa.array(values, kind))
    metadata = {b"made by": b"hypothesis"} if draw(st.booleans()) else None
    return pa.table(columns, names=names).replace_schema_metadata(metadata)


@settings(max_examples=30)
@given(table=arrow_tables(), group=st.sampled_from([3, 1000]))
def test_a_parquet_file_comes_back_with_its_schema(table: pa.Table, group: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "a.parquet", folder / "b.parquet"
        pq.write_table(table, source, row_group_size=group)
        original = pq.read_table(source)
        for found in both_ways(source, folder):
            write_parquet(found, target)
            rebuilt = pq.read_table(target)
            assert rebuilt.schema.equals(original.schema, check_metadata=True)
            assert rebuilt.to_pylist() == original.to_pylist()


@given(
    st.lists(
        st.text(min_size=1, max_size=6)
        | st.sampled_from(["a", "A", "a_1", "consist_year", "_consist_x", "_dlt_id", "dlt_id"])
    )
)
def test_stored_names_differ_and_leave_ours_alone(names: list[str]) -> None:
    found = stored_names(names)
    assert len({name.lower() for name in found}) == len(names)
    assert not any(map(is_reserved, found))
    for name, fit in zip(names, found, strict=True):
        bare = name.lstrip("_")
        assert fit in {name, bare} or fit.startswith((f"{name}_", f"{bare}_"))
