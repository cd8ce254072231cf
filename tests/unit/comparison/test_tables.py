"""Tables against a slow comparison of Python's own values, which knows nothing of SQL."""

import math
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consist.comparison.columns import Tolerance
from consist.comparison.tables import TableOptions, compare_tables, taken, workbench
from consist.errors import UsageError

EXACT = Tolerance()


NUMBERED = count()


@cache
def connection_of_all():
    """Return one connection for the many small tables here: to make one takes longest."""
    bench = workbench()
    return bench, bench.__enter__()


def compared(left, right, on=None, tolerance=EXACT, examples=3):
    _, connection = connection_of_all()
    sides = [
        taken(f"{name}{next(NUMBERED)}", connection.from_arrow(table), copied=True)
        for name, table in (("left", left), ("right", right))
    ]
    try:
        return compare_tables(connection, *sides, TableOptions(on, tolerance, examples))
    finally:
        for side in sides:
            connection.execute(f"DROP TABLE {side.view}")


@pytest.fixture(scope="module", autouse=True)
def closed_connection():
    """Close the connection of all when the module is done."""
    yield
    if connection_of_all.cache_info().currsize:
        bench, _ = connection_of_all()
        bench.__exit__(None, None, None)
        connection_of_all.cache_clear()


# ---------------------------------------------------------------- the reference


def canonical(value):
    """Return something hashable that is equal exactly for equal values."""
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, list):
        return ("list", *map(canonical, value))
    if isinstance(value, dict):
        return ("struct", *((name, canonical(inner)) for name, inner in value.items()))
    return value  # Python compares whole numbers, floats and decimals exactly


def is_close(a, b, tolerance):
    numbers = all(isinstance(x, int | float | Decimal) and not isinstance(x, bool) for x in (a, b))
    if not numbers or (isinstance(a, int) and isinstance(b, int)):
        return False
    a, b = float(a), float(b)
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    allowed = max(tolerance.atol, tolerance.rtol * max(abs(a), abs(b)))
    return bool(tolerance) and abs(a - b) <= allowed


def differ(a, b, tolerance=EXACT):
    if isinstance(a, Decimal) and isinstance(b, float):
        a = float(a)
    if isinstance(b, Decimal) and isinstance(a, float):
        b = float(b)
    return canonical(a) != canonical(b) and not is_close(a, b, tolerance)


def reference_by_key(left, right, key, tolerance=EXACT):
    sides = [
        {tuple(canonical(row[k]) for k in key): row for row in table.to_pylist()}
        for table in (left, right)
    ]
    both = sides[0].keys() & sides[1].keys()
    shared = [n for n in left.column_names if n in right.column_names and n not in key]
    rows = {
        name: sum(differ(sides[0][k][name], sides[1][k][name], tolerance) for k in both)
        for name in shared
    }
    changed = sum(
        any(differ(sides[0][k][n], sides[1][k][n], tolerance) for n in shared) for k in both
    )
    return {
        "added": len(sides[1].keys() - both),
        "removed": len(sides[0].keys() - both),
        "changed": changed,
        "columns": {name: count for name, count in rows.items() if count},
    }


def reference_as_sets(left, right):
    shared = [n for n in left.column_names if n in right.column_names]
    counts = [
        Counter(tuple(canonical(row[n]) for n in shared) for row in table.to_pylist())
        for table in (left, right)
    ]
    return {
        "added": (counts[1] - counts[0]).total(),
        "removed": (counts[0] - counts[1]).total(),
    }


# ---------------------------------------------------------------- tables of any kind

