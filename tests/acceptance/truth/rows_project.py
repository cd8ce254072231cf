"""Rows: commits, other files and folders of the project."""

from __future__ import annotations

from tests.acceptance.truth.project import Project, append, commit, edit, several, write
from tests.acceptance.truth.row import (
    HIT,
    MISS,
    Expected,
    Group,
    Process,
    always,
    error,
    nothing,
)
from tests.acceptance.truth.shared import NOT_REACHED

GROUP = Group(
    "The project around the step",
    "Commits, other files, other folders. The step and what it reaches stay as they are.",
)

FILES = {
    "rates.py": "def growth():\n    return 2 * 3\n\n\ndef decline():\n    return -1\n",
    "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
    "README.md": "A model.\n",
    "study.ipynb": '{"cells": [], "nbformat": 4}\n',
    "coefficients.yaml": "cost: -0.3\n",
    ".gitignore": "scratch/\n",
}

# ---------------------------------------------------------------- the project around


def _move(project: Project) -> None:
    elsewhere = project.place / "elsewhere" / "model"
    elsewhere.parent.mkdir()
    project.root = project.root.rename(elsewhere)


def _amend(project: Project) -> None:
    project.git("commit", "--quiet", "--amend", "--message", "A better word for it")


def _branch(project: Project) -> None:
    project.git("checkout", "--quiet", "-b", "idea")


for name, change, expected, why in [
    ("a commit that changes nothing", commit, NOT_REACHED, "`repo_git` counts the commit"),
    ("the message of the last commit", _amend, NOT_REACHED, "`repo_git` counts the commit"),
    ("another branch at the same commit", _branch, always(HIT), "the commit is the same"),
    (
        "the README",
        append("README.md", "Better.\n"),
        NOT_REACHED,
        "`repo_git` counts every tracked file",
    ),
    (
        "the README, committed",
        several(append("README.md", "Better.\n"), commit),
        NOT_REACHED,
        "`repo_git` counts the commit",
    ),
    (
        "a settings file that nobody reads",
        edit("coefficients.yaml", "-0.3", "-0.4"),
        NOT_REACHED,
        "`repo_git` counts every tracked file",
    ),
    (
        "a new source file that nobody imports",
        write("notes.py", "NOTES = 1\n"),
        NOT_REACHED,
        "`repo_git` counts untracked files that somebody wrote",
    ),
    (
        "a new file of data: `results.csv`",
        write("results.csv", "zone,trips\n"),
        always(HIT),
        "an untracked file of data is most often a result",
    ),
    (
        "a new file that git ignores",
        write("scratch/try.py", "TRY = 1\n"),
        always(HIT),
        "git ignores it, and nobody imports it",
    ),
    (
        "a notebook is saved",
        edit("study.ipynb", "[]", '[{"cell_type": "code"}]'),
        always(HIT),
        "notebooks change by being looked at",
    ),
    ("the project lies in another folder", _move, always(HIT), "where it lies does not count"),
]:
    GROUP.row(name, change, expected, why, files=FILES)

NO_GIT = Expected(error(RuntimeError, "Put the project under git"), HIT, HIT, HIT)
GROUP.row(
    "nothing, in a project without a repository",
    nothing,
    NO_GIT,
    "`repo_git` that is asked for by name needs one; the default falls back to `callable_module`",
    files=FILES,
    git=False,
    begin=Process(expected=Expected(NO_GIT.repo_git, MISS, MISS, MISS)),
)
GROUP.row(
    "another run folder on the same database",
    nothing,
    always(HIT),
    "the record is what counts",
    files=FILES,
    then="import steps\nask(steps.step, tracker={'run_dir': PLACE / 'other runs'})\n",
)
