"""G-19: code that changed after it was loaded."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from consist import Tracker
from consist.identity import LoadedSources


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    source = tmp_path / "project" / "a_step_module.py"
    source.parent.mkdir()
    source.write_text("def step():\n    return None\n")
    monkeypatch.syspath_prepend(str(source.parent))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield importlib.import_module("a_step_module")
    sys.modules.pop("a_step_module", None)


def touch(module: ModuleType, text: str) -> None:
    assert module.__file__ is not None
    source = Path(module.__file__)
    source.write_text(text)
    later = source.stat().st_mtime + 5
    os.utime(source, (later, later))


def test_an_unchanged_module_is_what_was_loaded(step: ModuleType, tmp_path: Path) -> None:
    loaded = LoadedSources(tmp_path / "project")
    assert not loaded.look()
    assert loaded.changed() == ()


def test_a_module_edited_after_it_was_loaded_is_named(step: ModuleType, tmp_path: Path) -> None:
    loaded = LoadedSources(tmp_path / "project")
    loaded.look()
    touch(step, "def step():\n    return 1\n")
    assert loaded.changed() == ("a_step_module.py",)


def test_an_edit_before_the_first_look_is_seen_too(step: ModuleType, tmp_path: Path) -> None:
    touch(step, "def step():\n    return 1\n")
    loaded = LoadedSources(tmp_path / "project")
    loaded.look()
    assert loaded.changed() == ("a_step_module.py",)


def test_a_reload_takes_the_file_as_it_is(step: ModuleType, tmp_path: Path) -> None:
    loaded = LoadedSources(tmp_path / "project")
    loaded.look()
    touch(step, "def step():\n    return 1\n")
    importlib.reload(step)
    assert loaded.look()
    assert loaded.changed() == ()


def test_modules_outside_the_project_do_not_count(step: ModuleType, tmp_path: Path) -> None:
    loaded = LoadedSources(tmp_path / "elsewhere")
    loaded.look()
    touch(step, "def step():\n    return 1\n")
    assert loaded.changed() == ()


def test_a_run_of_changed_code_is_noted_and_never_given_back(
    step: ModuleType, tmp_path: Path
) -> None:
    with Tracker(
        run_dir=tmp_path / "runs", db_path=tmp_path / "p.duckdb", project_root=tmp_path / "project"
    ) as tracker:
        tracker.run(step.step, model="before")
        touch(step, "def step():\n    return 1\n")
        changed = tracker.run(step.step)
        assert changed.run.meta["code_changed_since_load"] == ["a_step_module.py"]
        assert not tracker.run(step.step).cache_hit


RELOADS = """
import importlib
from pathlib import Path

import helpers
import steps
from consist import Tracker

with Tracker("runs", "p.duckdb", project_root=".") as tracker:
    def once():
        return tracker.run(steps.step).cache_hit
    print(once(), once(), end=" ")
    Path("helpers.py").write_text("def rate():\\n    return 22\\n")
    print(once(), end=" ")  # what is loaded is still the old code
    importlib.reload(helpers)
    print(once(), once())
"""


def test_a_helper_that_was_loaded_anew_is_never_answered_by_what_the_old_one_did(
    tmp_path: Path,
) -> None:
    # G-19
    (tmp_path / "helpers.py").write_text("def rate():\n    return 1\n")
    (tmp_path / "steps.py").write_text(
        "import helpers\n\n\ndef step() -> None:\n    helpers.rate()\n"
    )
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", RELOADS], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True", "True", "False", "True"]
