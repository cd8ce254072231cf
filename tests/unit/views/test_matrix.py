"""The Zarr arrays of many runs as one lazy Dataset."""

# VIEW-019

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from consist import Tracker

Record = Callable[..., Path]


@pytest.fixture
def record(tracker: Tracker) -> Record:
    """Return what records a Dataset as an artifact of a run of its own."""

    def record(
        run_id: str, dataset: xr.Dataset, *, version: int = 3, key: str = "skims", **run: Any
    ) -> Path:
        with tracker.start_run(run_id, run.pop("model", "assign"), **run):
            path = tracker.run_artifact_dir() / f"{key}.zarr"
            write(dataset, path, version)
            tracker.log_output(path, key)
        return path

    return record


def write(dataset: xr.Dataset, path: Path, version: int = 3, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_zarr(path, zarr_format=version, **options)


def skims(start: float = 0, zones: Any = (1, 2, 3), **extra: Any) -> xr.Dataset:
    count = len(zones)
    values = np.arange(count * count, dtype=float).reshape(count, count) + start
    found = xr.Dataset({"time": (("o", "d"), values), **extra}, attrs={"unit": "min"})
    return found.assign_coords(o=list(zones), d=list(zones))


@pytest.fixture
def three(tracker: Tracker, record: Record) -> Tracker:
    """Record three runs, in Zarr 2 and 3; the last has neither year nor iteration."""
    record("a", skims(0), version=2, year=2030, iteration=0)
    record("b", skims(100), version=3, year=2040, iteration=1, model="other")
    record("c", skims(200))
    return tracker


def test_stores_of_both_formats_are_one_dataset(three: Tracker) -> None:
    found = three.load_matrix("skims")
    assert found.time.dims == ("run_id", "o", "d")
    assert found.run_id.values.tolist() == ["a", "b", "c"]
    expected = np.stack([skims(start).time.values for start in (0, 100, 200)])
    np.testing.assert_array_equal(found.time.values, expected)
    assert found.o.values.tolist() == [1, 2, 3]
    assert found.attrs == {"unit": "min"}


def test_missing_years_stay_missing(three: Tracker) -> None:
    found = three.load_matrix("skims")
    for name, first, second in (("year", 2030, 2040), ("iteration", 0, 1)):
        values = found[name].values
        assert values[:2].tolist() == [first, second]
        assert np.isnan(values[2])
    assert found.scenario.values.tolist() == [None, None, None]
    complete = three.load_matrix("skims", run_ids=["a", "b"])
    assert complete.year.dtype == np.int64
    assert complete.year.values.tolist() == [2030, 2040]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"run_ids": ["c", "a"]}, ["c", "a"]),
        ({"run_ids": []}, []),
        ({"model": "other"}, ["b"]),
        ({"model": "nobody"}, []),
        ({"status": "failed"}, []),
        ({"parent_id": "nobody"}, []),
    ],
)
def test_runs_are_chosen(three: Tracker, asked: dict[str, Any], expected: list[str]) -> None:
    found = three.load_matrix("skims", **asked)
    assert found.run_id.values.tolist() == expected
    assert set(found.coords) >= {"run_id", "scenario", "year", "iteration"}


def test_a_selection_reads_only_the_stores_it_touches(three: Tracker) -> None:
    found = three.load_matrix("skims")
    artifact = three.get_artifact("skims", run_id="b")
    assert artifact is not None
    chunks = [path for path in (artifact.path / "time" / "c").rglob("*") if path.is_file()]
    for chunk in chunks:
        chunk.write_bytes(b"no chunk")
    assert found.time.sel(run_id="c", o=2).values.tolist() == [203, 204, 205]
    assert found.time.sel(run_id=["a", "c"]).isel(o=0, d=-1).values.tolist() == [2, 202]
    assert chunks
    with pytest.raises(RuntimeError):
        found.time.sel(run_id="b").load()


