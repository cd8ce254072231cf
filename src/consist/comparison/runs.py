"""Two runs: facts, config, code, inputs and environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from consist.cache import compare_identity
from consist.cache.compare_identity import (
    Compared,
    PathOf,
    UsedInput,
    identity_of,
    value_changes,
)
from consist.cache.explanation import Change, Explanation
from consist.comparison.differences import Difference
from consist.comparison.outputs import DataOptions, Records, compare_outputs
from consist.comparison.records import Configs, packages_of
from consist.comparison.results import RunComparison, RunFacts
from consist.errors import Untrusted
from consist.identity import short
from consist.models.record import NULL, ArtifactRecord, RunDocument, raw, replace

if TYPE_CHECKING:
    from consist.workspace import Workspace

MOST_LISTED = 10_000
"""Most differences of one kind that are named."""

_SECTIONS = {"code": "code", "input": "inputs"}
_LABELS = ("stage", "phase", "description", "parent_run_id")


def compare_runs(
    ws: Workspace, left: RunDocument, right: RunDocument, options: DataOptions
) -> RunComparison:
    """Compare two runs and their outputs."""
    configs = Configs(ws, (left.run.id, right.run.id))
    left, right, notes = with_configs(configs, left, right)
    found = identity_differences(left, right, partial(_place_of, ws))
    environments = _environments(ws, left, right, notes)
    return RunComparison(
        left=facts_of(left),
        right=facts_of(right),
        facts=tuple(fact_differences(left, right)),
        config=found["config"],
        code=found["code"],
        inputs=found["inputs"],
        environment=tuple(environment_differences(*environments)),
        outputs=compare_outputs(ws, outputs_of(left, options), outputs_of(right, options), options),
        notes=tuple(notes),
    )


def _place_of(ws: Workspace, record: ArtifactRecord) -> str:
    try:
        return str(ws.path_of(record))
    except Untrusted:
        return record.container_uri


def outputs_of(document: RunDocument, options: DataOptions) -> Records:
    """Return the outputs that are compared, by key."""
    records = {record.key: record for record in document.outputs}
    if options.keys is None:
        return records
    return {key: record for key, record in records.items() if key in options.keys}


def facts_of(document: RunDocument) -> RunFacts:
    """Return what a run is."""
    run = document.run
    return RunFacts(
        id=run.id,
        model=run.model_name,
        status=run.status,
        year=run.year,
        iteration=run.iteration,
        attempt=run.attempt,
        cache_source=run.meta.get("cache_source"),
        started_at=run.started_at,
        seconds=_seconds(run.started_at, run.ended_at),
    )


def _seconds(began: datetime, ended: datetime | None) -> float | None:
    return None if ended is None else (ended - began).total_seconds()


def fact_differences(left: RunDocument, right: RunDocument) -> Iterator[Difference]:
    """Yield what differs beside the identity: status, duration, labels."""
    old, new = left.run, right.run
    pairs: dict[str, tuple[Any, Any]] = {
        "status": (old.status, new.status),
        "error": (old.meta.get("error"), new.meta.get("error")),
        "given back from": (old.meta.get("cache_source"), new.meta.get("cache_source")),
        "tags": (sorted(old.tags), sorted(new.tags)),
        **{name: (getattr(old, name), getattr(new, name)) for name in _LABELS},
        "seconds": (_seconds(old.started_at, old.ended_at), _seconds(new.started_at, new.ended_at)),
    }
    for name, (before, now) in pairs.items():
        if before != now:
            yield _difference("facts", name, before, now)


def _difference(section: str, name: str, old: Any, new: Any) -> Difference:
    kind = "added" if old is None else "removed" if new is None else "changed"
    return Difference(section, name, kind, old, new)


# ---------------------------------------------------------------- identity


def with_configs(
    configs: Configs, left: RunDocument, right: RunDocument
) -> tuple[RunDocument, RunDocument, list[str]]:
    """Return two runs with their configs, and what must be known of these.

    Where a snapshot is gone, the facets of both stand for their configs.
    """
    full = [configs.complete(document) for document in (left, right)]
    without = [document.run.id for document in full if bytes(document.config) == bytes(NULL)]
    if not without or left.run.config_hash == right.run.config_hash is not None:
        return full[0], full[1], []
    facets = [configs.facet_of(document.run.id) for document in full]
    said = f"the snapshot of run {' and of '.join(without)} is gone"
    if None not in facets:
        told = [replace(d, config=raw(facet)) for d, facet in zip(full, facets, strict=True)]
        return told[0], told[1], [f"config: {said}; only facets were compared"]
    return full[0], full[1], [f"config: {said}; what differs in it cannot be told"]


def identity_differences(
    left: RunDocument, right: RunDocument, path_of: PathOf
) -> dict[str, tuple[Difference, ...]]:
    """Return what differs in config, code and inputs, name by name."""
    old, new = _identity(left), _identity(right)
    forced = replace(old, config=old.config or "-"), replace(new, config=new.config or "--")
    compared = compare_identity.compare(*forced, path_of, most=MOST_LISTED)
    explained = Explanation(status="miss", reason="", details=compared.details)
    found: dict[str, list[Difference]] = {"config": [], "code": [], "inputs": []}
    for change in explained.changes:
        if change.name in _FACTS_OF_NO_CONFIG and old.config is None and new.config is None:
            continue
        section = _SECTIONS.get(change.what, "config")
        found[section].append(_of_change(section, change))
    for section, before, now in (
        ("config", old.config, new.config),
        ("code", old.code, new.code),
    ):
        if before != now and not found[section]:
            what = "what differs was not recorded"
            found[section].append(
                Difference(section, section, "changed", _digest(before), _digest(now), what)
            )
    for kind, count in explained.not_listed.items():
        found["config"].append(Difference("config", f"… {kind}", "changed", detail=f"{count} more"))
    return {section: tuple(listed) for section, listed in found.items()}


_FACTS_OF_NO_CONFIG = frozenset({"cache_epoch"})


def _digest(found: str | None) -> str | None:
    return None if found is None else short(found)


def _identity(document: RunDocument) -> Compared:
    """Return the identity of a run, with every input: those logged while it ran count as well."""
    found = identity_of(document)
    extra = document.extra
    late = [
        UsedInput(extra.input_names.get(record.id, record.key), record, record.content)
        for record in document.inputs
        if record.id in extra.late_inputs
    ]
    if not late:
        return found
    # Digests of all inputs do not cover these, so names are compared one by one.
    return replace(found, used=(*found.used, *late), inputs=document.run.uid)


def _of_change(section: str, change: Change) -> Difference:
    named = {"field", "config", "code", "input"}
    name = change.name if change.what in named else f"{change.what} {change.name}"
    return Difference(section, name, change.change, change.old, change.new, change.note)


# ---------------------------------------------------------------- environment

_PACKAGES = "packages"


def environment_differences(
    left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield what differs in two environments, packages one by one."""
    for name, entry in value_changes(left, right):
        yield Difference("environment", name, entry["change"], entry.get("old"), entry.get("new"))


def _environments(
    ws: Workspace, left: RunDocument, right: RunDocument, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    old, new = (_decoded(document) for document in (left, right))
    if not old or not new:
        notes.append("the environment was not recorded of both runs")
        return {}, {}
    if old.get(_PACKAGES) != new.get(_PACKAGES):
        lists = packages_of(ws, (old.get(_PACKAGES), new.get(_PACKAGES)))
        for found in (old, new):
            found[_PACKAGES] = lists.get(found.get(_PACKAGES), found.get(_PACKAGES))
    return old, new


def _decoded(document: RunDocument) -> dict[str, Any]:
    found: Any = msgspec.json.decode(document.extra.environment)
    return found or {}
