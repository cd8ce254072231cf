"""One SQL text for the rows of many artifacts: ingested ones, and those in files.

Each table of ingested rows and each set of files of one format is read by one scan, whose rows are
joined with the members that they belong to. Columns are united by name, whatever their case.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from consist.errors import FileGone
from consist.formats import sql
from consist.formats.csv import CsvDriver
from consist.formats.parquet import ParquetDriver
from consist.store.database import ALIAS
from consist.store.global_tables import SCHEMA, TEXT, common_type, identifier, literal
from consist.views.alike import alike
from consist.views.members import Member
from consist.views.partitions import hive_values, partition_types
from consist.views.parts import FILE, PLACE, SYSTEM_COLUMNS, Keep, Layout, Part
from consist.views.places import Place, Stamp, place_of
from consist.views.unjoined import unjoined

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.views.links import Links
    from consist.workspace import Workspace

logger = logging.getLogger("consist.views")

Mode = Literal["hybrid", "hot_only", "cold_only"]
Missing = Literal["warn", "error", "skip_silent"]


def united_sql(
    ws: Workspace,
    connection: DuckDBPyConnection,
    members: Iterable[Member],
    layout: Layout | None = None,
    *,
    mode: Mode = "hybrid",
    missing_files: Missing = "warn",
    name: str = "view",
    links: Links | None = None,
    keep: Keep | None = None,
) -> str:
    """Return the statement that a view over some members is made of.

    Parameters
    ----------
    ws : Workspace
        Knows where files are, and how they are read.
    connection : DuckDBPyConnection
        As ``ws.store.ask()`` yields it.
    members : iterable of Member
        What is shown, in order.
    layout : Layout, optional
        The columns that come first and last.
    mode : {"hybrid", "hot_only", "cold_only"}
        Ingested artifacts from their rows and all others from their files; only the former; or
        whatever has a file, from its file.
    missing_files : {"warn", "error", "skip_silent"}
        What happens where the recorded bytes of an artifact are gone.
    name : str
        What warnings call the view.
    links : Links, optional
        For a view that is stored in the database: files are read through these.
    keep : callable, optional
        Keeps a relation where it need not be evaluated for each question; returns its new name.

    Raises
    ------
    FileGone
        With ``missing_files="error"``, naming the first file that is gone.
    """
    layout = layout or Layout()
    catalog = "memory" if links is None else ALIAS
    stored = _stored_tables(connection, catalog)
    hot: dict[str, list[Member]] = {}
    cold: list[Member] = []
    for member in members:
        table = _table_of(member, stored)
        if table is not None and mode != "cold_only":
            hot.setdefault(table, []).append(member)
        elif mode != "hot_only" and ws.formats.driver(member.record.driver).kind == "table":
            cold.append(member)
    # What is stored in the database must not say what the database is called here.
    schema = SCHEMA if links is not None else f"memory.{SCHEMA}"
    parts: list[Part] = []
    for table, mine in hot.items():
        part = _hot_part(schema, table, stored[table], mine, layout)
        parts.append(part if links is not None else unjoined(connection, table, part, layout))
    groups = _cold_groups(ws, cold, layout, missing_files, name)
    for (driver, keys), rows in groups.items():
        parts += _cold_parts(ws, connection, driver, rows, keys, layout, links)
    return _statement(connection, parts, layout, keep)


# ---------------------------------------------------------------- hot


def _stored_tables(
    connection: DuckDBPyConnection, catalog: str
) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the tables of ingested rows that a question sees, with their columns."""
    found = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = ? AND schema_name = ? ORDER BY table_name, column_index",
        [catalog, SCHEMA],
    )
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for table, column, kind in found.fetchall():
        columns = tables.setdefault(table, {})
        if not (column.startswith(TEXT) or column.lower() in SYSTEM_COLUMNS):
            columns[column.lower()] = (column, kind)
    return tables


