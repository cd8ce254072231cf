"""Who lives here: the sample, cleaned, and the whole population of a year."""

import numpy as np
import pandas as pd

BASE_YEAR = 2000
PERSON_TYPES = {
    1: "full-time worker",
    2: "part-time worker",
    3: "university student",
    4: "non-worker",
    5: "retired",
    6: "driving-age pupil",
    7: "pupil",
    8: "pre-school child",
}


def clean_sample(
    raw_households: pd.DataFrame, raw_persons: pd.DataFrame, zones: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Join the sampled households with their members, and say how many each stands for.

    Households whose members are not all in the sample are left out.

    Parameters
    ----------
    raw_households, raw_persons : DataFrame
        The synthetic sample as it comes, one row per household and per person.
    zones : DataFrame
        See :func:`examples.bay_area.zones.describe_zones`.

    Returns
    -------
    dict of str to DataFrame
        ``sample_households`` with ``household``, ``zone``, ``size``, ``adults``, ``workers``,
        ``income`` (dollars a year), ``in_group_quarters`` and ``weight`` (households that
        this one stands for); ``sample_persons`` with ``household``, ``age`` and
        ``person_type``.
    """
    members = pd.DataFrame(
        {
            "household": raw_persons["household_id"],
            "age": raw_persons["age"],
            "person_type": raw_persons["ptype"].map(PERSON_TYPES),
        }
    )
    adult = members.assign(adult=members["age"] >= 18).groupby("household")["adult"]
    counts = adult.agg(found="size", adults="sum").reset_index()
    sample = pd.DataFrame(
        {
            "household": raw_households["HHID"],
            "zone": raw_households["TAZ"],
            "size": raw_households["PERSONS"],
            "workers": raw_households["workers"],
            "income": raw_households["income"].clip(lower=0),
            "in_group_quarters": raw_households["UNITTYPE"] > 0,
        }
    ).merge(counts, on="household")
    sample = sample[sample["size"] == sample["found"]].drop(columns="found")
    sample["weight"] = _weights(sample, zones)
    sample = sample.sort_values(["zone", "household"], ignore_index=True)
    members = members[members["household"].isin(sample["household"])]
    return {
        "sample_households": sample,
        "sample_persons": members.sort_values(list(members), ignore_index=True),
    }


def grow_population(
    sample_households: pd.DataFrame,
    sample_persons: pd.DataFrame,
    zones: pd.DataFrame,
    growth_rate: float,
    year: int,
) -> dict[str, pd.DataFrame]:
    """Expand the sample to everyone who lives here in ``year``.

    What is added since the base year goes where there is commercial land to build on, so
    that the centre of gravity moves towards the jobs.

    Parameters
    ----------
    sample_households, sample_persons, zones : DataFrame
        See :func:`clean_sample` and :func:`examples.bay_area.zones.describe_zones`.
    growth_rate : float
        Growth of the number of households, per year (0.01 is one per cent).
    year : int
        The year to describe.

    Returns
    -------
    dict of str to DataFrame
        ``households`` and ``persons``: the columns of the sample without ``weight``, one row
        for each household and person; ``household`` is numbered anew.
    """
    now = sample_households.groupby("zone")["weight"].sum()
    added = now.sum() * ((1 + growth_rate) ** (year - BASE_YEAR) - 1)
    acres = zones.set_index("zone")["acres"]
    growth = 1 + added * acres / acres.sum() / now

    wanted = sample_households["weight"] * sample_households["zone"].map(growth)
    copies = np.diff(wanted.cumsum().round().astype(int), prepend=0)
    households = sample_households.drop(columns="weight").loc[
        sample_households.index.repeat(copies)
    ]
    households = households.rename(columns={"household": "sampled"}).reset_index(drop=True)
    households.insert(0, "household", households.index + 1)
    persons = (
        households[["household", "zone", "sampled"]]
        .merge(sample_persons.rename(columns={"household": "sampled"}), on="sampled")
        .drop(columns="sampled")
    )
    return {"households": households.drop(columns="sampled"), "persons": persons}


def _weights(sample: pd.DataFrame, zones: pd.DataFrame) -> pd.Series:
    """Scale the sample to the zone totals, people in group quarters apart from the rest."""
    totals = zones.set_index("zone")[["households", "group_quarters"]]
    totals.columns = [False, True]
    kinds = ["zone", "in_group_quarters"]
    total = totals.rename_axis(columns="in_group_quarters").stack().rename("total")
    here = sample[kinds].join(total, on=kinds)["total"]
    return here / sample.groupby(kinds)["household"].transform("size")
