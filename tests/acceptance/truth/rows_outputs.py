"""Rows: what happens to results after they were made."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance.truth.project import Change, each_kept
from tests.acceptance.truth.row import (
    BLUNT,
    HIT,
    MISS,
    Group,
    Outcome,
    Process,
    always,
    error,
    nothing,
)

GROUP = Group(
    "Outputs",
    "By default the record is trusted and no file is looked at; whoever asks for bytes gets the "
    'right ones or an error. With `validate_cached_outputs="eager"` every output is looked at.',
)

FILES = {
    "steps.py": """
    from pathlib import Path

    import consist


    def make():
        path = consist.output_path("table", ext="csv")
        path.write_text("zone,jobs\\n1,100\\n")
        return {"table": path}


    def make_folder():
        folder = consist.output_path("skims", ext="")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "am.txt").write_text("12")
        return {"skims": folder}


    def write(text, out):
        Path(out).write_text(text)
    """,
}
_MAKE = """
import steps
from consist import CacheOptions

def flow(tracker, folder):
    made = tracker.run(
        steps.make, outputs=["table"], cache_options=CacheOptions({options})
    )
    {more}
    return made

each(flow)
"""


def _make(options: str = "", more: str = "pass") -> str:
    return _MAKE.format(options=options, more=more)


EAGER = "validate_cached_outputs='eager'"
_LOAD = "assert len(tracker.load_df(made.outputs['table'])) == 1"


def _scribble(file: Path) -> None:
    file.write_text("zone,jobs\n1,999\n", encoding="utf-8")


_gone = each_kept("table.csv", Path.unlink)
_tampered = each_kept("table.csv", _scribble)
_touched = each_kept("table.csv", os.utime)
_TRUST = "the record is trusted, and no file is looked at"
_WRONG = error(ValueError, "table")

_CASES: list[tuple[str, Change, str, Outcome, str]] = [
    ("deleted", _gone, _make(), HIT, _TRUST),
    ("deleted; eager", _gone, _make(EAGER), MISS, "every output must be there"),
    ("untouched; eager", nothing, _make(EAGER), HIT, "every output is there, as it was"),
    ("touched; eager", _touched, _make(EAGER), HIT, "another time, the same bytes"),
    ("edited by hand", _tampered, _make(), HIT, _TRUST),
    ("edited by hand; eager", _tampered, _make(EAGER), MISS, "the bytes are not what they were"),
    (
        "edited by hand, then loaded",
        _tampered,
        _make(more=_LOAD),
        _WRONG,
        "wrong bytes are never handed out in silence",
    ),
    ("touched, then loaded", _touched, _make(more=_LOAD), HIT, "the recorded bytes are there"),
    (
        "deleted, then loaded",
        _gone,
        _make(more=_LOAD),
        error(FileNotFoundError, "table"),
        "what is gone is never an empty table",
    ),
    (
        "edited by hand, then copied by `outputs-all`",
        _tampered,
        _make("cache_hydration='outputs-all'"),
        _WRONG,
        "wrong bytes are never handed out in silence",
    ),
    (
        "deleted, then copied by `outputs-all`",
        _gone,
        _make("cache_hydration='outputs-all'"),
        error(FileNotFoundError, "table"),
        "all means all",
    ),
]
for name, change, then, outcome, why in _CASES:
    GROUP.row(
        f"output: {name}",
        change,
        always(outcome),
        why,
        files=FILES,
        code=_make(),
        then=then,
    )
_FOLDER = _make().replace("steps.make", "steps.make_folder").replace('"table"', '"skims"')
GROUP.row(
    "output: a file in a folder was edited by hand; eager",
    each_kept("am.txt", lambda file: file.write_text("13", encoding="utf-8")),
    always(MISS),
    "the bytes are not what they were",
    files=FILES,
    code=_FOLDER,
    then=_FOLDER.replace("CacheOptions()", f"CacheOptions({EAGER})"),
)
for name, one, other, outcome, why in [
    ("one more is declared", '["table"]', '["table", "summary"]', MISS, "the candidate lacks it"),
    ("another one is declared", '["table"]', '["summary"]', MISS, "the candidate lacks it"),
    ("none is declared", '["table"]', "None", HIT, "the candidate has more than is asked for"),
]:
    GROUP.row(
        f"output: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        code=_make().replace('["table"]', one),
        then=_make().replace('["table"]', other),
    )

# ---------------------------------------------------------------- one path, several runs

_WRITE = """
import steps

def flow(tracker, folder):
    out = folder / "result.txt"
    return tracker.run(
        steps.write, config={{"text": {text!r}}}, runtime_kwargs={{"out": out}},
        output_paths={{"result": out}}{more},
    )

