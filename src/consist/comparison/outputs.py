"""Outputs of two sides by key: whether their content is the same, and if not, what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.artifacts.verify import is_guess, standing
from consist.comparison.arrays import compare_arrays
from consist.comparison.columns import Table, Tolerance
from consist.comparison.differences import Data, OutputComparison
from consist.comparison.documents import compare_documents
from consist.comparison.tables import TableOptions, compare_tables, taken, watched, workbench
from consist.errors import ConsistError, Untrusted, UsageError, hint
from consist.formats.base import Comparing
from consist.hot.marks import is_ingested
from consist.identity import short
from consist.models.record import ArtifactRecord
from consist.progress import Show, counting

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from consist.workspace import Workspace

Records = Mapping[str, ArtifactRecord]

_CHEAP_TO_SCAN = frozenset({"parquet"})


def _no_keys() -> dict[str, tuple[str, ...]]:
    return {}


@dataclass(frozen=True)
class DataOptions:
    """What is compared of outputs, and how.

    Attributes
    ----------
    keys : frozenset of str or None
        Outputs to compare; ``None`` means all.
    data : bool
        Whether contents are read where digests differ.
    on : tuple of str or None
        Key columns of every table that has them.
    on_of : mapping
        Key columns by output; these have to be there.
    tolerance : Tolerance
        For numbers that are not whole.
    examples : int
        Most examples of each difference.
    """

    keys: frozenset[str] | None = None
    data: bool = True
    on: tuple[str, ...] | None = None
    on_of: Mapping[str, tuple[str, ...]] = field(default_factory=_no_keys)
    tolerance: Tolerance = field(default_factory=Tolerance)
    examples: int = 3


def compare_outputs(
    ws: Workspace, left: Records, right: Records, options: DataOptions
) -> tuple[OutputComparison, ...]:
    """Compare outputs of equal key; those that only one side has are told as such."""
    names = [*left, *(key for key in right if key not in left)]
    reading = [key for key in names if _is_read(left.get(key), right.get(key), options)]
    if not reading:
        return tuple(_told(key, left.get(key), right.get(key)) for key in names)
    reader = _Reader(ws, options)
    found: dict[str, OutputComparison] = {}
    with counting("comparing outputs", len(reading) * 100) as show:
        for number, key in enumerate(reading):
            report = partial(_report, show, number, key)
            found[key] = reader.compared(key, left[key], right[key], report)
            show(100 * (number + 1), key)
    reader.check_keys()
    return tuple(found.get(key) or _told(key, left.get(key), right.get(key)) for key in names)


def _report(show: Show, number: int, key: str, share: float) -> None:
    show(int(100 * (number + share)), key)


def same_content(left: ArtifactRecord, right: ArtifactRecord) -> bool | None:
    """Whether two artifacts were recorded with the same content; ``None`` where nobody knows."""
    if left.id == right.id:
        return True
    if (left.table_path, left.array_path) != (right.table_path, right.array_path):
        return None if left.hash == right.hash else False
    if left.hash is not None and left.hash == right.hash:
        return True
    if left.content is None or right.content is None:
        return None
    if left.driver == right.driver and left.content == right.content:
        return True
    return None if is_guess(left) or is_guess(right) else False


def _is_read(
    left: ArtifactRecord | None, right: ArtifactRecord | None, options: DataOptions
) -> bool:
    if left is None or right is None or not options.data:
        return False
    return not same_content(left, right)


def _told(key: str, left: ArtifactRecord | None, right: ArtifactRecord | None) -> OutputComparison:
    """Return what the records tell alone."""
    digests = _digest(left), _digest(right)
    if left is None or right is None:
        shown = right or left
        detail = "" if shown is None else f"{shown.driver} at {shown.container_uri}"
        verdict = "added" if left is None else "removed"
        return OutputComparison(key, verdict, None, "", *digests, detail)
    same = same_content(left, right)
    if same is None:
        reason = "no digest tells whether they are the same"
        return OutputComparison(key, "unknown", None, reason, *digests)
    return OutputComparison(key, "identical" if same else "differs", None, "", *digests)


def _digest(record: ArtifactRecord | None) -> str | None:
    return None if record is None or record.content is None else short(record.content)


# ---------------------------------------------------------------- what is read


class _CannotCompare(Exception):
    """The data of an output cannot be compared; the text says why."""


@dataclass(frozen=True)
class _Source:
    """Where the bytes of one side are: a file, or rows in the database."""

    side: str
    record: ArtifactRecord
    path: Path | None
    note: str = ""


class _Reader:
    """Reads outputs, and keeps which key columns were of use."""

    def __init__(self, ws: Workspace, options: DataOptions) -> None:
        self._ws, self._options = ws, options
        self._lacking: list[tuple[str, str]] = []
        self._used = False

    def compared(
        self, key: str, left: ArtifactRecord, right: ArtifactRecord, report: Any
    ) -> OutputComparison:
        told = _told(key, left, right)
        try:
            sources = self._source("left", left), self._source("right", right)
            data = self._data(key, sources, report)
        except _CannotCompare as problem:
            return replace(told, reason=str(problem))
        notes = "; ".join(source.note for source in sources if source.note)
        if data is None:
            return self._by_bytes(told, sources, notes)
        return replace(
            told, verdict="equal" if data.same else "differs", data=data, reason="", detail=notes
        )

    def _by_bytes(
        self, told: OutputComparison, sources: tuple[_Source, _Source], notes: str
    ) -> OutputComparison:
        sizes = " and ".join(_size(source.path) for source in sources)
        detail = "; ".join(filter(None, (sizes, notes)))
        reason = f"{sources[0].record.driver!r} files are compared by their bytes"
        if told.verdict == "unknown":
            verdict = "identical" if self._same_bytes(sources) else "differs"
            return replace(told, verdict=verdict, reason=reason, detail=detail)
        return replace(told, reason=reason, detail=detail)

    def check_keys(self) -> None:
        """Refuse key columns that no table had.

        Raises
        ------
        UsageError
            Naming the first of them.
        """
        if self._lacking and not self._used:
            column, known = self._lacking[0]
            problem = UsageError(f"no table that was compared has the key column {column!r}")
            raise hint(problem, f"columns: {known}")

    def _source(self, side: str, record: ArtifactRecord) -> _Source:
        try:
            found = standing(self._ws, record)
        except Untrusted as problem:
            raise _CannotCompare(
                f"the {side} file was not looked for: it lies where only the database says"
            ) from problem
        if found.state in {"same", "unknown"}:
            note = f"{side}: unverified, no digest was recorded" if found.state == "unknown" else ""
            return _Source(side, record, Path(found.path), note)
        if found.state == "changed" and is_guess(record):
            note = f"{side}: recorded by size and time, which differ now"
            return _Source(side, record, Path(found.path), note)
        if self._ws.store.has_database and is_ingested(self._ws, record):
            why = "is gone" if found.state == "gone" else "was altered"
            return _Source(side, record, None, f"{side}: ingested rows, since the file {why}")
        if found.state == "gone":
            raise _CannotCompare(f"the {side} file is gone: {found.path}")
        raise _CannotCompare(
            f"the {side} file is no longer what was recorded: {found.path} was altered"
        )

    def _same_bytes(self, sources: Sequence[_Source]) -> bool:
        digests = {self._ws.files.digest(str(source.path)) for source in sources}
        return len(digests) == 1

    def _data(self, key: str, sources: tuple[_Source, _Source], report: Any) -> Data | None:
        from duckdb import Error

        drivers = [self._ws.formats.driver(source.record.driver) for source in sources]
        kinds = {driver.kind for driver in drivers}
        options = self._options
        try:
            if drivers[0] is drivers[1] and isinstance(drivers[0], Comparing):
                left, right = sources[0].path, sources[1].path
                if left is not None and right is not None:
                    return drivers[0].compare(left, right, tolerance=options.tolerance)
            if kinds == {"array"}:
                return self._arrays(sources)
            if kinds == {"document"}:
                found = self._documents(sources)
                if found is not None:
                    return found
            if kinds <= {"table", "document"}:
                return self._tables(key, sources, report)
        except UsageError:
            raise
        except (ConsistError, OSError, Error) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _CannotCompare(f"the data cannot be read: {first}") from error
        if kinds == {"file"} and all(source.path for source in sources):
            return None
        raise _CannotCompare(f"a {drivers[0].name} and a {drivers[1].name} file are not comparable")

    def _arrays(self, sources: tuple[_Source, _Source]) -> Data:
        opened: list[Any] = []
        try:
            for source in sources:
                path, group = source.path, source.record.array_path
                driver = self._ws.formats.driver(source.record.driver)
                opened.append(driver.load(str(path), **({} if group is None else {"group": group})))
            return compare_arrays(opened[0], opened[1], self._options.tolerance)
        finally:
            for dataset in opened:
                dataset.close()

    def _documents(self, sources: tuple[_Source, _Source]) -> Data | None:
        """Compare documents; ``None`` if both hold records, which are compared as tables."""
        if any(source.path is None for source in sources):
            return None
        loaded = [
            self._ws.formats.driver(source.record.driver).load(str(source.path))
            for source in sources
        ]
        if all(hasattr(value, "columns") for value in loaded):
            return None
        plain = [v.to_dict("records") if hasattr(v, "columns") else v for v in loaded]
        return compare_documents(plain[0], plain[1], self._options.tolerance)

    def _tables(self, key: str, sources: tuple[_Source, _Source], report: Any) -> Data:
        with workbench() as connection:
            tables = [_table(self._ws, connection, source) for source in sources]
            on = self._key_for(key, tables)
            options = TableOptions(on, self._options.tolerance, self._options.examples)
            with watched(connection, report):
                return compare_tables(connection, tables[0], tables[1], options)

    def _key_for(self, key: str, tables: Iterable[Table]) -> tuple[str, ...] | None:
        """Return the key columns of an output; those given for all, only where there are such."""
        if key in self._options.on_of:
            return self._options.on_of[key]
        on = self._options.on
        if not on:
            return on
        for table in tables:
            for name in on:
                if name not in table.columns:
                    self._lacking.append((name, ", ".join(table.columns)))
                    return None
        self._used = True
        return on


def _size(path: Path | None) -> str:
    if path is None:
        return "unknown"
    if path.is_dir():
        return f"{sum(1 for found in path.rglob('*') if found.is_file()):,} files"
    return f"{path.stat().st_size:,} bytes"


def _table(ws: Workspace, connection: DuckDBPyConnection, source: _Source) -> Table:
    """Return one side as a table of the connection; what is slow to read is read once."""
    from duckdb import ConversionException, InvalidInputException

    copied = source.path is None or source.record.driver not in _CHEAP_TO_SCAN
    try:
        return taken(source.side, _relation(ws, connection, source), copied=copied)
    except (ConversionException, InvalidInputException):
        if source.record.driver != "csv" or source.path is None:
            raise
        # A value far down does not have the type that the first rows showed.
        whole = _relation(ws, connection, source, sample_rows=-1)
        return taken(source.side, whole, copied=True)


def _relation(
    ws: Workspace, connection: DuckDBPyConnection, source: _Source, **options: Any
) -> DuckDBPyRelation:
    if source.path is None:
        from consist.hot import rows

        return rows.relation(ws, source.record, connection)
    driver = ws.formats.driver(source.record.driver)
    return driver.relation(connection, str(source.path), **options)
