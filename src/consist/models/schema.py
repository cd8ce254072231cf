"""Tables of captured schemas: what columns the recorded tables had."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field

from consist.models.base import ConsistModel, UTCDateTime, UUIDText

__all__ = [
    "ArtifactSchema",
    "ArtifactSchemaField",
    "ArtifactSchemaObservation",
    "ArtifactSchemaRelation",
]


class ArtifactSchema(ConsistModel, table=True):
    """One distinct layout of a table; equal layouts share it."""

    __tablename__ = "artifact_schema"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    profile_version: int = 1
    summary_json: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    profile_json: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    created_at: datetime = Field(sa_type=UTCDateTime)


class ArtifactSchemaField(ConsistModel, table=True):
    """One column of a layout."""

    __tablename__ = "artifact_schema_field"  # pyright: ignore[reportAssignmentType]

    schema_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    ordinal_position: int
    logical_type: str
    nullable: bool = True
    stats_json: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    is_enum: bool = False
    enum_values_json: list[Any] | None = Field(default=None, sa_type=JSON)


class ArtifactSchemaObservation(ConsistModel, table=True):
    """A layout was seen on an artifact: by whom, and from how many rows."""

    __tablename__ = "artifact_schema_observation"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    artifact_id: str = Field(sa_type=UUIDText)
    schema_id: str
    run_id: str | None = None
    source: str
    sample_rows: int | None = None
    observed_at: datetime = Field(sa_type=UTCDateTime)


class ArtifactSchemaRelation(ConsistModel, table=True):
    """A column refers to a column of another table."""

    __tablename__ = "artifact_schema_relation"  # pyright: ignore[reportAssignmentType]

    schema_id: str = Field(primary_key=True)
    from_field: str = Field(primary_key=True)
    to_table: str
    to_field: str
    relationship_type: str = "foreign_key"
    cardinality: str | None = None
