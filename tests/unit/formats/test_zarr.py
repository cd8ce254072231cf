"""Zarr: Datasets come back as they went in, and equal ones are the same bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.random import default_rng
from xarray.testing import assert_identical

from consist.errors import MissingExtra, StoreUnwritable, UnsupportedFormat, UsageError
from consist.formats import Formats
from consist.formats.testing import ArrayContract
from consist.formats.zarr import ZarrDriver
from consist.identity.files import directory_digest

ZARR = ZarrDriver()
BROKEN = ("", "{", "[]", "\0", '{"zarr_format": 9}', '{"zarr_format": 3, "node_type": 5}')


class TestZarr(ArrayContract):
    driver = ZARR
    suffix = ".zarr"

    def damaged(self, folder: Path) -> Iterator[Path]:
        for number, content in enumerate(self.broken):
            path = folder / f"file{number}.zarr"
            path.write_bytes(content)
            yield path
        for number, content in enumerate(BROKEN):
            path = self.made(folder, f"group{number}")
            (path / "zarr.json").write_text(content)
            yield path
            path = self.made(folder, f"array{number}")
            (path / "time" / "zarr.json").write_text(content)
            yield path
        path = self.made(folder, "headless")
        (path / "zarr.json").unlink()
        yield path
        path = self.made(folder, "chunk")
        (path / "from" / "c" / "0").write_bytes(b"cut")
        yield path


def table(*values: float) -> xr.Dataset:
    zones = list(range(len(values)))
    return xr.Dataset({"time": ("zone", np.array(values, dtype=float))}, coords={"zone": zones})


def written(folder: Path, value: Any, name: str = "s.zarr", **options: Any) -> Path:
    ZARR.write(value, folder / name, **options)
    return folder / name


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Return a store with a group in a group."""
    path = written(tmp_path, table(1, 2))
    ZARR.write(table(3, 4), path, group="am/peak", mode="a")
    return path


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 1, -1], dtype="int8"),
        np.array([0.5, np.nan, -np.inf], dtype="float32"),
        np.array([1j, 0, 2]),
        np.array([True, False, True]),
        np.array(["a", "", "ü"]),
        np.array([b"a", b"", b"bc"]),
        np.array(["2030-01-01", "NaT", "1999-12-31T23:59:59.123456"], dtype="datetime64[ns]"),
        np.array([1, 2, 36_000_000_000], dtype="timedelta64[ns]"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_values_and_types_come_back(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    dataset = xr.Dataset({"x": ("i", values)}, coords={"i": [1, 2, 3]})
    loaded = ZARR.load(written(tmp_path, dataset)).load()
    assert_identical(loaded, dataset)
    assert loaded["x"].dtype == values.dtype


def test_loading_is_lazy(tmp_path: Path) -> None:
    path = written(tmp_path, table(1, 2))
    loaded = ZARR.load(path)
    shutil.rmtree(path / "time" / "c")
    assert np.isnan(loaded["time"].to_numpy()).all()


def test_variables_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    dataset = xr.Dataset({name: ("i", [1]) for name in "zebra"})
    assert list(ZARR.load(written(tmp_path, dataset)).data_vars) == sorted("zebra")


@pytest.mark.parametrize("group", ["am/peak", "/am/peak"])
def test_a_group_is_loaded_and_described_by_its_path(nested: Path, group: str) -> None:
    assert_identical(ZARR.load(nested, group=group).load(), table(3, 4))
    assert ZARR.describe(nested, group=group)["variables"]["time"] == {
        "dtype": "float64",
        "dims": ["zone"],
        "shape": [2],
        "role": "data",
    }
    assert_identical(ZARR.load(nested).load(), table(1, 2))


@pytest.mark.parametrize("group", ["pm", "time", 5])
def test_what_is_no_group_is_an_error_that_names_the_store(nested: Path, group: object) -> None:
    with pytest.raises(UnsupportedFormat, match=r"s\.zarr"):
        ZARR.load(nested, group=group)


@pytest.mark.parametrize("chunks", ["rubbish", {"zone": 1}])
def test_chunks_that_cannot_be_are_an_error_that_names_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: object
) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(UnsupportedFormat, match=r"s\.zarr"):
        ZARR.load(written(tmp_path, table(1)), chunks=chunks)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_stores_of_others_are_read_and_what_they_hold_written(
    tmp_path: Path, zarr_format: int, consolidated: bool
) -> None:
    theirs = tmp_path / "theirs.zarr"
    table(1, 2).to_zarr(theirs, zarr_format=zarr_format, consolidated=consolidated)
    assert_identical(ZARR.load(theirs).load(), table(1, 2))
    ours = written(tmp_path, ZARR.load(theirs))
    assert_identical(ZARR.load(ours).load(), table(1, 2))
    assert directory_digest(ours) == directory_digest(written(tmp_path, table(1, 2), "t.zarr"))


def test_what_we_write_others_read_without_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path, table(1, 2))
    assert_identical(xr.open_zarr(path, chunks=None).load(), table(1, 2))


