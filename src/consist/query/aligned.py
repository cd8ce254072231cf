"""Two sets of runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from consist.errors import UsageError, WrongType, a_kind, hint
from consist.models.run import Run
from consist.query.diff import ADDED, Facet, changes, facets_of

if TYPE_CHECKING:
    import pandas as pd

    from consist.workspace import Workspace

S = TypeVar("S", bound=Sequence[Run])

_DIFF_COLUMNS = ("on_value", "key", "namespace", "status", "left_value", "right_value")
_COLUMNS = ("key", "left_run_id", "right_run_id", "left_status", "right_status")
_KEY = "_align_key"


@dataclass(frozen=True, eq=False, repr=False)
class AlignedPair(Generic[S]):
    """Runs of two sets, paired by the value of a field; :meth:`RunSet.align` makes it.

    Attributes
    ----------
    left, right : RunSet
        The paired runs, in the order of their keys.
    on : str or tuple of str
        Field that agrees, or several.
    keys : tuple
        The value that each pair agrees in; tuples, if there are several fields.
    left_only, right_only : RunSet
        Runs without a counterpart.
    """

    left: S
    right: S
    on: str | tuple[str, ...]
    keys: tuple[Any, ...]
    left_only: S
    right_only: S
    trackers: tuple[Workspace | None, Workspace | None]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[Run, Run]]:
        return self.pairs()

    def __repr__(self) -> str:
        alone = f"{len(self.left_only)} only left, {len(self.right_only)} only right"
        return f"AlignedPair(on={self.on!r}, {len(self)} pairs, {alone})"

    def _repr_html_(self) -> str:
        from consist.models import html

        pairs = zip(self.keys, self.left, self.right, strict=True)
        rows = ((key, left.id, right.id, left.status, right.status) for key, left, right in pairs)
        alone = {
            "only left": len(self.left_only) or None,
            "only right": len(self.right_only) or None,
        }
        heading = f"{len(self):,} pairs of runs, aligned on {self.on}"
        return html.block(heading, html.table(_COLUMNS, rows, len(self)), html.facts(alone))

    def pairs(self) -> Iterator[tuple[Run, Run]]:
        """Yield the left and right run of each pair, by key in order."""
        return zip(self.left, self.right, strict=True)

    def apply(self, fn: Callable[[Run, Run, Any], pd.DataFrame | None]) -> pd.DataFrame:
        """Call a function for each pair, and return its tables below each other.

        Parameters
        ----------
        fn : callable
            ``fn(left, right, key)`` returns a DataFrame, or ``None`` for nothing.

        Returns
        -------
        DataFrame
            The rows of all pairs, numbered anew, with the key of theirs in ``_align_key``.

        Raises
        ------
        TypeError
            If the function returns something else.
        """
        import pandas as pd

        tables: list[pd.DataFrame] = []
        for key, (left, right) in zip(self.keys, self.pairs(), strict=True):
            table: Any = fn(left, right, key)
            if table is None:
                continue
            if not isinstance(table, pd.DataFrame):
                problem = WrongType(f"for {self.on}={key!r} the function returned {a_kind(table)}")
                raise hint(problem, "return a DataFrame, or None to leave the pair out")
            tables.append(table.assign(**{_KEY: [key] * len(table)}))
        if not tables:
            return pd.DataFrame(columns=[_KEY])
        return pd.concat(tables, ignore_index=True)

    def config_diffs(self, namespace: str | None = None, prefix: str | None = None) -> pd.DataFrame:
        """Compare the facets of each pair.

        Parameters
        ----------
        namespace : str, optional
            By default the model of each run.
        prefix : str, optional
            Only keys that begin with this text.

        Returns
        -------
        DataFrame
            A row for each key of each pair: ``on_value``, ``key``, ``namespace``, ``status``
            (``same``, ``changed``, ``added`` or ``removed``), ``left_value`` and ``right_value``.

        Raises
        ------
        ValueError
            If the runs came without a tracker.
        """
        import pandas as pd

        left, right = (
            self._facets(side, tracker, namespace, prefix)
            for side, tracker in zip((self.left, self.right), self.trackers, strict=True)
        )
        rows = [
            (
                on,
                key,
                namespace or (theirs if difference.status == ADDED else ours).model_name,
                *difference,
            )
            for on, (ours, theirs) in zip(self.keys, self.pairs(), strict=True)
            for key, difference in changes(left.get(ours.id, {}), right.get(theirs.id, {}))
        ]
        return pd.DataFrame(rows, columns=[*_DIFF_COLUMNS])

    def _facets(
        self, side: S, tracker: Workspace | None, namespace: str | None, prefix: str | None
    ) -> dict[str, Facet]:
        if tracker is None:
            problem = UsageError("these runs came without a tracker, so nobody knows their facets")
            raise hint(problem, "RunSet.from_runs(runs, tracker=tracker)")
        return facets_of(tracker, side, namespace, prefix)

    def to_frame(self) -> pd.DataFrame:
        """Return the pairs as a table.

        Returns
        -------
        DataFrame
            ``key``, ``left_run_id``, ``right_run_id``, ``left_status``, ``right_status``.
        """
        import pandas as pd

        rows = [
            (key, left.id, right.id, left.status, right.status)
            for key, (left, right) in zip(self.keys, self.pairs(), strict=True)
        ]
        return pd.DataFrame(rows, columns=[*_COLUMNS])
