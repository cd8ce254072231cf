"""Completion for bash, zsh and fish, through the protocol that their scripts speak."""

import subprocess
import sys

import pytest

from consist import Tracker
from tests.unit.cli.conftest import call
from tests.unit.cli.test_database import HOLD

WORDS = {
    "bash": lambda line: {
        "_CONSIST_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    },
    "zsh": lambda line: {"_CONSIST_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line},
    "fish": lambda line: {
        "_CONSIST_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": line,
    },
}


def completed(line, place, shell="bash", **environment):
    done = call(cwd=place, **WORDS[shell](line), **environment)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown(shell, tmp_path):
    environment = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = call("--show-completion", shell, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert "_CONSIST_COMPLETE" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_of_the_database_are_offered(project, shell):
    assert "scaled" in completed("consist preview sca", project.root, shell)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("consist show base_scale", 2),
        ("consist runs --model cle", ["clean"]),
        ("consist runs --tag pol", ["policy"]),
        ("consist runs --status in", ["interrupted"]),
        ("consist scenario ba", ["base"]),
        ("consist show --db-path nowhere.duckdb ba", []),
        ("consist runs --tag [red", []),  # a shell would evaluate what is no plain word
    ],
)
def test_what_is_offered(project, line, offered):
    found = completed(line, project.root).split()
    assert found == offered if isinstance(offered, list) else len(found) == offered


def test_nothing_is_said_or_made_without_a_database(tmp_path):
    assert completed("consist show x", tmp_path).strip() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_held_database_is_not_waited_for(project):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    try:
        assert completed("consist show rep", project.root, CONSIST_LOCK_WAIT="600").strip() == ""
    finally:
        holder.communicate()


def test_completing_writes_nothing(tmp_path):
    database = tmp_path / "provenance.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker:
        with tracker.start_run("only", model="m"):
            pass
        tracker.metadata_store.sync(30)
    before = sorted(tmp_path.rglob("*"))
    assert completed("consist show on", tmp_path).split() == ["only"]
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_are_offered_without_opening_anything(tmp_path):
    assert completed("consist scen", tmp_path).split() == ["scenarios", "scenario"]
