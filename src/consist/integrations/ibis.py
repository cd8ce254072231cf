"""Ibis over runs, artifacts and views (extra ``ibis``).

The connection is one of the tracker's own in-memory instance. It holds the database file only while
an expression is executed or a schema is looked at, so that runs go on and merges find the file
free; nothing has to be closed. What it does not share with other questions, such as in-memory
tables of Ibis, lives as long as the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consist.errors import MissingExtra, UsageError, hint

if TYPE_CHECKING:
    from uuid import UUID

    from ibis.backends.duckdb import Backend
    from ibis.expr.types import Table
    from sqlmodel import SQLModel

    from consist.models.artifact import Artifact
    from consist.workspace import Workspace

__all__ = ["ibis_connection", "ibis_grouped_view", "ibis_view"]


def ibis_connection(tracker: Workspace) -> Backend:
    """Return an Ibis connection to everything that is recorded: tables and views.

    It works while runs are active, and sees with each expression what is recorded by then. A
    tracker has one; ``disconnect()`` lets go of it.

    Parameters
    ----------
    tracker : Tracker
        For ``consist.ibis_connection``, by default the one in reach.

    Raises
    ------
    ImportError
        Without the extra ``ibis``.
    RuntimeError
        Without a database.

    Examples
    --------
    >>> connection = consist.ibis_connection(tracker)  # doctest: +SKIP
    >>> connection.table("run").count().execute()  # doctest: +SKIP
    """
    tracker.check_database("ibis_connection")
    backend: Any = tracker.memory.get("ibis")
    if backend is None:
        backend = tracker.memory["ibis"] = _over(tracker)
    return backend


def ibis_view(
    tracker: Workspace, model: type[SQLModel] | None = None, key: str | None = None
) -> Table:
    """Return an Ibis table over every recorded table of a key.

    Parameters
    ----------
    tracker : Tracker
        For ``consist.ibis_view``, by default the one in reach.
    model : type, optional
        A SQLModel class that types the view, as for ``tracker.view``.
    key : str, optional
        Artifact key; by default the model's ``__tablename__``.

    Raises
    ------
    ImportError
        Without the extra ``ibis``.
    RuntimeError
        Without a database.
    ValueError
        With neither model nor key.

    Examples
    --------
    >>> persons = consist.ibis_view(tracker, key="persons")  # doctest: +SKIP
    >>> persons.group_by("consist_year").agg(age=persons.age.mean()).execute()  # doctest: +SKIP
    """
    from consist.views.hybrid import plain_view, view

    connection = ibis_connection(tracker)
    if model is not None:
        return connection.table(view(tracker, model, key).__table__.name)
    if key is None:
        raise hint(UsageError("ibis_view was given neither model nor key"), "pass one of them")
    return connection.table(plain_view(tracker, key))


def ibis_grouped_view(
    tracker: Workspace,
    *,
    view_name: str,
    artifact_id: Artifact | UUID | str | None = None,
    **selection: Any,
) -> Table:
    """Return an Ibis table over all artifacts of a schema, whatever their keys.

    Parameters
    ----------
    tracker : Tracker
        For ``consist.ibis_grouped_view``, by default the one in reach.
    view_name : str
        Name of the view in SQL.
    artifact_id : Artifact, UUID or str, optional
        A sample: an artifact, or its id, whose schema is meant. ``schema_id=`` or ``schema=``
        name it otherwise.
    **selection : Any
        Everything else that ``tracker.create_grouped_view`` takes, such as ``namespace``,
        ``params`` and ``attach_facets``.

    Raises
    ------
    ImportError
        Without the extra ``ibis``.
    RuntimeError
        Without a database.
    KeyError
        If there is no such artifact.
    ValueError
        If no schema was seen on it, or as ``tracker.create_grouped_view`` raises.

    Examples
    --------
    >>> links = consist.ibis_grouped_view(  # doctest: +SKIP
    ...     tracker, view_name="v_links", artifact_id=sample, params=["iteration>=1"]
    ... )
    >>> links.group_by("consist_year").agg(volume=links.volume.sum()).execute()  # doctest: +SKIP
    """
    from consist.views.grouped import create_grouped_view, schema_of_artifact

    connection = ibis_connection(tracker)
    if artifact_id is not None:
        if others := {"schema_id", "schema"} & selection.keys():
            problem = UsageError(f"ibis_grouped_view got artifact_id and {min(others)}")
            raise hint(problem, "pass one of artifact_id, schema_id and schema")
        selection["schema_id"] = schema_of_artifact(tracker, artifact_id)
    return connection.table(create_grouped_view(tracker, view_name, **selection))


def _over(ws: Workspace) -> Any:
    try:
        import ibis  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingExtra("Ibis", "ibis") from error
    from consist.integrations.ibis_backend import TrackerBackend

    return TrackerBackend.over(ws)
