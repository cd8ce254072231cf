"""One spelling for every value, so that equal values have equal digests.

The spelling is compact JSON in UTF-8. What JSON has no word for is an object with one key that
begins with ``$``, such as ``{"$path":"a/b"}``; a mapping of the user's that could be mistaken for
one is written as ``{"$map":[[key,value],…]}``. Two values have the same spelling exactly if they
are the same for us:

- *Numbers* that compare equal are one value: ``1``, ``1.0``, ``Decimal(1)`` and ``np.int8(1)``;
  ``0.0`` and ``-0.0``. Every NaN is the same; infinities are their own. ``True`` is not ``1``.
- *Lists and tuples* are the same; so are ``set`` and ``frozenset``, ``bytes`` and ``bytearray``.
  A named tuple is its own, by class name.
- *Mappings* have no order. ``{1: x}`` and ``{"1": x}`` differ.
- *Models*, dataclasses, attrs classes and msgspec structs are the ``__qualname__`` of their class
  and all their fields. An enum member is its class and its name.
- *Paths* are their text with forward slashes, and differ from that text.
- *Times* with an offset are instants: the zone they are written in does not matter. Those without
  one are their own.
- *Secrets* enter as a salted digest.
- *Arrays* are their little-endian dtype, shape and bytes, so ``-0.0`` and ``0.0`` differ inside.
- A subclass of a builtin type counts as that type. Whatever has ``__consist_identity__()`` counts
  as the ``__qualname__`` of its class and what that returns.

Everything else is refused by name; see :class:`consist.errors.UnhashableValue`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from consist.errors import InvalidMetadata, WrongType, a_kind, hint
from consist.identity.kinds import Refused, fields_of, kind_of, type_name
from consist.identity.spelling import spell, to_bytes
from consist.settings import MAX_CONFIG_KEY_LENGTH, MAX_CONFIG_STRING_LENGTH, MAX_NESTING

VERSIONS = {
    "run": 1,
    "config": 1,
    "inputs": 1,
    "content": 1,
    "code": 1,
    "bytecode": 1,
    "source": 1,
    "reach": 1,
    "repo": 1,
    "directory": 1,
    "fast": 1,
}
"""Version of every kind of pre-image. Raising one makes all recorded digests of the kind miss."""

_PREIMAGE_LEVELS = 10


def encode(value: object, where: str = "config") -> bytes:
    """Spell a value so that equal values give equal bytes and different ones do not.

    Parameters
    ----------
    value
        Plain data of any nesting; see the module's text for the types and for what is equal.
    where
        What to call the value in an error.

    Raises
    ------
    UnhashableValue
        Naming the place, such as ``config['a'][3].b``, if something in it has no defined
        identity, contains itself or is nested deeper than ``MAX_NESTING`` levels.

    Examples
    --------
    >>> encode({"b": (1.0, None), "a": "x"})
    b'{"a":"x","b":[1,null]}'
    """
    return _encode(value, MAX_NESTING, where)


def digest(kind: str, *parts: object) -> str:
    """Return the SHA-256, in hex, of ``[kind, version of the kind, *parts]``."""
    preimage = (kind, VERSIONS[kind], *parts)
    return sha256(_encode(preimage, MAX_NESTING + _PREIMAGE_LEVELS, kind)).hexdigest()


def check_config_keys(config: Any, where: str = "config") -> None:
    """Check what holds for the top level of a config and not below it.

    Parameters
    ----------
    config
        A mapping, a model, or an object of another class that has fields.
    where
        What to call it in an error.

    Raises
    ------
    TypeError
        If it is something else, or if a key is not text.
    ValueError
        If a key or a text value is too long.
    """
    for key, value in _top_level(config, where):
        if not isinstance(key, str):
            error = WrongType(f"key {key!r} of {where} is {a_kind(key)}, not text")
            raise hint(error, f"Write it as {str(key)!r}. Nested mappings may have other keys.")
        if len(key) > MAX_CONFIG_KEY_LENGTH:
            too_long = f"is longer than {MAX_CONFIG_KEY_LENGTH} characters"
            raise InvalidMetadata(f"key {key[:40]!r}… of {where}", too_long)
        if isinstance(value, str) and len(value) > MAX_CONFIG_STRING_LENGTH:
            too_long = f"is longer than {MAX_CONFIG_STRING_LENGTH} characters"
            error = InvalidMetadata(f"{where}[{key!r}]", too_long)
            raise hint(error, "Write it to a file and pass the file as an input.")


def _top_level(config: Any, where: str) -> Iterable[tuple[Any, Any]]:
    try:
        kind = kind_of(config.__class__)
    except Refused as refused:
        raise refused.at(where) from None
    if kind == "object":
        return fields_of(config)
    if kind == "mapping":
        return config.items()
    error = WrongType(f"{where} is a {type_name(config.__class__)}, not a mapping or a model")
    raise hint(error, "Give the value a name: {'name': value}.")


def _encode(value: object, room: int, where: str) -> bytes:
    try:
        return to_bytes(spell(value, room))
    except Refused as refused:
        raise refused.at(where) from None
