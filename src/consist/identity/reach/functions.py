"""Entering functions, and the blocks that stand in them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from consist.identity.canonical import digest
from consist.identity.carried import parts_of
from consist.identity.reach.found import Namespace, Walker
from consist.identity.reach.modules import module_name
from consist.identity.reach.names import Chain, chains_in, names_of
from consist.identity.reach.trees import Function, Source, source_of, spelling
from consist.identity.sources import bytecode_digest


def enter_function(walk: Walker, function: FunctionType) -> str:
    """Enter an own function; return its label, with what it carries."""
    code, namespace = function.__code__, function.__globals__
    label = enter_code(walk, code, namespace)
    walk.found.pins.function(function)
    text = with_carried(walk, label, texts_of(walk, dict(parts_of(function))))
    is_method = "." in code.co_qualname and "<" not in code.co_qualname
    if is_method or namespace.get(code.co_qualname) is function:
        return text
    # Another may go by the same name, as all lambdas do.
    _, node = _found_in_source(code, namespace)
    return f"{text} with {_tree(code, node)}"


def enter_code(walk: Walker, code: CodeType, namespace: Namespace) -> str:
    """Enter what a function executes; return its label."""
    label = f"function {module_name(namespace, code.co_filename)}.{code.co_qualname}"
    label = walk.found.label(label, namespace)
    walk.later((id(code), id(namespace)), lambda: _enter_code(walk, code, namespace, label))
    return label


def with_carried(walk: Walker, label: str, carried: Mapping[str, str]) -> str:
    """Return how to refer to something that carries values, each a part of its own."""
    if not carried:
        return label
    for name, text in carried.items():
        walk.found.part(f"{name} of {label}", digest("reach", text))
    return f"{label} with {digest('reach', dict(carried))}"


def texts_of(
    walk: Walker, values: Mapping[str, object], where: str | None = None
) -> dict[str, str]:
    """Return label → text of carried values.

    ``where`` names what carries them, to note those without identity: two of a kind cannot be told
    apart.
    """
    texts: dict[str, str] = {}
    for name, value in values.items():
        before = walk.found.opaque
        texts[name] = walk.target(value)
        if where is not None and walk.found.opaque > before:
            kind = type(value).__qualname__
            walk.found.unresolved.add(f"the value of {name} ({kind}) of {where}")
    return texts


def _enter_code(walk: Walker, code: CodeType, namespace: Namespace, label: str) -> None:
    source, node = _found_in_source(code, namespace)
    names = names_of(code)
    references = walk.references(namespace, names.chains, label)
    if node is not None:
        references.update(_before_body(walk, node, namespace))
        walk.follow_imports([node], namespace, label)
    elif source is not None and not source.holds(code):
        walk.found.differing.add(code.co_filename)
    if node is None and names.has_imports:
        walk.found.unresolved.add(f"imports in {label}, whose source is not what was loaded")
    _note_patches(walk, names.assigned, namespace, label)
    walk.executes(code, namespace)
    file = None if source is None else code.co_filename
    walk.found.part(label, digest("reach", label, _tree(code, node), references), file)


def _found_in_source(code: CodeType, namespace: Namespace) -> tuple[Source | None, Function | None]:
    source = source_of(code.co_filename, dict(namespace))
    return source, None if source is None else source.function(code)


def _tree(code: CodeType, node: Function | None) -> str:
    """Return what stands for the code of a function: its tree, or the bytecode without one."""
    return f"bytecode {bytecode_digest(code)}" if node is None else spelling(node)


def _note_patches(
    walk: Walker, assigned: Iterable[Chain], namespace: Namespace, label: str
) -> None:
    """Note what code replaces in modules: what others find there then cannot be told from here."""
    for chain in assigned:
        holder: object = namespace.get(chain[0])
        for name in chain[1:-1]:
            holder = vars(holder).get(name) if isinstance(holder, ModuleType) else None
        if isinstance(holder, ModuleType):
            walk.found.unresolved.add(f"{'.'.join(chain)} is replaced in {label}")


def _before_body(walk: Walker, node: Function, namespace: Namespace) -> dict[str, str]:
    """Return what decorators, defaults and annotations refer to.

    They were evaluated when the function was made, where names may have stood for something else.
    """
    found = walk.references(namespace, chains_in(parts_before_body(node)), None)
    return {f"before {name}": text for name, text in found.items()}


def parts_before_body(node: Function) -> list[ast.AST]:
    """Return decorators, arguments and annotations of a function."""
    if isinstance(node, ast.Lambda):
        return [node.args]
    returns = [] if node.returns is None else [node.returns]
    return [*node.decorator_list, node.args, *returns]


# ---------------------------------------------------------------- blocks


def enter_block(walk: Walker, frame: FrameType) -> str:
    """Enter the code around a ``with`` block; return its label.

    In a function that is the function; at the top level of a module or a notebook cell, the
    outermost statement that the block is or stands in.
    """
    code, namespace = frame.f_code, frame.f_globals
    name = module_name(namespace, code.co_filename)
    if code.co_name != "<module>":
        label = enter_code(walk, code, namespace)
        return with_carried(walk, label, texts_of(walk, _captured(frame), label))
    label = f"block in {name}"
    node = _statement(frame)
    if node is None:
        _enter_code(walk, code, namespace, label)
        return label
    chains = (chain for chain in chains_in([node]) if chain[0] not in _given(node))
    references = walk.references(namespace, chains, None)
    walk.follow_imports([node], namespace, label)
    walk.found.part(label, digest("reach", label, spelling(node), references), code.co_filename)
    return label


def _captured(frame: FrameType) -> dict[str, object]:
    local = frame.f_locals
    free = (name for name in frame.f_code.co_freevars if name in local)
    return {f"closure.{name}": local[name] for name in free}


def _statement(frame: FrameType) -> ast.stmt | None:
    source = source_of(frame.f_code.co_filename, frame.f_globals)
    if source is None:
        return None
    around = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.With | ast.AsyncWith)
        and node.lineno <= frame.f_lineno <= (node.items[-1].context_expr.end_lineno or 0)
    ]
    if around:
        return around[-1]  # the innermost comes last
    lines = ((node, node.end_lineno or node.lineno) for node in source.tree.body)
    return next((node for node, end in lines if node.lineno <= frame.f_lineno <= end), None)


def _given(node: ast.AST) -> set[str]:
    """Return the names that a statement gives a value: at its second turn they have the first's."""
    found: set[Any] = {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)
    }
    return found
