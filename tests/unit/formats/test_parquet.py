"""Parquet: frames come back as they went in."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from consist.errors import UnsupportedFormat, UsageError
from consist.formats.parquet import ParquetDriver

PARQUET = ParquetDriver()


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zone": pd.array([1, None, 3], dtype="Int64"),
            "mode": pd.Categorical(["car", "bus", "car"]),
            "when": pd.to_datetime(["2030-01-01"] * 3).tz_localize("UTC"),
            "list": [[1, 2], [], [3]],
        },
        index=pd.Index(["a", "b", "c"], name="id"),
    )


def test_a_frame_reads_back_equal_with_its_index_and_types(tmp_path: Path) -> None:  # ART-031
    path = tmp_path / "t.parquet"
    PARQUET.write(frame().drop(columns="list"), path)
    assert_frame_equal(PARQUET.frame(path), frame().drop(columns="list"))


def test_an_unnamed_index_reads_back_too(tmp_path: Path) -> None:
    kept = pd.DataFrame({"a": [1, 2, 3, 4]}).loc[[3, 1]]
    PARQUET.write(kept, tmp_path / "t.parquet")
    assert_frame_equal(PARQUET.frame(tmp_path / "t.parquet"), kept)


def test_options_reach_to_parquet(tmp_path: Path) -> None:  # ART-032
    path = tmp_path / "t.parquet"
    PARQUET.write(frame(), path, index=False, compression="gzip")
    assert "id" not in PARQUET.frame(path).columns
    with duckdb.connect() as connection:
        used = connection.sql(f"SELECT compression FROM parquet_metadata('{path}')").fetchall()
    assert set(used) == {("GZIP",)}


@pytest.mark.parametrize("nrows", [0, 1, 5, 250, 10_000])
def test_the_first_rows_keep_types_and_order(tmp_path: Path, nrows: int) -> None:
    whole = pd.DataFrame({"a": range(1000), "b": pd.Categorical(["x", "y"] * 500)})
    whole.to_parquet(tmp_path / "t.parquet", row_group_size=100)
    head = PARQUET.frame(tmp_path / "t.parquet", nrows=nrows)
    assert_frame_equal(head, whole.head(nrows), check_index_type=False, check_categorical=False)


def test_a_folder_called_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "year=2030" / "t.parquet"
    path.parent.mkdir()
    PARQUET.write(pd.DataFrame({"a": [1]}), path)
    assert list(PARQUET.frame(path).columns) == ["a"]
    with duckdb.connect() as connection:
        assert PARQUET.relation(connection, path).columns == ["a"]


def test_the_suffix_of_gzip_is_known(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet.gz"
    PARQUET.write(pd.DataFrame({"a": [1]}), path)
    assert PARQUET.frame(path)["a"].tolist() == [1]


def test_the_footer_tells_columns_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    PARQUET.write(frame(), path, index=False)
    described = PARQUET.describe(path)
    assert described["rows"] == 3
    assert described["columns"]["zone"] == "BIGINT"
    assert described["columns"]["list"] == "BIGINT[]"


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    mixed = pd.DataFrame({"a": [1, "x"]})
    with pytest.raises(UnsupportedFormat, match=r"mixed\.parquet.*convert"):
        PARQUET.write(mixed, tmp_path / "mixed.parquet")


def test_reading_takes_no_other_options(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'sep'"):
        PARQUET.frame(tmp_path / "t.parquet", sep=";")


def test_relations_stay_when_the_current_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    PARQUET.write(pd.DataFrame({"a": [1]}), "t.parquet")
    with duckdb.connect() as connection:
        relation = PARQUET.relation(connection, "t.parquet")
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert relation.fetchall() == [(1,)]
