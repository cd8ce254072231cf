"""Rows: what modules do while they are imported, and what a process does to them afterwards."""

from __future__ import annotations

from tests.acceptance.truth.project import Project, edit, write
from tests.acceptance.truth.row import HIT, MISS, UNSEEN, Expected, Group, always, nothing
from tests.acceptance.truth.shared import ANOTHER_FILE, FAR, NEAR, NOT_REACHED, NOT_REACHED_NEAR

GROUP = Group(
    "Values that modules make while they are imported",
    "Names count by what they stand for when the step runs; what a process itself changes is "
    "state, and must not make it a stranger to itself.",
)
FAST = {
    "fast_rates.py": "def growth():\n    return 2 * 3\n",
    "rates.py": "def growth():\n    return 6 * 1\n",
    "steps.py": """
    try:
        import fast_rates as rates
    except ImportError:
        import rates


    def step():
        print(rates.growth())
    """,
}
GROUP.row(
    "the module that is imported where a faster one is missing, and none is",
    edit("rates.py", "6 * 1", "7 * 1"),
    NOT_REACHED,
    "the name stands for the faster one",
    files=FAST,
)
GROUP.row(
    "a module in the branch of an `if` that is not taken",
    edit("old.py", "6 * 1", "7 * 1"),
    NOT_REACHED,
    "the name stands for the other one",
    files={
        "old.py": "def growth():\n    return 6 * 1\n",
        "new.py": "def growth():\n    return 2 * 3\n",
        "steps.py": """
        import sys

        if sys.version_info < (3, 0):
            from old import growth
        else:
            from new import growth


        def step():
            print(growth())
        """,
    },
)
GROUP.row(
    "the first of two functions with one name",
    edit("steps.py", "6 * 1", "7 * 1"),
    NOT_REACHED_NEAR,
    "the name stands for the second",
    files={
        "steps.py": """
        def growth():
            return 6 * 1


        def growth():
            return 2 * 3


        def step():
            print(growth())
        """
    },
)
GROUP.row(
    "functions that a loop puts into the module",
    edit("makers.py", "2 * 3", "2 * 4"),
    FAR,
    ANOTHER_FILE,
    files={
        "makers.py": """
        def make(name):
            def rate():
                return name, 2 * 3

            return rate
        """,
        "rates.py": """
        from makers import make

        for _name in ("car", "bus"):
            globals()[_name] = make(_name)
        """,
        "steps.py": "import rates\n\n\ndef step():\n    print(rates.car())\n",
    },
)
GROUP.row(
    "a class that is made by `type(...)`: a function in it",
    edit("rates.py", "2 * 3", "2 * 4"),
    FAR,
    ANOTHER_FILE,
    files={
        "rates.py": "def growth(self):\n    return 2 * 3\n",
        "steps.py": """
        import rates

        Model = type("Model", (), {"growth": rates.growth})


        def step():
            print(Model().growth())
        """,
    },
)
GROUP.row(
    "a subclass in a plug-in, found by `__subclasses__`",
    edit("plugin.py", "2 * 3", "2 * 4"),
    FAR,
    ANOTHER_FILE,
    files={
        "base.py": "class Model:\n    pass\n",
        "plugin.py": """
        from base import Model


        class Car(Model):
            def rate(self):
                return 2 * 3
        """,
        "steps.py": """
        import plugin
        from base import Model


        def step():
            print([cls().rate() for cls in Model.__subclasses__()])
        """,
    },
)
GROUP.row(
    "a constant that is read from a file while it is imported",
    edit("rates.json", "2.5", "3.5"),
    FAR,
    "the constant counts by its value",
    files={
        "rates.json": '{"car": 2.5}\n',
        "rates.py": (
            "import json\nfrom pathlib import Path\n\n"
            "RATES = json.loads(Path('rates.json').read_text())\n"
        ),
        "steps.py": "import rates\n\n\ndef step():\n    print(rates.RATES['car'])\n",
    },
)
GROUP.row(
    "a constant that is read from an environment variable while it is imported",
    nothing,
    Expected(UNSEEN, UNSEEN, UNSEEN, MISS),
    "the constant counts by its value",
    files={
        "steps.py": (
            "import os\n\nRATE = float(os.environ.get('RATE', '1'))\n\n\n"
            "def step():\n    print(RATE)\n"
        )
    },
    environment={"RATE": "5"},
)
GROUP.row(
    "a constant that is an array of numpy",
    edit("steps.py", "[1, 2]", "[1, 3]"),
    NEAR,
    "`callable_source` sees nothing outside the function",
    files={
        "steps.py": (
            "import numpy as np\n\nTABLE = np.array([1, 2])\n\n\ndef step():\n    print(TABLE)\n"
        )
    },
)
GROUP.row(
    "a constant that is an array of numpy: a new process",
    nothing,
    always(HIT),
    "the same value",
    files={
        "steps.py": (
            "import numpy as np\n\nTABLE = np.linspace(0, 1, 5)\n\n\n"
            "def step():\n    print(TABLE)\n"
        )
    },
)
GROUP.row(
    "constants that are another object in every process: logger, lock, pattern, path",
    nothing,
    always(HIT),
    "none of them decides the result",
    files={
        "steps.py": """
        import logging
        import re
        import threading

        logger = logging.getLogger(__name__)
        LOCK = threading.Lock()
        NAME = re.compile(r"[a-z]+")


        def step():
            with LOCK:
                logger.info("%s", NAME.findall("zone"))
        """
    },
)


