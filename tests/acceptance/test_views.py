"""What the documents say of views across runs, as they print it."""
# ruff: noqa: N806  # names as the documents print them

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pytest
from sqlalchemy import text
from sqlmodel import Field, SQLModel, func, select

import consist
from consist import Tracker

if TYPE_CHECKING:
    from pathlib import Path


class Person(SQLModel, table=True):
    person_id: int = Field(primary_key=True)
    age: int
    number_of_trips: int


def record(tracker: Tracker, *scenarios: str, ingested: int | None = None) -> pd.DataFrame:
    """Record a table of two years in each scenario; return all rows as pandas has them."""
    frames: list[pd.DataFrame] = []
    for name in scenarios:
        with tracker.scenario(name) as scenario:
            for year in (2020, 2030):
                with scenario.trace(name=f"trips_{year}", model="trips", year=year):
                    more = [year - 2020, len(name), 2]
                    frame = pd.DataFrame(
                        {"person_id": [1, 2, 3], "age": [30, 40, 50], "number_of_trips": more}
                    )
                    artifact = tracker.log_dataframe(frame, key="person")
                    if year == ingested:
                        tracker.ingest(artifact)
                frames.append(frame.assign(scenario=name, year=year))
    return pd.concat(frames)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("ingested", [None, 2020], ids=["cold", "hybrid"])
def test_cross_run_queries_with_views(ingested: int | None) -> None:
    # VIEW-001 VIEW-002 VIEW-003 VIEW-006
    tracker = Tracker(run_dir="./runs", db_path="./provenance.duckdb", schemas=[Person])
    expected = record(tracker, "baseline", "high_gas", "elsewhere", ingested=ingested)

    VPerson = tracker.views.Person

    query = (
        select(
            VPerson.consist_scenario_id,
            VPerson.consist_year,
            func.avg(VPerson.number_of_trips).label("avg_trips"),
        )
        .where(VPerson.consist_scenario_id.in_(["baseline", "high_gas"]))
        .group_by(VPerson.consist_scenario_id, VPerson.consist_year)
    )

    results = consist.run_query(query, tracker=tracker)

    assert set(results[0]._fields) == {"consist_scenario_id", "consist_year", "avg_trips"}
    wanted = expected[expected["scenario"] != "elsewhere"]
    averages = wanted.groupby(["scenario", "year"])["number_of_trips"].mean()
    assert {(s, y): average for s, y, average in results} == averages.to_dict()
    tracker.close()


@pytest.mark.usefixtures("here")
def test_views_are_there_before_anything_is_recorded() -> None:
    with Tracker(run_dir="./runs", db_path="./provenance.duckdb", schemas=[Person]) as tracker:
        VPerson = tracker.views.Person
        assert tracker.run_query(select(VPerson)) == []
        described = tracker.run_query(text("DESCRIBE v_person"))
        assert [(row[0], row[1]) for row in described] == [
            ("person_id", "BIGINT"),
            ("age", "BIGINT"),
            ("number_of_trips", "BIGINT"),
            ("consist_run_id", "VARCHAR"),
            ("consist_artifact_id", "VARCHAR"),
            ("consist_year", "INTEGER"),
            ("consist_iteration", "INTEGER"),
            ("consist_scenario_id", "VARCHAR"),
        ]
        record(tracker, "baseline")
        assert len(tracker.run_query(select(VPerson))) == 6


def test_a_view_of_a_model_may_have_a_key_of_its_own(tracker: Tracker) -> None:
    # VIEW-004 VIEW-005
    VPerson = tracker.view(Person)
    assert VPerson is tracker.views.Person
    assert VPerson.__tablename__ == "v_person"
    VOther = tracker.view(Person, key="other")
    record(tracker, "baseline")
    assert len(tracker.run_query(select(VOther))) == 0
    assert tracker.create_view("v_mine", "person") == "v_mine"
    assert tracker.create_view("v_yours", "person") == "v_yours"
    for name in ("v_mine", "v_yours", "v_person"):
        assert tracker.run_query(text(f"SELECT count(*) FROM {name}")) == [(6,)]
    assert set(consist.register_views(Person, tracker=tracker)) == {"Person"}
    assert consist.view(Person, tracker=tracker).__tablename__ == "v_person"


def test_without_a_database_there_are_no_views(tmp_path: Path) -> None:
    with Tracker(run_dir=tmp_path, schemas=[Person]) as tracker:
        with pytest.raises(RuntimeError):  # ERR-040
            tracker.view(Person)
        with pytest.raises(RuntimeError):
            _ = tracker.views.Person


def test_plain_duckdb_reads_the_views_of_the_file(tracker: Tracker) -> None:
    tracker.view(Person)
    expected = record(tracker, "baseline", "high_gas", ingested=2030)
    tracker.close()
    with duckdb.connect(str(tracker.db_path), read_only=True) as connection:
        found = connection.sql(
            "SELECT consist_scenario_id AS scenario, consist_year AS year, sum(number_of_trips)"
            " FROM v_person GROUP BY ALL"
        ).fetchall()
    sums = expected.groupby(["scenario", "year"])["number_of_trips"].sum()
    assert {(s, y): total for s, y, total in found} == sums.to_dict()
