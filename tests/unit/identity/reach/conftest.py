"""Little projects whose steps are identified in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

# It has imported nothing but the library, and answers each question in a child of its own.
_SERVER = """
import importlib, json, os, sys
from consist.identity import LoadedSources
from consist.identity.reach import Reach

def answer(folder, place, paths):
    os.chdir(folder)
    sys.path[:0] = [folder, *paths]
    importlib.invalidate_caches()
    module, name = place.split(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    reached = Reach(folder, LoadedSources(folder)).of(found)
    return [reached.digest, dict(reached.parts), reached.unresolved]

sys.dont_write_bytecode = True
for line in sys.stdin:
    sys.stdout.flush()
    if os.fork() == 0:
        try:
            print("answer", json.dumps(answer(*json.loads(line))), flush=True)
        finally:
            os._exit(0)
    os.wait()
    print("end", flush=True)
"""


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


class Answer:
    """What identifies a callable, as a fresh process said."""

    def __init__(self, text: str) -> None:
        self.digest, parts, self.unresolved = json.loads(text)
        self.parts: dict[str, str] = parts


Look = Callable[..., Answer]


@pytest.fixture(scope="session")
def server() -> Iterator[subprocess.Popen[str]]:
    """Start what answers in fresh processes."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def look(tmp_path: Path, server: subprocess.Popen[str]) -> Look:
    """Return what identifies ``steps:step`` of a project in a fresh process."""
    count = 0

    def look(
        files: Mapping[str, str], place: str = "steps:step", paths: tuple[str, ...] = ()
    ) -> Answer:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        write(folder, files)
        return Answer(_ask(server, [str(folder), place, [str(folder / path) for path in paths]]))

    return look


def _ask(server: subprocess.Popen[str], question: Any) -> str:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(question) + "\n")
    server.stdin.flush()
    lines: list[str] = []
    for line in server.stdout:
        if line == "end\n":
            break
        lines.append(line)
    answers = [line for line in lines if line.startswith("answer ")]
    assert answers, "".join(lines)
    return answers[-1].removeprefix("answer ")
