"""Which names a piece of code refers to.

Of loaded code the bytecode tells, which knows what is local. Of what is only there as text
(decorators, class bodies, the top level of modules) the syntax tree tells; there a name counts
wherever it is read, since too much is safe.

A *chain* is a name with the attributes that are taken from it: ``("np", "linalg", "norm")``.
"""

from __future__ import annotations

import ast
import builtins
import dis
from collections.abc import Iterable, Sequence
from functools import lru_cache
from types import CodeType
from typing import NamedTuple, TypeAlias

Chain: TypeAlias = tuple[str, ...]

_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
DYNAMIC = frozenset({"__import__", "eval", "exec", "globals", "locals"})
"""Builtins through which code reaches what nobody can tell."""


class Names(NamedTuple):
    """What code refers to.

    Attributes
    ----------
    chains : frozenset
        Global names with their attributes.
    assigned : frozenset
        Chains to which an attribute is assigned, that attribute included.
    has_imports : bool
        Whether there are imports inside.
    """

    chains: frozenset[Chain]
    assigned: frozenset[Chain]
    has_imports: bool


@lru_cache(maxsize=8192)
def names_of(code: CodeType) -> Names:
    """Return what loaded code refers to, with the functions inside it."""
    chains: set[Chain] = set()
    assigned: set[Chain] = set()
    has_imports = False
    pending = [code]
    while pending:
        current = pending.pop()
        steps = list(dis.get_instructions(current))
        for position, step in enumerate(steps):
            if step.opname in _LOADS and isinstance(step.argval, str):
                chain, end = _chain(steps, position)
                chains.add(chain)
                if end is not None and end.opname == "STORE_ATTR":
                    assigned.add((*chain, str(end.argval)))
            has_imports = has_imports or step.opname == "IMPORT_NAME"
        pending.extend(item for item in current.co_consts if isinstance(item, CodeType))
    return Names(frozenset(chains), frozenset(assigned), has_imports)


def _chain(steps: list[dis.Instruction], position: int) -> tuple[Chain, dis.Instruction | None]:
    """Return the chain that begins at a load, and the instruction behind it."""
    chain = [str(steps[position].argval)]
    for step in steps[position + 1 :]:
        if step.opname not in _ATTRIBUTES:
            return tuple(chain), step
        chain.append(str(step.argval))
    return tuple(chain), None


# ---------------------------------------------------------------- syntax trees


def chains_in(nodes: Iterable[ast.AST]) -> frozenset[Chain]:
    """Return every name that is read anywhere in some nodes, with its attributes."""
    return frozenset[Chain]().union(*map(_chains, nodes))


@lru_cache(maxsize=8192)
def _chains(node: ast.AST) -> frozenset[Chain]:
    chains: set[Chain] = set()
    pending: list[ast.AST] = [node]
    while pending:
        found = pending.pop()
        if isinstance(found, ast.Attribute | ast.Name):
            chain = _tree_chain(found)
            if chain is not None:
                chains.add(chain)
                continue
        pending.extend(ast.iter_child_nodes(found))
    return frozenset(chains)


def _tree_chain(node: ast.AST) -> Chain | None:
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(attributes))


class Imported(NamedTuple):
    """What an import inside a function leads to.

    Attributes
    ----------
    module : str
        As written, without the dots of a relative import.
    level : int
        Those dots.
    path : tuple of str
        What is taken from the module; empty if it is used as a whole.
    """

    module: str
    level: int
    path: Chain


def imported(nodes: Sequence[ast.AST]) -> frozenset[Imported]:
    """Return what the imports anywhere in some nodes lead to, as far as it is used there."""
    statements = [found for node in nodes for found in _imports(node)]
    chains = chains_in(nodes) if statements else frozenset[Chain]()
    found: set[Imported] = set()
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = (alias.asname,) if alias.asname else tuple(alias.name.split("."))
                found.update(Imported(alias.name, 0, rest) for rest in _behind(root, chains))
                if len(root) > 1:  # what is bound is the package above
                    above = {c[1:] for c in chains if c[0] == root[0] and c[: len(root)] != root}
                    found.update(Imported(root[0], 0, rest) for rest in above)
        else:
            for alias in node.names:
                uses = _behind((alias.asname or alias.name,), chains)
                found.update(
                    Imported(node.module or "", node.level, (alias.name, *rest)) for rest in uses
                )
    return frozenset(found)


@lru_cache(maxsize=8192)
def _imports(node: ast.AST) -> tuple[ast.Import | ast.ImportFrom, ...]:
    return tuple(
        found for found in ast.walk(node) if isinstance(found, ast.Import | ast.ImportFrom)
    )


def _behind(root: Chain, chains: frozenset[Chain]) -> set[Chain]:
    """Return what follows a name wherever it is used; nothing follows where it is not."""
    return {chain[len(root) :] for chain in chains if chain[: len(root)] == root} or {()}


def is_builtin(name: str) -> bool:
    """Whether a name is there without being defined."""
    return hasattr(builtins, name)
