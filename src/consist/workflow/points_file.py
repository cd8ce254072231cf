"""The file that holds the points of a sweep, so that each can be run from the shell.

It is one JSON document: what the tracker was opened with, the header of the scenario, the name of
the step, the request that all points share, and on a line of its own what each point has for
itself. The config of a point is the shared one with its parameters over it, unless the point says
otherwise. Inputs that points have in common stand in it once.

Nothing in it is unpickled or evaluated, but it names code that is imported and called: it is to
be trusted like a script, no less and no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import msgspec

from consist.errors import PointsFileUnusable, hint
from consist.models.record import NULL, ArtifactRecord, RunRecord
from consist.runs.arguments import RunRequest
from consist.store.claims import check_requested_id
from consist.types import PathLike
from consist.workflow.importable import find_again, import_name
from consist.workspace import Workspace

FORMAT_VERSION = 1
"""Version of the file; a reader refuses newer ones by name."""

Raws = dict[str, msgspec.Raw]

_encode = msgspec.json.encode


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a tracker was opened with; its classes and functions by name."""

    run_dir: str
    db_path: str | None
    mounts: dict[str, str]
    project_root: str
    hashing_strategy: str
    cache_epoch: int
    allow_external_paths: bool
    code_identity: str | None
    schemas: tuple[str, ...] = ()
    run_subdir_fn: str | None = None

    @classmethod
    def of(cls, ws: Workspace) -> Self:
        """Return what opens the same tracker in another process."""
        named = ws.run_subdir_fn
        return cls(
            run_dir=str(ws.run_dir),
            db_path=None if ws.db_path is None else str(ws.db_path),
            mounts={name: str(path) for name, path in ws.files.mounts.roots.items()},
            project_root=str(ws.project_root),
            hashing_strategy=ws.files.memo.strategy,
            cache_epoch=ws.cache_epoch,
            allow_external_paths=ws.allow_external_paths,
            code_identity=ws.code_identity,
            schemas=tuple(import_name(schema, "the schema") for schema in ws.schemas.values()),
            run_subdir_fn=None if named is None else import_name(named, "run_subdir_fn"),
        )

    def arguments(self, paths: tuple[str, ...]) -> dict[str, Any]:
        """Return the arguments of ``Tracker``; what is named is imported."""
        given = msgspec.structs.asdict(self)
        given["schemas"] = [find_again(name, paths) for name in self.schemas]
        if self.run_subdir_fn is not None:
            given["run_subdir_fn"] = find_again(self.run_subdir_fn, paths)
        return given


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it is stored."""

    consist_points: int
    tracker: Opening
    scenario: RunRecord
    step: str
    name: str
    paths: tuple[str, ...]
    folder: str
    inputs: list[msgspec.Raw]
    shared: Raws
    points: list[msgspec.Raw]


class WrittenPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One point: what is varied, and the parts of its request that are not those of all."""

    parameters: Raws
    differs: Raws = {}


class _Version(msgspec.Struct):
    consist_points: int


# ---------------------------------------------------------------- read


