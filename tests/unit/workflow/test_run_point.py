"""Points run from the shell: real scripts, real processes, and what stops them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consist import Run, Tracker

STUDY = """
import os
import subprocess
import sys
import time
from pathlib import Path

from consist import CacheOptions, Tracker, output_path

RATE = 3
MODES = ("repo_git", "callable_module", "callable_source", "callable_deps")


class Scale:
    def __init__(self, rate):
        self.rate = rate

    def of(self, value):
        return value * self.rate


def kept(*values):
    path = output_path("kept", ext="txt")
    path.write_text(" ".join(map(str, values)))
    return path


def simulate(demand: float, seed: int = 1):
    return kept(Scale(RATE).of(demand) + seed)


def waits(demand: float):
    Path("started").touch()
    while demand > 1 and not Path("go").exists():
        time.sleep(0.01)
    return kept(demand)


def prints(demand: float):
    print("from the step")
    subprocess.run([sys.executable, "-c", "print('from its child')"])
    if demand > 1:
        raise ValueError("too much \\x1b[31m")
    return kept(os.getcwd(), *sys.argv)


def inputs(table: Path, demand: float):
    return kept(float(table.read_text()) * demand)


GRID = {"demand": [0.5, 1.0], "seed": [1, 2]}


def main(what):
    with Tracker("runs", "provenance.duckdb") as tracker, tracker.scenario("grid") as sc:
        if what == "modes":
            for mode in MODES:
                options = dict(outputs=["kpi"], cache_options=CacheOptions(code_identity=mode))
                sc.write_points(f"{mode}.json", simulate, GRID, **options)
                sc.map(simulate, {**GRID, "seed": [1]}, **options)
        elif what == "again":
            for mode in MODES:
                options = dict(outputs=["kpi"], cache_options=CacheOptions(code_identity=mode))
                found = sc.map(simulate, GRID, **options)
                print(sum(point.cache_hit for point in found), len(found))
        elif what == "inputs":
            made = sc.run(simulate, config={"demand": 2.0}, outputs=["kpi"])
            print(sc.write_points(
                "points.json", inputs, {"demand": [1.0, 2.0]},
                inputs={"table": made}, outputs=["kpi"],
            ))
        else:
            demand = [n / 2 for n in range(8)]
            sc.write_points("points.json", globals()[what], {"demand": demand}, outputs=["out"])


if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.fixture
def study(here: Path) -> Path:
    """Write a script with steps and return its path."""
    path = here / "study.py"
    path.write_text(STUDY)
    return path


