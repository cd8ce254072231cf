"""Rows of large files pass through: the process that ingests or restores them hardly grows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.campaigns.processes import ROOT

_MOST = 200
_ROWS = 4_500_000  # 300 MB of CSV
_COLUMNS = (
    "range AS id, hash(range) % 999983 AS household, ['car', 'bus', 'walk'][1 + range % 3] AS mode,"
    " random() AS distance, random() * 60 AS duration, range % 1000 AS zone, range % 2 = 0 AS peak"
)
_WORKER = """
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from consist import Tracker
from consist.hot import rows
kind, source, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

def grown(work):
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    work()
    return status("VmHWM") - before

def batches():
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(50_000):
            yield pa.Table.from_batches([batch])

tracker = Tracker(folder / "runs", folder / "provenance.duckdb")
small = folder / ("small" + source.suffix)
small.write_bytes(Path(sys.argv[4]).read_bytes())
with tracker.start_run("small", "m"):  # everything is imported then
    tracker.ingest(tracker.log_artifact(small, key="small"))
tracker.store.sync(60)
tracker.store.background.stop()
found = {{}}
with tracker.start_run("large", "m"):
    artifact = tracker.log_artifact(source, key="large")
    data = batches() if kind == "batches" else None
    found["staging"] = grown(lambda: tracker.ingest(artifact, data))
found["merging"] = grown(lambda: tracker.store.sync(60))
target = folder / ("restored" + source.suffix)
found["restoring"] = grown(lambda: rows.restore(tracker, artifact.to_record(), target))
found["bytes"] = target.stat().st_size
tracker.close()
print(json.dumps(found))
"""


def _source(folder: Path, name: str, rows: int) -> Path:
    path = folder / name
    duckdb.execute(f"COPY (SELECT {_COLUMNS} FROM range({rows})) TO '{path}'")
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
@pytest.mark.parametrize("kind", ["csv", "parquet", "batches"])
def test_a_large_file_needs_little_memory(tmp_path: Path, kind: str) -> None:
    suffix = "csv" if kind == "csv" else "parquet"
    small, large = (
        _source(tmp_path, f"{name}.{suffix}", rows)
        for name, rows in {"small_source": 10, "large_source": _ROWS}.items()
    )
    (tmp_path / "work").mkdir()
    code = _WORKER.format(root=str(ROOT))
    command = [sys.executable, "-c", code, kind, large, tmp_path / "work", small]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    size = found.pop("bytes")
    assert all(megabytes < _MOST for megabytes in found.values()), found
    assert size > (280e6 if kind == "csv" else 50e6), size
