"""The documented ``Run``, its links to artifacts, and what is known of it in one record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

import msgspec
from sqlalchemy import JSON
from sqlmodel import Field

from consist.models.artifact import Artifact, Resolver
from consist.models.base import (
    ConsistModel,
    UTCDateTime,
    UUIDText,
    fields_of,
    instance_of,
    said,
)
from consist.models.record import EXPLANATION, RunDocument, RunRecord

__all__ = [
    "ConsistRecord",
    "PackageSet",
    "Run",
    "RunArtifactLink",
    "RunBindingInvocation",
    "RunChange",
    "RunExtra",
]


def __getattr__(name: str) -> Any:
    """Find what a run returns here as well, where it is documented."""
    if name in {"RunArtifacts", "RunResult"}:
        return getattr(import_module("consist.models.result"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Run(ConsistModel, table=True):
    """One execution of a step, or one time that an earlier execution was given back.

    The database keeps hashes and what is asked for often; the full config lies in the JSON
    snapshot of the run.

    Attributes
    ----------
    id : str
        Unique id. The first run that asks for an id gets it, later ones ``<id>~2``, ``~3``, …
    uid : str
        Internal id, unique without anybody's agreement.
    requested_id : str
        The id that was asked for.
    attempt : int
        The how-many-eth run of that id this is.
    parent_run_id : str or None
        Scenario header or outer run.
    status : str
        ``running``, ``completed``, ``failed`` or ``interrupted``.
    model_name : str
        Model or workflow.
    description : str or None
        Purpose, for people.
    year, iteration : int or None
        Part of the run's identity.
    stage, phase : str or None
        Labels for questions.
    tags : list of str
        Labels for questions.
    config_hash, git_hash, input_hash : str or None
        Digests of config, code and inputs; together they make ``signature``.
    signature : str or None
        What makes two runs the same.
    meta : dict
        Free metadata.
    started_at, ended_at, created_at, updated_at : datetime.datetime
        In UTC; ``ended_at`` is ``None`` while the run is active.
    """

    __tablename__ = "run"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    uid: str = ""
    requested_id: str = ""
    attempt: int = 1
    parent_run_id: str | None = None
    status: str = "running"
    model_name: str
    description: str | None = None
    year: int | None = None
    iteration: int | None = None
    stage: str | None = None
    phase: str | None = None
    tags: list[str] = Field(default_factory=list, sa_type=JSON)
    config_hash: str | None = None
    git_hash: str | None = None
    input_hash: str | None = None
    signature: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    started_at: datetime = Field(sa_type=UTCDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)

    @classmethod
    def from_record(cls, record: RunRecord) -> Run:
        """Make the entity of a record."""
        values = {name: getattr(record, name) for name in record.__struct_fields__}
        values["tags"], values["meta"] = list(record.tags), dict(record.meta)
        return instance_of(cls, values)

    def to_record(self) -> RunRecord:
        """Return the frozen record of this entity."""
        values = {name: getattr(self, name) for name in RunRecord.__struct_fields__}
        values["tags"] = tuple(self.tags)
        return RunRecord(**values)

    def __repr__(self) -> str:
        return said("Run", fields_of(self), "id", "model_name", "status", "year", "iteration")

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from consist.models import html

        known = fields_of(self)
        return html.block(
            f"Run {known.get('id', '')}",
            html.facts({label: known.get(name) for name, label in _SHOWN.items()}),
            html.folded("metadata", html.facts(known["meta"])) if known.get("meta") else "",
        )

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from start to end, or ``None`` while the run is active."""
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def identity_summary(self) -> dict[str, Any]:
        """What the signature was made of, for finding out why a run hit or missed.

        Returns
        -------
        dict
            ``signature``, ``config_hash``, ``input_hash``, ``code_hash`` with its ``code_identity``
            mode and ``code_identity_extra_deps``, the fields that count (``model``, ``year``,
            ``iteration``, ``cache_epoch``, ``cache_version``), the ``adapter`` metadata, the
            digests of ``identity_inputs`` by label, and as ``explanation`` why the run was a hit
            or was none; ``None`` where that was not recorded.
        """
        meta = self.meta
        adapter = {name: meta[name] for name in _ADAPTER_META if name in meta}
        return {
            "signature": self.signature,
            "config_hash": self.config_hash,
            "input_hash": self.input_hash,
            "code_hash": self.git_hash,
            "code_identity": meta.get("code_identity"),
            "code_identity_extra_deps": meta.get("code_identity_extra_deps"),
            "model": self.model_name,
            "year": self.year,
            "iteration": self.iteration,
            "cache_epoch": meta.get("cache_epoch"),
            "cache_version": meta.get("cache_version"),
            "adapter": adapter or None,
            "identity_inputs": dict(meta.get("consist_hash_inputs", {})),
            "explanation": _explanation(meta),
        }


