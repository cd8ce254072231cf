"""Others that hold the database: runs go on, questions name them, everything merges later."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consist.errors import StoreLocked
from consist.store import locks
from tests.unit.store.children import child, finish, holding, start
from tests.unit.store.worlds import document, ids, merged, open_store, record

if TYPE_CHECKING:
    from consist.store.embedded import EmbeddedStore


@pytest.fixture
def existing(store: EmbeddedStore) -> EmbeddedStore:
    """Return a store whose database exists."""
    record(store, document("a"))
    store.sync()
    return store


def test_a_writer_that_holds_the_file_stops_questions_by_name(
    existing: EmbeddedStore, tmp_path: Path
) -> None:
    with holding(tmp_path) as holder:
        began = time.perf_counter()
        done = record(existing, document("b"))
        assert existing.candidates(done.run.signature or "")
        assert not existing.candidates("never seen")
        assert time.perf_counter() - began < 1
        assert not existing.sync(0.0)
        with pytest.raises(StoreLocked) as error:
            ids(existing)
        assert str(holder.pid) in str(error.value)
        assert "runs are recorded meanwhile" in error.value.__notes__[0]
    assert ids(existing) == ["a", "b"]
    assert existing.sync()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(2,)]


def test_a_reader_that_holds_the_file_stops_merges_only(
    existing: EmbeddedStore, tmp_path: Path
) -> None:
    with holding(tmp_path, read_only=True):
        record(existing, document("b"))
        assert ids(existing) == ["a", "b"]
        assert not existing.sync(0.0)
        record(existing, document("c"))
        assert ids(existing) == ["a", "b", "c"]
    assert existing.sync()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(3,)]


def test_closing_while_somebody_holds_the_file_loses_nothing(
    existing: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.store.embedded.EXIT_WAIT", 0.1)
    with holding(tmp_path):
        record(existing, document("b"))
        existing.close()
        assert list(existing.folder.path.glob("*.journal"))
    again = open_store(tmp_path)
    assert ids(again) == ["a", "b"]
    again.close()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(1,)], "no record, no merge"
    last = open_store(tmp_path)
    assert last.sync()
    last.close()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(2,)]


def test_another_connection_of_this_process_is_named(
    existing: EmbeddedStore, tmp_path: Path
) -> None:
    import duckdb

    record(existing, document("b"))
    with duckdb.connect(str(tmp_path / "db.duckdb")):
        assert not existing.sync(0.0)
        with pytest.raises(StoreLocked, match="another connection of this process"):
            ids(existing)
    assert ids(existing) == ["a", "b"]
    assert existing.sync()


WANTING = """
store = open_store(folder, "other")
record(store, document("theirs"))
from consist.store import embedded
embedded.EXIT_WAIT = 0.0
say("recorded")
wait()
store.close()
"""


def test_who_is_turned_away_leaves_a_mark_that_the_holder_honours(
    existing: EmbeddedStore, tmp_path: Path
) -> None:
    other = start(WANTING, tmp_path)
    assert other.stdout
    other.stdout.readline()
    with existing.database.alone(1.0) as alone:
        assert alone
        finish(other)  # ends without having got the database
        assert (existing.folder.path / "merge-wanted").exists()
    assert existing.sync()
    assert not (existing.folder.path / "merge-wanted").exists()
    assert ("theirs",) in merged(tmp_path, "SELECT id FROM run")


def test_a_mark_left_during_a_merge_is_honoured_after_it(
    existing: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consist.store import merge

    other = open_store(tmp_path, "other")
    record(existing, document("b"))
    settle = merge.Session.settle
    marked: list[bool] = []

    def turned_away_meanwhile(session: merge.Session) -> None:
        if not marked:
            record(other, document("late"))
            existing.folder.ask_for_merge()
        marked.append(True)
        settle(session)

    monkeypatch.setattr(merge.Session, "settle", turned_away_meanwhile)
    existing.sync()
    assert len(marked) == 2
    assert ("late",) in merged(tmp_path, "SELECT id FROM run")
    other.close()


MERGING = """
store = open_store(folder, "run" + str(os.getpid()))
say("ready")
wait()
for n in range(30):
    record(store, document())
    if n % 3 == 0:
        store.sync()
