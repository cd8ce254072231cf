"""All of the project's own code that a callable reaches, and the packages that it names.

The way starts at the callable, and at the functions and classes that it carries. From there it
follows names: to functions, classes with their bases, constants, and through imports into other
modules of the project. Each definition counts as its syntax tree, without comments, docstrings and
layout, together with what its names stand for. A constant that holds plain data counts by its
value, as it is when it is asked for; one that functions change is state and counts by its text.
Of other people's packages counts the version.

The look is static as far as text goes: no module is imported for it, and one that is imported
inside a function counts by its text alone. What cannot be resolved is listed. Code that was
defined in no file, such as a notebook cell, is followed through the names it has at the moment.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple, cast

from consist.errors import a_kind
from consist.identity.canonical import digest
from consist.identity.definitions import (
    Module,
    Origin,
    normalized,
    origin_of,
    version_of,
)
from consist.identity.files import file_digest
from consist.identity.live import Live, callables_in
from consist.identity.names import Import, Uses, uses_of
from consist.identity.sources import (
    Place,
    bytecode_digest,
    code_of,
    module_name,
    qualified_name,
    unwrapped,
)

_WHOLE = "*"
_EFFECTS = "<import>"
_MOST_HOPS = 50
_IDLE = frozenset({"_contextvars", "_thread", "functools", "logging", "re", "threading", "typing"})
_OURS = __name__.partition(".")[0]


class Reach(NamedTuple):
    """What a callable reaches.

    Attributes
    ----------
    parts : mapping of str to str
        Module and name of every definition, with the digest of what it says.
    packages : mapping of str to str
        Other people's packages, with their versions.
    unresolved : tuple of str
        What could not be followed.
    live : tuple of Live
        Constants that count by their values.
    text : str
        Digest of parts and packages, which stay the same while the code is loaded.
    """

    parts: Mapping[str, str]
    packages: Mapping[str, str]
    unresolved: tuple[str, ...]
    live: tuple[Live, ...]
    text: str

    def values(self) -> dict[str, str | None]:
        """Return the constants as they are now."""
        return {constant.label: constant.spelled() for constant in self.live}

    def is_complete(
        self, values: Mapping[str, str | None], before: Mapping[str, str | None]
    ) -> bool:
        """Whether nothing more is reached than when the constants were ``before``."""
        return all(
            values[constant.label] is not None
            and not (constant.holds_callables and values[constant.label] != before[constant.label])
            for constant in self.live
        )

    def digest(self, values: Mapping[str, str | None]) -> str:
        """Return the digest of everything that is reached."""
        return digest("reach", self.text, [(name, value or "?") for name, value in values.items()])


def reach_of(place: Place, carried: Iterable[Any] = ()) -> Reach:
    """Return what a callable, or the block that a frame stands in, reaches.

    Parameters
    ----------
    place
        The callable, or a frame.
    carried
        Functions and classes that it carries.
    """
    walk = _Walk()
    if isinstance(place, FrameType):
        walk.enter_frame(place)
    else:
        for root in (place, *carried):
            walk.enter(root)
    walk.run()
    packages = {name: version_of(name) for name in sorted(walk.packages)}
    return Reach(
        MappingProxyType(walk.parts),
        MappingProxyType(packages),
        tuple(sorted(walk.unresolved)),
        tuple(walk.live[label] for label in sorted(walk.live)),
        digest("reach", sorted(walk.parts.items()), sorted(packages.items())),
    )


class _Walk:
    """One walk from the roots through everything they reach."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.packages: set[str] = set()
        self.unresolved: set[str] = set()
        self.live: dict[str, Live] = {}
        self._modules: dict[str, Module | None] = {}
        # What is imported where its importer is comes first, so that it is known as loaded however
        # else it is reached.
        self._eager: deque[tuple[Module, str]] = deque()
        self._lazy: deque[tuple[Module, str]] = deque()
        self._needed: set[tuple[str, str]] = set()
        self._entered: dict[int, object] = {}

    def run(self) -> None:
        while self._eager or self._lazy:
            loaded = bool(self._eager)
            module, name = self._eager.popleft() if loaded else self._lazy.popleft()
            if (module.name, name) not in self._needed:
                self._needed.add((module.name, name))
                self._define(module, name, loaded=loaded)

    # ------------------------------------------------------------ roots

    def enter(self, root: Any) -> None:
        """Take in a function, a class, or an object of one, that is there at the moment."""
        target: Any = unwrapped(root) if callable(root) else type(cast("object", root))
        if id(target) in self._entered:
            return
        self._entered[id(target)] = target
        if isinstance(target, type):
            self._enter_class(target)
        elif isinstance(target, FunctionType):
            self._enter_function(target)
        else:  # written in C
            self._import(Import(module_name(getattr(target, "__module__", None)).partition(".")[0]))

    def enter_frame(self, frame: FrameType) -> None:
        """Take in the function, or the module, that a block stands in."""
        code, name = frame.f_code, module_name(frame.f_globals.get("__name__"))
        module = self._module_at(name, code.co_filename)
        if module is None:
            self._enter_text(qualified_name(frame), _lines(frame), frame.f_globals, ())
        elif code.co_name == "<module>":
            self._need(module, _WHOLE, loaded=True)
        else:
            self._enter_nested(module, frame, code.co_freevars)

    def _enter_class(self, cls: type) -> None:
        name = module_name(cls.__module__)
        if cls.__module__ == "builtins" or self._is_foreign(name):
            return
        module = self._module_at(name, getattr(sys.modules.get(cls.__module__), "__file__", None))
        top = cls.__qualname__.partition(".")[0]
        if module is not None and top in module.definitions:
            self._need(module, top, loaded=True)
            return
        for base in cls.__bases__:
            self.enter(base)
        for value in vars(cls).values():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                self.enter(function)

    def _enter_function(self, function: FunctionType) -> None:
        name = module_name(function.__module__)
        if self._is_foreign(name):
            return
        module = self._module_at(name, function.__code__.co_filename)
        top = function.__qualname__.partition(".")[0]
        if module is not None:
            nested = "<locals>" in function.__qualname__ or top not in module.definitions
            if not nested:
                self._need(module, top, loaded=True)
            if nested or len(module.definitions[top]) > 1:  # which of several of one name
                self._enter_nested(module, function, function.__code__.co_freevars)
            return
        text = _lines(function)
        self._enter_text(qualified_name(function), text, function.__globals__, _free(function))

    def _is_foreign(self, module: str) -> bool:
        """Note a package of somebody else; return whether it is one."""
        if origin_of(module).kind in {"standard", "installed"}:
            self.packages.add(module.partition(".")[0])
            return True
        return False

    def _enter_nested(self, module: Module, place: Place, free: Iterable[str]) -> None:
        """Take in a function that is no top-level name of its module."""
        code = code_of(place)
        node = None if code is None else module.function_at(*_position(code))
        label = f"{qualified_name(place)}()"
        if node is None:
            self.unresolved.add(f"{label} is not in {module.path.name} as it was loaded")
            self.parts[label] = "?" if code is None else bytecode_digest(code)
            return
        uses = uses_of([node], module.package)
        refs = self._follow(module, uses, loaded=True, ignored=free)
        self.parts[label] = digest("definition", normalized([node]), refs)

    def _enter_text(
        self, label: str, text: str | None, namespace: dict[str, Any], free: Iterable[str]
    ) -> None:
        """Take in code that lies in no file, through the names it has at the moment."""
        tree = None
        with suppress(SyntaxError):
            tree = None if text is None else ast.parse(textwrap.dedent(text))
        if tree is None:
            self.unresolved.add(f"{label} has no source")
            return
        uses = uses_of([tree], str(namespace.get("__package__") or ""))
        refs = [self._live_name(label, namespace, name, attributes)
                for name, attributes in sorted(uses.names)
                if name not in free and name not in uses.imports]  # fmt: skip
        refs += [self._import(what, loaded=False) for _, what in sorted(uses.imports.items())]
        self.parts[label] = digest("definition", normalized([tree]), refs)

    def _live_name(
        self, label: str, namespace: Mapping[str, Any], name: str, attributes: tuple[str, ...]
    ) -> str:
        """Follow a name of code that lies in no file."""
        if name not in namespace:
            if not hasattr(builtins, name):
                self.unresolved.add(f"{label}: {name}")
            return name
        value = namespace[name]
        if isinstance(value, ModuleType):
            return self._import(Import(value.__name__), attributes)
        if callable(value):
            self.enter(value)
            return qualified_name(value)
        self._constant(Live(f"{label}: {name}", namespace, name), value)
        return name

    # ------------------------------------------------------------ definitions

    def _need(self, module: Module, name: str, *, loaded: bool) -> None:
        if (module.name, name) not in self._needed:
            (self._eager if loaded else self._lazy).append((module, name))
            if module.effects:
                self._needed.add((module.name, _EFFECTS))
                self._say(module, _EFFECTS, module.effects, loaded=loaded)

    def _define(self, module: Module, name: str, *, loaded: bool) -> None:
        label = f"{module.name}.{name}"
        if module.tree is None:
            self.parts[module.name] = file_digest(module.path)
            return
        nodes: list[ast.stmt] = module.tree.body if name == _WHOLE else module.definitions[name]
        namespace = _namespace(module) if loaded else None
        if namespace is not None and name in namespace:
            value = namespace[name]
            if _is_constant(nodes):
                counts = name not in module.rebound
                if counts and self._constant(Live(label, namespace, name), value):
                    return
            elif isinstance(value, FunctionType) and _was_replaced(value, module):
                self.unresolved.add(f"{label} was replaced")
                self.enter(value)
        self._say(module, name, nodes, loaded=loaded)

    def _constant(self, live: Live, value: Any) -> bool:
        """Take in a constant by its value; return whether it is plain data, or ours."""
        if type(value).__module__.partition(".")[0] == _OURS:
            return True  # such as a tracker, which is no part of what a step computes
        if live.spelled() is None:
            if origin_of(type(value).__module__).kind != "own" and not _is_idle(value):
                self.unresolved.add(f"{live.label} is {a_kind(value)}")
            return False
        held = list(callables_in(value))
        self.live[live.label] = live._replace(holds_callables=bool(held))
        for found in held:
            self.enter(found)
        return True

    def _say(self, module: Module, name: str, nodes: list[ast.stmt], *, loaded: bool) -> None:
        """Let definitions count by their text and by what its names stand for."""
        uses = uses_of(nodes, module.package)
        refs = self._follow(module, uses, loaded=loaded)
        self.parts[f"{module.name}.{name}"] = digest("definition", normalized(nodes), refs)

    # ------------------------------------------------------------ names

    def _follow(
        self, module: Module, uses: Uses, *, loaded: bool, ignored: Iterable[str] = ()
    ) -> list[str]:
        """Follow every name of a definition; return what they stand for."""
        self.unresolved.update(f"{module.name}: {call}" for call in uses.dynamic)
        refs = [self._import(Import(name), loaded=False) for name in sorted(uses.modules)]
        absent = (i.module for i in uses.imports.values() if origin_of(i.module).kind == "unknown")
        self.unresolved.update(absent)
        known = {*ignored, *uses.attributes}
        for name, attributes in sorted(uses.names):
            if name in uses.imports:
                refs.append(self._import(uses.imports[name], attributes, loaded=False))
            else:
                refs.append(self._name(module, name, attributes, loaded=loaded, known=known))
        return refs

    def _name(
        self,
        module: Module,
        name: str,
        attributes: tuple[str, ...],
        *,
        loaded: bool,
        known: Iterable[str],
    ) -> str:
        refs: list[str] = []
        if name in module.definitions:
            self._need(module, name, loaded=loaded)
            refs.append(f"{module.name}.{name}")
        if name in module.imports:
            refs.append(self._import(module.imports[name], attributes, loaded=loaded))
        if not refs and not hasattr(builtins, name):
            star = next((s for s in module.stars if self._has(s, name)), None)
            if star is not None:
                refs.append(self._import(Import(star, name), attributes, loaded=loaded))
            elif name not in known and not name.startswith("__"):
                self.unresolved.add(f"{module.name}: {name}")
        return " or ".join(refs) or name

    def _import(
        self,
        what: Import,
        attributes: tuple[str, ...] = (),
        *,
        loaded: bool = True,
        hops: int = _MOST_HOPS,
    ) -> str:
        """Follow a name into another module; return what it stands for."""
        current, names = what.module, ([what.name] if what.name else []) + list(attributes)
        full = ".".join([current, *names])
        origin = origin_of(current)
        if origin.kind in {"standard", "installed"}:
            self.packages.add(current.partition(".")[0])
            return full
        if origin.kind == "unknown" or not hops:
            self.unresolved.add(full)
            return full
        while names:
            module, head = self._module(current), names[0]
            if module is not None and head in module.definitions:
                self._need(module, head, loaded=loaded)
                return f"{current}.{head}"
            if module is not None and head in module.imports:
                rest = tuple(names[1:])
                return self._import(module.imports[head], rest, loaded=loaded, hops=hops - 1)
            if origin_of(f"{current}.{head}").kind == "own":
                current = f"{current}.{head}"
                names.pop(0)
                continue
            star = next((s for s in (module.stars if module else ()) if self._has(s, head)), None)
            if star is not None:
                rest = tuple(names[1:])
                return self._import(Import(star, head), rest, loaded=loaded, hops=hops - 1)
            if not head.startswith("__"):
                self.unresolved.add(f"{current}.{head}")
            break
        return self._whole(current, loaded=loaded)

    def _whole(self, name: str, *, loaded: bool) -> str:
        """Take in all of a module that is used as a value, or in a way that does not say what."""
        module = self._module(name)
        if module is not None:
            self._need(module, _WHOLE, loaded=loaded)
        return name

    def _has(self, module: str, name: str) -> bool:
        origin = origin_of(module)
        if origin.kind != "own":
            return name in getattr(sys.modules.get(module), "__dict__", {})
        found = self._module(module)
        return found is not None and (name in found.definitions or name in found.imports)

    # ------------------------------------------------------------ modules

    def _module(self, name: str) -> Module | None:
        """Return a module of the project by its name; ``None`` if it has no file."""
        if name not in self._modules:
            origin = _main_origin() if name == module_name("__main__") else origin_of(name)
            self._modules[name] = self._read(name, origin.path)
        return self._modules[name]

    def _module_at(self, name: str, file: str | None) -> Module | None:
        """Return the module that loaded code lies in."""
        if name not in self._modules and file is not None and Path(file).is_file():
            self._modules[name] = self._read(name, Path(file))
        return self._modules.get(name)

    def _read(self, name: str, path: Path | None) -> Module | None:
        if path is None or not path.is_file():
            return None
        is_main = name == module_name("__main__")
        try:
            return Module(name, path, is_package=path.stem == "__init__", is_main=is_main)
        except (OSError, SyntaxError, ValueError, LookupError) as error:
            self.unresolved.add(f"{name} cannot be read: {error}")
            return None


