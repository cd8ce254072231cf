"""Run ids that are asked for twice, by one process or by several at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from consist.errors import InvalidRunId
from consist.models.record import Extra, LogEvent, RowEvent, replace
from consist.store.claims import attempt_id, check_requested_id, split_attempt
from tests.unit.store.children import finish, start
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


def test_attempts_are_numbered(store: EmbeddedStore) -> None:
    assert [store.claim("x").run_id for _ in range(3)] == ["x", "x~2", "x~3"]
    assert store.claim("y") == ("y", "y", 1)


def test_a_claim_reaches_over_sessions_and_run_folders(tmp_path: Path) -> None:
    for number, run_dir in enumerate(["one", "one", "two"], 1):
        store = open_store(tmp_path, run_dir)
        claim = store.claim("x")
        assert claim.attempt == number
        done = document(claim.run_id, attempt=claim.attempt, extra=Extra(claimed=True))
        record(store, replace(done, run=replace(done.run, requested_id="x")))
        assert {a.status for a in store.attempts("x").values()} == {"completed"}
        store.close()
    assert merged(tmp_path, "SELECT id, attempt FROM run ORDER BY attempt") == [
        ("x", 1),
        ("x~2", 2),
        ("x~3", 3),
    ]


CLAIMING = """
store = open_store(folder, sys.argv[1] if len(sys.argv) > 1 else "runs")
say("ready")
wait()
for _ in range(25):
    claim = store.claim("scenario/β")
    record(store, document(claim.run_id, requested_id="scenario/β", attempt=claim.attempt))
    say(claim.run_id)
store.close()
"""


def test_processes_at_once_never_get_the_same_id(tmp_path: Path) -> None:
    children = [start(CLAIMING, tmp_path) for _ in range(3)]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    got = [line for child in children for line in finish(child).splitlines()]
    assert len(got) == len(set(got)) == 75
    assert "scenario/β" in got
    store = open_store(tmp_path)
    assert sorted(ids(store)) == sorted(got)
    assert table(store, "SELECT count(*) FROM run WHERE meta->>'renamed_from' IS NOT NULL") == [
        (0,)
    ]
    store.close()


def test_where_claims_could_not_see_each_other_the_later_one_is_renamed(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    first = document("x")
    begun = document("x", status="running", tables=0)
    late = artifact("late", run_id="x")
    record(store, first)
    assert store.sync()
    store.append(begun)
    store.amend(LogEvent(begun.run.uid, "x", "output", (late,)))
    assert ids(store) == ["x", "x~2"]
    assert store.sync()
    store.append(ended(begun, outputs=(late,)))
    for _ in range(2):
        found = table(store, "SELECT id, attempt, requested_id, uid, status FROM run ORDER BY id")
        assert found == [
            ("x", 1, "x", first.run.uid, "completed"),
            ("x~2", 2, "x", begun.run.uid, "completed"),
        ]
        assert table(store, "SELECT id FROM run WHERE meta->>'renamed_from' = 'x'") == [("x~2",)]
        produced = table(store, "SELECT run_id FROM artifact WHERE key = 'late'")
        linked = table(
            store,
            "SELECT l.run_id FROM run_artifact_link l JOIN artifact a ON a.id = l.artifact_id"
            " WHERE a.key = 'late'",
        )
        assert produced == linked == [("x~2",)]
        assert store.sync()
    hits = store.candidates("signature of x")
    assert {d.run.id for d in hits} == {"x", "x~2"}


def test_renamed_runs_skip_numbers_that_are_taken(store: EmbeddedStore) -> None:
    for attempt in (1, 2, 3):
        store.append(document(attempt_id("x", attempt), requested_id="x", attempt=attempt))
    store.append(document("x"))
    store.append(document("x~2", requested_id="x", attempt=2))
    assert ids(store) == ["x", "x~2", "x~3", "x~4", "x~5"]
    store.sync()
    assert ids(store) == ["x", "x~2", "x~3", "x~4", "x~5"]


@pytest.mark.parametrize("bad", [None, 3, "", "  ", "x~2", "x" * 300, "\udc80"])
def test_ids_that_cannot_be_recorded_are_refused(bad: object) -> None:
    with pytest.raises(InvalidRunId):
        check_requested_id(bad)


@pytest.mark.parametrize(
    ("run_id", "parts"),
    [("x", ("x", None)), ("x~2", ("x", 2)), ("a~b", ("a~b", None)), ("x~1", ("x", 1))],
)
def test_an_attempt_is_read_from_the_end(run_id: str, parts: tuple[str, int | None]) -> None:
    assert split_attempt(run_id) == parts


CLAIMING_ONE = """
store = open_store(folder, "runs")
say("ready")
wait()
claim = store.claim_attempt("scenario/β", 1)
say(claim.run_id if claim else "taken")
store.close()
"""


def test_of_processes_that_ask_for_one_attempt_one_gets_it(tmp_path: Path) -> None:
    # G-16
    children = [start(CLAIMING_ONE, tmp_path) for _ in range(3)]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    got = sorted(finish(child).strip() for child in children)
    assert got == ["scenario/β", "taken", "taken"]
    store = open_store(tmp_path)
    assert store.last_claimed("scenario/β") == 1
    assert store.last_claimed("other") == 0
    store.close()


def test_an_attempt_whose_snapshot_is_another_stores_is_passed_over(tmp_path: Path) -> None:
    # G-16: a run folder that two databases share
    (tmp_path / "runs" / "consist_runs").mkdir(parents=True)
    (tmp_path / "runs" / "consist_runs" / "x.json").write_text("{}")
    store = open_store(tmp_path)
    assert store.claim_attempt("x", 1) == ("x~2", "x", 2)
    assert store.last_claimed("x") == 2
    store.close()


@pytest.mark.parametrize("reads_newer_first", [True, False])
def test_the_status_of_an_attempt_is_that_of_its_newest_record(
    tmp_path: Path, reads_newer_first: bool
) -> None:
    # Several processes may record the end of one run, each in a journal of its own.
    first, second = open_store(tmp_path), open_store(tmp_path)
    begun = document("x", extra=Extra(claimed=True))
    failed = ended(begun, "failed")
    mended = replace(
        failed.run, status="completed", updated_at=failed.run.updated_at + timedelta(seconds=1)
    )
    events = [lambda: first.append(failed), lambda: second.amend(RowEvent(mended))]
    for record_it in reversed(events) if reads_newer_first else events:
        record_it()
    for store in (first, second, open_store(tmp_path)):
        assert store.attempts("x")[1].status == "completed"
        assert table(store, "SELECT status FROM run") == [("completed",)]
        store.close()
    assert merged(tmp_path, "SELECT status FROM run") == [("completed",)]
    store = open_store(tmp_path)
    assert store.attempts("x")[1].status == "completed"
    store.close()
