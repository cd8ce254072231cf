"""Ingested rows back: as frames, as relations, as the files that they came from."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consist.errors import FileGone, StoreUnwritable, UnknownKey, UnsupportedFormat, hint
from consist.files.atomic import replacing
from consist.formats import sql
from consist.formats.base import check_options
from consist.hot import csv_rows, parquet_rows
from consist.hot.marks import is_ingested
from consist.models.record import ArtifactRecord

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from consist.store.tail_rows import ArtifactRows
    from consist.workspace import Workspace

logger = logging.getLogger("consist.hot")

REBUILT = ("csv", "parquet")
"""Drivers whose files can be made again from rows."""
_OPTIONS = ("columns", "nrows")


def frame(ws: Workspace, record: ArtifactRecord, **options: Any) -> pd.DataFrame:
    """Return the ingested rows of an artifact as reading its file would.

    Parameters
    ----------
    ws : Workspace
        The tracker.
    record : ArtifactRecord
        The artifact.
    **options : Any
        ``columns`` and ``nrows``.

    Raises
    ------
    FileGone
        If the database has no rows of it.
    UsageError
        For another option, which only files have.
    """
    columns, nrows = _picked(record, options)
    with _rows(ws, record) as found:
        names = _known(found, columns)
        if found.rows.recipe["format"] == csv_rows.FORMAT:
            statement = csv_rows.typed(found, names, nrows)
            return sql.frame_of(found.connection.sql(statement))
        with tempfile.TemporaryDirectory(prefix="consist-") as folder:
            path = Path(folder, "rows.parquet")
            parquet_rows.write_parquet(chosen(found, names, nrows, index=True), path)
            return ws.formats.driver("parquet").frame(path, columns=names)


def relation(
    ws: Workspace, record: ArtifactRecord, connection: DuckDBPyConnection, **options: Any
) -> DuckDBPyRelation:
    """Return the ingested rows of an artifact as a lazy relation of ``connection``.

    The rows are written to a temporary file first, of the wanted columns only, which lives as long
    as the tracker, so that the relation holds no database. Parameters and errors are those of
    :func:`frame`.
    """
    columns, nrows = _picked(record, options)
    with _rows(ws, record) as found:
        names = _known(found, columns)
        part = chosen(found, names, nrows)
        scan = sql.call("read_parquet", sql.literal(str(_spooled(ws, record, part, nrows))), {})
        if part.rows.recipe["format"] == csv_rows.FORMAT:
            scan = csv_rows.spooled(part.rows, scan)
    return connection.sql(sql.select(scan, names))


def restore(ws: Workspace, record: ArtifactRecord, destination: Path) -> None:
    """Make the file of an artifact again from its ingested rows.

    The file says what the original said: a CSV file field by field, in the same dialect; a Parquet
    file with the same schema and metadata. It appears whole or not at all, and counts as the
    recorded file for as long as nobody changes it.

    Parameters
    ----------
    ws : Workspace
        The tracker.
    record : ArtifactRecord
        The artifact.
    destination : Path
        Where the file goes; an older one is replaced.

    Raises
    ------
    UnsupportedFormat
        If the artifact is neither CSV nor Parquet, naming driver and artifact.
    FileGone
        If the database has no rows of it.
    StoreUnwritable
        If the file cannot be written.
    """
    check_rebuildable(record)
    with _rows(ws, record) as found, replacing(destination) as temporary, _writing(destination):
        _rebuild(ws, record, found, temporary)
    if record.hash is not None and not ws.files.is_same(destination, record.hash):
        ws.files.memo.vouch(destination, record.hash)
    logger.info("[Consist] %r was made again from the database: %s", record.key, destination)


def restore_missing(ws: Workspace, records: Iterable[ArtifactRecord]) -> list[Path]:
    """Make the files of ingested artifacts again that are gone; return where they are now.

    A file goes to its place in this run folder; where another file has that place, and for a file
    that lay outside run folders, to a folder of its own below ``restored``.

    Raises
    ------
    UnsupportedFormat
        For an artifact that is neither CSV nor Parquet.
    FileGone
        If the database has no rows of one.
    """
    made: list[Path] = []
    for record in records:
        path = ws.path_of(record)
        if not is_ingested(ws, record) or _is_there(ws, record, path):
            continue
        destination = ws.files.mounts.resolve(record.container_uri)
        if not record.root or destination.exists():
            destination = ws.restored_place(record)
        restore(ws, record, destination)
        made.append(destination)
    return made


def _is_there(ws: Workspace, record: ArtifactRecord, path: Path) -> bool:
    if path != ws.restored_place(record):
        return path.exists()
    # What stands there is our own work; if nobody vouches for it any more, it is made again.
    return ws.files.is_same(path, record.hash)


def check_rebuildable(record: ArtifactRecord) -> None:
    """Refuse to make a file again in another format than CSV and Parquet.

    Raises
    ------
    UnsupportedFormat
        Naming driver and artifact.
    """
    if record.driver not in REBUILT:
        problem = UnsupportedFormat(record.driver, f"rebuild {record.key!r} from the database")
        raise hint(problem, "only csv and parquet files are; run the step that made it again")


# ---------------------------------------------------------------- inside


@contextmanager
def _rows(ws: Workspace, record: ArtifactRecord) -> Generator[ArtifactRows]:
    ws.check_database("reading ingested rows")
    with ws.store.rows_of(record.id) as found:
        if found is None:
            problem = FileGone(record.key, (str(ws.path_of(record)), f"rows in {ws.db_path}"))
            raise hint(problem, "run the step that made it again")
        yield found


def _picked(
    record: ArtifactRecord, options: Mapping[str, Any]
) -> tuple[list[str] | None, int | None]:
    check_options(f"{record.driver} (ingested rows)", options, _OPTIONS)
    sql.select("rows", options.get("columns"), options.get("nrows"))  # refuses what is no choice
    columns = options.get("columns")
    return None if columns is None else list(columns), options.get("nrows")


def _known(found: ArtifactRows, columns: list[str] | None) -> list[str] | None:
    """Return columns under the names of the source, in which case makes no difference."""
    if columns is None:
        return None
    names = {column.name.lower(): column.name for column in found.rows.columns}
    for name in columns:
        if name.lower() not in names:
            raise UnknownKey(name, f"table {found.rows.table!r}", tuple(names.values()))
    return [names[name.lower()] for name in columns]


def chosen(
    found: ArtifactRows, names: list[str] | None, nrows: int | None = None, *, index: bool = False
) -> ArtifactRows:
    """Return some columns and the first rows of ingested rows, as the rows of such a source.

    Parameters
    ----------
    found : ArtifactRows
        All of them.
    names : list of str or None
        Columns under the names of the source, in the order that they are wanted in.
    nrows : int or None
        How many rows.
    index : bool, default False
        Also the columns that pandas would make its index of, behind the others.
    """
    columns, recipe, limit = found.rows.columns, found.rows.recipe, ""
    if nrows is not None:
        limit = f" LIMIT {nrows}"
    if names is None and not limit:
        return found
    if names is not None:
        at = {column.name: i for i, column in enumerate(columns)}
        wanted = [*names, *parquet_rows.index_columns(found)] if index else names
        places = [at[name] for name in dict.fromkeys(wanted) if name in at]
        columns = tuple(columns[i] for i in places)
        if "schema" in recipe:
            recipe = parquet_rows.recipe_of(recipe, places)
    picked = ", ".join(
        sql.identifier(name)
        for column in columns
        for name in (column.staged, column.text)
        if name is not None
    )
    rows = msgspec.structs.replace(found.rows, columns=columns, recipe=recipe)
    return found._replace(rows=rows, table=f"SELECT {picked} FROM ({found.table}){limit}")


@contextmanager
def _writing(destination: Path) -> Generator[None]:
    import duckdb

    try:
        yield
    except OSError as error:
        raise StoreUnwritable(str(destination), error.strerror or str(error)) from error
    except duckdb.IOException as error:
        raise StoreUnwritable(str(destination), str(error).splitlines()[0]) from error


def _rebuild(ws: Workspace, record: ArtifactRecord, found: ArtifactRows, path: Path) -> None:
    recipe = found.rows.recipe
    if recipe.get("given"):
        logger.warning(
            "[Consist] %r is made of rows that were given as data, not read from its file",
            record.key,
        )
    if recipe["format"] == csv_rows.FORMAT:
        csv_rows.write_csv(found, path)
    elif record.driver == "parquet":
        parquet_rows.write_parquet(found, path)
    else:
        import pyarrow as pa

        parts = list(parquet_rows.batches(found))
        table = pa.Table.from_batches(parts, parquet_rows.schema_of(found))
        ws.formats.driver(record.driver).write(table.to_pandas(), path)


# ---------------------------------------------------------------- spools


class _Spool:
    """A folder for rows that relations read; it goes with its tracker or process."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="consist-rows-"))
        weakref.finalize(self, _remove, self.folder, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits what is not its own
        shutil.rmtree(folder, ignore_errors=True)


def _spooled(ws: Workspace, record: ArtifactRecord, found: ArtifactRows, nrows: int | None) -> Path:
    """Write chosen rows to a file, unless they are in one already."""
    kept: dict[int, _Spool] = ws.memory.setdefault("hot", {})
    spool = kept.setdefault(os.getpid(), _Spool()) if os.getpid() not in kept else kept[os.getpid()]
    choice = "\0".join((*(column.staged for column in found.rows.columns), str(nrows)))
    mark = hashlib.sha256(choice.encode()).hexdigest()[:16]
    path = spool.folder / f"{record.id}-{mark}-{found.rows.file}"
    if path.exists():
        return path
    with replacing(path) as temporary:
        if found.rows.recipe["format"] == csv_rows.FORMAT:
            csv_rows.spool(found, temporary)
        else:
            parquet_rows.write_parquet(found, temporary)
    return path
