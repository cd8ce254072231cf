"""Log files into the active run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from consist.active import ActiveRun
from consist.artifacts.describe import describe
from consist.artifacts.facet_parsers import with_parsed_facets
from consist.artifacts.facets import artifact_facet, facet_keys, facet_meta
from consist.artifacts.hits import cached
from consist.artifacts.items import Item, Linked, Named, item_of
from consist.artifacts.keys import check_key
from consist.errors import UsageError, WrongType, a_kind
from consist.hot.schemas import capture, profile_of
from consist.models.record import (
    ArtifactRecord,
    Direction,
    LogEvent,
    ObservedSchema,
    encode,
    new_uuid,
    replace,
)
from consist.types import DIRECTIONS, ArtifactRef, FacetLike, check_option, is_mapping

if TYPE_CHECKING:
    from sqlmodel import SQLModel

    from consist.models.artifact import Artifact
    from consist.workspace import Workspace

_REUSE_SCOPES = ("same_uri", "any_uri")


def log_artifact(
    ws: Workspace,
    path: ArtifactRef,
    key: str | None = None,
    direction: str = "output",
    schema: type[SQLModel] | None = None,
    driver: str | None = None,
    table_path: str | None = None,
    array_path: str | None = None,
    content_hash: str | None = None,
    force_hash_override: bool = False,
    validate_content_hash: bool = False,
    reuse_if_unchanged: bool = False,
    reuse_scope: str = "same_uri",
    profile_file_schema: bool | str | None = None,
    file_schema_sample_rows: int | None = None,
    facet: FacetLike | None = None,
    facet_schema_version: str | int | None = None,
    facet_index: bool = False,
    **meta: Any,
) -> Artifact:
    """Record a file as an input or output of the active run.

    When the call returns, the record is acknowledged: it survives the end of the process and
    every question sees it. An input whose bytes are those recorded last at its place is linked to
    the run that produced them. Inside a cache hit, an output under a cached key with nothing to
    contradict it is the cached artifact, as it was recorded; anything else turns the hit into an
    executing run.

    Parameters
    ----------
    path : str, Path or Artifact
        A file or folder, relative to the current folder, or an artifact recorded before, which
        keeps its key, format and content.
    key : str, optional
        Semantic name; required for a path. For an artifact that has another key: as an output
        it gets a second record under this one, as an input it is known to the run by this name.
    direction : {"output", "input"}
        How the run stands to it.
    schema : type, optional
        SQLModel class of its rows; the name is kept in the metadata, and its columns and foreign
        keys as the schema that the user provided.
    driver : str, optional
        Format; by default inferred from the suffix.
    table_path, array_path : str, optional
        Part inside a container file.
    content_hash : str, optional
        Digest to record instead of hashing the file. Ignored with a warning where the record of
        this place has another one.
    force_hash_override : bool, default False
        Let ``content_hash`` stand all the same.
    validate_content_hash : bool, default False
        Compare ``content_hash`` with the bytes.
    reuse_if_unchanged : bool, default False
        Of an input: link the recorded artifact of the same content. Deprecated for outputs, which
        always get a record of their own; equal bytes share ``content_id``.
    reuse_scope : {"same_uri", "any_uri"}
        Where that artifact may lie. At the same place an input is linked in any case; any other
        place is looked for in the database. Without effect on outputs.
    profile_file_schema : bool or "if_changed", optional
        Capture the columns of a table and what its first rows hold. ``"if_changed"`` looks only at
        content that nobody has looked at before. By default nothing is captured, unless
        ``CONSIST_SCHEMA_PROFILE_ENABLED`` is set. A file that cannot be profiled is logged all
        the same, with a warning.
    file_schema_sample_rows : int, optional
        How many rows are looked at; by default ``CONSIST_SCHEMA_SAMPLE_ROWS``, 1000.
    facet : mapping or model, optional
        Small values for questions about the artifact.
    facet_schema_version : str or int, optional
        Version of the facet's schema.
    facet_index : bool, default False
        Whether the values of the facet can be asked for one by one.
    **meta : Any
        Free metadata of the artifact. An artifact that was recorded before takes them in, so
        that they are seen by everyone who asks for it; of two values of one name, the later
        counts.

    Returns
    -------
    Artifact
        The recorded artifact.

    Raises
    ------
    RuntimeError
        Outside an active run.
    ValueError
        For a path without a key, an invalid key or option, a wrong ``content_hash``, or another
        format or content for an artifact that has its own.
    """
    run = ws.active.require("log_artifact")
    check_option("direction", direction, DIRECTIONS)
    check_option("reuse_scope", reuse_scope, _REUSE_SCOPES)
    _warn_reuse(direction, asked=reuse_if_unchanged)
    if schema is not None:
        meta.setdefault("schema_name", _schema_name(schema))
    profile = profile_of(ws, profile_file_schema, file_schema_sample_rows, schema)
    item = item_of(
        ws,
        path,
        key,
        meta=meta,
        facet=artifact_facet(
            facet,
            run.record.model_name,
            facet_schema_version,
            index=facet_index,
            what=f"artifact {key!r}",
            settings=ws.settings,
        ),
        force=force_hash_override,
        validate=validate_content_hash,
        anywhere=reuse_if_unchanged and reuse_scope == "any_uri",
        stated={
            "driver": driver,
            "table_path": table_path,
            "array_path": array_path,
            "content_hash": content_hash,
        },
        profile=profile,
    )
    return ws.artifact_of(log_all(ws, run, [item], _direction(direction))[0])


def log_artifacts(
    ws: Workspace,
    outputs: Mapping[str, ArtifactRef],
    direction: str = "output",
    driver: str | None = None,
    metadata_by_key: Mapping[str, Mapping[str, Any]] | None = None,
    facets_by_key: Mapping[str, FacetLike] | None = None,
    facet_schema_versions_by_key: Mapping[str, str | int] | None = None,
    facet_index: bool = False,
    reuse_if_unchanged: bool = False,
    reuse_scope: str = "same_uri",
    **shared_meta: Any,
) -> dict[str, Artifact]:
    """Record many files at once: they are hashed in parallel and written as one record.

    Parameters
    ----------
    outputs : mapping of str to path or Artifact
        Files by key.
    direction : {"output", "input"}
        How the run stands to all of them.
    driver : str, optional
        Format of all of them; by default inferred from each suffix.
    metadata_by_key : mapping, optional
        Metadata per key; wins over ``shared_meta``.
    facets_by_key : mapping, optional
        Facet per key.
    facet_schema_versions_by_key : mapping, optional
        Version of each facet's schema.
    facet_index : bool, default False
        Whether the values of the facets can be asked for one by one.
    reuse_if_unchanged, reuse_scope
        As in :func:`log_artifact`.
    **shared_meta : Any
        Metadata of every one.

    Returns
    -------
    dict of str to Artifact
        Recorded artifacts by key.

    Raises
    ------
    RuntimeError
        Outside an active run.
    TypeError
        For a key that is no text, or something that is no mapping.
    ValueError
        For an invalid key, or metadata or a facet of a key that is not logged.
    """
    run = ws.active.require("log_artifacts")
    check_option("direction", direction, DIRECTIONS)
    check_option("reuse_scope", reuse_scope, _REUSE_SCOPES)
    _warn_reuse(direction, asked=reuse_if_unchanged)
    if not is_mapping(cast("object", outputs)):
        raise WrongType("log_artifacts takes a mapping of key to path")
    metadata = _mapping("metadata_by_key", metadata_by_key)
    facets = _mapping("facets_by_key", facets_by_key)
    versions = _mapping("facet_schema_versions_by_key", facet_schema_versions_by_key)
    _check_known_keys("metadata_by_key", metadata, outputs, "are not logged")
    _check_known_keys("facets_by_key", facets, outputs, "are not logged")
    _check_known_keys("facet_schema_versions_by_key", versions, facets, "have no facet")
    items = [
        item_of(
            ws,
            path,
            _text_key(key),
            meta={**shared_meta, **_mapping(f"metadata of {key!r}", metadata.get(key))},
            facet=artifact_facet(
                facets.get(key),
                run.record.model_name,
                versions.get(key),
                index=facet_index,
                what=f"artifact {key!r}",
                settings=ws.settings,
            ),
            anywhere=reuse_if_unchanged and reuse_scope == "any_uri",
            stated={"driver": driver},
            profile=profile_of(ws),
        )
        for key, path in outputs.items()
    ]
    records = log_all(ws, run, items, _direction(direction))
    return {key: ws.artifact_of(record) for key, record in zip(outputs, records, strict=True)}


def log_input(
    ws: Workspace,
    path: ArtifactRef,
    key: str | None = None,
    content_hash: str | None = None,
    force_hash_override: bool = False,
    validate_content_hash: bool = False,
    facet: FacetLike | None = None,
    facet_schema_version: str | int | None = None,
    facet_index: bool = False,
    **meta: Any,
) -> Artifact:
    """Record a file as an input of the active run; see :func:`log_artifact`."""
    return log_artifact(
        ws,
        path,
        key,
        "input",
        content_hash=content_hash,
        force_hash_override=force_hash_override,
        validate_content_hash=validate_content_hash,
        facet=facet,
        facet_schema_version=facet_schema_version,
        facet_index=facet_index,
        **meta,
    )


def log_output(
    ws: Workspace,
    path: ArtifactRef,
    key: str | None = None,
    content_hash: str | None = None,
    force_hash_override: bool = False,
    validate_content_hash: bool = False,
    reuse_if_unchanged: bool = False,
    reuse_scope: str = "same_uri",
    facet: FacetLike | None = None,
    facet_schema_version: str | int | None = None,
    facet_index: bool = False,
    **meta: Any,
) -> Artifact:
    """Record a file as an output of the active run; see :func:`log_artifact`."""
    return log_artifact(
        ws,
        path,
        key,
        "output",
        content_hash=content_hash,
        force_hash_override=force_hash_override,
        validate_content_hash=validate_content_hash,
        reuse_if_unchanged=reuse_if_unchanged,
        reuse_scope=reuse_scope,
        facet=facet,
        facet_schema_version=facet_schema_version,
        facet_index=facet_index,
        **meta,
    )


# ---------------------------------------------------------------- for other rooms


def log_all(
    ws: Workspace,
    run: ActiveRun,
    items: Sequence[Item],
    direction: Direction,
    *,
    announce: bool = True,
) -> list[ArtifactRecord]:
    """Record files and link artifacts, in the order given.

    Parameters
    ----------
    ws, run
        Tracker and run.
    items : sequence
        Files to describe and records to link.
    direction : {"input", "output"}
        How the run stands to them.
    announce : bool, default True
        Acknowledge them at once; not needed right before the run's own record is written.
    """
    with run.lock:
        run.check_open(f"logging an {direction}")
        items = with_parsed_facets(ws, run, items)
        kept = [cached(ws, run, item, direction) for item in items]
        files = [i for i, k in zip(items, kept, strict=True) if k is None and isinstance(i, Named)]
        described = iter(describe(ws, run, files, direction))
        news: dict[str, dict[str, Any]] = {}
        records = [
            _noted(run, news, known or _linked(ws, item, direction) or next(described), item)
            # A cached output is given back as it was recorded.
            if known is None or direction == "input"
            else known
            for item, known in zip(items, kept, strict=True)
        ]
        schemas = _capture(ws, run, items, kept, records, news)
        for item, record in zip(items, records, strict=True):
            run.add(record, direction, item.name if isinstance(item, Linked) else None)
        if announce and run.persisted and records:
            _announce(ws, run, records, direction, news, schemas)
    return records


def _capture(
    ws: Workspace,
    run: ActiveRun,
    items: Sequence[Item],
    kept: Sequence[ArtifactRecord | None],
    records: list[ArtifactRecord],
    news: dict[str, dict[str, Any]],
) -> list[ObservedSchema]:
    """Capture the columns of what is new, as asked; their ids go into ``records``."""
    found: list[ObservedSchema] = []
    for number, (item, known) in enumerate(zip(items, kept, strict=True)):
        if item.profile is None or known is not None or not (run.persisted and ws.keeps):
            continue
        record = records[number]
        captured = capture(ws, run, record, item.profile)
        found += captured.observed
        told = {k: v for k, v in captured.news.items() if record.meta.get(k) != v}
        if told:
            records[number] = record = replace(record, meta={**record.meta, **told})
            if isinstance(item, Linked) or record.run_id != run.run_id:
                news[record.id] = {**news.get(record.id, {}), **told}
                run.tell(record, told)
    return found


def _linked(ws: Workspace, item: Item, direction: Direction) -> ArtifactRecord | None:
    """Return the artifact itself; as an output under another key, a record of its own."""
    if not isinstance(item, Linked):
        return None
    latest = ws.store.located(item.record.location)
    record = latest if latest is not None and latest.id == item.record.id else item.record
    if direction == "input" or item.key == record.key:
        return record
    return replace(record, id=new_uuid(), key=check_key(item.key), created_at=datetime.now(UTC))


def _noted(
    run: ActiveRun, news: dict[str, dict[str, Any]], record: ArtifactRecord, item: Item
) -> ArtifactRecord:
    """Note what is said of an artifact; one that was recorded before takes the news in."""
    if item.facet is not None:
        run.facets[record.id] = item.facet
    earlier = facet_keys(record.meta) if item.facet is not None else {}
    said = {**item.meta, **earlier, **facet_meta(item.facet)}
    told = {name: value for name, value in said.items() if record.meta.get(name, _NEW) != value}
    if not told:
        return record
    record = replace(record, meta={**record.meta, **told})
    news[record.id] = {**news.get(record.id, {}), **told}
    run.tell(record, told)
    return record


_NEW = object()


def _announce(
    ws: Workspace,
    run: ActiveRun,
    records: Sequence[ArtifactRecord],
    direction: Direction,
    news: dict[str, dict[str, Any]],
    schemas: Sequence[ObservedSchema],
) -> None:
    ids = {record.id for record in records}
    facets = {i: run.facets[i] for i in ids & run.facets.keys()}
    event = LogEvent(
        *(run.record.uid, run.run_id, direction, tuple(records), facets, news), tuple(schemas)
    )
    ws.store.amend(event)
    count = len(run.inputs) + len(run.outputs)
    # Rewritten whenever it has doubled, so that many single calls stay linear together.
    if count >= max(2 * run.written_size, 1) and not run.is_adopted:
        run.written_size = count
        ws.store.write_snapshot(run.run_id, encode(run.document()))


# ---------------------------------------------------------------- arguments


def _direction(text: str) -> Direction:
    return "input" if text == "input" else "output"


def _text_key(key: object) -> str:
    if not isinstance(key, str):
        raise WrongType(f"artifact key {key!r} is {a_kind(key)}, not text")
    return key


def _check_known_keys(
    argument: str, by_key: Mapping[str, Any], known: Mapping[str, Any], why: str
) -> None:
    unknown = [str(key) for key in by_key if key not in known]
    if unknown:
        raise UsageError(f"{argument} names {', '.join(unknown)}, which {why}")


def _mapping(what: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not is_mapping(value):
        raise WrongType(f"{what} is {a_kind(value)}, not a mapping")
    return dict(value)


def _schema_name(schema: object) -> str:
    if not isinstance(schema, type):
        raise WrongType(f"schema={schema!r} is no class: pass the SQLModel class itself")
    return schema.__name__


def _warn_reuse(direction: str, *, asked: bool) -> None:
    if asked and direction == "output":
        warnings.warn(
            "reuse_if_unchanged has no effect on outputs: each gets a record of its own,"
            " and equal bytes share content_id",
            DeprecationWarning,
            stacklevel=3,
        )
