r"""Framed records: how they stand in a journal, and how they are read back.

Each record is one line::

    <length: 8 hex> <crc32: 8 hex> <JSON>\n

JSON as we write it has no line breaks, so whatever follows a damaged record begins behind the next
one.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

HEADER_LENGTH = 18
_CHUNK = 2**20
_NEWLINE = 10
_HEADER = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) ")


class Frame(NamedTuple):
    """One record as read: where it begins, where the next one does, and its JSON."""

    start: int
    end: int
    payload: bytes


def frame(payload: bytes) -> bytes:
    """Return ``payload`` with its length and checksum, as it stands in a journal."""
    return b"%08x %08x %b\n" % (len(payload), zlib.crc32(payload), payload)


def read_frames(path: Path, offset: int = 0, *, resync: bool = False) -> Iterator[Frame]:
    """Read whole, undamaged records from ``offset`` on.

    Parameters
    ----------
    path : Path
        A journal.
    offset : int
        Where to begin; the end of a frame read earlier, or 0.
    resync : bool, default False
        Go on behind a damaged record with the next whole one. Only for a journal whose owner is
        gone: behind a live owner's last record there may be half of the next.

    Yields
    ------
    Frame
        Records in the order they were written, none if the file is gone. Reading stops at the
        first incomplete one.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            yield from _frames(_Window(file, offset), resync=resync)
    except FileNotFoundError:
        return


class _Window:
    """A sliding view of a file that grows at its end and is dropped at its beginning."""

    def __init__(self, file: FileIO, offset: int) -> None:
        self._file, self.offset, self._data, self._at = file, offset, b"", 0
        self._size = os.fstat(file.fileno()).st_size

    def peek(self, length: int) -> bytes:
        """Return the next bytes; none if there are fewer than ``length``."""
        return self._data[self._at : self._at + length] if self._load(length) else b""

    def ends_line(self, length: int) -> bool:
        """Whether the next ``length`` bytes are there and end with a line end."""
        return self._load(length) and self._data[self._at + length - 1] == _NEWLINE

    def _load(self, length: int) -> bool:
        if self.offset + length > self._size:
            return False
        missing = self._at + length - len(self._data)
        if missing > 0:
            self._data, self._at = self._data[self._at :] + self._more(missing), 0
        return self._at + length <= len(self._data)

    def _more(self, wanted: int) -> bytes:
        # Often there are a few hundred bytes to read, for which no large buffer need be made.
        left = self._size - self._file.tell()
        return self._file.read(max(0, min(max(wanted, _CHUNK), left)))

    def skip(self, length: int) -> None:
        """Move on."""
        self._at += length
        self.offset += length

    def skip_line(self) -> bool:
        """Move behind the next line end; return whether there is one."""
        while True:
            found = self._data.find(b"\n", self._at)
            if found >= 0:
                self.skip(found + 1 - self._at)
                return True
            self.skip(len(self._data) - self._at)
            self._data, self._at = self._more(0), 0
            if not self._data:
                return False


def _frames(window: _Window, *, resync: bool) -> Iterator[Frame]:
    while True:
        found = _frame_at(window)
        if found is not None:
            window.skip(found.end - found.start)
            yield found
        elif not resync or not window.skip_line():
            return


def _frame_at(window: _Window) -> Frame | None:
    header = _HEADER.match(window.peek(HEADER_LENGTH))
    if header is None:
        return None
    length, checksum = int(header[1], 16), int(header[2], 16)
    whole = HEADER_LENGTH + length + 1
    # A damaged length often leads somewhere else than to the end of a line.
    if not window.ends_line(whole):
        return None
    payload = window.peek(whole)[HEADER_LENGTH:-1]
    if zlib.crc32(payload) != checksum:
        return None
    return Frame(window.offset, window.offset + whole, payload)
