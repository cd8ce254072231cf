"""What columns a SQLModel class says that a table has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from consist.hot.model_columns import stated_column
from consist.models.observed import SchemaField, SchemaRecord, SchemaRelation, layout

_NOTES = {"primary_key": True, "unique": True}


def layout_of_model(model: type[Any]) -> SchemaRecord | None:
    """Return the layout that a class states, with its foreign keys; ``None`` if it states none.

    Examples
    --------
    >>> from sqlmodel import SQLModel
    >>> class Trip(SQLModel):
    ...     cost: float | None = None
    >>> [(f.name, f.type, f.nullable) for f in layout_of_model(Trip).fields]
    [('cost', 'DOUBLE', True)]
    """
    columns = columns_of(model)
    if not columns:
        return None
    relations = [
        SchemaRelation(from_field=name, to_table=table, to_field=field)
        for name, column in columns.items()
        for table, field in [_target(column)]
        if table
    ]
    table = getattr(model, "__tablename__", None)
    return layout(
        [_field(name, column) for name, column in columns.items()],
        summary={"table_name": table if isinstance(table, str) else model.__name__.lower()},
        profile={"model": f"{model.__module__}.{model.__qualname__}"},
        relations=relations,
    )


def columns_of(model: type[Any]) -> dict[str, Any]:
    """Return SQLAlchemy's columns of a class by the names that the table has; none of others.

    A class that is abstract, as generated ones are, has no table, but its fields tell the same.
    """
    table = getattr(model, "__table__", None)
    if table is not None:
        return {str(column.name): column for column in table.columns}
    from sqlmodel import SQLModel, main

    library: Any = main
    if not issubclass(model, SQLModel):
        return {}
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        try:
            column: Any = library.get_column_from_field(field)
        except (TypeError, ValueError):  # a Literal, a list: SQLModel has no column for them
            column = stated_column(model, name)
        found[str(column.name or name)] = column
    return found


def _field(name: str, column: Any) -> SchemaField:
    kind, values = type_of(column.type)
    stats: dict[str, Any] = {note: True for note in _NOTES if getattr(column, note, None)}
    length = getattr(column.type, "length", None)
    if isinstance(length, int) and kind == "VARCHAR" and values is None:
        stats["max_length"] = length
    nullable = bool(column.nullable) and not column.primary_key
    return SchemaField(name=name, type=kind, nullable=nullable, stats=stats or None, values=values)


def _target(column: Any) -> tuple[str, str]:
    """Return table and column that a column refers to, empty where it refers to none."""
    keys: Iterable[Any] = sorted(column.foreign_keys, key=lambda key: str(key.target_fullname))
    for key in keys:
        table, _, field = str(key.target_fullname).rpartition(".")
        return table, field
    return "", ""


def type_of(kind: Any) -> tuple[str, tuple[Any, ...] | None]:
    """Return the DuckDB type of a column of SQLAlchemy, and all its values if it lists them."""
    import sqlalchemy as sa

    if isinstance(kind, sa.Enum):
        return "VARCHAR", tuple(kind.enums)
    if isinstance(kind, sa.Interval):  # which is made of another type
        return "INTERVAL", None
    if isinstance(kind, sa.TypeDecorator):
        return type_of(kind.impl)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if isinstance(kind, sa.DateTime):
        return ("TIMESTAMP WITH TIME ZONE" if kind.timezone else "TIMESTAMP"), None
    if isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float):
        return (
            f"DECIMAL({kind.precision or 18},{kind.scale if kind.scale is not None else 3})",
            None,
        )
    if isinstance(kind, sa.ARRAY):
        return f"{type_of(kind.item_type)[0]}[]", None
    for known, name in (
        (sa.BigInteger, "BIGINT"),
        (sa.SmallInteger, "SMALLINT"),
        (sa.Integer, "INTEGER"),
        (sa.Boolean, "BOOLEAN"),
        (sa.REAL, "FLOAT"),
        (sa.Float, "DOUBLE"),
        (sa.Date, "DATE"),
        (sa.Time, "TIME"),
        (sa.Uuid, "UUID"),
        (sa.JSON, "JSON"),
        (sa.LargeBinary, "BLOB"),
    ):
        if isinstance(kind, known):
            return name, None
    return "VARCHAR", None
