"""What loading an artifact gives, told by its driver alone.

Each question takes anything that may stand where an artifact stands, and answers no to what is
none; what was answered yes to is an ``Artifact`` for a type checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from consist.models.artifact import Artifact

_DATAFRAME = frozenset({"parquet", "csv", "gtfs", "h5_table"})
_SPATIAL = frozenset({"geojson", "geoparquet", "shapefile", "geopackage"})


def is_dataframe_artifact(artifact: object) -> TypeGuard[Artifact]:
    """Whether ``load`` gives a relation and ``load_df`` a frame: Parquet, CSV, GTFS, HDF5 tables.

    Examples
    --------
    >>> is_dataframe_artifact("trips.csv")
    False
    """
    return _driver(artifact) in _DATAFRAME


def is_tabular_artifact(artifact: object) -> TypeGuard[Artifact]:
    """Whether ``load_df`` may give a frame: a data frame's format, or JSON, which may hold one."""
    return _driver(artifact) in _DATAFRAME or is_json_artifact(artifact)


def is_json_artifact(artifact: object) -> TypeGuard[Artifact]:
    """Whether it is a JSON document."""
    return _driver(artifact) == "json"


def is_zarr_artifact(artifact: object) -> TypeGuard[Artifact]:
    """Whether it is a Zarr store, which ``load`` gives as an xarray Dataset."""
    return _driver(artifact) == "zarr"


def is_hdf_artifact(artifact: object) -> TypeGuard[Artifact]:
    """Whether it is a whole HDF5 file; of a table inside one, ask :func:`is_dataframe_artifact`."""
    return _driver(artifact) in {"h5", "hdf5"}


def is_spatial_artifact(artifact: object) -> TypeGuard[Artifact]:
    """Whether it has geometries: GeoJSON, GeoParquet, Shapefile or GeoPackage."""
    return _driver(artifact) in _SPATIAL


def _driver(artifact: object) -> str | None:
    driver = getattr(artifact, "driver", None)
    return driver if isinstance(driver, str) and hasattr(artifact, "container_uri") else None
