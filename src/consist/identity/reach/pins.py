"""How to tell quickly that what a callable reaches is still what it was.

Reaching is looked up once per callable. Afterwards a notebook may define a helper anew, code may be
reloaded, a table may be changed in place. Everything that was entered is pinned: the names by what
they stood for, functions by their code, data by its fingerprint.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Iterable, Mapping, Sized
from contextlib import suppress
from operator import is_
from types import CellType, FunctionType
from typing import Any

from consist.errors import UnhashableValue
from consist.identity.canonical import encode
from consist.identity.carried import parts_of

_ABSENT = object()


class Pins:
    """What was found where."""

    def __init__(self) -> None:
        self._names: list[tuple[Callable[..., Any], object, object]] = []
        self._functions: list[tuple[FunctionType, object, object, object]] = []
        self._cells: list[tuple[CellType, object]] = []
        self._data: list[tuple[Any, bytes]] = []
        self._derived: list[tuple[type, set[type]]] = []
        self._files: list[tuple[str, object]] = []
        self._sizes: list[tuple[Sized, int]] = []
        self._items: list[tuple[Callable[[], Iterable[Any]], list[Any]]] = []

    def name(self, namespace: Mapping[Any, Any], name: Any) -> None:
        """Pin what a name stands for in a namespace."""
        self._names.append((namespace.get, name, namespace.get(name, _ABSENT)))

    def function(self, function: FunctionType) -> None:
        """Pin the code and the defaults of a function, and what it captured."""
        kept = (function, function.__code__, function.__defaults__, function.__kwdefaults__)
        self._functions.append(kept)
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # not assigned yet
                self._cells.append((cell, cell.cell_contents))

    def file(self, path: str) -> None:
        """Pin the time and the size of a file that was read and may not have been loaded."""
        self._files.append((path, _stamp(path)))

    def data(self, value: Any) -> None:
        """Pin a container or an array by what is in it."""
        self._data.append((value, _fingerprint(value)))

    def size(self, value: Sized) -> None:
        """Pin how much something holds."""
        self._sizes.append((value, len(value)))

    def items(self, read: Callable[[], Iterable[Any]]) -> None:
        """Pin which objects a list, a mapping or an instance holds; ``read`` yields them.

        They are held, since the id of what is gone may be used again.
        """
        self._items.append((read, list(read())))

    def carried(self, value: Any) -> None:
        """Pin what a method, a partial or an object that is called carries."""
        self.items(lambda: [item for _, item in parts_of(value)])

    def subclasses(self, cls: type) -> None:
        """Pin which classes are derived from one."""
        self._derived.append((cls, _derived(cls)))

    def hold(self) -> bool:
        """Whether all of it is still as it was; this is asked at every look-up."""
        for get, name, value in self._names:
            if get(name, _ABSENT) is not value:
                return False
        for fn, code, defaults, named in self._functions:
            if (
                fn.__code__ is not code
                or fn.__defaults__ is not defaults
                or fn.__kwdefaults__ is not named
            ):
                return False
        return (
            all(_content(cell) is value for cell, value in self._cells)
            and all(len(value) == size for value, size in self._sizes)
            and all(_are(read(), items) for read, items in self._items)
            and all(_stamp(path) == stamp for path, stamp in self._files)
            and all(_derived(cls) == found for cls, found in self._derived)
            and all(_fingerprint(value) == known for value, known in self._data)
        )


def _derived(cls: type) -> set[type]:
    found = set(cls.__subclasses__())
    return found.union(*map(_derived, found))


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _are(found: Iterable[Any], items: list[Any]) -> bool:
    now = list(found)
    return len(now) == len(items) and all(map(is_, now, items))


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


def _fingerprint(value: Any) -> bytes:
    try:
        return marshal.dumps(value, 2)  # without references, which depend on who else looks
    except ValueError:
        pass
    try:
        return encode(value)
    except UnhashableValue:
        return b"?"
