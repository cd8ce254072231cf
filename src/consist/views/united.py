"""One SQL text for the rows of many artifacts: ingested ones, and those in files.

Each table of ingested rows and each set of files of one format is read by one scan, whose rows are
joined with the members that they belong to. Columns are united by name, whatever their case.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from consist.errors import FileGone
from consist.formats import sql
from consist.formats.csv import CsvDriver
from consist.store.database import ALIAS
from consist.store.global_tables import SCHEMA, TEXT, common_type, identifier, literal
from consist.views.members import Member
from consist.views.partitions import hive_values, partition_types
from consist.views.places import Place, Stamp, place_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.views.links import Links
    from consist.workspace import Workspace

logger = logging.getLogger("consist.views")

Mode = Literal["hybrid", "hot_only", "cold_only"]
Missing = Literal["warn", "error", "skip_silent"]

SYSTEM_COLUMNS = {
    "consist_run_id": "VARCHAR",
    "consist_artifact_id": "VARCHAR",
    "consist_year": "INTEGER",
    "consist_iteration": "INTEGER",
    "consist_scenario_id": "VARCHAR",
}
_FILE = "consist_file"


@dataclass(frozen=True)
class Layout:
    """The columns that a view has beside what the data bring.

    Attributes
    ----------
    columns : mapping of str to str
        Of the model: name to DuckDB type, in its order; they come first.
    attached : mapping of str to str
        Those that each member has one value of, which is in its ``attached``.
    system : bool
        Whether the five columns of provenance are shown.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    attached: Mapping[str, str] = field(default_factory=dict[str, str])
    system: bool = True

    @property
    def of_members(self) -> dict[str, str]:
        """The columns that come from members."""
        return {**self.attached, **(SYSTEM_COLUMNS if self.system else {})}


@dataclass(frozen=True)
class Part:
    """One scan: SQL for its rows and their columns, and the members it is joined with.

    ``columns`` are name and type by lower-case name. ``on`` is the column of the scan by which a
    row finds its members; ``rows`` are the members' values.
    """

    scan: str
    columns: Mapping[str, tuple[str, str]]
    on: str
    where: str
    rows: Sequence[Mapping[str, object]]
    partitions: Mapping[str, str]


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
    parts = [_hot_part(schema, table, stored[table], mine, layout) for table, mine in hot.items()]
    groups = _cold_groups(ws, cold, layout, missing_files, name)
    parts += [
        _cold_part(ws, connection, driver, rows, keys, layout, links)
        for (driver, keys), rows in groups.items()
    ]
    return _statement(connection, parts, layout)


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
    rows = [_values(member, layout) | {_FILE: member.record.id} for member in members]
    return Part(f"{schema}.{identifier(table)}", columns, on, "artifact", rows, {})


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
            row = _values(member, layout) | {_FILE: file} | values
            groups.setdefault((driver, tuple(values)), []).append(row)
    return groups


def _cold_part(
    ws: Workspace,
    connection: DuckDBPyConnection,
    driver: str,
    rows: list[dict[str, Any]],
    keys: tuple[str, ...],
    layout: Layout,
    links: Links | None,
) -> Part:
    files = list(dict.fromkeys(str(row[_FILE]) for row in rows))
    reader = ws.formats.driver(driver)
    scan = reader.scan(files, filename=_FILE)
    there = sql.columns_of(connection, scan)
    if isinstance(reader, CsvDriver) and (types := _told_types(layout, there)):
        scan = reader.scan_as(files, types, filename=_FILE)
        there = sql.columns_of(connection, scan)
    found = [
        (column, kind)
        for column, kind in there.items()
        if column != _FILE and column.lower() not in SYSTEM_COLUMNS
    ]
    types = partition_types(keys, rows)
    named = {key.lower() for key in types}
    columns = {name.lower(): (name, kind) for name, kind in found if name.lower() not in named}
    linked = None if links is None else links.link(driver, found, files)
    if links is not None and linked is not None:
        pattern = literal(links.pattern(linked.values()))
        scan = scan.replace(sql.file_list(driver, files), pattern)
        rows = [row | {_FILE: linked[row[_FILE]]} for row in rows]
    return Part(scan, columns, _FILE, "file", rows, types)


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


def _statement(connection: DuckDBPyConnection, parts: Sequence[Part], layout: Layout) -> str:
    columns = _columns(connection, parts, layout)
    if not parts:
        return f"SELECT {_empty({**columns, **layout.of_members})} WHERE false"
    return " UNION ALL ".join(_part_sql(connection, part, columns, layout) for part in parts)


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
    connection: DuckDBPyConnection, part: Part, columns: Mapping[str, str], layout: Layout
) -> str:
    partitions = {name.lower(): (name, kind) for name, kind in part.partitions.items()}
    picked: list[str] = []
    for name, kind in columns.items():
        key = name.lower()
        side, known = ("m", partitions[key]) if key in partitions else ("f", part.columns.get(key))
        value = _value(connection, side, known, (name, kind), part)
        picked.append(f"{value} AS {identifier(name)}")
    picked += [f"m.{identifier(name)}" for name in layout.of_members]
    spec = {_FILE: "VARCHAR", **layout.of_members, **part.partitions}
    return (
        f"SELECT {', '.join(picked)} FROM {part.scan} f JOIN {members_sql(part.rows, spec)} m"
        f" ON f.{part.on} = m.{_FILE}"
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
        f"{literal(f'column {name} of {part.where} ')} || f.{part.on} || ' holds ' || {value}"
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
