"""What rows may come from: files of several formats, frames, streams, nested records, dlt."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from consist import Tracker
from consist.errors import (
    ColumnConflict,
    MissingExtra,
    StoreLocked,
    UnsupportedFormat,
    UsageError,
)
from consist.formats.base import BaseDriver, Kind
from tests.unit.store.children import holding

if TYPE_CHECKING:
    from consist.models.artifact import Artifact


def ask(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    with tracker.store.ask() as connection:
        return connection.execute(statement).fetchall()


def staged(tracker: Tracker) -> list[str]:
    folder = Path(f"{tracker.db_path}.journal/rows")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def artifact(tracker: Tracker, raw: Path) -> Iterator[Artifact]:
    with tracker.start_run("make", model="make"):
        yield tracker.log_artifact(raw, key="raw")


def test_json_files_are_tables(tracker: Tracker, here: Path) -> None:
    # ING-002
    rows = [{"id": 1, "d": "2030-01-01", "tags": ["a", "b"]}, {"id": 2.5, "late": True}]
    (here / "list.json").write_text(json.dumps(rows))
    (here / "lines.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with gzip.open(here / "packed.json.gz", "wt") as file:
        json.dump(rows, file)
    with tracker.start_run("r", model="m"):
        for name in ("list.json", "lines.json", "packed.json.gz"):
            key = name.partition(".")[0]
            result = tracker.ingest(tracker.log_artifact(name, key=key))
            assert result is not None
            assert result.columns["id"] == "DOUBLE", "types fit every row"
            found = ask(
                tracker, f"SELECT id, CAST(d AS VARCHAR), tags, late FROM global_tables.{key}"
            )
            assert found == [(1.0, "2030-01-01", ["a", "b"], None), (2.5, None, None, True)]


def test_json_that_holds_no_records_is_refused(tracker: Tracker, here: Path) -> None:
    (here / "t.json").write_text("[1, 2]")
    (here / "broken.json").write_text('[{"a": 1}, {"a"')
    with tracker.start_run("r", model="m"):
        for name in ("t.json", "broken.json"):
            with pytest.raises(UnsupportedFormat, match=name):
                tracker.ingest(tracker.log_artifact(name, key="j"))
    assert staged(tracker) == []


def test_a_folder_of_parquet_files_has_the_columns_of_its_names(
    tracker: Tracker, here: Path
) -> None:
    for year, table in ((2030, {"a": [1, 2]}), (2040, {"a": [3], "b": ["x"]})):
        folder = here / f"hive/year={year}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table(table), folder / "part[0].parquet")
    (here / "empty").mkdir()
    with tracker.start_run("r", model="m"):
        tracker.ingest(tracker.log_artifact("hive", key="hive", driver="parquet"))
        with pytest.raises(UnsupportedFormat, match="no Parquet file"):
            tracker.ingest(tracker.log_artifact("empty", key="empty", driver="parquet"))
    found = ask(tracker, "SELECT a, b, year FROM global_tables.hive ORDER BY a")
    assert found == [(1, None, 2030), (2, None, 2030), (3, "x", 2040)]


class _Words(BaseDriver):
    name = "words"
    suffixes = (".words",)
    kind: Kind = "table"
    lazy = True

    def relation(self, connection: Any, path: Any, **options: Any) -> Any:
        if not self.lazy:
            return super().relation(connection, path, **options)
        return connection.sql("SELECT unnest(?) AS word", params=[Path(path).read_text().split()])

    def frame(self, path: Any, *, connection: Any = None, **options: Any) -> Any:
        return pd.DataFrame({"word": Path(path).read_text().split()})


@pytest.mark.parametrize("lazy", [True, False])
def test_other_drivers_of_tables_are_read(
    tracker: Tracker, here: Path, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = _Words()
    driver.lazy = lazy
    known = tracker.formats.driver
    monkeypatch.setattr(
        tracker.formats, "driver", lambda name: driver if name == "words" else known(name)
    )
    (here / "t.words").write_text("to be or")
    with tracker.start_run("r", model="m"):
        tracker.ingest(tracker.log_artifact("t.words", key="w", driver="words"))
    assert ask(tracker, "SELECT list(word) FROM global_tables.w") == [(["to", "be", "or"],)]


def test_frames_of_other_libraries_and_arrow_data(
    tracker: Tracker, artifact: Artifact, here: Path
) -> None:
    table = pa.table({"a": [1, 2], "s": [{"x": 1}, None]})
    pq.write_table(table, here / "t.parquet")
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    expected = [(1,), (2,)]
    for data in (
        frame,
        frame.lazy().filter(pl.col("a") > 0),
        table,
        table.to_reader(),
        ds.dataset(here / "t.parquet"),
        ds.dataset(here / "t.parquet").scanner(columns=["a"]),
        duckdb.sql("SELECT unnest([1, 2]) AS a"),
        (part for part in (frame[:1], frame[1:])),
    ):
        tracker.ingest(artifact, data)
        assert ask(tracker, "SELECT a FROM global_tables.raw") == expected
    tracker.ingest(artifact, table)
    assert ask(tracker, "SELECT s.x FROM global_tables.raw") == [(1,), (None,)]


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        (pd.DataFrame({("a", "b"): [1], ("a", "c"): [2]}), ["('a', 'b')", "('a', 'c')"]),
        (pd.DataFrame({1: [1], 2: [2]}), ["1", "2"]),
        (
            pd.DataFrame({"v": [1]}, index=pd.DatetimeIndex(["2030-01-01"])),
            ["v", "__index_level_0__"],
        ),
        (
            pd.DataFrame(
                {"v": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)], names=["p", None])
            ),
            ["v", "p", "__index_level_1__"],
        ),
        (
            pd.DataFrame({"a": [1], "A": [2], "consist_run_id": ["x"]}),
            ["a", "A_1", "consist_run_id_1"],
        ),
    ],
)
def test_frames_with_odd_names_keep_their_columns(
    tracker: Tracker, artifact: Artifact, frame: pd.DataFrame, columns: list[str]
) -> None:
    result = tracker.ingest(artifact, frame)
    assert result is not None
    assert list(result.columns) == columns
    back = tracker.load_df(artifact, db_fallback="always") if not artifact.path.exists() else None
    assert back is None or back.equals(frame)


def test_lists_of_plain_values_are_columns(tracker: Tracker, artifact: Artifact) -> None:
    tracker.ingest(artifact, [{"a": 1, "l": [1, 2]}, {"a": 2, "l": []}, {"a": 3}])
    assert ask(tracker, "SELECT l FROM global_tables.raw") == [([1, 2],), ([],), (None,)]


@pytest.mark.parametrize("nested", [False, True])
def test_a_generator_that_raises_leaves_nothing(
    tracker: Tracker, artifact: Artifact, nested: bool
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for number in range(50_010):
            yield {"n": [{"a": number}] if nested else number}
            if nested:
                break
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tracker.ingest(artifact, rows())
    with pytest.raises(UsageError, match="no rows"):
        tracker.ingest(artifact, iter(()))
    assert staged(tracker) == []
    assert not artifact.meta.get("is_ingested")


# ---------------------------------------------------------------- records inside records, dlt


def test_records_inside_records_become_tables(
    tracker: Tracker, artifact: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    rows = ({"id": i} for i in range(50_001))
    deep = {"id": -1, "who": {"age": 3}, "legs": [{"m": "car"}, {"m": "bus", "stops": [{"n": 7}]}]}
    result = tracker.ingest(artifact, (row for part in (rows, [deep]) for row in part))
    assert result is not None
    assert result.rows == 50_002, "rows before the first nested one are there as well"
    assert result.children == {"raw__legs": 2, "raw__legs__stops": 1}
    joined = (
        "SELECT t.id, t.who__age, l.m, s.n FROM global_tables.raw t"
        " JOIN global_tables.raw__legs l ON l._dlt_parent_id = t._dlt_id"
        " LEFT JOIN global_tables.raw__legs__stops s ON s._dlt_parent_id = l._dlt_id"
        " WHERE t.consist_run_id = 'make' AND s.consist_run_id IS NOT DISTINCT FROM"
        " CASE WHEN s.n IS NOT NULL THEN 'make' END ORDER BY l._dlt_list_idx"
    )
    for _ in range(2):
        assert ask(tracker, joined) == [(-1, 3, "car", None), (-1, 3, "bus", 7)]
        first = "SELECT list(id) = range(50001) || [-1] FROM global_tables.raw"
        assert ask(tracker, first) == [(True,)], "in their order"
        assert tracker.store.sync()
    tracker.ingest(artifact, [{"id": 1}])
    assert ask(tracker, "SELECT count(*) FROM global_tables.raw__legs") == [(0,)]
    assert tracker.store.sync()
    assert ask(tracker, "SELECT count(*) FROM global_tables.raw__legs") == [(0,)]
    assert staged(tracker) == []
    assert os.listdir(tmp_path / "home") == []  # noqa: PTH208


def test_sources_of_dlt(tracker: Tracker, artifact: Artifact, capfd: Any) -> None:
    import dlt

    @dlt.resource(name="trips")
    def trips() -> Iterator[Any]:
        yield [{"id": 1, "legs": [{"m": "car"}]}, {"id": 2}]

    @dlt.source
    def both() -> Any:
        return [trips, dlt.resource([{"zone": 9}], name="zones")]

    active = dlt.pipeline("mine", pipelines_dir=str(Path.cwd() / "dlt"))
    assert tracker.ingest(artifact, trips()) is not None
    assert ask(tracker, "SELECT m FROM global_tables.raw__legs") == [("car",)]
    result = tracker.ingest(artifact, both())
    assert result is not None
    assert (result.rows, result.children) == (2, {"raw__legs": 1, "raw__zones": 1})
    assert ask(tracker, "SELECT zone, consist_run_id FROM global_tables.raw__zones") == [
        (9, "make")
    ]
    assert dlt.current.pipeline() is active, "the user's own pipeline stays the active one"
    assert capfd.readouterr().out == ""


def test_without_dlt_the_extra_is_named(
    tracker: Tracker, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(MissingExtra, match=r"consist\[ingest\]"):
        tracker.ingest(artifact, [{"a": {"b": 1}}])
    assert staged(tracker) == []


# ---------------------------------------------------------------- columns that change


def made(tracker: Tracker, number: int, data: Any) -> Artifact:
    Path(f"{number}.csv").write_text(f"x\n{number}\n")
    with tracker.start_run(f"r{number}", model="m"):
        artifact = tracker.log_artifact(f"{number}.csv", key="t")
        tracker.ingest(artifact, data)
    return artifact


def test_a_column_that_cannot_be_one_is_refused(tracker: Tracker, here: Path) -> None:
    first = made(tracker, 1, [{"v": 1, "empty": None}])
    record = pa.table({"v": [{"a": 1}]})
    with pytest.raises(ColumnConflict, match=r"column 'v' of table 't' is BIGINT.*STRUCT\(a BIG"):
        made(tracker, 2, record)
    with tracker.start_run("r3", model="m"):
        other = tracker.log_artifact("2.csv", key="t")
    with pytest.raises(ColumnConflict):  # also by what is in the database
        tracker.ingest(other, record)
    assert not [name for name in staged(tracker) if name.startswith(".")]
    assert ask(tracker, "SELECT v FROM global_tables.t") == [(1,)]
    made(tracker, 4, pa.table({"empty": [[1, 2]]}))
    tracker.ingest(first, record)  # what it replaces is no obstacle
    assert ask(tracker, "SELECT v, empty FROM global_tables.t ORDER BY v.a") == [
        ({"a": 1}, None),
        (None, [1, 2]),
    ]


def test_rows_that_were_refused_or_replaced_are_no_obstacle(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ING-002
    monkeypatch.setenv("CONSIST_LOCK_WAIT", "0.3")
    record, plain = pa.table({"v": [{"a": 1}]}), pa.table({"v": [1]})
    Path("0.csv").write_text("x\n0\n")
    with Tracker(here / "runs", here / "db.duckdb") as tracker:
        with tracker.start_run("r0", model="m"):
            refused = tracker.log_artifact("0.csv", key="t")
        tracker.store.sync()
        with holding(here, read_only=True), pytest.raises(StoreLocked):
            tracker.ingest(refused, record)
        with tracker.start_run("r1", model="m"), monkeypatch.context() as patch:
            patch.setattr(tracker.store.journal, "append", no_space)
            with pytest.raises(OSError, match="No space"):
                tracker.ingest(refused, record)
        assert staged(tracker) == []
        first = made(tracker, 2, plain)
        tracker.ingest(first, record)
        made(tracker, 3, record)
        assert ask(tracker, "SELECT v FROM global_tables.t") == [({"a": 1},)] * 2


def no_space(_payload: bytes) -> tuple[str, int]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_conflict_that_nobody_could_know_loses_no_row(
    tracker: Tracker, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.hot.conflicts._known", lambda *_: {})  # as in two processes
    tables = [pa.table({"v": [1, 2]}), pa.table({"v": [{"a": 1}]}), pa.table({"v": [["x"]]})]
    artifacts = [made(tracker, number, data) for number, data in enumerate(tables)]
    seen = "SELECT v, v__struct, v__list_of_plain FROM global_tables.t ORDER BY ALL"
    for _ in range(2):
        assert ask(tracker, seen) == [
            (1, None, None),
            (2, None, None),
            (None, {"a": 1}, None),
            (None, None, ["x"]),
        ]
        for artifact, data in zip(artifacts, tables, strict=True):
            with tracker.store.rows_of(str(artifact.id)) as found:
                assert found is not None
                rows = found.connection.execute(found.table).fetchall()
                assert [row[0] for row in rows] == data.column("v").to_pylist()
        assert tracker.store.sync()
    assert not list(Path(f"{tracker.db_path}.journal").glob("damaged/*"))
