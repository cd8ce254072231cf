"""Write the points of a sweep into a file, each proven to be the same when it is read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, cast

import msgspec

from consist.artifacts.items import recorded
from consist.errors import UsageError, WrongType, a_kind, hint
from consist.files.atomic import write_atomic
from consist.models.record import ArtifactRecord, RunRecord
from consist.progress import counting
from consist.runs.arguments import RunRequest
from consist.step import function_name
from consist.types import PathLike, is_mapping
from consist.workflow.importable import check_guarded, import_name, own_paths
from consist.workflow.points import Parameters, Places, Point
from consist.workflow.points_file import (
    FORMAT_VERSION,
    Document,
    Opening,
    PointsFile,
    WrittenPoint,
)
from consist.workflow.sweep import Complete, request_of
from consist.workspace import Workspace

_encode = msgspec.json.encode

# The rest belongs to one process or one moment, or is written in a way of its own.
_APART = frozenset({"fn", "code", "parent_run_id", "asked_at", "inputs", "config"})
_FIELDS = tuple(name for name in RunRequest.__struct_fields__ if name not in _APART)
_FREE = ("config", "runtime_kwargs", "container", "meta")
_REMEDY = "give a number, a text or a list here, and let the step make of it what it needs"
_MODEL_REMEDY = "pass its fields as a mapping, such as model.model_dump(mode='json')"


def write_points(
    ws: Workspace,
    header: RunRecord,
    path: PathLike,
    fn: Callable[..., Any],
    points: Sequence[Point],
    complete: Complete,
) -> int:
    """Write points into a file; see :meth:`ScenarioContext.write_points`."""
    if not ws.keeps:
        problem = UsageError("a tracker that keeps nothing cannot write points")
        raise hint(problem, "sc.map executes them here")
    step = import_name(fn, "the step")
    check_guarded((fn, ws.run_subdir_fn, *ws.schemas.values()), "write_points")
    name = function_name(fn)
    writer, places = PointsWriter(ws, header, step, name), Places()
    with counting(f"writing {name}", len(points), shown=ws.settings.progress) as show:
        for point in points:
            request = request_of(ws, fn, point, complete)
            places.take(point.index, request)
            writer.add(point.parameters, request)
            show(point.index + 1, "")
    return writer.write(path)


class PointsWriter:
    """Gathers the points of a sweep, and writes them into a file.

    Parameters
    ----------
    workspace : Workspace
        The tracker.
    header : RunRecord
        The scenario that the runs will belong to.
    step : str
        Import name of the step.
    name : str
        What to call it.
    """

    def __init__(self, workspace: Workspace, header: RunRecord, step: str, name: str) -> None:
        self._document = Document(
            consist_points=FORMAT_VERSION,
            name=name,
            step=step,
            folder=str(Path.cwd()),
            paths=tuple(own_paths()),
            tracker=Opening.of(workspace),
            scenario=msgspec.structs.replace(header, meta={}),
            inputs=[],
            shared={},
            points=[],
        )
        self._file = PointsFile(Path(), self._document)
        self._numbers: dict[bytes, int] = {}
        self._shared: dict[str, bytes] = {}
        self._config: dict[str, Any] = {}

    def add(self, parameters: Parameters, request: RunRequest) -> None:
        """Add the next point.

        Raises
        ------
        TypeError, ValueError
            If something of it would not be the same after a way through JSON, naming it.
        """
        index = len(self._document.points)
        given = _exact(dict(parameters), f"point {index}: parameters")
        request = _storable(request, index)
        fields = {name: _encoded(getattr(request, name), index, name) for name in _FIELDS}
        fields["inputs"] = _encode([self._number(item, index) for item in request.inputs])
        if index == 0:
            self._share(given, request, fields)
        parts = {name: _raw(_encoded(value, index, name)) for name, value in given.items()}
        differs = {name: value for name, value in fields.items() if value != self._shared[name]}
        if not _is_same(request.config, {**self._config, **given}):
            differs["config"] = _encoded(request.config, index, "config")
        point = WrittenPoint(parts, {name: _raw(value) for name, value in differs.items()})
        self._document.points.append(_raw(_encode(point)))
        self._check(index, request)

    def write(self, path: PathLike) -> int:
        """Write the file; return how many points it has.

        Raises
        ------
        ValueError
            If there are none.
        """
        points = self._document.points
        if not points:
            raise hint(UsageError("there are no points to write"), "over= has no rows")
        empty = _encode(msgspec.structs.replace(self._document, points=[]))
        lines = b",\n".join(map(bytes, points))
        write_atomic(path, b"%b\n%b\n]}\n" % (empty.removesuffix(b"]}"), lines))
        return len(points)

    def _share(self, given: Parameters, request: RunRequest, fields: dict[str, bytes]) -> None:
        """Take what the first point asks for as what all do."""
        config = cast("dict[str, Any]", request.config if is_mapping(request.config) else {})
        self._config = {name: value for name, value in config.items() if name not in given}
        self._shared = fields
        self._document.shared.update({name: _raw(value) for name, value in fields.items()})
        self._document.shared["config"] = _raw(_encoded(self._config, 0, "config"))
        self._document.shared["asked_at"] = _raw(_encode(request.asked_at))

    def _number(self, item: Any, index: int) -> int:
        """Return the number of an input in the file, where it stands once."""
        content = _encoded(item, index, f"input {item.name!r}")
        number = self._numbers.setdefault(content, len(self._numbers))
        if number == len(self._document.inputs):
            self._document.inputs.append(_raw(content))
        return number

    def _check(self, index: int, request: RunRequest) -> None:
        """Make sure that whoever reads the point finds what was asked for."""
        found = self._file.request(index)
        for name in (*_FIELDS, "inputs", "config"):
            if getattr(found, name) != getattr(request, name):
                problem = WrongType(f"point {index}: {name} would not be the same in a file")
                raise hint(problem, _REMEDY)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values have the same JSON; Python says so of 1 and True as well."""
    return one == other and _encode(one, order="sorted") == _encode(other, order="sorted")


