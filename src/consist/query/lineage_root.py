"""What a lineage is asked for: an artifact, a run, or the file that lies at a path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_

from consist.errors import ConsistError, NotRecorded, WrongType, a_kind, hint
from consist.models.artifact import Artifact
from consist.models.result import RunResult
from consist.models.run import Run
from consist.query.artifacts import get_artifact
from consist.query.ask import columns, fetch_all, newest
from consist.query.lineage_parts import FoundFile
from consist.query.runs import as_json, get_run, meant_run_id
from consist.types import PathLike

if TYPE_CHECKING:
    from consist.workspace import Workspace

_VERSIONS = 100
"""Latest versions of a file among which its bytes are looked for."""


class Root(NamedTuple):
    """What was meant, and the file that it was found by, if it was one."""

    entity: Artifact | Run
    file: FoundFile | None = None


def root_of(ws: Workspace, meant: object) -> Root:
    """Return what a lineage is asked for.

    Raises
    ------
    KeyError
        If nothing of the kind was recorded.
    TypeError
        If it is nothing that has a lineage.
    """
    match meant:
        case Artifact() | Run():
            return Root(meant)
        case RunResult():
            return Root(meant.run)
        case UUID():
            found = get_artifact(ws, meant)
        case str():
            return _named(ws, meant)
        case os.PathLike():
            return _file(ws, cast("PathLike", meant))
        case _:
            problem = WrongType(f"{a_kind(meant)} has no lineage")
            raise hint(problem, "pass an artifact, its key or id, a run or its id, or a path")
    if found is None:
        raise NotRecorded(str(meant))
    return Root(found)


def _named(ws: Workspace, name: str) -> Root:
    found = get_artifact(ws, name) or get_run(ws, meant_run_id(ws, name))
    if found is not None:
        return Root(found)
    try:
        return _file(ws, name)
    except NotRecorded:
        if os.path.lexists(name) or os.sep in name:
            raise
    raise hint(
        NotRecorded(name),
        "give the key or id of an artifact, the id of a run, or the path of a recorded file",
    )


# ---------------------------------------------------------------- files


def _file(ws: Workspace, path: PathLike) -> Root:
    place = ws.files.resolve(ws.files.virtualize(path))
    digest = _digest(ws, place)
    recorded = _recorded_at(ws, place)
    for artifact in recorded:
        if digest is not None and artifact.hash == digest:
            return Root(artifact, FoundFile(str(place), "same", "place"))
    if recorded:
        return Root(recorded[0], _standing(ws, recorded[0], place))
    copied = _of_content(ws, digest)
    if copied is not None:
        return Root(copied, FoundFile(str(place), "same", "content"))
    around = _recorded_around(ws, place)
    if around is not None:
        state = "unknown" if place.exists() else "gone"
        return Root(around, FoundFile(str(place), state, "folder"))
    problem = NotRecorded(str(place))
    if digest is None:
        raise hint(problem, "there is no such file either; is the path right?")
    raise hint(problem, "no run recorded a file at this path, nor one of these bytes elsewhere")


def _digest(ws: Workspace, path: Path) -> str | None:
    try:
        return ws.files.digest(path)
    except (OSError, ConsistError):
        return None


def _standing(ws: Workspace, artifact: Artifact, place: Path) -> FoundFile:
    if not place.exists():
        return FoundFile(str(place), "gone", "place")
    if artifact.hash is None:
        return FoundFile(str(place), "unknown", "place")
    same = ws.files.is_same(place, artifact.hash)  # however its digest was made
    return FoundFile(str(place), "same" if same else "changed", "place")


def _recorded_at(ws: Workspace, place: Path) -> list[Artifact]:
    """Return what was recorded at a path, the latest first; wholes before their parts."""
    artifact = columns(Artifact)
    places = or_(*_locations(ws, place))
    rows = fetch_all(ws, Artifact, newest(Artifact, [places], _VERSIONS))
    if not rows:
        mounted = or_(*_mounted(place))
        rows = fetch_all(ws, Artifact, newest(Artifact, [mounted], _VERSIONS))
    if not rows and place.parent.parent == ws.run_dir / "restored":
        rows = fetch_all(ws, Artifact, newest(Artifact, [artifact.id == place.parent.name]))
    return sorted(rows, key=_is_part)


def _is_part(artifact: Artifact) -> bool:
    return artifact.table_path is not None or artifact.array_path is not None


def _locations(ws: Workspace, place: Path) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions under which an artifact lies at a path, whichever run folder made it."""
    artifact = columns(Artifact)
    own = ws.files.virtualize(place)
    yield and_(artifact.root == own.root, artifact.container_uri == own.uri)
    for path in dict.fromkeys((place, place.resolve())):
        yield artifact.container_uri == path.as_posix()
        for folder, rest in _splits(path):
            yield and_(artifact.root == str(folder), artifact.container_uri == f"./{rest}")


def _mounted(place: Path) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a file below a mount that this tracker does not have."""
    artifact = columns(Artifact)
    for folder, rest in _splits(place):
        mount = func.json_extract(artifact.meta, "/mount_root") == as_json(str(folder))
        yield and_(artifact.container_uri.endswith(f"://{rest}", autoescape=True), mount)


def _splits(path: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    for folder in path.parents:
        yield folder, PurePosixPath(path.relative_to(folder).as_posix())


def _of_content(ws: Workspace, digest: str | None) -> Artifact | None:
    if digest is None:
        return None
    rows = fetch_all(ws, Artifact, newest(Artifact, [columns(Artifact).hash == digest], 1))
    return rows[0] if rows else None


def _recorded_around(ws: Workspace, place: Path) -> Artifact | None:
    """Return the nearest recorded folder that a path lies in."""
    artifact: Any = columns(Artifact)
    folders = func.json_extract(artifact.meta, "/artifact_kind") == as_json("directory")
    for parent in [*place.parents][:-1]:
        where = [or_(*_locations(ws, parent)), folders]
        rows = fetch_all(ws, Artifact, newest(Artifact, where, 1))
        if rows:
            return rows[0]
    return None
