"""Portable locations: a path becomes a URI under a mount or a run folder, and a path again."""
# ruff: noqa: PTH109, PTH117, PTH118  # paths are text here, see bounds.py

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from consist.errors import PathEscape, UsageError, hint
from consist.files.bounds import (
    absolute,
    below,
    has_link,
    leads_out,
    prefix_of,
    really_within,
)
from consist.types import PathLike

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]+)://")
_NAME = re.compile(r"[a-z][a-z0-9+._-]+")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_RESERVED = frozenset({"file", "ftp", "http", "https"})


@dataclass(frozen=True, slots=True)
class Location:
    """Where an artifact lies: a URI and the root that it is relative to.

    Attributes
    ----------
    root : str
        Absolute path of the run folder for ``./rel``, so that equal texts under two run folders
        are two locations; ``""`` for mounted URIs and absolute paths.
    uri : str
        ``scheme://rel`` under a mount, ``./rel`` in the run folder, else the absolute path.
    """

    root: str
    uri: str


class _Root(NamedTuple):
    path: str
    prefix: str  # what paths below it start with
    head: str  # what their URIs start with
    anchor: str  # their Location.root


class Mounts:
    """Names for folders, so that what is recorded here can be found elsewhere.

    Parameters
    ----------
    run_dir : str or path
        The run folder; its files are ``./rel``.
    mounts : mapping of str to path, optional
        Folder for each URI scheme. Names are lower-case letters, digits, ``+ . _ -``, at least
        two characters (one is a Windows drive). Folders need not exist.

    Raises
    ------
    ValueError
        If a name is malformed or reserved (``file``, ``ftp``, ``http``, ``https``), or a folder
        is empty.

    Examples
    --------
    >>> mounts = Mounts("/runs/base", {"inputs": "/data"})
    >>> mounts.virtualize("/data/zones.csv")
    Location(root='', uri='inputs://zones.csv')
    >>> mounts.resolve_uri("./outputs/trips.parquet")
    '/runs/base/outputs/trips.parquet'
    """

    def __init__(self, run_dir: PathLike, mounts: Mapping[str, PathLike] | None = None) -> None:
        self.run_dir = absolute(run_dir)
        self.roots = {name: _checked_root(name, path) for name, path in (mounts or {}).items()}
        if self.roots.get("workspace") == self.run_dir:
            del self.roots["workspace"]  # workspace:// means the run folder anyway
        mounted = [
            _Root(path, prefix_of(path), f"{name}://", "") for name, path in self.roots.items()
        ]
        mounted.sort(key=lambda root: (-len(root.path), root.head))
        home = _Root(self.run_dir, prefix_of(self.run_dir), "./", self.run_dir)
        self._search = (*mounted, home)

    # ------------------------------------------------------------ path to URI

    def virtualize(self, path: PathLike) -> Location:
        """Return the portable location of a path, which need not exist.

        The longest mount that holds the path wins, then the run folder; everything else keeps
        its absolute path. A path is tried as it is given, then with its folder's symbolic links
        resolved, then resolved altogether, so that a file which a link takes out of one root
        is named under the root where it really lies, if there is one.

        Parameters
        ----------
        path : str or path
            A path, relative ones to the current folder, or a URI: mounted ones are brought into
            their best form, ones of unknown schemes are kept.

        Raises
        ------
        PathEscape
            If it is a URI that leaves its root, or contains a NUL byte.
        """
        text = os.fspath(path)
        if "://" in text and (match := _SCHEME.match(text)):
            text = self.resolve_uri(text)
            if not self._knows(match[1]):
                return Location("", os.fspath(path))
        full = absolute(text)
        given = self._place(full, self._search)
        return given or self._resolved(full) or Location("", _posix(full))

    def _resolved(self, full: str) -> Location | None:
        if not has_link(full):
            return self._place(full, self._real_search)
        folder, name = os.path.split(full)
        beside = os.path.join(os.path.realpath(folder), name)
        return self._place(beside, self._real_search) or self._place(
            os.path.realpath(full), self._real_search
        )

    @staticmethod
    def _place(full: str, roots: tuple[_Root, ...]) -> Location | None:
        for root in roots:
            if (full.startswith(root.prefix) or full == root.path) and _stays(root.path, full):
                return Location(root.anchor, root.head + _posix(full[len(root.prefix) :]))
        return None

    @cached_property
    def _real_search(self) -> tuple[_Root, ...]:
        reals = [(os.path.realpath(root.path), root) for root in self._search]
        return tuple(root._replace(path=real, prefix=prefix_of(real)) for real, root in reals)

    # ------------------------------------------------------------ URI to path

    def resolve(self, uri: str, root: str | None = None) -> Path:
        """Return the path of a location, as :meth:`resolve_uri` does, as a ``Path``."""
        return Path(self.resolve_uri(uri, root))

    def resolve_uri(self, uri: str, root: str | None = None) -> str:
        """Return the absolute path that a URI names; the file need not exist.

        ``./rel``, ``rel`` and ``workspace://rel`` lie in the run folder, ``scheme://rel`` under
        its mount; ``file://`` and absolute paths are taken as they are. A URI whose scheme has
        no mount here cannot be found; it becomes an absolute path below the current folder that
        shows the whole URI.

        Parameters
        ----------
        uri : str
            URI or path as recorded.
        root : str, optional
            Run folder that ``./rel`` belongs to, as in :attr:`Location.root`; by default the
            one of this object.

        Raises
        ------
        PathEscape
            If the path leaves the folder that it belongs to: by ``..``, by a backslash, by a NUL
            byte or by a symbolic link.
        """
        match = _SCHEME.match(uri)
        if match is None:
            return self._resolve_plain(uri, root)
        scheme, relative = match[1], uri[match.end() :]
        if mounted := self.roots.get(scheme):
            return below(mounted, relative, uri)
        if scheme == "workspace":
            return below(self._home(root), relative, uri)
        if scheme == "file":
            return _file_path(uri, relative)
        return _best_effort(uri)

    def _resolve_plain(self, uri: str, root: str | None) -> str:
        if os.path.isabs(uri):
            return absolute(uri)
        if _DRIVE.match(uri):
            return _best_effort(uri)  # a path of another operating system
        return below(self._home(root), uri, uri)

    def _home(self, root: str | None) -> str:
        return absolute(root) if root else self.run_dir

    # ------------------------------------------------------------ questions

    def contains(self, path: PathLike) -> bool:
        """Whether ``path`` really lies in the run folder, symbolic links resolved.

        The base of ``allow_external_paths``: where this is false, a path is external.
        """
        return really_within(path, self.run_dir)

    def mount_of(self, uri: str) -> tuple[str, str] | None:
        """Return name and folder of the mount that ``uri`` lies under, if it has one here."""
        match = _SCHEME.match(uri)
        if match is None or match[1] not in self.roots:
            return None
        return match[1], self.roots[match[1]]

    def _knows(self, scheme: str) -> bool:
        return scheme in self.roots or scheme in {"workspace", "file"}


def _checked_root(name: str, path: PathLike) -> str:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        error = UsageError(f"{name!r} cannot name a mount")
        raise hint(error, "use two or more of a-z 0-9 + . _ -, beginning with a letter")
    if not os.fspath(path):
        raise UsageError(f"mount {name!r} has no folder")
    return absolute(path)


def _stays(root: str, path: str) -> bool:
    """Whether resolving the URI made of both would give ``path`` back."""
    if "\\" in path and os.sep == "/":
        try:
            return below(root, path[len(root) :]) == path
        except PathEscape:
            return False
    return not leads_out(root, path)


def _file_path(uri: str, rest: str) -> str:
    from urllib.parse import unquote

    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise hint(UsageError(f"{uri!r} names another host"), "write file:///absolute/path")
    path = unquote(path)
    return absolute(path if _DRIVE.match(path) and os.sep == "\\" else f"/{path}")


def _best_effort(uri: str) -> str:
    return below(os.getcwd(), uri, uri)


def _posix(path: str) -> str:
    return path if os.sep == "/" else path.replace(os.sep, "/")
