"""Give bytes back: decide what to copy, then copy it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.errors import FileGone, PathEscape, UsageError, hint
from consist.files.transfer import copy
from consist.models.record import ArtifactRecord

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.cache")


class Copy(msgspec.Struct, frozen=True):
    """One file or folder to be copied."""

    key: str
    source: Path
    destination: Path


class HydrationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which cached outputs are wanted where.

    Attributes
    ----------
    policy : str
        One of the cache hydrations.
    paths : mapping of str to path, or None
        Destinations by key, for ``outputs-requested``.
    folder : Path or None
        Destination of everything, for ``outputs-all``.
    """

    policy: str = "metadata"
    paths: Mapping[str, Path] | None = None
    folder: Path | None = None


def check_request(policy: str, *, has_paths: bool, has_folder: bool) -> None:
    """Check that a hydration policy comes with the destinations it needs, and no others.

    Raises
    ------
    UsageError
        Naming the policy and the argument.
    """
    if policy == "outputs-requested":
        if not has_paths:
            raise UsageError(
                "cache_hydration='outputs-requested' needs materialize_cached_output_paths"
                " or output_paths"
            )
        if has_folder:
            raise UsageError(
                "cache_hydration='outputs-requested' takes no materialize_cached_outputs_dir"
            )
    elif policy == "outputs-all":
        if not has_folder:
            raise UsageError("cache_hydration='outputs-all' needs materialize_cached_outputs_dir")
        if has_paths:
            raise UsageError(
                "cache_hydration='outputs-all' takes no materialize_cached_output_paths"
            )
    elif has_paths or has_folder:
        raise UsageError(
            f"cache_hydration={policy!r} copies no outputs; remove"
            " materialize_cached_output_paths and materialize_cached_outputs_dir"
        )


def plan_outputs(
    ws: Workspace,
    outputs: Sequence[ArtifactRecord],
    request: HydrationRequest,
    *,
    allow_external: bool,
) -> list[Copy]:
    """Decide which cached outputs are copied where.

    Raises
    ------
    PathEscape
        If a destination lies outside the run folder without permission.
    """
    by_key = {artifact.key: artifact for artifact in outputs}
    copies: list[Copy] = []
    if request.policy == "outputs-requested":
        for key, destination in (request.paths or {}).items():
            if key not in by_key:
                logger.warning("[Consist] %r is not among the cached outputs", key)
                continue
            copies.append(Copy(key, ws.path_of(by_key[key]), destination))
    elif request.policy == "outputs-all" and request.folder is not None:
        for artifact in by_key.values():
            source = ws.path_of(artifact)
            copies.append(Copy(artifact.key, source, request.folder / source.name))
        _check_distinct(copies)
    for item in copies:
        _check_destination(ws, item.destination, allow_external=allow_external)
    return copies


def plan_missing_inputs(ws: Workspace, inputs: Iterable[ArtifactRecord]) -> list[Copy]:
    """Decide which inputs that are gone here can be copied from the run that made them."""
    copies: list[Copy] = []
    for artifact in inputs:
        if artifact.run_id is None or not artifact.root:
            continue
        here = ws.files.mounts.resolve(artifact.container_uri)
        there = ws.files.mounts.resolve(artifact.container_uri, artifact.root)
        if not here.exists() and there.exists():
            copies.append(Copy(artifact.key, there, here))
    return copies


def restore_missing_rows(ws: Workspace, inputs: Iterable[ArtifactRecord]) -> None:
    """Make ingested inputs again from the database whose files are nowhere."""
    inputs = [artifact for artifact in inputs if artifact.hash is not None]
    paths = [(ws.path_of(artifact), ws.restored_place(artifact)) for artifact in inputs]
    if not ws.store.has_database or all(p.exists() and p != own for p, own in paths):
        return
    from consist.hot.rows import restore_missing

    restore_missing(ws, inputs)


def carry_out(copies: Iterable[Copy], *, required: bool) -> dict[str, str]:
    """Copy files, and return the destinations by key.

    Raises
    ------
    FileGone
        If a source is missing and ``required``; otherwise it is passed over with a warning.
    """
    done: dict[str, str] = {}
    for item in copies:
        if not item.source.exists():
            problem = FileGone(item.key, (str(item.source),))
            if required:
                raise hint(problem, "run the step again with cache_mode='overwrite'")
            logger.warning("[Consist] %s", problem)
            continue
        copy(item.source, item.destination)
        done[item.key] = str(item.destination)
    return done


def _check_distinct(copies: Sequence[Copy]) -> None:
    seen: dict[Path, str] = {}
    for item in copies:
        other = seen.setdefault(item.destination, item.key)
        if other != item.key:
            raise UsageError(
                f"outputs {other!r} and {item.key!r} would both be copied to {item.destination}"
            )


def _check_destination(ws: Workspace, destination: Path, *, allow_external: bool) -> None:
    if allow_external or ws.files.mounts.contains(destination):
        return
    problem = PathEscape(str(destination), str(ws.run_dir))
    raise hint(problem, "pass allow_external_paths=True to copy outside the run folder")
