"""Source text as syntax trees, and the tree of a piece of loaded code.

A tree counts by its *spelling*, which leaves out everything that does not change what the code
does: comments, formatting, the places of lines, docstrings.

Which node of a file a loaded function came from is proven, not guessed: the file is compiled
again, and its code has to be that of the function. A file that was edited after it was loaded
cannot pass for what is executed.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from types import CodeType
from typing import Any, NamedTuple, TypeAlias, cast

from consist.identity.parsing import parsing

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WITH_DOCSTRING = (*_FUNCTIONS, ast.ClassDef, ast.Module)
_LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


# ---------------------------------------------------------------- spelling


def spelling(node: ast.AST, without: frozenset[ast.AST] = frozenset()) -> str:
    """Return the digest of what a node says.

    Parameters
    ----------
    node
        Any node.
    without
        Functions inside, of which only what stands before the body counts.
    """
    said: list[str] = []
    # Trees may be deeper than Python's stack: sums of a thousand terms, long chains of `elif`.
    pending: list[object] = [node]
    while pending:
        value = pending.pop()
        if isinstance(value, _Said):
            said.append(value)
        else:
            pending.extend(reversed(list(_spelled(value, without))))
    return sha256("".join(said).encode("utf-8", "backslashreplace")).hexdigest()


class _Said(str):
    __slots__ = ()


def _spelled(value: object, without: frozenset[ast.AST]) -> Iterator[object]:
    """Yield the words for a value, and between them the values inside it."""
    if isinstance(value, ast.AST):
        yield _Said(f"({type(value).__name__}")
        for name in value._fields:
            item = getattr(value, name, None)
            if item is None or item == [] or name in _LEFT_OUT:
                continue
            if name == "body" and isinstance(item, list):
                item = [] if value in without else _without_docstring(value, cast("Any", item))
            yield from (_Said(f" {name}="), item)
        yield _Said(")")
    elif isinstance(value, list):
        yield _Said("[")
        for item in cast("list[object]", value):
            yield from (item, _Said(","))
        yield _Said("]")
    else:
        # Decimal digits have a limit that a process can change.
        shown = hex(value) if type(value) is int else repr(value)
        yield _Said(f"{type(value).__name__}:{shown}")


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    if not isinstance(node, _WITH_DOCSTRING) or not body:
        return body
    first = body[0]
    is_text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


# ---------------------------------------------------------------- sources


class Source:
    """A file or notebook cell: its tree, and what its code is when compiled.

    Raises
    ------
    SyntaxError, ValueError
        If the text is no Python.
    """

    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self._text = text
        with parsing():
            self.tree = ast.parse(text, filename)

    @cached_property
    def _codes(self) -> dict[str, list[CodeType]]:
        """Every code object of the compiled source, by qualified name."""
        found: dict[str, list[CodeType]] = defaultdict(list)
        _collect_codes(compile(self._text, self.filename, "exec", dont_inherit=True), found)
        return found

    @cached_property
    def _nodes(self) -> _Nodes:
        found = _Nodes(defaultdict(list), defaultdict(list))
        pending: list[tuple[ast.AST, str]] = [(self.tree, "")]
        while pending:
            pending.extend(reversed(list(_collect_nodes(*pending.pop(), found))))
        return found

    def function(self, code: CodeType) -> Function | None:
        """Return the node that a loaded function came from; None if it is not here any more."""
        candidates = [
            found for found in self._codes.get(code.co_qualname, ()) if alike(found, code)
        ]
        candidates.sort(key=lambda found: abs(found.co_firstlineno - code.co_firstlineno))
        for found in candidates:
            for node in self._nodes.functions.get(found.co_firstlineno, ()):
                if _is_of(node, found):
                    return node
        return None

    def holds(self, code: CodeType) -> bool:
        """Whether the code of a function is what this source says."""
        return any(alike(found, code) for found in self._codes.get(code.co_qualname, ()))

    def classes(self, qualname: str) -> list[ast.ClassDef]:
        """Return the definitions of a class; more than one if it is defined conditionally."""
        return self._nodes.classes.get(qualname, [])


class _Nodes(NamedTuple):
    functions: dict[int, list[Function]]  # by first line
    classes: dict[str, list[ast.ClassDef]]  # by qualified name


def _collect_nodes(node: ast.AST, prefix: str, found: _Nodes) -> Iterator[tuple[ast.AST, str]]:
    """Take in what stands in a node; yield it, with what its qualified name begins with."""
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, ast.ClassDef):
            found.classes[prefix + child.name].append(child)
            inner = f"{prefix}{child.name}."
        elif isinstance(child, _FUNCTIONS):
            inner = f"{prefix}{child.name}.<locals>."
        elif isinstance(child, ast.Lambda):
            inner = f"{prefix}<lambda>.<locals>."
        if isinstance(child, Function):
            found.functions[first_line(child)].append(child)
        yield child, inner


def first_line(node: Function | ast.ClassDef) -> int:
    """Return the line where a definition begins, its decorators included."""
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(found.lineno for found in decorators)])


def _is_of(node: Function, code: CodeType) -> bool:
    if not isinstance(node, ast.Lambda):
        return code.co_name == node.name
    if code.co_name != "<lambda>":
        return False
    # Several may stand in one line.
    body = (node.body.lineno, node.body.col_offset)
    places = [(line, column) for line, _, column, _ in code.co_positions() if column is not None]
    return body in places or min(places, default=body) == body


def _collect_codes(code: CodeType, found: dict[str, list[CodeType]]) -> None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found[constant.co_qualname].append(constant)
            _collect_codes(constant, found)


_SAME = (
    *("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_flags"),
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_exceptiontable"),
)


def alike(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same, wherever they stand."""
    if one == other:
        return True
    if any(getattr(one, name) != getattr(other, name) for name in _SAME):
        return False
    constants = zip(one.co_consts, other.co_consts, strict=False)
    return len(one.co_consts) == len(other.co_consts) and all(
        alike(left, right)
        if isinstance(left, CodeType) and isinstance(right, CodeType)
        else _same_constant(left, right)
        for left, right in constants
    )


def _same_constant(left: object, right: object) -> bool:
    if isinstance(left, frozenset):
        return left == right
    return type(left) is type(right) and repr(left) == repr(right)


# ---------------------------------------------------------------- where sources are kept


def source_of(filename: str, namespace: dict[str, Any] | None = None) -> Source | None:
    """Return the source of a file or cell; None if there is none, or if it is no Python.

    Parameters
    ----------
    filename
        As code objects name it.
    namespace
        Global names, which know the loader of a module that lies in no file of its own.
    """
    if namespace is not None:
        linecache.lazycache(filename, namespace)
    linecache.checkcache(filename)  # or a file that was edited shows its old lines
    text = "".join(linecache.getlines(filename, namespace))
    return _parsed(text, filename) if text else None


@functools.lru_cache(maxsize=512)
def _parsed(text: str, filename: str) -> Source | None:
    try:
        return Source(text, filename)
    except (SyntaxError, ValueError, RecursionError):
        return None
