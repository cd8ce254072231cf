"""Real processes for the tests: Python code in a process of its own, spoken to over its pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[3]
PRELUDE = """
import os, sys, time, resource
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.store.worlds import *
folder = Path({folder!r})
def say(*words): print(*words, flush=True)
def wait(): sys.stdin.readline()
"""


def start(code: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    text = PRELUDE.format(root=str(ROOT), folder=str(folder)) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"},
        **options,  # type: ignore[call-overload]
    )


def finish(child: subprocess.Popen[str], timeout: float = 120) -> str:
    """Let a child go on to its end and return what it said."""
    out, err = child.communicate("\n" * 9, timeout=timeout)
    assert child.returncode == 0, f"child ended with {child.returncode}\n{out}\n{err}"
    return out


def run_child(code: str, folder: Path, **options: object) -> list[str]:
    """Run code in a process of its own and return the lines it said."""
    return finish(start(code, folder, **options)).splitlines()


@contextmanager
def child(code: str, folder: Path) -> Generator[subprocess.Popen[str]]:
    """Start a child and wait until it says its first line; end it in any case."""
    process = start(code, folder)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.communicate()[1]
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


HOLD = """
import duckdb
connection = duckdb.connect(str(folder / "db.duckdb"), read_only={read_only})
connection.execute("SELECT 1").fetchall()
say("held")
wait()
"""


def holding(folder: Path, *, read_only: bool = False) -> object:
    """Hold the database file open with a plain DuckDB connection of another process."""
    return child(HOLD.format(read_only=read_only), folder)