store.close()
"""


def test_mergers_at_once_store_every_record_once(tmp_path: Path) -> None:
    children = [start(MERGING, tmp_path) for _ in range(3)]
    for process in children:
        assert process.stdout
        process.stdout.readline()
    for process in children:
        finish(process)
    store = open_store(tmp_path)
    assert len(ids(store)) == len(set(ids(store))) == 90
    assert store.sync()
    store.close()
    assert merged(tmp_path, "SELECT count(*), count(DISTINCT uid) FROM run") == [(90, 90)]
    assert merged(tmp_path, "SELECT count(*) FROM run_artifact_link") == [(90,)]


def test_journals_come_and_go_while_questions_are_asked(tmp_path: Path) -> None:
    """Each child's journal appears, is merged and removed; no question may miss a record."""
    store = open_store(tmp_path, lock_wait=60.0)
    code = 'store = open_store(folder, "c"); record(store, document()); store.close()'
    seen = 0
    children = [start(code, tmp_path) for _ in range(6)]
    while any(process.poll() is None for process in children):
        record(store, document())
        seen += 1
        found = ids(store)
        assert len(found) == len(set(found)) >= seen
        store.sync(0.0)
    for process in children:
        finish(process)
    assert len(ids(store)) == seen + 6
    store.close()


def test_threads_record_ask_and_merge_together(store: EmbeddedStore, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(10):
                done = record(store, document(f"t{number}_{n}"))
                assert done.run.id in ids(store)
                if n % 4 == number % 4:
                    store.sync()
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(ids(store)) == 40
    store.close()
    assert merged(tmp_path, "SELECT count(*), count(DISTINCT uid) FROM run") == [(40, 40)]


def test_a_long_lived_process_merges_in_the_background(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.store.background.GRACE", 0.0)
    monkeypatch.setattr("consist.store.background.INTERVAL", 0.05)
    record(store, document("a"))
    deadline = time.monotonic() + 20
    while store.belonging.folder.stamp() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    with holding(tmp_path):
        record(store, document("b"))
        time.sleep(0.3)
    while time.monotonic() < deadline:
        if store.folder.state().generation >= 2:  # type: ignore[union-attr]
            break
        time.sleep(0.02)
    store.background.stop()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(2,)]


TRY_MERGE = """
store = open_store(folder, "other")
record(store, document("theirs"))
say(store.sync(0.2))
store.close()
"""


def test_a_descriptor_closed_in_our_process_lets_no_other_process_of_ours_in(
    existing: EmbeddedStore, tmp_path: Path
) -> None:
    """Closing any descriptor of a file drops DuckDB's own lock; ours lies on another file."""
    with existing.database.alone(1.0), existing.database.writing(1.0) as connection:
        assert connection is not None
        with existing.db_path.open("rb") as descriptor:
            descriptor.read(16)
        other = start(TRY_MERGE.replace("store.close()", "os._exit(0)"), tmp_path)
        assert finish(other).split() == ["False"]
    assert existing.sync()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(2,)]


OWN_OPENINGS = """
opened = []
def audit(event, args):
    if event == "open" and str(args[0]) == str(folder / "db.duckdb"):
        opened.append(args)
sys.addaudithook(audit)
store = open_store(folder)
for n in range(3):
    record(store, document()); ids(store); store.sync(); store.candidates("none")
with store.ask() as connection:
    record(store, document()); store.candidates("nothing"); store.claim("x"); store.sync(0.0)
with store.engine.connect(): pass
store.close()
say(opened)
"""


def test_our_own_code_opens_the_database_file_through_duckdb_only(tmp_path: Path) -> None:
    from tests.unit.store.children import run_child

    assert run_child(OWN_OPENINGS, tmp_path) == ["[]"]


def test_a_process_of_ours_that_merges_is_named(existing: EmbeddedStore, tmp_path: Path) -> None:
    code = """
store = open_store(folder, "other")
with store.database.alone(1.0):
    say("alone")
    wait()
"""
    with child(code, tmp_path) as holder, pytest.raises(StoreLocked) as error:
        ids(existing)
    assert f"process {holder.pid}" in str(error.value)


def test_asking_whether_a_file_is_locked_takes_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert not locks.is_locked(str(path))
    path.write_text("")
    assert not locks.is_locked(str(path))
    holder = locks.open_guarded(str(path), os.O_RDWR)
    assert locks.try_flock(holder)
    assert locks.is_locked(str(path))
    locks.close_guarded(holder)
    assert not locks.is_locked(str(path))
    assert [item.name for item in tmp_path.iterdir()] == ["journal"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell")
def test_a_process_that_died_and_was_not_waited_for_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        known = locks.ProcessRecord(os.uname().nodename, child.pid, locks._process_start(child.pid))
        assert not locks.has_ended(known)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and still listed
        assert Path(f"/proc/{child.pid}").exists()
        assert locks.has_ended(known)
    finally:
        child.communicate()
