"""A SQLModel class as columns: what DuckDB is to hold, and what has to be true of the values.

Names and types come from the fields; where a field brings a column or type of SQLAlchemy, its
name, length, precision and zone count. What no query can check, such as a validator in Python, is
listed, so that nobody takes it for checked; what has no counterpart at all is an error.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from consist.errors import ModelUnusable, hint
from consist.hot import model_rules
from consist.hot.model_rules import Rule, sql_value
from consist.store.global_tables import is_reserved

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from sqlmodel import SQLModel

ADDITIVE = "__consist_additive_schema__"
_DECIMAL = "DECIMAL(38,10)"
_PLAIN: dict[Any, tuple[str, str]] = {
    int: ("integer", "BIGINT"),
    float: ("float", "DOUBLE"),
    str: ("text", "VARCHAR"),
    bool: ("boolean", "BOOLEAN"),
    datetime: ("timestamp", "TIMESTAMP"),
    date: ("date", "DATE"),
    time: ("time", "TIME"),
    Decimal: ("decimal", _DECIMAL),
    UUID: ("uuid", "UUID"),
    bytes: ("bytes", "BLOB"),
    dict: ("object", "JSON"),
    list: ("list", "JSON"),
    Mapping: ("object", "JSON"),
}


@dataclass(frozen=True)
class ModelColumn:
    """One column of a model.

    Attributes
    ----------
    name, field : str
        Its name in data and table, and that of the field.
    kind : str
        What values it takes: integer, float, decimal, text, boolean, date, timestamp, zoned, time,
        uuid, bytes, object, list, json.
    type : str
        Type of DuckDB.
    nullable : bool
        Whether values may be missing.
    required : bool
        Whether the data must have it.
    default : object
        Value of every row where the data lack it.
    rules : tuple of Rule
        What has to be true of each value that is there.
    """

    name: str
    field: str
    kind: str
    type: str
    nullable: bool
    required: bool
    default: object = None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class CompiledModel:
    """Columns of a model, which of them are unique together, and what nothing here checks."""

    name: str
    columns: tuple[ModelColumn, ...]
    additive: bool
    unique: tuple[tuple[str, ...], ...]
    """Names of columns that no two rows may have in common; none may be missing in the first
    of these if ``has_key``."""
    has_key: bool
    unchecked: tuple[str, ...]


def duckdb_types(model: type[SQLModel]) -> dict[str, str]:
    """Return the columns of a model by name, with DuckDB's types.

    Raises
    ------
    ModelUnusable
        If a field has no counterpart there.
    """
    return {column.name: column.type for column in compiled(model).columns}


def compiled(model: type[SQLModel]) -> CompiledModel:
    """Return what a model asks of the rows of a table.

    Raises
    ------
    ModelUnusable
        If a field has a type or rule that DuckDB cannot hold or check, naming both.
    """
    unchecked: list[str] = []
    columns = [
        _column(model, name, info, unchecked)
        for name, info in model.model_fields.items()
        if not is_reserved(_column_name(model, name, info))
    ]
    if not columns:
        raise ModelUnusable(model.__name__, None, "has no columns")
    key, unique, checks = _of_table(model)
    unchecked += _validators(model) + checks
    return CompiledModel(
        name=model.__name__,
        columns=tuple(columns),
        additive=bool(getattr(model, ADDITIVE, False)),
        unique=tuple([key, *unique] if key else unique),
        has_key=bool(key),
        unchecked=tuple(unchecked),
    )


def stated_column(model: type[SQLModel], field: str) -> Any:
    """Return a column of SQLAlchemy for a field that SQLModel has none for, such as a Literal.

    Raises
    ------
    ModelUnusable
        If it has no counterpart at all.
    """
    import sqlalchemy as sa

    column = _column(model, field, model.model_fields[field], [])
    kinds: dict[str, Any] = {
        "integer": sa.BigInteger,
        "boolean": sa.Boolean,
        "object": sa.JSON,
        "list": sa.JSON,
        "zoned": sa.DateTime(timezone=True),
        "naive": sa.DateTime(timezone=False),
    }
    return sa.Column(column.name, kinds.get(column.kind, sa.String), nullable=column.nullable)


# ---------------------------------------------------------------- a column


def _column(model: type[SQLModel], name: str, info: FieldInfo, unchecked: list[str]) -> ModelColumn:
    from pydantic_core import PydanticUndefined

    annotation, optional, metadata = _unwrapped(info.annotation, list(info.metadata))
    given = _given(info)
    kind, kept_as, values = _kind(model, name, annotation, given)
    found = model_rules.from_metadata(metadata)
    unchecked += [f"{what} of field {name!r}" for what in found.unknown]
    if kind in {"object", "list"} and _has_parts(annotation):
        unchecked.append(f"what is inside field {name!r}")
    if kind == "decimal":
        kept_as = _decimal(model, name, found.facts, given)
    facts = dict(found.facts)
    # SQLModel takes regex= and hands it to nobody.
    regex = getattr(info, "_attributes_set", {}).get("regex")
    if regex is not None:
        facts.setdefault("pattern", regex)
    length = getattr(given, "length", None)
    if kind == "text" and length is not None and values is None:
        facts["max_length"] = min(length, facts.get("max_length", length))
    try:
        rules = model_rules.rules_of(kind, facts, values)
    except ValueError as error:
        raise ModelUnusable(model.__name__, name, str(error)) from error
    column = _sa_column(model, name, info)
    has_default = info.default is not PydanticUndefined and info.default is not ...
    if column is not None and not column.nullable:
        optional = False
    return ModelColumn(
        name=_column_name(model, name, info),
        field=name,
        kind=kind,
        type=kept_as,
        nullable=optional,
        required=not has_default,
        default=info.default if has_default else None,
        rules=tuple(rules),
    )


def _column_name(model: type[SQLModel], name: str, info: FieldInfo) -> str:
    column = _sa_column(model, name, info)
    if column is not None and column.name:
        return str(column.name)
    alias = info.validation_alias or info.alias
    is_table = hasattr(model, "__table__")
    return alias if isinstance(alias, str) and not is_table else name


def _sa_column(model: type[SQLModel], name: str, info: FieldInfo) -> Any:
    """Return the column of SQLAlchemy that belongs to a field, if there is one."""
    given = _option(info, "sa_column")
    if given is not None:
        return given
    table: Any = getattr(model, "__table__", None)
    return None if table is None else table.columns.get(name)


def _option(info: FieldInfo, name: str) -> Any:
    """Return what a field says of its column; it says so itself or in its metadata."""
    from pydantic_core import PydanticUndefined

    for place in (info, *info.metadata):
        found = getattr(place, name, PydanticUndefined)
        if found is not PydanticUndefined and type(place).__module__.startswith("sqlmodel"):
            return found
    return None


def _given(info: FieldInfo) -> Any:
    """Return the type of SQLAlchemy that a field brings, if it does."""
    column = _option(info, "sa_column")
    found = _option(info, "sa_type") if column is None else column.type
    found = found() if isinstance(found, type) else found
    return getattr(found, "impl_instance", found)


def _unwrapped(annotation: Any, metadata: list[Any]) -> tuple[Any, bool, list[Any]]:
    """Return a type without ``Annotated`` and ``None``, whether it had one, and what is said."""
    optional = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *said = typing.get_args(annotation)
            metadata += said
        elif origin in {typing.Union, types.UnionType}:
            inner = [part for part in typing.get_args(annotation) if part is not type(None)]
            optional = optional or len(inner) < len(typing.get_args(annotation))
            if len(inner) != 1:
                return annotation, optional, metadata
            annotation = inner[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation, optional or annotation is Any, metadata


def _has_parts(annotation: Any) -> bool:
    parts = [part for part in typing.get_args(annotation) if part not in {Any, str}]
    return bool(parts) or (isinstance(annotation, type) and annotation not in _PLAIN)


# ---------------------------------------------------------------- types


def _kind(
    model: type[SQLModel], name: str, annotation: Any, given: Any
) -> tuple[str, str, tuple[object, ...] | None]:
    """Return what a field takes, as what it is kept, and the values it is limited to."""
    values = _choices(annotation)
    if values is not None:
        kinds = {type(value) for value in values}
        if len(kinds) == 1 and kinds <= {str, int, bool}:
            return *_PLAIN[kinds.pop()], values
        raise _no_counterpart(model, name, annotation, "its values are not all text or all whole")
    plain = typing.get_origin(annotation) or annotation
    found = _of_column(plain, given) or _PLAIN.get(plain) or _of_class(plain)
    if found is None and plain is Any and given is not None:
        found = _of_sql(given)
    if found is None:
        raise _no_counterpart(model, name, annotation, "no type of DuckDB stands for it")
    return *found, None


_ZONED = ("zoned", "TIMESTAMP WITH TIME ZONE")
_NAIVE = ("naive", "TIMESTAMP")


def _of_column(plain: Any, given: Any) -> tuple[str, str] | None:
    """Return what a type of SQLAlchemy makes of a field beyond its annotation."""
    import sqlalchemy as sa

    if isinstance(given, sa.JSON):
        return {dict: "object", list: "list"}.get(plain, "json"), "JSON"
    if plain is datetime and isinstance(given, sa.DateTime):
        return _ZONED if given.timezone else _NAIVE
    if plain is int and isinstance(given, sa.SmallInteger):
        return "integer", "SMALLINT"
    return None


def _of_class(plain: Any) -> tuple[str, str] | None:
    from pydantic import AwareDatetime, BaseModel, NaiveDatetime

    if plain is AwareDatetime:
        return _ZONED
    if plain is NaiveDatetime:
        return _NAIVE
    if typing.is_typeddict(plain) or (isinstance(plain, type) and issubclass(plain, BaseModel)):
        return "object", "JSON"
    return None


def _choices(annotation: Any) -> tuple[object, ...] | None:
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return tuple(member.value for member in annotation)
    return None


def _of_sql(given: Any) -> tuple[str, str] | None:
    import sqlalchemy as sa

    if isinstance(given, sa.DateTime) and given.timezone:
        return _ZONED
    try:
        return _PLAIN.get(given.python_type)
    except NotImplementedError:
        return None


def _decimal(model: type[SQLModel], name: str, facts: Mapping[str, Any], given: Any) -> str:
    scale = facts.get("decimal_places", getattr(given, "scale", None))
    digits = facts.get("max_digits", getattr(given, "precision", None))
    if scale is None:
        return _DECIMAL
    if (digits or 0) > 38 or scale > 38:
        raise _no_counterpart(model, name, Decimal, "DuckDB holds at most 38 digits")
    return f"DECIMAL({max(1, scale, digits or 38)},{scale})"


def _no_counterpart(
    model: type[SQLModel], name: str, annotation: object, reason: str
) -> ModelUnusable:
    text = getattr(annotation, "__name__", None) or str(annotation)
    return hint(
        ModelUnusable(model.__name__, name, f"is of type {text}: {reason}"),
        "declare int, float, str, bool, date, datetime, time, Decimal, UUID, bytes, an Enum or"
        " Literal of texts or whole numbers, or give it a column of type JSON",
    )


# ---------------------------------------------------------------- whole tables


def _of_table(
    model: type[SQLModel],
) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
    """Return primary key, other unique columns, and the names of checks written in SQL."""
    import sqlalchemy as sa

    table: Any = getattr(model, "__table__", None)
    if table is None:
        named = {n: _column_name(model, n, info) for n, info in model.model_fields.items()}
        flags: Callable[[str], Iterable[str]] = lambda flag: (  # noqa: E731
            named[n] for n, info in model.model_fields.items() if _is_set(info, flag)
        )
        return tuple(flags("primary_key")), [(name,) for name in flags("unique")], []
    unique = [(column.name,) for column in table.columns if column.unique]
    checks: list[str] = []
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            names = tuple(column.name for column in constraint.columns)
            unique += [] if names in unique else [names]
        elif isinstance(constraint, sa.CheckConstraint) and not getattr(
            constraint, "_type_bound", False
        ):
            checks.append(f"CHECK ({constraint.sqltext})")
    return tuple(column.name for column in table.primary_key.columns), unique, checks


def _is_set(info: FieldInfo, flag: str) -> bool:
    column = _option(info, "sa_column")
    return bool(_option(info, flag) if column is None else getattr(column, flag))


def _validators(model: type[SQLModel]) -> list[str]:
    found = cast("Any", model).__pydantic_decorators__
    groups = (found.validators, found.field_validators, found.root_validators,
              found.model_validators)  # fmt: skip
    return [f"validator {name}()" for group in groups for name in group]


def default_sql(column: ModelColumn) -> str:
    """Return SQL for the value that rows get where the data lack a column."""
    return f"CAST({sql_value(column.default)} AS {column.type})"
