"""What columns a file has: names, types, nullability, and what the first rows hold.

Types are those that DuckDB reads the file with, so that the file, the rows that are ingested from
it and a view over it agree. A column may hold nulls unless the file itself says that it never does:
what a sample happens to hold would make another layout of every second file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.errors import UnsupportedFormat
from consist.formats.base import Driver, reading
from consist.formats.footers import footer_of
from consist.models.observed import SchemaField, SchemaRecord, layout

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

MOST_FIELDS = 2_000
"""Of a wider table the columns are kept, without what was seen in them."""
_MOST_VALUES = 20
_LONGEST_VALUE = 100
_COLUMNS_AT_ONCE = 100
_MOST_CHUNKS = 2_000
_NO_ORDER = ("STRUCT", "MAP", "UNION", "JSON", "BLOB", "BIT", "GEOMETRY", "VARIANT")


def profile_file(
    driver: Driver, path: Path, rows: int | None, table_path: str | None = None
) -> tuple[SchemaRecord, int]:
    """Return the layout of a file with what its first rows hold, and how many these were.

    Parameters
    ----------
    driver : Driver
        Reads the file.
    path : Path
        The file.
    rows : int or None
        How many rows are looked at; ``None`` is all.
    table_path : str, optional
        Which table of the file, of a driver that has several in one.

    Raises
    ------
    UnsupportedFormat
        If it cannot be read as a table.
    """
    import duckdb

    options: dict[str, Any] = {} if table_path is None else {"table_path": table_path}
    with duckdb.connect() as connection, reading(driver.name, str(path), duckdb.Error):
        connection.execute("SET TimeZone = 'UTC'")
        found = driver.relation(connection, path, **options)
        names, types = list(found.columns), [str(kind) for kind in found.dtypes]
        if not names:
            raise UnsupportedFormat(driver.name, f"profile {path}: it has no columns")
        required = required_columns(path) if driver.name == "parquet" else frozenset[str]()
        if len(names) > MOST_FIELDS:
            fields = [
                SchemaField(name=name, type=kind, nullable=name not in required)
                for name, kind in zip(names, types, strict=True)
            ]
            return layout(fields), 0
        count, seen = _sample(connection, found if rows is None else found.limit(rows), types)
    fields = [
        SchemaField(
            name=name,
            type=kind,
            nullable=name not in required,
            stats=stats if count else None,
            values=values,
        )
        for name, kind, (stats, values) in zip(names, types, seen, strict=True)
    ]
    return layout(fields), count


# ---------------------------------------------------------------- rows


def _sample(
    connection: DuckDBPyConnection, rows: DuckDBPyRelation, types: Sequence[str]
) -> tuple[int, list[tuple[dict[str, Any], tuple[Any, ...] | None]]]:
    """Return how many rows there are, and what each of their columns holds."""
    named = ", ".join(f"c{number}" for number in range(len(types)))
    source = rows.sql_query()
    connection.execute(f"CREATE TEMP TABLE sampled AS SELECT * FROM ({source}) AS s({named})")
    ((count,),) = connection.execute("SELECT count(*) FROM sampled").fetchall()
    seen: list[tuple[dict[str, Any], tuple[Any, ...] | None]] = []
    for begin in range(0, len(types), _COLUMNS_AT_ONCE):
        part = range(begin, min(begin + _COLUMNS_AT_ONCE, len(types)))
        wanted = ", ".join(_measures(f"c{number}", types[number]) for number in part)
        row = connection.execute(f"SELECT {wanted} FROM sampled").fetchall()[0]
        for i, number in enumerate(part):
            seen.append(
                _seen(connection, f"c{number}", types[number], count, row[4 * i : 4 * i + 4])
            )
    return count, seen


def _measures(column: str, kind: str) -> str:
    ordered = not kind.startswith(_NO_ORDER) and "[" not in kind
    shown = f"CAST({{}}({column}) AS VARCHAR)" if ordered else "NULL"
    lowest, highest = (shown.format(name) for name in ("min", "max"))
    distinct = f"count(DISTINCT {column})" if ordered else "NULL"
    return f"count({column}), {distinct}, {lowest}, {highest}"


def _seen(
    connection: DuckDBPyConnection, column: str, kind: str, count: int, row: Sequence[Any]
) -> tuple[dict[str, Any], tuple[Any, ...] | None]:
    there, distinct, lowest, highest = row
    stats: dict[str, Any] = {"null_count": count - there}
    if distinct is not None:
        stats["distinct_count"] = distinct
    if lowest is not None:
        stats |= {"min": _short(kind, lowest), "max": _short(kind, highest)}
    if kind != "VARCHAR" or distinct is None or not 0 < distinct <= min(_MOST_VALUES, there // 2):
        return stats, None
    found = connection.execute(
        f"SELECT DISTINCT {column} FROM sampled WHERE {column} IS NOT NULL ORDER BY 1"
    ).fetchall()
    values = tuple(value for (value,) in found)
    return stats, values if all(len(value) <= _LONGEST_VALUE for value in values) else None


def _short(kind: str, text: str) -> Any:
    """Return a value as JSON has it: numbers as numbers, anything else as text."""
    if kind in _NUMBERS:
        number = float(text) if kind in {"DOUBLE", "FLOAT"} else int(text)
        return number if abs(number) < 2**53 else text
    if kind == "BOOLEAN":
        return text == "true"
    return text[:_LONGEST_VALUE]


_NUMBERS = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    *("DOUBLE", "FLOAT"),
}


# ---------------------------------------------------------------- Parquet


def required_columns(path: Path) -> frozenset[str]:
    """Return the columns of a Parquet file that never hold nulls, as it says."""
    from pyarrow import parquet

    reader: Any = parquet
    schema: Iterable[Any] = reader.read_schema(path)
    return frozenset(field.name for field in schema if not field.nullable)


def profile_footer(path: Path) -> tuple[SchemaRecord, int] | None:
    """Return the layout of a Parquet file as its footer tells it, and its number of rows.

    Nothing but the footer is read: a tenth of a millisecond. ``None`` where that does not tell
    what DuckDB would read a column as.
    """
    footer = footer_of(path)
    schema: Iterable[Any] = footer.schema.to_arrow_schema()
    kinds = [(field.name, _type_of(field.type), field.nullable) for field in schema]
    if any(kind is None for _, kind, _ in kinds):
        return None
    flat = footer.num_columns == len(kinds)
    told = flat and footer.num_row_groups * footer.num_columns <= _MOST_CHUNKS
    stats = _footer_stats(footer) if told else [None] * len(kinds)
    fields = [
        SchemaField(name=name, type=str(kind), nullable=nullable, stats=found)
        for (name, kind, nullable), found in zip(kinds, stats, strict=True)
    ]
    return layout(fields), footer.num_rows


def _footer_stats(footer: Any) -> list[dict[str, Any] | None]:
    """Return the nulls of each column, and the least and greatest number, from all row groups."""
    found: list[dict[str, Any] | None] = []
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    for column in range(footer.num_columns):
        parts = [group.column(column).statistics for group in groups]
        if not parts or any(part is None or not part.has_null_count for part in parts):
            found.append(None)
            continue
        stats: dict[str, Any] = {"null_count": sum(part.null_count for part in parts)}
        bounds = [part for part in parts if part.has_min_max]
        if bounds and isinstance(bounds[0].min, int | float):
            lowest, highest = min(b.min for b in bounds), max(b.max for b in bounds)
            if abs(lowest) < 2**53 and abs(highest) < 2**53:
                stats |= {"min": lowest, "max": highest}
        found.append(stats)
    return found


_PLAIN = {
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date32[day]": "DATE",
    "binary": "BLOB",
    "large_binary": "BLOB",
    "timestamp[ms]": "TIMESTAMP",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[ns]": "TIMESTAMP_NS",
    "time64[us]": "TIME",
    "time32[ms]": "TIME",
}
"""DuckDB types by the text of Arrow's."""


def _type_of(kind: pa.DataType) -> str | None:
    """Return what DuckDB reads a column of Parquet as; ``None`` where that is not known here."""
    text = str(kind)
    if text in _PLAIN:
        return _PLAIN[text]
    parts: Any = kind
    if text.startswith("dictionary<"):
        return _type_of(parts.value_type)
    if text.startswith(("timestamp[us, tz=", "timestamp[ms, tz=")):
        return "TIMESTAMP WITH TIME ZONE"
    if text.startswith("decimal128("):
        return f"DECIMAL({parts.precision},{parts.scale})"
    if text.startswith(("list<", "large_list<")):
        inner = _type_of(parts.value_type)
        return None if inner is None else f"{inner}[]"
    return None
