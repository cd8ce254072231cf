"""Artifacts whose present facet has a value, as SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import and_, func, or_, select

from consist.artifacts.predicates import Predicate
from consist.models.artifact import Artifact
from consist.models.facet import ArtifactKV
from consist.query.ask import columns
from consist.query.conditions import Condition, leaf_is, number_bound

Reading: TypeAlias = tuple[str | None, str]
"""Namespace, or any, and key that the key of a predicate may mean."""


def with_leaf(leaf: Sequence[Condition]) -> Condition:
    """Return what has to hold for an artifact whose present facet has such a leaf."""
    kv, artifact = columns(ArtifactKV), columns(Artifact)
    having = select(kv.artifact_id, kv.facet_id).where(*leaf)
    present = func.json_extract_string(artifact.meta, "/artifact_facet_id")
    narrowed = artifact.id.in_(select(kv.artifact_id).where(*leaf))
    found = having.subquery().c
    current = select(found.artifact_id).where(
        found.artifact_id == artifact.id, found.facet_id == present
    )
    return and_(narrowed, current.exists())


def holds(kv: Any, predicate: Predicate, readings: Iterable[Reading]) -> Condition:
    """Return what has to hold for a leaf to meet a predicate whose key is read in these ways."""
    value = predicate.value
    if predicate.operator == "=":
        condition = leaf_is(kv, value)
    elif isinstance(value, str):
        bound = kv.value_str >= value if predicate.operator == ">=" else kv.value_str <= value
        condition = and_(kv.value_type == "str", bound)
    else:
        assert isinstance(value, int | float)  # noqa: S101 - the parser refuses anything else
        condition = number_bound(kv, predicate.operator, value)
    keys = [
        kv.key_path == key if space is None else and_(kv.namespace == space, kv.key_path == key)
        for space, key in readings
    ]
    return and_(or_(*keys), condition)
