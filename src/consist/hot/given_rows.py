"""Rows that are given as data: frames, Arrow tables, dicts, and streams of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from consist.errors import StoreUnwritable, UsageError, WrongType, a_kind, hint, some_of
from consist.formats.base import as_frame, is_frame
from consist.formats.sql import literal
from consist.hot.nested_rows import is_of_dlt, stage_nested
from consist.hot.parquet_rows import stage_parquet
from consist.hot.staged_rows import COPY_TO_PARQUET, StagedRows, workplace
from consist.types import is_mapping

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 50_000
_FEW_ROWS = 10_000


def stage_data(connection: DuckDBPyConnection, data: object, key: str, target: Path) -> StagedRows:
    """Stage rows that are given as data.

    Parameters
    ----------
    connection : DuckDBPyConnection
        An instance to convert in.
    data : object
        A pandas frame or series, a table of any library that speaks the Arrow C stream, or an
        iterable of dicts or of such tables, which is read in bounded batches.
    key : str
        Names the rows in errors, and a series that has no name.
    target : Path
        The staged file.

    Raises
    ------
    TypeError
        If ``data`` is none of these.
    ValueError
        If a column holds values of several types, or there are no columns.
    MissingExtra
        For records inside records, and sources of dlt, where dlt is not installed.
    """
    if is_of_dlt(data):
        return stage_nested(connection, data, key, target)
    rest: Iterator[Any] | None = None
    with _filling(key, target):
        if _is_lazy(data):
            cast("Any", data).sink_parquet(target)
        elif _is_table(data):
            _write_all(_tables_of(data, key), target)
        else:
            rest = _write_many(connection, data, key, target)
    if rest is not None:
        return stage_nested(connection, rest, key, target)
    rows = stage_parquet(connection, target, target)
    return replace(rows, recipe={**rows.recipe, "compression": ["SNAPPY"]})


def is_small(data: object) -> bool:
    """Whether data are a table of few rows, which can be staged twice and without much memory."""
    return _is_table(data) and isinstance(data, Sized) and len(data) <= _FEW_ROWS


def _is_table(data: object) -> bool:
    return is_frame(data) or hasattr(data, "__arrow_c_stream__") or _is_dataset(data)


def _is_lazy(data: object) -> bool:
    """Whether it is a lazy frame of polars, which streams into a file by itself."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(data, polars.LazyFrame)


def _is_dataset(data: object) -> bool:
    dataset = sys.modules.get("pyarrow.dataset")
    return dataset is not None and isinstance(data, dataset.Dataset | dataset.Scanner)


def _tables_of(data: object, key: str) -> Iterator[pa.Table]:
    """Yield the one table that ``data`` is, or the batches of a stream."""
    import pyarrow as pa

    if is_frame(data):
        frame = as_frame(data, key)
        if not frame.columns.is_unique:
            raise UsageError(f"the rows given for {key!r} have several columns of one name")
        yield pa.Table.from_pandas(frame)
        return
    if _is_dataset(data):
        scanner: Any = data
        data = (scanner.scanner() if hasattr(scanner, "scanner") else scanner).to_reader()
    with pa.RecordBatchReader.from_stream(cast("Any", data)) as reader:
        yield pa.Table.from_batches([], reader.schema)
        for batch in reader:
            yield pa.Table.from_batches([batch])


