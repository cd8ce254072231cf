"""Sets of runs: split, filter, take the latest, align with others, and look at as a table."""

from __future__ import annotations

import difflib
import inspect
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

from consist.errors import (
    AmbiguousAlignment,
    UnknownField,
    UsageError,
    WrongType,
    a_kind,
    hint,
    some_of,
)
from consist.models.run import Run
from consist.query.aligned import AlignedPair
from consist.query.facet_values import FacetValues
from consist.query.runs import find_runs
from consist.types import is_sequence_of_values
from consist.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunSet", "run_set"]

_ALL = 2**62
_ALIASES = {"model": "model_name", "parent_id": "parent_run_id", "run_id": "id"}
_PROPERTIES = ("duration_seconds",)
_COLUMNS = ("run_id", "label", "status", "model", "created_at", "ended_at")


def run_set(ws: Workspace, label: str | None = None, **filters: Any) -> RunSet:
    """Return the runs that match all filters as a set to split, align and compare.

    Parameters
    ----------
    label : str, optional
        Name of the set, for tables.
    **filters : Any
        Filters of ``find_runs``. Without ``limit``, all runs that match are in the set.

    Returns
    -------
    RunSet
        Newest first; empty without a database.
    """
    return RunSet.from_query(ws, label, **filters)


@dataclass(frozen=True, eq=False, repr=False)
class RunSet(Sequence[Run]):
    """Runs that belong together, in an order; a set never changes, verbs return new ones.

    Wherever a field is named, it may be a column of :class:`~consist.models.run.Run` (``model``,
    ``parent_id`` and ``run_id`` stand for ``model_name``, ``parent_run_id`` and ``id``),
    ``duration_seconds``, or else a key of the runs' facets, ``<namespace>.<key>`` where several
    namespaces have it. ``facet.<key>`` means the facet even if there is such a column.

    Attributes
    ----------
    runs : tuple of Run
        The runs.
    label : str or None
        Name of the set.

    Examples
    --------
    >>> base, policy = tracker.run_set(parent_id="base"), ...  # doctest: +SKIP
    >>> base.latest(group_by="year").align(policy.latest(group_by="year"), on="year").to_frame()
    """

    runs: tuple[Run, ...] = ()
    label: str | None = None
    _facets: FacetValues = field(default_factory=lambda: FacetValues(None, ()))

    @classmethod
    def from_query(cls, tracker: Workspace, label: str | None = None, **filters: Any) -> RunSet:
        """Return the runs of a tracker that match all filters; see :func:`run_set`.

        Raises
        ------
        TypeError
            If something is no tracker, no label or no filter.
        """
        if not isinstance(cast("object", tracker), Workspace):
            raise WrongType(f"tracker is {a_kind(tracker)}, not a Tracker")
        if "index_by" in filters:
            problem = WrongType("a set of runs is not indexed by a field")
            raise hint(problem, "RunSet.split_by(field) groups it")
        options: dict[str, Any] = {"limit": _ALL, **filters}
        _check_filters(options)
        found = find_runs(tracker, **options)
        return cls.from_runs(cast("list[Run]", found), label, tracker=tracker)

    @classmethod
    def from_runs(
        cls, runs: Iterable[Run], label: str | None = None, *, tracker: Workspace | None = None
    ) -> RunSet:
        """Return a set of these runs, in this order, each once.

        Parameters
        ----------
        runs : iterable of Run
            The runs.
        label : str, optional
            Name of the set.
        tracker : Tracker, optional
            Whom to ask for facet values; runs themselves do not have them. By default that of
            ``runs``, if they are a set.

        Raises
        ------
        TypeError
            If one of them is no run.
        """
        _check_label(label)
        if not is_sequence_of_values(runs):
            raise hint(WrongType(f"runs is {a_kind(runs)}"), "pass a list of runs")
        if isinstance(runs, RunSet) and tracker is None:
            return replace(runs, label=label)
        unique: dict[str, Run] = {}
        for run in runs:
            if not isinstance(cast("object", run), Run):
                raise hint(WrongType(f"{run!r} is no run"), "tracker.get_run(id) returns one")
            unique.setdefault(run.id, run)
        kept = tuple(unique.values())
        return cls(kept, label, FacetValues(tracker, kept))

    def _of(self, runs: Iterable[Run]) -> RunSet:
        return RunSet(tuple(runs), self.label, self._facets)

    # ------------------------------------------------------------ as a sequence

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> RunSet: ...
    def __getitem__(self, index: int | slice) -> Run | RunSet:
        if isinstance(index, slice):
            return self._of(self.runs[index])
        return self.runs[index]

    def __contains__(self, run: object) -> bool:
        return run in self.ids if isinstance(run, str) else getattr(run, "id", None) in self.ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunSet):
            return NotImplemented
        return self.label == other.label and self.ids == other.ids

    def __hash__(self) -> int:
        return hash((self.label, self.ids))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the runs."""
        return tuple(run.id for run in self.runs)

    # ------------------------------------------------------------ parts

    def split_by(self, name: str) -> OrderedDict[Any, RunSet]:
        """Return the runs of each value of a field, by value in order, ``None`` last.

        Runs without the facet key are under ``None``; lists are tuples as keys.

        Raises
        ------
        ValueError
            If neither column nor facet key has the name.
        """
        groups: dict[_Value, list[Run]] = {}
        for run, value in zip(self.runs, self._values(name), strict=True):
            groups.setdefault(value, []).append(run)
        parts = OrderedDict((key.plain, self._of(groups[key])) for key in sorted(groups))
        if len(parts) < len(groups):
            problem = UsageError(f"{name!r} is a truth value in some runs and a number in others")
            raise hint(problem, f"take some of them first: .filter({name}=True)")
        return parts

    def filter(self, **equalities: Any) -> RunSet:
        """Return the runs whose fields have these values; ``None`` also means absent.

        ``1`` equals ``1.0``, and neither equals ``True``. A name with dots is passed as
        ``filter(**{"demand.alpha": 0.5})``.

        Raises
        ------
        ValueError
            If neither column nor facet key has one of the names.
        """
        kept: Iterable[Run] = self.runs
        wanted = {name: _value(value) for name, value in equalities.items()}
        for name, value in wanted.items():
            have = dict(zip(self.ids, self._values(name), strict=True))
            kept = [run for run in kept if have[run.id] == value]
        return self._of(kept)

    def latest(self, group_by: str | Iterable[str] | None = None) -> RunSet:
        """Return the newest run, or the newest of each group.

        Parameters
        ----------
        group_by : str or list of str, optional
            Fields of which runs of one group have the same values.
        """
        newest: dict[tuple[_Value, ...], Run] = {}
        for run, key in zip(self.runs, self._keys(_names("group_by", group_by)), strict=True):
            other = newest.get(key)
            if other is None or _age(run) > _age(other):
                newest[key] = run
        kept = {run.id for run in newest.values()}
        return self._of(run for run in self.runs if run.id in kept)

    def align(self, other: RunSet, on: str | Iterable[str]) -> AlignedPair[RunSet]:
        """Pair the runs of two sets that have the same value of a field.

        Runs without a counterpart, or without a value, are in no pair;
        :attr:`AlignedPair.left_only` and :attr:`AlignedPair.right_only` have them.

        Parameters
        ----------
        other : RunSet
            The right side.
        on : str or list of str
            Field, or several that have to agree.

        Raises
        ------
        ValueError
            If several runs of one side have the same value.
        """
        if not isinstance(cast("object", other), RunSet):
            raise hint(WrongType(f"cannot align with {a_kind(other)}"), "pass another RunSet")
        names = _names("on", on)
        if not names:
            raise hint(UsageError("a field to align on is missing"), "for example on='year'")
        left = self._unique(names, "the left set")
        right = other._unique(names, "the right set")
        shared = sorted(key for key in left if key in right)
        plain = [tuple(each.plain for each in key) for key in shared]
        return AlignedPair(
            left=self._of(left[key] for key in shared),
            right=other._of(right[key] for key in shared),
            on=names[0] if isinstance(on, str) else tuple(names),
            keys=tuple(key[0] if isinstance(on, str) else key for key in plain),
            left_only=self._without({left[key].id for key in shared}),
            right_only=other._without({right[key].id for key in shared}),
            trackers=(self._facets.ws, other._facets.ws),
        )

    def _without(self, ids: Collection[str]) -> RunSet:
        return self._of(run for run in self.runs if run.id not in ids)

    def _unique(self, names: list[str], side: str) -> dict[tuple[_Value, ...], Run]:
        groups: dict[tuple[_Value, ...], list[Run]] = {}
        for run, key in zip(self.runs, self._keys(names), strict=True):
            if all(value.plain is not None for value in key):
                groups.setdefault(key, []).append(run)
        for key, runs in groups.items():
            if len(runs) > 1:
                said = f"{side} ({self.label})" if self.label else side
                value = key[0].plain if len(key) == 1 else tuple(each.plain for each in key)
                ids = tuple(run.id for run in runs)
                problem = AmbiguousAlignment(said, ", ".join(names), value, ids)
                raise hint(problem, f"take one of each first: .latest(group_by={names!r})")
        return {key: runs[0] for key, runs in groups.items()}

    # ------------------------------------------------------------ values

    def values(self, name: str) -> list[Any]:
        """Return the value of a field for each run, in order; ``None`` where it is absent.

        Raises
        ------
        ValueError
            If neither column nor facet key has the name.
        """
        return [get(run) for get in [self._getter(name)] for run in self.runs]

    def _values(self, name: str) -> list[_Value]:
        return [_value(value) for value in self.values(name)]

    def _keys(self, names: Sequence[str]) -> list[tuple[_Value, ...]]:
        if not names:
            return [()] * len(self.runs)
        return [*zip(*(self._values(name) for name in names), strict=True)]

    def _getter(self, name: object) -> Callable[[Run], Any]:
        if not isinstance(name, str):
            raise hint(WrongType(f"a field is named by text, not by {a_kind(name)}"), "e.g. 'year'")
        column = _ALIASES.get(name, name)
        if column in Run.model_fields or column in _PROPERTIES:
            return lambda run: getattr(run, column)
        key = name[6:] if name.startswith(("facet.", "facet:")) else name
        found = self._facets.named(key)
        if not found and self.runs and key not in self._facets.all_keys():
            raise self._unknown(name)
        return lambda run: found.get(run.id)

    def _unknown(self, name: str) -> UnknownField:
        problem = UnknownField(name)
        if not self._facets.can_be_asked:
            return hint(
                problem, "these runs came without a tracker: RunSet.from_runs(…, tracker=…)"
            )
        keys = sorted(self._facets.all_keys())
        names = [*_ALIASES, *Run.model_fields, *_PROPERTIES, *keys]
        near = difflib.get_close_matches(name, names, 3, 0.5)
        if near:
            return hint(problem, f"did you mean {' or '.join(map(repr, near))}?")
        return hint(problem, f"facet keys: {some_of(keys) or 'none'}")

    # ------------------------------------------------------------ to look at

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each run.

        Returns
        -------
        DataFrame
            ``run_id``, ``label``, ``status``, ``model``, ``created_at``, ``ended_at``, then a
            column for each facet key of any run, in order; a key of the name of one of these is
            ``facet.<key>``. Runs that came without a tracker have no facet columns.
        """
        import pandas as pd

        ids = self.ids
        data: dict[str, list[Any]] = {
            "run_id": [*ids],
            "label": [self.label] * len(self),
            "status": [run.status for run in self.runs],
            "model": [run.model_name for run in self.runs],
            "created_at": [run.created_at for run in self.runs],
            "ended_at": [run.ended_at for run in self.runs],
        }
        for key, values in self._facets.table(ids).items():
            name = f"facet.{key}" if key in _COLUMNS else key
            data[name] = [values.get(run_id) for run_id in ids]
        return pd.DataFrame(data)

    def __repr__(self) -> str:
        label = "" if self.label is None else f"{self.label!r}, "
        models = Counter(run.model_name for run in self.runs).most_common(3)
        said = ", ".join(f"{count} {model}" for model, count in models)
        return f"RunSet({label}{len(self)} runs{': ' if said else ''}{said})"

    def _repr_html_(self) -> str:
        from consist.models import html

        names = ("id", "model_name", "status", "year", "iteration", "created_at")
        rows = [[vars(run).get(name) for name in names] for run in self.runs[: html.MOST_ROWS]]
        heading = (
            f"{len(self):,} runs" if self.label is None else f"{self.label}: {len(self):,} runs"
        )
        shown = ("run", "model", "status", "year", "iteration", "created")
        return html.block(heading, html.table(shown, rows, len(self)) if rows else "")


