"""The stored tables are those of the models, and records have the shape of the entities."""

from __future__ import annotations

import re

import duckdb
import pytest
from sqlalchemy.schema import CreateTable

from consist.models.artifact import Artifact, ArtifactContent
from consist.models.base import consist_registry
from consist.models.facet import ArtifactFacet, ArtifactKV, ConfigFacet, RunConfigKV
from consist.models.record import ArtifactRecord, RunRecord
from consist.models.run import (
    PackageSet,
    Run,
    RunArtifactLink,
    RunBindingInvocation,
    RunChange,
    RunExtra,
)
from consist.models.schema import (
    ArtifactSchema,
    ArtifactSchemaField,
    ArtifactSchemaObservation,
    ArtifactSchemaRelation,
)
from consist.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate, stored_version
from consist.store.rows import KEYS
from tests.unit.store.worlds import artifact, run

MODELS = [
    *(Artifact, ArtifactContent, ArtifactFacet, ArtifactKV, ArtifactSchema, ArtifactSchemaField),
    *(ArtifactSchemaObservation, ArtifactSchemaRelation, ConfigFacet, Run, RunArtifactLink),
    *(RunBindingInvocation, RunConfigKV, RunExtra, RunChange, PackageSet),
]


@pytest.fixture
def migrated() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    connection.execute("ATTACH ':memory:' AS fresh")
    assert migrate(connection, "fresh", "a path")
    return connection


def columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = 'fresh' AND table_name = ? ORDER BY column_index",
        [table],
    ).fetchall()


def declared(model: type) -> list[tuple[str, str]]:
    """Return the columns as DuckDB makes them from the model's own DDL."""
    table = model.__table__  # type: ignore[attr-defined]
    ddl = re.sub(r"CREATE TABLE (\w+)", r"CREATE TABLE \1", str(CreateTable(table)))
    connection = duckdb.connect(":memory:")
    for column in table.columns:
        if type(column.type).__name__ == "UTCDateTime":
            ddl = re.sub(rf"\b{column.name} TIMESTAMP\b|\b{column.name} DATETIME\b",
                         f"{column.name} TIMESTAMP WITH TIME ZONE", ddl)  # fmt: skip
    connection.execute(ddl)
    return connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?"
        " ORDER BY column_index",
        [table.name],
    ).fetchall()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_all_migrations_make_the_tables_of_the_models(
    migrated: duckdb.DuckDBPyConnection, model: type
) -> None:
    assert columns(migrated, model.__tablename__) == declared(model)  # type: ignore[attr-defined]


def test_no_model_is_forgotten(migrated: duckdb.DuckDBPyConnection) -> None:
    assert {m.__tablename__ for m in MODELS} == set(KEYS)
    assert set(consist_registry.metadata.tables) == set(KEYS)
    stored = migrated.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'fresh'"
    ).fetchall()
    own = {"consist_store", "consist_journal", "consist_key", "consist_purged"}
    assert {name for (name,) in stored} == set(KEYS) | own


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_keys_are_those_of_the_models(model: type) -> None:
    table = model.__table__  # type: ignore[attr-defined]
    assert KEYS[table.name] == tuple(column.name for column in table.primary_key)


def test_migrations_are_numbered_and_applied_once(migrated: duckdb.DuckDBPyConnection) -> None:
    assert stored_version(migrated, "fresh") == SCHEMA_VERSION == len(MIGRATIONS)
    assert not migrate(migrated, "fresh", "a path")


def test_a_failed_migration_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = duckdb.connect(":memory:")
    connection.execute("ATTACH ':memory:' AS fresh")
    broken = (*MIGRATIONS, "CREATE TABLE {db}.more (x INTEGER); SELECT no_such_thing;")
    monkeypatch.setattr("consist.store.migrations.MIGRATIONS", broken)
    with pytest.raises(duckdb.Error):
        migrate(connection, "fresh", "a path")
    assert connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'fresh'"
    ).fetchone() == (0,)


@pytest.mark.parametrize(("record", "model"), [(RunRecord, Run), (ArtifactRecord, Artifact)])
def test_records_and_entities_have_one_shape(record: type, model: type) -> None:
    fields = set(record.__struct_fields__)  # type: ignore[attr-defined]
    assert fields == set(model.__table__.columns.keys())  # type: ignore[attr-defined]


def test_entities_give_their_records_back() -> None:
    one = run("a", tags=("x",), meta={"k": [1]})
    assert Run.from_record(one).to_record() == one
    other = artifact("a", meta={"k": 1}, parent_artifact_id=artifact().id)
    assert Artifact.from_record(other).to_record() == other
