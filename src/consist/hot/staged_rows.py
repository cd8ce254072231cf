"""What staging gives: what is known of rows once they stand in a staged file."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.errors import StoreUnwritable
from consist.formats.base import reading
from consist.formats.sql import identifier
from consist.models.record import StoredColumn

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEPT_EXACTLY = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "BOOLEAN", "DATE", "DOUBLE", "TIME", "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE", "VARCHAR",
}  # fmt: skip
"""Types that a staged file holds exactly; values of others travel as text."""
COPY_TO_PARQUET = "FORMAT parquet, USE_TMP_FILE false"
"""How DuckDB fills a staged file: in place, since its owner's lock lies on it."""
MEMORY = "200MB"
"""What converting a file takes at most, unless single rows need more."""


@dataclass(frozen=True)
class StagedRows:
    """Columns and number of staged rows, and how to make their source again.

    ``added`` are columns that only a schema has, ``first`` the stored names that come first in a
    new table, ``children`` the tables that records inside the rows became.
    """

    columns: tuple[StoredColumn, ...]
    count: int
    recipe: dict[str, Any]
    added: tuple[StoredColumn, ...] = ()
    first: tuple[str, ...] = ()
    children: tuple[ChildRows, ...] = ()


@dataclass(frozen=True)
class ChildRows:
    """A table of records inside rows: its name after that of the rows, and where it is."""

    suffix: str
    rows: StagedRows
    path: Path


def workplace(target: Path, kind: str) -> Path:
    """Return a folder in which rows are prepared for a staged file."""
    return target.with_suffix(f".{kind}")


def clear_workplaces(target: Path) -> None:
    """Remove every folder in which rows were prepared for a staged file."""
    for path in target.parent.glob(f"{glob.escape(target.stem)}.*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def source_value(column: StoredColumn) -> str:
    """Return SQL for what the source holds: of a column that a schema gave a type, in its own."""
    staged = identifier(column.staged)
    if column.source is None:
        return staged
    if column.text is None:
        return f"TRY_CAST({staged} AS {column.source})"
    said = f"coalesce({identifier(column.text)}, CAST({staged} AS VARCHAR))"
    return f"TRY_CAST({said} AS {column.source})"


@contextmanager
def converting(driver: str, source: str, target: Path) -> Generator[None]:
    """Tell a source that cannot be read from a place that cannot be written."""
    import duckdb

    try:
        with reading(driver, source):
            yield
    except duckdb.IOException as error:
        if str(target) in str(error) or "No space left" in str(error):
            raise StoreUnwritable(str(target), str(error).splitlines()[0]) from error
        with reading(driver, source, duckdb.Error):
            raise
    except duckdb.OutOfMemoryException:
        raise  # says nothing about the source
    except duckdb.Error:
        with reading(driver, source, duckdb.Error):
            raise


@contextmanager
def in_memory(spill: Path, limit: str | None = None) -> Generator[DuckDBPyConnection]:
    """Yield a DuckDB instance of its own, which spills beside the staged rows.

    ``limit`` bounds the memory that it takes; without one it takes what DuckDB does by default.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = '{str(spill).replace(chr(39), chr(39) * 2)}'")
        if limit is not None:
            connection.execute(f"SET memory_limit = '{limit}'")
        yield connection
