"""A bar for work that takes long, on terminals only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Advance: TypeAlias = Callable[[int], None]
"""Says that so many bytes more are done; safe to call from any thread."""

DELAY = 2.0
"""Seconds of work before a bar appears."""


@contextmanager
def progress(
    what: str, total: Callable[[], int], *, shown: bool = True, stream: TextIO | None = None
) -> Generator[Advance]:
    """Yield a function that counts bytes, and show a bar if the block takes long.

    Parameters
    ----------
    what : str
        What is being done, such as ``"copying"``.
    total : callable
        Counts the bytes in all; only asked where a bar may be shown.
    shown : bool, default True
        Whether a bar may be shown at all.
    stream : file, optional
        Where to; by default the standard error. Nothing is shown where it is no terminal.
    """
    out: TextIO | None = sys.stderr if stream is None else stream
    if not shown or out is None or not out.isatty():
        yield _count_nothing
        return
    bar = _Bar(what, total(), out)
    try:
        yield bar.advance
    finally:
        bar.close()


def _count_nothing(_: int) -> None:
    pass


class _Bar:
    """Counts, and begins to draw once that is worth it."""

    def __init__(self, what: str, total: int, stream: TextIO) -> None:
        self._what, self._total, self._stream = what, total, stream
        self._lock = threading.Lock()
        self._begin_at = time.monotonic() + DELAY
        self._done = 0
        self._drawn: RichProgress | None = None

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._drawn is None and time.monotonic() >= self._begin_at:
                self._drawn = self._drawing()
            if self._drawn is not None:
                self._drawn.update(self._drawn.task_ids[0], completed=self._done)

    def close(self) -> None:
        with self._lock:
            if self._drawn is not None:
                self._drawn.stop()

    def _drawing(self) -> RichProgress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        drawn = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
            transient=True,
        )
        drawn.add_task(self._what, total=self._total)
        drawn.start()
        return drawn
