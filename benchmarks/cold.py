"""Fresh processes: imports, the command line, the first hit."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import copy

from benchmarks.harness import (
    Ended,
    Figure,
    Goal,
    Sizes,
    alternate_fresh,
    at_most,
    python,
    said,
    samples,
)
from benchmarks.work import commit

_SCRIPTS = Path(__file__).parent / "fresh"
_SLOW = ("duckdb", "pandas", "sqlalchemy")


def imports(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    folder.mkdir(parents=True, exist_ok=True)
    loaded = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    found = alternate_fresh(
        {
            "bare": python("-c", "pass"),
            "duckdb": python("-c", "import duckdb"),
            "consist": python("-c", f"import consist; {loaded}"),
            "Tracker": python("-c", f"from consist import Tracker; {loaded}"),
        },
        folder,
        sizes.fresh,
    )
    duckdb = _beyond(found["duckdb"], found["bare"])
    for name, work in (("consist", "import consist"), ("Tracker", "from consist import Tracker")):
        ours = _beyond(found[name], found["bare"])
        heavy = [module for module in _SLOW if module in found[name][0].said]
        light = Goal("without " + ", ".join(_SLOW), not heavy)
        yield Figure(
            work=work,
            ours=ours[0],
            cpu=ours[1],
            reference="import duckdb",
            theirs=duckdb[0],
            goals=[at_most(ours[0], 0.1), light] if name == "consist" else [light],
        )


def command_line(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    folder.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name("consist")
    found = alternate_fresh(
        {"bare": python("-c", "pass"), "help": [str(program), "--help"]}, folder, sizes.fresh
    )
    ours, bare = samples(found["help"]), samples(found["bare"])
    yield Figure(
        work="consist --help, whole process",
        ours=ours.seconds,
        cpu=ours.cpu_seconds,
        reference="python -c pass",
        theirs=bare.seconds,
        goals=[at_most(ours.seconds, 0.25)],
    )


def first_hit(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    place = folder / "first_hit"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("first_hit.py", "first_joblib.py"):
        copy(_SCRIPTS / name, place)
    commit(place, "first_hit.py")
    found = alternate_fresh(
        {
            "git": python("first_hit.py", "repo_git"),
            "module": python("first_hit.py", "callable_module"),
            "joblib": python("first_joblib.py"),
        },
        place,
        sizes.fresh,
    )
    joblib = found["joblib"]
    assert all(one.said["hit"] for ended in found.values() for one in ended)
    for name, mode in (("git", "in a git repository"), ("module", "callable_module")):
        yield from _first_hit(found[name], joblib, mode)
    whole, theirs = samples(found["git"]), samples(joblib)
    yield Figure(
        work="whole process of one hit, with its merge at the end",
        ours=whole.seconds,
        cpu=whole.cpu_seconds,
        reference="joblib.Memory",
        theirs=theirs.seconds,
    )


def _first_hit(ours: Sequence[Ended], joblib: Sequence[Ended], mode: str) -> Iterator[Figure]:
    returned, read = said(ours, "returned"), said(ours, "read")
    yield Figure(
        work=f"first hit after import consist, {mode}",
        ours=returned,
        cpu=said(ours, "returned_cpu"),
        reference="joblib.Memory with its import",
        theirs=said(joblib, "returned"),
        goals=[at_most(returned, 0.06)],
    )
    yield Figure(work="… after from consist import Tracker", ours=said(ours, "after_tracker"))
    yield Figure(
        work="… until run.id and path have been read",
        ours=read,
        cpu=said(ours, "read_cpu"),
        goals=[at_most(read, 0.4)],
    )


def _beyond(ended: Sequence[Ended], bare: Sequence[Ended]) -> tuple[float, float]:
    more = samples(ended).beyond(samples(bare))
    return more.seconds, more.cpu_seconds
