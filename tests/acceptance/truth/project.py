"""The little projects of the truth table, and what can happen to them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

_IDENTITY = ("-c", "user.name=me", "-c", "user.email=me@example.org")
_QUIET = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=", "-c", "gc.auto=0")


class Project:
    """A folder with a project in it, and beside it what the processes leave.

    Every file that is written gets a time ten seconds after the one before. So an edit is seen as
    one by Python, whose compiled files know whole seconds, although the tests type fast.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "project"
        self.outside = place / "outside"
        self.installed = place / "site-packages"
        self.kept = place / "kept"
        self.root.mkdir(parents=True)
        self.outside.mkdir()
        self.installed.mkdir()
        self._began = time.time_ns() - 3600 * 10**9
        self._written = 0

    def write(self, path: str | Path, text: str) -> None:
        """Write a file of the project, or at an absolute path."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        self.stamp(file)

    def stamp(self, file: Path) -> None:
        """Give a file a time of its own."""
        self._written += 1
        moment = self._began + self._written * 10 * 10**9
        os.utime(file, ns=(moment, moment))

    def fill(self, files: Mapping[str, str], root: Path | None = None) -> None:
        """Write files whose text is indented as the code around it."""
        for path, text in files.items():
            self.write((root or self.root) / path, dedent(text).lstrip("\n"))

    def git(self, *words: str) -> None:
        """Do something in the repository."""
        subprocess.run(
            ["git", *_IDENTITY, *_QUIET, *words], cwd=self.root, check=True, capture_output=True
        )

    def begin_repository(self) -> None:
        """Put all that is there under git."""
        shutil.copytree(_empty_repository(), self.root / ".git")
        self.commit("A model")

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def kept_files(self, name: str) -> list[Path]:
        """Return the files of a name that the runs of all modes have left."""
        found = [path for path in self.kept.rglob(name) if ".journal" not in str(path)]
        if not found:
            raise AssertionError(f"no run has left {name}")
        return found


@functools.cache
def _empty_repository() -> Path:
    """Return the folder of a repository without a commit, made once."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="empty-repository-"))
    subprocess.run(
        ["git", "init", "--quiet", "--initial-branch=main", "--template=", folder],
        check=True,
        capture_output=True,
    )
    return folder / ".git"


# ---------------------------------------------------------------- changes

Change = Callable[[Project], None]


def write(path: str, text: str) -> Change:
    """Write a file anew."""
    return lambda project: project.fill({path: text})


def edit(path: str, old: str, new: str) -> Change:
    """Replace a piece of a file that stands there once."""

    def change(project: Project) -> None:
        text = (project.root / path).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        project.write(path, text.replace(old, new))

    return change


def edit_outside(path: str, old: str, new: str) -> Change:
    """Replace a piece of a file beside the project."""
    return edit(f"../outside/{path}", old, new)


def append(path: str, text: str) -> Change:
    """Write at the end of a file."""
    return lambda project: project.write(
        path, (project.root / path).read_text(encoding="utf-8") + text
    )


def delete(path: str) -> Change:
    """Remove a file or a folder."""

    def change(project: Project) -> None:
        found = project.root / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    return change


def rename(old: str, new: str) -> Change:
    """Rename a file or folder of the project."""
    return lambda project: (project.root / old).rename(project.root / new) and None


def commit(project: Project) -> None:
    """Commit what there is."""
    project.commit("Nothing new")


def each_kept(name: str, act: Callable[[Path], object]) -> Change:
    """Do something to every file of a name that the runs have left, in every mode."""

    def change(project: Project) -> None:
        for path in project.kept_files(name):
            act(path)

    return change


def several(*changes: Change) -> Change:
    """Do one after the other."""

    def change(project: Project) -> None:
        for one in changes:
            one(project)

    return change
