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

from consist.errors import ConsistError, StoreError, StoreLocked, UsageError
from consist.store.database import ALIAS
from consist.views.grouped import Asked, GroupedView, grouped_view
from consist.views.links import Links
from consist.views.members import RunFilter, of_key
from consist.views.shelf import Shelf, View, check_name, shelf_of
from consist.views.united import Layout, identifier, literal, united_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

logger = logging.getLogger("consist.views")

_MARK = "consist view "
_TYPE = re.compile(r"[A-Za-z0-9_ ,()]{1,100}")


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the comment of a view in the database tells; ``asked`` of a grouped one."""

    digest: str
    key: str | None = None
    model: str | None = None
    columns: dict[str, str] = {}
    runs: dict[str, str | int | None] = {}
    asked: Asked | None = None


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


def view_told(ws: Workspace, name: str, told: Told) -> View | None:
    """Return the view that a comment describes; it tells values and never SQL, hence no harm."""
    columns = told.columns if told.asked is None else told.asked.columns or {}
    if not all(_TYPE.fullmatch(kind) for kind in columns.values()):
        return None
    try:
        check_name(name)
        if told.asked is not None:
            return grouped_view(ws, msgspec.structs.replace(told.asked, name=name))
        if told.key is None:
            return None
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
        wanted = {name: view_told(ws, name, told) for name, told in there.items()}
        wanted |= {view.name: view for view in (shelf.views() if shelf else ())}
        for name, view in wanted.items():
            if view is None:
                continue
            try:
                _write(ws, cursor, view, there.get(name))
            except (duckdb.Error, ConsistError, OSError) as error:
                _warn_once(ws, name, str(error))
            else:
                ws.memory.get("views_unwritten", {}).pop(name, None)


def _warn_once(ws: Workspace, name: str, reason: str) -> None:
    """Say that a view cannot be written; merges are many, and mostly nothing has changed."""
    text = " ".join(reason.split())[:300]
    said: dict[str, str] = ws.memory.setdefault("views_unwritten", {})
    if said.get(name) != text:
        said[name] = text
        logger.warning("[Consist] view %s in the database stays as it was: %s", name, text)


def keep_now(ws: Workspace, name: str) -> View:
    """Write a view of this tracker into the database before returning; return the view.

    Raises
    ------
    StoreError
        If somebody else holds the database, or it cannot have the view.
    """
    view = shelf_of(ws).get(name)
    if view is None:
        raise UsageError(f"there is no view {name!r}")
    ws.store.publish_soon()
    if not ws.store.sync(ws.settings.lock_wait):
        raise StoreLocked(str(ws.db_path), "another process", ws.settings.lock_wait)
    with ws.store.ask() as connection:
        told = told_views(connection).get(view.name)
    if told is None or told != _told(view, told.digest):
        raise StoreError(f"view {name!r} could not be written into {ws.db_path}")
    return view


def _write(ws: Workspace, connection: DuckDBPyConnection, view: View, there: Told | None) -> None:
    links = Links(connection, Path(f"{ws.db_path}.journal") / "views" / view.name)
    members, layout = view.shown(ws, connection, active=())
    text = united_sql(
        ws, connection, members, layout,
        mode=view.mode, missing_files="skip_silent", links=links,
    )  # fmt: skip
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    told = _told(view, digest)
    if there != told:
        if there is None and _is_taken(connection, view.name):
            raise ConsistError("a table or view of this name is not of this library")
        comment = _MARK + msgspec.json.encode(told).decode()
        name = identifier(view.name)
        connection.execute(f"CREATE OR REPLACE VIEW main.{name} AS {text}")
        connection.execute(f"COMMENT ON VIEW main.{name} IS {literal(comment)}")
    links.clear_up()


def _told(view: View, digest: str) -> Told:
    if isinstance(view, GroupedView):
        return Told(digest, asked=view.asked)
    return Told(digest, view.key, view.model, dict(view.layout.columns), view.runs.told())


def _is_taken(connection: DuckDBPyConnection, name: str) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_catalog = ?"
        " AND table_schema = 'main' AND lower(table_name) = lower(?)",
        [ALIAS, name],
    ).fetchone()
    return bool(found and found[0])


def adopt(ws: Workspace, connection: DuckDBPyConnection, shelf: Shelf, told: Any = None) -> None:
    """Let a tracker that only looks show the views that the database tells of."""
    for name, known in (told or told_views(connection)).items():
        view = view_told(ws, name, known)
        if view is not None and shelf.get(name) is None:
            shelf.put(view)
