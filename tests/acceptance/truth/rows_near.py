"""Rows: changes of the step itself."""

from __future__ import annotations

from tests.acceptance.truth.project import Project, commit, edit, several
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

GROUP = Group(
    "The step itself",
    "What is edited lies in the function that is run, or in the file that it stands in. A change "
    "of the syntax tree counts in `callable_deps`, and nothing else does.",
)

STEPS = {
    "steps.py": '''
    """The steps of a model."""

    import math

    RATE = 3


    def growth():
        return 2


    def step(base=2.0):
        """Print the number of trips."""
        # Three trips for each.
        trips = base * RATE
        print("trips", math.floor(trips + 1000))
    ''',
}
SPELLING = Expected(BLUNT, BLUNT, BLUNT, HIT)
ELSEWHERE = Expected(BLUNT, BLUNT, HIT, HIT)


def _line_ends(project: Project) -> None:
    file = project.root / "steps.py"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    project.stamp(file)


def _same_place(path: str) -> Process:
    return Process(expected=always(MISS), change=edit(path, "base * RATE", "base * RATE * 2"))


# SIG-002, SIG-015, SIG-016, SIG-017, SIG-018
for name, change, expected, why in [
    ("nothing", nothing, always(HIT), "a new process is no change"),
    (
        "an expression in its body",
        edit("steps.py", "base * RATE", "base + RATE"),
        always(MISS),
        "it computes something else",
    ),
    (
        "a comment in its body",
        edit("steps.py", "Three trips", "Three car trips"),
        SPELLING,
        "text of the file and of the function, no change of the syntax tree",
    ),
    (
        "its docstring",
        edit("steps.py", "Print the number", "Print the rounded number"),
        SPELLING,
        "text of the file and of the function, not what it does",
    ),
    (
        "its layout: a call on three lines",
        edit(
            "steps.py",
            'print("trips", math.floor(trips + 1000))',
            'print(\n        "trips", math.floor(trips + 1000)\n    )',
        ),
        SPELLING,
        "another text of the same syntax tree",
    ),
    (
        "other quotes around a text",
        edit("steps.py", '"trips"', "'trips'"),
        SPELLING,
        "another text of the same syntax tree",
    ),
    (
        "a number spelled 1_000 instead of 1000",
        edit("steps.py", "1000", "1_000"),
        SPELLING,
        "another text of the same syntax tree",
    ),
    (
        "line ends of Windows",
        _line_ends,
        ELSEWHERE,
        "other bytes of the file; Python reads the same lines",
    ),
    (
        "its place in the file: three lines further down",
        edit("steps.py", "import math\n", "import math\n\n\n\n"),
        ELSEWHERE,
        "where a function stands is not what it does",
    ),
    (
        "a comment between the functions",
        edit("steps.py", "\n\ndef growth", "\n\n# Per year.\ndef growth"),
        ELSEWHERE,
        "looks at the function only, or at what the file says",
    ),
    (
        "the docstring of its module",
        edit("steps.py", "The steps of a model", "The steps of the model"),
        ELSEWHERE,
        "looks at the function only, or at what the file says",
    ),
    (
        "a function beside it that it does not call",
        edit("steps.py", "return 2", "return 22"),
        ELSEWHERE,
        "the step does not reach it",
    ),
    (
        "a new function beside it",
        edit("steps.py", "RATE = 3\n", "RATE = 3\n\n\ndef decline():\n    return -1\n"),
        ELSEWHERE,
        "the step does not reach it",
    ),
    (
        "a new import of the standard library that it does not use",
        edit("steps.py", "import math\n", "import json\nimport math\n"),
        ELSEWHERE,
        "the step does not name it",
    ),
    (
        "a new constant in its file that it does not use",
        edit("steps.py", "RATE = 3\n", "RATE = 3\nSHARE = 0.5\n"),
        ELSEWHERE,
        "the step does not name it",
    ),
    (
        "a constant of its file that it uses",
        edit("steps.py", "RATE = 3\n", "RATE = 4\n"),
        (MISS, MISS, UNSEEN, MISS),
        "`callable_source` sees nothing outside the function",
    ),
    (
        "the type annotation of a parameter",
        edit("steps.py", "base=2.0", "base: int = 2.0"),
        always(MISS),
        "annotations decide what a parameter receives",
    ),
    (
        "a default value",
        edit("steps.py", "base=2.0", "base=2.5"),
        always(MISS),
        "it is called with another value",
    ),
    (
        "the name of a local variable",
        several(
            edit("steps.py", "trips = base", "journeys = base"),
            edit("steps.py", "floor(trips", "floor(journeys"),
        ),
        always(MISS),
        "another syntax tree; nobody proves that it comes to the same",
    ),
    (
        "a text in its body",
        edit("steps.py", '"trips"', '"journeys"'),
        always(MISS),
        "it says something else",
    ),
    (
        "an import inside its body",
        edit("steps.py", "    # Three", "    import json\n\n    # Three"),
        always(MISS),
        "another syntax tree",
    ),
]:
    GROUP.row(name, change, expected, why, files=STEPS)

GROUP.row(
    "an edit that is taken back",
    edit("steps.py", "base * RATE * 2", "base * RATE"),
    always(HIT),
    "A, then B, then A: the first result is the right one again",
    files=STEPS,
    between=[_same_place("steps.py")],
)
GROUP.row(
    "an edit that was run and is now committed",
    commit,
    (BLUNT, HIT, HIT, HIT),
    "what counts in `repo_git` is the commit and what departs from it",
    files=STEPS,
    between=[_same_place("steps.py")],
)