def python(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,  # type: ignore[arg-type]
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def run_point(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "consist", "run-point", *words, env={**os.environ, **environment})


def started(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "consist", "run-point", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def recorded(model: str) -> list[Run]:
    with Tracker("runs", "provenance.duckdb") as tracker:
        return [run for run in tracker.find_runs(model=model, limit=1000) if isinstance(run, Run)]


# ---------------------------------------------------------------- one identity


def test_shell_and_map_find_what_the_other_has_done_in_every_mode(study: Path) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    study.with_name(".gitignore").write_text("runs\nprovenance*\n")
    for command in ("init -q", "add -A", "commit -q -m a"):
        subprocess.run([*git, *command.split()], check=True)
    assert python(study, "modes").returncode == 0
    for mode in ("repo_git", "callable_module", "callable_source", "callable_deps"):
        done = run_point(f"{mode}.json", "0-3", "--json")
        points = json.loads(done.stdout)
        assert [p["cache_hit"] for p in points] == [True, False, True, False], mode
        assert {p["status"] for p in points} == {"completed"}
    assert python(study, "again").stdout == "4 4\n" * 4
    assert {run.meta["code_identity"] for run in recorded("simulate")} == {
        *("repo_git", "callable_module", "callable_source", "callable_deps")
    }


def test_inputs_of_an_earlier_step_are_found(study: Path) -> None:
    assert python(study, "inputs").stdout == "2\n"
    points = json.loads(run_point("points.json", "0-1", "--json").stdout)
    assert [Path(point["outputs"]["kpi"]).read_text() for point in points] == ["7.0", "14.0"]


def test_changed_code_is_another_run(study: Path) -> None:
    assert python(study, "simulate").returncode == 0
    assert run_point("points.json", "1").returncode == 0
    study.write_text(STUDY.replace("RATE = 3", "RATE = 4"))
    assert run_point("points.json", "1", "--missing").stdout == "1\n"
    [point] = json.loads(run_point("points.json", "1", "--json").stdout)
    assert not point["cache_hit"]
    study.write_text(STUDY)
    [point] = json.loads(run_point("points.json", "1", "--json").stdout)
    assert point["cache_hit"]


# ---------------------------------------------------------------- an array


def test_an_array_at_once_is_one_scenario(study: Path) -> None:
    assert python(study, "simulate").returncode == 0
    tasks = [started("points.json", SLURM_ARRAY_TASK_ID=str(n)) for n in range(8)]
    said = [task.communicate(timeout=120) for task in tasks]
    assert [task.returncode for task in tasks] == [0] * 8, said
    assert [out.split("  ")[0] for out, _ in said] == [str(n) for n in range(8)]
    runs = recorded("simulate")
    assert len(runs) == 8
    assert {(run.parent_run_id, run.status) for run in runs} == {("grid", "completed")}
    done = run_point("points.json", "--missing")
    assert (done.stdout, done.stderr) == ("", "all 8 points are done\n")


def test_after_kill_9_the_rest_is_missing_and_nothing_else(study: Path) -> None:
    assert python(study, "waits").returncode == 0
    Path("started").unlink(missing_ok=True)
    task = started("points.json", "--chunk", "4", PBS_ARRAY_INDEX="0")
    wait_for(Path("started").exists)
    wait_for(lambda: len(recorded("waits")) == 4)  # three are done, the fourth waits
    task.send_signal(signal.SIGKILL)
    task.communicate(timeout=60)
    missing = run_point("points.json", "--missing").stdout
    assert missing == "3-7\n"
    Path("go").touch()
    done = run_point("points.json", *missing.split())
    assert done.returncode == 0, done.stderr
    assert run_point("points.json", "--missing").stdout == ""
    assert len(recorded("waits")) == 9


@pytest.mark.parametrize(
    ("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_what_is_stopped_is_recorded_as_interrupted(
    study: Path, stop: signal.Signals, code: int
) -> None:
    assert python(study, "waits").returncode == 0
    task = started("points.json", "7", "0")
    wait_for(Path("started").exists)
    task.send_signal(stop)
    out, _ = task.communicate(timeout=60)
    assert task.returncode == code
    assert out.startswith("7  demand=3.5  interrupted  grid_waits_")
    assert out.count("\n") == 1  # point 0 was not begun
    assert [run.status for run in recorded("waits")] == ["interrupted"]


# ---------------------------------------------------------------- what it prints


def test_points_that_fail_are_told_and_the_others_go_on(study: Path) -> None:
    assert python(study, "prints").returncode == 0
    done = run_point("points.json", "2-4", "--json")
    assert done.returncode == 1
    points = json.loads(done.stdout)  # nothing of the step is in it
    assert [p["status"] for p in points] == ["completed", "failed", "failed"]
    assert points[1]["error"] == "ValueError: too much \x1b[31m"
    assert Path(points[0]["outputs"]["out"]).is_file()
    assert done.stderr.count("from the step") == 3
    assert done.stderr.count("from its child") == 3
    lines = run_point("points.json", "3", "2").stdout.splitlines()
    failed, completed = (line for line in lines if "from" not in line)
    assert failed.startswith("3  demand=1.5  failed  grid_prints_")
    assert failed.endswith("ValueError: too much \\x1b[31m")
    assert completed.startswith("2  demand=1.0  completed (hit)  grid_prints_")


# ---------------------------------------------------------------- elsewhere


def test_a_point_runs_in_the_folder_where_the_file_was_written(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert python(study, "prints").returncode == 0
    monkeypatch.chdir(tmp_path)
    done = run_point(Path("project", "points.json"), "0", "--json")
    [point] = json.loads(done.stdout)
    said = Path(point["outputs"]["out"]).read_text()
    assert said == f"{study.parent} {study}"  # argv: not the options of run-point


def test_a_project_that_was_moved_is_named(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert python(study, "simulate").returncode == 0
    monkeypatch.chdir(tmp_path)
    study.parent.rename("moved")
    done = run_point("moved/points.json", "0")
    assert done.returncode == 1
    assert f"the folder {study.parent} is not there" in done.stderr
    assert "write the file again" in done.stderr
    assert not study.parent.exists()  # nothing was made there
    assert run_point("moved/points.json", "0", "--list").returncode == 0


def test_a_step_of_a_module_is_found_where_the_writer_found_it(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / "lib" / "pkg"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "steps.py").write_text("from . import other\n\n\ndef step(n):\n    other.note(n)\n")
    (folder / "other.py").write_text("def note(n):\n    pass\n")
    (here / "write.py").write_text(
        "import sys\nsys.path.insert(0, 'lib')\n"
        "from consist import Tracker\nfrom pkg.steps import step\n"
        "with Tracker('runs', 'p.duckdb') as tracker, tracker.scenario('s') as sc:\n"
        "    sc.write_points('points.json', step, {'n': [1, 2]})\n"
    )
    assert python("write.py").returncode == 0
    monkeypatch.chdir(tmp_path)
    done = run_point(here / "points.json", "0-1")
    assert done.returncode == 0, done.stderr
    (folder / "steps.py").write_text("def renamed(n):\n    pass\n")
    done = run_point(here / "points.json", "0")
    assert done.returncode == 1
    assert "cannot load 'pkg.steps:step'" in done.stderr
    (folder / "steps.py").write_text("import no_such_library\n")
    done = run_point(here / "points.json", "0")
    assert "No module named 'no_such_library'" in done.stderr


# ---------------------------------------------------------------- scripts


def test_a_script_that_writes_without_a_main_part_is_refused(here: Path) -> None:
    (here / "flat.py").write_text(
        "from consist import Tracker\n\n\ndef step(n):\n    pass\n\n\n"
        "with Tracker('runs', 'p.duckdb') as tracker, tracker.scenario('s') as sc:\n"
        "    try:\n        sc.write_points('points.json', step, {'n': [1, 2]})\n"
        "    except ValueError as error:\n        print(error, error.__notes__)\n"
    )
    done = python("flat.py")
    assert "write_points stands at the top level of" in done.stdout
    assert "if __name__" in done.stdout
    assert not Path("points.json").exists()


def test_a_step_of_a_console_is_refused(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input="from consist import Tracker\ndef step(n): pass\n"
        "with Tracker('runs', 'p.duckdb') as tracker, tracker.scenario('s') as sc:\n"
        "    sc.write_points('points.json', step, {'n': [1, 2]})\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "'step' is defined in a notebook, a console or an archive" in done.stderr


def test_a_module_that_was_started_with_m_is_imported(here: Path) -> None:
    (here / "pkg").mkdir()
    (here / "pkg" / "__init__.py").touch()
    (here / "pkg" / "study.py").write_text(STUDY)
    assert python("-m", "pkg.study", "simulate").returncode == 0
    assert json.loads(Path("points.json").read_text())["step"] == "pkg.study:simulate"
    assert run_point("points.json", "0").returncode == 0
