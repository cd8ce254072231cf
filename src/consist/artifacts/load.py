"""Read what was recorded."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.artifacts.verify import verified_path
from consist.errors import (
    ConsistWarning,
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
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from consist.models.artifact import Artifact
    from consist.workspace import Workspace


class RelationConnectionLeakWarning(ConsistWarning, RuntimeWarning):
    """Many lazy relations are open at once."""


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
        A lazy DuckDB relation for tables, a lazy xarray Dataset for arrays, a document for JSON
        that holds no records. The relation lives as long as it is referenced;
        :func:`load_relation` closes it for sure.

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
    if path is None:
        return _counted(ws, _hot().relation(ws, record, _connection(ws), **options))
    if driver.kind == "table":
        return _counted(ws, driver.relation(_connection(ws), path, **options))
    return driver.load(path, **options)


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
    connection = _connection(ws)
    try:
        if path is None:
            yield _hot().relation(ws, record, connection, **options)
        else:
            yield driver.relation(connection, path, **options)
    finally:
        connection.close()


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


# ---------------------------------------------------------------- relations

_open = 0
_open_lock = threading.Lock()


def active_relation_count() -> int:
    """Return how many lazy relations are open in this process."""
    return _open


def _connection(ws: Workspace) -> DuckDBPyConnection:
    """Return a connection for reading files; the database is not part of it."""
    import duckdb

    kept = ws.memory.setdefault("load", {})
    if "connection" not in kept:
        kept["connection"] = duckdb.connect(":memory:")
    return kept["connection"].cursor()


def _counted(ws: Workspace, relation: Any) -> Any:
    """Count a relation for as long as it lives."""
    import weakref

    global _open  # noqa: PLW0603 - one count per process
    with _open_lock:
        _open += 1
    weakref.finalize(relation, _discount)
    threshold = ws.settings.relation_warn_threshold
    if _open > threshold:
        warnings.warn(
            f"{_open} lazy relations are open (threshold {threshold}); use load_df, or"
            " load_relation as a context manager",
            RelationConnectionLeakWarning,
            stacklevel=3,
        )
    return relation


def _discount() -> None:
    global _open  # noqa: PLW0603 - one count per process
    with _open_lock:
        _open -= 1
