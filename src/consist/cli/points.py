"""The command that runs points of a file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from consist.cli.options import AsJson
from consist.cli.render import Column, clean, print_json, print_table

if TYPE_CHECKING:
    from consist.core.tracker import Tracker
    from consist.workflow.points_file import PointsFile
    from consist.workflow.results import PointResult

_FAILED, _INTERRUPTED, _TERMINATED = 1, 130, 128 + signal.SIGTERM


def run_point(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The points, as `sc.write_points` wrote them.")
    ],
    index: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INDEX...",
            help="Which points, such as `7`, `0-9` or `0-3,7`; by default the one of this task"
            " (SLURM_ARRAY_TASK_ID, PBS_ARRAY_INDEX, SGE_TASK_ID, LSB_JOBINDEX).",
        ),
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Run nothing; print which are not done yet.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Run nothing; print a table of the points.")
    ] = False,
    chunk: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many points a task of an array takes.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Run points of a sweep, each recorded under the scenario that it was written in.

    They run in this process, in the folder that was the current one when the file was written;
    what was done before is given back. The exit code is 0 if every point completed. The file names
    code that is executed: trust it as you trust a script.

    Examples:

    \b
      consist run-point points.json 0-9
      consist run-point points.json --missing --chunk 50
    """
    from consist.workflow.points_file import PointsFile
    from consist.workflow.run_points import indexes_of

    if missing and listed:
        raise typer.BadParameter("--missing and --list exclude each other")
    points = PointsFile.read(file)
    asked = indexes_of(index, points) if index else None
    if listed:
        _print_points(points, asked, as_json=as_json)
    elif missing:
        _print_missing(points, asked, chunk, as_json=as_json)
    else:
        _run(points, _of_this_task(points, chunk) if asked is None else asked, as_json=as_json)


def _of_this_task(points: PointsFile, chunk: int) -> list[int]:
    from consist.workflow.run_points import points_of_task, task_of

    return points_of_task(task_of(os.environ), chunk, points)


# ---------------------------------------------------------------- run


def _run(points: PointsFile, indexes: list[int], *, as_json: bool) -> None:
    done: list[PointResult] = []
    terminated: list[int] = []
    try:
        with _only_ours() if as_json else nullcontext(), _terminating(terminated):
            for result in _results(points, indexes):
                done.append(result)
                if not as_json:
                    typer.echo(clean(_line(result)))
                    sys.stdout.flush()
                if result.status == "interrupted":
                    break
    except KeyboardInterrupt:  # while the step was loaded
        raise typer.Exit(_TERMINATED if terminated else _INTERRUPTED) from None
    finally:
        if as_json:
            print_json([_facts(result) for result in done])
    if done[-1].status == "interrupted":
        raise typer.Exit(_TERMINATED if terminated else _INTERRUPTED)
    if any(result.status != "completed" for result in done):
        raise typer.Exit(_FAILED)


def _results(points: PointsFile, indexes: list[int]) -> Iterator[PointResult]:
    from consist.workflow.run_points import run_points

    with _opened(points) as tracker:
        yield from run_points(tracker, points, indexes)


@contextmanager
def _opened(points: PointsFile) -> Generator[Tracker]:
    """Open the tracker of a points file, in the folder where it was written."""
    from consist.core.tracker import Tracker

    points.move_in()
    _ = points.step  # before anything is opened: most likely this is what does not work
    with Tracker(**points.tracker_arguments()) as tracker:
        yield tracker


@contextmanager
def _terminating(received: list[int]) -> Generator[None]:
    """Let a scheduler's SIGTERM interrupt the step as Ctrl-C does, so that it is recorded."""

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


@contextmanager
def _only_ours() -> Generator[None]:
    """Let what steps and their subprocesses print go to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


# ---------------------------------------------------------------- show


def _line(result: PointResult) -> str:
    status = f"{result.status} (hit)" if result.cache_hit else result.status
    took = "" if result.duration_seconds is None else f"{result.duration_seconds:.2f} s"
    parts = (result.index, _spelled(result.parameters), status, result.run_id, took, result.error)
    return "  ".join(str(part) for part in parts if part not in {None, ""})


def _spelled(parameters: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
        for name, value in parameters.items()
    )


def _facts(result: PointResult) -> dict[str, Any]:
    return {
        "index": result.index,
        "parameters": result.parameters,
        "status": result.status,
        "cache_hit": result.cache_hit,
        "run_id": result.run_id,
        "duration_seconds": result.duration_seconds,
        "error": result.error,
        "outputs": {key: result.path(key) for key in result.records},
    }


def _print_points(points: PointsFile, asked: list[int] | None, *, as_json: bool) -> None:
    indexes = range(len(points)) if asked is None else asked
    rows = [(index, points.parameters(index)) for index in indexes]
    if as_json:
        print_json([{"index": index, "parameters": given} for index, given in rows])
        return
    names = list(dict.fromkeys(name for _, given in rows for name in given))
    columns = [Column("Point", right=True, head=True), *(Column(clean(n), least=4) for n in names)]
    print_table(columns, ([index, *map(given.get, names)] for index, given in rows))


def _print_missing(
    points: PointsFile, asked: list[int] | None, chunk: int, *, as_json: bool
) -> None:
    from consist.workflow.run_points import as_array, missing_points, tasks_in

    indexes = range(len(points)) if asked is None else sorted(asked)
    with _only_ours(), _opened(points) as tracker:
        found = tasks_in(missing_points(tracker, points, indexes), chunk)
    if as_json:
        print_json(found)
    elif found:
        typer.echo(as_array(found))
    else:
        typer.echo(f"all {len(indexes):,} points are done", err=True)
