"""Zarr stores: labelled arrays in a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from consist.errors import a_kind
from consist.formats.base import (
    BaseDriver,
    Kind,
    as_dataset,
    check_options,
    existing_folder,
    is_array,
    reading,
    writing,
)
from consist.types import PathLike

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from xarray import Dataset

_OPTIONS = ("group", "variables", "chunks")
# What xarray and zarr raise about broken metadata and chunks, beside the errors of other readers.
_BROKEN = (AttributeError, ImportError, RuntimeError, TypeError)
_UNWRITABLE = (NotImplementedError, TypeError)


class ZarrDriver(BaseDriver):
    """Labelled arrays in Zarr, read and written by xarray.

    Reading is lazy, gives the variables in the order of their names, and takes

    ``group``
        path of a group inside the store (by default its root);
    ``variables``
        names of the variables to keep, with their coordinates;
    ``chunks``
        as ``xarray.open_zarr`` takes them; anything but ``None`` needs dask.

    Writing hands its options to ``Dataset.to_zarr``; equal data written by the same versions of
    xarray and zarr is the same bytes. A ``DataArray`` becomes a Dataset of one variable, called
    ``data`` if it has no name. Chunks and codecs that a variable was opened with do not travel:
    it is laid out anew. Those set on variables that were made in memory count.
    """

    name = "zarr"
    suffixes = (".zarr",)
    kind: Kind = "array"
    extra = "zarr"
    modules = ("xarray", "zarr")

    def load(self, path: PathLike, **options: Any) -> Dataset:
        """Return the arrays of one group as a lazy Dataset."""
        check_options(self.name, options, _OPTIONS)
        with self._opened(path, options.get("group"), options.get("chunks")) as dataset:
            variables = options.get("variables")
            return dataset if variables is None else dataset[list(variables)]

    def accepts(self, value: object) -> bool:
        """Accept Datasets and DataArrays of xarray."""
        return is_array(value)

    def write(self, value: Any, path: PathLike, **options: Any) -> None:
        """Write arrays with ``Dataset.to_zarr`` to a folder that must be new."""
        if not self.accepts(value):
            raise self._cannot(f"write {a_kind(value)}")
        self._need_all("writing")
        from zarr.storage import LocalStore

        with writing(self.name, path, *_UNWRITABLE), _unwarned():
            dataset = _laid_out_anew(as_dataset(value, "data"))
            _check_names(dataset)
            dataset.to_zarr(LocalStore(os.fspath(path)), **options)

    def describe(
        self,
        path: PathLike,
        *,
        connection: DuckDBPyConnection | None = None,  # noqa: ARG002
        **options: Any,
    ) -> dict[str, Any]:
        """Return ``dims`` (name to length) and ``variables`` (name to dtype, dims, shape, role).

        The role is ``"data"`` or ``"coordinate"``. The only option is ``group``.
        """
        check_options(self.name, options, ("group",))
        with self._opened(path, options.get("group")) as dataset:
            dims = {str(name): length for name, length in dataset.sizes.items()}
            return {"dims": dims, "variables": _variables(dataset)}

    @contextmanager
    def _opened(self, path: PathLike, group: str | None, chunks: Any = None) -> Generator[Dataset]:
        """Yield the arrays of a group; errors of the block are told with the store's name."""
        self._need_all("reading")
        from zarr.errors import BaseZarrError

        store = existing_folder(self.name, path)
        with reading(self.name, store, BaseZarrError, *_BROKEN):
            yield _open(store, group, chunks)

    def _need_all(self, action: str) -> None:
        for module in self.modules:
            self._needed(module, action)


# ---------------------------------------------------------------- reading


def _open(store: str, group: str | None, chunks: Any) -> Dataset:
    import xarray as xr
    from zarr.storage import LocalStore

    # A store object, because of text zarr asks whether it is a URL. Not consolidated, because
    # groups and foreign stores often are not, and looking for it in vain is a warning.
    content = LocalStore(store, read_only=True)
    read = cast("Callable[..., Dataset]", xr.open_zarr)
    dataset = read(content, group=group, chunks=chunks, consolidated=False)
    # By name, because a store lists its members in whatever order the file system does.
    return dataset[sorted(dataset.variables, key=str)]


def _variables(dataset: Dataset) -> dict[str, Any]:
    found = cast("Mapping[str, Any]", dataset.variables)
    return {
        name: {
            "dtype": str(variable.dtype),
            "dims": list(variable.dims),
            "shape": list(variable.shape),
            "role": "coordinate" if name in dataset.coords else "data",
        }
        for name, variable in found.items()
    }


# ---------------------------------------------------------------- writing


def _laid_out_anew(dataset: Dataset) -> Dataset:
    """Return a Dataset whose variables forget how the file that they were opened from kept them.

    Codecs of one format of Zarr cannot be written in another, and chunks of an opened file need
    not fit those of dask any more.
    """
    copied = dataset.copy()
    for variable in copied.variables.values():
        if "preferred_chunks" in variable.encoding:  # set by what opens files, and only there
            variable.encoding = {}
    return copied


def _check_names(dataset: Dataset) -> None:
    """Refuse names that zarr would take for groups, in which nobody looks for them."""
    if nested := [name for name in dataset.variables if "/" in str(name)]:
        raise ValueError(f"the name {nested[0]!r} of a variable contains a slash")


@contextmanager
def _unwarned() -> Generator[None]:
    """Silence what zarr says of its own defaults: consolidated metadata, text of fixed width."""
    from zarr.errors import UnstableSpecificationWarning, ZarrUserWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        yield
