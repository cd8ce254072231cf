"""Frames that a user keeps with one call: written to a file, and recorded."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.active import ActiveRun
from consist.artifacts.items import Named, local_path, plain_meta
from consist.artifacts.keys import check_key
from consist.artifacts.log import log_all
from consist.errors import SchemaViolation, UnsupportedFormat, hint
from consist.files.places import output_path
from consist.hot.schemas import profile_of
from consist.models.record import ArtifactRecord, Direction
from consist.runs.folders import artifact_dir_of
from consist.runs.outputs import as_whole, write_value
from consist.types import DIRECTIONS, PathLike, check_option

if TYPE_CHECKING:
    import pandas as pd
    from sqlmodel import SQLModel

    from consist.formats import Driver
    from consist.models.artifact import Artifact
    from consist.workspace import Workspace

logger = logging.getLogger("consist.runs")


def log_dataframe(
    ws: Workspace,
    df: pd.DataFrame,
    key: str,
    schema: type[SQLModel] | None = None,
    direction: str = "output",
    path: PathLike | None = None,
    driver: str | None = None,
    meta: dict[str, Any] | None = None,
    profile_file_schema: bool | str = False,
    file_schema_sample_rows: int | None = 1000,
    **to_file_kwargs: Any,
) -> Artifact:
    """Write a frame to a file and record it.

    Parameters
    ----------
    df : DataFrame
        Data to keep.
    key : str
        Semantic name.
    schema : type, optional
        SQLModel class of its rows. They are ingested and held to it, as by
        :func:`~consist.hot.ingest.ingest`; without a database a warning says that they are not.
    direction : {"output", "input"}
        How the run stands to it.
    path : str or Path, optional
        Where to write; by default ``<run_artifact_dir>/<key>.<suffix>``.
    driver : str, optional
        ``"parquet"`` (default), ``"csv"`` or another that writes frames; a suffix of ``path``
        wins over the default.
    meta : dict, optional
        Metadata of the artifact.
    profile_file_schema, file_schema_sample_rows
        As in :func:`~consist.artifacts.log.log_artifact`.
    **to_file_kwargs : Any
        Passed on to ``to_parquet`` or ``to_csv``.

    Returns
    -------
    Artifact
        Inside a cache hit, the cached artifact if the table is equal; nothing is left behind
        then.

    Raises
    ------
    RuntimeError
        Outside an active run.
    ValueError
        If the driver does not write frames, or the rows break the schema (``SchemaViolation``):
        then the file is written and recorded all the same, and no row of it is ingested.
    """
    run = ws.active.require("log_dataframe")
    check_option("direction", direction, DIRECTIONS)
    known_meta = plain_meta(meta or {})
    if schema is not None:
        known_meta = {**known_meta, "schema_name": _checked(schema).__name__}
    profile = profile_of(ws, profile_file_schema, file_schema_sample_rows, schema)
    writer = _frame_driver(ws, driver, path)
    target = _target(ws, run, key, path, writer.suffixes[0])
    way: Direction = "input" if direction == "input" else "output"
    cached = _equal_cached(ws, run, key, df, way)
    if cached is not None:
        return _ingested(ws, ws.artifact_of(cached), df, schema, anew=False)
    write_value(writer, as_whole(df, key), target, **to_file_kwargs)
    item = Named(
        path=str(target), key=check_key(key), driver=writer.name, meta=known_meta, profile=profile
    )
    artifact = ws.artifact_of(log_all(ws, run, [item], way)[0])
    return _ingested(ws, artifact, df, schema, anew=True)


def _checked(schema: type[SQLModel]) -> type[SQLModel]:
    """Refuse what is no schema before anything is written."""
    from consist.hot.model_columns import compiled
    from consist.hot.registered import check_model

    compiled(check_model(schema))
    return schema


def _ingested(
    ws: Workspace, artifact: Artifact, df: object, schema: type[SQLModel] | None, *, anew: bool
) -> Artifact:
    """Ingest a logged frame with its schema; return its artifact."""
    if schema is None or (not anew and artifact.meta.get("is_ingested")):
        return artifact
    if ws.keeps and ws.db_path is None:
        logger.warning(
            "[Consist] %r is recorded, but its rows are neither checked nor ingested: this tracker"
            " has no database",
            artifact.key,
        )
        return artifact
    from consist.hot.ingest import ingest
    from consist.hot.rows import REBUILT

    data = None if artifact.driver in REBUILT else as_whole(df, artifact.key)
    try:
        ingest(ws, artifact, data, schema)
    except SchemaViolation as error:
        raise hint(
            error, f"the file is kept and recorded: {ws.path_of(artifact.to_record())}"
        ) from None
    return artifact


def _frame_driver(ws: Workspace, driver: str | None, path: PathLike | None) -> Driver:
    if driver is None:
        driver = "parquet" if path is None else ws.formats.infer_driver(os.fspath(path))
    found = ws.formats.driver(driver)
    if found.kind != "table":
        writers = ", ".join(d.name for d in ws.formats.all().values() if d.kind == "table")
        raise hint(UnsupportedFormat(driver, "write a DataFrame"), f"frames go to: {writers}")
    return found


def _target(ws: Workspace, run: ActiveRun, key: str, path: PathLike | None, suffix: str) -> Path:
    if path is None:
        return output_path(artifact_dir_of(ws, run), check_key(key), suffix)
    target = Path(local_path(ws, path))
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _equal_cached(
    ws: Workspace, run: ActiveRun, key: str, df: Any, direction: Direction
) -> ArtifactRecord | None:
    """Return the cached output of a hit that holds the same table."""
    if run.hit is None or direction == "input":
        return None
    known = run.given_back(direction).get(check_key(key), ())
    return next((record for record in known if _same_table(ws, record, df)), None)


def _same_table(ws: Workspace, record: ArtifactRecord, df: Any) -> bool:
    path = ws.path_of(record)
    driver = ws.formats.driver(record.driver)
    if driver.kind != "table" or not path.exists():
        return False
    stored = driver.frame(path)
    fresh = as_whole(df, record.key)
    if list(stored.columns) != list(fresh.columns) or len(stored) != len(fresh):
        return False
    return bool(stored.reset_index(drop=True).equals(fresh.reset_index(drop=True)))
