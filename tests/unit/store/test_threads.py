"""Threads of one process on one database: some ask, some read rows, some record, some merge."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest

from consist import Tracker
from consist.errors import StoreUnwritable
from consist.store.database import ALIAS, open_database

if TYPE_CHECKING:
    from pathlib import Path

# ---------------------------------------------------------------- one instance


def test_threads_that_come_first_together_share_one_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A merge that attached the file to one instance wrote to another: "Schema with name consist_db
    # does not exist". ING-002
    database, beginning, connect = open_database(tmp_path / "p.duckdb"), [], duckdb.connect
    first, second = threading.Event(), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> duckdb.DuckDBPyConnection:
        beginning.append(threading.get_ident())
        (second if first.is_set() else first).set()
        second.wait(0.2)  # so that whoever does not wait for the first begins one of its own
        return connect(*args, **kwargs)

    monkeypatch.setattr(duckdb, "connect", slow)

    def merge() -> list[Any]:
        with database.alone(2.0) as alone, database.writing(2.0) as connection:
            assert alone
            assert connection is not None
            connection.execute(f"CREATE TABLE {ALIAS}.t AS SELECT 42 AS n")
            return connection.execute(f"FROM {ALIAS}.t").fetchall()

    def look() -> list[Any]:
        assert first.wait(5.0)
        with database.scratch() as connection:
            return connection.execute("SELECT 42").fetchall()

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(work) for work in (merge, look, look)]
        assert [one.result() for one in asked] == [[(42,)]] * 3
    assert len(beginning) == 1
    assert database.epoch == 1


def test_a_merge_that_fails_ends_nobody_who_reads_what_is_not_merged(tmp_path: Path) -> None:
    database = open_database(tmp_path / "p.duckdb")
    with database.aside() as reader:
        reading = reader.execute("SELECT range FROM range(1000000)")
        with database.alone(1.0), pytest.raises(StoreUnwritable, match="nothing"):
            write_nothing(database)
        assert reading.fetchone() == (0,)
        with database.reading(1.0) as connection:
            found = connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()
            assert (ALIAS,) in found
        assert len(reading.fetchall()) == 999_999


def write_nothing(database: Any) -> None:
    with database.writing(1.0) as connection:
        connection.execute(f"INSERT INTO {ALIAS}.nothing VALUES (1)")


# ---------------------------------------------------------------- all at once


class Crowd:
    """Threads that use one fresh database until each has done its rounds."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.tracker = Tracker(folder / "runs", folder / "p.duckdb")
        self.rounds, self.start = rounds, threading.Barrier(6)
        self.frame = pd.DataFrame({"n": range(20), "text": ["x"] * 20})
        self.made: list[Any] = []
        self.logged: list[Any] = []

    def record(self) -> None:
        for number in range(self.rounds):
            with self.tracker.start_run(f"in{number}", model="make", config={"n": number}):
                artifact = self.tracker.log_dataframe(self.frame, key="trips")
                self.tracker.ingest(artifact)
                self.made.append(artifact)
                assert len(self.tracker.load_df(artifact, db_fallback="always")) == 20

    def record_and_ingest_later(self) -> None:
        for number in range(self.rounds):
            with self.tracker.start_run(f"off{number}", model="make", config={"m": number}):
                artifact = self.tracker.log_dataframe(self.frame, key="trips")
            # Another thread may be inside a run, which would be the one to tag the rows with.
            self.tracker.ingest(artifact, run=self.tracker.get_run(f"off{number}"))
            self.made.append(artifact)

    def merge(self) -> None:
        for _ in range(self.rounds):
            assert self.tracker.store.sync(60.0)
            time.sleep(0.001)

    def ask(self) -> None:
        for _ in range(self.rounds):
            known = len(self.made)
            with self.tracker.store.ask(views=True) as connection:
                if known:
                    count = "SELECT count(*) FROM global_tables.trips"
                    assert connection.execute(count).fetchall()[0][0] >= 20 * known
                runs = connection.execute("SELECT count(*) FROM run").fetchall()[0][0]
                assert runs >= known

    def view(self) -> None:
        for number in range(self.rounds):
            self.tracker.create_view(f"v{number % 2}", "trips")
            with self.tracker.store.ask(views=True) as connection:
                if self.made:
                    count = f"SELECT count(*), count(DISTINCT consist_run_id) FROM v{number % 2}"
                    rows, runs = connection.execute(count).fetchall()[0]
                    assert rows == 20 * runs

    def read(self) -> None:
        for _ in range(self.rounds):
            for artifact in self.made[-2:]:
                assert len(self.tracker.load_df(artifact, db_fallback="always")) == 20

    def run(self) -> None:
        work = (self.record, self.record_and_ingest_later, self.merge, self.ask, self.view)

        def begin(job: Callable[[], None]) -> None:
            self.start.wait()
            job()

        with self.tracker, ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(begin, job) for job in (*work, self.read)]:
                done.result()


@pytest.mark.parametrize(
    ("databases", "rounds"), [(1, 2), pytest.param(20, 8, marks=pytest.mark.slow)]
)
def test_a_crowd_of_threads_loses_no_row(
    tmp_path: Path,
    databases: int,
    rounds: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # ING-001, ING-002, VIEW-006
    monkeypatch.setenv("CONSIST_LOCK_WAIT", "60")
    for number in range(databases):
        folder = tmp_path / str(number)
        folder.mkdir()
        Crowd(folder, rounds).run()
        with duckdb.connect(str(folder / "p.duckdb"), read_only=True) as plain:
            count = "SELECT count(*), count(DISTINCT consist_run_id) FROM global_tables.trips"
            assert plain.execute(count).fetchall() == [(40 * rounds, 2 * rounds)]
            both = "SELECT * FROM v0 EXCEPT SELECT * FROM v1"
            assert plain.execute(both).fetchall() == []
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []
