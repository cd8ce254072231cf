"""What a comparison gives: objects that read well, and turn into frames and plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from consist.comparison import words
from consist.comparison.differences import Difference, OutputComparison, StepComparison

if TYPE_CHECKING:
    import pandas as pd

SECTIONS = ("facts", "config", "code", "inputs", "environment", "outputs", "steps")


@dataclass(frozen=True)
class RunFacts:
    """What a run is, in a few facts.

    Attributes
    ----------
    id, model, status : str
        As recorded; ``id`` is that of the attempt.
    year, iteration, attempt : int or None
        As recorded.
    cache_source : str or None
        The run that it gave back.
    started_at : datetime.datetime
        In UTC.
    seconds : float or None
        How long it took.
    """

    id: str
    model: str
    status: str
    year: int | None
    iteration: int | None
    attempt: int
    cache_source: str | None
    started_at: datetime
    seconds: float | None


class _Result:
    """What comparisons of runs and of scenarios have in common."""

    @property
    def differences(self) -> Mapping[str, tuple[Difference, ...]]:
        """Everything that differs, by section; sections without a difference are there, empty."""
        found: dict[str, list[Difference]] = {section: [] for section in SECTIONS}
        for difference in self._each():
            found[difference.section].append(difference)
        return MappingProxyType({name: tuple(listed) for name, listed in found.items()})

    def _each(self) -> Iterator[Difference]:
        raise NotImplementedError

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each difference: section, name, kind, left, right, detail."""
        import pandas as pd

        names = [field.name for field in fields(Difference)]
        rows = [[getattr(found, name) for name in names] for found in self._each()]
        return pd.DataFrame(rows, columns=names, dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data that JSON can hold."""
        data = {name: getattr(self, name) for name in cast("Any", self).__dataclass_fields__}
        plain: dict[str, Any] = _plain(data)
        return {"kind": self._kind, "same": self.same, "headline": self.headline, **plain}

    _kind = ""

    @property
    def same(self) -> bool:
        """Whether nothing that counts differs."""
        raise NotImplementedError

    @property
    def headline(self) -> str:
        """The essential, in one sentence."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """Everything, as lines of at most eighty characters, the essential first."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from consist.models.html import block, folded, table

        parts: list[Any] = [self.headline]
        columns = ("Name", "What", "Left", "Right", "Detail")
        for section, found in self.differences.items():
            if found:
                rows = [(d.name, d.kind, d.left, d.right, d.detail) for d in found]
                parts.append(folded(f"{section} ({len(rows):,})", table(columns, rows)))
        return block(words.title(self), *parts)


@dataclass(frozen=True, repr=False)
class RunComparison(_Result):
    """What differs between two runs.

    Attributes
    ----------
    left, right : RunFacts
        The runs.
    facts : tuple of Difference
        Status, duration, labels and the like.
    config, code, inputs, environment : tuple of Difference
        What differs in them, name by name.
    outputs : tuple of OutputComparison
        Every output of either run, also those that are the same.
    notes : tuple of str
        What a reader must know, such as a config of which only facets are left.
    """

    left: RunFacts
    right: RunFacts
    facts: tuple[Difference, ...] = ()
    config: tuple[Difference, ...] = ()
    code: tuple[Difference, ...] = ()
    inputs: tuple[Difference, ...] = ()
    environment: tuple[Difference, ...] = ()
    outputs: tuple[OutputComparison, ...] = ()
    notes: tuple[str, ...] = ()

    _kind = "runs"

    @property
    def same(self) -> bool:
        """Whether status, config, code, the bytes of inputs, and outputs are the same.

        Durations, labels and the environment may differ; so may the producers of inputs, and the
        bytes of outputs whose data are equal.
        """
        inputs = any(found.kind != "reran" for found in self.inputs)
        status = self.left.status == self.right.status
        outputs = all(output.same for output in self.outputs)
        return status and outputs and not (self.config or self.code or inputs)

    def _each(self) -> Iterator[Difference]:
        for section in (self.facts, self.config, self.code, self.inputs, self.environment):
            yield from section
        yield from _of_outputs(self.outputs)

    @property
    def headline(self) -> str:
        """The essential, in one sentence."""
        return words.headline_of_runs(self)

    @property
    def text(self) -> str:
        """Everything, as lines of at most eighty characters, the essential first."""
        return "\n".join(words.lines_of_runs(self))


@dataclass(frozen=True, repr=False)
class ScenarioComparison(_Result):
    """What differs between two scenarios.

    Attributes
    ----------
    left, right : RunFacts
        Their headers.
    facts, config : tuple of Difference
        Of the headers.
    steps : tuple of StepComparison
        Every step of either, in the order in which they began.
    parting : StepComparison or None
        The first step at which the two part.
    outputs : tuple of OutputComparison
        The final outputs: of each key, what was made last.
    notes : tuple of str
        What a reader must know, such as steps that were matched by their order alone.
    """

    left: RunFacts
    right: RunFacts
    facts: tuple[Difference, ...] = ()
    config: tuple[Difference, ...] = ()
    steps: tuple[StepComparison, ...] = ()
    outputs: tuple[OutputComparison, ...] = ()
    notes: tuple[str, ...] = ()

    _kind = "scenarios"

    @property
    def same(self) -> bool:
        """Whether the config of the headers, every step and the final outputs are the same."""
        steps = all(step.same for step in self.steps)
        outputs = all(output.same for output in self.outputs)
        return steps and outputs and not self.config

    @property
    def parting(self) -> StepComparison | None:
        """The first step at which the two part; ``None`` if they never do."""
        return next((step for step in self.steps if not step.same), None)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data that JSON can hold."""
        parting = self.parting
        return {**super().to_dict(), "parting": None if parting is None else _plain(parting)}

    def _each(self) -> Iterator[Difference]:
        yield from (*self.facts, *self.config)
        for step in self.steps:
            if not step.same:
                causes = ", ".join(step.causes)
                yield Difference("steps", step.label, step.verdict, step.left, step.right, causes)
        yield from _of_outputs(self.outputs)

    @property
    def headline(self) -> str:
        """The essential, in one sentence."""
        return words.headline_of_scenarios(self)

    @property
    def text(self) -> str:
        """Everything, as lines of at most eighty characters, the essential first."""
        return "\n".join(words.lines_of_scenarios(self))


def _of_outputs(outputs: tuple[OutputComparison, ...]) -> Iterator[Difference]:
    for output in outputs:
        if output.same:
            continue
        kind = output.verdict if output.verdict in {"added", "removed", "unknown"} else "changed"
        detail = words.of_output(output)
        yield Difference("outputs", output.key, kind, output.left, output.right, detail)
        yield from words.parts_of_output(output)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Any] = _plain(_fields(value))
        return plain
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(name): _plain(inner) for name, inner in items}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a frozen value, and whether it says that both sides are the same."""
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    same: Any = getattr(value, "same", None)
    return found if same is None else {**found, "same": same}
