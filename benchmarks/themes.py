"""What can be measured, by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from benchmarks import (
    chains,
    cold,
    copies,
    hits,
    identity,
    ingesting,
    many_files,
    misses,
    processes,
    questions,
    sweeps,
    views,
)
from benchmarks.harness import Figure, Sizes

Theme: TypeAlias = Callable[[Sizes, Path], Iterator[Figure]]

THEMES: Mapping[str, Theme] = {
    "hit": hits.warm,
    "miss": misses.miss,
    "first-hit": cold.first_hit,
    "imports": cold.imports,
    "help": cold.command_line,
    "log-artifacts": many_files.log_artifacts,
    "one-by-one": many_files.one_by_one,
    "scenario": chains.scenario,
    "processes": processes.together,
    "sweeps": sweeps.sweeps,
    "questions": questions.questions,
    "explain": questions.explain,
    "signature": identity.signatures,
    "large-file": identity.large_file,
    "materialize": copies.materialize,
    "memory": hits.memory,
    "ingest": ingesting.ingest,
    "views": views.views,
}
