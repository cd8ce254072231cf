"""Small public helpers for workflow code."""

from __future__ import annotations

from collections.abc import Iterable

from consist.errors import UsageError, hint

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
        """
        known, given = cls.all_keys(), list(keys)
        unknown = [key for key in given if key not in known]
        if unknown:
            error = UsageError(f"{cls.__name__} does not register {', '.join(map(repr, unknown))}")
            raise hint(error, f"registered keys: {', '.join(known) or 'none'}")
        missing = [key for key in known if key not in given]
        if require_all and missing:
            raise UsageError(f"{cls.__name__} registers {', '.join(missing)}, not given")
