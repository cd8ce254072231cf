"""The forecast: which step needs what, for one scenario and every year."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from consist import RunResult, Tracker, ref, refs
from examples.bay_area.accessibility import measure_level_of_service
from examples.bay_area.car_ownership import choose_cars
from examples.bay_area.population import clean_sample, grow_population
from examples.bay_area.summary import summarize_districts
from examples.bay_area.trips import make_trips
from examples.bay_area.zones import describe_zones

HERE = Path(__file__).parent
DATA = HERE / "data"
OUTPUT = HERE / "output"
YEARS = (2025, 2035, 2045)
SEED = 2000


@dataclass(frozen=True)
class Policy:
    """What a scenario assumes about the world.

    Attributes
    ----------
    name : str
        The scenario's name.
    parking_price : float
        Dollars for an hour of all-day parking, on average; about 2 are observed.
    cost_per_mile : float
        Dollars to drive one mile.
    growth_rate : float
        Growth of the number of households, per year.
    """

    name: str
    parking_price: float = 2.0
    cost_per_mile: float = 0.18
    growth_rate: float = 0.008


BASELINE = Policy("baseline")
PARKING_REFORM = Policy("parking_reform", parking_price=4.0)


def open_tracker(output: Path = OUTPUT) -> Tracker:
    """Open the memory of this example, with the data under portable ``data://`` addresses."""
    return Tracker(
        run_dir=output / "runs",
        db_path=output / "provenance.duckdb",
        mounts={"data": str(DATA)},
    )


def forecast(tracker: Tracker, policy: Policy) -> Iterator[RunResult]:
    """Run every step of a scenario and hand each result on as soon as it is there.

    A step is given the parameters that it needs and no others. So a new price of parking
    reruns the trips and what follows from them, and nothing else; and what two scenarios have
    in common is computed once.
    """
    with tracker.scenario(policy.name, config=asdict(policy), tags=["bay_area"]) as sc:
        zones = sc.run(
            name="zones",
            fn=describe_zones,
            inputs={"land_use": DATA / "land_use.csv"},
            outputs=["zones"],
        )
        yield zones

        sample = sc.run(
            name="sample",
            fn=clean_sample,
            inputs={
                "raw_households": DATA / "households.csv",
                "raw_persons": DATA / "persons.csv",
                "zones": ref(zones),
            },
            outputs=["sample_households", "sample_persons"],
        )
        yield sample

        access = sc.run(
            name="accessibility",
            fn=measure_level_of_service,
            inputs={"skims": DATA / "skims.omx", "zones": ref(zones)},
            config={"cost_per_mile": policy.cost_per_mile},
            outputs=["level_of_service", "accessibility"],
        )
        yield access

        for year in YEARS:
            population = sc.run(
                name="population",
                fn=grow_population,
                year=year,
                inputs={**refs(sample), "zones": ref(zones)},
                config={"growth_rate": policy.growth_rate, "year": year},
                outputs=["households", "persons"],
            )
            yield population

            cars = sc.run(
                name="car_ownership",
                fn=choose_cars,
                year=year,
                inputs={
                    "households": ref(population, key="households"),
                    "accessibility": ref(access, key="accessibility"),
                },
                config={"seed": SEED},
                outputs=["cars"],
            )
            yield cars

            trips = sc.run(
                name="trips",
                fn=make_trips,
                year=year,
                inputs={
                    **refs(population),
                    "cars": ref(cars),
                    "level_of_service": ref(access, key="level_of_service"),
                    "zones": ref(zones),
                },
                config={"parking_price": policy.parking_price, "seed": SEED},
                outputs=["trips"],
            )
            yield trips

            yield sc.run(
                name="district_summary",
                description=f"parking ${policy.parking_price:g}/h",
                fn=summarize_districts,
                year=year,
                inputs={
                    "trips": ref(trips),
                    "households": ref(population, key="households"),
                    "cars": ref(cars),
                    "zones": ref(zones),
                },
                outputs=["district_summary"],
            )
