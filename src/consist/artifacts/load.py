"""Read what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.artifacts.relations import connection_for_files, counted, release
from consist.artifacts.verify import verified_path
from consist.errors import (
    FileGone,
    UnsupportedFormat,
    WrongType,
    a_kind,
    hint,
)
from consist.hot.marks import is_ingested
from consist.models.record import ArtifactRecord
from consist.types import DB_FALLBACKS, check_option

# Rows of the database are read where a file is gone, and `hot` is imported then.

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyRelation

    from consist.models.artifact import Artifact
    from consist.workspace import Workspace


def load(ws: Workspace, artifact: Artifact, **kwargs: Any) -> Any:
    """Read an artifact in the way of its format.

    Parameters
    ----------
    artifact : Artifact
        What to read.
    **kwargs : Any
        Options of the driver, such as ``columns`` or ``nrows`` of tables and ``variables`` of
        arrays (their ``group`` is by default the artifact's ``array_path``), and ``db_fallback``:
        ``"inputs-only"`` (default), ``"always"`` or ``"never"`` read ingested rows when the file
        is gone.

    Returns
    -------
    object
        A lazy DuckDB relation for tables, a lazy xarray Dataset for arrays, a frame for JSON that
        holds records and else the document. A relation is open as long as it is referenced;
        :func:`to_df` and :func:`load_relation` close it for sure. More than
        ``CONSIST_RELATION_WARN_THRESHOLD`` open ones give a ``RelationConnectionLeakWarning``.

    Raises
    ------
    FileNotFoundError
        If the bytes are not there; the paths tried are named.
    ArtifactChanged
        If they are no longer those that were recorded.
    ValueError
        If the format has no loader.
    """
    record = _record(artifact)
    driver, path, options = _prepared(ws, record, kwargs)
    if driver.kind != "table":
        return _hot().frame(ws, record, **options) if path is None else driver.load(path, **options)
    connection = connection_for_files(ws)
    if path is None:
        return counted(ws, _hot().relation(ws, record, connection, **options), connection)
    return counted(ws, driver.relation(connection, path, **options), connection)


def load_df(ws: Workspace, artifact: Artifact, **kwargs: Any) -> pd.DataFrame:
    """Read a table into a pandas DataFrame; options and errors as in :func:`load`."""
    record = _record(artifact)
    driver, path, options = _prepared(ws, record, kwargs)
    if path is None:
        return _hot().frame(ws, record, **options)
    return driver.frame(path, **options)


@contextmanager
def load_relation(ws: Workspace, artifact: Artifact, **kwargs: Any) -> Generator[DuckDBPyRelation]:
    """Yield a lazy DuckDB relation over a table, closed at the end of the block.

    Options and errors are those of :func:`load`.
    """
    record = _record(artifact)
    driver, path, options = _prepared(ws, record, kwargs)
    with connection_for_files(ws) as connection:
        if path is None:
            relation = _hot().relation(ws, record, connection, **options)
        else:
            relation = driver.relation(connection, path, **options)
        try:
            yield counted(ws, relation, connection, level=5)
        finally:
            release(relation)


def _record(artifact: object) -> ArtifactRecord:
    if isinstance(artifact, ArtifactRecord):
        return artifact
    to_record: Callable[[], ArtifactRecord] | None = getattr(artifact, "to_record", None)
    if to_record is None:
        raise WrongType(f"cannot load {a_kind(artifact)}: pass an Artifact")
    return to_record()


def _prepared(
    ws: Workspace, record: ArtifactRecord, options: dict[str, Any]
) -> tuple[Any, Path | None, dict[str, Any]]:
    """Return driver, path and the options that are the driver's; no path to read ingested rows."""
    rest = dict(options)
    fallback = rest.pop("db_fallback", "inputs-only")
    check_option("db_fallback", fallback, DB_FALLBACKS)
    driver = ws.formats.driver(record.driver)
    if driver.kind == "file":
        problem = UnsupportedFormat(record.driver, f"load {record.key!r}")
        raise hint(problem, "read the file at artifact.path yourself")
    if driver.kind == "array" and record.array_path is not None:
        rest.setdefault("group", record.array_path)
    try:
        return driver, verified_path(ws, record), rest
    except FileGone as error:
        if driver.kind in {"table", "document"} and _has_rows(ws, record, fallback):
            if _may_use_rows(ws, record, fallback):
                return driver, None, rest
            hint(error, "its rows are in the database: db_fallback='always' reads them")
        raise


def _has_rows(ws: Workspace, record: ArtifactRecord, fallback: str) -> bool:
    return fallback != "never" and ws.store.has_database and is_ingested(ws, record)


def _may_use_rows(ws: Workspace, record: ArtifactRecord, fallback: str) -> bool:
    run = ws.active.guess()
    return fallback == "always" or (run is not None and record.id in run.inputs)


def _hot() -> Any:
    from consist.hot import rows

    return rows
