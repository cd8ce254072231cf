"""One of several processes that run at the same time: misses, then hits.

Arguments: ``consist`` or ``joblib``, a number of its own, how many runs. It waits for the file
``go-misses`` and then for ``go-hits``, so that all processes begin together.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

library, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
runs = Path(f"{library}_runs_{number}")
raw = runs / "raw.csv"


def repeat(raw: Path, times: int) -> Path:
    """Repeat a small file."""
    target = raw.with_name(f"repeated_{times}.csv")
    target.write_text(raw.read_text() + str(times))
    return target


def with_consist() -> Callable[[int], object]:
    from consist import CacheOptions, Tracker

    tracker = Tracker(runs, "provenance.duckdb")
    options = CacheOptions(code_identity="callable_module")

    def call(times: int) -> object:
        return tracker.run(
            repeat,
            inputs={"raw": raw},
            config={"times": times},
            outputs=["repeated"],
            cache_options=options,
        )

    return call


def with_joblib() -> Callable[[int], object]:
    from joblib import Memory

    cached = Memory("joblib", verbose=0).cache(repeat)
    return lambda times: cached(raw, times)


def timed(call: Callable[[int], object], what: str) -> dict[str, object]:
    """Make all calls once everybody is ready; return when they began and how long each took."""
    Path(f"ready-{what}-{number}").touch()
    while not Path(f"go-{what}").exists():
        time.sleep(0.002)
    began, each = time.time(), []
    for times in range(number * count, (number + 1) * count):
        since = time.perf_counter()
        call(times)
        each.append(time.perf_counter() - since)
    return {"began": began, "ended": time.time(), "longest": max(each[1:])}


runs.mkdir()
raw.write_text(f"id,value\n{number},0.5\n")
time.sleep(0.05)  # a digest is kept only of a file that has been at rest
call = with_consist() if library == "consist" else with_joblib()
print(json.dumps({"misses": timed(call, "misses"), "hits": timed(call, "hits")}))
