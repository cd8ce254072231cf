"""Environment variables and limits, read in one place.

Settings are read when a tracker is built and never change under it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from consist.errors import UsageError

KEY_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,255}")
MAX_NAME_LENGTH = 256
MAX_DESCRIPTION_LENGTH = 4_096
MAX_TAG_LENGTH = 256
MAX_CONFIG_KEY_LENGTH = 256
MAX_CONFIG_STRING_LENGTH = 1_000_000
MAX_NESTING = 50

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


class Settings(msgspec.Struct, frozen=True):
    """Limits and switches of one tracker.

    Attributes
    ----------
    max_metadata_items, max_metadata_key_length, max_metadata_value_length : int
        Bounds on ``run.meta`` (``CONSIST_MAX_METADATA_ITEMS``, ``…_KEY_LENGTH``,
        ``…_VALUE_LENGTH``); 200 entries, 256 and 65,536 characters by default.
    max_facet_bytes, max_facet_leaves : int
        Largest facet whose values can be asked for one by one (``CONSIST_MAX_FACET_BYTES``,
        ``CONSIST_MAX_FACET_LEAVES``); 16,384 bytes of JSON and 500 values by default. A larger one
        is stored all the same, with a warning.
    relation_warn_threshold : int
        Open lazy relations before a leak warning (``CONSIST_RELATION_WARN_THRESHOLD``, 100).
    cache_timing, cache_debug : bool
        Log one line per cache decision (``CONSIST_CACHE_TIMING``, ``CONSIST_CACHE_DEBUG``).
    allow_external_paths : bool
        Default of ``allow_external_paths`` (``CONSIST_ALLOW_EXTERNAL_PATHS``).
    lock_wait : float
        Seconds that a question waits for the database file (``CONSIST_LOCK_WAIT``, 5).
    durability : str
        ``"process"``, ``"disk"`` or ``"auto"`` (``CONSIST_DURABILITY``): what an acknowledged
        record survives. ``auto`` is ``disk`` on network file systems, else ``process``.
    scenario_join : bool
        Scenarios join the latest attempt of their name (``CONSIST_SCENARIO_JOIN``).
    schema_sample_rows : int or None
        Rows that are looked at where the columns of a file are captured
        (``CONSIST_SCHEMA_SAMPLE_ROWS``, 1000); ``none`` is all of them.
    schema_profile : bool
        Capture the columns of every table that is logged without saying so
        (``CONSIST_SCHEMA_PROFILE_ENABLED``).
    progress : bool
        Show a bar on terminals while long copies go on (``CONSIST_PROGRESS``, on by default).
    cache_dir : str or None
        Folder for per-host caches (``CONSIST_CACHE_DIR``), by default the user's cache folder.
    """

    max_metadata_items: int = 200
    max_metadata_key_length: int = 256
    max_metadata_value_length: int = 65_536
    max_facet_bytes: int = 16_384
    max_facet_leaves: int = 500
    relation_warn_threshold: int = 100
    cache_timing: bool = False
    cache_debug: bool = False
    allow_external_paths: bool = False
    lock_wait: float = 5.0
    durability: str = "auto"
    scenario_join: bool = False
    schema_sample_rows: int | None = 1000
    schema_profile: bool = False
    progress: bool = True
    cache_dir: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables.

        Raises
        ------
        ValueError
            Naming the variable, if its text cannot be read.
        """
        given = _given.get()
        if environ is None and given is not None:
            return given
        env = os.environ if environ is None else environ
        durability = env.get("CONSIST_DURABILITY", "auto")
        if durability not in {"auto", "process", "disk"}:
            raise UsageError(f"CONSIST_DURABILITY={durability!r} is not auto, process or disk")
        return cls(
            max_metadata_items=_integer(env, "CONSIST_MAX_METADATA_ITEMS", 200),
            max_metadata_key_length=_integer(env, "CONSIST_MAX_METADATA_KEY_LENGTH", 256),
            max_metadata_value_length=_integer(env, "CONSIST_MAX_METADATA_VALUE_LENGTH", 65_536),
            max_facet_bytes=_integer(env, "CONSIST_MAX_FACET_BYTES", 16_384),
            max_facet_leaves=_integer(env, "CONSIST_MAX_FACET_LEAVES", 500),
            relation_warn_threshold=_integer(env, "CONSIST_RELATION_WARN_THRESHOLD", 100),
            cache_timing=_switch(env, "CONSIST_CACHE_TIMING"),
            cache_debug=_switch(env, "CONSIST_CACHE_DEBUG"),
            allow_external_paths=_switch(env, "CONSIST_ALLOW_EXTERNAL_PATHS"),
            lock_wait=_seconds(env, "CONSIST_LOCK_WAIT", 5.0),
            durability=durability,
            scenario_join=_switch(env, "CONSIST_SCENARIO_JOIN"),
            schema_sample_rows=_rows(env, "CONSIST_SCHEMA_SAMPLE_ROWS", 1000),
            schema_profile=_switch(env, "CONSIST_SCHEMA_PROFILE_ENABLED"),
            progress=_switch(env, "CONSIST_PROGRESS", default="on"),
            cache_dir=env.get("CONSIST_CACHE_DIR") or None,
        )


_given: ContextVar[Settings | None] = ContextVar("consist_settings", default=None)


@contextmanager
def given(settings: Settings) -> Generator[None]:
    """Let trackers that are opened in the block have these settings.

    Where the caches of a host lie is a matter of the host: ``CONSIST_CACHE_DIR`` is read there.
    """
    here = os.environ.get("CONSIST_CACHE_DIR") or None
    token = _given.set(msgspec.structs.replace(settings, cache_dir=here))
    try:
        yield
    finally:
        _given.reset(token)


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if text is None or not text.strip():
        return default
    try:
        value = int(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a whole number") from None
    if value < 0:
        raise UsageError(f"{name}={text!r} is negative")
    return value


def _rows(env: Mapping[str, str], name: str, default: int) -> int | None:
    text = env.get(name, "").strip().lower()
    if text in {"none", "null"}:
        return None
    if (value := _integer(env, name, default)) == 0:
        raise UsageError(f"{name}=0 looks at no rows: give a number from 1 on, or 'none' for all")
    return value


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if text is None or not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a number of seconds") from None
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name}={text!r} is not a number of seconds")
    return value


def _switch(env: Mapping[str, str], name: str, default: str = "") -> bool:
    text = env.get(name, default).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise UsageError(f"{name}={text!r} is neither 1/true/yes nor 0/false/no")
