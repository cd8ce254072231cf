"""What a driver is: how files of one format are read, written and described.

A driver of another distribution enters by the entry-point group ``consist.formats``, whose values
are classes to be called without arguments, or instances. Derive it from :class:`BaseDriver` and
override what the format can do; :mod:`consist.formats.testing` has the tests it should pass.
"""

from __future__ import annotations

import errno
import os
import sys
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from consist.errors import (
    ConsistError,
    MissingExtra,
    StoreUnwritable,
    UnsupportedFormat,
    UsageError,
    a_kind,
    hint,
)
from consist.types import PathLike

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from pandas import DataFrame
    from xarray import Dataset

Kind: TypeAlias = Literal["table", "array", "document", "file"]


class Driver(Protocol):
    """How files of one format are read, written and described.

    Attributes
    ----------
    name : str
        What artifacts call the format.
    suffixes : tuple of str
        Lower-case file suffixes with their dot, from which the driver is inferred.
    kind : {"table", "array", "document", "file"}
        What :meth:`load` gives: rows and columns, labelled arrays, a parsed document, nothing.
    extra : str or None
        Extra of this library that brings what the driver needs.
    """

    name: str
    suffixes: tuple[str, ...]
    kind: Kind
    extra: str | None

    def available(self) -> bool:
        """Whether the libraries that reading needs are installed."""
        ...

    def load(self, path: PathLike, **options: Any) -> Any:
        """Return the content in its natural form, for formats that are no tables.

        A driver of kind ``"array"`` takes the option ``group``: which arrays of the file.
        """
        ...

    def relation(
        self, connection: DuckDBPyConnection, path: PathLike, **options: Any
    ) -> DuckDBPyRelation:
        """Return the rows as a lazy relation of ``connection``."""
        ...

    def frame(
        self, path: PathLike, *, connection: DuckDBPyConnection | None = None, **options: Any
    ) -> DataFrame:
        """Return the rows as a pandas ``DataFrame``.

        ``connection`` saves drivers that read through DuckDB an instance of their own.
        """
        ...

    def scan(self, paths: Sequence[PathLike], *, filename: str | None = None) -> str:
        """Return SQL text that reads several files as one table, columns matched by name.

        ``filename`` names a column that tells which file a row is from.
        """
        ...

    def accepts(self, value: object) -> bool:
        """Whether :meth:`write` can write ``value``."""
        ...

    def write(self, value: Any, path: PathLike, **options: Any) -> None:
        """Write ``value`` to a file; options go to the library that writes it."""
        ...

    def digest(self, path: PathLike) -> str | None:
        """Return a digest of the content that ignores how it is stored.

        ``None`` leaves it to the bytes, which is right unless equal content often differs in
        them.
        """
        ...

    def describe(
        self, path: PathLike, *, connection: DuckDBPyConnection | None = None, **options: Any
    ) -> dict[str, Any]:
        """Return what the header tells, as plain data.

        Of a table ``columns`` (name to type) and ``rows``; of arrays ``dims`` (name to length)
        and ``variables`` (name to what is known of it, such as ``dtype`` and ``shape``).
        """
        ...


@runtime_checkable
class Comparing(Protocol):
    """What a driver also has that compares two files of its format in a way of its own.

    Without it, tables are compared by their rows, arrays by their variables, documents by their
    leaves, and other files by their bytes.
    """

    def compare(self, left: PathLike, right: PathLike, *, tolerance: Any) -> Any:
        """Return what differs, as one of the classes of ``consist.comparison.differences``.

        ``tolerance.rtol`` and ``tolerance.atol`` say how far numbers may be apart.
        """
        ...


