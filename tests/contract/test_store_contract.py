"""What every store promises to the rooms above it, with a database and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consist.errors import NoDatabase, StoreUnwritable
from consist.models.record import LogEvent, decode_document
from consist.store.leases import Holder, Lease
from consist.store.locks import this_process
from consist.store.snapshots import read_snapshot
from consist.store.unindexed import UnindexedStore
from tests.unit.store.test_rows import event_of, fill
from tests.unit.store.worlds import artifact, document, ended, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from consist.store.base import Store


@pytest.fixture(params=["embedded", "unindexed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    run_dir = tmp_path / "runs"
    run_dir.mkdir()
    opened: Store = open_store(tmp_path) if request.param == "embedded" else UnindexedStore(run_dir)
    yield opened
    opened.close()


@pytest.fixture
def indexed(store: Store) -> Store:
    """Return a store that can look up and be asked."""
    if not store.has_database:
        pytest.skip("promised by stores with a database only")
    return store


def test_append_returns_the_document_that_snapshots_hold(store: Store, tmp_path: Path) -> None:
    done = document("a/b c")
    text = store.append(done)
    assert decode_document(text) == done
    store.write_snapshot(done.run.id, text)
    assert read_snapshot(tmp_path / "runs", "a/b c") == done


def test_claims_are_never_given_twice(store: Store) -> None:
    claims = [store.claim("x") for _ in range(3)]
    assert [claim.attempt for claim in claims] == [1, 2, 3]
    assert len({claim.run_id for claim in claims}) == 3


def test_a_lease_is_given_once_until_it_is_released(store: Store) -> None:
    lease = store.try_lease("name", "work")
    if lease is None:  # a store may keep none, and never does then
        assert store.try_lease("name", "work") is None
        return
    assert isinstance(lease, Lease)
    holder = store.try_lease("name", "other work")
    assert isinstance(holder, Holder)
    assert (holder.process, holder.what) == (this_process(), "work")
    lease.release()
    again = store.try_lease("name", "other work")
    assert isinstance(again, Lease)
    again.release()


def test_closing_twice_is_closing_once(store: Store) -> None:
    store.append(document())
    store.close()
    store.close()


def test_candidates_come_newest_first(indexed: Store) -> None:
    for name in ("first", "second"):
        indexed.append(document(name, signature="s"))
    assert [found.run.id for found in indexed.candidates("s")] == ["second", "first"]
    assert indexed.incomplete is None


def test_runs_that_are_not_done_are_no_candidates(indexed: Store) -> None:
    begun = document("a", signature="s", status="running")
    indexed.append(begun)
    assert not indexed.candidates("s")
    indexed.append(ended(begun, "failed"))
    indexed.append(document("hit", signature="s", meta={"cache_hit": True}))
    assert not indexed.candidates("s")


def test_a_location_tells_its_latest_version(indexed: Store) -> None:
    old, new = artifact("a"), artifact("a", hash="other bytes")
    begun = document("a", status="running")
    indexed.append(begun)
    indexed.amend(LogEvent(begun.run.uid, "a", "output", (old,)))
    assert indexed.located(old.location) == old
    indexed.append(document("b", outputs=(new,)))
    assert indexed.located(old.location) == new
    assert indexed.located(("/elsewhere", "./a.csv", None, None)) is None


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"root": "", "container_uri": "/runs/d"}, ("b", True)),
        ({"root": "/runs/d/..", "meta": {"real_path": "/runs/d"}}, ("b", True)),
        ({"root": "", "container_uri": "m://d", "meta": {"mount_root": "/runs"}}, ("b", True)),
        ({"root": "", "container_uri": "/runs/d/inner"}, ("b", False)),
        (
            {"root": "", "container_uri": "/runs", "meta": {"artifact_kind": "directory"}},
            ("b", False),
        ),
        ({"root": "", "container_uri": "/runs", "hash": "a file"}, None),
        ({"root": "", "container_uri": "/runs/d2"}, None),
        ({"root": "", "container_uri": "/runs/d", "hash": "digest of d"}, None),
        ({"root": "", "container_uri": "m://d"}, None),
    ],
)
@pytest.mark.parametrize("written", [False, True])
def test_what_was_written_over_is_known_by_every_name(
    indexed: Store, place: dict[str, object], expected: tuple[str, bool] | None, written: bool
) -> None:
    folder = {"artifact_kind": "directory"}
    old = artifact("d", container_uri="./d", run_id="a", meta=folder)
    indexed.append(document("a", outputs=(old,)))
    assert indexed.overwritten(old) is None
    indexed.append(document("b", outputs=(artifact("other", run_id="b", **place),)))
    if written:
        assert indexed.sync()
    assert indexed.overwritten(old) == expected
    indexed.append(document("c", outputs=(artifact("e", run_id="c"),)))
    assert indexed.overwritten(old) == expected


def test_what_the_same_run_wrote_around_an_output_is_no_news(indexed: Store) -> None:
    folder = artifact("d", container_uri="./d", run_id="a", meta={"artifact_kind": "directory"})
    inside = artifact("f", container_uri="./d/f", run_id="a")
    indexed.append(document("a", outputs=(folder, inside)))
    assert indexed.overwritten(folder) is None
    assert indexed.overwritten(inside) is None


def test_a_question_sees_what_was_acknowledged(indexed: Store) -> None:
    seen: list[bool] = []
    indexed.furnish(lambda connection, _: seen.append(len(str(connection)) > 0))
    indexed.append(document("a"))
    with indexed.ask() as connection:
        assert connection.execute("SELECT id FROM run").fetchall() == [("a",)]
    assert seen == []  # who names no view does not pay for them
    with indexed.ask(views=True) as connection:
        assert connection.execute("SELECT id FROM run").fetchall() == [("a",)]
    assert seen == [True]
    assert indexed.sync()


@pytest.mark.parametrize("now", [True, False])
def test_rows_are_there_once_they_are_acknowledged(indexed: Store, now: bool) -> None:
    done = document("a")
    indexed.append(done)
    with indexed.stage() as staged:
        fill(staged.path, 3)
        event = event_of(done, staged.name, 3)
        (indexed.ingest_now if now else indexed.ingest)(event, staged)
    for _ in range(2):
        with indexed.rows_of(event.artifact.id) as found:
            assert found is not None
            assert found.rows.count == 3
        with indexed.ask() as connection:
            rows = connection.execute("SELECT count(*) FROM global_tables.t").fetchall()
            assert rows == [(3,)]
        assert indexed.sync()
    located = indexed.located(event.artifact.location)
    assert located is not None
    assert located.meta["is_ingested"]


def test_rows_whose_staging_failed_were_never_there(indexed: Store) -> None:
    with pytest.raises(ZeroDivisionError), indexed.stage() as staged:
        raise ZeroDivisionError
    assert not staged.path.exists()


def test_without_a_database_there_are_no_rows(tmp_path: Path) -> None:
    store = UnindexedStore(tmp_path)
    with pytest.raises(NoDatabase):
        store.stage()
    with pytest.raises(NoDatabase):
        store.rows_of("id")


def test_without_a_database_nothing_is_looked_up(tmp_path: Path) -> None:
    store = UnindexedStore(tmp_path)
    store.append(document("a", signature="s"))
    assert store.candidates("s") == []
    assert store.located(("", "./a", None, None)) is None
    assert store.overwritten(artifact()) is None
    assert store.attempts("a") == {}
    assert store.engine is None
    with pytest.raises(NoDatabase):
        store.ask()


def test_a_store_that_cannot_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = UnindexedStore(tmp_path / "file")
    with pytest.raises(StoreUnwritable):
        store.write_snapshot("a", store.append(document("a")))
