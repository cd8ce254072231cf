"""HDF5 files: what is in them, told without how it is laid out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, cast

from consist.formats.base import BaseDriver, Kind, existing_file, reading
from consist.types import PathLike

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BLOCK = 16 << 20  # bytes that are read at once
_BROKEN = (RuntimeError, TypeError)


class Hdf5Driver(BaseDriver):
    """Files in HDF5, known by their content.

    Equal content is often stored in different bytes: files hold times, unused space, chunks and
    compression. So :meth:`digest` reads what is in a file, in blocks: groups, datasets, links and
    attributes by name, with types, shapes and values. Numbers count as little-endian; how they are
    chunked, compressed or padded does not count, nor do fill values and the times of objects.

    Nothing is loaded yet: open the file at ``artifact.path`` with a library of your choice.
    """

    name = "h5"
    suffixes = (".h5", ".hdf5")
    kind: Kind = "file"
    extra = "hdf5"
    modules = ("h5py",)

    def digest(self, path: PathLike) -> str:
        """Return the digest of what is in a file.

        Raises
        ------
        MissingExtra
            If h5py is not installed.
        UnsupportedFormat
            If the file is damaged or no HDF5.
        """
        h5py: Any = self._needed("h5py")
        file = existing_file(self.name, path)
        with reading(self.name, file, *_BROKEN), h5py.File(file, "r") as opened:
            content = _Content(h5py)
            content.add_group("/", opened)
            return content.digest()

    def describe(
        self,
        path: PathLike,
        *,
        connection: DuckDBPyConnection | None = None,  # noqa: ARG002 - not read through DuckDB
        **options: Any,  # noqa: ARG002 - there are none
    ) -> dict[str, Any]:
        """Return ``variables``: the path of every dataset → its ``dtype`` and ``shape``."""
        h5py: Any = self._needed("h5py")
        file = existing_file(self.name, path)
        variables: dict[str, Any] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                shape = None if item.shape is None else list(item.shape)
                variables[f"/{name}"] = {"dtype": str(item.dtype), "shape": shape}

        with reading(self.name, file, *_BROKEN), h5py.File(file, "r") as opened:
            opened.visititems(visit)
        return {"variables": variables}


class _Content:
    """The digest of a file, object by object.

    An object that has several names is read once; its other names say so.
    """

    def __init__(self, h5py: Any) -> None:
        self._h5py = h5py
        self._hash = hashlib.sha256()
        self._names: dict[tuple[int, int], str] = {}

    def digest(self) -> str:
        return self._hash.hexdigest()

    def add_group(self, path: str, group: Any) -> None:
        """Add a group and everything below it, in the order of names."""
        pending = [(path, group)]
        while pending:
            path, item = pending.pop()
            if not self._is_new(path, item):
                continue
            self._add_attributes(item)
            if isinstance(item, self._h5py.Group):
                pending.extend(self._members(path, item))
            elif isinstance(item, self._h5py.Dataset):
                self._add_values(item)
            else:
                self._say("type", _type_text(item.dtype))

    def _is_new(self, path: str, item: Any) -> bool:
        info = self._h5py.h5o.get_info(item.id)
        known = self._names.setdefault((info.fileno, info.addr), path)
        if known != path:
            self._say("same as", path, known)
            return False
        self._say(type(item).__name__, path)
        return True

    def _members(self, path: str, group: Any) -> Iterator[tuple[str, Any]]:
        for name in sorted(group, reverse=True):  # the last one pushed is the first one read
            link, inner = group.get(name, getlink=True), f"{path.rstrip('/')}/{name}"
            if isinstance(link, self._h5py.SoftLink):
                self._say("soft link", inner, link.path)
            elif isinstance(link, self._h5py.ExternalLink):
                self._say("external link", inner, link.filename, link.path)
            else:
                yield inner, group[name]

    def _add_attributes(self, item: Any) -> None:
        for name in sorted(item.attrs):
            self._say("attribute", name)
            self._add_array(item.attrs.get_id(name), item.attrs[name])

    def _add_array(self, held: Any, value: Any) -> None:
        import numpy as np

        if isinstance(value, self._h5py.Empty):
            self._say("empty", _type_text(value.dtype))
            return
        values = np.asarray(value)
        self._say("array", _type_text(held.dtype), *map(str, values.shape))
        self._feed(values)

    def _add_values(self, dataset: Any) -> None:
        if dataset.shape is None:
            self._say("empty", _type_text(dataset.dtype))
            return
        self._say("array", _type_text(dataset.dtype), *map(str, dataset.shape))
        for block in _blocks(dataset.shape, dataset.dtype.itemsize):
            self._feed(dataset[block])

    def _feed(self, values: Any) -> None:
        """Add values in C order; the same for any division into blocks."""
        import numpy as np

        array: Any = np.ascontiguousarray(values)
        if array.dtype.hasobject:
            for item in array.flat:
                self._add_item(item)
            return
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        self._hash.update(little.tobytes())

    def _add_item(self, item: Any) -> None:
        """Add one value of variable length: text, bytes, an array, a row that holds such."""
        import numpy as np

        match item:
            case str():
                self._say("text", item)
            case bytes():
                self._hash.update(len(item).to_bytes(8, "little") + item)
            case np.ndarray():
                self._say("values", str(item.size))
                self._feed(item)
            case tuple() | np.void():
                for part in cast("Iterable[Any]", item):
                    self._add_item(part)
            case self._h5py.Reference() | self._h5py.RegionReference():
                self._say("reference", str(bool(item)))
            case _:
                self._feed(np.asarray(item))

    def _say(self, *words: str) -> None:
        for word in words:
            text = word.encode("utf-8", "surrogateescape")
            self._hash.update(len(text).to_bytes(8, "little") + text)


def _blocks(shape: tuple[int, ...], itemsize: int) -> Iterator[tuple[Any, ...]]:
    """Yield the indices of blocks that cover an array in C order."""
    if not shape:
        yield ()
        return
    length, *rest = shape
    row = max(1, itemsize * prod(rest))
    if row > _BLOCK and rest:
        for index in range(length):
            for inner in _blocks(tuple(rest), itemsize):
                yield (index, *inner)
        return
    step = max(1, _BLOCK // row)
    for start in range(0, length, step):
        yield (slice(start, min(start + step, length)),)


def _type_text(dtype: Any) -> str:
    """Return the name of a type without its byte order."""
    if dtype.metadata:
        return f"{dtype.newbyteorder('<')!r} {sorted(map(str, dtype.metadata.items()))}"
    return repr(dtype.newbyteorder("<"))
