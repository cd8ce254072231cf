"""Callbacks of users around runs. Their failure is logged and never breaks a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

logger = logging.getLogger("consist.hooks")

C = TypeVar("C", bound=Callable[..., Any])


class Hooks:
    """Callbacks by event, called in the order they were registered."""

    def __init__(self) -> None:
        self.start: list[Callable[..., Any]] = []
        self.complete: list[Callable[..., Any]] = []
        self.failed: list[Callable[..., Any]] = []

    def call(self, callbacks: list[Callable[..., Any]], *facts: Any) -> None:
        """Call every callback; a failing one is logged with its traceback."""
        for callback in list(callbacks):
            try:
                callback(*facts)
            except Exception:  # the code of users may fail in any way
                logger.exception("[Consist] hook %r failed; the run goes on", callback)
