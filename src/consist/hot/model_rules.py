"""What a model says of single values, as conditions in SQL."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from consist.formats.sql import literal

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_SILENT = {"strict", "union_mode", "fail_fast", "defer_build"}
"""Options of pydantic that say how it works and nothing about values that SQL holds."""
_SHOWN = 8


@dataclass(frozen=True)
class Rule:
    """A condition on values that are there, and how a message says it."""

    text: str
    holds: Callable[[str], str] = field(compare=False)


@dataclass(frozen=True)
class Found:
    """What metadata say: what is understood, by name, and the names of the rest."""

    facts: dict[str, Any]
    unknown: tuple[str, ...]


def from_metadata(metadata: Iterable[object]) -> Found:
    """Return what the metadata of a field ask for."""
    facts: dict[str, Any] = {}
    unknown: list[str] = []
    for item in _flat(metadata):
        names = _facts_in(item)
        if names is None:
            unknown.append(getattr(item, "__name__", None) or type(item).__name__)
            continue
        for name, value in names.items():
            if value is None or name in _SILENT:
                continue
            if name in _KNOWN:
                facts[name] = _narrower(name, facts.get(name), value)
            else:
                unknown.append(name)
    return Found(facts, tuple(unknown))


_KNOWN = {
    *_BOUNDS, "multiple_of", "min_length", "max_length", "pattern", "max_digits",
    "decimal_places", "allow_inf_nan",
}  # fmt: skip


def _flat(metadata: Iterable[object]) -> Iterable[object]:
    import annotated_types
    from pydantic.fields import FieldInfo

    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        elif isinstance(item, annotated_types.GroupedMetadata):
            yield from _flat(item)
        else:
            yield item


def _facts_in(item: object) -> dict[str, Any] | None:
    import annotated_types as at
    from pydantic.types import AllowInfNan, Strict

    plain = (at.Gt, at.Ge, at.Lt, at.Le, at.MultipleOf, at.MinLen, at.MaxLen, AllowInfNan)
    if isinstance(item, plain):
        return {name: getattr(item, name) for name in type(item).__dataclass_fields__}
    if isinstance(item, Strict):
        return {}
    if type(item).__name__ == "FieldInfoMetadata":  # SQLModel's own, of the column
        return {}
    if type(item).__name__ in {"PydanticGeneralMetadata", "_PydanticGeneralMetadata"}:
        return dict(vars(item))
    if type(item).__name__ in {"WithJsonSchema", "Examples"}:
        return {}
    return None


def _narrower(name: str, known: Any, value: Any) -> Any:
    if known is None or name not in {*_BOUNDS, "min_length", "max_length"}:
        return value
    pick = max if name in {"gt", "ge", "min_length"} else min
    return pick(known, value)


def rules_of(
    kind: str, facts: Mapping[str, Any], values: tuple[object, ...] | None
) -> Iterable[Rule]:
    """Return the conditions on the values of one column.

    Raises
    ------
    ValueError
        If one cannot be checked in SQL, saying which.
    """
    rules = [] if values is None else [_one_of(values)]
    rules += [_RULES[name](kind, name, value) for name, value in facts.items() if name in _RULES]
    if facts.get("allow_inf_nan") is False:
        rules.append(Rule("is not finite", lambda v: f"isfinite({v})"))
    if "max_digits" in facts and "decimal_places" not in facts:
        rules.append(_digits(facts["max_digits"]))
    if kind in {"object", "list"}:
        wanted = literal("OBJECT" if kind == "object" else "ARRAY")
        rules.append(Rule(f"is no JSON {kind}", lambda v: f"json_type(to_json({v})) = {wanted}"))
    return rules


def _one_of(values: tuple[object, ...]) -> Rule:
    shown = ", ".join(map(repr, values[:_SHOWN]))
    if len(values) > _SHOWN:
        shown += f" and {len(values) - _SHOWN} more"
    listed = ", ".join(map(sql_value, values))
    return Rule(f"is none of {shown}", lambda v: f"{v} IN ({listed})")


def _bound(kind: str, name: str, value: Any) -> Rule:
    sign, text = _BOUNDS[name], sql_value(value)
    shown = value.isoformat() if isinstance(value, date | time) else value
    # DuckDB orders NaN above all numbers; to a model it is within no bounds.
    ordered = "NOT isnan({0}) AND " if kind == "float" else ""
    return Rule(f"is not {sign} {shown}", lambda v: f"({ordered.format(v)}{v} {sign} {text})")


def _multiple(kind: str, _: str, value: Any) -> Rule:
    text = f"is no multiple of {value}"
    by = sql_value(value)
    if kind != "float":
        return Rule(text, lambda v: f"{v} % {by} = 0")
    # As pydantic does: what remains may be as small as the error of the division.
    rest, slack = "abs({0} % {1})", "abs({0}) / 1e9"
    return Rule(
        text,
        lambda v: (
            f"(isfinite({v}) AND ({rest.format(v, by)} <= {slack.format(v)}"
            f" OR abs({rest.format(v, by)} - abs({by})) <= {slack.format(v)}))"
        ),
    )


def _length(kind: str, name: str, value: int) -> Rule:
    if kind not in {"text", "bytes"}:
        raise ValueError(f"asks for {name}, which is checked of text and bytes only")
    sign, word = ("<=", "longer") if name == "max_length" else (">=", "shorter")
    count, unit = ("octet_length", "bytes") if kind == "bytes" else ("length", "characters")
    return Rule(f"is {word} than {value} {unit}", lambda v: f"{count}({v}) {sign} {int(value)}")


def _pattern(kind: str, _: str, value: Any) -> Rule:
    import duckdb

    text = str(getattr(value, "pattern", value))
    if getattr(value, "flags", 32) & ~32:
        raise ValueError(f"has the pattern {text!r} with flags; write them into it, as (?i)")
    if kind != "text":
        raise ValueError("has a pattern, which is checked of text only")
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SELECT regexp_matches('', ?)", [text]).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"has the pattern {text!r}, which DuckDB cannot check ({reason});"
            " look-ahead, look-behind and back-references are unknown to it"
        ) from error
    return Rule(f"does not match {text!r}", lambda v: f"regexp_matches({v}, {literal(text)})")


def _digits(value: int) -> Rule:
    digits = "length(ltrim(replace(rtrim(CAST(abs({0}) AS VARCHAR), '0'), '.', ''), '0'))"
    return Rule(f"has more than {value} digits", lambda v: f"{digits.format(v)} <= {int(value)}")


_RULES: dict[str, Callable[[str, str, Any], Rule]] = {
    **dict.fromkeys(_BOUNDS, _bound),
    "multiple_of": _multiple,
    "min_length": _length,
    "max_length": _length,
    "pattern": _pattern,
}


def sql_value(value: object) -> str:
    """Return a value as SQL.

    Raises
    ------
    ValueError
        If SQL has no such value.
    """
    if value is None:
        return "NULL"
    if isinstance(value, enum.Enum):
        return sql_value(value.value)
    for kind, said in _AS_SQL:
        if isinstance(value, kind):
            return said(value)
    raise ValueError(f"holds {value!r}, which SQL cannot say")


def _decimal_sql(value: Decimal) -> str:
    digits = max(0, -int(value.as_tuple().exponent)) if value.is_finite() else 0
    return f"CAST('{value:f}' AS DECIMAL(38,{min(digits, 38)}))"


def _datetime_sql(value: datetime) -> str:
    kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
    return f"{kind} '{value.isoformat(sep=' ')}'"


_AS_SQL: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (bool, lambda value: "true" if value else "false"),  # before int, which it is as well
    (int, lambda value: str(int(value))),
    (float, lambda value: f"'{value!r}'::DOUBLE"),
    (Decimal, _decimal_sql),
    (str, lambda value: literal(str(value))),
    (datetime, _datetime_sql),  # before date
    (date, lambda value: f"DATE '{value.isoformat()}'"),
    (time, lambda value: f"TIME '{value.isoformat()}'"),
    (UUID, lambda value: f"CAST('{value}' AS UUID)"),
    (bytes, lambda value: f"from_hex('{value.hex()}')"),
    ((dict, list), lambda value: literal(json.dumps(value))),
)
