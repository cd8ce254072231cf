"""Give bytes back: decide what to copy, then copy it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.artifacts.materialize import Copy, check_permitted, source_of
from consist.artifacts.verify import gone
from consist.errors import FileGone, UsageError
from consist.files.bounds import within
from consist.files.history import below_roots, places
from consist.models.record import ArtifactRecord
from consist.types import is_mapping

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.cache")


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

    Under ``outputs-requested``, a key that is not among the outputs, or whose file is gone, is
    left out with a warning.

    Raises
    ------
    FileGone
        If the file of an output is gone, under ``outputs-all``.
    PathEscape
        If a destination lies outside the run folder without permission.
    UsageError
        If two outputs would be copied to one place, or one into another.
    """
    by_key = {artifact.key: artifact for artifact in outputs}
    wanted = _requested(by_key, request) if request.policy == "outputs-requested" else None
    copies: list[Copy] = []
    for key, artifact in by_key.items() if wanted is None else wanted:
        source = source_of(ws, artifact)
        if source is not None:
            destination = Path() if request.paths is None else request.paths.get(key, Path())
            copies.append(Copy(artifact, source, destination))
        elif wanted is None:
            raise _not_there(ws, artifact)
        else:
            logger.warning("[Consist] not copied: %s", _not_there(ws, artifact))
    if wanted is None and request.folder is not None:
        copies = _into(request.folder, copies)
    for item in copies:
        check_permitted(ws, item.destination, allow_external=allow_external)
    _check_apart(copies)
    return copies


def _requested(
    by_key: Mapping[str, ArtifactRecord], request: HydrationRequest
) -> list[tuple[str, ArtifactRecord]]:
    asked = list(request.paths or {})
    for key in asked:
        if key not in by_key:
            logger.warning("[Consist] %r is not among the cached outputs", key)
    return [(key, by_key[key]) for key in asked if key in by_key]


def _not_there(ws: Workspace, artifact: ArtifactRecord) -> FileGone:
    return gone(artifact, str(ws.path_of(artifact)))


def _into(folder: Path, copies: Sequence[Copy]) -> list[Copy]:
    """Give every copy the name of its source; where several share one, their keys instead."""
    names = Counter(item.source.name for item in copies)
    return [
        Copy(item.record, item.source, folder / _name(item, shared=names[item.source.name] > 1))
        for item in copies
    ]


def _name(item: Copy, *, shared: bool) -> str:
    name = item.source.name
    return f"{item.record.key}{''.join(item.source.suffixes)}" if shared else name


def _check_apart(copies: Sequence[Copy]) -> None:
    placed = sorted(copies, key=lambda item: (item.destination.parts, item.record.key))
    for one, other in pairwise(placed):
        if within(str(other.destination), str(one.destination)):
            raise UsageError(
                f"outputs {one.record.key!r} and {other.record.key!r} would both be copied to"
                f" {one.destination}"
            )


# ---------------------------------------------------------------- inputs


def plan_missing_inputs(
    ws: Workspace, inputs: Iterable[ArtifactRecord], *, allow_external: bool
) -> list[Copy]:
    """Decide which inputs that are gone here are copied from an original that is still there.

    Looked for in this order: the run folder that the artifact was written in, the folder of its
    mount when it was recorded, the folders that its metadata name as ``recovery_roots``, and the
    run folder or mounts of the run that wrote it. The first one with the recorded bytes counts.

    Raises
    ------
    PathEscape
        If an input belongs under a mount, outside the run folder, without permission.
    """
    copies: list[Copy] = []
    for artifact in inputs:
        here = ws.files.mounts.resolve(artifact.container_uri)
        if here.exists():
            continue
        found = next((p for p in _originals(ws, artifact) if _is_original(ws, p, artifact)), None)
        if found is not None and _is_placed(ws, artifact):
            check_permitted(ws, here, allow_external=allow_external)
            copies.append(Copy(artifact, Path(found), here))
    return copies


def _originals(ws: Workspace, artifact: ArtifactRecord) -> Iterator[str]:
    mounts = ws.files.mounts
    if "://" in artifact.container_uri:
        yield from below_roots(artifact.container_uri, [artifact.meta.get("mount_root")])
    yield from places(mounts, artifact.container_uri, artifact.root, artifact.meta)[1:]
    yield from below_roots(artifact.container_uri, _roots_of_run(ws, artifact))


def _roots_of_run(ws: Workspace, artifact: ArtifactRecord) -> Iterator[object]:
    """Yield the folders that the run which wrote an artifact says it lay in."""
    if artifact.run_id is None or not ws.store.has_database:
        return
    from consist.query.runs import get_run  # only asked where nothing else was found

    run = get_run(ws, artifact.run_id)
    if run is None:
        return
    scheme, separator, _ = artifact.container_uri.partition("://")
    mounts = run.meta.get("mounts")
    if separator and is_mapping(mounts):
        yield mounts.get(scheme)
    elif not separator:
        yield run.meta.get("_physical_run_dir")


def _is_original(ws: Workspace, path: str, artifact: ArtifactRecord) -> bool:
    if artifact.hash is None:
        return Path(path).exists()
    return ws.files.is_same(path, artifact.hash)


def _is_placed(ws: Workspace, artifact: ArtifactRecord) -> bool:
    """Whether the artifact has a place of its own here: below the run folder or a mount."""
    scheme, separator, _ = artifact.container_uri.partition("://")
    if separator:
        return scheme == "workspace" or scheme in ws.files.mounts.roots
    return not Path(artifact.container_uri).is_absolute()


def restore_missing_rows(ws: Workspace, inputs: Iterable[ArtifactRecord]) -> None:
    """Make ingested inputs again from the database whose files are nowhere."""
    inputs = [artifact for artifact in inputs if artifact.hash is not None]
    paths = [(ws.path_of(artifact), ws.restored_place(artifact)) for artifact in inputs]
    if not ws.store.has_database or all(p.exists() and p != own for p, own in paths):
        return
    from consist.hot.rows import restore_missing

    restore_missing(ws, inputs)
