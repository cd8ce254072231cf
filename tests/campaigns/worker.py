"""Processes of the campaigns: they do runs, say which were acknowledged, and may be killed.

How a run is done is a function that can be switched: ``store`` speaks to the store itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

Runs = Iterator[Callable[[str], None]]


def through_store(folder: Path, run_dir: str) -> Runs:
    """Yield a function that does one run, then close."""
    from tests.unit.store.worlds import document, ended, open_store, record

    store = open_store(folder, run_dir)

    def run(name: str) -> None:
        assert not store.candidates(f"signature of {name}")
        begun = record(store, document(name, status="running", tables=0))
        done = document(name, tables=2)
        record(store, ended(begun, outputs=done.outputs))

    yield run
    store.close()


def through_tracker(folder: Path, run_dir: str) -> Runs:
    """Yield a function that does one run as users do, then close."""
    import consist

    def step(name: str) -> dict[str, Path]:
        outputs = {key: consist.output_path(key, ext="txt") for key in ("one", "two")}
        for path in outputs.values():
            path.write_text(name)
        return outputs

    with consist.Tracker(
        run_dir=folder / run_dir, db_path=folder / "db.duckdb", project_root=folder
    ) as tracker:

        def run(name: str) -> None:
            result = tracker.run(step, run_id=name, config={"name": name}, outputs=["one", "two"])
            assert not result.cache_hit

        yield run


WAYS: dict[str, Callable[[Path, str], Runs]] = {
    "store": through_store,
    "tracker": through_tracker,
}


def main(folder: str, way: str, prefix: str, count: str) -> None:
    """Do ``count`` runs and say each name once its run was acknowledged, with its seconds."""
    runs = WAYS[way](Path(folder), f"runs of {prefix}")
    run = next(runs)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        name = f"{prefix}_{number}"
        began = time.perf_counter()
        run(name)
        print(name, f"{time.perf_counter() - began:.4f}", flush=True)
    next(runs, None)


if __name__ == "__main__":
    main(*sys.argv[1:])
