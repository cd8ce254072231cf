"""A database that was deleted, restored, replaced or shared is noticed and made complete."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.store.children import run_child, start
from tests.unit.store.worlds import document, ended, ids, merged, open_store, record, table

if TYPE_CHECKING:
    from pathlib import Path

MISSING = "is not the database that its journal belongs to"


def recorded(folder: Path, *names: str, run_dir: str = "runs") -> None:
    store = open_store(folder, run_dir)
    for name in names:
        record(store, document(name))
    store.close()


def notices(caplog: pytest.LogCaptureFixture) -> int:
    return sum(MISSING in message for message in caplog.messages)


@pytest.mark.parametrize("opened", [True, False], ids=["while open", "while closed"])
def test_a_deleted_database_comes_back_with_one_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, opened: bool
) -> None:
    recorded(tmp_path, "a", "b")
    recorded(tmp_path, "c", run_dir="elsewhere")
    store = open_store(tmp_path)
    if not opened:
        store.close()
    (tmp_path / "db.duckdb").unlink()
    if not opened:
        store = open_store(tmp_path)
    record(store, document("d"))
    assert ids(store) == ["a", "b", "c", "d"]
    assert table(store, "SELECT count(*) FROM run_artifact_link") == [(4,)]
    assert table(store, "SELECT count(*) FROM run_config_kv") == [(8,)]
    store.close()
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(4,)]
    recorded(tmp_path, "e")
    assert notices(caplog) == 1


def test_hits_need_no_database(tmp_path: Path) -> None:
    recorded(tmp_path, "a")
    (tmp_path / "db.duckdb").unlink()
    store = open_store(tmp_path)
    assert [d.run.id for d in store.candidates("signature of a")] == ["a"]
    assert store.incomplete is None
    assert not store.db_path.exists(), "a look-up fills nothing in"
    store.close()


def test_a_database_restored_from_yesterday_gets_today_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(tmp_path, "a")
    shutil.copy2(tmp_path / "db.duckdb", tmp_path / "yesterday")
    for name in "bcd":
        recorded(tmp_path, name)
    store = open_store(tmp_path)
    begun = record(store, document("e", status="running"))
    store.sync()
    record(store, ended(begun))
    store.close()
    shutil.copy2(tmp_path / "yesterday", tmp_path / "db.duckdb")
    again = open_store(tmp_path)
    assert ids(again, "status = 'completed'") == ["a", "b", "c", "d", "e"]
    assert table(again, "SELECT count(*) FROM run") == [(5,)]
    again.close()
    assert notices(caplog) == 1


def test_a_database_of_another_store_takes_our_runs_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    recorded(ours, "a", "same")
    recorded(theirs, "b", "same")
    shutil.copy2(theirs / "db.duckdb", ours / "db.duckdb")
    store = open_store(ours)
    assert ids(store) == ["a", "b", "same", "same~2"]
    found = table(store, "SELECT meta->>'renamed_from', attempt FROM run WHERE id = 'same~2'")
    assert found == [("same", 2)]
    assert [d.run.id for d in store.candidates("signature of b")] == ["b"]
    assert [d.run.id for d in store.candidates("signature of a")] == ["a"]
    store.close()
    assert notices(caplog) == 1
    again = open_store(ours)
    assert ids(again) == ["a", "b", "same", "same~2"]
    assert [d.run.id for d in again.candidates("signature of b")] == ["b"]
    again.close()
    assert notices(caplog) == 1


def test_a_database_shared_without_its_journals_is_complete_for_look_ups(tmp_path: Path) -> None:
    recorded(tmp_path / "ours", "a", "b")
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copy2(tmp_path / "ours/db.duckdb", shared / "db.duckdb")
    store = open_store(shared)
    (found,) = store.candidates("signature of a")
    assert found.run.id == "a"
    assert [artifact.key for artifact in found.outputs] == ["table_0"]
    assert store.located(found.outputs[0].location) is not None
    assert store.incomplete is None
    record(store, document("c"))
    assert ids(store) == ["a", "b", "c"]
    store.close()
    assert merged(shared, "SELECT count(*) FROM run") == [(3,)]
    assert not merged(shared, "SELECT id FROM run WHERE id LIKE '%~%'")


HOLDER = """
import duckdb
connection = duckdb.connect(str(folder / "db.duckdb"))
say("held")
wait()
connection.close()
say("free")
wait()
"""


def test_look_ups_in_a_shared_database_that_is_held_say_that_they_are_incomplete(
    tmp_path: Path,
) -> None:
    recorded(tmp_path / "ours", "a")
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copy2(tmp_path / "ours/db.duckdb", shared / "db.duckdb")
    holder = start(HOLDER, shared)
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    store = open_store(shared)
    assert store.candidates("signature of a") == []
    assert str(holder.pid) in (store.incomplete or "")
    record(store, document("b"))
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "free\n"
    store.lookups._retry_at = 0.0  # otherwise a second from now
    assert [d.run.id for d in store.candidates("signature of a")] == ["a"]
    assert store.incomplete is None
    store.close()
    holder.communicate("\n")
    assert merged(shared, "SELECT id FROM run ORDER BY id") == [("a",), ("b",)]


def test_interrupted_runs_stay_interrupted_when_the_database_is_filled_again(
    tmp_path: Path,
) -> None:
    child = start(
        """
