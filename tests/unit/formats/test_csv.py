"""CSV: one table, whether it is read as a relation, as a frame or in a view."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from consist.errors import ConsistError, StoreUnwritable, UnsupportedFormat, UsageError
from consist.formats.csv import CsvDriver

CSV = CsvDriver()


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_frame_reads_back_equal(tmp_path: Path) -> None:  # ART-031
    frame = pd.DataFrame(
        {
            "zone": [1, 2, 3],
            "speed": [0.1, 1 / 3, float("nan")],
            "code": ["007", "010", "x"],
            "note": ["ä", 'é,"q"', "two\nlines"],
            "open": [True, False, True],
            "when": pd.to_datetime(["2030-01-01 10:00:00"] * 3),
        }
    )
    CSV.write(frame, tmp_path / "t.csv")
    assert_frame_equal(CSV.frame(tmp_path / "t.csv"), frame)


@pytest.mark.parametrize("index", [False, True])
def test_options_reach_to_csv(tmp_path: Path, index: bool) -> None:  # ART-032
    CSV.write(pd.DataFrame({"a": [1]}), tmp_path / "t.csv", index=index, sep=";")
    expected = ";a\n0;1\n" if index else "a\n1\n"
    assert (tmp_path / "t.csv").read_text() == expected


def test_an_index_is_written_if_it_has_a_name(tmp_path: Path) -> None:
    named = pd.DataFrame({"trips": [5, 6]}, index=pd.Index([10, 20], name="zone"))
    CSV.write(named, tmp_path / "named.csv")
    assert list(CSV.frame(tmp_path / "named.csv").columns) == ["zone", "trips"]
    CSV.write(named.rename_axis(None), tmp_path / "unnamed.csv")
    assert list(CSV.frame(tmp_path / "unnamed.csv").columns) == ["trips"]
    CSV.write(named.rename_axis("trips"), tmp_path / "twice.csv")
    assert list(CSV.frame(tmp_path / "twice.csv").columns) == ["trips"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    path = written(tmp_path, f'"a,;b"{delimiter}c\n1{delimiter}2\n')
    assert CSV.frame(path).to_dict("list") == {"a,;b": [1], "c": [2]}


@pytest.mark.parametrize("option", ["delimiter", "sep"])
def test_a_delimiter_can_be_given(tmp_path: Path, option: str) -> None:
    path = written(tmp_path, "a~b\n1~2\n")
    assert CSV.frame(path, **{option: "~"}).to_dict("list") == {"a": [1], "b": [2]}
    with pytest.raises(UsageError, match="same option"):
        CSV.frame(path, delimiter=",", sep=",")


def test_a_file_without_header_gets_column_names(tmp_path: Path) -> None:
    path = written(tmp_path, "1,2\n3,4\n")
    frame = CSV.frame(path, header=False)
    assert frame.to_dict("list") == {"column0": [1, 3], "column1": [2, 4]}
    with pytest.raises(UsageError, match="header='x'"):
        CSV.frame(path, header="x")


def test_no_line_is_skipped_because_it_does_not_fit(tmp_path: Path) -> None:
    """DuckDB on its own would drop this header and this line that looks like a comment."""
    with pytest.raises(UnsupportedFormat, match="ragged"):
        CSV.frame(written(tmp_path, "a,b\n1,2,3\n", "ragged.csv"))
    frame = CSV.frame(written(tmp_path, "a,b\n#1,2\n3,4\n", "hash.csv"))
    assert frame.to_dict("list") == {"a": ["#1", "3"], "b": [2, 4]}


def test_text_columns_do_not_make_the_header_a_row(tmp_path: Path) -> None:
    assert list(CSV.frame(written(tmp_path, "h1,h2\nx,y\n")).columns) == ["h1", "h2"]


def test_types_can_be_inferred_from_every_row(tmp_path: Path) -> None:
    path = written(tmp_path, "a\n" + "1\n" * 30_000 + "x\n")
    with pytest.raises(ConsistError, match=r"t\.csv"):
        CSV.frame(path)
    assert CSV.frame(path, sample_rows=-1)["a"].iloc[-1] == "x"


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("name\nZürich\n".encode("latin-1"))
    with pytest.raises(UnsupportedFormat, match=r"latin\.csv.*"):
        CSV.frame(path)
    assert CSV.frame(path, encoding="latin-1")["name"].tolist() == ["Zürich"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert list(CSV.frame(path).columns) == ["a", "b"]


def test_a_scan_of_files_with_two_delimiters_reads_both(tmp_path: Path) -> None:
    paths = [written(tmp_path, "a,b\n1,2\n", "x.csv"), written(tmp_path, "a;b\n3;4\n", "y.csv")]
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT a, b FROM {CSV.scan(paths)} ORDER BY a").fetchall()
    assert rows == [(1, 2), (3, 4)]


def test_gzipped_and_plain_files_are_one_table(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    for path, value in ((plain, 1), (zipped, 2)):
        CSV.write(pd.DataFrame({"a": [value]}), path)
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT a FROM {CSV.scan([plain, zipped])} ORDER BY a").fetchall()
    assert rows == [(1,), (2,)]
    hidden = zipped.rename(tmp_path / "b?.csv.gz")
    with pytest.raises(UnsupportedFormat, match="rename"):
        CSV.scan([plain, hidden])


def test_options_cannot_carry_sql(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n")
    with pytest.raises(ConsistError):
        CSV.frame(path, columns=['a" FROM (SELECT 1) --'])
    with pytest.raises(ConsistError):
        CSV.frame(path, delimiter="', header=false) --")
    with pytest.raises(ConsistError):
        CSV.frame(path, encoding="utf-8', header=false) --")
    with pytest.raises(UsageError, match="one name"):
        CSV.frame(path, columns="a")
    with pytest.raises(UsageError, match="empty"):
        CSV.frame(path, columns=[])


def test_a_name_with_wildcard_and_backslash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="rename"):
        CSV.frame(written(tmp_path, "a\n1\n", "a*\\b.csv"))


def test_a_wildcard_in_a_name_never_reads_another_file(tmp_path: Path) -> None:
    written(tmp_path, "a\n2\n", "a1.csv")
    assert CSV.frame(written(tmp_path, "a\n1\n", "a[1].csv"))["a"].tolist() == [1]


def test_a_write_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritable, match="nowhere"):
        CSV.write(pd.DataFrame({"a": [1]}), tmp_path / "nowhere" / "t.csv")
