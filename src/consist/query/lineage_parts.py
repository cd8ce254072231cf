"""The nodes and edges of a lineage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from consist.query.lineage_walk import Edge, of_artifact, of_run

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.run import Run


class FoundFile(NamedTuple):
    """The file by which an artifact was asked for.

    Attributes
    ----------
    path : str
        Where it lies.
    state : {"same", "changed", "gone", "unknown"}
        Whether its bytes are those that were recorded; ``"unknown"`` where no digest was.
    found_by : {"place", "content", "folder"}
        Whether the artifact was recorded there, has the same bytes elsewhere, or is the folder
        that the file lies in.
    """

    path: str
    state: Literal["same", "changed", "gone", "unknown"]
    found_by: Literal["place", "content", "folder"]

    def __str__(self) -> str:
        return f"{self.path}: {self.said}"

    @property
    def said(self) -> str:
        """What is to be said of the file."""
        match self.state, self.found_by:
            case "changed", _:
                return "CHANGED since it was recorded; this is where the earlier content came from"
            case "gone", _:
                return "no longer there"
            case "same", "content":
                return "a copy, whose content was recorded elsewhere"
            case "same", _:
                return "as it was recorded"
            case _, "folder":
                return "in a recorded folder, of which single files are not compared"
            case _:
                return "recorded without a digest, so it may have changed"


class Node(NamedTuple):
    """An artifact or a run of a lineage.

    Attributes
    ----------
    id : str
        ``"artifact:<id>"`` or ``"run:<id>"``, as edges name it.
    entity : Artifact, Run or None
        What it is; ``None`` for a run that the database does not know (any more).
    """

    id: str
    entity: Artifact | Run | None


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """Runs and artifacts, each once, and the links between them.

    Attributes
    ----------
    root : str
        Name of the node that was asked for.
    direction : {"up", "down", "both"}
        Which way was gone.
    max_depth : int or None
        How many generations of runs were looked through at most.
    artifacts : dict of str to Artifact
        By id, the nearest first.
    runs : dict of str to (Run or None)
        By id, the nearest first; ``None`` where the database does not know a run.
    edges : tuple of Edge
        Links, in the direction in which data flows.
    file : FoundFile or None
        The file that was asked for, if it was one.
    """

    root: str
    direction: str
    max_depth: int | None
    artifacts: Mapping[str, Artifact]
    runs: Mapping[str, Run | None]
    edges: tuple[Edge, ...]
    file: FoundFile | None = None

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Artifacts and runs, each once."""
        artifacts = (Node(of_artifact(each), entity) for each, entity in self.artifacts.items())
        runs = (Node(of_run(each), entity) for each, entity in self.runs.items())
        return (*artifacts, *runs)

    @cached_property
    def into(self) -> Mapping[str, list[Edge]]:
        """Edges by the node that they lead to; none for one that nothing leads to."""
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.target].append(edge)
        return found

    @cached_property
    def out_of(self) -> Mapping[str, list[Edge]]:
        """Edges by the node that they start from."""
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.source].append(edge)
        return found
