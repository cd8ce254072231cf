"""The SQLite file behind the look-up index.

It can be deleted at any time and is rebuilt from the database and the journals, so no failure of
it is ever worth an error: what cannot be read counts as not there, what cannot be written stays in
memory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.files.filesystem import is_network
from consist.store import locks

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger("consist.store")

INDEX_VERSION = 6
RECENT_KEPT = 20
"""How many executed runs of a model are kept for comparisons."""

_BUSY_WAIT = 0.5
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE candidate (signature TEXT, uid TEXT, body BLOB);
CREATE UNIQUE INDEX by_signature ON candidate (signature, uid);
CREATE TABLE superseded (uid TEXT PRIMARY KEY, why TEXT) WITHOUT ROWID;
CREATE TABLE news (artifact TEXT PRIMARY KEY, meta BLOB) WITHOUT ROWID;
CREATE TABLE location (place TEXT, at REAL, body BLOB);
CREATE UNIQUE INDEX by_place ON location (place);
CREATE TABLE written (
    path TEXT PRIMARY KEY, at REAL, artifact TEXT, digest TEXT, run_id TEXT, is_folder INTEGER
) WITHOUT ROWID;
CREATE INDEX written_folder ON written (path) WHERE is_folder;
CREATE TABLE attempt (
    requested_id TEXT, attempt INTEGER, uid TEXT, status TEXT, at REAL,
    PRIMARY KEY (requested_id, attempt)
) WITHOUT ROWID;
CREATE TABLE recent (
    model TEXT, at REAL, uid TEXT, status TEXT, config TEXT, code TEXT, inputs TEXT, body BLOB
);
CREATE UNIQUE INDEX recent_by_model ON recent (model, at, uid);
CREATE TABLE refused (signature TEXT, uid TEXT, run_id TEXT, why TEXT);
CREATE UNIQUE INDEX refused_by_signature ON refused (signature, uid);
CREATE TABLE layout (id TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
CREATE TABLE captured (content TEXT PRIMARY KEY, schema_id TEXT) WITHOUT ROWID;
CREATE TABLE latest_schema (
    key TEXT, kind TEXT, at REAL, schema_id TEXT, artifact_id TEXT, run_id TEXT,
    PRIMARY KEY (key, kind)
) WITHOUT ROWID;
CREATE TABLE progress (token TEXT PRIMARY KEY, position INTEGER) WITHOUT ROWID;
"""
_TABLES = (
    *("meta", "candidate", "superseded", "location", "written", "attempt"),
    *("recent", "refused", "news", "layout", "captured", "latest_schema", "progress"),
)

