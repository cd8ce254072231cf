"""Views in the database file itself, for whoever opens it with plain DuckDB.

Each merge writes those anew whose members changed. Files are read through a folder of symbolic
links beside the journal, by a pattern, since DuckDB passes over links whose file is gone, where it
would refuse a list with a file that is gone. What a view is made of is told by its comment.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consist.errors import ConsistError
from consist.store.database import ALIAS
from consist.views.links import Links
from consist.views.members import RunFilter, of_key
from consist.views.shelf import Shelf, View
from consist.views.united import Layout, identifier, literal, united_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

logger = logging.getLogger("consist.views")

_MARK = "consist view "
_TYPE = re.compile(r"[A-Za-z0-9_ ,()]{1,100}")


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the comment of a view in the database tells."""

    digest: str
    key: str | None = None
    model: str | None = None
    columns: dict[str, str] = {}
    runs: dict[str, str | int | None] = {}


def told_views(connection: DuckDBPyConnection) -> dict[str, Told]:
    """Return the views of ours in the attached database, by name."""
    found = connection.execute(
        "SELECT view_name, comment FROM duckdb_views() WHERE database_name = ?"
        " AND schema_name = 'main' AND starts_with(comment, ?)",
        [ALIAS, _MARK],
    )
    views: dict[str, Told] = {}
    for name, comment in found.fetchall():
        with suppress(msgspec.DecodeError):  # somebody else's words
            views[name] = msgspec.json.decode(comment.removeprefix(_MARK), type=Told)
    return views


def view_told(name: str, told: Told) -> View | None:
    """Return the view that a comment describes; only a key can be told, since it is harmless."""
    if told.key is None or not all(_TYPE.fullmatch(kind) for kind in told.columns.values()):
        return None
    try:
        runs = RunFilter(**told.runs)  # pyright: ignore[reportArgumentType]
        selector = of_key(told.key)
    except (TypeError, ConsistError):
        return None
    layout = Layout(columns=told.columns)
    return View(name, selector, runs, layout, key=told.key, model=told.model)


# ---------------------------------------------------------------- writing


def publish(ws: Workspace, connection: DuckDBPyConnection, shelf: Shelf | None) -> None:
    """Bring the views in the database up to date; what fails is logged and left as it was.

    Parameters
    ----------
    ws : Workspace
        Knows where files are.
    connection : DuckDBPyConnection
        Has the database attached for writing, outside any transaction.
    shelf : Shelf, optional
        Views of this tracker.
    """
    import duckdb

    with connection.cursor() as cursor:
        cursor.execute(f"USE {ALIAS}.main")
        there = told_views(cursor)
        wanted = {name: view_told(name, told) for name, told in there.items()}
        wanted |= {view.name: view for view in (shelf.views() if shelf else ())}
        for name, view in wanted.items():
            if view is None:
                continue
            try:
                _write(ws, cursor, view, there.get(name))
            except (duckdb.Error, ConsistError, OSError) as error:
                logger.warning("[Consist] view %s in the database stays as it was: %s", name, error)


def _write(ws: Workspace, connection: DuckDBPyConnection, view: View, there: Told | None) -> None:
    links = Links(connection, Path(f"{ws.db_path}.journal") / "views" / view.name)
    members, layout = view.shown(ws, connection, active=())
    text = united_sql(
        ws, connection, members, layout,
        mode=view.mode, missing_files="skip_silent", links=links,
    )  # fmt: skip
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    if there is None or there.digest != digest:
        if there is None and _is_taken(connection, view.name):
            raise ConsistError("a table or view of this name is not of this library")
        told = Told(digest, view.key, view.model, dict(view.layout.columns), view.runs.told())
        comment = _MARK + msgspec.json.encode(told).decode()
        name = identifier(view.name)
        connection.execute(f"CREATE OR REPLACE VIEW main.{name} AS {text}")
        connection.execute(f"COMMENT ON VIEW main.{name} IS {literal(comment)}")
    links.clear_up()


def _is_taken(connection: DuckDBPyConnection, name: str) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_catalog = ?"
        " AND table_schema = 'main' AND lower(table_name) = lower(?)",
        [ALIAS, name],
    ).fetchone()
    return bool(found and found[0])


def adopt(connection: DuckDBPyConnection, shelf: Shelf, told: Any = None) -> None:
    """Let a tracker that only looks show the views that the database tells of."""
    for name, known in (told or told_views(connection)).items():
        view = view_told(name, known)
        if view is not None and shelf.get(name) is None:
            shelf.put(view)
