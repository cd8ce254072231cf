"""The step that is measured everywhere, and the projects that it runs in."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import joblib
import pyarrow as pa
import pyarrow.parquet as pq

from consist import Artifact, Explanation, Tracker
from consist.models.record import FacetRecord, RunDocument, content_id, replace
from consist.models.result import RunResult
from consist.store.snapshots import read_snapshot

_LINES = 100
_CALM = 0.05
_IDENTITY = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]


def scale(raw: Path, factor: float) -> Path:
    """Multiply a column of a small table."""
    target = raw.with_name(f"scaled_{factor:g}.parquet")
    numbers = [float(line.split(",")[1]) for line in raw.read_text().splitlines()[1:]]
    pq.write_table(pa.table({"value": [number * factor for number in numbers]}), target)
    return target


class Project:
    """A folder under git with one small input, as a user of the library would have.

    Parameters
    ----------
    folder : Path
        Where it lies; made unless it is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.database = folder / "provenance.duckdb"
        self.raw = self.runs / "data" / "raw.csv"
        if self.raw.exists():
            return
        self.raw.parent.mkdir(parents=True)
        lines = [f"{number},{number * 0.5}" for number in range(_LINES)]
        self.raw.write_text("\n".join(["id,value", *lines]))
        (folder / "README").write_text("a project\n")
        commit(folder, "README")
        time.sleep(_CALM)  # a digest is kept only of a file that has been at rest

    def tracker(self) -> Tracker:
        """Open a tracker of this project."""
        return Tracker(self.runs, self.database, project_root=self.folder)

    def run(self, tracker: Tracker, factor: float = 2.0) -> RunResult:
        """Run the step, fully recorded."""
        return tracker.run(
            scale, inputs={"raw": self.raw}, config={"factor": factor}, outputs=["scaled"]
        )

    def explain(self, tracker: Tracker, factor: float) -> Explanation:
        """Tell whether the step would be a hit, without running it."""
        return tracker.explain(
            scale, inputs={"raw": self.raw}, config={"factor": factor}, outputs=["scaled"]
        )

    def remembered(self) -> joblib.memory.MemorizedFunc:
        """Return the step as joblib remembers it."""
        return joblib.Memory(self.folder / "joblib", verbose=0).cache(scale)


def commit(folder: Path, name: str) -> None:
    """Make a folder a git repository that holds one file."""
    for arguments in (["init", "-q"], ["add", name], [*_IDENTITY, "commit", "-q", "-m", "begin"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


# ---------------------------------------------------------------- many recorded runs


def filled(folder: Path, runs: int) -> Project:
    """Return a project with so many recorded runs, all in the database; made once."""
    project = Project(folder / f"filled-{runs}")
    done = project.folder / "complete"
    if done.exists():
        return project
    with project.tracker() as tracker:
        run_id = project.run(tracker, factor=0.5).run_id
        example = read_snapshot(project.runs, run_id)
        for document in variations(example, runs):
            tracker.store.append(document)
        if not tracker.store.sync(wait=600.0):
            raise RuntimeError("the database could not be filled")
    done.touch()
    return project


def chained(project: Project, tracker: Tracker, steps: int) -> Artifact:
    """Record a chain of runs, each of which read what the one before wrote; return its end."""
    text = project.folder / "chain.txt"
    last = None
    for number in range(steps):
        text.write_text(f"step {number}")
        with tracker.start_run(f"chain_{number}", "chain"):
            if last is not None:
                tracker.log_input(last)
            last = tracker.log_output(text, f"link_{number}")
    assert last is not None
    assert tracker.store.sync()
    return last


def facet_of(number: int) -> dict[str, object]:
    """Return 20 values of all types, some that one run has and some that many share."""
    return {
        "factor": float(number),
        "zone": number % 25,
        "mode": ("car", "bus", "walk", "bike")[number % 4],
        "calibrated": number % 10 == 0,
        "note": f"variant {number}",
        "demand": {"growth": number % 1_000 / 1_000, "base": number % 7},
        "toll": {f"gate_{gate}": (number * (gate + 3)) % 97 / 4 for gate in range(10)},
        "seed": number * 1_000_003,
        "sizes": [number % 3, number % 5],
        "label": f"group {number % 50}",
    }


def variations(example: RunDocument, count: int) -> Iterator[RunDocument]:
    """Yield runs like one that was recorded, each with an identity and an output of its own."""
    for number in range(count):
        signature, digest = f"{number:064x}", f"{number + 2**200:064x}"
        run_id = f"scale_filled{number:07d}"
        began = example.run.created_at - timedelta(seconds=count - number)
        run = replace(
            example.run,
            id=run_id,
            uid=uuid4().hex,
            requested_id=run_id,
            signature=signature,
            model_name=f"model_{number % 20}",
            year=2020 + number % 30,
            iteration=number % 5,
            tags=("filled", f"tag_{number % 100}"),
            started_at=began,
            created_at=began,
            ended_at=began,
            updated_at=began,
        )
        (output,) = example.outputs
        made = replace(
            output,
            id=str(uuid4()),
            container_uri=f"./data/scaled_{number}.parquet",
            hash=digest,
            content_id=content_id(digest, output.driver),
            run_id=run_id,
            run_signature=signature,
            created_at=began,
        )
        yield replace(
            example,
            run=run,
            outputs=(made,),
            facet=facet_of(number),
            extra=replace(
                example.extra,
                content_signature=f"{number + 2**100:064x}",
                facet=FacetRecord(namespace=run.model_name),
            ),
        )
