"""Where the bytes of an artifact may lie: here, where they were written, where they were saved."""
# ruff: noqa: PTH117  # paths are text here, see bounds.py

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from consist.errors import PathEscape, UsageError
from consist.files.bounds import absolute, below
from consist.files.mounts import Mounts


def places(mounts: Mounts, uri: str, root: str, meta: Mapping[str, Any]) -> list[str]:
    """Return every path where an artifact may lie, in the order in which they are tried.

    Parameters
    ----------
    mounts : Mounts
        Mounts and run folder of this tracker.
    uri, root : str
        Location of the artifact.
    meta : mapping
        Metadata of the artifact: ``recovery_roots`` is a list of folders that hold copies under
        the same relative paths.

    Raises
    ------
    PathEscape
        If the location leaves its root.
    """
    found = [mounts.resolve_uri(uri)]
    if root and root != mounts.run_dir:
        found.append(mounts.resolve_uri(uri, root))
    if alternatives(meta):
        found.extend(_elsewhere(uri, _saved(meta)))
    return list(dict.fromkeys(found))


def alternatives(meta: Mapping[str, Any]) -> bool:
    """Whether metadata name further folders."""
    return "recovery_roots" in meta


def relative_part(uri: str) -> str | None:
    """Return the part of a URI below its root; ``None`` for absolute paths, which have no root."""
    scheme, separator, rest = uri.partition("://")
    if separator:
        return None if scheme == "file" else rest
    return None if os.path.isabs(uri) else uri.removeprefix("./")


def below_roots(uri: str, roots: Iterable[object]) -> list[str]:
    """Return the path of a URI below each of these folders; what is no folder is passed over."""
    return list(_elsewhere(uri, roots))


def _saved(meta: Mapping[str, Any]) -> Iterator[object]:
    saved = meta.get("recovery_roots")
    if isinstance(saved, (list, tuple)):
        yield from saved
    else:
        yield saved


def _elsewhere(uri: str, roots: Iterable[object]) -> Iterator[str]:
    relative = relative_part(uri)
    for root in roots if relative is not None else ():
        if isinstance(root, str) and os.path.isabs(root):
            with suppress(PathEscape, UsageError):  # such a folder does not hold the artifact
                yield below(absolute(root), str(relative), uri)
