"""What modules are called, and what happens when they are imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from types import ModuleType

from consist.identity.canonical import digest
from consist.identity.reach.found import Namespace, Walker
from consist.identity.reach.lazy import absolute
from consist.identity.reach.names import chains_in
from consist.identity.reach.origin import (
    import_name,
    is_ours,
    origin_of_file,
)
from consist.identity.reach.toplevel import TopLevel, top_level
from consist.identity.reach.trees import Source, source_of, spelling


def module_name(namespace: Namespace, filename: str | None = None) -> str:
    """Return the name of a module, the same for a script, ``python -m`` and an import."""
    file = namespace.get("__file__") or filename
    if isinstance(file, str) and origin_of_file(file) != "none":
        return import_name(file)
    return str(namespace.get("__name__") or "?")


def package_of(namespace: Namespace) -> str:
    """Return the package that relative imports in a module start from."""
    package = namespace.get("__package__")
    return package if isinstance(package, str) else ""


def is_own_file(namespace: Namespace) -> bool:
    """Whether a module was loaded from a file of the project's own."""
    file = namespace.get("__file__")
    return isinstance(file, str) and origin_of_file(file) == "own"


def source_of_module(namespace: Namespace) -> Source | None:
    """Return the source of an own module; a notebook has none as a whole."""
    return source_of(namespace["__file__"], dict(namespace)) if is_own_file(namespace) else None


def top_level_of(namespace: Namespace) -> TopLevel | None:
    """Return the top level of an own module that lies in a file."""
    source = source_of_module(namespace)
    return None if source is None else top_level(source)


def enter_whole_module(walk: Walker, module: ModuleType) -> str:
    """Enter everything in an own module, since it is used as a value."""
    namespace = vars(module)
    label = f"module {module_name(namespace)}"
    walk.later(("whole", id(namespace)), lambda: _enter_whole(walk, namespace, label))
    return label


def _enter_whole(walk: Walker, namespace: Namespace, label: str) -> None:
    file, source = namespace.get("__file__"), source_of_module(namespace)
    if source is None:
        walk.found.unresolved.add(f"the code of {label}")
        return
    names = [(name,) for name in top_level(source).bindings if name in namespace]
    references = walk.references(namespace, names, None)
    walk.found.part(label, digest("reach", label, spelling(source.tree), references), file)


def enter_import(walk: Walker, namespace: Namespace) -> None:
    """Enter what an own module, and the own modules that it imports, do when they are imported."""
    walk.later(("import", id(namespace)), lambda: _enter_import(walk, namespace))


def _enter_import(walk: Walker, namespace: Namespace) -> None:
    top = top_level_of(namespace)
    label = f"import of {module_name(namespace)}"
    if top is None:
        if is_own_file(namespace):  # a cell has no file; what has one and cannot be read is noted
            walk.found.unresolved.add(f"{label}, whose source cannot be read")
        return
    effects = [node for node in top.effects if not _is_tracking(node, namespace)]
    if effects:
        references = walk.references(namespace, chains_in(effects), None)
        walk.follow_imports(list(effects), namespace, label)
        trees = [spelling(node) for node in effects]
        walk.found.part(label, digest("reach", label, trees, references), namespace["__file__"])
    for module in _imported_modules(top, namespace):
        enter_import(walk, vars(module))


def _is_tracking(node: ast.stmt, namespace: Namespace) -> bool:
    """Whether a statement has to do with this library, and so not with what a step does."""
    roots = {chain[0] for chain in chains_in([node])}
    return any(is_ours(namespace[name]) for name in roots if name in namespace)


def _imported_modules(top: TopLevel, namespace: Namespace) -> Iterator[ModuleType]:
    names = [str(namespace.get("__name__") or "")]
    for node in top.imports:
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        else:
            base = absolute(node.module or "", node.level, package_of(namespace))
            names.extend((base, *(f"{base}.{alias.name}" for alias in node.names)))
    for name in names:
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:count]))
            if isinstance(module, ModuleType) and is_own_file(vars(module)):
                yield module
