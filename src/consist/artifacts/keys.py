"""The rules for artifact keys and metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from consist.errors import InvalidKey, InvalidMetadata, WrongType, a_kind, hint
from consist.settings import KEY_PATTERN, Settings

_OUTSIDE = re.compile(r"[^A-Za-z0-9_.:/-]+")


def check_key(key: object) -> str:
    """Return ``key`` if an artifact may have it.

    Raises
    ------
    InvalidKey
        If it is no text, or breaks the pattern: 1 to 256 letters, digits and ``_ . : / -``,
        beginning with a letter, digit or underscore, without ``..`` and ``//``.
    """
    if not isinstance(key, str):
        raise InvalidKey(key, f"is {a_kind(key)}, not text")
    if not KEY_PATTERN.fullmatch(key):
        problem = InvalidKey(key, "is not a valid key")
        raise hint(problem, "use 1 to 256 letters, digits, and _ . : / - after the first")
    if ".." in key or "//" in key:
        raise InvalidKey(key, "contains '..' or '//'")
    return key if type(key) is str else str.__str__(key)  # of an enum or numpy text, the text


def key_from(text: str) -> str:
    """Return a valid key that resembles ``text``, such as a file's stem."""
    cleaned = _OUTSIDE.sub("_", text).lstrip(".:/-").replace("..", "_").replace("//", "/")
    return cleaned[:256] or "file"


def check_meta(meta: Mapping[str, Any], settings: Settings) -> None:
    """Check metadata of a run against its limits.

    Raises
    ------
    InvalidMetadata
        Naming the entry and the environment variable that raises the limit.
    """
    if len(meta) > settings.max_metadata_items:
        problem = InvalidMetadata("metadata", f"has {len(meta)} entries")
        limit = settings.max_metadata_items
        raise hint(problem, f"at most {limit}; raise CONSIST_MAX_METADATA_ITEMS")
    for key, value in meta.items():
        _check_entry(key, value, settings)


def _check_entry(key: object, value: object, settings: Settings) -> None:
    if not isinstance(key, str):
        raise WrongType(f"metadata key {key!r} is not text")
    if len(key) > settings.max_metadata_key_length:
        problem = InvalidMetadata(f"metadata key {key[:40]!r}…", f"has {len(key)} characters")
        raise hint(problem, "raise CONSIST_MAX_METADATA_KEY_LENGTH")
    length = len(value) if isinstance(value, str | bytes) else _printed_length(value)
    if length > settings.max_metadata_value_length:
        problem = InvalidMetadata(f"metadata value of {key!r}", f"has {length} characters")
        raise hint(problem, "raise CONSIST_MAX_METADATA_VALUE_LENGTH")


def _printed_length(value: object) -> int:
    if value is None or isinstance(value, bool | int | float):
        return 0
    return len(repr(value))
