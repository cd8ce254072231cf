"""What ``callable_deps`` sees of a project, and what it does not.

Every case is a small project, whose identity is taken in a process of its own before and after one
change.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

STEPS = """
\"\"\"Steps of the model.\"\"\"
import logging
import os

import numpy as np

import helpers.trips as trips
from helpers import clean as _clean
from helpers.rates import RATE, TABLE
from stars import *

log = logging.getLogger(__name__)
SHARE = float(os.environ.get("SHARE", "0.5"))
calls = []


class Base:
    \"\"\"What models share.\"\"\"

    def total(self):
        return trips.count(3)


class Model(Base):
    rate = 2

    def run(self):
        calls.append(1)
        return self.total() * self.rate


def unused():
    return 1


def decorate(function):
    return function


@decorate
def step(raw, scale=1):
    # a comment
    from lazily import late

    log.info("running")
    value = np.mean([_clean(item) for item in raw]) * RATE * SHARE
    return value + TABLE["a"](1) + Model().run() + late() + from_star()


def make(threshold):
    def inner(raw):
        return [item for item in raw if item > threshold and trips.count(item)]

    return inner


short = lambda raw: trips.count(raw)  # noqa
"""
FILES = {
    "steps.py": STEPS,
    "helpers/__init__.py": "from .core import clean\n",
    "helpers/core.py": """
def _prepare(value):
    return value

def clean(value):
    return _prepare(value)

def unused(value):
    return value
""",
    "helpers/rates.py": """
def first(value):
    return value

def second(value):
    return value

RATE = 0.5
TABLE = {"a": first}
TABLE["b"] = second
""",
    "helpers/trips.py": "def count(value):\n    return value * 2\n",
    "lazily.py": "def late():\n    return 1\n\ndef never():\n    return 2\n",
    "stars.py": "def from_star():\n    return 1\n\ndef not_named():\n    return 1\n",
    "elsewhere.py": "def nobody_calls():\n    return 1\n",
}
ASK = """
import json, sys
sys.path.insert(0, ".")
import steps
from consist.identity import CodeIdentity

roots = {"step": steps.step, "closure": steps.make(3), "lambda": steps.short,
         "method": steps.Model().run, "class": steps.Model}
identity = CodeIdentity(".")
seen = {}
for name, root in roots.items():
    digest, reach = (found := identity.of(root, "callable_deps")).digest, found.reach
    seen[name] = [digest, sorted(reach.parts), dict(reach.packages), reach.unresolved]
