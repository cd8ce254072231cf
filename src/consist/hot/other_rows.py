"""Rows of JSON files, of folders of Parquet files, and of formats that a driver reads as tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from consist.errors import UnsupportedFormat, hint
from consist.formats import sql
from consist.formats.base import Driver
from consist.hot.given_rows import stage_data
from consist.hot.nested_rows import stage_nested
from consist.hot.parquet_rows import stage_parquet
from consist.hot.staged_rows import COPY_TO_PARQUET, StagedRows, converting

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NESTED = ("STRUCT(", "MAP(", "JSON")
_ROWS_AT_ONCE = 10_000
_STORED_AS = {"HUGEINT": "DECIMAL(38,0)", "UHUGEINT": "DECIMAL(38,0)", "JSON": "VARCHAR"}
"""What values become that neither a staged file nor the database holds as they are."""


def stage_json(
    driver: Driver, connection: DuckDBPyConnection, path: Path, target: Path
) -> StagedRows:
    """Stage a list of records, or one record a line; dlt flattens those with records inside.

    Types fit all rows, not only the first ones.

    Raises
    ------
    UnsupportedFormat
        If the file holds something else.
    MissingExtra
        If there are records inside records, and dlt is not installed.
    """
    with converting("json", str(path), target):
        scan = driver.scan([path]).removesuffix(")") + ", sample_size=-1)"
        columns = sql.columns_of(connection, scan)
        if list(columns) == ["json"] or not columns:
            problem = UnsupportedFormat("json", f"ingest {path}: it holds no records")
            raise hint(problem, "load it yourself and pass the rows as data=")
        if any(mark in kind for kind in columns.values() for mark in _NESTED):
            return stage_nested(connection, _records(connection, scan), path.name, target)
        return stage_query(connection, scan, columns, target)


def _records(connection: DuckDBPyConnection, scan: str) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        reader: Any = cursor.sql(f"FROM {scan}").to_arrow_reader(_ROWS_AT_ONCE)
        for batch in reader:
            yield from batch.to_pylist()


def stage_folder(connection: DuckDBPyConnection, path: Path, target: Path) -> StagedRows:
    """Stage the Parquet files below a folder; names like ``year=2030`` become columns.

    Raises
    ------
    UnsupportedFormat
        If there are none, or one cannot be read.
    """
    files = sorted(file for file in path.rglob("*.parquet") if file.is_file())
    if not files:
        raise UnsupportedFormat("parquet", f"ingest {path}: no Parquet file is below it")
    with converting("parquet", str(path), target):
        arguments = {"union_by_name": "true", "hive_partitioning": "true"}
        scan = sql.call("read_parquet", sql.file_list("parquet", files), arguments)
        return stage_query(connection, scan, sql.columns_of(connection, scan), target)


def stage_table(
    driver: Driver, connection: DuckDBPyConnection, path: Path, target: Path
) -> StagedRows:
    """Stage what a driver gives as a relation, which streams, else as a frame.

    Raises
    ------
    UnsupportedFormat
        If the driver cannot read the file.
    """
    with converting(driver.name, str(path), target):
        try:
            relation = driver.relation(connection, path)
        except UnsupportedFormat:
            return stage_data(connection, driver.frame(path), path.name, target)
        relation.create_view("given", replace=True)
        return stage_query(connection, "given", sql.columns_of(connection, "given"), target)


def stage_query(
    connection: DuckDBPyConnection, table: str, columns: dict[str, str], target: Path
) -> StagedRows:
    """Stage what SQL gives, in types that a staged file holds."""
    picked = ", ".join(
        f"CAST({sql.identifier(name)} AS {_STORED_AS[kind]}) AS {sql.identifier(name)}"
        if kind in _STORED_AS
        else sql.identifier(name)
        for name, kind in columns.items()
    )
    statement = f"COPY (SELECT {picked} FROM {table}) TO {sql.literal(str(target))}"
    connection.execute(f"{statement} ({COPY_TO_PARQUET})")
    rows = stage_parquet(connection, target, target)
    recipe = cast("dict[str, Any]", {**rows.recipe, "compression": ["SNAPPY"]})
    return replace(rows, recipe=recipe)
