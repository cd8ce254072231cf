"""Capture what columns logged tables have, and notice where they are not what they were."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from consist.active import ActiveRun
from consist.errors import ConsistError, UnsupportedFormat, UsageError, hint
from consist.hot.naming import table_name
from consist.models.observed import (
    ObservedSchema,
    SchemaField,
    SchemaRecord,
    SchemaSource,
    layout,
)
from consist.models.record import ArtifactRecord, IngestEvent, new_uuid, replace
from consist.store.captured import KINDS, content_of

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.hot")

IF_CHANGED = "if_changed"
DRIFT = "schema_drift"
"""Where the metadata of a run says which of its tables have other columns than before."""
_DRIFTS_KEPT = 20
_COLUMNS_KEPT = 50


class Profile(msgspec.Struct, frozen=True):
    """What is to be captured of the columns of an artifact.

    Attributes
    ----------
    file : bool or "if_changed"
        Whether its file is looked at.
    rows : int or None
        How many rows are looked at; ``None`` is all.
    model : type or None
        The SQLModel class that the user states.
    by_default : bool
        Whether nobody asked for it, so that what is no table is nothing to complain about.
    is_frame : bool
        Whether we wrote the file ourselves, so that its footer tells enough.
    """

    file: bool | Literal["if_changed"] = False
    rows: int | None = None
    model: type[Any] | None = None
    by_default: bool = False
    is_frame: bool = False


OF_FRAME = Profile(file=True, rows=1000, by_default=True, is_frame=True)
"""What is captured of a frame that a step returns."""


class Captured(msgspec.Struct, frozen=True):
    """What was seen on an artifact, and what its metadata say of it."""

    observed: tuple[ObservedSchema, ...] = ()
    news: dict[str, Any] = {}


def profile_of(
    ws: Workspace,
    profile_file_schema: object = None,
    file_schema_sample_rows: object = None,
    model: type[Any] | None = None,
) -> Profile | None:
    """Return what a caller asks to capture, ``None`` for nothing.

    Raises
    ------
    UsageError
        If an option has another value than those that are documented.
    """
    wanted: Any = profile_file_schema
    by_default = wanted is None
    if by_default:
        wanted = ws.settings.schema_profile
    if not isinstance(wanted, bool) and wanted != IF_CHANGED:
        problem = UsageError(f"profile_file_schema={wanted!r} is no such option")
        raise hint(problem, f"one of True, False, {IF_CHANGED!r}")
    rows = ws.settings.schema_sample_rows
    if file_schema_sample_rows is not None:
        rows = check_sample(file_schema_sample_rows)
    if not wanted and model is None:
        return None
    return Profile(wanted, rows, model, by_default)


def check_sample(rows: object, name: str = "file_schema_sample_rows") -> int:
    """Return a number of rows to look at.

    Raises
    ------
    UsageError
        If it is none.
    """
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise UsageError(f"{name}={rows!r} is not a number of rows from 1 on")
    return rows


# ---------------------------------------------------------------- capturing


def capture(ws: Workspace, run: ActiveRun, record: ArtifactRecord, wanted: Profile) -> Captured:
    """Return the schemas that an artifact has by its file and by what the user states.

    A file that cannot be profiled is no reason not to log it: one warning names it.
    """
    observed: list[ObservedSchema] = []
    news: dict[str, Any] = {}
    if wanted.model is not None:
        found = _stated(wanted.model)
        if found is not None:
            observed.append(observation(record, found, "user_provided"))
            news = _summary(found, "user_provided", None)
    if wanted.file:
        seen = _seen(ws, record, wanted)
        if seen is not None and seen[0].fields:  # a frame may have no columns
            found, rows = seen
            found = _named(found, record)
            observed.append(observation(record, found, "file", rows))
            news = _summary(found, "file", rows)
            note_drift(ws, run, record.key, "file", found)
    return Captured(tuple(map(run.observe, observed)), news)


def _stated(model: type[Any]) -> SchemaRecord | None:
    from consist.hot.model_layout import layout_of_model

    return layout_of_model(model)


def _seen(
    ws: Workspace, record: ArtifactRecord, wanted: Profile
) -> tuple[SchemaRecord, int | None] | None:
    if not _is_table(ws, record, wanted):
        return None
    content = content_of(record)
    if wanted.file == IF_CHANGED and content is not None:
        known = ws.store.schema_of_content(content)
        if known is not None:
            return known, None
    try:
        return look(ws, record, ws.path_of(record), wanted.rows, is_frame=wanted.is_frame)
    except (ConsistError, OSError) as error:
        logger.warning("[Consist] %r is logged without its columns: %s", record.key, _reason(error))
        return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def look(
    ws: Workspace, record: ArtifactRecord, path: Path, rows: int | None, *, is_frame: bool = False
) -> tuple[SchemaRecord, int]:
    """Return the layout of the file of an artifact, and how many rows were looked at.

    Raises
    ------
    UnsupportedFormat
        If it cannot be read as a table.
    """
    from consist.hot.profile import profile_file, profile_footer

    if is_frame and record.driver == "parquet":
        found = profile_footer(path)
        if found is not None:
            return found
    driver = ws.formats.driver(record.driver)
    return profile_file(driver, path, rows, record.table_path)


def is_tabular(ws: Workspace, driver: str) -> bool:
    """Whether files of a driver have columns."""
    try:
        return driver == "json" or ws.formats.driver(driver).kind == "table"
    except UnsupportedFormat:
        return False


def _is_table(ws: Workspace, record: ArtifactRecord, wanted: Profile) -> bool:
    if is_tabular(ws, record.driver) and not (record.is_folder and wanted.by_default):
        return True
    if not wanted.by_default:
        logger.warning(
            "[Consist] %r is logged without its columns: %r files are no tables",
            record.key,
            record.driver,
        )
    return False


def observation(
    record: ArtifactRecord,
    found: SchemaRecord,
    source: SchemaSource,
    rows: int | None = None,
) -> ObservedSchema:
    """Return the record of a layout that was seen on an artifact."""
    return ObservedSchema(
        id=new_uuid(),
        artifact_id=record.id,
        schema_id=found.id,
        source=source,
        sample_rows=rows,
        at=datetime.now(UTC),
        layout=found,
    )


def _named(found: SchemaRecord, record: ArtifactRecord) -> SchemaRecord:
    if "table_name" in found.summary:
        return found
    return replace(found, summary={**found.summary, "table_name": table_name(record.key)})


def _summary(found: SchemaRecord, source: str, rows: int | None) -> dict[str, Any]:
    summary = {"source": source, "n_columns": len(found.fields)}
    if rows is not None:
        summary["sample_rows"] = rows
    return {"schema_id": found.id, "schema_summary": summary}


# ---------------------------------------------------------------- ingested rows


def with_schemas(
    ws: Workspace, run: ActiveRun | None, event: IngestEvent, model: type[Any] | None
) -> IngestEvent:
    """Return an ingest with the layout that its table has, and what the user states of it."""
    source: SchemaSource = "dlt" if event.rows.recipe.get("source") == "dlt" else "duckdb"
    every = (*event.rows.columns, *event.rows.added)
    columns = [SchemaField(name=c.stored, type=c.type) for c in every]
    summary = {"table_name": event.rows.table, "n_rows": event.rows.count}
    found = layout(columns, summary=summary)
    stated = None if model is None else _stated(model)
    observed = [observation(event.artifact, found, source, event.rows.count)]
    if stated is not None:
        observed.append(observation(event.artifact, stated, "user_provided"))
    note_drift(ws, run, event.artifact.key, source, found)
    news = {**event.news, "schema_id": found.id}
    return replace(
        event,
        artifact=replace(event.artifact, meta={**event.artifact.meta, **news}),
        news=news,
        schemas=tuple(observed if run is None else map(run.observe, observed)),
    )


# ---------------------------------------------------------------- drift


def note_drift(
    ws: Workspace, run: ActiveRun | None, key: str, source: str, found: SchemaRecord
) -> None:
    """Note on a run that a table has other columns than the last one of its key had.

    What was captured last is known from memory and the look-up index; nothing waits for the
    database.
    """
    before = ws.store.latest_schema(key, KINDS[source])
    if before is None or before.schema_id == found.id:
        return
    drift: dict[str, Any] = {"key": key, "source": KINDS[source], "schema_id": found.id}
    drift |= {"before": before.schema_id, "before_run": before.run_id}
    earlier = ws.store.layout(before.schema_id)
    changes = {} if earlier is None else differences(earlier, found)
    logger.warning(
        "[Consist] the columns of %r differ from those that run %r recorded: %s",
        key,
        before.run_id,
        in_words(changes),
    )
    if run is None:
        return
    with run.lock:
        told: list[Any] = run.record.meta.get(DRIFT, [])
        if len(told) < _DRIFTS_KEPT:
            meta = {**run.record.meta, DRIFT: [*told, {**drift, **changes}]}
            run.record = replace(run.record, meta=meta)


def differences(before: SchemaRecord, after: SchemaRecord) -> dict[str, Any]:
    """Return what columns are gone, new and changed, each as far as there are some."""
    old = {field.name: _said(field.type, nullable=field.nullable) for field in before.fields}
    new = {field.name: _said(field.type, nullable=field.nullable) for field in after.fields}
    found: dict[str, Any] = {
        "gone": [name for name in old if name not in new][:_COLUMNS_KEPT],
        "new": [name for name in new if name not in old][:_COLUMNS_KEPT],
        "changed": {
            name: [kind, new[name]]
            for name, kind in old.items()
            if name in new and new[name] != kind
        },
    }
    found["changed"] = dict(list(found["changed"].items())[:_COLUMNS_KEPT])
    found = {name: value for name, value in found.items() if value}
    return found or {"reordered": True}


def _said(kind: str, *, nullable: bool) -> str:
    return kind if nullable else f"{kind} NOT NULL"


def in_words(changes: dict[str, Any]) -> str:
    """Return what differs as text."""
    parts = [
        *(f"{name!r} is gone" for name in changes.get("gone", ())),
        *(f"{name!r} is new" for name in changes.get("new", ())),
        *(
            f"{name!r} was {old} and is {new}"
            for name, (old, new) in changes.get("changed", {}).items()
        ),
        *(["the columns have another order"] if changes.get("reordered") else []),
    ]
    more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    return ", ".join(parts[:5]) + more or "nobody knows how"
