"""Leases: one holder at a time, gone with its owner, and nothing left behind."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from consist.models.record import ProcessRecord, encode
from consist.store import leases, locks
from consist.store.leases import STALE, Holder, Lease, Leases
from tests.unit.store.children import child, finish, start
from tests.unit.store.worlds import document, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD = """
from consist.store.leases import Leases
lease = Leases(folder / "leases").take("name", "child")
say("held")
wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def held(folder: Path) -> Iterator[Lease]:
    lease = Leases(folder).take("name", "work")
    assert isinstance(lease, Lease)
    yield lease
    lease.release()


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be a file system without locks: all of them can be had, and exclude nobody."""

    def had(descriptor: int, mode: int = 0) -> bool:
        return True

    monkeypatch.setattr(locks, "try_flock", had)
    monkeypatch.setattr(locks, "locks_work", lambda _: False)


def write(path: Path, process: ProcessRecord, age: float = 0.0) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(Holder(process, "token", "their work")))
    os.utime(path, (time.time() - age, time.time() - age))


def take(folder: Path, name: str = "name") -> Lease | Holder | None:
    return Leases(folder).take(name, "other work")


def can_be_taken(folder: Path, name: str = "name") -> bool:
    lease = take(folder, name)
    if isinstance(lease, Lease):
        lease.release()
        return True
    return False


# ---------------------------------------------------------------- one holder


def test_a_lease_is_had_once_and_tells_whose_it_is(folder: Path, held: Lease) -> None:
    holder = take(folder)
    assert isinstance(holder, Holder)
    assert (holder.process, holder.what) == (locks.this_process(), "work")
    assert can_be_taken(folder, "another name")
    held.release()
    assert not list(folder.iterdir())
    again = take(folder)
    assert isinstance(again, Lease)
    held.release()  # a second time: the new one stays
    assert isinstance(take(folder), Holder)
    again.release()


def test_of_many_who_try_at_once_one_gets_it(folder: Path) -> None:
    count, rounds = 8, 20
    start, end = Barrier(count), Barrier(count)

    def compete(shared: Leases) -> list[bool]:
        won: list[bool] = []
        for number in range(rounds):
            start.wait()
            found = shared.take(f"{number}", "work")
            won.append(isinstance(found, Lease))
            end.wait()
            if isinstance(found, Lease):
                found.release()
        return won

    with ThreadPoolExecutor(count) as pool:
        tasks = [pool.submit(compete, Leases(folder)) for _ in range(count)]
        results = [task.result() for task in tasks]
    assert [sum(wins) for wins in zip(*results, strict=True)] == [1] * rounds
    assert not list(folder.iterdir())


def test_of_many_who_find_a_dead_owner_one_takes_over(folder: Path) -> None:
    count, rounds = 8, 20
    gone = ProcessRecord(locks.this_process().host, os.getpid(), -1.0)
    start, end = Barrier(count), Barrier(count)

    def compete(number: int) -> list[bool]:
        won: list[bool] = []
        for turn in range(rounds):
            if number == 0:
                write(folder / f"{turn}", gone)
            start.wait()
            found = take(folder, f"{turn}")
            while isinstance(found, Holder) and found.token == "token":
                found = take(folder, f"{turn}")  # another looked at the same moment
            won.append(isinstance(found, Lease))
            end.wait()
            if isinstance(found, Lease):
                found.release()
        return won

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(compete, range(count)))
    assert [sum(wins) for wins in zip(*results, strict=True)] == [1] * rounds


# ---------------------------------------------------------------- dead owners


def test_a_process_that_was_killed_has_nothing_any_more(folder: Path, tmp_path: Path) -> None:
    with child(HOLD, tmp_path) as process:
        holder = take(folder)
        assert isinstance(holder, Holder)
        assert holder.process is not None
        assert holder.process.pid == process.pid
        process.kill()
        process.wait()
        assert can_be_taken(folder)
    assert not list(folder.iterdir())


def test_where_locks_do_not_work_the_process_tells(
    folder: Path, tmp_path: Path, no_locks: None
) -> None:
    with child(HOLD, tmp_path) as process:
        assert isinstance(take(folder), Holder)
        process.kill()
        process.wait()
        assert can_be_taken(folder)


@pytest.mark.parametrize("locking", [True, False])
def test_on_another_host_the_time_tells(
    folder: Path, locking: bool, request: pytest.FixtureRequest
) -> None:
    if not locking:
        request.getfixturevalue("no_locks")
    elsewhere = ProcessRecord("elsewhere", 1, 1.0)
    write(folder / "name", elsewhere, age=STALE / 2)
    assert isinstance(take(folder), Holder)
    write(folder / "name", elsewhere, age=STALE * 2)
    assert can_be_taken(folder)


def test_the_time_is_that_of_the_file_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "name", ProcessRecord("elsewhere", 1, 1.0))
    monkeypatch.setattr(time, "time", lambda: 1e10)  # our clock is centuries ahead
    assert isinstance(take(folder), Holder)
    assert [path.name for path in folder.iterdir()] == ["name"]


def test_whoever_holds_the_lock_lives_whatever_the_time_says(folder: Path, held: Lease) -> None:
    os.utime(folder / "name", (0, 0))
    assert isinstance(take(folder), Holder)


def test_what_was_taken_from_a_holder_that_lives_is_not_its_to_remove(folder: Path) -> None:
    first = take(folder)
    assert isinstance(first, Lease)
    (folder / "name").unlink()  # by another host, where its locks are not seen
    second = take(folder)
    assert isinstance(second, Lease)
    first.release()
    assert isinstance(take(folder), Holder)
    second.release()
    assert not list(folder.iterdir())


SIGNS_OF_LIFE = """
from consist.store import leases
leases.BEAT = 0.01

