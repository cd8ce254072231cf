"""Ingested rows on their way between databases, and out of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from consist import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consist.models.artifact import Artifact

ROWS = pd.DataFrame({"a": [3, 1, 2], "b": ["x", None, ""]})


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    monkeypatch.chdir(tmp_path)
    with Tracker("runs", "p.duckdb") as opened:
        yield opened


def ingested(
    tracker: Tracker, run_id: str, frame: pd.DataFrame = ROWS, key: str = "trips"
) -> Artifact:
    """Run something that makes a table and ingests it; its file is gone afterwards."""
    with tracker.start_run(run_id, model="make", config={"of": run_id}):
        artifact = tracker.log_dataframe(frame, key=key)
        tracker.ingest(artifact)
    artifact.path.unlink()
    return artifact


def sql(tracker: Tracker, statement: str) -> list[tuple[Any, ...]]:
    with tracker.store.ask() as connection:
        return connection.execute(statement).fetchall()


def change(path: str, *statements: str) -> None:
    """Change a database as somebody else's program would."""
    with duckdb.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)


def hot(tracker: Tracker, artifact: Artifact) -> pd.DataFrame:
    found = tracker.get_artifact(artifact.id)
    return tracker.load_df(found, db_fallback="always")


# ---------------------------------------------------------------- export and merge


def test_staged_and_stored_rows_go_along(tracker: Tracker) -> None:
    stored = ingested(tracker, "one")
    tracker.store.sync()
    staged = ingested(tracker, "two", ROWS.assign(a=[1.5, 2, 3]))
    empty = ingested(tracker, "three", ROWS.head(0), "nothing")
    with tracker.start_run("all", model="use", inputs=[stored, staged, empty]):
        pass
    done = tracker.export_db("all", "s.duckdb", include_data=True)
    assert done.ingested_rows == {"trips": 6}
    assert done.ingested_table_modes == {"trips": "run_scoped"}
    with Tracker("s", "s.duckdb") as shard:
        assert shard.doctor_db().is_healthy
    with Tracker("t", "t.duckdb") as other:
        assert other.merge_db("s.duckdb").ingested_tables_merged == {"trips": 6}
        for artifact in (stored, staged, empty):
            pd.testing.assert_frame_equal(hot(other, artifact), hot(tracker, artifact))
        assert other.doctor_db().is_healthy


def test_a_database_opened_for_looking_gives_its_staged_rows_away(tracker: Tracker) -> None:
    stored, staged = ingested(tracker, "one"), None
    tracker.store.sync()
    staged = ingested(tracker, "two")
    with Tracker("runs", "p.duckdb", access_mode="read_only") as looking:
        looking.export_db("two", "s.duckdb", include_data=True)
    with Tracker("s", "s.duckdb") as shard:
        pd.testing.assert_frame_equal(hot(shard, staged), ROWS)
        assert shard.doctor_db().is_healthy
        assert shard.get_artifact(stored.id) is None


def test_rows_that_come_later_reach_an_artifact_that_is_there(tracker: Tracker) -> None:
    artifact = ingested(tracker, "one")
    tracker.export_db("one", "without.duckdb")
    tracker.export_db("one", "with.duckdb", include_data=True)
    with Tracker("t", "t.duckdb") as other:
        other.merge_db("without.duckdb")
        assert other.get_artifact(artifact.id).meta["is_ingested"] is False
        planned = other.merge_db("with.duckdb", dry_run=True)
        assert planned.ingested_tables_merged == {"trips": 3}
        assert other.merge_db("with.duckdb").ingested_tables_merged == {"trips": 3}
        pd.testing.assert_frame_equal(hot(other, artifact), ROWS)
        for shard in ("with.duckdb", "without.duckdb"):
            assert other.merge_db(shard).ingested_tables_merged == {}, "once is enough"
        assert sql(other, "SELECT count(*) FROM global_tables.trips") == [(3,)]
        assert other.doctor_db().is_healthy


def test_of_two_ingests_the_later_one_counts(tracker: Tracker) -> None:
    artifact = ingested(tracker, "one")
    tracker.export_db("one", "old.duckdb", include_data=True)
    run = tracker.get_run("one")
    tracker.ingest(artifact, [{"a": 7}], run=run)
    tracker.export_db("one", "new.duckdb", include_data=True)
    for order in (("old", "new"), ("new", "old")):
        name = "_".join(order)
        with Tracker(name, f"{name}.duckdb") as other:
            for shard in order:
                other.merge_db(f"{shard}.duckdb")
            assert sql(other, "SELECT a FROM global_tables.trips") == [(7,)]
            assert hot(other, artifact).to_dict("list") == {"a": [7]}
            assert other.doctor_db().is_healthy


