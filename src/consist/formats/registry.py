"""Which driver handles a file: by name, or by suffix."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple, cast

from consist.errors import UsageError, hint
from consist.formats.base import Driver, Kind
from consist.formats.plain import AbsentDriver, FileDriver
from consist.plugins import Plugins
from consist.types import PathLike

logger = logging.getLogger(__name__)


class _Own(NamedTuple):
    suffixes: tuple[str, ...]
    home: str
    has_digest: bool = False


class _Absent(NamedTuple):
    suffixes: tuple[str, ...]
    kind: Kind
    extra: str | None


# Ours are known without being imported, and without reading what else is installed. A test holds
# these suffixes equal to those of the classes.
_OWN = {
    "csv": _Own((".csv", ".csv.gz"), "consist.formats.csv:CsvDriver"),
    "h5": _Own((".h5", ".hdf5"), "consist.formats.hdf5:Hdf5Driver", has_digest=True),
    "json": _Own((".json", ".json.gz"), "consist.formats.json:JsonDriver"),
    "parquet": _Own((".parquet", ".parquet.gz"), "consist.formats.parquet:ParquetDriver"),
    "zarr": _Own((".zarr",), "consist.formats.zarr:ZarrDriver"),
}

# Formats whose names artifacts may carry before a driver for them is installed.
_ABSENT = {
    "geojson": _Absent((".geojson",), "table", "spatial"),
    "geopackage": _Absent((".gpkg",), "table", "spatial"),
    "geoparquet": _Absent((), "table", "spatial"),
    "gtfs": _Absent((), "table", None),
    "h5_table": _Absent((), "table", "hdf5"),
    "netcdf": _Absent((".nc", ".nc4", ".netcdf"), "array", "netcdf"),
    "openmatrix": _Absent((".omx",), "array", "omx"),
    "shapefile": _Absent((".shp",), "table", "spatial"),
}

_SUFFIXES = {
    suffix: name for name, known in {**_OWN, **_ABSENT}.items() for suffix in known.suffixes
}
_METHODS = (
    *("available", "load", "relation", "frame", "scan"),
    *("accepts", "write", "digest", "describe"),
)


class Formats:
    """Drivers by name and by file suffix.

    Drivers of other distributions (entry points ``consist.formats``) are looked up when a name or
    suffix is none of our own; ours cannot be replaced.

    Examples
    --------
    >>> Formats().infer_driver("trips.csv.gz")
    'csv'
    >>> Formats().infer_driver("README")
    'unknown'
    """

    def __init__(self) -> None:
        self._plugins = Plugins("consist.formats")
        self._drivers: dict[str, Driver] = {}

    def infer_driver(self, path: PathLike) -> str:
        """Return the name of the driver for a path; the longest known suffix wins.

        An unknown suffix is its own name, without the dot; a path without one is ``"unknown"``.
        Case does not count, and the file need not exist.
        """
        name = os.fspath(path).rstrip("/\\").replace("\\", "/").rpartition("/")[2].lower()
        suffixes = _suffixes(name)
        if not suffixes:
            return "unknown"
        own = _first(_SUFFIXES, suffixes)
        return own or _first(self._plugin_suffixes, suffixes) or suffixes[-1][1:]

    def driver(self, name: str) -> Driver:
        """Return a driver by name; a name that nobody knows is a format without a loader.

        Raises
        ------
        UsageError
            If a plug-in of this name is no driver.
        """
        if name not in self._drivers:
            self._drivers[name] = self._make(name)
        return self._drivers[name]

    def for_path(self, path: PathLike) -> Driver:
        """Return the driver that is inferred from a path."""
        return self.driver(self.infer_driver(path))

    def can_load(self, name: str) -> bool:
        """Whether content of this format can be loaded here, library and all."""
        driver = self.driver(name)
        return driver.kind != "file" and driver.available()

    def has_digest(self, name: str) -> bool:
        """Whether the driver may tell the content of a file apart from its bytes."""
        if name in _OWN:
            return _OWN[name].has_digest and self.driver(name).available()
        return name in self._plugins and self.driver(name).available()

    def all(self) -> dict[str, Driver]:
        """Return every known driver by name, those of other distributions too.

        A plug-in that cannot be loaded is left out, and a warning is logged.
        """
        names = {*_OWN, *_ABSENT, *self._working_plugins}
        return {name: self.driver(name) for name in sorted(names)}

    # ------------------------------------------------------------ where drivers come from

    def _make(self, name: str) -> Driver:
        if name in _OWN:
            module, _, attribute = _OWN[name].home.partition(":")
            return getattr(import_module(module), attribute)()
        if name in self._plugins:
            return _checked(name, self._plugins[name])
        if name in _ABSENT:
            return AbsentDriver(name, *_ABSENT[name])
        return FileDriver(name)

    @cached_property
    def _working_plugins(self) -> dict[str, Driver]:
        working: dict[str, Driver] = {}
        for name in self._plugins:
            if name in _OWN:
                continue
            try:
                working[name] = self.driver(name)
            except Exception:  # whatever somebody else's module raises when it is imported
                logger.warning("[Consist] driver %r cannot be loaded", name, exc_info=True)
        return working

    @cached_property
    def _plugin_suffixes(self) -> dict[str, str]:
        return {
            suffix: name
            for name, driver in self._working_plugins.items()
            for suffix in driver.suffixes
        }


def _first(known: Mapping[str, str], suffixes: Iterable[str]) -> str | None:
    return next((known[suffix] for suffix in suffixes if suffix in known), None)


def _suffixes(name: str) -> list[str]:
    """Return the suffixes of a file name, the longest first; a leading dot begins none."""
    parts = name.lstrip(".").split(".")
    return ["." + ".".join(parts[start:]) for start in range(1, len(parts)) if parts[-1]]


def _checked(name: str, plugin: object) -> Driver:
    driver = cast("Any", plugin() if isinstance(plugin, type) else plugin)
    lacking = [method for method in _METHODS if not callable(getattr(driver, method, None))]
    if lacking or getattr(driver, "name", None) != name:
        wrong = f"lacks {', '.join(lacking)}" if lacking else f"calls itself {driver.name!r}"
        error = UsageError(f"the plug-in {name!r} is no driver: it {wrong}")
        raise hint(error, "derive it from consist.formats.BaseDriver")
    return driver