def _table_of(member: Member, stored: Mapping[str, object]) -> str | None:
    meta = member.record.meta
    table = meta.get("dlt_table_name") if meta.get("is_ingested") else None
    if table is None or table in stored:
        return table
    return next((known for known in stored if known.lower() == str(table).lower()), None)


def _hot_part(
    schema: str,
    table: str,
    columns: Mapping[str, tuple[str, str]],
    members: Sequence[Member],
    layout: Layout,
) -> Part:
    on = "consist_artifact_id"
    rows = [_values(member, layout) | {FILE: member.record.id} for member in members]
    return Part(f"{schema}.{identifier(table)}", columns, on, "artifact", on, rows)


# ---------------------------------------------------------------- cold

_Groups = dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]]
"""What members say of each file, by driver and the columns that folders name."""


def _cold_groups(
    ws: Workspace, members: Iterable[Member], layout: Layout, missing_files: Missing, name: str
) -> _Groups:
    groups: _Groups = {}
    for member in members:
        driver = member.record.driver
        place = place_of(ws, member.record, ws.formats.driver(driver).suffixes)
        if place.why is not None:
            _pass_over(ws, member, place, missing_files, name)
        for file in place.files:
            values = hive_values(place.path, file)
            row = _values(member, layout) | {FILE: file} | values
            groups.setdefault((driver, tuple(values)), []).append(row)
    return groups


def _cold_parts(
    ws: Workspace,
    connection: DuckDBPyConnection,
    driver: str,
    rows: list[dict[str, Any]],
    keys: tuple[str, ...],
    layout: Layout,
    links: Links | None,
) -> Iterator[Part]:
    """Yield scans of files of one format; those of Parquet files of one layout are cheaper."""
    types = partition_types(keys, rows)
    reader = ws.formats.driver(driver)
    files = list(dict.fromkeys(str(row[FILE]) for row in rows))
    if links is not None:
        yield _linked_part(ws, connection, driver, rows, types, layout, links)
        return
    if not isinstance(reader, ParquetDriver):
        scan, there = _read(ws, connection, driver, files, layout)
        yield _cold_part(scan, there, files, rows, types, placed=isinstance(reader, CsvDriver))
        return
    by_file: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_file.setdefault(str(row[FILE]), []).append(row)
    for same, group in alike(ws, connection, files):
        scan = (reader.scan_alike if same else reader.scan)(group, filename=FILE)
        there = sql.columns_of(connection, scan)
        mine = [row for file in group for row in by_file[file]]
        yield _cold_part(scan, there, group, mine, types, placed=True)


def _read(
    ws: Workspace, connection: DuckDBPyConnection, driver: str, files: list[str], layout: Layout
) -> tuple[str, dict[str, str]]:
    """Return a scan of files of any layout, and its columns."""
    reader = ws.formats.driver(driver)
    scan = reader.scan(files, filename=FILE)
    there = sql.columns_of(connection, scan)
    if isinstance(reader, CsvDriver) and (types := _told_types(layout, there)):
        scan = reader.scan_as(files, types, filename=FILE)
        there = sql.columns_of(connection, scan)
    return scan, there


def _cold_part(
    scan: str,
    there: Mapping[str, str],
    files: Sequence[str],
    rows: list[dict[str, Any]],
    types: dict[str, str],
    *,
    placed: bool,
) -> Part:
    """Return a scan that is joined by the places of files in its list, if DuckDB tells them."""
    columns = _of_data(there, types)
    if not placed or PLACE in {name.lower() for name in there}:
        return Part(scan, columns, FILE, "file", FILE, rows, types)
    place = {file: number for number, file in enumerate(files)}
    rows = [row | {FILE: place[str(row[FILE])]} for row in rows]
    return Part(scan, columns, PLACE, "file", FILE, rows, types, kind="UBIGINT")


