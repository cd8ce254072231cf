"""What a coupler and its views have in common: values by key, and what is expected of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from consist.errors import some_of
from consist.models.record import ArtifactRecord

logger = logging.getLogger("consist.workflow")

ROOT = ""
"""The prefix of a coupler itself, which sees every key."""


_LEFT_BEHIND = frozenset({"resolve", "_lock"})


class DeclaredOutput(msgspec.Struct, frozen=True):
    """What is expected of one key.

    Attributes
    ----------
    key : str
        The key.
    required : bool
        Whether it has to be set when the scenario ends.
    description : str or None
        What it is, for people.
    """

    key: str
    required: bool = False
    description: str | None = None


class Unmade(msgspec.Struct, frozen=True):
    """An artifact that is made when somebody reads it; until then, its record."""

    record: ArtifactRecord
    make: Callable[[], Any]


class Shelf:
    """Values by full key. Threads may write while others read, count or iterate.

    Parameters
    ----------
    resolve : callable or None
        Turns a URI into a path.
    """

    def __init__(self, resolve: Callable[[str], str] | None) -> None:
        self.resolve = resolve
        self.declared: dict[str, DeclaredOutput] = {}
        self._values: dict[str, Any] = {}
        self._below: dict[str, dict[str, None]] = {}
        self._warns_in: set[str] = set()
        self._warned: set[str] = set()
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave tracker and lock behind, and make what is to be read elsewhere."""
        for key in self.keys(ROOT):
            self.get(key)
        with self._lock:
            kept = {name: value for name, value in vars(self).items() if name not in _LEFT_BEHIND}
            return {name: value.copy() for name, value in kept.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was kept, with a lock of its own."""
        self.__init__(None)
        vars(self).update(state)

    # ------------------------------------------------------------ values

    def put(self, values: Mapping[str, Any], *, warn: bool = True) -> None:
        """Store values, all of them before anybody reads one."""
        with self._lock:
            for key in values:
                if key not in self._values:
                    self._list(key)
            self._values.update(values)
        if warn and self._warns_in:
            self._warn(values)

    def put_one(self, key: str, value: Any) -> None:
        """Store one value; every output of every step passes here."""
        with self._lock:
            if "/" in key and key not in self._values:
                self._list(key)
            self._values[key] = value
        if self._warns_in:
            self._warn((key,))

    def _list(self, key: str) -> None:
        """List a key in each namespace that it lies in, so that views need not search for it."""
        at = key.find("/") + 1
        while at:
            self._below.setdefault(key[:at], {})[key] = None
            at = key.find("/", at) + 1

    def peek(self, key: Any) -> Any:
        """Return the value of a key as it is kept, or ``None``."""
        return self._values.get(key)

    def holds(self, key: Any) -> bool:
        """Whether a key was set here."""
        return key in self._values

    def get(self, key: Any) -> Any:
        """Return the value of a key, made now if nobody read it before, or ``None``."""
        value = self._values.get(key)
        while isinstance(value, Unmade):
            made = value.make()  # without the lock: others need not wait, nor forked children
            with self._lock:
                if self._values[key] is value:
                    self._values[key] = made
                value = self._values[key]
        return value

    def keys(self, prefix: str) -> list[str]:
        """Return the full keys that begin with a prefix, in the order they were first set."""
        with self._lock:
            return list(self._values if prefix == ROOT else self._below.get(prefix, ()))

    def count(self, prefix: str) -> int:
        """Return how many keys begin with a prefix."""
        return len(self._values if prefix == ROOT else self._below.get(prefix, ()))

    # ------------------------------------------------------------ expectations

    def expected(self, prefix: str) -> list[DeclaredOutput]:
        """Return what is expected of keys that begin with a prefix, in the order of declaration."""
        with self._lock:
            return [d for key, d in self.declared.items() if key.startswith(prefix)]

    def expect_as(self, other: Shelf) -> None:
        """Share what is expected with another shelf."""
        self.declared, self._warns_in = other.declared, other._warns_in

    def declare(self, outputs: Mapping[str, DeclaredOutput], *, warns_in: str | None) -> None:
        """Keep what is expected, and warn from now on of other keys that begin with a prefix."""
        with self._lock:
            self.declared.update(outputs)
            if warns_in is not None:
                self._warns_in.add(warns_in)

    def _warn(self, keys: Iterable[str]) -> None:
        """Warn of keys that nobody declared, once for each."""
        with self._lock:
            undeclared = [key for key in keys if self._is_unexpected(key)]
            self._warned.update(undeclared)
        for key in undeclared:
            known = some_of(tuple(self.declared)) or "none"
            logger.warning("[Consist] key %r was set and never declared (declared: %s)", key, known)

    def _is_unexpected(self, key: str) -> bool:
        return (
            key not in self.declared
            and key not in self._warned
            and any(key.startswith(prefix) for prefix in self._warns_in)
        )
