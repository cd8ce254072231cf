"""Rows: how runs end, how they are asked for, and what happens to the record."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.acceptance.truth.project import Change, Project
from tests.acceptance.truth.row import (
    DONE,
    HIT,
    KILLED,
    MISS,
    Expected,
    Group,
    Outcome,
    Process,
    always,
    error,
    nothing,
)

ENDINGS = Group(
    "How runs end",
    "A run with an uncertain past is never given back; what completed stays.",
)
ASKING = Group("Cache modes", "How it is asked for.")
RECORD = Group("The record", "Journals, snapshots and the database, and who else uses them.")

FILES = {
    "steps.py": """
    import os
    import signal
    import sys

    import consist


    def step():
        path = consist.output_path("table", ext="txt")
        path.write_text("7")
        end = os.environ.get("END", "")
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if end == "interrupt":
            # Whoever was started in the background would ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)
        if end == "fail":
            raise RuntimeError("no convergence")
        if end == "exit":
            sys.exit(3)
        return {"table": path}
    """,
}
_CODE = """
import steps
from consist import CacheOptions

def flow(tracker, folder):
    options = CacheOptions({options})
    return tracker.run(steps.step, outputs=["table"], cache_options=options)

each(flow)
"""


def _code(options: str = "") -> str:
    return _CODE.format(options=options)


RUN = _code()
_DONE_ONCE = Process(expected=always(MISS), code=RUN)


def _ended(end: str, outcome: Outcome, options: str = "") -> Process:
    return Process(expected=always(outcome), code=_code(options), environment={"END": end})


_ENDS: list[tuple[str, str, Outcome]] = [
    ("killed (`kill -9`) in the step", "kill", KILLED),
    ("failed", "fail", error(RuntimeError, "no convergence")),
    ("interrupted (Ctrl-C)", "interrupt", error(KeyboardInterrupt)),
    ("ended by `sys.exit` in the step", "exit", error(SystemExit)),
]
for name, end, outcome in _ENDS:
    ENDINGS.row(
        f"run: {name}",
        nothing,
        always(MISS),
        "it never completed",
        files=FILES,
        begin=_ended(end, outcome),
        code=RUN,
        apart=end == "kill",
    )
    ENDINGS.row(
        f"run: {name}, then run again",
        nothing,
        always(HIT),
        "the second one completed",
        files=FILES,
        begin=_ended(end, outcome),
        between=[_DONE_ONCE],
        code=RUN,
        apart=end == "kill",
        slow=end == "exit",
    )
    ENDINGS.row(
        f"run: completed, then one that was to overwrite it {name}",
        nothing,
        always(HIT),
        "the first one still stands",
        files=FILES,
        begin=_DONE_ONCE,
        between=[_ended(end, outcome, "cache_mode='overwrite'")],
        code=RUN,
        apart=end == "kill",
        slow=end == "exit",
    )
ENDINGS.row(
    "run: an earlier step completed, a later one failed",
    nothing,
    always(HIT),
    "the early step is found, the late one executes",
    files=FILES,
    begin=Process(
        expected=always(error(RuntimeError, "no convergence")),
        code="""
        import os
        import steps

        def flow(tracker, folder):
            tracker.run(steps.step, name="early", outputs=["table"])
            os.environ["END"] = "fail"
            try:
                return tracker.run(steps.step, name="late", outputs=["table"])
            finally:
                del os.environ["END"]

        each(flow)
        """,
    ),
    code="import steps\nask(steps.step, name='early', outputs=['table'])\n",
)

# ---------------------------------------------------------------- asking

for name, first, then, outcome, why in [
    ("`overwrite`", "", "cache_mode='overwrite'", MISS, "it always executes"),
    ("`readonly`", "", "cache_mode='readonly'", HIT, "it looks up"),
    ("`readonly`, then as usual", "cache_mode='readonly'", "", MISS, "it recorded nothing"),
    ("`skip_check`", "", "cache_mode='skip_check'", HIT, "as `reuse`"),
    (
        "a mode that nobody knows",
        "",
        "cache_mode='always'",
        error(ValueError, "cache_mode", "always"),
        "never guessed",
    ),
    (
        "a validation that nobody knows",
        "",
        "validate_cached_outputs='some'",
        error(ValueError, "validate_cached_outputs", "some"),
        "never guessed",
    ),
]:
    ASKING.row(
        f"mode: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        code=_code(first),
        then=_code(then),
    )


def _each_output() -> Change:
    def change(project: Project) -> None:
        for file in project.kept_files("table.txt"):
            file.unlink()

    return change


for name, options, outcome, why in [
    (
        "`skip_check` with eager validation, the output deleted",
        "cache_mode='skip_check', validate_cached_outputs='eager'",
        HIT,
        "nothing is checked",
    ),
    ("`strict`, the output deleted", "validate_cached_outputs='strict'", MISS, "as `eager`"),
    ("`none`, the output deleted", "validate_cached_outputs='none'", HIT, "as `lazy`"),
    (
        "`readonly` with eager validation, the output deleted",
        "cache_mode='readonly', validate_cached_outputs='eager'",
        MISS,
        "it executes, and records nothing",
    ),
]:
    ASKING.row(
        f"mode: {name}",
        _each_output(),
        always(outcome),
        why,
        files=FILES,
        code=RUN,
        then=_code(options),
    )
ASKING.row(
    "mode: `overwrite`, then as usual",
    nothing,
    always(HIT),
    "the run that overwrote is given back",
    files=FILES,
    code=RUN,
    between=[Process(expected=always(MISS), code=_code("cache_mode='overwrite'"))],
)
ASKING.row(
    "mode: without a database",
    nothing,
    always(MISS),
    "nothing is looked up",
    files=FILES,
    code="import steps\nask(steps.step, outputs=['table'], tracker={'db_path': None})\n",
)

# ---------------------------------------------------------------- the record


def _databases(project: Project) -> list[Path]:
    found = [path for path in project.kept.glob("*/provenance.duckdb*") if path.is_file()]
    assert found
    return found


def _delete_database(project: Project) -> None:
    for file in _databases(project):
        file.unlink()


def _delete_database_and_journal(project: Project) -> None:
    _delete_database(project)
    for folder in project.kept.glob("*/provenance.duckdb.journal"):
        shutil.rmtree(folder)


def _delete_snapshots(project: Project) -> None:
    for folder in project.kept.glob("*/runs/consist_runs"):
        shutil.rmtree(folder)


def _journals(project: Project) -> list[Path]:
    found = list(project.kept.rglob("*.journal/*.journal"))
    assert found
    return found


def _tear(project: Project) -> None:
    for file in _journals(project):
        file.write_bytes(file.read_bytes()[:-20])


def _scribble(project: Project) -> None:
    for file in _journals(project):
        with file.open("ab") as journal:
            journal.write(b"\x00\x01half a rec")


_REBUILT = """
import steps

