"""Find artifacts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import func, select

from consist.artifacts.items import recorded
from consist.artifacts.load import load
from consist.errors import AmbiguousOutput, UnknownKey, UsageError, WrongType, a_kind, hint
from consist.files.bounds import below
from consist.models.artifact import Artifact
from consist.models.result import RunArtifacts
from consist.models.run import Run, RunArtifactLink, RunExtra
from consist.query import arguments as given
from consist.query.ask import (
    Ask,
    among,
    asking,
    columns,
    every,
    fetch,
    fetch_all,
    newest,
    rows_as,
)
from consist.query.meant import meant_run, meant_run_id
from consist.query.runs import get_run
from consist.types import DIRECTIONS, check_option, is_mapping

if TYPE_CHECKING:
    from consist.workspace import Workspace


def get_artifact(
    ws: Workspace, key_or_id: str | UUID, *, run_id: str | None = None
) -> Artifact | None:
    """Return an artifact by its id, or the latest one of a key; ``None`` if there is none.

    Of a key, one that was found to be missing on disk is only returned if there is no other.

    Parameters
    ----------
    key_or_id : str or UUID
        What to look for.
    run_id : str, optional
        Only among the inputs and outputs of this run.
    """
    given.artifact_id(key_or_id)
    given.text("run_id", run_id)
    if not ws.store.has_database:
        return None
    artifact = columns(Artifact)
    among: list[Any] = []
    if run_id is not None:
        link = columns(RunArtifactLink)
        linked: Any = select(link.artifact_id).where(link.run_id == meant_run_id(ws, run_id))
        among = [artifact.id.in_(linked)]
    identity = _as_uuid(key_or_id)
    if identity is not None:
        rows = fetch_all(ws, Artifact, every(Artifact).where(artifact.id == identity, *among))
        if rows or isinstance(key_or_id, UUID):
            return rows[0] if rows else None
    return _latest_of_key(ws, [artifact.key == key_or_id, *among])


def _latest_of_key(ws: Workspace, meant: list[Any]) -> Artifact | None:
    rows = fetch_all(ws, Artifact, newest(Artifact, meant, 1))
    if not rows or not rows[0].meta.get("missing_on_disk"):
        return rows[0] if rows else None
    lacks = func.json_extract(columns(Artifact).meta, "/missing_on_disk")
    there = func.coalesce(lacks, "false") != "true"
    return next(iter(fetch_all(ws, Artifact, newest(Artifact, [*meant, there], 1))), rows[0])


def _as_uuid(text: str | UUID) -> UUID | None:
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text)
    except ValueError:
        return None


def get_artifact_by_uri(
    ws: Workspace, uri: str, *, table_path: str | None = None, array_path: str | None = None
) -> Artifact | None:
    """Return the latest artifact at a portable URI; ``None`` if there is none, or no database.

    A ``./…`` means this tracker's run folder first, and any other only if nothing was recorded
    there.

    Parameters
    ----------
    uri : str
        The URI, exactly as it was recorded.
    table_path, array_path : str, optional
        Part of a container file; without them, any.
    """
    given.required_text("uri", uri)
    paths = {"table_path": table_path, "array_path": array_path}
    parts = {name: path for name, path in paths.items() if given.text(name, path) is not None}
    if not ws.store.has_database:
        return None
    artifact = columns(Artifact)
    meant = [artifact.container_uri == uri, *(artifact[name] == parts[name] for name in parts)]
    own = artifact.root.in_(["", str(ws.run_dir)])
    for conditions in ([*meant, own], meant):
        rows = fetch_all(ws, Artifact, newest(Artifact, conditions, 1))
        if rows:
            return rows[0]
    return None


def find_artifacts(
    ws: Workspace,
    *,
    creator: str | Run | None = None,
    consumer: str | Run | None = None,
    key: str | None = None,
    limit: int = 100,
) -> list[Artifact]:
    """Return artifacts by the run that logged them as output or input, and by key; newest first.

    Parameters
    ----------
    creator, consumer : str or Run, optional
        The run that logged it as an output, or as an input; a cache hit counts as both.
    key : str, optional
        The exact key.
    limit : int, default 100
        Most artifacts to return.

    Returns
    -------
    list of Artifact
        Empty without a database.
    """
    limit = given.limit_of(limit)
    given.text("key", key)
    for name, run in (("creator", creator), ("consumer", consumer)):
        if not isinstance(cast("object", run), str | Run | None):
            raise hint(WrongType(f"{name} is {a_kind(run)}"), "pass a Run or its id")
    if not ws.store.has_database:
        return []
    artifact = columns(Artifact)
    meant = [
        artifact.id.in_(_linked(ws, run, direction))
        for run, direction in ((creator, "output"), (consumer, "input"))
        if run is not None
    ]
    if key is not None:
        meant.append(artifact.key == key)
    return fetch_all(ws, Artifact, newest(Artifact, meant, limit))


def _linked(ws: Workspace, run: str | Run, direction: str) -> Any:
    run_id = meant_run_id(ws, run) if isinstance(run, str) else run.id
    link = columns(RunArtifactLink)
    return select(link.artifact_id).where(link.run_id == run_id, link.direction == direction)


# ---------------------------------------------------------------- of one run


def get_artifacts_for_run(ws: Workspace, run_id: str) -> RunArtifacts:
    """Return the inputs and outputs of a run by key; empty if it is unknown.

    Inputs that share a key are listed under the names they were given, or as ``<key>~2``; of
    outputs that share one, the latest counts.
    """
    given.required_text("run_id", run_id)
    if not ws.store.has_database:
        return RunArtifacts()
    sides: dict[str, list[Artifact]] = {"input": [], "output": []}
    with asking(ws) as ask:
        meant = meant_run(ws, run_id, ask)
        directions = _linked_to(ask, run_id if meant is None else meant.id)
        artifact = columns(Artifact)
        wanted = every(Artifact).where(among(artifact.id, directions))
        ordered = wanted.order_by(artifact.created_at, artifact.id)
        # Told how few there can be, DuckDB reads the other columns of these rows alone.
        rows = ask(ordered.limit(len(directions))) if directions else []
    for direction in sides:
        sides[direction] = rows_as(
            ws, Artifact, (row for row in rows if direction in directions[str(row.id)])
        )
    return RunArtifacts(
        _by_key(sides["input"], lambda: _input_names(ws, run_id)),
        {output.key: output for output in sides["output"]},
    )


def _linked_to(ask: Ask, run_id: str) -> dict[str, set[str]]:
    """Return as what a run has its artifacts, by their ids; a join would read far more of them."""
    link = columns(RunArtifactLink)
    found: dict[str, set[str]] = defaultdict(set)
    statement = select(link.artifact_id, link.direction).where(link.run_id == run_id)
    for artifact_id, direction in ask(statement):
        found[str(artifact_id)].add(direction)
    return found


def _by_key(inputs: list[Artifact], names: Callable[[], Mapping[str, str]]) -> dict[str, Artifact]:
    """Return inputs by key; those that share one by the names they were given, or numbered."""
    if len({artifact.key for artifact in inputs}) == len(inputs):
        return {artifact.key: artifact for artifact in inputs}
    known = names()
    found: dict[str, Artifact] = {}
    for artifact in inputs:
        name = stem = known.get(str(artifact.id), artifact.key)
        number = 1
        while name in found:
            number += 1
            name = f"{stem}~{number}"
        found[name] = artifact
    return found


def _input_names(ws: Workspace, run_id: str) -> Mapping[str, str]:
    extra = columns(RunExtra)
    rows = fetch(ws, select(extra.extra).where(extra.run_id == meant_run_id(ws, run_id)))
    return rows[0][0].get("input_names", {}) if rows and rows[0][0] else {}


def get_run_inputs(ws: Workspace, run_id: str) -> dict[str, Artifact]:
    """Return the inputs of a run by key; empty if it is unknown."""
    return get_artifacts_for_run(ws, run_id).inputs


def get_run_outputs(ws: Workspace, run_id: str) -> dict[str, Artifact]:
    """Return the outputs of a run by key; empty if it is unknown."""
    return get_artifacts_for_run(ws, run_id).outputs


def get_run_artifact(
    ws: Workspace,
    run_id: str,
    key: str | None = None,
    key_contains: str | None = None,
    direction: str = "output",
) -> Artifact | None:
    """Return one artifact of a run by its key, or by a part of it; ``None`` if there is none.

    Raises
    ------
    ValueError
        If several keys contain the part.
    """
    check_option("direction", direction, DIRECTIONS)
    found = get_artifacts_for_run(ws, run_id)
    side = found.inputs if direction == "input" else found.outputs
    if given.text("key", key) is not None:
        return side.get(str(key))
    given.text("key_contains", key_contains)
    matching = [name for name in side if key_contains is None or key_contains in name]
    if len(matching) > 1:
        raise AmbiguousOutput(run_id, tuple(matching))
    return side[matching[0]] if matching else None


def load_run_output(ws: Workspace, run_id: str, key: str, **kwargs: Any) -> Any:
    """Read an output of a run by its key; options as for ``Tracker.load``.

    Raises
    ------
    KeyError
        If the run has no such output.
    """
    outputs = get_run_outputs(ws, run_id)
    if key not in outputs:
        raise UnknownKey(key, f"outputs of run {run_id!r}", tuple(outputs))
    return load(ws, outputs[key], **kwargs)


def load_input_bundle(ws: Workspace, run_id: str) -> dict[str, Artifact]:
    """Return the outputs of a completed run, to be the inputs of others.

    Raises
    ------
    ValueError
        If the run is unknown, did not complete, or has no outputs.
    TypeError
        If the id is not text.
    """
    given.required_text("run_id", run_id)
    run = get_run(ws, meant_run_id(ws, run_id)) if ws.store.has_database else None
    if run is None:
        raise UsageError(f"there is no run {run_id!r} to take a bundle from")
    if run.status != "completed":
        raise UsageError(f"run {run.id!r} is {run.status}, not a bundle")
    outputs = get_run_outputs(ws, run.id)
    if not outputs:
        raise UsageError(f"run {run.id!r} has no outputs to be a bundle")
    return outputs


def resolve_historical_path(ws: Workspace, artifact: Artifact, run: Run) -> Path:
    """Return where an artifact lay in the workspace of the run that made or used it.

    Where this tracker's own run folder and mounts are does not matter, and neither does whether
    the file is still there: a URI under a mount lies where the mount of that run was, a relative
    one in the run folder of that run. For a run that used the artifact and got no copy of its
    own, that is the run folder in which the artifact was written.

    Parameters
    ----------
    artifact : Artifact
        What to look for.
    run : Run
        The run.

    Raises
    ------
    TypeError
        If they are no artifact and no run.
    ValueError
        If the artifact's location leads out of its folder.
    """
    record = recorded(artifact)
    meta: Any = getattr(run, "meta", None)
    if record is None or not is_mapping(meta):
        problem = WrongType(f"cannot look for {a_kind(artifact)} in {a_kind(run)}")
        raise hint(problem, "pass an Artifact, and a Run such as tracker.get_run(id)")
    uri = record.container_uri
    scheme, separator, relative = uri.partition("://")
    if separator and scheme not in {"file", "workspace"}:
        mounts: Any = meta.get("mounts")
        root = mounts.get(scheme) if is_mapping(mounts) else None
        root = root or record.meta.get("mount_root")
        return Path(below(str(root), relative, uri)) if root else ws.files.mounts.resolve(uri)
    written = record.root or None
    own: str | None = meta.get("_physical_run_dir")
    if own is None or own == written:
        return ws.files.mounts.resolve(uri, written)
    there = ws.files.mounts.resolve(uri, own)
    return there if written is None or there.exists() else ws.files.mounts.resolve(uri, written)
