"""What imports inside functions lead to.

The module may not be loaded yet, and loading it to look would execute it, so here text is all
there is, whether it is loaded or not. From a name the statements that bind it are taken, from these
the names that they read, and so on, through the project's own modules.
"""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder

from consist.identity.canonical import digest
from consist.identity.reach.found import Found
from consist.identity.reach.names import Chain, Imported, chains_in, imported
from consist.identity.reach.origin import Origin, origin_of_file
from consist.identity.reach.toplevel import TopLevel, top_level
from consist.identity.reach.trees import source_of, spelling


class _Module:
    """A module that is only read."""

    def __init__(self, name: str, file: str, *, is_package: bool) -> None:
        self.name, self.file = name, file
        self.package = name if is_package else name.rpartition(".")[0]
        source = source_of(file)
        self.readable = source is not None
        self.top = TopLevel({}, {}, [], []) if source is None else top_level(source)


class LazyImports:
    """Follows imports through text.

    Parameters
    ----------
    found : Found
        Where parts and what cannot be told are added.
    """

    def __init__(self, found: Found) -> None:
        self._found = found
        self._modules: dict[str, tuple[_Module | None, Origin]] = {}
        self._entered: set[tuple[str, str]] = set()
        self._executed: set[str] = set()
        self._passed_on: set[tuple[str, Chain]] = set()
        # One by one, since chains of calls may be longer than Python's stack.
        self._queue: deque[Callable[[], None]] = deque()

    def follow(self, imports: Iterable[Imported], package: str, where: str) -> None:
        """Enter what imports lead to.

        Parameters
        ----------
        imports
            As they stand in the code.
        package
            The package that relative ones start from.
        where
            What to call the code in what cannot be told.
        """
        self._ask(imports, package, where)
        while self._queue:
            self._queue.popleft()()

    def _ask(self, imports: Iterable[Imported], package: str, where: str) -> None:
        for item in sorted(imports):
            module = absolute(item.module, item.level, package)
            self._queue.append(partial(self._enter, module, item.path, where))

    def _enter(self, module: str, path: Chain, where: str) -> None:
        """Enter what a path means in a module: a name in it, a module below it, or all of it."""
        parents = module.split(".")
        for count in range(1, len(parents)):
            self._execute(".".join(parents[:count]))
        found = self._named(module, where)
        if found is None:
            self._enter_namespace(module, path, where)
            return
        self._execute(module)
        if not path or path[0] == "*":
            self._enter_names(found, found.top.bindings)
        elif path[0] in found.top.bindings and not self._is_below(found, path[0]):
            self._enter_name(found, path)
        elif self._locate(f"{module}.{path[0]}") is not None:
            self._enter(f"{module}.{path[0]}", path[1:], where)
        elif not self._enter_star(found, path):
            self._found.unresolved.add(f"{module}.{path[0]}, imported in {where}")

    def _is_below(self, module: _Module, name: str) -> bool:
        """Whether a name stands for a module below a package, since that imports it itself."""
        return module.package == module.name and all(
            isinstance(node, ast.ImportFrom)
            and absolute(node.module or "", node.level, module.package) == module.name
            for node in module.top.bindings[name]
        )

    def _enter_namespace(self, module: str, path: Chain, where: str) -> None:
        """Enter what is in a package without code of its own."""
        if self._module(module)[1] != "own" or not path:
            return
        if self._locate(f"{module}.{path[0]}") is None:
            self._found.unresolved.add(f"{module}.{path[0]}, imported in {where}")
        else:
            self._enter(f"{module}.{path[0]}", path[1:], where)

    def _enter_names(self, module: _Module, names: Iterable[str]) -> None:
        for name in names:
            self._enter_name(module, (name,))

    def _enter_star(self, module: _Module, path: Chain) -> bool:
        for star in module.top.stars:
            name = absolute(star.module or "", star.level, module.package)
            other, _ = self._module(name)
            if other is not None and path[0] in other.top.bindings:
                self._enter_name(other, path)
                return True
        return False

    def _enter_name(self, module: _Module, path: Chain) -> None:
        """Enter the statements that bind a name, and what they refer to."""
        name = path[0]
        statements = module.top.bindings[name]
        if (module.name, path) not in self._passed_on:
            self._passed_on.add((module.name, path))
            for node in statements:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    self._pass_on(module, node, path)
        if (module.name, name) in self._entered:
            return
        self._entered.add((module.name, name))
        own = [node for node in statements if not isinstance(node, ast.Import | ast.ImportFrom)]
        if own:
            label = f"{module.name}.{name}, imported inside functions"
            self._found.part(label, digest("reach", label, [*map(spelling, own)]), module.file)
            self._follow_names(module, own)

    def _pass_on(self, module: _Module, node: ast.Import | ast.ImportFrom, path: Chain) -> None:
        name, rest = path[0], path[1:]
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) != name:
                continue
            if isinstance(node, ast.ImportFrom):
                base = absolute(node.module or "", node.level, module.package)
                taken, path = base, (alias.name, *rest)
            else:
                taken, path = (alias.name if alias.asname else name), rest
            self._queue.append(partial(self._enter, taken, path, module.name))

    def _follow_names(self, module: _Module, nodes: list[ast.stmt]) -> None:
        for chain in sorted(chains_in(nodes)):
            if chain[0] in module.top.bindings:
                self._queue.append(partial(self._enter_name, module, chain))
            else:
                self._enter_star(module, chain)
        self._ask(imported(nodes), module.package, module.name)

    def _execute(self, name: str) -> None:
        """Enter what a module, and what it imports, does when it is imported."""
        if name in self._executed:
            return
        self._executed.add(name)
        module, _ = self._module(name)
        if module is None:
            return
        effects = list(module.top.effects)
        label = f"import of {name}"
        self._found.part(label, digest("reach", label, [*map(spelling, effects)]), module.file)
        self._follow_names(module, effects)
        for node in module.top.imports:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                base = absolute(node.module or "", node.level, module.package)
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            for imported_name in names:
                parts = imported_name.split(".")
                for count in range(1, len(parts) + 1):
                    self._queue.append(partial(self._execute, ".".join(parts[:count])))

    # ------------------------------------------------------------ modules

    def _named(self, name: str, where: str) -> _Module | None:
        """Return a module of the project's own that code names; of others, note the distribution.

        What is not installed is noted as well: code may do without it, but not do the same.
        """
        module, whose = self._module(name)
        if whose == "package":
            self._found.package(name)
        elif whose == "none":
            self._found.unresolved.add(f"import of {name} in {where}")
        elif module is not None and not module.readable:
            self._found.unresolved.add(f"the code of {module.file}")
        return module

    def _module(self, name: str) -> tuple[_Module | None, Origin]:
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> tuple[_Module | None, Origin]:
        spec = self._locate(name)
        if spec is None:
            return None, "standard" if name.partition(".")[0] in sys.stdlib_module_names else "none"
        locations = spec.submodule_search_locations
        if not spec.has_location or spec.origin is None:
            return None, "standard" if locations is None else "own"  # a namespace has no code
        whose = origin_of_file(spec.origin)
        if whose != "own":
            return None, whose
        self._found.pins.file(spec.origin)
        return _Module(name, spec.origin, is_package=locations is not None), whose

    def _locate(self, name: str) -> ModuleSpec | None:
        """Find a module without executing anything, not even the package that it is in."""
        path = None
        found: ModuleSpec | None = None
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            found = _find(".".join(parts[:count]), path)
            if found is None:
                return None
            path = found.submodule_search_locations
            if path is None and count < len(parts):
                return None
        return found


def _find(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path or (PathFinder,):
        find = getattr(finder, "find_spec", None)
        found = None if find is None else find(name, path)
        if found is not None:
            return found
    return None


def absolute(module: str, level: int, package: str) -> str:
    """Return the absolute name of what is imported with so many dots in a package."""
    if not level:
        return module
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{module}" if module and base else module or base
