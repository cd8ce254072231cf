"""The port behind which a prepared call is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec


class PreparedCall(msgspec.Struct, frozen=True):
    """A call whose arguments are all there.

    Attributes
    ----------
    fn : callable or None
        What to call; ``None`` where the executor knows without.
    kwargs : mapping
        Arguments by name.
    args : tuple
        Arguments that can only be given by position.
    options : mapping
        What the executor itself needs, such as a container image.
    time_limit : float or None
        Seconds that it may take.
    """

    fn: Callable[..., Any] | None
    kwargs: Mapping[str, Any] = {}
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}
    time_limit: float | None = None


class Executor(Protocol):
    """Executes prepared calls; others register under the entry point ``consist.executors``."""

    def execute(self, call: PreparedCall) -> Any:
        """Execute the call and return what it returns."""
        ...
