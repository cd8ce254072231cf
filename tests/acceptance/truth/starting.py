"""Starts the processes of the truth table.

Importing the library takes longer than most rows do, so most processes are made by a template that
has it imported; see :mod:`tests.acceptance.truth.template`. There are two templates, of different
hash seeds, and the processes of a row come from them in turn.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_TEMPLATE = Path(__file__).with_name("template.py")


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    output: str


class Started:
    """A process that was started with ``python -c`` or a script."""

    def __init__(
        self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, *argv], cwd=folder, env=environment, stdout=file, stderr=file
            )

    def wait(self, seconds: float) -> Ended:
        """Wait for its end."""
        return Ended(self._process.wait(seconds), self._log.read_text(errors="replace"))


class Made:
    """A process that a template became."""

    def __init__(
        self, template: Template, code: str, folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._logs = log.with_suffix(".out"), log.with_suffix(".err")
        self._end = template.order(
            {
                "code": code,
                "folder": str(folder),
                "environment": dict(environment),
                "output": str(self._logs[0]),
                "errors": str(self._logs[1]),
            }
        )

    def wait(self, seconds: float) -> Ended:
        """Wait for its end."""
        if not self._end.happened.wait(seconds):
            raise TimeoutError(f"a process did not end within {seconds:g} s")
        said = "".join(log.read_text(errors="replace") for log in self._logs if log.exists())
        return Ended(self._end.status, said)


class _End:
    def __init__(self) -> None:
        self.happened, self.status = threading.Event(), -1


class Template:
    """A process that has imported the library and makes others of itself."""

    def __init__(self, hash_seed: int) -> None:
        environment = {n: t for n, t in os.environ.items() if not n.startswith("CONSIST_")}
        environment |= {"PYTHONHASHSEED": str(hash_seed)}
        self._process = subprocess.Popen(
            [sys.executable, str(_TEMPLATE)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._numbers = itertools.count()
        self._ends: dict[int, _End] = {}
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        atexit.register(self.close)

    def order(self, order: dict[str, Any]) -> _End:
        """Have a process made; return what tells its end."""
        number, end = next(self._numbers), _End()
        self._ends[number] = end
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"number": number, **order}).encode() + b"\n")
        self._process.stdin.flush()
        return end

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            end = self._ends.pop(told["number"])
            end.status = told["status"]
            end.happened.set()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@functools.cache
def template(hash_seed: int) -> Template:
    """Return the template of a hash seed."""
    return Template(hash_seed)