def _check_filters(filters: Iterable[str]) -> None:
    known = [*inspect.signature(find_runs).parameters][1:]
    for name in filters:
        if name not in known:
            problem = WrongType(f"{name!r} is no filter of runs")
            raise hint(problem, f"filters are {', '.join(known)}")


def _check_label(label: object) -> None:
    if label is not None and not isinstance(label, str):
        raise WrongType(f"label={label!r} is {a_kind(label)}, not text")


def _names(argument: str, names: object) -> list[str]:
    if names is None:
        return []
    if isinstance(names, str):
        return [names]
    if not is_sequence_of_values(names):
        raise WrongType(f"{argument}={names!r} is neither a field nor a list of fields")
    return [*names]


def _age(run: Run) -> tuple[datetime, int, str]:
    return run.created_at, run.attempt, run.id


# ---------------------------------------------------------------- comparing values


class _Value(NamedTuple):
    """A value that can be compared with any other: first what kind it is, then itself.

    Numbers come before text, then times, other things, and nothing; truth values are their own
    kind, so that ``True`` is not ``1``.
    """

    kind: int
    order: Any
    plain: Hashable

    def __hash__(self) -> int:
        return hash((self.kind, self.order))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and (self.kind, self.order) == (other.kind, other.order)

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        return (self.kind, self.order) < (other[0], other[1])


def _value(value: Any) -> _Value:
    match value:
        case None:
            return _Value(9, 0, None)
        case bool():
            return _Value(0, value, value)
        case Real():
            return _number(value)
        case str():
            return _Value(3, value, value)
        case datetime():
            return _Value(4, value.timestamp(), value)
        case Mapping():
            pairs = cast("Mapping[Any, Any]", value).items()
            order = tuple(sorted((str(key), _value(each)) for key, each in pairs))
            return _Value(6, order, tuple((key, each.plain) for key, each in order))
        case list() | tuple():
            order = tuple(map(_value, cast("Sequence[Any]", value)))
            return _Value(5, order, tuple(each.plain for each in order))
        case _:
            return _Value(7, repr(value), value)


def _number(value: Any) -> _Value:
    if math.isnan(value):  # all of them are one value, after the numbers
        return _Value(2, 0, math.nan)
    return _Value(1, value, value)
