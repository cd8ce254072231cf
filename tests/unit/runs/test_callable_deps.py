"""Runs whose code is identified by all that they reach: what is looked up, noted and trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from consist import CacheOptions, Tracker, define_step
from consist.errors import InvalidOption

Script = Callable[..., list[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write files beside each other and run one of them in a fresh process; return its lines."""

    def script(text: str, **modules: str) -> list[str]:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        for name, module in modules.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(module))
        head = (
            "from consist import CacheOptions, Tracker\n"
            "tracker = Tracker('runs', 'runs/d.duckdb', code_identity='callable_deps')\n"
        )
        (folder / "main.py").write_text(head + textwrap.dedent(text))
        done = subprocess.run(
            [sys.executable, "main.py"],
            cwd=folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return script


def test_a_step_hits_until_something_that_it_reaches_changes(script: Script) -> None:
    # SIG-002, CACHE-016
    main = "import model\nprint(tracker.run(model.step).cache_hit)\n"
    model = "import rates\ndef step():\n    rates.rate()\ndef other():\n    pass\n"
    rates = "def rate():\n    return 1\n"
    assert script(main, model=model, rates=rates) == ["False"]
    assert script(main, model=f"# a comment\n{model}", rates=rates) == ["True"]
    assert script(main, model=model.replace("pass", "return 3"), rates=rates) == ["True"]
    assert script(f"print(1)\n{main}", model=model, rates=rates) == ["1", "True"]
    assert script(main, model=model, rates=rates.replace("1", "2")) == ["False"]
    assert script(main, model=model, rates=rates) == ["True"]


def test_a_block_counts_with_what_it_reaches(script: Script) -> None:
    main = """
        import rates
        with tracker.trace("one"):
            print(tracker.is_cached)
            rates.rate()
        with tracker.trace("two"):
            print(tracker.is_cached)
    """
    assert script(main, rates="def rate():\n    return 1\n") == ["False", "False"]
    assert script(main, rates="def rate():\n    return 1\n") == ["True", "True"]
    assert script(main, rates="def rate():\n    return 2\n") == ["False", "True"]
    edited = main.replace('trace("two"):', 'trace("two"):\n            x = 1')
    assert script(edited, rates="def rate():\n    return 2\n") == ["True", "False"]


def test_a_block_in_a_function_counts_with_that_function(script: Script) -> None:
    main = """
        def main(year):
            with tracker.start_run(f"r{year}", "model", year=year):
                print(tracker.is_cached)
        for year in (1, 2):
            main(year)
    """
    assert script(main) == ["False", "False"]
    assert script(main) == ["True", "True"]
    assert script(main.replace("model", "model ")) == ["False", "False"]


def test_a_loop_over_blocks_hits_at_every_turn(script: Script) -> None:
    main = """
        for year in (1, 2):
            with tracker.trace("step", year=year):
                total = year * 2
                print(tracker.is_cached)
    """
    assert script(main) == ["False", "False"]
    assert script(main) == ["True", "True"]


def test_what_cannot_be_told_is_on_the_run_and_can_be_added(script: Script) -> None:
    # SIG-018
    main = """
        import model
        options = CacheOptions(code_identity_extra_deps=["plugin.py"])
        result = tracker.run(model.step, cache_options=options)
        print(result.cache_hit)
        print(result.run.meta["code_identity_unresolved"])
    """
    model = "import importlib\ndef step():\n    importlib.import_module('plugin')\n"
    expected = "['importlib.import_module() in function model.step']"
    assert script(main, model=model, plugin="X = 1\n") == ["False", expected]
    assert script(main, model=model, plugin="X = 1\n") == ["True", expected]
    assert script(main, model=model, plugin="X = 2\n") == ["False", expected]


def test_code_that_changed_after_it_was_loaded_is_noted_and_never_given_back(
    script: Script,
) -> None:
    model = "def step():\n    return None\n"
    main = """
        import model, pathlib
        pathlib.Path("model.py").write_text("def step():\\n    return [][0]\\n")
        result = tracker.run(model.step)
        print(result.cache_hit, result.run.meta["code_changed_since_load"])
        print(tracker.run(model.step).cache_hit)
    """
    for _ in range(2):
        first, second = script(main, model=model)
        assert first.startswith("False ['")
        assert first.endswith("model.py']")
        assert second == "False"
    assert script("import model\nprint(tracker.run(model.step).cache_hit)", model=model) == [
        "False"
    ]


def test_an_edit_elsewhere_during_a_long_run_does_not_spoil_it(script: Script) -> None:
    main = """
        import model, other, pathlib
        pathlib.Path("other.py").write_text("X = 12345\\n")
        print(tracker.run(model.step).run.meta.get("code_changed_since_load"))
    """
    model = "def step():\n    return None\n"
    assert script(main, model=model, other="X = 1\n") == ["None"]


def test_every_surface_takes_the_mode(tracker: Tracker) -> None:
    # SIG-016
    mode = "callable_deps"

    @define_step(code_identity=mode)
    def step() -> None:
        return None

    runs = [tracker.run(step).run]
    runs.append(tracker.run(step, cache_options=CacheOptions(code_identity=mode)).run)
    with tracker.trace("block", code_identity=mode):
        pass
    assert tracker.last_run is not None
    runs.append(tracker.last_run.run)
    tracker.begin_run("by hand", "model", code_identity=mode)
    runs.append(tracker.end_run())
    with tracker.scenario("s") as sc:
        runs.append(sc.run(step).run)
    assert {run.meta["code_identity"] for run in runs} == {mode}
    assert all(run.identity_summary["code_identity"] == mode for run in runs)


def test_the_parts_are_kept_with_the_run_that_executed(tracker: Tracker) -> None:
    def step() -> None:
        return None

    options = CacheOptions(code_identity="callable_deps")
    executed, hit = (tracker.run(step, cache_options=options).run for _ in range(2))
    snapshots = tracker.run_dir / "consist_runs"
    kept = [json.loads((snapshots / f"{run.id}.json").read_text()) for run in (executed, hit)]
    parts = [snapshot["extra"].get("code_parts", {}) for snapshot in kept]
    assert any(label.startswith("function ") for label in parts[0])
    assert parts[1] == {}
    assert hit.meta["cache_source"] == executed.id


def test_an_unknown_mode_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="callable_deps"):
        Tracker(tmp_path, code_identity="callable")
