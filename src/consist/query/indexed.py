"""Runs by a field or by a value of their facet."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from consist.errors import UsageError, WrongType, hint
from consist.models.facet import RunConfigKV
from consist.models.run import Run
from consist.query.ask import columns, fetch
from consist.query.conditions import leaf_value
from consist.types import FacetIndex, IndexBySpec, RunFieldIndex

if TYPE_CHECKING:
    from consist.workspace import Workspace

_ALIASES = {"model": "model_name", "name": "model_name", "parent_id": "parent_run_id",
            "run_id": "id"}  # fmt: skip


def index_spec(index_by: object) -> IndexBySpec:
    """Return what runs are to be indexed by.

    Raises
    ------
    TypeError
        If it is neither text nor an index, or names no field.
    """
    index = index_by
    if isinstance(index, str):
        facet = index.startswith(("facet.", "facet:"))
        index = FacetIndex(index[6:]) if facet else RunFieldIndex(index)
    if isinstance(index, FacetIndex):
        if not index.key:
            raise UsageError(f"index_by={index_by!r} names no key of a facet")
        return index
    if not isinstance(index, RunFieldIndex):
        problem = WrongType(f"index_by={index_by!r} is neither text nor an index")
        raise hint(problem, "pass 'year', 'facet.<key>', index_by_field() or index_by_facet()")
    if _ALIASES.get(index.name, index.name) not in Run.model_fields:
        problem = WrongType(f"index_by={index.name!r} is no field of a run")
        raise hint(problem, f"fields: {', '.join(Run.model_fields)}; facets: 'facet.<key>'")
    return index


def indexed(ws: Workspace, runs: Sequence[Run], index: IndexBySpec) -> dict[Hashable, Run]:
    """Return runs, newest first, by what they are to be indexed by.

    Raises
    ------
    ValueError
        If a value cannot be a key, or is there under several namespaces.
    """
    if isinstance(index, RunFieldIndex):
        field = _ALIASES.get(index.name, index.name)
        values = [(run, getattr(run, field)) for run in runs]
    else:
        known = _facet_values(ws, runs, index)
        values = [(run, known[run.id]) for run in runs if run.id in known]
    found: dict[Hashable, Run] = {}
    for run, value in values:
        if not isinstance(value, Hashable):
            name = index.name if isinstance(index, RunFieldIndex) else index.key
            kind = type(value).__name__
            problem = UsageError(
                f"{name!r} of run {run.id!r} is a {kind}, which is no key of a dict"
            )
            raise hint(problem, "index by a number, a text or a truth value")
        found.setdefault(value, run)
    return found


def _facet_values(ws: Workspace, runs: Sequence[Run], index: FacetIndex) -> dict[str, Any]:
    """Return the value of each run that has one, of its own model where several have."""
    if not runs:
        return {}
    kv = columns(RunConfigKV)
    models = {run.id: run.model_name for run in runs}
    conditions = [
        kv.key == index.key,
        kv.run_id.in_(models),
        # The rows of a facet are stored with the time of their run, by which others are skipped.
        kv.created_at.between(runs[-1].created_at, runs[0].created_at),
    ]
    if index.namespace is not None:
        conditions.append(kv.namespace == index.namespace)
    columns_ = kv.value_type, kv.value_str, kv.value_num, kv.value_int, kv.value_bool, kv.value_json
    found: dict[str, dict[str, Any]] = {}
    for run_id, namespace, *leaf in fetch(
        ws, select(kv.run_id, kv.namespace, *columns_).where(*conditions)
    ):
        found.setdefault(run_id, {})[namespace] = leaf_value(*leaf)
    return {run_id: _chosen(run_id, models[run_id], index, by) for run_id, by in found.items()}


def _chosen(run_id: str, model: str, index: FacetIndex, values: dict[str, Any]) -> Any:
    if model in values:
        return values[model]
    if len(values) > 1:
        names = ", ".join(sorted(values))
        problem = UsageError(f"run {run_id!r} has {index.key!r} under the namespaces {names}")
        raise hint(problem, "pass index_by=FacetIndex(key, namespace=...)")
    return next(iter(values.values()))
