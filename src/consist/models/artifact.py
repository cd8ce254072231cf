"""The documented ``Artifact`` and the table of contents that artifacts share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from pydantic import PrivateAttr
from sqlalchemy import JSON
from sqlmodel import Field

from consist.models.base import (
    ConsistModel,
    UTCDateTime,
    UUIDText,
    fields_of,
    instance_of,
    said,
)
from consist.models.record import ArtifactRecord

__all__ = ["Artifact", "ArtifactContent"]

Resolver = Callable[[ArtifactRecord], Path]


class FixedPath(msgspec.Struct, frozen=True):
    """Finds an artifact where it was when it was pickled."""

    path: str

    def __call__(self, record: ArtifactRecord) -> Path:  # noqa: ARG002
        return Path(self.path)


class Artifact(ConsistModel, table=True):
    """One recorded version of a file, or of a table or array inside one.

    Attributes
    ----------
    id : uuid.UUID
        Identity of this version; logging an output again makes a new one.
    key : str
        Semantic name, such as ``"households"``.
    container_uri : str
        Portable location (``scheme://…``, ``./…`` or an absolute path); see :attr:`path`.
    root : str
        Run folder that a ``./…`` URI belongs to, else empty.
    table_path, array_path : str or None
        Part inside a container file.
    driver : str
        Format, for example ``"parquet"``.
    hash : str or None
        Digest of the content when it was logged; ``fast:…`` stands for size and time only.
    content_id : uuid.UUID or None
        Shared by all artifacts of equal content and driver.
    parent_artifact_id : uuid.UUID or None
        Container that this artifact is a part of.
    run_id : str or None
        Run that produced it; ``None`` for raw inputs.
    run_signature : str or None
        Signature of that run.
    meta : dict
        Free metadata.
    created_at : datetime.datetime
        When it was logged, in UTC.
    """

    __tablename__ = "artifact"  # pyright: ignore[reportAssignmentType]

    id: UUID = Field(primary_key=True, sa_type=UUIDText)
    key: str
    container_uri: str
    root: str = ""
    table_path: str | None = None
    array_path: str | None = None
    driver: str = "unknown"
    hash: str | None = None
    content_id: UUID | None = Field(default=None, sa_type=UUIDText)
    parent_artifact_id: UUID | None = Field(default=None, sa_type=UUIDText)
    run_id: str | None = None
    run_signature: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(sa_type=UTCDateTime)

    _resolver: Resolver | None = PrivateAttr(default=None)

    @classmethod
    def from_record(cls, record: ArtifactRecord, resolver: Resolver | None = None) -> Artifact:
        """Make the entity of a record; ``resolver`` gives its :attr:`path`."""
        values = {name: getattr(record, name) for name in record.__struct_fields__}
        for name in ("id", "content_id", "parent_artifact_id"):
            values[name] = None if values[name] is None else UUID(values[name])
        values["meta"] = dict(record.meta)
        return instance_of(cls, values).bind(resolver)

    def bind(self, resolver: Resolver | None) -> Artifact:
        """Let :attr:`path` be found by ``resolver``, and return self."""
        if self.__pydantic_private__ is None:
            object.__setattr__(self, "__pydantic_private__", {})
        self._resolver = resolver
        return self

    def to_record(self) -> ArtifactRecord:
        """Return the frozen record of this entity."""
        values = {name: getattr(self, name) for name in ArtifactRecord.__struct_fields__}
        for name in ("id", "content_id", "parent_artifact_id"):
            values[name] = None if values[name] is None else str(values[name])
        return ArtifactRecord(**values)

    def __consist_identity__(self) -> object:
        """Count in identities by content, or by location where no digest is known."""
        return self.hash or (self.root, self.container_uri, self.table_path, self.array_path)

    def __repr__(self) -> str:
        names = ("key", "driver", "container_uri", "table_path", "array_path", "run_id", "id")
        return said("Artifact", fields_of(self), *names)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from consist.models import html

        known = fields_of(self)
        return html.block(
            f"Artifact {known.get('key', '')}",
            html.facts({label: known.get(name) for name, label in _SHOWN.items()}),
            html.folded("metadata", html.facts(known["meta"])) if known.get("meta") else "",
        )

    @property
    def resolver(self) -> Resolver | None:
        """What finds :attr:`path`; a tracker's own rule as long as it made the artifact."""
        return (self.__pydantic_private__ or {}).get("_resolver")

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the tracker behind: a copy in another process keeps the path as it is now."""
        state: dict[Any, Any] = super().__getstate__()
        resolver = None if self.resolver is None else FixedPath(str(self.path))
        return {**state, "__pydantic_private__": {"_resolver": resolver}}

    @property
    def path(self) -> Path:
        """Where the bytes should be on this machine, found anew at each access.

        The file need not exist: a cache hit gives back records, not bytes.
        """
        if self.resolver is not None:
            return self.resolver(self.to_record())
        uri = self.container_uri
        return Path(self.root, uri[2:]) if uri.startswith("./") and self.root else Path(uri)


_SHOWN = {
    "driver": "format",
    "container_uri": "location",
    "table_path": "table",
    "array_path": "array",
    "run_id": "made by",
    "hash": "content",
    "created_at": "recorded",
    "id": "id",
}


class ArtifactContent(ConsistModel, table=True):
    """One distinct content, however many artifacts have it."""

    __tablename__ = "artifact_content"  # pyright: ignore[reportAssignmentType]

    id: UUID = Field(primary_key=True, sa_type=UUIDText)
    content_hash: str
    driver: str
    created_at: datetime = Field(sa_type=UTCDateTime)
    meta: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