@contextmanager
def _filling(key: str, target: Path) -> Generator[None]:
    import duckdb
    import pyarrow as pa

    try:
        yield
    except OSError as error:
        raise StoreUnwritable(str(target), error.strerror or str(error)) from error
    except (pa.ArrowException, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        problem = UsageError(f"the rows given for {key!r} make no table: {reason}")
        raise hint(problem, "give each column values of one type") from error


def _write_all(tables: Iterable[pa.Table], target: Path) -> None:
    from pyarrow.parquet import ParquetWriter

    waiting = iter(tables)
    first = next(waiting)
    _check_columns(first)
    options: Any = {"compression": "none", "use_dictionary": _repeating(first.schema)}
    with ParquetWriter(target, first.schema, **options) as writer:
        for table in chain([first], waiting):
            if table.num_rows:
                writer.write_table(table)


def _repeating(schema: pa.Schema) -> list[str]:
    """Return the columns that a dictionary makes smaller, and those that have one already."""
    import pyarrow as pa

    fields: list[Any] = list(schema)
    return [
        field.name
        for field in fields
        if pa.types.is_dictionary(field.type)
        or pa.types.is_string(field.type)
        or pa.types.is_large_string(field.type)
    ]


def _check_columns(table: pa.Table) -> None:
    if not table.num_columns:
        raise UsageError("rows without columns cannot be ingested")


# ---------------------------------------------------------------- streams


def _write_many(
    connection: DuckDBPyConnection, data: object, key: str, target: Path
) -> Iterator[Any] | None:
    """Write an iterable; where its tables differ, unite them by the names of their columns.

    As soon as there are records inside records, nothing more is written, and all rows are
    returned, those written so far included.
    """
    folder = workplace(target, "parts")
    folder.mkdir()
    keep = False
    try:
        parts: list[Path] = []
        stream = _Stream(data, key)
        for _, alike in groupby(stream.tables(), key=lambda table: table.schema):
            parts.append(Path(folder, f"{len(parts)}.parquet") if parts else target)
            _write_all(_packed(alike), parts[-1])
        if stream.rest is not None:
            if parts:
                shutil.copyfile(target, folder / "0.parquet")
                parts[0] = folder / "0.parquet"
            keep = True
            return _all_rows(parts, stream.rest, folder)
        if not parts:
            raise UsageError(f"there are no rows to ingest for {key!r}")
        if len(parts) > 1:
            parts[0] = Path(folder, "0.parquet")
            shutil.copyfile(target, parts[0])
            _unite(connection, parts, target)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return None


def _all_rows(parts: list[Path], rest: Iterator[Any], folder: Path) -> Iterator[Any]:
    """Yield rows that were written, then those that were not."""
    from pyarrow.parquet import ParquetFile

    try:
        for part in parts:
            with ParquetFile(part) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE // 10):
                    yield from batch.to_pylist()
        yield from rest
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unite(connection: DuckDBPyConnection, parts: list[Path], target: Path) -> None:
    import duckdb

    files = ", ".join(literal(str(part)) for part in parts)
    statement = f"COPY (FROM read_parquet([{files}], union_by_name=true))"
    statement += f" TO {literal(str(target))} ({COPY_TO_PARQUET})"
    try:
        connection.execute(statement)
    except duckdb.OutOfMemoryException:  # very wide rows
        connection.execute("RESET memory_limit")
        connection.execute(statement)


def _packed(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of small tables in larger ones."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= _ROWS_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


class _Stream:
    """An iterable of tables or dicts, read once.

    Attributes
    ----------
    rest : iterator or None
        The rows from the first batch on in which there are records inside records.
    """

    def __init__(self, data: object, key: str) -> None:
        if isinstance(data, str | bytes) or is_mapping(data) or not isinstance(data, Iterable):
            _refuse(cast("object", data), key)
        self._items, self._key = iter(cast("Iterable[object]", data)), key
        self.rest: Iterator[Any] | None = None

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in tables, in bounded batches."""
        for first in self._items:
            if _is_table(first):
                for table in _tables_of(first, self._key):
                    yield table.replace_schema_metadata(None)  # tells of one table among many
                continue
            # A stream of dicts stays one; a table in between is refused by name.
            given = chain([first], islice(self._items, _ROWS_AT_ONCE - 1))
            rows = [self._checked(row) for row in given]
            if any(_is_nested(value) for row in rows for value in row.values()):
                self.rest = chain(rows, map(self._checked, self._items))
                return
            yield _from_dicts(rows, self._key)

    def _checked(self, row: object) -> Mapping[str, Any]:
        if not is_mapping(row):
            _refuse(row, self._key, "a row is ")
        for name in row:
            if not isinstance(name, str):
                raise WrongType(f"the column name {name!r} is {a_kind(name)}, not text")
        return row


def _refuse(value: object, key: str, what: str = "data is ") -> NoReturn:
    problem = WrongType(f"cannot ingest {key!r}: {what}{a_kind(value)}")
    raise hint(problem, "pass a DataFrame, an Arrow table, or an iterable of dicts")


def _from_dicts(rows: list[Mapping[str, Any]], key: str) -> pa.Table:
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column(name, [row.get(name) for row in rows], key) for name in names})


def _column(name: str, values: list[Any], key: str) -> pa.Array[Any]:
    """Return values as a column; NaN among other things than numbers is pandas' missing value."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except pa.ArrowException as error:
        with suppress(pa.ArrowException, OverflowError, UnicodeEncodeError):
            return pa.array([None if _is_nan(value) else value for value in values])
        kinds = some_of(sorted({type(value).__name__ for value in values if value is not None}))
        text = f"column {name!r} holds {kinds}: {str(error).splitlines()[0]}"
        problem = UsageError(f"the rows given for {key!r} make no table: {text}")
        raise hint(problem, "give each column values of one type") from error
    except (OverflowError, UnicodeEncodeError) as error:
        text = f"column {name!r}: {error}"
        raise UsageError(f"the rows given for {key!r} make no table: {text}") from error


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124 - NaN is not itself


def _is_nested(value: object) -> bool:
    """Whether a value is a record or holds one; lists of plain values are columns of lists."""
    if isinstance(value, dict):
        return True
    if isinstance(value, list | tuple):
        return any(_is_nested(item) for item in cast("Iterable[object]", value))
    return False
