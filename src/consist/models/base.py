"""The registry of our own tables, and the column types they share.

Users' SQLModel classes live in ``SQLModel.metadata``; ours must not be created along with them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Dialect, String, TypeDecorator
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

consist_registry = registry()


class ConsistModel(SQLModel, registry=consist_registry):
    """Base of the tables of the provenance database."""


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
