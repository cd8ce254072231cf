"""Rows: changes of code that the step reaches, and of code that it does not."""

from __future__ import annotations

from tests.acceptance.truth.project import edit, several, write
from tests.acceptance.truth.row import BLUNT, HIT, MISS, UNSEEN, Expected, Group, nothing

IMPORTS = Group(
    "Code in another module",
    "The step calls a function of another file of the project. `callable_module` and "
    "`callable_source` look at no other file; `callable_deps` follows every way to import it.",
)
REACHED = Group(
    "What the step reaches",
    "Helpers, classes, constants, tables: whatever own code decides the result, however it is "
    "reached. Where a row does not say otherwise, it lies in another module.",
)

FAR = Expected(MISS, UNSEEN, UNSEEN, MISS)
NEAR = Expected(MISS, MISS, UNSEEN, MISS)
NOT_REACHED = Expected(BLUNT, HIT, HIT, HIT)
NOT_REACHED_NEAR = Expected(BLUNT, BLUNT, HIT, HIT)

ANOTHER_FILE = "only `repo_git` and `callable_deps` see another file"
SAME_FILE = "`callable_source` sees nothing outside the function"
UNUSED = "the step does not reach it"

RATES = """
def growth():
    return 2 * 3


def decline():
    return -1
"""
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
        "`from .rates import growth`",
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
    IMPORTS.row(
        f"{name}: the function",
        edit(changed, "2 * 3", "2 * 4"),
        FAR,
        ANOTHER_FILE,
        files=files,
        code=PACKAGE_RUN if "pkg/steps.py" in files else (
            "import pkg\nask(pkg.steps.step)\n" if "pkg/__init__.py" in files else
            "import steps\nask(steps.step)\n"
        ),
    )
SIMPLE = _WAYS[1][1]

for name, change, why in [
    ("a comment there", edit("rates.py", "2 * 3", "2 * 3  # six"), "no change of the syntax tree"),
    ("a function that is not called, beside the one that is", edit("rates.py", "-1", "-2"), UNUSED),
    (
        "the place of the function in its file",
        write("rates.py", "def decline():\n    return -1\n\n\ndef growth():\n    return 2 * 3\n"),
        "where a function stands is not what it does",
    ),
]:
    IMPORTS.row(f"another module: {name}", change, NOT_REACHED, why, files=SIMPLE)

