"""What lies inside a folder: the guards behind every path that is made from somebody's text.

Paths are text here and not :class:`pathlib.Path`: these functions run on every cache hit, where
one step of pathlib costs as much as all of them.
"""
# ruff: noqa: PTH100, PTH109  # paths are text here, see bounds.py

from __future__ import annotations

import os
import posixpath
import stat

from consist.errors import PathEscape, UsageError, hint
from consist.types import PathLike


def absolute(path: PathLike) -> str:
    """Return ``path`` as normalised absolute text, relative to the current folder.

    Symbolic links stay as they are.

    Raises
    ------
    PathEscape
        If the path contains a NUL byte, at which the operating system would cut it.
    UsageError
        If the path is not text that can be recorded (bytes that are not UTF-8).
    """
    text = os.fspath(path)
    if "\0" in text:
        raise PathEscape(text, os.getcwd())
    if not text.isascii():
        _check_unicode(text)
    text = os.path.abspath(text)
    # POSIX lets two leading slashes mean something else, and no system we run on makes use of it.
    return text[1:] if text.startswith("//") and os.sep == "/" else text


def within(path: str, root: str) -> bool:
    """Whether ``path`` is ``root`` or lies below it; both absolute and normalised."""
    return path == root or path.startswith(prefix_of(root))


def really_within(path: PathLike, root: PathLike) -> bool:
    """Whether ``path`` lies in ``root`` once all symbolic links of both are resolved."""
    return within(os.path.realpath(absolute(path)), os.path.realpath(absolute(root)))


def prefix_of(root: str) -> str:
    """Return ``root`` with exactly one separator at its end, also for ``/`` itself."""
    return root if root.endswith(os.sep) else root + os.sep


def below(root: str, relative: str, shown: str | None = None) -> str:
    r"""Return the absolute path of ``relative`` under ``root``, which it cannot leave.

    Leaving is refused in every form: ``..``, a backslash that another system takes for a
    separator, a NUL byte, a symbolic link below ``root`` that leads out of it. An absolute
    ``relative`` and empty segments stay under ``root``.

    Parameters
    ----------
    root : str
        Absolute normalised path of the folder; it need not exist.
    relative : str
        Path below it, with ``/`` between segments.
    shown : str, optional
        What the error names instead of ``relative``, such as the whole URI.

    Raises
    ------
    PathEscape
        If the path leads out of ``root``.

    Examples
    --------
    >>> below("/data", "a//b/../c.csv")
    '/data/a/c.csv'
    """
    path = _join(root, relative)
    if path is None or leads_out(root, path):
        raise PathEscape(relative if shown is None else shown, root)
    return path


def _join(root: str, relative: str) -> str | None:
    if "\0" in relative or ("\\" in relative and _climbs(relative.replace("\\", "/"))):
        return None
    if not relative.isascii():
        _check_unicode(relative)
    path = os.path.normpath(f"{root}/{relative}")
    if path.startswith("//"):
        path = path[1:]
    return path if within(path, root) else None


def _climbs(relative: str) -> bool:
    return posixpath.normpath(relative.lstrip("/")).split("/", 1)[0] == ".."


def leads_out(root: str, path: str) -> bool:
    """Whether a symbolic link below ``root`` takes ``path`` (which lies below it) out of it.

    Links in ``root`` itself are the business of who chose it.
    """
    if not has_link(path, len(root.rstrip(os.sep))):
        return False
    return not within(os.path.realpath(path), os.path.realpath(root))


def has_link(path: str, start: int = 0) -> bool:
    """Whether a segment of ``path`` that ends behind index ``start`` is a symbolic link.

    One ``lstat`` for each segment, a fraction of what ``os.path.realpath`` costs.
    """
    end = start
    while end < len(path):
        end = path.find(os.sep, end + 1)
        end = len(path) if end < 0 else end
        try:
            mode = os.lstat(path[:end]).st_mode
        except OSError:
            return False  # nothing there, so no link either
        if stat.S_ISLNK(mode):
            return True
    return False


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        error = UsageError(f"the path {text!r} is not valid Unicode and cannot be recorded")
        raise hint(error, "rename the file; its name has bytes that are not UTF-8") from None
