"""Casts that keep the value or say that they cannot: from what data hold to what a model asks for.

Nothing is rounded, cut or guessed. A value that the type of the model does not hold exactly becomes
null, beside its text, which tells the check that there was one.
"""

from __future__ import annotations

import re

from consist.formats.sql import literal
from consist.hot.model_columns import ModelColumn

TEXTS = {"VARCHAR"}
_SMALL = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}
_WHOLE = _SMALL | {"BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"}
_BROKEN = {"FLOAT", "DOUBLE"}
_TIMESTAMPS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
_ZONED = "TIMESTAMP WITH TIME ZONE"

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_WHOLE_NUMBER = r"\s*[+-]?[0-9]+(\.0+)?\s*"
_NUMBER = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
_TEXTS_OF = {
    "integer": _WHOLE_NUMBER,
    "float": rf"{_NUMBER}|(?i:nan|[+-]?inf(inity)?)",
    "boolean": "(?i:true|false|0|1)",
    "date": rf"{_DAY}([ T]00:00(:00(\.0+)?)?)?",
    "timestamp": rf"{_DAY}([ T]{_CLOCK})?",
    "naive": rf"{_DAY}([ T]{_CLOCK})?",
    "zoned": rf"{_DAY}[ T]{_CLOCK}([Zz]|[+-][0-9]{{2}}(:?[0-9]{{2}})?)",
    "time": _CLOCK,
    "uuid": "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
WANTED = {
    "integer": "no whole number of its type",
    "float": "no number that the column holds exactly",
    "decimal": "no decimal number of its digits",
    "boolean": "neither true nor false",
    "text": "no text",
    "date": "no date (YYYY-MM-DD)",
    "timestamp": "no date and time",
    "naive": "no date and time without a zone",
    "zoned": "no date and time with a zone",
    "time": "no time of day",
    "uuid": "no UUID",
    "bytes": "no bytes",
    "object": "no JSON object",
    "list": "no JSON list",
    "json": "no JSON",
}


def is_nested(kind: str) -> bool:
    """Whether a type of DuckDB is a list, struct or map."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP"))


def type_for(column: ModelColumn, source: str) -> str:
    """Return the type that a column of the table gets for values of ``source``.

    That is the model's, but for two kinds that take several: a plain ``datetime`` keeps the zone
    that its values have, and JSON keeps nested values as they are.
    """
    if column.kind == "timestamp" and source == _ZONED:
        return _ZONED
    if column.type == "JSON" and is_nested(source):
        return source
    return column.type


def cast(column: ModelColumn, value: str, source: str) -> str:
    """Return SQL for ``value`` in the type of :func:`type_for`, null where that loses anything."""
    if source == type_for(column, source):
        return value
    if source in TEXTS or source.startswith("ENUM"):
        return of_text(column, f"CAST({value} AS VARCHAR)")
    found = _of_typed(column, value, source)
    return f"CAST(NULL AS {column.type})" if found is None else found


def of_text(column: ModelColumn, text: str) -> str:
    """Return SQL for the value that a text is, null where it is none.

    Texts that DuckDB takes and a model does not are found by :func:`takes_text`.
    """
    match column.kind:
        case "text":
            return text
        case "bytes":
            return f"encode({text})"
        case "object" | "list" | "json":
            return f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) END"
        case _:
            return f"TRY_CAST({text} AS {column.type})"


def takes_text(column: ModelColumn, text: str, value: str) -> str:
    """Return the condition that ``value`` is what a text says, no more and no less."""
    if column.kind == "decimal":
        pattern = _decimal_texts(column.type)
    else:
        pattern = _TEXTS_OF.get(column.kind, "")
    if not pattern:
        return f"{value} IS NOT NULL"
    holds = f"({value} IS NOT NULL AND regexp_full_match({text}, {literal(pattern)})"
    if column.kind == "float":  # digits beyond those of a double, and numbers beyond its range
        whole = literal(_WHOLE_NUMBER)
        holds += (
            f" AND NOT (isinf({value}) AND regexp_full_match({text}, {literal(_NUMBER)}))"
            f" AND NOT (regexp_full_match({text}, {whole}) AND isfinite({value}) AND"
            f" TRY_CAST({text} AS HUGEINT) IS DISTINCT FROM TRY_CAST({value} AS HUGEINT))"
        )
    return holds + ")"


def _decimal_texts(kind: str) -> str:
    scale = int(re.findall(r"\d+", kind)[1])
    after = rf"[0-9]{{0,{scale}}}0*" if scale else "0*"
    return rf"\s*[+-]?([0-9]+(\.{after})?|\.[0-9]{after})\s*"


def _of_typed(column: ModelColumn, value: str, source: str) -> str | None:
    source_group = "DECIMAL" if source.startswith("DECIMAL") else source
    kind = "naive" if column.kind == "timestamp" else column.kind
    for groups, made in _CASTS.get(kind, ()):
        if source_group in groups:
            cast = f"TRY_CAST({value} AS {column.type})"
            return made.format(value=value, cast=cast, back=f"TRY_CAST({cast} AS {source})")
    return None


_ALWAYS = "{cast}"
"""Casts that lose nothing or give null."""
_AND_BACK = "CASE WHEN {back} = {value} THEN {cast} END"
_CASTS: dict[str, tuple[tuple[set[str], str], ...]] = {
    "integer": (
        (_WHOLE | {"BOOLEAN"}, _ALWAYS),
        (_BROKEN | {"DECIMAL"}, "CASE WHEN {value} = floor({value}) THEN {cast} END"),
    ),
    "float": (
        (_SMALL | {"FLOAT", "BOOLEAN"}, _ALWAYS),
        (_WHOLE | {"DECIMAL"}, _AND_BACK),
    ),
    "decimal": ((_WHOLE, _ALWAYS), (_BROKEN | {"DECIMAL"}, _AND_BACK)),
    "boolean": ((_WHOLE | _BROKEN, "CASE {value} WHEN 0 THEN false WHEN 1 THEN true END"),),
    "date": ((_TIMESTAMPS, _AND_BACK),),
    "naive": ((_TIMESTAMPS | {"DATE"}, _AND_BACK),),
    "text": (({"JSON"}, "CAST({value} AS VARCHAR)"),),
}
