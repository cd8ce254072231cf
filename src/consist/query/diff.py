"""What differs between the facets of runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from sqlalchemy import func, or_, select

from consist.errors import ConsistWarning, NoSingleMatch, UsageError, WrongType, a_kind, hint
from consist.models.facet import RunConfigKV
from consist.models.run import Run
from consist.query.ask import columns, fetch
from consist.query.facet_values import leaves
from consist.store.claims import split_attempt
from consist.types import is_sequence_of_values

if TYPE_CHECKING:
    from consist.workspace import Workspace

Facet = dict[str, Any]

SAME, CHANGED, ADDED, REMOVED = "same", "changed", "added", "removed"


class Difference(NamedTuple):
    """How a value stands on both sides; ``None`` where it is absent."""

    status: str
    left: Any
    right: Any


def diff_runs(
    ws: Workspace,
    run_id_a: str,
    run_id_b: str,
    *,
    namespace: str | None = None,
    prefix: str | None = None,
    keys: Iterable[str] | None = None,
    limit: int = 10_000,
    include_equal: bool = False,
) -> dict[str, Any]:
    """Compare the facets of two runs, value by value.

    Parameters
    ----------
    run_id_a, run_id_b : str
        The runs, left and right; the plain id of several attempts means the latest completed one.
    namespace : str, optional
        Of the facets; by default the model of each run.
    prefix : str, optional
        Only keys that begin with this text, such as ``"inputs."``.
    keys : iterable of str, optional
        Only these keys.
    limit : int, default 10,000
        Most values to look at of each run, in the order of their keys; a warning tells if there
        are more.
    include_equal : bool, default False
        Also return what is the same.

    Returns
    -------
    dict
        ``{"namespace": {"left": …, "right": …}, "changes": {key: {"left": …, "right": …,
        "status": …}}}`` with the status ``changed``, ``added`` (only on the right), ``removed``
        (only on the left) or ``same``. Values are compared with their types: ``1``, ``1.0`` and
        ``True`` differ.

    Raises
    ------
    ValueError
        If one of the runs is unknown.
    RuntimeError
        Without a database.
    """
    ws.check_database("diff_runs")
    wanted = _checked(prefix, keys, limit)
    left, right = _both(ws, run_id_a, run_id_b)
    names = namespace or left.model_name, namespace or right.model_name
    ours, theirs = _facets(ws, (left, right), names, prefix, wanted)
    if max(len(ours), len(theirs)) > limit:
        ours, theirs = _cut(ours, theirs, limit)
    return {
        "namespace": {"left": names[0], "right": names[1]},
        "changes": {
            key: {"left": found.left, "right": found.right, "status": found.status}
            for key, found in changes(ours, theirs)
            if include_equal or found.status != SAME
        },
    }


def _checked(prefix: object, keys: object, limit: object) -> list[str] | None:
    if prefix is not None and not isinstance(prefix, str):
        raise WrongType(f"prefix={prefix!r} is not text")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise WrongType(f"limit={limit!r} is not a whole number")
    if limit < 0:
        raise UsageError(f"limit={limit} is below zero")
    if keys is None:
        return None
    if not is_sequence_of_values(keys):
        raise hint(WrongType(f"keys={keys!r} is {a_kind(keys)}"), "pass a list of keys")
    return [*keys]


class _Side(NamedTuple):
    """A run, as far as its facet needs it."""

    id: str
    model_name: str
    created_at: datetime


def _both(ws: Workspace, *run_ids: object) -> list[_Side]:
    """Return the runs that are meant, of several attempts the latest completed, in one question."""
    run = columns(Run)
    wanted = [_wanted(ws, run_id) for run_id in run_ids]
    rows = fetch(
        ws,
        select(run.id, run.model_name, run.created_at, run.requested_id)
        .where(or_(run.id.in_(wanted), run.requested_id.in_(wanted)))
        .order_by(run.status == "completed", run.attempt),
    )
    found: list[_Side] = []
    for run_id, meant in zip(run_ids, wanted, strict=True):
        several = split_attempt(str(run_id))[1] is None and meant == str(run_id)
        fits = [row for row in rows if meant in {row[0], row[3] if several else None}]
        if not fits:
            raise hint(NoSingleMatch(0, f"id={meant!r}"), "`consist runs` lists what there is")
        found.append(_Side(*fits[-1][:3]))
    return found


def _wanted(ws: Workspace, run_id: object) -> str:
    """Return the id to look for: of an active run its own, of a first attempt the plain one."""
    if isinstance(run_id, Run):
        return run_id.id
    if not isinstance(run_id, str):
        raise hint(WrongType(f"{run_id!r} is no id of a run"), "ids are text")
    requested, attempt = split_attempt(run_id)
    if attempt is not None:
        return requested if attempt == 1 else run_id
    active = ws.active.by_id(run_id)
    return run_id if active is None else active.run_id


def _facets(
    ws: Workspace,
    runs: Sequence[_Side],
    namespaces: Sequence[str],
    prefix: str | None,
    keys: list[str] | None,
) -> list[Facet]:
    """Return the facet of each run in its namespace, in one question."""
    kv = columns(RunConfigKV)
    # Rows have the time of their run, by which DuckDB skips all others.
    conditions = [kv.created_at.in_([run.created_at for run in runs]), kv.namespace.in_(namespaces)]
    if prefix is not None:
        conditions.append(func.starts_with(kv.key, prefix))
    if keys is not None:
        conditions.append(kv.key.in_(keys))
    rows = [*leaves(ws, [run.id for run in runs], *conditions)]
    return [
        {leaf.key: leaf.value for leaf in rows if (leaf.run_id, leaf.namespace) == (run.id, name)}
        for run, name in zip(runs, namespaces, strict=True)
    ]


def _cut(left: Facet, right: Facet, limit: int) -> tuple[Facet, Facet]:
    """Return the values up to the last key that is looked at on both sides."""
    ends = [sorted(side)[limit - 1] for side in (left, right) if len(side) > limit > 0]
    warnings.warn(
        ConsistWarning(f"facets of more than {limit:,} values were compared in part; raise limit"),
        stacklevel=3,
    )
    if not ends:
        return {}, {}
    kept = [{k: v for k, v in side.items() if k <= min(ends)} for side in (left, right)]
    return kept[0], kept[1]


# ---------------------------------------------------------------- values


def changes(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[tuple[str, Difference]]:
    """Yield how each key of either side stands, by key in order."""
    for key in sorted({*left, *right}):
        ours, theirs = left.get(key), right.get(key)
        if key not in right:
            yield key, Difference(REMOVED, ours, None)
        elif key not in left:
            yield key, Difference(ADDED, None, theirs)
        else:
            yield key, Difference(SAME if _same(ours, theirs) else CHANGED, ours, theirs)


def _same(left: Any, right: Any) -> bool:
    """Whether two values and their types are equal, all the way down; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | dict):
        return _spelled(cast("object", left)) == _spelled(right)
    return left == right or repr(left) == repr(right) == "nan"


def _spelled(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def facets_of(
    ws: Workspace, runs: Iterable[Run], namespace: str | None, prefix: str | None
) -> dict[str, Facet]:
    """Return the facets of many runs by run, in one question."""
    models = {run.id: run.model_name for run in runs}
    conditions = [] if namespace is None else [columns(RunConfigKV).namespace == namespace]
    if prefix is not None:
        conditions.append(func.starts_with(columns(RunConfigKV).key, prefix))
    found: dict[str, Facet] = {}
    for leaf in leaves(ws, models, *conditions):
        if leaf.namespace == (namespace or models[leaf.run_id]):
            found.setdefault(leaf.run_id, {})[leaf.key] = leaf.value
    return found