def test_types_widen_as_an_ingest_would(tracker: Tracker) -> None:
    frames = [ROWS, ROWS.assign(a=[0.5, 1, 2]), ROWS.assign(a=["p", "q", "r"], c=1)]
    artifacts = []
    for number, frame in enumerate(frames):
        artifacts.append(ingested(tracker, f"run{number}", frame))
        with Tracker(f"n{number}", f"n{number}.duckdb") as node:
            tracker.export_db(f"run{number}", f"s{number}.duckdb", include_data=True)
            node.merge_db(f"s{number}.duckdb")
    with Tracker("t", "t.duckdb") as other:
        for number in range(3):
            done = other.merge_db(f"n{number}.duckdb", conflict="error")
            assert done.incompatible_global_tables_skipped == {}
        for artifact, frame in zip(artifacts, frames, strict=True):
            pd.testing.assert_frame_equal(hot(other, artifact), frame)
        assert other.doctor_db().is_healthy


def test_the_rows_of_a_renamed_run_say_its_name(tracker: Tracker) -> None:
    artifact = ingested(tracker, "one")
    tracker.export_db("one", "s.duckdb", include_data=True)
    with Tracker("t", "t.duckdb") as other:
        mine = ingested(other, "one", ROWS.assign(a=[7, 8, 9]))
        assert other.merge_db("s.duckdb").runs_renamed == {"one": "one~2"}
        found = sql(other, "SELECT consist_run_id, a FROM global_tables.trips")
        assert found == [("one", 7), ("one", 8), ("one", 9), *(("one~2", a) for a in ROWS["a"])]
        pd.testing.assert_frame_equal(hot(other, artifact), ROWS)
        pd.testing.assert_frame_equal(hot(other, mine), ROWS.assign(a=[7, 8, 9]))


def test_many_rows_and_artifacts_keep_their_order(tracker: Tracker) -> None:
    with tracker.start_run("big", model="make"):
        big = tracker.log_dataframe(pd.DataFrame({"n": range(300_000)}), key="big")
        tracker.ingest(big)
        small = [
            tracker.log_dataframe(pd.DataFrame({"n": [n, -n, n]}), key=f"s{n}") for n in range(40)
        ]
        for artifact in small:
            tracker.ingest(artifact, [{"n": n} for n in range(9, 0, -1)])
    tracker.export_db("big", "s.duckdb", include_data=True)
    with Tracker("t", "t.duckdb") as other:
        ingested(other, "big", pd.DataFrame({"n": [1]}), "big")  # so that the run is renamed
        other.merge_db("s.duckdb")
        big.path.unlink()
        assert hot(other, big)["n"].tolist() == list(range(300_000))
        small[7].path.unlink()
        assert hot(other, small[7])["n"].tolist() == list(range(9, 0, -1))


