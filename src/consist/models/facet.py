"""Tables of facets: small values for questions, apart from the config that is hashed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Double
from sqlmodel import Field

from consist.models.base import ConsistModel, UTCDateTime, UUIDText

__all__ = ["ArtifactFacet", "ArtifactKV", "ConfigFacet", "RunConfigKV"]


class ConfigFacet(ConsistModel, table=True):
    """One distinct facet of a namespace and schema, stored once however many runs have it.

    ``id`` is the digest of its JSON: the same values under another schema have the same id.
    """

    __tablename__ = "config_facet"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    namespace: str = Field(primary_key=True)
    schema_name: str | None = Field(default=None, primary_key=True)
    schema_version: str | None = Field(default=None, primary_key=True)
    facet_json: dict[str, Any] = Field(default_factory=dict, sa_column=Column("json", JSON))
    created_at: datetime = Field(sa_type=UTCDateTime)


class RunConfigKV(ConsistModel, table=True):
    """One leaf of a run's facet under its dotted key, in the column of its type.

    ``value_type`` is ``str``, ``int``, ``float``, ``bool``, ``null`` or ``json``. A number stands
    in ``value_num``; a whole one also in ``value_int``, or in ``value_str`` if it has more than 64
    bits. What JSON has no place for in a list is in ``value_str``, as Python's ``json`` writes it.
    """

    __tablename__ = "run_config_kv"  # pyright: ignore[reportAssignmentType]

    run_id: str = Field(primary_key=True)
    facet_id: str = Field(primary_key=True)
    namespace: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    value_type: str
    value_str: str | None = None
    value_num: float | None = Field(default=None, sa_type=Double)
    value_int: int | None = Field(default=None, sa_type=BigInteger)
    value_bool: bool | None = None
    value_json: Any | None = Field(default=None, sa_type=JSON)
    created_at: datetime = Field(sa_type=UTCDateTime)


class ArtifactFacet(ConsistModel, table=True):
    """One distinct facet of artifacts; as :class:`ConfigFacet`."""

    __tablename__ = "artifact_facet"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    namespace: str = Field(primary_key=True)
    schema_name: str | None = Field(default=None, primary_key=True)
    schema_version: str | None = Field(default=None, primary_key=True)
    facet_json: dict[str, Any] = Field(default_factory=dict, sa_column=Column("json", JSON))
    created_at: datetime = Field(sa_type=UTCDateTime)


class ArtifactKV(ConsistModel, table=True):
    """One leaf of an artifact's facet under its dotted key, in the column of its type."""

    __tablename__ = "artifact_kv"  # pyright: ignore[reportAssignmentType]

    artifact_id: str = Field(primary_key=True, sa_type=UUIDText)
    facet_id: str = Field(primary_key=True)
    key_path: str = Field(primary_key=True)
    namespace: str = Field(primary_key=True)
    value_type: str
    value_str: str | None = None
    value_num: float | None = Field(default=None, sa_type=Double)
    value_int: int | None = Field(default=None, sa_type=BigInteger)
    value_bool: bool | None = None
    value_json: Any | None = Field(default=None, sa_type=JSON)
    created_at: datetime = Field(sa_type=UTCDateTime)
