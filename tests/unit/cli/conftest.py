"""A real database that a small workflow made, and ways to call the command line on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from consist import Tracker
from consist.cli import app

ODD = "[red]odd[/red] \x1b[31m\x9b2J 日本語"


@dataclass(frozen=True)
class Project:
    """A folder with a database and the files of its runs."""

    root: Path
    database: Path
    runs: dict[str, str]


def clean(raw: Path) -> pd.DataFrame:
    return pd.read_csv(raw)


def scale(clean: pd.DataFrame, factor: int) -> pd.DataFrame:
    return clean.assign(trips=clean["trips"] * factor)


def broken() -> None:
    raise RuntimeError("no")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two attempts of one scenario, a failed run, a report with odd names and odd files."""
    root = tmp_path_factory.mktemp("project")
    raw = root / "raw.csv"
    raw.write_text("zone,trips\n" + "".join(f"{zone},{zone * 3}\n" for zone in range(9)))
    database = root / "provenance.duckdb"
    with Tracker(root / "runs", database, project_root=root) as tracker:
        runs = [two_steps(tracker, raw) for _ in range(2)]
        with pytest.raises(RuntimeError):
            tracker.run(broken, name="broken", outputs=["never"])
        report(tracker)
    return Project(root, database, {"first": runs[0], "hit": runs[1]})


def two_steps(tracker: Tracker, raw: Path) -> str:
    with tracker.scenario("base", tags=["study"]) as sc:
        cleaned = sc.run(clean, inputs={"raw": raw}, outputs=["clean"], year=2030)
        scaled = sc.run(
            scale,
            inputs={"clean": cleaned.outputs["clean"]},
            config={"factor": 2},
            outputs=["scaled"],
            tags=["policy", "final"],
            year=2030,
        )
    return scaled.run.id


def report(tracker: Tracker) -> None:
    with tracker.start_run("report", model=ODD, tags=["final", ODD]):
        folder = tracker.output_dir()
        wide = pd.DataFrame({f"measure_{number}": [number] * 3 for number in range(40)})
        wide.to_parquet(folder / "wide.parquet")
        pd.DataFrame({"text": [ODD, None], "number": [float("nan"), 1.5]}).to_parquet(
            folder / "odd.parquet"
        )
        (folder / "facts.json").write_text(json.dumps({"name": ODD, "list": [1, {"a": None}]}))
        (folder / "long.json").write_text(json.dumps(list(range(500))))
        (folder / "records.json").write_text('[{"a": 1, "b": "x"}, {"a": 2}]')
        (folder / "notes.txt").write_text("plain")
        (folder / "gone.csv").write_text("a\n1\n")
        (folder / "damaged.parquet").write_text("this is no parquet")
        for path in sorted(folder.iterdir()):
            tracker.log_artifact(path, key=path.stem)
        (folder / "gone.csv").unlink()


@pytest.fixture
def consist(project: Project, monkeypatch: pytest.MonkeyPatch):
    """Return a function that calls ``consist`` in the folder of the project."""
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("COLUMNS", raising=False)
    runner = CliRunner()
    return lambda *words: runner.invoke(app, [str(word) for word in words])


@pytest.fixture
def called_json(consist):
    """Return a function that calls ``consist … --json`` and parses what it prints."""

    def call(*words):
        done = consist(*words, "--json")
        assert done.exit_code == 0, done.stderr
        assert done.stdout.isascii()
        return json.loads(done.stdout)

    return call


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "consist.cli", *map(str, words)]


def call(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call ``consist`` as a process of its own."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
