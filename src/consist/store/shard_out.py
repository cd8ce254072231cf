"""A part of a database as a database of its own: a shard.

A shard holds whole runs. Beside those that were asked for, it holds the runs whose outputs they
used, and so on upstream, so that it answers every question about lineage as the original does.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.errors import StoreError, StoreUnwritable, UsageError, hint
from consist.files.atomic import beside, discard, publish, unwritable
from consist.store.database import STORAGE
from consist.store.global_tables import LEDGER, SCHEMA, identifier, literal
from consist.store.known import StoredKeys, key_of
from consist.store.migrations import SCHEMA_VERSION, create_tables, set_value
from consist.store.row_tables import RowTable, asked_tables, count, has_ledger, in_order
from consist.store.schema import create_links
from consist.store.tail_rows import HAS_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.store.embedded import EmbeddedStore

SHARD = "consist_shard"
_PIECE = 50_000


class Selection(msgspec.Struct, frozen=True):
    """Which runs a shard gets, and what belongs to them.

    Attributes
    ----------
    run_ids : list of str
        The root and the runs below it, the root first.
    lineage_run_ids : list of str
        Runs whose outputs these used, directly or over others.
    artifact_count : int
        Artifacts that any of them has.
    rows : dict
        How many ingested rows these artifacts and runs have, by table.
    modes : dict
        How these tables tell whose rows they hold.
    caches : list of str
        Tables whose rows belong to nobody, and stay.
    """

    run_ids: list[str]
    lineage_run_ids: list[str]
    artifact_count: int
    rows: dict[str, int]
    modes: dict[str, str]
    caches: list[str]


def select(
    store: EmbeddedStore, run_id: str, *, children: bool = True, lineage: bool = True
) -> Selection:
    """Find out what a shard of a run would hold.

    Raises
    ------
    StoreLocked
        If the database file cannot be read in time.
    """
    with store.ask() as connection:
        return _choose(connection, run_id, children=children, lineage=lineage)


def write_shard(
    store: EmbeddedStore,
    run_id: str,
    target: Path,
    *,
    children: bool = True,
    lineage: bool = True,
    data: bool = False,
    replace: bool = False,
) -> Selection:
    """Write a run with what belongs to it into a database file of its own.

    The file appears whole or not at all. Records that no merge has reached are in it as well.

    Raises
    ------
    UsageError
        If the file exists and may not be replaced.
    StoreUnwritable
        If it cannot be written.
    StoreLocked
        If the database file cannot be read in time.
    """
    if target.exists() and not replace:
        raise _exists(target)
    temporary = beside(str(target), ".duckdb")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with store.ask() as connection:
            chosen = _choose(connection, run_id, children=children, lineage=lineage)
            store.tail.fill_ledger(connection)
            with _written(target):
                _fill(connection, temporary, data=data)
        publish(temporary, str(target), exclusive=not replace)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise unwritable(str(target), error) from error
    finally:
        for name in (temporary, f"{temporary}.wal"):
            discard(name)
    return chosen


@contextmanager
def _written(target: Path) -> Generator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise StoreUnwritable(str(target), str(error).splitlines()[0]) from error


def _exists(target: Path) -> UsageError:
    return hint(UsageError(f"{target} exists"), "choose another name, or replace it")


# ---------------------------------------------------------------- choosing


def _choose(
    connection: DuckDBPyConnection, run_id: str, *, children: bool, lineage: bool
) -> Selection:
    """Fill temporary tables with the ids of runs and artifacts; return what they say."""
    run_ids = subtree(connection, run_id) if children else [run_id]
    upstream = _upstream(connection, run_ids) if lineage else []
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE shard_run AS SELECT unnest(?::VARCHAR[]) AS id;",
        [[*run_ids, *upstream]],
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE shard_artifact AS"
        " WITH RECURSIVE used (id) AS ("
        "  SELECT artifact_id FROM main.run_artifact_link SEMI JOIN shard_run s ON s.id = run_id"
        "  UNION SELECT a.id FROM main.artifact a SEMI JOIN shard_run s ON s.id = a.run_id"
        "  UNION SELECT a.parent_artifact_id FROM used u JOIN main.artifact a ON a.id = u.id"
        "  WHERE a.parent_artifact_id IS NOT NULL"
        " ) SELECT id FROM used"
    )
    found = connection.execute("SELECT count(*) FROM shard_artifact").fetchall()
    artifacts = int(found[0][0])
    tables = asked_tables(connection)
    counts = [(table, count(connection, table, _chosen(table))) for table in tables]
    return Selection(
        run_ids,
        upstream,
        artifacts,
        {table.name: rows for table, rows in counts if rows},
        {table.name: table.mode for table, rows in counts if rows},
        [table.name for table in tables if table.mode == "unscoped_cache"],
    )


def _chosen(table: RowTable) -> str:
    return table.belongs("SELECT id FROM shard_artifact", "SELECT id FROM shard_run")


def subtree(connection: DuckDBPyConnection, run_id: str) -> list[str]:
    """Return a run and all whose chain of parents leads to it, the run first."""
    found = connection.execute(
        "WITH RECURSIVE tree (id, depth) AS ("
        " SELECT $id, 0 UNION"
        " SELECT r.id, t.depth + 1 FROM tree t JOIN main.run r ON r.parent_run_id = t.id"
        " WHERE r.id <> $id AND t.depth < 1000"
        ") SELECT id FROM tree GROUP BY id ORDER BY min(depth), id",
        {"id": run_id},
    )
    return [row[0] for row in found.fetchall()]


def _upstream(connection: DuckDBPyConnection, run_ids: list[str]) -> list[str]:
    """Return the other runs that some runs depend on, directly or over others."""
    edges = connection.execute(
        "SELECT DISTINCT l.run_id, a.run_id FROM main.run_artifact_link l"
        " JOIN main.artifact a ON a.id = l.artifact_id"
        " WHERE a.run_id IS NOT NULL AND a.run_id <> l.run_id"
        " AND a.run_id IN (SELECT id FROM main.run)"
    )
    producers: dict[str, list[str]] = defaultdict(list)
    while rows := edges.fetchmany(_PIECE):
        for run_id, producer in rows:
            producers[run_id].append(producer)
    own, found, pending = set(run_ids), set[str](), list(run_ids)
    while pending:
        for producer in producers.get(pending.pop(), ()):
            if producer not in own and producer not in found:
                found.add(producer)
                pending.append(producer)
    return sorted(found)


# ---------------------------------------------------------------- filling

_PARTS = {
    "run": "id IN (SELECT id FROM shard_run)",
    "run_extra": "run_id IN (SELECT id FROM shard_run)",
    "run_change": "uid IN (SELECT uid FROM {shard}.run)",
    "artifact": "id IN (SELECT id FROM shard_artifact)",
    "artifact_content": "id IN (SELECT content_id FROM {shard}.artifact)",
    "run_artifact_link": "run_id IN (SELECT id FROM shard_run)",
    "run_binding_invocation": "requested_run_id IN (SELECT id FROM shard_run)",
    "run_config_kv": "run_id IN (SELECT id FROM shard_run)",
    "config_facet": "id IN (SELECT facet_id FROM {shard}.run_config_kv"
    " UNION SELECT json_extract_string(meta, '$.config_facet_id') FROM {shard}.run)",
    "artifact_kv": "artifact_id IN (SELECT id FROM shard_artifact)",
    "artifact_facet": "id IN (SELECT facet_id FROM {shard}.artifact_kv"
    " UNION SELECT json_extract_string(meta, '$.artifact_facet_id') FROM {shard}.artifact)",
    "artifact_schema_observation": "artifact_id IN (SELECT id FROM shard_artifact)",
    "artifact_schema": "id IN (SELECT schema_id FROM {shard}.artifact_schema_observation"
    " UNION SELECT json_extract_string(meta, '$.schema_id') FROM {shard}.artifact)",
    "artifact_schema_field": "schema_id IN (SELECT id FROM {shard}.artifact_schema)",
    "artifact_schema_relation": "schema_id IN (SELECT id FROM {shard}.artifact_schema)",
    "package_set": "id IN (SELECT json_extract_string(extra, '$.environment.packages')"
    " FROM {shard}.run_extra)",
}
"""What a shard takes of each table, in the order in which the conditions can be asked."""


def _fill(connection: DuckDBPyConnection, temporary: str, *, data: bool) -> None:
    connection.execute(f"ATTACH {literal(temporary)} AS {SHARD} ({STORAGE})")
    try:
        with _transaction(connection):
            create_tables(connection, SHARD)
            _check_parts(connection)
            for table, condition in _PARTS.items():
                connection.execute(
                    f"INSERT INTO {SHARD}.{table} BY NAME SELECT * FROM main.{table}"
                    f" WHERE {condition.format(shard=SHARD)}"
                )
            if data:
                _copy_rows(connection)
            _disclaim(connection)
            create_links(connection, SHARD)
        with _transaction(connection):
            _sign(connection)
    finally:
        connection.execute(f"DETACH {SHARD}")


@contextmanager
def _transaction(connection: DuckDBPyConnection) -> Generator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _check_parts(connection: DuckDBPyConnection) -> None:
    """Notice a table that was added to the schema and that no shard would have."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ?"
        " AND table_name NOT LIKE 'consist\\_%' ESCAPE '\\'",
        [SHARD],
    )
    missing = {row[0] for row in found.fetchall()} - _PARTS.keys()
    if missing:
        raise StoreError(f"nobody said what a shard takes of {', '.join(sorted(missing))}")


