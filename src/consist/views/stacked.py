"""Arrays of many stores as one, none of them read before it is looked at.

xarray concatenates lazily only with dask. Here each variable of the result is an array of xarray's
own kind for files, which reads what is selected, of the stores that the selection touches; so the
extra ``zarr`` suffices, and ``Dataset.chunk`` makes dask arrays of it where dask is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from consist.errors import UsageError, hint, some_of

if TYPE_CHECKING:
    import pandas as pd

Labels: TypeAlias = "pd.Index[Any]"


def stacked(stores: Sequence[xr.Dataset], names: Sequence[str], dim: str) -> xr.Dataset:
    """Return Datasets as one along a new dimension, lazily.

    Dimensions are aligned by their labels, as an outer join does: what a Dataset lacks is missing
    there (NaN, NaT), and so is a variable that it lacks. Coordinates of at most one dimension that
    are the same everywhere stay as they are; attributes stay if all agree.

    Parameters
    ----------
    stores : sequence of Dataset
        At least one.
    names : sequence of str
        What each is called in errors.
    dim : str
        Name of the new dimension.

    Raises
    ------
    ValueError
        Naming Dataset and variable, if dimensions differ that have no labels to align by.
    """
    whole = _Whole(stores, names, dim)
    return xr.open_dataset(cast("Any", whole), engine=_Opener, cache=True)


class _Opener(BackendEntrypoint):
    """Lets xarray wrap what was put together as it wraps what it read from a file."""

    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None) -> xr.Dataset:
        del drop_variables
        return filename_or_obj.dataset()


# ---------------------------------------------------------------- one array of many


@dataclass(frozen=True)
class _Part:
    """A variable of one store.

    ``places`` has, of each dimension that had to be aligned, where the labels of the whole are in
    the store, -1 for those that it lacks.
    """

    variable: xr.Variable
    places: tuple[np.ndarray | None, ...]

    @property
    def lacks_something(self) -> bool:
        return any(places is not None and bool((places < 0).any()) for places in self.places)

    def read(self, key: tuple[Any, ...], kind: np.dtype[Any], fill: Any) -> np.ndarray:
        """Return what is selected of each dimension by number, slice or numbers."""
        if all(places is None for places in self.places):
            return np.asarray(self.variable[key].values, dtype=kind)
        many = tuple(np.atleast_1d(k) if _is_number(k) else k for k in key)
        taken: list[np.ndarray] = []
        put: list[np.ndarray] = []
        sizes: list[int] = []
        for wanted, places, size in zip(many, self.places, self.variable.shape, strict=True):
            at = np.arange(size)[wanted] if places is None else places[wanted]
            there = at >= 0
            taken.append(at[there])
            put.append(np.flatnonzero(there))
            sizes.append(len(at))
        found = np.full(sizes, fill, dtype=kind)
        found[np.ix_(*put)] = self.variable[tuple(taken)].values
        return found[tuple(0 if _is_number(k) else slice(None) for k in key)]


class _Stack(BackendArray):
    """The same variable of many stores; ``None`` stands for a store that lacks it."""

    def __init__(self, parts: Sequence[_Part | None], shape: tuple[int, ...]) -> None:
        self.parts = parts
        self.shape = (len(parts), *shape)
        kinds: list[np.dtype[Any]] = [part.variable.dtype for part in parts if part is not None]
        lacking = any(part is None or part.lacks_something for part in parts)
        self.dtype, self.fill = _kind_of(kinds, lacking=lacking)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Any:
        wanted, rest = np.arange(len(self.parts))[key[0]], key[1:]
        if wanted.ndim == 0:
            return self._read_one(int(wanted), rest)
        sizes = [len(np.arange(n)[k]) for n, k in zip(self.shape[1:], rest, strict=True)
                 if not _is_number(k)]  # fmt: skip
        found = np.empty((len(wanted), *sizes), dtype=self.dtype)
        for place, number in enumerate(wanted):
            found[place] = self._read_one(int(number), rest)
        return found

    def _read_one(self, number: int, key: tuple[Any, ...]) -> Any:
        part = self.parts[number]
        if part is not None:
            return part.read(key, self.dtype, self.fill)
        sizes = [len(np.arange(n)[k]) for n, k in zip(self.shape[1:], key, strict=True)
                 if not _is_number(k)]  # fmt: skip
        return np.full(sizes, self.fill, dtype=self.dtype)


def _is_number(key: Any) -> bool:
    return isinstance(key, int | np.integer)


def _kind_of(kinds: Sequence[np.dtype[Any]], *, lacking: bool) -> tuple[np.dtype[Any], Any]:
    """Return a type that holds all values, and what stands for missing ones."""
    kind = kinds[0]
    if any(other != kind for other in kinds):
        alike = all(other.kind in "biufc" for other in kinds)
        alike = alike or len({"s" if k.kind in "US" else k.kind for k in kinds}) == 1
        kind = np.result_type(*kinds) if alike else np.dtype(object)
    if lacking:
        if kind.kind in "iu":
            kind = np.dtype(np.float64)
        elif kind.kind not in "fcmM":
            kind = np.dtype(object)
    if kind.kind in "mM":
        return kind, np.array("NaT", dtype=kind)[()]
    return kind, np.nan if kind.kind in "fcO" else np.zeros((), kind)[()]


# ---------------------------------------------------------------- the whole


class _Whole:
    """What is the same in all stores, and how each is aligned with it."""

    def __init__(self, stores: Sequence[xr.Dataset], names: Sequence[str], dim: str) -> None:
        self.stores, self.names, self.dim = stores, names, dim
        self.axes = dict(self._axes())

    def dataset(self) -> xr.Dataset:
        coords = {str(n) for store in self.stores for n in store.coords} - self.axes.keys()
        labels = {name: axis.labels for name, axis in self.axes.items() if axis.labels is not None}
        names = dict.fromkeys(str(n) for store in self.stores for n in store.variables)
        variables = {
            name: self._variable(name, is_coordinate=name in coords)
            for name in names
            if name not in labels
        }
        found = xr.Dataset(
            {name: variable for name, variable in variables.items() if name not in coords},
            {
                **{n: xr.Variable((n,), index, self._attributes(n)) for n, index in labels.items()},
                **{name: variables[name] for name in variables if name in coords},
            },
            _agreed([store.attrs for store in self.stores]),
        )
        return found[[*sorted(found.data_vars, key=str)]]

    def _variable(self, name: str, *, is_coordinate: bool) -> xr.Variable:
        having = [store.variables.get(name) for store in self.stores]
        first = next(variable for variable in having if variable is not None)
        if is_coordinate and first.ndim <= 1 and self._is_the_same(first, having):
            return xr.Variable(first.dims, first.values, self._attributes(name))
        parts = [self._part(name, number, first) for number in range(len(self.stores))]
        stack = _Stack(parts, tuple(self.axes[str(d)].length for d in first.dims))
        lazy = indexing.LazilyIndexedArray(stack)
        return xr.Variable((self.dim, *first.dims), lazy, self._attributes(name))

    def _is_the_same(self, first: xr.Variable, having: Sequence[xr.Variable | None]) -> bool:
        if any(self.axes[str(d)].is_moved for d in first.dims):
            return False
        equals = cast("Callable[[xr.Variable], bool]", first.equals)
        return all(other is not None and equals(other) for other in having)

    def _part(self, name: str, number: int, first: xr.Variable) -> _Part | None:
        found = self.stores[number].variables.get(name)
        if found is None:
            return None
        if set(found.dims) != set(first.dims):
            problem = UsageError(
                f"variable {name!r} has the dimensions {some_of(found.dims)} in"
                f" {self.names[number]} and {some_of(first.dims)} in others"
            )
            raise hint(problem, _REMEDY)
        if found.dims != first.dims:
            found = found.transpose(*first.dims)
        return _Part(found, tuple(self.axes[str(d)].places[number] for d in first.dims))

    def _attributes(self, name: str) -> dict[Hashable, Any]:
        return _agreed([s.variables[name].attrs for s in self.stores if name in s.variables])

    # ------------------------------------------------------------ dimensions

    def _axes(self) -> Iterator[tuple[str, _Axis]]:
        for name in dict.fromkeys(str(d) for store in self.stores for d in store.sizes):
            having = [n for n, store in enumerate(self.stores) if name in store.sizes]
            labelled = [n for n in having if name in self.stores[n].indexes]
            if not labelled:
                yield name, self._unlabelled(name, having)
            elif labelled == having:
                yield name, self._labelled(name, having)
            else:
                bare = next(n for n in having if n not in labelled)
                raise self._differs(name, bare, "has no labels", f"{self.names[labelled[0]]} has")

    def _unlabelled(self, name: str, having: Sequence[int]) -> _Axis:
        length = self.stores[having[0]].sizes[name]
        for number in having:
            other = self.stores[number].sizes[name]
            if other != length:
                raise self._differs(
                    name, number, f"is {other} long", f"{length} in {self.names[having[0]]}",
                    "; without labels it cannot be aligned",
                )  # fmt: skip
        return _Axis(length, None, [None] * len(self.stores))

    def _labelled(self, name: str, having: Sequence[int]) -> _Axis:
        first = self.stores[having[0]].indexes[name]
        found = {number: self.stores[number].indexes[name] for number in having}
        if all(index.equals(first) for index in found.values()):
            return _Axis(len(first), first, [None] * len(self.stores))
        for number, index in found.items():
            if not index.is_unique:
                raise self._differs(name, number, "has labels twice", "they differ between runs")
            if _sort(index) != _sort(first):
                mine, others = _sort(index), f"{_sort(first)} in {self.names[having[0]]}"
                raise self._differs(name, number, f"has labels that are {mine}", others)
        union = _union(list(found.values()))
        places = [
            None if number not in found or found[number].equals(union)
            else np.asarray(found[number].get_indexer(union))
            for number in range(len(self.stores))
        ]  # fmt: skip
        return _Axis(len(union), union, places)

    def _differs(self, name: str, number: int, what: str, other: str, why: str = "") -> UsageError:
        store = self.stores[number]
        having = next((n for n, v in store.variables.items() if name in v.dims and n != name), name)
        problem = UsageError(
            f"dimension {name!r} of variable {having!r} {what} in {self.names[number]}"
            f" and {other}{why}"
        )
        return hint(problem, _REMEDY)


@dataclass(frozen=True)
class _Axis:
    """A dimension of the whole; ``places`` as of :class:`_Part`, by store."""

    length: int
    labels: Labels | None
    places: Sequence[np.ndarray | None]

    @property
    def is_moved(self) -> bool:
        return any(places is not None for places in self.places)


_REMEDY = "restrict the runs, or the variables, or load the artifacts one by one"


def _union(indexes: Sequence[Labels]) -> Labels:
    """Return all labels: in order if they are in order everywhere, else as they appear."""
    union = indexes[0]
    for index in indexes[1:]:
        union = union.append(index[~index.isin(union)])
    ordered = all(index.is_monotonic_increasing for index in indexes)
    return union.sort_values() if ordered else union


def _sort(index: Labels) -> str:
    kinds: dict[str, str] = dict.fromkeys("biuf", "numbers") | {"M": "times", "m": "durations"}
    return kinds.get(index.dtype.kind, "text")


def _agreed(attributes: Sequence[Mapping[Any, Any]]) -> dict[Hashable, Any]:
    """Return the attributes that nobody has another value of."""
    found: dict[Hashable, Any] = {}
    refused: set[Hashable] = set()
    for each in attributes:
        for name, value in each.items():
            if name in found and not _same(found[name], value):
                refused.add(name)
            found.setdefault(name, value)
    return {name: value for name, value in found.items() if name not in refused}


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(np.array_equal(np.asarray(left), np.asarray(right)))
