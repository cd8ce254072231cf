"""How many cars each household owns: an ordered logit."""

import numpy as np
import pandas as pd

# Estimated on the cars that the sampled households own; only the effect of good transit, which
# cannot be told within two miles, is assumed.
PER_ADULT = 0.06
PER_WORKER = 0.59
PER_LOG_INCOME = 1.07
PER_TRANSIT_ADVANTAGE = -0.50
THRESHOLDS = (3.17, 5.55, 7.93)


def choose_cars(households: pd.DataFrame, accessibility: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Draw the number of cars, from none to three, for every household.

    Parameters
    ----------
    households : DataFrame
        See :func:`examples.bay_area.population.grow_population`.
    accessibility : DataFrame
        See :func:`examples.bay_area.accessibility.measure_level_of_service`.
    seed : int
        The same seed draws the same luck for the same households, so that two scenarios
        differ by their policies alone.

    Returns
    -------
    DataFrame
        One row per household: ``household`` and ``cars``.
    """
    reach = accessibility.set_index("zone")
    transit_advantage = households["zone"].map(reach["by_transit"] - reach["by_car"])
    propensity = (
        PER_ADULT * households["adults"]
        + PER_WORKER * households["workers"]
        + PER_LOG_INCOME * np.log1p(households["income"] / 10_000)
        + PER_TRANSIT_ADVANTAGE * transit_advantage
    )
    luck = np.random.default_rng(seed).logistic(size=len(households))
    cars = np.searchsorted(THRESHOLDS, propensity + luck)
    return pd.DataFrame(
        {
            "household": households["household"],
            "cars": np.where(households["in_group_quarters"], 0, cars),
        }
    )
