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
    Samples,
    Sizes,
    alternate_fresh,
    at_most,
    python,
    said,
    samples,
)
from benchmarks.work import commit

_SCRIPTS = Path(__file__).parent / "fresh"
_IMPORT_SQLMODEL = """
import json, time
began = time.perf_counter()
import sqlmodel
print(json.dumps({"took": time.perf_counter() - began}))
"""
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
    duckdb = samples(found["duckdb"]).beyond(samples(found["bare"]))
    for name, work in (("consist", "import consist"), ("Tracker", "from consist import Tracker")):
        ours = samples(found[name]).beyond(samples(found["bare"]))
        heavy = [module for module in _SLOW if module in found[name][0].said]
        light = Goal("without " + ", ".join(_SLOW), not heavy)
        yield Figure(
            work=work,
            ours=ours.seconds,
            cpu=ours.cpu_seconds,
            reference="import duckdb",
            theirs=duckdb.seconds,
            goals=[at_most(ours.judged, 0.1), light] if name == "consist" else [light],
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
        goals=[at_most(ours.judged, 0.25)],
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
            "sqlmodel": python("-c", _IMPORT_SQLMODEL),
        },
        place,
        sizes.fresh,
    )
    joblib = found["joblib"]
    assert all(one.said["hit"] for name in ("git", "module", "joblib") for one in found[name])
    for name, mode in (("git", "in a git repository"), ("module", "callable_module")):
        yield from _first_hit(found[name], joblib, found["sqlmodel"], mode)
    whole, theirs = samples(found["git"]), samples(joblib)
    yield Figure(
        work="whole process of one hit, with its merge at the end",
        ours=whole.seconds,
        cpu=whole.cpu_seconds,
        reference="joblib.Memory",
        theirs=theirs.seconds,
    )


def _first_hit(
    ours: Sequence[Ended], joblib: Sequence[Ended], sqlmodel: Sequence[Ended], mode: str
) -> Iterator[Figure]:
    returned, read = _told(ours, "returned"), _told(ours, "read")
    yield Figure(
        work=f"first hit after import consist, {mode}",
        ours=returned.seconds,
        cpu=returned.cpu_seconds,
        reference="joblib.Memory with its import",
        theirs=said(joblib, "returned"),
        goals=[at_most(returned.judged, 0.06)],
    )
    yield Figure(work="… after from consist import Tracker", ours=said(ours, "after_tracker"))
    yield Figure(
        work="… until run.id and path have been read",
        ours=read.seconds,
        cpu=read.cpu_seconds,
        reference="import sqlmodel alone",
        theirs=said(sqlmodel, "took"),
        goals=[at_most(read.judged, 0.4)],
    )


def _told(ended: Sequence[Ended], name: str) -> Samples:
    """Return what processes said about one of their phases."""
    return Samples([one.said[name] for one in ended], [one.said[f"{name}_cpu"] for one in ended])
