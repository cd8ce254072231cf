"""Facets as columns of a view, each of the type of its values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from consist.artifacts.predicates import key_readings
from consist.errors import UsageError, hint
from consist.query.conditions import leaf_value
from consist.views.members import Member

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OF_ARTIFACTS = """
SELECT kv.artifact_id, kv.namespace, kv.key_path, json_extract_string(a.meta, '/artifact_facet_namespace'),
    kv.value_type, kv.value_str, kv.value_num, kv.value_int, kv.value_bool, kv.value_json
FROM artifact_kv kv JOIN artifact a ON a.id = kv.artifact_id
WHERE kv.artifact_id IN (SELECT unnest(from_json(?, '["VARCHAR"]')))
    AND kv.key_path IN (SELECT unnest(from_json(?, '["VARCHAR"]')))
    AND kv.facet_id = json_extract_string(a.meta, '/artifact_facet_id')
"""  # noqa: E501
_OF_RUNS = """
SELECT kv.run_id, kv.namespace, kv.key, r.model_name,
    kv.value_type, kv.value_str, kv.value_num, kv.value_int, kv.value_bool, kv.value_json
FROM run_config_kv kv JOIN run r ON r.id = kv.run_id
WHERE kv.run_id IN (SELECT unnest(from_json(?, '["VARCHAR"]')))
    AND kv.key IN (SELECT unnest(from_json(?, '["VARCHAR"]')))
"""


def facet_columns(keys: Iterable[str]) -> dict[str, str]:
    """Return the keys of facets by the names of their columns, such as ``facet_demand_growth``.

    Raises
    ------
    UsageError
        If two keys would be one column.
    """
    found: dict[str, str] = {}
    for key in dict.fromkeys(keys):
        name = "facet_" + re.sub(r"\W", "_", key)
        if not key.strip():
            raise hint(UsageError(f"attach_facets: {key!r} is no key"), 'write "year"')
        if name.lower() in {other.lower() for other in found}:
            other = next(k for n, k in found.items() if n.lower() == name.lower())
            problem = UsageError(f"attach_facets: {other!r} and {key!r} are both column {name!r}")
            raise hint(problem, "attach one of them to this view, the other to a second one")
        found[name] = key
    return found


def attached(
    connection: DuckDBPyConnection,
    members: Sequence[Member],
    columns: Mapping[str, str],
    namespace: str | None,
) -> tuple[list[Member], dict[str, str]]:
    """Return members with their values of facets, and the types of these columns.

    The value of a key is that of the artifact's present facet, else that of its run's facet. Of
    several namespaces, the given one counts, else that of the model, else the first by name.
    """
    if not columns:
        return list(members), {}
    keys = [*columns.values()]
    artifacts = {member.record.id for member in members}
    own = _values(connection, _OF_ARTIFACTS, artifacts, keys, namespace)
    runs = _values(connection, _OF_RUNS, {member.run_id for member in members}, keys, namespace)
    kinds: dict[str, str] = {}
    values: list[dict[str, Any]] = [{} for _ in members]
    for name, key in columns.items():
        found = [
            own.get((member.record.id, key), runs.get((member.run_id, key))) for member in members
        ]
        kinds[name], typed = _typed(found)
        for into, value in zip(values, typed, strict=True):
            into[name] = value
    pairs = zip(members, values, strict=True)
    return [replace(member, attached=mine) for member, mine in pairs], kinds


class _Leaf(NamedTuple):
    namespace: str
    key: str
    home: str | None
    value: Any


def _values(
    connection: DuckDBPyConnection,
    statement: str,
    ids: Collection[str],
    keys: Sequence[str],
    namespace: str | None,
) -> dict[tuple[str, str], Any]:
    """Return the values of artifacts or runs by id and asked-for key."""
    readings = {key: [*key_readings(key)] for key in keys}
    stored = {plain for each in readings.values() for _, plain in each}
    leaves: dict[tuple[str, str], list[_Leaf]] = {}
    found = connection.execute(statement, [_listed(ids), _listed(stored)])
    for owner, space, key, home, *leaf in found.fetchall():
        leaves.setdefault((owner, key), []).append(_Leaf(space, key, home, _value(leaf)))
    values: dict[tuple[str, str], Any] = {}
    for owner in {owner for owner, _ in leaves}:
        for key in keys:
            for space, plain in readings[key]:
                having = [each for each in leaves.get((owner, plain), ())
                          if space in {None, each.namespace}]  # fmt: skip
                if having:
                    best = min(having, key=lambda leaf: _rank(leaf, namespace))
                    values[owner, key] = best.value
                    break
    return values


def _rank(leaf: _Leaf, namespace: str | None) -> tuple[bool, bool, str]:
    return leaf.namespace != namespace, leaf.namespace != leaf.home, leaf.namespace


def _value(leaf: Sequence[Any]) -> Any:
    kind, words, *_, document = leaf
    if kind == "json":
        return _Text(document if words is None else words)
    return leaf_value(*leaf)


class _Text(str):
    """A list as JSON, which is not what a text of the same letters is."""

    __slots__ = ()


_INT64 = range(-(2**63), 2**63)


def _typed(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the type that holds all values, and the values as JSON carries them to it."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "BOOLEAN", [*values]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    if known and numbers:
        if all(isinstance(value, int) and value in _INT64 for value in known):
            return "BIGINT", [*values]
        if all(isinstance(v, float) or abs(v) <= 2**53 for v in known):
            return "DOUBLE", [_number(value) for value in values]
    return "VARCHAR", [_as_text(value) for value in values]


def _number(value: float | None) -> float | str | None:
    """Return a number as JSON carries it; one that JSON has no place for as DuckDB reads it."""
    if value is None or math.isfinite(value):
        return None if value is None else float(value)
    return str(float(value))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    return json.dumps(value)


def _listed(values: Iterable[str]) -> str:
    return msgspec.json.encode([*values]).decode()
