"""Whether a worker has the source files that the driver has, and has loaded them as they are.

The identity of a point's code is computed by the driver. A worker that lives longer than an edit
still has the old modules, and one elsewhere may see other files: what it executes would be
recorded under an identity that it does not have.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from consist.errors import CodeDiffers, hint
from consist.store.locks import process_born, this_process

_INSTALLED = ("site-packages", "dist-packages")
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120 - it is text
_MAIN = frozenset({"__main__", "__mp_main__"})
_TICK = 0.02
"""Seconds by which the system may misstate when a process was started."""


class Source(NamedTuple):
    """A source file of the project, and what it holds."""

    path: str
    digest: str | None


Sources = Mapping[str, Source]
"""Source files by the name of their module."""


class LoadedHere:
    """What the modules of this process held when they were loaded, as far as that is known."""

    def __init__(self) -> None:
        self._known: dict[str, Source] = {}
        self._count = 0
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """Go on in a forked child, where a lock of the parent may be held for ever."""
        self._lock = threading.Lock()

    def look(self) -> None:
        """Take in modules that were loaded since the last look.

        A file that changed after this process was started may have been loaded before that.
        """
        with self._lock:
            if len(sys.modules) == self._count:
                return
            self._count = len(sys.modules)
            for name, module in [*sys.modules.items()]:
                path = _source_of(module)
                if path is None or name in _MAIN:
                    continue
                known = self._known.get(name)
                if known is None or known.path != path:
                    self._known[name] = Source(path, _digest_if_older(path, process_born()))

    def take_in_new(self) -> None:
        """Take in modules that were loaded just now, from their files as they are."""
        with self._lock:
            if len(sys.modules) == self._count:
                return
            for name, module in [*sys.modules.items()]:
                path = _source_of(module)
                if path is not None and name not in _MAIN and name not in self._known:
                    self._known[name] = Source(path, _digest(path))
            self._count = len(sys.modules)

    def find(self, name: str) -> Source | None:
        """Return what a module was loaded from, or would be."""
        with self._lock:
            if name in self._known:
                return self._known[name]
        path = _would_be_loaded_from(name)
        return None if path is None else Source(path, _digest(path))


loaded_here = LoadedHere()
os.register_at_fork(after_in_child=loaded_here.begin_anew)


def project_sources(root: Path, files: Collection[str] = ()) -> dict[str, Source]:
    """Return the source files that the modules of this process come from.

    Parameters
    ----------
    root : Path
        The project; what is installed there is not meant.
    files : collection of str
        Further files.
    """
    inside, more = os.path.join(root, ""), {os.path.realpath(file) for file in files}  # noqa: PTH118
    found: dict[str, Source] = {}
    for name, module in [*sys.modules.items()]:
        path = _source_of(module)
        if path is None or name in _MAIN:
            continue
        if path.startswith(inside) or os.path.realpath(path) in more:
            found[name] = Source(path, _digest(path))
    return found


def check_same(step: str, asked: Sources, files: Collection[str] | None) -> None:
    """Refuse to execute a step whose code is not the driver's.

    Parameters
    ----------
    step : str
        Its name.
    asked : mapping
        The driver's source files.
    files : collection of str or None
        Which of them identify the step; None for all of them.

    Raises
    ------
    CodeDiffers
        Naming host and files.
    """
    wanted = None if files is None else {os.path.realpath(file) for file in files}
    other: list[str] = []
    for name, source in asked.items():
        if wanted is not None and os.path.realpath(source.path) not in wanted:
            continue
        here = loaded_here.find(name)
        if here is not None and (here.digest is None or here.digest != source.digest):
            other.append(here.path)
    if other:
        problem = CodeDiffers(step, this_process().host, tuple(sorted(other)[:10]))
        remedy = "the worker loaded or finds other files than the driver: restart the workers,"
        raise hint(problem, f"{remedy} and let them see the driver's files")


# ---------------------------------------------------------------- files


def _source_of(module: ModuleType | None) -> str | None:
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py") or path.startswith(_STANDARD):
        return None
    return None if any(part in path for part in _INSTALLED) else os.path.abspath(path)  # noqa: PTH100


def _would_be_loaded_from(name: str) -> str | None:
    package, _, _ = name.rpartition(".")
    if package and package not in sys.modules:
        return None  # to find it would mean to import the package
    try:
        spec = find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return None if spec is None or not spec.has_location else spec.origin


def _digest(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _digest_if_older(path: str, moment: float) -> str | None:
    try:
        changed = Path(path).stat().st_mtime
    except OSError:
        return None
    return None if changed > moment + _TICK else _digest(path)
