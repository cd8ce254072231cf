"""Staged rows enter the database once, whatever happens on the way."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pytest

from consist.errors import StoreLocked
from consist.models.record import (
    IngestEvent,
    LogEvent,
    RowEvent,
    RowsRecord,
    RunEvent,
    StoredColumn,
    replace,
)
from consist.store import journals, staging
from tests.unit.store.children import holding, start
from tests.unit.store.worlds import document, ended, merged, open_store, record, table

if TYPE_CHECKING:
    from consist.models.record import ArtifactRecord, RunDocument
    from consist.store.embedded import EmbeddedStore

LEDGER = "SELECT count(*) FROM global_tables._consist_ingest"


def event_of(
    done: RunDocument, file: str, count: int, made: ArtifactRecord | None = None, **values: Any
) -> IngestEvent:
    made = made or done.outputs[0]
    news = {"is_ingested": True}
    defaults: dict[str, Any] = {
        "uid": done.run.uid,
        "run_id": done.run.id,
        "artifact": replace(made, meta={**made.meta, **news}),
        "news": news,
        "rows": RowsRecord(
            table="t", file=file, count=count, columns=(StoredColumn("n", "n", "n", "BIGINT"),)
        ),
        "at": datetime.now(UTC),
    }
    return IngestEvent(**(defaults | values))


def fill(path: Path, count: int, start: int = 0) -> None:
    duckdb.execute(
        f"COPY (SELECT range AS n FROM range({start}, {start + count})) TO '{path}'"
        " (FORMAT parquet, USE_TMP_FILE false)"
    )


def ingest(
    store: EmbeddedStore, done: RunDocument, count: int = 3, start: int = 0, **values: Any
) -> IngestEvent:
    with store.stage() as staged:
        fill(staged.path, count, start)
        event = event_of(done, staged.name, count, **values)
        store.ingest(event, staged)
    return event


def ingest_now(store: EmbeddedStore, done: RunDocument, count: int) -> None:
    with store.stage() as staged:
        fill(staged.path, count)
        store.ingest_now(event_of(done, staged.name, count), staged)


def staged_files(folder: Path) -> list[str]:
    return sorted(path.name for path in staging.listed(folder / "db.duckdb.journal/rows"))


def test_a_record_names_rows_that_the_next_merge_stores(store: EmbeddedStore) -> None:
    done = record(store, document("a"))
    event = ingest(store, done)
    with store.rows_of(event.artifact.id) as found:
        assert found is not None
        assert found.rows == event.rows
        assert found.connection.execute(found.table).fetchall() == [(0,), (1,), (2,)]
    assert store.sync()
    with store.rows_of(event.artifact.id) as found:
        assert found is not None
        assert found.rows == event.rows
    with store.rows_of("another") as found:
        assert found is None
    assert table(store, LEDGER.replace("global_tables", "consist_db.global_tables")) == [(1,)]


def nested(store: EmbeddedStore, done: RunDocument, counts: dict[str, int]) -> IngestEvent:
    """Ingest tables of one artifact, the first of which is the parent of the others."""
    with ExitStack() as stack:
        staged = {name: stack.enter_context(store.stage()) for name in counts}
        for name, count in counts.items():
            fill(staged[name].path, count)
        parent, *children = [
            RowsRecord(
                table=name,
                file=staged[name].name,
                count=count,
                columns=(StoredColumn("n", "n", "n", "BIGINT"),),
                parent=None if name == "t" else "t",
            )
            for name, count in counts.items()
        ]
        event = event_of(done, parent.file, 0)
        event = replace(event, rows=replace(parent, children=tuple(children)))
        store.ingest(event, *staged.values())
    return event


def test_an_artifact_may_have_several_tables(tmp_path: Path, store: EmbeddedStore) -> None:
    done = record(store, document("a"))

    def counts() -> dict[str, int]:
        rows = table(
            store,
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'global_tables'"
            " AND table_name NOT LIKE '\\_%' ESCAPE '\\' GROUP BY 1 ORDER BY 1",
        )
        return {
            name: table(store, f"SELECT count(*) FROM global_tables.{name}")[0][0]
            for (name,) in rows
        }

    for merge in (False, True):
        event = nested(store, done, {"t": 3, "t__legs": 5, "t__stops": 2})
        assert counts() == {"t": 3, "t__legs": 5, "t__stops": 2}
        if merge:
            assert store.sync()
            assert staged_files(tmp_path) == []
            assert counts() == {"t": 3, "t__legs": 5, "t__stops": 2}
        with store.rows_of(event.artifact.id) as found:
            assert found is not None
            assert found.rows == event.rows
    nested(store, done, {"t": 1, "t__legs": 4})
    assert counts() == {"t": 1, "t__legs": 4, "t__stops": 0}, "replacing replaces all"
    assert store.sync()
    assert counts() == {"t": 1, "t__legs": 4, "t__stops": 0}
    assert table(store, LEDGER.replace("global_tables", "consist_db.global_tables")) == [(2,)]


def test_rows_that_somebody_reads_outlast_their_merge(tmp_path: Path, store: EmbeddedStore) -> None:
    done = record(store, document("a"))
    event = ingest(store, done)
    with store.rows_of(event.artifact.id) as found:
        assert found is not None
        assert store.sync()
        assert staged_files(tmp_path) == [event.rows.file]
        assert found.connection.execute(found.table).fetchall() == [(0,), (1,), (2,)]
    assert store.sync()
    assert staged_files(tmp_path) == []


def test_rows_ingested_again_are_the_ones_read(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), open_store(tmp_path)
    done = record(first, document("a"))
    ingest(first, done)
    again = ingest(second, done, 1, start=7)
    for store in (first, second):
        with store.rows_of(again.artifact.id) as found:
            assert found is not None
            assert found.connection.execute(found.table).fetchall() == [(7,)]


def test_of_two_ingests_the_later_counts_in_any_order(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), open_store(tmp_path)
    done = record(first, document("a"))
    late = datetime.now(UTC) + timedelta(seconds=9)
    ingest(first, done, 5, at=late)
    first.sync()
    ingest(second, done, 3)
    assert table(second, "SELECT count(*) FROM global_tables.t") == [(5,)]
    second.sync()
    first.close()
    second.close()
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(5,)]
    assert staged_files(tmp_path) == []


def test_a_journal_that_is_read_again_changes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a"))
    ingest(store, done, 4)
    kept = {name: (tmp_path / "db.duckdb.journal/rows" / name).read_bytes()
            for name in staged_files(tmp_path)}  # fmt: skip
    store.sync()
    store.close()
    for name, data in kept.items():  # as if the machine had stopped before they were removed
        (tmp_path / "db.duckdb.journal/rows" / name).write_bytes(data)
    again = open_store(tmp_path)
    record(again, document("b"))
    again.sync()
    again.close()
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(4,)]
    assert staged_files(tmp_path) == []


def test_rows_of_a_renamed_run_follow_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record(store, document("a"))
    twin = record(store, document("a"))
    ingest(store, twin)
    assert table(store, "SELECT DISTINCT consist_run_id FROM global_tables.t") == [("a~2",)]
    store.close()
    assert merged(tmp_path, "SELECT DISTINCT consist_run_id FROM global_tables.t") == [("a~2",)]


KILLED = """
import os, signal
from tests.unit.store.test_rows import *
store = open_store(folder)
done = record(store, document("killed"))
with store.stage() as staged:
    fill(staged.path, 3)
    if {after_rename}:
        store.staging.keep(staged)
    say("staged")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("after_rename", [True, False])
