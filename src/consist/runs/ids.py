"""Ids that nobody else makes, and times that never go back."""

from __future__ import annotations

import base64
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

_MAX_PREFIX = 200  # encoded bytes; file names have 255, for prefix, suffix and extension
_clock_lock = threading.Lock()
_latest = datetime.min.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the time, strictly later than every time returned before in this process."""
    global _latest  # noqa: PLW0603 - one clock per process
    with _clock_lock:
        _latest = max(datetime.now(UTC), _latest + timedelta(microseconds=1))
        return _latest


def automatic_id(name: str, scenario: str | None = None) -> str:
    """Return an id that nobody else makes: the name and 80 bits, ordered by time."""
    stamp = int(time.time() * 1000).to_bytes(6, "big")[1:]
    suffix = base64.b32hexencode(stamp + secrets.token_bytes(5)).decode().lower()
    prefix = name if scenario is None else f"{scenario}_{name}"
    return f"{_fitting(prefix.replace('~', '-')[:120])}_{suffix}"


def _fitting(prefix: str) -> str:
    """Return as much of a name as fits into a file name, however its letters are encoded."""
    while prefix and len(quote(prefix)) > _MAX_PREFIX:
        prefix = prefix[:-1]
    return prefix
