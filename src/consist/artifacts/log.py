"""Log files into the active run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from consist.active import ActiveRun
from consist.artifacts.describe import Named, describe, local_path
from consist.artifacts.keys import check_key
from consist.errors import InvalidKey, NotSupportedYet, UsageError, WrongType, hint
from consist.models.record import ArtifactRecord, Direction, LogEvent, encode, replace
from consist.types import DIRECTIONS, ArtifactRef, FacetLike, check_option, is_mapping

if TYPE_CHECKING:
    from sqlmodel import SQLModel

    from consist.models.artifact import Artifact
    from consist.workspace import Workspace


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
    contradict it is the cached artifact; anything else turns the hit into an executing run.

    Parameters
    ----------
    path : str, Path or Artifact
        A file or folder, relative to the current folder, or an artifact recorded before.
    key : str, optional
        Semantic name; required for a path.
    direction : {"output", "input"}
        How the run stands to it.
    schema : type, optional
        SQLModel class of its rows; the name is kept in the metadata.
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
    reuse_if_unchanged, reuse_scope
        Deprecated for outputs, which always get a record of their own; equal bytes share
        ``content_id``.
    profile_file_schema, file_schema_sample_rows, facet, facet_schema_version, facet_index
        Not supported yet.
    **meta : Any
        Free metadata of the artifact.

    Returns
    -------
    Artifact
        The recorded artifact.

    Raises
    ------
    RuntimeError
        Outside an active run.
    ValueError
        For a path without a key, an invalid key or direction, or a wrong ``content_hash``.
    """
    run = ws.active.require("log_artifact")
    check_option("direction", direction, DIRECTIONS)
    _refuse_unsupported(profile_file_schema=profile_file_schema, facet=facet)
    _warn_reuse(direction, asked=reuse_if_unchanged)
    if schema is not None:
        meta.setdefault("schema_name", schema.__name__)
    item = _named(ws, path, key, driver=driver, meta=meta)
    if isinstance(item, Named):
        item = Named(
            path=item.path,
            key=item.key,
            driver=driver,
            table_path=table_path,
            array_path=array_path,
            content_hash=content_hash,
            force=force_hash_override,
            validate=validate_content_hash,
            meta=meta,
        )
    return entity(ws, log_all(ws, run, [item], _direction(direction))[0])


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
    facets_by_key, facet_schema_versions_by_key, facet_index
        Not supported yet.
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
        For an invalid key, or metadata of a key that is not logged.
    """
    run = ws.active.require("log_artifacts")
    check_option("direction", direction, DIRECTIONS)
    _refuse_unsupported(facets_by_key=facets_by_key)
    _warn_reuse(direction, asked=reuse_if_unchanged)
    if not is_mapping(cast("object", outputs)):
        raise WrongType("log_artifacts takes a mapping of key to path")
    by_key = dict(metadata_by_key or {})
    _check_known_keys(by_key, outputs)
    items = [
        _named(ws, path, _text_key(key), driver=driver, meta={**shared_meta, **by_key.get(key, {})})
        for key, path in outputs.items()
    ]
    records = log_all(ws, run, items, _direction(direction))
    return {key: entity(ws, record) for key, record in zip(outputs, records, strict=True)}


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


def entity(ws: Workspace, record: ArtifactRecord) -> Artifact:
    """Return the documented object of a record, with its path resolved by this tracker."""
    from consist.models.artifact import Artifact

    return Artifact.from_record(record, ws.path_of)


def log_all(
    ws: Workspace,
    run: ActiveRun,
    items: Sequence[Named | ArtifactRecord],
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
        kept = {n: _cached(ws, run, item, direction) for n, item in enumerate(items)}
        files = [i for n, i in enumerate(items) if kept[n] is None and isinstance(i, Named)]
        described = iter(describe(ws, run, files, direction))
        records = [_pick(kept[n], item, described) for n, item in enumerate(items)]
        for record in records:
            run.add(record, direction)
        if announce and run.persisted and records:
            _announce(ws, run, records, direction)
    return records


def _pick(kept: ArtifactRecord | None, item: Named | ArtifactRecord, described: Any) -> Any:
    if kept is not None:
        return kept
    return item if isinstance(item, ArtifactRecord) else next(described)


def _announce(
    ws: Workspace, run: ActiveRun, records: Sequence[ArtifactRecord], direction: Direction
) -> None:
    ws.store.amend(LogEvent(run.record.uid, run.run_id, direction, tuple(records)))
    count = len(run.inputs) + len(run.outputs)
    # Rewritten whenever it has doubled, so that many single calls stay linear together.
    if count >= max(2 * run.written_size, 1):
        run.written_size = count
        ws.store.write_snapshot(run.run_id, encode(run.document()))


# ---------------------------------------------------------------- inside a hit


def _cached(
    ws: Workspace, run: ActiveRun, item: Named | ArtifactRecord, direction: Direction
) -> ArtifactRecord | None:
    """Return the cached artifact that ``item`` is, or end the hit if it is something else."""
    hit = run.hit
    if hit is None:
        return None
    known = hit.outputs if direction == "output" else (*hit.inputs, *run.inputs.values())
    for record in known:
        if record.key == item.key and _agrees(ws, record, item):
            run.confirmed.add(record.id)
            return record
    demote(run)
    return None


def _agrees(ws: Workspace, record: ArtifactRecord, item: Named | ArtifactRecord) -> bool:
    """Whether nothing shows that ``item`` is other than the cached ``record``."""
    if isinstance(item, ArtifactRecord):
        return item.id == record.id or (item.hash == record.hash and item.hash is not None)
    if item.content_hash is not None:
        return item.content_hash == record.hash
    if not Path(item.path).exists() or record.hash is None:
        return True
    return ws.files.is_same(item.path, record.hash)


def demote(run: ActiveRun) -> None:
    """Turn a hit into an executing run, because its code did something else this time."""
    hit, run.hit = run.hit, None
    if hit is None:
        return
    for record in hit.outputs:
        if record.id not in run.confirmed:
            run.outputs.pop(record.id, None)
    meta = {k: v for k, v in run.record.meta.items() if k not in {"cache_hit", "cache_source"}}
    run.record = replace(run.record, meta={**meta, "demoted_from": hit.run.id})


# ---------------------------------------------------------------- arguments


def _named(
    ws: Workspace,
    path: ArtifactRef,
    key: str | None,
    *,
    driver: str | None,
    meta: Mapping[str, Any],
) -> Named | ArtifactRecord:
    if isinstance(path, ArtifactRecord):
        return path
    if not isinstance(path, str | os.PathLike):
        to_record = getattr(path, "to_record", None)
        if to_record is None:
            raise WrongType(f"cannot log a {type(path).__name__}: pass a path or an Artifact")
        return to_record()
    if key is None:
        problem = InvalidKey(None, f"is needed to log the path {os.fspath(path)!r}")
        raise hint(problem, "pass key=, the name that later steps ask for")
    return Named(path=local_path(ws, path), key=check_key(key), driver=driver, meta=meta)


def _direction(text: str) -> Direction:
    return "input" if text == "input" else "output"


def _text_key(key: object) -> str:
    if not isinstance(key, str):
        raise WrongType(f"artifact key {key!r} is a {type(key).__name__}, not text")
    return key


def _check_known_keys(by_key: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    unknown = [key for key in by_key if key not in outputs]
    if unknown:
        raise UsageError(f"metadata_by_key names {', '.join(unknown)}, which are not logged")


def _refuse_unsupported(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise NotSupportedYet(f"{name} of an artifact")


def _warn_reuse(direction: str, *, asked: bool) -> None:
    if asked and direction == "output":
        warnings.warn(
            "reuse_if_unchanged has no effect on outputs: each gets a record of its own,"
            " and equal bytes share content_id",
            DeprecationWarning,
            stacklevel=3,
        )