WRITE = {
    "candidate": "INSERT OR REPLACE INTO candidate VALUES (?, ?, ?)",
    "superseded": "INSERT OR IGNORE INTO superseded VALUES (?, ?)",
    "news": "INSERT OR REPLACE INTO news VALUES (?, ?)",
    "location": "INSERT INTO location VALUES (?, ?, ?) ON CONFLICT (place) DO UPDATE"
    " SET at = excluded.at, body = excluded.body WHERE excluded.at >= at",
    "written": "INSERT INTO written VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE"
    " SET at = excluded.at, artifact = excluded.artifact, digest = excluded.digest,"
    " run_id = excluded.run_id, is_folder = excluded.is_folder WHERE excluded.at >= at",
    "attempt": "INSERT INTO attempt VALUES (?, ?, ?, ?, ?) ON CONFLICT (requested_id, attempt)"
    " DO UPDATE SET uid = excluded.uid, status = excluded.status, at = excluded.at"
    " WHERE excluded.uid <> uid OR excluded.at >= at",
    "recent": "INSERT OR REPLACE INTO recent VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "old": "DELETE FROM recent WHERE model = ? AND at < (SELECT at FROM recent WHERE model = ?"
    f" ORDER BY at DESC LIMIT 1 OFFSET {RECENT_KEPT - 1})",
    "refused": "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)",
    "layout": "INSERT OR IGNORE INTO layout VALUES (?, ?)",
    "captured": "INSERT OR REPLACE INTO captured VALUES (?, ?)",
    "latest_schema": "INSERT INTO latest_schema VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key, kind) DO UPDATE SET at = excluded.at, schema_id = excluded.schema_id,"
    " artifact_id = excluded.artifact_id, run_id = excluded.run_id WHERE excluded.at >= at",
    "progress": "INSERT INTO progress VALUES (?, ?) ON CONFLICT (token) DO UPDATE"
    " SET position = max(position, excluded.position)",
    "gone": "DELETE FROM progress WHERE token = ?",
    "meta": "INSERT OR REPLACE INTO meta VALUES (?, ?)",
    **{
        f"purged_{table}": f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"
        for table, column in (
            *((table, "uid") for table in ("candidate", "attempt", "recent", "refused")),
            ("location", "json_extract(CAST(body AS TEXT), '$.id')"),
            *(("written", "artifact"), ("news", "artifact"), ("latest_schema", "run_id")),
        )
    },
}
"""Every statement that writes, by what it writes."""

Lines = dict[str, list[tuple[Any, ...]]]
"""What to write, by the names of :data:`WRITE`."""


class IndexFile:
    """One SQLite file, opened when it is first needed.

    Parameters
    ----------
    path : Path
        The file; created on the first write.
    store_id : str
        Store that the file must belong to; another one's content is dropped.
    """

    def __init__(self, path: Path, store_id: str) -> None:
        self.path, self.store_id = path, store_id
        self._connection: sqlite3.Connection | None = None

    def select(self, statement: str, *values: str | float | None) -> list[tuple[Any, ...]]:
        """Return what is found, nothing where the file cannot be read."""
        import sqlite3

        try:
            if self._connection is None and not self.path.exists():
                return []
            return self._open().execute(statement, values).fetchall()
        except (sqlite3.OperationalError, OSError):
            return []
        except sqlite3.DatabaseError:
            self._drop()
            return []

    def write(self, lines: Callable[[dict[str, int]], Lines], wait: float) -> bool:
        """Write in one transaction; return whether that was possible.

        Parameters
        ----------
        lines : callable
            Gets how far the file knows each journal, and returns what to write.
        wait : float
            Seconds to wait for another process that writes.
        """

        def fill(connection: sqlite3.Connection) -> None:
            progress = connection.execute("SELECT token, position FROM progress").fetchall()
            _insert(connection, lines(dict(progress)))

        return self._change(fill, wait)

    def rewrite(self, pieces: Iterable[Lines]) -> bool:
        """Replace all content in one transaction; others see the old content until the end."""

        def fill(connection: sqlite3.Connection) -> None:
            _clear(connection, self.store_id)
            for lines in pieces:
                _insert(connection, lines)

        return self._change(fill, _BUSY_WAIT)

    def _change(self, fill: Callable[[sqlite3.Connection], None], wait: float) -> bool:
        import sqlite3

        try:
            connection = self._open()
            connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
            with _transaction(connection):
                fill(connection)
        except (sqlite3.OperationalError, OSError) as error:
            logger.debug("look-up index %s not written: %s", self.path, error)
            return False
        except sqlite3.DatabaseError:
            self._drop()
            return False
        return True

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_WAIT, check_same_thread=False, isolation_level=None
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            if not self._belongs(connection):
                with _transaction(connection):
                    if not self._belongs(connection):  # nobody was faster
                        _clear(connection, self.store_id)
        except BaseException:
            connection.close()
            raise
        return connection

    def _belongs(self, connection: sqlite3.Connection) -> bool:
        import sqlite3

        try:
            meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return False
        return meta.get("store_id") == self.store_id and meta.get("version") == str(INDEX_VERSION)

    def _drop(self) -> None:
        """Remove a file that is no index; it is written anew."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; it opens again when needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Forget the parent's connection in a forked child, without closing it."""
        locks.abandon(self._connection)
        self._connection = None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, lines: Lines) -> None:
    for what, values in lines.items():
        if values:
            connection.executemany(WRITE[what], values)


def _clear(connection: sqlite3.Connection, store_id: str) -> None:
    for table in _TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    values = [("store_id", store_id), ("version", str(INDEX_VERSION))]
    connection.executemany(WRITE["meta"], values)


# ---------------------------------------------------------------- where it lies


def default_path(folder: Path, store_id: str, cache_dir: str | None, *, network: bool) -> Path:
    """Return where the index of a store lies: beside the journals, or on this host.

    SQLite's write-ahead log needs memory that all its readers share, so it cannot lie on a network
    file system.
    """
    beside = folder / "index.sqlite"
    if not network and os.access(beside if beside.exists() else folder, os.W_OK):
        return beside
    return user_cache(cache_dir) / f"{store_id}.sqlite"


def user_cache(cache_dir: str | None) -> Path:
    """Return the folder for caches of this user on this host: the given one, or the usual."""
    if cache_dir:
        return Path(cache_dir)
    configured = os.environ.get("XDG_CACHE_HOME")
    base = Path(configured) if configured else Path.home() / ".cache"
    existing = next((folder for folder in (base, *base.parents) if folder.exists()), base)
    if is_network(existing):
        import tempfile

        return Path(tempfile.gettempdir()) / f"consist-{os.getuid()}"
    return base / "consist"
