"""Forks, pools and kills: every process writes a journal of its own and keeps nobody's lock."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consist.store.journals import list_journals
from tests.unit.store.children import finish, run_child, start
from tests.unit.store.worlds import document, ended, ids, merged, open_store, record, table

if TYPE_CHECKING:
    from consist.store.embedded import EmbeddedStore

FORK = """
store = open_store(folder)
record(store, document("parent before"))
ids(store)
store.candidates("signature of parent before")
if {merged}: store.sync()
pid = os.fork()
if pid == 0:
    record(store, document("child"))
    assert "child" in ids(store) and "parent before" in ids(store)
    assert store.candidates("signature of parent before")
    assert not store.candidates("signature of nobody")
    store.close()
    os._exit(0)
record(store, document("parent meanwhile"))
assert os.waitpid(pid, 0)[1] == 0
record(store, document("parent after"))
say(ids(store))
store.close()
"""


@pytest.mark.parametrize("was_merged", [True, False])
def test_records_of_both_sides_of_a_fork_survive(tmp_path: Path, *, was_merged: bool) -> None:
    (line,) = run_child(FORK.format(merged=was_merged), tmp_path)
    assert line == "['child', 'parent after', 'parent before', 'parent meanwhile']"
    assert merged(tmp_path, "SELECT count(*), count(DISTINCT uid) FROM run") == [(4, 4)]


POOL = """
import multiprocessing
store = open_store(folder)

def work(number):
    found = globals().get("mine") or store
    record(found, document("child %d" % number))
    return found.candidates("signature of parent") != []

def begin(path):
    global mine
    mine = open_store(Path(path))

if __name__ == "__main__":
    record(store, document("parent"))
    ids(store)
    context = multiprocessing.get_context({method!r})
    with context.Pool(3) as pool:
        assert all(pool.map(work, range(12)))
        pool.close()
        pool.join()
    say(len(ids(store)))
    store.close()
"""


def test_children_of_a_forked_pool_record_and_merge_at_their_end(tmp_path: Path) -> None:
    assert run_child(POOL.format(method="fork"), tmp_path) == ["13"]
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(13,)]
    assert not list((tmp_path / "db.duckdb.journal").glob("*.journal"))


SPAWNED = """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
from tests.unit.store.spawned import work
if __name__ == "__main__":
    store = open_store(folder)
    record(store, document("parent"))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert all(pool.map(work, [(str(folder), n) for n in range(6)]))
    say(len(ids(store)))
    store.close()
"""


def test_children_of_a_spawned_pool_record_and_merge_at_their_end(tmp_path: Path) -> None:
    assert run_child(SPAWNED, tmp_path) == ["7"]
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(7,)]


FORK_WHILE_MERGING = """
import threading
from consist.store import merge
store = open_store(folder)
for n in range(300):
    record(store, document("before %d" % n))
middle, go_on = threading.Event(), threading.Event()
original = merge.Session._retire
def slow(session, *args):
    middle.set(); go_on.wait(20)
    original(session, *args)
merge.Session._retire = slow
merger = threading.Thread(target=store.sync)
merger.start()
middle.wait(20)
pid = os.fork()
if pid == 0:
    merge.Session._retire = original
    record(store, document("child"))
    time.sleep(0.5)
    store.close()  # the parent merges still: this ends in time all the same
    os._exit(0)
go_on.set()
merger.join()
say(store.sync())
assert os.waitpid(pid, 0)[1] == 0
say(store.sync(), len(ids(store)))
store.close()
"""


def test_a_fork_in_the_middle_of_a_merge(tmp_path: Path) -> None:
    assert run_child(FORK_WHILE_MERGING, tmp_path) == ["True", "True 301"]
    assert merged(tmp_path, "SELECT count(*), count(DISTINCT uid) FROM run") == [(301, 301)]


FORK_WHILE_ASKING = """
store = open_store(folder)
record(store, document("a"))
store.sync()
with store.ask() as connection:
    pid = os.fork()
    if pid == 0:
        try:
            sys.exit(0)  # leaves the block, in the child
        finally:
            pass
    assert os.waitpid(pid, 0)[1] == 0
    assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
