"""Labelled arrays that a step returns become Zarr stores, and come back as Datasets."""

# ruff: noqa: PLW0108 - the name of the parameter is what binds

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from xarray.testing import assert_identical

import consist
from consist import ExecutionOptions, Tracker
from consist.errors import MissingExtra
from consist.files.atomic import replacing
from consist.formats.zarr import ZarrDriver

ZONES = ["a", "b", "c"]


def skims(factor: float = 1.0) -> xr.Dataset:
    times = [[0.0, 1.5, 2.0], [1.0, 0.0, 0.5], [3.0, 4.0, 0.0]]
    return xr.Dataset(
        {"time": (("from", "to"), times), "toll": ("to", [True, False, False])},
        coords={"from": ZONES, "to": ZONES},
        attrs={"unit": "min"},
    ).assign(time=lambda dataset: dataset["time"] * factor)


@pytest.fixture
def stored(here: Path) -> Path:
    """Write a store that no run knows, with a group in it."""
    path = here / "theirs.zarr"
    xr.Dataset({"x": ("i", [1, 2])}).to_zarr(path, zarr_format=2)
    xr.Dataset({"y": ("i", [3, 4])}).to_zarr(path, group="am/peak", zarr_format=2, mode="a")
    return path


# ---------------------------------------------------------------- what a step returns


def test_a_dataset_is_written_under_its_key_and_given_back(tracker: Tracker) -> None:
    calls: list[int] = []

    def step() -> xr.Dataset:
        calls.append(1)
        return skims()

    first, second = (tracker.run(step, outputs=["skims"]) for _ in range(2))
    assert [first.cache_hit, second.cache_hit, calls] == [False, True, [1]]
    for result in (first, second):
        artifact = result.outputs["skims"]
        assert artifact.driver == "zarr"
        assert artifact.path.name == "skims.zarr"
        assert artifact.path.is_relative_to(tracker.run_dir / "outputs")
        assert_identical(tracker.load(artifact).load(), skims())


def test_nothing_else_is_left_beside_a_store(tracker: Tracker) -> None:
    path = tracker.run(skims, outputs=["skims"]).outputs["skims"].path
    assert [found.name for found in path.parent.iterdir()] == ["skims.zarr"]


@pytest.mark.parametrize(("name", "expected"), [("time", "time"), (None, "costs")])
def test_an_array_is_written_under_its_name_or_else_its_key(
    tracker: Tracker, name: str | None, expected: str
) -> None:
    array = skims()["time"].rename(name)
    artifact = tracker.run(lambda: array, "s", outputs=["costs"]).outputs["costs"]
    assert artifact.driver == "zarr"
    assert_identical(tracker.load(artifact).load(), array.to_dataset(name=expected))


@pytest.mark.parametrize(("key", "name"), [("zones", "zones"), ("from", "from_data")])
def test_a_coordinate_may_be_an_output_of_any_key(tracker: Tracker, key: str, name: str) -> None:
    zones = skims()["from"]
    artifact = tracker.run(lambda: zones, "s", outputs=[key]).outputs[key]
    assert tracker.load(artifact)[name].to_numpy().tolist() == ZONES


def test_arrays_and_tables_are_returned_together(tracker: Tracker) -> None:
    table = pd.DataFrame({"a": [1, 2]})

    def by_key() -> dict[str, Any]:
        return {"table": table, "skims": skims(), "time": skims()["time"]}

    def in_order() -> tuple[Any, ...]:
        return table, skims(), skims()["time"]

    for step in (by_key, in_order):
        outputs = tracker.run(step, outputs=["table", "skims", "time"]).outputs
        assert {key: found.driver for key, found in outputs.items()} == {
            "table": "parquet",
            "skims": "zarr",
            "time": "zarr",
        }
        assert tracker.load_df(outputs["table"])["a"].tolist() == [1, 2]
        assert_identical(tracker.load(outputs["skims"]).load(), skims())
        assert_identical(tracker.load(outputs["time"]).load(), skims()["time"].to_dataset())


@pytest.mark.parametrize("value", [skims(), skims()["time"], {"k": skims()}], ids=type)
def test_arrays_that_nobody_declared_are_an_error_that_names_the_remedy(
    tracker: Tracker, value: Any
) -> None:
    with pytest.raises(TypeError, match=r"'s'.*(Dataset|DataArray)") as caught:
        tracker.run(lambda: value, "s")
    assert "outputs=" in caught.value.__notes__[0]


def test_equal_arrays_of_two_runs_share_their_content(tracker: Tracker) -> None:
    def again() -> xr.Dataset:
        return skims()

    one = tracker.run(skims, outputs=["skims"]).outputs["skims"]
    two = tracker.run(again, outputs=["skims"]).outputs["skims"]
    other = tracker.run(skims, config={"factor": 2.0}, outputs=["skims"]).outputs["skims"]
    assert one.path != two.path
    assert one.hash == two.hash == tracker.files.digest(one.path)
    assert one.content_id == two.content_id
    assert one.content_id != other.content_id


