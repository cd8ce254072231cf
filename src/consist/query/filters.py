"""Filters of runs, as conditions for the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func

from consist.errors import WrongType, hint
from consist.identity import plain
from consist.models.run import Run
from consist.query import arguments as given
from consist.query.ask import columns
from consist.query.conditions import Condition, entry_is, flat_leaves, leaf_is
from consist.query.meant import meant_run_id
from consist.query.newest import Leaf

if TYPE_CHECKING:
    from consist.workspace import Workspace


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What runs are asked for; see :func:`~consist.query.runs.find_runs`."""

    tags: Any = None
    year: Any = None
    iteration: Any = None
    stage: Any = None
    phase: Any = None
    model: Any = None
    status: Any = None
    parent_id: Any = None
    metadata: Any = None
    name: Any = None
    facet: Any = None

    @classmethod
    def of(cls, verb: str, filters: Mapping[str, Any]) -> Filters:
        """Return filters that were given by name.

        Raises
        ------
        TypeError
            Naming one that is none.
        """
        unknown = filters.keys() - set(cls.__struct_fields__)
        if unknown:
            problem = WrongType(f"{verb}: unknown filter {', '.join(sorted(unknown))}")
            raise hint(problem, f"filters are {', '.join(cls.__struct_fields__)}")
        return cls(**filters)

    def check(self) -> None:
        """Refuse what could only fail, or mean something else, in the database.

        Raises
        ------
        TypeError
            Naming the filter.
        """
        given.texts("tags", self.tags)
        for name in ("year", "iteration"):
            given.whole(name, getattr(self, name))
        for name in ("stage", "phase", "model", "status", "parent_id", "name"):
            given.text(name, getattr(self, name))
        given.mapping("metadata", self.metadata)
        given.mapping("facet", self.facet)

    def conditions(self, ws: Workspace) -> list[Condition]:
        """Return what has to hold for the row of a run."""
        run = columns(Run)
        return [
            *self._of_fields(run),
            *(func.json_contains(run.tags, as_json(tag)) for tag in self.tags or ()),
            *self._of_metadata(run),
            *(
                ()
                if self.parent_id is None
                else [run.parent_run_id == meant_run_id(ws, self.parent_id)]
            ),
        ]

    def _of_fields(self, run: Any) -> Iterator[Condition]:
        for name in ("year", "iteration"):
            number = given.whole(name, getattr(self, name))
            if number is not None:
                yield run[name] == number
        names = {"model": "model_name", "name": "model_name"}
        for name in ("stage", "phase", "model", "status", "name"):
            if getattr(self, name) is not None:
                yield run[names.get(name, name)] == getattr(self, name)

    def _of_metadata(self, run: Any) -> Iterator[Condition]:
        known = plain(dict(self.metadata or {}), "metadata")
        for key, value in known.items() if isinstance(known, dict) else ():
            yield from entry_is(run.meta, key, value)

    def leaves(self) -> list[Leaf]:
        """Return what has to hold for the facet of a run, value by value."""
        return [_leaf(key, value) for key, value in flat_leaves(self.facet or {})]


def _leaf(key: str, value: Any) -> Leaf:
    return lambda kv: [kv.key == key, leaf_is(kv, value)]


def as_json(value: Any) -> str:
    """Return a value as the text that JSON columns are compared with."""
    return msgspec.json.encode(value, enc_hook=str).decode()