def test_a_killed_merge_took_no_row_in(tracker: Tracker) -> None:
    artifact = ingested(tracker, "one")
    tracker.export_db("one", "s.duckdb", include_data=True)
    code = (
        "import os, signal, consist, consist.store.shard_rows as room\n"
        "after = room.ShardRows.store\n"
        "def killed(rows):\n"
        "    after(rows)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "room.ShardRows.store = killed\n"
        "consist.Tracker('t', 't.duckdb').merge_db('s.duckdb')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Tracker("t", "t.duckdb") as other:
        assert other.inspect_db().global_table_sizes == {}
        other.merge_db("s.duckdb")
        assert other.inspect_db().global_table_sizes == {"trips": 3}
        pd.testing.assert_frame_equal(hot(other, artifact), ROWS)
        assert other.doctor_db().is_healthy


# ---------------------------------------------------------------- tables of others

LINKS = (
    "CREATE SCHEMA IF NOT EXISTS global_tables",
    "CREATE TABLE global_tables.links (run_id VARCHAR, content_hash VARCHAR)",
    "INSERT INTO global_tables.links VALUES ('one', 'h1'), ('one', 'h2'), ('two', 'h2')",
    "CREATE TABLE global_tables.cache (content_hash VARCHAR, value INTEGER)",
    "INSERT INTO global_tables.cache VALUES ('h1', 1), ('h2', 2), ('h3', 3)",
    "CREATE TABLE global_tables.notes (consist_run_id VARCHAR, note VARCHAR)",
    "INSERT INTO global_tables.notes VALUES ('one', 'n1'), ('two', 'n2')",
)


@pytest.fixture(params=[False, True], ids=["alone", "beside ours"])
def shared(tracker: Tracker, request: pytest.FixtureRequest) -> Tracker:
    """Two runs, and tables of others that name them."""
    for run_id in ("one", "two"):
        if request.param:
            ingested(tracker, run_id)
        else:
            with tracker.start_run(run_id, model="make"):
                pass
    tracker.store.sync()
    change("p.duckdb", *LINKS)
    return tracker


def sizes(tracker: Tracker) -> dict[str, int]:
    found = tracker.inspect_db().global_table_sizes
    return {table: rows for table, rows in found.items() if table != "trips"}


def test_rows_that_name_runs_go_with_them(shared: Tracker) -> None:
    assert sizes(shared) == {"links": 3, "cache": 3, "notes": 2}
    assert shared.doctor_db().is_healthy
    done = shared.export_db("one", "s.duckdb", include_data=True)
    assert done.ingested_rows.items() >= {"links": 2, "notes": 1}.items()
    modes = done.ingested_table_modes
    assert (modes["links"], modes["notes"]) == ("run_link", "run_scoped")
    assert done.unscoped_cache_tables_skipped == ["cache"]
    with Tracker("t", "t.duckdb") as other:
        for expected in ({"links": 2, "notes": 1}, {}):
            found = other.merge_db("s.duckdb").ingested_tables_merged
            assert {k: n for k, n in found.items() if k != "trips"} == expected
        assert sizes(other) == {"links": 2, "notes": 1}
        shared.export_db("two", "s2.duckdb", include_data=True)
        other.merge_db("s2.duckdb")
        assert sizes(other) == {"links": 3, "notes": 2}
        assert other.doctor_db().is_healthy
    whole = Tracker("w", "w.duckdb")
    assert whole.merge_db("p.duckdb").unscoped_cache_tables_skipped == ["cache"]
    whole.close()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE global_tables.links (run_id VARCHAR, content_hash INTEGER)", "content_hash"),
        ("CREATE TABLE global_tables.links (consist_run_id VARCHAR)", "told apart by"),
        ("CREATE TABLE global_tables.links (content_hash VARCHAR)", "told apart by nothing here"),
    ],
)
def test_a_table_that_does_not_fit_is_said_and_stops_nothing_else(
    shared: Tracker, statement: str, reason: str
) -> None:
    shared.export_db("one", "s.duckdb", include_data=True)
    with Tracker("t", "t.duckdb") as other:
        with other.start_run("zero", model="m"):
            pass
        other.store.sync()
        values = "(1)" if "INTEGER" not in statement else "('one', 1)"
        change(
            "t.duckdb", "CREATE SCHEMA global_tables", statement,
            f"INSERT INTO global_tables.links VALUES {values}",
        )  # fmt: skip
        with pytest.raises(ValueError, match="'links' does not fit"):
            other.merge_db("s.duckdb", conflict="error")
        assert other.inspect_db().total_runs == 1
        done = other.merge_db("s.duckdb")
        assert reason in done.incompatible_global_tables_skipped["links"]
        assert done.ingested_tables_merged["notes"] == 1
        assert sizes(other) == {"links": 1, "notes": 1}


# ---------------------------------------------------------------- purge


def test_rows_stay_or_go_with_their_runs(shared: Tracker) -> None:
    planned = shared.purge_db("one", dry_run=True, prune_cache=True)
    counted = {k: n for k, n in planned.plan.ingested_data.items() if k != "trips"}
    assert counted == {"links": 2, "notes": 1, "cache": 1}
    assert planned.plan.ingested_table_modes.items() >= {
        "links": "run_link", "notes": "run_scoped", "cache": "unscoped_cache"
    }.items()  # fmt: skip
    assert planned.ingested_data_skipped
    before = shared.inspect_db().global_table_sizes
    done = shared.purge_db("one", delete_ingested_data=True, prune_cache=True)
    assert not done.ingested_data_skipped
    assert sizes(shared) == {"links": 1, "notes": 1, "cache": 2}
    assert sql(shared, "SELECT content_hash FROM consist_db.global_tables.cache") == [
        ("h2",),
        ("h3",),
    ]
    if "trips" in before:
        assert shared.inspect_db().global_table_sizes["trips"] == 3
    assert shared.doctor_db().is_healthy


