"""Rows: edits while a process runs, notebooks."""

from __future__ import annotations

from tests.acceptance.truth.project import edit
from tests.acceptance.truth.row import (
    BLUNT,
    HIT,
    MISS,
    UNSEEN,
    Expected,
    Group,
    Process,
    always,
    nothing,
)
from tests.acceptance.truth.shared import ONE_STEP, RATES

GROUP = Group(
    "Edits while a process runs, notebooks",
    "A process goes on executing what it loaded. What its files no longer say is never a source.",
)

FILES = {
    "rates.py": RATES,
    "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
}

# ---------------------------------------------------------------- edits while it runs

_EDITED = """
import steps
rewrite("steps.py", "2 * 3", "2 * 3 + 1")
ask(steps.step)
"""
GROUP.row(
    "the file is saved after its module was loaded; a new process asks",
    nothing,
    always(MISS),
    "the first run executed what the file no longer says: noted, and never a source",
    files=ONE_STEP,
    begin=Process(
        expected=always(MISS), code=_EDITED, meta={"code_changed_since_load": ["steps.py"]}
    ),
    apart=True,
)
GROUP.row(
    "the file is saved after its module was loaded, and put back; a new process asks",
    edit("steps.py", "2 * 3 + 1", "2 * 3"),
    always(MISS),
    "noted, and never a source",
    files=ONE_STEP,
    begin=Process(
        expected=always(MISS), code=_EDITED, meta={"code_changed_since_load": ["steps.py"]}
    ),
    apart=True,
)
GROUP.row(
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
GROUP.alone(
    "the file is saved; the same process asks for what it did before",
    always(HIT),
    "the process still has the code that it loaded",
    files=ONE_STEP,
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
GROUP.row(
    "the file is saved and the module reloaded",
    nothing,
    always(HIT),
    "a reload takes the identity again: a miss, and the next process finds it",
    files=ONE_STEP,
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
    shown=0,
)
GROUP.rows[-1] = GROUP.rows[-1].__class__(**{**vars(GROUP.rows[-1]), "shown": 0})
GROUP.alone(
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
GROUP.alone(
    "a module is reloaded that did not change",
    always(HIT),
    "the same code",
    files=ONE_STEP,
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
GROUP.alone(
    "autoreload puts the new code into the old function",
    always(MISS),
    "the function that a notebook holds does something else now",
    files=ONE_STEP,
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
    GROUP.alone(f"notebook: {name}", expected, why, files=README, code=_cells(first, second, more))
_ONE_CELL = f"""
def flow(tracker, folder):
    names = {{"__name__": "__main__"}}
    cell({_CELL!r}, names, NUMBER)
    return tracker.run(names["step"])

each(flow)
"""
GROUP.row(
    "notebook: the kernel is restarted, and the cell has another number",
    nothing,
    always(HIT),
    "the same text is the same code",
    files=README,
    code=_ONE_CELL.replace("NUMBER", "3"),
    then=_ONE_CELL.replace("NUMBER", "8"),
)
