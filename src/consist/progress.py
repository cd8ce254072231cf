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
    from rich.progress import ProgressColumn

Advance: TypeAlias = Callable[[int], None]
"""Says that so many bytes more are done; safe to call from any thread."""

Show: TypeAlias = Callable[[int, str], None]
"""Says how many things are done, and what became of them."""

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
    out = _terminal(stream) if shown else None
    if out is None:
        yield lambda _: None
        return
    bar = _Bar(what, total(), out, _columns_of_bytes)
    try:
        yield bar.advance
    finally:
        bar.close()


@contextmanager
def counting(
    what: str, total: int, *, shown: bool = True, stream: TextIO | None = None
) -> Generator[Show]:
    """Yield a function that says how many things are done, and show a bar if they take long.

    Parameters
    ----------
    what : str
        What the things are.
    total : int
        How many there are.
    shown, stream
        As for :func:`progress`.
    """
    out = _terminal(stream) if shown else None
    if out is None:
        yield lambda _, __: None
        return
    bar = _Bar(what, total, out, _columns_of_things)
    try:
        yield bar.show
    finally:
        bar.close()


@contextmanager
def working(what: str, *, shown: bool = True, stream: TextIO | None = None) -> Generator[None]:
    """Show what is being done and for how long, if the block takes long and its end is not known.

    Parameters
    ----------
    what : str
        What is being done, such as ``"ingesting trips"``.
    shown, stream
        As for :func:`progress`.
    """
    out = _terminal(stream) if shown else None
    if out is None:
        yield
        return
    bar = _Bar(what, None, out, _columns_of_time)
    waiting = threading.Timer(DELAY, bar.advance, (0,))
    waiting.daemon = True
    waiting.start()
    try:
        yield
    finally:
        waiting.cancel()
        bar.close()


def _terminal(stream: TextIO | None) -> TextIO | None:
    out: TextIO | None = sys.stderr if stream is None else stream
    return out if out is not None and out.isatty() else None


class _Bar:
    """Counts, and begins to draw once that is worth it."""

    def __init__(
        self,
        what: str,
        total: int | None,
        stream: TextIO,
        columns: Callable[[], list[ProgressColumn]],
    ) -> None:
        self._what, self._total, self._stream, self._columns = what, total, stream, columns
        self._lock = threading.Lock()
        self._begin_at = time.monotonic() + DELAY
        self._done = 0
        self._drawn: RichProgress | None = None
        self._closed = False

    def advance(self, count: int) -> None:
        with self._lock:
            self._draw(self._done + count, "")

    def show(self, done: int, note: str) -> None:
        with self._lock:
            self._draw(done, note)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._drawn is not None:
                self._drawn.stop()

    def _draw(self, done: int, note: str) -> None:
        self._done = done
        if self._drawn is None and time.monotonic() >= self._begin_at and not self._closed:
            self._drawn = self._drawing()
        if self._drawn is not None:
            self._drawn.update(self._drawn.task_ids[0], completed=done, note=note)

    def _drawing(self) -> RichProgress:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(file=self._stream)
        drawn = Progress(*self._columns(), console=console, transient=True)
        drawn.add_task(self._what, total=self._total, note="")
        drawn.start()
        return drawn


def _columns_of_bytes() -> list[ProgressColumn]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]


def _columns_of_time() -> list[ProgressColumn]:
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    return [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    ]


def _columns_of_things() -> list[ProgressColumn]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    ]
