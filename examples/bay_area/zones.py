"""The zones: land use, parking prices and the district each zone belongs to."""

import numpy as np
import pandas as pd

DISTRICTS = ("residential", "mixed", "office")
JOBS_PER_RESIDENT = (1.5, 10.0)


def describe_zones(land_use: pd.DataFrame) -> pd.DataFrame:
    """Give every zone its land use in plain units and a district.

    All zones of the sample lie in one planning district, downtown San Francisco. What tells
    them apart is how many people work there for each one who lives there, so the districts of
    this example follow that ratio.

    Parameters
    ----------
    land_use : DataFrame
        The model's land-use table, one row per zone; prices in cents, areas in acres.

    Returns
    -------
    DataFrame
        One row per zone: ``zone``, ``district``, ``residents``, ``households``,
        ``group_quarters`` (people who live in dormitories, barracks and the like), ``jobs``,
        ``retail_jobs``, ``service_jobs``, ``seats`` (places in high schools and colleges),
        ``acres`` (commercial land), ``terminal_minutes`` (to park and walk) and the observed
        price of parking in dollars per hour, ``long_stay`` and ``short_stay``.
    """
    jobs_per_resident = land_use["TOTEMP"] / land_use["TOTPOP"]
    district = np.searchsorted(JOBS_PER_RESIDENT, jobs_per_resident, side="right")
    return pd.DataFrame(
        {
            "zone": land_use["TAZ"],
            "district": np.array(DISTRICTS)[district],
            "residents": land_use["TOTPOP"],
            "households": land_use["TOTHH"],
            "group_quarters": land_use["gqpop"],
            "jobs": land_use["TOTEMP"],
            "retail_jobs": land_use["RETEMPN"],
            "service_jobs": land_use["HEREMPN"],
            "seats": land_use[["HSENROLL", "COLLFTE", "COLLPTE"]].sum(axis="columns"),
            "acres": land_use["CIACRE"],
            "terminal_minutes": land_use["TERMINAL"],
            "long_stay": land_use["PRKCST"] / 100,
            "short_stay": land_use["OPRKCST"] / 100,
        }
    ).sort_values("zone", ignore_index=True)
