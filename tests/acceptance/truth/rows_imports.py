"""Rows: the ways in which a step comes to the code of another module."""

from __future__ import annotations

from tests.acceptance.truth.project import edit, write
from tests.acceptance.truth.row import MISS, UNSEEN, Group, always
from tests.acceptance.truth.shared import (
    ANOTHER_FILE,
    FAR,
    NEAR,
    NOT_REACHED,
    RATES,
    TWO_FILES,
    UNUSED,
)

GROUP = Group(
    "Code in another module",
    "The step calls a function of another file of the project. `callable_module` and "
    "`callable_source` look at no other file; `callable_deps` follows every way to import it.",
)

PACKAGE_RUN = "from pkg import steps\nask(steps.step)\n"

# ---------------------------------------------------------------- ways to import

_WAYS: list[tuple[str, dict[str, str], str]] = [
    (
        "`import rates`",
        {
            "rates.py": RATES,
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        "rates.py",
    ),
    (
        "`from rates import growth`",
        {
            "rates.py": RATES,
            "steps.py": "from rates import growth\n\n\ndef step():\n    print(growth())\n",
        },
        "rates.py",
    ),
    (
        "`import rates as r`",
        {
            "rates.py": RATES,
            "steps.py": "import rates as r\n\n\ndef step():\n    print(r.growth())\n",
        },
        "rates.py",
    ),
    (
        "`from rates import growth as g`",
        {
            "rates.py": RATES,
            "steps.py": "from rates import growth as g\n\n\ndef step():\n    print(g())\n",
        },
        "rates.py",
    ),
    (
        "`from . import rates`",
        {
            "pkg/__init__.py": "",
            "pkg/rates.py": RATES,
            "pkg/steps.py": "from . import rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        "pkg/rates.py",
    ),
    (
        "`from .rates import growth` in a package",
        {
            "pkg/__init__.py": "",
            "pkg/rates.py": RATES,
            "pkg/steps.py": "from .rates import growth\n\n\ndef step():\n    print(growth())\n",
        },
        "pkg/rates.py",
    ),
    (
        "`from ..rates import growth` in a package inside a package",
        {
            "pkg/__init__.py": "from pkg.demand import steps\n",
            "pkg/rates.py": RATES,
            "pkg/demand/__init__.py": "",
            "pkg/demand/steps.py": (
                "from ..rates import growth\n\n\ndef step():\n    print(growth())\n"
            ),
        },
        "pkg/rates.py",
    ),
    (
        "`import pkg.rates`, without `as`",
        {
            "pkg/__init__.py": "",
            "pkg/rates.py": RATES,
            "pkg/steps.py": "import pkg.rates\n\n\ndef step():\n    print(pkg.rates.growth())\n",
        },
        "pkg/rates.py",
    ),
    (
        "`from lib import *`, with `__all__`",
        {
            "lib/__init__.py": "from lib.rates import growth\n\n__all__ = ['growth']\n",
            "lib/rates.py": RATES,
            "steps.py": "from lib import *\n\n\ndef step():\n    print(growth())\n",
        },
        "lib/rates.py",
    ),
    (
        "handed on by the `__init__` of a package in a package",
        {
            "lib/__init__.py": "from .demand import growth\n",
            "lib/demand/__init__.py": "from .rates import growth\n",
            "lib/demand/rates.py": RATES,
            "steps.py": "import lib\n\n\ndef step():\n    print(lib.growth())\n",
        },
        "lib/demand/rates.py",
    ),
    (
        "imported inside the function",
        {
            "rates.py": RATES,
            "steps.py": "def step():\n    from rates import growth\n\n    print(growth())\n",
        },
        "rates.py",
    ),
    (
        "`import a.b` inside the function",
        {
            "lib/__init__.py": "",
            "lib/rates.py": RATES,
            "steps.py": "def step():\n    import lib.rates\n\n    print(lib.rates.growth())\n",
        },
        "lib/rates.py",
    ),
    (
        "imported in the `except ImportError` of a faster one",
        {
            "rates.py": RATES,
            "steps.py": (
                "try:\n    import fast_rates as rates\nexcept ImportError:\n    import rates\n\n\n"
                "def step():\n    print(rates.growth())\n"
            ),
        },
        "rates.py",
    ),
    (
        "imported under a condition",
        {
            "rates.py": RATES,
            "steps.py": (
                "import sys\n\nif sys.version_info >= (3, 0):\n    from rates import growth\n"
                "else:\n    growth = None\n\n\ndef step():\n    print(growth())\n"
            ),
        },
        "rates.py",
    ),
    (
        "looked up by the `__getattr__` of a package",
        {
            "lib/__init__.py": (
                "def __getattr__(name):\n    if name != 'growth':\n"
                "        raise AttributeError(name)\n    import lib.rates\n\n"
                "    return lib.rates.growth\n"
            ),
            "lib/rates.py": RATES,
            "steps.py": "from lib import growth\n\n\ndef step():\n    print(growth())\n",
        },
        "lib/rates.py",
    ),
    (
        "a module named like one of the standard library",
        {
            "colorsys.py": RATES,
            "steps.py": "import colorsys\n\n\ndef step():\n    print(colorsys.growth())\n",
        },
        "colorsys.py",
    ),
    (
        "a folder without `__init__.py`",
        {
            "lib/rates.py": RATES,
            "steps.py": "from lib import rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        "lib/rates.py",
    ),
]
for name, files, changed in _WAYS:
    GROUP.row(
        f"{name}: the function",
        edit(changed, "2 * 3", "2 * 4"),
        FAR,
        ANOTHER_FILE,
        files=files,
        code=PACKAGE_RUN
        if "pkg/steps.py" in files
        else (
            "import pkg\nask(pkg.steps.step)\n"
            if "pkg/__init__.py" in files
            else "import steps\nask(steps.step)\n"
        ),
    )

for name, change, why in [
    ("a comment there", edit("rates.py", "2 * 3", "2 * 3  # six"), "no change of the syntax tree"),
    ("a function that is not called, beside the one that is", edit("rates.py", "-1", "-2"), UNUSED),
    (
        "the place of the function in its file",
        write("rates.py", "def decline():\n    return -1\n\n\ndef growth():\n    return 2 * 3\n"),
        "where a function stands is not what it does",
    ),
]:
    GROUP.row(f"another module: {name}", change, NOT_REACHED, why, files=TWO_FILES)

GROUP.row(
    "a module of the same name in another package",
    edit("freight/rates.py", "2 * 3", "2 * 4"),
    NOT_REACHED,
    "the step reaches `people.rates`, not `freight.rates`",
    files={
        "people/__init__.py": "",
        "people/rates.py": RATES,
        "freight/__init__.py": "",
        "freight/rates.py": RATES,
        "steps.py": """
        from freight.rates import decline
        from people.rates import growth


        def step():
            print(growth())
        """,
    },
)
GROUP.row(
    "a module that is imported for type checkers only",
    edit("zones.py", "number = 1", "number = 2"),
    NOT_REACHED,
    "no process ever imports it",
    files={
        "zones.py": "class Zone:\n    number = 1\n",
        "steps.py": """
        from __future__ import annotations

        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from zones import Zone


        def step(zone: Zone | None = None):
            print(2 * 3)
        """,
    },
)
STARS = {
    "low.py": "def growth():\n    return 1 + 1\n",
    "high.py": "def growth():\n    return 2 * 3\n",
    "steps.py": "from low import *\nfrom high import *\n\n\ndef step():\n    print(growth())\n",
}
GROUP.row(
    "two star imports: the function of the later one",
    edit("high.py", "2 * 3", "2 * 4"),
    FAR,
    "the later import decides what the name means",
    files=STARS,
)
GROUP.row(
    "two star imports: the function of the earlier one",
    edit("low.py", "1 + 1", "1 + 2"),
    NOT_REACHED,
    "the later import decides what the name means",
    files=STARS,
)
GROUP.row(
    "two star imports: their order",
    edit(
        "steps.py",
        "from low import *\nfrom high import *",
        "from high import *\nfrom low import *",
    ),
    NEAR,
    "the later import decides what the name means",
    files=STARS,
)
GROUP.row(
    "two modules that import each other: the function further away",
    edit("supply.py", "2 * 3", "2 * 4"),
    FAR,
    ANOTHER_FILE,
    files={
        "demand.py": """
        import supply


        def trips(depth):
            return supply.seats(depth) if depth else 0
        """,
        "supply.py": """
        import demand


        def seats(depth):
            return demand.trips(depth - 1) + 2 * 3
        """,
        "steps.py": "import demand\n\n\ndef step():\n    print(demand.trips(2))\n",
    },
)
GROUP.row(
    "a new module that takes the place of an old one: a package `rates/`",
    write("rates/__init__.py", "def growth():\n    return 22\n"),
    FAR,
    "Python prefers the package to the file `rates.py`",
    files=TWO_FILES,
)
GROUP.row(
    "a faster module appears, which is tried first",
    write("fast_rates.py", "def growth():\n    return 22\n"),
    FAR,
    "the name means another function now",
    files=_WAYS[12][1],
)
GROUP.row(
    "a file beside the project, on `PYTHONPATH`",
    edit("../outside/rates.py", "2 * 3", "2 * 4"),
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "no version vouches for it, so it counts as own code; `repo_git` ends at the project folder",
    files={"steps.py": TWO_FILES["steps.py"]},
    outside={"rates.py": RATES},
)
GROUP.row(
    "a module that git ignores",
    edit("rates.py", "2 * 3", "2 * 4"),
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "`repo_git` does not see what git ignores",
    files={"steps.py": TWO_FILES["steps.py"], ".gitignore": "rates.py\n"},
    data={"rates.py": RATES},
)
GROUP.row(
    "a module that was never added to git",
    edit("rates.py", "2 * 3", "2 * 4"),
    FAR,
    "`repo_git` sees untracked source files",
    files={"steps.py": TWO_FILES["steps.py"]},
    data={"rates.py": RATES},
)
GROUP.row(
    "the step itself lies beside the project, on `PYTHONPATH`",
    edit("../outside/steps.py", "2 * 3", "2 * 4"),
    always(MISS),
    "a function outside the project folder adds its source to `repo_git`",
    files={"README.md": "A model.\n"},
    outside={"steps.py": "def step():\n    print(2 * 3)\n"},
)
