"""What a code identity was made of, as runs keep it: short, and boundedly many."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType

FURTHER = "further parts"
"""Label of everything beyond the most parts that are kept."""

_MOST = 500
_DIGEST_LENGTH, _DIGEST_KEPT = 64, 16
_LONGEST = 40


def kept_parts(parts: Mapping[str, str]) -> Mapping[str, str]:
    """Return label → short text of at most 500 parts; the rest becomes one.

    Parts explain a difference and take no part in the identity, so that half a digest will do.

    Examples
    --------
    >>> dict(kept_parts({"file a.py": "0" * 64, "commit": "1" * 40})) == {
    ...     "file a.py": "0" * 16,
    ...     "commit": "1" * 40,
    ... }
    True
    """
    listed = list(parts.items())
    kept = {label: short(text) for label, text in listed[:_MOST]}
    if len(listed) > _MOST:
        kept[FURTHER] = short(sha256(repr(listed[_MOST:]).encode("utf-8", "replace")).hexdigest())
    return MappingProxyType(kept)


def short(text: str) -> str:
    """Return a digest, or a text that ends in one, in a length that people can compare."""
    if len(text) <= _LONGEST:
        return text
    if len(text) == _DIGEST_LENGTH:
        return text[:_DIGEST_KEPT]
    return f"{text[:_LONGEST]}…{text[-_DIGEST_KEPT:]}"