def test_a_cache_is_pruned_alone_if_asked_and_stays_if_not(shared: Tracker) -> None:
    kept = shared.purge_db("one")
    assert kept.ingested_data_skipped
    assert "cache" not in kept.plan.ingested_data
    assert sizes(shared) == {"links": 3, "cache": 3, "notes": 2}
    shared.purge_db("two", prune_cache=True)
    # What the run purged before was linked to has no other user any more.
    assert sql(shared, "SELECT content_hash FROM consist_db.global_tables.cache") == [
        ("h1",),
        ("h3",),
    ]
    assert sizes(shared) == {"links": 3, "cache": 2, "notes": 2}


def test_a_cache_that_nobody_links_to_stays(tracker: Tracker) -> None:
    with tracker.start_run("one", model="m"):
        pass
    tracker.store.sync()
    change("p.duckdb", *(line for line in LINKS if "links" not in line))
    tracker.purge_db("one", delete_ingested_data=True, prune_cache=True)
    assert sizes(tracker) == {"cache": 3, "notes": 1}


def test_rows_without_the_flag_stay_and_say_whose_they_were(tracker: Tracker) -> None:
    artifact = ingested(tracker, "one")
    done = tracker.purge_db("one")
    assert (done.plan.ingested_data, done.ingested_data_skipped) == ({"trips": 3}, True)
    found = sql(
        tracker, "SELECT DISTINCT consist_run_id, consist_artifact_id FROM global_tables.trips"
    )
    assert found == [("one", str(artifact.id))]
    assert tracker.doctor_db().is_healthy


def test_rows_of_an_artifact_that_another_run_uses_stay(tracker: Tracker) -> None:
    artifact = ingested(tracker, "one")
    with tracker.start_run("two", model="use", inputs=[artifact]):
        pass
    done = tracker.purge_db("one", delete_ingested_data=True)
    assert done.plan.ingested_data == {}
    pd.testing.assert_frame_equal(hot(tracker, artifact), ROWS)
    assert tracker.purge_db("two", delete_ingested_data=True).plan.ingested_data == {"trips": 3}
    assert tracker.inspect_db().global_table_sizes == {"trips": 0}


def _nothing(_: Tracker) -> None:
    pass


def _merged(tracker: Tracker) -> None:
    tracker.store.sync()


@pytest.mark.parametrize("before", [_nothing, _merged], ids=["staged", "stored"])
def test_nothing_brings_purged_rows_back(
    tracker: Tracker, before: Callable[[Tracker], None]
) -> None:
    artifact = ingested(tracker, "one")
    ingested(tracker, "other", ROWS.assign(a=0))
    before(tracker)
    tracker.export_db("one", "s.duckdb", include_data=True)
    tracker.purge_db("one", delete_ingested_data=True)
    assert tracker.inspect_db().global_table_sizes == {"trips": 3}
    done = tracker.merge_db("s.duckdb")
    assert (done.runs_skipped, done.ingested_tables_merged) == (["one"], {})
    tracker.rebuild_db("runs")
    tracker.close()
    Path("p.duckdb").unlink()  # everything is filled in anew from journals and snapshots
    with Tracker("runs", "p.duckdb") as again:
        again.store.sync()
        assert again.get_run("one") is None
        assert again.get_artifact(artifact.id) is None
        if again.inspect_db().global_table_sizes:
            found = sql(again, "SELECT consist_artifact_id FROM global_tables.trips")
            assert (str(artifact.id),) not in found
        assert again.doctor_db().is_healthy


# ---------------------------------------------------------------- rebuild, inspect, doctor


