"""Run points of a file in this process, one after the other, without whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from consist.errors import NoDatabase, UsageError, hint
from consist.models.record import replace
from consist.runs.run import is_done
from consist.workflow.points_file import PointsFile
from consist.workflow.results import PointResult
from consist.workflow.tasks import Sweep, outcome_of
from consist.workspace import Workspace

ARRAY_VARIABLES = {
    "SLURM_ARRAY_TASK_ID": 0,
    "PBS_ARRAY_INDEX": 0,
    "PBS_ARRAYID": 0,
    "SGE_TASK_ID": 1,
    "LSB_JOBINDEX": 1,
}
"""Where schedulers say which task of an array a process is, and the least number they allow."""


def run_points(ws: Workspace, points: PointsFile, indexes: Iterable[int]) -> Iterator[PointResult]:
    """Execute points or give them back, each recorded under the scenario of the file.

    One that fails, or is interrupted by Ctrl-C, is told as such and not raised.
    """
    ws.check_writable("run a point")
    sweep = Sweep(ws, points.header, points.step)
    for index in indexes:
        result = PointResult(ws, index, points.parameters(index))
        result.attempts = 1
        request = replace(points.request(index), fn=points.step)
        result.take(outcome_of(sweep, request))
        yield result


def missing_points(ws: Workspace, points: PointsFile, indexes: Iterable[int]) -> list[int]:
    """Return which points would execute; nothing is recorded.

    Raises
    ------
    NoDatabase
        Without a database, which nobody could ask.
    """
    if not ws.store.has_database:
        raise NoDatabase("telling which points are not done")
    requests = ((index, replace(points.request(index), fn=points.step)) for index in indexes)
    return [index for index, request in requests if not is_done(ws, request)]


# ---------------------------------------------------------------- which points


def task_of(environment: Mapping[str, str]) -> int:
    """Return which task of an array this process is, from 0, as the scheduler says it.

    Raises
    ------
    ValueError
        If no scheduler says so.
    """
    for variable, first in ARRAY_VARIABLES.items():
        text = environment.get(variable, "")
        if text.isdecimal() and int(text) >= first:  # outside of arrays SGE says "undefined", LSF 0
            return int(text) - first
    problem = UsageError("which point is meant? no index is given and this is no task of an array")
    names = ", ".join(ARRAY_VARIABLES)
    raise hint(problem, f"pass indexes such as 0-9, or run it where one of {names} is set")


def indexes_of(words: Iterable[str], points: PointsFile) -> list[int]:
    """Return the indexes that words such as ``7``, ``0-3`` or ``0-3,7`` mean, each once.

    Raises
    ------
    ValueError
        If a word means nothing, or a point that there is not.
    """
    spans = [_span(part) for word in words for part in word.split(",")]
    for first, last in spans:
        points.check_index(first)
        points.check_index(last)
    return list(dict.fromkeys(n for first, last in spans for n in range(first, last + 1)))


def _span(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else (first, first)
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise hint(UsageError(f"{text!r} is no index"), "write 7, 0-9 or 0-3,7")
    begin, end = map(int, numbers)
    if end < begin:
        raise hint(UsageError(f"{text!r} goes backwards"), f"write {end}-{begin}")
    return begin, end


def tasks_in(indexes: Iterable[int], chunk: int) -> list[int]:
    """Return which tasks of an array these points are in, each of which takes ``chunk`` points."""
    return list(dict.fromkeys(index // chunk for index in indexes))


def points_of_task(task: int, chunk: int, points: PointsFile) -> list[int]:
    """Return the points that a task takes; the last task may have fewer."""
    points.check_index(task * chunk)
    return list(range(task * chunk, min((task + 1) * chunk, len(points))))


def as_array(indexes: Iterable[int]) -> str:
    """Return sorted indexes as Slurm writes them.

    Examples
    --------
    >>> as_array([0, 1, 2, 3, 7, 9, 10])
    '0-3,7,9-10'
    """
    spans: list[list[int]] = []
    for index in indexes:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
