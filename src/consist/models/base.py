"""The registry of our own tables, and the column types they share.

Users' SQLModel classes live in ``SQLModel.metadata``; ours must not be created along with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import DateTime, Dialect, String, TypeDecorator
from sqlalchemy.orm import class_mapper, registry
from sqlmodel import SQLModel

consist_registry = registry()


class ConsistModel(SQLModel, registry=consist_registry):
    """Base of the tables of the provenance database."""


E = TypeVar("E", bound="ConsistModel")


def instance_of(model: type[E], values: dict[str, Any]) -> E:
    """Return an object with these column values, all of them given.

    SQLModel's own constructor sets each one through the ORM's instrumentation, for a change that
    nobody will flush; this takes a tenth of the time.
    """
    instance: Any = class_mapper(model).class_manager.new_instance()
    instance.__dict__.update(values)
    for name, value in _PYDANTIC_STATE.items():
        object.__setattr__(instance, name, value() if callable(value) else value)
    object.__setattr__(instance, "__pydantic_fields_set__", set(values))
    return instance


def fields_of(entity: ConsistModel) -> dict[str, Any]:
    """Return the loaded fields of an entity by name; looking never asks a database."""
    return {name: value for name, value in vars(entity).items() if not name.startswith("_")}


def said(kind: str, known: Mapping[str, Any], *names: str) -> str:
    """Return an object as one line: of these fields, those that are known."""
    shown = ((name, known.get(name)) for name in names)
    facts = (f"{name}={_plain(value)!r}" for name, value in shown if value is not None)
    return f"{kind}({', '.join(facts)})"


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value


_PYDANTIC_STATE: dict[str, Any] = {"__pydantic_extra__": None, "__pydantic_private__": dict}


class UUIDText(TypeDecorator[UUID]):
    """A UUID as its 36 characters, which reads well in SQL."""

    impl = String(36)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write a UUID or its text as text."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:  # noqa: ARG002
        """Read the text as a UUID."""
        return None if value is None else UUID(str(value))


class UTCDateTime(TypeDecorator[datetime]):
    """A point in time, always aware and always UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read the value as UTC, whatever zone the connection speaks."""
        return None if value is None else value.astimezone(UTC)
