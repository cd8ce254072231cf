"""Metadata that a step function carries: defaults for the runs that execute it."""

from __future__ import annotations

import string
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from consist.errors import InvalidMetadata, UsageError, WrongType, a_kind, hint

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "__consist_step__"
REQUIRED_ATTRIBUTE = "__consist_runtime_required__"


class StepDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults that :func:`define_step` attached to a function.

    Any field may also be a function of one :class:`StepContext`, called when the step is run.
    """

    model: Any = None
    name_template: Any = None
    description: Any = None
    outputs: Any = None
    schema_outputs: Any = None
    output_paths: Any = None
    inputs: Any = None
    input_keys: Any = None
    optional_input_keys: Any = None
    config: Any = None
    adapter: Any = None
    identity_inputs: Any = None
    facet: Any = None
    facet_index: Any = None
    facet_from: Any = None
    facet_schema_version: Any = None
    cache_mode: Any = None
    cache_hydration: Any = None
    cache_version: Any = None
    validate_cached_outputs: Any = None
    input_mismatch: Any = None
    in_flight: Any = None
    code_identity: Any = None
    code_identity_extra_deps: Any = None
    input_binding: Any = None
    load_inputs: Any = None
    inject_context: Any = None
    tags: Any = None
    extra: Mapping[str, Any] = MappingProxyType({})

    def resolve(self, name: str, context: StepContext) -> Any:
        """Return one field, computed if it was given as a function."""
        if self is NO_STEP:
            return None
        value = getattr(self, name)
        return value(context) if _is_computed(value) else value

    @property
    def is_computed(self) -> bool:
        """Whether any field was given as a function."""
        return self is not NO_STEP and any(_is_computed(getattr(self, name)) for name in _FIELDS)


def _is_computed(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


NO_STEP = StepDefinition()
"""The definition of a function that carries none."""

_FIELDS = frozenset(StepDefinition.__struct_fields__) - {"extra"}


def define_step(**kwargs: Any) -> Callable[[F], F]:
    """Attach defaults to a step function without changing what it does.

    Parameters
    ----------
    **kwargs : Any
        Fields of :class:`StepDefinition`, such as ``outputs``, ``tags``, ``cache_version`` or
        ``inject_context``; other names are metadata, kept in ``extra``. A value may be a function
        of one :class:`StepContext`. An argument given to ``run`` wins over the default here.

    Returns
    -------
    Callable
        A decorator that returns the very function it is given.

    Raises
    ------
    TypeError
        For a name that is an option of a single run, or nearly one of the fields.

    Examples
    --------
    >>> @define_step(outputs=["clean"], cache_version=3)
    ... def clean(raw):
    ...     return raw.dropna()
    """
    known = {name: value for name, value in kwargs.items() if name in _FIELDS}
    extra = {name: value for name, value in kwargs.items() if name not in _FIELDS}
    if extra:
        _check_extra(extra)
    definition = StepDefinition(**known, extra=MappingProxyType(extra))

    def attach(function: F) -> F:
        return _attached(function, ATTRIBUTE, definition)

    return attach


_OF_ONE_RUN = frozenset(
    {"fn", "name", "run_id", "year", "iteration", "phase", "stage", "parent_run_id", "depends_on",
     "capture_dir", "capture_pattern", "cache_options", "output_policy", "execution_options",
     "cache_epoch", "output_mismatch", "output_missing", "runtime_kwargs", "executor", "container",
     "binding"}
)  # fmt: skip
_NEARLY = 0.85


def _check_extra(extra: Mapping[str, Any]) -> None:
    """Refuse to take for metadata what was meant for something else and would have no effect."""
    from difflib import get_close_matches

    for name in extra:
        if name in _OF_ONE_RUN:
            problem = WrongType(f"define_step() got an unexpected keyword argument {name!r}")
            raise hint(problem, "it belongs to a single run: give it to run")
        near = get_close_matches(name, _FIELDS, n=1, cutoff=_NEARLY)
        if near:
            problem = WrongType(f"define_step() got an unexpected keyword argument {name!r}")
            raise hint(problem, f"did you mean {near[0]!r}? metadata need a name of their own")


def _attached(function: F, attribute: str, value: object) -> F:
    try:
        setattr(function, attribute, value)
    except AttributeError:
        problem = WrongType(f"{a_kind(function)} takes no attributes, so it cannot be a step")
        raise hint(problem, "wrap it in a Python function") from None
    return function


def definition_of(function: object) -> StepDefinition:
    """Return what :func:`define_step` attached, or the empty definition.

    A partial of a step keeps the step's defaults.
    """
    return getattr(_unwrapped(function), ATTRIBUTE, NO_STEP)


def _unwrapped(function: object) -> object:
    while isinstance(function, partial):
        function = function.func
    return function


def require_runtime_kwargs(*names: str) -> Callable[[F], F]:
    """Demand that a step is run with these runtime arguments.

    Parameters
    ----------
    *names : str
        Names that must be among ``runtime_kwargs``.

    Raises
    ------
    ValueError
        When the step is run without one of them, before anything happens.
    """
    if not names or not all(is_name(name) for name in names):
        raise UsageError("require_runtime_kwargs takes one or more non-empty names")

    def attach(function: F) -> F:
        earlier: tuple[str, ...] = getattr(function, REQUIRED_ATTRIBUTE, ())
        return _attached(function, REQUIRED_ATTRIBUTE, (*earlier, *names))

    return attach


def is_name(value: object) -> bool:
    """Whether a value is text that is not empty."""
    return isinstance(value, str) and bool(value)


def check_runtime_kwargs(function: object, given: Mapping[str, Any]) -> None:
    """Check what :func:`require_runtime_kwargs` demands.

    Raises
    ------
    UsageError
        Naming the absent arguments.
    """
    required: tuple[str, ...] = getattr(_unwrapped(function), REQUIRED_ATTRIBUTE, ())
    missing = [name for name in required if name not in given]
    if missing:
        name = function_name(function)
        error = UsageError(f"step {name!r} needs runtime arguments: {', '.join(missing)}")
        raise hint(error, "pass them as execution_options=ExecutionOptions(runtime_kwargs={...})")


class StepContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a computed default may know about the run that is about to begin.

    Attributes
    ----------
    func_name : str
        Name of the function; empty where there is none.
    model : str or None
        Model name, as far as it was given.
    year, iteration : int or None
    phase, stage : str or None
    consist_settings : Settings or None
        Limits and switches of the tracker.
    consist_workspace : Path or None
        The tracker's run folder.
    consist_state : Run or None
        The run that this one is begun in: a scenario's header or an outer step.
    runtime_kwargs : mapping
        Arguments that reach the function without counting for the identity.
    runtime_settings, runtime_workspace, runtime_state : object
        The runtime arguments called ``settings``, ``workspace`` and ``state``; ``None`` if absent.
    """

    func_name: str
    model: str | None = None
    year: int | None = None
    iteration: int | None = None
    phase: str | None = None
    stage: str | None = None
    consist_settings: Any = None
    consist_workspace: Any = None
    consist_state: Any = None
    runtime_kwargs: Mapping[str, Any] = {}

    @property
    def runtime_settings(self) -> Any:
        """The runtime argument ``settings``, or ``None``."""
        return self.runtime_kwargs.get("settings")

    @property
    def runtime_workspace(self) -> Any:
        """The runtime argument ``workspace``, or ``None``."""
        return self.runtime_kwargs.get("workspace")

    @property
    def runtime_state(self) -> Any:
        """The runtime argument ``state``, or ``None``."""
        return self.runtime_kwargs.get("state")

    @property
    def settings(self) -> Any:
        """Deprecated alias of :attr:`runtime_settings`."""
        return self._renamed("settings")

    @property
    def workspace(self) -> Any:
        """Deprecated alias of :attr:`runtime_workspace`."""
        return self._renamed("workspace")

    @property
    def state(self) -> Any:
        """Deprecated alias of :attr:`runtime_state`."""
        return self._renamed("state")

    def _renamed(self, name: str) -> Any:
        warnings.warn(
            f"StepContext.{name} is deprecated: use runtime_{name}",
            DeprecationWarning,
            stacklevel=3,
        )
        return self.runtime_kwargs.get(name)

    def __getitem__(self, name: str) -> Any:
        """Return an attribute or runtime argument by name."""
        return getattr(self, name) if name in _KNOWN else self.runtime_kwargs[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute or runtime argument by name, or ``default`` if it is absent."""
        if name not in _KNOWN:
            return self.runtime_kwargs.get(name, default)
        value = getattr(self, name)
        return default if value is None else value

    def get_runtime(self, name: str, default: Any = None) -> Any:
        """Return a runtime argument, or ``default``."""
        return self.runtime_kwargs.get(name, default)

    def require_runtime(self, name: str) -> Any:
        """Return a runtime argument.

        Raises
        ------
        UsageError
            If it was not given.
        """
        if name not in self.runtime_kwargs:
            raise UsageError(f"step {self.func_name!r} needs the runtime argument {name!r}")
        return self.runtime_kwargs[name]


_KNOWN = frozenset(
    {*StepContext.__struct_fields__, "runtime_settings", "runtime_workspace", "runtime_state"}
)


def render_name(template: str, context: StepContext) -> str:
    """Fill a name template; absent values become the empty string.

    Templates know ``func_name``, ``model``, ``year``, ``iteration``, ``stage`` and ``phase``.

    Raises
    ------
    InvalidMetadata
        If the template names something else or cannot be read.
    """
    names = ("func_name", "model", "year", "iteration", "stage", "phase")
    values = {name: getattr(context, name) for name in names}
    try:
        asked = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    except (ValueError, TypeError) as error:
        raise InvalidMetadata(f"name template {template!r}", f"cannot be read: {error}") from None
    unknown = asked - values.keys()
    if unknown:
        error = InvalidMetadata(f"name template {template!r}", f"names {', '.join(unknown)}")
        raise hint(error, f"templates know {', '.join(names)}")
    return template.format(**{k: "" if v is None else v for k, v in values.items()})


def function_name(function: object) -> str:
    """Return the name a run takes from its function.

    Raises
    ------
    WrongType
        If there is nothing to take a name from.
    """
    name = getattr(function, "__name__", None)
    if name is None:
        inner = getattr(function, "func", None)
        name = getattr(inner, "__name__", None) or type(function).__name__
    if not isinstance(name, str):
        raise WrongType(f"{function!r} has no name; pass name=")
    return "lambda" if name == "<lambda>" else name
