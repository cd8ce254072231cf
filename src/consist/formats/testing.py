"""Tests that every driver should pass, for authors of drivers.

Derive a test class from the contract that fits the driver's kind and name the driver; pytest finds
the inherited tests::

    from consist.formats.testing import TableContract


    class TestMyDriver(TableContract):
        driver = MyDriver()
        suffix = ".mine"
"""
# ruff: noqa: S101, S608  # assertions are what tests are made of; scans quote what they hold

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from consist.errors import ConsistError
from consist.formats.base import Driver

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from pandas import DataFrame
    from xarray import Dataset

E = TypeVar("E", bound=BaseException)

HOSTILE_NAMES = ("plain", "with space", "it's", 'say "hi"', "a[1]", "star*", "what?", "{x,y}", "ä")


def raised(kind: type[E], call: Callable[[], object]) -> E:
    """Return the error that ``call`` raises, which must be of this kind."""
    try:
        result = call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got {result!r}")


class DriverContract:
    """What holds for every driver.

    Attributes
    ----------
    driver : Driver
        The driver under test.
    suffix : str
        Suffix of the files that the tests make.
    """

    driver: ClassVar[Driver]
    suffix: ClassVar[str]

    def test_it_has_a_name_and_a_kind(self) -> None:
        """The name is the key that artifacts carry."""
        assert self.driver.name
        assert self.driver.kind in {"table", "array", "document", "file"}
        assert self.driver.extra is None or self.driver.extra

    def test_its_suffixes_are_lower_case_and_begin_with_a_dot(self) -> None:
        """Names are lowered before they are compared."""
        for suffix in self.driver.suffixes:
            assert suffix.startswith(".")
            assert suffix == suffix.lower()

    def test_it_refuses_to_write_what_it_does_not_accept(self, tmp_path: Path) -> None:
        """Refusal is an error of ours, and no file is left."""
        path, value = tmp_path / f"x{self.suffix}", object()
        assert self.driver.accepts(value) is False
        raised(ConsistError, lambda: self.driver.write(value, path))
        assert not path.exists()