@pytest.mark.parametrize("mode", ["minimal", "full"])
def test_a_database_from_snapshots_claims_no_rows(tracker: Tracker, mode: Any) -> None:
    artifact = ingested(tracker, "one")
    with Tracker("t", "t.duckdb") as other:
        assert other.rebuild_db("runs", mode=mode).runs_inserted == 1
        found = other.get_artifact(artifact.id)
        assert found.meta["is_ingested"] is False
        with pytest.raises(FileNotFoundError) as caught:
            other.load_df(found, db_fallback="always")
        assert not any("db_fallback" in note for note in caught.value.__notes__)
        assert other.doctor_db().global_table_schema_drift == {}


DAMAGE = {
    "which cannot hold it": "ALTER TABLE global_tables.trips ALTER a TYPE TINYINT",
    "column 'a', which was ingested as BIGINT, is not there":
        "ALTER TABLE global_tables.trips DROP COLUMN a",
    "1 artifacts that the ledger does not tell of":
        "INSERT INTO global_tables.trips (consist_artifact_id) VALUES ('nobody')",
    "of which the ledger tells 3": "DELETE FROM global_tables.trips WHERE a = 1",
    "no artifact owns its rows": "ALTER TABLE global_tables.trips DROP consist_artifact_id",
    "it is not there": "DROP TABLE global_tables.trips",
}  # fmt: skip


@pytest.mark.parametrize("words", DAMAGE)
def test_the_doctor_tells_how_a_table_differs_from_its_ledger(tracker: Tracker, words: str) -> None:
    ingested(tracker, "one")
    tracker.store.sync()
    assert tracker.doctor_db().is_healthy
    change("p.duckdb", DAMAGE[words])
    found = tracker.doctor_db()
    assert words in found.global_table_schema_drift["trips"]
    assert not found.is_healthy


def test_the_doctor_names_staged_files_of_nobody(tracker: Tracker) -> None:
    ingested(tracker, "one")
    (file,) = tracker.store.folder.rows.glob("*.parquet")
    stray = file.with_name(f"20300101T000000000000-{'0' * 16}.parquet")
    stray.write_bytes(file.read_bytes())
    (finding,) = tracker.doctor_db().findings
    assert (finding.check, finding.items) == ("staged_rows_without_record", [str(stray)])
    assert tracker.doctor_db().is_healthy, "it is a note"
    tracker.store.sync()
    assert not stray.exists()
    assert tracker.doctor_db().findings == []


def test_the_doctor_tells_of_columns_that_were_kept_apart(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consist.hot.conflicts._known", lambda *_: {})  # as in two processes
    for number, value in enumerate([1, {"a": 1}, {"a": 2}]):
        with tracker.start_run(f"r{number}", model="m", config={"n": number}):
            artifact = tracker.log_dataframe(pd.DataFrame({"a__b": [0]}), key="t")
            tracker.ingest(artifact, pa.table({"v": [value], "a__b": [number]}))
    tracker.store.sync()
    (finding,) = tracker.doctor_db().findings
    assert (finding.check, finding.severity) == ("columns_kept_apart", "note")
    assert finding.items == ["t: v__struct has 'v' of 2 artifacts, STRUCT(a BIGINT); v is BIGINT"]


def test_damaged_staged_rows_stop_only_questions_for_their_table(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    frame, made = pd.DataFrame({"n": [1, 2]}), {}
    for key in ("bad", "good"):
        with tracker.start_run(key, model="m", config={"key": key}):
            made[key] = tracker.log_dataframe(frame, key=key)
            tracker.ingest(made[key])
    (bad, good) = sorted(tracker.store.folder.rows.glob("*.parquet"))
    bad.write_bytes(b"not Parquet")
    for _ in range(2):
        with tracker.store.ask() as connection:
            assert connection.execute("SELECT count(*) FROM run").fetchall() == [(2,)]
            assert len(connection.execute("FROM global_tables.good").fetchall()) == 2
            with pytest.raises(duckdb.Error, match=r"is damaged; it has the rows of 'bad' of run"):
                connection.execute("SELECT count(*) FROM global_tables.bad").fetchall()
    (finding,) = tracker.doctor_db().findings
    assert (finding.check, finding.items) == ("staged_rows_damaged", [f"bad of bad: {bad}"])
    tracker.store.sync()
    (finding,) = tracker.doctor_db().findings
    assert finding.check == "rows_put_aside"
    assert finding.items[0].startswith(f"bad of bad, for table bad: {bad.name}; ")
    assert not tracker.doctor_db().is_healthy
    tracker.ingest(made["bad"])
    assert tracker.doctor_db().findings == []
    assert good.name not in caplog.text
