"""The points of a sweep: rows of a grid, of a list of configs, or of a table."""

from __future__ import annotations

import itertools
import os
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from consist.errors import InvalidMetadata, UsageError, WrongType, a_kind, hint
from consist.identity import fields_of
from consist.runs.arguments import RunRequest
from consist.types import is_mapping
from consist.workflow.rows import rows

Parameters = Mapping[str, Any]
PointOptions = Callable[[Parameters], Mapping[str, Any] | None]


class Point(msgspec.Struct, frozen=True):
    """One point of a sweep.

    Attributes
    ----------
    index : int
        Its place, from 0.
    parameters : mapping
        What is varied, by name.
    config : object
        What the step gets as its config: a mapping, or the model that was given.
    options : mapping
        Further arguments of the step.
    """

    index: int
    parameters: Parameters
    config: Any
    options: Mapping[str, Any]


def points_of(
    over: Any,
    config: Any,
    options: Mapping[str, Any],
    point_options: PointOptions | None,
    model: str | None = None,
) -> list[Point]:
    """Return the points of a sweep in order.

    Parameters
    ----------
    over : mapping, iterable or table
        A grid (a mapping of names to lists of values), rows (mappings or models), or a table.
    config : mapping or model, optional
        What all points have in common; a row wins over it.
    options : mapping
        Arguments of the step that all points have in common.
    point_options : callable, optional
        Returns further arguments for the parameters of one point.
    model : str, optional
        That of points whose name holds their parameters.

    Raises
    ------
    TypeError, ValueError
        If ``over`` or one of its rows is nothing of the kind, naming it.
    """
    return [
        _point(index, row, config, {"model": None, **options}, point_options, model)
        for index, row in enumerate(rows(over))
    ]


def _point(
    index: int,
    row: Any,
    config: Any,
    options: Mapping[str, Any],
    point_options: PointOptions | None,
    model: str | None,
) -> Point:
    parameters = _parameters(index, row)
    own = {} if point_options is None else _own_options(index, parameters, point_options)
    whole = row if config is None and not is_mapping(row) else {**_shared(config), **parameters}
    name = own.get("name", options.get("name"))
    if isinstance(name, str) and "{" in name:
        named = options["model"] or model
        own = {"model": named, **own, "name": _filled(name, parameters)}
    return Point(index, parameters, own.pop("config", whole), {**options, **own})


# ---------------------------------------------------------------- parameters


def _parameters(index: int, row: Any) -> dict[str, Any]:
    if is_mapping(row):
        parameters = dict(row)
    elif _is_model(row):
        parameters = dict(fields_of(row))
    else:
        problem = WrongType(f"point {index} is {a_kind(row)}, neither a mapping nor a model")
        raise hint(problem, "each row names its parameters, as in {'threshold': 0.5}")
    wrong = [name for name in parameters if not isinstance(name, str)]
    if wrong:
        raise WrongType(f"point {index} has the parameter {wrong[0]!r}, whose name is no text")
    return cast("dict[str, Any]", parameters)


def _is_model(row: object) -> bool:
    names = ("model_fields", "__dataclass_fields__", "__struct_fields__", "__attrs_attrs__")
    return not isinstance(row, type) and any(hasattr(type(row), name) for name in names)


def _shared(config: Any) -> Mapping[str, Any]:
    if config is None:
        return {}
    if is_mapping(config):
        return config
    if _is_model(config):
        return dict(fields_of(config))
    raise WrongType(f"config is {a_kind(config)}: pass a mapping or a model")


# ---------------------------------------------------------------- options


def _own_options(index: int, parameters: Parameters, point_options: PointOptions) -> dict[str, Any]:
    if not callable(cast("object", point_options)):
        problem = WrongType(f"point_options is {a_kind(point_options)}, not a function")
        raise hint(problem, "what all points have in common are arguments of map() itself")
    try:
        given: Any = point_options(dict(parameters))
    except Exception as error:
        error.add_note(f"in point_options, for point {index} {dict(parameters)}")
        raise
    if given is None:
        return {}
    if not is_mapping(given):
        problem = WrongType(f"point_options returned {a_kind(given)} for point {index}")
        raise hint(problem, "return a mapping of arguments of the step, such as {'year': 2030}")
    return dict(given)


def check_options(points: Iterable[Point], check: Callable[[Mapping[str, Any]], None]) -> None:
    """Check the arguments of every point; those that have the same names, once."""
    checked: set[frozenset[str]] = set()
    for point in points:
        names = frozenset(point.options)
        if names not in checked:
            checked.add(names)
            check(point.options)


def _filled(name: str, parameters: Parameters) -> str:
    """Return a name with the parameters of a point in it."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise InvalidMetadata(f"name {name!r}", f"cannot be read: {error}") from None
    unknown = [field for field in fields if field not in parameters]
    if unknown:
        problem = InvalidMetadata(f"name {name!r}", f"names {unknown[0]!r}")
        raise hint(problem, f"the parameters are {', '.join(parameters) or 'none'}")
    try:
        return name.format(**parameters)
    except (ValueError, TypeError) as error:
        raise InvalidMetadata(f"name {name!r}", f"cannot be filled in: {error}") from None


class Places:
    """Keeps points from writing to one place, or sharing an id."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], int] = {}

    def check_shared(self, points: Sequence[Point]) -> None:
        """Refuse, before anything is executed, what only one point can have.

        Raises
        ------
        ValueError
            If all points have one id or folder, or write to one place.
        """
        for first, second in itertools.pairwise(points[:2]):
            for name in ("run_id", "capture_dir", "output_paths"):
                given = first.options.get(name)
                if given and given == second.options.get(name):
                    problem = UsageError(f"points 0 and 1 of the sweep have the same {name}")
                    raise hint(problem, "give each point its own with point_options=")

    def take(self, index: int, request: RunRequest) -> None:
        """Note what a point names for itself.

        Raises
        ------
        ValueError
            If another point named it, naming both.
        """
        for place in _places(request):
            other = self._taken.setdefault(place, index)
            if other != index:
                problem = UsageError(
                    f"points {other} and {index} of the sweep have the same {place[0]}:"
                    f" {place[1]!r}"
                )
                raise hint(problem, "give each point its own with point_options=")


def _places(request: RunRequest) -> Iterator[tuple[str, str]]:
    if request.run_id is not None:
        yield "run_id", request.run_id
    if request.capture_dir is not None:
        yield "capture_dir", request.capture_dir
    for path in request.output_paths.values():
        yield "output path", os.path.normpath(str(path))
