"""The file behind the memo: digests of unchanged files, kept between processes.

It is a cache. A file that is busy, damaged, read-only or on a full disk costs time and nothing
else: what cannot be read counts as unknown, what cannot be written is dropped, and a damaged
file is made anew.
"""
# ruff: noqa: PTH103, PTH108, PTH110, PTH120  # paths are text here, see bounds.py

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from consist.files.filesystem import is_network
from consist.files.stamps import Stamp

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

_VERSION = 1
_BATCH = 256  # new digests between two writes
_MOST_PENDING = 65_536  # of them, while the file is busy
_MOST_ROWS = {"file": 1_000_000, "folder": 1_000}
_BUSY_SECONDS = 0.1
_BUSY, _DAMAGED = frozenset({5, 6}), frozenset({1, 11, 26})  # SQLite's primary result codes

_SCHEMA = """
DROP TABLE IF EXISTS file;
DROP TABLE IF EXISTS folder;
CREATE TABLE file (
    path TEXT NOT NULL UNIQUE ON CONFLICT REPLACE,
    mtime_ns INTEGER, ctime_ns INTEGER, size INTEGER, inode INTEGER, digest TEXT
);
CREATE TABLE folder (
    path TEXT NOT NULL UNIQUE ON CONFLICT REPLACE,
    manifest TEXT, digest TEXT, contents BLOB
);
"""
_FIND_FILE = "SELECT mtime_ns, ctime_ns, size, inode, digest FROM file WHERE path = ?"
_FIND_FOLDER = "SELECT manifest, digest FROM folder WHERE path = ?"
_FIND_CONTENTS = "SELECT contents FROM folder WHERE path = ?"
_PUT_FILE = "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?)"
_PUT_FOLDER = "INSERT INTO folder VALUES (?, ?, ?, ?)"
# Rewritten rows get new ids, so the lowest ids are what was not met for longest.
_FORGET = {
    "file": "DELETE FROM file WHERE rowid <= (SELECT max(rowid) FROM file) - ?",
    "folder": "DELETE FROM folder WHERE rowid <= (SELECT max(rowid) FROM folder) - ?",
}


