"""Merging in the background of a process that lives long enough for it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

GRACE = 10.0
INTERVAL = 2.0


class BackgroundMerger:
    """A daemon thread that merges at most every two seconds while records are pending.

    It starts with the first record and sleeps until the process is ten seconds old, so that a
    short script never meets it. Worker processes have none: there are many of them, and they merge
    when they end.

    Parameters
    ----------
    merge : callable
        Does one merge and returns whether it got the database.
    forked : bool
        Whether this process was forked from one that uses the store.
    """

    def __init__(self, merge: Callable[[], bool], *, forked: bool = False) -> None:
        self._merge = merge
        self._pending = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._allowed = not (forked or _is_worker())
        self._born = time.monotonic()

    def wake(self) -> None:
        """Say that a record is pending."""
        self._pending.set()
        if self._thread is None and self._allowed and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name="consist-merge", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let a merge in progress finish, and end."""
        self._stopping.set()
        self._pending.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._thread = None

    def _run(self) -> None:
        pause = GRACE - (time.monotonic() - self._born)
        while not self._stopping.wait(max(pause, 0.0)):
            self._pending.wait()
            if self._stopping.is_set():
                return
            self._pending.clear()
            if not self._merge():
                self._pending.set()
            pause = INTERVAL


def _is_worker() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
