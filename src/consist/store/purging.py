"""Runs that are removed from the record for good, and how they stay away.

What speaks of them is deleted in bulk. Their internal ids remain, in the database and in a file
beside the journals, so that neither a journal that was merged before nor a snapshot that somebody
kept brings them back into a database that is filled anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from consist.errors import StoreUnwritable
from consist.files.atomic import write_atomic
from consist.models.record import Event, PurgeEvent, encode
from consist.store.folder import JournalFolder
from consist.store.global_tables import LEDGER, SCHEMA
from consist.store.known import HASHED, key_of
from consist.store.migrations import set_value, store_values
from consist.store.row_tables import has_ledger, prunable, row_tables

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_COUNT = "purged"
"""Entry of the store's own table: how many runs were purged."""

_FACET_OF_RUN = "json_extract_string(meta, '$.config_facet_id')"
_OF_RUN = ("run_extra", "run_artifact_link", "run_config_kv", "artifact_schema_observation")
_SCHEMA_OF_ARTIFACT = "json_extract_string(meta, '$.schema_id')"


class Purged(msgspec.Struct, frozen=True):
    """One run that was removed from the record."""

    uid: str
    run_id: str
    at: datetime
    by: str | None = None


def purge(connection: DuckDBPyConnection, database: str, events: Iterable[Event]) -> bool:
    """Delete what some records say is to be purged; return whether there was any such record.

    This happens in the transaction of the caller, before the rows of these events are stored.
    """
    found = [event for event in events if isinstance(event, PurgeEvent)]
    for event in found:
        _Purge(connection, database).carry_out(event)
    return bool(found)


def keep_away(connection: DuckDBPyConnection, database: str, folder: JournalFolder) -> None:
    """Let a database that is filled anew know what was purged from the one before."""
    _remember(connection, database, _read(folder))


def write_list(connection: DuckDBPyConnection, database: str, folder: JournalFolder) -> None:
    """Keep the list of purged runs beside the journals, if it is not what the database has."""
    count = int(store_values(connection, database).get(_COUNT, 0))
    if not count or count == len(_read(folder)):
        return
    rows = connection.execute(f"SELECT * FROM {database}.consist_purged ORDER BY purged_at, uid")
    listed = [Purged(*row) for row in rows.fetchall()]
    with suppress(StoreUnwritable):  # another merge will
        write_atomic(folder.purged, encode(listed))


def _read(folder: JournalFolder) -> list[Purged]:
    try:
        return msgspec.json.decode(folder.purged.read_bytes(), type=list[Purged])
    except (OSError, msgspec.DecodeError):
        return []


def _remember(connection: DuckDBPyConnection, database: str, purged: Iterable[Purged]) -> None:
    """Note runs as purged, each once."""
    rows = [{"uid": p.uid, "run_id": p.run_id, "purged_at": p.at, "author": p.by} for p in purged]
    if not rows:
        return
    shape = '[{"uid":"VARCHAR","run_id":"VARCHAR","purged_at":"TIMESTAMPTZ","author":"VARCHAR"}]'
    connection.execute(
        f"INSERT INTO {database}.consist_purged SELECT uid, run_id, purged_at, author FROM"
        f" (SELECT unnest(from_json(?::JSON, '{shape}'), max_depth := 2))"
        f" WHERE uid NOT IN (SELECT uid FROM {database}.consist_purged)",
        [encode(rows).decode()],
    )
    row = connection.execute(f"SELECT count(*) FROM {database}.consist_purged").fetchone()
    set_value(connection, database, _COUNT, str(row[0] if row else 0))


