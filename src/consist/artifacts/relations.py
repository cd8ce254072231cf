"""Lazy relations that are open in this process: how many, and how they are closed."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from consist.errors import ConsistWarning, WrongType, a_kind
from consist.formats import sql

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from consist.workspace import Workspace

R = TypeVar("R")


class RelationConnectionLeakWarning(ConsistWarning, RuntimeWarning):
    """Many lazy relations are open at once."""


_open: dict[int, DuckDBPyConnection] = {}
"""The connection of every open relation. Entries go one by one, in whatever thread collects."""
_adding = threading.Lock()


def active_relation_count() -> int:
    """Return how many lazy relations are open in this process.

    Those of ``load`` count for as long as they are referenced, those of ``load_relation`` until
    their block ends; what is derived from a relation does not count.
    """
    return len(_open)


def to_df(relation: DuckDBPyRelation, *, close: bool = True) -> pd.DataFrame:
    """Return the rows of a lazy relation as a pandas DataFrame.

    Parameters
    ----------
    relation : DuckDBPyRelation
        What ``load`` or ``load_relation`` gave, or what was derived from it.
    close : bool, default True
        Also close the connection of a relation that ``load`` gave: it counts as open no longer, and
        neither it nor what was derived from it can be asked again. A relation that was derived
        from one has no connection of its own, and leaves that of the other open.

    Raises
    ------
    TypeError
        If it is no relation.
    """
    import duckdb

    if not isinstance(relation, duckdb.DuckDBPyRelation):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongType(f"to_df takes a relation, not {a_kind(relation)}")
    frame = sql.frame_of(relation)
    if close:
        release(relation)
    return frame


def connection_for_files(ws: Workspace) -> DuckDBPyConnection:
    """Return a connection for reading files; the database is not part of it."""
    import duckdb

    kept: dict[int, DuckDBPyConnection] = ws.memory.setdefault("load", {})
    process = os.getpid()  # a forked child cannot use the threads of its parent's
    if process not in kept:
        kept[process] = duckdb.connect(":memory:")
    return kept[process].cursor()


def counted(ws: Workspace, relation: R, connection: DuckDBPyConnection, *, level: int = 3) -> R:
    """Count a relation for as long as it lives, and warn when there are more than there should be.

    The warning comes when the threshold is crossed, and not again for each further relation.
    """
    threshold = ws.settings.relation_warn_threshold
    with _adding:
        before = len(_open)
        _open[id(relation)] = connection
    weakref.finalize(relation, _open.pop, id(relation), None)
    if before == threshold:
        warnings.warn(
            f"{before + 1} lazy relations are open (threshold {threshold}); use load_df, to_df, or"
            " load_relation as a context manager",
            RelationConnectionLeakWarning,
            stacklevel=level,
        )
    return relation


def release(relation: Any) -> None:
    """Close the connection of a counted relation; others are left alone."""
    connection = _open.pop(id(relation), None)
    if connection is not None:
        connection.close()
