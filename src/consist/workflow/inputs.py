"""What the inputs of a scenario's step mean: keys of the coupler, paths, artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from consist.errors import UnknownInput, UsageError, hint
from consist.runs.arguments import GivenInput, RunArguments
from consist.settings import KEY_PATTERN
from consist.step import StepContext, StepDefinition
from consist.types import BindingResult, is_mapping, is_path
from consist.workflow.coupler import Coupler

_INPUTS = ("inputs", "input_keys", "optional_input_keys")


class StepInputs:
    """Finds what inputs mean, with the coupler as it is now.

    Parameters
    ----------
    coupler : Coupler
        Where keys are looked for.
    """

    def __init__(self, coupler: Coupler) -> None:
        self._coupler = coupler

    def of(
        self,
        given: RunArguments,
        binding: BindingResult | None,
        step: StepDefinition,
        context: StepContext,
    ) -> Any:
        """Return the inputs of a step, with every key resolved.

        Raises
        ------
        KeyError
            If a key is not in the coupler.
        ValueError
            If ``binding`` and its parts are given together.
        """
        asked = [getattr(given, name) for name in _INPUTS]
        if binding is not None:
            if asked != [None, None, None]:
                raise UsageError("binding= excludes inputs=, input_keys= and optional_input_keys=")
            asked = [getattr(binding, name) for name in _INPUTS]
        else:
            defaults = [step.resolve(name, context) for name in _INPUTS]
            asked = [d if a is None else a for a, d in zip(asked, defaults, strict=True)]
        inputs, keys, optional = asked
        if keys is None and optional is None and binding is None:
            return self._resolved(inputs)
        named = self._by_name(inputs)
        for key in _listed(keys):
            if key not in named:
                named[key] = self._coupler.record(key)
        for key in _listed(optional):
            if key not in named and key in self._coupler:
                named[key] = self._coupler.record(key)
        return named

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        resolved = self._resolved(inputs)
        if resolved is None:
            return {}
        if is_mapping(resolved):
            return dict(resolved)
        return {item.name or f"input_{n}": item.source for n, item in enumerate(resolved)}

    def _resolved(self, inputs: Any) -> Any:
        if inputs is None or is_path(inputs):
            return inputs
        if is_mapping(inputs):
            return {name: self._source(source) for name, source in inputs.items()}
        return [self._listed_input(source) for source in inputs]

    def _source(self, source: Any) -> Any:
        return self._coupler.record(source) if self._is_key(source) else source

    def _listed_input(self, source: Any) -> GivenInput:
        if self._is_key(source):
            return GivenInput(name=source, source=self._coupler.record(source), bound=True)
        return GivenInput(name=None, source=source, bound=False)

    def _is_key(self, source: Any) -> bool:
        """Whether a source is a key of the coupler, and not a file.

        The keys of this block come first, then files. What other blocks of a joined scenario
        have put out comes last, because the database has to be asked for it.
        """
        if not isinstance(source, str):
            return False
        coupler = self._coupler
        if coupler.holds(source):
            return True
        if "://" in source or not KEY_PATTERN.fullmatch(source) or os.path.exists(source):  # noqa: PTH110
            return False
        if source in coupler:
            return True
        place = os.path.abspath(source)  # noqa: PTH100 - links stay as the caller wrote them
        problem = UnknownInput(source, place, tuple(coupler.keys()))
        raise hint(problem, "a key has to be logged by an earlier step; a file has to be there")


def _listed(keys: Iterable[str] | str | None) -> list[str]:
    if keys is None:
        return []
    return [keys] if isinstance(keys, str) else list(keys)
