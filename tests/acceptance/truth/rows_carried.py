"""Rows: values that a callable carries with it."""

from __future__ import annotations

from tests.acceptance.truth.project import edit
from tests.acceptance.truth.row import (
    HIT,
    LISTED,
    MISS,
    UNSEEN,
    Expected,
    Group,
    Outcome,
    always,
    nothing,
)

GROUP = Group(
    "What the callable carries",
    "Captured variables, bound arguments, defaults, the state of an object: parameters in "
    "disguise, which count in every mode.",
)

FILES = {
    "steps.py": """
    import dataclasses
    import functools

    import numpy as np


    def above(threshold):
        def step():
            print(threshold)

        return step


    def rated(rate, share=1):
        print(rate, share)


    def with_default(rates={"car": 1}):
        print(rates)


    def with_keyword(*, rate=1):
        print(rate)


    class Model:
        def __init__(self, rate, label="a"):
            self.rate, self.label = rate, label
            self.calls = []

        def simulate(self):
            self.calls.append("called")
            print(self.rate * 2)

        def __call__(self):
            print(self.rate * 2)


    @dataclasses.dataclass
    class Plan:
        rate: float


    def counting(calls):
        def step():
            calls.append("called")

        return step


    def one():
        print("one")


    def two():
        print("two")


    def calling(fn):
        def step():
            fn()

        return step
    """,
}

_CARRIED: list[tuple[str, str, str, Outcome, str]] = [
    ("the same captured value", "steps.above(1)", "steps.above(1)", HIT, "the same value"),
    ("a captured number", "steps.above(1)", "steps.above(2)", MISS, "another value"),
    (
        "a captured array",
        "steps.above(np.array([1, 2]))",
        "steps.above(np.array([1, 3]))",
        MISS,
        "arrays count by type, shape and bytes",
    ),
    (
        "the type of a captured array",
        "steps.above(np.array([1, 2]))",
        "steps.above(np.array([1.0, 2.0]))",
        MISS,
        "arrays count by type, shape and bytes",
    ),
    (
        "a captured dataclass",
        "steps.above(steps.Plan(1.0))",
        "steps.above(steps.Plan(2.0))",
        MISS,
        "it counts like a config value",
    ),
    (
        "a captured function: another one",
        "steps.calling(steps.one)",
        "steps.calling(steps.two)",
        MISS,
        "functions count by name and source",
    ),
    (
        "a captured closure that captured another value",
        "steps.calling(steps.above(1))",
        "steps.calling(steps.above(2))",
        MISS,
        "what is carried counts with what it carries",
    ),
    (
        "an argument of a partial",
        "functools.partial(steps.rated, 1)",
        "functools.partial(steps.rated, 2)",
        MISS,
        "another value",
    ),
    (
        "a keyword of a partial",
        "functools.partial(steps.rated, 1, share=1)",
        "functools.partial(steps.rated, 1, share=2)",
        MISS,
        "another value",
    ),
    (
        "a partial of a partial, the same arguments",
        "functools.partial(functools.partial(steps.rated, 1), 2)",
        "functools.partial(functools.partial(steps.rated, 1), 2)",
        HIT,
        "the same values",
    ),
    (
        "an attribute that the method uses",
        "steps.Model(1).simulate",
        "steps.Model(2).simulate",
        MISS,
        "another value",
    ),
    (
        "an attribute that the method does not use",
        "steps.Model(1, 'a').simulate",
        "steps.Model(1, 'b').simulate",
        HIT,
        "it decides nothing",
    ),
    (
        "an attribute of an object with `__call__`",
        "steps.Model(1)",
        "steps.Model(2)",
        MISS,
        "another value",
    ),
    (
        "a list that the step itself fills",
        "steps.counting([])",
        "steps.counting(['called'])",
        HIT,
        "its state and not a parameter",
    ),
    (
        "two different functions under one name of run",
        "steps.one",
        "steps.two",
        MISS,
        "two callables never share a result",
    ),
]
for name, one, other, outcome, why in _CARRIED:
    opening = "import functools\nimport numpy as np\nimport steps\n"
    GROUP.row(
        f"carried: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        code=f"{opening}ask({one}, name='simulate')\n",
        then=f"{opening}ask({other}, name='simulate')\n",
        shares="carried",
    )
GROUP.row(
    "carried: a default that was changed in memory",
    nothing,
    always(MISS),
    "defaults count by their value at the moment",
    files=FILES,
    code="import steps\nask(steps.with_default)\n",
    then=("import steps\nsteps.with_default.__defaults__[0]['car'] = 2\nask(steps.with_default)\n"),
)
GROUP.row(
    "carried: the default of a keyword, in the source",
    edit("steps.py", "*, rate=1", "*, rate=2"),
    always(MISS),
    "another value, and another text",
    files=FILES,
    code="import steps\nask(steps.with_keyword)\n",
)
GROUP.row(
    "carried: the source of a captured function",
    edit("steps.py", '"one"', '"five"'),
    always(MISS),
    "functions that are carried count by their source, in every mode",
    files=FILES,
    code="import steps\nask(steps.calling(steps.one))\n",
)
GROUP.row(
    "carried: what a captured function calls",
    edit("rates.py", "2 * 3", "2 * 4"),
    Expected(MISS, UNSEEN, UNSEEN, MISS),
    "only `repo_git` and `callable_deps` see another file",
    files={
        **FILES,
        "rates.py": "def growth():\n    return 2 * 3\n\n\ndef pay():\n    print(growth())\n",
    },
    code="import rates\nimport steps\nask(steps.calling(rates.pay))\n",
)
GROUP.row(
    "carried: the class of a bound object, a method that it calls in another module",
    edit("base.py", "2 * 3", "2 * 4"),
    Expected(MISS, UNSEEN, UNSEEN, MISS),
    "only `repo_git` and `callable_deps` see another file",
    files={
        "base.py": "class Base:\n    def rate(self):\n        return 2 * 3\n",
        "steps.py": (
            "from base import Base\n\n\nclass Model(Base):\n    def simulate(self):\n"
            "        print(self.rate())\n"
        ),
    },
    code="import steps\nask(steps.Model().simulate)\n",
)
GROUP.row(
    "carried: the class of a captured object, a method that the step calls",
    edit("plans.py", "self.base * 3", "self.base * 4"),
    Expected(MISS, UNSEEN, UNSEEN, MISS),
    "only `repo_git` and `callable_deps` see another file",
    files={
        "plans.py": """
        from dataclasses import dataclass


        @dataclass
        class Plan:
            base: int = 2

            def rate(self):
                return self.base * 3
        """,
        "steps.py": """
        def make(plan):
            def step():
                print(plan.rate())

            return step
        """,
    },
    code="import plans\nimport steps\nask(steps.make(plans.Plan()))\n",
)
GROUP.row(
    "carried: an object without an identity: a generator of random numbers, another seed",
    nothing,
    always(LISTED),
    "it cannot be compared; the run lists it",
    files=FILES,
    code="import random\nimport steps\nask(steps.above(random.Random(1)))\n",
    then="import random\nimport steps\nask(steps.above(random.Random(2)))\n",
    meta={"code_identity_unseen": "threshold"},
    deps_meta={"code_identity_unresolved": "threshold"},
)