print(json.dumps(seen))
"""


class Seen(NamedTuple):
    digest: str
    parts: list[str]
    packages: dict[str, str]
    unresolved: list[str]


def look(project: Path, **environment: str) -> dict[str, Seen]:
    done = subprocess.run(
        [sys.executable, "-B", "-c", ASK],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: Seen(*values) for name, values in json.loads(done.stdout).items()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content))
    return tmp_path


def edit(project: Path, name: str, old: str, new: str) -> None:
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new))


def test_all_own_code_that_is_named_is_reached_and_nothing_else(project: Path) -> None:
    seen = look(project)["step"]
    assert seen.parts == [
        "helpers.core._prepare",
        "helpers.core.clean",
        "helpers.rates.first",
        "helpers.rates.second",
        "helpers.trips.count",
        "lazily.late",
        "stars.from_star",
        "steps.Base",
        "steps.Model",
        "steps.calls",
        "steps.decorate",
        "steps.log",
        "steps.step",
    ]
    assert sorted(seen.packages) == ["logging", "numpy"]
    assert seen.unresolved == []


def test_two_processes_agree(project: Path) -> None:
    assert look(project) == look(project)


REACHED = {
    "the function itself": ("steps.py", "* RATE", "* 2 * RATE"),
    "its default": ("steps.py", "scale=1", "scale=2"),
    "its decorator": ("steps.py", "    return function\n", "    print()\n    return function\n"),
    "a helper in another module": ("helpers/core.py", "return _prepare", "return 2 * _prepare"),
    "a helper of a helper": (
        "helpers/core.py",
        "    return value\n\ndef clean",
        "    return -value\n\ndef clean",
    ),
    "a re-export": (
        "helpers/__init__.py",
        "from .core import clean",
        "from .rates import first as clean",
    ),
    "a constant": ("helpers/rates.py", "RATE = 0.5", "RATE = 0.6"),
    "a function in a table": (
        "helpers/rates.py",
        "def first(value):\n    return value",
        "def first(value):\n    return 3",
    ),
    "what a table holds": ("helpers/rates.py", '"a": first', '"a": second'),
    "a class": ("steps.py", "rate = 2", "rate = 3"),
    "a method": ("steps.py", "return self.total() *", "return 2 * self.total() *"),
    "a base class": ("steps.py", "return trips.count(3)", "return trips.count(4)"),
    "a module that a base class uses": ("helpers/trips.py", "value * 2", "value * 3"),
    "what is imported inside": ("lazily.py", "return 1", "return 3"),
    "what a star brings": (
        "stars.py",
        "def from_star():\n    return 1",
        "def from_star():\n    return 5",
    ),
    "which package a name stands for": (
        "steps.py",
        "import numpy as np",
        "import statistics as np",
    ),
}


@pytest.mark.parametrize("case", REACHED)
def test_a_change_of_what_is_reached_is_another_identity(project: Path, case: str) -> None:
    before = look(project)["step"].digest
    edit(project, *REACHED[case])
    assert look(project)["step"].digest != before


IRRELEVANT = {
    "a comment": ("steps.py", "# a comment", "# another one"),
    "a docstring": ("steps.py", "What models share.", "What all models share."),
    "the module's docstring": ("steps.py", "Steps of the model.", "Steps."),
    "layout": ("steps.py", 'TABLE["a"](1) + Model()', "TABLE['a'](\n        1\n    ) + Model()"),
    "lines above": ("steps.py", "import logging", "\n\n\nimport logging"),
    "a function nobody names": (
        "steps.py",
        "def unused():\n    return 1",
        "def unused():\n    return 2",
    ),
    "one in a helper module": (
        "helpers/core.py",
        "def unused(value):\n    return value",
        "def unused(value):\n    return 3",
    ),
    "one beside what is imported inside": ("lazily.py", "return 2", "return 3"),
    "one that a star brings": (
        "stars.py",
        "def not_named():\n    return 1",
        "def not_named():\n    return 5",
    ),
    "a module nobody imports": ("elsewhere.py", "return 1", "return 2"),
    "how a constant is written": ("helpers/rates.py", "RATE = 0.5", "RATE = 1 / 2"),
    "an import nobody uses": ("steps.py", "import os\n", "import os\nimport string\n"),
}


@pytest.mark.parametrize("case", IRRELEVANT)
def test_a_change_of_anything_else_is_the_same_identity(project: Path, case: str) -> None:
    before = look(project)["step"].digest
    edit(project, *IRRELEVANT[case])
    assert look(project)["step"].digest == before


def test_a_constant_that_is_made_at_import_counts_by_its_value(project: Path) -> None:
    same = look(project, SHARE="0.50")["step"].digest
    assert look(project)["step"].digest == same
    assert look(project, SHARE="0.6")["step"].digest != same


@pytest.mark.parametrize("root", ["closure", "lambda", "method", "class"])
def test_every_kind_of_callable_reaches_what_it_names(project: Path, root: str) -> None:
    before = look(project)[root]
    assert "helpers.trips.count" in before.parts
    assert before.unresolved == []
    edit(project, "helpers/trips.py", "value * 2", "value * 3")
    assert look(project)[root].digest != before.digest
    edit(project, "helpers/trips.py", "value * 3", "value * 2")
    edit(project, "helpers/core.py", "return _prepare", "return 2 * _prepare")
    assert look(project)[root].digest == before.digest


UNRESOLVED = {
    "exec()": "exec('x = 1')",
    "import_module()": "__import__('importlib').import_module(str(raw))",
    "nobody": "nobody(raw)",
    "helpers.trips.missing": "trips.missing(raw)",
    "absent_module": "import absent_module",
}


@pytest.mark.parametrize("what", UNRESOLVED)
def test_what_cannot_be_followed_is_listed(project: Path, what: str) -> None:
    edit(project, "steps.py", "    # a comment", f"    {UNRESOLVED[what]}")
    assert any(what in line for line in look(project)["step"].unresolved)


def test_data_held_by_a_module_is_listed(project: Path) -> None:
    edit(project, "steps.py", "calls = []", "import io\ncalls = []\nDATA = io.StringIO('data')")
    edit(project, "steps.py", "    # a comment", "    DATA.read()")
    assert look(project)["step"].unresolved == ["steps.DATA is a StringIO"]


def test_a_module_that_is_passed_on_counts_as_a_whole(project: Path) -> None:
    edit(project, "steps.py", "    # a comment", "    getattr(trips, raw)")
    before = look(project)["step"]
    assert "helpers.trips.*" in before.parts
    edit(project, "helpers/trips.py", "value * 2", "value * 2\n\ndef new():\n    return 1")
    assert look(project)["step"].digest != before.digest


def test_a_replaced_function_is_listed_and_followed(project: Path) -> None:
    edit(project, "helpers/__init__.py", "clean\n", "clean\nfrom . import core, patch\n")
    (project / "helpers/patch.py").write_text(
        "from . import core\n\ndef better(value):\n    return 2\n\ncore._prepare = better\n"
    )
    before = look(project)["step"]
    assert any("_prepare was replaced" in line for line in before.unresolved)
    edit(project, "helpers/patch.py", "return 2", "return 3")
    assert look(project)["step"].digest != before.digest
