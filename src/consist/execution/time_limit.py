"""Stop a step that takes too long, wherever it runs."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from consist.errors import TimeLimitExceeded

_MACHINERY = frozenset({__file__, contextmanager.__code__.co_filename})
"""Where blocks are entered and left: raised there, an error would keep them from tidying up."""
_SOON = 1e-3


@contextmanager
def time_limit(seconds: float | None) -> Generator[None]:
    """Raise :class:`~consist.errors.TimeLimitExceeded` in the block once it has taken too long.

    In the main thread a signal interrupts Python code and waiting system calls, such as waiting
    for a subprocess. In other threads the error is raised at the next instruction of Python code.
    Neither stops code in C before it returns.

    Parameters
    ----------
    seconds : float or None
        ``None`` for no limit.
    """
    if seconds is None:
        yield
    elif threading.current_thread() is threading.main_thread():
        with _by_signal(seconds):
            yield
    else:
        with _by_exception(seconds):
            yield


@contextmanager
def _by_signal(seconds: float) -> Generator[None]:
    began, exceeded, over = time.monotonic(), False, False
    left, _ = signal.getitimer(signal.ITIMER_REAL)  # of a limit around this one

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal exceeded
        if 0 < left < seconds and callable(earlier):
            earlier(number, frame)
        exceeded = True
        if over:
            return
        if frame is not None and frame.f_code.co_filename in _MACHINERY:
            signal.setitimer(signal.ITIMER_REAL, _SOON)
            return
        raise TimeLimitExceeded(seconds)

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, left or seconds))
    try:
        try:
            yield
        finally:
            over = True  # the signal comes once; if it comes here, the outer block still tidies up
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 1e-3))
    if exceeded:
        raise TimeLimitExceeded(seconds)  # the step kept it to itself


@contextmanager
def _by_exception(seconds: float) -> Generator[None]:
    thread, lock = threading.get_ident(), threading.Lock()
    exceeded = over = False

    def stop() -> None:
        nonlocal exceeded
        with lock:
            if not over:
                exceeded = True
                _raise_in(thread, _exceeded(seconds))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        try:
            yield
        finally:
            over = True
    finally:
        with lock:  # what was sent and has not arrived must not arrive later
            timer.cancel()
            _raise_in(thread, None)
    if exceeded:
        raise TimeLimitExceeded(seconds)  # the step kept it to itself


def _exceeded(seconds: float) -> type[TimeLimitExceeded]:
    """Return the error as a class: only a class can be raised in another thread."""

    class Exceeded(TimeLimitExceeded):
        def __init__(self) -> None:
            super().__init__(seconds)

    Exceeded.__name__ = Exceeded.__qualname__ = TimeLimitExceeded.__name__
    return Exceeded


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    raised: Any = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
