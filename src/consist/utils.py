"""Small public helpers for workflow code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from consist.errors import UsageError, WrongType, a_kind, hint, some_of
from consist.step import StepContext, definition_of, function_name
from consist.types import is_mapping, is_sequence_of_values

__all__ = ["ArtifactKeyRegistry", "collect_step_schema"]

logger = logging.getLogger("consist.utils")


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


def collect_step_schema(
    steps: Iterable[Callable[..., Any]],
    settings: Any = None,
    extra_keys: Mapping[str, str] | Iterable[str] | None = None,
    warn_unresolvable: bool = True,
) -> dict[str, str]:
    """Return every key that steps may publish, with a short description.

    Parameters
    ----------
    steps : iterable of callable
        Functions with defaults of ``define_step``: their ``schema_outputs``, or else ``outputs``.
        Others publish nothing that is known.
    settings : object, optional
        What computed fields find as ``settings`` of their context.
    extra_keys : mapping or iterable of str, optional
        Further keys, with or without descriptions.
    warn_unresolvable : bool, default True
        Log a warning for a step whose computed keys need more than that; it is left out.

    Returns
    -------
    dict of str to str
        Descriptions by key: those of ``schema_outputs`` where it is a mapping, else that of the
        step, else its name. Of a key that several steps publish, the first counts.

    Examples
    --------
    >>> from consist import Coupler, define_step
    >>> @define_step(outputs=["skims"], description="travel times")
    ... def assign(): ...
    >>> schema = collect_step_schema([assign])
    >>> schema
    {'skims': 'travel times'}
    >>> coupler = Coupler()
    >>> coupler.declare_outputs(*schema, description=schema)
    """
    found: dict[str, str] = {}
    for step in steps:
        for key, text in _published(step, settings, warn=warn_unresolvable).items():
            found.setdefault(key, text)
    return {**_described(extra_keys, "extra_keys", "added by hand"), **found}


def _published(step: object, settings: Any, *, warn: bool) -> dict[str, str]:
    if not callable(step):
        raise WrongType(f"a step is {a_kind(step)}, not a function")
    definition, name = definition_of(step), function_name(step)
    runtime = {} if settings is None else {"settings": settings}
    context = StepContext(func_name=name, consist_settings=settings, runtime_kwargs=runtime)
    try:
        keys = definition.resolve("schema_outputs", context)
        if keys is None:
            keys = definition.resolve("outputs", context)
        text = definition.resolve("description", context)
    except Exception as error:  # noqa: BLE001 - users compute these, and need what a run would know
        if warn:
            logger.warning(
                "[Consist] outputs of step %r are not known before it runs: %s", name, error
            )
        return {}
    return _described(keys, f"outputs of step {name!r}", text or f"output of {name}")


def _described(keys: Any, what: str, otherwise: str) -> dict[str, str]:
    if keys is None:
        return {}
    if is_mapping(keys):
        return {key: text if isinstance(text, str) else otherwise for key, text in keys.items()}
    if not is_sequence_of_values(keys):
        raise hint(WrongType(f"{what} are {keys!r}, not a list of keys"), "write [key]")
    return dict.fromkeys(keys, otherwise)
