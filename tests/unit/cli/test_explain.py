"""``consist explain``, and what ``show`` says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from consist import Tracker
from tests.unit.cli.conftest import ODD, broken


def make(n: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [n]})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A database with a first run, one of another config, and a hit."""
    root = tmp_path_factory.mktemp("told")
    with Tracker(root / "runs", root / "p.duckdb", project_root=root) as tracker:
        first = tracker.run(make, config={"n": 1, "odd": {"k": 1}, "many": {}}, outputs=["f"])
        config = {"n": 2, "odd": {ODD: ODD}, "many": dict.fromkeys(map(str, range(30)), "x" * 90)}
        changed = tracker.run(make, config=config, outputs=["f"])
        hit = tracker.run(make, config={"n": 1, "odd": {"k": 1}, "many": {}}, outputs=["f"])
        with tracker.scenario("header"):
            pass
        for _ in range(2):
            with pytest.raises(RuntimeError):
                tracker.run(broken)
    with Tracker(root / "runs", root / "p.duckdb", access_mode="read_only") as tracker:
        again, failed = tracker.find_runs(model="broken")
    return root / "p.duckdb", {
        "first": first.run_id,
        "changed": changed.run_id,
        "hit": hit.run_id,
        "failed": failed.id,
        "again": again.id,
    }


def test_the_first_run_had_nothing_to_compare_with(consist, told):
    database, runs = told
    done = consist("explain", runs["first"], "--db-path", database)
    assert done.exit_code == 0
    assert "miss: no earlier run of model 'make'" in done.stdout


def test_what_differs_is_a_table_that_fits_the_terminal(consist, told, monkeypatch):
    database, runs = told
    monkeypatch.setenv("COLUMNS", "80")
    done = consist("explain", runs["changed"], "--db-path", database)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert runs["first"] in done.stdout
    assert "config_changed" in done.stdout
    assert ["config", "n", "changed", "1", "2"] in map(str.split, done.stdout.splitlines())
    assert "… and 11 more (config_keys_added)" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout


def test_a_hit_names_its_source(consist, told):
    database, runs = told
    done = consist("explain", runs["hit"], "--db-path", database)
    assert f"hit: run {runs['first']} has the same signature" in done.stdout


def test_json_has_the_documented_keys(consist, told):
    database, runs = told
    done = consist("explain", runs["changed"], "--db-path", database, "--json")
    found = json.loads(done.stdout)
    assert list(found) == [
        "id", "status", "reason", "candidate_run_id", "matched_components",
        "mismatched_components", "details", "confidence", "model", "signature", "rejected",
        "incomplete",
    ]  # fmt: skip
    assert found["id"] == runs["changed"]
    assert found["details"]["config_keys_changed"] == [{"name": "n", "old": 1, "new": 2}]
    assert found["details"]["more"] == {"config_keys_added": 11}


def test_show_says_in_a_line_why_a_run_executed(consist, told):
    database, runs = told
    shown = consist("show", runs["changed"], "--db-path", database).stdout
    assert f"miss: config changed since run {runs['first']}: config n: 1 → 2" in shown
    assert "cache_miss_explanation" not in shown
    assert "miss:" not in consist("show", runs["hit"], "--db-path", database).stdout


def test_reasons_why_the_same_run_was_not_taken_are_listed(consist, told):
    database, runs = told
    done = consist("explain", runs["again"], "--db-path", database)
    assert "cannot be given back" in done.stdout
    assert "Not taken" in done.stdout
    assert f"{runs['failed']}: it failed" in done.stdout


@pytest.mark.parametrize(("run_id", "words"), [("nobody", "there is no run"), ("header", "no exp")])
def test_what_cannot_be_explained_is_an_error(consist, told, run_id, words):
    database, _ = told
    done = consist("explain", run_id, "--db-path", database)
    assert done.exit_code == 1
    assert words in done.stderr
    assert "Hint:" in done.stderr
    assert done.stdout == ""
