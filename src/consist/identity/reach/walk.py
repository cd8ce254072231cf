"""From a callable to all of the project's own code that it reaches.

The walk goes through what is loaded, not through text: a name is what it stands for now, whatever
import, decorator, registry or patch has put there. Text only tells what loaded objects do not
keep: the trees of functions and classes, how a constant was made, and what a module does besides
when it is imported.

Everything that is found becomes a *part*: a label that people can read, and a digest. What refers
to something else does so by that one's label, so that two of them cannot change places unseen.
"""

from __future__ import annotations

import importlib
import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

from consist.errors import UnhashableValue
from consist.identity.canonical import digest
from consist.identity.reach.constants import Constants, value_text
from consist.identity.reach.found import Found, Namespace
from consist.identity.reach.functions import enter_block, enter_code, texts_of, with_carried
from consist.identity.reach.inside import is_own
from consist.identity.reach.lazy import LazyImports
from consist.identity.reach.modules import enter_import, module_name, package_of
from consist.identity.reach.names import DYNAMIC, Chain, imported, is_builtin
from consist.identity.reach.origin import is_ours, origin_of_module
from consist.identity.reach.plain import is_plain
from consist.identity.reach.values import CACHED, carried, opaque, text_of

_CODE = (type, FunctionType, ModuleType, MethodType, BuiltinFunctionType)
_LOADERS = (importlib.import_module, importlib.reload)
_MOST_LEVELS = 64
# A script has others than the module it is, and so has a project elsewhere.
_PLACES = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}
)


