"""Options objects, their allowed values, and the aliases that signatures speak in."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
)

import msgspec

from consist.errors import InvalidOption, UsageError, WrongType, hint

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typing_extensions import TypeIs

P = ParamSpec("P")
R = TypeVar("R")

PathLike: TypeAlias = Union[str, "os.PathLike[str]"]


class ArtifactLike(Protocol):
    """What can stand for an artifact: a recorded one, or one of a tracker that does nothing."""

    @property
    def key(self) -> str:
        """Semantic name."""
        ...

    @property
    def container_uri(self) -> str:
        """Portable location."""
        ...

    @property
    def path(self) -> Path:
        """Where the bytes should be on this machine."""
        ...


class RunResultLike(Protocol):
    """What can stand for the result of a run."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        ...

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Output artifacts by key."""
        ...


ArtifactRef: TypeAlias = ArtifactLike | PathLike
RunInputRef: TypeAlias = ArtifactLike | RunResultLike | PathLike
FacetLike: TypeAlias = Union[Mapping[str, Any], "BaseModel"]
ConfigLike: TypeAlias = Union[Mapping[str, Any], "BaseModel"]
HashInput: TypeAlias = PathLike | tuple[str, PathLike]
HashInputs: TypeAlias = Iterable[HashInput] | None
IdentityInputs: TypeAlias = Iterable[HashInput] | None

CacheMode: TypeAlias = Literal["reuse", "overwrite", "readonly", "skip_check"]
CacheHydration: TypeAlias = Literal[
    "metadata", "inputs-missing", "outputs-requested", "outputs-all"
]
CodeIdentityMode: TypeAlias = Literal[
    "repo_git", "callable_module", "callable_source", "callable_deps"
]
InputMismatch: TypeAlias = Literal["error", "miss"]
InFlight: TypeAlias = Literal["execute", "wait"]
OutputPolicy: TypeAlias = Literal["warn", "error", "ignore"]
InputBinding: TypeAlias = Literal["loaded", "paths", "none"]
LinkMode: TypeAlias = Literal["never", "hardlink", "reflink"]
OnMissing: TypeAlias = Literal["warn", "raise"]
DirectionName: TypeAlias = Literal["input", "output"]
DbFallback: TypeAlias = Literal["inputs-only", "always", "never"]
AccessMode: TypeAlias = Literal["standard", "analysis", "read_only"]

CACHE_MODES: tuple[str, ...] = get_args(CacheMode)
CACHE_HYDRATIONS: tuple[str, ...] = get_args(CacheHydration)
OUTPUT_VALIDATIONS = {"lazy": "lazy", "none": "lazy", "eager": "eager", "strict": "eager"}
CODE_IDENTITIES: tuple[str, ...] = get_args(CodeIdentityMode)
INPUT_MISMATCHES: tuple[str, ...] = get_args(InputMismatch)
IN_FLIGHT: tuple[str, ...] = get_args(InFlight)
OUTPUT_POLICIES: tuple[str, ...] = get_args(OutputPolicy)
INPUT_BINDINGS: tuple[str, ...] = get_args(InputBinding)
LINK_MODES: tuple[str, ...] = get_args(LinkMode)
ON_MISSING: tuple[str, ...] = get_args(OnMissing)
DIRECTIONS: tuple[str, ...] = get_args(DirectionName)
DB_FALLBACKS: tuple[str, ...] = get_args(DbFallback)
ACCESS_MODES: tuple[str, ...] = get_args(AccessMode)
HASHING_STRATEGIES = ("full", "fast")


def check_option(option: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse a value that an option does not know.

    Raises
    ------
    InvalidOption
        Naming the option, the value and what is allowed.
    """
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        raise InvalidOption(option, value, names)


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """How a run looks for earlier results, and how it gives them back.

    Every field may stay ``None``, which means the default given here.

    Attributes
    ----------
    cache_mode : str, optional
        ``"reuse"`` (default) gives back a completed run of the same signature; ``"overwrite"``
        always executes and becomes the run to give back; ``"readonly"`` looks up and executes,
        but records nothing; ``"skip_check"`` is ``"reuse"`` without any output validation.
    cache_hydration : str, optional
        What is copied: ``"metadata"`` (default) nothing, ``"inputs-missing"`` inputs that are
        gone, before executing; ``"outputs-requested"`` and ``"outputs-all"`` cached outputs.
    cache_version, cache_epoch : int, optional
        Numbers that take part in the identity; raising one forces a miss.
    validate_cached_outputs : str, optional
        ``"lazy"`` (default, alias ``"none"``) trusts the record; ``"eager"`` (alias ``"strict"``)
        demands that every output exists or was ingested, and that what exists is what was
        recorded.
    input_mismatch : str, optional
        What happens if an input given as an artifact no longer has the bytes that were recorded:
        ``"error"`` (default) raises :class:`~consist.errors.InputChanged`; ``"miss"`` takes the
        file as it is, so that it counts by its content and is recorded as a raw input.
    in_flight : str, optional
        What a miss does while another process or thread executes a run of the same identity:
        ``"execute"`` (default) the same at the same time; ``"wait"`` waits until it is done, and
        executes only if it cannot be given back then. ``"overwrite"`` and ``"readonly"`` never
        wait, nor does a run inside one that others may wait for.
    code_identity : str, optional
        ``"repo_git"`` (default), ``"callable_module"``, ``"callable_source"`` or
        ``"callable_deps"``; what each sees is told in the page on identity.
    code_identity_extra_deps : iterable of path, optional
        Files whose content counts as code.
    """

    cache_mode: str | None = None
    cache_hydration: str | None = None
    cache_version: int | None = None
    cache_epoch: int | None = None
    validate_cached_outputs: str | None = None
    input_mismatch: str | None = None
    in_flight: str | None = None
    code_identity: str | None = None
    code_identity_extra_deps: Iterable[PathLike] | None = None

    def __post_init__(self) -> None:
        _check(self, "cache_mode", CACHE_MODES)
        _check(self, "cache_hydration", CACHE_HYDRATIONS)
        _check(self, "validate_cached_outputs", OUTPUT_VALIDATIONS)
        _check(self, "input_mismatch", INPUT_MISMATCHES)
        _check(self, "in_flight", IN_FLIGHT)
        _check(self, "code_identity", CODE_IDENTITIES)
        for name in ("cache_version", "cache_epoch"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise WrongType(f"{name}={value!r} is not a whole number")
        extra = self.code_identity_extra_deps
        if extra is not None and not is_sequence_of_values(extra):
            raise WrongType(f"code_identity_extra_deps={extra!r} is not a list of paths")
        if isinstance(extra, Sequence) and not all(map(is_path, extra)):
            raise WrongType(f"code_identity_extra_deps={extra!r} holds what is no path")


@dataclass(frozen=True, kw_only=True)
class OutputPolicyOptions:
    """What happens when a step does not keep its word about outputs.

    Attributes
    ----------
    output_mismatch : str, optional
        Another number of outputs, or other names, than declared: ``"warn"`` (default),
        ``"error"`` or ``"ignore"``.
    output_missing : str, optional
        A declared output that was not produced; the same values.
    """

    output_mismatch: str | None = None
    output_missing: str | None = None

    def __post_init__(self) -> None:
        _check(self, "output_mismatch", OUTPUT_POLICIES)
        _check(self, "output_missing", OUTPUT_POLICIES)


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """How the function of a run is called.

    Attributes
    ----------
    input_binding : str, optional
        What parameters named like inputs receive: ``"loaded"`` data (default for inputs given as
        a mapping), ``"paths"``, or nothing (``"none"``). A parameter annotated ``Path`` receives a
        path even when loading.
    load_inputs : bool, optional
        Older spelling: ``True`` is ``"loaded"``, ``False`` is ``"none"``.
    executor : str, optional
        ``"python"`` (default) or ``"container"``.
    container : mapping, optional
        What the container executor needs.
    runtime_kwargs : mapping, optional
        Arguments that reach the function but take no part in the identity.
    inject_context : bool or str, optional
        Pass the :class:`~consist.runs.context.RunContext` as ``_consist_ctx``, or under the name
        given.
    time_limit : float, optional
        Seconds after which the function is interrupted with
        :class:`~consist.errors.TimeLimitExceeded` and the run recorded as failed. Waiting for a
        subprocess is interrupted in the main thread only; code in C is never, until it returns.
    """

    input_binding: str | None = None
    load_inputs: bool | None = None
    executor: str | None = None
    container: Mapping[str, Any] | None = None
    runtime_kwargs: Mapping[str, Any] | None = None
    inject_context: bool | str | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        _check(self, "input_binding", INPUT_BINDINGS)
        _check_seconds("time_limit", self.time_limit)
        _check_type(self, "load_inputs", bool)
        _check_type(self, "container", Mapping)
        _check_type(self, "runtime_kwargs", Mapping)
        _check_type(self, "inject_context", bool, str)
        if self.load_inputs is not None and self.input_binding is not None:
            legacy = "loaded" if self.load_inputs else "none"
            if legacy != self.input_binding:
                raise UsageError(
                    f"load_inputs={self.load_inputs} contradicts"
                    f" input_binding={self.input_binding!r}"
                )

    @property
    def binding(self) -> str | None:
        """The binding asked for in either spelling."""
        if self.input_binding is not None:
            return self.input_binding
        return None if self.load_inputs is None else ("loaded" if self.load_inputs else "none")


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongType(f"{name}={value!r} is not a number of seconds")
    if not 0 < value < float("inf"):
        raise UsageError(f"{name}={value!r} is not a number of seconds above zero")


def _check(options: object, name: str, allowed: Iterable[str]) -> None:
    value = getattr(options, name)
    if value is not None:
        check_option(name, value, allowed)


def _check_type(options: object, name: str, *kinds: type[Any]) -> None:
    value = getattr(options, name)
    if value is not None and not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise WrongType(f"{name}={value!r} is not a {wanted}")


class BindingResult(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of a step that an orchestrator has resolved already.

    Attributes
    ----------
    inputs : mapping, optional
        Parameter name to path, artifact or reference.
    input_keys, optional_input_keys : iterable of str, optional
        Keys to take from the coupler; absent optional ones are skipped.
    """

    inputs: Mapping[str, RunInputRef] | None = None
    input_keys: Iterable[str] | str | None = None
    optional_input_keys: Iterable[str] | str | None = None


class RunFieldIndex(msgspec.Struct, frozen=True):
    """Index runs by one of their own fields."""

    name: str


class FacetIndex(msgspec.Struct, frozen=True):
    """Index runs by a value of their facet.

    ``namespace`` is that of the facet; by default the model of each run.
    """

    key: str
    namespace: str | None = None


IndexBySpec: TypeAlias = RunFieldIndex | FacetIndex


def index_by_field(name: str) -> RunFieldIndex:
    """Index the answer of ``find_runs`` by a field of the run, such as ``"year"``."""
    return RunFieldIndex(name)


def index_by_facet(key: str) -> FacetIndex:
    """Index the answer of ``find_runs`` by a facet value under its dotted key."""
    return FacetIndex(key)


# ---------------------------------------------------------------- legacy keywords


def _names(*classes: type[Any]) -> dict[str, str]:
    return {field.name: cls.__name__ for cls in classes for field in fields(cls)}


LEGACY_OPTIONS = _names(CacheOptions, OutputPolicyOptions, ExecutionOptions)
"""Keywords that used to be given loosely, and the options object each belongs to."""

_ARGUMENT = {
    "CacheOptions": "cache_options",
    "OutputPolicyOptions": "output_policy",
    "ExecutionOptions": "execution_options",
}


def explain_legacy_options(function: Callable[P, R]) -> Callable[P, R]:
    """Let a run verb answer a loose policy keyword with the options object it belongs to."""
    accepted = set(function.__code__.co_varnames[: _argument_count(function)])

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_legacy_options(function.__name__, kwargs, accepted)
        return function(*args, **kwargs)

    return checked


def refuse_legacy_options(verb: str, given: Iterable[str], accepted: Container[str]) -> None:
    """Answer a loose policy keyword with the options object it belongs to.

    Raises
    ------
    TypeError
        For one that the verb does not take itself.
    """
    for name in given:
        if name in LEGACY_OPTIONS and name not in accepted:
            raise _legacy_error(verb, name)


def _argument_count(function: Callable[..., Any]) -> int:
    code = function.__code__
    return code.co_argcount + code.co_kwonlyargcount


def _legacy_error(function: str, name: str) -> TypeError:
    cls = LEGACY_OPTIONS[name]
    argument = _ARGUMENT[cls]
    error = WrongType(
        f"{function}() got an unexpected keyword argument {name!r}:"
        f" pass it as {argument}={cls}({name}=...)"
    )
    return hint(error, f"from consist import {cls}")


def is_path(value: object) -> TypeIs[PathLike]:
    """Whether a value can be taken as a path."""
    return isinstance(value, str | os.PathLike)


def is_mapping(value: object) -> TypeIs[Mapping[Any, Any]]:
    """Whether a value is a mapping of whatever to whatever."""
    return isinstance(value, Mapping)


def is_sequence_of_values(value: object) -> TypeIs[Iterable[Any]]:
    """Whether a value is a list of things, and not one text or path."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | os.PathLike)
