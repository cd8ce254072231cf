"""What can be asked once the forecasts are done."""

from typing import Any

from sqlalchemy import text

from consist import Tracker

RESULTS = text("""
    SELECT
        summary.consist_scenario_id AS scenario,
        max(run.description) AS assumption,
        summary.consist_year AS year,
        sum(summary.residents) AS residents,
        sum(summary.trips) AS trips,
        sum(summary.car_trips) / sum(summary.trips) AS by_car,
        sum(summary.transit_trips) / sum(summary.trips) AS by_transit,
        sum(summary.walk_trips) / sum(summary.trips) AS on_foot,
        sum(summary.parking_paid) / sum(summary.car_trips) AS parking_per_car_trip
    FROM v_district_summary AS summary
    JOIN run ON run.id = summary.consist_run_id
    WHERE run.status = 'completed'
    GROUP BY summary.consist_scenario_id, summary.consist_year
    ORDER BY summary.consist_scenario_id, summary.consist_year
""")


def results_question(tracker: Tracker) -> list[Any]:
    """Ask the files of all district summaries, and the runs behind them, in one statement.

    Parameters
    ----------
    tracker : Tracker
        The tracker that the forecasts were made with.

    Returns
    -------
    list of Row
        One row per scenario and year, with the columns that ``RESULTS`` names.
    """
    tracker.create_view("v_district_summary", "district_summary")
    return tracker.run_query(RESULTS)
