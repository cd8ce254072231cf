"""Ibis' backend for DuckDB, over the in-memory instance that answers a tracker's questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from ibis import Schema
from ibis.backends.duckdb import Backend
from ibis.common.exceptions import TableNotFound

from consist.formats.sql import identifier

if TYPE_CHECKING:
    from consist.workspace import Workspace

_ASKING = (
    "create_table create_view drop_table drop_view execute get_schema list_tables raw_sql sql"
    " table to_csv to_json to_pandas to_parquet to_polars to_pyarrow"
)


class TrackerBackend(Backend):
    """Attaches the database for as long as a method of Ibis needs it."""

    _can_reconnect = False
    _ws: Workspace
    _instance = -1

    @classmethod
    def over(cls, ws: Workspace) -> TrackerBackend:
        """Return a connection of a tracker's own."""
        backend = cls()
        backend._ws = ws
        # What connecting would set, without the settings that other questions share.
        backend._record_batch_readers_consumed = {}
        backend._renew()
        return backend

    def _renew(self) -> None:
        """Connect anew where a merge that failed has ended what the connection was to."""
        store = self._ws.store
        if self._instance != store.instance:
            self.con = store.scratch()
            self._instance = store.instance

    def list_tables(self, *, like: str | None = None, **_: Any) -> list[str]:
        """Return the names of tables and views."""
        found = self.con.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_catalog = 'memory' AND table_schema = 'main' ORDER BY ALL"
        ).fetchall()
        return self._filter_with_like([name for (name,) in found], like)

    def get_schema(
        self, table_name: str, *, catalog: str | None = None, database: str | None = None
    ) -> Any:
        """Return columns and their types."""
        path = (name for name in (catalog, database, table_name) if name is not None)
        try:
            found = self.con.execute(f"DESCRIBE {'.'.join(map(identifier, path))}").fetchall()
        except duckdb.CatalogException as error:
            raise TableNotFound(table_name) from error
        read = self.compiler.type_mapper.from_string
        columns: Any = {name: read(kind, nullable=True) for name, kind, *_ in found}
        return Schema(columns)

    def to_pyarrow_batches(self, expr: Any, /, **options: Any) -> Any:
        """Return a stream of batches; it holds the database until it is read or closed."""
        self._run_pre_execute_hooks(expr)
        table = expr.as_table()
        rows = options.pop("chunk_size", 1_000_000)
        text = self.compile(table, **options)

        def batches() -> Iterator[Any]:
            with self._ws.store.ask(views=True):
                self._renew()
                with self.con.cursor() as cursor:
                    yield from cursor.sql(text).to_arrow_reader(rows)

        return pa.RecordBatchReader.from_batches(table.schema().to_pyarrow(), batches())

    def disconnect(self) -> None:
        """Let go of the connection; the tracker makes another one when it is asked."""
        self._ws.memory.pop("ibis", None)
        self.con.close()


def _while_asking(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._ws.store.ask(views=True):
            self._renew()
            return method(self, *args, **kwargs)

    return call


for _name in _ASKING.split():
    if hasattr(TrackerBackend, _name):
        setattr(TrackerBackend, _name, _while_asking(getattr(TrackerBackend, _name)))
