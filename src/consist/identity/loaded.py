"""Which source files of the project changed after their modules were loaded.

The code that a process executes is the code it loaded, while the identity of a repository is that
of its files. Where the two have parted, a run cannot tell what it executed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple

_INSTALLED = ("site-packages", "dist-packages")
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120 - it is text
_PYC_HEADER = 16
_UNKNOWN = object()


class _Source(NamedTuple):
    spec: object
    path: str
    stamp: tuple[int, int] | None


class LoadedSources:
    """The modules of a project as they were when they were first seen.

    Parameters
    ----------
    project_root
        Folder of the project; modules elsewhere do not count.
    """

    def __init__(self, project_root: str | os.PathLike[str]) -> None:
        self._root = os.path.join(os.path.realpath(project_root), "")  # noqa: PTH118
        self._seen: dict[str, _Source] = {}
        self._elsewhere: set[str] = set()
        self._count = 0
        self._distrusted: dict[str, object] = {}

    def look(self, *, thorough: bool = False) -> bool:
        """Take in modules that were loaded since the last look.

        Parameters
        ----------
        thorough : bool, default False
            Look at every module, even if there are as many as at the last look.

        Returns
        -------
        bool
            Whether a module was loaded again, as a notebook does; what it executes now is the
            file as it is.
        """
        reloaded = False
        every = thorough or len(sys.modules) != self._count
        self._count = len(sys.modules)
        for name in list(sys.modules if every else self._seen):
            module = sys.modules.get(name)
            if module is None or name in self._elsewhere:
                continue
            known, spec = self._seen.get(name), getattr(module, "__spec__", None)
            if known is not None and known.spec is spec:
                continue
            path = None if _is_installed(module) else _source_file(module)
            if path is None or not self._is_ours(path):
                self._elsewhere.add(name)
                continue
            reloaded = reloaded or known is not None
            self._seen[name] = _Source(spec, path, _loaded_stamp(module, path))
        return reloaded

    def changed(self) -> tuple[str, ...]:
        """Return the files that are not what was loaded, relative to the project."""
        return tuple(
            sorted(
                os.path.relpath(source.path, self._root)
                for source in self._seen.values()
                if self._is_changed(source)
            )
        )

    def changed_among(self, files: Iterable[str]) -> tuple[str, ...]:
        """Return those of some files that are not what was loaded, wherever they lie.

        Names in the project are relative to it.

        Parameters
        ----------
        files
            Source files, as code objects name them. What is not loaded cannot have changed since.
        """
        wanted = {os.path.realpath(file) for file in files}
        self._follow(wanted - {source.path for source in self._seen.values()})
        return tuple(
            sorted(
                self._name(source.path)
                for source in self._seen.values()
                if source.path in wanted and self._is_changed(source)
            )
        )

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root)

    def distrust(self, files: Iterable[str]) -> None:
        """Take files for changed, because they do not say what was loaded from them.

        Import hooks that rewrite what they load (as pytest does with tests) are no such sign.
        """
        paths = {os.path.realpath(file) for file in files}
        self._follow(paths - {source.path for source in self._seen.values()})
        for name, source in self._seen.items():
            loader = getattr(sys.modules.get(name), "__loader__", None)
            if source.path in paths and type(loader) is SourceFileLoader:
                self._distrusted[source.path] = source.spec

    def _is_changed(self, source: _Source) -> bool:
        if self._distrusted.get(source.path, _UNKNOWN) is source.spec:
            return True
        return source.stamp is not None and _stamp(source.path) != source.stamp

    def _follow(self, paths: AbstractSet[str]) -> None:
        """Take in modules that lie outside the project, or were loaded since the last look."""
        if not paths:
            return
        last_parts = {path.rpartition(os.sep)[2] for path in paths}
        for name, module in list(sys.modules.items()):
            # Resolving the path of every module would take longer than everything else here.
            if str(getattr(module, "__file__", None)).rpartition(os.sep)[2] not in last_parts:
                continue
            path = _source_file(module)
            if path is not None and path in paths:
                spec = getattr(module, "__spec__", None)
                self._seen[name] = _Source(spec, path, _loaded_stamp(module, path))
                self._elsewhere.discard(name)

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self._root) and not any(part in path for part in _INSTALLED)


def _is_installed(module: Any) -> bool:
    """Whether the path of a module tells that Python or a distribution brought it.

    Following the links in every path would take longer than the rest of a run's identity.
    """
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and (
        path.startswith(_STANDARD) or any(part in path for part in _INSTALLED)
    )


def _source_file(module: Any) -> str | None:
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py"):
        return None
    return os.path.realpath(path)


def _loaded_stamp(module: Any, path: str) -> tuple[int, int] | None:
    """Return mtime in seconds and size of the source that a module was loaded from.

    The compiled file tells them; without one, the file is taken to be what was loaded.
    """
    header = _compiled_header(getattr(module, "__cached__", None))
    checked_by_time = len(header) == _PYC_HEADER and header[4:8] == b"\0\0\0\0"
    if not checked_by_time:
        return _stamp(path)
    return int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")


def _compiled_header(cached: str | None) -> bytes:
    if not cached:
        return b""
    try:
        with Path(cached).open("rb") as file:
            return file.read(_PYC_HEADER)
    except OSError:
        return b""


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