def _copy_rows(connection: DuckDBPyConnection) -> None:
    """Copy ingested rows and their entries in the ledger, in the order they have."""
    connection.execute(f"CREATE SCHEMA {SHARD}.{SCHEMA}")
    ledger = f"{SHARD}.{SCHEMA}.{LEDGER}"
    connection.execute(
        f"CREATE TABLE {ledger} AS SELECT * FROM temp.asked_ledger"
        " WHERE artifact_id IN (SELECT id FROM shard_artifact)"
    )
    told = {
        row[0].lower()
        for row in connection.execute(f"SELECT DISTINCT table_name FROM {ledger}").fetchall()
    }
    for table in asked_tables(connection):
        # An artifact without rows has a table all the same.
        if table.name.lower() in told or count(connection, table, _chosen(table)):
            with in_order(connection):
                connection.execute(
                    f"CREATE TABLE {SHARD}.{SCHEMA}.{identifier(table.name)} AS"
                    f" SELECT * FROM {table.source} WHERE {_chosen(table)}"
                )
    set_value(connection, SHARD, HAS_ROWS, "1")


def _disclaim(connection: DuckDBPyConnection) -> None:
    """Let no artifact of the shard claim rows that the shard does not have."""
    there = ""
    if has_ledger(connection, SHARD):
        there = f" AND id NOT IN (SELECT artifact_id FROM {SHARD}.{SCHEMA}.{LEDGER})"
    connection.execute(
        f"UPDATE {SHARD}.artifact SET meta = json_merge_patch(meta, '{{\"is_ingested\": false}}')"
        f" WHERE json_extract_string(meta, '$.is_ingested') = 'true'{there}"
    )


