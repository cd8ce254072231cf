"""What the annotation of a parameter says about how it wants its value."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import types
import typing
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

_OWN_PACKAGE = __name__.partition(".")[0]
_KINDS = {
    "Path": "path",
    "pathlib.Path": "path",
    "PurePath": "path",
    "pathlib.PurePath": "path",
    "Artifact": "artifact",
    "consist.Artifact": "artifact",
    "RunContext": "context",
    "consist.RunContext": "context",
}
_ALTERNATIVES = frozenset({"Optional", "Union", "Annotated"})


def kind_of(annotation: Any, fn: Callable[..., Any]) -> str:
    """Return how a parameter wants its value: ``path``, ``artifact``, ``context`` or ``any``.

    Of a union, its members count apart from ``None`` and ``str``, if they agree. An annotation
    that cannot be evaluated, such as a name that is imported for type checkers alone, counts by
    what is written.

    Parameters
    ----------
    annotation : object
        As it stands in the signature: a type, or the text of one.
    fn : callable
        The function, for what names in a text mean.
    """
    kinds = set(_kinds(_evaluated(annotation, fn)))
    return kinds.pop() if len(kinds) == 1 else "any"


def _evaluated(annotation: Any, fn: Callable[..., Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    with contextlib.suppress(Exception):  # users may write anything there
        return eval(annotation, _globals_of(fn))  # noqa: S307 - as typing.get_type_hints does
    return annotation


def _globals_of(fn: Any) -> dict[str, Any]:
    """Return the names that the module of a function knows, however the function is wrapped."""
    fn = inspect.unwrap(fn)
    while isinstance(fn, functools.partial):
        fn = inspect.unwrap(fn.func)
    fn = getattr(fn, "__func__", fn)
    if not hasattr(fn, "__globals__"):
        fn = fn.__init__ if inspect.isclass(fn) else type(fn).__call__
    return getattr(fn, "__globals__", {})


def _kinds(annotation: Any) -> list[str]:
    """Return the kinds of the alternatives of an annotation."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return _kinds_in_text(annotation)
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kinds(parts[0])
    if origin in {typing.Union, types.UnionType}:
        return [kind for part in parts for kind in _kinds(part)]
    if annotation is None or annotation is type(None) or annotation is str:
        return []
    return [_kind_of_class(annotation) if inspect.isclass(annotation) else "any"]


def _kind_of_class(annotation: type[Any]) -> str:
    if issubclass(annotation, PurePath):
        return "path"
    if annotation.__module__.partition(".")[0] != _OWN_PACKAGE:  # others have an Artifact, too
        return "any"
    return _KINDS.get(annotation.__name__, "any")


def _kinds_in_text(text: str) -> list[str]:
    try:
        return _kinds_in_tree(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        return ["any"]


def _kinds_in_tree(tree: ast.expr) -> list[str]:
    match tree:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _kinds_in_tree(left) + _kinds_in_tree(right)
        case ast.Subscript(value=head, slice=inner) if _last_name(head) in _ALTERNATIVES:
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            parts = parts[:1] if _last_name(head) == "Annotated" else parts
            return [kind for part in parts for kind in _kinds_in_tree(part)]
        case ast.Constant(value=str() as quoted):
            return _kinds_in_text(quoted)
        case ast.Constant(value=None) | ast.Name(id="str"):
            return []
        case _:
            return [_KINDS.get(ast.unparse(tree), "any")]


def _last_name(tree: ast.expr) -> str:
    return ast.unparse(tree).rpartition(".")[2]
