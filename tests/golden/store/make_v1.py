"""Writes the fixture of stored version 1; it was run once, by the code of that time.

``python tests/golden/store/make_v1.py`` refuses to write over what is there.
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consist.models.record import (
    ArtifactRecord,
    Extra,
    FacetRecord,
    LogEvent,
    ProcessRecord,
    RunDocument,
    RunRecord,
    content_id,
    raw,
    replace,
)
from consist.settings import Settings
from consist.store.embedded import EmbeddedStore

TARGET = Path(__file__).with_name("v1")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN_DIR = "/golden/runs"  # where the fixture says that it was


def artifact(number: int, key: str, run_id: str | None) -> ArtifactRecord:
    digest = f"{number:064x}"
    return ArtifactRecord(
        id=f"00000000-0000-4000-8000-{number:012d}",
        key=key,
        container_uri=f"./outputs/{key}.parquet",
        root=RUN_DIR,
        driver="parquet",
        hash=digest,
        content_id=content_id(digest, "parquet"),
        run_id=run_id,
        run_signature=None if run_id is None else f"signature of {run_id}",
        meta={"rows": number, "ünïcode": ["é", None, {"deep": 1.5}]},
        created_at=START + timedelta(seconds=number),
    )


def document(number: int, name: str, status: str = "completed", **parts: object) -> RunDocument:
    at = START + timedelta(minutes=number)
    requested, _, attempt = name.partition("~")
    run = RunRecord(
        id=name,
        uid=f"{number:032x}",
        requested_id=requested,
        attempt=int(attempt or 1),
        status=status,
        model_name="trips",
        description="a run of the fixture",
        year=2030 + number,
        iteration=number % 2,
        stage="demand",
        phase="assign",
        tags=("golden", f"number {number}"),
        config_hash=f"config {number}",
        git_hash="code",
        input_hash="inputs",
        signature=f"signature of {name}",
        meta={"note": "kept", "big": 2**40, "_physical_run_dir": RUN_DIR},
        started_at=at,
        ended_at=None if status == "running" else at + timedelta(seconds=5),
        created_at=at,
        updated_at=at,
    )
    extra = Extra(
        content_signature=f"content of {name}",
        claimed=True,
        facet=FacetRecord(namespace="trips", schema_name="facet", schema_version="2"),
        process=ProcessRecord("golden-host", 4242, 17.5),
    )
    given = {
        "config": raw({"rate": 0.25, "zones": [1, 2, 3]}),
        "facet": {"rate": 0.25, "nested": {"big": 2**53 + 1, "on": True, "label": "a", "none": None}},
        "extra": extra,
    }
    return RunDocument(run=run, **{**given, **parts})  # type: ignore[arg-type]


def write(folder: Path) -> None:
    run_dir = folder / "runs"
    store = EmbeddedStore(folder / "db.duckdb", run_dir, Settings(cache_dir=str(folder / "cache")))

    def record(done: RunDocument) -> None:
        store.write_snapshot(done.run.id, store.append(done))

    raw_input = artifact(1, "households", None)
    made = artifact(2, "trips", "base")
    record(document(1, "base", inputs=(raw_input,), outputs=(made,)))
    record(document(2, "base~2", inputs=(raw_input, made), outputs=(artifact(3, "trips", "base~2"),)))
    record(document(3, "broken", "failed", inputs=(made,)))
    store.sync()
    # The rest stays in the journal, as of a process that was killed.
    record(document(4, "tail", outputs=(artifact(4, "summary", "tail"),)))
    begun = document(5, "killed", "running")
    record(begun)
    store.amend(LogEvent(begun.run.uid, "killed", "output", (artifact(5, "half", "killed"),)))
    superseding = replace(document(6, "newer").extra, supersedes=(f"{1:032x}",))
    record(replace(document(6, "newer"), extra=superseding))
    sys.stdout.flush()


def main() -> None:
    if TARGET.exists() and any(TARGET.iterdir()):
        sys.exit(f"{TARGET} is there and is never written again")
    pid = os.fork()
    if pid == 0:
        write(TARGET)
        os._exit(9)  # no clean end: journals and lock files stay as a kill leaves them
    os.waitpid(pid, 0)
    shutil.rmtree(TARGET / "cache", ignore_errors=True)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "memo.sqlite"):
        (TARGET / "db.duckdb.journal" / name).unlink(missing_ok=True)
    state = TARGET / "db.duckdb.journal/store.json"
    state.write_text(state.read_text().replace(str(TARGET / "runs"), RUN_DIR))


if __name__ == "__main__":
    main()
