"""Which values are data and nothing else, so that their content is all there is to them."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from typing import Any, cast

from consist.identity.kinds import Refused, kind_of

_SCALARS = frozenset(
    """
    none bool int float complex str bytes range path datetime date time timedelta decimal fraction
    uuid scalar
    """.split()  # noqa: SIM905
)
_MOST_LEVELS = 64


def is_plain(value: Any, levels: int = _MOST_LEVELS) -> bool:
    """Whether a value is made of numbers, text, dates, paths and arrays, without any code in it."""
    cls = cast("type[Any]", type(value))
    if cls in {list, tuple, set, frozenset}:
        return levels > 0 and all(is_plain(item, levels - 1) for item in value)
    if cls is dict:
        return levels > 0 and all(
            is_plain(key, 0) and is_plain(item, levels - 1) for key, item in value.items()
        )
    try:
        kind = kind_of(cls)
    except Refused:
        return False
    return kind in _SCALARS or (kind == "array" and not value.dtype.hasobject)


def is_changeable(value: Any) -> bool:
    """Whether a plain value can be changed in place."""
    cls = cast("type[Any]", type(value))
    if cls is tuple:
        return any(map(is_changeable, value))
    return cls in {list, dict, set, bytearray} or hasattr(value, "__array_interface__")


def layout(value: Any) -> str:
    """Return what two plain values of equal identity may still differ in: types and order.

    In a config ``1`` and ``1.0`` are the same, and so are mappings of another order. In code they
    are not: one is divided, printed or iterated over in another way than the other.
    """
    said: list[str] = []
    _lay_out(value, said.append)
    return "".join(said)


def _lay_out(value: Any, say: Callable[[str], None]) -> None:
    cls = cast("type[Any]", type(value))
    say(cls.__name__)
    if cls is dict:
        for key, item in value.items():
            say(f" {key!r}:")
            _lay_out(item, say)
    elif cls in {list, tuple}:
        for item in value:
            say(" ")
            _lay_out(item, say)
    elif cls in {set, frozenset}:
        say(str(sorted(map(layout, value))))
    elif cls is float:
        say("-" if copysign(1.0, value) < 0 else "")
    elif hasattr(value, "tzinfo"):
        say(repr(value))
    say(";")