def test_every_way_to_select_gives_what_numpy_gives(three: Tracker) -> None:
    found = three.load_matrix("skims")
    plain = np.stack([skims(start).time.values for start in (0, 100, 200)])
    for key in (np.s_[1], np.s_[-1, ::2], np.s_[::-1, 1, [2, 0]], np.s_[[2, 0], :, -1], np.s_[0:0]):
        whole = key if isinstance(key, tuple) else (key,)
        positions = dict(zip(("run_id", "o", "d"), whole, strict=False))
        expected = xr.DataArray(plain, dims=("run_id", "o", "d")).isel(positions)
        np.testing.assert_array_equal(found.time.isel(positions).values, expected.values)
    at = xr.DataArray([0, 2], dims="point")
    points = found.time.isel(run_id=at, o=at, d=at)
    assert points.values.tolist() == [plain[0, 0, 0], plain[2, 2, 2]]
    assert float(found.time.mean()) == plain.mean()


def test_dask_makes_pieces_of_it_where_it_is_installed(three: Tracker) -> None:
    pytest.importorskip("dask")
    pieces = three.load_matrix("skims").chunk({"run_id": 1})
    assert pieces.time.chunks is not None
    assert float(pieces.time.max().compute()) == 208


def test_it_is_lazy_without_dask(three: Tracker) -> None:
    three.close()
    code = f"""
import sys
sys.modules["dask"] = None
from consist import Tracker
tracker = Tracker({str(three.run_dir)!r}, {str(three.db_path)!r}, access_mode="read_only")
found = tracker.load_matrix("skims")
print(found.time.variable._in_memory, float(found.time.sel(run_id="b").sum()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "936.0"]


# ---------------------------------------------------------------- variables


def test_variables_are_chosen(three: Tracker, record: Record) -> None:
    extra = {"cost": (("o", "d"), np.ones((3, 3), dtype=np.int32)), "on": ("o", [True] * 3)}
    record("d", skims(300, **extra))
    assert set(three.load_matrix("skims").data_vars) == {"time", "cost", "on"}
    found = three.load_matrix("skims", ["cost", "cost"])
    assert set(found.data_vars) == {"cost"}
    assert found.cost.dtype == np.float64
    assert np.isnan(found.cost.sel(run_id="a").values).all()
    assert found.cost.sel(run_id="d").values.tolist() == [[1] * 3] * 3
    assert three.load_matrix("skims", ["cost"], run_ids=["d"]).cost.dtype == np.int32
    assert three.load_matrix("skims", ["on"]).on.sel(run_id="d").values.tolist() == [True] * 3
    none = three.load_matrix("skims", [])
    assert not none.data_vars
    assert none.sizes == {"run_id": 4}


def test_an_unknown_variable_is_an_error_that_names_those_there_are(three: Tracker) -> None:
    with pytest.raises(ValueError, match="no store has a variable toll") as caught:
        three.load_matrix("skims", ["time", "toll"])
    assert "there are d, o, time" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="variables='time'"):
        three.load_matrix("skims", "time")  # type: ignore[arg-type]


def test_names_of_the_arrays_are_kept(tracker: Tracker, record: Record) -> None:
    data = xr.Dataset({"pop": ("year", [1.0, 2.0]), "scenario": 7}, {"year": [2030, 2040]})
    record("a", data, year=2025)
    found = tracker.load_matrix("skims")
    assert found.pop.dims == ("run_id", "year")
    assert found.consist_year.values.tolist() == [2025]
    assert found.scenario.values.tolist() == [7]
    assert "consist_scenario" in found.coords
    assert "iteration" in found.coords


# ---------------------------------------------------------------- alignment


def test_dimensions_are_aligned_by_their_labels(tracker: Tracker, record: Record) -> None:
    names = {"name": ("o", ["x", "y"])}
    record("a", skims(0, (1, 2)).assign_coords(names))
    record("b", skims(0, (2, 1)).assign_coords(names))  # another order
    record("c", skims(0, (2, 4)).assign_coords(names))  # another zone
    found = tracker.load_matrix("skims")
    assert found.o.values.tolist() == [1, 2, 4]
    reference = [skims(0, zones).reindex(o=[1, 2, 4], d=[1, 2, 4]).time.values
                 for zones in ((1, 2), (2, 1), (2, 4))]  # fmt: skip
    np.testing.assert_array_equal(found.time.values, np.stack(reference))
    np.testing.assert_array_equal(found.time.isel(o=[2, 0], d=1).values,
                                  np.stack(reference)[:, [2, 0], 1])  # fmt: skip
    assert found["name"].dims == ("run_id", "o")
    assert found["name"].sel(run_id="b", o=2).item() == "x"
    same = tracker.load_matrix("skims", run_ids=["a"])
    assert same["name"].dims == ("o",)


def test_missing_times_are_no_times(tracker: Tracker, record: Record) -> None:
    when = np.array(["2030-01-01", "2030-01-02"], dtype="datetime64[ns]")
    record("a", xr.Dataset({"at": ("o", when), "n": ("o", [1, 2])}, {"o": [1, 2]}))
    record("b", xr.Dataset({"at": ("o", when[:1]), "n": ("o", [1])}, {"o": [1]}))
    found = tracker.load_matrix("skims")
    assert np.isnat(found["at"].sel(run_id="b", o=2).values)
    assert found["at"].sel(run_id="a", o=2).values == when[1]
    assert np.isnan(found["n"].sel(run_id="b", o=2).item())


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (xr.Dataset({"v": ("x", [1.0, 2, 3])}), "dimension 'x' of variable 'v' is 3 long in"),
        (xr.Dataset({"v": ("x", [1.0, 2])}, {"x": [1, 2]}), "has no labels in run 'a'"),
        (xr.Dataset({"v": ("y", [1.0, 2])}), "'v' has the dimensions y in run 'b'"),
    ],
)  # fmt: skip
def test_what_cannot_be_aligned_is_an_error_that_names_run_and_variable(
    tracker: Tracker, record: Record, other: xr.Dataset, what: str
) -> None:
    record("a", xr.Dataset({"v": ("x", [1.0, 2])}))
    record("b", other)
    with pytest.raises(ValueError, match=what):
        tracker.load_matrix("skims")


def test_labels_of_different_kinds_and_labels_that_come_twice_are_errors(
    tracker: Tracker, record: Record
) -> None:
    record("a", xr.Dataset({"v": ("x", [1.0, 2])}, {"x": [1, 2]}))
    record("b", xr.Dataset({"v": ("x", [1.0, 2])}, {"x": ["1", "2"]}), version=2)
    record("c", xr.Dataset({"v": ("x", [1.0, 2])}, {"x": [3, 3]}))
    with pytest.raises(ValueError, match="has labels that are text in run 'b' and numbers in"):
        tracker.load_matrix("skims", run_ids=["a", "b"])
    with pytest.raises(ValueError, match="'x' of variable 'v' has labels twice in run 'c'"):
        tracker.load_matrix("skims", run_ids=["a", "c"])


# ---------------------------------------------------------------- which store, which run


def test_a_group_of_a_store_is_an_artifact(tracker: Tracker) -> None:
    for run_id, start in (("a", 0.0), ("b", 10.0)):
        with tracker.start_run(run_id, "m"):
            path = tracker.run_artifact_dir() / "all.zarr"
            for group in ("am", "pm"):
                write(skims(start + (group == "pm")), path, group=group)
                tracker.log_output(path, f"skims_{group}", array_path=group)
    found = tracker.load_matrix("skims_pm")
    assert found.time.isel(o=0, d=0).values.tolist() == [1, 11]


def test_attempts_and_scenarios_are_told_apart(tracker: Tracker) -> None:
    for start in (0, 50):
        with tracker.scenario("base") as scenario:
            for year in (2030, 2040):
                with scenario.trace(f"assign_{year}", year=year):
                    path = tracker.run_artifact_dir() / f"skims_{start}.zarr"
                    write(skims(start + year), path)
                    tracker.log_output(path, "skims")
    found = tracker.load_matrix("skims")
    assert found.scenario.values.tolist() == ["base", "base"]
    assert found.year.values.tolist() == [2030, 2040]
    assert found.time.isel(o=0, d=0).values.tolist() == [2080, 2090]
    first = tracker.load_matrix("skims", parent_id="base~1")
    assert first.time.isel(o=0, d=0).values.tolist() == [2030, 2040]
    again = tracker.load_matrix("skims", run_ids=first.run_id.values.tolist())
    np.testing.assert_array_equal(again.time.values, first.time.values)


def test_the_latest_artifact_of_a_run_counts(tracker: Tracker) -> None:
    with tracker.start_run("a", "m"):
        for number in (1, 2):
            path = tracker.run_artifact_dir() / f"{number}.zarr"
            write(skims(number), path)
            tracker.log_output(path, "skims")
    found = tracker.load_matrix("skims")
    assert found.time.isel(o=0, d=0).values.tolist() == [2]


def test_an_overwritten_store_counts_for_nobody_else(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tracker.run_dir / "shared.zarr"
    for run_id, start in (("a", 0), ("b", 100)):
        with tracker.start_run(run_id, "m"):
            shutil.rmtree(path, ignore_errors=True)
            write(skims(start), path)
            tracker.log_output(path, "skims")
    with caplog.at_level(logging.WARNING):
        found = tracker.load_matrix("skims")
    assert found.run_id.values.tolist() == ["b"]
    assert found.time.isel(o=0, d=0).values.tolist() == [100]
    assert "passes over run 'a'" in caplog.text
    assert "overwritten by run 'b'" in caplog.text
    with pytest.raises(ValueError, match="shared"):
        tracker.load_matrix("skims", run_ids=["a"])


def test_a_missing_store_is_passed_over_and_a_warning_says_so(
    three: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    for run_id in ("a", "b"):
        artifact = three.get_artifact("skims", run_id=run_id)
        assert artifact is not None
        shutil.rmtree(artifact.path)
    assert three.load_matrix("skims").run_id.values.tolist() == ["c"]
    assert "passes over run 'a': there is no " in caplog.text
    with pytest.raises(FileNotFoundError, match="skims"):
        three.load_matrix("skims", run_ids=["a", "b"])


def test_a_damaged_store_is_an_error_that_names_its_run(tracker: Tracker) -> None:
    with tracker.start_run("a", "m"):
        path = tracker.run_artifact_dir() / "skims.zarr"
        path.mkdir(parents=True)
        (path / "zarr.json").write_text("{")
        tracker.log_output(path, "skims")
    with pytest.raises(ValueError, match="cannot read") as caught:
        tracker.load_matrix("skims")
    assert "of run 'a'" in "".join(caught.value.__notes__)


def test_nothing_recorded_is_no_runs(tracker: Tracker) -> None:
    found = tracker.load_matrix("skims", ["time"])
    assert found.sizes == {"run_id": 0}
    assert set(found.coords) == {"run_id", "scenario", "year", "iteration"}


def test_what_cannot_be_asked_is_an_error(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracker.start_run("a", "m"):
        path = tracker.run_artifact_dir() / "t.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
        tracker.log_output(path, "trips")
    with pytest.raises(
        ValueError, match="no artifact 'trips' is a Zarr store; their format is csv"
    ):
        tracker.load_matrix("trips")
    with pytest.raises(ValueError, match="there is no run 'x'"):
        tracker.load_matrix("skims", run_ids=["x"])
    with pytest.raises(TypeError, match="run_ids='a'"):
        tracker.load_matrix("skims", run_ids="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key"):
        tracker.load_matrix("")
    with (
        Tracker(tmp_path / "no_database") as bare,
        pytest.raises(RuntimeError, match="load_matrix"),
    ):
        bare.load_matrix("skims")
    driver = type(tracker.formats.driver("zarr"))
    monkeypatch.setattr(driver, "modules", ("xarray", "a_module_that_nobody_has"))
    with pytest.raises(ImportError, match=r"consist\[zarr\]"):
        tracker.load_matrix("skims")