def test_many_large_arrays_written_by_any_thread_are_the_same_bytes(tmp_path: Path) -> None:
    random = {f"v{n}": (("i", "j"), default_rng(n).integers(0, 9, (900, 700))) for n in range(4)}
    small = {f"s{n}": ("k", np.arange(3.0)) for n in range(20)}
    dataset = xr.Dataset({**random, **small}, attrs={"b": 1, "a": [1, 2]})
    first = written(tmp_path, dataset, "main.zarr")
    thread = threading.Thread(target=written, args=(tmp_path, dataset, "thread.zarr"))
    thread.start()
    thread.join()
    assert directory_digest(first) == directory_digest(tmp_path / "thread.zarr")
    other = written(tmp_path, dataset.assign(s0=("k", np.array([0.0, 1.0, 2.5]))), "other.zarr")
    assert directory_digest(first) != directory_digest(other)


def test_chunks_that_were_set_by_hand_count(tmp_path: Path) -> None:
    dataset = table(1, 2, 3)
    dataset["time"].encoding["chunks"] = (1,)
    path = written(tmp_path, dataset)
    assert len(list((path / "time" / "c").iterdir())) == 3


def test_options_reach_to_zarr(tmp_path: Path) -> None:
    path = written(tmp_path, table(1), zarr_format=2)
    assert (path / ".zgroup").exists()


def test_a_coordinate_by_itself_is_written(tmp_path: Path) -> None:
    zones = table(1, 2)["zone"]
    assert_identical(ZARR.load(written(tmp_path, zones)).load(), zones.to_dataset(name="data"))


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    path = written(tmp_path, table(1))
    with pytest.raises(StoreUnwritable):
        ZARR.write(table(2), path)
    assert_identical(ZARR.load(path).load(), table(1))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (xr.Dataset({"x": ("i", np.array([object()]))}), "Python objects"),
        (xr.Dataset({"x": ("i", [1])}, attrs={"a": object()}), "attribute"),
        (xr.Dataset({"x": ("i", pd.Categorical(["a"]))}), ""),
        (xr.Dataset({"a/b": ("i", [1])}), "'a/b'"),
        (xr.Dataset({5: ("i", [1])}), "5"),
        (table(1, 2).stack(pair=["zone"]), "MultiIndex"),
    ],
    ids=["objects", "attribute", "categories", "slash", "number", "multi-index"],
)
def test_what_zarr_cannot_hold_says_why(tmp_path: Path, value: xr.Dataset, reason: str) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"write .*s\.zarr: .*{reason}"):
        written(tmp_path, value)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable):
        ZARR.write(table(1), tmp_path / "file" / "s.zarr")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, table(1))
    with pytest.raises(UsageError, match="'columns'"):
        ZARR.load(path, columns=["time"])
    with pytest.raises(UsageError, match="'variables'"):
        ZARR.describe(path, variables=["time"])


# ---------------------------------------------------------------- the libraries


@pytest.mark.parametrize("module", ["xarray", "zarr"])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:  # G-26
    path = written(tmp_path, table(1))
    monkeypatch.setitem(sys.modules, module, None)
    formats = Formats()
    assert formats.driver("zarr").kind == "array"
    assert not formats.can_load("zarr")
    for ask in (formats.driver("zarr").load, formats.driver("zarr").describe):
        with pytest.raises(MissingExtra, match=r"reading 'zarr' .*consist\[zarr\]"):
            ask(path)


def test_without_zarr_writing_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtra, match=r"writing 'zarr' .*consist\[zarr\]"):
        written(tmp_path, table(1))


def test_to_know_what_is_accepted_imports_nothing() -> None:
    script = (
        "import sys, consist; from consist.formats import Formats; zarr = Formats().driver('zarr');"
        "assert zarr.available() and not zarr.accepts({'a': 1});"
        "print({'xarray', 'zarr'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "set()", done.stderr
