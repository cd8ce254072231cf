"""Check and complete what a caller asked for, once.

Every way to begin a run (function, block, manual life cycle, scenario step) packs its arguments
into :class:`~consist.runs.arguments.RunArguments` and gets a
:class:`~consist.runs.arguments.RunRequest` back, so that all of them follow the same rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec

from consist.cache.hydrate import check_request
from consist.errors import NotSupportedYet, UsageError, WrongType, a_kind, hint
from consist.runs import declared
from consist.runs.arguments import CachePlan, RunArguments, RunRequest
from consist.runs.bind import context_parameters, parameters_of
from consist.step import (
    NO_STEP,
    StepContext,
    StepDefinition,
    check_runtime_kwargs,
    definition_of,
    function_name,
    render_name,
)
from consist.store.claims import check_requested_id
from consist.types import (
    OUTPUT_VALIDATIONS,
    CacheOptions,
    ExecutionOptions,
    OutputPolicyOptions,
    PathLike,
    check_option,
    is_mapping,
    is_path,
)

if TYPE_CHECKING:
    from consist.models.run import Run
    from consist.workspace import Workspace


def resolve_run_invocation(ws: Workspace, given: RunArguments) -> RunRequest:
    """Check and complete the arguments of a run.

    An argument wins over the default that :func:`~consist.step.define_step` attached, which wins
    over the built-in one.

    Raises
    ------
    ValueError, TypeError
        For anything that cannot mean what it says; nothing has happened then.
    """
    _check_options(given)
    step, context = step_of(ws, given)
    execution, runtime = _execution(given), context.runtime_kwargs

    def pick(name: str) -> Any:
        value = getattr(given, name)
        return step.resolve(name, context) if value is None else value

    _refuse_unsupported(given, pick("adapter"))
    allow_external = (
        ws.allow_external_paths
        if given.allow_external_paths is None
        else declared.flag("allow_external_paths", given.allow_external_paths)
    )
    name = _name(given, step, context)
    model = context.model or name
    config = declared.config_of(pick("config"))
    output_paths = declared.output_paths_of(pick("output_paths"))
    inputs = declared.inputs_of(given, pick)
    facet = declared.facet_of(ws, pick, config, model)
    if given.fn is not None:
        check_runtime_kwargs(given.fn, runtime)
        _check_parameters(given.fn, runtime)
    policy = given.output_policy or OutputPolicyOptions()
    return RunRequest(
        fn=given.fn,
        name=declared.label("name", name),
        model=declared.label("model", model),
        run_id=None if given.run_id is None else check_requested_id(given.run_id),
        description=declared.description_of(pick("description")),
        config=config,
        inputs=inputs,
        identity_inputs=declared.identity_inputs_of(ws, pick("identity_inputs")),
        tags=declared.tags_of(pick("tags")),
        facet=facet,
        year=declared.whole("year", given.year),
        iteration=declared.whole("iteration", given.iteration),
        phase=declared.optional_label("phase", given.phase),
        stage=declared.optional_label("stage", given.stage),
        parent_run_id=declared.optional_label("parent_run_id", given.parent_run_id),
        outputs=declared.output_keys_of(pick("outputs")),
        output_paths=output_paths,
        capture_dir=_path_text("capture_dir", given.capture_dir),
        capture_pattern=declared.label("capture_pattern", given.capture_pattern),
        cache=_cache_plan(ws, given, step, context, has_paths=bool(output_paths)),
        output_mismatch=policy.output_mismatch or "warn",
        output_missing=policy.output_missing or "warn",
        binding=_binding(given, step, context, execution),
        executor=execution.executor or "python",
        container=execution.container,
        runtime_kwargs=runtime,
        inject_context=_context_name(given.fn, step, context, execution),
        time_limit=execution.time_limit,
        artifact_dir=_artifact_dir(ws, given.artifact_dir, allow_external=allow_external),
        allow_external=allow_external,
        meta=declared.meta_of(ws, given.meta),
        block=given.block,
        manual=given.manual,
        header=given.header,
        asked_at=datetime.now(UTC),
    )


def _check_parameters(fn: Callable[..., Any], runtime: Mapping[str, Any]) -> None:
    parameters = parameters_of(fn)
    unknown = [name for name in runtime if not parameters.accepts(name)]
    if unknown:
        names = ", ".join(map(repr, unknown))
        problem = UsageError(f"step {function_name(fn)!r} has no parameter for runtime {names}")
        raise hint(problem, f"its parameters are {', '.join(parameters.kinds) or 'none'}")


# ---------------------------------------------------------------- names


def step_of(ws: Workspace, given: RunArguments) -> tuple[StepDefinition, StepContext]:
    """Return the defaults that the function of a run carries, and what computed ones may know."""
    step = definition_of(given.fn)
    context = StepContext(
        func_name="" if given.fn is None else function_name(given.fn),
        model=given.model,
        year=given.year,
        iteration=given.iteration,
        phase=given.phase,
        stage=given.stage,
        consist_settings=ws.settings,
        consist_workspace=ws.run_dir,
        consist_state=_outer_run(ws) if step.is_computed else None,
        runtime_kwargs=dict(_execution(given).runtime_kwargs or {}),
    )
    if given.model is None and step.model is not None:
        context = msgspec.structs.replace(context, model=step.resolve("model", context))
    return step, context


def _outer_run(ws: Workspace) -> Run | None:
    from consist.models.run import Run

    outer = ws.active.own()
    return None if outer is None else Run.from_record(outer.record)


def _name(given: RunArguments, step: StepDefinition, context: StepContext) -> str:
    if given.name is not None:
        return given.name
    template = step.resolve("name_template", context)
    if template is not None:
        return render_name(template, context)
    if given.fn is None:
        raise UsageError("a run without a function needs a name")
    return function_name(given.fn)


# ---------------------------------------------------------------- options


def _artifact_dir(ws: Workspace, path: PathLike | None, *, allow_external: bool) -> str | None:
    """Return the folder asked for, refused before the run begins if it lies outside."""
    text = _path_text("artifact_dir", path)
    if text is not None:
        ws.files.places.asked_dir(text, allow_external=allow_external)
    return text


def _path_text(what: str, path: PathLike | None) -> str | None:
    if path is None:
        return None
    if not is_path(cast("object", path)):
        raise WrongType(f"{what}={path!r} is not a path")
    if not os.fspath(path):
        raise UsageError(f"{what} is empty")
    return os.fspath(path)


def _check_options(given: RunArguments) -> None:
    """Refuse options that are in no options object, before anything looks into them."""
    for name, kind in _OPTIONS.items():
        value = getattr(given, name)
        if value is not None and not isinstance(value, kind):
            problem = WrongType(f"{name} is {a_kind(value)}, not {kind.__name__}")
            raise hint(problem, f"write {name}={kind.__name__}(...)")


_OPTIONS = {
    "cache_options": CacheOptions,
    "output_policy": OutputPolicyOptions,
    "execution_options": ExecutionOptions,
}


def _execution(given: RunArguments) -> ExecutionOptions:
    options = given.execution_options or ExecutionOptions()
    if given.runtime_kwargs is not None:
        if options.runtime_kwargs is not None:
            raise UsageError(
                "runtime_kwargs is given twice: as an argument and in execution_options"
            )
        options = replace(options, runtime_kwargs=dict(given.runtime_kwargs))
    return options


def _binding(
    given: RunArguments, step: StepDefinition, context: StepContext, options: ExecutionOptions
) -> str:
    asked = options.binding
    if asked is None and step is not NO_STEP:
        defaults = ExecutionOptions(
            input_binding=step.resolve("input_binding", context),
            load_inputs=step.resolve("load_inputs", context),
        )
        asked = defaults.binding
    if asked is not None:
        return asked
    return "loaded" if is_mapping(given.inputs) or given.inputs is None else "none"


def _context_name(
    fn: Callable[..., Any] | None,
    step: StepDefinition,
    context: StepContext,
    options: ExecutionOptions,
) -> bool | str:
    asked = options.inject_context
    if asked is None:
        asked = step.resolve("inject_context", context)
    asked = False if asked is None else asked
    if not isinstance(asked, bool | str):
        raise WrongType(f"inject_context={asked!r} is neither a bool nor the name of a parameter")
    if fn is not None:
        context_parameters(fn, asked)
    return asked


def _cache_plan(
    ws: Workspace,
    given: RunArguments,
    step: StepDefinition,
    context: StepContext,
    *,
    has_paths: bool,
) -> CachePlan:
    options = _cache_options(given.cache_options or CacheOptions(), step, context)
    mode = options.cache_mode or "reuse"
    hydration = options.cache_hydration or "metadata"
    asked_paths = given.materialize_cached_output_paths
    asked_dir = given.materialize_cached_outputs_dir
    if given.manual:
        check_request(hydration, has_paths=bool(asked_paths), has_folder=asked_dir is not None)
    elif hydration == "outputs-requested":
        check_request(hydration, has_paths=has_paths, has_folder=False)
    validation = OUTPUT_VALIDATIONS[options.validate_cached_outputs or "lazy"]
    return CachePlan(
        mode=mode,
        hydration=hydration,
        eager=validation == "eager" and mode != "skip_check",
        input_mismatch=options.input_mismatch or "error",
        waits=options.in_flight == "wait" and mode in _SHARING,
        epoch=ws.cache_epoch if options.cache_epoch is None else options.cache_epoch,
        version=options.cache_version,
        code_identity=options.code_identity,
        extra_deps=tuple(os.fspath(path) for path in options.code_identity_extra_deps or ()),
        output_paths=None
        if asked_paths is None
        else declared.output_paths_of(asked_paths, "materialize_cached_output_paths"),
        outputs_dir=_path_text("materialize_cached_outputs_dir", asked_dir),
    )


_SHARING = ("reuse", "skip_check")
"""Cache modes of runs that take what others did, and let others take what they do."""


def _cache_options(
    options: CacheOptions, step: StepDefinition, context: StepContext
) -> CacheOptions:
    """Return the options with the defaults of the step, checked like the options themselves."""
    if step is NO_STEP:
        return options
    unset = [f.name for f in fields(options) if getattr(options, f.name) is None]
    defaults = {name: step.resolve(name, context) for name in unset if hasattr(step, name)}
    return replace(options, **defaults)


def _refuse_unsupported(given: RunArguments, adapter: Any) -> None:
    if adapter is not None:
        raise NotSupportedYet("adapter=")
    execution = given.execution_options
    if execution is not None and execution.executor is not None:
        check_option("executor", execution.executor, ("python", "container"))
        if execution.executor == "container":
            if execution.container is None or not given.output_paths:
                raise UsageError("executor='container' needs container= and output_paths=")
            raise NotSupportedYet("executor='container'")
    if given.fn is None and not given.block:
        raise UsageError("executor='python' needs a function: pass fn=")
