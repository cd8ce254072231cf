"""From declared inputs, config and runtime arguments to the arguments of the function."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from consist.artifacts.load import load, load_df
from consist.artifacts.verify import verified_path
from consist.errors import UsageError, hint
from consist.execution import PreparedCall
from consist.models.record import ArtifactRecord
from consist.runs.annotations import kind_of
from consist.runs.arguments import RunRequest
from consist.types import is_mapping

if TYPE_CHECKING:
    from consist.workspace import Workspace

_CONTEXT, _SHORT_CONTEXT = "_consist_ctx", "ctx"


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
            kinds[name] = kind_of(parameter.annotation, fn)
            if parameter.default is parameter.empty:
                required.append(name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional[name] = parameter.default
    return Parameters(kinds, tuple(required), takes_any, positional)


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


def context_parameters(fn: Callable[..., Any], asked: bool | str) -> tuple[str, ...]:
    """Return which parameters receive the run context.

    The one that is named; else ``_consist_ctx``; else those annotated ``RunContext``; else
    ``ctx``; else ``_consist_ctx`` among the ``**kwargs``.

    Raises
    ------
    UsageError
        If the function has none of them.
    """
    if asked is False:
        return ()
    parameters = parameters_of(fn)
    if isinstance(asked, str):
        if parameters.accepts(asked):
            return (asked,)
        raise UsageError(f"inject_context={asked!r}: the function has no such parameter")
    annotated = tuple(name for name, kind in parameters.kinds.items() if kind == "context")
    for names in ((_CONTEXT,), annotated, (_SHORT_CONTEXT,)):
        if names and all(name in parameters.kinds for name in names):
            return names
    if parameters.takes_any:
        return (_CONTEXT,)
    problem = UsageError("inject_context=True: the function has no parameter for the run context")
    raise hint(problem, "call it _consist_ctx or ctx, annotate one as RunContext, or name it")


def _check_free(contexts: tuple[str, ...], given: Collection[str]) -> None:
    twice = [name for name in contexts if name in given]
    if twice:
        problem = UsageError(f"{twice[0]}: both the run context and an input or runtime argument")
        raise hint(problem, "name another parameter for it: inject_context='name'")


def bind(
    ws: Workspace,
    request: RunRequest,
    named: Mapping[str, ArtifactRecord],
    context: object,
) -> PreparedCall:
    """Return the call with its arguments.

    A parameter takes its value from the first of: the run context, where that is asked for, the
    input of its name, ``runtime_kwargs``, the top-level config key of its name, the whole config
    for one called ``config``, its own default.

    Raises
    ------
    UsageError
        If a name is given twice, or a parameter without a default gets nothing.
    """
    assert request.fn is not None  # noqa: S101 - checked with the request
    plan = binding_plan(request)
    parameters = parameters_of(request.fn)
    contexts = context_parameters(request.fn, request.inject_context)
    _check_free(contexts, (*plan, *request.runtime_kwargs))
    twice = plan.keys() & request.runtime_kwargs.keys()
    if twice:
        names = ", ".join(sorted(twice))
        problem = UsageError(f"{names}: both a bound input and a runtime argument")
        raise hint(problem, "use input_binding='none' to pass the value yourself")
    arguments: dict[str, Any] = {
        name: _value(ws, named[name], how) for name, how in plan.items() if name in named
    }
    arguments.update(request.runtime_kwargs)
    arguments.update(dict.fromkeys(contexts, context))
    _fill_from_config(arguments, parameters, request.config)
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
    if missing[0] in {_CONTEXT, _SHORT_CONTEXT} or parameters.kinds[missing[0]] == "context":
        fix = "execution_options=ExecutionOptions(inject_context=True) for the run context"
        raise hint(problem, f"Suggested fix: {fix}")
    raise hint(
        problem,
        f"Suggested fix: pass inputs={{{missing[0]!r}: ...}}, a config key, or"
        " execution_options=ExecutionOptions(runtime_kwargs={...})",
    )
