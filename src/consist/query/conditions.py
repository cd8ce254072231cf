"""Conditions on JSON and on the leaves of facets, as SQL.

One rule for values everywhere: numbers are equal by value, however they are written (1 is 1.0, and
whole numbers of any size are compared exactly); truth values, text and null equal only their kind;
lists have to agree item by item, mappings whatever the order of their keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Double, String, and_, bindparam, func, or_
from sqlalchemy import cast as cast_to

from consist.artifacts.facets import exact_text
from consist.identity import plain

Condition = ColumnElement[bool]

# ---------------------------------------------------------------- JSON


def json_equals(document: Any, value: Any, path: str = "") -> Iterator[Condition]:
    """Yield what has to hold for a part of a JSON document to be a plain value.

    Parameters
    ----------
    document : column
        The document.
    value : object
        Plain data.
    path : str
        JSON pointer to the part.
    """
    part = path or "$"
    match value:
        case dict():
            items = cast("dict[str, Any]", value)
            yield func.json_type(document, part) == "OBJECT"
            yield func.len(func.json_keys(document, part)) == len(items)
            for key, item in items.items():
                yield from json_equals(document, item, f"{path}/{pointer_step(key)}")
        case list():
            listed = cast("list[Any]", value)
            yield func.json_type(document, part) == "ARRAY"
            yield func.json_array_length(document, part) == len(listed)
            for number, item in enumerate(listed):
                yield from json_equals(document, item, f"{path}/{number}")
        case _:
            yield func.json_extract(document, part).in_(_spellings(value))


def entry_is(document: Any, key: str, value: Any) -> Iterator[Condition]:
    """Yield what has to hold for an entry of a JSON object to be a plain value."""
    if not isinstance(value, dict | list):
        # Looking for the text first spares DuckDB to take most documents apart.
        name = func.concat(func.to_json(bindparam(None, key, String, unique=True)), ":")
        written = cast_to(document, String)
        yield or_(*(func.contains(written, func.concat(name, s)) for s in _spellings(value)))
    yield from json_equals(document, value, f"/{pointer_step(key)}")


def _spellings(value: Any) -> list[Any]:
    """Return a scalar as DuckDB may write it in JSON."""
    match value:
        case None:
            return ["null"]
        case bool():
            return ["true" if value else "false"]
        case int():
            near = _float_of(value)
            return [str(value)] + ([] if near is None else [func.to_json(_double(near))])
        case float():
            whole = [str(int(value))] if value.is_integer() else []
            return [func.to_json(_double(value)), *([] if value else ["-0.0", "0.0"]), *whole]
        case _:
            return [func.to_json(bindparam(None, value, String, unique=True))]


def _double(value: float) -> Any:
    return cast_to(bindparam(None, value, Double, unique=True), Double)


def pointer_step(key: str) -> str:
    """Return a key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


# ---------------------------------------------------------------- leaves of facets


def leaf_is(kv: Any, value: Any) -> Condition:
    """Return what has to hold for a row of leaves to have a value; see :func:`number_is`."""
    match plain(value, "facet", numbers_stay=True):
        case None:
            return kv.value_type == "null"
        case bool() as truth:
            return kv.value_bool == truth
        case int() | float() as number:
            return number_is(kv, number)
        case str() as words:
            return and_(kv.value_type == "str", kv.value_str == words)
        case listed:
            same = and_(kv.value_type == "json", *json_equals(kv.value_json, plain(value)))
            exact = exact_text(listed)
            return same if exact is None else and_(same, kv.value_str == exact)


_EXACT = range(-(2**53) + 1, 2**53)
_INT64 = range(-(2**63), 2**63)


def number_is(kv: Any, value: float) -> Condition:
    """Return what has to hold for a row of leaves to have a number, as integer or as float."""
    if isinstance(value, float):
        if not (math.isfinite(value) and value.is_integer() and int(value) not in _EXACT):
            return kv.value_num == value
        whole, near = int(value), value
    elif value in _EXACT:
        return kv.value_num == float(value)
    else:
        whole, near = value, _float_of(value)
    if whole in _INT64:
        same = kv.value_int == whole
    else:
        same = and_(kv.value_type == "int", kv.value_str == str(whole))
    if near is None:
        return same
    return or_(same, and_(kv.value_type == "float", kv.value_num == near))


def _float_of(value: int) -> float | None:
    """Return a whole number as a float, if that is the same number."""
    try:
        near = float(value)
    except OverflowError:
        return None
    return near if int(near) == value else None


def number_bound(kv: Any, operator: str, value: float) -> Condition:
    """Return what has to hold for a leaf to be a number at most or at least ``value``."""
    column = kv.value_num
    if isinstance(value, int) and value not in _EXACT:
        if value not in _INT64:
            value = math.inf if value > 0 else -math.inf
        else:
            whole = kv.value_int
            bound = whole >= value if operator == ">=" else whole <= value
            near = float(value)
            other = column >= near if operator == ">=" else column <= near
            return or_(and_(kv.value_type == "int", bound), and_(kv.value_type == "float", other))
    bounded = column >= value if operator == ">=" else column <= value
    # DuckDB takes NaN for the largest number there is.
    return and_(bounded, ~func.isnan(column))


def flat_leaves(facet: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    r"""Yield what is asked of a facet by dotted keys.

    Keys are written as they are stored: levels may be nested or joined by dots, and a dot inside a
    name is ``\.``.
    """
    for name, value in facet.items():
        key = prefix + name
        if isinstance(value, Mapping) and value:
            yield from flat_leaves(cast("Mapping[str, Any]", value), key + ".")
        else:
            yield key, value


# ---------------------------------------------------------------- text


def begins_with(column: Any, prefix: str | None) -> Sequence[Condition]:
    """Return what has to hold for text to begin with a prefix, taken literally."""
    return [] if prefix is None else [func.starts_with(column, prefix)]


# ---------------------------------------------------------------- back to Python


def leaf_value(
    kind: str,
    words: str | None,
    number: float | None,
    whole: int | None,
    truth: bool | None,
    document: Any,
) -> Any:
    """Return the value of a facet's leaf from the column of its type."""
    match kind:
        case "int":
            return int(words or 0) if whole is None else whole
        case "float":
            return number
        case "bool":
            return truth
        case "null":
            return None
        case "json":
            return document if words is None else json.loads(words)
        case _:
            return words
