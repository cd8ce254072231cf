"""Rows of CSV files: every field as the value that a reader sees, and as the text that it was.

A value alone does not tell how it was written: ``1.50`` and ``01/31/2030`` come back as ``1.5`` and
``2030-01-31``. So wherever the text is not the one that DuckDB would write for the value, it is
kept beside it, and a rebuilt file says what the original said, field by field.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from consist.formats.csv import CsvDriver
from consist.formats.sql import identifier, literal
from consist.hot import exact_casts, strict
from consist.hot.naming import stored_names
from consist.hot.staged_rows import COPY_TO_PARQUET, KEPT_EXACTLY, StagedRows, converting
from consist.models.record import RowsRecord, StoredColumn
from consist.store.tail_rows import ArtifactRows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.hot.model_columns import ModelColumn
    from consist.hot.strict import Contract

FORMAT = "csv"
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_PLAIN = _INTEGERS | {"DOUBLE", "BOOLEAN", "DATE"}
"""Types whose text never holds a delimiter, quote or line end."""
_BOM = b"\xef\xbb\xbf"
_LONGEST_LINE = 1 << 20
_LINE = re.compile(rb'(?:[^"\r\n]+|"(?:[^"]|"")*"|")*')
_ENDS = (b"\r\n", b"\n", b"\r")
_LINES_AT_ONCE = 20_000


def stage_csv(
    connection: DuckDBPyConnection, path: Path, target: Path, contract: Contract | None = None
) -> StagedRows:
    """Write the rows of a CSV file as Parquet, in one pass over it.

    Types are those that reading the file gives. A type that DuckDB inferred from the first rows
    and that a later one does not fit becomes a wider one. Columns of a contract are read as what
    it says, from their text, and are checked.

    Raises
    ------
    UnsupportedFormat
        If the file cannot be read as CSV.
    SchemaViolation
        If the rows break the contract.
    """
    driver = CsvDriver()
    relation = driver.relation(connection, path)
    names, inferred = list(relation.columns), [str(kind) for kind in relation.dtypes]
    wanted = [None if contract is None else contract.column(name) for name in names]
    types = [
        kind if column is None else column.type
        for kind, column in zip(inferred, wanted, strict=True)
    ]
    added = () if contract is None else strict.added_columns(contract, names, "")
    with converting("csv", str(path), target):
        copy = _Copy(connection, driver.scan_text(path), wanted, target)
        formats = _formats(connection, driver.sniff(path))
        defaults = [] if contract is None else strict.added_values(contract, added)
        while True:
            copy.write(types, formats, defaults)
            count, texts, misfits = _check(connection, types, wanted, target)
            if not any(misfits):
                break
            types = [_wider(kind) if n else kind for kind, n in zip(types, misfits, strict=True)]
        dialect = _dialect(path, len(names))
    if contract is not None:
        strict.check(connection, target, contract, names, _casts(wanted))
    sources = _sources(connection, inferred, wanted, target)
    columns = tuple(
        StoredColumn(name, f"c{i}", stored, types[i], f"t{i}" if texts[i] else None, sources.get(i))
        for i, (name, stored) in enumerate(zip(names, stored_names(names), strict=True))
    )
    first = () if contract is None else strict.first_names(contract, columns)
    return StagedRows(columns, count, {"format": FORMAT, **dialect}, added, first)


def _formats(connection: DuckDBPyConnection, sniff: str) -> dict[str, str]:
    (row,) = connection.execute(f"SELECT DateFormat, TimestampFormat FROM {sniff}").fetchall()
    found = dict(zip(("DATE", "TIMESTAMP"), row, strict=True))
    return {kind: str(text) for kind, text in found.items() if text}


class _Copy(NamedTuple):
    """From the texts of a file to values, and to texts where a value does not tell them."""

    connection: DuckDBPyConnection
    scan: str
    wanted: Sequence[ModelColumn | None]
    target: Path

    def write(self, types: Sequence[str], formats: dict[str, str], defaults: Sequence[str]) -> None:
        given = ", ".join(f"x{i}" for i in range(len(types)))
        values: list[str] = []
        picked: list[str] = []
        for i, (kind, column) in enumerate(zip(types, self.wanted, strict=True)):
            if column is None:
                made = _value(f"x{i}", kind, formats)
            else:
                made = exact_casts.of_text(column, f"x{i}")
            values.append(f"{made} AS c{i}")
            value = f"c{i}" if kind in KEPT_EXACTLY else f"CAST(c{i} AS VARCHAR) AS c{i}"
            picked += [value, f"{_text(i, kind, column)} AS t{i}"]
        self.connection.execute(
            f"COPY (SELECT {', '.join([*picked, *defaults])} FROM (SELECT {given},"
            f" {', '.join(values)} FROM {self.scan} AS source({given})))"
            f" TO {literal(str(self.target))} ({COPY_TO_PARQUET})"
        )


def _text(i: int, kind: str, column: ModelColumn | None) -> str:
    """Return SQL for what a field said where its value does not tell."""
    if kind != "VARCHAR":
        return f"nullif(x{i}, CAST(c{i} AS VARCHAR))"
    return f"CASE WHEN x{i} = '' THEN '' END" if column is None else "CAST(NULL AS VARCHAR)"


def _casts(wanted: Sequence[ModelColumn | None]) -> dict[int, strict.Cast]:
    return {
        i: strict.Cast(column, strict.typed(f"c{i}", column.type), f"t{i}", True, True)
        if column.type != "VARCHAR"
        else strict.Cast(column, f"c{i}")
        for i, column in enumerate(wanted)
        if column is not None
    }


def _sources(
    connection: DuckDBPyConnection,
    inferred: Sequence[str],
    wanted: Sequence[ModelColumn | None],
    target: Path,
) -> dict[int, str]:
    """Return the types that reading the file gives to columns whose type a contract gave."""
    found = {
        i: kind
        for i, (kind, column) in enumerate(zip(inferred, wanted, strict=True))
        if column is not None and (kind != column.type or kind == "VARCHAR")
    }
    while waiting := [i for i, kind in found.items() if kind != "VARCHAR"]:
        counts = ", ".join(
            f"count_if({_misfit_text(f'coalesce(t{i}, CAST(c{i} AS VARCHAR))', found[i])})"
            for i in waiting
        )
        row = connection.execute(
            f"SELECT {counts} FROM read_parquet({literal(str(target))})"
        ).fetchall()[0]
        wrong = [i for i, n in zip(waiting, row, strict=True) if n]
        if not wrong:
            break
        found |= {i: _wider(found[i]) for i in wrong}
    return found


def _value(text: str, kind: str, formats: dict[str, str]) -> str:
    if kind == "VARCHAR":
        return f"nullif({text}, '')"
    if kind in formats:
        return f"CAST(try_strptime({text}, {literal(formats[kind])}) AS {kind})"
    return f"TRY_CAST({text} AS {kind})"


def _check(
    connection: DuckDBPyConnection,
    types: Sequence[str],
    wanted: Sequence[ModelColumn | None],
    target: Path,
) -> tuple[int, list[int], list[int]]:
    """Return how many rows, texts and texts that are not of their column's type there are."""
    counts = ["count(*)"]
    counts += [f"count(t{i})" for i in range(len(types))]
    counts += [
        f"count_if({_misfit(i, kind)})" if column is None else "0"
        for i, (kind, column) in enumerate(zip(types, wanted, strict=True))
    ]
    found = connection.execute(
        f"SELECT {', '.join(counts)} FROM read_parquet({literal(str(target))})"
    ).fetchall()[0]
    width = len(types)
    return found[0], list(found[1 : width + 1]), list(found[width + 1 :])


