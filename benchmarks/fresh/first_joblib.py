"""The first hit of a process with joblib.Memory."""

import json
import time
from pathlib import Path

began = time.perf_counter()

from joblib import Memory  # noqa: E402 - measured

calls = []


def scale(raw: Path, factor: float) -> Path:
    """Multiply a column of a small table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    calls.append(factor)
    target = raw.with_name("scaled.parquet")
    numbers = [float(line.split(",")[1]) for line in raw.read_text().splitlines()[1:]]
    pq.write_table(pa.table({"value": [number * factor for number in numbers]}), target)
    return target


raw = Path("joblib", "raw.csv")
if not raw.exists():
    raw.parent.mkdir(parents=True)
    raw.write_text("id,value\n1,0.5\n")
path = Memory("joblib", verbose=0).cache(scale)(raw, 2.0)
returned = time.perf_counter() - began
assert path.exists()
print(json.dumps({"hit": not calls, "returned": returned}))
