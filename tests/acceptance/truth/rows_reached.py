"""Rows: changes of code that the step reaches, and of code that it does not."""

from __future__ import annotations

from tests.acceptance.truth import cases_classes, cases_constants, cases_functions
from tests.acceptance.truth.project import edit, several, write
from tests.acceptance.truth.row import MISS, UNSEEN, Group, nothing
from tests.acceptance.truth.shared import FAR, NEAR, TWO_FILES

GROUP = Group(
    "What the step reaches",
    "Helpers, classes, constants, tables: whatever own code decides the result, however it is "
    "reached. Where a row does not say otherwise, it lies in another module.",
)

for name, why, files, (path, old, new), expected in [
    *cases_functions.CASES,
    *cases_classes.CASES,
    *cases_constants.CASES,
]:
    GROUP.row(name, edit(path, old, new), expected, why, files=files)

_MODEL = {
    "base.py": "class Model:\n    def simulate(self):\n        print(2 * 3)\n",
    "steps.py": "from base import Model\n\n\nclass Regional(Model):\n    rate = 1\n",
}
GROUP.row(
    "an inherited method as step: the base class",
    edit("base.py", "2 * 3", "2 * 4"),
    (MISS, MISS, MISS, MISS),
    "the method is the function that is run, and stands in the file of the base",
    files=_MODEL,
    code="import steps\nask(steps.Regional().simulate)\n",
)
GROUP.row(
    "an inherited method as step: what the class overrides",
    edit("steps.py", "return 2", "return 3"),
    FAR,
    "the method stands in another file than the class; only `callable_deps` sees both",
    files={
        "base.py": (
            "class Model:\n    def simulate(self):\n        print(self.rate())\n\n"
            "    def rate(self):\n        return 1\n"
        ),
        "steps.py": (
            "from base import Model\n\n\nclass Regional(Model):\n    def rate(self):\n"
            "        return 2\n"
        ),
    },
    code="import steps\nask(steps.Regional().simulate)\n",
)
GROUP.row(
    "another module is imported, whose function has the same name",
    several(
        write("more_rates.py", "def growth():\n    return 2 * 4\n"),
        edit("steps.py", "from rates import", "from more_rates import"),
    ),
    NEAR,
    "the name means a function of another module now",
    files=TWO_FILES,
)
GROUP.row(
    "a function that the program replaces before the run",
    nothing,
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "the function counts that is there when the step runs",
    files={
        "steps.py": "def growth():\n    return 2\n\n\ndef step():\n    print(growth())\n",
    },
    then="import steps\nsteps.growth = lambda: 5\nask(steps.step)\n",
)
GROUP.row(
    "a constant that the program assigns before the run",
    nothing,
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "the constant counts as it is when the step runs",
    files={"steps.py": "RATE = 2\n\n\ndef step():\n    print(RATE)\n"},
    then="import steps\nsteps.RATE = 5\nask(steps.step)\n",
)

_CONFIGURED = {
    "settings.py": """
    from dataclasses import dataclass


    @dataclass
    class Plan:
        base: int = 2

        def rate(self):
            return self.base * 3
    """,
}
for name, text in [
    ("annotated", "from settings import Plan\n\n\ndef step(config: Plan):\n    "),
    ("not annotated", "def step(config):\n    "),
]:
    GROUP.row(
        f"a method of the config's class, which the step calls ({name})",
        edit("settings.py", "self.base * 3", "self.base * 4"),
        FAR,
        "the class of a config is own code like any other",
        files={**_CONFIGURED, "steps.py": text + "print(config.rate())\n"},
        code="import settings\nimport steps\nask(steps.step, config=settings.Plan())\n",
    )
