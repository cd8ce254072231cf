"""What questions are asked with: limits, filters and where to begin, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from consist.errors import UsageError, WrongType, a_kind, hint
from consist.models.artifact import Artifact
from consist.types import is_mapping, is_sequence_of_values

_ALL = 2**62


def limit_of(limit: object, what: str = "limit") -> int:
    """Return how many rows are wanted at most; 0 is none, any large number is all.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is negative.
    """
    number = whole(what, limit)
    if number is None:
        raise hint(WrongType(f"{what} is None"), "pass a large number to get everything")
    if number < 0:
        raise UsageError(f"{what}={number} is negative")
    return min(number, _ALL)


def whole(what: str, value: object) -> int | None:
    """Return a whole number, numpy's included, or nothing."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise WrongType(f"{what}={value!r} is {a_kind(value)}, not a whole number")
    return cast("Any", value).__index__()


def text(what: str, value: object) -> str | None:
    """Return text, or nothing."""
    if value is not None and not isinstance(value, str):
        raise WrongType(f"{what}={value!r} is {a_kind(value)}, not text")
    return value


def required_text(what: str, value: object) -> str:
    """Return text that has to be given."""
    found = text(what, value)
    if found is None:
        raise WrongType(f"{what} is None, not text")
    return found


def texts(what: str, values: object) -> list[str]:
    """Return a list of text; one text alone is a mistake."""
    if values is None:
        return []
    if not is_sequence_of_values(values):
        raise hint(WrongType(f"{what}={values!r} is {a_kind(values)}"), f"write {what}=[...]")
    return [required_text(f"an entry of {what}", value) for value in values]


def mapping(what: str, values: object) -> Mapping[str, Any]:
    """Return a mapping by text, empty where there is none."""
    if values is None:
        return {}
    if not is_mapping(values):
        raise WrongType(f"{what}={values!r} is {a_kind(values)}, not a mapping")
    for key in values:
        required_text(f"a key of {what}", key)
    return values


def artifact_id(artifact: object) -> str:
    """Return the id of an artifact that is given as itself, as a UUID or as text.

    Raises
    ------
    TypeError
        If it is something else.
    """
    from uuid import UUID

    if isinstance(artifact, Artifact):
        return str(artifact.id)
    if isinstance(artifact, str | UUID):
        return str(artifact)
    raise hint(WrongType(f"artifact is {a_kind(artifact)}"), "pass an Artifact or its id")
