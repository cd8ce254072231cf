"""The journals of a store, as everybody may read them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from consist.models.record import FORMAT_VERSION, Event, ProcessRecord
from consist.store.frames import read_frames

logger = logging.getLogger("consist.store")

SUFFIX = ".journal"


class OpenRecord(msgspec.Struct, frozen=True, tag="open", tag_field="kind"):
    """First record of a journal: what it is and who writes it."""

    format: int
    store_id: str
    process: ProcessRecord
    opened_at: datetime


class CloseRecord(msgspec.Struct, frozen=True, tag="close", tag_field="kind"):
    """Last record of a journal whose owner ended in good order, and which runs it left open."""

    active: tuple[str, ...] = ()


class UnknownRecord(msgspec.Struct, frozen=True):
    """Stands for a record that only a newer library understands."""


Record: TypeAlias = OpenRecord | CloseRecord | Event | UnknownRecord

_decoder = msgspec.json.Decoder(OpenRecord | CloseRecord | Event)


class Entry(NamedTuple):
    """One record of a journal, where it begins, and where the next one does."""

    record: Record
    start: int
    end: int


def read_entries(path: Path, offset: int = 0, *, resync: bool = False) -> Iterator[Entry]:
    """Read the records of a journal from ``offset`` on.

    Records of a newer library come as :class:`UnknownRecord`. That they are there, or that the
    journal cannot be read, is logged once.

    Parameters
    ----------
    path, offset, resync
        As :func:`~consist.store.frames.read_frames` takes them.
    """
    try:
        for frame in read_frames(path, offset, resync=resync):
            record = _decoded(frame.payload)
            if isinstance(record, UnknownRecord):
                say_once(path, "has records of a newer Consist, which stay as they are")
            yield Entry(record, frame.start, frame.end)
    except OSError as error:
        say_once(path, f"cannot be read: {error.strerror or error}")


def _decoded(payload: bytes) -> Record:
    try:
        record = _decoder.decode(payload)
    except msgspec.DecodeError:
        return UnknownRecord()
    if isinstance(record, OpenRecord) and record.format > FORMAT_VERSION:
        return UnknownRecord()
    return record


def journal_token(name: str) -> str:
    """Return the 64 random bits in a journal's name, as hex."""
    return name.removesuffix(SUFFIX).rpartition("-")[2]


class Journal(NamedTuple):
    """A journal file as it was when the folder was listed."""

    path: Path
    token: str
    size: int


def list_journals(folder: Path) -> list[Journal]:
    """Return the journals in ``folder``, oldest first."""
    found: list[Journal] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                    found.append(_listed(entry))  # noqa: PERF401 - one step per line reads better
    except FileNotFoundError:
        return []
    return sorted(journal for journal in found if journal.size >= 0)


def _listed(entry: os.DirEntry[str]) -> Journal:
    try:
        size = entry.stat().st_size
    except OSError:
        size = -1  # removed while we looked
    return Journal(Path(entry.path), journal_token(entry.name), size)


def owner_of(path: Path) -> ProcessRecord | None:
    """Return the process that writes a journal, as its first record names it."""
    first = next(read_entries(path), None)
    return first.record.process if first and isinstance(first.record, OpenRecord) else None


_said: set[tuple[str, str]] = set()


def say_once(path: Path, what: str) -> None:
    """Log what is wrong with a file, the first time that this process finds it."""
    if (str(path), what) not in _said:
        _said.add((str(path), what))
        logger.warning("%s %s", path, what)
