"""The whole database comes back from snapshots alone."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from consist import Tracker


def one(n: int) -> pd.DataFrame:
    return pd.DataFrame({"n": [n]})


def test_a_lost_database_and_journal_come_back_from_snapshots(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Tracker(run_dir=home / "runs", db_path=home / "p.duckdb") as tracker:
        for n in range(3):
            tracker.run(one, config={"n": n}, outputs=["f"], tags=["kept"], facet={"n": n})
        before = sorted(run.model_dump_json() for run in tracker.find_runs())
    (home / "p.duckdb").unlink()
    shutil.rmtree(home / "p.duckdb.journal")
    with Tracker(run_dir=home / "runs", db_path=home / "p.duckdb") as tracker:
        assert tracker.find_runs() == []
        assert tracker.rebuild() == 3
        assert sorted(run.model_dump_json() for run in tracker.find_runs()) == before
        assert tracker.rebuild() == 0
        assert len(tracker.find_runs(index_by="facet.n")) == 3
        assert tracker.run(one, config={"n": 1}, outputs=["f"]).cache_hit
        assert tracker.load_df(tracker.get_artifact("f"))["n"].tolist() == [2]


def test_a_tracker_without_a_database_cannot_be_rebuilt(tmp_path: Path) -> None:
    with (
        Tracker(run_dir=tmp_path / "runs") as tracker,
        pytest.raises(RuntimeError, match="db_path"),
    ):
        tracker.rebuild()


def test_a_year_beyond_32_bits_is_refused(tmp_path: Path) -> None:
    with Tracker(run_dir=tmp_path / "r") as tracker, pytest.raises(ValueError, match="32 bits"):
        tracker.run(one, config={"n": 1}, outputs=["f"], year=2**31)
