"""Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from consist.errors import a_kind
from consist.formats import footers as footers_
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


class ParquetDriver(BaseDriver):
    """Tables in Parquet, read by DuckDB as relations and by pandas as frames.

    Reading takes ``columns`` (names) and ``nrows`` (the first so many). Writing hands its options
    to ``DataFrame.to_parquet``; a frame comes back equal, index and categories included.
    """

    name = "parquet"
    suffixes = (".parquet", ".parquet.gz")
    kind: Kind = "table"

    def relation(
        self, connection: DuckDBPyConnection, path: PathLike, **options: Any
    ) -> DuckDBPyRelation:
        """Return the rows as a lazy relation; an index of pandas shows as a column."""
        from duckdb import Error

        check_options(self.name, options, _OPTIONS)
        file = existing_file(self.name, path)
        with reading(self.name, file, Error):
            return connection.sql(sql.select(self.scan([file]), **options))

    def frame(
        self,
        path: PathLike,
        *,
        connection: DuckDBPyConnection | None = None,  # noqa: ARG002
        **options: Any,
    ) -> DataFrame:
        """Return the rows as pandas wrote them, at most ``nrows`` of them."""
        check_options(self.name, options, _OPTIONS)
        file, nrows = existing_file(self.name, path), options.get("nrows")
        columns = None if options.get("columns") is None else list(options["columns"])
        with reading(self.name, file):
            if nrows is not None:
                return _head(file, columns, sql.check_rows(nrows))
            from pandas import read_parquet

            return read_parquet(file, columns=columns)

    def scan(self, paths: Sequence[PathLike], *, filename: str | None = None) -> str:
        """Return a call of ``read_parquet``."""
        return self._scan(paths, filename, {"union_by_name": "true"})

    def scan_alike(self, paths: Sequence[PathLike], *, filename: str | None = None) -> str:
        """Return a call of ``read_parquet`` for files that have the columns of the first.

        DuckDB opens no other before it reads.
        """
        return self._scan(paths, filename, {})

    def _scan(
        self, paths: Sequence[PathLike], filename: str | None, arguments: dict[str, str]
    ) -> str:
        arguments = {**arguments, "hive_partitioning": "false"}
        if filename is not None:
            arguments["filename"] = sql.literal(filename)
        return sql.call("read_parquet", sql.file_list(self.name, paths), arguments)

    def accepts(self, value: object) -> bool:
        """Accept pandas frames and series."""
        return is_frame(value)

    def write(self, value: Any, path: PathLike, **options: Any) -> None:
        """Write a frame with ``DataFrame.to_parquet``."""
        if not self.accepts(value):
            raise self._cannot(f"write {a_kind(value)}")
        frame, footers = as_frame(value, stem(path)), list[Any]()
        footers_.forget()
        with writing(self.name, path):
            if options:
                frame.to_parquet(path, **options)
                return
            frame.to_parquet(path, engine="pyarrow", metadata_collector=footers)
        if footers:
            footers_.remember(path, footers[-1])

    def describe(
        self, path: PathLike, *, connection: DuckDBPyConnection | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return columns with DuckDB's types and the number of rows, from the footer."""
        from duckdb import Error

        check_options(self.name, options, ())
        file = existing_file(self.name, path)
        footer = sql.call("parquet_file_metadata", sql.file_list(self.name, [file]), {})
        with reading(self.name, file, Error), sql.borrowed(connection) as borrowed:
            columns = sql.columns_of(borrowed, self.scan([file]))
            rows = borrowed.sql(sql.select(footer, ["num_rows"])).fetchall()
            return {"columns": columns, "rows": rows[0][0]}


def _head(file: str, columns: list[str] | None, nrows: int) -> DataFrame:
    """Read no more row groups than the first rows take."""
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as parquet:
        known: Any = parquet.schema_arrow
        if unknown := [name for name in columns or () if name not in known.names]:
            raise ValueError(f"it has no column {unknown[0]!r}, but {', '.join(known.names)}")
        taken: list[Any] = []
        size = max(1, min(nrows, 65_536))
        for batch in parquet.iter_batches(size, columns=columns, use_pandas_metadata=True):
            taken.append(batch)
            if sum(part.num_rows for part in taken) >= nrows:
                break
        schema: Any = taken[0].schema if taken else parquet.schema_arrow
        frame = Table.from_batches(taken, schema).slice(0, nrows).to_pandas()
        return frame if columns is None else frame[[n for n in columns if n in frame.columns]]
