"""Making syntax trees, by one thread at a time.

CPython 3.11 counts the depth of the trees of all threads as one: if two are made at once, it raises
``SystemError``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def parsing() -> Generator[None]:
    """Let no other thread make a syntax tree in the block."""
    with _lock:
        yield


def _begin_anew() -> None:
    global _lock  # noqa: PLW0603 - in a forked child, nobody would ever let go of it
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_begin_anew)
