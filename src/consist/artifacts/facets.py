"""Facets, small values for questions: from what a caller gives to what is kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from consist.errors import FacetNotIndexed, WrongType, a_kind, hint
from consist.identity import plain
from consist.models.record import ArtifactFacetRecord, FacetRecord, canonical_facet, facet_digest
from consist.settings import Settings
from consist.store.rows import flatten
from consist.types import is_mapping


class FacetSource(NamedTuple):
    """What a facet is read from, and the object that gave it.

    They differ where the object has ``to_consist_facet``.
    """

    values: Any
    given: Any


def facet_source(facet: Any) -> FacetSource | None:
    """Return what a facet is read from: itself, or what its ``to_consist_facet`` returns.

    Raises
    ------
    TypeError
        If it is a class.
    """
    if facet is None:
        return None
    if isinstance(facet, type):
        raise hint(WrongType(f"facet is the class {facet.__name__}"), "pass an object of it")
    convert = getattr(facet, "to_consist_facet", None)
    values = facet if convert is None else convert()
    return None if values is None else FacetSource(values, facet)


def plain_mapping(value: Any, where: str) -> dict[str, Any]:
    """Return a mapping or model as plain data; nothing where there is none.

    Numbers that JSON has no place for stay what they are.

    Raises
    ------
    TypeError
        If it is neither, or holds something that has no plain form.
    """
    if value is None:
        return {}
    found = plain(value, where, numbers_stay=True)
    if not isinstance(found, dict):
        raise WrongType(f"{where} is {a_kind(value)}: pass a mapping or a model")
    return found


def facet_kept(
    values: Mapping[str, Any],
    source: FacetSource | None,
    namespace: str,
    version: str | int | None,
    *,
    index: bool,
    what: str,
    settings: Settings,
) -> ArtifactFacetRecord:
    """Return plain values as they are kept, and how.

    The schema is named after the class of a model; a version given wins over the model's own.

    Parameters
    ----------
    values : mapping
        Plain values.
    source : FacetSource or None
        Where they come from, if not all from a config.
    namespace, version, index
        As they are stored. What is too large is not indexed, with a warning.
    what : str
        Whose facet it is, for the warning.
    settings : Settings
        Limits.

    Raises
    ------
    TypeError
        If ``index`` is no bool, or ``version`` neither text nor a number.
    """
    if not isinstance(cast("object", index), bool):
        raise WrongType(f"facet_index={index!r} is not a bool")
    version = _own(source, "facet_schema_version") if version is None else version
    given = cast("object", version)
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise WrongType(f"facet_schema_version={version!r} is neither text nor a whole number")
    leaves = dict(flatten(values))
    exact = {key: text for key, leaf in leaves.items() if (text := exact_text(leaf)) is not None}
    stored = dict(values) if not exact else cast("dict[str, Any]", _written(values))
    how = FacetRecord(
        namespace=namespace,
        schema_name=_schema_name(source),
        schema_version=None if version is None else str(version),
        index=index and _may_be_indexed(stored, len(leaves), what, settings),
        exact=exact,
    )
    return ArtifactFacetRecord(stored, how)


def artifact_facet(
    facet: Any,
    namespace: str,
    version: str | int | None,
    *,
    index: bool,
    what: str,
    settings: Settings,
) -> ArtifactFacetRecord | None:
    """Return the facet of an artifact as it is kept, or ``None`` without one.

    Raises
    ------
    TypeError
        If it is neither a mapping nor a model.
    """
    source = facet_source(facet)
    if source is None:
        return None
    values = plain_mapping(source.values, "facet")
    return facet_kept(values, source, namespace, version, index=index, what=what, settings=settings)


# ---------------------------------------------------------------- schema


def _own(source: FacetSource | None, name: str) -> Any:
    """Return an attribute of a model, or else of what gave it."""
    for model in () if source is None else source:
        found = None if is_mapping(model) else getattr(model, name, None)
        if found is not None:
            return found
    return None


def _schema_name(source: FacetSource | None) -> str | None:
    for model in () if source is None else source:
        if not is_mapping(model):
            return type(model).__name__
    return None


# ---------------------------------------------------------------- numbers beyond JSON


def exact_text(leaf: Any) -> str | None:
    """Return a leaf as Python's ``json`` writes it, where JSON has no place for a number in it."""
    if not _is_beyond(leaf):
        return None
    import json

    return json.dumps(leaf)


_INT64 = range(-(2**63), 2**63)


def _is_beyond(value: Any) -> bool:
    match value:
        case float():
            return not math.isfinite(value)
        case bool():
            return False
        case int():
            return value not in _INT64
        case list():
            return any(map(_is_beyond, cast("list[Any]", value)))
        case dict():
            return any(map(_is_beyond, cast("dict[str, Any]", value).values()))
        case _:
            return False


def _written(value: Any) -> Any:
    """Return a value with text in the place of what is beyond JSON, as :func:`plain` writes it."""
    match value:
        case dict():
            return {key: _written(item) for key, item in cast("dict[str, Any]", value).items()}
        case list():
            return [_written(item) for item in cast("list[Any]", value)]
        case _:
            return plain(value) if _is_beyond(value) else value


# ---------------------------------------------------------------- too large


def _may_be_indexed(values: Mapping[str, Any], leaves: int, what: str, settings: Settings) -> bool:
    size = len(canonical_facet(values))
    if size > settings.max_facet_bytes:
        limit, name = settings.max_facet_bytes, "CONSIST_MAX_FACET_BYTES"
        problem = FacetNotIndexed(what, size, "bytes of JSON", limit, name)
    elif leaves > settings.max_facet_leaves:
        limit, name = settings.max_facet_leaves, "CONSIST_MAX_FACET_LEAVES"
        problem = FacetNotIndexed(what, leaves, "values", limit, name)
    else:
        return True
    warnings.warn(problem, stacklevel=_outside())
    return False


def _outside() -> int:
    """Return how far up the code of the user stands, for a warning of the caller."""
    from inspect import currentframe

    level, frame = 0, currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("consist."):
        level, frame = level + 1, frame.f_back
    return level


# ---------------------------------------------------------------- metadata


def facet_link(prefix: str, facet: ArtifactFacetRecord | None) -> dict[str, Any]:
    """Return what the metadata of a run or an artifact say about its facet."""
    if facet is None:
        return {}
    named = {
        f"{prefix}_id": facet_digest(facet.values),
        f"{prefix}_namespace": facet.how.namespace,
        f"{prefix}_schema": facet.how.schema_name,
        f"{prefix}_schema_version": facet.how.schema_version,
    }
    return {name: value for name, value in named.items() if value is not None}


def facet_meta(facet: ArtifactFacetRecord | None) -> Mapping[str, Any]:
    """Return what an artifact's metadata say about its facet."""
    return facet_link("artifact_facet", facet)


def facet_keys(meta: Mapping[str, Any]) -> dict[str, None]:
    """Return what has to be taken back of metadata when their artifact gets another facet."""
    return {name: None for name in meta if name.startswith("artifact_facet_")}
