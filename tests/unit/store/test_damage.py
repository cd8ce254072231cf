"""Torn, damaged, unreadable and unknown: what was recorded before stays readable."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from consist.errors import SnapshotMissing, StoreDamaged, StoreTooNew
from consist.models.record import encode, encode_run_event
from consist.store.frames import frame
from consist.store.snapshots import iter_snapshots, read_snapshot
from tests.unit.store.children import run_child, start
from tests.unit.store.worlds import document, ids, merged, open_store, record, table

if TYPE_CHECKING:
    from pathlib import Path

    from consist.store.embedded import EmbeddedStore

KILLED = """
store = open_store(folder)
for name in "abc":
    record(store, document(name))
os._exit(9)
"""


def left_in(folder: Path) -> Path:
    """Return the journal of a process that recorded three runs and vanished."""
    start(KILLED, folder).communicate()
    (left,) = (folder / "db.duckdb.journal").glob("*.journal")
    return left


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return left_in(tmp_path)


def asked_and_merged(folder: Path) -> list[str]:
    """Return the runs, once it is clear that question and merge agree on them."""
    store = open_store(folder)
    asked = ids(store)
    assert store.sync()
    assert ids(store) == asked
    store.close()
    return asked


def test_a_torn_last_line_was_never_acknowledged(journal: Path, tmp_path: Path) -> None:
    whole = journal.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    journal.write_bytes(whole[: last + 40])
    assert asked_and_merged(tmp_path) == ["a", "b"]
    assert not journal.exists()
    assert not (tmp_path / "db.duckdb.journal/damaged").exists()


@pytest.mark.parametrize("kept", [1, 8, 9, 18, 20])
def test_a_line_torn_in_its_header_neither(journal: Path, tmp_path: Path, kept: int) -> None:
    whole = journal.read_bytes()
    journal.write_bytes(whole + frame(b"{}")[:kept])
    assert asked_and_merged(tmp_path) == ["a", "b", "c"]


def test_a_damaged_record_costs_only_itself(
    journal: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = bytearray(journal.read_bytes())
    middle = whole.index(b'"id":"b"')
    whole[middle] ^= 0xFF
    journal.write_bytes(whole)
    store = open_store(tmp_path)
    assert store.sync()
    assert ids(store) == ["a", "c"]
    store.close()
    assert (tmp_path / "db.duckdb.journal/damaged" / journal.name).read_bytes() == whole
    assert sum("is damaged and kept" in message for message in caplog.messages) == 1


def test_the_damage_can_be_filled_from_the_snapshot(journal: Path, tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "runs", "b").run.id == "b"


def test_a_journal_of_garbage_is_kept_and_hurts_nobody(journal: Path, tmp_path: Path) -> None:
    garbage = journal.with_name("20260101T000000-1-0000000000000000.journal")
    garbage.write_bytes(os.urandom(2**20))
    empty = journal.with_name("20260101T000000-1-0000000000000001.journal")
    empty.touch()
    assert asked_and_merged(tmp_path) == ["a", "b", "c"]
    assert (tmp_path / "db.duckdb.journal/damaged" / garbage.name).exists()
    assert not empty.exists()


def test_garbage_is_read_in_linear_time(journal: Path, tmp_path: Path) -> None:
    import time

    from consist.store.frames import read_frames

    def seconds(lines: int) -> float:
        journal.write_bytes(b"7fffffff 00000000 x\n" * lines)
        began = time.process_time()
        assert not list(read_frames(journal, resync=True))
        return time.process_time() - began

    seconds(20_000)
    assert seconds(160_000) < 40 * max(seconds(20_000), 0.01)


UNREADABLE = """
import logging, tempfile
warm = open_store(Path(tempfile.mkdtemp()))  # imports what another user may not read
record(warm, document("a")); ids(warm); warm.close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
store = open_store(folder)
say(ids(store), store.sync(), ids(store), store.sync())
record(store, document("mine"))
say(ids(store))
store.close()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not read")
def test_an_unreadable_journal_is_named_once_and_left(public: Path) -> None:
    journal = left_in(public)
    bad = journal.with_name("20260101T000000-1-00000000000000ff.journal")
    bad.write_bytes(journal.read_bytes())
    bad.chmod(0o600)
    for path in (public, *public.rglob("*")):
        if path != bad:
            os.chown(path, 65534, 65534)
    lines = run_child(UNREADABLE, public)
    assert sum("Permission denied" in line for line in lines) == 1, lines
    assert "['a', 'b', 'c'] True ['a', 'b', 'c'] True" in lines
    assert lines[-1] == "['a', 'b', 'c', 'mine']"
    assert bad.exists()


def test_records_of_a_newer_library_stay_and_are_mentioned_once(
    journal: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = document("late")
    journal.write_bytes(
        journal.read_bytes()
        + frame(b'{"kind":"teleport","to":"mars"}')
        + frame(encode_run_event(encode(late)))
    )
    before = journal.read_bytes()
    for _ in range(3):
        store = open_store(tmp_path)
        assert ids(store) == ["a", "b", "c", "late"]
        assert store.sync()
        assert ids(store) == ["a", "b", "c", "late"]
        store.close()
    assert journal.read_bytes() == before
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(3,)]
    assert sum("newer Consist" in message for message in caplog.messages) == 1


