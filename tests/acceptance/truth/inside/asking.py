"""What the processes of the truth table import: it asks in every mode and writes the answers down.

Every mode has a database, run folder and scratch folder of its own, so that none answers for
another. What has been imported by one mode is there for the next, so ``callable_deps``, which alone
looks at other modules, begins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consist import Tracker
from consist.models.result import RunResult

PLACE = Path(os.environ["TRUTH_PLACE"])
ANSWERS = Path(os.environ["TRUTH_ANSWERS"])
MODES = os.environ["TRUTH_MODES"].split()

Flow = Callable[[Tracker, Path], RunResult | None]


def ask(fn: Callable[..., Any], *, tracker: dict[str, Any] | None = None, **options: Any) -> None:
    """Run one step in every mode, and tell what came of it."""
    each(lambda made, _: made.run(fn, **options), **(tracker or {}))


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
            file.write(json.dumps({"mode": mode, **answer}) + "\n")


def tell(tracker: Tracker) -> RunResult | bool:
    """Tell of a block, which has no result, whether it was a hit."""
    return tracker.is_cached


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
        with Tracker(**given) as tracker:
            result: Any = flow(tracker, scratch)
            return {"outcome": _outcome(result), "meta": _meta(result)}
    except (Exception, KeyboardInterrupt) as error:
        classes = [cls.__name__ for cls in type(error).__mro__]
        said = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return {"outcome": "error", "classes": classes, "said": said}


def _outcome(result: Any) -> str:
    hit = result if isinstance(result, bool) else result.cache_hit
    return "hit" if hit else "miss"


def _meta(result: Any) -> dict[str, Any]:
    return {} if isinstance(result, bool) else json.loads(json.dumps(result.run.meta, default=str))