store = open_store(folder)
record(store, document("killed", status="running"))
os._exit(9)
""",
        tmp_path,
    )
    child.communicate()
    recorded(tmp_path, "a")
    assert merged(tmp_path, "SELECT status FROM run WHERE id = 'killed'") == [("interrupted",)]
    recorded(tmp_path, "b")
    (tmp_path / "db.duckdb").unlink()
    store = open_store(tmp_path)
    assert ids(store, "status = 'interrupted'") == ["killed"]
    store.close()


def test_a_lost_journal_folder_costs_nothing_that_was_merged(tmp_path: Path) -> None:
    recorded(tmp_path, "a", "b")
    shutil.rmtree(tmp_path / "db.duckdb.journal")
    store = open_store(tmp_path)
    assert ids(store) == ["a", "b"]
    assert store.candidates("signature of b")
    store.close()


def test_a_journal_removed_under_our_hands_is_begun_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record(store, document("a"))
    shutil.rmtree(store.folder.path)
    record(store, document("b"))
    assert store.sync()
    assert "b" in ids(store)
    store.close()


def test_a_plain_client_that_wrote_to_the_database_changes_nothing(tmp_path: Path) -> None:
    import duckdb

    recorded(tmp_path, "a")
    with duckdb.connect(str(tmp_path / "db.duckdb")) as connection:
        connection.execute("CREATE TABLE notes AS SELECT 'mine' AS note")
    store = open_store(tmp_path)
    assert ids(store) == ["a"]
    record(store, document("b"))
    store.close()
    assert merged(tmp_path, "SELECT note FROM notes") == [("mine",)]


def test_an_index_behind_reads_merged_journals_and_not_the_database(tmp_path: Path) -> None:
    """As on a cluster, where every host has an index of its own."""
    here = open_store(tmp_path)
    here.merger.network = True
    run_child('store = open_store(folder); record(store, document("a")); store.close()', tmp_path)
    there = open_store(tmp_path)
    there.index._file.path = tmp_path / "other host.sqlite"
    record(here, document("b"))
    here.sync()
    here.close()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("consist.store.lookups.learn_all", None)
        assert there.candidates("signature of b")
    there.close()


def test_without_index_and_with_an_old_database_look_ups_say_that_they_are_incomplete(
    tmp_path: Path,
) -> None:
    recorded(tmp_path, "a")
    shutil.copy2(tmp_path / "db.duckdb", tmp_path / "yesterday")
    for name in "bcd":
        recorded(tmp_path, name)
    shutil.copy2(tmp_path / "yesterday", tmp_path / "db.duckdb")
    for path in (tmp_path / "db.duckdb.journal").glob("index.sqlite*"):
        path.unlink()
    store = open_store(tmp_path)
    assert not store.candidates("signature of b")
    assert "until the next merge" in (store.incomplete or "")
    assert store.sync()
    store.lookups._retry_at = 0.0  # otherwise a second from now
    assert store.candidates("signature of b")
    assert store.incomplete is None
    store.close()


def test_look_ups_do_not_wait_for_a_merge(tmp_path: Path) -> None:
    recorded(tmp_path, "a")
    store, other = open_store(tmp_path), open_store(tmp_path, "other")
    record(other, document("b"))
    with other.database.alone(1.0), other.database.writing(1.0) as connection:
        assert connection is not None
        connection.execute("CREATE TABLE consist_db.something AS SELECT 1 AS x")
        connection.execute("CHECKPOINT consist_db")
        began = time.perf_counter()
        assert store.candidates("signature of b")
        assert not store.candidates("signature of nobody")
        assert time.perf_counter() - began < 0.2
        assert store.incomplete is None
    store.close()
    other.close()
