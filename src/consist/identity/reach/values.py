"""How a loaded value counts where code refers to it: by what kind of thing it is."""

from __future__ import annotations

import sys
from collections import ChainMap, UserDict, defaultdict, deque
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, cast

from consist.identity.canonical import digest
from consist.identity.carried import parts_of
from consist.identity.mutation import CHANGING_METHODS
from consist.identity.reach.classes import attribute_texts, enter_class, enter_instance
from consist.identity.reach.found import Walker
from consist.identity.reach.functions import enter_function, texts_of, with_carried
from consist.identity.reach.inside import is_own, own_code_inside
from consist.identity.reach.modules import enter_whole_module
from consist.identity.reach.origin import is_ours, origin_of_module

CACHED: Any = type(lru_cache(print))
"""The class of functions that remember their results."""


def text_of(walk: Walker, value: Any) -> str:
    """Return the text under which a value counts that is no plain data, and enter its code."""
    if is_ours(value):
        return "consist"
    for kind, visit in _VISITS:
        if issubclass(type(value), kind):  # what an object claims to be may be anything
            return visit(walk, value)
    if type(value) in {ChainMap, UserDict}:
        return _wrapped(walk, value)
    return enter_instance(walk, value) if is_own(value) else opaque(walk, value)


def carried(walk: Walker, value: Any, where: str | None = None) -> dict[str, str]:
    """Return what a callable carries, label → text, and keep an eye on it."""
    walk.found.pins.carried(value)
    return texts_of(walk, dict(parts_of(value)), where)


def opaque(walk: Walker, value: object) -> str:
    """Return the text of an object whose content has no identity."""
    walk.found.opaque += 1
    cls: type[Any] = type(value)
    return _with_inside(walk, f"{_whose(walk, cls.__module__)} {cls.__qualname__}", value)


# ---------------------------------------------------------------- code


def _function(walk: Walker, function: FunctionType) -> str:
    return enter_function(walk, function) if is_own(function) else _foreign(walk, function)


def _class(walk: Walker, cls: type) -> str:
    return enter_class(walk, cls) if is_own(cls) else _foreign(walk, cls)


def _module(walk: Walker, module: ModuleType) -> str:
    match origin_of_module(module):
        case "own":
            return enter_whole_module(walk, module)
        case "package":
            return walk.found.package(module.__name__)
        case _:
            return f"standard {module.__name__}"


def _method(walk: Walker, method: MethodType) -> str:
    if is_ours(method.__self__):
        return "consist"
    return with_carried(walk, walk.target(method.__func__), carried(walk, method))


def _partial(walk: Walker, bound: partial[Any]) -> str:
    return with_carried(walk, walk.target(bound.func), carried(walk, bound))


def _builtin(walk: Walker, function: Any) -> str:
    owner = function.__self__
    if owner is None or isinstance(owner, ModuleType):
        return _foreign(walk, function)
    changes = function.__name__ in CHANGING_METHODS
    held = f"method {function.__name__} of {type(owner).__qualname__}"
    return held if changes else f"{held} {walk.target(owner)}"


def _behind(walk: Walker, member: Any) -> str:
    """Return the text of what wraps functions and has no content besides."""
    if isinstance(member, property):
        inside = [member.fget, member.fset, member.fdel]
    else:
        inside = [member.__wrapped__]
    return f"{type(member).__name__} {' '.join(map(walk.target, inside))}"


def _foreign(walk: Walker, value: Any) -> str:
    """Return the text of somebody else's function or class, and enter the own code in it."""
    name = getattr(value, "__module__", None) or type(value).__module__
    text = f"{_whose(walk, name)} {getattr(value, '__qualname__', name)}"
    return text if isinstance(value, type) else _with_inside(walk, text, value)


def _whose(walk: Walker, module_name: str) -> str:
    module = sys.modules.get(module_name)
    if module is not None and origin_of_module(module) == "package":
        return walk.found.package(module_name)
    return f"standard {module_name}"


def _with_inside(walk: Walker, text: str, value: object) -> str:
    inside = [(way, walk.target(item)) for way, item in own_code_inside(value)]
    return f"{text} with {digest('reach', sorted(inside))}" if inside else text


# ---------------------------------------------------------------- containers


def _mapping(walk: Walker, value: dict[Any, Any]) -> str:
    # Its class may have methods of its own, which are not for us to call.
    pairs = partial(dict[Any, Any].items, value)
    walk.found.pins.items(lambda: (part for pair in pairs() for part in pair))
    texts = sorted((walk.target(key), walk.target(item)) for key, item in pairs())
    factory = value.default_factory if isinstance(value, defaultdict) else None
    made = None if factory is None else walk.target(factory)
    return _container(walk, value, texts, made)


def _read_only(walk: Walker, value: MappingProxyType[Any, Any]) -> str:
    walk.found.pins.items(lambda: (*value.keys(), *value.values()))
    texts = sorted((walk.target(key), walk.target(item)) for key, item in value.items())
    return _container(walk, value, texts)


def _wrapped(walk: Walker, value: Any) -> str:
    held = cast("dict[str, object]", vars(value))
    return f"{walk.target(_class_of(value))} {walk.target(held)}"


def _sequence(walk: Walker, value: Collection[Any]) -> str:
    kind: Any = next(kind for kind in _SEQUENCES if isinstance(value, kind))
    walk.found.pins.items(lambda: kind.__iter__(value))
    texts = [walk.target(item) for item in kind.__iter__(value)]
    if isinstance(value, (set, frozenset)):
        texts.sort()
    return _container(walk, value, texts, value.maxlen if isinstance(value, deque) else None)


def _container(walk: Walker, value: object, *content: object) -> str:
    """Return the text of a container; of one of an own class, attributes count as well."""
    own = attribute_texts(walk, value) if is_own(value) else None
    return f"{walk.target(_class_of(value))} {digest('reach', *content, own)}"


def _class_of(value: object) -> object:
    return cast("object", type(value))


_SEQUENCES = (list, tuple, deque, set, frozenset)


_VISITS: tuple[tuple[Any, Callable[[Walker, Any], str]], ...] = (
    (FunctionType, _function),
    (type, _class),
    (ModuleType, _module),
    (MethodType, _method),
    (partial, _partial),
    (BuiltinFunctionType, _builtin),
    ((CACHED, staticmethod, classmethod, property), _behind),
    (dict, _mapping),
    (MappingProxyType, _read_only),
    (_SEQUENCES, _sequence),
)