each(flow)
"""


def _write(text: str, more: str = "") -> str:
    return _WRITE.format(text=text, more=more)


_B = Process(expected=always(MISS), code=_write("b"))
GROUP.row(
    "output: config A, then B, then A, all to one path",
    nothing,
    always(MISS),
    "A's bytes are gone, and the record knows it",
    files=FILES,
    code=_write("a"),
    between=[_B],
    meta={"cache_rejected": "overwritten"},
)
GROUP.row(
    "output: config A, then B, then A twice, all to one path",
    nothing,
    always(HIT),
    "A's bytes are there again",
    files=FILES,
    code=_write("a"),
    between=[_B, Process(expected=always(MISS), code=_write("a"))],
)
GROUP.row(
    "output: another run wrote the same bytes to its path",
    nothing,
    always(HIT),
    "what is there is what it made",
    files=FILES,
    code=_write("a"),
    between=[Process(expected=always(MISS), code=_write("a", ", year=2030"))],
)
GROUP.alone(
    "output: another run wrote to its path, then it is loaded",
    always(error(ValueError, "table", "overw")),
    "it says which run overwrote it",
    files=FILES,
    code="""
    import steps

    def flow(tracker, folder):
        out = folder / "table.csv"
        one, _ = [
            tracker.run(
                steps.write, config={"text": text}, runtime_kwargs={"out": out},
                output_paths={"table": out},
            )
            for text in ("zone\\n1\\n", "zone\\n2\\n")
        ]
        tracker.load_df(one.outputs["table"])
        return one

    each(flow)
    """,
)

# ---------------------------------------------------------------- outputs in the repository

_HERE = {
    "steps.py": """
    from pathlib import Path

    import consist


    def to_run_folder():
        path = consist.output_path("settings", ext="yaml")
        path.write_text("rate: 2\\n")
        return {"settings": path}


    def to_project():
        path = Path("results/settings.yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text("rate: 2\\n")
        return {"settings": path}


    def beside():
        Path("generated.py").write_text("RATE = 2\\n")
        return to_project()


    def tracked():
        Path("summary.csv").write_text("zone,trips\\n1,7\\n")
        return {"summary": Path("summary.csv")}
    """,
    "summary.csv": "zone,trips\n",
}
_INSIDE = "import steps\nask(steps.{step}, outputs=[{key!r}]{more})\n"
_RUNS_HERE = ", tracker={'run_dir': 'runs', 'db_path': 'provenance.duckdb'}"
for name, step, key, expected, why in [
    (
        "run folder and database in the repository",
        "to_run_folder",
        "settings",
        always(HIT),
        "they never count as code",
    ),
    (
        "a source file that the step wrote into the repository and that was recorded",
        "to_project",
        "settings",
        always(HIT),
        "recorded artifacts never count as code",
    ),
    (
        "a source file that the step wrote into the repository beside its outputs",
        "beside",
        "settings",
        (BLUNT, HIT, HIT, HIT),
        "nobody told `repo_git` that it is a result",
    ),
    (
        "a tracked file that the step wrote and that was recorded",
        "tracked",
        "summary",
        always(HIT),
        "recorded artifacts never count as code",
    ),
]:
    GROUP.row(
        f"output: {name}",
        nothing,
        expected,
        why,
        files=_HERE,
        code=_INSIDE.format(step=step, key=key, more=_RUNS_HERE),
        apart=True,
        closes=True,
    )

# ---------------------------------------------------------------- in the database

_INGEST = "if not made.cache_hit: tracker.ingest(made.outputs['table'])"
GROUP.row(
    "output: ingested, then its file deleted; eager",
    _gone,
    always(HIT),
    "its rows are in the database",
    files=FILES,
    code=_make(more=_INGEST),
    then=_make(EAGER),
    closes=True,
)
GROUP.row(
    "output: ingested, then its file deleted, then loaded from the database",
    _gone,
    always(HIT),
    "its rows are in the database",
    files=FILES,
    code=_make(more=_INGEST),
    then=_make(more=_LOAD.replace("'])", "'], db_fallback='always')")),
    closes=True,
)

# ---------------------------------------------------------------- blocks

_BLOCK = """
import consist

def flow(tracker, folder):
    with tracker.trace("draw"):
        path = consist.output_path("number", ext="txt")
        path.write_text({text})
        tracker.log_artifact(path, key="number")
        return tracker.is_cached

each(flow)
"""


def _block(name: str, text: str, outcome: Outcome, why: str) -> None:
    GROUP.row(
        f"output: {name}",
        nothing,
        always(outcome),
        why,
        files={"blocks.py": _BLOCK.replace("each(flow)\n", "").format(text=text)},
        code="import blocks\neach(blocks.flow)\n",
        environment={"NUMBER": "two"},
    )


_block("a `with` block comes to the same", "'one'", HIT, "its body is executed, and agrees")
_block(
    "a `with` block comes to something else",
    "__import__('os').environ.get('NUMBER', 'one')",
    MISS,
    "it is no hit any more, and becomes a run of its own",
)