def _explanation(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    if not meta.get("cache_hit"):
        return meta.get(EXPLANATION)
    return {
        "status": "hit",
        "reason": "content_match" if meta.get("cache_match") == "content" else "exact_match",
        "candidate_run_id": meta.get("cache_source"),
    }


_SHOWN = {
    "model_name": "model",
    "status": "status",
    "parent_run_id": "part of",
    "description": "description",
    "year": "year",
    "iteration": "iteration",
    "stage": "stage",
    "phase": "phase",
    "tags": "tags",
    "started_at": "started",
    "ended_at": "ended",
    "signature": "signature",
}

_ADAPTER_META = (
    "config_adapter",
    "config_adapter_version",
    "config_bundle_hash",
    "config_identity_manifest",
)


class RunExtra(ConsistModel, table=True):
    """What the library itself must know of a run, beyond its documented columns."""

    __tablename__ = "run_extra"  # pyright: ignore[reportAssignmentType]

    run_id: str = Field(primary_key=True)
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class RunChange(ConsistModel, table=True):
    """Something that was said of a run after it was recorded; its row has what follows from it.

    ``uid`` is the internal id of the run, ``author`` who said it.
    """

    __tablename__ = "run_change"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    uid: str
    created_at: datetime = Field(sa_type=UTCDateTime)
    author: str | None = None
    change: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class PackageSet(ConsistModel, table=True):
    """The installed packages of an environment, with their versions."""

    __tablename__ = "package_set"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    packages: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(sa_type=UTCDateTime)


class RunArtifactLink(ConsistModel, table=True):
    """A run used or produced an artifact; it may do both with the same one."""

    __tablename__ = "run_artifact_link"  # pyright: ignore[reportAssignmentType]

    run_id: str = Field(primary_key=True)
    artifact_id: str = Field(primary_key=True, sa_type=UUIDText)
    direction: str = Field(primary_key=True)
    is_implicit: bool = False


class RunBindingInvocation(ConsistModel, table=True):
    """Which exact artifacts were bound to the parameters of a call."""

    __tablename__ = "run_binding_invocation"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True)
    requested_run_id: str
    execution_run_id: str | None = None
    cache_source_run_id: str | None = None
    cache_outcome: str | None = None
    binding_json: str | None = None
    created_at: datetime = Field(sa_type=UTCDateTime)


class ConsistRecord:
    """Everything that is known of one run: its row, artifacts, config and facet.

    Attributes
    ----------
    document : RunDocument
        The frozen record that this object presents.
    """

    def __init__(self, document: RunDocument, resolver: Resolver | None = None) -> None:
        self.document = document
        self._resolver = resolver

    def __repr__(self) -> str:
        run = self.document.run
        return f"ConsistRecord(run={run.id!r}, status={run.status!r})"

    @property
    def run(self) -> Run:
        """The run."""
        return Run.from_record(self.document.run)

    @property
    def inputs(self) -> list[Artifact]:
        """Artifacts that the run used, in the order they were logged."""
        return self._entities(self.document.inputs)

    @property
    def outputs(self) -> list[Artifact]:
        """Artifacts that the run produced or gave back."""
        return self._entities(self.document.outputs)

    @property
    def config(self) -> dict[str, Any]:
        """The full config."""
        return msgspec.json.decode(self.document.config) or {}

    @property
    def facet(self) -> dict[str, Any]:
        """The facet."""
        return dict(self.document.facet or {})

    @property
    def cached_run(self) -> Run | None:
        """The run whose outputs were given back, if this one was a hit."""
        record = msgspec.json.decode(self.document.cached_run, type=RunRecord | None)
        return None if record is None else Run.from_record(record)

    def _entities(self, records: Iterable[Any]) -> list[Artifact]:
        return [Artifact.from_record(record, self._resolver) for record in records]