def test_killed_before_the_record_a_process_leaves_nothing(
    tmp_path: Path, after_rename: bool
) -> None:
    killed = start(KILLED.format(after_rename=after_rename), tmp_path)
    out, err = killed.communicate(timeout=60)
    assert (killed.returncode, out) == (-signal.SIGKILL, "staged\n"), err
    assert len(staged_files(tmp_path)) == 1
    store = open_store(tmp_path)
    record(store, document("next"))
    store.sync()
    store.close()
    assert staged_files(tmp_path) == []
    assert merged(tmp_path, "SELECT count(*) FROM run") == [(2,)]


def test_what_is_being_written_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = open_store(tmp_path), open_store(tmp_path)
    done = record(store, document("a"))
    with store.stage() as staged:
        fill(staged.path, 2)
        record(other, document("b"))
        assert other.sync()
        store.staging.keep(staged)
        assert other.sync()
        assert staged_files(tmp_path) == [staged.name]
        event = event_of(done, staged.name, 2)
        monkeypatch.setattr(store.staging, "keep", lambda _: None)  # it is done already
        store.ingest(event, staged)
    other.close()
    store.close()
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(2,)]


def test_rows_that_cannot_be_read_hold_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a", tables=2))
    bad = ingest(store, done, 50_000)
    good = ingest(store, done, 2, made=done.outputs[1])
    path = tmp_path / "db.duckdb.journal/rows" / bad.rows.file
    data = bytearray(path.read_bytes())
    data[100:20_000] = os.urandom(19_900)
    path.write_bytes(data)
    store.close()
    assert merged(tmp_path, "SELECT n FROM global_tables.t ORDER BY n") == [(0,), (1,)]
    claims = "SELECT id, meta->>'is_ingested' FROM artifact ORDER BY 2"
    assert merged(tmp_path, claims) == [(bad.artifact.id, "false"), (good.artifact.id, "true")]
    assert "cannot be stored" in caplog.text
    assert "rows of 1 artifacts" in caplog.text
    assert (tmp_path / "db.duckdb.journal/damaged" / bad.rows.file).exists()


