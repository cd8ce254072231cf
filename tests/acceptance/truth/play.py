"""Plays a row: makes the project, starts its processes, and compares what came of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from tests.acceptance.truth.project import Project
from tests.acceptance.truth.row import MODES, Outcome, Process, Row
from tests.acceptance.truth.starting import Made, Started, template

ROOT = Path(__file__).parents[3]
_INSIDE = Path(__file__).with_name("inside")
_ORDER = " ".join(sorted(MODES, key=lambda mode: mode != "callable_deps"))
_KILLED = -9
_LONGEST = 300  # seconds; half a second on a machine that has nothing else to do

Answers = dict[str, list[dict[str, Any]]]


def play(row: Row, place: Path) -> list[Answers]:
    """Return, for every process of a row, the answers by mode."""
    if not row.apart:
        return _play(row, place, _ORDER)
    played = [_play(row, place / mode, mode) for mode in _ORDER.split()]
    return [
        {mode: answers for found in same for mode, answers in found.items()}
        for same in zip(*played, strict=True)
    ]


def play_together(together: list[Row], place: Path) -> dict[str, list[Answers]]:
    """Play rows that share their processes; return for each id what :func:`play` returns."""
    first = together[0]
    processes = tuple(
        replace(
            same[0],
            code="\n".join(
                f"with answering({row.id!r}):\n{indent(dedent(process.code), '    ')}"
                for row, process in zip(together, same, strict=True)
            ),
        )
        for same in zip(*(row.processes for row in together), strict=True)
    )
    played = _play(replace(first, processes=processes), place, _ORDER)
    return {
        row.id: [
            {
                mode: [answer for answer in found if answer["row"] == row.id]
                for mode, found in answers.items()
            }
            for answers in played
        ]
        for row in together
    }


def _play(row: Row, place: Path, modes: str) -> list[Answers]:
    project = Project(place)
    project.fill(row.files)
    project.fill(row.outside, project.outside)
    project.fill(row.installed, project.installed)
    if row.git:
        project.begin_repository()
    project.fill(row.data)
    found: list[Answers] = []
    for number, process in enumerate(row.processes):
        process.change(project)
        found.append(_start(row, process, project, modes, number))
    return found


def contradictions(row: Row, mode: str, played: list[Answers]) -> list[str]:
    """Return what a mode did otherwise than the row says."""
    return [
        f"process {number}: {complaint}"
        for number, (process, answers) in enumerate(zip(row.processes, played, strict=True), 1)
        for complaint in _complaints(process, mode, answers.get(mode, []))
    ]


# ---------------------------------------------------------------- starting


def _start(row: Row, process: Process, project: Project, modes: str, number: int) -> Answers:
    """Start a process, or several at once, and read what they wrote."""
    files = [project.place / f"answers_{copy}" for copy in range(process.times)]
    running = [_begin(row, process, project, modes, number, file) for file in files]
    found: Answers = {}
    for started, file in zip(running, files, strict=True):
        status, said = started.wait(_LONGEST)
        answers = _read(file)
        if status == _KILLED:
            answers += [{"mode": mode, "outcome": "killed"} for mode in modes.split()]
        elif status:
            raise AssertionError(f"a process ended with {status}\n{said}")
        for answer in answers:
            found.setdefault(answer["mode"], []).append(answer)
    return found


def _begin(
    row: Row, process: Process, project: Project, modes: str, number: int, file: Path
) -> Started | Made:
    code = f"from asking import *\n{dedent(process.code)}\nleave()\n"
    file.unlink(missing_ok=True)
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("CONSIST_")},
        "CONSIST_CACHE_DIR": str(project.place / "cache"),
        "PYTHONPATH": os.pathsep.join([str(_INSIDE), str(project.outside), str(project.installed)]),
        "PYTHONDONTWRITEBYTECODE": "",
        "TRUTH_PLACE": str(project.kept),
        "TRUTH_ANSWERS": str(file),
        "TRUTH_MODES": modes,
        "TRUTH_CLOSES": "yes" if row.closes else "",
        **process.environment,
    }
    log = file.with_suffix(".log")
    if process.argv or any(name.startswith("PYTHON") for name in process.environment):
        return Started(process.argv or ("-c", code), project.root, environment, log)
    return Made(template(number % 2), code, project.root, environment, log)


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------- comparing


def _complaints(process: Process, mode: str, answers: list[dict[str, Any]]) -> Iterator[str]:
    outcome: Outcome = getattr(process.expected, mode)
    if not answers:
        yield f"{outcome.kind} expected, no answer came"
    for answer in answers:
        told = answer["outcome"]
        detail = f" ({answer['classes'][0]}: {answer['said']})" if told == "error" else ""
        expected = {"hit", "miss"} if outcome.kind == "done" else {outcome.kind}
        if told not in expected:
            yield f"{outcome.kind} expected, {told} came{detail}"
        elif told == "error":
            yield from _wrong_error(outcome, answer)
        else:
            yield from _wrong_meta(process, mode, answer.get("meta", {}))


def _wrong_error(outcome: Outcome, answer: dict[str, Any]) -> Iterator[str]:
    classes, said = answer["classes"], answer["said"]
    if outcome.error not in classes:
        yield f"{outcome.error} expected, {classes[0]} came: {said}"
    for part in outcome.says:
        if part not in said:
            yield f"the error does not name {part!r}: {said}"


def _wrong_meta(process: Process, mode: str, meta: dict[str, Any]) -> Iterator[str]:
    own = process.deps_meta if mode == "callable_deps" else {}
    wanted = own or process.meta
    for key, value in wanted.items():
        found = meta.get(key)
        text = json.dumps(found)
        if value is None and found is not None:
            yield f"{key} is {found!r}, and should not be there"
        elif isinstance(value, str) and value not in text:
            yield f"{key} is {text}, without {value!r}"
        elif value is not None and not isinstance(value, str) and found != value:
            yield f"{key} is {text}, not {value!r}"
