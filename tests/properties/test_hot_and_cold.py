"""The same rows, wherever they lie: in a file, staged, stored, exported, and made a file again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from consist import Tracker
from consist.errors import ColumnConflict, UnsupportedFormat
from consist.hot import rows

if TYPE_CHECKING:
    from consist.models.artifact import Artifact

# ---------------------------------------------------------------- tables

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=6)
_ODD_TEXT = st.sampled_from(["", " ", '"', "''", "a,b", "x\ny", "NULL", "nan", "007", "é", "🚲"])
_INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, 0])
_FLOATS = st.floats() | st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0])
_TIMES = st.datetimes(min_value=pd.Timestamp(1700, 1, 1), max_value=pd.Timestamp(2200, 1, 1))
_SCALARS: dict[Any, Any] = {
    pa.int64(): _INTEGERS,
    pa.int8(): st.integers(-128, 127),
    pa.float64(): _FLOATS,
    pa.string(): _TEXT | _ODD_TEXT,
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): _TIMES,
    pa.null(): st.none(),
}
_OTHERS: dict[Any, Any] = {
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.timestamp("us", "UTC"): st.builds(lambda t: t.replace(tzinfo=UTC), _TIMES),
    pa.decimal128(12, 3): st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 1000),
    pa.list_(pa.int32()): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["x", "y", ""]),
}
_NAMES = st.sampled_from(
    ["a", "A", "b c", 'q"', "ä", "select", "consist_run_id", "Consist_Year", "_dlt_id", "1st"]
)


@st.composite
def tables(draw: st.DrawFn, kinds: dict[Any, Any]) -> pa.Table:
    names = draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True))
    length = draw(st.integers(0, 5))
    columns = []
    for _ in names:
        kind = draw(st.sampled_from(list(kinds)))
        sparse = kinds[kind] if draw(st.booleans()) else st.none() | kinds[kind]
        values = draw(st.lists(sparse, min_size=length, max_size=length))
        columns.append(pa.array(values, kind))
    return pa.table(columns, names=names)


# ---------------------------------------------------------------- sources


class Source(NamedTuple):
    """How rows get in: what kinds they may have, the file they are logged with, the data."""

    kinds: dict[Any, Any]
    suffix: str = "parquet"
    data: Callable[[pa.Table], Any] | None = None
    exact: bool = True
    """Whether reading a Parquet file of the table gives what was handed over."""


_PLAIN = {kind: values for kind, values in _SCALARS.items() if kind != pa.null()}
SOURCES = {
    "parquet": Source({**_SCALARS, **_OTHERS}),
    "csv": Source(_SCALARS, "csv"),
    "arrow": Source({**_SCALARS, **_OTHERS}, data=lambda table: table),
    "pandas": Source(_SCALARS, data=lambda table: table.to_pandas(), exact=False),
    "polars": Source(_PLAIN, data=pl.from_arrow, exact=False),
    "dicts": Source(_PLAIN, data=lambda table: iter(table.to_pylist()), exact=False),
}


def write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".csv":
        table.to_pandas(integer_object_nulls=True).to_csv(path, index=False)
    else:
        pq.write_table(table, path)


# ---------------------------------------------------------------- reading


class Seen(NamedTuple):
    """Everything that reading gives, so that two readings can be compared to the last bit."""

    frame: pd.DataFrame
    columns: list[str]
    types: list[str]
    values: str


def see(tracker: Tracker, artifact: Artifact) -> Seen:
    with tracker.load_relation(artifact, db_fallback="always") as relation:
        values = repr(relation.fetchall())
        return Seen(
            tracker.load_df(artifact, db_fallback="always"),
            list(relation.columns),
            [str(kind) for kind in relation.dtypes],
            values,
        )


def check(seen: Seen, expected: Seen) -> None:
    assert seen[1:] == expected[1:]
    pd.testing.assert_frame_equal(seen.frame, expected.frame, check_exact=True)
    for name in range(len(seen.columns)):
        left, right = seen.frame.iloc[:, name], expected.frame.iloc[:, name]
        assert [type(v) for v in left] == [type(v) for v in right]


@contextmanager
def hidden(path: Path) -> Iterator[None]:
    """Let a file be gone for a while."""
    aside = path.with_name(f"hidden-{path.name}")
    path.rename(aside)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)


# ---------------------------------------------------------------- the test

_numbers = itertools.count()


class World(NamedTuple):
    tracker: Tracker
    elsewhere: Tracker
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("hot")
    with (
        Tracker(folder / "runs", folder / "p.duckdb") as tracker,
        Tracker(folder / "other", folder / "o.duckdb") as elsewhere,
    ):
        # The first rows that a database gets are none of this comparison's business.
        with tracker.start_run("first", model="make"):
            tracker.ingest(tracker.log_dataframe(pd.DataFrame({"a": [1]}), key="first"))
        tracker.store.sync()
        yield World(tracker, elsewhere, folder)


class Case(NamedTuple):
    """One table that went in by one source."""

    source: Source
    table: pa.Table
    path: Path
    artifact: Artifact


def agree(world: World, tables: dict[str, pa.Table], *, offline: bool) -> None:
    """Compare rows read cold with the same rows read hot, in every state that they pass."""
    tracker, number = world.tracker, next(_numbers)
    run_id, expected = f"run{number}", dict[str, Seen]()
    with tracker.start_run(run_id, model="make", config={"n": number}):
        cases = list(logged(tracker, tables, world.folder / run_id))
        if not offline:
            cases = [case for case in cases if take_in(tracker, case, expected)]
            check_hot(tracker, cases, expected)
    if offline:
        cases = [case for case in cases if take_in(tracker, case, expected)]
    check_hot(tracker, cases, expected)
    tracker.store.sync()
    check_hot(tracker, cases, expected)
    shard = world.folder / f"{run_id}.duckdb"
    tracker.export_db(run_id, shard, include_data=True)
    world.elsewhere.merge_db(shard)
    check_hot(world.elsewhere, cases, expected)
    for case in cases:
        assert_as_given(case.source, case.table, expected[case.artifact.key])
        with hidden(case.path):
            rows.restore(tracker, case.artifact.to_record(), case.path)
            if case.source.data is None:
                check(see(tracker, case.artifact), expected[case.artifact.key])


def logged(tracker: Tracker, tables: dict[str, pa.Table], folder: Path) -> Iterator[Case]:
    folder.mkdir()
    for key, table in tables.items():
        source = SOURCES[key]
        if key == "dicts" and not table.num_rows:
            continue  # without a row there are no columns, and that is an error
        path = folder / f"{key}.{source.suffix}"
        write(table, path)
        artifact = tracker.log_artifact(path, key=key)
        try:
            tracker.load_df(artifact)
        except UnsupportedFormat:
            assert source.suffix == "csv"
            continue  # what a reader takes for no table cannot be ingested either
        yield Case(source, table, path, artifact)


def take_in(tracker: Tracker, case: Case, expected: dict[str, Seen]) -> bool:
    """Ingest the rows, unless they cannot share a table; note what reading them should give."""
    seen = see(tracker, case.artifact)
    try:
        tracker.ingest(
            case.artifact, None if case.source.data is None else case.source.data(case.table)
        )
    except ColumnConflict:  # lists and numbers of one name, from two draws
        return False
    if not case.source.exact:
        with hidden(case.path):  # what was handed over has types of its own
            seen = see(tracker, case.artifact)
    expected[case.artifact.key] = seen
    return True


def check_hot(tracker: Tracker, cases: list[Case], expected: dict[str, Seen]) -> None:
    for case in cases:
        with hidden(case.path):
            found = tracker.get_artifact(case.artifact.id)
            assert found is not None
            check(see(tracker, found), expected[found.key])


def assert_as_given(source: Source, table: pa.Table, seen: Seen) -> None:
    """What was handed over as data came in as it was: columns in order, values, nulls."""
    if source.data is None:
        return
    names = list(table.column_names)
    assert [name for name in seen.frame.columns if name != "index"] == names
    for place, name in enumerate(names):
        values = table.column(place).to_pandas()
        assert seen.frame.iloc[:, place].isna().tolist() == values.isna().tolist(), name


def _campaign(world: World, examples: int, **how: Any) -> None:
    drawn = st.fixed_dictionaries({key: tables(source.kinds) for key, source in SOURCES.items()})

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), **how)
    @given(drawn=drawn, offline=st.booleans())
    def compare(drawn: dict[str, pa.Table], offline: bool) -> None:
        agree(world, drawn, offline=offline)

    compare()


def test_rows_read_hot_cold_and_rebuilt_are_equal(world: World) -> None:
    # ING-001, ING-002, ING-003, ING-010
    _campaign(world, 2, derandomize=True, phases=[Phase.generate])


@pytest.mark.slow
def test_many_rows_read_hot_cold_and_rebuilt_are_equal(world: World) -> None:
    _campaign(world, 300)
