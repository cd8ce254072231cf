"""Killed at any point of an ingest, a process leaves all tables of an artifact, or none."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.unit.store.children import start
from tests.unit.store.test_rows import LEDGER, nested, staged_files
from tests.unit.store.worlds import document, merged, open_store, record, table

KILLED = """
import signal
from tests.unit.store.test_rows import nested
from consist.store import embedded, global_tables, merge, staging
store = open_store(folder)
done = record(store, document("a"))
nested(store, done, {{"t": 2, "t__legs": 7}})
store.sync()
say(done.outputs[0].id)
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
def after(function):
    def wrapper(*args, **kwargs):
        function(*args, **kwargs)
        die()
    return wrapper
point = {point!r}
if point == "staged":
    embedded.EmbeddedStore._append = die
elif point == "renamed":
    staging.StagedFile.keep = after(staging.StagedFile.keep)
elif point == "inserted":
    global_tables.Loader._insert = after(global_tables.Loader._insert)
elif point == "loaded":
    merge.Session._store_positions = die
elif point == "committed":
    merge.Session._end_orphans = die
elif point == "checkpointed":
    merge.Session.settle = die
nested(store, done, {{"t": 3, "t__legs": 5, "t__stops": 4}})
say("acknowledged")
store.sync()
"""


@pytest.mark.parametrize(
    ("point", "acknowledged"),
    [
        ("staged", False),
        ("renamed", False),
        ("inserted", True),
        ("loaded", True),
        ("committed", True),
        ("checkpointed", True),
    ],
)
def test_killed_a_process_leaves_all_tables_or_none(
    tmp_path: Path, point: str, acknowledged: bool
) -> None:
    killed = start(KILLED.format(point=point), tmp_path)
    out, err = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, err
    assert ("acknowledged" in out) == acknowledged
    expected = {"t": 3, "t__legs": 5, "t__stops": 4} if acknowledged else {"t": 2, "t__legs": 7}
    store = open_store(tmp_path, "checker")
    for _ in range(2):
        for name, count in expected.items():
            found = table(store, f"SELECT count(*), count(DISTINCT n) FROM global_tables.{name}")
            assert found == [(count, count)]
        assert store.sync(60)
    record(store, document("b"))  # a merge with something to do clears up
    store.sync(60)
    store.close()
    assert merged(tmp_path, LEDGER) == [(len(expected),)]
    assert staged_files(tmp_path) == []
    assert not [path for path in (tmp_path / "db.duckdb.journal/rows").glob("*") if path.is_dir()]


def test_two_processes_that_ingest_one_artifact_leave_the_rows_of_one(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a"))
    nested(store, done, {"t": 1})
    code = """
    import msgspec
    from consist.models.record import RunDocument
    from tests.unit.store.test_rows import nested
    store = open_store(folder, "w" + str(os.getpid()))
    done = msgspec.json.decode((folder / "done.json").read_bytes(), type=RunDocument)
    say("ready")
    wait()
    for number in range(5):
        nested(store, done, {"t": {count}, "t__legs": {count}})
    store.close()
    """
    import msgspec

    (tmp_path / "done.json").write_bytes(msgspec.json.encode(done, enc_hook=str))
    workers = [start(code.replace("{count}", str(count)), tmp_path) for count in (10, 20)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", worker.stderr and worker.stderr.read()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for number in range(20):  # a run is recorded meanwhile, without waiting for anybody
        record(store, document(f"meanwhile{number}"))
    for worker in workers:
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, out + err
    assert store.sync(60)
    store.close()
    (count,) = {merged(tmp_path, f"SELECT count(*) FROM global_tables.{name}")[0][0]
                for name in ("t", "t__legs")}  # fmt: skip
    assert count in {10, 20}
    assert merged(tmp_path, "SELECT count(*) FROM run")[0][0] == 21
    assert merged(tmp_path, LEDGER) == [(2,)]
    assert staged_files(tmp_path) == []
