"""A row of the truth table: a small project, a change, and what must come of it in every mode."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.acceptance.truth.project import Change, Project

MODES = ("repo_git", "callable_module", "callable_source", "callable_deps")


class Outcome(NamedTuple):
    """What comes of a process.

    Attributes
    ----------
    kind : {"hit", "miss", "error", "killed", "done"}
        ``"done"`` is a hit or a miss.
    printed : str
        How the page says it.
    error : str
        Class of the error, one of its bases, or the builtin that it is.
    says : tuple of str
        What the error, with its notes, has to name.
    """

    kind: str
    printed: str
    error: str = ""
    says: tuple[str, ...] = ()


HIT = Outcome("hit", "hit")
MISS = Outcome("miss", "miss")
UNSEEN = Outcome("hit", "hit (cannot see)")
"""A hit that the documentation announces, although the result may differ."""
BLUNT = Outcome("miss", "miss (needless)")
"""A miss that the documentation announces, although the result is the same."""
LISTED = Outcome("hit", "hit (listed)")
"""A hit although the result may differ: the run tells what could not be followed."""
DONE = Outcome("done", "either")
"""Of several processes at once, whoever is later may be given what the other one did."""
KILLED = Outcome("killed", "killed")


def error(kind: type[BaseException], *says: str) -> Outcome:
    """Return the outcome that is an error of ours, which names what it is about."""
    return Outcome("error", f"error: {kind.__name__}", kind.__name__, says)


class Expected(NamedTuple):
    """What must come of a process, by mode; in the order of the page's columns."""

    repo_git: Outcome
    callable_module: Outcome
    callable_source: Outcome
    callable_deps: Outcome


def always(outcome: Outcome) -> Expected:
    """Expect the same in every mode."""
    return Expected(outcome, outcome, outcome, outcome)


def nothing(_project: Project) -> None:
    """Change nothing."""


RUN = "import steps\nask(steps.step)\n"


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of a row.

    Attributes
    ----------
    expected : Expected
        What must come of it.
    change : callable
        What happens before it starts.
    code : str
        What it executes, below ``from asking import *``.
    argv : tuple of str or None
        What Python is started with instead.
    environment : mapping
        Variables that it has beside the usual ones.
    meta, deps_meta : mapping
        What its run must have recorded, and what instead in ``callable_deps``: key → value, or a
        text that is in it, or ``None`` for nothing.
    times : int
        How many such processes start at once.
    """

    expected: Expected
    change: Change = nothing
    code: str = RUN
    argv: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)
    deps_meta: Mapping[str, object] = field(default_factory=dict)
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        What is changed between the processes.
    why : str
        The reason of what must happen.
    processes : tuple of Process
        In order; what must come of the last one is printed.
    files : mapping
        Of the project, under git; path → text.
    data : mapping
        Files that lie in the project and that nobody gave to git.
    outside : mapping
        Files beside the project, in a folder on ``PYTHONPATH``.
    installed : mapping
        Files of packages, in a folder called ``site-packages`` on ``PYTHONPATH``.
    git : bool
        Whether the project is a repository.
    apart : bool
        Whether every mode has a project and processes of its own.
    shown : int
        Which process the page shows.
    closes : bool
        Whether the processes close their trackers.
    slow : bool
        Whether it belongs to the campaigns.
    shares : str or None
        Rows that share this word, and change nothing but what they ask for, are asked in the same
        two processes, each under a model of its own.
    """

    name: str
    why: str
    processes: tuple[Process, ...]
    files: Mapping[str, str]
    data: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)
    git: bool = True
    apart: bool = False
    shown: int = -1
    closes: bool = False
    slow: bool = False
    shares: str | None = None

    @property
    def id(self) -> str:
        """Name for a test."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def title(self) -> str:
        """Name for the page: without the word that tells groups apart."""
        return re.sub(
            r"^(carried|config|field|input|upstream|output|run|mode|record): ", "", self.name
        )

    @property
    def expected(self) -> Expected:
        """What must come of the process that the page shows."""
        return self.processes[self.shown].expected


@dataclass(frozen=True)
class Group:
    """Rows that belong together, with a sentence that opens them."""

    title: str
    opening: str
    rows: list[Row] = field(default_factory=list)

    def row(
        self,
        name: str,
        change: Change,
        expected: Expected | tuple[Outcome, Outcome, Outcome, Outcome],
        why: str,
        *,
        files: Mapping[str, str],
        code: str = RUN,
        then: str | None = None,
        between: Sequence[Process] = (),
        first: Outcome = MISS,
        meta: Mapping[str, object] = MappingProxyType({}),
        deps_meta: Mapping[str, object] = MappingProxyType({}),
        begin: Process | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        argv: tuple[str, ...] | None = None,
        times: int = 1,
        **options: Any,
    ) -> None:
        """Add a row of a first process, ``between`` processes and a last one.

        Parameters
        ----------
        name, why, files
            See :class:`Row`, as for further ``options``.
        change
            What happens before the last process.
        expected
            What must come of the last process.
        code, then
            What the first and the last one execute; ``then`` is ``code`` if left out.
        between
            Processes between the two.
        first
            What must come of the first one.
        begin
            The first process, where it differs in more than that.
        environment, argv, times
            Of the last process, see :class:`Process`.
        meta, deps_meta
            What the last run must have recorded, and what instead in ``callable_deps``.
        """
        start = begin or Process(expected=always(first), code=code)
        last = Process(
            expected=Expected(*expected),
            change=change,
            code=code if then is None else then,
            meta=meta,
            deps_meta=deps_meta,
            environment=environment,
            argv=argv,
            times=times,
        )
        processes = (start, *between, last)
        self.rows.append(Row(name=name, why=why, processes=processes, files=files, **options))

    def alone(
        self,
        name: str,
        expected: Expected | tuple[Outcome, Outcome, Outcome, Outcome],
        why: str,
        *,
        files: Mapping[str, str],
        code: str,
        **options: Any,
    ) -> None:
        """Add a row of one process, in which everything happens."""
        process = Process(expected=Expected(*expected), code=code)
        self.rows.append(Row(name=name, why=why, processes=(process,), files=files, **options))
