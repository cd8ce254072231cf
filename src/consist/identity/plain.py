"""Configs as people read them in snapshots: plain JSON, with secrets masked."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from math import isfinite, isnan
from typing import Any

from consist.identity.kinds import Refused, fields_of, hidden_fields, kind_of, too_deep
from consist.identity.spelling import array_digest, spell
from consist.settings import MAX_NESTING

Json = None | bool | int | float | str | list[Any] | dict[str, Any]

MASK = "**********"
_SHOWN_ELEMENTS = 1000
_LARGEST_INT = 1 << 63
_LONGEST_INT = 1 << 2048


_numbers_stay: ContextVar[bool] = ContextVar("consist_numbers_stay", default=False)


def plain(value: object, where: str = "config", *, numbers_stay: bool = False) -> Json:
    """Render a value as JSON that any reader can store and people can read.

    Models become mappings, paths and dates text, sets sorted lists, bytes base64, enum members
    their values; ``NaN`` and ``Infinity`` are written as text, and so are whole numbers beyond 64
    bits. An array of more than 1,000 elements is told by dtype, shape and digest. Secrets, and
    the fields that a pydantic model excludes from its dumps, are masked.

    This loses distinctions that identity keeps; digests come from
    :func:`~consist.identity.canonical.encode`. With ``numbers_stay``, numbers that JSON has no
    place for stay what they are, and the caller finds one for them.

    Raises
    ------
    UnhashableValue
        As :func:`~consist.identity.canonical.encode` does.

    Examples
    --------
    >>> from pathlib import Path
    >>> plain({"out": Path("a") / "b", 2030: {3, 1, 2}, "limit": float("inf")})
    {'out': 'a/b', '2030': [1, 2, 3], 'limit': 'Infinity'}
    """
    token = _numbers_stay.set(True) if numbers_stay else None
    try:
        return _plain(value, MAX_NESTING)
    except Refused as refused:
        raise refused.at(where) from None
    finally:
        if token is not None:
            _numbers_stay.reset(token)


def _plain(value: object, room: int) -> Json:
    return _RENDER[kind_of(type(value))](value, room)


# ---------------------------------------------------------------- scalars


def _int(value: int, _room: int) -> Json:
    if -_LARGEST_INT <= value < _LARGEST_INT:
        return int(value)
    # Python refuses more decimal digits than a limit that a process may set, to 640 at the least.
    if not -_LONGEST_INT < value < _LONGEST_INT:
        return hex(value)
    return int(value) if _numbers_stay.get() else int.__repr__(value)


def _float(value: float, _room: int) -> Json:
    if isfinite(value) or _numbers_stay.get():
        return float(value)
    if isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _str(value: str, _room: int) -> Json:
    # Half of a surrogate pair has no place in UTF-8.
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _text(value: object, room: int) -> Json:
    return _str(str(value), room)


def _bytes(value: Any, _room: int) -> Json:
    return b64encode(bytes(value)).decode("ascii")


# ---------------------------------------------------------------- containers


def _list(value: Any, room: int) -> Json:
    if room <= 0:
        raise too_deep(value)
    rendered: list[Json] = []
    try:
        for item in value:
            rendered.append(_plain(item, room - 1))  # noqa: PERF401  (length tells the index)
    except Refused as refused:
        refused.steps.append(f"[{len(rendered)}]")
        raise
    return rendered


def _set(value: Any, room: int) -> Json:
    return _list(sorted(value, key=lambda item: spell(item, room)), room)


def _mapping(value: Mapping[Any, Any], room: int) -> Json:
    return _from_pairs(value, ((key, value[key]) for key in value), room, "[{!r}]")


def _namedtuple(value: Any, room: int) -> Json:
    return _from_pairs(value, zip(value._fields, value, strict=False), room, ".{}")


def _object(value: Any, room: int) -> Json:
    hidden = hidden_fields(type(value))
    pairs = ((name, MASK if name in hidden else item) for name, item in fields_of(value))
    return _from_pairs(value, pairs, room, ".{}")


def _from_pairs(value: object, pairs: Iterable[tuple[Any, Any]], room: int, step: str) -> Json:
    if room <= 0:
        raise too_deep(value)
    rendered: dict[str, Json] = {}
    key = None
    try:
        for key, item in pairs:
            rendered[_key(key, rendered, room)] = _plain(item, room - 1)
    except Refused as refused:
        refused.steps.append(step.format(key))
        raise
    return rendered


def _key(key: object, taken: Mapping[str, object], room: int) -> str:
    text = str(_plain(key, room - 1))
    while text in taken:  # as in {1: …, "1": …}
        text += f" ({type(key).__name__})"
    return text


# ---------------------------------------------------------------- the rest


def _enum(value: Any, room: int) -> Json:
    try:
        return _plain(value.value, room)
    except Refused:  # identity asks for the name only
        return _str(value.name, room)


def _custom(value: Any, room: int) -> Json:
    return _plain(value.__consist_identity__(), room - 1)


def _secret(_value: object, _room: int) -> Json:
    return MASK


def _scalar(value: Any, room: int) -> Json:
    if value.dtype.kind in "mMV":
        return _text(value, room)
    item = value.item()
    if type(item) is not type(value):
        return _plain(item, room)
    return _text(value, room) if value.dtype.kind == "c" else _float(float(value), room)


def _array(value: Any, room: int) -> Json:
    if value.size > _SHOWN_ELEMENTS:
        summary = {"dtype": str(value.dtype), "shape": list(value.shape)}
        return {"ndarray": {**summary, "sha256": array_digest(value)}}
    shown = value.astype(str) if value.dtype.kind in "mM" else value
    return _plain(shown.tolist(), room)


def _same(value: Any, _room: int) -> Json:
    return value


def _iso(value: Any, _room: int) -> Json:
    return value.isoformat()


def _posix(value: Any, room: int) -> Json:
    return _str(value.as_posix(), room)


_RENDER: dict[str, Callable[[Any, int], Json]] = {
    "none": _same,
    "bool": _same,
    "int": _int,
    "float": _float,
    "complex": _text,
    "decimal": _text,
    "fraction": _text,
    "str": _str,
    "bytes": _bytes,
    "path": _posix,
    "uuid": _text,
    "custom": _custom,
    "secret": _secret,
    "datetime": _iso,
    "date": _iso,
    "time": _iso,
    "timedelta": _text,
    "list": _list,
    "mapping": _mapping,
    "set": _set,
    "namedtuple": _namedtuple,
    "object": _object,
    "enum": _enum,
    "range": _text,
    "scalar": _scalar,
    "array": _array,
}