def flow(tracker, folder):
    tracker.rebuild()
    return tracker.run(steps.step, outputs=["table"])

each(flow)
"""
for name, change, then, outcome, why, closes in [
    (
        "the database file is deleted",
        _delete_database,
        RUN,
        HIT,
        "it is filled in again from journals and snapshots",
        True,
    ),
    (
        "database and journals are deleted",
        _delete_database_and_journal,
        RUN,
        MISS,
        "nobody can know whose runs the snapshots are",
        True,
    ),
    (
        "database and journals are deleted, then `rebuild`",
        _delete_database_and_journal,
        _REBUILT,
        HIT,
        "it is filled in again from the snapshots",
        True,
    ),
    ("the snapshots are deleted", _delete_snapshots, RUN, HIT, "the run is in the database", True),
    (
        "the last record of the journal is torn",
        _tear,
        RUN,
        MISS,
        "a run that nobody recorded as completed is never a source",
        False,
    ),
    (
        "half a record stands at the end of the journal",
        _scribble,
        RUN,
        HIT,
        "what was recorded before stays readable",
        False,
    ),
]:
    RECORD.row(
        f"record: {name}",
        change,
        always(outcome),
        why,
        files=FILES,
        code=RUN,
        then=then,
        closes=closes,
    )
RECORD.row(
    "record: the tracker was closed, and its runs merged",
    nothing,
    always(HIT),
    "where a record lies does not count",
    files=FILES,
    code=RUN,
    closes=True,
)
RECORD.row(
    "record: another program holds the database",
    nothing,
    always(HIT),
    "it is not needed to answer",
    files=FILES,
    code=RUN,
    then="""
    import subprocess
    import sys
    import steps
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import duckdb, sys; c = [duckdb.connect(p) for p in sys.argv[1:]];"
            "print('held', flush=True); sys.stdin.read()",
            *[str(PLACE / mode / "provenance.duckdb") for mode in MODES],
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\\n"
    ask(steps.step, outputs=["table"])
    holder.communicate()
    """,
    closes=False,
    between=[
        Process(
            expected=always(HIT),
            code="""
            import steps

            def flow(tracker, folder):
                result = tracker.run(steps.step, outputs=["table"])
                tracker.close()
                return result

            each(flow)
            """,
        )
    ],
)
RECORD.row(
    "record: two processes at once",
    nothing,
    always(HIT),
    "whoever was later may be given what the other one did; both stay",
    files=FILES,
    begin=Process(expected=always(DONE), code=RUN, times=2),
    code=RUN,
)
RECORD.row(
    "record: two processes at once ask for what is known",
    nothing,
    Expected(HIT, HIT, HIT, HIT),
    "neither waits for the other",
    files=FILES,
    code=RUN,
    times=2,
)
