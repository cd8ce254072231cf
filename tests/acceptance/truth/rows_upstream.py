"""Rows: what earlier steps made, as inputs."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance.truth.project import Change, each_kept, edit
from tests.acceptance.truth.row import BLUNT, HIT, MISS, Group, Outcome, always, error, nothing

GROUP = Group(
    "Results of earlier steps as inputs",
    "They count by the run that made them, and where that one ran again, by content. What was "
    "changed behind its back is never used.",
)

CHAIN = {
    "makes.py": """
    import os

    import consist


    def make(rate):
        path = consist.output_path("table", ext="txt")
        path.write_text(str(round(100 * rate)) + os.environ.get("UNDECLARED", ""))
        return {"table": path}
    """,
    "steps.py": """
    from pathlib import Path


    def use(table: Path):
        print(table.read_text())


    def use_two(one: Path, two: Path):
        print(one.read_text(), two.read_text())
    """,
}
_FLOW = """
import makes
import steps
from consist import CacheOptions, ref

def flow(tracker, folder):
    made = tracker.run(
        makes.make, config={{"rate": {rate}}}, outputs=["table"],
        cache_options=CacheOptions({making}),
    )
    return tracker.run(
        steps.use, inputs={{"table": ref(made)}}, config={{"use": {use}}},
        cache_options=CacheOptions({using}),
    )

each(flow)
"""


def _chain(rate: float = 3.5, making: str = "", use: int = 1, using: str = "") -> str:
    return _FLOW.format(rate=rate, making=making, use=use, using=using)


def _scribble(file: Path) -> None:
    file.write_text("999", encoding="utf-8")


TAMPERED = error(ValueError, "table")
_RECORDED = "the recorded bytes are gone; it says which file, and who made it"
_CASES: list[tuple[str, Change, str, Outcome, str, dict[str, object]]] = [
    ("nothing", nothing, _chain(), HIT, "found by the signature of its producer", {}),
    (
        "its producer ran again and came to the same bytes",
        nothing,
        _chain(rate=3.5001),
        HIT,
        "found by content, and the record says so",
        {"cache_match": "content"},
    ),
    (
        "its producer ran again and came to other bytes",
        nothing,
        _chain(rate=4.0),
        MISS,
        "other content",
        {},
    ),
    (
        "its producer was executed anew, to the same bytes",
        nothing,
        _chain(making="cache_mode='overwrite'"),
        HIT,
        "the same producer, the same bytes",
        {},
    ),
    (
        "its producer has a raised version, and came to the same bytes",
        nothing,
        _chain(making="cache_version=2"),
        HIT,
        "a raised version forces only the run that carries it",
        {"cache_match": "content"},
    ),
    (
        "its file is gone",
        each_kept("table.txt", Path.unlink),
        _chain(),
        HIT,
        "who it is, is known",
        {},
    ),
    (
        "its file was touched",
        each_kept("table.txt", os.utime),
        _chain(),
        HIT,
        "the recorded bytes are there",
        {},
    ),
    (
        "its file was edited by hand; it would be a hit",
        each_kept("table.txt", _scribble),
        _chain(),
        TAMPERED,
        _RECORDED,
        {},
    ),
    (
        "its file was edited by hand; it would be executed",
        each_kept("table.txt", _scribble),
        _chain(use=2),
        TAMPERED,
        _RECORDED,
        {},
    ),
    (
        'its file was edited by hand; `input_mismatch="miss"`',
        each_kept("table.txt", _scribble),
        _chain(using="input_mismatch='miss'"),
        MISS,
        "the file counts by the bytes that it has",
        {},
    ),
]
for name, change, then, outcome, why, meta in _CASES:
    GROUP.row(
        f"upstream: {name}",
        change,
        always(outcome),
        why,
        files=CHAIN,
        code=_chain(),
        then=then,
        meta=meta,
    )
GROUP.row(
    "upstream: its producer was executed anew, to other bytes",
    nothing,
    always(MISS),
    "the signature is the same, the content is not",
    files=CHAIN,
    code=_chain(),
    then=_chain(making="cache_mode='overwrite'"),
    environment={"UNDECLARED": "!"},
)
GROUP.row(
    "upstream: the code of its producer, which came to the same bytes",
    edit("makes.py", "round(100 * rate)", "round(rate * 100)"),
    (BLUNT, HIT, HIT, HIT),
    "the producer misses, its consumer is found by content",
    files=CHAIN,
    code=_chain(),
    deps_meta={"cache_match": "content"},
)
GROUP.row(
    "upstream: the code of its producer, which came to other bytes",
    edit("makes.py", "round(100 * rate)", "round(200 * rate)"),
    always(MISS),
    "other content",
    files=CHAIN,
    code=_chain(),
)
_TWO = """
import makes
import steps
from consist import ref

def flow(tracker, folder):
    a, b = (
        tracker.run(makes.make, config={{"rate": rate}}, outputs=["table"]) for rate in (1, 2)
    )
    return tracker.run(steps.use_two, inputs={{"one": ref({one}), "two": ref({two})}})

each(flow)
"""
GROUP.row(
    "upstream: two results exchanged",
    nothing,
    always(MISS),
    "each is bound to the other's name",
    files=CHAIN,
    code=_TWO.format(one="a", two="b"),
    then=_TWO.format(one="b", two="a"),
)
GROUP.row(
    "upstream: its file was edited, and is given as a path",
    each_kept("table.txt", _scribble),
    always(MISS),
    "as a path it counts by its content",
    files=CHAIN,
    code="""
    import makes
    import steps

    def flow(tracker, folder):
        made = tracker.run(makes.make, config={"rate": 3.5}, outputs=["table"])
        return tracker.run(steps.use, inputs={"table": str(made.outputs["table"].path)})

    each(flow)
    """,
)
GROUP.alone(
    "upstream: another run has written to its place since",
    always(error(ValueError, "table", "overw")),
    "the recorded bytes are gone; it says which run overwrote them",
    files={
        "steps.py": """
        from pathlib import Path


        def write(text, out):
            Path(out).write_text(text)


        def use(table: Path):
            print(table.read_text())
        """
    },
    code="""
    import steps
    from consist import ref

    def flow(tracker, folder):
        out = folder / "table.txt"
        one, _ = [
            tracker.run(
                steps.write, config={"text": text}, runtime_kwargs={"out": out},
                output_paths={"table": out},
            )
            for text in ("one", "another")
        ]
        return tracker.run(steps.use, inputs={"table": ref(one)})

    each(flow)
    """,
)