def _linked_part(
    ws: Workspace,
    connection: DuckDBPyConnection,
    driver: str,
    rows: list[dict[str, Any]],
    types: dict[str, str],
    layout: Layout,
    links: Links,
) -> Part:
    files = list(dict.fromkeys(str(row[FILE]) for row in rows))
    scan, there = _read(ws, connection, driver, files, layout)
    linked = links.link(driver, _data_columns(there), files)
    if linked is not None:
        pattern = literal(links.pattern(linked.values()))
        scan = scan.replace(sql.file_list(driver, files), pattern)
        rows = [row | {FILE: linked[row[FILE]]} for row in rows]
    return Part(scan, _of_data(there, types), FILE, "file", FILE, rows, types)


def _of_data(there: Mapping[str, str], partitions: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    named = {key.lower() for key in partitions}
    found = _data_columns(there)
    return {name.lower(): (name, kind) for name, kind in found if name.lower() not in named}


def _data_columns(there: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (column, kind)
        for column, kind in there.items()
        if column != FILE and column.lower() not in SYSTEM_COLUMNS
    ]


_TOLD = ("VARCHAR", "DOUBLE", "FLOAT", "REAL", "DATE", "TIMESTAMP", "TIME", "BOOLEAN", "DECIMAL")


def _told_types(layout: Layout, there: Mapping[str, str]) -> dict[str, str]:
    """Return the model's types of the columns of a text file, which are not to be guessed.

    Whole numbers are: told to read 3.7 as one, DuckDB would round it.
    """
    kinds = {name.lower(): kind for name, kind in layout.columns.items()}
    told = {column: kinds.get(column.lower(), "") for column in there}
    return {column: kind for column, kind in told.items() if kind.startswith(_TOLD)}


def cold_places(ws: Workspace, members: Iterable[Member]) -> dict[str, Stamp]:
    """Return what was seen where the files of members are, by path, when it was last looked at."""
    known: Mapping[str, Place] = ws.memory.get("view_places", {})
    found = (known.get(member.record.id) for member in members)
    return {place.path: place.stamp for place in found if place is not None}


def _pass_over(
    ws: Workspace, member: Member, place: Place, missing_files: Missing, name: str
) -> None:
    """Say once that the bytes of an artifact are not shown."""
    record = member.record
    if missing_files == "error":
        raise FileGone(record.key, (place.path,))
    said: set[tuple[str, str, str]] = ws.memory.setdefault("views_said", set())
    fact = (name, record.id, str(place.why))
    if missing_files == "skip_silent" or fact in said:
        return
    said.add(fact)
    reason = {
        "gone": "a missing file",
        "changed": "a file that no longer holds what was recorded",
        "untrusted": "a file in a folder that only the database names",
    }[str(place.why)]
    logger.warning(
        "[Consist] %s passes over %s: %s (%r of run %r)",
        name, reason, place.path, record.key, member.run_id,
    )  # fmt: skip


def _values(member: Member, layout: Layout) -> dict[str, Any]:
    system = {
        "consist_run_id": member.run_id,
        "consist_artifact_id": member.record.id,
        "consist_year": member.year,
        "consist_iteration": member.iteration,
        "consist_scenario_id": member.scenario,
    }
    attached = {name: member.attached.get(name) for name in layout.attached}
    return attached | (system if layout.system else {})


# ---------------------------------------------------------------- SQL


def _statement(
    connection: DuckDBPyConnection, parts: Sequence[Part], layout: Layout, keep: Keep | None
) -> str:
    columns = _columns(connection, parts, layout)
    if not parts:
        return f"SELECT {_empty({**columns, **layout.of_members})} WHERE false"
    return " UNION ALL ".join(_part_sql(connection, part, columns, layout, keep) for part in parts)


def broken_sql(layout: Layout, why: str) -> str:
    """Return a statement with the columns of a layout that fails when it is executed."""
    columns = _empty({**layout.columns, **layout.of_members})
    return f"SELECT {columns or '1 AS nothing'} WHERE CAST(error({literal(why)}) AS BOOLEAN)"


def _empty(columns: Mapping[str, str]) -> str:
    return ", ".join(
        f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in columns.items()
    )


def _columns(
    connection: DuckDBPyConnection, parts: Sequence[Part], layout: Layout
) -> dict[str, str]:
    """Return the columns of the data: the model's, then others as they first appear."""
    names = {name.lower(): name for name in layout.columns}
    kinds = {name.lower(): kind for name, kind in layout.columns.items()}
    taken = {name.lower() for name in layout.of_members}
    fixed = set(names)
    for part in parts:
        found = [*part.columns.values(), *part.partitions.items()]
        for name, kind in found:
            key = name.lower()
            if key in fixed or key in taken:
                continue
            names.setdefault(key, name)
            kinds[key] = common_type(connection, kinds.get(key, kind), kind)
    return {name: kinds[key] for key, name in names.items()}


def _part_sql(
    connection: DuckDBPyConnection,
    part: Part,
    columns: Mapping[str, str],
    layout: Layout,
    keep: Keep | None,
) -> str:
    partitions = {name.lower(): (name, kind) for name, kind in part.partitions.items()}
    picked: list[str] = []
    for name, kind in columns.items():
        key = name.lower()
        side, known = ("m", partitions[key]) if key in partitions else ("f", part.columns.get(key))
        value = _value(connection, side, known, (name, kind), part)
        picked.append(f"{value} AS {identifier(name)}")
    if part.own is not None:
        picked += [f"{part.own[name]} AS {identifier(name)}" for name in layout.of_members]
        return f"SELECT {', '.join(picked)} FROM {part.scan} f"
    picked += [f"m.{identifier(name)}" for name in layout.of_members]
    members = members_sql(part.rows, {FILE: part.kind, **layout.of_members, **part.partitions})
    members = members if keep is None else keep(members)
    return (
        f"SELECT {', '.join(picked)} FROM {part.scan} f JOIN {members} m ON f.{part.on} = m.{FILE}"
    )


_WHOLE = {f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")} | {
    "INTEGER",
    "UINTEGER",
}


def _value(
    connection: DuckDBPyConnection,
    side: str,
    known: tuple[str, str] | None,
    wanted: tuple[str, str],
    part: Part,
) -> str:
    """Return the value of a column in the type of the view; what has none there is an error."""
    name, kind = wanted
    if known is None:
        return f"CAST(NULL AS {kind})"
    value = f"{side}.{identifier(known[0])}"
    if known[1] == kind:
        return value
    if common_type(connection, known[1], kind) == kind:
        return f"CAST({value} AS {kind})"
    there = f"TRY_CAST({value} AS {kind})"
    fits = f"{there} IS NOT NULL"
    if kind in _WHOLE and known[1] in {"FLOAT", "DOUBLE"}:
        fits = f"{there} = {value}"
    text = (
        f"{literal(f'column {name} of {part.where} ')} || f.{part.named} || ' holds ' || {value}"
        f" || {literal(f', which is no {kind}')}"
    )
    return f"CASE WHEN {value} IS NULL OR {fits} THEN {there} ELSE error({text}) END"


def failing_sql(connection: DuckDBPyConnection, text: str, message: str) -> str:
    """Return a statement of the same columns that raises whatever is asked of it."""
    failing = f"error({literal(message)})"
    described = connection.execute(f"DESCRIBE {text}").fetchall()
    columns = ", ".join(f"CAST({failing} AS {row[1]}) AS {identifier(row[0])}" for row in described)
    return f"SELECT {columns} WHERE {failing} IS NULL"


def members_sql(rows: Iterable[Mapping[str, object]], columns: Mapping[str, str]) -> str:
    """Return a relation of given rows; as one literal, it takes no time to parse."""
    text = msgspec.json.encode([{name: row.get(name) for name in columns} for row in rows]).decode()
    structure = msgspec.json.encode([dict(columns)]).decode()
    return f"(SELECT unnest(from_json({literal(text)}, {literal(structure)}), max_depth := 2))"
