"""Constants of loaded code, which count by the value they have when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from types import FunctionType
from typing import Any, NamedTuple, cast

from consist.errors import UnhashableValue
from consist.identity.canonical import digest, encode
from consist.identity.sources import qualified_name


class Live(NamedTuple):
    """A constant that counts by its value.

    Attributes
    ----------
    label : str
        Module and name.
    namespace : mapping
        Where the value is found.
    name : str
        Under which name.
    holds_callables : bool
        Whether there are functions or classes in it.
    """

    label: str
    namespace: Mapping[str, Any]
    name: str
    holds_callables: bool = False

    def spelled(self) -> str | None:
        """Return a text that stands for the value now; ``None`` if it is no plain data."""
        if self.name not in self.namespace:
            return None
        return _spelled(self.namespace[self.name])


def _spelled(value: Any) -> str | None:
    """Return a text that stands for plain data, which may hold functions and classes."""
    try:
        return sha256(encode(value, "constant")).hexdigest()
    except UnhashableValue:
        pass
    match value:
        case dict():
            items = cast("dict[Any, Any]", value).items()
            parts = [(_spelled(key), _spelled_or_name(item)) for key, item in items]
        case list() | tuple() | set() | frozenset():
            parts = [("", _spelled_or_name(item)) for item in cast("Iterable[Any]", value)]
        case _:
            return None
    if any(None in part for part in parts):
        return None
    texts = [f"{key} {item}" for key, item in parts]
    ordered = isinstance(value, list | tuple)  # a mapping and a set have no order
    kind = type(cast("object", value)).__name__
    return digest("definition", kind, texts if ordered else sorted(texts))


def _spelled_or_name(value: Any) -> str | None:
    if isinstance(value, FunctionType | type):
        return f"callable {qualified_name(cast('Callable[..., Any]', value))}"
    return _spelled(value)


def callables_in(value: Any) -> Iterable[Any]:
    """Yield the functions and classes in a value."""
    if isinstance(value, FunctionType | type):
        yield value
    elif isinstance(value, dict):
        for item in cast("dict[Any, Any]", value).values():
            yield from callables_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in cast("Iterable[Any]", value):
            yield from callables_in(item)
