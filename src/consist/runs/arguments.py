"""What callers may say of a run, and the frozen request that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from consist.models.record import ArtifactFacetRecord
from consist.types import CacheOptions, ExecutionOptions, OutputPolicyOptions

Mapped = Mapping[str, Any]


class RunArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a caller may say of a run; absent is ``None``.

    ``block`` tells an inline block or manual run, whose outputs the code around it decides, from
    a function. ``manual`` is a run of ``begin_run`` or ``start_run``. ``defaults`` are what a
    scenario gives its steps.
    """

    fn: Callable[..., Any] | None = None
    name: str | None = None
    run_id: str | None = None
    model: str | None = None
    description: str | None = None
    config: Any = None
    adapter: Any = None
    config_plan_ingest: bool = True
    config_plan_profile_schema: bool = False
    inputs: Any = None
    input_keys: Any = None
    optional_input_keys: Any = None
    depends_on: Iterable[Any] | None = None
    tags: Iterable[str] | None = None
    facet: Any = None
    facet_from: Iterable[str] | None = None
    facet_schema_version: str | int | None = None
    facet_index: bool | None = None
    identity_inputs: Iterable[Any] | None = None
    year: int | None = None
    iteration: int | None = None
    phase: str | None = None
    stage: str | None = None
    parent_run_id: str | None = None
    outputs: Iterable[str] | None = None
    output_paths: Mapped | None = None
    capture_dir: Any = None
    capture_pattern: str = "*"
    cache_options: CacheOptions | None = None
    output_policy: OutputPolicyOptions | None = None
    execution_options: ExecutionOptions | None = None
    runtime_kwargs: Mapped | None = None
    artifact_dir: Any = None
    allow_external_paths: bool | None = None
    materialize_cached_output_paths: Mapped | None = None
    materialize_cached_outputs_dir: Any = None
    meta: Mapped = {}
    block: bool = False
    manual: bool = False
    header: bool = False


class GivenInput(msgspec.Struct, frozen=True, kw_only=True):
    """One declared input.

    Attributes
    ----------
    name : str or None
        Parameter or key it was given under.
    source : object
        Path, artifact record, or artifact.
    bound : bool
        Whether it may become an argument of the function.
    """

    name: str | None
    source: Any
    bound: bool


class CachePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Cache options with every default filled in.

    ``waits`` is whether a miss waits for a run of the same identity that is being executed.
    """

    mode: str = "reuse"
    hydration: str = "metadata"
    eager: bool = False
    input_mismatch: str = "error"
    waits: bool = False
    epoch: int = 1
    version: int | None = None
    code_identity: str | None = None
    extra_deps: tuple[str, ...] = ()
    output_paths: Mapping[str, str] | None = None
    outputs_dir: str | None = None


class FoundCode(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of the code of a run, and what a reader of the run should know of it.

    Attributes
    ----------
    digest : str
        What takes part in the signature.
    parts : mapping of str to str
        What it was made of, digests by label.
    files : tuple of str or None
        Source files it was taken from; None if that is the whole project.
    notes : mapping
        Metadata of the run.
    changed : tuple of str
        Source files that another process, which sent the code, had loaded before they changed.
    """

    digest: str
    parts: Mapped = {}
    files: tuple[str, ...] | None = None
    notes: Mapped = {}
    changed: tuple[str, ...] = ()


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is about to be identified; checked, complete and frozen.

    ``code`` is the identity of the code as another process found it that sends the run here.
    """

    fn: Callable[..., Any] | None
    name: str
    model: str
    run_id: str | None
    description: str | None
    config: Any
    inputs: tuple[GivenInput, ...]
    identity_inputs: Mapping[str, str]
    tags: tuple[str, ...]
    facet: ArtifactFacetRecord | None
    year: int | None
    iteration: int | None
    phase: str | None
    stage: str | None
    parent_run_id: str | None
    outputs: tuple[str, ...] | None
    output_paths: Mapped
    capture_dir: str | None
    capture_pattern: str
    cache: CachePlan
    output_mismatch: str
    output_missing: str
    binding: str
    executor: str
    container: Mapped | None
    runtime_kwargs: Mapped
    inject_context: bool | str
    time_limit: float | None
    artifact_dir: str | None
    allow_external: bool
    meta: Mapped
    block: bool
    manual: bool
    header: bool
    asked_at: datetime
    code: FoundCode | None = None

    @property
    def promised(self) -> frozenset[str]:
        """Keys of the outputs that were declared."""
        return frozenset((*(self.outputs or ()), *self.output_paths))
