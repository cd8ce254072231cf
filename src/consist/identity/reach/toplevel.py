"""What the top level of a module does when it is imported, told by its text alone."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from consist.identity.reach.names import chains_in
from consist.identity.reach.trees import Source

Import = ast.Import | ast.ImportFrom
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class TopLevel(NamedTuple):
    """The top level of a module.

    Attributes
    ----------
    bindings : mapping of str to sequence of ast.stmt
        Name → the statements that give it its value or change it, in order.
    changes : mapping of str to sequence of ast.stmt
        Those of them that are no definition and no import.
    effects : sequence of ast.stmt
        Statements that do something to the world beyond the names of this module. What has to do
        with this library is not among them: a script that runs steps does not change them.
    imports : sequence of ast.Import or ast.ImportFrom
        Imports that are executed, wherever they stand.
    """

    bindings: Mapping[str, Sequence[ast.stmt]]
    changes: Mapping[str, Sequence[ast.stmt]]
    effects: Sequence[ast.stmt]
    imports: Sequence[Import]

    @property
    def stars(self) -> list[ast.ImportFrom]:
        """The imports of every name, the last first, as the last one wins."""
        found = [node for node in self.imports if isinstance(node, ast.ImportFrom)]
        return [node for node in found[::-1] if node.names[0].name == "*"]


@lru_cache(maxsize=512)
def top_level(source: Source) -> TopLevel:
    """Read the top level of a source."""
    reader = _Reader(source.tree)
    bindings = {name: list(dict.fromkeys(found)) for name, found in reader.bindings.items()}
    changes = {name: list(dict.fromkeys(found)) for name, found in reader.changes.items()}
    effects = [node for node in dict.fromkeys(reader.effects) if not reader.is_tracking(node)]
    return TopLevel(bindings, changes, effects, reader.imports)


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self.bindings: dict[str, list[ast.stmt]] = defaultdict(list)
        self.changes: dict[str, list[ast.stmt]] = defaultdict(list)
        self.effects: list[ast.stmt] = []
        self.imports: list[Import] = []
        for node in tree.body:
            self.imports.extend(_imports(node))
        brought = {name for node in self.imports for name in _bound(node)}
        self._local = set(_bound(tree.body)) - brought - _aliases(tree, brought)
        for node in tree.body:
            self._read(node, node)
        self._tracking = _tracking_names(tree)

    def is_tracking(self, node: ast.stmt) -> bool:
        return bool(self._tracking) and any(
            chain[0] in self._tracking for chain in chains_in([node])
        )

    def _read(self, node: ast.stmt, whole: ast.stmt) -> None:
        """Take in one statement as part of the outermost one around it."""
        for name in _bound(node) if isinstance(node, Import) else _names_given(node):
            self.bindings[name].append(whole)
            if not isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom)):
                self.changes[name].append(whole)
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute() as func)):
                self._change(func, whole)
            case ast.Expr() | ast.Assert() | ast.Raise():
                self.effects.append(whole)
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                self._assign(targets, whole)
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                self._assign([target], whole)
            case _:
                for inner in _inner(node):
                    self._read(inner, whole)

    def _assign(self, targets: Sequence[ast.expr], whole: ast.stmt) -> None:
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(
                    part.ctx, (ast.Store, ast.Del)
                ):
                    self._change(part, whole)

    def _change(self, place: ast.expr, whole: ast.stmt) -> None:
        """Something is done to what a name stands for: our own business if the name is ours."""
        while isinstance(place, (ast.Attribute, ast.Subscript, ast.Call)):
            place = place.func if isinstance(place, ast.Call) else place.value
        if isinstance(place, ast.Name) and place.id in self._local:
            self.bindings[place.id].append(whole)
            self.changes[place.id].append(whole)
        else:
            self.effects.append(whole)


def _inner(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yield the statements inside one that belong to the top level and are executed on import."""
    if isinstance(node, _DEFINITIONS):
        return
    for name in ("body", "orelse", "finalbody"):
        if name == "body" and isinstance(node, ast.If) and _is_never_imported(node.test):
            continue
        yield from getattr(node, name, ())
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield from part.body


def _is_never_imported(test: ast.expr) -> bool:
    """Whether a condition holds for type checkers only, or only where the module is the script."""
    match test:
        case ast.BoolOp(op=ast.And(), values=values):
            return any(map(_is_never_imported, values))
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name == "TYPE_CHECKING"
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            said = {ast.unparse(left), ast.unparse(right)}
            return said == {"__name__", "'__main__'"}
        case _:
            return False


def _imports(node: ast.stmt) -> Iterator[Import]:
    if isinstance(node, Import):
        yield node
    for inner in _inner(node):
        yield from _imports(inner)


def _names_given(node: ast.stmt) -> Iterator[str]:
    """Yield the names that one statement binds itself, without the statements inside it."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
            return
        case ast.For(target=target) | ast.AsyncFor(target=target):
            roots: list[ast.AST] = [target]
        case ast.With(items=items) | ast.AsyncWith(items=items):
            roots = [item.optional_vars for item in items if item.optional_vars is not None]
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Expr():
            roots = [node]
        case ast.If(test=test) | ast.While(test=test):
            roots = [test]
        case _:
            return
    for part in (part for root in roots for part in ast.walk(root)):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id


def _bound(nodes: Iterable[ast.stmt] | ast.stmt) -> Iterator[str]:
    """Yield every name that some statements bind; of imports, the names they give."""
    for node in [nodes] if isinstance(nodes, ast.stmt) else nodes:
        if isinstance(node, Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        else:
            yield from _names_given(node)
            yield from _bound(_inner(node))


def _aliases(tree: ast.Module, brought: set[str]) -> set[str]:
    """Return other names for what imports brought, as in ``rng = np.random``."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            roots = {chain[0] for chain in chains_in([node.value])}
            found.update(() if roots.isdisjoint(brought | found) else _bound(node))
    return found


def _tracking_names(tree: ast.Module) -> set[str]:
    """Return the names of this library, and of what is made with them, in a module."""
    tracking: set[str] = set()
    for node in tree.body:
        imported = any(map(_is_ours, _imports(node)))
        if imported or (tracking and any(chain[0] in tracking for chain in chains_in([node]))):
            tracking.update(_bound(node))
    return tracking


def _is_ours(node: Import) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and (node.module or "").partition(".")[0] == "consist"
    return any(alias.name.partition(".")[0] == "consist" for alias in node.names)
