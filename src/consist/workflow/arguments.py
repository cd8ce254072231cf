"""What a scenario is asked for, checked where it is written: its header and its steps' defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from consist.artifacts.facets import facet_source, plain_mapping
from consist.errors import WrongType, hint
from consist.runs.arguments import RunArguments
from consist.runs.declared import config_of, description_of, label, listed, tags_of, whole
from consist.step import StepContext, StepDefinition, render_name
from consist.store.claims import check_requested_id
from consist.types import (
    CACHE_HYDRATIONS,
    CacheOptions,
    ExecutionOptions,
    FacetLike,
    OutputPolicyOptions,
    check_option,
)
from consist.workflow.joining import HEADER_TAG

P = ParamSpec("P")
R = TypeVar("R")

_HEADER_FIELDS = (
    "description",
    "year",
    "iteration",
    "stage",
    "phase",
    "parent_run_id",
    "facet",
    "facet_from",
    "facet_schema_version",
    "facet_index",
)
_OF_STEPS = frozenset(
    {
        *(name for name in RunArguments.__struct_fields__ if name not in _HEADER_FIELDS),
        *(field.name for kind in (CacheOptions, OutputPolicyOptions, ExecutionOptions)
          for field in fields(kind)),
        *(name for name in StepDefinition.__struct_fields__ if name not in _HEADER_FIELDS),
        "binding", "config_plan", "hash_inputs",
    }
) - {"block", "extra", "header", "manual", "meta"}  # fmt: skip
_REMEDIES = {
    "run_id": "the name of a scenario is the id of its header",
    "inputs": "inputs of the whole scenario are given to sc.add_input(path, key)",
    "outputs": "keys that have to be there at the end are given as require_outputs=[...]",
    "cache_hydration": "the default of its steps is called step_cache_hydration",
}


def header_arguments(
    name: str, config: Any, tags: Any, model: str, options: dict[str, Any]
) -> RunArguments:
    """Return what the header of a scenario is to be.

    Parameters
    ----------
    name, config, tags, model
        As given to :func:`~consist.workflow.scenario.scenario`.
    options : dict
        Its further keywords; what is no field of a header becomes metadata.

    Raises
    ------
    TypeError, ValueError
        For what cannot be meant, such as an option of steps.
    """
    label("the name of a scenario", name)
    check_requested_id(name)
    given = {field: options.pop(field, None) for field in _HEADER_FIELDS}
    _check_options(options)
    description_of(given["description"])
    for field in ("year", "iteration"):
        whole(field, given[field])
    return RunArguments(
        name=name,
        run_id=name,
        model=label("model", model),
        config=config_of(config),
        tags=[*tags_of(tags), HEADER_TAG],
        **given,
        meta=options,
        block=True,
        header=True,
    )


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse to take an option of steps for metadata."""
    for name in options:
        if name in _OF_STEPS:
            error = WrongType(f"scenario() got an unexpected keyword argument {name!r}")
            raise hint(error, _REMEDIES.get(name, "it is an option of steps: give it to sc.run"))


def required_keys(keys: Any) -> list[str]:
    """Return the keys that are required of a scenario."""
    return listed("require_outputs", keys)


def name_may_come_first(method: Callable[P, R]) -> Callable[P, R]:
    """Accept ``run("name", fn=step)`` beside ``run(step, "name")``."""

    @wraps(method)
    def accepting(*args: Any, **kwargs: Any) -> R:
        if len(args) == 2 and isinstance(args[1], str) and "fn" in kwargs:
            return cast("Any", method)(args[0], name=args[1], **kwargs)
        return cast("Any", method)(*args, **kwargs)

    return cast("Callable[P, R]", accepting)


class StepDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario gives the steps that do not say it themselves.

    Attributes
    ----------
    cache_hydration, cache_epoch, name_template, tags, facet
        As the arguments of a step; ``None`` says nothing.
    """

    cache_hydration: str | None = None
    cache_epoch: int | None = None
    name_template: str | None = None
    tags: tuple[str, ...] | None = None
    facet: Any = None

    @classmethod
    def checked(
        cls,
        step_cache_hydration: str | None,
        name_template: str | None,
        cache_epoch: int | None,
        step_tags: list[str] | None,
        step_facet: FacetLike | None,
    ) -> StepDefaults:
        """Return the defaults, checked where the scenario is written and not at the first step.

        Raises
        ------
        TypeError, ValueError
            Naming the argument.
        """
        if step_cache_hydration is not None:
            check_option("step_cache_hydration", step_cache_hydration, CACHE_HYDRATIONS)
        CacheOptions(cache_epoch=cache_epoch)
        if name_template is not None:
            render_name(label("name_template", name_template), StepContext(func_name=""))
        facet = None if step_facet is None else facet_source(step_facet)
        if facet is not None:
            plain_mapping(facet.values, "step_facet")
        return cls(
            cache_hydration=step_cache_hydration,
            cache_epoch=cache_epoch,
            name_template=name_template,
            tags=None if step_tags is None else tags_of(listed("step_tags", step_tags)),
            facet=step_facet,
        )

    def name_for(self, given: RunArguments, step: StepDefinition, context: StepContext) -> Any:
        """Return the name of a step, ``None`` where its function has to name it."""
        if given.name is None and step.name_template is None and self.name_template is not None:
            return render_name(self.name_template, context)
        return given.name

    def tags_for(self, given: RunArguments, step: StepDefinition) -> Any:
        """Return the tags of a step; its own replace the default."""
        return self.tags if given.tags is None and step.tags is None else given.tags

    def facet_for(self, given: RunArguments, step: StepDefinition) -> Any:
        """Return the facet of a step; the default is for steps that say nothing of facets."""
        own = (given.facet, step.facet, given.facet_from, step.facet_from)
        config = step.config if given.config is None else given.config
        if self.facet is None or any(value is not None for value in own):
            return given.facet
        return given.facet if hasattr(config, "to_consist_facet") else self.facet

    def cache_options_for(self, options: Any, step: StepDefinition) -> CacheOptions:
        """Return the cache options of a step."""
        options = options or CacheOptions()
        if not isinstance(options, CacheOptions):
            return options  # refused with every other option that is none
        if options.cache_hydration is None and step.cache_hydration is None:
            options = replace(options, cache_hydration=self.cache_hydration)
        if options.cache_epoch is None:
            options = replace(options, cache_epoch=self.cache_epoch)
        return options