class BaseDriver:
    """A driver that can do nothing yet; its methods say so."""

    name: str = "unknown"
    suffixes: tuple[str, ...] = ()
    kind: Kind = "file"
    extra: str | None = None
    modules: ClassVar[tuple[str, ...]] = ()
    """Optional libraries without which nothing can be read."""

    def available(self) -> bool:
        """Whether the libraries that reading needs are installed."""
        return all(find_spec(module) is not None for module in self.modules)

    def load(self, path: PathLike, **options: Any) -> Any:  # noqa: ARG002
        """Refuse to load."""
        raise self._cannot(f"load {os.fspath(path)}")

    def relation(
        self,
        connection: DuckDBPyConnection,  # noqa: ARG002
        path: PathLike,
        **options: Any,  # noqa: ARG002
    ) -> DuckDBPyRelation:
        """Refuse to make a relation."""
        raise self._cannot(f"read {os.fspath(path)} as a table")

    def frame(
        self,
        path: PathLike,
        *,
        connection: DuckDBPyConnection | None = None,  # noqa: ARG002
        **options: Any,  # noqa: ARG002
    ) -> DataFrame:
        """Refuse to make a DataFrame."""
        raise self._cannot(f"read {os.fspath(path)} as a table")

    def scan(self, paths: Sequence[PathLike], *, filename: str | None = None) -> str:  # noqa: ARG002
        """Refuse to be scanned."""
        raise self._cannot("be part of a view")

    def accepts(self, value: object) -> bool:  # noqa: ARG002
        """Accept nothing."""
        return False

    def write(self, value: Any, path: PathLike, **options: Any) -> None:  # noqa: ARG002
        """Refuse to write."""
        raise self._cannot(f"write {a_kind(value)} to {os.fspath(path)}")

    def digest(self, path: PathLike) -> str | None:  # noqa: ARG002
        """Leave identity to the bytes."""
        return None

    def describe(
        self,
        path: PathLike,  # noqa: ARG002
        *,
        connection: DuckDBPyConnection | None = None,  # noqa: ARG002
        **options: Any,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Tell nothing."""
        return {}

    def _cannot(self, action: str) -> ConsistError:
        return hint(
            UnsupportedFormat(self.name, action),
            "read the file at artifact.path yourself, or name its driver when you log it",
        )

    def _needed(self, module: str, action: str = "reading") -> ModuleType:
        """Import an optional library, or raise an error that names the extra to install."""
        try:
            return import_module(module)
        except ImportError as error:
            raise MissingExtra(f"{action} {self.name!r} files", self.extra or module) from error


# ---------------------------------------------------------------- options


def check_options(driver: str, options: Mapping[str, object], known: Sequence[str]) -> None:
    """Refuse options that a driver does not know.

    Raises
    ------
    UsageError
        Naming the unknown ones and those that exist.
    """
    if unknown := [option for option in options if option not in known]:
        names = ", ".join(map(repr, unknown))
        raise hint(
            UsageError(f"driver {driver!r} has no option {names}"),
            f"it has {', '.join(known) or 'none'}",
        )


# ---------------------------------------------------------------- files


def existing_file(driver: str, path: PathLike) -> str:
    """Return the absolute path of a file that is there.

    Raises
    ------
    FileNotFoundError
        Naming the path.
    UnsupportedFormat
        If it is a folder.
    """
    absolute = _existing(path)
    if os.path.isdir(absolute):  # noqa: PTH112
        raise UnsupportedFormat(driver, f"read {absolute}: it is a folder")
    return absolute


def existing_folder(driver: str, path: PathLike) -> str:
    """Return the absolute path of a folder that is there.

    Raises
    ------
    FileNotFoundError
        Naming the path.
    UnsupportedFormat
        If it is a file.
    """
    absolute = _existing(path)
    if not os.path.isdir(absolute):  # noqa: PTH112
        raise UnsupportedFormat(driver, f"read {absolute}: it is no folder")
    return absolute


def _existing(path: PathLike) -> str:
    absolute = os.path.abspath(path)  # noqa: PTH100
    if not os.path.exists(absolute):  # noqa: PTH110
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), absolute)
    return absolute


_OUT_OF_REACH = (FileNotFoundError, PermissionError)
_UNREADABLE = (ValueError, LookupError, EOFError, OSError, RecursionError, zlib.error)


@contextmanager
def reading(driver: str, path: str, *errors: type[Exception]) -> Generator[None]:
    """Turn what a library raises about a file into an error that names driver and file.

    Parameters
    ----------
    driver : str
        Name of the driver.
    path : str
        The file.
    *errors : type
        What the library raises, beside what Python's own readers raise.
    """
    try:
        yield
    except ConsistError:
        raise
    except (*errors, *_UNREADABLE) as error:
        # A library may derive its own error about content from that of a missing file.
        if isinstance(error, _OUT_OF_REACH) and not isinstance(error, errors):
            raise
        raise UnsupportedFormat(driver, f"read {path}: {_reason(error)}") from error


@contextmanager
def writing(driver: str, path: PathLike, *errors: type[Exception]) -> Generator[None]:
    """Turn what a library raises about a value or the disk into an error of ours.

    ``errors`` are what the library raises about a value, beside ``ValueError``.
    """
    try:
        yield
    except ConsistError:
        raise
    except OSError as error:
        raise StoreUnwritable(os.fspath(path), error.strerror or str(error)) from error
    except (ValueError, *errors) as error:
        raise UnsupportedFormat(driver, f"write {os.fspath(path)}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


# ---------------------------------------------------------------- frames

# Whoever made a frame or an array has imported its library, so nothing here does.


def is_frame(value: object) -> bool:
    """Whether ``value`` is a pandas DataFrame or Series, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series))


def as_frame(value: Any, name: str) -> DataFrame:
    """Return a DataFrame; a Series becomes its one column, called ``name`` if it has no name."""
    if isinstance(value, sys.modules["pandas"].Series):
        return value.to_frame(name) if value.name is None else value.to_frame()
    return value


# ---------------------------------------------------------------- arrays


def is_array(value: object) -> bool:
    """Whether ``value`` is a Dataset or DataArray of xarray, without importing xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, (xarray.Dataset, xarray.DataArray))


def as_dataset(value: Any, name: str) -> Dataset:
    """Return a Dataset; a DataArray becomes its one variable, called ``name`` if it has no name.

    A variable cannot be called like one of its coordinates, as a coordinate taken by itself is;
    it is called ``name`` then, or ``<name>_data`` if that is a coordinate too.
    """
    if isinstance(value, sys.modules["xarray"].DataArray):
        names = (value.name, name, f"{name}_data")
        free = next(found for found in names if found is not None and found not in value.coords)
        return value.to_dataset(name=free)
    return value


# ---------------------------------------------------------------- names


def stem(path: PathLike) -> str:
    """Return the name of a file without its suffixes."""
    return Path(path).name.split(".", 1)[0]