def _misfit(i: int, kind: str) -> str:
    return "false" if kind == "VARCHAR" else _misfit_text(f"t{i}", kind, f"c{i}")


def _misfit_text(text: str, kind: str, value: str | None = None) -> str:
    value = value or f"TRY_CAST({text} AS {kind})"
    wrong = f"{value} IS NULL"
    if kind in _INTEGERS:  # a cast rounds
        wrong += f" OR TRY_CAST({text} AS DOUBLE) IS DISTINCT FROM CAST({value} AS DOUBLE)"
    elif kind == "DATE":  # and drops the time of day
        wrong += f" OR (TRY_CAST({text} AS TIMESTAMP) IS DISTINCT FROM CAST({value} AS TIMESTAMP)"
        wrong += f" AND TRY_CAST({text} AS TIMESTAMP) IS NOT NULL)"
    return f"{text} <> '' AND ({wrong})"


def _wider(kind: str) -> str:
    return "DOUBLE" if kind in _INTEGERS else "VARCHAR"


# ---------------------------------------------------------------- dialect


def _dialect(path: Path, width: int) -> dict[str, Any]:
    """Return how a file is written: its header as it stands, line ends, what is always quoted."""
    with _opened(path) as file:
        head = file.read(_LONGEST_LINE)
    header = _line(head)
    end = next((end for end in _ENDS if head.startswith(end, len(header))), b"\n")
    first = _line(head, len(header) + len(end))
    delimiter = _delimiter(header.removeprefix(_BOM).decode())
    return {
        "header": header.decode(),
        "delimiter": delimiter,
        "line_end": end.decode(),
        "ends": _ends(path),
        "quoted": _quoted(first.decode(errors="replace"), delimiter, width),
    }


def _line(data: bytes, start: int = 0) -> bytes:
    """Return what stands from ``start`` to the next line end that is in no quotes."""
    found = _LINE.match(data, start)
    return found.group() if found else b""