class _Purge:
    """One purge, in the caller's transaction."""

    def __init__(self, connection: DuckDBPyConnection, database: str) -> None:
        self._connection, self._database = connection, database
        self._keys: list[int] = []

    def carry_out(self, event: PurgeEvent) -> None:
        """Delete runs, and the artifacts that go with them."""
        gone = (Purged(uid, run_id, event.at, event.by) for uid, run_id in event.runs.items())
        _remember(self._connection, self._database, gone)
        ids = self._column("run", "id", "uid", event.runs)
        facets = self._column("run_config_kv", "facet_id", "run_id", ids)
        facets += self._column("run", _FACET_OF_RUN, "uid", event.runs)
        self._keys += [key_of("run", name) for name in (*event.runs, *ids)]
        self._forget_keys("run_change", "uid", list(event.runs))
        self._delete("run_change", "uid", event.runs)
        schemas = self._column("artifact_schema_observation", "schema_id", "run_id", ids)
        self._forget_keys("artifact_schema_observation", "run_id", ids)
        for table in _OF_RUN:
            self._delete(table, "run_id", ids)
        for column in ("requested_run_id", "execution_run_id"):
            self._delete("run_binding_invocation", column, ids)
        self._delete("run", "uid", event.runs)
        # A facet that is not indexed is named by its run alone.
        facets = self._unused(facets, "run", _FACET_OF_RUN)
        self._delete_unused("config_facet", facets, "run_config_kv", "facet_id")
        artifacts = self._unused(event.artifacts, "run_artifact_link", "artifact_id")
        schemas += self._column(
            "artifact_schema_observation", "schema_id", "artifact_id", artifacts
        )
        self._delete_rows(event, artifacts, ids)
        self._delete_artifacts(artifacts)
        self._delete_schemas(schemas)
        self._execute(
            f"DELETE FROM {self._database}.consist_key WHERE hash IN"
            " (SELECT unnest(from_json(?::JSON, '[\"UBIGINT\"]')))",
            self._keys,
        )

    def _delete_artifacts(self, ids: list[str]) -> None:
        contents = self._column("artifact", "content_id", "id", ids)
        facets = self._column("artifact_kv", "facet_id", "artifact_id", ids)
        self._forget_keys("artifact_kv", "artifact_id", ids)
        self._forget_keys("artifact", "id", ids)
        self._delete("artifact_kv", "artifact_id", ids)
        self._forget_keys("artifact_schema_observation", "artifact_id", ids)
        self._delete("artifact_schema_observation", "artifact_id", ids)
        self._delete("artifact", "id", ids)
        self._delete_unused("artifact_content", contents, "artifact", "content_id")
        self._delete_unused("artifact_facet", facets, "artifact_kv", "facet_id")

    def _delete_schemas(self, ids: list[str]) -> None:
        """Delete the layouts among these that no artifact has any more."""
        unused = self._unused(ids, "artifact_schema_observation", "schema_id")
        unused = self._unused(unused, "artifact", _SCHEMA_OF_ARTIFACT) if unused else []
        for table, column in (
            ("artifact_schema_field", "schema_id"),
            ("artifact_schema_relation", "schema_id"),
            ("artifact_schema", "id"),
        ):
            self._forget_keys(table, column, unused)
            self._delete(table, column, unused)

    def _delete_rows(self, event: PurgeEvent, artifacts: list[str], runs: list[str]) -> None:
        """Delete ingested rows of artifacts and runs, and what the ledger tells of them."""
        if not (event.rows or event.cache):
            return
        for name, ids in (("artifact", artifacts), ("run", runs)):
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE gone_{name} (id VARCHAR)")
            self._execute(f"INSERT INTO temp.gone_{name} FROM {_TEXTS}", ids)
        gone, stay = "SELECT id FROM gone_run", f"SELECT id FROM {self._database}.run"
        tables = list(row_tables(self._connection, self._database).values())
        # What is linked is asked before the links go.
        unused = list(prunable(tables, gone, stay)) if event.cache else []
        for table, condition in unused:
            self._connection.execute(f"DELETE FROM {table.source} WHERE {condition}")
        if not event.rows:
            return
        for table in tables:
            whose = table.belongs("SELECT id FROM gone_artifact", gone)
            self._connection.execute(f"DELETE FROM {table.source} WHERE {whose}")
        if has_ledger(self._connection, self._database):
            self._connection.execute(
                f"DELETE FROM {self._database}.{SCHEMA}.{LEDGER}"
                " WHERE artifact_id IN (SELECT id FROM gone_artifact)"
            )

    def _delete_unused(self, table: str, ids: list[str], user: str, column: str) -> None:
        unused = self._unused(ids, user, column)
        self._forget_keys(table, "id", unused)
        self._delete(table, "id", unused)

    def _forget_keys(self, table: str, column: str, values: list[str]) -> None:
        """Note the keys of rows that are about to be deleted."""
        rows = self._rows(
            f"SELECT DISTINCT {', '.join(HASHED[table])} FROM {self._database}.{table}"
            f" WHERE {column} IN {_TEXTS}",
            values,
        )
        self._keys += [key_of(table, *row) for row in rows]

    def _unused(self, ids: Iterable[str], user: str, column: str) -> list[str]:
        """Return those of the ids that a table does not speak of."""
        found = self._rows(
            "SELECT id FROM (SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')) AS id) AS asked"
            f" ANTI JOIN (SELECT {column} AS id FROM {self._database}.{user}) AS used USING (id)",
            ids,
        )
        return [row[0] for row in found]

    def _column(self, table: str, wanted: str, column: str, values: Iterable[str]) -> list[str]:
        found = self._rows(
            f"SELECT DISTINCT {wanted} FROM {self._database}.{table}"
            f" WHERE {column} IN {_TEXTS} AND {wanted} IS NOT NULL",
            values,
        )
        return [row[0] for row in found]

    def _delete(self, table: str, column: str, values: Iterable[str]) -> None:
        self._execute(
            f"DELETE FROM {self._database}.{table} WHERE {column} IN {_TEXTS}", list(values)
        )

    def _rows(self, statement: str, values: Iterable[str]) -> list[Any]:
        return self._connection.execute(statement, [_json(values)]).fetchall()

    def _execute(self, statement: str, values: Iterable[str | int]) -> None:
        self._connection.execute(statement, [_json(values)])


_TEXTS = "(SELECT unnest(from_json(?::JSON, '[\"VARCHAR\"]')))"


def _json(values: Iterable[str | int]) -> str:
    return encode(list(values)).decode()
