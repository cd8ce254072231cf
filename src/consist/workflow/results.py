"""What a sweep gives back: one row per point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from consist.errors import PointsFailed, UnknownKey, hint
from consist.identity import plain
from consist.models.record import ArtifactRecord, storable

if TYPE_CHECKING:
    import pandas as pd

    from consist.models.artifact import Artifact
    from consist.workflow.tasks import Outcome
    from consist.workspace import Workspace

COMPLETED, RUNNING, CANCELLED, INTERRUPTED = "completed", "running", "cancelled", "interrupted"

_COLUMNS = ("status", "run_id", "cache_hit", "duration_seconds", "attempts", "error")
_SHOWN_ERRORS = 3
_LISTED_FAILURES = 20
_LISTED_TEXT = 500


class PointResult:
    """One point of a sweep, and what became of it.

    Attributes
    ----------
    index : int
        Its place in the sweep, from 0.
    parameters : dict
        What was varied.
    status : str
        ``"completed"``, ``"failed"`` or ``"interrupted"``; in a sweep that was stopped also
        ``"cancelled"``, if it was not begun or its result was given up, and ``"running"``, if it
        was not waited for.
    run_id : str or None
        Its run; ``None`` where it failed or was cancelled before there was one.
    cache_hit : bool
        Whether an earlier run was given back.
    duration_seconds : float or None
        How long the run took.
    attempts : int
        How often it was sent to a worker; 0 for one that was done already.
    error : str or None
        What the last attempt raised.
    """

    def __init__(self, workspace: Workspace, index: int, parameters: Mapping[str, Any]) -> None:
        self._workspace = workspace
        self.index, self.parameters = index, dict(parameters)
        self.status = CANCELLED
        self.run_id: str | None = None
        self.cache_hit = False
        self.duration_seconds: float | None = None
        self.attempts = 0
        self.error: str | None = None
        self.records: Mapping[str, ArtifactRecord] = {}

    def __repr__(self) -> str:
        how = "completed (hit)" if self.cache_hit else self.status
        return f"PointResult({self.index}, {self.parameters}, {how})"

    def take(self, outcome: Outcome) -> None:
        """Take in what became of the last attempt."""
        self.status, self.run_id, self.error = outcome.status, outcome.run_id, outcome.error
        self.cache_hit, self.duration_seconds = outcome.cache_hit, outcome.duration_seconds
        self.records = outcome.outputs

    @property
    def outputs(self) -> dict[str, Artifact]:
        """Output artifacts by key."""
        return {key: self.output(key) for key in self.records}

    def output(self, key: str) -> Artifact:
        """Return the output under ``key``.

        Raises
        ------
        KeyError
            If the point has no such output.
        """
        if key not in self.records:
            raise UnknownKey(key, f"outputs of run {self.run_id!r}", tuple(self.records))
        return self._workspace.artifact_of(self.records[key])

    def path(self, key: str) -> Path | None:
        """Return where the output under ``key`` lies; ``None`` if there is none."""
        record = self.records.get(key)
        return None if record is None else self._workspace.path_of(record)


class SweepResult(Sequence[PointResult]):
    """The points of a sweep in order, each with its parameters, status, run and outputs.

    Examples
    --------
    >>> sweep = sc.map(simulate, over={"demand": [0.9, 1.1]}, outputs=["kpi"])  # doctest: +SKIP
    >>> sweep.to_frame()  # doctest: +SKIP
    """

    def __init__(self, name: str, points: list[PointResult]) -> None:
        self.name = name
        self._points = points

    @overload
    def __getitem__(self, index: int) -> PointResult: ...
    @overload
    def __getitem__(self, index: slice) -> SweepResult: ...
    def __getitem__(self, index: int | slice) -> PointResult | SweepResult:
        """Return one point, or a part of the sweep."""
        if isinstance(index, slice):
            return SweepResult(self.name, self._points[index])
        return self._points[index]

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[PointResult]:
        return iter(self._points)

    def __repr__(self) -> str:
        return f"SweepResult({self.name!r}: {len(self):,} points, {tally(counted(self))})"

    # ------------------------------------------------------------ parts

    @property
    def completed(self) -> SweepResult:
        """The points that completed, executed or given back."""
        return self._where(COMPLETED)

    @property
    def failed(self) -> SweepResult:
        """The points that did not: failed, interrupted or never begun."""
        points = [point for point in self._points if point.status != COMPLETED]
        return SweepResult(self.name, points)

    def _where(self, status: str) -> SweepResult:
        return SweepResult(self.name, [point for point in self._points if point.status == status])

    def raise_if_failed(self) -> None:
        """Raise where a point did not complete.

        Raises
        ------
        PointsFailed
            Naming how many, and the first of them.
        """
        if self.failed:
            raise points_failed(self)

    def artifacts(self, key: str) -> list[Artifact]:
        """Return the output under ``key`` of every point, in order, to be inputs of a next step.

        Raises
        ------
        PointsFailed
            If a point did not complete; ``sweep.completed.artifacts(key)`` leaves those out.
        KeyError
            If a point has no such output.
        """
        self.raise_if_failed()
        return [point.output(key) for point in self._points]

    def latest_outputs(self) -> list[ArtifactRecord]:
        """Return the outputs that a loop over the points would have left, one for each key."""
        found: dict[str, ArtifactRecord] = {}
        for point in self._points:
            found.update(point.records)
        return list(found.values())

    # ------------------------------------------------------------ table

    def to_frame(self) -> pd.DataFrame:
        """Return the sweep as a table with one row per point.

        Columns are the parameters; ``status``, ``run_id``, ``cache_hit``, ``duration_seconds``,
        ``attempts`` and ``error``; and for each output its path, as text, under its key. A
        parameter or output whose name is taken has ``parameter_`` or ``output_`` before it.
        """
        import pandas as pd

        parameters = _renamed((n for p in self._points for n in p.parameters), "parameter_", ())
        taken = (*_COLUMNS, *parameters.values())
        outputs = _renamed((n for p in self._points for n in p.records), "output_", taken)
        frame: dict[str, list[Any]] = {
            shown: [point.parameters.get(name) for point in self._points]
            for name, shown in parameters.items()
        }
        for column in _COLUMNS:
            frame[column] = [getattr(point, column) for point in self._points]
        for key, shown in outputs.items():
            paths = [point.path(key) for point in self._points]
            frame[shown] = [None if path is None else str(path) for path in paths]
        index = pd.Index([point.index for point in self._points], name="point")
        return pd.DataFrame(frame, index=index)


def _renamed(names: Iterator[str], prefix: str, taken: Sequence[str]) -> dict[str, str]:
    known = {*_COLUMNS, *taken}
    return {name: prefix + name if name in known else name for name in dict.fromkeys(names)}


def counted(points: Iterable[PointResult]) -> Counter[str]:
    """Count points by status, and hits under ``"hits"``."""
    counts: Counter[str] = Counter()
    for point in points:
        counts[point.status] += 1
        counts["hits"] += point.cache_hit
    return counts


def tally(counts: Counter[str]) -> str:
    """Say in words what became of the points, such as ``7 completed (3 hits), 1 failed``."""
    hits = counts["hits"]
    said = [f"{counts[COMPLETED]:,} completed ({hits:,} {'hit' if hits == 1 else 'hits'})"]
    others = (status for status in counts if status not in {COMPLETED, "hits"} and counts[status])
    return ", ".join([*said, *(f"{counts[status]:,} {status}" for status in others)])


def summary_of(result: SweepResult) -> dict[str, Any]:
    """Return what the header of a scenario keeps of a sweep: counts, and the first failures."""
    listed = [point for point in result if point.error is not None][:_LISTED_FAILURES]
    failures = [
        {
            "parameters": {name: _shown(value) for name, value in point.parameters.items()},
            "run": point.run_id,
            "error": (point.error or "")[:_LISTED_TEXT],
        }
        for point in listed
    ]
    counts = counted(result)
    return {
        "name": result.name,
        "points": len(result),
        "hits": counts.pop("hits", 0),
        **dict(counts),
        **({"failures": failures} if failures else {}),
    }


def _shown(value: object) -> Any:
    """Return a parameter as a record may hold it: plain and short."""
    try:
        known = plain(value, "parameter")
    except Exception:  # noqa: BLE001 - whatever the classes of users raise
        known = f"a {type(value).__name__}"
    if known is None or isinstance(known, (bool, int, float)):
        return known
    return storable(known if isinstance(known, str) else f"{known}")[:_LISTED_TEXT]


def points_failed(result: SweepResult) -> PointsFailed:
    """Return the error of a sweep of which points failed."""
    error = PointsFailed(result.name, tally(counted(result)), result)
    for point in list(result.failed)[:_SHOWN_ERRORS]:
        shown = {name: _shown(value) for name, value in point.parameters.items()}
        hint(error, f"point {point.index} {shown}: {point.error or point.status}")
    return error
