"""Take the rows of an artifact into the database."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from consist.active import ActiveRun
from consist.errors import (
    ArtifactChanged,
    ConsistError,
    FileGone,
    NoActiveRun,
    ReadOnlyTracker,
    TrackerClosed,
    UnsupportedFormat,
    WrongType,
    a_kind,
    hint,
)
from consist.hot import csv_rows, given_rows, other_rows, parquet_rows, strict
from consist.hot.conflicts import refuse_conflicts, remember, shapes_told
from consist.hot.naming import table_name
from consist.hot.schemas import with_schemas
from consist.hot.staged_rows import MEMORY, StagedRows, clear_workplaces, in_memory
from consist.hot.strict import Contract, contract_of
from consist.identity.files import FAST
from consist.models.record import ArtifactRecord, IngestEvent, RowsRecord, replace
from consist.progress import working

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from duckdb import DuckDBPyConnection
    from sqlmodel import SQLModel

    from consist.models.artifact import Artifact
    from consist.models.run import Run
    from consist.store.staging import StagedFile
    from consist.workspace import Workspace

logger = logging.getLogger("consist.hot")


_SMALL = 1 << 20
"""Bytes of a file up to which its rows are staged without an instance of DuckDB of their own."""


class IngestResult(msgspec.Struct, frozen=True):
    """What was ingested.

    Attributes
    ----------
    table : str
        Where the rows are: ``global_tables.<table>``.
    rows : int
        How many there are.
    columns : dict
        DuckDB types by the names that the columns have there.
    run_id : str
        The run that the rows are tagged with.
    children : dict
        Number of rows by the names of the tables that records inside the rows became.
    """

    table: str
    rows: int
    columns: dict[str, str]
    run_id: str
    children: dict[str, int] = {}


class _Owner(msgspec.Struct, frozen=True):
    """The run that rows are tagged with, and the active one that tells of it."""

    uid: str
    run_id: str
    year: int | None
    iteration: int | None
    active: ActiveRun | None = None


def ingest(
    ws: Workspace,
    artifact: Artifact,
    data: Iterable[dict[str, Any]] | Any = None,
    schema: type[SQLModel] | None = None,
    run: Run | None = None,
    profile_schema: bool = True,
) -> IngestResult | None:
    """Take the rows of an artifact into the database, into ``global_tables.<key in snake case>``.

    The table has the columns of the file and ``consist_run_id``, ``consist_artifact_id``,
    ``consist_year`` and ``consist_iteration``; the rows of all artifacts of one key share it.
    Ingesting an artifact again replaces its rows. What was ingested can be given back when the file
    is gone, also from a copy of the database file alone: as a frame or relation, and, of CSV and
    Parquet files, as a file that says what the original said.

    Inside a run the rows are acknowledged when the call returns: they survive the end of the
    process and every question sees them. The call does not wait for the database. Outside a run
    they are in the database when it returns.

    Parameters
    ----------
    artifact : Artifact
        The recorded artifact whose rows they are.
    data : DataFrame, Arrow data, dlt source or iterable of dicts or tables, optional
        The rows; by default those of the artifact's file. Frames of pandas and polars, lazy ones
        too, and tables, readers and datasets of Arrow are taken; streams are read in bounded
        batches. Records inside records become tables of their own, such as ``trips__legs``, by
        dlt (extra ``ingest``); lists of plain values stay columns.
    schema : type, optional
        SQLModel class that the rows are held to: its columns, types and rules. By default the
        class registered under the name that the artifact was logged with, if there is one.
    run : Run, optional
        The run to tag the rows with; by default the active one, outside a run the one that
        produced the artifact.
    profile_schema : bool, default True
        Let ``artifact.meta["schema_summary"]`` tell the columns and the number of rows.

    Returns
    -------
    IngestResult or None
        Table, columns and number of rows; ``None`` where nothing is kept, as with a tracker that
        does nothing and in runs of cache mode ``"readonly"``.

    Raises
    ------
    RuntimeError
        Without a database, with a tracker that may only look, outside a run for an artifact that
        no run produced, or, outside a run, if somebody else holds the database (``StoreLocked``).
    FileNotFoundError
        If the file is gone and ``data`` is not given.
    ValueError
        If the file was changed since it was recorded, or its format or the data make no table;
        if a column cannot be one with that of the same name in the table (``ColumnConflict``); if
        the rows break the schema (``SchemaViolation``, which tells column, rule and first
        rows), or the schema asks for what cannot be checked (``ModelUnusable``). Nothing is left
        of such an ingest.
    ImportError
        For records inside records, and sources of dlt, if dlt is not installed.
    """
    if not ws.keeps:
        return None
    _check_allowed(ws)
    record = _record_of(artifact)
    contract = contract_of(ws, record, schema)
    owner = _owner(ws, record, run)
    if owner.active is not None and not owner.active.persisted:
        return None
    with ExitStack() as places:
        places.enter_context(working(f"ingesting {record.key}", shown=ws.settings.progress))
        staged = places.enter_context(ws.store.stage())
        places.callback(clear_workplaces, staged.path)
        rows = _stage(ws, record, data, staged, contract)
        table = table_name(record.key) if contract is None else contract.table
        event = _event(record, owner, rows, staged, table, profile=profile_schema)
        event, children = _with_children(
            event, rows, lambda: places.enter_context(ws.store.stage())
        )
        refuse_conflicts(ws, event, staged.path, offline=owner.active is None)
        if profile_schema:
            event = with_schemas(ws, owner.active, event, schema)
        told = shapes_told(ws, event, staged.path)
        if owner.active is not None:
            ws.store.ingest(event, staged, *children)
            owner.active.tell(event.artifact, event.news)
        else:
            ws.store.ingest_now(event, staged, *children)
        remember(ws, event, told)
    artifact.meta = {**artifact.meta, **event.news}
    columns = {column.stored: column.type for column in (*rows.columns, *rows.added)}
    tables = {child.table: child.count for child in event.rows.children}
    return IngestResult(event.rows.table, rows.count, columns, owner.run_id, tables)


def _check_allowed(ws: Workspace) -> None:
    if ws.closed:
        raise TrackerClosed("ingest")
    if ws.access_mode == "read_only":  # adding rows to what was recorded is analysis
        raise ReadOnlyTracker("ingest", ws.access_mode)
    ws.check_database("ingest")


def _record_of(artifact: object) -> ArtifactRecord:
    to_record: Callable[[], ArtifactRecord] | None = getattr(artifact, "to_record", None)
    if to_record is None:
        problem = WrongType(f"cannot ingest {a_kind(artifact)}: pass an Artifact")
        raise hint(problem, "log the file first: artifact = tracker.log_artifact(path, key=...)")
    return to_record()


# ---------------------------------------------------------------- whose rows


def _owner(ws: Workspace, record: ArtifactRecord, run: object) -> _Owner:
    """Return the run to tag rows with: the one given, the active one, the one that produced."""
    if run is None:
        active = ws.active.guess()
        run_id = record.run_id if active is None else active.run_id
    else:
        run_id = getattr(run, "id", None)
        if not isinstance(run_id, str):
            raise WrongType(f"run={run!r} is {a_kind(run)}, not a Run")
        active = None
    if run_id is None:
        problem = NoActiveRun("ingest", tuple(open_.run_id for open_ in ws.active))
        raise hint(problem, "ingest inside a run, or pass run= of a finished one")
    active = active or ws.active.by_id(run_id)
    if active is not None:
        known = active.record
        return _Owner(known.uid, known.id, known.year, known.iteration, active)
    return _recorded_owner(ws, run_id)


def _recorded_owner(ws: Workspace, run_id: str) -> _Owner:
    with ws.store.ask() as connection:
        found = connection.execute(
            "SELECT uid, id, year, iteration FROM run WHERE id = ?", [run_id]
        ).fetchall()
    if not found:
        raise hint(NoActiveRun("ingest"), f"run {run_id!r} is not in {ws.db_path}")
    return _Owner(*found[0])


def _event(
    record: ArtifactRecord,
    owner: _Owner,
    rows: StagedRows,
    staged: StagedFile,
    table: str,
    *,
    profile: bool,
) -> IngestEvent:
    news: dict[str, Any] = {"is_ingested": True, "dlt_table_name": table}
    if profile:
        types = {column.name: column.type for column in rows.columns}
        news["schema_summary"] = {"table_name": table, "n_rows": rows.count, "columns": types}
    return IngestEvent(
        uid=owner.uid,
        run_id=owner.run_id,
        year=owner.year,
        iteration=owner.iteration,
        artifact=replace(record, meta={**record.meta, **news}),
        news=news,
        rows=RowsRecord(
            table=table,
            file=staged.name,
            count=rows.count,
            columns=rows.columns,
            recipe=rows.recipe,
            added=rows.added,
            first=rows.first,
        ),
        at=datetime.now(UTC),
    )


def _with_children(
    event: IngestEvent, rows: StagedRows, stage: Callable[[], StagedFile]
) -> tuple[IngestEvent, list[StagedFile]]:
    """Let an event tell of the tables that records inside the rows became."""
    table = event.rows.table
    files: list[StagedFile] = []
    told: list[RowsRecord] = []
    for child in rows.children:
        staged = stage()
        shutil.copyfile(child.path, staged.path)
        files.append(staged)
        told.append(
            RowsRecord(
                table=f"{table}{child.suffix}",
                file=staged.name,
                count=child.rows.count,
                columns=child.rows.columns,
                recipe=child.rows.recipe,
                parent=table,
            )
        )
    return replace(event, rows=replace(event.rows, children=tuple(told))), files


# ---------------------------------------------------------------- which rows


def _stage(
    ws: Workspace,
    record: ArtifactRecord,
    data: object,
    staged: StagedFile,
    contract: Contract | None,
) -> StagedRows:
    import duckdb

    if data is not None:

        def work(connection: DuckDBPyConnection) -> StagedRows:
            rows = given_rows.stage_data(connection, data, record.key, staged.path)
            rows = _held(connection, rows, staged, contract)
            return dataclasses.replace(rows, recipe={**rows.recipe, "given": True})

        small, again = given_rows.is_small(data), False  # a stream is read once
    else:
        path = _source(ws, record)
        stage = _stager(ws, record, path, contract)

        def work(connection: DuckDBPyConnection) -> StagedRows:
            return _held(connection, stage(connection, path, staged.path), staged, contract)

        small, again = _is_small(record, path), True
    if small:
        # An instance of its own costs more than a few rows do. Where this one is closed, by a
        # merge that fails, or lacks memory, another tells; so it does what is wrong with the rows.
        with suppress(ConsistError, duckdb.Error), ws.store.scratch() as connection:
            return work(connection)
    spill = staged.path.with_suffix(".spill")
    try:
        with in_memory(spill, MEMORY) as connection:
            return work(connection)
    except duckdb.OutOfMemoryException:  # very wide rows
        if not again:
            raise
        with in_memory(spill) as connection:
            return work(connection)


def _is_small(record: ArtifactRecord, path: Path) -> bool:
    """Whether a file takes no memory to speak of, and is read without making views."""
    plain = record.driver in {"csv", "parquet"} and path.is_file() and path.suffix != ".gz"
    return plain and path.stat().st_size <= _SMALL


def _held(
    connection: DuckDBPyConnection, rows: StagedRows, staged: StagedFile, contract: Contract | None
) -> StagedRows:
    """Hold staged rows to their contract; those of CSV files were, from their text."""
    if contract is None or rows.recipe["format"] == csv_rows.FORMAT:
        return rows
    held = strict.held_to(connection, rows, staged.path, contract)
    return dataclasses.replace(held, children=rows.children)


def _stager(
    ws: Workspace, record: ArtifactRecord, path: Path, contract: Contract | None
) -> Callable[[DuckDBPyConnection, Path, Path], StagedRows]:
    match record.driver:
        case "csv":
            return partial(csv_rows.stage_csv, contract=contract)
        case "parquet":
            return other_rows.stage_folder if path.is_dir() else parquet_rows.stage_parquet
        case "json":
            return partial(other_rows.stage_json, ws.formats.driver("json"))
        case name:
            driver = ws.formats.driver(name)
            if driver.kind == "table":
                return partial(other_rows.stage_table, driver)
            problem = UnsupportedFormat(name, f"ingest {record.key!r} from its file")
            raise hint(problem, "load it yourself and pass the rows as data=")


def _source(ws: Workspace, record: ArtifactRecord) -> Path:
    """Return the file of an artifact, whose bytes are the recorded ones."""
    path = ws.path_of(record)
    if not path.exists():
        problem = FileGone(record.key, (str(path),))
        raise hint(problem, "pass the rows as data=, or run the step that made it again")
    if record.hash is not None and not ws.files.is_same(path, record.hash):
        if record.hash.startswith(FAST):
            logger.warning("[Consist] %r was recorded by size and time, which differ", record.key)
            return path
        later = ws.store.overwritten(record)
        problem = ArtifactChanged(
            record.key,
            str(path),
            record.hash,
            ws.files.digest(path),
            record.run_id,
            None if later is None else later.run_id,
        )
        raise hint(problem, "log the file as it is now, and ingest that artifact")
    return path
