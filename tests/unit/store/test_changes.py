"""What is said of runs after they were recorded: it enters once, in any order, and stays."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consist.errors import NoDatabase, StoreLocked
from consist.models.changes import changed_run
from consist.models.record import (
    Change,
    ChangeEvent,
    PurgeEvent,
    RunDocument,
    RunEvent,
    new_uuid,
    replace,
)
from consist.store import journals
from consist.store.embedded import EmbeddedStore
from consist.store.index import Index
from consist.store.snapshots import read_snapshot
from consist.store.unindexed import UnindexedStore
from tests.unit.store.worlds import (
    artifact,
    document,
    ended,
    ids,
    merged,
    open_store,
    record,
    run,
    table,
)

LATER = datetime.now(UTC) + timedelta(hours=1)


def change(at: int = 0, **said: Any) -> Change:
    return Change(id=new_uuid(), at=LATER + timedelta(minutes=at), by="ann@host", **said)


def event(done: RunDocument, change: Change) -> ChangeEvent:
    return ChangeEvent(done.run.uid, done.run.id, change, done.run.meta.get("_physical_run_dir"))


def say(store: EmbeddedStore, done: RunDocument, at: int = 0, **said: Any) -> Change:
    made = change(at, **said)
    store.change([event(done, made)])
    return made


def row(store: EmbeddedStore, run_id: str) -> tuple[str, list[str], dict[str, Any]]:
    statement = f"SELECT status, tags, meta FROM run WHERE id = '{run_id}'"
    ((status, tags, meta),) = table(store, statement)
    return status, json.loads(tags), json.loads(meta)


# ---------------------------------------------------------------- applying


def test_changes_are_applied_in_any_order_and_number_to_the_same_result() -> None:
    said = [
        change(1, tags=("a", "b"), note="first"),
        change(2, untagged=("a", "own"), tags=("c",)),
        change(3, tags=("a",), note="second", invalid=True, reason="wrong"),
        change(4, status="failed", reason="half of it is missing"),
    ]
    begun = run("one", tags=("own", "kept"), meta={"notes": "of the run"})
    expected = changed_run(begun, said)
    assert expected.tags == ("kept", "b", "c", "a")
    assert [n if isinstance(n, str) else n["text"] for n in expected.meta["notes"]] == [
        *("of the run", "first", "second")
    ]
    assert expected.status == "failed"
    for order in itertools.permutations(said):
        partly = changed_run(begun, order[:2])
        assert changed_run(partly, said) == expected
        assert changed_run(expected, order) == expected


def test_a_run_that_ends_later_than_its_status_was_corrected_knows_better() -> None:
    fixed = change(status="failed")
    early = run("one", status="running")
    assert changed_run(early, [fixed]).status == "failed"
    late = replace(early, status="completed", updated_at=LATER + timedelta(days=1))
    found = changed_run(late, [fixed])
    assert found.status == "completed"
    assert found.meta["status_fixed"]["to"] == "failed"
    found_dead = {"last_seen": early.updated_at.isoformat()}  # by somebody else, much later
    dead = replace(late, status="interrupted", meta=found_dead)
    assert changed_run(dead, [fixed]).status == "failed"


# ---------------------------------------------------------------- in every order


@pytest.mark.parametrize("sync", list(itertools.product([False, True], repeat=3)))
def test_a_running_run_can_be_changed_before_it_ends(tmp_path: Path, sync: list[bool]) -> None:
    store = open_store(tmp_path)
    begun = record(store, document("one", status="running", tags=("own",)))
    if sync[0]:
        store.sync()
    other = open_store(tmp_path)
    say(other, begun, tags=("odd",), note="look at this", invalid=True, reason="a wrong rate")
    if sync[1]:
        store.sync()
    done = ended(begun)
    store.write_snapshot("one", store.append(done))
    if sync[2]:
        store.sync()
    for asked in (store, other, open_store(tmp_path)):
        status, tags, meta = row(asked, "one")
        assert (status, tags) == ("completed", ["own", "odd"])
        assert meta["invalidated"]["reason"] == "a wrong rate"
        assert meta["notes"][0]["text"] == "look at this"
        assert asked.candidates(str(begun.run.signature)) == []
        (passed,) = asked.passed_over(str(begun.run.signature))
        assert passed.why == "it was invalidated by ann@host because a wrong rate"
    snapshot = read_snapshot(tmp_path / "runs", "one")
    assert snapshot.run.status == "completed"
    assert snapshot.run.tags == ("own", "odd")
    assert [c.reason for c in snapshot.extra.changes] == ["a wrong rate"]
    assert not snapshot.is_source
    assert json.loads((tmp_path / "runs/consist.json").read_text())["run"]["tags"] == ["own", "odd"]


def test_a_change_may_be_merged_before_its_run(tmp_path: Path) -> None:
    elsewhere = open_store(tmp_path / "elsewhere")
    done = record(elsewhere, document("one", tables=1))
    output = done.outputs[0].id
    elsewhere.close()
    store = open_store(tmp_path)
    say(store, done, tags=("odd",), invalid=True, news={output: {"gone": True}})
    store.sync()
    assert ids(store) == []
    store.append(done)
    store.sync()
    assert row(store, "one")[1] == ["odd"]
    assert table(store, "SELECT json_extract(meta, '$.gone') FROM artifact") == [("true",)]
    assert store.candidates(str(done.run.signature)) == []


def test_a_change_enters_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    said = say(store, done, note="once")
    store.sync()
    store.change([event(done, said)])
    assert len(row(store, "one")[2]["notes"]) == 1
    store.sync()
    assert len(row(store, "one")[2]["notes"]) == 1
    assert merged(tmp_path, "SELECT author, change->>'$.note' FROM run_change") == [
        ("ann@host", "once")
    ]


@pytest.mark.parametrize("sync", [False, True])
def test_what_is_said_of_artifacts_is_merged_into_their_metadata(
    tmp_path: Path, sync: bool
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one", tables=2))
    first, second = done.outputs
    if sync:
        store.sync()
    say(store, done, news={first.id: {"missing_on_disk": True}})
    if sync:
        store.sync()
    asked = f"SELECT json_extract(meta, '$.missing_on_disk') FROM artifact WHERE id = '{first.id}'"
    assert table(store, asked) == [("true",)]
    assert table(store, "SELECT count(*) FROM artifact") == [(2,)]
    for seen in (store, open_store(tmp_path)):
        seen.candidates("whatever")  # a look-up learns what others recorded
        located = seen.located(first.location)
        assert located is not None
        assert located.meta == {"missing_on_disk": True}
        untouched = seen.located(second.location)
        assert untouched is not None
        assert untouched.meta == {}
    store.close()
    fresh = open_store(tmp_path).located(first.location)  # from the file of the index
    assert fresh is not None
    assert fresh.meta == {"missing_on_disk": True}


# ---------------------------------------------------------------- never a source again


@pytest.mark.parametrize("said", [{"invalid": True, "reason": "x"}, {"status": "completed"}])
def test_a_rejected_run_is_no_source_in_any_process_or_rebuilt_index(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    signature = str(done.run.signature)
    other = open_store(tmp_path)
    assert other.candidates(signature)
    say(store, done, **said)
    assert store.candidates(signature) == []
    other.index._found.clear()  # hits look at what others recorded at intervals only
    other._look_at = 0.0
    assert other.candidates(signature) == []
    store.close()
    other.close()
    for path in (tmp_path / "db.duckdb.journal").glob("index.sqlite*"):
        path.unlink()
    fresh = open_store(tmp_path)
    fresh.folder.change(lambda state: replace(state, cleared=state.generation))  # type: ignore[arg-type, type-var]
    assert fresh.candidates(signature) == []
    (why,) = fresh.passed_over(signature)
    assert "by ann@host" in why.why


def test_an_index_that_learns_the_change_first_keeps_the_run_out(tmp_path: Path) -> None:
    done = document("one")
    index = Index(tmp_path / "index.sqlite", "a store")
    index.learn(event(done, change(invalid=True, reason="x")), "token", 1)
    index.learn(RunEvent(done), "other", 1)
    index.persist()
    assert index.candidates(str(done.run.signature)) == []
    assert index.passed_over(str(done.run.signature))[0].run_id == "one"


# ---------------------------------------------------------------- snapshots and rebuilding


def test_changes_outlive_the_database_and_the_journal(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    say(
        store,
        done,
        tags=("odd",),
        invalid=True,
        reason="wrong",
        news={done.outputs[0].id: {"a": 1}},
    )
    store.close()
    (tmp_path / "db.duckdb").unlink()
    shutil.rmtree(tmp_path / "db.duckdb.journal")
    fresh = open_store(tmp_path)
    assert fresh.rebuild([tmp_path / "runs"]) == 1
    assert row(fresh, "one")[1] == ["odd"]
    assert fresh.candidates(str(done.run.signature)) == []
    assert table(fresh, "SELECT json_extract(meta, '$.a') FROM artifact") == [("1",)]
    assert len(merged(tmp_path, "SELECT id FROM run_change")) == 1
    assert fresh.rebuild([tmp_path / "runs"]) == 0


def test_a_snapshot_with_an_unknown_change_is_news_to_the_database(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    store.sync()
    shutil.copytree(tmp_path, tmp_path / "copy")
    say(store, done, note="after the copy was made")
    shutil.copy(tmp_path / "runs/consist_runs/one.json", tmp_path / "copy/runs/consist_runs")
    copy = open_store(tmp_path / "copy")
    assert copy.rebuild([tmp_path / "copy/runs"]) == 1
    assert row(copy, "one")[2]["notes"][0]["text"] == "after the copy was made"


def test_a_snapshot_that_is_gone_or_fixed_leaves_the_change_to_the_record(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    shutil.rmtree(tmp_path / "runs")
    say(store, done, tags=("odd",))
    assert not (tmp_path / "runs").exists()
    assert row(store, "one")[1] == ["odd"]


def test_many_processes_change_one_run_and_its_snapshot_has_it_all(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    store.close()
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                own = open_store(tmp_path)
                for turn in range(5):
                    say(own, done, number, note=f"{number} {turn}")
                own.close()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    told = read_snapshot(tmp_path / "runs", "one").run.meta["notes"]
    assert {note["text"] for note in told} == {f"{n} {t}" for n in range(4) for t in range(5)}
    assert len(row(open_store(tmp_path), "one")[2]["notes"]) == 20


def test_a_killed_run_that_was_annotated_is_interrupted_and_keeps_its_changes(
    tmp_path: Path,
) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            record(open_store(tmp_path), document("one", status="running"))
        finally:
            os._exit(9)
    os.waitpid(pid, 0)
    store = open_store(tmp_path)
    begun = read_snapshot(tmp_path / "runs", "one")
    say(store, begun, tags=("odd",))
    assert row(store, "one")[:2] == ("interrupted", ["odd"])
    store.sync()
    assert row(store, "one")[:2] == ("interrupted", ["odd"])
    snapshot = read_snapshot(tmp_path / "runs", "one")
    assert (snapshot.run.status, snapshot.run.tags) == ("interrupted", ("odd",))


def test_an_older_library_leaves_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path)
    done = record(store, document("one"))
    say(store, done, tags=("odd",))
    store.journal.close()
    known = journals.OpenRecord | journals.CloseRecord | RunEvent
    with monkeypatch.context() as older:
        older.setattr(journals, "_decoder", msgspec.json.Decoder(known))
        old = open_store(tmp_path)
        old.sync()
        assert row(old, "one")[1] == []
        assert "records of a newer Consist, which stay as they are" in caplog.text
    fresh = open_store(tmp_path)
    fresh.sync()
    assert row(fresh, "one")[1] == ["odd"]


def test_without_a_database_changing_is_a_clear_error(tmp_path: Path) -> None:
    store = UnindexedStore(tmp_path)
    with pytest.raises(NoDatabase):
        store.change([event(document("one"), change(note="x"))])
    with pytest.raises(NoDatabase):
        store.purge(PurgeEvent(runs={"a": "b"}, at=LATER))


# ---------------------------------------------------------------- purging

TABLES = (
    *("run", "run_extra", "run_change", "run_artifact_link", "run_config_kv", "config_facet"),
    *("artifact", "artifact_content", "artifact_kv", "artifact_facet", "consist_key"),
)

COUNTS = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in TABLES)


def purge(store: EmbeddedStore, *gone: RunDocument, artifacts: tuple[str, ...] = ()) -> None:
    runs = {done.run.uid: done.run.id for done in gone}
    store.purge(PurgeEvent(runs=runs, artifacts=artifacts, at=LATER, by="ann@host"))


def test_a_purge_leaves_nothing_but_what_others_use(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = record(store, document("kept", tables=1))
    store.sync()
    counted = merged(tmp_path, COUNTS)
    made = (artifact("own_1", run_id="gone"), artifact("own_2", run_id="gone"))
    own = document("gone", outputs=made, facet={"other": 1})
    gone = record(store, replace(own, outputs=(*own.outputs, *kept.outputs)))
    say(store, gone, note="soon gone")
    store.sync()
    purge(store, gone, artifacts=tuple(artifact.id for artifact in gone.outputs))
    assert ids(store) == ["kept"]
    assert counted == merged(tmp_path, COUNTS)
    assert merged(tmp_path, "SELECT run_id, author FROM consist_purged") == [("gone", "ann@host")]
    for seen in (store, open_store(tmp_path)):
        assert seen.candidates(str(gone.run.signature)) == []
        assert seen.located(gone.outputs[0].location) is None
        assert seen.located(kept.outputs[0].location) == kept.outputs[0]


def test_nothing_brings_a_purged_run_back(tmp_path: Path) -> None:
    store, late = open_store(tmp_path), open_store(tmp_path)
    gone = record(store, document("gone", status="running"))
    record(store, document("kept"))
    copied = (tmp_path / "runs/consist_runs/gone.json").read_bytes()
    purge(store, gone)
    assert ids(store) == ["kept"]
    late.append(ended(gone))  # another process that does not know
    say(late, gone, note="too late")
    assert ids(store) == ids(late) == ["kept"]
    assert late.sync()
    assert ids(late) == ["kept"]
    store.close()
    late.close()
    (tmp_path / "runs/consist_runs/gone.json").write_bytes(copied)
    assert open_store(tmp_path).rebuild([tmp_path / "runs"]) == 0
    for path in (tmp_path / "db.duckdb", *(tmp_path / "db.duckdb.journal").glob("index*")):
        path.unlink()  # filled anew from what lies beside it
    fresh = open_store(tmp_path)
    assert ids(fresh) == ["kept"]
    assert fresh.candidates(str(gone.run.signature)) == []


def test_a_purged_artifact_can_be_logged_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    gone = record(store, document("gone"))
    (output,) = gone.outputs
    purge(store, gone, artifacts=(output.id,))
    assert table(store, "SELECT * FROM artifact") == []
    record(store, document("again", inputs=(output,), outputs=()))
    store.sync()
    assert merged(tmp_path, "SELECT id FROM artifact") == [(output.id,)]


def test_a_purge_is_refused_whole_where_the_database_is_held(tmp_path: Path) -> None:
    import duckdb

    store = open_store(tmp_path, lock_wait=0.05)
    gone = record(store, document("gone"))
    store.sync()
    with duckdb.connect(str(tmp_path / "db.duckdb"), read_only=True), pytest.raises(StoreLocked):
        purge(store, gone)
    assert ids(store) == ["gone"]
    assert store.candidates(str(gone.run.signature))