def test_rows_that_a_table_refuses_hold_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a", tables=2))
    bad = ingest(store, done, 5)
    good = ingest(store, done, 2, made=done.outputs[1])
    path = tmp_path / "db.duckdb.journal/rows" / bad.rows.file
    duckdb.execute(f"COPY (SELECT 'no number' AS n) TO '{path}' (FORMAT parquet)")
    store.close()
    assert merged(tmp_path, "SELECT n FROM global_tables.t ORDER BY n") == [(0,), (1,)]
    claims = "SELECT id, meta->>'is_ingested' FROM artifact ORDER BY 2"
    assert merged(tmp_path, claims) == [(bad.artifact.id, "false"), (good.artifact.id, "true")]
    assert "cannot be stored" in caplog.text
    assert (tmp_path / "db.duckdb.journal/damaged" / bad.rows.file).exists()


def test_rows_that_are_gone_are_not_claimed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a"))
    ingest(store, done)
    for name in staged_files(tmp_path):
        (tmp_path / "db.duckdb.journal/rows" / name).unlink()
    with store.rows_of(done.outputs[0].id) as found:
        assert found is None
    store.close()
    assert merged(tmp_path, "SELECT meta->>'is_ingested' FROM artifact") == [("false",)]


def test_a_deleted_database_loses_its_rows_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a", status="running"))
    event = ingest(store, done)
    record(store, ended(done, outputs=(event.artifact,)))
    store.close()
    (tmp_path / "db.duckdb").unlink()
    again = open_store(tmp_path)
    assert table(again, "SELECT id, meta->>'is_ingested' FROM artifact") == [
        (event.artifact.id, "false")
    ]
    assert "rows of 1 artifacts are no longer in" in caplog.text
    found = again.candidates("signature of a")
    assert [d.run.id for d in found] == ["a"]
    ingest(again, done)
    again.close()
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(3,)]


def test_a_library_that_does_not_know_rows_leaves_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("a"))
    ingest(store, done)
    monkeypatch.setattr(store.merger, "merge", lambda _: True)
    store.close()
    monkeypatch.undo()
    # To an older version a record of a kind that it does not know is one of a newer library.
    known = journals.OpenRecord | journals.CloseRecord | RunEvent | LogEvent | RowEvent
    monkeypatch.setattr(journals, "_decoder", msgspec.json.Decoder(known))
    old = open_store(tmp_path)
    assert old.sync()
    old.close()
    assert len(staged_files(tmp_path)) == 1, "an older version clears nothing that it cannot read"
    monkeypatch.undo()
    new = open_store(tmp_path)
    new.sync()
    new.close()
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(3,)]


def test_an_ingest_now_is_stored_or_refused_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path, lock_wait=0.2)
    done = record(store, document("a"))
    store.sync()
    with holding(tmp_path):  # type: ignore[attr-defined]
        with pytest.raises(StoreLocked):
            ingest_now(store, done, 3)
        ingest(store, done, 2)
        assert len(staged_files(tmp_path)) == 1
    ingest_now(store, done, 4)
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(4,)]
    assert staged_files(tmp_path) == []
    store.close()


CROWD = """
from tests.unit.store.test_rows import *
store = open_store(folder)
for number in range(10):
    done = record(store, document("{name}-" + str(number)))
    ingest(store, done, 100)
store.close()
"""


def test_many_processes_ingest_at_once(tmp_path: Path) -> None:
    children = [start(CROWD.format(name=name), tmp_path) for name in "abc"]
    for child in children:
        _, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
    store = open_store(tmp_path)
    assert table(store, "SELECT count(*), count(DISTINCT consist_run_id) FROM global_tables.t") == [
        (3000, 30)
    ]
    assert store.sync()
    store.close()
    assert merged(tmp_path, "SELECT count(*) FROM global_tables.t") == [(3000,)]
    assert staged_files(tmp_path) == []


def test_a_killed_run_keeps_the_rows_that_it_acknowledged(tmp_path: Path) -> None:
    code = """
    import os, signal
    from tests.unit.store.test_rows import *
    store = open_store(folder)
    done = record(store, document("killed", status="running"))
    ingest(store, done)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    child = start(code, tmp_path)
    child.communicate(timeout=60)
    store = open_store(tmp_path)
    assert table(store, "SELECT count(*) FROM global_tables.t") == [(3,)]
    store.sync()
    assert table(store, "SELECT status FROM run") == [("interrupted",)]
    assert table(store, "SELECT meta->>'is_ingested' FROM artifact") == [("true",)]
    store.close()
