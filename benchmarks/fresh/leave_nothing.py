"""Hits, and what they leave in the memory of the process."""

import json
import os
import sys
from pathlib import Path

from consist import CacheOptions, Tracker

WARM_UP = 500


def double(raw: Path) -> Path:
    """Repeat a file."""
    target = raw.with_name("double.csv")
    target.write_text(raw.read_text() * 2)
    return target


def resident() -> int:
    """Return the bytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


raw = Path("runs", "raw.csv")
raw.parent.mkdir(parents=True)
raw.write_text("id,value\n1,0.5\n")
options = CacheOptions(code_identity="callable_module")

with Tracker("runs", "provenance.duckdb") as tracker:

    def hit() -> None:
        """Run the step once more."""
        tracker.run(double, inputs={"raw": raw}, outputs=["double"], cache_options=options)

    for _ in range(WARM_UP):
        hit()
    tracker.store.sync()  # loads what merging needs
    before = resident()
    for _ in range(int(sys.argv[1])):
        hit()
    print(json.dumps({"before": before, "grown": resident() - before}))
