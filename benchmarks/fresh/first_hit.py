"""The first hit of a process; the very first process of all computes."""

import json
import sys
import time
from pathlib import Path

import consist

began, cpu = time.perf_counter(), time.process_time()

from consist import CacheOptions, Tracker  # noqa: E402 - measured

imported = time.perf_counter()


def scale(raw: Path, factor: float) -> Path:
    """Multiply a column of a small table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = raw.with_name("scaled.parquet")
    numbers = [float(line.split(",")[1]) for line in raw.read_text().splitlines()[1:]]
    pq.write_table(pa.table({"value": [number * factor for number in numbers]}), target)
    return target


mode = sys.argv[1]
raw = Path("runs", mode, "raw.csv")
new = not raw.exists()
if new:
    raw.parent.mkdir(parents=True)
    raw.write_text("id,value\n1,0.5\n")

tracker = Tracker("runs", "provenance.duckdb")
result = tracker.run(
    scale,
    name=f"scale_{mode}",
    inputs={"raw": raw},
    config={"factor": 2.0},
    outputs=["scaled"],
    cache_options=CacheOptions(code_identity=mode),
)
returned, returned_cpu = time.perf_counter(), time.process_time()
run_id, path = result.run.id, result.outputs["scaled"].path
read, read_cpu = time.perf_counter(), time.process_time()

assert run_id
assert path.exists()
assert consist.__version__
print(
    json.dumps(
        {
            "hit": result.cache_hit,
            "returned": returned - began,
            "returned_cpu": returned_cpu - cpu,
            "after_tracker": returned - imported,
            "read": read - began,
            "read_cpu": read_cpu - cpu,
        }
    )
)
