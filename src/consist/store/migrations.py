"""Numbered changes of the stored schema.

Each migration is applied once, in one transaction, in order. A migration that has landed is never
edited: a change of the schema is a new one, with a fixture that the code before it wrote. A test
replays all of them and finds no difference from the tables of ``consist.models``.

The tables have neither primary nor foreign keys: the merger is their only writer and keeps them
unique, by the digests in ``consist_key``. Measured on 100,000 runs, a primary key makes a merge of
one record twenty times slower, because DuckDB writes its whole index again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consist.errors import StoreTooNew, hint

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_INITIAL = """
CREATE TABLE {db}.consist_store (key VARCHAR, value VARCHAR);
CREATE TABLE {db}.consist_journal (token VARCHAR, position BIGINT);
CREATE TABLE {db}.consist_key (hash UBIGINT);
CREATE TABLE {db}.run (
    id VARCHAR, uid VARCHAR, requested_id VARCHAR, attempt INTEGER, parent_run_id VARCHAR,
    status VARCHAR, model_name VARCHAR, description VARCHAR, year INTEGER, iteration INTEGER,
    stage VARCHAR, phase VARCHAR, tags JSON, config_hash VARCHAR, git_hash VARCHAR,
    input_hash VARCHAR, signature VARCHAR, meta JSON, started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE, created_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.run_extra (run_id VARCHAR, extra JSON);
CREATE TABLE {db}.artifact (
    id VARCHAR, key VARCHAR, container_uri VARCHAR, root VARCHAR, table_path VARCHAR,
    array_path VARCHAR, driver VARCHAR, hash VARCHAR, content_id VARCHAR,
    parent_artifact_id VARCHAR, run_id VARCHAR, run_signature VARCHAR, meta JSON,
    created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.artifact_content (
    id VARCHAR, content_hash VARCHAR, driver VARCHAR, created_at TIMESTAMP WITH TIME ZONE,
    meta JSON
);
CREATE TABLE {db}.run_artifact_link (
    run_id VARCHAR, artifact_id VARCHAR, direction VARCHAR, is_implicit BOOLEAN
);
CREATE TABLE {db}.run_binding_invocation (
    id VARCHAR, requested_run_id VARCHAR, execution_run_id VARCHAR, cache_source_run_id VARCHAR,
    cache_outcome VARCHAR, binding_json VARCHAR, created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.config_facet (
    id VARCHAR, namespace VARCHAR, schema_name VARCHAR, schema_version VARCHAR, json JSON,
    created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.run_config_kv (
    run_id VARCHAR, facet_id VARCHAR, namespace VARCHAR, key VARCHAR, value_type VARCHAR,
    value_str VARCHAR, value_num DOUBLE, value_int BIGINT, value_bool BOOLEAN, value_json JSON,
    created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.artifact_facet (
    id VARCHAR, namespace VARCHAR, schema_name VARCHAR, schema_version VARCHAR, json JSON,
    created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.artifact_kv (
    artifact_id VARCHAR, facet_id VARCHAR, key_path VARCHAR, namespace VARCHAR,
    value_type VARCHAR, value_str VARCHAR, value_num DOUBLE, value_int BIGINT, value_bool BOOLEAN,
    value_json JSON, created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.artifact_schema (
    id VARCHAR, profile_version INTEGER, summary_json JSON, profile_json JSON,
    created_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.artifact_schema_field (
    schema_id VARCHAR, name VARCHAR, ordinal_position INTEGER, logical_type VARCHAR,
    nullable BOOLEAN, stats_json JSON, is_enum BOOLEAN, enum_values_json JSON
);
CREATE TABLE {db}.artifact_schema_observation (
    id VARCHAR, artifact_id VARCHAR, schema_id VARCHAR, run_id VARCHAR, source VARCHAR,
    sample_rows INTEGER, observed_at TIMESTAMP WITH TIME ZONE
);
CREATE TABLE {db}.artifact_schema_relation (
    schema_id VARCHAR, from_field VARCHAR, to_table VARCHAR, to_field VARCHAR,
    relationship_type VARCHAR, cardinality VARCHAR
);
"""

# What is said of runs after they were recorded, and which runs were removed for good.
_CHANGES = """
CREATE TABLE {db}.run_change (
    id VARCHAR, uid VARCHAR, created_at TIMESTAMP WITH TIME ZONE, author VARCHAR, change JSON
);
CREATE TABLE {db}.consist_purged (
    uid VARCHAR, run_id VARCHAR, purged_at TIMESTAMP WITH TIME ZONE, author VARCHAR
);
CREATE TABLE {db}.package_set (
    id VARCHAR, packages JSON, created_at TIMESTAMP WITH TIME ZONE
);
"""

MIGRATIONS: tuple[str, ...] = (_INITIAL, _CHANGES)
SCHEMA_VERSION = len(MIGRATIONS)
CHANGES_SINCE = 2
"""Schema version with the tables of what was said of runs afterwards."""


def stored_version(connection: DuckDBPyConnection, database: str) -> int:
    """Return the schema version of an attached database; 0 where our tables are not there."""
    return int(store_values(connection, database).get("schema_version", 0))


def create_tables(connection: DuckDBPyConnection, target: str) -> None:
    """Create the tables of the current schema, empty, in a catalog or schema."""
    for script in MIGRATIONS:
        connection.execute(script.format(db=target))


def check_version(found: int, path: str) -> None:
    """Refuse a database that a newer library wrote.

    Raises
    ------
    StoreTooNew
        Naming the file and both versions.
    """
    if found > SCHEMA_VERSION:
        problem = StoreTooNew(path, found, SCHEMA_VERSION)
        raise hint(problem, "upgrade consist, or use the version that wrote the database")


def migrate(connection: DuckDBPyConnection, database: str, path: str) -> bool:
    """Bring an attached, writable database to the current schema; return whether it changed.

    All pending migrations are applied in one transaction.
    """
    found = stored_version(connection, database)
    check_version(found, path)
    if found == SCHEMA_VERSION:
        return False
    connection.begin()
    try:
        for script in MIGRATIONS[found:]:
            connection.execute(script.format(db=database))
        set_value(connection, database, "schema_version", str(SCHEMA_VERSION))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return True


def store_values(connection: DuckDBPyConnection, database: str) -> dict[str, str]:
    """Return the store's own entries, none where our tables are not there.

    ``schema_version``, ``store_id`` and ``generation``, the number of the last merge.
    """
    import duckdb

    try:
        found = connection.execute(f"SELECT key, value FROM {database}.consist_store")
    except duckdb.CatalogException:
        return {}
    return dict(found.fetchall())


def set_value(connection: DuckDBPyConnection, database: str, key: str, value: str) -> None:
    """Write one entry of the store's own table."""
    connection.execute(f"DELETE FROM {database}.consist_store WHERE key = ?", [key])
    connection.execute(f"INSERT INTO {database}.consist_store VALUES (?, ?)", [key, value])
