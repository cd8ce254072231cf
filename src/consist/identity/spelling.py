"""One encoder per kind of value. What they promise stands in :mod:`.canonical`."""

from __future__ import annotations

import datetime as dt
import json.encoder
import sys
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from consist.identity.kinds import Refused, fields_of, kind_of, too_deep
from consist.identity.numerals import (
    spell_complex,
    spell_decimal,
    spell_float,
    spell_fraction,
    spell_int,
    spell_rational,
    tag,
)
from consist.settings import MAX_NESTING

_FIRST_DAY = dt.datetime(1, 1, 1)  # noqa: DTZ001  (offsets are subtracted by hand)
_MICROSECOND = dt.timedelta(microseconds=1)
# Objects and texts of any length are pointers, long doubles have padding.
_WITHOUT_BYTES = "OTgG"
_SECRET_SALT = b"consist.secret.1\0"

_quote: Callable[[str], str] = json.encoder.encode_basestring


def spell(value: object, room: int) -> str:
    """Spell one value of which ``room`` levels may still follow; raises ``Refused``."""
    cls = type(value)
    render = _EXACT.get(cls) or _RENDER[kind_of(cls)]
    return render(value, room)


def to_bytes(spelled: str) -> bytes:
    """Encode a spelling; text with half of a surrogate pair in it has bytes, too."""
    return spelled.encode("utf-8", "surrogatepass")


def _none(_value: None, _room: int) -> str:
    return "null"


def _bool(value: bool, _room: int) -> str:
    return "true" if value else "false"


# ---------------------------------------------------------------- text and bytes


def _str(value: str, _room: int) -> str:
    return _quote(value)


def _bytes(value: bytes | bytearray | memoryview, _room: int) -> str:
    return tag("bytes", f'"{b2a_base64(bytes(value), newline=False).decode()}"')


def _path(value: Any, _room: int) -> str:
    return tag("path", _quote(value.as_posix()))


def _uuid(value: Any, _room: int) -> str:
    return tag("uuid", f'"{value.hex}"')


def _secret(value: Any, room: int) -> str:
    content = to_bytes(spell(value.get_secret_value(), room))
    return tag("secret", f'"{sha256(_SECRET_SALT + content).hexdigest()}"')


# ---------------------------------------------------------------- time


def _datetime(value: dt.datetime, _room: int) -> str:
    offset = value.utcoffset()
    naive = value.replace(tzinfo=None)
    if offset is None:
        return tag("datetime", f'"{naive.isoformat()}"')
    # Counted, since the first and the last day of the calendar have no neighbour to move to.
    since = (naive - _FIRST_DAY) // _MICROSECOND - offset // _MICROSECOND
    return tag("instant", str(since))


def _date(value: dt.date, _room: int) -> str:
    return tag("date", f'"{value.isoformat()}"')