def _move(project: Project) -> None:
    elsewhere = project.place / "elsewhere" / "model"
    elsewhere.parent.mkdir()
    project.root = project.root.rename(elsewhere)


GROUP.row(
    "the project lies in another folder, and a constant is `Path(__file__).parent`",
    _move,
    always(HIT),
    "where the project lies does not count",
    files={
        "table.txt": "7\n",
        "steps.py": (
            "from pathlib import Path\n\nHERE = Path(__file__).parent\n\n\n"
            "def step():\n    print((HERE / 'table.txt').read_text())\n"
        ),
    },
)
for name, text in [
    (
        "fills a module's dictionary",
        """
        KNOWN = {}


        def step():
            KNOWN["zones"] = 7
        """,
    ),
    (
        "counts in a global variable",
        """
        CALLS = 0


        def step():
            global CALLS
            CALLS += 1
        """,
    ),
    (
        "calls a function under `lru_cache`",
        """
        import functools


        @functools.cache
        def growth():
            return 2 * 3


        def step():
            print(growth())
        """,
    ),
    (
        "keeps its result on itself",
        """
        def step():
            step.last = 2 * 3
        """,
    ),
]:
    GROUP.alone(
        f"a step that {name}, asked again in its process",
        always(HIT),
        "what the step changes itself is its state",
        files={"steps.py": text},
        code="""
        import steps

        def flow(tracker, folder):
            tracker.run(steps.step)
            return tracker.run(steps.step)

        each(flow)
        """,
    )
GROUP.row(
    "a helper in a lambda and a comprehension of the step",
    edit("rates.py", "2 * 3", "2 * 4"),
    FAR,
    ANOTHER_FILE,
    files={
        "rates.py": "def growth(x):\n    return x + 2 * 3\n",
        "steps.py": (
            "import rates\n\n\ndef step():\n"
            "    print([f() for f in [lambda x=x: rates.growth(x) for x in range(3)]])\n"
        ),
    },
)
GROUP.row(
    "a new plug-in, imported by the package that collects them",
    write(
        "plugins/bus.py", "from registry import register\n\n\n@register\ndef bus():\n    return 1\n"
    ),
    FAR,
    ANOTHER_FILE,
    files={
        "registry.py": "KNOWN = []\n\n\ndef register(fn):\n    KNOWN.append(fn)\n    return fn\n",
        "plugins/__init__.py": """
        import importlib
        import pkgutil

        for _found in pkgutil.iter_modules(__path__):
            importlib.import_module(f"{__name__}.{_found.name}")
        """,
        "plugins/car.py": """
        from registry import register


        @register
        def car():
            return 2
        """,
        "steps.py": """
        import plugins
        from registry import KNOWN


        def step():
            print([fn() for fn in KNOWN])
        """,
    },
)
