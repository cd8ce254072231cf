"""Where people go and how: trips between home and work, study, shops and leisure."""

import numpy as np
import pandas as pd

MODES = ("car", "transit", "walk", "bike")
PURPOSES = ("work", "study", "shop", "leisure")

TRIPS_PER_DAY = pd.DataFrame.from_dict(
    {
        "full-time worker": (1.7, 0.0, 0.7, 0.9),
        "part-time worker": (1.2, 0.0, 1.0, 1.1),
        "university student": (0.3, 1.4, 0.6, 1.0),
        "non-worker": (0.0, 0.0, 1.4, 1.5),
        "retired": (0.0, 0.0, 1.3, 1.2),
        "driving-age pupil": (0.1, 1.7, 0.3, 0.8),
        "pupil": (0.0, 1.8, 0.4, 0.9),
        "pre-school child": (0.0, 0.8, 0.5, 0.7),
    },
    orient="index",
    columns=PURPOSES,
)

# What speaks for a mode besides time and money. Who has no car can still ride along.
TASTE = pd.DataFrame.from_dict(
    {
        "no car": (-2.6, -0.7, 0.0, -3.2),
        "shared": (-0.6, -0.9, 0.0, -3.2),
        "own": (0.3, -1.2, 0.0, -3.3),
    },
    orient="index",
    columns=MODES,
)
PER_MINUTE = np.array([-0.03, -0.03, -0.06, -0.08])
PER_DOLLAR = pd.Series({"low": -0.30, "middle": -0.15, "high": -0.08})
INCOME_CLASSES = (-1, 20_000, 75_000, np.inf)


def make_trips(
    households: pd.DataFrame,
    persons: pd.DataFrame,
    cars: pd.DataFrame,
    level_of_service: pd.DataFrame,
    zones: pd.DataFrame,
    parking_price: float,
    seed: int,
) -> pd.DataFrame:
    """Draw the trips of one day: how many, to which zone and by which mode.

    A traveller weighs what every zone has to offer against the time and money that each mode
    takes to get there: a joint logit of destination and mode. Its weights are plausible, not
    estimated.

    Parameters
    ----------
    households, persons : DataFrame
        See :func:`examples.bay_area.population.grow_population`.
    cars : DataFrame
        See :func:`examples.bay_area.car_ownership.choose_cars`.
    level_of_service : DataFrame
        See :func:`examples.bay_area.accessibility.measure_level_of_service`.
    zones : DataFrame
        See :func:`examples.bay_area.zones.describe_zones`.
    parking_price : float
        Dollars for an hour of all-day parking, on average over the jobs of the area. Every
        zone keeps its relation to that average, and short stays theirs to long ones.
    seed : int
        See :func:`examples.bay_area.car_ownership.choose_cars`.

    Returns
    -------
    DataFrame
        One row per trip: ``household``, ``purpose``, ``home_zone``, ``activity_zone``,
        ``mode``, ``minutes``, ``miles`` and ``parking_paid`` (dollars; half the price of the
        stay, since one trip leads to it and another away from it).
    """
    rng = np.random.default_rng(seed)
    trips = _count_trips(persons, rng)
    trips["luck"] = rng.random(len(trips))
    trips = trips.merge(_classify(households, cars), on="household")
    options = _lay_out_options(level_of_service, zones, parking_price)

    chosen = [
        _choose(group, options.loc[purpose, home])
        for (purpose, home), group in trips.groupby(["purpose", "home_zone"], observed=True)
    ]
    return trips[["household", "purpose", "home_zone"]].join(pd.concat(chosen))


def _count_trips(persons: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw how often each person sets out for each purpose; one row per trip."""
    counts = rng.poisson(TRIPS_PER_DAY.loc[persons["person_type"]])
    person, purpose = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), len(PURPOSES))
    return pd.DataFrame(
        {
            "household": persons["household"].to_numpy()[person],
            "purpose": pd.Categorical.from_codes(purpose, PURPOSES),
            "home_zone": persons["zone"].to_numpy()[person],
        }
    )


def _classify(households: pd.DataFrame, cars: pd.DataFrame) -> pd.DataFrame:
    """Say which of the classes, by cars and by income, each household belongs to."""
    owned = households[["household", "adults"]].merge(cars, on="household")
    return pd.DataFrame(
        {
            "household": households["household"],
            "cars": np.select(
                [owned["cars"] == 0, owned["cars"] < owned["adults"]], ["no car", "shared"], "own"
            ),
            "income": pd.cut(households["income"], INCOME_CLASSES, labels=PER_DOLLAR.index),
        }
    )


def _lay_out_options(
    level_of_service: pd.DataFrame, zones: pd.DataFrame, parking_price: float
) -> pd.DataFrame:
    """Say what every zone offers for each purpose, and what it takes to go there from home."""
    level = parking_price / np.average(zones["long_stay"], weights=zones["jobs"])
    hour, hour_of_all_day = level * zones["short_stay"], level * zones["long_stay"]
    learning = zones["seats"] + 0.2 * zones["residents"]
    company = zones["service_jobs"] + 0.2 * zones["residents"]
    # Half of the workers park for free, and whoever learns is mostly dropped at the door.
    offers = {
        "work": ("peak", zones["jobs"], 4.0 * hour_of_all_day),
        "study": ("peak", learning, 0.5 * hour),
        "shop": ("offpeak", zones["retail_jobs"], 0.5 * hour),
        "leisure": ("offpeak", company, 0.5 * hour),
    }
    options = pd.concat(
        pd.DataFrame(
            {
                "purpose": purpose,
                "period": period,
                "destination": zones["zone"],
                "attraction": attraction,
                "parking": price_of_stay / 2,
            }
        )
        for purpose, (period, attraction, price_of_stay) in offers.items()
    ).merge(level_of_service, on=["period", "destination"])
    options["car_dollars"] += options["parking"]
    options[["walk_dollars", "bike_dollars"]] = 0.0
    # Where no line connects two zones, no time is short enough to take it.
    options = options.fillna({"transit_minutes": np.inf, "transit_dollars": 0.0})
    return options.sort_values(["purpose", "origin", "destination"]).set_index(
        ["purpose", "origin"]
    )


def _choose(trips: pd.DataFrame, options: pd.DataFrame) -> pd.DataFrame:
    """Pick destination and mode for trips with the same purpose and home zone.

    Utilities are laid out by trip, destination and mode, in this order.
    """
    minutes = options[[f"{mode}_minutes" for mode in MODES]].to_numpy()
    dollars = options[[f"{mode}_dollars" for mode in MODES]].to_numpy()
    taste = TASTE.loc[trips["cars"]].to_numpy()[:, None, :]
    per_dollar = PER_DOLLAR[trips["income"]].to_numpy()[:, None, None]
    utility = taste + PER_MINUTE * minutes + per_dollar * dollars
    weight = options[["attraction"]].to_numpy() * np.exp(utility)
    ladder = weight.reshape(len(trips), -1).cumsum(axis=1)
    rung = (ladder < trips[["luck"]].to_numpy() * ladder[:, -1:]).sum(axis=1)
    destination, mode = np.divmod(rung, len(MODES))
    parking = options["parking"].to_numpy()[destination]
    return pd.DataFrame(
        {
            "activity_zone": options["destination"].to_numpy()[destination],
            "mode": pd.Categorical.from_codes(mode, MODES),
            "minutes": minutes[destination, mode],
            "miles": options["miles"].to_numpy()[destination],
            "parking_paid": np.where(mode == MODES.index("car"), parking, 0.0),
        },
        index=trips.index,
    )
