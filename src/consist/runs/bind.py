"""From declared inputs, config and runtime arguments to the arguments of the function."""

from __future__ import annotations

import inspect
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consist.artifacts.load import load, load_df
from consist.artifacts.verify import verified_path
from consist.errors import UsageError, hint
from consist.execution import PreparedCall
from consist.models.record import ArtifactRecord
from consist.runs.arguments import RunRequest
from consist.types import is_mapping

if TYPE_CHECKING:
    from consist.workspace import Workspace

_CONTEXT = "_consist_ctx"
_PATH_NAMES = frozenset({"Path", "pathlib.Path", "PurePath", "pathlib.PurePath"})
_ARTIFACT_NAMES = frozenset({"Artifact", "consist.Artifact"})


class Parameters(msgspec.Struct, frozen=True):
    """What has to be known of a function's parameters."""

    kinds: Mapping[str, str]
    required: tuple[str, ...]
    takes_any: bool
    positional: Mapping[str, Any] = {}
    """Those that have no name for callers, with their defaults."""

    def accepts(self, name: str) -> bool:
        """Whether an argument of this name can be passed."""
        return name in self.kinds or self.takes_any


_known: weakref.WeakKeyDictionary[Any, Parameters] = weakref.WeakKeyDictionary()


def parameters_of(fn: Callable[..., Any]) -> Parameters:
    """Return the parameters of a function; looked up once for each."""
    try:
        found = _known.get(fn)
        if found is None:
            found = _known[fn] = _inspect(fn)
    except TypeError:  # not hashable, or cannot be watched
        found = _inspect(fn)
    return found


def _inspect(fn: Callable[..., Any]) -> Parameters:
    try:
        signature = inspect.signature(fn, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError):
        signature = inspect.signature(fn)
    except ValueError:  # a builtin without a signature
        return Parameters({}, (), takes_any=True)
    kinds: dict[str, str] = {}
    required: list[str] = []
    takes_any = False
    positional: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            kinds[name] = _kind(parameter.annotation)
            if parameter.default is parameter.empty:
                required.append(name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional[name] = parameter.default
    return Parameters(kinds, tuple(required), takes_any, positional)


def _kind(annotation: Any) -> str:
    """Return how a parameter wants its input: ``path``, ``artifact``, ``context`` or ``any``."""
    kinds = {_kind(part) for part in _alternatives(annotation)}
    if kinds:
        return kinds.pop() if len(kinds) == 1 else "any"
    if isinstance(annotation, str):
        name = (
            annotation.replace(" ", "").removesuffix("|None").removeprefix("Optional[").strip("]")
        )
    else:
        name = getattr(annotation, "__name__", "")
        if inspect.isclass(annotation) and issubclass(annotation, Path):
            return "path"
    if name in _PATH_NAMES:
        return "path"
    if name in _ARTIFACT_NAMES:
        return "artifact"
    return "context" if name in {"RunContext", "consist.RunContext"} else "any"


def _alternatives(annotation: Any) -> list[Any]:
    """Return what a union or ``Annotated`` is made of, without the ``None`` and ``str`` in it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return [annotation.__origin__]
    if origin in {typing.Union, types.UnionType}:
        return [part for part in typing.get_args(annotation) if part not in {type(None), str}]
    return []


def binding_plan(request: RunRequest) -> dict[str, str]:
    """Return how each input reaches the function, by parameter name; part of the identity."""
    if request.fn is None or request.binding == "none":
        return {}
    parameters = parameters_of(request.fn)
    plan: dict[str, str] = {}
    for item in request.inputs:
        if item.bound and item.name is not None and parameters.accepts(item.name):
            kind = parameters.kinds.get(item.name, "any")
            wants = kind if kind in {"path", "artifact"} else "any"
            default = "path" if request.binding == "paths" else "loaded"
            plan[item.name] = default if wants == "any" else wants
    return plan


def bind(
    ws: Workspace,
    request: RunRequest,
    named: Mapping[str, ArtifactRecord],
    context: object,
) -> PreparedCall:
    """Return the call with its arguments.

    A parameter takes its value from the first of: the input of its name, ``runtime_kwargs``, the
    top-level config key of its name, the whole config for one called ``config``, its own default.

    Raises
    ------
    UsageError
        If a name is given twice, or a parameter without a default gets nothing.
    """
    assert request.fn is not None  # noqa: S101 - checked with the request
    plan = binding_plan(request)
    twice = plan.keys() & request.runtime_kwargs.keys()
    if twice:
        names = ", ".join(sorted(twice))
        problem = UsageError(f"{names}: both a bound input and a runtime argument")
        raise hint(problem, "use input_binding='none' to pass the value yourself")
    parameters = parameters_of(request.fn)
    arguments: dict[str, Any] = {
        name: _value(ws, named[name], how) for name, how in plan.items() if name in named
    }
    arguments.update(request.runtime_kwargs)
    _fill_from_config(arguments, parameters, request.config)
    _inject(arguments, parameters, request.inject_context, context)
    _check_complete(request, parameters, arguments)
    args = tuple(arguments.pop(n, default) for n, default in parameters.positional.items())
    return PreparedCall(request.fn, arguments, args, time_limit=request.time_limit)


def _value(ws: Workspace, record: ArtifactRecord, how: str) -> Any:
    if how == "artifact":
        return ws.artifact_of(record)
    if how == "path":
        return verified_path(ws, record)
    if not ws.formats.can_load(record.driver):
        return ws.artifact_of(record)
    if ws.formats.driver(record.driver).kind == "table":
        return load_df(ws, ws.artifact_of(record))
    return load(ws, ws.artifact_of(record))


def _fill_from_config(arguments: dict[str, Any], parameters: Parameters, config: Any) -> None:
    if config is None:
        return
    fields = _field_names(config.__class__)
    for name in parameters.kinds:
        if name in arguments:
            continue
        if is_mapping(config):
            if name in config:
                arguments[name] = config[name]
        elif name in fields:
            arguments[name] = getattr(config, name)
    if "config" in parameters.kinds and "config" not in arguments:
        arguments["config"] = config


def _field_names(model: type[Any]) -> frozenset[str]:
    """Return the fields of a pydantic model or dataclass; nothing for other classes."""
    fields: Mapping[str, Any] | None = getattr(model, "model_fields", None)
    if fields is None:
        fields = getattr(model, "__dataclass_fields__", None)
    return frozenset(fields or ())


def _inject(
    arguments: dict[str, Any], parameters: Parameters, asked: bool | str, context: object
) -> None:
    if isinstance(asked, str):
        arguments[asked] = context
        return
    if not asked:
        return
    if parameters.accepts(_CONTEXT):
        arguments[_CONTEXT] = context
        return
    for name, kind in parameters.kinds.items():
        if (kind == "context" or name == "ctx") and name not in arguments:
            arguments[name] = context


def _check_complete(
    request: RunRequest, parameters: Parameters, arguments: Mapping[str, Any]
) -> None:
    missing = [name for name in parameters.required if name not in arguments]
    if not missing:
        return
    names = ", ".join(missing)
    problem = UsageError(f"Problem: step {request.name!r} gets no value for {names}")
    problem.add_note(
        "Likely cause: no input, runtime argument or config key has this name"
        + (", and inputs are not bound" if request.binding == "none" else "")
    )
    raise hint(
        problem,
        f"Suggested fix: pass inputs={{{missing[0]!r}: ...}}, a config key, or"
        " execution_options=ExecutionOptions(runtime_kwargs={...})",
    )
