"""Cases of what a step reaches: classes."""

from __future__ import annotations

from tests.acceptance.truth.shared import (
    ANOTHER_FILE,
    FAR,
    NEAR,
    SAME_FILE,
    Case,
)

CASES: list[Case] = [
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
            "steps.py": ("from models import Flow\n\n\ndef step():\n    print(Flow() + Flow())\n"),
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
]
