"""What importing the room costs, and what it exports."""

from __future__ import annotations

import json
import subprocess
import sys

import consist.identity

# What a user may have, and what only a value of that type needs.
ASLEEP = {"numpy", "pandas", "pydantic", "fractions", "subprocess"}


def test_importing_identity_wakes_nothing() -> None:
    script = "import consist.identity, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert not ASLEEP & set(json.loads(done.stdout))


def test_every_export_exists_and_is_documented() -> None:
    assert consist.identity.__all__ == sorted(consist.identity.__all__, key=sort_key)
    for name in consist.identity.__all__:
        exported = getattr(consist.identity, name)
        if callable(exported):
            assert exported.__doc__


def sort_key(name: str) -> tuple[int, str]:
    """Order names as the linter does: constants, classes, functions."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name
