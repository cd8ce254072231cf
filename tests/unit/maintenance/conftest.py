"""A small project that was run: two scenarios that share a step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest

from consist import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator


def clean(raw: Path) -> pd.DataFrame:
    return pd.concat([pd.read_csv(raw)] * 100)


def scale(clean: pd.DataFrame, factor: int) -> pd.DataFrame:
    return clean.assign(a=clean["a"] * factor)


class World(NamedTuple):
    tracker: Tracker
    folder: Path
    cleaned: str
    """Run of the shared step."""

    def file(self, run_id: str) -> Path:
        (output,) = self.tracker.get_run_outputs(run_id).values()
        return Path(output.path)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    Path("raw.csv").write_text("a\n1\n")
    with Tracker("runs", "p.duckdb") as tracker:
        cleaned = tracker.run(clean, inputs={"raw": "raw.csv"}, outputs=["clean"])
        for name, factor in (("base", 1), ("high", 2)):
            with tracker.scenario(name) as scenario:
                scenario.run(
                    scale,
                    name="scale",
                    inputs={"clean": cleaned.outputs["clean"]},
                    config={"factor": factor},
                    facet={"factor": factor, "nested": {"big": 2**62}},
                    outputs=["scaled"],
                )
        yield World(tracker, tmp_path, cleaned.run.id)


def step_of(tracker: Tracker, scenario: str) -> str:
    (run,) = tracker.find_runs(parent_id=scenario)
    return run.id
