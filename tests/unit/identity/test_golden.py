"""Digests that are recorded in people's databases, pinned.

Whoever changes one of them on purpose raises the version of its kind in
``consist.identity.canonical.VERSIONS`` and writes the new value into
``tests/golden/identity.json``.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pydantic
import pytest

from consist.identity import (
    VERSIONS,
    InputIdentity,
    LoadedSources,
    RunFields,
    callable_source,
    carried_values,
    code_digest,
    config_digest,
    content_digest,
    digest,
    directory_digest,
    encode,
    fast_digest,
    file_digest,
    inputs_digest,
    repo_git,
    signature,
)
from consist.identity.carried import Carried
from consist.identity.reach import Reach

GOLDEN: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "identity.json").read_text("utf-8")
)


class Mode(enum.Enum):
    CAR = "car"


@dataclass
class Zone:
    name: str
    area: float


class Settings(pydantic.BaseModel):
    rate: float = 0.5
    token: pydantic.SecretStr = pydantic.SecretStr("hunter2")


Point = namedtuple("Point", "x y")  # noqa: PYI024

VALUES: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -7, 10**30, 1 << 2100],
    "floats": [0.1, 1.0, -0.0, 1e22, 5e-324, float("nan"), float("inf"), float("-inf")],
    "decimals": [decimal.Decimal("0.1"), decimal.Decimal("1E+200000"), decimal.Decimal("2.50")],
    "fraction": fractions.Fraction(1, 3),
    "complex": [1j, 2 + 0j],
    "text": ["", 'ü😀\n"\\', "\ud800"],
    "bytes": b"\x00\xff",
    "containers": [(1, [2]), {"b": 1, "a": {}}, {3, 1, 2}],
    "keys": {1: "a", "1": "b", None: "c", (1, 2): "d"},
    "dollar": {"$path": "a"},
    "path": PurePosixPath("a/b.csv"),
    "times": [
        dt.date(2030, 1, 2),
        dt.datetime(2030, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
        dt.datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        dt.time(1, 2, 3),
        dt.time(1, 2, 3, tzinfo=dt.UTC),
        dt.timedelta(days=1, microseconds=1),
    ],
    "uuid": uuid.UUID(int=7),
    "ranges": [range(0), range(1), range(0, 10, 3)],
    "enum": Mode.CAR,
    "dataclass": Zone("a", 1.5),
    "model": Settings(),
    "namedtuple": Point(1, 2),
    "arrays": [np.arange(3, dtype="i4"), np.array([[0.5]]), np.array(["a", None], dtype=object)],
    "scalars": [np.int8(1), np.float32(0.1), np.datetime64("2030-01-02", "s")],
}
TRIPS = InputIdentity("d1", "s1", name="trips", key="trips", driver="parquet")
RATES = InputIdentity("d2", key="rates", table_path="/t")

DIGESTS: dict[str, Callable[[], str | None]] = {
    "signature": lambda: signature("c", "f", "i"),
    "digest": lambda: digest("run", "c", {"a": 1}, None),
    "config": lambda: config_digest(
        {"a": 1},
        RunFields("m", 2030, 1, 2, 3),
        identity_inputs={"skims": "d"},
        adapter="x",
        binding={"trips": "loaded"},
    ),
    "config: empty": lambda: config_digest(None),
    "inputs": lambda: inputs_digest([TRIPS, RATES]),
    "inputs: empty": lambda: inputs_digest([]),
    "content": lambda: content_digest([TRIPS, RATES]),
    "code": lambda: code_digest(
        "repo_git", "v", "steps.clean", "s", Carried({"default.n": "x"}), (("a.py", "d"),)
    ),
}


def written(folder: Path) -> Path:
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a")
    (folder / "sub" / "b.txt").write_bytes(b"b")
    (folder / "link").symlink_to("nowhere")
    os.utime(folder / "a.txt", ns=(0, 1_700_000_000_000_000_000))
    return folder


@pytest.mark.parametrize("name", VALUES)
def test_a_spelling_is_what_it_was(name: str) -> None:
    assert encode(VALUES[name]).decode("utf-8", "surrogatepass") == GOLDEN["values"][name]


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_is_what_it_was(name: str) -> None:
    assert DIGESTS[name]() == GOLDEN["digests"][name]


def test_digests_of_files_are_what_they_were(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder")
    assert {
        "file": file_digest(folder / "a.txt"),
        "fast": fast_digest((folder / "a.txt").stat()),
        "directory": directory_digest(folder),
    } == GOLDEN["files"]


def test_the_identity_of_code_is_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "steps.py").write_text("def step(n=3):\n    return n\n\n\nx = 1\n")
    commit(folder)
    spec = importlib.util.spec_from_file_location("golden_steps", folder / "steps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    clean = repo_git(folder)
    (folder / "steps.py").write_text("changed")
    assert {
        "source": callable_source(module.step),
        "carried": carried_values(module.step).values["default.n"],
        "repo": clean,
        "repo: changed": repo_git(folder),
    } == GOLDEN["code"]


_REACHED = """
import re
RATE, TABLE = 0.5, {"a": [1, None]}
PATTERN = re.compile("x")


class Model:
    n = 1

    def run(self):
        return helper(self.n)


def helper(x: int, *, y: float = 2.0) -> str:
    return f"{x!r:>3} {TABLE} {RATE}" if PATTERN.match("x") else lambda: 1


def step(model=Model()):
    return model.run()
"""


def test_what_a_callable_reaches_is_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "golden_reached.py"
    file.write_text(_REACHED)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("golden_reached")
    monkeypatch.setitem(sys.modules, "golden_reached", module)  # so that it is taken out again
    found = Reach(tmp_path, LoadedSources(tmp_path)).of(module.step)
    assert dict(found.parts) == GOLDEN["reached"]


def commit(folder: Path) -> None:
    """Make a commit whose id is always the same."""
    when = "2030-01-02T03:04:05+00:00"
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_DATE": when,
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "A"),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "a@example.org"),
    }
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], env=environment, check=True)


def test_nothing_is_pinned_that_is_not_asked_for() -> None:
    assert GOLDEN["values"].keys() == VALUES.keys()
    assert GOLDEN["digests"].keys() == DIGESTS.keys()
    assert GOLDEN["versions"] == VERSIONS
