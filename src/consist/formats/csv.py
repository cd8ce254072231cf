"""Comma-separated text, plain or gzipped."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from consist.errors import UsageError, a_kind
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

_OPTIONS = ("columns", "nrows", "delimiter", "sep", "header", "encoding", "sample_rows")
_DELIMITERS = ",;\t|"
_QUOTED = re.compile('"(?:[^"]|"")*"')
_LONGEST_HEADER = 1 << 20


class CsvDriver(BaseDriver):
    """Tables in CSV, read by DuckDB, so that relations, frames and views agree on types.

    The delimiter is the first of comma, semicolon, tab and bar that the first line contains.
    Columns of numbers, dates and truth values get those types; numbers with leading zeros stay
    text; whole numbers beyond 64 bits are Python's in a frame. Reading takes

    ``columns``, ``nrows``
        names to read; the first so many rows;
    ``delimiter`` or ``sep``
        one character;
    ``header``
        whether the first line has the names (default true); otherwise they are ``column0`` and
        so on;
    ``encoding``
        UTF-8 by default;
    ``sample_rows``
        rows from which types are inferred (default 20,480); -1 reads the file twice and is
        never wrong.

    Writing hands its options to ``DataFrame.to_csv``. Unless ``index`` is among them, the index is
    written if it has a name and left out if not.
    """

    name = "csv"
    suffixes = (".csv", ".csv.gz")
    kind: Kind = "table"

    def relation(
        self, connection: DuckDBPyConnection, path: PathLike, **options: Any
    ) -> DuckDBPyRelation:
        """Return the rows as a lazy relation."""
        from duckdb import Error

        check_options(self.name, options, _OPTIONS)
        file = existing_file(self.name, path)
        with reading(self.name, file, Error):
            table = self._table([file], _dialect(file, options))
            return connection.sql(sql.select(table, options.get("columns"), options.get("nrows")))

    def frame(
        self, path: PathLike, *, connection: DuckDBPyConnection | None = None, **options: Any
    ) -> DataFrame:
        """Return the rows of :meth:`relation` as pandas gets them."""
        from duckdb import Error

        with sql.borrowed(connection) as borrowed:
            relation = self.relation(borrowed, path, **options)
            with reading(self.name, existing_file(self.name, path), Error):
                return sql.frame_of(relation)

    def scan(self, paths: Sequence[PathLike], *, filename: str | None = None) -> str:
        """Return a call of ``read_csv``; files of one delimiter are told so."""
        return self.scan_as(paths, {}, filename=filename)

    def scan_as(
        self,
        paths: Sequence[PathLike],
        types: Mapping[str, str],
        *,
        filename: str | None = None,
    ) -> str:
        """Return a call of ``read_csv`` that is told DuckDB's types of columns that are there."""
        delimiters: set[str] = set()
        for file in (existing_file(self.name, path) for path in paths):
            with reading(self.name, file):
                delimiters.add(_delimiter(file))
        arguments = {"union_by_name": "true"}
        if len(delimiters) == 1:
            arguments["delim"] = sql.literal(delimiters.pop())
        if filename is not None:
            arguments["filename"] = sql.literal(filename)
        if types:
            each = (f"{sql.literal(name)}: {sql.literal(kind)}" for name, kind in types.items())
            arguments["types"] = f"{{{', '.join(each)}}}"
        return self._table(paths, arguments)

    def scan_text(self, path: PathLike) -> str:
        """Return a call of ``read_csv`` that gives every field as its text.

        A field that is empty in quotes is an empty text; one that is not there is null.
        """
        file = existing_file(self.name, path)
        as_text = {"all_varchar": "true", "allow_quoted_nulls": "false"}
        with reading(self.name, file):
            return self._table([file], _dialect(file, {}) | as_text)

    def sniff(self, path: PathLike) -> str:
        """Return a call of ``sniff_csv`` with the dialect that the file is read in."""
        file = existing_file(self.name, path)
        with reading(self.name, file):
            dialect = _dialect(file, {}) | {"header": "true", "quote": "'\"'", "escape": "'\"'"}
        return sql.call("sniff_csv", sql.literal(file), dialect)

    def _table(self, paths: Sequence[PathLike], arguments: dict[str, str]) -> str:
        fixed = {
            "header": "true",
            # What DuckDB would otherwise guess, at the risk of skipping lines that do not fit.
            "skip": "0",
            "quote": "'\"'",
            "escape": "'\"'",
            "comment": "''",
            "hive_partitioning": "false",
            **sql.compression(self.name, paths),
        }
        return sql.call("read_csv", sql.file_list(self.name, paths), fixed | arguments)

    def accepts(self, value: object) -> bool:
        """Accept pandas frames and series."""
        return is_frame(value)

    def write(self, value: Any, path: PathLike, **options: Any) -> None:
        """Write a frame with ``DataFrame.to_csv``."""
        if not self.accepts(value):
            raise self._cannot(f"write {a_kind(value)}")
        frame = as_frame(value, stem(path))
        with writing(self.name, path):
            options.setdefault("index", _has_names(frame))
            frame.to_csv(path, **options)

    def describe(
        self, path: PathLike, *, connection: DuckDBPyConnection | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return columns with the types that DuckDB infers from the first rows."""
        from duckdb import Error

        check_options(self.name, options, _OPTIONS)
        file = existing_file(self.name, path)
        with reading(self.name, file, Error), sql.borrowed(connection) as borrowed:
            table = self._table([file], _dialect(file, options))
            return {"columns": sql.columns_of(borrowed, table), "rows": None}


def _dialect(file: str, options: dict[str, Any]) -> dict[str, str]:
    """Return the arguments of ``read_csv`` that the options mean."""
    if options.get("delimiter") and options.get("sep"):
        raise UsageError("delimiter and sep are the same option; pass one")
    encoding = options.get("encoding")
    found = _delimiter(file, encoding)
    delimiter = options.get("delimiter") or options.get("sep") or found
    arguments = {"delim": sql.literal(delimiter)}
    if encoding is not None:
        arguments["encoding"] = sql.literal(encoding)
    if (header := options.get("header")) is not None:
        arguments["header"] = _truth("header", header)
    if (rows := options.get("sample_rows")) is not None:
        arguments["sample_size"] = "-1" if rows == -1 else str(sql.check_rows(rows))
    return arguments


def _delimiter(file: str, encoding: str | None = None) -> str:
    with _opened(file, encoding) as text:
        line = text.readline(_LONGEST_HEADER)
    if not line.strip():
        raise ValueError("it has no header line")
    if "\0" in line:
        raise ValueError("it holds binary data")
    unquoted = _QUOTED.sub("", line)
    return next((delimiter for delimiter in _DELIMITERS if delimiter in unquoted), ",")


def _opened(file: str, encoding: str | None) -> TextIO:
    encoding = encoding or "utf-8"
    if file.lower().endswith(".gz"):
        return gzip.open(file, "rt", encoding=encoding, errors="replace")
    return open(file, encoding=encoding, errors="replace")  # noqa: PTH123


def _truth(option: str, value: object) -> str:
    if isinstance(value, bool) or value in {0, 1}:
        return "true" if value else "false"
    raise UsageError(f"{option}={value!r} is neither True nor False")


def _has_names(frame: DataFrame) -> bool:
    names = [name for name in frame.index.names if name is not None]
    return bool(names) and not set(names) & set(frame.columns)
