"""Rows: processes, repositories, notebooks, packages; and what nobody can see."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance.truth.project import (
    Project,
    append,
    commit,
    edit,
    several,
    write,
)
from tests.acceptance.truth.row import (
    BLUNT,
    HIT,
    LISTED,
    MISS,
    UNSEEN,
    Expected,
    Group,
    Process,
    always,
    error,
    nothing,
)

REPOSITORY = Group(
    "The project around the step",
    "Commits, other files, other folders. The step and what it reaches stay as they are.",
)
PROCESSES = Group(
    "Ways to start, edits while a process runs, notebooks",
    "What counts is the code that a process has loaded, however it was started.",
)
PACKAGES = Group(
    "Packages, and code that is looked up by name",
    "Of other people's packages `callable_deps` counts the version of those that are named. What "
    "cannot be followed is listed on the run, and can be added with `code_identity_extra_deps`.",
)
LIMITS = Group(
    "What no mode sees",
    "These decide a result without being code, config or input. Declare them.",
)

FILES = {
    "rates.py": "def growth():\n    return 2 * 3\n\n\ndef decline():\n    return -1\n",
    "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
    "README.md": "A model.\n",
    "study.ipynb": '{"cells": [], "nbformat": 4}\n',
    "coefficients.yaml": "cost: -0.3\n",
    ".gitignore": "scratch/\n",
}
WIDE = Expected(BLUNT, HIT, HIT, HIT)

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
    ("a commit that changes nothing", commit, WIDE, "`repo_git` counts the commit"),
    ("the message of the last commit", _amend, WIDE, "`repo_git` counts the commit"),
    ("another branch at the same commit", _branch, always(HIT), "the commit is the same"),
    ("the README", append("README.md", "Better.\n"), WIDE, "`repo_git` counts every tracked file"),
    (
        "the README, committed",
        several(append("README.md", "Better.\n"), commit),
        WIDE,
        "`repo_git` counts the commit",
    ),
    (
        "a settings file that nobody reads",
        edit("coefficients.yaml", "-0.3", "-0.4"),
        WIDE,
        "`repo_git` counts every tracked file",
    ),
    (
        "a new source file that nobody imports",
        write("notes.py", "NOTES = 1\n"),
        WIDE,
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
    REPOSITORY.row(name, change, expected, why, files=FILES)

NO_GIT = Expected(error(RuntimeError, "Put the project under git"), HIT, HIT, HIT)
REPOSITORY.row(
    "nothing, in a project without a repository",
    nothing,
    NO_GIT,
    "`repo_git` that is asked for by name needs one; the default falls back to `callable_module`",
    files=FILES,
    git=False,
    begin=Process(expected=Expected(NO_GIT.repo_git, MISS, MISS, MISS)),
)
REPOSITORY.row(
    "another run folder on the same database",
    nothing,
    always(HIT),
    "the record is what counts",
    files=FILES,
    then="import steps\nask(steps.step, tracker={'run_dir': PLACE / 'other runs'})\n",
)

# ---------------------------------------------------------------- processes

SCRIPT = {
    "rates.py": FILES["rates.py"],
    "main.py": """
    from asking import ask

    import rates


    def step():
        print(rates.growth())


    if __name__ == "__main__":
        ask(step)
    """,
}
_AS_SCRIPT = Process(expected=always(MISS), argv=("main.py",))
_AS_IMPORT = "import main\nask(main.step)\n"

PROCESSES.row(
    "`python main.py`, then imported",
    nothing,
    always(HIT),
    "a function is the same, however its file was loaded",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    then=_AS_IMPORT,
)
PROCESSES.row(
    "`python main.py`, then `python -m main`",
    nothing,
    always(HIT),
    "a function is the same, however its file was loaded",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    argv=("-m", "main"),
)
PROCESSES.row(
    "imported, then `python -m tools.main`",
    nothing,
    always(HIT),
    "a function is the same, however its file was loaded",
    files={"tools/__init__.py": "", "tools/main.py": SCRIPT["main.py"], "rates.py": FILES["rates.py"]},
    code="from tools import main\nask(main.step)\n",
    argv=("-m", "tools.main"),
)
PROCESSES.row(
    "`python main.py` again: a helper in another module",
    edit("rates.py", "2 * 3", "2 * 4"),
    (MISS, UNSEEN, UNSEEN, MISS),
    "a script is followed like any module",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    argv=("main.py",),
)
PROCESSES.row(
    "`python main.py` again: a function that the step does not call",
    edit("rates.py", "-1", "-2"),
    WIDE,
    "the step does not reach it",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    argv=("main.py",),
)
PROCESSES.row(
    "another hash seed",
    nothing,
    always(HIT),
    "the order of sets differs in every process",
    files={
        "steps.py": """
        ZONES = {"north", "south", "east", "west"}
        RATES = {"car": frozenset({"a", "b", "c"}), "bus": {"d", "e", "f"}}


        def step(zones=frozenset({"x", "y", "z"})):
            print("north" in {"north", "south", "east"}, ZONES, RATES, zones)
        """
    },
    code="import steps\nask(steps.step, config={'modes': {'car', 'bus', 'bike', 'walk'}})\n",
    begin=Process(
        expected=always(MISS),
        code="import steps\nask(steps.step, config={'modes': {'car', 'bus', 'bike', 'walk'}})\n",
        environment={"PYTHONHASHSEED": "1"},
    ),
    environment={"PYTHONHASHSEED": "2"},
)
PROCESSES.row(
    "without compiled files (`PYTHONDONTWRITEBYTECODE`)",
    nothing,
    always(HIT),
    "how Python keeps its modules does not count",
    files=FILES,
    environment={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "1"},
)
PROCESSES.row(
    "a module that the step imports inside is loaded already",
    nothing,
    always(HIT),
    "what is loaded is what would be loaded",
    files={
        "rates.py": FILES["rates.py"],
        "steps.py": "def step():\n    import rates\n\n    print(rates.growth())\n",
    },
    then="import rates\nimport steps\nask(steps.step)\n",
)

# ---------------------------------------------------------------- edits while it runs

_EDITED = """
import steps
rewrite("steps.py", "2 * 3", "2 * 3 + 1")
ask(steps.step)
"""
ONE = {"steps.py": "def step():\n    print(2 * 3)\n"}
PROCESSES.row(
    "the file is saved after its module was loaded; a new process asks",
    nothing,
    always(MISS),
    "the first run executed what the file no longer says: noted, and never a source",
    files=ONE,
    begin=Process(
        expected=always(MISS), code=_EDITED, meta={"code_changed_since_load": ["steps.py"]}
    ),
    apart=True,
)
PROCESSES.row(
    "the file is saved after its module was loaded, and put back; a new process asks",
    edit("steps.py", "2 * 3 + 1", "2 * 3"),
    always(MISS),
    "noted, and never a source",
    files=ONE,
    begin=Process(
        expected=always(MISS), code=_EDITED, meta={"code_changed_since_load": ["steps.py"]}
    ),
    apart=True,
)
PROCESSES.row(
    "a helper's file is saved after it was loaded; a new process asks",
    nothing,
    always(MISS),
    "noted, and never a source, in every mode",
    files={"rates.py": FILES["rates.py"], "steps.py": FILES["steps.py"]},
    begin=Process(
        expected=always(MISS),
        code="""
        import steps
        rewrite("rates.py", "2 * 3", "2 * 3 + 1")
        ask(steps.step)
        """,
        meta={"code_changed_since_load": ["rates.py"]},
    ),
    apart=True,
)
PROCESSES.alone(
    "the file is saved; the same process asks for what it did before",
    always(HIT),
    "the process still has the code that it loaded",
    files=ONE,
    code="""
    import steps

    def flow(tracker, folder):
        tracker.run(steps.step)
        rewrite("steps.py", "2 * 3", "2 * 3 + 1")
        return tracker.run(steps.step)

    each(flow)
    """,
    apart=True,
)
PROCESSES.row(
    "the file is saved and the module reloaded",
    nothing,
    always(HIT),
    "a reload takes the identity again: a miss, and the next process finds it",
    files=ONE,
    begin=Process(
        expected=always(MISS),
        code="""
        import importlib
        import steps

        def flow(tracker, folder):
            tracker.run(steps.step)
            rewrite("steps.py", "2 * 3", "2 * 3 + 1")
            importlib.reload(steps)
            return tracker.run(steps.step)

        each(flow)
        """,
        meta={"code_changed_since_load": None},
    ),
    apart=True,
)
PROCESSES.rows[-1] = PROCESSES.rows[-1].__class__(**{**vars(PROCESSES.rows[-1]), "shown": 0})
PROCESSES.alone(
    "a helper's file is saved and its module reloaded",
    (MISS, UNSEEN, UNSEEN, MISS),
    "a reload takes the identity again",
    files={"rates.py": FILES["rates.py"], "steps.py": FILES["steps.py"]},
    code="""
    import importlib
    import rates
    import steps

    def flow(tracker, folder):
        tracker.run(steps.step)
        rewrite("rates.py", "2 * 3", "2 * 3 + 1")
        importlib.reload(rates)
        return tracker.run(steps.step)

    each(flow)
    """,
    apart=True,
)
PROCESSES.alone(
    "a module is reloaded that did not change",
    always(HIT),
    "the same code",
    files=ONE,
    code="""
    import importlib
    import steps

    def flow(tracker, folder):
        tracker.run(steps.step)
        importlib.reload(steps)
        return tracker.run(steps.step)

    each(flow)
    """,
)
PROCESSES.alone(
    "autoreload puts the new code into the old function",
    always(MISS),
    "the function that a notebook holds does something else now",
    files=ONE,
    code="""
    import importlib
    import steps

    def flow(tracker, folder):
        held = steps.step
        tracker.run(held)
        rewrite("steps.py", "2 * 3", "2 * 3 + 1")
        importlib.reload(steps)
        held.__code__ = steps.step.__code__
        return tracker.run(held)

    each(flow)
    """,
    apart=True,
)

# ---------------------------------------------------------------- cells

README = {"README.md": "A study.\n"}


def _cells(first: str, second: str, more: str = "") -> str:
    return f"""
    def flow(tracker, folder):
        names = {{"__name__": "__main__"}}
        cell({more!r}, names, 1)
        cell({first!r}, names, 2)
        tracker.run(names["step"])
        cell({second!r}, names, 3)
        return tracker.run(names["step"])

    each(flow)
    """


_CELL = "def step():\n    print(2 * 3)\n"
_USER = "def step():\n    print(growth(), RATE)\n"
_HELPER = "RATE = 1\n\ndef growth():\n    return 2 * 3\n"
for name, first, second, more, expected, why in [
    ("a cell is run again", _CELL, _CELL, "", always(HIT), "the same text is the same code"),
    (
        "a cell is edited and run again",
        _CELL,
        _CELL.replace("2 * 3", "2 * 4"),
        "",
        always(MISS),
        "a function of a cell adds its source, in every mode",
    ),
    (
        "a comment in a cell",
        _CELL,
        _CELL.replace("2 * 3)", "2 * 3)  # six"),
        "",
        Expected(BLUNT, BLUNT, BLUNT, HIT),
        "another text of the same syntax tree",
    ),
    (
        "a helper in another cell",
        _USER,
        _HELPER.replace("2 * 3", "2 * 4"),
        _HELPER,
        Expected(UNSEEN, UNSEEN, UNSEEN, MISS),
        "`callable_module` sees the cell of the step; a repository sees no cell",
    ),
    (
        "a value that another cell assigned",
        _USER,
        "RATE = 5\n",
        _HELPER,
        Expected(UNSEEN, UNSEEN, UNSEEN, MISS),
        "`callable_module` sees the cell of the step; a repository sees no cell",
    ),
    (
        "a function in another cell that the step does not call",
        _USER,
        "def decline():\n    return -2\n",
        _HELPER + "\ndef decline():\n    return -1\n",
        always(HIT),
        "the step does not reach it",
    ),
]:
    PROCESSES.alone(
        f"notebook: {name}", expected, why, files=README, code=_cells(first, second, more)
    )
_ONE_CELL = f"""
def flow(tracker, folder):
    names = {{"__name__": "__main__"}}
    cell({_CELL!r}, names, NUMBER)
    return tracker.run(names["step"])