class MemoFile:
    """Digests by absolute path, in SQLite, opened on first use and created on first write.

    Parameters
    ----------
    path : str or None
        The file; ``None`` keeps nothing.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._usable = path is not None
        self._recreated = False
        self._connection: sqlite3.Connection | None = None
        self._pending: dict[str, tuple[object, ...]] = {}
        self._lock = threading.Lock()
        _open_files.add(self)

    # ------------------------------------------------------------ files

    def find(self, path: str) -> tuple[Stamp, str] | None:
        """Return stamp and digest that are kept for a file."""
        row = self._ask(_FIND_FILE, path)
        if row is None or not isinstance(row[4], str):
            return None
        return (row[0], row[1], row[2], row[3]), row[4]

    def put(self, path: str, stamp: Stamp, digest: str) -> None:
        """Keep the digest of a file; written with the next batch."""
        if not self._usable or not _is_text(path):
            return
        with self._lock:
            self._pending[path] = (path, *stamp, digest)
            full = len(self._pending) % _BATCH == 0
        if full:
            self.flush()

    # ------------------------------------------------------------ folders

    def find_folder(self, path: str) -> tuple[str, str] | None:
        """Return manifest and digest that are kept for a folder."""
        row = self._ask(_FIND_FOLDER, path)
        return row if row is not None and all(isinstance(text, str) for text in row) else None

    def folder_contents(self, path: str) -> dict[str, str]:
        """Return the digests of a folder's files by the line that each has in the manifest."""
        import zlib

        row = self._ask(_FIND_CONTENTS, path)
        try:
            return {} if row is None else _json().loads(zlib.decompress(row[0]))
        except (ValueError, TypeError, zlib.error):
            return {}

    def put_folder(
        self, path: str, manifest: str, digest: str, contents: Mapping[str, str]
    ) -> None:
        """Keep the digest of a folder and those of its files, at once."""
        import zlib

        if self._usable and _is_text(path):
            packed = zlib.compress(_json().dumps(contents).encode(), 1)
            self._write([(_PUT_FOLDER, [(path, manifest, digest, packed)])])

    # ------------------------------------------------------------ life

    def flush(self) -> None:
        """Write what is pending; if the file is busy, it stays pending."""
        with self._lock:
            rows = self._pending
            self._pending = {}
        if rows and not self._write([(_PUT_FILE, list(rows.values()))]) and self._usable:
            with self._lock:
                self._pending = {**rows, **self._pending} if len(rows) < _MOST_PENDING else {}

    def close(self) -> None:
        """Write what is pending, drop the oldest of too many rows and close the file."""
        self.flush()
        if self._connection is not None:
            self._write([(_FORGET[table], [(most,)]) for table, most in _MOST_ROWS.items()])
        with self._lock:
            self._disconnect()

    # ------------------------------------------------------------ statements

    def _ask(self, statement: str, path: str) -> Any:
        if self._connection is None and not (self._usable and os.path.exists(self._path or "")):
            return None
        if not _is_text(path):
            return None
        return self._attempt(lambda file: file.execute(statement, (path,)).fetchone())

    def _write(self, work: Iterable[tuple[str, list[tuple[object, ...]]]]) -> bool:
        def write(connection: sqlite3.Connection) -> bool:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement, rows in work:
                    connection.executemany(statement, rows)
            return True

        return self._attempt(write) or False

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do something with the file, or nothing if it does not let us."""
        import sqlite3

        with self._lock:
            if not self._usable:
                return None
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return action(self._connection)
            except sqlite3.Error as error:
                self._recover(getattr(error, "sqlite_errorcode", 1) & 0xFF)
            except OSError:
                self._give_up()
        return None

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        path = self._path or ""
        folder = os.path.dirname(path) or "."
        os.makedirs(folder, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if not is_network(folder):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                connection.executescript(
                    f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    # ------------------------------------------------------------ failures

    def _recover(self, code: int) -> None:
        if code in _BUSY:
            return
        if code in _DAMAGED and not self._recreated:
            self._recreated = True
            self._disconnect()
            for suffix in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError):
                    os.unlink(f"{self._path}{suffix}")
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._usable = False
        self._pending = {}
        self._disconnect()

    def _disconnect(self) -> None:
        import sqlite3

        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    # ------------------------------------------------------------ forks

    def hold(self) -> None:
        """Let no thread use the file until it is released."""
        self._lock.acquire()

    def release(self) -> None:
        """Undo :meth:`hold`."""
        self._lock.release()

    def abandon(self) -> None:
        """Start afresh in a child process: connection and pending rows are its parent's."""
        if self._connection is not None:
            _abandoned.append(self._connection)
        self._connection, self._pending = None, {}
        self._lock = threading.Lock()


def _is_text(path: str) -> bool:
    """Whether SQLite can keep the path; names of bytes that are not UTF-8 it cannot."""
    try:
        return path.isascii() or bool(path.encode())
    except UnicodeEncodeError:
        return False


_open_files: weakref.WeakSet[MemoFile] = weakref.WeakSet()
_held: list[MemoFile] = []
_abandoned: list[sqlite3.Connection] = []  # never closed, which would touch the parent's file


def _before_fork() -> None:
    # No thread may be inside SQLite while the process is copied.
    _held[:] = _open_files
    for file in _held:
        file.hold()


def _after_fork_in_parent() -> None:
    for file in _held:
        file.release()
    _held.clear()


def _after_fork_in_child() -> None:
    for file in _held:
        file.abandon()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


def _json() -> Any:
    """Return the standard library's JSON, which keeps names that are not valid Unicode."""
    import json

    return json
