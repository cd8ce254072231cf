"""Many small files: all in one call, and one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from benchmarks.harness import (
    Figure,
    Goal,
    Prepare,
    Sizes,
    Work,
    alternate,
    at_most_times,
)
from benchmarks.work import Project
from consist import Tracker

_SIZE = 1_000
_BEYOND_HASHING = 100e-6
_LINEAR = 1.3


Log: TypeAlias = Callable[[Tracker, dict[str, Path]], None]


def log_artifacts(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    project = Project(folder / "many_files")
    for count in (sizes.few_files, sizes.many_files):
        files = _files(project.runs / f"files_{count}", count)
        with ExitStack() as stack:
            found = alternate(
                {
                    "hashing": lambda _, files=files: lambda: _hash(files),
                    "ours": _side(project, stack, files, _at_once),
                },
                sizes.file_rounds,
                count,
            )
        ours, hashing = found["ours"], found["hashing"]
        beyond = ours.beyond(hashing).judged
        yield Figure(
            work=f"log_artifacts of {count:,} small files, per file",
            ours=ours.seconds,
            cpu=ours.cpu_seconds,
            reference="SHA-256 of each in a loop",
            theirs=hashing.seconds,
            ratio=ours.over(hashing),
            goals=[Goal("≤ 100 µs beyond", beyond <= _BEYOND_HASHING)],
        )


def one_by_one(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    project = Project(folder / "one_by_one")
    each: list[float] = []
    for count in (sizes.few_files, sizes.many_files):
        files = _files(project.runs / f"files_{count}", count)
        with ExitStack() as stack:
            side = _side(project, stack, files, _singly)
            ours = alternate({"ours": side}, sizes.file_rounds, count)["ours"]
        each.append(ours.seconds)
    few, many = each
    yield Figure(
        work=f"log_artifact {sizes.many_files:,} times, per file",
        ours=many,
        cpu=ours.cpu_seconds,
        reference=f"{sizes.few_files:,} times",
        theirs=few,
        goals=[at_most_times(many / few, _LINEAR)],
    )


def _files(folder: Path, count: int) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"file_{number}": folder / f"{number}.csv" for number in range(count)}
    for number, path in enumerate(files.values()):
        path.write_text(f"{number}," * (_SIZE // (len(str(number)) + 1)))
    return files


def _hash(files: dict[str, Path]) -> None:
    for path in files.values():
        sha256(path.read_bytes()).hexdigest()


def _at_once(tracker: Tracker, files: dict[str, Path]) -> None:
    assert len(tracker.log_artifacts(files)) == len(files)


def _singly(tracker: Tracker, files: dict[str, Path]) -> None:
    for key, path in files.items():
        tracker.log_artifact(path, key)


def _side(project: Project, stack: ExitStack, files: dict[str, Path], log: Log) -> Prepare:
    """Return a side that logs into a run of a new database, whose tracker knows no file yet."""

    def prepare(number: int) -> Work:
        database = project.folder / f"{len(files)}_{number}.duckdb"
        tracker = Tracker(project.runs, database, project_root=project.folder)
        stack.enter_context(tracker)
        stack.enter_context(tracker.start_run(f"files_{len(files)}_{number}", "files"))
        return lambda: log(tracker, files)

    return prepare
