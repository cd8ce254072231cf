"""Check and complete what a caller asked for, once.

Every way to begin a run (function, block, manual life cycle, scenario step) packs its arguments
into :class:`~consist.runs.arguments.RunArguments` and gets a
:class:`~consist.runs.arguments.RunRequest` back, so that all of them follow the same rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from consist.artifacts.keys import check_key
from consist.cache.hydrate import check_request
from consist.errors import NotSupportedYet, UsageError
from consist.runs import declared
from consist.runs.arguments import CachePlan, Mapped, RunArguments, RunRequest
from consist.runs.bind import parameters_of
from consist.step import (
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
)

if TYPE_CHECKING:
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
    step = definition_of(given.fn)
    execution = _execution(given)
    runtime = dict(execution.runtime_kwargs or {})
    context = _step_context(ws, given, runtime)

    def pick(name: str) -> Any:
        value = getattr(given, name)
        return step.resolve(name, context) if value is None else value

    _refuse_unsupported(given, pick("adapter"))
    allow_external = (
        ws.allow_external_paths
        if given.allow_external_paths is None
        else given.allow_external_paths
    )
    name = _name(given, step, context)
    model = given.model or step.resolve("model", context) or name
    config = declared.config_of(pick("config"))
    output_paths = dict(pick("output_paths") or {})
    inputs = declared.inputs_of(given, pick("inputs"))
    facet, facet_record = declared.facet_of(pick, config, model)
    if given.fn is not None:
        check_runtime_kwargs(given.fn, runtime)
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
        facet_record=facet_record,
        year=declared.whole("year", given.year),
        iteration=declared.whole("iteration", given.iteration),
        phase=given.phase,
        stage=given.stage,
        parent_run_id=given.parent_run_id,
        outputs=declared.output_keys_of(pick("outputs")),
        output_paths={check_key(key): value for key, value in output_paths.items()},
        capture_dir=_path_text(given.capture_dir),
        capture_pattern=given.capture_pattern,
        cache=_cache_plan(ws, given, step, context, has_paths=bool(output_paths)),
        output_mismatch=policy.output_mismatch or "warn",
        output_missing=policy.output_missing or "warn",
        binding=_binding(given, step, context, execution),
        executor=execution.executor or "python",
        container=execution.container,
        runtime_kwargs=runtime,
        inject_context=_context_name(given.fn, step, context, execution),
        artifact_dir=_artifact_dir(ws, given.artifact_dir, allow_external=allow_external),
        allow_external=allow_external,
        meta=declared.meta_of(ws, given.meta),
        block=given.block,
        manual=given.manual,
        header=given.header,
        asked_at=datetime.now(UTC),
    )


# ---------------------------------------------------------------- names


def _step_context(ws: Workspace, given: RunArguments, runtime: Mapped) -> StepContext:
    return StepContext(
        func_name="" if given.fn is None else function_name(given.fn),
        model=given.model,
        year=given.year,
        iteration=given.iteration,
        phase=given.phase,
        stage=given.stage,
        consist_workspace=ws.run_dir,
        runtime_kwargs=runtime,
    )


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
    if path is None:
        return None
    ws.files.places.asked_dir(os.fspath(path), allow_external=allow_external)
    return os.fspath(path)


def _path_text(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)


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
    if asked is None:
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
    if isinstance(asked, str) and fn is not None and not parameters_of(fn).accepts(asked):
        raise UsageError(f"inject_context={asked!r}: the function has no such parameter")
    return False if asked is None else asked


def _cache_plan(
    ws: Workspace,
    given: RunArguments,
    step: StepDefinition,
    context: StepContext,
    *,
    has_paths: bool,
) -> CachePlan:
    options = given.cache_options or CacheOptions()

    def pick(name: str, default: Any = None) -> Any:
        value = getattr(options, name)
        if value is None and hasattr(step, name):
            value = step.resolve(name, context)
        return default if value is None else value

    mode = pick("cache_mode", "reuse")
    hydration = pick("cache_hydration", "metadata")
    validation = pick("validate_cached_outputs", "lazy")
    checked = CacheOptions(
        cache_mode=mode, cache_hydration=hydration, validate_cached_outputs=validation
    )
    asked_paths = given.materialize_cached_output_paths
    asked_dir = given.materialize_cached_outputs_dir
    if given.manual:
        check_request(hydration, has_paths=bool(asked_paths), has_folder=asked_dir is not None)
    elif hydration == "outputs-requested":
        check_request(hydration, has_paths=has_paths, has_folder=False)
    eager = mode != "skip_check" and OUTPUT_VALIDATIONS[str(checked.validate_cached_outputs)]
    return CachePlan(
        mode=mode,
        hydration=hydration,
        eager=eager == "eager",
        epoch=pick("cache_epoch", ws.cache_epoch),
        version=pick("cache_version"),
        code_identity=pick("code_identity"),
        extra_deps=tuple(map(os.fspath, pick("code_identity_extra_deps", ()))),
        output_paths=None if asked_paths is None else dict(asked_paths),
        outputs_dir=_path_text(asked_dir),
    )


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
