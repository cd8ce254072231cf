"""What a view is made of: its columns, and scans that are joined with its members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SYSTEM_COLUMNS = {
    "consist_run_id": "VARCHAR",
    "consist_artifact_id": "VARCHAR",
    "consist_year": "INTEGER",
    "consist_iteration": "INTEGER",
    "consist_scenario_id": "VARCHAR",
}
FILE = "consist_file"
"""What a row's file is called in a scan, and whatever a row finds its members by in theirs."""
PLACE = "file_index"
"""DuckDB's name for the place of a row's file in the list that is read."""

Keep = Callable[[str], str]
"""Keeps a relation, and returns the name by which it is read from then on."""


@dataclass(frozen=True)
class Layout:
    """The columns that a view has beside what the data bring.

    Attributes
    ----------
    columns : mapping of str to str
        Of the model: name to DuckDB type, in its order; they come first.
    attached : mapping of str to str
        Those that each member has one value of, which is in its ``attached``.
    system : bool
        Whether the five columns of provenance are shown.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    attached: Mapping[str, str] = field(default_factory=dict[str, str])
    system: bool = True

    @property
    def of_members(self) -> dict[str, str]:
        """The columns that come from members."""
        return {**self.attached, **(SYSTEM_COLUMNS if self.system else {})}


@dataclass(frozen=True)
class Part:
    """One scan: SQL for its rows and their columns, and the members it is joined with.

    ``columns`` are name and type by lower-case name. ``on`` is the column of the scan by which a
    row finds its members, of type ``kind``; ``rows`` are the members' values. ``where`` and
    ``named`` tell what the source of a row is called. ``own`` is SQL for the columns of members
    where the rows themselves tell them, so that there is nothing to join.
    """

    scan: str
    columns: Mapping[str, tuple[str, str]]
    on: str
    where: str
    named: str
    rows: Sequence[Mapping[str, object]]
    partitions: Mapping[str, str] = field(default_factory=dict[str, str])
    kind: str = "VARCHAR"
    own: Mapping[str, str] | None = None
