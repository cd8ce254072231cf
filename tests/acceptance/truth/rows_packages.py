"""Rows: packages, and code that is looked up by name."""

from __future__ import annotations

import os
import shutil

from tests.acceptance.truth.project import Change, Project, edit, write
from tests.acceptance.truth.row import (
    HIT,
    LISTED,
    MISS,
    UNSEEN,
    Expected,
    Group,
    always,
    error,
    nothing,
)
from tests.acceptance.truth.shared import ONE_STEP

GROUP = Group(
    "Packages, and code that is looked up by name",
    "Of other people's packages `callable_deps` counts the version of those that are named. What "
    "cannot be followed is listed on the run, and can be added with `code_identity_extra_deps`.",
)

# ---------------------------------------------------------------- packages


CODE = """
def growth():
    return 2 * 3


class Base:
    def rate(self):
        return growth()
"""


def _package(
    version: str, text: str, name: str = "growthlib", module: str = "growthlib"
) -> dict[str, str]:
    info = f"{name}-{version}.dist-info"
    return {
        f"{module}/__init__.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/RECORD": f"{module}/__init__.py,,\n{info}/METADATA,,\n",
        f"{info}/top_level.txt": f"{module}\n",
        f"{info}/INSTALLER": "pip\n",
    }


def _upgrade(name: str = "growthlib", module: str = "growthlib") -> Change:
    def change(project: Project) -> None:
        shutil.rmtree(project.installed / f"{name}-1.0.dist-info")
        project.fill(
            _package("1.1", CODE.replace("2 * 3", "2 * 4"), name, module), project.installed
        )

    return change


LIBRARY = _package("1.0", CODE)
NAMED = Expected(UNSEEN, UNSEEN, UNSEEN, MISS)
USES = "import growthlib\n\n\ndef step():\n    print(growthlib.growth())\n"
for name, files, why in [
    ("a package that the step names", {"steps.py": USES}, "its version counts"),
    (
        "a package that the step imports inside",
        {"steps.py": "def step():\n    from growthlib import growth\n\n    print(growth())\n"},
        "its version counts",
    ),
    (
        "a package that a helper names, in another module",
        {
            "rates.py": "from growthlib import growth\n\n\ndef rate():\n    return growth()\n",
            "steps.py": "import rates\n\n\ndef step():\n    print(rates.rate())\n",
        },
        "its version counts",
    ),
    (
        "a package whose class is the base of an own class",
        {
            "models.py": (
                "from growthlib import Base\n\n\nclass Model(Base):\n    name = 'model'\n"
            ),
            "steps.py": "from models import Model\n\n\ndef step():\n    print(Model().rate())\n",
        },
        "its version counts",
    ),
]:
    GROUP.row(f"{name}: another version", _upgrade(), NAMED, why, files=files, installed=LIBRARY)
GROUP.row(
    "a package that the step names: its distribution has another name",
    _upgrade("Growth-Lib".replace("-", "_"), "growthlib"),
    NAMED,
    "the distribution is found that has the module",
    files={"steps.py": USES},
    installed=_package("1.0", CODE, "Growth_Lib", "growthlib"),
)
GROUP.row(
    "a package that nobody names: another version",
    _upgrade(),
    always(HIT),
    "the step does not reach it",
    files=ONE_STEP,
    installed=LIBRARY,
)
GROUP.row(
    "modules of the standard library are named",
    nothing,
    always(HIT),
    "a new process is no change",
    files={
        "steps.py": """
        import json
        import math
        from collections import Counter
        from datetime import date


        def step():
            print(json.dumps({"x": math.pi}), Counter("aab"), date(2030, 1, 1))
        """
    },
)

# ---------------------------------------------------------------- looked up by name

DYNAMIC = {
    "rates_low.py": CODE,
    "steps.py": """
    import importlib


    def step(kind="low"):
        print(importlib.import_module("rates_" + kind).growth())
    """,
}
GROUP.row(
    "a module that is imported by a computed name",
    edit("rates_low.py", "2 * 3", "2 * 4"),
    (MISS, UNSEEN, UNSEEN, LISTED),
    "nobody can tell which module it will be; the run lists it",
    files=DYNAMIC,
    deps_meta={"code_identity_unresolved": "import_module"},
)
_WITH = """
from consist import CacheOptions
import steps
ask(steps.step, cache_options=CacheOptions(code_identity_extra_deps=[{path!r}]))
"""
GROUP.row(
    "a module that is imported by a computed name, with `code_identity_extra_deps`",
    edit("rates_low.py", "2 * 3", "2 * 4"),
    always(MISS),
    "added by hand, it counts in every mode",
    files=DYNAMIC,
    code=_WITH.format(path="rates_low.py"),
)
GROUP.row(
    "code that is made of text: `exec`",
    edit("formula.txt", "2 * 3", "2 * 4"),
    (MISS, UNSEEN, UNSEEN, LISTED),
    "nobody can tell what will be executed; the run lists it",
    files={
        "formula.txt": "print(2 * 3)\n",
        "steps.py": (
            "from pathlib import Path\n\n\ndef step():\n    exec(Path('formula.txt').read_text())\n"
        ),
    },
    deps_meta={"code_identity_unresolved": "exec"},
)
READS = {
    "coefficients.yaml": "cost: -0.3\n",
    "tables/am.csv": "1\n",
    "steps.py": """
    from pathlib import Path


    def step():
        print(Path("coefficients.yaml").read_text(), Path("tables/am.csv").read_text())
    """,
}
for name, path, change in [
    ("a file", "coefficients.yaml", edit("coefficients.yaml", "-0.3", "-0.4")),
    ("a file in a folder", "tables", edit("tables/am.csv", "1", "2")),
    ("a new file in a folder", "tables", write("tables/pm.csv", "2\n")),
]:
    GROUP.row(
        f"`code_identity_extra_deps`: {name}",
        change,
        always(MISS),
        "added by hand, it counts in every mode",
        files=READS,
        code=_WITH.format(path=path),
    )
GROUP.row(
    "`code_identity_extra_deps`: the file is only touched",
    lambda project: os.utime(project.root / "coefficients.yaml"),
    always(HIT),
    "its content counts",
    files=READS,
    code=_WITH.format(path="coefficients.yaml"),
)
GROUP.row(
    "`code_identity_extra_deps`: the file is gone",
    lambda project: (project.root / "coefficients.yaml").unlink(),
    always(error(FileNotFoundError, "coefficients.yaml")),
    "a missing file is never taken for an empty answer",
    files=READS,
    code=_WITH.format(path="coefficients.yaml"),
)
