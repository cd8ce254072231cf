"""The facet values of many runs, each key asked for once and in one question."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, or_, select

from consist.models.facet import RunConfigKV
from consist.models.run import Run
from consist.query.ask import among, columns, fetch, streamed
from consist.query.conditions import leaf_value

if TYPE_CHECKING:
    from consist.workspace import Workspace


class Leaf(NamedTuple):
    """One value of a run's facet."""

    run_id: str
    namespace: str
    key: str
    value: Any


def leaves(ws: Workspace, run_ids: Collection[str], *conditions: Any) -> Iterator[Leaf]:
    """Yield the facet values of runs that meet conditions on their rows, in one question."""
    kv = columns(RunConfigKV)
    chosen = (kv.run_id, kv.namespace, kv.key, kv.value_type, kv.value_str, kv.value_num)
    statement = select(*chosen, kv.value_int, kv.value_bool, kv.value_json)
    for row in streamed(ws, statement.where(among(kv.run_id, run_ids), *conditions)):
        yield Leaf(row[0], row[1], row[2], leaf_value(*row[3:]))


class FacetValues:
    """Facet values of a set of runs, kept once they were asked for.

    Where a run has a key in several namespaces, that of its model counts, else the first by name.

    Parameters
    ----------
    ws : Workspace or None
        Whom to ask; nobody, if the runs came from nowhere.
    runs : collection of Run
        All the runs that will be asked about.
    """

    def __init__(self, ws: Workspace | None, runs: Collection[Run]) -> None:
        self.ws = ws
        self._models = {run.id: run.model_name for run in runs}
        self._by_name: dict[str, Mapping[str, Any]] = {}
        self._keys: frozenset[str] | None = None

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a database that knows the facets."""
        return self.ws is not None and self.ws.store.has_database

    def named(self, name: str) -> Mapping[str, Any]:
        """Return the values of a key, or of ``<namespace>.<key>``, by run."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = self._ask(name)
        return found

    def _ask(self, name: str) -> Mapping[str, Any]:
        if self.ws is None or not self.ws.store.has_database:
            return {}
        kv = columns(RunConfigKV)
        spelled = [kv.key == name]
        spelled += [and_(kv.namespace == left, kv.key == right) for left, right in _splits(name)]
        rows = [*leaves(self.ws, self._models, or_(*spelled))]
        plain = [row for row in rows if row.key == name]
        return {each.run_id: each.value for each in self._of_own_model(plain or rows)}

    def _of_own_model(self, rows: Iterable[Leaf]) -> Iterable[Leaf]:
        """Return one row of each run and key."""
        best: dict[tuple[str, str], Leaf] = {}
        for row in rows:
            other = best.get((row.run_id, row.key))
            if other is None or self._rank(row) < self._rank(other):
                best[row.run_id, row.key] = row
        return best.values()

    def _rank(self, row: Leaf) -> tuple[bool, str]:
        return row.namespace != self._models[row.run_id], row.namespace

    def all_keys(self) -> frozenset[str]:
        """Return every key that any of the runs has."""
        if self._keys is None:
            self._keys = frozenset()
            if self.ws is not None and self.ws.store.has_database:
                kv = columns(RunConfigKV)
                wanted = among(kv.run_id, self._models)
                rows = fetch(self.ws, select(kv.key).distinct().where(wanted))
                self._keys = frozenset(row[0] for row in rows)
        return self._keys

    def table(self, run_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return all values of some of the runs, by key and run, in one question."""
        if self.ws is None or not self.ws.store.has_database:
            return {}
        found: dict[str, dict[str, Any]] = {}
        elsewhere: list[Leaf] = []
        for row in leaves(self.ws, run_ids):
            if row.namespace == self._models[row.run_id]:
                found.setdefault(row.key, {})[row.run_id] = row.value
            else:
                elsewhere.append(row)
        for row in self._of_own_model(elsewhere):
            found.setdefault(row.key, {}).setdefault(row.run_id, row.value)
        return {key: found[key] for key in sorted(found)}


def _splits(name: str) -> Iterator[tuple[str, str]]:
    parts = name.split(".")
    for at in range(1, len(parts)):
        yield ".".join(parts[:at]), ".".join(parts[at:])
