"""What module constants are: their value where that can be told, else how they were made.

Plain data counts by its value, whoever gave it. What the reached code changes itself is state, not
a constant: it counts, like objects that have no identity, by the statements that made it and by the
own code that it holds.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Hashable, Iterator
from hashlib import sha256
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from consist.errors import UnhashableValue
from consist.identity.canonical import digest, encode
from consist.identity.mutation import changed_globals
from consist.identity.reach.found import Namespace, Walker
from consist.identity.reach.inside import own_code_inside
from consist.identity.reach.lazy import absolute
from consist.identity.reach.modules import module_name, package_of, top_level_of
from consist.identity.reach.names import Chain, chains_in
from consist.identity.reach.origin import import_name
from consist.identity.reach.plain import is_changeable, is_plain, layout
from consist.identity.reach.trees import spelling

_MOST_IMPORTS = 50


def value_text(walk: Walker, value: Any, *, exact: bool = False) -> str:
    """Return the text of plain data, and keep an eye on it if it can be changed in place.

    What a callable carries counts like a config; of a constant in code, types and order count too
    (``exact``).

    Raises
    ------
    UnhashableValue
        If it contains itself, or is nested too deep.
    """
    said = [value, layout(value)] if exact else value
    text = f"value {sha256(encode(said)).hexdigest()}"
    if is_changeable(value):
        walk.found.pins.data(value)
    return text


def _in_project(value: str | PurePath, namespace: Namespace) -> str | None:
    """Return a path beside or below a module relative to it, as ``Path(__file__).parent`` is made.

    It means the same wherever the project lies.
    """
    text, file = str(value), namespace.get("__file__")
    if not isinstance(file, str) or not os.path.isabs(text):  # noqa: PTH117 - it is text
        return None
    top = Path(file).resolve().parent
    for _ in range(import_name(file).count(".")):
        top = top.parent
    if not Path(text).is_relative_to(top):
        return None
    return Path(os.path.relpath(text, Path(file).resolve().parent)).as_posix()


class _Constant:
    def __init__(self, namespace: Namespace, name: str, value: Any) -> None:
        self.namespace, self.name, self.value = namespace, name, value
        self.text = ""
        self.made: str | None = None
        self.is_state = False


class Constants:
    """The constants that a walk comes across.

    Whether one is state is known when all code has been seen, so the texts are settled last.
    """

    def __init__(self, walk: Walker) -> None:
        self._walk = walk
        self._known: dict[str, _Constant] = {}
        self._changed: set[Hashable] = set()
        self._made: dict[tuple[int, str], str] = {}

    def enter(self, namespace: Namespace, name: str, value: Any) -> str:
        """Enter a constant; return its label."""
        label = self._walk.found.label(f"constant {module_name(namespace)}.{name}", namespace)
        known = self._known.get(label)
        if known is not None and known.value is value:
            return label
        found = self._known[label] = _Constant(namespace, name, value)
        before = self._walk.found.opaque
        found.text = self._text(value, namespace)
        if self._walk.found.opaque > before:
            found.made = self._making(found, label)
        return label

    def made(self, namespace: Namespace, name: str, text: str) -> str:
        """Return how to refer to named code that is more than its definition.

        What a call returned may have captured what has no identity; a function or a class may have
        been given attributes. The statements that did so count.
        """
        key = id(namespace), name
        if key not in self._made:
            self._made[key] = ""  # they name what they change
            made = list(self._statements(namespace, name, _MOST_IMPORTS, is_code=True))
            self._made[key] = digest("reach", made) if made else ""
            if self._made[key]:
                label = f"making of {module_name(namespace)}.{name}"
                self._walk.found.part(label, self._made[key])
        return f"{text} made by {self._made[key]}" if self._made[key] else text

    def made_function(self, function: FunctionType) -> str | None:
        """Return the text of how a function was made that carries what has no identity.

        None if no statement of its module tells.
        """
        namespace = function.__globals__
        names = sorted(name for name, value in namespace.items() if value is function)
        found = [self.made(namespace, name, "") for name in names]
        return digest("reach", found) if any(found) else None

    def _text(self, value: Any, namespace: Namespace) -> str:
        if isinstance(value, (str, PurePath)):
            inside = _in_project(value, namespace)
            if inside is not None:
                return f"{type(value).__name__} {inside}"
        if is_plain(value):
            try:
                return value_text(self._walk, value, exact=True)
            except UnhashableValue:
                self._walk.found.opaque += 1
                return "too deep"
        return self._walk.target(value)

    def executes(self, code: CodeType, namespace: Namespace) -> None:
        """Note the constants that code changes."""
        for chain in changed_globals(code):
            self._note_change(chain, namespace)

    def _note_change(self, chain: Chain, namespace: Namespace) -> None:
        name, path = chain[0], chain[1:]
        while name in namespace:
            value = namespace[name]
            if not isinstance(value, ModuleType) or not path:
                self._changed.add((id(namespace), name))
                # The same object may go by another name elsewhere.
                if not is_plain(value) or is_changeable(value):
                    self._changed.add(id(value))
                return
            namespace, name, path = vars(value), path[0], path[1:]

    def settle(self) -> bool:
        """Turn into state what was seen to be changed; return whether there was any."""
        turned = False
        for label, constant in list(self._known.items()):
            places = {(id(constant.namespace), constant.name), id(constant.value)}
            if not constant.is_state and not places.isdisjoint(self._changed):
                constant.is_state = turned = True
                constant.text = self._state(constant)
                constant.made = constant.made or self._making(constant, label)
        return turned

    def finish(self) -> None:
        """Make every constant a part."""
        for label, constant in self._known.items():
            text = digest("reach", label, constant.text, constant.made)
            self._walk.found.part(label, text)
            file = constant.namespace.get("__file__")
            if isinstance(file, str):
                self._walk.found.place(label, file)

    # ------------------------------------------------------------ how it was made

    def _state(self, constant: _Constant) -> str:
        inside = own_code_inside([constant.value])
        # The classes of objects are reached by the code that makes them.
        held = sorted(f"{way} {self._walk.target(item)}" for way, item in inside if _is_code(item))
        return f"state {digest('reach', held)}"

    def _making(self, constant: _Constant, label: str) -> str:
        """Return the digest of the statements that made a constant."""
        made = list(self._statements(constant.namespace, constant.name, _MOST_IMPORTS))
        if not made:
            kind = type(constant.value).__qualname__
            self._walk.found.unresolved.add(f"how {label} was made ({kind})")
        return digest("reach", made)

    def _statements(
        self, namespace: Namespace, name: str, room: int, *, is_code: bool = False
    ) -> Iterator[object]:
        """Yield what the statements say that made a constant; of code, without its definition."""
        top = top_level_of(namespace)
        if top is None or room <= 0:
            return
        for node in top.bindings.get(name, ()):
            origin = _imported_from(node, name, namespace)
            if origin is not None:
                if not is_code:
                    yield spelling(node)
                inner = vars(origin[0]), origin[1]
                yield from self._statements(*inner, room - 1, is_code=is_code)
            elif not is_code or node in top.changes.get(name, ()):
                yield spelling(node), self._walk.references(namespace, chains_in([node]), None)
        if name not in top.bindings:
            for star in top.stars:
                module = sys.modules.get(
                    absolute(star.module or "", star.level, package_of(namespace))
                )
                if isinstance(module, ModuleType) and name in vars(module):
                    inner = vars(module), name
                    yield from self._statements(*inner, room - 1, is_code=is_code)
                    return


def _is_code(item: object) -> bool:
    return isinstance(item, (type, FunctionType, MethodType))


def _imported_from(
    node: ast.stmt, name: str, namespace: Namespace
) -> tuple[ModuleType, str] | None:
    """Return the loaded module, and the name there, that an import statement takes a name from."""
    if not isinstance(node, ast.ImportFrom):
        return None
    base = absolute(node.module or "", node.level, package_of(namespace))
    module = sys.modules.get(base)
    for alias in node.names:
        if (alias.asname or alias.name) == name and isinstance(module, ModuleType):
            return module, alias.name
    return None