# ---------------------------------------------------------------- kinds of steps

_KINDS: list[tuple[str, str, str, str, str]] = [
    (
        "a function inside the step",
        """
        def step():
            def trips(zone):
                return zone * 3

            print(trips(2))
        """,
        "zone * 3",
        "zone * 4",
        "steps.step",
    ),
    ("a lambda as step", "step = lambda: print(2 * 3)\n", "2 * 3", "2 * 4", "steps.step"),
    (
        "a method as step",
        """
        class Model:
            def simulate(self):
                print(2 * 3)
        """,
        "2 * 3",
        "2 * 4",
        "steps.Model().simulate",
    ),
    (
        "a static method as step",
        """
        class Model:
            @staticmethod
            def simulate():
                print(2 * 3)
        """,
        "2 * 3",
        "2 * 4",
        "steps.Model.simulate",
    ),
    (
        "a class method as step",
        """
        class Model:
            @classmethod
            def simulate(cls):
                print(2 * 3)
        """,
        "2 * 3",
        "2 * 4",
        "steps.Model.simulate",
    ),
    (
        "an object with `__call__` as step",
        """
        class Model:
            def __call__(self):
                print(2 * 3)
        """,
        "2 * 3",
        "2 * 4",
        "steps.Model()",
    ),
    (
        "a partial as step",
        """
        def simulate(zones):
            print(zones * 3)
        """,
        "zones * 3",
        "zones * 4",
        "functools.partial(steps.simulate, 2)",
    ),
    (
        "a cached function as step",
        """
        import functools


        @functools.lru_cache
        def step():
            print(2 * 3)
        """,
        "2 * 3",
        "2 * 4",
        "steps.step",
    ),
    (
        "a function made by another one as step",
        """
        def make(rate):
            def step():
                print(rate * 3)

            return step
        """,
        "rate * 3",
        "rate * 4",
        "steps.make(2)",
    ),
]
for name, text, old, new, call in _KINDS:
    GROUP.row(
        f"{name}: the body",
        edit("steps.py", old, new),
        always(MISS),
        "it computes something else",
        files={"steps.py": text},
        code=f"import functools\nimport steps\nask({call}, name='simulate')\n",
    )
    if name != "a function inside the step":
        GROUP.row(
            f"{name}: nothing",
            nothing,
            always(HIT),
            "every kind of callable is found again",
            files={"steps.py": text},
            code=f"import functools\nimport steps\nask({call}, name='simulate')\n",
            slow=True,
        )

GROUP.row(
    "a decorator above it: its argument",
    edit("steps.py", "@scaled(2)", "@scaled(3)"),
    always(MISS),
    "decorators belong to the function",
    files={
        "steps.py": """
        import functools


        def scaled(factor):
            def decorate(fn):
                @functools.wraps(fn)
                def wrapper():
                    print(factor)
                    fn()

                return wrapper

            return decorate


        @scaled(2)
        def step():
            print("trips")
        """
    },
)
GROUP.row(
    "a decorator above it: taken away",
    edit("steps.py", "@twice\n", ""),
    always(MISS),
    "decorators belong to the function",
    files={
        "steps.py": """
        import functools


        def twice(fn):
            @functools.wraps(fn)
            def wrapper():
                fn()
                fn()

            return wrapper


        @twice
        def step():
            print("trips")
        """
    },
)
GROUP.row(
    "another function of the file with the same body",
    nothing,
    always(MISS),
    "the name of the function counts in every mode",
    files={
        "steps.py": """
        def step():
            print("trips")


        def other():
            print("trips")
        """
    },
    code="import steps\nask(steps.step, name='simulate')\n",
    then="import steps\nask(steps.other, name='simulate')\n",
)
GROUP.row(
    "a method that the step calls on its object",
    edit("steps.py", "2 * 3", "2 * 4"),
    (MISS, MISS, UNSEEN, MISS),
    "`callable_source` sees the method itself",
    files={
        "steps.py": """
        class Model:
            def trips(self):
                return 2 * 3

            def simulate(self):
                print(self.trips())
        """
    },
    code="import steps\nask(steps.Model().simulate)\n",
)
GROUP.row(
    "a property that the step reads on its object",
    edit("steps.py", "2 * 3", "2 * 4"),
    (MISS, MISS, UNSEEN, MISS),
    "`callable_source` sees the method itself",
    files={
        "steps.py": """
        class Model:
            @property
            def trips(self):
                return 2 * 3

            def simulate(self):
                print(self.trips)
        """
    },
    code="import steps\nask(steps.Model().simulate)\n",
)
GROUP.row(
    "the function around a `with` block",
    edit("steps.py", "2 * 3", "2 * 4"),
    always(MISS),
    "a block counts by the function that it stands in",
    files={
        "steps.py": """
        def step(tracker, folder):
            with tracker.trace("simulate"):
                print(2 * 3)
                return tracker.is_cached
        """
    },
    code="import steps\neach(steps.step)\n",
)
GROUP.row(
    "a comment in a `with` block",
    edit("steps.py", "# six", "# 6"),
    SPELLING,
    "text of the file and of the function",
    files={
        "steps.py": """
        def step(tracker, folder):
            with tracker.trace("simulate"):
                print(2 * 3)  # six
                return tracker.is_cached
        """
    },
    code="import steps\neach(steps.step)\n",
)
