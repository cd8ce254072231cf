"""The definitions of a module, read from its source without executing it."""

from __future__ import annotations

import ast
import functools
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from consist.identity.mutation import CHANGING_METHODS
from consist.identity.names import Import, imported, root_and_attributes

_INSTALLED = ("site-packages", "dist-packages")
_OURS = __name__.partition(".")[0]

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Origin(NamedTuple):
    """Where a module comes from.

    Attributes
    ----------
    kind : str
        ``own`` code, an ``installed`` distribution, the ``standard`` library, or ``unknown``.
    path : Path or None
        Its file, for own code; ``None`` for a package without ``__init__.py``.
    """

    kind: str
    path: Path | None = None


def origin_of(module: str) -> Origin:
    """Find out where a module comes from, by its name alone."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return Origin("standard")
    if top == _OURS:
        return Origin("installed")
    spec = _spec_of(module)
    if spec is None:
        return Origin("unknown")
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    if any(part in Path(place or "").parts for place in places for part in _INSTALLED):
        return Origin("installed")
    return Origin("own", Path(str(spec.origin)) if spec.has_location else None)


def _spec_of(module: str) -> ModuleSpec | None:
    """Return the spec of a module; its parents are searched for and not imported."""
    loaded = getattr(sys.modules.get(module), "__spec__", None)
    if isinstance(loaded, ModuleSpec):
        return loaded
    parent, _, _ = module.rpartition(".")
    if not parent:
        return PathFinder.find_spec(module)
    above = _spec_of(parent)
    places = None if above is None else above.submodule_search_locations
    return PathFinder.find_spec(module, list(places)) if places is not None else None


class Module:
    """The top level of one module.

    Attributes
    ----------
    name, package : str
        Full name, and the package that relative imports start from.
    path : Path
        Its file.
    tree : ast.Module or None
        Its syntax tree; ``None`` for a compiled extension.
    definitions : dict of str to list
        Top-level statements that make or fill each name, in their order.
    imports : dict of str to Import
        What top-level import statements bind.
    stars : list of str
        Modules whose names are all imported.
    effects : list
        Top-level calls that make no name.
    rebound : set of str
        Names whose values functions of the module replace or change; they are state.
    """

    def __init__(self, name: str, path: Path, *, is_package: bool, is_main: bool = False) -> None:
        self.name, self.path = name, path
        self.package = name if is_package else name.rpartition(".")[0]
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, Import] = {}
        self.stars: list[str] = []
        self.effects: list[ast.stmt] = []
        self.tree = _parsed(path)
        self.rebound: set[str] = set()
        if self.tree is not None:
            for statement in self.tree.body:
                self._take_in(statement, statement)
            self.rebound = _rebound(self.tree, set(self.definitions))
        if is_main:
            self.effects = []  # what a script does is not what its functions do

    def _take_in(self, node: ast.stmt, whole: ast.stmt) -> None:
        """Index one statement; ``whole`` is the outermost one around it."""
        match node:
            case ast.Import() | ast.ImportFrom():
                for bound, what in imported(node, self.package):
                    if bound == "*":
                        self.stars.append(what.module)
                    else:
                        self.imports[bound] = what
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self._define(name, whole)
            case ast.ClassDef(name=name):
                self._define(name, whole)
            case ast.Assign(targets=targets):
                self._assign(targets, whole)
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                self._assign([target], whole)
            case ast.Expr(value=ast.Call() as call):
                self._call(call, whole)
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                self._take_in_all(node, whole)
            case _:
                pass

    def _take_in_all(self, node: ast.stmt, whole: ast.stmt) -> None:
        if isinstance(node, ast.If) and _asks_for_main(node.test):
            return
        if isinstance(node, ast.For):
            self._assign([node.target], whole)
        if isinstance(node, ast.With):
            self._assign([item.optional_vars for item in node.items if item.optional_vars], whole)
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                self._take_in(inner, whole)
            elif isinstance(inner, ast.ExceptHandler):
                for statement in inner.body:
                    self._take_in(statement, whole)

    def _define(self, name: str, statement: ast.stmt) -> None:
        known = self.definitions.setdefault(name, [])
        if not any(statement is other for other in known):
            known.append(statement)

    def _assign(self, targets: Iterable[ast.expr], statement: ast.stmt) -> None:
        for target in targets:
            for part in _parts(target):
                found = root_and_attributes(part)
                if found is not None:
                    self._define(found[0], statement)

    def _call(self, call: ast.Call, statement: ast.stmt) -> None:
        found = root_and_attributes(call.func)
        if found is not None and found[1] and found[0] not in self.imports:
            self._define(found[0], statement)  # such as `TABLE.update(...)`
        else:
            self.effects.append(statement)

    def function_at(self, line: int, name: str, column: int | None = None) -> Function | None:
        """Return the function or lambda whose code begins on a line."""
        if self.tree is None:
            return None
        found: list[Function] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Lambda):
                if name == "<lambda>" and node.lineno <= line <= (node.end_lineno or node.lineno):
                    found.append(node)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if node.name == name and line in {first, node.lineno}:
                    found.append(node)
        if column is not None:
            found = [node for node in found if _covers(node, line, column)]
        return found[-1] if found else None


def _covers(node: Function, line: int, column: int) -> bool:
    body = node.body if isinstance(node.body, ast.expr) else node
    start, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    return start <= (line, column) <= end


def _parts(target: ast.expr) -> Iterator[ast.expr]:
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _parts(part)
        case ast.Starred(value=value) | ast.Subscript(value=value):
            yield from _parts(value)
        case _:
            yield target


def _asks_for_main(test: ast.expr) -> bool:
    return any(isinstance(n, ast.Constant) and n.value == "__main__" for n in ast.walk(test))


def _parsed(path: Path) -> ast.Module | None:
    if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
        return None
    data = path.read_bytes()
    with io.BytesIO(data) as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
    return ast.parse(data.decode(encoding), str(path))


def _rebound(tree: ast.Module, names: set[str]) -> set[str]:
    """Return the names whose values are replaced or changed inside of functions."""
    found: set[str] = set()
    functions = (
        n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    for function in functions:
        for node in ast.walk(function):
            match node:
                case ast.Global(names=declared):
                    found.update(declared)
                case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                    found.update(_root(value))
                case ast.Call(func=ast.Attribute(value=value, attr=method)):
                    if method in CHANGING_METHODS:
                        found.update(_root(value))
                case _:
                    pass
    return found & names


def _root(node: ast.expr) -> Iterator[str]:
    found = root_and_attributes(node)
    if found is not None:
        yield found[0]


# ---------------------------------------------------------------- text


def normalized(nodes: Iterable[ast.AST]) -> str:
    """Return source as it is when comments, docstrings and layout are left out."""
    return "\n".join(ast.unparse(_without_docstrings(node)) for node in nodes)


class _DocstringRemover(ast.NodeTransformer):
    def _cut(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body: list[ast.stmt] = getattr(node, "body", [])
        match body:
            case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                node.body = rest or [ast.Pass()]  # type: ignore[attr-defined]
            case _:
                pass
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Module = _cut  # noqa: N815


def _without_docstrings(node: ast.AST) -> ast.AST:
    import copy

    return _DocstringRemover().visit(copy.deepcopy(node))


@functools.lru_cache(maxsize=1)
def _top_level_distributions() -> dict[str, list[str]]:
    from importlib.metadata import packages_distributions

    return dict(packages_distributions())


@functools.lru_cache(maxsize=256)
def version_of(module: str) -> str:
    """Return the version of the distribution that a top-level module comes from.

    The standard library has that of Python. ``?`` stands for one that nobody knows.
    """
    from importlib.metadata import PackageNotFoundError, version

    if module in sys.stdlib_module_names:
        return ".".join(map(str, sys.version_info[:2]))
    try:
        return version(module)
    except PackageNotFoundError:
        names = _top_level_distributions().get(module, [])
        return ", ".join(version(name) for name in names) or "?"
