"""JSON: documents stay documents, records become tables."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from consist.errors import UnsupportedFormat, UsageError
from consist.formats.json import JsonDriver

JSON = JsonDriver()


def written(folder: Path, content: object) -> Path:
    path = folder / "t.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("document", [{"a": {"b": 1}}, [], [1, 2], "text", None, 3.5])
def test_a_document_loads_as_it_is(tmp_path: Path, document: object) -> None:
    assert JSON.load(written(tmp_path, json.dumps(document))) == document


def test_records_load_as_a_frame_with_the_types_of_the_file(tmp_path: Path) -> None:
    records = [{"code": "007", "date": 5, "x": 1.5}, {"code": "1", "date": 6, "x": None}]
    loaded = JSON.load(written(tmp_path, records))
    expected = pd.DataFrame({"code": ["007", "1"], "date": [5, 6], "x": [1.5, float("nan")]})
    assert_frame_equal(loaded, expected)


def test_one_object_a_line_is_a_table(tmp_path: Path) -> None:
    assert JSON.frame(written(tmp_path, '{"a": 1}\n\n{"a": 2}\n'))["a"].tolist() == [1, 2]


def test_options_of_pandas_say_how_a_document_is_a_table(tmp_path: Path) -> None:
    path = written(tmp_path, {"columns": ["a"], "index": ["r"], "data": [["1"]]})
    assert JSON.load(path, orient="split").loc["r", "a"] == "1"
    assert JSON.frame(path, orient="split", dtype=True).loc["r", "a"] == 1
    with duckdb.connect() as connection:
        assert JSON.relation(connection, path, orient="split").fetchall() == [("1",)]


def test_a_document_is_no_table_by_itself(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match="no records"):
        JSON.frame(written(tmp_path, {"a": 1}))


def test_an_empty_list_is_an_empty_table(tmp_path: Path) -> None:
    JSON.write(pd.DataFrame(), tmp_path / "t.json")
    assert JSON.frame(tmp_path / "t.json").empty


def test_columns_and_rows_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    assert JSON.frame(path, columns=["b"], nrows=1).to_dict("list") == {"b": [2]}
    with duckdb.connect() as connection:
        assert JSON.relation(connection, path, columns=["b"], nrows=1).fetchall() == [(2,)]
    with pytest.raises(UnsupportedFormat, match=r"t\.json.*'c'"):
        JSON.frame(path, columns=["c"])


def test_several_files_are_one_table(tmp_path: Path) -> None:
    one, two = tmp_path / "one[1].json", tmp_path / "two.json.gz"
    JSON.write([{"a": 1}], one)
    JSON.write([{"a": 2, "b": "x"}], two)
    with duckdb.connect() as connection:
        scan = JSON.scan([one, two], filename="f")
        rows = connection.sql(f"SELECT a, b, f FROM {scan} ORDER BY a").fetchall()
    assert rows == [(1, None, str(one)), (2, "x", str(two))]


def test_columns_are_described(tmp_path: Path) -> None:
    described = JSON.describe(written(tmp_path, [{"a": 1, "b": "x"}]))
    assert described["columns"] == {"a": "BIGINT", "b": "VARCHAR"}


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": object()}, [{1, 2}]])
def test_what_json_cannot_hold_says_why(tmp_path: Path, value: object) -> None:
    with pytest.raises(UnsupportedFormat, match=r"write .*t\.json: .*JSON"):
        JSON.write(value, tmp_path / "t.json")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'delimiter'"):
        JSON.load(written(tmp_path, []), delimiter=",")


def test_endless_nesting_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match=r"t\.json"):
        JSON.load(written(tmp_path, "[" * 200_000))
