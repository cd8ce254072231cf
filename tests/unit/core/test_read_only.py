"""A tracker that only looks leaves nothing behind."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from consist import Tracker


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    with Tracker(run_dir=home / "runs", db_path=home / "p.duckdb") as tracker:
        tracker.run(one, outputs=["f"])
    return home


def test_questions_change_nothing(recorded: Path, tmp_path: Path) -> None:
    before = listing(recorded)
    with Tracker(tmp_path / "other", recorded / "p.duckdb", access_mode="read_only") as tracker:
        (run,) = tracker.find_runs()
        assert tracker.load_df(tracker.get_run_outputs(run.id)["f"])["a"].tolist() == [1]
        assert len(tracker.history()) == 1
    assert listing(recorded) == before
    assert not (tmp_path / "other").exists()


def test_a_database_that_was_copied_alone_is_only_read(recorded: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(recorded / "p.duckdb", alone)
    before = listing(alone)
    with Tracker(tmp_path / "other", alone / "p.duckdb", access_mode="read_only") as tracker:
        assert len(tracker.find_runs()) == 1
    assert listing(alone) == before


def test_runs_are_refused_by_name(recorded: Path) -> None:
    with (
        Tracker(recorded / "runs", recorded / "p.duckdb", access_mode="read_only") as tracker,
        pytest.raises(RuntimeError, match="read_only"),
    ):
        tracker.run(one, outputs=["f"])