def _sign(connection: DuckDBPyConnection) -> None:
    """Make the shard a store: with an id of its own, and with the keys of all it holds."""
    keys = StoredKeys(connection, SHARD)
    for rows in identified(connection, SHARD):
        keys.remember(key_of(kind, *ids) for kind, *ids in rows)
    for key, value in (("schema_version", str(SCHEMA_VERSION)), ("generation", "1"),
                       ("store_id", os.urandom(16).hex())):  # fmt: skip
        set_value(connection, SHARD, key, value)


IDENTIFIED = {
    "run": "SELECT uid FROM {db}.run UNION ALL SELECT id FROM {db}.run",
    "artifact": "SELECT id FROM {db}.artifact",
    "artifact_content": "SELECT id FROM {db}.artifact_content",
    "config_facet": "SELECT id FROM {db}.config_facet",
    "artifact_facet": "SELECT id FROM {db}.artifact_facet",
    "artifact_kv": "SELECT DISTINCT artifact_id, facet_id FROM {db}.artifact_kv",
    "run_change": "SELECT id FROM {db}.run_change",
    "package_set": "SELECT id FROM {db}.package_set",
    "artifact_schema": "SELECT id FROM {db}.artifact_schema",
    "artifact_schema_field": "SELECT id FROM {db}.artifact_schema",
    "artifact_schema_observation": "SELECT id FROM {db}.artifact_schema_observation",
    "artifact_schema_relation": "SELECT schema_id, from_field FROM {db}.artifact_schema_relation",
}
"""What stores know each other's rows by: the ids whose digests are among their keys."""


def identified(connection: DuckDBPyConnection, database: str) -> Iterable[list[tuple[str, ...]]]:
    """Yield everything in a database that has a key, as kind and ids, in pieces."""
    for kind, statement in IDENTIFIED.items():
        found = connection.cursor().execute(statement.format(db=database))
        while rows := found.fetchmany(_PIECE):
            yield [(kind, *row) for row in rows]
