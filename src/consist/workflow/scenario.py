"""Scenarios: steps under one header run, with a coupler between them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from consist.active import ActiveRun
from consist.artifacts.items import local_path
from consist.artifacts.log import log_artifact
from consist.errors import OutputMissing, RunStateError, WrongType, a_kind, hint
from consist.identity import plain
from consist.models.record import ArtifactRecord, Direction, RunDocument
from consist.runs.arguments import RunArguments
from consist.runs.declared import flag
from consist.runs.explain import explain_arguments, with_arguments_of
from consist.runs.lifecycle import close_run, new_run, running, status_after
from consist.runs.request import resolve_run_invocation, step_of
from consist.runs.run import execute_run
from consist.runs.trace import block_arguments, traced
from consist.step import definition_of, function_name
from consist.types import (
    ArtifactRef,
    BindingResult,
    CacheOptions,
    ConfigLike,
    ExecutionOptions,
    FacetLike,
    IdentityInputs,
    OutputPolicyOptions,
    PathLike,
    explain_legacy_options,
    refuse_legacy_options,
)
from consist.workflow.arguments import (
    StepDefaults,
    header_arguments,
    name_may_come_first,
    required_keys,
)
from consist.workflow.blocks import BlockEnd, failure_of, record_end
from consist.workflow.coupler import Coupler, coupler_of
from consist.workflow.inputs import StepInputs
from consist.workflow.joining import HEADER_TAG, JoinedBlock, open_or_join
from consist.workflow.points import Point, PointOptions, check_options, points_of
from consist.workflow.results import SweepResult
from consist.workflow.sweep import Driver, SweepOptions

if TYPE_CHECKING:
    from consist.cache.explanation import Explanation
    from consist.models.artifact import Artifact
    from consist.models.result import RunResult
    from consist.workspace import Workspace

__all__ = ["HEADER_TAG", "ScenarioContext", "scenario"]


def _check_options_of_steps(verb: str, given: Mapping[str, Any]) -> None:
    """Refuse arguments that a step of a sweep does not take.

    Raises
    ------
    TypeError
        Naming the first of them.
    """
    accepted = inspect.signature(ScenarioContext.run).parameters.keys() - {"self", "fn"}
    refuse_legacy_options(verb, given, accepted)
    for name in given.keys() - accepted:
        problem = WrongType(f"{verb}() got an unexpected keyword argument {name!r}")
        raise hint(problem, "what varies between the points is given with over=")


def scenario(
    ws: Workspace,
    name: str,
    config: ConfigLike | None = None,
    tags: list[str] | None = None,
    model: str = "scenario",
    step_cache_hydration: str | None = None,
    name_template: str | None = None,
    cache_epoch: int | None = None,
    coupler: Coupler | None = None,
    require_outputs: Iterable[str] | None = None,
    *,
    step_tags: list[str] | None = None,
    step_facet: FacetLike | None = None,
    join: bool | None = None,
    **kwargs: Any,
) -> ScenarioContext:
    """Return a context manager that groups steps under one header run.

    Parameters
    ----------
    name : str
        Name of the scenario and id of its header. Run again, it is a new attempt: ``<name>~2``.
    config : mapping or model, optional
        Recorded on the header; steps do not inherit it.
    tags : list of str, optional
        Labels of the header, beside ``"scenario_header"``.
    model : str, default "scenario"
        Model name of the header.
    step_cache_hydration : str, optional
        Cache hydration of steps that ask for none.
    name_template : str, optional
        Names steps that have neither a name nor a template of their own.
    cache_epoch : int, optional
        Cache epoch of the steps, in place of the tracker's.
    coupler : Coupler, optional
        One to use instead of a new one.
    require_outputs : iterable of str, optional
        Keys that have to be in the coupler at the end.
    step_tags : list of str, optional
        Labels of steps that have none of their own.
    step_facet : mapping or model, optional
        Facet of steps that say nothing of facets themselves.
    join : bool, optional
        Whether to add steps to the latest attempt instead of opening a new one; by default what
        ``CONSIST_SCENARIO_JOIN`` says, which is no. Without an attempt, the first that asks opens
        one and all others join it. What is said of the header then counts for who opens; another
        ``config`` than the header's is an error.
    **kwargs : Any
        ``description``, ``year``, ``iteration``, ``stage``, ``phase``, ``parent_run_id``,
        ``facet``, ``facet_from``, ``facet_schema_version``, ``facet_index``; everything else
        becomes metadata of the header, but for options of steps, which are errors here.

    Examples
    --------
    >>> with tracker.scenario("baseline") as sc:  # doctest: +SKIP
    ...     sc.run(prepare, outputs=["clean"])
    """
    context = ScenarioContext(
        ws,
        header_arguments(name, config, tags, model, kwargs),
        coupler=coupler,
        defaults=StepDefaults.checked(
            step_cache_hydration, name_template, cache_epoch, step_tags, step_facet
        ),
        joins=ws.settings.scenario_join if join is None else flag("join", join),
    )
    if require_outputs is not None:
        context.require_outputs(*required_keys(require_outputs))
    return context


class ScenarioContext:
    """Steps under one header run.

    Attributes
    ----------
    coupler : Coupler
        Latest artifact per key; every output of a step is put there.
    """

    def __init__(
        self,
        workspace: Workspace,
        header: RunArguments,
        *,
        coupler: Coupler | None,
        defaults: StepDefaults,
        joins: bool,
    ) -> None:
        self.coupler: Coupler = coupler_of(coupler, partial(local_path, workspace))
        self._workspace, self._arguments, self._defaults = workspace, header, defaults
        self._joins = joins and workspace.keeps
        self._has_own_coupler = coupler is None
        self._run: ActiveRun | None = None
        self._joined: JoinedBlock | None = None
        self._inputs: dict[str, Artifact] = {}
        self._sweeps: list[dict[str, Any]] = []
        self._steps_began = False

    def __repr__(self) -> str:
        return f"ScenarioContext({self.run_id!r})"

    # ------------------------------------------------------------ life cycle

    def __enter__(self) -> Self:
        ws = self._workspace
        ws.check_writable("open a scenario")
        if self._run is not None:
            problem = RunStateError(
                f"scenario {self._arguments.name!r} was opened with this object"
            )
            raise hint(problem, "a scenario is one block: call scenario(...) again for another")
        request = resolve_run_invocation(ws, self._arguments)
        opened = open_or_join(ws, request) if self._joins else new_run(ws, request, None)
        if isinstance(opened, RunDocument):
            self._join(opened)
        else:
            self._run = opened
            # A scenario inside another one has a coupler of its own.
            opened.listeners[:] = [self._sync]
            if not self._joins:
                with running(ws, opened):
                    return self
        return self

    def _join(self, header: RunDocument) -> None:
        self._joined = joined = JoinedBlock(self._workspace, header)
        self._run = joined.run
        self._run.listeners.append(self._sync)
        self._inputs.update(joined.inputs)
        if self._has_own_coupler:
            self.coupler.learn_from(joined.others)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        missing = () if error else tuple(self.coupler.missing_declared_outputs())
        problem = error or (OutputMissing(self.run_id, missing) if missing else None)
        self._close(problem, missing)
        if missing and problem is not None:
            raise problem

    def _close(self, error: BaseException | None, missing: tuple[str, ...]) -> None:
        run, ws = self._header("close the scenario"), self._workspace
        failure = None if error is None else failure_of(run.steps, error, missing)
        if self._joined is not None:
            self._joined.leave(failure, self._sweeps)
            return
        meta: dict[str, Any] = {"steps": run.steps}
        if self._sweeps:
            meta["sweeps"] = self._sweeps
        if failure is not None:
            meta["failed_with"], meta["failed_step"] = failure["error"], failure["id"]
            meta["failures"] = [failure]
        if missing:
            meta["missing_outputs"] = list(missing)
        document = close_run(ws, run, status_after(error), error, meta)
        if run.persisted and ws.store.joint(run.record.requested_id).exists(run.run_id):
            end = BlockEnd(
                began=run.record.started_at,
                steps=run.steps,
                failure=failure,
                sweeps=self._sweeps,
            )
            record_end(ws, document, end, opened=True)

    def _sync(self, artifact: ArtifactRecord, direction: Direction) -> None:
        if direction == "output":
            self.coupler.sync(artifact, lambda: self._workspace.artifact_of(artifact))

    def _header(self, action: str) -> ActiveRun:
        if self._run is None or not self._run.is_open:
            raise RunStateError(f"cannot {action}: scenario {self._arguments.name!r} is not open")
        return self._run

    # ------------------------------------------------------------ facts

    @property
    def run_id(self) -> str:
        """Id of the header run; the scenario's name before there is one."""
        return str(self._arguments.name) if self._run is None else self._run.run_id

    @property
    def config(self) -> MappingProxyType[str, Any]:
        """The scenario's config, read-only; in a joined block, the one it was opened with."""
        config = self._arguments.config if self._joined is None else self._joined.config
        plain_config: Any = plain({} if config is None else config, "config")
        return MappingProxyType(plain_config)

    @property
    def inputs(self) -> MappingProxyType[str, Artifact]:
        """Artifacts added with :meth:`add_input`, read-only; others' as they were when joined."""
        return MappingProxyType(self._inputs)

    def add_input(self, path: ArtifactRef, key: str, **kwargs: Any) -> Artifact:
        """Record an input of the whole scenario, before the first step of this block.

        Parameters
        ----------
        path : str, Path or Artifact
            The file.
        key : str
            Its key, in the coupler as well.
        **kwargs : Any
            Metadata and options of ``Tracker.log_artifact``.

        Raises
        ------
        RuntimeError
            Outside the block, or after a step has begun.
        """
        self._header("add an input")
        if self._steps_began:
            raise RunStateError("cannot add an input: a step of the scenario has begun")
        artifact = log_artifact(self._workspace, path, key, "input", **kwargs)
        self._inputs[key] = artifact
        self.coupler.add_input(key, artifact)
        return artifact

    # ------------------------------------------------------------ expectations

    def declare_outputs(
        self,
        *names: str,
        required: bool | Mapping[str, bool] = False,
        warn_undefined: bool = False,
        description: Mapping[str, str] | None = None,
    ) -> None:
        """Say which keys the steps will produce; see :meth:`Coupler.declare_outputs`."""
        self.coupler.declare_outputs(
            *names, required=required, warn_undefined=warn_undefined, description=description
        )

    def require_outputs(
        self,
        *names: str,
        required: bool | Mapping[str, bool] = True,
        warn_undefined: bool = False,
        description: Mapping[str, str] | None = None,
    ) -> None:
        """Say which keys have to be there at the end, or the scenario fails."""
        self.coupler.require_outputs(
            *names, required=required, warn_undefined=warn_undefined, description=description
        )

    def collect_by_keys(
        self, artifacts: Mapping[str, Artifact], *keys: str, prefix: str = ""
    ) -> dict[str, Artifact]:
        """Put selected artifacts into the coupler under ``prefix + key``, and return them."""
        return self.coupler.collect_by_keys(artifacts, *keys, prefix=prefix)

    # ------------------------------------------------------------ steps

    @name_may_come_first
    @explain_legacy_options
    def run(
        self,
        fn: Callable[..., Any] | None = None,
        name: str | None = None,
        *,
        run_id: str | None = None,
        model: str | None = None,
        description: str | None = None,
        config: ConfigLike | None = None,
        adapter: Any = None,
        config_plan_ingest: bool = True,
        config_plan_profile_schema: bool = False,
        inputs: Mapping[str, Any] | Iterable[Any] | None = None,
        input_keys: Iterable[str] | str | None = None,
        optional_input_keys: Iterable[str] | str | None = None,
        binding: BindingResult | None = None,
        depends_on: Iterable[Any] | None = None,
        tags: Iterable[str] | None = None,
        facet: FacetLike | None = None,
        facet_from: Iterable[str] | None = None,
        facet_schema_version: str | int | None = None,
        facet_index: bool | None = None,
        identity_inputs: IdentityInputs = None,
        year: int | None = None,
        iteration: int | None = None,
        phase: str | None = None,
        stage: str | None = None,
        parent_run_id: str | None = None,
        outputs: Iterable[str] | None = None,
        output_paths: Mapping[str, ArtifactRef] | None = None,
        capture_dir: PathLike | None = None,
        capture_pattern: str = "*",
        cache_options: CacheOptions | None = None,
        output_policy: OutputPolicyOptions | None = None,
        execution_options: ExecutionOptions | None = None,
    ) -> RunResult:
        """Execute a step, or give back an earlier run of it; outputs go into the coupler.

        As ``Tracker.run``, and: a text among ``inputs`` is a key of the coupler, or a path if
        there is no such key. ``input_keys`` and ``optional_input_keys`` are taken from the
        coupler; ``binding`` says all three at once and excludes them.

        Raises
        ------
        KeyError
            If a key is not in the coupler.
        """
        given = dict(locals())
        del given["self"], given["binding"]
        with self._step():
            return execute_run(self._workspace, self._completed(RunArguments(**given), binding))

    @name_may_come_first
    @with_arguments_of(run)
    def explain(self, given: dict[str, Any]) -> Explanation:
        """Tell whether a step with these arguments would be a hit, and if not why.

        Takes the arguments of :meth:`run`; see :func:`~consist.runs.explain.explain`. Keys are
        taken from the coupler as it is now.
        """
        self._header("explain a step")
        binding = given.pop("binding", None)
        return explain_arguments(self._workspace, self._completed(RunArguments(**given), binding))

    def map(
        self,
        fn: Callable[..., Any],
        over: Any,
        name: str | None = None,
        *,
        point_options: PointOptions | None = None,
        executor: Executor | None = None,
        retries: int = 0,
        on_error: str = "continue",
        progress: bool = True,
        **options: Any,
    ) -> SweepResult:
        """Execute a step for every point of a sweep, or give back what was done before.

        Points that were done before are hits and are not sent to the executor. Workers record
        their runs themselves, so that nothing that was finished is lost with this process. A
        point that fails is recorded and does not stop the others, unless asked. Afterwards the
        coupler holds the outputs of the last point, as after a loop.

        Parameters
        ----------
        fn : callable
            The step. Parameters reach it as config, so also as the arguments of their names.
        over : mapping, iterable or table
            The points: a mapping of names to lists of values (every combination), a list of
            mappings or models (one point each), or a table of pandas, polars or Arrow (one per
            row). The config of a point is ``config`` with the values of its row.
        name : str, optional
            Name of the runs, by default that of the function. It may hold parameters, as in
            ``"simulate_{year}"``; the model stays that of the function then.
        point_options : callable, optional
            Gets the parameters of a point, and returns a mapping of further arguments for it, such
            as ``{"year": 2030, "inputs": {"network": "network_2030.csv"}}``.
        executor : concurrent.futures.Executor, optional
            What executes the points: a thread or process pool, loky, mpi4py,
            ``dask.distributed``'s ``client.get_executor()``, and others. By default they are
            executed here, one after the other.
        retries : int, default 0
            How often a point that failed is tried again.
        on_error : {"continue", "raise"}, default "continue"
            Whether the sweep goes on after a point that failed, retries included.
        progress : bool, default True
            Whether to show a bar, on a terminal.
        **options : Any
            Arguments of :meth:`run`. ``execution_options=ExecutionOptions(time_limit=…)`` limits
            the time of each point.

        Returns
        -------
        SweepResult
            One row per point; ``to_frame()`` makes a table of it.

        Raises
        ------
        PointsFailed
            With ``on_error="raise"``; its ``result`` holds what was done.
        WorkersLost
            If the executor broke; its ``result`` holds what was done.
        TypeError, ValueError
            If the arguments cannot mean what they say.

        Examples
        --------
        >>> with ProcessPoolExecutor() as pool:  # doctest: +SKIP
        ...     sweep = sc.map(
        ...         simulate, over={"demand": [0.9, 1.0, 1.1]}, executor=pool, outputs=["kpi"]
        ...     )
        """
        header = self._header("run a sweep")
        how = SweepOptions(executor=executor, retries=retries, on_error=on_error, progress=progress)
        points = self._points_of("map", fn, over, name, point_options, options)
        driver = Driver(self._workspace, header.record, fn, points, self._completed, how)
        try:
            return driver.run()
        finally:
            self._sweeps.append(driver.summary())
            for record in driver.result.latest_outputs():
                self._sync(record, "output")

    def write_points(
        self,
        path: PathLike,
        fn: Callable[..., Any],
        over: Any,
        name: str | None = None,
        *,
        point_options: PointOptions | None = None,
        **options: Any,
    ) -> int:
        """Write the points of a sweep into a file, so that each can be run from the shell.

        ``consist run-point FILE 7`` runs a point as :meth:`map` would, and joins it to this
        scenario; no process has to wait for it, as with an array of a cluster's jobs. A point that
        was run so is a hit for :meth:`map`, and the other way round. Nothing is executed here, and
        the coupler gets no outputs.

        Parameters
        ----------
        path : str or Path
            The file, JSON. It names code that is executed: trust one as you trust a script.
        fn : callable
            The step, at the top level of a module or of a script. A script has to call this in its
            ``if __name__ == "__main__":``, for its file is loaded to find the step.
        over, name, point_options, **options
            As for :meth:`map`. What JSON would give back as something else (tuples, dates, models)
            is an error.

        Returns
        -------
        int
            How many points there are; their numbers begin at 0.

        Raises
        ------
        TypeError, ValueError
            If the step cannot be found by name, or a point cannot be written, naming it.

        Examples
        --------
        >>> sc.write_points(  # doctest: +SKIP
        ...     "points.json", simulate, over={"demand": [0.9, 1.0, 1.1]}, outputs=["kpi"]
        ... )
        3
        """
        from consist.workflow.points_writer import write_points

        header = self._header("write points")
        self._workspace.check_writable("write points")
        points = self._points_of("write_points", fn, over, name, point_options, options)
        count = write_points(self._workspace, header.record, path, fn, points, self._completed)
        self._sweeps.append({"name": function_name(fn), "points": count, "file": os.fspath(path)})
        return count

    def _points_of(
        self,
        verb: str,
        fn: Callable[..., Any],
        over: Any,
        name: str | None,
        point_options: PointOptions | None,
        options: dict[str, Any],
    ) -> list[Point]:
        """Return the points of a sweep, whose first step begins now."""
        if not callable(cast("object", fn)):
            raise WrongType(f"the step of a sweep is {a_kind(fn)}, not a function")
        check = partial(_check_options_of_steps, verb)
        check(options)
        common = {**options, "name": name}
        model = None if definition_of(fn).model else function_name(fn)
        points = points_of(over, common.pop("config", None), common, point_options, model)
        check_options(points, check)
        self._steps_began = True
        return points

    @contextmanager
    def trace(
        self,
        name: str,
        *,
        run_id: str | None = None,
        model: str | None = None,
        description: str | None = None,
        config: ConfigLike | None = None,
        adapter: Any = None,
        config_plan_ingest: bool = True,
        config_plan_profile_schema: bool = False,
        inputs: Mapping[str, Any] | Iterable[Any] | None = None,
        input_keys: Iterable[str] | str | None = None,
        optional_input_keys: Iterable[str] | str | None = None,
        depends_on: Iterable[Any] | None = None,
        tags: Iterable[str] | None = None,
        facet: FacetLike | None = None,
        facet_from: Iterable[str] | None = None,
        facet_schema_version: str | int | None = None,
        facet_index: bool | None = None,
        identity_inputs: IdentityInputs = None,
        year: int | None = None,
        iteration: int | None = None,
        parent_run_id: str | None = None,
        outputs: Iterable[str] | None = None,
        output_paths: Mapping[str, ArtifactRef] | None = None,
        capture_dir: PathLike | None = None,
        capture_pattern: str = "*",
        cache_mode: str = "reuse",
        cache_hydration: str | None = None,
        cache_version: int | None = None,
        cache_epoch: int | None = None,
        validate_cached_outputs: str = "lazy",
        code_identity: str | None = None,
        code_identity_extra_deps: Iterable[PathLike] | None = None,
        output_mismatch: str = "warn",
        output_missing: str = "warn",
        input_mismatch: str = "error",
    ) -> Generator[Workspace]:
        """Record the code of a ``with`` block as a step; it executes every time.

        As ``Tracker.trace``, with inputs as for :meth:`run`. On a hit the cached outputs are in
        the coupler before the block begins.

        Yields
        ------
        Tracker
            The tracker.
        """
        given = dict(locals())
        del given["self"]
        with (
            self._step(),
            traced(self._workspace, self._completed(block_arguments(given), None)) as run,
        ):
            yield run.workspace

    step = trace

    # ------------------------------------------------------------ defaults of steps

    def _step(self) -> AbstractContextManager[None]:
        header = self._header("run a step")
        self._steps_began = True
        if self._joined is None:
            return nullcontext()
        # Blocks on several threads of a tracker may have joined one scenario.
        return self._workspace.active.inside(header)

    def _completed(self, given: RunArguments, binding: BindingResult | None) -> RunArguments:
        """Return the arguments of a step with the scenario's defaults, and every key resolved."""
        step, context = step_of(self._workspace, given)
        defaults = self._defaults
        return msgspec.structs.replace(
            given,
            name=defaults.name_for(given, step, context),
            tags=defaults.tags_for(given, step),
            facet=defaults.facet_for(given, step),
            inputs=StepInputs(self.coupler).of(given, binding, step, context),
            input_keys=(),
            optional_input_keys=(),
            cache_options=defaults.cache_options_for(given.cache_options, step),
            parent_run_id=given.parent_run_id or self.run_id,
        )