WIDE = st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
FLOATS = st.sampled_from(
    [0.0, -0.0, 1.0, 1.5, math.nan, math.inf, -math.inf, 2.0**53, 2.0**63, 1e308]
)
TIMES = st.sampled_from([datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 0, 0, 1, UTC)])
DECIMALS = st.sampled_from(
    [Decimal("0.10"), Decimal("-0.10"), Decimal("12345.67"), Decimal("1.00")]
)
KINDS = {
    "wide": (pa.int64(), WIDE),
    "small": (pa.int16(), st.integers(-2, 2)),
    "float": (pa.float64(), FLOATS),
    "single": (pa.float32(), st.sampled_from([0.0, 1.5, -1.0, math.nan])),
    "decimal": (pa.decimal128(10, 2), DECIMALS),
    "long decimal": (pa.decimal128(38, 6), DECIMALS),
    "text": (pa.string(), st.sampled_from(["", "a", "ä", "'", '"', "日本", "null", "1"])),
    "truth": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.sampled_from([date(1960, 1, 1), date(2020, 2, 29)])),
    "zoned": (pa.timestamp("us", "Europe/Berlin"), TIMES),
    "bytes": (pa.binary(), st.sampled_from([b"", b"\x00", b"a"])),
    "list": (pa.list_(pa.float64()), st.lists(st.none() | FLOATS, max_size=2)),
    "struct": (
        pa.struct([("a b", pa.int64()), ("c", pa.string())]),
        st.fixed_dictionaries({"a b": WIDE, "c": st.sampled_from(["x", None])}),
    ),
}
NUMBERS = ("wide", "small", "float", "single", "decimal", "long decimal")
NAMES = st.sampled_from(['a"b', "with space", "ünïcode", "select", "p", "k0", "c0", "x;y", "1"])


def column(kind, size, draw):
    arrow, values = KINDS[kind]
    return pa.array(draw(st.lists(st.none() | values, min_size=size, max_size=size)), arrow)


@st.composite
def pairs(draw, *, keyed):
    """Draw two tables that have most of their columns in common, in any order."""
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))
    kinds = {name: draw(st.sampled_from([*KINDS])) for name in names}
    tables = []
    for _ in range(2):
        ids = draw(st.lists(st.none() | st.integers(0, 6), unique=True, max_size=6))
        own = draw(st.permutations(names))
        own = own[: draw(st.integers(0 if keyed else 1, len(own)))]
        columns = {}
        for name in own:
            kind = kinds[name]
            if kind in NUMBERS and draw(st.booleans()):
                kind = draw(st.sampled_from(NUMBERS))
            columns[name] = column(kind, len(ids), draw)
        if keyed:
            columns["the id"] = pa.array(ids, draw(st.sampled_from([pa.int64(), pa.int16()])))
        tables.append(pa.table(columns))
    return tables


@settings(max_examples=30)
@given(pairs(keyed=True))
def test_rows_of_equal_key_agree_with_the_reference(tables):
    left, right = tables
    found = compared(left, right, on=("the id",))
    expected = reference_by_key(left, right, ["the id"])
    columns = {change.column: change.rows for change in found.columns}
    assert (found.how, found.rows) == ("keyed", (left.num_rows, right.num_rows))
    told = {"added": found.added, "removed": found.removed, "changed": found.changed}
    assert told | {"columns": columns} == expected
    for change in found.columns:
        assert 1 <= len(change.examples) <= 3


@settings(max_examples=30)
@given(pairs(keyed=False))
def test_rows_as_sets_agree_with_the_reference(tables):
    left, right = tables
    found = compared(left, right, on=())
    if found.how == "columns":
        assert not set(left.column_names) & set(right.column_names)
        return
    mixed = {
        name
        for name in set(left.column_names) & set(right.column_names)
        if {str(left.schema.field(name).type)[:3], str(right.schema.field(name).type)[:3]}
        in ({"dec", "dou"}, {"dec", "flo"})
    }
    if mixed:  # compared as doubles, which no hash of Python's does
        return
    assert {"added": found.added, "removed": found.removed} == reference_as_sets(left, right)


