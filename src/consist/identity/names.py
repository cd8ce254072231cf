"""Which names a piece of source takes from around it, and what it takes from them.

The look is static: nothing is imported or executed. Local names of functions, lambdas and
comprehensions are told from global ones; what stands in a class body counts as global, which is
right for its methods and harmless for the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

_DYNAMIC = frozenset({"__import__", "compile", "eval", "exec"})


class Import(NamedTuple):
    """What an import statement binds: a module, or a name in one."""

    module: str
    name: str | None = None


class Uses(NamedTuple):
    """What a piece of source uses of its surroundings.

    Attributes
    ----------
    names : frozenset of (str, tuple of str)
        Global names, each with the attributes that are taken from it in turn.
    imports : mapping of str to Import
        What import statements inside bind.
    modules : frozenset of str
        Modules that are imported by a literal name.
    dynamic : frozenset of str
        Calls by which anything may be reached: ``exec``, ``import_module`` of a computed name.
    attributes : frozenset of str
        Names that class bodies inside bind.
    """

    names: frozenset[tuple[str, tuple[str, ...]]]
    imports: Mapping[str, Import]
    modules: frozenset[str]
    dynamic: frozenset[str]
    attributes: frozenset[str]


def uses_of(nodes: Iterable[ast.AST], package: str) -> Uses:
    """Return what some statements or expressions use of their surroundings.

    Parameters
    ----------
    nodes
        The statements.
    package
        Package of their module, from which relative imports start.
    """
    reader = _Reader(package)
    for node in nodes:
        reader.visit(node)
    return Uses(
        frozenset(reader.names),
        reader.imports,
        frozenset(reader.modules),
        frozenset(reader.dynamic),
        frozenset(reader.attributes),
    )


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Import]]:
    """Yield what an import statement binds; ``*`` stands for everything of a module."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname is not None:
                yield alias.asname, Import(alias.name)
            else:
                top = alias.name.partition(".")[0]
                yield top, Import(top)
        return
    module = absolute_name(node.module, node.level, package)
    for alias in node.names:
        yield alias.asname or alias.name, Import(module, alias.name)


def absolute_name(module: str | None, level: int, package: str) -> str:
    """Return the full name of a module that is imported by a relative one."""
    if not level:
        return module or ""
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*base, *([module] if module else [])])


def root_and_attributes(node: ast.expr) -> tuple[str, tuple[str, ...]] | None:
    """Return ``("a", ("b", "c"))`` of ``a.b.c``; ``None`` for anything that has no name at root."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, tuple(reversed(attributes))) if isinstance(node, ast.Name) else None


class _Reader(ast.NodeVisitor):
    def __init__(self, package: str) -> None:
        self.names: set[tuple[str, tuple[str, ...]]] = set()
        self.imports: dict[str, Import] = {}
        self.modules: set[str] = set()
        self.dynamic: set[str] = set()
        self.attributes: set[str] = set()
        self._package = package
        self._local: list[frozenset[str]] = []

    def _is_local(self, name: str) -> bool:
        return any(name in names for names in self._local)

    def _inside(self, names: Iterable[str], nodes: Iterable[ast.AST]) -> None:
        self._local.append(frozenset(names))
        for node in nodes:
            self.visit(node)
        self._local.pop()

    # ------------------------------------------------------------ names

    def visit_Name(self, node: ast.Name) -> None:
        if not self._is_local(node.id):
            self.names.add((node.id, ()))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        found = root_and_attributes(node)
        if found is None:
            self.visit(node.value)
        elif not self._is_local(found[0]):
            self.names.add(found)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports.update(imported(node, self._package))
        # `import a.b` also loads a.b, which `a` alone does not say.
        self.modules.update(alias.name for alias in node.names if "." in alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports.update(imported(node, self._package))

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(attr="import_module" as called):
                self._note_dynamic(called, node)
            case ast.Name(id=called) if called in _DYNAMIC or called == "import_module":
                self._note_dynamic(called, node)
            case _:
                pass
        self.generic_visit(node)

    def _note_dynamic(self, called: str, node: ast.Call) -> None:
        match node.args:
            case [ast.Constant(value=str() as name), *_] if "import" in called:
                level = len(name) - len(name.lstrip("."))
                self.modules.add(absolute_name(name.lstrip("."), level, self._package))
            case _:
                self.dynamic.add(f"{called}()")

    # ------------------------------------------------------------ scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outside = [*node.decorator_list, *_signature_parts(node.args)]
        for part in [*outside, *([node.returns] if node.returns else [])]:
            self.visit(part)
        self._inside({*_parameters(node.args), *_bound(node.body)}, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.attributes |= _bound(node.body)
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in _signature_parts(node.args):
            self.visit(part)
        self._inside(_parameters(node.args), [node.body])

    def _visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        targets = (_stored(generator.target) for generator in node.generators)
        self._inside({name for names in targets for name in names}, ast.iter_child_nodes(node))

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _visit_comprehension  # noqa: N815


# ---------------------------------------------------------------- what is local


def _parameters(args: ast.arguments) -> Iterator[str]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return (arg.arg for arg in every if arg is not None)


def _signature_parts(args: ast.arguments) -> Iterator[ast.expr]:
    yield from args.defaults
    yield from (default for default in args.kw_defaults if default is not None)
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    yield from (arg.annotation for arg in every if arg is not None and arg.annotation is not None)


def _bound(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names that a function binds itself, imports excepted."""
    found: set[str] = set()
    outside: set[str] = set()
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Global):
            outside.update(node.names)
        found.update(_bound_by(node))
        if not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))
    return found - outside


_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)


def _bound_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that one node binds where it stands."""
    match node:
        case ast.FunctionDef(name=str(name)) | ast.AsyncFunctionDef(name=str(name)):
            yield name
        case ast.ClassDef(name=str(name)) | ast.ExceptHandler(name=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)) | ast.Name(id=str(name), ctx=ast.Store() | ast.Del()):
            yield name
        case _ if isinstance(node, _COMPREHENSIONS):
            # Only what `:=` binds in there belongs to the function.
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        case _:
            pass


def _stored(target: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