each(flow)
"""
PROCESSES.row(
    "notebook: the kernel is restarted, and the cell has another number",
    nothing,
    always(HIT),
    "the same text is the same code",
    files=README,
    code=_ONE_CELL.replace("NUMBER", "3"),
    then=_ONE_CELL.replace("NUMBER", "8"),
)

# ---------------------------------------------------------------- packages


def _package(version: str, text: str, name: str = "growthlib", module: str = "growthlib") -> dict[str, str]:
    info = f"{name}-{version}.dist-info"
    return {
        f"{module}/__init__.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/RECORD": f"{module}/__init__.py,,\n{info}/METADATA,,\n",
        f"{info}/top_level.txt": f"{module}\n",
        f"{info}/INSTALLER": "pip\n",
    }


def _upgrade(name: str = "growthlib", module: str = "growthlib"):  # noqa: ANN202
    def change(project: Project) -> None:
        import shutil

        shutil.rmtree(project.installed / f"{name}-1.0.dist-info")
        project.fill(
            _package("1.1", "def growth():\n    return 2 * 4\n", name, module), project.installed
        )

    return change


LIBRARY = _package("1.0", "def growth():\n    return 2 * 3\n")
NAMED = Expected(UNSEEN, UNSEEN, UNSEEN, MISS)
USES = "import growthlib\n\n\ndef step():\n    print(growthlib.growth())\n"
for name, files, why in [
    ("a package that the step names", {"steps.py": USES}, "its version counts"),
    (
        "a package that the step imports inside",
        {"steps.py": "def step():\n    from growthlib import growth\n\n    print(growth())\n"},
        "its version counts",
    ),
    (
        "a package that a helper names, in another module",
        {
            "rates.py": "from growthlib import growth\n\n\ndef rate():\n    return growth()\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.rate())\n",
        },
        "its version counts",
    ),
    (
        "a package whose class is the base of an own class",
        {
            "models.py": (
                "import growthlib\n\n\nclass Model:\n    rate = staticmethod(growthlib.growth)\n"
            ),
            "steps.py": "from models import Model\n\n\ndef step():\n    print(Model.rate())\n",
        },
        "its version counts",
    ),
]:
    PACKAGES.row(
        f"{name}: another version", _upgrade(), NAMED, why, files=files, installed=LIBRARY
    )
PACKAGES.row(
    "a package that the step names: its distribution has another name",
    _upgrade("Growth-Lib".replace("-", "_"), "growthlib"),
    NAMED,
    "the distribution is found that has the module",
    files={"steps.py": USES},
    installed=_package("1.0", "def growth():\n    return 2 * 3\n", "Growth_Lib", "growthlib"),
)
PACKAGES.row(
    "a package that nobody names: another version",
    _upgrade(),
    always(HIT),
    "the step does not reach it",
    files=ONE,
    installed=LIBRARY,
)
PACKAGES.row(
    "modules of the standard library are named",
    nothing,
    always(HIT),
    "a new process is no change",
    files={
        "steps.py": """
        import json
        import math
        from collections import Counter
        from datetime import date


        def step():
            print(json.dumps({"x": math.pi}), Counter("aab"), date(2030, 1, 1))
        """
    },
)

# ---------------------------------------------------------------- looked up by name

DYNAMIC = {
    "rates_low.py": "def growth():\n    return 2 * 3\n",
    "steps.py": """
    import importlib


    def step(kind="low"):
        print(importlib.import_module("rates_" + kind).growth())
    """,
}
PACKAGES.row(
    "a module that is imported by a computed name",
    edit("rates_low.py", "2 * 3", "2 * 4"),
    (MISS, UNSEEN, UNSEEN, LISTED),
    "nobody can tell which module it will be; the run lists it",
    files=DYNAMIC,
    deps_meta={"code_identity_unresolved": "import_module"},
)
_WITH = """
from consist import CacheOptions
import steps
ask(steps.step, cache_options=CacheOptions(code_identity_extra_deps=[{path!r}]))
"""
PACKAGES.row(
    "a module that is imported by a computed name, with `code_identity_extra_deps`",
    edit("rates_low.py", "2 * 3", "2 * 4"),
    always(MISS),
    "added by hand, it counts in every mode",
    files=DYNAMIC,
    code=_WITH.format(path="rates_low.py"),
)
PACKAGES.row(
    "code that is made of text: `exec`",
    edit("formula.txt", "2 * 3", "2 * 4"),
    (MISS, UNSEEN, UNSEEN, LISTED),
    "nobody can tell what will be executed; the run lists it",
    files={
        "formula.txt": "print(2 * 3)\n",
        "steps.py": (
            "from pathlib import Path\n\n\ndef step():\n    exec(Path('formula.txt').read_text())\n"
        ),
    },
    deps_meta={"code_identity_unresolved": "exec"},
)
READS = {
    "coefficients.yaml": "cost: -0.3\n",
    "tables/am.csv": "1\n",
    "steps.py": """
    from pathlib import Path


    def step():
        print(Path("coefficients.yaml").read_text(), Path("tables/am.csv").read_text())
    """,
}
for name, path, change in [
    ("a file", "coefficients.yaml", edit("coefficients.yaml", "-0.3", "-0.4")),
    ("a file in a folder", "tables", edit("tables/am.csv", "1", "2")),
    ("a new file in a folder", "tables", write("tables/pm.csv", "2\n")),
]:
    PACKAGES.row(
        f"`code_identity_extra_deps`: {name}",
        change,
        always(MISS),
        "added by hand, it counts in every mode",
        files=READS,
        code=_WITH.format(path=path),
    )
PACKAGES.row(
    "`code_identity_extra_deps`: the file is only touched",
    lambda project: os.utime(project.root / "coefficients.yaml"),
    always(HIT),
    "its content counts",
    files=READS,
    code=_WITH.format(path="coefficients.yaml"),
)
PACKAGES.row(
    "`code_identity_extra_deps`: the file is gone",
    lambda project: (project.root / "coefficients.yaml").unlink(),
    always(error(FileNotFoundError, "coefficients.yaml")),
    "a missing file is never taken for an empty answer",
    files=READS,
    code=_WITH.format(path="coefficients.yaml"),
)

# ---------------------------------------------------------------- limits

LIMITS.row(
    "a tracked file that the step reads without declaring it",
    edit("coefficients.yaml", "-0.3", "-0.4"),
    (MISS, UNSEEN, UNSEEN, UNSEEN),
    "make it an input, or name it in `code_identity_extra_deps`",
    files=READS,
)
LIMITS.row(
    "a file of data that the step reads without declaring it",
    edit("zones.csv", "1,2", "1,3"),
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "make it an input",
    files={
        "steps.py": (
            "from pathlib import Path\n\n\ndef step():\n    print(Path('zones.csv').read_text())\n"
        ),
    },
    data={"zones.csv": "1,2\n"},
)
LIMITS.row(
    "an environment variable that the step reads",
    nothing,
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "put it into the config",
    files={"steps.py": "import os\n\n\ndef step():\n    print(os.environ.get('RATE'))\n"},
    environment={"RATE": "5"},
)
LIMITS.row(
    "an installed package is edited, and keeps its version",
    lambda project: project.write(
        Path(project.installed, "growthlib/__init__.py"), "def growth():\n    return 2 * 4\n"
    ),
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "of packages counts the version",
    files={"steps.py": USES},
    installed=LIBRARY,
)
_FAST = "import steps\nask(steps.step, inputs=['zones.csv'], tracker={'hashing_strategy': 'fast'})\n"


def _same_size_and_time(project: Project) -> None:
    file = project.root / "zones.csv"
    before = file.stat()
    file.write_text("1,3\n", encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


LIMITS.row(
    '`hashing_strategy="fast"`: other bytes of the same size and time',
    _same_size_and_time,
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "this strategy never reads a file; the default does",
    files=ONE,
    data={"zones.csv": "1,2\n"},
    code=_FAST,
)
LIMITS.row(
    '`hashing_strategy="fast"`: the same bytes, touched',
    lambda project: os.utime(project.root / "zones.csv"),
    (BLUNT, BLUNT, BLUNT, BLUNT),
    "this strategy never reads a file; the default does",
    files=ONE,
    data={"zones.csv": "1,2\n"},
    code=_FAST,
)
