"""Materializing: a large file and a folder of many, beside ``cp`` and one SHA-256 pass."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Figure, Samples, Sizes, Work, alternate, at_most_times
from benchmarks.work import Project
from consist import Artifact, Tracker

_PIECE = 2**20
_SMALL = 1_000
_LIMIT = 1.3


def materialize(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    project = Project(folder / "copies")
    large = project.runs / "large.bin"
    large.parent.mkdir(parents=True, exist_ok=True)
    with large.open("wb") as file:
        for _ in range(max(sizes.materialized_file // _PIECE, 1)):
            file.write(os.urandom(_PIECE))
    many = project.runs / "many.zarr"
    many.mkdir()
    for number in range(sizes.materialized_files):
        (many / f"{number}.bin").write_bytes(os.urandom(_SMALL))
    time.sleep(0.05)
    for what, source in (
        (f"materialize a file of {large.stat().st_size // 2**20:,} MB", large),
        (f"materialize a folder of {sizes.materialized_files:,} files", many),
    ):
        yield from _compared(project, sizes, what, source)


def _compared(project: Project, sizes: Sizes, what: str, source: Path) -> Iterator[Figure]:
    target = project.folder / "copy"
    with ExitStack() as stack:

        def unknown(number: int) -> Work:
            tracker, artifact = _recorded(project, stack, source, f"{source.stem}_{number}")
            _cleared(target)
            return lambda: tracker.materialize(artifact, target)

        tracker, artifact = _recorded(project, stack, source, f"{source.stem}_known")
        tracker.materialize(artifact, _cleared(target))

        def known(_: int) -> Work:
            _cleared(target)
            return lambda: tracker.materialize(artifact, target)

        def plain(_: int) -> Work:
            _cleared(target)
            return lambda: (_hash(source), _cp(source, target))

        def copied(_: int) -> Work:
            _cleared(target)
            return lambda: _cp(source, target)

        sides = {"ours": unknown, "known": known, "cp and SHA-256": plain, "cp": copied}
        found = alternate(sides, sizes.file_rounds)
        _cleared(target)
    yield _figure(what, found["ours"], "cp, and one SHA-256 pass", found["cp and SHA-256"])
    yield _figure("… again, the source is known", found["known"], "cp", found["cp"], goal=False)


def _figure(what: str, ours: Samples, beside: str, theirs: Samples, *, goal: bool = True) -> Figure:
    ratio = ours.over(theirs)
    return Figure(
        work=what,
        ours=ours.seconds,
        cpu=ours.cpu_seconds,
        reference=beside,
        theirs=theirs.seconds,
        ratio=ratio,
        goals=[at_most_times(ratio, _LIMIT)] if goal else [],
    )


def _recorded(
    project: Project, stack: ExitStack, source: Path, name: str
) -> tuple[Tracker, Artifact]:
    """Return an artifact, and a tracker that has not read it yet."""
    database = project.folder / f"{name}.duckdb"
    writer = Tracker(project.runs, database, project_root=project.folder)
    with writer, writer.start_run(name, "copies"):
        artifact = writer.log_artifact(source, "data")
    for kept in Path(f"{database}.journal").glob("memo.sqlite*"):
        kept.unlink()
    tracker = stack.enter_context(Tracker(project.runs, database, project_root=project.folder))
    return tracker, artifact.bind(tracker.path_of)


def _cleared(target: Path) -> Path:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    return target


def _cp(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", "-p", str(source), str(target)], check=True)


def _hash(source: Path) -> None:
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