def _ends(path: Path) -> bool:
    """Whether the last line of a file has a line end; of a gzipped one that is assumed."""
    if path.name.lower().endswith(".gz"):
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) in {b"\n", b"\r"}


def _opened(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def _delimiter(header: str) -> str:
    unquoted = re.sub('"(?:[^"]|"")*"', "", header)
    return next((mark for mark in ",;\t|" if mark in unquoted), ",")


def _quoted(line: str, delimiter: str, width: int) -> list[int]:
    """Return which columns of a row stand in quotes without need."""
    pattern = f'"((?:[^"]|"")*)"|([^{re.escape(delimiter)}]*)'
    fields: list[bool] = []
    at = 0
    while at <= len(line) and len(fields) < width:
        found = re.compile(pattern).match(line, at)
        if found is None:
            break
        inner = found.group(1)
        fields.append(bool(inner) and not re.search(f'[{re.escape(delimiter)}"\r\n]', inner))
        at = found.end() + 1
    return [i for i, needless in enumerate(fields) if needless]


# ---------------------------------------------------------------- back again


def spool(found: ArtifactRows, target: Path) -> None:
    """Write the values as a Parquet file that :func:`spooled` reads."""
    picked = ", ".join(
        f"CAST({_read(column)} AS {_kept_as(column)}) AS {identifier(column.name)}"
        for column in found.rows.columns
    )
    found.connection.execute(
        f"COPY (SELECT {picked} FROM ({found.table})) TO {literal(str(target))} ({COPY_TO_PARQUET})"
    ).fetchall()


def spooled(rows: RowsRecord, scan: str) -> str:
    """Return SQL for the values in a file that :func:`spool` wrote."""
    picked = (
        f"CAST({identifier(column.name)} AS {_read_as(column)}) AS {identifier(column.name)}"
        for column in rows.columns
    )
    return f"(SELECT {', '.join(picked)} FROM {scan})"


def _kept_as(column: StoredColumn) -> str:
    return kind if (kind := _read_as(column)) in KEPT_EXACTLY else "VARCHAR"


def _read_as(column: StoredColumn) -> str:
    return column.source or column.type


def _read(column: StoredColumn) -> str:
    """Return SQL for a value as reading the file gives it, whatever type a schema gave it."""
    if column.source is None:
        return column.staged
    text = f"CAST({column.staged} AS VARCHAR)"
    if column.text is not None:
        text = f"coalesce({column.text}, {text})"
    return f"TRY_CAST(nullif({text}, '') AS {column.source})"


def typed(found: ArtifactRows, columns: Sequence[str] | None, nrows: int | None) -> str:
    """Return SQL for the values, under the names of the source and in its order."""
    by_name = {column.name: column for column in found.rows.columns}
    picked = found.rows.columns if columns is None else [by_name[name] for name in columns]
    names = ", ".join(f"{_read(column)} AS {identifier(column.name)}" for column in picked)
    limit = "" if nrows is None else f" LIMIT {nrows}"
    return f"SELECT {names} FROM ({found.table}){limit}"


def write_csv(found: ArtifactRows, target: Path) -> None:
    """Write a CSV file that says what the source said, in its dialect."""
    recipe = found.rows.recipe
    end = recipe["line_end"]
    line = f" || {literal(recipe['delimiter'])} || ".join(_fields(found.rows))
    statement = f"SELECT {line} AS line FROM ({found.table})"
    reader: Any = found.connection.sql(statement).to_arrow_reader(_LINES_AT_ONCE)
    with _created(target) as file:
        file.write(recipe["header"].encode())
        for batch in reader:
            lines = [end, end.join(batch.column(0).to_pylist())] if batch.num_rows else []
            file.write("".join(lines).encode())
        if recipe["ends"]:
            file.write(end.encode())


def _created(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "wb", compresslevel=6))
    return path.open("wb")


def _fields(rows: RowsRecord) -> list[str]:
    always = set(rows.recipe["quoted"])
    special = literal(f'[{re.escape(rows.recipe["delimiter"])}"\\r\\n]')
    fields: list[str] = []
    for i, column in enumerate(rows.columns):
        text = f"CAST({column.staged} AS VARCHAR)"
        if column.text is not None:
            text = f"coalesce({column.text}, {text})"
        if i in always:
            quote = "true"
        elif column.text is None and column.type in _PLAIN:
            quote = "false"
        else:
            quote = f"{text} = '' OR regexp_matches({text}, {special})"
        in_quotes = f"'\"' || replace({text}, '\"', '\"\"') || '\"'"
        fields.append(
            f"CASE WHEN {text} IS NULL THEN '' WHEN {quote} THEN {in_quotes} ELSE {text} END"
        )
    return fields