class Walk:
    """One walk, from one callable or block."""

    def __init__(self) -> None:
        self.found = Found()
        self._constants = Constants(self)
        self._lazy = LazyImports(self.found)
        # By id, with how many opaque values are in it; holding the object keeps its id.
        self._texts: dict[int, tuple[object, str, int]] = {}
        self._levels = 0
        self._queue: deque[Callable[[], None]] = deque()
        self._queued: set[Hashable] = set()

    # ------------------------------------------------------------ where it begins

    def code(self, function: FunctionType) -> str:
        """Begin with a function, without what it carries."""
        if not is_own(function):
            return self.target(function)
        return enter_code(self, function.__code__, function.__globals__)

    def block(self, frame: FrameType) -> str:
        """Begin with the block that a frame stands in."""
        return enter_block(self, frame)

    def values(self, values: Mapping[str, object], name: str, function: FunctionType) -> str:
        """Begin with what a function carries."""
        before = self.found.opaque
        texts = texts_of(self, values)
        if self.found.opaque > before:
            making = self._constants.made_function(function)
            texts = texts_of(self, values, name) if making is None else {**texts, "making": making}
        return with_carried(self, name, texts)

    def callable(self, fn: Callable[..., Any]) -> str:
        """Begin with any other callable; of an object, what calling it uses."""
        known = (MethodType, partial, type, BuiltinFunctionType, CACHED)
        if type(fn) in {MethodType, partial}:
            carried(self, fn, "the step")  # to note what of it has no identity
        if isinstance(fn, known) or not is_own(fn):
            return self.target(fn)
        return with_carried(self, self.target(type(fn)), carried(self, fn, "the step"))

    def finish(self, text: str) -> str:
        """Walk all the way from where it began; return the text of that place."""
        while self._queue or self._constants.settle():
            while self._queue:
                self._queue.popleft()()
        self._constants.finish()
        return text

    # ------------------------------------------------------------ what the steps ask

    def later(self, key: Hashable, visit: Callable[[], None]) -> None:
        """Visit something once, when what is in hand is finished."""
        if key not in self._queued:
            self._queued.add(key)
            self._queue.append(visit)

    def executes(self, code: Any, namespace: Namespace) -> None:
        """Note that code is among what is executed, and its module among what is imported."""
        self._constants.executes(code, namespace)
        enter_import(self, namespace)

    def follow_imports(self, nodes: list[Any], namespace: Namespace, where: str) -> None:
        """Enter what imports inside functions lead to."""
        self._lazy.follow(imported(nodes), package_of(namespace), where)

    def references(
        self, namespace: Namespace, chains: Iterable[Chain], where: str | None
    ) -> dict[str, str]:
        """Return chain → target of what code refers to; see :class:`.found.Walker`."""
        found: dict[str, str] = {}
        for chain in sorted(chains):
            text = self._resolve(namespace, chain, where)
            if text is not None:
                found[".".join(chain)] = text
        return found

    # ------------------------------------------------------------ names

    def _resolve(self, namespace: Namespace, chain: Chain, where: str | None) -> str | None:
        name, path = chain[0], chain[1:]
        if name not in namespace:
            return self._resolve_builtin(name, where)
        self.found.pins.name(namespace, name)
        value = namespace[name]
        package: str | None = None
        while isinstance(value, ModuleType) and path:
            if origin_of_module(value) == "package":
                package = self.found.package(value.__name__)
            members, attribute = vars(value), path[0]
            if attribute not in members:
                return package or self._missing(value, attribute, where)
            self.found.pins.name(members, attribute)
            namespace, name, value, path = members, attribute, members[attribute], path[1:]
        if where is not None and any(value is item for item in _LOADERS):
            self.found.unresolved.add(f"{'.'.join(chain)}() in {where}")
        if "__subclasses__" in path and isinstance(value, type):
            self._enter_subclasses(value)
        if package is not None and not (isinstance(value, (FunctionType, type)) and is_own(value)):
            return package
        return self._named(namespace, name, value)

    def _enter_subclasses(self, cls: type) -> None:
        """Enter the own classes that are derived from one, since the code asks for them."""
        self.found.pins.subclasses(cls)
        pending = list(cls.__subclasses__())
        names: list[str] = []
        while pending:
            found = pending.pop()
            pending.extend(found.__subclasses__())
            if is_own(found):
                names.append(self.target(found))
        label = f"subclasses of {cls.__module__}.{cls.__qualname__}"
        self.found.part(label, digest("reach", sorted(names)))

    def _resolve_builtin(self, name: str, where: str | None) -> str | None:
        if where is None:
            return None
        if not is_builtin(name):
            self.found.unresolved.add(f"{name} in {where}")
        elif name in DYNAMIC:
            self.found.unresolved.add(f"{name}() in {where}")
        return None

    def _missing(self, module: ModuleType, attribute: str, where: str | None) -> str | None:
        """Resolve what a module does not hold: a module below it, or something made on demand."""
        below = sys.modules.get(f"{module.__name__}.{attribute}")
        if below is not None:
            return self.target(below)
        if origin_of_module(module) == "own" and where is not None:
            self.found.unresolved.add(f"{module.__name__}.{attribute} in {where}")
        on_demand = vars(module).get("__getattr__")
        return None if on_demand is None or not is_own(on_demand) else self.target(on_demand)

    def _named(self, namespace: Namespace, name: str, value: object) -> str:
        """Return the target of a global name: of code itself, or of a constant."""
        if is_ours(value):
            return "consist"
        if isinstance(value, _CODE):
            return self._constants.made(namespace, name, self.target(value))
        if name in _PLACES:
            return f"{name} of {module_name(namespace)}"
        module = namespace.get("__name__")
        holder = sys.modules.get(module) if isinstance(module, str) else None
        if holder is not None and vars(holder) is namespace:
            match origin_of_module(holder):
                case "package":
                    return self.found.package(holder.__name__)
                case "standard":
                    return f"standard {module}.{name}"
                case _:
                    pass
        return self._constants.enter(namespace, name, value)

    # ------------------------------------------------------------ values

    def target(self, value: object) -> str:
        """Return the text under which something counts where it is referred to, and enter it."""
        if is_plain(value):
            try:
                return value_text(self, value)
            except UnhashableValue:
                return opaque(self, value)
        kept = self._texts.get(id(value))
        if kept is not None:
            self.found.opaque += kept[2]
            return kept[1]
        if self._levels >= _MOST_LEVELS:
            self.found.opaque += 1
            return "too deep"
        before = self.found.opaque
        self._texts[id(value)] = value, "itself", 0
        self._levels += 1
        text = text_of(self, value)
        self._levels -= 1
        self._texts[id(value)] = value, text, self.found.opaque - before
        return text
