"""What is acknowledged is found, asked and merged, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from consist.errors import TrackerClosed
from consist.models.record import Extra, LogEvent, RowEvent, replace
from tests.unit.store.worlds import (
    artifact,
    document,
    ended,
    ids,
    merged,
    open_store,
    record,
    table,
)

if TYPE_CHECKING:
    from pathlib import Path

    from consist.store.embedded import EmbeddedStore

TABLES = ("run", "run_extra", "artifact", "run_artifact_link", "run_config_kv", "config_facet")


def counts(store: EmbeddedStore) -> dict[str, int]:
    return {name: table(store, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}


def test_a_record_is_asked_before_and_after_it_is_merged(store: EmbeddedStore) -> None:
    record(store, document("a"))
    before = counts(store)
    rows = table(store, "SELECT * FROM run")
    assert before == dict.fromkeys(TABLES, 1) | {"run_config_kv": 2}
    assert store.sync()
    assert counts(store) == before
    assert table(store, "SELECT * FROM run") == rows


def test_merging_again_changes_nothing(store: EmbeddedStore, tmp_path: Path) -> None:
    record(store, document("a"))
    store.sync()
    before = counts(store)
    store.sync()
    store.sync()
    assert counts(store) == before
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(1,)]


@pytest.mark.parametrize("merge_between", [False, True])
def test_a_run_shows_its_latest_state_only(store: EmbeddedStore, *, merge_between: bool) -> None:
    begun = record(store, document("a", status="running", tables=0))
    assert table(store, "SELECT status FROM run") == [("running",)]
    if merge_between:
        store.sync()
    logged = artifact("logged", run_id="a")
    store.amend(LogEvent(begun.run.uid, "a", "output", (logged,)))
    assert table(store, "SELECT key FROM artifact") == [("logged",)]
    record(store, ended(begun, outputs=(logged,)))
    assert table(store, "SELECT status FROM run") == [("completed",)]
    assert table(store, "SELECT count(*) FROM run_extra") == [(1,)]
    assert table(store, "SELECT direction FROM run_artifact_link") == [("output",)]
    store.sync()
    assert table(store, "SELECT status FROM run") == [("completed",)]
    assert table(store, "SELECT direction FROM run_artifact_link") == [("output",)]
    assert table(store, "SELECT count(*) FROM run_config_kv") == [(2,)]


def test_shared_artifacts_contents_and_facets_are_stored_once(store: EmbeddedStore) -> None:
    made = artifact("made")
    record(store, document("a", outputs=(made,)))
    store.sync()
    record(store, document("b", inputs=(made,), outputs=()))
    for _ in range(2):
        assert table(store, "SELECT count(*) FROM artifact") == [(1,)]
        assert table(store, "SELECT count(*) FROM artifact_content") == [(1,)]
        assert table(store, "SELECT count(*) FROM config_facet") == [(1,)]
        assert table(store, "SELECT count(*) FROM run_artifact_link") == [(2,)]
        store.sync()


def test_one_artifact_is_input_and_output_of_a_run(store: EmbeddedStore) -> None:
    both = artifact("both")
    record(store, document("a", inputs=(both,), outputs=(both,)))
    found = table(store, "SELECT direction FROM run_artifact_link ORDER BY direction")
    assert found == [("input",), ("output",)]


def test_many_records_are_asked_without_a_merge(store: EmbeddedStore) -> None:
    done = [record(store, document()) for _ in range(60)]
    assert len(ids(store)) == 60
    begun = record(store, document("late", status="running"))
    assert len(ids(store)) == 61
    record(store, ended(begun))
    assert table(store, "SELECT count(*) FROM run WHERE status = 'completed'") == [(61,)]
    assert table(store, "SELECT count(DISTINCT uid) FROM run_extra e JOIN run r ON r.id = e.run_id")
    assert done[0].run.id in ids(store)


def test_the_engine_sees_every_acknowledged_record(store: EmbeddedStore, tmp_path: Path) -> None:
    record(store, document("a"))
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM run")).scalars().all() == ["a"]
    store.sync()
    record(store, document("b"))
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT id FROM run ORDER BY id"))
        assert found.scalars().all() == ["a", "b"]
    # Nothing is held between connections: another process could write now.
    assert store.database.path.exists()
    assert not store.database._readers


def test_two_stores_of_one_process_share_one_tail(store: EmbeddedStore, tmp_path: Path) -> None:
    other = open_store(tmp_path, "other")
    record(store, document("a"))
    assert ids(store) == ids(other) == ["a"]
    record(other, document("b"))
    assert ids(other) == ids(store) == ["a", "b"]
    other.sync()
    assert ids(store) == ids(other) == ["a", "b"]
    other.close()


def test_questions_may_nest_and_overlap(store: EmbeddedStore) -> None:
    record(store, document("a"))
    with store.ask() as outer:
        record(store, document("b"))
        with store.ask() as inner:
            assert inner.execute("SELECT count(*) FROM run").fetchone() == (2,)
        assert outer.execute("SELECT count(*) FROM run").fetchone() == (2,)
        assert not store.sync(0.0), "a merge does not pull the file from under a question"
    assert store.sync()


def test_asking_creates_no_database(store: EmbeddedStore) -> None:
    assert ids(store) == []
    assert not store.db_path.exists()


def test_a_finished_run_never_runs_again(store: EmbeddedStore) -> None:
    """Journals are read one after the other, so an older record may come later."""
    begun = document("a", status="running")
    done = ended(begun)
    store.append(done)
    store.sync()
    store.append(begun)
    assert table(store, "SELECT status FROM run") == [("completed",)]
    store.sync()
    assert table(store, "SELECT status FROM run") == [("completed",)]


def test_a_clock_set_back_loses_no_end(store: EmbeddedStore) -> None:
    begun = document("a", status="running")
    earlier = begun.run.updated_at - timedelta(days=1)
    done = replace(begun, run=replace(begun.run, status="completed", updated_at=earlier))
    store.append(begun)
    store.sync()
    store.append(done)
    assert table(store, "SELECT status FROM run") == [("completed",)]
    store.sync()
    assert table(store, "SELECT status FROM run") == [("completed",)]


def test_a_correction_from_another_process_outlives_the_order_of_reading(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    done = document("a")
    fixed = replace(
        done.run, status="failed", updated_at=done.run.updated_at + timedelta(seconds=1)
    )
    store.amend(RowEvent(fixed))  # an older journal, read first
    other = open_store(tmp_path, "other")
    record(other, done)
    assert table(store, "SELECT status FROM run") == [("failed",)]
    assert table(store, "SELECT count(*) FROM run_artifact_link") == [(1,)]
    store.sync()
    assert table(store, "SELECT r.status, e.run_id FROM run r, run_extra e") == [("failed", "a")]
    other.close()


def test_text_that_duckdb_refuses_does_not_stop_a_merge(store: EmbeddedStore) -> None:
    odd = {"nul": "a\0b", "escaped": r"a\u0000b", "quote": "it's", "big": 2**70, "n": float("nan")}
    record(store, document("a", meta=odd, facet=odd, description="nul \0 here"))
    store.sync()
    assert table(store, "SELECT meta->>'quote' FROM run") == [("it's",)]


def test_every_merge_refreshes_the_shape_that_others_see(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    record(store, document("a", tags=("x", "y"), meta={"k": [1, {"z": None}]}, year=2030))
    store.sync()
    found = merged(tmp_path, "SELECT tags->>0, meta->'k'->1, year, signature FROM run")
    assert found == [("x", '{"z":null}', 2030, "signature of a")]


def test_a_closed_store_refuses_by_name(store: EmbeddedStore) -> None:
    store.close()
    store.close()
    with pytest.raises(TrackerClosed):
        store.append(document())
    with pytest.raises(TrackerClosed), store.ask():
        pass


def test_closing_merges(store: EmbeddedStore, tmp_path: Path) -> None:
    record(store, document("a"))
    store.close()
    assert merged(tmp_path, "SELECT id FROM run") == [("a",)]
    assert not list(store.folder.path.glob("*.journal"))


def test_superseded_runs_are_no_sources_any_more(store: EmbeddedStore, tmp_path: Path) -> None:
    old = record(store, document("old", signature="s"))
    assert [d.run.id for d in store.candidates("s")] == ["old"]
    record(store, document("new", signature="s", extra=Extra(supersedes=(old.run.uid,))))
    assert [d.run.id for d in store.candidates("s")] == ["new"]
    store.close()
    again = open_store(tmp_path)
    assert [d.run.id for d in again.candidates("s")] == ["new"]
    again.close()


def test_a_run_corrected_to_failed_is_no_source_any_more(store: EmbeddedStore) -> None:
    done = record(store, document("a", signature="s"))
    assert store.candidates("s")
    store.amend(RowEvent(replace(done.run, status="failed")))
    assert not store.candidates("s")


def test_questions_that_find_everything_merged_change_no_answer(store: EmbeddedStore) -> None:
    states = "SELECT id, status FROM run ORDER BY id"
    begun = document("a", status="running", tables=0)
    record(store, begun)
    assert store.sync()
    expected = [("a", "running")]
    for name in ("b", "c"):
        assert [table(store, states) for _ in range(6)] == [expected] * 6
        record(store, document(name))
        expected.append((name, "completed"))
        assert table(store, states) == expected
        assert store.sync()
    record(store, ended(begun))
    expected[0] = ("a", "completed")
    assert table(store, states) == expected
    assert store.sync()
    assert [table(store, states) for _ in range(6)] == [expected] * 6
    parts = "SELECT (SELECT count(*) FROM merged.run), (SELECT count(*) FROM unmerged.run)"
    assert table(store, parts) == [(3, 0)]
