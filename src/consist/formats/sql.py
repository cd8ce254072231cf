"""Pieces of SQL text that read files: everything that is not ours is quoted."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from consist.errors import UnsupportedFormat, UsageError
from consist.types import PathLike

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from pandas import DataFrame

_WILDCARDS = "*?["


def literal(text: str) -> str:
    """Return a string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a quoted name of a column or table."""
    return '"' + name.replace('"', '""') + '"'


def file_list(driver: str, paths: Sequence[PathLike]) -> str:
    """Return a list of absolute paths in which no character is a wildcard.

    Raises
    ------
    UsageError
        If there are none.
    UnsupportedFormat
        For a name with both a wildcard and a backslash, which DuckDB cannot be told.
    """
    if not paths:
        raise UsageError(f"driver {driver!r} was given no files to scan")
    return f"[{', '.join(literal(_exact(driver, path)) for path in paths)}]"


def _exact(driver: str, path: PathLike) -> str:
    absolute = os.path.abspath(path)  # noqa: PTH100
    if not any(wildcard in absolute for wildcard in _WILDCARDS):
        return absolute
    if "\\" in absolute and os.sep == "/":
        raise UnsupportedFormat(driver, f"read {absolute}: rename it without * ? [ or backslash")
    return "".join(f"[{letter}]" if letter in _WILDCARDS else letter for letter in absolute)


def compression(driver: str, paths: Sequence[PathLike]) -> dict[str, str]:
    """Return the argument for gzipped files.

    Raises
    ------
    UnsupportedFormat
        For ``what?.gz`` among files that are not gzipped, whose suffix DuckDB does not see.
    """
    gzipped = [text for path in paths if (text := os.fspath(path)).lower().endswith(".gz")]
    if len(gzipped) == len(paths):
        return {"compression": literal("gzip")}
    if hidden := [path for path in gzipped if "?" in path]:
        raise UnsupportedFormat(driver, f"read {hidden[0]} with plain files: rename it without ?")
    return {}


def call(function: str, files: str, arguments: dict[str, str]) -> str:
    """Return a call of a table function."""
    return f"{function}({', '.join([files, *(f'{k}={v}' for k, v in arguments.items())])})"


def select(table: str, columns: Iterable[str] | None = None, nrows: int | None = None) -> str:
    """Return a query of some columns, or all, and the first rows, or all."""
    if isinstance(columns, str):
        raise UsageError(f"columns={columns!r} is one name; pass a list of names")
    chosen = "*" if columns is None else ", ".join(map(identifier, columns))
    if columns is not None and not chosen:
        raise UsageError("columns is empty; pass at least one name")
    limit = "" if nrows is None else f" LIMIT {check_rows(nrows)}"
    return f"SELECT {chosen} FROM {table}{limit}"  # noqa: S608  (quoted above and in call)


def check_rows(nrows: object) -> int:
    """Return a number of rows.

    Raises
    ------
    UsageError
        If it is not a whole number from 0.
    """
    if isinstance(nrows, bool) or not isinstance(nrows, int) or nrows < 0:
        raise UsageError(f"nrows={nrows!r} is not a number of rows")
    return nrows


@contextmanager
def borrowed(connection: DuckDBPyConnection | None) -> Generator[DuckDBPyConnection]:
    """Yield ``connection``, or one of its own that is closed afterwards."""
    if connection is not None:
        yield connection
        return
    from duckdb import connect

    with connect() as own:
        yield own


def frame_of(relation: DuckDBPyRelation) -> DataFrame:
    """Return rows as pandas gets them; whole numbers beyond 64 bits stay exact, as objects."""
    kinds = zip(relation.columns, relation.dtypes, strict=True)
    wide = [name for name, kind in kinds if str(kind) in {"HUGEINT", "UHUGEINT"}]
    if not wide:
        return relation.df()
    texts = (f"CAST({identifier(name)} AS VARCHAR) AS {identifier(name)}" for name in wide)
    frame = relation.project(f"* REPLACE ({', '.join(texts)})").df()
    for name in wide:
        numbers = [int(text) if isinstance(text, str) else None for text in frame[name]]
        frame[name] = type(frame[name])(numbers, index=frame.index, dtype=object)
    return frame


def columns_of(connection: DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns that a table function would give, by name, with DuckDB's types."""
    found = connection.execute(f"DESCRIBE {select(table)}").fetchall()
    return {row[0]: row[1] for row in found}