# ---------------------------------------------------------------- loaded code


def _main_origin() -> Origin:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Origin("own", Path(file)) if file else Origin("unknown")


def _namespace(module: Module) -> Mapping[str, Any] | None:
    """Return the names of a module as it is loaded, if it is."""
    for name in (module.name, "__main__", "__mp_main__"):
        loaded = sys.modules.get(name)
        if loaded is not None and module_name(name) == module.name:
            return vars(loaded)
    return None


def _is_idle(value: object) -> bool:
    """Whether a value does its work without holding any data that a result may depend on."""
    return type(value).__module__ in _IDLE


def _is_constant(nodes: Iterable[ast.stmt]) -> bool:
    return not any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                   for node in nodes for n in ast.walk(node))  # fmt: skip


def _was_replaced(value: FunctionType, module: Module) -> bool:
    found = inspect.unwrap(value)
    code = getattr(found, "__code__", None)
    if code is None or hasattr(value, "__wrapped__"):
        return False
    return module.function_at(code.co_firstlineno, code.co_name) is None


def _position(code: Any) -> tuple[int, str, int | None]:
    if code.co_name != "<lambda>":
        return code.co_firstlineno, code.co_name, None
    for line, _, column, _ in code.co_positions():
        if line is not None and column is not None and column > 0:
            return line, code.co_name, column
    return code.co_firstlineno, code.co_name, None


def _free(function: FunctionType) -> tuple[str, ...]:
    return function.__code__.co_freevars


def _lines(place: Any) -> str | None:
    try:
        return inspect.getsource(place)
    except (OSError, TypeError, SyntaxError):
        return None
