"""Differences, as frozen values: of anything that has a name, and of the data of outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["identical", "equal", "differs", "added", "removed", "unknown"]


def _no_values() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes
    ----------
    section : str
        ``"facts"``, ``"config"``, ``"code"``, ``"inputs"``, ``"environment"``, ``"outputs"`` or
        ``"steps"``.
    name : str
        Which: a dotted config key, a function and its file, an input, an output and its column.
    kind : str
        ``"changed"``, ``"added"`` (only on the right), ``"removed"`` (only on the left) or, of an
        input with the same bytes, ``"reran"``: another run produced it.
    left, right : object
        What it is on either side, as far as there is something to show; long values are cut.
    detail : str
        In words, whatever else is known.
    """

    section: str
    name: str
    kind: str
    left: Any = None
    right: Any = None
    detail: str = ""


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class ColumnChange:
    """A column that is not the same in both tables.

    Attributes
    ----------
    name : str
        The column.
    kind : {"added", "removed", "retyped", "moved"}
        What happened to it. Columns that ``moved`` stand in another order.
    left, right : str or None
        Its DuckDB type on either side; of one that moved, its place, from 1.
    """

    name: str
    kind: str
    left: str | None = None
    right: str | None = None


@dataclass(frozen=True)
class Example:
    """A row in which a column differs: its key, and both values."""

    key: dict[str, Any]
    left: Any
    right: Any


@dataclass(frozen=True)
class ValueChange:
    """The values of a column that differ between rows of equal key.

    Attributes
    ----------
    column : str
        The column.
    rows : int
        In how many rows.
    max_abs, max_rel : float or None
        The greatest difference, absolute and as a share of the greater of both magnitudes, over
        the rows in which both values are finite numbers. Of dates ``max_abs`` is in days, of
        times in seconds.
    unit : str or None
        ``"days"`` or ``"seconds"``.
    examples : tuple of Example
        Those with the smallest keys.
    """

    column: str
    rows: int
    max_abs: float | None = None
    max_rel: float | None = None
    unit: str | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class TableComparison:
    """How the rows of two tables differ.

    Attributes
    ----------
    how : {"keyed", "sets", "columns"}
        Whether rows of equal key were compared value by value, or rows were counted as wholes, or
        the tables have no column in common.
    key : tuple of str
        Columns that say which rows belong together; empty without a key.
    key_found : bool
        Whether the key was found by its name and its values, and not given.
    rows : tuple of int
        How many rows there are, left and right.
    added, removed : int
        Rows that only the right or only the left table has.
    changed : int
        Rows of equal key with at least one value that differs.
    schema : tuple of ColumnChange
        Columns that are not the same.
    columns : tuple of ValueChange
        Columns with values that differ, in the order of the left table.
    added_examples, removed_examples : tuple of dict
        Keys of such rows; without a key, the rows.
    notes : tuple of str
        What a reader must know, such as why a key was not used.
    """

    how: str
    rows: tuple[int, int]
    key: tuple[str, ...] = ()
    key_found: bool = False
    added: int = 0
    removed: int = 0
    changed: int = 0
    schema: tuple[ColumnChange, ...] = ()
    columns: tuple[ValueChange, ...] = ()
    added_examples: tuple[dict[str, Any], ...] = ()
    removed_examples: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether columns and rows are the same."""
        return not (self.schema or self.added or self.removed or self.changed)


# ---------------------------------------------------------------- documents and arrays


@dataclass(frozen=True)
class DocumentComparison:
    """The leaves of two JSON documents that differ, each with its dotted path."""

    leaves: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether all leaves are the same."""
        return not self.leaves


@dataclass(frozen=True)
class VariableChange:
    """An array of one name that is not the same in both files.

    Attributes
    ----------
    name : str
        The variable or coordinate.
    kind : {"added", "removed", "reshaped", "retyped", "changed"}
        What happened to it; values of arrays of another shape are not compared.
    left, right : str or None
        Type and dimensions on either side.
    values : int
        How many values differ.
    size : int
        How many values there are.
    max_abs, max_rel : float or None
        As for :class:`ValueChange`.
    example : dict
        Where the first difference is, by dimension, and both values.
    """

    name: str
    kind: str
    left: str | None = None
    right: str | None = None
    values: int = 0
    size: int = 0
    max_abs: float | None = None
    max_rel: float | None = None
    example: dict[str, Any] = field(default_factory=_no_values)


@dataclass(frozen=True)
class ArrayComparison:
    """The variables of two files of arrays that differ."""

    variables: tuple[VariableChange, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether all variables are the same."""
        return not self.variables


Data = TableComparison | DocumentComparison | ArrayComparison

# ---------------------------------------------------------------- outputs


@dataclass(frozen=True)
class OutputComparison:
    """One output, compared.

    Attributes
    ----------
    key : str
        Its key.
    verdict : {"identical", "equal", "differs", "added", "removed", "unknown"}
        ``identical`` by the recorded digests, and nothing was read; ``equal`` in its data,
        although the bytes differ; ``unknown`` where nothing was recorded that could tell.
    data : TableComparison, DocumentComparison, ArrayComparison or None
        What differs in the data; ``None`` where it was not read.
    reason : str
        Why the data was not compared, where that was asked for and could not be done.
    left, right : str or None
        Short digest on either side.
    detail : str
        Who made them, how large they are, where rows were taken from.
    """

    key: str
    verdict: Verdict
    data: Data | None = None
    reason: str = ""
    left: str | None = None
    right: str | None = None
    detail: str = ""

    @property
    def same(self) -> bool:
        """Whether the content is known to be the same."""
        return self.verdict in {"identical", "equal"}


# ---------------------------------------------------------------- steps


@dataclass(frozen=True)
class StepComparison:
    """A step of one scenario and the one of the other that it was matched with.

    Attributes
    ----------
    label : str
        Name, year and iteration, and the parameters that tell it from others of that name.
    left, right : str or None
        Run ids; ``None`` where only the other scenario has the step.
    causes : tuple of str
        What differs: ``"config"``, ``"code"``, ``"inputs"`` (from outside), ``"upstream"`` (inputs
        that other steps made), ``"status"``, ``"outputs"``.
    differences : tuple of Difference
        Name by name.
    matched : {"name", "config", "order", "only"}
        How the two were found to belong together.
    """

    label: str
    left: str | None
    right: str | None
    causes: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    matched: str = "name"

    @property
    def same(self) -> bool:
        """Whether both scenarios have the step, and nothing of it differs."""
        return self.left is not None and self.right is not None and not self.causes

    @property
    def verdict(self) -> str:
        """``"same"``, ``"differs"``, or ``"added"`` and ``"removed"`` where one side lacks it."""
        if self.left is None:
            return "added"
        if self.right is None:
            return "removed"
        return "differs" if self.causes else "same"
