"""A SQLModel as the columns of a view, and a view as a SQLModel."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, cast

from sqlalchemy import Column, Integer, MetaData, String, Table, TypeDecorator
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

from consist.errors import UsageError, WrongType, a_kind, hint
from consist.views.united import SYSTEM_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.types import TypeEngine


def check_model(model: object) -> type[SQLModel]:
    """Return a class if it is a SQLModel with columns.

    Raises
    ------
    WrongType
        If it is not.
    """
    if not (isinstance(model, type) and issubclass(model, SQLModel)):
        shown = model.__name__ if isinstance(model, type) else a_kind(model)
        problem = WrongType(f"a view takes a SQLModel class, not {shown}")
        raise hint(problem, "class Person(SQLModel): ...")
    if not model.model_fields:
        raise UsageError(f"{model.__name__} has no fields, so a view of it has no columns")
    return model


def table_name_of(model: type[SQLModel]) -> str:
    """Return ``__tablename__``, which SQLModel derives from the name of the class."""
    return str(cast("object", model.__tablename__))


def columns_of(model: type[SQLModel]) -> dict[str, tuple[str, TypeEngine[Any]]]:
    """Return the columns of a model by attribute: their names and types, in the model's order.

    A model needs no table for it; fields that SQLModel cannot give a column are an error.
    """
    from sqlmodel import main

    column_of = cast("Callable[[Any], Column[Any]]", main.get_column_from_field)
    found: dict[str, tuple[str, TypeEngine[Any]]] = {}
    for name, info in model.model_fields.items():
        try:
            column = column_of(info)
        except (ValueError, TypeError) as error:
            problem = UsageError(f"field {name!r} of {model.__name__} has no column type: {error}")
            raise hint(problem, "give it one with Field(sa_type=...)") from error
        found[name] = (column.name or name, column.type)
    return found


def duckdb_types(model: type[SQLModel]) -> dict[str, str]:
    """Return the columns of a model by name, with DuckDB's types.

    System columns are none of them, since every view has its own.
    """
    from duckdb_sqlalchemy import Dialect

    dialect, found = Dialect(), dict[str, str]()
    for name, kind in columns_of(model).values():
        if name in SYSTEM_COLUMNS:
            continue
        try:
            found[name] = _sql_type(kind, dialect)
        except CompileError as error:
            raise UsageError(f"column {name!r} of {model.__name__}: {error}") from error
    return found


def _sql_type(kind: Any, dialect: Any) -> str:
    from sqlalchemy import BLOB, Enum, Float, LargeBinary, Uuid

    plain = kind.impl if isinstance(kind, TypeDecorator) else kind
    if isinstance(plain, Enum):
        return "VARCHAR"
    if isinstance(plain, Uuid):
        return "UUID"
    if isinstance(plain, Integer) and type(plain) is Integer:
        return "BIGINT"  # Python's whole numbers know no 32 bits, and neither do ids
    if isinstance(plain, Float):
        return "DOUBLE"
    if isinstance(plain, (LargeBinary, BLOB)):
        return "BLOB"
    if isinstance(plain, String):
        return "VARCHAR"
    return str(kind.compile(dialect=dialect))


# ---------------------------------------------------------------- mapped classes

_numbers = itertools.count(1)


class _RowNumber(TypeDecorator[int]):
    """A number of its own for each row that is read, whatever the column holds.

    An ORM session takes two rows of one primary key for one object. The rows of a view have no
    key: ``person_id`` comes again in each run.
    """

    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> int:  # noqa: ARG002
        """Return the next number."""
        return next(_numbers)


_ROW = "consist_row"
_SYSTEM: dict[str, tuple[type, type[TypeEngine[Any]]]] = {
    name: (str, String) if kind == "VARCHAR" else (int, Integer)
    for name, kind in SYSTEM_COLUMNS.items()
}


def view_class(model: type[SQLModel], view_name: str) -> type[Any]:
    """Return a SQLModel class that is mapped to a view.

    It has the attributes of the model and the five system columns. Its table is in a metadata
    collection of its own, so that nobody creates it, and every row is an object of its own.
    """
    fields: dict[str, tuple[Any, None]] = {
        name: (Optional[cast("Any", info.annotation)], None)  # noqa: UP045 - of any annotation
        for name, info in model.model_fields.items()
    }
    system: dict[str, tuple[Any, None]] = {
        name: (kind | None, None) for name, (kind, _) in _SYSTEM.items()
    }
    columns = columns_of(model)
    mapped: dict[str, Any] = {
        name: Column(column, _mapped_type(kind), key=name)
        for name, (column, kind) in columns.items()
    }
    mapped |= {name: Column(name, kind) for name, (_, kind) in _SYSTEM.items()}
    # A table cannot have one column twice, but DuckDB does not tell upper case from lower.
    mapped[_ROW] = Column("CONSIST_RUN_ID", _RowNumber, key=_ROW, primary_key=True)
    return _mapped(model, view_name, {**fields, **system}, mapped)


def _mapped_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    from sqlalchemy import Enum

    plain = kind.impl if isinstance(kind, TypeDecorator) else kind  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    # SQLAlchemy reads the names of an enumeration; data hold its values.
    return String() if isinstance(plain, Enum) else kind


def _mapped(
    model: type[SQLModel],
    view_name: str,
    fields: Mapping[str, tuple[Any, None]],
    columns: Mapping[str, Column[Any]],
) -> type[Any]:
    namespace = {
        "__annotations__": {name: kind for name, (kind, _) in fields.items()},
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": f"The rows of view {view_name}: {model.__name__} of every run.",
        "__tablename__": view_name,
        **{name: default for name, (_, default) in fields.items()},
    }
    made: Any = type(SQLModel)(model.__name__, (SQLModel,), namespace)
    table = Table(view_name, MetaData(), *columns.values())
    own = registry(metadata=table.metadata)
    own.map_imperatively(made, table)
    made.model_config["table"] = True
    made.__table__ = table
    return made
