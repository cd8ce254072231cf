"""Facets, small values for questions: from what a caller gives to what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from consist.errors import WrongType, a_kind
from consist.identity import plain
from consist.models.record import ArtifactFacetRecord, FacetRecord
from consist.types import is_mapping


def facet_source(facet: Any) -> Any:
    """Return what a facet is read from: itself, or what its ``to_consist_facet`` returns."""
    convert = getattr(facet, "to_consist_facet", None)
    return facet if convert is None else convert()


def plain_mapping(value: Any, where: str) -> dict[str, Any]:
    """Return a mapping or model as plain data; nothing where there is none.

    Raises
    ------
    TypeError
        If it is neither, or holds something that has no plain form.
    """
    if value is None:
        return {}
    found = plain(value, where)
    if not isinstance(found, dict):
        raise WrongType(f"{where} is {a_kind(value)}: pass a mapping or a model")
    return found


def storage_of(
    source: Any, namespace: str, version: str | int | None, *, index: bool
) -> FacetRecord:
    """Return how a facet is to be stored.

    The schema is named after the class of a model; a version given wins over the model's own.
    """
    if version is None:
        version = getattr(source, "facet_schema_version", None)
    if not isinstance(cast("object", index), bool):
        raise WrongType(f"facet_index={index!r} is not a bool")
    return FacetRecord(
        namespace=namespace,
        schema_name=None if source is None or is_mapping(source) else type(source).__name__,
        schema_version=None if version is None else str(version),
        index=index,
    )


def artifact_facet(
    facet: Any, namespace: str, version: str | int | None, *, index: bool
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
    values = plain_mapping(source, "facet")
    return ArtifactFacetRecord(values, storage_of(source, namespace, version, index=index))


def facet_meta(facet: ArtifactFacetRecord | None) -> Mapping[str, Any]:
    """Return what an artifact's metadata say about its facet."""
    if facet is None:
        return {}
    named = {
        "artifact_facet_id": facet.id,
        "artifact_facet_namespace": facet.how.namespace,
        "artifact_facet_schema": facet.how.schema_name,
        "artifact_facet_schema_version": facet.how.schema_version,
    }
    return {name: value for name, value in named.items() if value is not None}


def facet_keys(meta: Mapping[str, Any]) -> dict[str, None]:
    """Return what has to be taken back of metadata when their artifact gets another facet."""
    return {name: None for name in meta if name.startswith("artifact_facet_")}
