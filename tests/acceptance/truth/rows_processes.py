"""Rows: how a process is started."""

from __future__ import annotations

from tests.acceptance.truth.project import edit
from tests.acceptance.truth.row import (
    HIT,
    MISS,
    UNSEEN,
    Group,
    Process,
    always,
    nothing,
)
from tests.acceptance.truth.shared import NOT_REACHED, RATES

GROUP = Group(
    "Ways to start",
    "What counts is the code that a process has loaded, however it was started.",
)

FILES = {
    "rates.py": RATES,
    "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
}

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

GROUP.row(
    "`python main.py`, then imported",
    nothing,
    always(HIT),
    "a function is the same, however its file was loaded",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    then=_AS_IMPORT,
)
GROUP.row(
    "`python main.py`, then `python -m main`",
    nothing,
    always(HIT),
    "a function is the same, however its file was loaded",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    argv=("-m", "main"),
)
GROUP.row(
    "imported, then `python -m tools.main`",
    nothing,
    always(HIT),
    "a function is the same, however its file was loaded",
    files={
        "tools/__init__.py": "",
        "tools/main.py": SCRIPT["main.py"],
        "rates.py": FILES["rates.py"],
    },
    code="from tools import main\nask(main.step)\n",
    argv=("-m", "tools.main"),
)
GROUP.row(
    "`python main.py` again: a helper in another module",
    edit("rates.py", "2 * 3", "2 * 4"),
    (MISS, UNSEEN, UNSEEN, MISS),
    "a script is followed like any module",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    argv=("main.py",),
)
GROUP.row(
    "`python main.py` again: a function that the step does not call",
    edit("rates.py", "-1", "-2"),
    NOT_REACHED,
    "the step does not reach it",
    files=SCRIPT,
    begin=_AS_SCRIPT,
    argv=("main.py",),
)
GROUP.row(
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
GROUP.row(
    "without compiled files, and optimized as by `python -O`",
    nothing,
    always(HIT),
    "how Python keeps its modules does not count",
    files=FILES,
    environment={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "1"},
)
GROUP.row(
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
