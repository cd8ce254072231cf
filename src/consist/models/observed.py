"""What columns tables had: layouts, and where they were observed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

SchemaSource = Literal["file", "duckdb", "user_provided", "dlt"]

PROFILE_VERSION = 1
"""Version of what is captured; it is part of what the id of a layout is made of."""


class SchemaField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of a table.

    Attributes
    ----------
    name : str
        As the table has it.
    type : str
        The DuckDB type.
    nullable : bool
        Whether a value may be missing.
    stats : dict or None
        What was seen in the rows that were looked at.
    values : tuple or None
        All values of a column that has but a few of them.
    """

    name: str
    type: str
    nullable: bool = True
    stats: dict[str, Any] | None = None
    values: tuple[Any, ...] | None = None


class SchemaRelation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column refers to a column of another table."""

    from_field: str
    to_table: str
    to_field: str
    kind: str = "foreign_key"
    cardinality: str | None = None


class SchemaRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The layout of a table; tables of the same columns, in one order, share its id.

    Attributes
    ----------
    id : str
        Digest of the names, types and nullabilities, in order.
    fields : tuple of SchemaField
        The columns.
    summary : dict
        What is said in short: ``table_name``, ``n_columns`` and ``n_rows``, as far as known.
    profile : dict or None
        What else is known of the table, such as what a model says that has no column of its own.
    relations : tuple of SchemaRelation
        What the columns refer to.
    """

    id: str
    fields: tuple[SchemaField, ...]
    summary: dict[str, Any] = {}
    profile: dict[str, Any] | None = None
    relations: tuple[SchemaRelation, ...] = ()


class ObservedSchema(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A layout was seen on an artifact.

    Attributes
    ----------
    id : str
        Random.
    artifact_id : str
        The artifact.
    schema_id : str
        The layout.
    source : {"file", "duckdb", "user_provided", "dlt"}
        Where it was seen: in a file or frame, in the database, in a model, in what dlt loaded.
    sample_rows : int or None
        How many rows were looked at.
    at : datetime.datetime
        When.
    layout : SchemaRecord or None
        The layout itself; ``None`` where a run has told it before.
    key, content : str or None
        Key of the artifact and what stands for its content, where its record does not travel
        along.
    """

    id: str
    artifact_id: str
    schema_id: str
    source: SchemaSource
    at: datetime
    sample_rows: int | None = None
    layout: SchemaRecord | None = None
    key: str | None = None
    content: str | None = None


def layout(
    fields: Iterable[SchemaField],
    *,
    summary: dict[str, Any] | None = None,
    profile: dict[str, Any] | None = None,
    relations: Iterable[SchemaRelation] = (),
) -> SchemaRecord:
    """Return the layout of these columns, with its id.

    Examples
    --------
    >>> one = layout([SchemaField(name="id", type="BIGINT")])
    >>> one.id == layout([SchemaField(name="id", type="BIGINT", stats={"nulls": 0})]).id
    True
    """
    listed = tuple(fields)
    said = ["consist:schema", PROFILE_VERSION, [[f.name, f.type, f.nullable] for f in listed]]
    digest = hashlib.sha256(msgspec.json.encode(said)).hexdigest()
    return SchemaRecord(
        id=digest,
        fields=listed,
        summary={"n_columns": len(listed), **(summary or {})},
        profile=profile,
        relations=tuple(relations),
    )
