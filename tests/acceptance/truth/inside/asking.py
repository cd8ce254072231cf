"""What the processes of the truth table import: it asks in every mode and writes the answers down.

Every mode has a database, run folder and scratch folder of its own, so that none answers for
another. What has been imported by one mode is there for the next, so ``callable_deps``, which alone
looks at other modules, begins.

Most processes vanish without closing their trackers, which costs less and is the harder case.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from consist import Tracker
from consist.models.result import RunResult

PLACE = Path(os.environ["TRUTH_PLACE"])
ANSWERS = Path(os.environ["TRUTH_ANSWERS"])
MODES = os.environ["TRUTH_MODES"].split()
CLOSES = bool(os.environ["TRUTH_CLOSES"])

_open: dict[str, Tracker] = {}
_model: dict[str, str] = {}
_row: dict[str, str] = {}

Flow = Callable[[Tracker, Path], RunResult | None]


def ask(fn: Callable[..., Any], *, tracker: dict[str, Any] | None = None, **options: Any) -> None:
    """Run one step in every mode, and tell what came of it."""
    each(lambda made, _: made.run(fn, **{**_model, **options}), **(tracker or {}))


def each(flow: Flow, **options: Any) -> None:
    """Run several steps in every mode, and tell what came of the one that is returned.

    Parameters
    ----------
    flow
        Gets a tracker and a scratch folder, both of one mode.
    **options
        Of the tracker; ``{mode}`` in a text is replaced.
    """
    for mode in MODES:
        answer = _answer(mode, flow, options)
        with ANSWERS.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"mode": mode, **_row, **answer}) + "\n")


@contextmanager
def answering(row: str) -> Iterator[None]:
    """Ask for one of several rows that share a process, under a model of its own."""
    _model.update(model=row)
    _row.update(row=row)
    yield
    _model.clear()
    _row.clear()


def rewrite(path: str, old: str, new: str) -> None:
    """Edit a file while the process runs; its time is later than any before."""
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")
    later = time.time() + 10
    os.utime(file, (later, later))


def cell(text: str, names: dict[str, Any], number: int = 1) -> None:
    """Execute a notebook cell as IPython does, which keeps its lines for tracebacks."""
    text = dedent(text)
    file = f"/tmp/ipykernel_1/{number}{zlib.crc32(text.encode())}.py"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    exec(compile(text, file, "exec"), names)


def leave() -> None:
    """End the process, without closing anything."""
    sys.stdout.flush()
    if not CLOSES:
        os._exit(0)


def _answer(mode: str, flow: Flow, options: dict[str, Any]) -> dict[str, Any]:
    place = PLACE / mode
    scratch = place / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {
        "run_dir": place / "runs",
        "db_path": place / "provenance.duckdb",
        "project_root": ".",
        "code_identity": mode,
    }
    given |= {
        name: value.format(mode=mode) if isinstance(value, str) else value
        for name, value in options.items()
    }
    try:
        tracker = _tracker(given)
        result: Any = flow(tracker, scratch)
        answer = {"outcome": _outcome(result), "meta": _meta(result)}
        if CLOSES:
            tracker.close()
        return answer
    except BaseException as error:  # noqa: BLE001 - also Ctrl-C and sys.exit are answers
        classes = [cls.__name__ for cls in type(error).__mro__]
        said = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return {"outcome": "error", "classes": classes, "said": said}


def _tracker(given: dict[str, Any]) -> Tracker:
    """Open a tracker; rows that share a process share it."""
    known = _open.get(repr(given)) if _model else None
    tracker = Tracker(**given) if known is None else known
    _open[repr(given) if _model else str(len(_open))] = tracker
    return tracker


def _outcome(result: Any) -> str:
    hit = result if isinstance(result, bool) else result.cache_hit
    return "hit" if hit else "miss"


def _meta(result: Any) -> dict[str, Any]:
    # The record, since making an entity of it imports half of SQLAlchemy in every process.
    return {} if isinstance(result, bool) else json.loads(json.dumps(result._run.meta, default=str))
