"""``consist runs``, ``show`` and ``summary``."""

import re
from typing import get_args

import pytest

from consist.cli.runs import Status
from consist.models.record import RunStatus

KEYS = ["id", "model", "status", "scenario_id", "year", "created_at", "duration_seconds", "tags"]


def test_runs_lists_the_newest_first(consist, project):
    done = consist("runs")
    assert done.exit_code == 0
    titles, _, newest, *_ = done.stdout.splitlines()
    assert titles.split("  ")[0] == "ID"
    assert all(word in titles for word in ("Model", "Status", "Tags", "Created", "Duration (s)"))
    assert newest.startswith("report ")
    assert project.runs["first"] in done.stdout


def test_runs_as_json_has_the_documented_keys(called_json, project):
    listed = called_json("runs")
    assert next(run["id"] for run in listed) == "report"
    assert all(list(run) == [*KEYS, "meta"] for run in listed)
    step = next(run for run in listed if run["id"] == project.runs["first"])
    assert step["scenario_id"] == "base"
    assert step["year"] == 2030
    assert step["tags"] == ["policy", "final"]
    assert step["duration_seconds"] > 0


def test_both_attempts_of_a_scenario_have_its_plain_name(called_json, project):
    names = {run["id"]: run["scenario_id"] for run in called_json("runs")}
    assert names[project.runs["first"]] == names[project.runs["hit"]] == "base"
    assert names["base~2"] is None


def test_runs_can_be_limited_and_says_that_there_are_more(consist, called_json):
    assert len(called_json("runs", "--limit", 2)) == 2
    done = consist("runs", "--limit", 2)
    assert "--limit shows more than 2" in done.stdout


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--model", "clean"], 2),
        (["--tag", "final"], 3),
        (["--tag", "final", "--tag", "policy"], 2),
        (["--status", "failed"], 1),
        (["--status", "completed", "--model", "scale"], 2),
        (["--model", "' OR 1=1 --"], 0),
        (["--tag", '"]'], 0),
    ],
)
def test_runs_filters(called_json, filters, count):
    assert len(called_json("runs", *filters)) == count


def test_no_match_is_an_empty_list_and_no_failure(consist, called_json):
    done = consist("runs", "--model", "nobody")
    assert (done.exit_code, done.stdout) == (0, "No runs match.\n")
    assert called_json("runs", "--model", "nobody") == []


@pytest.mark.parametrize("words", [["--limit", "0"], ["--limit", "x"], ["--status", "done"]])
def test_wrong_options_are_wrong_usage(consist, words):
    done = consist("runs", *words)
    assert done.exit_code == 2
    assert "Error:" in done.stderr
    assert done.stdout == ""


def test_the_statuses_are_those_of_the_record():
    assert [status.value for status in Status] == list(get_args(RunStatus))


# ---------------------------------------------------------------- show


def test_show_tells_facts_config_and_metadata(consist, project):
    done = consist("show", project.runs["first"])
    assert done.exit_code == 0
    for fact in ("Model", "scale", "completed", "Parent", "Scenario", "Year", "2030", "Signature"):
        assert fact in done.stdout
    assert '"factor": 2' in done.stdout.partition("Configuration")[2]
    assert "cache_epoch" in done.stdout.partition("Metadata")[2]
    assert "Attempt" not in done.stdout
    assert "Cached from" not in done.stdout


def test_show_shortens_the_signature(consist, called_json, project):
    signature = called_json("show", project.runs["first"])["signature"]
    shown = consist("show", project.runs["first"]).stdout
    assert f" {signature[:16]} " in shown
    assert signature not in shown


def test_show_means_the_latest_attempt_and_tells_its_number(consist, called_json):
    assert called_json("show", "base")["id"] == "base~2"
    assert called_json("show", "base~1")["id"] == "base"
    shown = consist("show", "base").stdout
    assert "Attempt" in shown
    assert "base~2" in shown


def test_show_of_a_failed_run_tells_its_error_and_where_it_came_from(consist, called_json):
    (failed,) = called_json("runs", "--status", "failed")
    shown = consist("show", failed["id"]).stdout
    facts, _, rest = shown.partition("Metadata")
    metadata, _, traceback = rest.partition("Traceback")
    assert re.search(r"Error +no ", facts)
    assert "traceback" not in metadata
    assert "in broken\n" in traceback
    assert "runs/run.py" not in traceback
    assert called_json("show", failed["id"])["meta"]["error"] == "no"


def test_show_of_a_hit_tells_where_it_came_from(consist, called_json, project):
    assert called_json("show", project.runs["hit"])["cache_source"] == project.runs["first"]
    shown = consist("show", project.runs["hit"]).stdout
    assert "Cached from" in shown
    assert project.runs["first"] in shown


def test_show_as_json_has_the_config(called_json, project):
    shown = called_json("show", project.runs["first"])
    assert shown["config"] == {"factor": 2}
    assert shown["attempt"] == 1
    assert shown["parent_run_id"] == "base"
    assert shown["scenario_id"] == "base"


def test_show_without_a_snapshot_leaves_out_the_config(tmp_path, project, consist, called_json):
    copy = tmp_path / "provenance.duckdb"
    copy.write_bytes(project.database.read_bytes())
    snapshot = project.root / "runs" / "consist_runs" / f"{project.runs['first']}.json"
    hidden = snapshot.rename(tmp_path / "hidden.json")
    try:
        shown = consist("show", project.runs["first"], "--db-path", copy)
        told = called_json("show", project.runs["first"], "--db-path", copy)
    finally:
        hidden.rename(snapshot)
    assert shown.exit_code == 0
    assert "Configuration" not in shown.stdout
    assert told["config"] is None


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_an_unknown_run_fails_with_a_hint(consist, extra):
    done = consist("show", "nobody", *extra)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "Error: there is no run 'nobody'",
        "Hint: consist runs lists what there is",
    ]


def test_a_part_of_an_id_is_answered_with_whole_ones(consist, project):
    done = consist("show", project.runs["first"][:-3].upper())
    assert done.exit_code == 1
    assert f"Hint: did you mean {project.runs['first']}?" in done.stderr


def test_show_needs_a_run(consist):
    done = consist("show")
    assert done.exit_code == 2
    assert "RUN_ID" in done.stderr


# ---------------------------------------------------------------- summary


def test_summary_counts(consist, called_json):
    told = called_json("summary")
    assert told["runs"] == 8
    assert told["runs_by_status"] == {"completed": 7, "failed": 1}
    assert told["first_run"] <= told["last_run"]
    assert {"model": "clean", "runs": 2} in told["models"]
    shown = consist("summary").stdout
    assert "8 (7 completed, 1 failed)" in shown
    assert str(told["artifacts"]) in shown
    assert "Run Count" in shown


def test_an_empty_database_is_no_failure(tmp_path, consist, called_json):
    from consist import Tracker

    database = tmp_path / "provenance.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker:
        tracker.store.sync()
    assert consist("runs", "--db-path", database).stdout == "No runs yet.\n"
    assert consist("artifacts", "--db-path", database).stdout == "No artifacts yet.\n"
    assert called_json("runs", "--db-path", database) == []
    told = called_json("summary", "--db-path", database)
    assert (told["runs"], told["first_run"]) == (0, None)
    assert consist("summary", "--db-path", database).exit_code == 0