class PointsFile:
    """The points of a sweep as :meth:`ScenarioContext.write_points` wrote them.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Name of the step.
    """

    def __init__(self, path: Path, document: Document) -> None:
        self.path, self._document, self.name = path, document, document.name

    @classmethod
    def read(cls, path: PathLike) -> Self:
        """Read a file.

        Raises
        ------
        PointsFileUnusable
            If it is none, is damaged, or was written by a newer version.
        OSError
            If there is no such file.
        """
        found = Path(os.path.abspath(path))  # noqa: PTH100 - links are kept as given
        content = found.read_bytes()
        try:
            document = msgspec.json.decode(content, type=Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _check_version(found, content)
            problem = PointsFileUnusable(str(found), f"it is damaged: {error}")
            raise hint(problem, "write it again with sc.write_points(...)") from None
        _check_version(found, content, document.consist_points)
        return cls(found, document)

    def __len__(self) -> int:
        return len(self._document.points)

    @property
    def opening(self) -> Opening:
        """What the tracker is opened with."""
        return self._document.tracker

    @property
    def header(self) -> RunRecord:
        """The scenario that the runs belong to."""
        return self._document.scenario

    def move_in(self) -> None:
        """Make the folder that the file was written in the current one.

        Raises
        ------
        PointsFileUnusable
            If it is not there, or the project is not.
        """
        for folder in (self.opening.project_root, self._document.folder):
            if not Path(folder).is_dir():
                problem = PointsFileUnusable(str(self.path), f"the folder {folder} is not there")
                raise hint(
                    problem, "if the project was moved, write the file again where it is now"
                )
        os.chdir(self._document.folder)

    def tracker_arguments(self) -> dict[str, Any]:
        """Return the arguments of a ``Tracker`` like the one that the file was written with."""
        return self.opening.arguments(self._document.paths)

    @cached_property
    def step(self) -> Callable[..., Any]:
        """The function; its module is imported.

        Raises
        ------
        StepNotFound
            If that is not possible.
        """
        return find_again(self._document.step, self._document.paths)

    def check_index(self, index: int) -> None:
        """Refuse the number of a point that there is not.

        Raises
        ------
        PointsFileUnusable
            Saying which there are.
        """
        if not 0 <= index < len(self):
            reason = f"there is no point {index}: it has {len(self):,}, from 0 to {len(self) - 1}"
            raise PointsFileUnusable(str(self.path), reason)

    def parameters(self, index: int) -> dict[str, Any]:
        """Return what is varied, at a point."""
        return self._decoded(index, _encode(self._point(index).parameters), dict[str, Any])

    def request(self, index: int) -> RunRequest:
        """Return what a point asks for.

        Raises
        ------
        PointsFileUnusable
            If there is no such point, or it is damaged.
        """
        point = self._point(index)
        fields = {**self._document.shared, **point.differs}
        if "config" not in point.differs:
            shared = self._decoded(index, fields["config"], Raws)
            fields["config"] = msgspec.Raw(_encode({**shared, **point.parameters}))
        unknown = fields.keys() - {*RunRequest.__struct_fields__}
        if unknown:
            raise self._damaged(index, f"nobody knows {min(unknown)!r}")
        found = self._decoded(index, _encode(self._with_inputs(index, fields)), RunRequest)
        if found.run_id is not None:
            check_requested_id(found.run_id)
        try:
            return _revived(found)
        except msgspec.ValidationError as error:
            raise self._damaged(index, str(error)) from None

    def _with_inputs(self, index: int, fields: Raws) -> Raws:
        known = self._document.inputs
        try:
            numbers: list[int] = self._decoded(index, fields["inputs"], list[int])
            inputs = [known[number] for number in numbers]
        except (KeyError, IndexError):
            raise self._damaged(index, "its inputs are not in the file") from None
        found = msgspec.Raw(_encode(inputs))
        return {**fields, "inputs": found, "fn": NULL, "parent_run_id": NULL}

    def _point(self, index: int) -> WrittenPoint:
        self.check_index(index)
        return self._decoded(index, self._document.points[index], WrittenPoint)

    def _decoded(self, index: int, content: bytes | msgspec.Raw, kind: Any) -> Any:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise self._damaged(index, str(error)) from None

    def _damaged(self, index: int, reason: str) -> PointsFileUnusable:
        problem = PointsFileUnusable(str(self.path), f"point {index} is damaged: {reason}")
        return hint(problem, "write it again with sc.write_points(...)")


def _check_version(path: Path, content: bytes, found: int | None = None) -> None:
    if found is None:
        try:
            found = msgspec.json.decode(content, type=_Version).consist_points
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
    if found > FORMAT_VERSION:
        reason = f"it has format {found}; this version of Consist knows up to {FORMAT_VERSION}"
        raise hint(PointsFileUnusable(str(path), reason), "update Consist where the points are run")


def _revived(request: RunRequest) -> RunRequest:
    """Return a decoded request with records where JSON has objects."""
    inputs = tuple(
        msgspec.structs.replace(item, source=_record(item.source)) for item in request.inputs
    )
    paths = {key: _record(path) for key, path in request.output_paths.items()}
    return msgspec.structs.replace(request, inputs=inputs, output_paths=paths)


def _record(source: Any) -> Any:
    return msgspec.convert(source, ArtifactRecord) if isinstance(source, dict) else source