def is_touched():
    found = leases.Leases(folder / "leases")
    for name in ("first", "second"):  # the thread ends when there are none, and begins again
        lease, path = found.take(name, "work"), folder / "leases" / name
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.001)
        if name == "first":
            lease.release()
            while leases._heart._beats:
                time.sleep(0.001)

is_touched()
pid = os.fork()
if pid == 0:
    assert not leases._heart._held
    parents = folder / "leases" / "second"
    assert isinstance(leases.Leases(folder / "leases").take("second", "child"), leases.Holder)
    parents.rename(folder / "kept")
    is_touched()
    os._exit(0)
say(os.waitpid(pid, 0)[1])
os.utime(folder / "kept", (0, 0))
while (folder / "kept").stat().st_mtime == 0:
    time.sleep(0.001)
say("parent")
"""


def test_an_owner_gives_signs_of_life_also_after_a_fork(tmp_path: Path) -> None:
    assert finish(start(SIGNS_OF_LIFE, tmp_path), timeout=60).splitlines() == ["0", "parent"]


FORK = """
from consist.store import locks
from consist.store.leases import Holder, Leases

lease = Leases(folder / "leases").take("name", "work")
pid = os.fork()
if pid == 0:
    own = locks.open_guarded(str(folder / "own"), os.O_RDWR | os.O_CREAT)
    while own != lease._descriptor:  # the number is free again in the child
        own = locks.open_guarded(str(folder / "own"), os.O_RDWR)
    lease.release()
    os.fstat(own)
    os._exit(not isinstance(Leases(folder / "leases").take("name", "child"), Holder))
say(os.waitpid(pid, 0)[1], os.listdir(folder / "leases"))
lease.release()
say(os.listdir(folder / "leases"))
"""


def test_a_forked_child_cannot_release_what_its_parent_holds(tmp_path: Path) -> None:
    assert finish(start(FORK, tmp_path)).splitlines() == ["0 ['name']", "[]"]


def test_without_a_thread_the_lock_alone_tells(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*args: object, **kwargs: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(leases, "_heart", leases._Heart())
    monkeypatch.setattr(leases.threading, "Thread", none_left)
    lease = take(folder)
    assert isinstance(lease, Lease)
    assert isinstance(take(folder), Holder)
    lease.release()
    assert can_be_taken(folder)


# ---------------------------------------------------------------- what stays behind


def test_a_merge_clears_away_what_dead_owners_left(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    folder = tmp_path / "db.duckdb.journal" / "leases"
    elsewhere = ProcessRecord("elsewhere", 1, 1.0)
    write(folder / "dead", elsewhere, age=STALE * 2)
    write(folder / "alive", elsewhere)
    (folder / ".clock-0").touch()
    os.utime(folder / ".clock-0", (0, 0))
    held = store.try_lease("held", "work")
    assert isinstance(held, Lease)
    os.utime(folder / "held", (0, 0))
    store.append(document())
    assert store.sync()
    assert sorted(path.name for path in folder.iterdir()) == ["alive", "held"]
    held.release()
    store.close()


def test_a_lease_that_cannot_be_written_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    assert can_be_taken(folder)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert take(folder) is None
    assert caplog.messages == [f"{folder} cannot keep leases: No space left on device"]
    assert not list(folder.iterdir())
    assert can_be_taken(folder)


def test_a_link_to_nowhere_is_no_endless_loop(folder: Path) -> None:
    folder.mkdir()
    (folder / "name").symlink_to("nowhere")
    assert take(folder) is None


# ---------------------------------------------------------------- in a store


def test_whoever_asked_for_a_lease_knows_what_was_recorded_before(tmp_path: Path) -> None:
    store, other = open_store(tmp_path), open_store(tmp_path, "other")
    store.append(document("ours", signature="s"))
    assert len(store.candidates("s")) == 1
    store._look_at = time.monotonic() + 1000  # it just looked at what others recorded
    other.append(document("theirs", signature="s"))
    lease = store.try_lease("s", "work")
    assert isinstance(lease, Lease)
    assert {found.run.id for found in store.candidates("s")} == {"ours", "theirs"}
    lease.release()
    store.close()
    other.close()


def test_a_store_that_is_only_read_keeps_none(tmp_path: Path) -> None:
    from consist.settings import Settings
    from consist.store.embedded import EmbeddedStore

    open_store(tmp_path).close()
    store = EmbeddedStore(tmp_path / "db.duckdb", tmp_path, Settings(), read_only=True)
    assert store.try_lease("name", "work") is None
    store.close()
    assert not (tmp_path / "db.duckdb.journal" / "leases").exists()
