"""Where code comes from: names, files, source text and, failing all that, bytecode.

Code is asked for in three places, in this order: the file that it was loaded from; the lines that
a notebook, a console or a zip archive keeps for tracebacks; the code object itself. The last one
is exact, but differs between versions of Python.

A *place* is what code identity starts from: a callable, or for a ``with`` block, which is none,
the frame that it stands in.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import sys
import textwrap
import tokenize
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any, cast

from consist.errors import CodeIdentityUnavailableError, IdentityError, hint
from consist.identity.canonical import digest
from consist.identity.files import DigestFile, file_digest
from consist.identity.parsing import parsing

Place = Callable[..., Any] | FrameType

_MOST_WRAPPERS = 100
_INSTALLED = {"site-packages", "dist-packages"}
_REMEDY = "Wrap it in a Python function, which has a source, and run that."


def unwrapped(place: Callable[..., Any]) -> Any:
    """Return the function or class behind partials, bound methods, decorators and instances.

    Decorators are looked through as far as they tell (``functools.wraps`` does).
    """
    found: Any = place
    for _ in range(_MOST_WRAPPERS):
        if isinstance(found, functools.partial):
            found = found.func
        elif isinstance(found, MethodType):
            found = found.__func__
        elif hasattr(found, "__wrapped__"):
            found = found.__wrapped__
        elif isinstance(found, (FunctionType, type)) or not _is_instance(found):
            return found
        else:
            return found.__class__
    raise IdentityError(f"{place!r} is wrapped more than {_MOST_WRAPPERS} times, or wraps itself")


def _is_instance(found: object) -> bool:
    return isinstance(inspect.getattr_static(type(found), "__call__", None), FunctionType)


def code_of(place: Place) -> CodeType | None:
    """Return the code object at a place; of a class, that of its first method; None if in C."""
    if isinstance(place, FrameType):
        return place.f_code
    if type(place) is FunctionType and not hasattr(place, "__wrapped__"):
        return place.__code__
    target = unwrapped(place)
    if isinstance(target, type):
        methods = (item for base in target.__mro__ for item in vars(base).values())
        return next((item.__code__ for item in methods if isinstance(item, FunctionType)), None)
    return getattr(target, "__code__", None)


def file_of(place: Place) -> str | None:
    """Return the file that the code at a place was loaded from; None if there is none."""
    target: Any = place if isinstance(place, FrameType) else unwrapped(place)
    code = code_of(place)
    file = code.co_filename if code is not None else None
    if isinstance(target, type):
        # Methods may be inherited from elsewhere, or made by a decorator.
        file = getattr(sys.modules.get(target.__module__), "__file__", None) or file
    return file if file is not None and Path(file).is_file() else None


def _names_at(place: Place) -> dict[str, Any]:
    if isinstance(place, FrameType):
        return place.f_globals
    target = unwrapped(place)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    return getattr(target, "__globals__", None) or getattr(module, "__dict__", {})


# ---------------------------------------------------------------- names


def qualified_name(place: Place) -> str:
    """Return module and qualified name, such as ``pkg.steps.clean`` or ``steps.make.<locals>.f``.

    A script that is run and the same file when it is imported agree: ``__main__`` is replaced by
    the name the module was started by (``python -m pkg.steps``) or by the stem of its file.
    """
    if isinstance(place, FrameType):
        return f"{module_name(place.f_globals.get('__name__'))}.{place.f_code.co_qualname}"
    found: Any = place
    while isinstance(found, (functools.partial, MethodType)):
        found = found.func if isinstance(found, functools.partial) else found.__func__
    name = getattr(found, "__qualname__", None) or getattr(found, "__name__", None)
    if not isinstance(name, str):
        found, name = found.__class__, found.__class__.__qualname__
    return f"{module_name(getattr(found, '__module__', None))}.{name}"


def module_name(name: str | None) -> str:
    """Return the name of a module as an import would give it."""
    if name not in {"__main__", "__mp_main__"}:
        return name or "?"
    module = sys.modules.get(name)
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None:
        return spec.name
    return _stem(file) if file else "__main__"


@functools.lru_cache(maxsize=8)
def _stem(file: str) -> str:
    return Path(file).stem


def is_importable(fn: Callable[..., Any]) -> bool:
    """Tell whether a callable is what an import of its module finds under its name."""
    target = unwrapped(fn)
    found: Any = sys.modules.get(getattr(target, "__module__", None) or "")
    for part in getattr(target, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is not None and (found is fn or unwrapped(found) is target)


def is_project_source(place: Place, project_root: str | os.PathLike[str]) -> bool:
    """Tell whether the code at a place is in a file under the project root.

    Packages that are installed there (``.venv/…/site-packages``) are not the project's own.
    """
    file = file_of(place)
    return file is not None and _lies_in_project(file, os.fspath(project_root))


@functools.lru_cache(maxsize=4096)
def _lies_in_project(filename: str, project_root: str) -> bool:
    path, root = Path(filename).resolve(), Path(project_root).resolve()
    if not path.is_relative_to(root):
        return False
    return _INSTALLED.isdisjoint(path.relative_to(root).parts)


# ---------------------------------------------------------------- digests


def callable_module(fn: Callable[..., Any], digest_file: DigestFile = file_digest) -> str:
    """Return the digest of the file that defines a callable; in a notebook, of the cell.

    Raises
    ------
    CodeIdentityUnavailableError
        If the callable is not written in Python.
    """
    return module_digest(fn, digest_file)


def caller_module(frame: FrameType, digest_file: DigestFile = file_digest) -> str:
    """Return the digest of the file, or notebook cell, that the code of a frame stands in."""
    return module_digest(frame, digest_file)


def module_digest(place: Place, digest_file: DigestFile = file_digest) -> str:
    """Return the digest of the file or cell around a place; see :func:`callable_module`."""
    code, file = code_of(place), file_of(place)
    if code is None:
        raise not_python(place, "callable_module")
    if file is not None:
        return digest_file(file)
    lines = linecache.getlines(code.co_filename, _names_at(place))
    return digest("source", "".join(lines), None) if lines else bytecode_digest(code)


def callable_source(fn: Callable[..., Any]) -> str:
    """Return the digest of a callable's own source, wherever it stands in its file.

    Indentation and what surrounds the callable do not count; decorators written above it do. An
    instance with ``__call__`` counts by its class. Without a source, the bytecode counts.

    Raises
    ------
    CodeIdentityUnavailableError
        If the callable is not written in Python.
    """
    return source_digest(fn)


def source_digest(place: Place) -> str:
    """Return the digest of the source of a callable, or of the function that a block stands in.

    At the top level of a module, that is the whole file or cell; see :func:`callable_source`.
    """
    target: Any = place if isinstance(place, FrameType) else unwrapped(place)
    if isinstance(target, type):
        return _class_digest(target)
    code = code_of(place)
    if code is None:
        raise not_python(place, "callable_source")
    return code_source_digest(code, _names_at(place))


def code_source_digest(code: CodeType, namespace: dict[str, Any]) -> str:
    """Return the digest of the source that a code object was made from.

    Parameters
    ----------
    code
        The code object of a function or module.
    namespace
        Its global names, which know the loader of a module that lies in no file of its own.
    """
    linecache.lazycache(code.co_filename, namespace)
    return _code_source_digest(code, code.co_filename)


@functools.lru_cache(maxsize=4096)
def _code_source_digest(code: CodeType, filename: str) -> str:
    linecache.checkcache(filename)  # or a module that is loaded anew shows its old lines
    lines = linecache.getlines(filename)
    if code.co_name != "<module>":
        lines = lines[code.co_firstlineno - 1 :]
        with suppress(SyntaxError, tokenize.TokenError):
            lines = inspect.getblock(lines)
    if not lines:
        return bytecode_digest(code)
    text = textwrap.dedent("".join(lines)).rstrip()
    # The source of a lambda is its whole line, and another one may stand in it.
    return digest("source", text, bytecode_digest(code) if code.co_name == "<lambda>" else None)


def _class_digest(cls: type) -> str:
    inherited: dict[str, str] = {}
    for name in ("__init__", "__call__"):  # what calling the class, or an instance, runs
        method = getattr(cls, name)
        if isinstance(method, FunctionType) and name not in vars(cls):
            inherited[name] = code_source_digest(method.__code__, method.__globals__)
    try:
        with parsing():  # which it does, to find the class
            text = textwrap.dedent(inspect.getsource(cls)).rstrip()
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        own = {name: item for name, item in vars(cls).items() if isinstance(item, FunctionType)}
        if not own and not inherited:
            raise not_python(cls, "callable_source") from None
        text = {name: bytecode_digest(method.__code__) for name, method in own.items()}
    return digest("source", text, inherited)


def bytecode_digest(code: CodeType) -> str:
    """Return the digest of a code object: what it does, not where it stands."""
    return digest(
        "bytecode",
        sys.version_info[:2],
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
        [code.co_code, code.co_exceptiontable],
        [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
        [_constant(item) for item in code.co_consts],
    )


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return bytecode_digest(value)
    if isinstance(value, tuple):
        return f"({','.join(map(_constant, cast('tuple[object, ...]', value)))})"
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(map(_constant, cast('frozenset[object]', value))))}}}"
    # Decimal digits have a limit that a process can change.
    return hex(value) if type(value) is int else repr(value)


def not_python(place: object, mode: str) -> CodeIdentityUnavailableError:
    """Return the error for a callable whose code nobody can read."""
    reason = f"{place!r} is not written in Python"
    return hint(CodeIdentityUnavailableError(mode, reason), _REMEDY)
