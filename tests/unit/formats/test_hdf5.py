"""The content of HDF5 files, however it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from consist.errors import MissingExtra, UnsupportedFormat
from consist.formats import hdf5
from consist.formats.hdf5 import Hdf5Driver

DRIVER = Hdf5Driver()
TRIPS = np.arange(60.0).reshape(3, 4, 5)


def skims(path: Path, change: Callable[[Any], object] = lambda _: None, **storage: Any) -> str:
    """Write a little file of skims, change it, and return its digest."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.create_dataset("trips", data=TRIPS, **storage)
        data.create_dataset("names", data=np.array(["a", "bc", "ü"], dtype=object))
        data.create_dataset("zones", data=np.array([(1, 2.5)], dtype=[("id", "<i4"), ("x", "<f8")]))
        data.attrs["year"] = 2030
        data.attrs["unit"] = "minutes"
        file["total"] = 3.5
        file["nothing"] = h5py.Empty("f")
        file["link"] = h5py.SoftLink("/data/trips")
        file["again"] = data["names"]
        file["type"] = np.dtype("<f4")
        change(file)
    return DRIVER.digest(path)


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (1, 2, 5)},
        {"compression": "gzip", "shuffle": True},
        {"maxshape": (None, 4, 5), "chunks": True},
        {"track_times": True},
        {"fletcher32": True, "chunks": True},
    ],
)
def test_equal_content_has_one_digest_however_it_is_stored(
    storage: dict[str, Any], tmp_path: Path
) -> None:
    plain, other = tmp_path / "plain.h5", tmp_path / "other.h5"
    assert skims(plain) == skims(other, **storage)
    assert plain.read_bytes() != other.read_bytes()


def test_the_order_of_writing_the_byte_order_and_unused_space_do_not_count(
    tmp_path: Path,
) -> None:
    def rewrite(file: Any) -> None:
        file["data"].create_dataset("scratch", data=np.zeros(1000))
        del file["data/scratch"], file["data/trips"], file["total"]
        file["data/trips"] = TRIPS.astype(">f8")
        file["total"] = np.float64(3.5)

    assert skims(tmp_path / "a.h5") == skims(tmp_path / "b.h5", rewrite)


def _set(path: str, value: object) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if path in file:
            del file[path]
        file[path] = value

    return change


CHANGES: dict[str, Callable[[Any], object]] = {
    "a value": lambda file: file["data/trips"].__setitem__((2, 3, 4), 1.0),
    "a type": _set("data/trips", TRIPS.astype("f4")),
    "a shape": _set("data/trips", TRIPS.reshape(4, 3, 5)),
    "a text": _set("data/names", np.array(["a", "b", "cü"], dtype=object)),
    "text to bytes": _set("data/names", np.array(["a", "bc", "ü".encode()], dtype="S")),
    "a field": _set("data/zones", np.array([(1, 2.5)], dtype=[("id", "<i4"), ("y", "<f8")])),
    "an attribute": lambda file: file["data"].attrs.__setitem__("year", 2031),
    "an attribute's type": lambda file: file["data"].attrs.__setitem__("year", "2030"),
    "a new attribute": lambda file: file.attrs.__setitem__("x", 1),
    "a scalar": _set("total", 3.25),
    "an empty dataset": _set("nothing", 0.0),
    "a new group": lambda file: file.create_group("more"),
    "a link": _set("link", h5py.SoftLink("/data/names")),
    "a copy in place of a name": lambda file: (
        file.__delitem__("again"),
        file.copy("data/names", "again"),
    ),
    "a name": lambda file: file.move("total", "sum"),
    "an external link": _set("outside", h5py.ExternalLink("other.h5", "/x")),
    "a stored type": _set("type", np.dtype("<f8")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_content_counts(change: Callable[[Any], object], tmp_path: Path) -> None:
    assert skims(tmp_path / "a.h5") != skims(tmp_path / "b.h5", change)


def test_the_digest_does_not_hang_on_the_blocks_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = set[str]()
    for number, size in enumerate((8, 100, 200, 1 << 20)):
        monkeypatch.setattr(hdf5, "_BLOCK", size)
        digests.add(skims(tmp_path / f"{number}.h5"))
    assert len(digests) == 1


def test_variable_length_values_and_enums_count(tmp_path: Path) -> None:
    def lengths(*rows: list[int]) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            made = file.create_dataset("v", (len(rows),), dtype=h5py.vlen_dtype(np.int32))
            for index, row in enumerate(rows):
                made[index] = row

        return change

    def enum(**names: int) -> Callable[[Any], None]:
        return lambda file: file.create_dataset("e", data=[1], dtype=h5py.enum_dtype(names))

    digests = [
        skims(tmp_path / "a.h5", change)
        for change in (
            lengths([1, 2], [3]),
            lengths([1], [2, 3]),
            enum(a=1, b=2),
            enum(b=1, a=2),
        )
    ]
    assert len(set(digests)) == 4
    assert skims(tmp_path / "b.h5", lengths([1, 2], [3])) == digests[0]


def test_the_header_is_described(tmp_path: Path) -> None:
    skims(tmp_path / "a.h5")
    variables = DRIVER.describe(tmp_path / "a.h5")["variables"]
    assert variables["/data/trips"] == {"dtype": "float64", "shape": [3, 4, 5]}
    assert variables["/nothing"]["shape"] is None


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(content)
    for look in (DRIVER.digest, DRIVER.describe):
        with pytest.raises(UnsupportedFormat, match=r"broken\.h5"):
            look(path)


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtra, match="hdf5"):
        DRIVER.digest(tmp_path / "a.h5")
