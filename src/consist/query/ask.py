"""Put a statement to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from consist.models.artifact import Artifact
from consist.models.base import ConsistModel

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from consist.workspace import Workspace


def run_query(ws: Workspace, query: Executable) -> list[Any]:
    """Execute a SQLModel or SQLAlchemy statement, or a ``text``, over runs, artifacts and views.

    The tables hold every acknowledged record, merged or not.

    Returns
    -------
    list
        Rows; for a select of one column or class, its values.

    Raises
    ------
    RuntimeError
        Without a database.
    """
    ws.check_database("run_query")
    return fetch(ws, query)


def fetch(ws: Workspace, statement: Any) -> list[Any]:
    """Return all rows of a statement; entities are detached, artifacts know their paths."""
    from sqlalchemy.orm import Session
    from sqlmodel.sql.expression import SelectOfScalar

    with Session(ws.store.engine, expire_on_commit=False) as session:
        result = session.execute(statement)
        rows: list[Any] = list(
            result.scalars() if isinstance(statement, SelectOfScalar) else result.all()
        )
        session.expunge_all()
    for row in rows:
        _bind(ws, row)
    return rows


def _bind(ws: Workspace, row: Any) -> None:
    if isinstance(row, Artifact):
        row.bind(ws.path_of)
    elif isinstance(row, tuple):
        for value in cast("tuple[Any, ...]", row):
            if isinstance(value, Artifact):
                value.bind(ws.path_of)


def columns(model: type[ConsistModel]) -> Any:
    """Return the columns of a table by name, to be compared, ordered and joined."""
    return cast("Any", model).__table__.c
