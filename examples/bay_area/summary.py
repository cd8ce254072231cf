"""The results that people ask for: one row per district."""

import pandas as pd

from examples.bay_area.trips import MODES


def summarize_districts(
    trips: pd.DataFrame, households: pd.DataFrame, cars: pd.DataFrame, zones: pd.DataFrame
) -> pd.DataFrame:
    """Add up the residents of every district, their cars and their trips of one day.

    Every column is a total, so that districts, years and scenarios can be added up and
    compared; shares and averages are for whoever asks.

    Parameters
    ----------
    trips : DataFrame
        See :func:`examples.bay_area.trips.make_trips`.
    households : DataFrame
        See :func:`examples.bay_area.population.grow_population`.
    cars : DataFrame
        See :func:`examples.bay_area.car_ownership.choose_cars`.
    zones : DataFrame
        See :func:`examples.bay_area.zones.describe_zones`.

    Returns
    -------
    DataFrame
        One row per ``district`` of residence: ``households``, ``residents``, ``cars``,
        ``trips``, the trips by mode (``car_trips``, ``transit_trips``, ``walk_trips``,
        ``bike_trips``), ``miles_driven`` and ``parking_paid`` (dollars a day).
    """
    district = zones.set_index("zone")["district"]
    homes = households.merge(cars, on="household")
    lived = homes.groupby(homes["zone"].map(district)).agg(
        households=("household", "size"), residents=("size", "sum"), cars=("cars", "sum")
    )
    made = trips.assign(
        miles_driven=trips["miles"].where(trips["mode"] == "car", 0.0),
        **{f"{mode}_trips": trips["mode"] == mode for mode in MODES},
    )
    columns = [f"{mode}_trips" for mode in MODES] + ["miles_driven", "parking_paid"]
    travelled = made.groupby(made["home_zone"].map(district))
    return (
        lived.join(travelled.size().rename("trips"))
        .join(travelled[columns].sum())
        .rename_axis("district")
        .reset_index()
    )
