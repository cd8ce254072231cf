"""The latest executed runs of a model, and runs of a signature that never count."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from consist.models.record import NULL, Extra, RowEvent, RunDocument, raw, replace
from consist.store.embedded import EmbeddedStore
from consist.store.index_file import RECENT_KEPT
from tests.unit.store.worlds import artifact, document, open_store, record


def made(number: int, model: str = "m", **values: object) -> RunDocument:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return document(
        f"{model}{number}", model_name=model, created_at=at, config_hash=f"c{number}", **values
    )


def names(store: EmbeddedStore, model: str = "m") -> list[str]:
    found = (store.recent_document(model, earlier.uid) for earlier in store.recent(model))
    return [found.run.id for found in found if found is not None]


def index_file(folder: Path) -> Path:
    return folder / "db.duckdb.journal" / "index.sqlite"


def test_the_latest_runs_of_a_model_come_newest_first(store: EmbeddedStore) -> None:
    for number in (2, 1, 3):
        record(store, made(number))
    record(store, made(9, model="other"))
    assert names(store) == ["m3", "m2", "m1"]
    assert [earlier.config for earlier in store.recent("m")] == ["c3", "c2", "c1"]
    assert names(store, "nobody") == []
    assert store.recent_document("m", "nobody") is None


@pytest.mark.parametrize(
    "values",
    [
        {"status": "running"},
        {"meta": {"cache_hit": True}},
        {"signature": None, "extra": Extra(reusable=False)},  # the header of a scenario
    ],
)
def test_what_did_not_execute_or_has_not_ended_is_none_of_them(
    store: EmbeddedStore, values: dict[str, object]
) -> None:
    record(store, made(1, **values))
    assert names(store) == []


def test_only_so_many_are_kept_in_memory_and_in_the_file(tmp_path: Path) -> None:
    expected = [f"m{number}" for number in range(99, 99 - RECENT_KEPT, -1)]
    store = open_store(tmp_path)
    for number in range(100):
        record(store, made(number))
    assert names(store) == expected
    store.close()
    with sqlite3.connect(index_file(tmp_path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM recent").fetchone()
    connection.close()
    assert count == RECENT_KEPT
    store = open_store(tmp_path)
    assert names(store) == expected
    record(store, made(100))
    assert names(store)[:2] == ["m100", "m99"]
    store.close()


def test_an_index_that_is_rebuilt_from_the_database_knows_them_with_their_configs(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    parts = {"callable f in a.py": "1"}
    extra = Extra(code_parts=parts, binding={"raw": "path"})
    record(store, made(1, config=raw({"rate": 7}), extra=extra, inputs=(artifact("raw"),)))
    store.close()
    shutil.rmtree(tmp_path / "db.duckdb.journal")
    store = open_store(tmp_path)
    store.candidates("looks around")
    (earlier,) = store.recent("m")
    found = store.recent_document("m", earlier.uid)
    assert found is not None
    assert found.extra.code_parts == parts
    assert found.extra.binding == {"raw": "path"}
    assert [a.key for a in found.inputs] == ["raw"]
    assert found.outputs == ()
    assert msgspec.json.decode(found.config) == {"rate": 7}
    store.close()


def test_without_its_snapshot_a_rebuilt_run_has_no_config(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, made(1))
    store.close()
    shutil.rmtree(tmp_path / "db.duckdb.journal")
    store = open_store(tmp_path)
    for path in (tmp_path / "runs" / "consist_runs").iterdir():
        path.unlink()
    store.candidates("looks around")
    found = store.recent_document("m", done.run.uid)
    assert found is not None
    assert bytes(found.config) == bytes(NULL)
    store.close()


def test_a_large_config_is_read_from_the_snapshot(store: EmbeddedStore) -> None:
    config = {"text": "x" * 100_000}
    done = record(store, made(1, config=raw(config)))
    found = store.recent_document("m", done.run.uid)
    assert found is not None
    assert msgspec.json.decode(found.config) == config


def test_runs_of_another_process_are_seen_as_look_ups_see_them(tmp_path: Path) -> None:
    ours, theirs = open_store(tmp_path), open_store(tmp_path)
    record(theirs, made(1))
    assert ours.candidates("nothing") == []
    assert names(ours) == ["m1"]
    ours.close()
    theirs.close()


# ---------------------------------------------------------------- never given back


@pytest.mark.parametrize(
    ("status", "why"), [("failed", "it failed"), ("interrupted", "it was interrupted")]
)
def test_a_run_that_ended_badly_is_known_by_its_signature(
    tmp_path: Path, status: str, why: str
) -> None:
    store = open_store(tmp_path)
    record(store, made(1, status=status, signature="s"))
    assert store.passed_over("s") == [("m1", why)]
    assert store.passed_over("other") == []
    store.close()
    store = open_store(tmp_path)
    assert store.passed_over("s") == [("m1", why)]
    assert [earlier.status for earlier in store.recent("m")] == [status]
    store.close()


def test_a_completed_run_that_is_no_source_is_passed_over(store: EmbeddedStore) -> None:
    meta = {"code_changed_since_load": ["a.py"]}
    record(store, made(1, signature="s", meta=meta, extra=Extra(reusable=False)))
    assert store.passed_over("s") == [("m1", "its code had changed after it was loaded: a.py")]


def test_a_status_that_is_corrected_later_counts(store: EmbeddedStore) -> None:
    done = record(store, made(1, signature="s"))
    assert store.passed_over("s") == []
    store.amend(RowEvent(replace(done.run, status="failed")))
    assert store.passed_over("s") == [("m1", "it failed")]


def test_a_run_that_another_took_the_place_of_is_passed_over(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = record(store, made(1, signature="s"))
    second = made(2, signature="s", extra=Extra(supersedes=(first.run.uid,)))
    record(store, second)
    why = "a later run with cache_mode='overwrite' took its place"
    assert store.passed_over("s") == [("m1", why)]
    assert [d.run.id for d in store.candidates("s")] == ["m2"]
    store.close()
    store = open_store(tmp_path)
    assert store.passed_over("s") == [("m1", why)]
    store.close()


def test_an_index_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record(store, made(1))
    store.close()
    with sqlite3.connect(index_file(tmp_path)) as connection:
        connection.execute("DROP TABLE recent")
        connection.execute("UPDATE meta SET value = '2' WHERE name = 'version'")
    connection.close()
    store = open_store(tmp_path)
    assert [d.run.id for d in store.candidates("signature of m1")] == ["m1"]
    assert names(store) == ["m1"]
    store.close()