def _time(value: dt.time, _room: int) -> str:
    offset = value.utcoffset()
    if offset is None:
        zone = f" {value.tzinfo}" if value.tzinfo else ""
        return tag("time", _quote(value.replace(tzinfo=None).isoformat() + zone))
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return tag("time", str(seconds * 1_000_000 + value.microsecond - offset // _MICROSECOND))


def _timedelta(value: dt.timedelta, _room: int) -> str:
    return tag("timedelta", str(value // _MICROSECOND))


# ---------------------------------------------------------------- containers


def _list(value: Any, room: int) -> str:
    if room <= 0:
        raise too_deep(value)
    parts: list[str] = []
    item: object
    try:
        for item in value:
            render = _EXACT.get(type(item)) or spell
            parts.append(render(item, room - 1))
    except Refused as refused:
        refused.steps.append(f"[{len(parts)}]")
        raise
    return f"[{','.join(parts)}]"


def _mapping(value: Mapping[Any, Any], room: int) -> str:
    if room <= 0:
        raise too_deep(value)
    parts: list[str] = []
    key = None
    item: object
    try:
        for key in value:
            if type(key) is not str or key[:1] == "$":
                break
            item = value[key]
            render = _EXACT.get(type(item)) or spell
            parts.append(f"{_quote(key)}:{render(item, room - 1)}")
        else:
            parts.sort()
            return f"{{{','.join(parts)}}}"
    except Refused as refused:
        refused.steps.append(f"[{key!r}]")
        raise
    return _any_mapping(value, room)


def _any_mapping(value: Mapping[Any, Any], room: int) -> str:
    pairs: list[tuple[str, str]] = []
    for key in value:
        try:
            pairs.append((spell(key, room - 1), spell(value[key], room - 1)))
        except Refused as refused:
            refused.steps.append(f"[{key!r}]")
            raise
    if all(key[0] == '"' and key[1] != "$" for key, _ in pairs):
        return f"{{{','.join(sorted(map(':'.join, pairs)))}}}"
    return tag("map", f"[{','.join(sorted(f'[{key},{text}]' for key, text in pairs))}]")


def _set(value: Any, room: int) -> str:
    if room <= 0:
        raise too_deep(value)
    try:
        parts = {spell(item, room - 1) for item in value}
    except Refused as refused:
        refused.steps.append("{…}")
        raise
    return tag("set", f"[{','.join(sorted(parts))}]")


def _namedtuple(value: Any, room: int) -> str:
    return tag("tuple", f"[{_quote(type(value).__qualname__)},{_list(value, room)}]")


def _object(value: Any, room: int) -> str:
    if room <= 0:
        raise too_deep(value)
    parts: list[str] = []
    name = ""
    try:
        for name, item in fields_of(value):
            parts.append(f"{_quote(name)}:{spell(item, room - 1)}")
    except Refused as refused:
        refused.steps.append(f".{name}")
        raise
    return tag("object", f"[{_quote(type(value).__qualname__)},{{{','.join(sorted(parts))}}}]")


def _custom(value: Any, room: int) -> str:
    if room <= 0:
        raise too_deep(value)
    try:
        told = spell(value.__consist_identity__(), room - 1)
    except Refused as refused:
        refused.steps.append(".__consist_identity__()")
        raise
    return tag("object", f"[{_quote(type(value).__qualname__)},{told}]")


def _enum(value: Any, room: int) -> str:
    # A combination of flags may have no name, and then its number is all there is.
    member = spell(value.value, room) if value.name is None else _quote(value.name)
    return tag("enum", f"[{_quote(type(value).__qualname__)},{member}]")


def _range(value: range, _room: int) -> str:
    # Ranges are equal if they count the same numbers, as range(0, 3, 2) and range(0, 4, 2) do.
    if not value:
        return tag("range", "[]")
    if value[0] == value[-1]:
        return tag("range", f"[{spell_int(value[0])}]")
    return tag("range", f"[{spell_int(value[0])},{spell_int(value[-1])},{spell_int(value.step)}]")


# ---------------------------------------------------------------- numpy


def _scalar(value: Any, room: int) -> str:
    if value.dtype.names:
        return _array(value, room)
    if value.dtype.kind in "mM":
        return tag("numpy", f"[{_quote(value.dtype.str[1:])},{_quote(str(value))}]")
    item = value.item()
    return spell(item, room) if type(item) is not type(value) else _long_scalar(value)


def _long_scalar(value: Any) -> str:
    # Long doubles have no twin in Python. They are ratios like any other number.
    if value.dtype.kind == "c":
        real, imaginary = _long_scalar(value.real), _long_scalar(value.imag)
        return real if value.imag == 0 else tag("complex", f"[{real},{imaginary}]")
    if sys.modules["numpy"].isfinite(value):
        return spell_rational(*value.as_integer_ratio())
    return spell_float(float(value))


def _array(value: Any, room: int) -> str:
    if room <= 0:
        raise too_deep(value)
    shape = f"[{','.join(map(str, value.shape))}]"
    if value.dtype.names:
        fields = {name: value[name] for name in value.dtype.names}
        return tag("ndarray", f'["fields",{shape},{_mapping(fields, room - 1)}]')
    if value.dtype.char in _WITHOUT_BYTES:
        items = _list(value.ravel().tolist(), room - 1)
        return tag("ndarray", f'["{value.dtype.char}",{shape},{items}]')
    name = _quote(value.dtype.newbyteorder("<").str)
    return tag("ndarray", f'[{name},{shape},"{array_digest(value)}"]')


def array_digest(value: Any) -> str:
    """Return the SHA-256, in hex, of an array's bytes in C order and little-endian.

    Where bytes say nothing of the content, it is that of the spelled elements.
    """
    if value.dtype.names or value.dtype.char in _WITHOUT_BYTES:
        return sha256(to_bytes(spell(value, MAX_NESTING))).hexdigest()
    numpy = sys.modules["numpy"]
    ordered = numpy.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return sha256(ordered.reshape(-1).view("u1") if ordered.nbytes else b"").hexdigest()


_EXACT: dict[type, Callable[[Any, int], str]] = {
    str: _str,
    int: spell_int,
    float: spell_float,
    bool: _bool,
    type(None): _none,
    dict: _mapping,
    list: _list,
    tuple: _list,
}
_RENDER: dict[str, Callable[[Any, int], str]] = {
    "none": _none,
    "bool": _bool,
    "int": spell_int,
    "float": spell_float,
    "complex": spell_complex,
    "decimal": spell_decimal,
    "fraction": spell_fraction,
    "str": _str,
    "bytes": _bytes,
    "path": _path,
    "uuid": _uuid,
    "custom": _custom,
    "secret": _secret,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "timedelta": _timedelta,
    "list": _list,
    "mapping": _mapping,
    "set": _set,
    "namedtuple": _namedtuple,
    "object": _object,
    "enum": _enum,
    "range": _range,
    "scalar": _scalar,
    "array": _array,
}
