"""What a run gives back to its caller.

Entities are made when they are first read: a hit that nobody looks into never imports SQLModel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.errors import AmbiguousOutput, UnknownKey
from consist.models.record import ArtifactRecord, RunRecord

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.run import Run

__all__ = ["RunArtifacts", "RunResult"]


class RunResult:
    """Outcome of a function-shaped run.

    Attributes
    ----------
    cache_hit : bool
        Whether an earlier run was given back instead of executing.
    value : object
        What the function returned; ``None`` on a hit.
    """

    def __init__(
        self,
        run: RunRecord,
        outputs: Sequence[ArtifactRecord],
        *,
        cache_hit: bool,
        artifact_of: Callable[[ArtifactRecord], Artifact],
        value: Any = None,
    ) -> None:
        self.cache_hit = cache_hit
        self.value = value
        self._run = run
        self._outputs = outputs
        self._artifact_of = artifact_of

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tracker behind: a copy in another process keeps the paths as they are now."""
        paths = {record.id: str(self._artifact_of(record).path) for record in self._outputs}
        state = {name: value for name, value in vars(self).items() if name not in _CACHED}
        return {**state, "_artifact_of": _Moved(paths)}

    def __repr__(self) -> str:
        keys = ", ".join(record.key for record in self._outputs)
        return f"RunResult(run_id={self.run_id!r}, cache_hit={self.cache_hit}, outputs=[{keys}])"

    def _repr_html_(self) -> str:
        from consist.models import html

        run = self._run
        facts = {
            "model": run.model_name,
            "status": run.status,
            "year": run.year,
            "iteration": run.iteration,
            "from the cache": f"yes, of {run.meta.get('cache_source')}" if self.cache_hit else "no",
            "value": None if self.value is None else type(self.value).__name__,
        }
        outputs = [(each.key, each.driver, each.container_uri) for each in self._outputs]
        listed = html.table(("output", "format", "location"), outputs) if outputs else ""
        return html.block(f"Result of run {run.id}", html.facts(facts), listed)

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.id

    @property
    def signature(self) -> str | None:
        """What makes two runs the same."""
        return self._run.signature

    @cached_property
    def run(self) -> Run:
        """The recorded run."""
        from consist.models.run import Run

        return Run.from_record(self._run)

    @cached_property
    def outputs(self) -> dict[str, Artifact]:
        """Output artifacts by key; of two with one key, the later one."""
        return {record.key: self._artifact_of(record) for record in self._outputs}

    @property
    def output_records(self) -> Mapping[str, ArtifactRecord]:
        """Output records by key, without making entities of them."""
        return {record.key: record for record in self._outputs}

    @property
    def output(self) -> Artifact:
        """The only output.

        Raises
        ------
        ValueError
            If the run has no output or several.
        """
        if len(self.outputs) != 1:
            raise AmbiguousOutput(self.run_id, tuple(self.outputs))
        return next(iter(self.outputs.values()))

    def output_path(self, key: str) -> Path:
        """Return where the output under ``key`` lies.

        Raises
        ------
        KeyError
            If the run has no such output.
        """
        if key not in self.outputs:
            raise UnknownKey(key, f"outputs of run {self.run_id!r}", tuple(self.outputs))
        return self.outputs[key].path

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain data: ids, hit or not, and output paths by key."""
        return {
            "run_id": self.run_id,
            "cache_hit": self.cache_hit,
            "outputs": {key: str(artifact.path) for key, artifact in self.outputs.items()},
        }


_CACHED = frozenset({"run", "outputs"})


@dataclass(frozen=True)
class _Moved:
    """Makes the artifacts of a result that came from another process."""

    paths: Mapping[str, str]

    def __call__(self, record: ArtifactRecord) -> Artifact:
        from consist.models.artifact import Artifact, FixedPath

        return Artifact.from_record(record, FixedPath(self.paths[record.id]))


def _by_key() -> dict[str, Artifact]:
    return {}


@dataclass(frozen=True, repr=False)
class RunArtifacts:
    """Artifacts of one run by key.

    Attributes
    ----------
    inputs, outputs : dict of str to Artifact
        Empty where the run is unknown or there is no database.
    """

    inputs: dict[str, Artifact] = field(default_factory=_by_key)
    outputs: dict[str, Artifact] = field(default_factory=_by_key)

    def __repr__(self) -> str:
        return f"RunArtifacts(inputs={[*self.inputs]}, outputs={[*self.outputs]})"

    def _repr_html_(self) -> str:
        from consist.models import html

        rows = [
            (side, key, getattr(artifact, "driver", None), getattr(artifact, "container_uri", None))
            for side, artifacts in (("input", self.inputs), ("output", self.outputs))
            for key, artifact in artifacts.items()
        ]
        return html.block(
            f"{len(self.inputs)} inputs, {len(self.outputs)} outputs",
            html.table(("direction", "key", "format", "location"), rows) if rows else "",
        )
