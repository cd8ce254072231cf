"""Measure things side by side, and say whether a goal is met.

Machines are noisy and differ from each other. So every figure stands beside a reference that was
measured in turn with it (A B A B), is a median over rounds, and comes with the processor time.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeAlias

_OWN_LOAD = 0.5

Unit: TypeAlias = Literal["s", "runs/s", "MB", "×", "runs"]
Work: TypeAlias = Callable[[], object]
Prepare: TypeAlias = Callable[[int], Work]
"""Gets the number of the round and returns what is to be timed in it."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 9
    calls: int = 50
    recorded_runs: int = 100_000
    few_files: int = 1_000
    many_files: int = 5_000
    file_rounds: int = 5
    steps: int = 200
    chain_rounds: int = 5
    processes: int = 4
    runs_each: int = 200
    asked: int = 1_000
    large_file: int = 200 * 2**20
    materialized_file: int = 2**31
    materialized_files: int = 10_000
    fresh: int = 9
    hits_in_memory: int = 20_000
    ingested_rows: int = 1_000_000
    viewed_runs: int = 200
    points: int = 1_000
    sweep_rounds: int = 3


FULL = Sizes()
QUICK = Sizes(
    rounds=5,
    calls=30,
    recorded_runs=10_000,
    asked=200,
    chain_rounds=3,
    fresh=5,
    hits_in_memory=5_000,
    materialized_file=200 * 2**20,
    points=200,
)
SMOKE = Sizes(
    rounds=1,
    calls=2,
    recorded_runs=20,
    few_files=3,
    many_files=6,
    file_rounds=1,
    steps=3,
    chain_rounds=1,
    processes=2,
    runs_each=3,
    asked=2,
    large_file=2**20,
    materialized_file=2**20,
    materialized_files=5,
    fresh=1,
    hits_in_memory=20,
    ingested_rows=1_000,
    viewed_runs=2,
    points=5,
    sweep_rounds=1,
)


# ---------------------------------------------------------------- what comes out


@dataclass(frozen=True)
class Goal:
    """A promise, and whether it was kept."""

    text: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    work : str
        What was done.
    ours : float
        Median of what it took, in ``unit``.
    cpu : float or None
        The same in seconds of the processor, of all threads.
    reference : str
        What it was measured beside.
    theirs : float or None
        Median of the reference, in ``unit``.
    ratio : float or None
        Median over the rounds of ours to theirs; by default that of the medians.
    """

    work: str
    ours: float
    unit: Unit = "s"
    cpu: float | None = None
    reference: str = ""
    theirs: float | None = None
    ratio: float | None = None
    goals: Sequence[Goal] = ()

    @property
    def compared(self) -> float | None:
        """Ours to theirs."""
        if self.ratio is not None or not self.theirs:
            return self.ratio
        return self.ours / self.theirs


def at_most(value: float, limit: float, unit: Unit = "s") -> Goal:
    return Goal(f"≤ {shown(limit, unit)}", value <= limit)


def at_least(value: float, limit: float, unit: Unit) -> Goal:
    return Goal(f"≥ {shown(limit, unit)}", value >= limit)


def at_most_times(ratio: float, limit: float) -> Goal:
    return Goal(f"≤ {limit:g}×", ratio <= limit)


def shown(value: float, unit: Unit) -> str:
    """Return a value as people read it."""
    if unit != "s":
        return f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
    for name, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


# ---------------------------------------------------------------- in this process


@dataclass
class Samples:
    """Seconds per unit of work, one value for each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def timed(self, units: int = 1) -> Iterator[None]:
        """Add what a block takes, divided by ``units``."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.append((time.perf_counter() - wall) / units)
        self.cpu.append((time.process_time() - cpu) / units)

    @property
    def seconds(self) -> float:
        """Median by the clock on the wall."""
        return median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median of processor time."""
        return median(self.cpu)

    @property
    def judged(self) -> float:
        """What goals are held against: the clock, or processor time where others crowd us."""
        return min(self.seconds, self.cpu_seconds) if crowded() else self.seconds

    def over(self, other: Samples) -> float:
        """Return the median over the rounds of this to the other."""
        return median(a / b for a, b in zip(self.wall, other.wall, strict=True))

    def beyond(self, other: Samples) -> Samples:
        """Return what this takes more than the other, round by round."""
        return Samples(
            [a - b for a, b in zip(self.wall, other.wall, strict=True)],
            [a - b for a, b in zip(self.cpu, other.cpu, strict=True)],
        )


def crowded() -> bool:
    """Whether so much else runs on this machine that the clock says little about our work."""
    return os.getloadavg()[0] > (os.cpu_count() or 1) + _OWN_LOAD


def alternate(sides: Mapping[str, Prepare], rounds: int, units: int = 1) -> dict[str, Samples]:
    """Time each side once a round, in turn; one round before the first does not count.

    Parameters
    ----------
    sides : mapping of str to Prepare
        What is compared.
    rounds : int
        How often.
    units : int, default 1
        By how much the times of a round are divided.
    """
    found = {name: Samples() for name in sides}
    for number in range(rounds + 1):
        for name, prepare in sides.items():
            work = prepare(number)
            gc.collect()
            with (found[name] if number else Samples()).timed(units):
                work()
    return found


def calls(function: Callable[[int], object], count: int) -> Prepare:
    """Return a side that calls ``function`` so many times, with a number that never recurs."""

    def prepare(number: int) -> Work:
        def work() -> None:
            for index in range(number * count, (number + 1) * count):
                function(index)

        return work

    return prepare


# ---------------------------------------------------------------- in fresh processes


@dataclass(frozen=True)
class Ended:
    """A process that ended well: what it took, and what it printed as JSON."""

    wall: float
    cpu: float
    said: Any


def environment() -> dict[str, str]:
    """Return the environment of measured processes: bytecode is written and used."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def fresh(command: Sequence[str], folder: Path) -> Ended:
    """Run a command in a process of its own, and decode its last line.

    Raises
    ------
    RuntimeError
        With what it wrote to its standard error, if it fails.
    """
    began, used = time.perf_counter(), _used_by_children()
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    wall, cpu = time.perf_counter() - began, _used_by_children() - used
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return Ended(wall, cpu, decoded(done.stdout))


def decoded(output: str) -> Any:
    """Return the JSON of the last line, ``None`` if there is none."""
    lines = output.strip().splitlines()
    try:
        return json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def alternate_fresh(
    commands: Mapping[str, Sequence[str]], folder: Path, rounds: int
) -> dict[str, list[Ended]]:
    """Run each command once a round, in turn; the round before the first compiles."""
    found: dict[str, list[Ended]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            ended = fresh(command, folder)
            if number:
                found[name].append(ended)
    return found


def samples(ended: Sequence[Ended]) -> Samples:
    """Return the times of whole processes."""
    return Samples([one.wall for one in ended], [one.cpu for one in ended])


def said(ended: Sequence[Ended], name: str) -> float:
    """Return the median of a value that processes printed."""
    return median(one.said[name] for one in ended)


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
