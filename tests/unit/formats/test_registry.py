"""Drivers by name and by suffix, ours and other people's."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from consist.errors import MissingExtra, UnsupportedFormat, UsageError
from consist.formats import BaseDriver, Formats
from consist.formats.base import Kind
from consist.formats.registry import _ABSENT, _OWN
from consist.plugins import Plugins


class NetworkDriver(BaseDriver):
    name = "network"
    suffixes = (".net", ".xml.gz")
    kind: Kind = "table"


class Misnamed(BaseDriver):
    name = "another"


INSTANCE = NetworkDriver()
NOT_A_DRIVER = object()


def install(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Have ``consist.formats`` hold these entry points."""
    points = [EntryPoint(name, value, "consist.formats") for name, value in values.items()]
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda **chosen: EntryPoints(points).select(**chosen)
    )


@pytest.mark.parametrize(
    ("path", "driver"),
    [
        ("a.parquet", "parquet"),
        ("a.parquet.gz", "parquet"),
        ("dir.v2/a.csv", "csv"),
        ("a.b.CSV.GZ", "csv"),
        ("a.json", "json"),
        ("a.geojson", "geojson"),
        ("store.zarr/", "zarr"),
        ("a.nc4", "netcdf"),
        ("a.omx", "openmatrix"),
        ("a.h5", "h5"),
        ("a.hdf5", "h5"),
        ("a.shp", "shapefile"),
        ("a.gpkg", "geopackage"),
        ("a.txt", "txt"),
        ("a.tar.gz", "gz"),
        ("README", "unknown"),
        (".hidden", "unknown"),
        (".hidden.csv", "csv"),
        ("ends.", "unknown"),
        ("C:\\data.d\\file", "unknown"),
        ("", "unknown"),
        (Path("a.csv"), "csv"),
    ],
)
def test_the_driver_is_inferred_from_the_suffix(path: str | Path, driver: str) -> None:
    assert Formats().infer_driver(path) == driver


@pytest.mark.parametrize("name", _OWN)
def test_our_table_of_suffixes_is_that_of_the_classes(name: str) -> None:
    driver = Formats().driver(name)
    assert (driver.name, driver.suffixes) == (name, _OWN[name].suffixes)


def test_an_unknown_name_is_a_format_without_a_loader() -> None:
    driver = Formats().driver("txt")
    assert (driver.name, driver.kind) == ("txt", "file")
    assert not Formats().can_load("txt")
    with pytest.raises(UnsupportedFormat, match=r"'txt' cannot load a\.txt"):
        driver.load("a.txt")


@pytest.mark.parametrize("name", _ABSENT)
def test_a_missing_library_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # G-26
    install(monkeypatch)
    driver = Formats().driver(name)
    assert not Formats().can_load(name)
    extra = _ABSENT[name].extra
    if extra is None:
        with pytest.raises(UnsupportedFormat, match=name):
            driver.frame("x")
    else:
        with pytest.raises(MissingExtra, match=rf"consist\[{extra}\]"):
            driver.load("x")


def test_a_driver_names_the_extra_of_a_library_that_fails_to_import() -> None:
    class Needy(BaseDriver):
        name = "needy"
        extra = "zarr"
        modules = ("no_such_library",)

        def load(self, path: object, **options: object) -> object:
            return self._needed("no_such_library")

    assert not Needy().available()
    with pytest.raises(MissingExtra, match=r"consist\[zarr\]"):
        Needy().load("x")


def test_drivers_are_made_once() -> None:
    formats = Formats()
    assert formats.driver("csv") is formats.driver("csv") is formats.for_path("a.csv")


# ---------------------------------------------------------------- plug-ins


@pytest.mark.parametrize("value", ["NetworkDriver", "INSTANCE"])
def test_a_plug_in_is_a_class_or_an_instance(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(monkeypatch, network=f"{__name__}:{value}")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[NetworkDriver.__module__])
    formats = Formats()
    assert formats.infer_driver("a.net") == "network"
    assert formats.infer_driver("b.xml.gz") == "network"
    assert isinstance(formats.driver("network"), NetworkDriver)
    assert "network" in formats.all()


def test_a_plug_in_may_bring_a_format_that_we_only_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class NetCdf(BaseDriver):
        name = "netcdf"

    install(monkeypatch, netcdf=f"{__name__}:NetCdf")
    module = sys.modules[NetworkDriver.__module__]
    monkeypatch.setattr(module, "NetCdf", NetCdf, raising=False)
    monkeypatch.setitem(sys.modules, __name__, module)
    assert isinstance(Formats().driver("netcdf"), NetCdf)


def test_a_plug_in_cannot_replace_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, csv="nowhere:Nothing")
    assert Formats().driver("csv").suffixes == (".csv", ".csv.gz")


@pytest.mark.parametrize(
    ("value", "message"), [("Misnamed", "calls itself 'another'"), ("NOT_A_DRIVER", "lacks")]
)
def test_what_is_no_driver_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    install(monkeypatch, network=f"{__name__}:{value}")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[NetworkDriver.__module__])
    with pytest.raises(UsageError, match=message):
        Formats().driver("network")


def test_a_broken_plug_in_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, broken="no_such_module:Driver")
    formats = Formats()
    with caplog.at_level(logging.WARNING):
        assert formats.infer_driver("a.xyz") == "xyz"
        assert "broken" not in formats.all()
    assert "'broken'" in caplog.text
    with pytest.raises(ModuleNotFoundError) as caught:
        formats.driver("broken")
    assert "plug-in 'broken'" in caught.value.__notes__[0]


def test_of_two_plug_ins_with_one_name_the_first_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    points = [EntryPoint("n", value, "g") for value in ("json:loads", "json:dumps")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: EntryPoints(points))
    plugins = Plugins("g")
    assert list(plugins) == ["n"]
    assert len(plugins) == 1
    assert plugins["n"] is __import__("json").loads
    assert "hides" in caplog.text


def test_our_formats_need_no_metadata_and_no_data_library() -> None:
    script = (
        "import sys; from consist.formats import Formats; f = Formats();"
        "f.infer_driver('a.csv'); f.driver('parquet'); f.driver('csv'); f.driver('json');"
        "f.driver('zarr');"
        "heavy = {'importlib.metadata', 'pandas', 'duckdb', 'pyarrow', 'numpy', 'xarray', 'zarr'};"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "set()", done.stderr
