"""Rows that are given as data: frames, Arrow tables, dicts, and streams of them."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from consist.errors import NotSupportedYet, StoreUnwritable, UsageError, WrongType, a_kind, hint
from consist.formats.base import as_frame, is_frame
from consist.formats.sql import literal
from consist.hot.parquet_rows import stage_parquet
from consist.hot.staged_rows import COPY_TO_PARQUET, StagedRows
from consist.types import is_mapping

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_ROWS_AT_ONCE = 50_000


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
    NotSupportedYet
        For records with nested values.
    """
    with _filling(key, target):
        if _is_table(data):
            _write_all(_tables_of(data, key), target)
        else:
            _write_many(connection, data, key, target)
    rows = stage_parquet(connection, target, target)
    return replace(rows, recipe={**rows.recipe, "compression": ["SNAPPY"]})


def _is_table(data: object) -> bool:
    return is_frame(data) or hasattr(data, "__arrow_c_stream__")


def _tables_of(data: object, key: str) -> Iterator[pa.Table]:
    """Yield the one table that ``data`` is, or the batches of a stream."""
    import pyarrow as pa

    if is_frame(data):
        frame = as_frame(data, key)
        if not frame.columns.is_unique:
            raise UsageError(f"the rows given for {key!r} have several columns of one name")
        yield pa.Table.from_pandas(frame)
        return
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


def _write_many(connection: DuckDBPyConnection, data: object, key: str, target: Path) -> None:
    """Write an iterable; where its tables differ, unite them by the names of their columns."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as folder:
        parts: list[Path] = []
        for _, alike in groupby(_parts(data, key), key=lambda table: table.schema):
            parts.append(Path(folder, f"{len(parts)}.parquet") if parts else target)
            _write_all(_packed(alike), parts[-1])
        if not parts:
            raise UsageError(f"there are no rows to ingest for {key!r}")
        if len(parts) > 1:
            parts[0] = Path(folder, "0.parquet")
            shutil.copyfile(target, parts[0])
            _unite(connection, parts, target)


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


def _parts(data: object, key: str) -> Iterator[pa.Table]:

    if isinstance(data, str | bytes) or is_mapping(data) or not isinstance(data, Iterable):
        _refuse(cast("object", data), key)
    items = iter(cast("Iterable[object]", data))
    for first in items:
        if _is_table(first):
            for table in _tables_of(first, key):
                yield table.replace_schema_metadata(None)  # tells of one table among many
        else:
            # A stream of dicts stays one; a table in between is refused by name.
            yield _from_dicts(chain([first], islice(items, _ROWS_AT_ONCE - 1)), key)


def _refuse(value: object, key: str, what: str = "data is ") -> NoReturn:
    if type(value).__module__.partition(".")[0] == "dlt":
        raise NotSupportedYet("ingesting dlt sources and resources")
    problem = WrongType(f"cannot ingest {key!r}: {what}{a_kind(value)}")
    raise hint(problem, "pass a DataFrame, an Arrow table, or an iterable of dicts")


def _from_dicts(rows: Iterable[object], key: str) -> pa.Table:
    import pyarrow as pa

    listed = [row if is_mapping(row) else _refuse(row, key, "a row is ") for row in rows]
    names = list(dict.fromkeys(name for row in listed for name in row))
    for name in names:
        _check_flat(name, [row.get(name) for row in listed])
    try:
        columns = {name: pa.array([row.get(name) for row in listed]) for name in names}
    except (OverflowError, UnicodeEncodeError) as error:
        raise UsageError(f"the rows given for {key!r} make no table: {error}") from error
    return pa.table(columns)


def _check_flat(name: object, values: Iterable[object]) -> None:
    if not isinstance(name, str):
        raise WrongType(f"the column name {name!r} is {a_kind(name)}, not text")
    for value in values:
        if isinstance(value, dict | list | tuple | set):
            nested = a_kind(cast("object", value))
            problem = NotSupportedYet(f"ingesting {nested} inside rows (column {name!r})")
            raise hint(problem, "flatten the records, or pass an Arrow table")
