"""Every driver of ours passes the suite that authors of drivers are given."""

from __future__ import annotations

import gzip

from consist.formats.csv import CsvDriver
from consist.formats.json import JsonDriver
from consist.formats.parquet import ParquetDriver
from consist.formats.plain import AbsentDriver, FileDriver
from consist.formats.testing import DriverContract, FileContract, ReadingContract, TableContract


class TestParquet(TableContract):
    driver = ParquetDriver()
    suffix = ".parquet"
    broken = (*TableContract.broken, b"zone,share\n1,2\n", b'[{"zone": 1}]')


class TestCsv(TableContract):
    driver = CsvDriver()
    suffix = ".csv"

    def truncated(self, whole: bytes) -> tuple[bytes, ...]:
        return (b'a,b\n1,"cut off',)


class TestGzippedCsv(TableContract):
    driver = CsvDriver()
    suffix = ".csv.gz"
    broken = (*TableContract.broken, b"zone,share\n1,2\n")

    def truncated(self, whole: bytes) -> tuple[bytes, ...]:
        return (whole[: len(whole) // 2],)


class TestJson(ReadingContract):
    driver = JsonDriver()
    suffix = ".json"

    def truncated(self, whole: bytes) -> tuple[bytes, ...]:
        return whole[: len(whole) // 2], whole[:-2]


class TestGzippedJsonDocument(ReadingContract):
    driver = JsonDriver()
    suffix = ".json.gz"
    broken = (*ReadingContract.broken, b"{}", gzip.compress(b"{"))

    def sample(self) -> dict[str, object]:
        return {"zones": [1, 2], "name": "Zürich", "nested": {"a": None}}

    def truncated(self, whole: bytes) -> tuple[bytes, ...]:
        return (whole[: len(whole) // 2],)


class TestPlainFile(FileContract):
    driver = FileDriver("txt")
    suffix = ".txt"


class TestAbsentLibrary(DriverContract):
    driver = AbsentDriver("zarr", (".zarr",), "array", "zarr")
    suffix = ".zarr"
