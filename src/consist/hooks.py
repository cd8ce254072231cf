"""Callbacks of users around runs. Their failure is logged and never breaks a run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from consist.errors import WrongType, a_kind, hint

logger = logging.getLogger("consist.hooks")

C = TypeVar("C", bound=Callable[..., Any])


class Hooks:
    """Callbacks by event, called in the order they were registered."""

    def __init__(self) -> None:
        self.start: list[Callable[..., Any]] = []
        self.complete: list[Callable[..., Any]] = []
        self.failed: list[Callable[..., Any]] = []

    def register(self, callbacks: list[Callable[..., Any]], callback: C) -> C:
        """Add a callback to those of an event, and return it.

        Raises
        ------
        TypeError
            If it cannot be called, or only awaited.
        """
        if not callable(callback):
            raise WrongType(f"a hook is a function, not {a_kind(callback)}")
        if inspect.iscoroutinefunction(callback):
            problem = WrongType(f"hook {callback!r} is asynchronous, and nobody would await it")
            raise hint(problem, "register a function that starts a task")
        callbacks.append(callback)
        return callback

    def call(self, callbacks: list[Callable[..., Any]], *facts: Any) -> None:
        """Call every callback; a failing one is logged with its traceback."""
        for callback in list(callbacks):
            try:
                callback(*facts)
            except Exception:  # the code of users may fail in any way
                logger.exception("[Consist] hook %r failed; the run goes on", callback)