record(store, document("b"))
say(store.sync(), ids(store))
store.close()
"""


def test_a_fork_in_the_middle_of_a_question(tmp_path: Path) -> None:
    assert run_child(FORK_WHILE_ASKING, tmp_path) == ["True ['a', 'b']"]


LOCK_KEEPING = """
store = open_store(folder)
record(store, document("a"))
with store.ask(): pid = os.fork()
if pid == 0:
    sys.stdin.close(); os.close(0); time.sleep(60); os._exit(0)
say(pid)
record(store, document("b", status="running"))
os._exit(9)
"""


def test_a_child_that_lives_on_keeps_no_lock_of_its_parent(tmp_path: Path) -> None:
    process = start(LOCK_KEEPING, tmp_path)
    assert process.stdout
    pid = int(process.stdout.readline())
    process.wait(20)
    try:
        os.kill(pid, 0)
        store = open_store(tmp_path)
        assert store.sync()
        assert table(store, "SELECT id, status FROM run ORDER BY id") == [
            ("a", "completed"),
            ("b", "interrupted"),
        ]
        store.close()
    finally:
        os.kill(pid, signal.SIGKILL)
        process.communicate()


RUNNING = """
store = open_store(folder, "other")
record(store, document("theirs", status="running"))
say(os.getpid())
wait()
os._exit(9)
"""


def test_interrupted_runs_are_told_apart_from_running_ones(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    living, dying = start(RUNNING, tmp_path), start(RUNNING.replace("theirs", "dead"), tmp_path)
    assert living.stdout
    assert dying.stdout
    living.stdout.readline()
    pid = int(dying.stdout.readline())
    record(store, document("mine", status="running"))
    store.sync()
    assert set(table(store, "SELECT status FROM run")) == {("running",)}
    dying.kill()
    dying.communicate()
    statuses = [("dead", "interrupted"), ("mine", "running"), ("theirs", "running")]
    assert table(store, "SELECT id, status FROM run ORDER BY id") == statuses
    store.sync()
    assert merged(tmp_path, "SELECT id, status FROM run ORDER BY id") == statuses
    ((who,),) = table(store, "SELECT meta->'interrupted' FROM run WHERE id = 'dead'")
    assert f'"pid":{pid}' in who
    ((process,),) = table(store, "SELECT extra->'process' FROM run_extra WHERE run_id = 'theirs'")
    assert f'"pid":{living.pid}' in process
    living.communicate("\n")


def test_a_run_left_open_by_a_closed_store_is_interrupted(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record(store, document("a", status="running"))
    store.close()
    assert merged(tmp_path, "SELECT status FROM run") == [("interrupted",)]


def test_an_exit_without_close_merges(tmp_path: Path) -> None:
    run_child('store = open_store(folder); record(store, document("a"))', tmp_path)
    assert merged(tmp_path, "SELECT id FROM run") == [("a",)]


def test_a_journal_rotates_and_its_runs_stay_alive(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.store.journal.ROTATE_AT", 4_000)
    begun = record(store, document("long", status="running"))
    for _ in range(20):
        record(store, document())
    assert len(list_journals(store.folder.path)) > 3
    other = open_store(tmp_path, "other")
    assert other.sync()
    assert table(other, "SELECT status FROM run WHERE id = 'long'") == [("running",)]
    assert len(ids(other)) == 21
    other.close()
    record(store, ended(begun))
    store.close()
    assert merged(tmp_path, "SELECT count(*) FROM run WHERE status = 'completed'") == [(21,)]
    assert not list_journals(store.folder.path)


def test_every_journal_is_forced_to_the_disk_where_asked(tmp_path: Path) -> None:
    done = run_child(
        """
synced = []
fdatasync = os.fdatasync
os.fdatasync = lambda d: (synced.append(d), fdatasync(d))
store = open_store(folder, durability="disk")
record(store, document("a"))
first = len(synced)
for _ in range(50): record(store, document())
time.sleep(0.3)
say(first, len(synced) > first, len(synced) < 20)
store.close()
""",
        tmp_path,
    )
    assert done == ["1 True True"]
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(51,)]


def test_finished_children_are_waited_for() -> None:
    """Keep the helper honest: a child that fails fails the test."""
    with pytest.raises(AssertionError, match="boom"):
        finish(start("raise SystemExit('boom')", Path()))
