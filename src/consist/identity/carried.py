"""What a callable carries with it beyond its code.

Defaults, captured variables, the arguments of a ``functools.partial``, the state of the object
that a method belongs to: two callables of the same source can differ in all of these. Each carried
value gets a label and a short text that is the same exactly if the value is:

- plain data counts by the digest of its canonical spelling;
- a callable counts by its qualified name, its source and what it carries in turn;
- a class or a module counts by its name;
- what the callable changes itself is state, not a parameter, and does not count; of the object
  of a method, the attributes count that the method uses (see :mod:`.mutation`);
- what has no defined identity is listed as unseen. It never stops a run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

from consist.errors import CodeIdentityUnavailableError, UnhashableValue
from consist.identity.canonical import encode
from consist.identity.kinds import Refused, fields_of, kind_of
from consist.identity.mutation import CHANGING_METHODS, ObjectUse, changed_variables, object_use
from consist.identity.sources import (
    code_of,
    code_source_digest,
    module_name,
    qualified_name,
    source_digest,
)

_MOST_LEVELS = 8
_CACHED: type = type(functools.lru_cache(print))
_CALLABLES = (FunctionType, MethodType, functools.partial, BuiltinFunctionType, _CACHED)


class Carried(NamedTuple):
    """What a callable carries.

    Attributes
    ----------
    values : mapping of str to str
        Label, such as ``closure.threshold``, ``default.n``, ``partial[0]`` or ``self.rate`` →
        a text that stands for the value.
    unseen : tuple of str
        Labels of what has no defined identity and therefore does not count.
    """

    values: Mapping[str, str] = MappingProxyType({})
    unseen: tuple[str, ...] = ()


NOTHING = Carried()


def carried_values(fn: Callable[..., Any]) -> Carried:
    """Return what a callable carries at this moment.

    Parameters
    ----------
    fn
        A function, method, partial, class or object with ``__call__``.

    Examples
    --------
    >>> def make(threshold):
    ...     def step(n=3):
    ...         return n > threshold
    ...
    ...     return step
    >>> sorted(carried_values(make(0.5)).values)
    ['closure.threshold', 'default.n']
    """
    if type(fn) is FunctionType and not (
        fn.__closure__ or fn.__defaults__ or fn.__kwdefaults__ or hasattr(fn, "__wrapped__")
    ):
        return NOTHING
    collector = _Collector()
    collector.enter(fn, "", _MOST_LEVELS)
    return Carried(collector.values, tuple(sorted(collector.unseen)))


class _Collector:
    """Walks through callables and what they carry, each of them once."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.unseen: set[str] = set()
        self._entered: dict[int, object] = {}  # by id; the object keeps its id from being reused

    def enter(self, fn: Any, prefix: str, room: int) -> None:
        """Collect what one callable carries."""
        if id(fn) in self._entered:
            return
        if room <= 0:
            self.unseen.add(f"{prefix}…")
            return
        self._entered[id(fn)] = fn
        if isinstance(fn, FunctionType) and hasattr(fn, "__wrapped__"):
            own = code_source_digest(fn.__code__, fn.__globals__)
            self.values[f"{prefix}wrapper"] = f"callable {fn.__code__.co_qualname} {own}"
        for label, value in parts_of(fn):
            self._collect(f"{prefix}{label}", value, room)
        inside = _behind(fn)
        if inside is not None:
            self.enter(inside, prefix, room)

    def _collect(self, label: str, value: Any, room: int) -> None:
        if isinstance(value, _CALLABLES):
            self._collect_callable(label, value, room)
        elif isinstance(value, type):
            self.values[label] = f"class {module_name(value.__module__)}.{value.__qualname__}"
        elif isinstance(value, ModuleType):
            self.values[label] = f"module {value.__name__}"
        else:
            try:
                self.values[label] = sha256(encode(value, label)).hexdigest()
            except UnhashableValue:
                if callable(value):
                    self._collect_callable(label, value, room)
                else:
                    self.unseen.add(label)

    def _collect_callable(self, label: str, value: Any, room: int) -> None:
        self.values[label] = f"callable {qualified_name(value)}"
        with suppress(CodeIdentityUnavailableError):  # written in C: its name is all there is
            self.values[label] += f" {source_digest(value)}"
        self.enter(value, f"{label}/", room - 1)


# ---------------------------------------------------------------- one callable