@settings(max_examples=20)
@given(
    st.lists(st.tuples(FLOATS, FLOATS), max_size=6),
    st.sampled_from([Tolerance(0.5, 0), Tolerance(0, 0.5), Tolerance(1e-9, 1e-9), Tolerance(2, 0)]),
)
def test_tolerances_agree_with_the_reference_and_are_symmetric(values, tolerance):
    ids = list(range(len(values)))
    left = pa.table({"id": ids, "x": pa.array([a for a, _ in values], pa.float64())})
    right = pa.table({"id": ids, "x": pa.array([b for _, b in values], pa.float64())})
    found = compared(left, right, tolerance=tolerance)
    expected = reference_by_key(left, right, ["id"], tolerance)["changed"]
    assert found.changed == expected
    assert compared(right, left, tolerance=tolerance).changed == expected


# ---------------------------------------------------------------- keys


def test_a_key_is_found_by_its_name_and_its_values():
    left = pa.table({"zone": [1, 1, 2], "trip_id": [3, 1, 2], "x": [1.0, 2.0, 3.0]})
    right = pa.table({"zone": [1, 1, 2], "trip_id": [1, 2, 3], "x": [2.0, 3.5, 1.0]})
    found = compared(left, right)
    assert (found.key, found.key_found, found.changed) == (("trip_id",), True, 2)
    changes = {change.column: change for change in found.columns}
    assert changes["x"].rows == 1
    assert changes["x"].max_abs == 0.5
    assert changes["x"].examples[0].key == {"trip_id": 2}


def test_several_columns_together_are_found_as_a_key():
    rows = {"origin": [1, 1, 2, 2], "destination": [1, 2, 1, 2]}
    left = pa.table(rows | {"time": [1.0, 2.0, 3.0, 4.0]})
    right = pa.table(rows | {"time": [1.0, 2.0, 3.0, 5.0]})
    found = compared(left, right)
    assert (found.key, found.key_found) == (("origin", "destination"), True)
    assert found.columns[0].examples[0].key == {"origin": 2, "destination": 2}


def test_without_a_key_rows_are_sets_and_the_result_says_so():
    left = pa.table({"x": [1.0, 1.0, 2.0]})
    found = compared(left, pa.table({"x": [1.0, 2.0, 2.0]}))
    assert (found.how, found.added, found.removed, found.key) == ("sets", 1, 1, ())
    assert "no key was found" in found.notes[0]
    assert found.added_examples == ({"x": 2.0},)


@pytest.mark.parametrize(
    ("left", "right", "sides"),
    [
        ([1, 1, 2], [1, 2, 3], "left"),
        ([1, 2, 3], [2, 2, 1], "right"),
        ([5, 5, 1], [1, 2, 3], "left"),  # the value is on one side only
        ([1, 1], [1, 1], "left table and"),
    ],
)
def test_a_key_with_duplicates_is_told_and_rows_are_sets(left, right, sides):
    found = compared(pa.table({"id": left}), pa.table({"id": right}), on=("id",))
    assert found.how == "sets"
    assert "(id) is no key" in found.notes[0]
    assert sides in found.notes[0]
    expected = reference_as_sets(pa.table({"id": left}), pa.table({"id": right}))
    assert {"added": found.added, "removed": found.removed} == expected


def test_a_key_that_all_rows_share_does_not_multiply_them():
    one = pa.table({"id": pa.array([1] * 30_000), "x": list(range(30_000))})
    found = compared(one, one, on=("id",))  # 900 million pairs, if it did
    assert (found.how, found.same) == ("sets", True)
    assert "30,000 rows share one value" in found.notes[0]


def test_a_key_column_that_a_table_lacks_is_an_error():
    with pytest.raises(UsageError, match="'b' is not in both tables") as caught:
        compared(pa.table({"a": [1]}), pa.table({"a": [1], "b": [1]}), on=("b",))
    assert caught.value.__notes__ == ["both have a"]


# ---------------------------------------------------------------- columns


