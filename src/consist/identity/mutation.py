"""Which of the things that a callable carries does it change itself.

A list that a step appends to is state, not a parameter: it is different after every call, and the
step would never be found again. So we look at the bytecode of the callable and of the functions
inside it. Every load of a variable is followed to what happens to the value: a method that is
known to change its object, an assignment to an attribute or an item, a rebinding. Local names for
the value, or for a part of it, are followed too.

The look is static and modest: what a value goes through in a function that it is passed to stays
unseen. Where control flow makes the way unclear, the value counts as read.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

CHANGING_METHODS = frozenset(
    """
    __delattr__ __delitem__ __ior__ __setattr__ __setitem__ add append appendleft clear
    difference_update discard extend extendleft fill insert intersection_update move_to_end pop
    popitem popleft push put put_nowait remove resize reverse rotate setdefault setflags sort
    subtract symmetric_difference_update update write writelines
    """.split()  # noqa: SIM905  (thirty quoted words read worse)
)
"""Methods that change their object, by the habits of the language and of its libraries."""

_LOADS = frozenset(
    """
    LOAD_CLASSDEREF LOAD_DEREF LOAD_FAST LOAD_FAST_BORROW LOAD_FAST_CHECK LOAD_FROM_DICT_OR_DEREF
    """.split()  # noqa: SIM905
)
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_GLOBAL_REBINDINGS = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_STORES = frozenset({"STORE_FAST", "STORE_DEREF", "STORE_NAME"})
_NAMINGS = _STORES | {"GET_ITER"}
_REBINDINGS = frozenset({"STORE_DEREF", "DELETE_DEREF"})
# Two instructions in one, since Python 3.12 and 3.13.
_PAIRS = {
    "LOAD_FAST_LOAD_FAST": ("LOAD_FAST", "LOAD_FAST"),
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("LOAD_FAST", "LOAD_FAST"),
    "STORE_FAST_LOAD_FAST": ("STORE_FAST", "LOAD_FAST"),
    "STORE_FAST_STORE_FAST": ("STORE_FAST", "STORE_FAST"),
}
_PAIR_EFFECT = {"LOAD_FAST": 1, "STORE_FAST": -1}
# What takes from the stack and puts nothing on it; everything else that takes puts one result.
_WITHOUT_RESULT = (
    *("STORE_", "DELETE_", "POP_", "RETURN_", "RAISE_", "END_"),
    *("LIST_", "SET_", "MAP_ADD", "DICT_"),
)
_ONLY_PUTS = ("LOAD_", "COPY", "PUSH_", "BUILD_")
_DOES_NOTHING = frozenset(
    {"NOP", "RESUME", "PRECALL", "KW_NAMES", "EXTENDED_ARG", "NOT_TAKEN", "COPY_FREE_VARS"}
)
# How many values lie on top of the object that these change.
_CHANGES_BELOW = {
    "STORE_ATTR": 0,
    "DELETE_ATTR": 0,
    "STORE_SUBSCR": 1,
    "DELETE_SUBSCR": 1,
    "STORE_SLICE": 2,
}


class Use(NamedTuple):
    """What one load of a variable comes to.

    Attributes
    ----------
    path : tuple of str
        Attributes taken from the value, in order; subscripts are left out.
    method : str or None
        The method of what is at ``path`` that is called in the end.
    changed : bool
        Whether what is at ``path`` is changed.
    """

    path: tuple[str, ...]
    method: str | None = None
    changed: bool = False


class ObjectUse(NamedTuple):
    """What a method does with its object.

    Attributes
    ----------
    used : frozenset of str
        Attributes and methods that it takes from the object.
    changed : frozenset of str
        Those that it changes.
    whole : bool
        Whether the object goes elsewhere as a whole, so that nobody knows what is used.
    """

    used: frozenset[str]
    changed: frozenset[str]
    whole: bool


class _Step(NamedTuple):
    name: str
    argument: object
    effect: int
    offset: int


@lru_cache(maxsize=4096)
def changed_variables(code: CodeType) -> frozenset[str]:
    """Name the parameters and captured variables whose values the code changes or replaces."""
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    changed = {
        name
        for name in (*code.co_freevars, *parameters)
        if any(use.changed for use in _uses(code, name, ()))
    }
    return frozenset(changed | _rebound(code))


@lru_cache(maxsize=4096)
def object_use(code: CodeType) -> ObjectUse:
    """Tell what a method does with its object, which is its first parameter."""
    if not code.co_argcount:
        return ObjectUse(frozenset(), frozenset(), whole=True)
    uses = list(_uses(code, code.co_varnames[0], ()))
    taken = {(*use.path, use.method)[0] for use in uses}
    changed = {use.path[0] for use in uses if use.changed and use.path}
    used = frozenset(name for name in taken if name is not None)
    return ObjectUse(used, frozenset(changed), None in taken or "super" in code.co_names)


@lru_cache(maxsize=8192)
def changed_globals(code: CodeType) -> frozenset[tuple[str, ...]]:
    """Return the global names that the code changes or replaces, each with the way to the change.

    ``settings.TABLE["x"] = 1`` is ``("settings", "TABLE")``; so are changes by inner functions.
    """
    changed: set[tuple[str, ...]] = set()
    pending = [code]
    while pending:
        current = pending.pop()
        pending.extend(_inner(current))
        for step in _steps(current):
            if step.name in _GLOBAL_REBINDINGS:
                changed.add((str(step.argument),))
        for name in {str(step.argument) for step in _steps(current) if step.name in _GLOBALS}:
            uses = _uses(current, name, (), _GLOBALS)
            changed.update((name, *use.path) for use in uses if use.changed)
    return frozenset(changed)


def _rebound(code: CodeType) -> set[str]:
    free = set(code.co_freevars)
    rebound = {step.argument for step in _steps(code) if step.name in _REBINDINGS}
    for inner in _inner(code):
        rebound |= _rebound(inner)
    return {name for name in rebound if isinstance(name, str) and name in free}


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))


def _uses(
    code: CodeType, variable: str, path: tuple[str, ...], loads: frozenset[str] = _LOADS
) -> Iterator[Use]:
    """Yield the uses of a variable, and of the local names that its value is given.

    ``loads`` are the instructions that load the variable itself.
    """
    steps = _steps(code)
    pending, seen = [(variable, path, loads)], {(variable, path)}
    while pending:
        name, path, loads = pending.pop()
        for position, step in enumerate(steps):
            if step.name in loads and step.argument == name:
                use, alias = _follow(steps, position + 1, path)
                yield use
                # Only the first attribute matters, and `node = node.next` would go on forever.
                if alias is not None and (alias, use.path[:1]) not in seen:
                    seen.add((alias, use.path[:1]))
                    pending.append((alias, use.path[:1], _LOADS))
        for inner in _inner(code):
            if name in inner.co_freevars:
                yield from _uses(inner, name, path)


def _follow(steps: list[_Step], position: int, path: tuple[str, ...]) -> tuple[Use, str | None]:
    """Follow a value from the top of the stack; return its use and the new name it gets, if any."""
    above = 0  # values on top of ours
    while position < len(steps):
        step = steps[position]
        position += 1
        if _CHANGES_BELOW.get(step.name) == above:
            part = (str(step.argument),) if step.name.endswith("_ATTR") else ()
            return Use(path + part, changed=True), None
        if above == 0 and step.name in _ATTRIBUTES:
            name = str(step.argument)
            if step.effect or name in CHANGING_METHODS:  # what a method returns is another value
                return Use(path, name, changed=name in CHANGING_METHODS), None
            path = (*path, name)
        elif above == 0 and step.name in _NAMINGS:
            return Use(path), _new_name(steps[position - 1 : position + 2])
        elif step.name == "JUMP_FORWARD":
            targets = (i for i, other in enumerate(steps) if other.offset == step.argument)
            position = next(targets, len(steps))
        elif _consumes(step, above):
            break
        else:
            above = _moved(step, above)
    return Use(path), None


def _new_name(steps: list[_Step]) -> str | None:
    match steps:
        case [_Step(name="GET_ITER"), _Step(name="FOR_ITER"), _Step() as step]:  # its items
            return str(step.argument) if step.name in _STORES else None
        case [_Step() as step, *_]:
            return str(step.argument) if step.name in _STORES else None
        case _:
            return None


def _moved(step: _Step, above: int) -> int:
    """Return how many values are on top of ours after a step that does not consume it."""
    if step.name == "BINARY_SUBSCR" and above == 1:
        return 0  # ours is an item now
    if step.name == "SWAP" and isinstance(step.argument, int):
        deep = step.argument - 1
        return {0: deep, deep: 0}.get(above, above)
    return above + step.effect


def _consumes(step: _Step, above: int) -> bool:
    if step.name == "SWAP" or (step.name == "BINARY_SUBSCR" and above == 1):
        return False
    if step.effect > 0:
        return above == 0 and not step.name.startswith(_ONLY_PUTS)
    if step.effect == 0:
        return above == 0 and step.name not in _DOES_NOTHING
    results = 0 if step.name.startswith(_WITHOUT_RESULT) else 1
    return above < results - step.effect


@lru_cache(maxsize=256)
def _steps(code: CodeType) -> list[_Step]:
    return list(_simplified(dis.get_instructions(code)))


def _simplified(instructions: Iterable[dis.Instruction]) -> Iterator[_Step]:
    for found in instructions:
        if found.opname in _PAIRS:
            for name, argument in zip(_PAIRS[found.opname], found.argval, strict=True):
                yield _Step(name, argument, _PAIR_EFFECT[name], found.offset)
        elif found.opname == "BINARY_OP" and found.argrepr == "[]":  # since Python 3.14
            yield _Step("BINARY_SUBSCR", None, -1, found.offset)
        else:
            effect = dis.stack_effect(found.opcode, found.arg, jump=False)
            yield _Step(found.opname, found.argval, effect, found.offset)