def test_the_digest_of_a_store_that_is_replaced_follows_its_content(
    tracker: Tracker, here: Path
) -> None:
    digests: list[str] = []
    for factor in (1.0, 1.0, 2.0, 1.0):
        with replacing(here / "skims.zarr") as temporary:
            ZarrDriver().write(skims(factor), temporary)
        digests.append(tracker.files.digest(here / "skims.zarr"))
    assert digests[0] == digests[1] == digests[3] != digests[2]
    assert [found.name for found in here.iterdir()] == ["skims.zarr"]


# ---------------------------------------------------------------- what a step is given


def test_a_store_made_by_a_run_is_bound_as_a_dataset(tracker: Tracker) -> None:
    made = tracker.run(skims, outputs=["skims"]).outputs["skims"]
    seen: list[Any] = []

    def double(skims: xr.Dataset) -> xr.Dataset:
        seen.append(type(skims))
        return skims.assign(time=skims["time"] * 2)

    result = tracker.run(double, inputs={"skims": made}, outputs=["doubled"])
    assert seen == [xr.Dataset]
    assert_identical(tracker.load(result.outputs["doubled"]).load(), skims(2.0))
    assert tracker.run(double, inputs={"skims": made}, outputs=["doubled"]).cache_hit


def test_what_a_step_was_given_it_may_return(tracker: Tracker, stored: Path) -> None:
    result = tracker.run(lambda theirs: theirs, "s", inputs={"theirs": stored}, outputs=["ours"])
    assert tracker.load(result.outputs["ours"])["x"].to_numpy().tolist() == [1, 2]


def test_with_paths_a_store_is_bound_as_its_path(tracker: Tracker, stored: Path) -> None:
    seen: list[Any] = []
    tracker.run(
        lambda theirs: seen.append(theirs),
        "s",
        inputs={"theirs": stored},
        execution_options=ExecutionOptions(input_binding="paths"),
    )
    assert seen == [stored]


def test_a_changed_store_is_another_input(tracker: Tracker, stored: Path) -> None:
    def total(theirs: xr.Dataset) -> xr.Dataset:
        return theirs.sum()

    def run() -> Any:
        return tracker.run(total, inputs={"theirs": stored}, outputs=["total"])

    assert [run().cache_hit, run().cache_hit] == [False, True]
    xr.Dataset({"x": ("i", [5, 5])}).to_zarr(stored, zarr_format=2, mode="w")
    assert not run().cache_hit


def test_an_array_path_is_the_group_that_is_loaded(tracker: Tracker, stored: Path) -> None:
    with tracker.start_run("r", "m"):
        peak = tracker.log_artifact(stored, key="peak", array_path="am/peak")
        whole = tracker.log_artifact(stored, key="whole")
    assert list(tracker.load(peak)) == ["y"]
    assert list(tracker.load(whole)) == ["x"]
    assert list(tracker.load(whole, group="am/peak", variables=["y"])) == ["y"]
    seen: list[Any] = []
    tracker.run(lambda peak: seen.append(list(peak)), "s", inputs={"peak": peak})
    assert seen == [["y"]]


# ---------------------------------------------------------------- without the library


def test_without_the_library_the_artifact_itself_is_bound(
    tracker: Tracker, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # G-26
    monkeypatch.setitem(sys.modules, "zarr", None)
    seen: list[Any] = []
    tracker.run(lambda theirs: seen.append(theirs), "s", inputs={"theirs": stored})
    assert isinstance(seen[0], consist.Artifact)
    with pytest.raises(MissingExtra, match=r"consist\[zarr\]"):
        tracker.load(seen[0])


def test_a_hit_imports_no_array_library(tracker: Tracker, here: Path) -> None:
    (here / "model.py").write_text(
        "import sys\n"
        "from consist import Tracker\n"
        "def step():\n"
        "    import xarray as xr\n"
        "    return xr.Dataset({'x': ('i', [1, 2])})\n"
        "tracker = Tracker(run_dir='runs', db_path='p.duckdb')\n"
        "result = tracker.run(step, outputs=['skims'])\n"
        "print(result.cache_hit, result.outputs['skims'].driver,\n"
        "      sorted({'xarray', 'zarr'} & set(sys.modules)))\n"
        "tracker.close()\n"
    )
    for expected in ("False zarr ['xarray', 'zarr']", "True zarr []"):
        done = subprocess.run(
            [sys.executable, "model.py"], capture_output=True, text=True, check=False, cwd=here
        )
        assert done.stdout.strip() == expected, done.stderr
