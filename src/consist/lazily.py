"""Verbs whose room is imported when they are first used.

Questions need SQLModel, which takes longer to import than a cache hit takes altogether. A lazy
room stands for its module in a class body or at module level; static analysis sees the module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import MethodType
from typing import Any


class LazyRoom:
    """Stands for a module; its attributes are :class:`LazyVerb` objects.

    Parameters
    ----------
    module : str
        Full name of the module.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> LazyVerb:
        if name.startswith("__"):
            raise AttributeError(name)
        return LazyVerb(self._module, name)


class LazyVerb:
    """Stands for a function, and becomes a method like one."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self.__name__ = name

    def __repr__(self) -> str:
        return f"<function {self._module}.{self.__name__}>"

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function itself."""
        return getattr(import_module(self._module), self.__name__)

    @property
    def __signature__(self) -> inspect.Signature:
        """The signature of the function itself."""
        return inspect.signature(self.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self.__wrapped__
        return MethodType(self.__wrapped__, instance)