def test_columns_added_removed_retyped_and_moved_are_told():
    left = pa.table({"id": [1], "a": [1], "b": ["x"], "gone": [1]})
    right = pa.table({"b": ["x"], "id": [1], "a": [1.0], "new": [True]})
    changes = {(c.name, c.kind): (c.left, c.right) for c in compared(left, right).schema}
    assert changes == {
        ("a", "retyped"): ("BIGINT", "DOUBLE"),
        ("gone", "removed"): ("BIGINT", None),
        ("new", "added"): (None, "BOOLEAN"),
        ("b", "moved"): ("3", "1"),
    }
    assert compared(left, right).changed == 0


def test_whole_numbers_and_floats_are_compared_exactly_beyond_53_bits():
    left = pa.table({"id": [1, 2, 3], "x": pa.array([2**53 + 1, 2**53, 5], pa.int64())})
    right = pa.table({"id": [1, 2, 3], "x": pa.array([2.0**53, 2.0**53, 5.5], pa.float64())})
    assert compared(left, right).changed == 2
    largest = pa.table({"id": [1], "x": pa.array([2**63 - 1], pa.int64())})
    least = pa.table({"id": [1], "x": pa.array([-(2**63)], pa.int64())})
    assert compared(largest, least).columns[0].max_abs == float(2**64)


def test_times_of_other_precision_are_compared_exactly():
    times = [datetime(2020, 1, 1, 0, 0, 0, 500_000, UTC), datetime(2020, 1, 2, tzinfo=UTC)]
    left = pa.table({"id": [1, 2], "t": pa.array(times, pa.timestamp("us"))})
    right = pa.table({"id": [1, 2], "t": pa.array(times, pa.timestamp("ns"))})
    assert compared(left, right).changed == 0
    later = pa.table(
        {
            "id": [1, 2],
            "t": pa.array([times[0], datetime(2020, 1, 3, tzinfo=UTC)], pa.timestamp("ms")),
        }
    )
    change = compared(left, later).columns[0]
    assert (change.rows, change.max_abs, change.unit) == (1, 86_400.0, "seconds")


def test_empty_tables():
    empty = pa.table({"id": pa.array([], pa.int64()), "x": pa.array([], pa.string())})
    one = pa.table({"id": pa.array([1], pa.int64()), "x": ["a"]})
    assert compared(empty, empty).same
    for on in (None, ("id",), ()):
        found = compared(empty, one, on=on)
        assert (found.added, found.removed, found.rows) == (1, 0, (0, 1))


def test_without_examples_counts_are_the_same():
    left, right = pa.table({"id": [1, 2], "x": [1, 2]}), pa.table({"id": [1, 3], "x": [5, 2]})
    found = compared(left, right, examples=0)
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert found.columns[0].examples == found.added_examples == ()


def test_memory_is_bounded_and_what_does_not_fit_goes_to_files(monkeypatch):
    monkeypatch.setattr("consist.comparison.tables.MEMORY", 96 << 20)
    with workbench() as connection:
        sides = []
        for name, change in (("left", 0), ("right", 1)):
            rows = connection.sql(
                "SELECT i AS id, repeat('x', 60) || i AS a, repeat('y', 60) || (i * 7) AS b,"
                f" CASE WHEN i % 1000 = 0 THEN {change} ELSE 2 END AS c FROM range(400000) t(i)"
            )
            sides.append(taken(name, rows, copied=True))
        found = compare_tables(connection, *sides, TableOptions())
    assert (found.rows, found.changed, found.columns[0].rows) == ((400_000,) * 2, 400, 400)


def test_a_connection_is_closed_with_its_folder():
    with workbench() as connection:
        folder = connection.sql("SELECT current_setting('temp_directory')").fetchall()[0][0]
    assert not Path(folder).exists()
    with pytest.raises(duckdb.ConnectionException):
        connection.sql("SELECT 1")
