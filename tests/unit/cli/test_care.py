"""Commands that look whether files are there: marks of what is missing, and who is trusted."""

import json

import pandas as pd
import pytest

from consist import Tracker


def scaled(factor: int) -> pd.DataFrame:
    return pd.DataFrame({"zone": [1, 2], "trips": [factor, 2 * factor]})


@pytest.fixture
def study(tmp_path):
    """Two runs whose files lie outside the folder of the database."""
    database = tmp_path / "archive" / "provenance.duckdb"
    database.parent.mkdir()
    with Tracker(tmp_path / "runs", database) as tracker:
        found = [
            tracker.run(scaled, run_id=name, config={"factor": factor}, outputs=["trips"])
            for name, factor in (("low", 1), ("high", 3))
        ]
        paths = [run.outputs["trips"].path for run in found]
    return database, paths


def test_validate_marks_what_is_missing_and_takes_marks_back(consist, study):
    database, (low, _) = study
    moved = low.rename(low.parent / "elsewhere")

    def validated():
        done = consist("validate", "--fix", "--json", "--db-path", database)
        told = json.loads(done.stdout)
        with Tracker(database.parent, database, access_mode="read_only") as tracker:
            marked = tracker.get_run_outputs("low")["trips"].meta.get("missing_on_disk")
        counts = tuple(told[name] for name in ("missing", "marked", "unmarked", "untrusted"))
        return done.exit_code, counts, marked

    assert validated() == (1, (1, 1, 0, 0), True)
    assert validated() == (1, (1, 0, 0, 0), True)
    moved.rename(low)
    assert validated() == (0, (0, 0, 1, 0), False)


def test_what_was_freed_is_not_missing(consist, study):
    database, (low, _) = study
    there = ["--db-path", database]
    assert consist("gc", "--keep-size", "0", "--yes", *there).exit_code == 0
    assert not low.exists()
    assert consist("validate", "--trust-db", *there).exit_code == 0


def test_verify_reads_what_the_database_alone_names_if_that_is_trusted(consist, study):
    database, (low, _) = study
    there = ["--db-path", database, "--json"]
    low.write_bytes(b"other")
    untrusting = consist("verify", *there)
    told = json.loads(untrusting.stdout)
    assert (untrusting.exit_code, told["counts"]["untrusted"], told["bytes_read"]) == (0, 2, 0)
    assert "--trust-db looks there" in consist("verify", "--db-path", database).stdout
    trusting = consist("verify", "--trust-db", *there)
    counts = json.loads(trusting.stdout)["counts"]
    assert (trusting.exit_code, counts["ok"], counts["altered"]) == (1, 1, 1)


def test_compare_reads_what_the_database_alone_names_if_that_is_trusted(consist, study):
    words = ["compare", "low", "high", "--json", "--db-path", study[0]]
    [untrusted] = json.loads(consist(*words).stdout)["outputs"]
    assert untrusted["data"] is None
    assert "only the database says" in untrusted["reason"]
    [trusted] = json.loads(consist(*words, "--trust-db").stdout)["outputs"]
    assert trusted["data"]["changed"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gc"], "--older-than, --keep-size or --scenario"),
        (["annotate", "report"], "--tag, --remove-tag or --note"),
    ],
)
def test_nothing_to_do_is_wrong_usage(consist, words, said):
    done = consist(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