def test_a_journal_of_a_newer_format_is_left_alone(journal: Path, tmp_path: Path) -> None:
    newer = journal.with_name("20260101T000000-1-00000000000000aa.journal")
    newer.write_bytes(journal.read_bytes().replace(b'"format":1', b'"format":9'))
    opening = newer.read_bytes().split(b"\n", 1)
    newer.write_bytes(frame(opening[0][18:]) + opening[1])
    journal.unlink()
    store = open_store(tmp_path)
    assert store.sync()
    store.close()
    assert newer.exists()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(0,)]


def test_empty_and_torn_snapshots_are_no_runs(store: EmbeddedStore) -> None:
    done = record(store, document("a"))
    folder = store.run_dir / "consist_runs"
    (folder / "empty.json").touch()
    (folder / "half.json").write_bytes((folder / "a.json").read_bytes()[:50])
    assert [d.run.id for d in iter_snapshots(store.run_dir)] == ["a"]
    assert read_snapshot(store.run_dir, "a").run == done.run
    for name in ("empty", "half", "absent"):
        with pytest.raises(SnapshotMissing):
            read_snapshot(store.run_dir, name)


def test_a_lagging_snapshot_is_rewritten_and_the_latest_stays_the_latest(
    journal: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs/consist_runs"
    (folder / "a.json").write_bytes(b"")
    latest = (tmp_path / "runs/consist.json").read_bytes()
    store = open_store(tmp_path)
    store.sync()
    store.close()
    assert read_snapshot(tmp_path / "runs", "a").run.status == "completed"
    assert (tmp_path / "runs/consist.json").read_bytes() == latest


@pytest.mark.parametrize("damage", ["garbage", "empty", "half", "foreign"])
def test_a_damaged_index_is_rebuilt(store: EmbeddedStore, tmp_path: Path, damage: str) -> None:
    done = record(store, document("a"))
    store.close()
    path = store.folder.path / "index.sqlite"
    content = path.read_bytes()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if damage == "foreign":
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE meta (name, value)")
        other.close()
    else:
        new = {"garbage": os.urandom(9000), "empty": b"", "half": content[: len(content) // 2]}
        path.write_bytes(new[damage])
    again = open_store(tmp_path)
    assert [d.run.id for d in again.candidates(done.run.signature or "")] == ["a"]
    assert again.incomplete is None
    again.close()


def test_a_damaged_database_stops_questions_by_name_but_no_run(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    record(store, document("a"))
    store.close()
    whole = store.db_path.read_bytes()
    store.db_path.write_bytes(whole[:4096] + os.urandom(4096) + whole[8192:])
    again = open_store(tmp_path)
    done = record(again, document("b"))
    assert again.candidates(done.run.signature or "")
    with pytest.raises(StoreDamaged) as error, again.ask():
        pass
    assert str(store.db_path) in str(error.value)
    assert "move the file away" in error.value.__notes__[0]
    with pytest.raises(StoreDamaged):
        again.sync()
    again.close()
    store.db_path.unlink()
    filled = open_store(tmp_path)
    assert ids(filled) == ["a", "b"]
    filled.close()


def test_an_empty_database_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "db.duckdb").touch()
    store = open_store(tmp_path)
    assert ids(store) == []
    record(store, document("a"))
    assert store.sync()
    assert ids(store) == ["a"]
    store.close()


def test_a_database_that_is_somebody_elses_gets_our_tables_beside_theirs(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "db.duckdb")) as connection:
        connection.execute("CREATE TABLE theirs AS SELECT 1 AS x")
    store = open_store(tmp_path)
    record(store, document("a"))
    assert ids(store) == ["a"]
    assert store.sync()
    assert ids(store) == ["a"]
    store.close()
    assert merged(tmp_path, "SELECT x FROM theirs") == [(1,)]


def test_a_newer_database_is_refused_by_name(store: EmbeddedStore, tmp_path: Path) -> None:
    import duckdb

    record(store, document("a"))
    store.close()
    with duckdb.connect(str(store.db_path)) as connection:
        connection.execute("UPDATE consist_store SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StoreTooNew, match=r"db\.duckdb has format 99; this library knows up to"):
        open_store(tmp_path)


def test_a_newer_folder_is_refused_by_name(store: EmbeddedStore, tmp_path: Path) -> None:
    store.close()
    store.folder.state_path.write_text('{"format": 77, "store_id": 5}')
    with pytest.raises(StoreTooNew, match=r"store\.json has format 77"):
        open_store(tmp_path)


def test_a_damaged_store_json_is_an_error_with_a_remedy(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    record(store, document("a"))
    store.close()
    store.folder.state_path.write_text("{")
    with pytest.raises(StoreDamaged) as error:
        open_store(tmp_path)
    assert "remove it" in error.value.__notes__[0]
    store.folder.state_path.unlink()
    again = open_store(tmp_path)
    assert ids(again) == ["a"]
    assert table(again, "SELECT count(*) FROM artifact") == [(1,)]
    again.close()
