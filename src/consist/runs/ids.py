"""Ids that nobody else makes, and times that never go back."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta

_ROOM = 200  # bytes of a file name, which has 255; the suffix and a temporary name must fit too
_clock_lock = threading.Lock()
_latest = datetime.min.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the time, strictly later than every time returned before in this process."""
    global _latest  # noqa: PLW0603 - one clock per process
    with _clock_lock:
        _latest = max(datetime.now(UTC), _latest + timedelta(microseconds=1))
        return _latest


def new_uid() -> str:
    """Return the internal id of a run: 128 random bits."""
    return os.urandom(16).hex()


def automatic_id(name: str, scenario: str | None = None) -> str:
    """Return an id that nobody else makes: the name and 80 bits, ordered by time."""
    milliseconds = int(time.time() * 1000) & 0xFF_FFFF_FFFF
    suffix = f"{milliseconds:010x}{os.urandom(5).hex()}"
    prefix = name if scenario is None else f"{scenario}_{name}"
    return f"{_fitting(prefix.replace('~', '-')[:120])}_{suffix}"


def _fitting(prefix: str) -> str:
    """Return as much of a name as fits into a file name, however its letters are encoded."""
    while sum(map(_encoded_length, prefix)) > _ROOM:
        prefix = prefix[:-1]
    return prefix


def _encoded_length(letter: str) -> int:
    if letter.isascii():
        return 1 if letter.isalnum() or letter in "_-." else 3
    return 12
