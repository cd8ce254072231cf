"""``consist compare`` as a user calls it."""

import json

import pytest


def test_two_attempts_of_a_scenario_are_the_same(consist):
    result = consist("compare", "base~1", "base", "--exit-code")
    assert result.exit_code == 0, result.output
    assert "the same" in result.stdout


def test_two_runs_as_json(consist):
    found = json.loads(consist("compare", "report", "report", "--json").stdout)
    assert found["same"] is True
    assert found["kind"] == "runs"
    assert {"left", "right", "config", "code", "inputs", "environment", "outputs"} <= found.keys()


def test_differences_and_their_exit_code(consist, project):
    words = ["compare", project.runs["first"], "report"]
    assert consist(*words).exit_code == 0
    result = consist(*words, "--no-data", "--exit-code")
    assert result.exit_code == 1
    assert "What differs" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["compare", "base", "nope"], 1, "there is no run or scenario 'nope'"),
        (["compare", "base", "report"], 1, "'base~2' is a scenario and 'report' is a run"),
        (["compare", "base", "base", "--key", "nope"], 1, "no 'nope' in the outputs"),
        (["compare", "base", "base", "--on", "=x"], 2, "is not [KEY=]COLUMN[,COLUMN]"),
        (["compare", "base", "base", "--on", "a,"], 2, "is not [KEY=]COLUMN[,COLUMN]"),
        (["compare", "base", "base", "--on", "a", "--on", "t=b"], 2, "either for all tables"),
        (["compare", "base", "base", "--rtol", "-1"], 2, "--rtol"),
        (["compare", "base"], 2, "Missing argument"),
    ],
)
def test_errors(consist, words, code, error):
    result = consist(*words)
    assert result.exit_code == code
    assert error in result.stderr
    assert result.stdout == ""
