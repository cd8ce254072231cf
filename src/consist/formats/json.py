"""JSON: documents, and tables as lists of records."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from consist.errors import a_kind
from consist.formats import sql
from consist.formats.base import (
    BaseDriver,
    Kind,
    as_frame,
    check_options,
    existing_file,
    is_frame,
    reading,
    stem,
    writing,
)
from consist.types import PathLike

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from pandas import DataFrame

_OPTIONS = ("columns", "nrows")
_PANDAS = (
    *("orient", "typ", "dtype", "convert_axes", "convert_dates", "keep_default_dates"),
    *("precise_float", "date_unit", "encoding", "encoding_errors", "lines"),
)
_READ: dict[str, Any] = {"dtype": False}
_WRITTEN: dict[str, Any] = {"orient": "records", "date_format": "iso", "double_precision": 15}
_DUMPED: dict[str, Any] = {"indent": 2, "allow_nan": False}


class JsonDriver(BaseDriver):
    """JSON documents; a list of objects, or one object a line, is also a table.

    Reading takes ``columns``, ``nrows`` and the options of ``pandas.read_json``. Unless ``dtype``
    is among them, values keep the types of the file: the text ``"007"`` stays text. Writing a
    frame hands its options to ``DataFrame.to_json``, by default one object a row and 15 digits;
    dicts and lists are written as they are.
    """

    name = "json"
    suffixes = (".json", ".json.gz")
    kind: Kind = "document"

    def load(self, path: PathLike, **options: Any) -> Any:
        """Return a DataFrame of records, or if options are given; else the document."""
        if options:
            return self.frame(path, **options)
        file = existing_file(self.name, path)
        with reading(self.name, file):
            document = _document(file)
        return _table(document) if _holds_records(document) else document

    def frame(
        self,
        path: PathLike,
        *,
        connection: DuckDBPyConnection | None = None,  # noqa: ARG002
        **options: Any,
    ) -> DataFrame:
        """Return the records as a DataFrame.

        Raises
        ------
        UnsupportedFormat
            If the file holds something else, and no option says how it is a table.
        """
        check_options(self.name, options, (*_OPTIONS, *_PANDAS))
        columns, nrows = (options.pop(option, None) for option in _OPTIONS)
        file = existing_file(self.name, path)
        with reading(self.name, file):
            frame = _read_with_pandas(file, options) if options else self._records(file)
            frame = frame if columns is None else frame[list(columns)]
            return frame if nrows is None else frame.head(sql.check_rows(nrows))

    def _records(self, file: str) -> DataFrame:
        document = _document(file)
        if document == [] or _holds_records(document):
            return _table(document)
        raise self._cannot(f"read {file} as a table: it holds no records")

    def relation(
        self, connection: DuckDBPyConnection, path: PathLike, **options: Any
    ) -> DuckDBPyRelation:
        """Return the records as a lazy relation; with options of pandas, as it reads them."""
        from duckdb import Error

        check_options(self.name, options, (*_OPTIONS, *_PANDAS))
        file = existing_file(self.name, path)
        with reading(self.name, file, Error):
            if options.keys() - set(_OPTIONS):
                return connection.from_df(self.frame(file, **options))
            return connection.sql(sql.select(self.scan([file]), **options))

    def scan(self, paths: Sequence[PathLike], *, filename: str | None = None) -> str:
        """Return a call of ``read_json``."""
        arguments = {"union_by_name": "true", "hive_partitioning": "false"}
        arguments |= sql.compression(self.name, paths)
        if filename is not None:
            arguments["filename"] = sql.literal(filename)
        return sql.call("read_json", sql.file_list(self.name, paths), arguments)

    def accepts(self, value: object) -> bool:
        """Accept pandas frames and series, dicts and lists."""
        return isinstance(value, (dict, list)) or is_frame(value)

    def write(self, value: Any, path: PathLike, **options: Any) -> None:
        """Write a frame with ``DataFrame.to_json``, anything else with the standard library."""
        if not self.accepts(value):
            raise self._cannot(f"write {a_kind(value)}")
        with writing(self.name, path):
            if is_frame(value):
                as_frame(value, stem(path)).to_json(path, **_WRITTEN | options)
            else:
                _write_document(value, str(path), options)

    def describe(
        self, path: PathLike, *, connection: DuckDBPyConnection | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return columns and their types as DuckDB reads them, for records."""
        from duckdb import Error

        check_options(self.name, options, ())
        file = existing_file(self.name, path)
        with reading(self.name, file, Error), sql.borrowed(connection) as borrowed:
            return {"columns": sql.columns_of(borrowed, self.scan([file])), "rows": None}


def _document(file: str) -> Any:
    with _opened(file, "rt") as text:
        content = text.read()
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return [json.loads(line) for line in content.splitlines() if line.strip()]


def _holds_records(document: object) -> bool:
    if not isinstance(document, list) or not document:
        return False
    return all(isinstance(row, dict) for row in cast("list[object]", document))


def _table(records: Any) -> DataFrame:
    from pandas import DataFrame

    return DataFrame(records)


def _read_with_pandas(file: str, options: dict[str, Any]) -> DataFrame:
    import pandas as pd

    read = cast("Callable[..., DataFrame]", pd.read_json)
    return read(file, **_READ | options)


def _write_document(value: Any, path: str, options: dict[str, Any]) -> None:
    with _opened(path, "wt") as text:
        try:
            json.dump(value, text, **_DUMPED | options)
        except TypeError as error:
            raise ValueError(str(error)) from error


def _opened(file: str, mode: str) -> TextIO:
    if file.lower().endswith(".gz"):
        return cast("TextIO", gzip.open(file, mode, encoding="utf-8"))
    return cast("TextIO", open(file, mode, encoding="utf-8"))  # noqa: PTH123
