"""Cases of what a step reaches: functions and decorators."""

from __future__ import annotations

from tests.acceptance.truth.row import MISS, Expected
from tests.acceptance.truth.shared import (
    ANOTHER_FILE,
    FAR,
    NEAR,
    NOT_REACHED_NEAR,
    RATES,
    SAME_FILE,
    UNUSED,
    Case,
)

CASES: list[Case] = [
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
            "steps.py": ("import rates\n\n\ndef step():\n    print(getattr(rates, 'growth')())\n"),
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
            "steps.py": ("import rates\n\n\ndef step(growth=rates.growth):\n    print(growth())\n"),
        },
        ("rates.py", "2 * 3", "2 * 4"),
        Expected(MISS, MISS, MISS, MISS),
    ),
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
]
