"""Staged rows into the tables of the database, as a part of each merge."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.models.record import IngestEvent, encode
from consist.store import locks, staging
from consist.store.database import ALIAS
from consist.store.folder import JournalFolder
from consist.store.global_tables import LEDGER, SCHEMA, Loader, Staged, literal
from consist.store.journals import list_journals, read_entries, say_once
from consist.store.migrations import set_value, store_values
from consist.store.naming import Settled
from consist.store.tail_rows import HAS_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("consist.store")

NOTE = ".told.json"


def _is_refusal(error: Exception) -> bool:
    import duckdb

    refusals = (
        duckdb.DataError,
        duckdb.IntegrityError,
        duckdb.NotSupportedError,
        duckdb.ProgrammingError,
    )
    return isinstance(error, refusals)


class RowsAside(msgspec.Struct, frozen=True):
    """Rows that no table took, as told beside the files that hold them."""

    artifact_id: str
    key: str
    run_id: str
    table: str
    files: tuple[str, ...]
    reason: str


def rows_aside(folder: JournalFolder) -> list[RowsAside]:
    """Return which rows were put aside and still are."""
    found: list[RowsAside] = []
    for path in sorted(folder.damaged.glob(f"*{NOTE}")):
        with suppress(OSError, msgspec.DecodeError):
            told = msgspec.json.decode(path.read_bytes(), type=RowsAside)
            if any((folder.damaged / name).exists() for name in told.files):
                found.append(told)
    return found


def can_be_read(connection: DuckDBPyConnection, path: Path) -> bool:
    """Whether every value of a staged file can be read."""
    import duckdb

    try:
        statement = f"SELECT max(hash(COLUMNS(*))) FROM read_parquet({literal(str(path))})"
        connection.execute(statement).fetchall()
    except duckdb.Error:
        return False
    return True


class ArrivingRows:
    """What one merge does with staged rows.

    Attributes
    ----------
    lost : set of str
        Ids of artifacts whose staged rows are gone or cannot be read.
    """

    def __init__(self, connection: DuckDBPyConnection, folder: JournalFolder) -> None:
        self.lost: set[str] = set()
        self._connection, self._folder = connection, folder
        self._loader = Loader(connection, ALIAS)
        self._marked = HAS_ROWS in store_values(connection, ALIAS)
        self._stored: set[str] = set()
        self._unreadable: set[str] = set()
        self._failed: IngestEvent | None = None

    def store(self, settled: Iterable[Settled]) -> None:
        """Store the rows that some records name, in the transaction of these records."""
        latest: dict[str, IngestEvent] = {}
        for event, *_ in settled:
            if isinstance(event, IngestEvent):
                known = latest.get(event.artifact.id)
                if known is None or known.at <= event.at:
                    latest[event.artifact.id] = event
                self._stored.update(event.rows.files)
        for event in latest.values():
            self._store_one(event)

    def _store_one(self, event: IngestEvent) -> None:
        parts = Staged.parts(event, self._folder.rows)
        if any(path.name in self._unreadable or not path.exists() for _, path in parts):
            self.lost.add(event.artifact.id)
            return
        self._failed = event
        self._loader.load(*parts)
        self._failed = None
        self.lost.discard(event.artifact.id)
        if not self._marked:
            set_value(self._connection, ALIAS, HAS_ROWS, "1")
            self._marked = True

    def set_aside(self, error: Exception) -> bool:
        """After a transaction failed: put the staged file aside if it is what failed.

        Parameters
        ----------
        error : Exception
            Why. Rows that a table refuses would be refused for ever; a full disk, or memory that
            does not suffice, says nothing about them.

        Returns
        -------
        bool
            Whether there is reason to try again.
        """
        event, self._failed = self._failed, None
        self._loader = Loader(self._connection, ALIAS)
        self._marked = HAS_ROWS in store_values(self._connection, ALIAS)
        if event is None:
            return False
        paths = [self._folder.rows / name for name in event.rows.files]
        whole = all(can_be_read(self._connection, path) for path in paths)
        if whole and not _is_refusal(error):
            return False
        for path in paths:
            target = self._folder.damaged / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.replace(target)
            say_once(target, "holds staged rows that cannot be stored; it is kept, without them")
            self._unreadable.add(path.name)
        told = RowsAside(
            artifact_id=event.artifact.id,
            key=event.artifact.key,
            run_id=event.run_id,
            table=event.rows.table,
            files=event.rows.files,
            reason=str(error).partition("\n")[0],
        )
        note = self._folder.damaged / f"{event.rows.file}{NOTE}"
        with suppress(OSError):  # it only tells what the merge has logged
            note.write_bytes(encode(told))
        return True

    def disclaim(self, *, refilled: bool) -> int:
        """Let no artifact claim rows that the database lacks; return how many did.

        Parameters
        ----------
        refilled : bool
            Whether the database was filled from snapshots, which hold no rows.
        """
        if not refilled and not self.lost:
            return 0
        claims = "json_extract_string(meta, '$.is_ingested') = 'true'"
        if not refilled:
            claims += " AND id IN (SELECT unnest(?))"
        if self._marked:
            claims += f" AND id NOT IN (SELECT artifact_id FROM {ALIAS}.{SCHEMA}.{LEDGER})"
        false = "json_merge_patch(meta, '{\"is_ingested\": false}')"
        found = self._connection.execute(
            f"UPDATE {ALIAS}.artifact SET meta = {false} WHERE {claims}",
            [] if refilled else [list(self.lost)],
        ).fetchall()
        return int(found[0][0])

    def clean_up(self, positions: dict[str, int]) -> None:
        """Once all is checkpointed, remove the files that were stored or belong to nobody.

        Parameters
        ----------
        positions : dict
            How far the database has read each journal.
        """
        for name in self._stored:
            path = self._folder.rows / name
            if not locks.is_shared(str(path)):  # else somebody reads it; a later merge removes it
                path.unlink(missing_ok=True)
        staging.clear(self._folder.rows, (), lambda: self._named_behind(positions))

    def _named_behind(self, positions: dict[str, int]) -> set[str]:
        return {
            name
            for journal in list_journals(self._folder.path)
            for entry in read_entries(journal.path, positions.get(journal.token, 0), resync=True)
            if isinstance(entry.record, IngestEvent)
            for name in entry.record.rows.files
        }
