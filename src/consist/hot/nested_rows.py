"""Records inside records, and sources of dlt: dlt makes flat tables of them, which are staged.

dlt works in a folder of its own beside the staged rows, which goes when they are acknowledged. It
never sees the database: what it made is stored as all other rows are, exactly once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.errors import MissingExtra, UsageError, hint
from consist.formats.sql import identifier, literal
from consist.hot.parquet_rows import stage_parquet
from consist.hot.staged_rows import COPY_TO_PARQUET, ChildRows, StagedRows, workplace
from consist.models.record import StoredColumn

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROOT = "rows"
_ORDER = "consist_row_order"
_DATASET = "tables"
_OWN = "_dlt_"
_QUIET = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "NORMALIZE__WORKERS": "1",
    "LOAD__WORKERS": "1",
}
_environment = threading.Lock()


def is_of_dlt(value: object) -> bool:
    """Whether a value is a source or resource of dlt, without importing dlt."""
    return any(kind.__module__.partition(".")[0] == "dlt" for kind in type(value).__mro__)


def working_folder(target: Path) -> Path:
    """Return where dlt works, and where the tables of records inside records are then."""
    return workplace(target, "nested")


def stage_nested(connection: DuckDBPyConnection, data: Any, key: str, target: Path) -> StagedRows:
    """Stage records that hold records, or what a source or resource of dlt yields.

    Parameters
    ----------
    connection : DuckDBPyConnection
        An instance to convert in.
    data : object
        An iterable of dicts, or a source or resource of dlt.
    key : str
        Names the rows in errors.
    target : Path
        The staged file of the outermost rows. The tables of the others are in
        :func:`working_folder`, for the caller to remove.

    Raises
    ------
    MissingExtra
        If dlt is not installed.
    UsageError
        If there are no rows.
    """
    folder = working_folder(target)
    folder.mkdir(exist_ok=True)
    database = folder / "made.duckdb"
    with _quiet(folder):
        names = _normalise(data, folder, database)
    connection.execute(f"ATTACH {literal(str(database))} AS made (READ_ONLY)")
    try:
        return _staged(connection, names, key, target)
    finally:
        connection.execute("DETACH made")


@contextmanager
def _quiet(folder: Path) -> Generator[None]:
    """Let dlt neither report home, nor write there, nor to the terminal."""
    with _environment:
        wanted = {**_QUIET, "DLT_DATA_DIR": str(folder / "home")}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _normalise(data: Any, folder: Path, database: Path) -> list[str]:
    """Let dlt fill a database; return what the outermost tables are called, the first one first."""
    try:
        import dlt
        from dlt.common.configuration.container import Container
        from dlt.common.pipeline import PipelineContext
    except ImportError as error:
        raise MissingExtra("ingesting records inside records, or from dlt,", "ingest") from error
    problems: list[BaseException] = []
    given = data
    if not is_of_dlt(data):
        given = dlt.resource(_numbered(data, problems), name=_ROOT)
    context: Any = Container()[PipelineContext]
    active = context.pipeline() if context.is_active() else None
    pipeline = dlt.pipeline(
        f"consist_{folder.stem.strip('.').replace('-', '_')}",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(database)),
        dataset_name=_DATASET,
    )
    try:
        pipeline.run(given, loader_file_format="parquet")
        tables: Mapping[str, Any] = pipeline.default_schema.tables
    except Exception as error:
        if problems:  # what the rows raised says more than what dlt makes of it
            raise problems[0] from error
        raise
    finally:
        pipeline.deactivate()
        if active is not None:
            context.activate(active)
    return [
        name
        for name, table in tables.items()
        if not name.startswith(_OWN) and table.get("parent") is None
    ]


def _numbered(
    rows: Iterable[Mapping[str, Any]], problems: list[BaseException]
) -> Iterator[dict[str, Any]]:
    """Yield rows with their number: dlt may store them in another order."""
    try:
        for number, row in enumerate(rows):
            yield {**row, _ORDER: number}
    except Exception as error:
        problems.append(error)
        raise


# ---------------------------------------------------------------- what dlt made


def _staged(connection: DuckDBPyConnection, names: list[str], key: str, target: Path) -> StagedRows:
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'made'"
        " AND schema_name = ? AND NOT starts_with(table_name, ?) ORDER BY table_name",
        [_DATASET, _OWN],
    ).fetchall()
    tables = [row[0] for row in found]
    root = next((name for name in names if name in tables), None)
    if root is None:
        problem = UsageError(f"there are no rows to ingest for {key!r}")
        raise hint(problem, "a dlt source has to yield at least one row")
    rows = _stage_table(connection, root, target)
    children = [
        ChildRows(_suffix(name, root), _stage_table(connection, name, path), path)
        for number, name in enumerate(name for name in tables if name != root)
        for path in [working_folder(target) / f"{number}.parquet"]
    ]
    return replace(rows, children=tuple(children))


def _suffix(name: str, root: str) -> str:
    return name.removeprefix(root) if name.startswith(f"{root}__") else f"__{name}"


def _stage_table(connection: DuckDBPyConnection, name: str, path: Path) -> StagedRows:
    table = f"made.{_DATASET}.{identifier(name)}"
    columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    picked, order = f"SELECT * FROM {table}", ""
    if _ORDER in columns:
        picked = f"SELECT * EXCLUDE ({_ORDER}) FROM {table}"
        order = f" ORDER BY {_ORDER}"
    connection.execute(f"COPY ({picked}{order}) TO {literal(str(path))} ({COPY_TO_PARQUET})")
    rows = stage_parquet(connection, path, path)
    return replace(
        rows,
        columns=tuple(map(_under_its_name, rows.columns)),
        recipe={**rows.recipe, "compression": ["SNAPPY"], "nested": True},
    )


def _under_its_name(column: StoredColumn) -> StoredColumn:
    """Return a column of dlt's own under the name that dlt gives it."""
    from msgspec.structs import replace as changed

    return changed(column, stored=column.name) if column.name.startswith(_OWN) else column