IMPORTS.row(
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
IMPORTS.row(
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
IMPORTS.row(
    "two star imports: the function of the later one",
    edit("high.py", "2 * 3", "2 * 4"),
    FAR,
    "the later import decides what the name means",
    files=STARS,
)
IMPORTS.row(
    "two star imports: the function of the earlier one",
    edit("low.py", "1 + 1", "1 + 2"),
    NOT_REACHED,
    "the later import decides what the name means",
    files=STARS,
)
IMPORTS.row(
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
IMPORTS.row(
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
IMPORTS.row(
    "a new module that takes the place of an old one: a package `rates/`",
    write("rates/__init__.py", "def growth():\n    return 22\n"),
    FAR,
    "Python prefers the package to the file `rates.py`",
    files=SIMPLE,
)
IMPORTS.row(
    "a faster module appears, which is tried first",
    write("fast_rates.py", "def growth():\n    return 22\n"),
    FAR,
    "the name means another function now",
    files=_WAYS[12][1],
)
IMPORTS.row(
    "a file beside the project, on `PYTHONPATH`",
    edit("../outside/rates.py", "2 * 3", "2 * 4"),
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "no version vouches for it, so it counts as own code; `repo_git` ends at the project folder",
    files={"steps.py": SIMPLE["steps.py"]},
    outside={"rates.py": RATES},
)
IMPORTS.row(
    "a module that git ignores",
    edit("rates.py", "2 * 3", "2 * 4"),
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "`repo_git` does not see what git ignores",
    files={"steps.py": SIMPLE["steps.py"], ".gitignore": "rates.py\n"},
    data={"rates.py": RATES},
)
IMPORTS.row(
    "a module that was never added to git",
    edit("rates.py", "2 * 3", "2 * 4"),
    FAR,
    "`repo_git` sees untracked source files",
    files={"steps.py": SIMPLE["steps.py"]},
    data={"rates.py": RATES},
)

# ---------------------------------------------------------------- what is reached

_CASES: list[tuple[str, str, dict[str, str], tuple[str, str, str], Expected]] = [
    (
        "a helper in the same file",
        SAME_FILE,
        {
            "steps.py": """
            def growth():
                return 2 * 3


            def step():
                print(growth())
            """
        },
        ("steps.py", "2 * 3", "2 * 4"),
        NEAR,
    ),
    (
        "a comment in a helper of the same file",
        "no change of the syntax tree",
        {
            "steps.py": """
            def growth():
                return 2 * 3


            def step():
                print(growth())
            """
        },
        ("steps.py", "2 * 3", "2 * 3  # six"),
        NOT_REACHED_NEAR,
    ),
    (
        "the helper of a helper, two modules away",
        ANOTHER_FILE,
        {
            "base.py": "def base():\n    return 2 * 3\n",
            "rates.py": "import base\n\n\ndef growth():\n    return base.base()\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        ("base.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "the default value of a helper",
        ANOTHER_FILE,
        {
            "rates.py": "def growth(base=2):\n    return base * 3\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        ("rates.py", "base=2", "base=4"),
        FAR,
    ),
    (
        "two functions of one file that call each other: the second",
        SAME_FILE,
        {
            "steps.py": """
            def even(n):
                return n == 0 or odd(n - 1)


            def odd(n):
                return n != 0 and even(n - 1)


            def step():
                print(even(4))
            """
        },
        ("steps.py", "n != 0 and", "n > 0 and"),
        NEAR,
    ),
    (
        "a function that calls itself",
        ANOTHER_FILE,
        {
            "rates.py": "def power(n):\n    return 2 * power(n - 1) if n else 1\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.power(3))\n",
        },
        ("rates.py", "2 * power", "3 * power"),
        FAR,
    ),
    (
        "a generator",
        ANOTHER_FILE,
        {
            "rates.py": "def rates():\n    yield 2 * 3\n",
            "steps.py": "from rates import rates\n\n\ndef step():\n    print(*rates())\n",
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a context manager",
        ANOTHER_FILE,
        {
            "rates.py": (
                "from contextlib import contextmanager\n\n\n@contextmanager\ndef rate():\n"
                "    yield 2 * 3\n"
            ),
            "steps.py": (
                "from rates import rate\n\n\ndef step():\n    with rate() as r:\n        print(r)\n"
            ),
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a helper under `lru_cache`",
        ANOTHER_FILE,
        {
            "rates.py": (
                "from functools import lru_cache\n\n\n@lru_cache(maxsize=8)\ndef growth():\n"
                "    return 2 * 3\n"
            ),
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a helper under another name: `f = rates.growth`",
        ANOTHER_FILE,
        {
            "rates.py": RATES,
            "steps.py": "import rates\n\n\ndef step():\n    f = rates.growth\n    print(f())\n",
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a helper by `getattr` with a constant name",
        ANOTHER_FILE,
        {
            "rates.py": RATES,
            "steps.py": (
                "import rates\n\n\ndef step():\n    print(getattr(rates, 'growth')())\n"
            ),
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a helper by `getattr` with a computed name",
        "the whole module counts where nobody can tell what is taken from it",
        {
            "rates.py": RATES,
            "steps.py": (
                "import rates\n\n\ndef step():\n    print(getattr(rates, 'gro' + 'wth')())\n"
            ),
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a helper that is handed to `map`",
        ANOTHER_FILE,
        {
            "rates.py": "def growth(zone):\n    return zone * 3\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(*map(rates.growth, [1, 2]))\n",
        },
        ("rates.py", "zone * 3", "zone * 4"),
        FAR,
    ),
    (
        "a function that hides a builtin: `round`",
        ANOTHER_FILE,
        {
            "rates.py": "def round(x):\n    return x * 3\n",
            "steps.py": "from rates import round\n\n\ndef step():\n    print(round(2))\n",
        },
        ("rates.py", "x * 3", "x * 4"),
        FAR,
    ),
    (
        "a function that hides a builtin is new",
        SAME_FILE,
        {"steps.py": "import math\n\n\ndef step():\n    print(round(2.5))\n"},
        ("steps.py", "import math\n", "import math\n\n\ndef round(x):\n    return x * 3\n"),
        NEAR,
    ),
    (
        "a function of the same name as a local variable",
        UNUSED,
        {
            "steps.py": """
            def growth():
                return 2 * 3


            def step():
                growth = 5
                print(growth)
            """
        },
        ("steps.py", "2 * 3", "2 * 4"),
        NOT_REACHED_NEAR,
    ),
    (
        "a function of the same name as a parameter",
        UNUSED,
        {
            "steps.py": """
            def growth():
                return 2 * 3


            def step(growth=5):
                print(growth)
            """
        },
        ("steps.py", "2 * 3", "2 * 4"),
        NOT_REACHED_NEAR,
    ),
    (
        "a helper that is a default argument of the step",
        "what a function carries counts in every mode",
        {
            "rates.py": RATES,
            "steps.py": (
                "import rates\n\n\ndef step(growth=rates.growth):\n    print(growth())\n"
            ),
        },
        ("rates.py", "2 * 3", "2 * 4"),
        Expected(MISS, MISS, MISS, MISS),
    ),
    # ------------------------------------------------------------ decorators
    (
        "a decorator with `functools.wraps`: its wrapper",
        "the wrapper is the function that is run, and carries the one that it wraps",
        {
            "decorators.py": """
            import functools


            def scaled(fn):
                @functools.wraps(fn)
                def wrapper():
                    print(2 * 3)
                    return fn()

                return wrapper
            """,
            "steps.py": (
                "from decorators import scaled\n\n\n@scaled\ndef step():\n    print('trips')\n"
            ),
        },
        ("decorators.py", "2 * 3", "2 * 4"),
        Expected(MISS, MISS, MISS, MISS),
    ),
    (
        "a decorator without `functools.wraps`: its wrapper",
        "the wrapper is the function that is run, and carries the one that it wraps",
        {
            "decorators.py": """
            def scaled(fn):
                def wrapper():
                    print(2 * 3)
                    return fn()

                return wrapper
            """,
            "steps.py": (
                "from decorators import scaled\n\n\n@scaled\ndef step():\n    print('trips')\n"
            ),
        },
        ("decorators.py", "2 * 3", "2 * 4"),
        Expected(MISS, MISS, MISS, MISS),
    ),
    (
        "a decorator without `functools.wraps`: the function below it",
        "the wrapper carries the function that it calls",
        {
            "decorators.py": """
            def scaled(fn):
                def wrapper():
                    print(2 * 3)
                    return fn()

                return wrapper
            """,
            "steps.py": (
                "from decorators import scaled\n\n\n@scaled\ndef step():\n    print('trips')\n"
            ),
        },
        ("steps.py", "'trips'", "'journeys'"),
        Expected(MISS, MISS, MISS, MISS),
    ),
    (
        "a decorator of a helper: its wrapper",
        ANOTHER_FILE,
        {
            "decorators.py": """
            import functools


            def scaled(fn):
                @functools.wraps(fn)
                def wrapper():
                    return fn() * 3

                return wrapper
            """,
            "steps.py": """
            from decorators import scaled


            @scaled
            def growth():
                return 2


            def step():
                print(growth())
            """,
        },
        ("decorators.py", "fn() * 3", "fn() * 4"),
        FAR,
    ),
    (
        "what a decorator's wrapper calls",
        ANOTHER_FILE,
        {
            "decorators.py": """
            import functools


            def factor():
                return 2 * 3


            def scaled(fn):
                @functools.wraps(fn)
                def wrapper():
                    print(factor())
                    return fn()

                return wrapper
            """,
            "steps.py": (
                "from decorators import scaled\n\n\n@scaled\ndef step():\n    print('trips')\n"
            ),
        },
        ("decorators.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    # ------------------------------------------------------------ classes
    (
        "a method of a base class that the step calls",
        ANOTHER_FILE,
        {
            "base.py": "class Model:\n    def rate(self):\n        return 2 * 3\n",
            "steps.py": """
            from base import Model


            class Regional(Model):
                def simulate(self):
                    print(self.rate())


            def step():
                Regional().simulate()
            """,
        },
        ("base.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a class that inherits everything: its base",
        ANOTHER_FILE,
        {
            "base.py": "class Model:\n    def simulate(self):\n        print(2 * 3)\n",
            "steps.py": """
            from base import Model


            class Regional(Model):
                pass


            def step():
                Regional().simulate()
            """,
        },
        ("base.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a method that overrides one of its base",
        SAME_FILE,
        {
            "base.py": (
                "class Model:\n    def simulate(self):\n        print(self.rate())\n\n"
                "    def rate(self):\n        return 1\n"
            ),
            "steps.py": """
            from base import Model


            class Regional(Model):
                def rate(self):
                    return 2 * 3


            def step():
                Regional().simulate()
            """,
        },
        ("steps.py", "2 * 3", "2 * 4"),
        NEAR,
    ),
    (
        "a method is overridden from now on",
        SAME_FILE,
        {
            "base.py": (
                "class Model:\n    def simulate(self):\n        print(self.rate())\n\n"
                "    def rate(self):\n        return 1\n"
            ),
            "steps.py": """
            from base import Model


            class Regional(Model):
                name = "region"


            def step():
                Regional().simulate()
            """,
        },
        (
            "steps.py",
            'name = "region"\n',
            'name = "region"\n\n    def rate(self):\n        return 2\n',
        ),
        NEAR,
    ),
    (
        "a property, a static and a class method in one class",
        ANOTHER_FILE,
        {
            "models.py": """
            class Model:
                @property
                def zones(self):
                    return self.double(1)

                @staticmethod
                def double(x):
                    return 2 * x

                @classmethod
                def make(cls):
                    return cls()
            """,
            "steps.py": (
                "from models import Model\n\n\ndef step():\n    print(Model.make().zones)\n"
            ),
        },
        ("models.py", "2 * x", "3 * x"),
        FAR,
    ),
    (
        "a value of a class",
        ANOTHER_FILE,
        {
            "models.py": "class Model:\n    rate = 2 * 3\n",
            "steps.py": "from models import Model\n\n\ndef step():\n    print(Model.rate)\n",
        },
        ("models.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "an operator of a class: `__add__`",
        ANOTHER_FILE,
        {
            "models.py": "class Flow:\n    def __add__(self, other):\n        return 2 * 3\n",
            "steps.py": (
                "from models import Flow\n\n\ndef step():\n    print(Flow() + Flow())\n"
            ),
        },
        ("models.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "the default of a dataclass field",
        ANOTHER_FILE,
        {
            "models.py": """
            from dataclasses import dataclass


            @dataclass
            class Settings:
                rate: float = 2.5
            """,
            "steps.py": (
                "from models import Settings\n\n\ndef step():\n    print(Settings().rate)\n"
            ),
        },
        ("models.py", "2.5", "3.5"),
        FAR,
    ),
    (
        "the order of the fields of a dataclass",
        ANOTHER_FILE,
        {
            "models.py": """
            from dataclasses import dataclass


            @dataclass
            class Settings:
                rate: float
                share: float
            """,
            "steps.py": (
                "from models import Settings\n\n\ndef step():\n    print(Settings(1, 2).rate)\n"
            ),
        },
        ("models.py", "rate: float\n    share: float", "share: float\n    rate: float"),
        FAR,
    ),
    (
        "a member of an enum",
        ANOTHER_FILE,
        {
            "models.py": (
                "from enum import Enum\n\n\nclass Mode(Enum):\n    CAR = 2 * 3\n    BUS = 1\n"
            ),
            "steps.py": "from models import Mode\n\n\ndef step():\n    print(Mode.CAR.value)\n",
        },
        ("models.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "`__init_subclass__` of a base",
        ANOTHER_FILE,
        {
            "base.py": """
            class Model:
                def __init_subclass__(cls):
                    cls.rate = 2 * 3
            """,
            "steps.py": """
            from base import Model


            class Regional(Model):
                pass


            def step():
                print(Regional.rate)
            """,
        },
        ("base.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a metaclass",
        ANOTHER_FILE,
        {
            "base.py": """
            class Rated(type):
                def __new__(mcs, name, bases, body):
                    body["rate"] = 2 * 3
                    return super().__new__(mcs, name, bases, body)
            """,
            "steps.py": """
            from base import Rated


            class Model(metaclass=Rated):
                pass


            def step():
                print(Model.rate)
            """,
        },
        ("base.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a descriptor",
        ANOTHER_FILE,
        {
            "base.py": """
            class Rate:
                def __get__(self, owner, cls):
                    return 2 * 3
            """,
            "steps.py": """
            from base import Rate


            class Model:
                rate = Rate()


            def step():
                print(Model().rate)
            """,
        },
        ("base.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    # ------------------------------------------------------------ constants
    (
        "a constant that the step names",
        ANOTHER_FILE,
        {
            "rates.py": "RATE = 2.5\nSHARE = 0.1\n",
            "steps.py": "from rates import RATE\n\n\ndef step():\n    print(RATE)\n",
        },
        ("rates.py", "2.5", "3.5"),
        FAR,
    ),
    (
        "a constant that the step does not name",
        UNUSED,
        {
            "rates.py": "RATE = 2.5\nSHARE = 0.1\n",
            "steps.py": "from rates import RATE, SHARE\n\n\ndef step():\n    print(RATE)\n",
        },
        ("rates.py", "0.1", "0.2"),
        NOT_REACHED,
    ),
    (
        "a constant made of another module's",
        ANOTHER_FILE,
        {
            "base.py": "BASE = 2\n",
            "rates.py": "from base import BASE\n\nRATE = BASE * 3\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.RATE)\n",
        },
        ("base.py", "BASE = 2", "BASE = 4"),
        FAR,
    ),
    (
        "a constant that an own function computes: the function",
        ANOTHER_FILE,
        {
            "rates.py": "def build():\n    return [2 * 3, 1]\n\n\nTABLE = build()\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.TABLE)\n",
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a constant that grows line by line",
        ANOTHER_FILE,
        {
            "rates.py": "RATES = {}\nRATES['car'] = 2.5\nRATES.update(bus=1.5)\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.RATES)\n",
        },
        ("rates.py", "bus=1.5", "bus=2.5"),
        FAR,
    ),
    (
        "a constant that another module changes while it is imported",
        "the constant counts as it is when the step runs",
        {
            "rates.py": "RATE = 2.5\n",
            "tuning.py": "import rates\n\nrates.RATE = 3.5\n",
            "steps.py": "import rates\nimport tuning\n\n\ndef step():\n    print(rates.RATE)\n",
        },
        ("tuning.py", "3.5", "4.5"),
        FAR,
    ),
    (
        "a constant that is an object of an own class: a method",
        ANOTHER_FILE,
        {
            "models.py": """
            class Model:
                def __init__(self, rate):
                    self.rate = rate

                def simulate(self):
                    return self.rate * 3
            """,
            "steps.py": """
            from models import Model

            MODEL = Model(2)


            def step():
                print(MODEL.simulate())
            """,
        },
        ("models.py", "self.rate * 3", "self.rate * 4"),
        FAR,
    ),
    (
        "a constant that is an object of an own class: its argument",
        SAME_FILE,
        {
            "models.py": """
            class Model:
                def __init__(self, rate):
                    self.rate = rate

                def simulate(self):
                    return self.rate * 3
            """,
            "steps.py": """
            from models import Model

            MODEL = Model(2)


            def step():
                print(MODEL.simulate())
            """,
        },
        ("steps.py", "Model(2)", "Model(4)"),
        NEAR,
    ),
    (
        "a table of functions: one of them",
        ANOTHER_FILE,
        {
            "rates.py": RATES,
            "steps.py": """
            import rates

            BY_NAME = {"growth": rates.growth, "decline": rates.decline}


            def step(name="growth"):
                print(BY_NAME[name]())
            """,
        },
        ("rates.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a registry that a decorator fills: a function in a plug-in",
        ANOTHER_FILE,
        {
            "registry.py": """
            KNOWN = {}


            def register(fn):
                KNOWN[fn.__name__] = fn
                return fn
            """,
            "plugin.py": """
            from registry import register


            @register
            def growth():
                return 2 * 3
            """,
            "steps.py": """
            import plugin
            from registry import KNOWN


            def step():
                print(KNOWN["growth"]())
            """,
        },
        ("plugin.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "`singledispatch`: an implementation in another module",
        ANOTHER_FILE,
        {
            "weights.py": """
            from functools import singledispatch


            @singledispatch
            def weight(x):
                return 1
            """,
            "numbers_too.py": """
            from weights import weight


            @weight.register
            def of_number(x: int):
                return 2 * 3
            """,
            "steps.py": """
            import numbers_too
            from weights import weight


            def step():
                print(weight(5))
            """,
        },
        ("numbers_too.py", "2 * 3", "2 * 4"),
        FAR,
    ),
    (
        "a partial in a constant: the function",
        ANOTHER_FILE,
        {
            "rates.py": "def growth(base):\n    return base * 3\n",
            "steps.py": """
            from functools import partial

            import rates

            GROW = partial(rates.growth, 2)


            def step():
                print(GROW())
            """,
        },
        ("rates.py", "base * 3", "base * 4"),
        FAR,
    ),
    (
        "a partial in a constant: its argument",
        SAME_FILE,
        {
            "rates.py": "def growth(base):\n    return base * 3\n",
            "steps.py": """
            from functools import partial

            import rates

            GROW = partial(rates.growth, 2)


            def step():
                print(GROW())
            """,
        },
        ("steps.py", "rates.growth, 2", "rates.growth, 4"),
        NEAR,
    ),
    (
        "a function that another module puts in the place of one",
        "the function counts that is there when the step runs",
        {
            "rates.py": RATES,
            "patches.py": """
            import rates


            def better():
                return 5 * 3


            rates.growth = better
            """,
            "steps.py": "import patches\nimport rates\n\n\ndef step():\n    print(rates.growth())\n",
        },
        ("patches.py", "5 * 3", "5 * 4"),
        FAR,
    ),
]
for name, why, files, (path, old, new), expected in _CASES:
    REACHED.row(name, edit(path, old, new), expected, why, files=files)

_MODEL = {
    "base.py": "class Model:\n    def simulate(self):\n        print(2 * 3)\n",
    "steps.py": "from base import Model\n\n\nclass Regional(Model):\n    rate = 1\n",
}
REACHED.row(
    "an inherited method as step: the base class",
    edit("base.py", "2 * 3", "2 * 4"),
    (MISS, MISS, MISS, MISS),
    "the method is the function that is run, and stands in the file of the base",
    files=_MODEL,
    code="import steps\nask(steps.Regional().simulate)\n",
)
REACHED.row(
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
REACHED.row(
    "a helper is moved to another module, which is imported instead",
    several(
        write("more_rates.py", "def growth():\n    return 2 * 3\n"),
        edit("steps.py", "from rates import", "from more_rates import"),
    ),
    NEAR,
    "the name means a function of another module now",
    files=SIMPLE,
)
REACHED.row(
    "a function that the program replaces before the run",
    nothing,
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "the function counts that is there when the step runs",
    files={
        "steps.py": "def growth():\n    return 2\n\n\ndef step():\n    print(growth())\n",
    },
    then="import steps\nsteps.growth = lambda: 5\nask(steps.step)\n",
)
REACHED.row(
    "a constant that the program assigns before the run",
    nothing,
    (UNSEEN, UNSEEN, UNSEEN, MISS),
    "the constant counts as it is when the step runs",
    files={"steps.py": "RATE = 2\n\n\ndef step():\n    print(RATE)\n"},
    then="import steps\nsteps.RATE = 5\nask(steps.step)\n",
)
