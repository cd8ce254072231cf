"""Rows of Parquet files and Arrow tables: DuckDB keeps the values, a recipe the Arrow schema."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.errors import NotSupportedYet, hint
from consist.formats.sql import literal
from consist.hot.naming import stored_names
from consist.hot.staged_rows import StagedRows, converting, source_value
from consist.models.record import StoredColumn
from consist.store.tail_rows import ArtifactRows

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

FORMAT = "parquet"
_LARGEST_GROUP = 1_000_000
_LONGEST_DICTIONARY = 1 << 20
_BATCH = 100_000


def stage_parquet(connection: DuckDBPyConnection, path: Path, target: Path) -> StagedRows:
    """Stage a Parquet file as it is; what is ``target`` already was written by us.

    Raises
    ------
    UnsupportedFormat
        If the file cannot be read.
    NotSupportedYet
        If it has a column whose values the database cannot hold exactly.
    """
    with converting("parquet", str(path), target):
        described = connection.execute(
            f"DESCRIBE FROM read_parquet({literal(str(path))})"
        ).fetchall()
        names, types = [row[0] for row in described], [_storable(row[1]) for row in described]
        recipe, count, originals = _recipe(path)
        if path != target:
            shutil.copyfile(path, target)
            _read_through(connection, target)
    columns = tuple(
        StoredColumn(name, inside, stored, kind)
        for name, inside, stored, kind in zip(
            originals, names, stored_names(names), types, strict=True
        )
    )
    return StagedRows(columns, count, recipe)


def _storable(kind: str) -> str:
    return "INTEGER" if kind == '"NULL"' else kind


def _read_through(connection: DuckDBPyConnection, path: Path) -> None:
    """Read every page once: what is damaged is to be noticed now, not by a merge."""
    scan = f"read_parquet({literal(str(path))})"
    connection.execute(f"SELECT last(COLUMNS(*)) FROM {scan}").fetchall()


# ---------------------------------------------------------------- recipe


def _recipe(path: Path) -> tuple[dict[str, Any], int, list[str]]:
    """Return what a file is beside its values, its number of rows, and its column names."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        schema: Any = file.schema_arrow
        for field in schema:
            _check_type(field)
        metadata = file.metadata
        group = metadata.row_group(0) if metadata.num_row_groups else None
        recipe: dict[str, Any] = {
            "format": FORMAT,
            "schema": base64.b64encode(schema.serialize().to_pybytes()).decode(),
            "group": min(_LARGEST_GROUP, group.num_rows) if group is not None else _LARGEST_GROUP,
            "compression": [group.column(i).compression for i in range(group.num_columns)][:1]
            if group is not None
            else [],
        }
        dictionaries = {
            str(i): text
            for i, field in enumerate(schema)
            if pa.types.is_dictionary(field.type) and (text := _dictionary(file, field)) is not None
        }
        if dictionaries:
            recipe["dictionaries"] = dictionaries
        return recipe, metadata.num_rows, list(schema.names)


def _check_type(field: Any) -> None:
    import pyarrow as pa

    if pa.types.is_decimal256(field.type):
        problem = NotSupportedYet(f"ingesting column {field.name!r} of type {field.type}")
        raise hint(problem, "DuckDB holds decimals of at most 38 digits; cast the column")


def _dictionary(file: Any, field: Any) -> str | None:
    """Return the values of a dictionary column, unless row groups differ in them.

    Categories that no row uses, and the order of all, are nowhere else.
    """
    import pyarrow as pa

    known: Any = None
    for group in range(file.num_row_groups):
        (column,) = file.read_row_group(group, columns=[field.name]).columns[:1]
        for chunk in column.chunks:
            if known is not None and not known.equals(chunk.dictionary):
                return None
            known = chunk.dictionary
    if known is None or known.nbytes > _LONGEST_DICTIONARY:
        return None
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([known], names=["values"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


# ---------------------------------------------------------------- back again


def schema_of(found: ArtifactRows) -> Any:
    """Return the Arrow schema of the source, metadata included."""
    import pyarrow as pa

    text = base64.b64decode(found.rows.recipe["schema"])
    return pa.ipc.read_schema(pa.py_buffer(text))


def index_columns(found: ArtifactRows) -> list[str]:
    """Return the columns that pandas makes the index of, if the source says which."""
    metadata: dict[str, list[Any]] = schema_of(found).pandas_metadata or {}
    return [name for name in metadata.get("index_columns", ()) if isinstance(name, str)]


def recipe_of(recipe: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """Return the recipe of a source with only some columns, by their places."""
    import pyarrow as pa

    schema: Any = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(recipe["schema"])))
    part = pa.schema([schema.field(i) for i in places], schema.metadata)
    found = {**recipe, "schema": base64.b64encode(part.serialize().to_pybytes()).decode()}
    known = recipe.get("dictionaries", {})
    found["dictionaries"] = {str(n): known[str(i)] for n, i in enumerate(places) if str(i) in known}
    return found


def batches(found: ArtifactRows, size: int = _BATCH) -> Iterator[pa.RecordBatch]:
    """Yield the rows in the types of the source, in its order."""
    import pyarrow as pa

    schema = schema_of(found)
    dictionaries = {
        int(i): _read_dictionary(text)
        for i, text in found.rows.recipe.get("dictionaries", {}).items()
    }
    names = ", ".join(source_value(column) for column in found.rows.columns)
    statement = f"SELECT {names} FROM ({found.table})"
    reader: Any = found.connection.sql(statement).to_arrow_reader(size)
    for batch in reader:
        arrays = [
            _as(batch.column(i), field.type, dictionaries.get(i)) for i, field in enumerate(schema)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read_dictionary(text: str) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(base64.b64decode(text)) as reader:
        return reader.read_all().column(0).combine_chunks()


def _as(values: Any, kind: Any, dictionary: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(kind):
        return pa.nulls(len(values))
    if not pa.types.is_dictionary(kind):
        return values if values.type == kind else values.cast(kind)
    if dictionary is None:
        return values.cast(kind.value_type).dictionary_encode().cast(kind)
    compute: Any = pc
    indices = compute.index_in(values.cast(dictionary.type), value_set=dictionary)
    of: Any = pa.DictionaryArray
    return of.from_arrays(indices.cast(kind.index_type), dictionary, ordered=kind.ordered)


def write_parquet(found: ArtifactRows, target: Path) -> None:
    """Write a Parquet file with the rows, schema and metadata of the source."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    recipe, schema = found.rows.recipe, schema_of(found)
    compression = recipe["compression"][0].lower() if recipe["compression"] else "snappy"
    group = max(1, recipe["group"])
    with ParquetWriter(
        target, schema, compression="none" if compression == "uncompressed" else compression
    ) as writer:
        waiting: list[pa.RecordBatch] = []
        for batch in batches(found, min(group, _BATCH)):
            waiting.append(batch)
            if sum(part.num_rows for part in waiting) >= group:
                _write_groups(writer, waiting, group)
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=group)


def _write_groups(writer: Any, waiting: list[pa.RecordBatch], group: int) -> None:
    """Write the whole row groups among some batches, and leave what is over."""
    import pyarrow as pa

    table = pa.Table.from_batches(waiting)
    whole = table.num_rows - table.num_rows % group
    writer.write_table(table.slice(0, whole), row_group_size=group)
    waiting[:] = table.slice(whole).to_batches()