def parts_of(fn: Any) -> Iterator[tuple[str, object]]:
    """Yield label and value of what one callable holds, without what it changes itself."""
    if isinstance(fn, FunctionType):
        yield from _captured(fn)
        yield from _defaults(fn)
    elif isinstance(fn, functools.partial):
        yield from ((f"partial[{index}]", value) for index, value in enumerate(fn.args))
        yield from ((f"partial.{name}", value) for name, value in sorted(fn.keywords.items()))
    elif isinstance(fn, BuiltinFunctionType):
        # Such as `table.get`; `calls.append` is there to change its object.
        if not isinstance(fn.__self__, ModuleType) and fn.__name__ not in CHANGING_METHODS:
            yield "self", fn.__self__
    elif not isinstance(fn, (_CACHED, type)):
        code = code_of(_behind(fn))
        if code is not None:
            yield from _state(fn.__self__ if isinstance(fn, MethodType) else fn, code)


def _behind(fn: Any) -> Any:
    """Return the callable that this one calls: of a partial, a method, a wrapper, an instance."""
    if isinstance(fn, functools.partial):
        return fn.func
    if isinstance(fn, MethodType):
        return fn.__func__
    if isinstance(fn, (FunctionType, BuiltinFunctionType, _CACHED, type)):
        state: Mapping[str, Any] = getattr(fn, "__dict__", {})
        return state.get("__wrapped__")
    return _class_attribute(fn.__class__, "__call__")


def _captured(fn: FunctionType) -> Iterator[tuple[str, object]]:
    changed = changed_variables(fn.__code__)
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        if name not in changed:
            with suppress(ValueError):  # not assigned yet
                yield f"closure.{name}", cell.cell_contents


def _defaults(fn: FunctionType) -> Iterator[tuple[str, object]]:
    code, defaults = fn.__code__, fn.__defaults__ or ()
    changed = changed_variables(code)
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    given = {**dict(zip(names, defaults, strict=True)), **(fn.__kwdefaults__ or {})}
    yield from ((f"default.{name}", item) for name, item in given.items() if name not in changed)


# ---------------------------------------------------------------- the object of a method


def _state(owner: Any, code: CodeType) -> Iterator[tuple[str, object]]:
    cls = owner if isinstance(owner, type) else type(owner)
    yield "self", cls
    if cls is owner:
        return
    use = _whole_use(cls, code)
    for name, value in attributes_of(owner):
        counts = (use.whole or name in use.used) and name not in use.changed
        if counts and not isinstance(_class_attribute(cls, name), functools.cached_property):
            yield f"self.{name}", value


def attributes_of(owner: object) -> Iterator[tuple[str, object]]:
    """Yield what an object holds: its fields, its attributes, and its items, if it has any."""
    try:
        kind = kind_of(type(owner))
    except Refused:
        kind = None
    found = dict(fields_of(owner)) if kind == "object" else {}
    if kind not in {None, "object"}:
        found[""] = owner
    # Around `__getattr__`, which may answer anything.
    with suppress(AttributeError):
        found.update(object.__getattribute__(owner, "__dict__"))
    for base in type(owner).__mro__:
        for name, slot in vars(base).items() if "__slots__" in vars(base) else ():
            if isinstance(slot, MemberDescriptorType) and not name.startswith("__"):
                with suppress(AttributeError):  # not assigned yet
                    found[name] = slot.__get__(owner)
    yield from found.items()


@functools.lru_cache(maxsize=512)
def _whole_use(cls: type, code: CodeType) -> ObjectUse:
    """Tell what a method does with its object, together with what it calls and reads on it."""
    used: set[str] = set()
    changed: set[str] = set()
    whole = False
    pending, seen = [code], {code}
    while pending:
        use = object_use(pending.pop())
        used |= use.used
        changed |= use.changed
        whole = whole or use.whole
        for inner in filter(None, (_code_on(cls, name) for name in use.used)):
            if inner not in seen:
                seen.add(inner)
                pending.append(inner)
    if _class_attribute(cls, "__getattr__") and any(
        _class_attribute(cls, name) is None for name in used
    ):
        whole = True  # the object makes attributes of what it holds
    return ObjectUse(frozenset(used), frozenset(changed), whole)


def _code_on(cls: type, name: str) -> CodeType | None:
    found = _class_attribute(cls, name)
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, functools.cached_property):
        found = found.func
    if found is None or not isinstance(found, (FunctionType, _CACHED)):
        return None
    return code_of(found)


def _class_attribute(cls: type, name: str) -> Any:
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