class ReadingContract(DriverContract):
    """What holds for every driver that reads files.

    Attributes
    ----------
    broken : tuple of bytes
        Contents that are no file of this format.
    """

    broken: ClassVar[tuple[bytes, ...]] = (b"", b"\x00\xff\xfenothing of the kind\x00" * 20)

    def sample(self) -> Any:
        """Return a value that the driver writes and reads back equal."""
        from pandas import DataFrame

        return DataFrame({"zone": [1, 2, 3], "share": [0.1, 1 / 3, 0.25], "mode": ["a", "b", "c"]})

    def write_sample(self, path: Path) -> None:
        """Write the sample; override it for drivers that only read."""
        self.driver.write(self.sample(), path)

    def read(self, path: Path) -> Any:
        """Read a file in the way that fits the kind of driver."""
        return self.driver.load(path)

    def made(self, folder: Path, name: str = "x") -> Path:
        """Return the path of a fresh sample file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}{self.suffix}"
        self.write_sample(path)
        return path

    def test_what_it_writes_it_accepts_and_reads_back(self, tmp_path: Path) -> None:
        """Reading gives what was written."""
        assert self.driver.accepts(self.sample())
        self.check_equal(self.read(self.made(tmp_path)), self.sample())

    def check_equal(self, found: Any, expected: Any) -> None:
        """Compare two values; override it for values that ``==`` cannot compare."""
        from pandas import DataFrame
        from pandas.testing import assert_frame_equal

        if isinstance(expected, DataFrame):
            assert_frame_equal(found, expected)
        else:
            assert found == expected

    def test_it_reads_files_of_any_name(self, tmp_path: Path) -> None:
        """No character of a name is a wildcard, and none ends a text of SQL."""
        for name in HOSTILE_NAMES:
            self.check_equal(self.read(self.made(tmp_path, name)), self.sample())

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """The builtin error says which file is missing."""
        path = tmp_path / f"gone{self.suffix}"
        assert "gone" in str(raised(FileNotFoundError, lambda: self.read(path)))

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        """A folder in the place of a file is an error that names it."""
        path = tmp_path / f"folder{self.suffix}"
        path.mkdir()
        assert "folder" in str(raised(ConsistError, lambda: self.read(path)))

    def test_broken_content_is_an_error_that_names_the_file(self, tmp_path: Path) -> None:
        """Empty, foreign and truncated files do not pass for empty tables."""
        for path in self.damaged(tmp_path):
            assert path.name in str(raised(ConsistError, lambda path=path: self.read(path)))

    def damaged(self, folder: Path) -> Iterator[Path]:
        """Make broken files, one by one; override it for formats that are folders."""
        whole = self.made(folder).read_bytes()
        for number, content in enumerate((*self.broken, *self.truncated(whole))):
            path = folder / f"broken{number}{self.suffix}"
            path.write_bytes(content)
            yield path

    def truncated(self, whole: bytes) -> tuple[bytes, ...]:
        """Return beginnings of a file; override it where a beginning is a valid file."""
        return whole[: len(whole) // 2], whole[:-1]

    def test_an_unknown_option_names_the_known_ones(self, tmp_path: Path) -> None:
        """A misspelt option is never ignored."""
        path = self.made(tmp_path)
        error = raised(ConsistError, lambda: self.driver.frame(path, no_such_option=1))
        assert "no_such_option" in str(error)
        assert "columns" in " ".join(error.__notes__)


class TableContract(ReadingContract):
    """What holds for every driver of tables."""

    def read(self, path: Path) -> Any:
        """Read a frame."""
        return self.driver.frame(path)

    def test_relation_and_frame_have_the_same_rows(self, tmp_path: Path) -> None:
        """Whichever way a table is read, it is the same table."""
        path = self.made(tmp_path)
        with _connection() as connection:
            relation = self.driver.relation(connection, path)
            assert relation.columns == list(self.sample().columns)
            assert relation.fetchall() == _rows(self.driver.frame(path))

    def test_broken_content_is_no_relation_either(self, tmp_path: Path) -> None:
        """A relation is lazy, but what is no table at all is seen at once."""
        for number, content in enumerate(self.broken):
            path = tmp_path / f"broken{number}{self.suffix}"
            path.write_bytes(content)
            with _connection() as connection:
                error = raised(
                    ConsistError,
                    lambda path=path, connection=connection: self.driver.relation(connection, path),
                )
            assert path.name in str(error)

    def test_columns_and_rows_can_be_chosen(self, tmp_path: Path) -> None:
        """Both readers take ``columns`` and ``nrows``."""
        path, chosen = self.made(tmp_path), list(self.sample().columns[:2])
        expected = self.sample()[chosen].head(2)
        frame = self.driver.frame(path, columns=chosen, nrows=2)
        assert _rows(frame) == _rows(expected)
        with _connection() as connection:
            relation = self.driver.relation(connection, path, columns=chosen, nrows=2)
            assert relation.columns == chosen
            assert relation.fetchall() == _rows(expected)
        assert len(self.driver.frame(path, nrows=0)) == 0

    def test_a_column_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        """The error names the file."""
        path = self.made(tmp_path)
        error = raised(ConsistError, lambda: self.driver.frame(path, columns=["no_such"]))
        assert path.name in str(error)

    def test_nrows_must_be_a_number_of_rows(self, tmp_path: Path) -> None:
        """Neither negative, nor fractional, nor text that would end up in SQL."""
        path = self.made(tmp_path)
        for wrong in (-1, 1.5, "1; DROP TABLE x", True):
            raised(ConsistError, lambda wrong=wrong: self.driver.frame(path, nrows=wrong))

    def test_a_scan_reads_several_files_and_tells_them_apart(self, tmp_path: Path) -> None:
        """Views are made of scans."""
        paths = [self.made(tmp_path / "year=2030", name) for name in HOSTILE_NAMES]
        scan = self.driver.scan(paths, filename="from_file")
        with _connection() as connection:
            table = connection.sql(f"SELECT * FROM {scan}")
            assert table.columns == [*self.sample().columns, "from_file"]
            files = connection.sql(f"SELECT from_file, count(*) FROM {scan} GROUP BY 1").fetchall()
        assert dict(files) == {str(path): len(self.sample()) for path in paths}

    def test_a_scan_matches_columns_by_name(self, tmp_path: Path) -> None:
        """A column that only some files have is NULL in the others."""
        whole, part = self.made(tmp_path, "whole"), tmp_path / f"part{self.suffix}"
        first = self.sample().columns[0]
        self.driver.write(self.sample()[[first]], part)
        with _connection() as connection:
            table = connection.sql(f"SELECT * FROM {self.driver.scan([whole, part])}")
            assert set(table.columns) == set(self.sample().columns)
            assert len(table.fetchall()) == 2 * len(self.sample())

    def test_a_scan_of_nothing_is_an_error(self) -> None:
        """There is no table of no files."""
        raised(ConsistError, lambda: self.driver.scan([]))

    def test_it_describes_the_columns(self, tmp_path: Path) -> None:
        """Names and types are those of the relation."""
        path = self.made(tmp_path)
        described = self.driver.describe(path)
        with _connection() as connection:
            relation = self.driver.relation(connection, path)
            types = dict(zip(relation.columns, map(str, relation.types), strict=True))
            assert self.driver.describe(path, connection=connection) == described
        assert described["columns"] == types
        assert described["rows"] in {None, len(self.sample())}

    def test_a_series_becomes_a_column(self, tmp_path: Path) -> None:
        """It is called after the series, or else after the file."""
        first = self.sample().columns[0]
        series = self.sample()[first]
        path = tmp_path / f"speeds{self.suffix}"
        self.driver.write(series, path)
        assert list(self.driver.frame(path).columns) == [first]
        self.driver.write(series.rename(None), path)
        assert list(self.driver.frame(path).columns) == ["speeds"]


class ArrayContract(ReadingContract):
    """What holds for every driver of labelled arrays that reads and writes them with xarray."""

    def sample(self) -> Any:
        """Return a Dataset of numbers and truth values, with coordinates and attributes."""
        from xarray import Dataset

        zones = ["a", "b", "ä"]
        return Dataset(
            {
                "time": (("from", "to"), [[0.0, 1.5, 1 / 3], [1.0, 0.0, 2.0], [3.0, 4.0, 0.0]]),
                "trips": (("from", "to"), [[0, 1, 2], [3, 4, 5], [6, 7, 8]], {"unit": "1/day"}),
                "open": ("to", [True, False, True]),
            },
            coords={"from": zones, "to": zones, "year": 2030},
            attrs={"title": "skims"},
        )

    def check_equal(self, found: Any, expected: Any) -> None:
        """Compare values, names, coordinates, attributes and types."""
        found.load()
        assert found.identical(expected), f"{found}\n\n{expected}"
        types = {name: variable.dtype for name, variable in found.variables.items()}
        assert types == {name: variable.dtype for name, variable in expected.variables.items()}

    def test_it_loads_labelled_arrays(self) -> None:
        """The kind says how a run's inputs are bound."""
        assert self.driver.kind == "array"

    def test_an_array_becomes_a_variable(self, tmp_path: Path) -> None:
        """It is called after the array, or else ``data``."""
        time = self.sample()["time"]
        for number, (array, name) in enumerate(((time, "time"), (time.rename(None), "data"))):
            path = tmp_path / f"{number}{self.suffix}"
            assert self.driver.accepts(array)
            self.driver.write(array, path)
            self.check_equal(self.read(path), array.to_dataset(name=name))

    def test_equal_arrays_are_stored_alike(self, tmp_path: Path) -> None:
        """Their digests are equal, whether taken by the driver or of the bytes."""
        one, other = self.made(tmp_path, "one"), self.made(tmp_path, "other")
        assert self.driver.digest(one) == self.driver.digest(other)
        if self.driver.digest(one) is None:
            assert _bytes(one) == _bytes(other)

    def test_what_was_loaded_can_be_written(self, tmp_path: Path) -> None:
        """A step may return what it was given, or a part of it."""
        loaded, whole, part = self.read(self.made(tmp_path)), tmp_path / "whole", tmp_path / "part"
        self.driver.write(loaded, whole)
        self.check_equal(self.read(whole), self.sample())
        self.driver.write(loaded.isel({"from": [0]}), part)
        self.check_equal(self.read(part), self.sample().isel({"from": [0]}))

    def test_writing_changes_nothing_of_the_value(self, tmp_path: Path) -> None:
        """A step may go on with what it returned."""
        loaded: Dataset = self.read(self.made(tmp_path))
        before = {name: dict(found.encoding) for name, found in loaded.variables.items()}
        self.driver.write(loaded, tmp_path / f"again{self.suffix}")
        assert {name: found.encoding for name, found in loaded.variables.items()} == before

    def test_variables_can_be_chosen(self, tmp_path: Path) -> None:
        """They bring their coordinates."""
        path = self.made(tmp_path)
        self.check_equal(self.driver.load(path, variables=["open"]), self.sample()[["open"]])
        error = raised(ConsistError, lambda: self.driver.load(path, variables=["no_such"]))
        assert path.name in str(error)
        assert "no_such" in str(error)

    def test_an_unknown_option_names_the_known_ones(self, tmp_path: Path) -> None:
        """A misspelt option is never ignored."""
        path = self.made(tmp_path)
        error = raised(ConsistError, lambda: self.driver.load(path, no_such_option=1))
        assert "no_such_option" in str(error)
        assert "variables" in " ".join(error.__notes__)

    def test_it_describes_dimensions_and_variables(self, tmp_path: Path) -> None:
        """As plain data, coordinates among the variables."""
        described, sample = self.driver.describe(self.made(tmp_path)), self.sample()
        assert described["dims"] == dict(sample.sizes)
        assert described["variables"].keys() == set(sample.variables)
        for name, found in described["variables"].items():
            assert found["dtype"] == str(sample[name].dtype)
            assert found["dims"] == list(sample[name].dims)
            assert found["shape"] == list(sample[name].shape)
            assert found["role"] == ("coordinate" if name in sample.coords else "data")

    def test_it_is_no_table(self, tmp_path: Path) -> None:
        """Tables are asked for in other words, and the error names the format."""
        path = self.made(tmp_path)
        assert self.driver.name in str(raised(ConsistError, lambda: self.driver.frame(path)))
        assert self.driver.name in str(raised(ConsistError, lambda: self.driver.scan([path])))


class FileContract(DriverContract):
    """What holds for drivers that load nothing."""

    def test_every_way_of_loading_is_refused(self, tmp_path: Path) -> None:
        """The error names the format, and the file where there is one."""
        path = tmp_path / f"x{self.suffix}"
        path.write_bytes(b"content")
        with _connection() as connection:
            calls: tuple[Callable[[], object], ...] = (
                lambda: self.driver.load(path),
                lambda: self.driver.frame(path),
                lambda: self.driver.relation(connection, path),
                lambda: self.driver.scan([path]),
            )
            for call in calls:
                assert self.driver.name in str(raised(ConsistError, call))

    def test_identity_is_left_to_the_bytes(self, tmp_path: Path) -> None:
        """Nothing is known of the content."""
        path = tmp_path / f"x{self.suffix}"
        path.write_bytes(b"content")
        assert self.driver.digest(path) is None
        assert self.driver.describe(path) == {}


def _connection() -> DuckDBPyConnection:
    from duckdb import connect

    return connect()


def _bytes(path: Path) -> dict[str, bytes]:
    """Return the content of a file, or of every file in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def _rows(frame: DataFrame) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=False, name=None))
