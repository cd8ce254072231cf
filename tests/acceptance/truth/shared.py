"""Projects, expectations and reasons that rows of several groups share."""

from __future__ import annotations

from typing import TypeAlias

from tests.acceptance.truth.row import BLUNT, HIT, MISS, UNSEEN, Expected

Case: TypeAlias = tuple[str, str, dict[str, str], tuple[str, str, str], Expected]
"""Name, reason, files, (file, old text, new text), and what must come of it."""

FAR = Expected(MISS, UNSEEN, UNSEEN, MISS)
"""Reached code in another file changed."""
NEAR = Expected(MISS, MISS, UNSEEN, MISS)
"""Reached code in the same file changed."""
NOT_REACHED = Expected(BLUNT, HIT, HIT, HIT)
"""Something else of the project changed."""
NOT_REACHED_NEAR = Expected(BLUNT, BLUNT, HIT, HIT)
"""Something else of the same file changed."""

ANOTHER_FILE = "only `repo_git` and `callable_deps` see another file"
SAME_FILE = "`callable_source` sees nothing outside the function"
UNUSED = "the step does not reach it"

RATES = """
def growth():
    return 2 * 3


def decline():
    return -1
"""
ONE_STEP = {"steps.py": "def step():\n    print(2 * 3)\n"}
TWO_FILES = {
    "rates.py": RATES,
    "steps.py": "from rates import growth\n\n\ndef step():\n    print(growth())\n",
}
