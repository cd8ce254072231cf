"""Views that nobody asked for by name: of registered schemas, and of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consist.views.published import adopt, publish, told_views
from consist.views.shelf import shelf_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace


def serve(ws: Workspace, connection: DuckDBPyConnection, revision: int) -> None:
    """Let a question find the views of the registered schemas.

    A tracker that only looks also shows the views that others left in the database, from the files
    that it may look into itself.
    """
    seen: dict[str, int] = ws.memory.setdefault("views_served", {})
    if seen.get("revision") == revision:
        return
    seen["revision"] = revision
    if ws.schemas and "views" not in ws.memory:
        from consist.views.hybrid import views_of

        views_of(ws)
    if ws.access_mode != "standard":
        told = told_views(connection)
        if told:
            adopt(ws, connection, shelf_of(ws), told)
    if "view_shelf" in ws.memory:
        shelf_of(ws).refresh(connection, revision)


def publish_views(ws: Workspace, connection: DuckDBPyConnection) -> None:
    """Bring the views in the database up to date after a merge."""
    if ws.schemas and "views" not in ws.memory:
        from consist.views.hybrid import views_of

        views_of(ws)
    publish(ws, connection, ws.memory.get("view_shelf"))
