"""Small public helpers for workflow code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from consist.errors import UsageError, WrongType, hint, some_of

__all__ = ["ArtifactKeyRegistry"]


class ArtifactKeyRegistry:
    """Artifact keys of a project as constants of one class.

    Subclass it with string attributes; names that start with an underscore are ignored.

    Examples
    --------
    >>> class Keys(ArtifactKeyRegistry):
    ...     RAW = "raw"
    ...     CLEAN = "clean"
    >>> Keys.all_keys()
    ['raw', 'clean']
    >>> Keys.validate([Keys.RAW])
    """

    @classmethod
    def all_keys(cls) -> list[str]:
        """Return the registered keys in the order of declaration, each once."""
        keys: dict[str, None] = {}
        for owner in reversed(cls.__mro__):
            for name, value in vars(owner).items():
                if not name.startswith("_") and isinstance(value, str):
                    keys[value] = None
        return list(keys)

    @classmethod
    def validate(cls, keys: Iterable[str], *, require_all: bool = False) -> None:
        """Check that every key is registered.

        Parameters
        ----------
        keys : iterable of str
            Keys to check.
        require_all : bool, default False
            Also demand that every registered key is among ``keys``.

        Raises
        ------
        ValueError
            Naming the unknown keys, or the missing ones with ``require_all``.
        TypeError
            If ``keys`` is one text, or nothing to go over.
        """
        if isinstance(keys, str) or not isinstance(cast("object", keys), Iterable):
            raise hint(WrongType(f"keys={keys!r} is not a list of keys"), "write validate([key])")
        known, given = cls.all_keys(), list(keys)
        unknown = _without(given, known)
        if unknown:
            error = UsageError(f"{cls.__name__} does not register {some_of(unknown)}")
            raise hint(error, f"registered keys: {some_of(known) or 'none'}")
        missing = _without(known, given) if require_all else []
        if missing:
            raise UsageError(f"{cls.__name__} registers {some_of(missing)}, not given")


def _without(keys: list[str], others: list[str]) -> list[str]:
    """Return how those keys are written that are not among others."""
    among = {other for other in others if isinstance(cast("object", other), str)}
    return [
        repr(key) for key in keys if not isinstance(cast("object", key), str) or key not in among
    ]
