"""Footers of Parquet files: what each thread wrote last need not be read again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from consist.types import PathLike

_last = threading.local()


def remember(path: PathLike, footer: Any) -> None:
    """Keep the footer of the file that this thread has just written, until it is asked for."""
    _last.written = (_stamp(path), footer)


def forget() -> None:
    """Let go of what was remembered."""
    _last.written = None


def footer_of(path: PathLike) -> Any:
    """Return the metadata of a Parquet file; what this thread wrote last is not read again."""
    from pyarrow import parquet

    stamp, footer = getattr(_last, "written", None) or (None, None)
    forget()  # which is asked for once, and may be large
    if stamp is not None and stamp == _stamp(path):
        return footer
    reader: Any = parquet
    return reader.read_metadata(path)


def _stamp(path: PathLike) -> tuple[int, ...]:
    """Return what tells a file from any other, wherever it is moved to."""
    found = Path(path).stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
