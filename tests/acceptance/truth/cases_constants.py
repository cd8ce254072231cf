"""Cases of what a step reaches: constants, tables, registries."""

from __future__ import annotations

from tests.acceptance.truth.shared import (
    ANOTHER_FILE,
    FAR,
    NEAR,
    NOT_REACHED,
    RATES,
    SAME_FILE,
    UNUSED,
    Case,
)

CASES: list[Case] = [
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
            "steps.py": (
                "import patches\nimport rates\n\n\ndef step():\n    print(rates.growth())\n"
            ),
        },
        ("patches.py", "5 * 3", "5 * 4"),
        FAR,
    ),
]