def _raw(content: bytes) -> msgspec.Raw:
    return msgspec.Raw(content)


def _encoded(value: object, index: int, what: str) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError) as error:  # half of a character is a ValueError
        problem = WrongType(f"point {index}: {what} cannot be written: {error}")
        raise hint(problem, _REMEDY) from error


# ---------------------------------------------------------------- what JSON holds


def _storable(request: RunRequest, index: int) -> RunRequest:
    """Return a request without anything that JSON would give back as something else."""
    try:
        free = {
            name: _exact(_as_dict(getattr(request, name)), f"point {index}: {name}")
            for name in _FREE
        }
    except RecursionError:
        raise WrongType(f"point {index}: its config contains itself, or is too deep") from None
    paths = {key: _portable_path(path) for key, path in request.output_paths.items()}
    for item in request.inputs:
        if recorded(item.source) is None and not isinstance(item.source, str):
            raise WrongType(f"point {index}: input {item.name!r} is {a_kind(item.source)}")
    return msgspec.structs.replace(request, output_paths=paths, **free)


def _as_dict(value: Any) -> Any:
    return dict(value) if is_mapping(value) else value


def _portable_path(path: Any) -> str | ArtifactRecord:
    record = recorded(path)
    return os.fspath(cast("PathLike", path)) if record is None else record


def _exact(value: Any, where: str) -> Any:
    """Return plain data that is the same after a way through JSON; numbers of numpy as Python's.

    Raises
    ------
    TypeError
        Naming the place and the type of what is not.
    """
    kind: type[Any] = type(cast("object", value))
    if value is None or kind is bool or kind is int or kind is str:
        return value
    if kind is list:
        return [_exact(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if kind is dict:
        return {_key(key, where): _exact(item, f"{where}[{key!r}]") for key, item in value.items()}
    if kind is float and isfinite(value):
        return value
    plain = _number_of_numpy(value)
    if plain is not None:
        return _exact(plain, where)
    raise _refused(value, where)


def _key(key: object, where: str) -> str:
    if type(key) is not str:
        raise _refused(key, f"{where} has the key {key!r}, which")
    return key


def _number_of_numpy(value: Any) -> bool | int | float | None:
    """Return the same number as one of Python's, where that loses nothing."""
    if type(value).__module__ != "numpy" or getattr(value, "shape", None) != ():
        return None
    exact = value.dtype.kind in "biu" or value.dtype.str[1:] == "f8"
    return value.item() if exact else None


def _refused(value: object, where: str) -> WrongType:
    what = f"is {value}" if type(value) is float else f"is {a_kind(value)}"
    problem = WrongType(f"{where} {what}, which a points file cannot hold")
    return hint(problem, _MODEL_REMEDY if hasattr(value, "__dict__") else _REMEDY)
