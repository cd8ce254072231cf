"""Own code that somebody else's objects hold: wrapped functions, callbacks, entries of tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

from consist.identity.reach.origin import is_ours, origin_of_class, origin_of_function

_MOST_LOOKED_AT = 2_000
_MOST_LEVELS = 4
_ATOMS = (str, bytes, int, float, complex, bool, type(None))


def own_code_inside(value: object) -> list[tuple[str, object]]:
    """Return the own functions, classes and instances that something holds, by the way to them.

    The look is short: it goes a few levels deep, and not through large tables of data.
    """
    found: list[tuple[str, object]] = []
    seen: set[int] = {id(value)}
    pending = deque((way, item, 1) for way, item in _held(value))
    while pending and len(seen) < _MOST_LOOKED_AT:
        way, item, level = pending.popleft()
        if id(item) in seen or isinstance(item, (*_ATOMS, ModuleType)) or is_ours(item):
            continue
        seen.add(id(item))
        if is_own(item):
            found.append((way, item))
        elif level < _MOST_LEVELS:
            pending.extend((f"{way}{step}", inner, level + 1) for step, inner in _held(item))
    return found


def is_own(value: object) -> bool:
    """Whether something is an own function or class, or an instance of one."""
    if isinstance(value, FunctionType):
        return origin_of_function(value) == "own"
    if isinstance(value, MethodType):
        return is_own(value.__func__)
    cls = cast("type[Any]", value if isinstance(value, type) else type(value))
    return origin_of_class(cls) == "own"


def _held(value: Any) -> Iterator[tuple[str, object]]:
    """Yield what an object holds, with the step that leads there."""
    match value:
        case FunctionType():
            yield from _captured(value)
        case MethodType():
            yield from ((".func", value.__func__), (".self", value.__self__))
        case partial():
            found = cast("partial[Any]", value)
            yield ".func", found.func
            yield from _numbered(found.args)
            yield from ((f".{name}", item) for name, item in found.keywords.items())
        case Mapping():
            for key, item in _some(cast("Mapping[object, object]", value).items()):
                yield f"[{key!r}]" if isinstance(key, _ATOMS) else "[]", item
                yield "[key]", key
        case list() | tuple() | deque():
            yield from _numbered(cast("list[object]", value))
        case set() | frozenset():
            yield from (("{}", item) for item in _some(cast("set[object]", value)))
        case _:
            pass
    attributes = getattr(cast("object", value), "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(value, type):
        for name, item in _some(cast("dict[str, object]", attributes).items()):
            yield f".{name}", item


def _captured(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            yield f".{name}", cell.cell_contents
    yield from _numbered(function.__defaults__ or ())


def _numbered(items: Iterable[object]) -> Iterator[tuple[str, object]]:
    return ((f"[{number}]", item) for number, item in enumerate(_some(items)))


def _some(items: Iterable[Any]) -> Iterator[Any]:
    return islice(items, _MOST_LOOKED_AT)
