"""Level of service between zones, and how many jobs can be reached from each."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

PERIODS = {"peak": "AM", "offpeak": "MD"}
DOLLARS_PER_MINUTE = 0.15
WALK_MILES_PER_HOUR = 3.0
BIKE_MILES_PER_HOUR = 9.0
WAITING_WEIGHT = 2.0
DECAY_PER_MINUTE = 0.05


def measure_level_of_service(
    skims: Path, zones: pd.DataFrame, cost_per_mile: float
) -> dict[str, pd.DataFrame]:
    """Read the skims; say what each trip takes, and what lies within reach of each zone.

    Parameters
    ----------
    skims : Path
        Zone-to-zone matrices in an OpenMatrix (HDF5) file.
    zones : DataFrame
        See :func:`examples.bay_area.zones.describe_zones`.
    cost_per_mile : float
        Dollars to drive one mile.

    Returns
    -------
    dict of str to DataFrame
        ``level_of_service`` has one row per period, origin and destination: ``miles``,
        ``car_minutes``, ``car_dollars``, ``transit_minutes``, ``transit_dollars``,
        ``walk_minutes`` and ``bike_minutes``; ``transit_*`` is missing where no line connects.
        ``accessibility`` has one row per zone: the logarithm of the jobs within reach
        ``by_car``, ``by_transit`` and ``on_foot``.
    """
    with h5py.File(skims) as matrices:
        level_of_service = pd.concat(
            [
                _read_period(matrices["data"], zones, period, suffix)
                for period, suffix in PERIODS.items()
            ],
            ignore_index=True,
        )
    level_of_service["car_dollars"] = level_of_service["miles"] * cost_per_mile
    return {
        "level_of_service": level_of_service,
        "accessibility": _jobs_in_reach(level_of_service, zones),
    }


def _read_period(
    matrices: h5py.Group, zones: pd.DataFrame, period: str, suffix: str
) -> pd.DataFrame:
    """Lay the matrices of one period side by side, one row per zone pair."""

    def flat(name: str) -> np.ndarray:
        return matrices[name][()].ravel()

    def transit(lines: str, name: str) -> np.ndarray:
        # Stored as integers: hundredths of a minute, and cents.
        return flat(f"WLK_{lines}_WLK_{name}__{suffix}") / 100

    riding = transit("TRN", "IVT")
    outside = sum(transit("TRN", name) for name in ("WACC", "WEGR", "WAUX", "IWAIT", "XWAIT"))
    pairs = pd.MultiIndex.from_product(
        [zones["zone"], zones["zone"]], names=["origin", "destination"]
    )
    table = pairs.to_frame(index=False)
    table.insert(0, "period", period)
    table["miles"] = flat(f"SOV_DIST__{suffix}")
    parking = table["destination"].map(zones.set_index("zone")["terminal_minutes"])
    table["car_minutes"] = flat(f"SOV_TIME__{suffix}") + parking
    table["transit_minutes"] = np.where(riding > 0, riding + WAITING_WEIGHT * outside, np.nan)
    table["transit_dollars"] = np.where(riding > 0, transit("LOC", "FAR"), np.nan)
    table["walk_minutes"] = flat("DISTWALK") / WALK_MILES_PER_HOUR * 60
    table["bike_minutes"] = flat("DISTBIKE") / BIKE_MILES_PER_HOUR * 60
    return table


def _jobs_in_reach(level_of_service: pd.DataFrame, zones: pd.DataFrame) -> pd.DataFrame:
    """Weigh the jobs of every destination by how much effort it takes to get there."""
    peak = level_of_service[level_of_service["period"] == "peak"]
    jobs = peak["destination"].map(zones.set_index("zone")["jobs"])
    effort = pd.DataFrame(
        {
            "by_car": peak["car_minutes"] + peak["car_dollars"] / DOLLARS_PER_MINUTE,
            "by_transit": peak["transit_minutes"] + peak["transit_dollars"] / DOLLARS_PER_MINUTE,
            "on_foot": peak["walk_minutes"],
        }
    )
    reach = np.exp(-DECAY_PER_MINUTE * effort).fillna(0).mul(jobs, axis="index")
    return np.log1p(reach.groupby(peak["origin"]).sum()).rename_axis("zone").reset_index()
