"""A SQLAlchemy engine whose connections see every acknowledged record."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import duckdb_sqlalchemy
import msgspec
from sqlalchemy import Engine, NullPool, create_engine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.store.base import Store


# At exit Python empties every module still alive, but not the namespace of a module already gone
# of which a function is still registered somewhere. duckdb_sqlalchemy is such a module once pyarrow
# has met a pandas frame: pyarrow.lib never lets go of pandas, from where typing's shared
# `_overload_dummy` leads to SQLAlchemy's ORM, to what duckdb_sqlalchemy registered there, to its
# namespace and to DuckDB's types, on whose "leaks" nanobind prints 80 lines to standard error.
# Holding itself, the module lives as long as its namespace, and Python empties it like any other.
duckdb_sqlalchemy.__dict__["_consist_keeps_alive"] = duckdb_sqlalchemy


class _AttachedConnection(duckdb_sqlalchemy.ConnectionWrapper):
    """A connection of the in-memory instance that holds the file only until it is closed."""

    def __init__(self, connection: DuckDBPyConnection, resources: ExitStack) -> None:
        super().__init__(connection)
        self._resources = resources

    def close(self) -> None:
        """Detach the file."""
        try:
            super().close()
        finally:
            self._resources.close()


def make_engine(store: Store, *, views: bool) -> Engine:
    """Return an engine that attaches the database for each connection and pools none."""

    def connect() -> Any:
        resources = ExitStack()
        connection = resources.enter_context(store.ask(views=views))
        return _AttachedConnection(connection, resources)

    return create_engine(
        "duckdb://", creator=connect, poolclass=NullPool, json_deserializer=_decoded
    )


def _decoded(text: str) -> Any:
    """Read a JSON value; metadata are long, and this is five times faster than Python's reader."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)  # NaN, and numbers beyond all bounds
