"""Views across runs: what is shown under which run, and what happens to files meanwhile."""

from __future__ import annotations

import enum
import gzip
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest
from sqlalchemy import text
from sqlmodel import Field, SQLModel, select

from consist import Tracker
from consist.errors import FileGone, StoreUnwritable
from consist.views.members import RunFilter, find_members, of_ids, of_key
from consist.views.united import Layout, united_sql

if TYPE_CHECKING:
    from pathlib import Path


class Trip(SQLModel, table=True):
    trip_id: int = Field(primary_key=True)
    zone: str
    miles: float | None = None


def ask(tracker: Tracker, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in tracker.run_query(text(sql))]


def write(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(columns)
    frame.to_csv(path, index=False) if ".csv" in path.name else frame.to_parquet(path)
    return path


def log(tracker: Tracker, run_id: str, path: Path, key: str = "trips", **options: Any) -> Any:
    with tracker.start_run(run_id, model="m", **options):
        return tracker.log_artifact(path, key=key, direction="output")


# ---------------------------------------------------------------- who is shown


def make(path: str) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(path)


def test_a_scenario_shows_each_output_once_executed_or_hit(tracker: Tracker) -> None:
    # G-16 C-19
    def step(name: str) -> str:
        with tracker.scenario(name) as scenario:
            scenario.run(name="make", fn=_table, outputs=["trips"], year=2030)
        return name

    for name in ("base", "base", "other"):
        step(name)
    tracker.create_view("v_trips", "trips")
    found = ask(tracker, "SELECT consist_scenario_id, consist_year, count(*) FROM v_trips GROUP BY ALL ORDER BY ALL")  # noqa: E501  # fmt: skip
    assert found == [("base", 2030, 1), ("other", 2030, 1)]
    with tracker.store.ask(views=True) as connection:
        earlier = find_members(
            tracker, connection, of_key("trips"), RunFilter(parent_run_id="base~1")
        )
        assert [member.scenario for member in earlier] == ["base"]
        (again,) = find_members(tracker, connection, of_ids([earlier[0].record.id]), RunFilter(parent_run_id="base"))  # noqa: E501  # fmt: skip
        assert again.run_id != earlier[0].run_id


def _table() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def test_a_run_outside_scenarios_counts_once_and_a_failed_one_not_at_all(
    tracker: Tracker, tmp_path: Path
) -> None:
    # VIEW-017
    log(tracker, "one", write(tmp_path / "a.parquet", a=[1]), year=2020, iteration=3)
    with suppress(ZeroDivisionError), tracker.start_run("bad", model="m"):
        tracker.log_artifact(write(tmp_path / "b.parquet", a=[2]), key="trips", direction="output")
        raise ZeroDivisionError
    tracker.create_view("v_trips", "trips")
    sql = "SELECT a, consist_run_id, consist_year, consist_iteration, consist_scenario_id FROM v_trips"  # noqa: E501  # fmt: skip
    assert ask(tracker, sql) == [(1, "one", 2020, 3, None)]
    with tracker.store.ask(views=True) as connection:
        for runs, wanted in (
            (RunFilter(status="failed"), ["bad"]),
            (RunFilter(year=2020, iteration=3, model="m"), ["one"]),
            (RunFilter(year=2021), []),
            (RunFilter(run_id="one"), ["one"]),
        ):
            found = find_members(tracker, connection, of_key("trips"), runs)
            assert [member.run_id for member in found] == wanted


def test_a_step_inside_a_step_belongs_to_the_scenario_above(tracker: Tracker) -> None:
    def outer() -> None:
        tracker.run(fn=_table, name="inner", outputs=["trips"])

    with tracker.scenario("base") as scenario:
        scenario.run(name="outer", fn=outer)
    tracker.create_view("v_trips", "trips")
    assert ask(tracker, "SELECT consist_scenario_id FROM v_trips") == [("base",)]


# ---------------------------------------------------------------- files come and go


def test_a_path_that_two_runs_wrote_shows_the_bytes_of_the_later_alone(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "t.parquet", a=[1])
    log(tracker, "first", path)
    log(tracker, "second", write(path, a=[2, 3]))
    tracker.create_view("v_trips", "trips")
    with caplog.at_level(logging.WARNING, "consist.views"):
        for _ in range(3):
            found = ask(tracker, "SELECT a, consist_run_id FROM v_trips ORDER BY a")
            assert found == [(2, "second"), (3, "second")]
    assert len(caplog.records) == 1
    assert "no longer holds what was recorded" in caplog.text
    assert "'first'" in caplog.text


def test_a_file_that_vanishes_is_passed_over_with_one_warning(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # VIEW-016
    paths = [write(tmp_path / f"{n}.parquet", a=[n]) for n in range(3)]
    artifacts = [log(tracker, f"r{n}", path) for n, path in enumerate(paths)]
    tracker.create_view("v_trips", "trips")
    assert ask(tracker, "SELECT sum(a) FROM v_trips") == [(3,)]
    paths[2].unlink()
    with caplog.at_level(logging.WARNING, "consist.views"):
        assert ask(tracker, "SELECT sum(a) FROM v_trips") == [(1,)]
        assert ask(tracker, "SELECT sum(a) FROM v_trips") == [(1,)]
    assert caplog.text.count("passes over a missing file") == 1
    with tracker.store.ask(views=True) as connection:
        members = find_members(tracker, connection, of_ids(str(a.id) for a in artifacts))
        with pytest.raises(FileGone):
            united_sql(tracker, connection, members, missing_files="error")
    tracker.ingest(artifacts[1])
    paths[1].unlink()
    assert ask(tracker, "SELECT sum(a) FROM v_trips") == [(1,)]


def test_a_table_that_cannot_be_read_fails_its_view_and_nothing_else(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no table at all")
    log(tracker, "bad", tmp_path / "bad.parquet")
    tracker.create_view("v_trips", "trips")
    for question in ("SELECT count(*) FROM v_trips", "SELECT * FROM v_trips"):
        with pytest.raises(Exception, match=r"v_trips cannot be read: .*bad\.parquet"):
            ask(tracker, question)
    assert ask(tracker, "SELECT id FROM run") == [("bad",)]
    for _ in range(2):
        tracker.store.publish_soon()
        assert tracker.store.sync()
    tracker.close()
    (said,) = [record.getMessage() for record in caplog.records if "stays as" in record.message]
    assert "bad.parquet" in said
    assert "\n" not in said
    with duckdb.connect(str(tracker.db_path), read_only=True) as connection:
        assert connection.sql("SELECT id FROM run").fetchall() == [("bad",)]


def test_the_view_in_the_file_survives_files_that_vanish(tracker: Tracker, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.parquet", a=[n]) for n in range(2)]
    for n, path in enumerate(paths):
        log(tracker, f"r{n}", path)
    tracker.create_view("v_trips", "trips")
    tracker.close()
    with duckdb.connect(str(tracker.db_path), read_only=True) as connection:
        asked = "SELECT a, consist_run_id FROM v_trips ORDER BY a"
        assert connection.sql(asked).fetchall() == [(0, "r0"), (1, "r1")]
        paths[0].unlink()
        assert connection.sql(asked).fetchall() == [(1, "r1")]
        paths[1].unlink()
        assert connection.sql(asked).fetchall() == []


def test_a_later_process_keeps_the_view_in_the_file_up_to_date(
    tracker: Tracker, tmp_path: Path
) -> None:
    log(tracker, "r0", write(tmp_path / "0.parquet", a=[0]))
    tracker.create_view("v_trips", "trips")
    tracker.close()
    with Tracker(run_dir=tmp_path / "runs", db_path=tracker.db_path) as other:
        log(other, "r1", write(tmp_path / "1.parquet", a=[1]))
    with duckdb.connect(str(tracker.db_path), read_only=True) as connection:
        assert connection.sql("SELECT sum(a) FROM v_trips").fetchall() == [(1,)]
    with Tracker(tmp_path / "runs", tracker.db_path, access_mode="read_only") as looking:
        assert ask(looking, "SELECT count(*) FROM v_trips") == [(2,)]


def test_a_table_of_the_users_own_is_never_replaced(tracker: Tracker, tmp_path: Path) -> None:
    log(tracker, "r0", write(tmp_path / "0.parquet", a=[0]))
    tracker.store.sync()
    with duckdb.connect(str(tracker.db_path)) as connection:
        connection.execute("CREATE TABLE v_trips AS SELECT 'mine' AS a")
    tracker.create_view("v_trips", "trips")
    log(tracker, "r1", write(tmp_path / "1.parquet", a=[1]))
    tracker.close()
    with duckdb.connect(str(tracker.db_path), read_only=True) as connection:
        assert connection.sql("FROM v_trips").fetchall() == [("mine",)]
        assert connection.sql("SELECT count(*) FROM run").fetchall() == [(2,)]


# ---------------------------------------------------------------- columns


def test_hot_and_cold_unite_by_name_and_type(tracker: Tracker, tmp_path: Path) -> None:
    small = pd.DataFrame({"Trip_ID": pd.array([1], "int32"), "extra": ["x"]})
    small.to_parquet(tmp_path / "small.parquet")
    hot = log(tracker, "hot", write(tmp_path / "hot.parquet", trip_id=[2**40], zone=["007"]))
    tracker.ingest(hot)
    log(tracker, "cold", tmp_path / "small.parquet")
    trip_view = tracker.view(Trip, key="trips")
    rows = tracker.run_query(select(trip_view).order_by(trip_view.trip_id))
    assert [(r.trip_id, r.zone, r.miles, r.consist_run_id) for r in rows] == [
        (1, None, None, "cold"),
        (2**40, "007", None, "hot"),
    ]
    names = [row[0] for row in ask(tracker, "DESCRIBE v_trips")]
    assert names[:4] == ["trip_id", "zone", "miles", "extra"]
    tracker.create_view("v_all", "trips")
    kinds = dict(row[:2] for row in ask(tracker, "DESCRIBE v_all"))
    assert kinds["trip_id"] == "BIGINT"


def test_a_value_that_is_none_of_the_models_type_names_column_and_file(
    tracker: Tracker, tmp_path: Path
) -> None:
    good = log(tracker, "good", write(tmp_path / "good.parquet", trip_id=[1.0, None], zone=["1", "2"]))  # noqa: E501  # fmt: skip
    assert good.id
    trip_view = tracker.view(Trip, key="trips")
    assert {r.trip_id for r in tracker.run_query(select(trip_view))} == {1, None}
    log(tracker, "bad", write(tmp_path / "bad.parquet", trip_id=[1.5], zone=["1"]))
    with pytest.raises(Exception, match=r"column trip_id of file .*bad\.parquet holds 1\.5"):
        tracker.run_query(select(trip_view))


def test_csv_is_read_with_the_types_of_the_model(tracker: Tracker, tmp_path: Path) -> None:
    log(tracker, "r0", write(tmp_path / "0.csv", trip_id=[1], zone=["1.50"], miles=[3]))
    with gzip.open(tmp_path / "1.csv.gz", "wt") as file:
        file.write("trip_id,zone\n2,01234\n")
    log(tracker, "r1", tmp_path / "1.csv.gz")
    log(tracker, "r2", write(tmp_path / "2.parquet", trip_id=[3], zone=["x"]))
    trip_view = tracker.view(Trip, key="trips")
    rows = tracker.run_query(
        select(trip_view.trip_id, trip_view.zone, trip_view.miles).order_by(trip_view.trip_id)
    )
    assert [tuple(row) for row in rows] == [(1, "1.50", 3.0), (2, "01234", None), (3, "x", None)]


def test_a_folder_of_partitions_is_one_table(tracker: Tracker, tmp_path: Path) -> None:
    for year, zone in ((2020, "a b"), (2030, "c")):
        write(tmp_path / f"t.parquet/year={year}/zone={zone}/part-0.parquet", trip_id=[year])
    log(tracker, "r", tmp_path / "t.parquet")
    log(tracker, "s", write(tmp_path / "plain.parquet", trip_id=[1], year=[7], zone=["z"]))
    tracker.create_view("v_trips", "trips")
    found = ask(tracker, "SELECT trip_id, year, zone, consist_run_id FROM v_trips ORDER BY trip_id")
    assert found == [(1, 7, "z", "s"), (2020, 2020, "a b", "r"), (2030, 2030, "c", "r")]


@pytest.mark.parametrize("name", ["it's.parquet", "a[1]*?.parquet", 'q"u.parquet', "ü é.parquet"])
def test_any_file_name_is_a_name(tracker: Tracker, tmp_path: Path, name: str) -> None:
    log(tracker, "r", write(tmp_path / name, a=[1]))
    log(tracker, "s", write(tmp_path / "a1xx.parquet", a=[2]))
    tracker.create_view("v_trips", "trips")
    assert ask(tracker, "SELECT a, consist_run_id FROM v_trips ORDER BY a") == [(1, "r"), (2, "s")]


def test_attached_values_are_columns(tracker: Tracker, tmp_path: Path) -> None:
    import dataclasses

    log(tracker, "r", write(tmp_path / "a.parquet", a=[1]))
    with tracker.store.ask(views=True) as connection:
        found = find_members(tracker, connection, of_key("trips"))
        members = [dataclasses.replace(m, attached={"facet_b": 2.5}) for m in found]
        layout = Layout(attached={"facet_b": "DOUBLE"}, system=False)
        sql = united_sql(tracker, connection, members, layout)
        relation = connection.sql(sql)
        assert (relation.columns, relation.fetchall()) == (["a", "facet_b"], [(1, 2.5)])


# ---------------------------------------------------------------- classes


class Mode(enum.Enum):
    CAR = "car"


def test_models_of_every_kind_make_views(tracker: Tracker, tmp_path: Path) -> None:
    class Plain(SQLModel):
        __tablename__ = "trips"  # pyright: ignore[reportAssignmentType]
        trip_id: int
        mode: Mode

    log(tracker, "r", write(tmp_path / "a.parquet", trip_id=[1, 1], mode=["car", "bus"]))
    plain_view = tracker.view(Plain)
    rows = tracker.run_query(select(plain_view))
    assert sorted((r.trip_id, r.mode) for r in rows) == [(1, "bus"), (1, "car")]
    assert "v_trips" not in SQLModel.metadata.tables
    trip_view = tracker.view(Trip, key="trips")  # a second model over the same key
    assert trip_view.__tablename__ == "v_trips_trip"
    assert len(tracker.run_query(select(trip_view.trip_id))) == 2
    assert len(tracker.run_query(select(plain_view.mode))) == 2
    with tracker.db_session() as session:
        assert len(session.exec(select(plain_view).where(plain_view.trip_id == 1)).all()) == 2


def test_system_columns_of_a_model_are_those_of_the_view(tracker: Tracker, tmp_path: Path) -> None:
    class Told(SQLModel):
        a: int
        consist_run_id: str
        consist_year: int | None = None

    log(tracker, "r", write(tmp_path / "t.csv", a=[1]), year=2030)
    told = tracker.view(Told, key="trips")
    wanted = select(told.a, told.consist_run_id, told.consist_year)
    assert [tuple(row) for row in tracker.run_query(wanted)] == [(1, "r", 2030)]


def test_what_is_no_model_is_refused(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match="int"):
        tracker.view(int)  # pyright: ignore[reportArgumentType]

    class Odd(SQLModel):
        field: dict[str, int]

    with pytest.raises(ValueError, match="'field' of Odd"):
        tracker.view(Odd)
    with pytest.raises(AttributeError, match="no view 'X'"):
        _ = tracker.views.X
    tracker.view(Trip)
    assert "Trip" in dir(tracker.views)
    assert list(tracker.views) == ["Trip"]
    with pytest.raises(ValueError, match="plain identifier"):
        tracker.create_view("v trips", "trips")
    with pytest.raises(ValueError, match="table of the provenance"):
        tracker.create_view("run", "trips")


# ---------------------------------------------------------------- who asks


def test_two_trackers_on_one_database_have_views_of_their_own(
    tracker: Tracker, tmp_path: Path
) -> None:
    log(tracker, "r", write(tmp_path / "a.parquet", a=[1]), "one")
    log(tracker, "s", write(tmp_path / "b.parquet", a=[2]), "two")
    with Tracker(tmp_path / "elsewhere", tracker.db_path) as other:
        tracker.create_view("v", "one")
        other.create_view("v", "two")
        for _ in range(2):
            assert ask(tracker, "SELECT a FROM v") == [(1,)]
            assert ask(other, "SELECT a FROM v") == [(2,)]


@pytest.mark.filterwarnings("ignore")  # Ibis uses what pandas and DuckDB call deprecated
def test_frames_and_ibis_read_views_while_a_run_is_open(tracker: Tracker, tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    ibis_view = pytest.importorskip("consist.integrations.ibis").ibis_view
    log(tracker, "r", write(tmp_path / "a.parquet", a=[1, 2]))
    with tracker.start_run("open", model="m"):
        table = ibis_view(tracker, key="trips")
        assert table.a.sum().execute() == 3
        assert sum(batch.num_rows for batch in table.to_pyarrow_batches()) == 2
        log_later = write(tmp_path / "b.parquet", a=[10])
        tracker.log_artifact(log_later, key="trips", direction="output")
    assert table.a.sum().execute() == 13
    assert table.to_polars().shape == (3, 6)
    assert "v_trips" in tracker.memory["ibis"].list_tables()
    assert tracker.store.sync()  # nothing holds the file
    with tracker.store.database.alone(1.0), pytest.raises(StoreUnwritable):
        fail_to_write(tracker.store.database)
    assert table.a.sum().execute() == 13, "a merge that failed ends no connection of Ibis"
    with tracker.engine.connect() as connection:  # pyright: ignore[reportOptionalMemberAccess]
        frame = pd.read_sql(text("SELECT a FROM v_trips ORDER BY a"), connection)
        assert frame["a"].tolist() == [1, 2, 10]
        assert pl.read_database("SELECT a FROM v_trips", connection).height == 3
    with pytest.raises(ValueError, match="neither model nor key"):
        ibis_view(tracker)


def fail_to_write(database: Any) -> None:
    with database.writing(1.0) as connection:
        connection.execute("INSERT INTO nothing VALUES (1)")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_nobody_may_write_to_can_be_asked(tracker: Tracker, tmp_path: Path) -> None:
    log(tracker, "r", write(tmp_path / "a.parquet", a=[1]))
    tracker.close()
    tmp_path.chmod(0o500)
    try:
        with Tracker(tmp_path / "runs", tracker.db_path, access_mode="read_only") as looking:
            looking.create_view("v", "trips")
            assert ask(looking, "SELECT a FROM v") == [(1,)]
    finally:
        tmp_path.chmod(0o700)


def test_stored_rows_tell_run_and_scenario_whether_joined_or_not(tmp_path: Path) -> None:
    with Tracker(run_dir=tmp_path / "runs", db_path=tmp_path / "p.duckdb") as tracker:

        def ingested(run_id: str) -> None:
            path = tmp_path / "runs" / f"{run_id}.csv"
            path.write_text(f"name\n{run_id}\n")
            tracker.ingest(tracker.log_artifact(path, key="rows", direction="output"))

        tracker.create_view("v_rows", "rows")
        question = text("SELECT name, consist_run_id, consist_scenario_id FROM v_rows ORDER BY 1")
        for scenario in ("base", "toll"):
            with tracker.scenario(scenario) as sc, sc.trace(f"step_{scenario}"):
                ingested(scenario)
        tracker.store.sync(wait=30.0)
        whole = tracker.run_query(question)
        assert [(row[0], row[2]) for row in whole] == [("base", "base"), ("toll", "toll")]
        with pytest.raises(ZeroDivisionError), tracker.start_run("failed", model="m"):  # noqa: PT012
            ingested("failed")
            raise ZeroDivisionError
        tracker.store.sync(wait=30.0)
        assert tracker.run_query(question) == whole  # its rows are in the table, but not shown
        stored = text("SELECT count(*) FROM global_tables.rows")
        assert [tuple(row) for row in tracker.run_query(stored)] == [(3,)]
