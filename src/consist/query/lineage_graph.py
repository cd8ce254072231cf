"""What something comes from and what came of it, as one object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from consist.query import lineage_text as text
from consist.query.lineage_parts import FoundFile, Graph, Node
from consist.query.lineage_walk import GAVE_BACK, MADE, USED, Edge, of_run

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.run import Run

__all__ = ["Edge", "FoundFile", "Lineage", "Node"]


class Lineage(Graph):
    """The runs and artifacts that something comes from, or that came of it, each once.

    ``root`` is what was asked for, ``artifacts`` and ``runs`` are the nodes by id, ``edges`` the
    links between them in the direction in which data flows; see :class:`Graph`.
    """

    def __repr__(self) -> str:
        counts = f"artifacts={len(self.artifacts)}, runs={len(self.runs)}"
        return f"Lineage({self.root!r}, direction={self.direction!r}, {counts})"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        from consist.models import html

        heading = f"Lineage of {text.label(self, self.root)[0]}"
        counts = f"{len(self.artifacts):,} artifacts, {len(self.runs):,} runs"
        return html.block(heading, html.preformatted(self.lines()), counts)

    def lines(self, *, show_run_ids: bool = False) -> Iterator[str]:
        """Yield the lineage as a tree of text; what was shown before is only named again."""
        return text.tree(self, show_run_ids=show_run_ids)

    def to_mermaid(self) -> str:
        """Return the lineage as a Mermaid flowchart."""
        return text.mermaid(self)

    def to_dot(self) -> str:
        """Return the lineage as a graph for Graphviz."""
        return text.dot(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the lineage as plain data that can be written as JSON.

        Returns
        -------
        dict
            ``root``, ``direction``, ``max_depth``; ``artifact_id`` or ``run_id`` of what was asked
            for; ``artifacts``, ``runs`` and ``edges``, as flat lists; ``file``.
        """
        kind, _, root_id = self.root.partition(":")
        return {
            "root": self.root,
            "artifact_id": root_id if kind == "artifact" else None,
            "run_id": root_id if kind == "run" else None,
            "direction": self.direction,
            "max_depth": self.max_depth,
            "file": None if self.file is None else self.file._asdict(),
            "artifacts": [_artifact_facts(artifact) for artifact in self.artifacts.values()],
            "runs": [self._run_facts(run_id, run) for run_id, run in self.runs.items()],
            "edges": [edge._asdict() for edge in self.edges],
        }

    def _run_facts(self, run_id: str, run: Run | None) -> dict[str, Any]:
        name = of_run(run_id)
        used = [edge.source for edge in self.into[name] if edge.kind == USED]
        gave = [edge.target for edge in self.out_of[name] if edge.kind in {MADE, GAVE_BACK}]
        facts = {
            "id": run_id,
            "known": run is not None,
            "input_ids": [_bare(each) for each in used],
            "output_ids": [_bare(each) for each in gave],
        }
        if run is None:
            return facts
        return {
            **facts,
            "model": run.model_name,
            "status": run.status,
            "parent_run_id": run.parent_run_id,
            "year": run.year,
            "iteration": run.iteration,
            "cache_hit": bool(run.meta.get("cache_hit")),
            "cache_source": run.meta.get("cache_source"),
            "created_at": run.created_at.isoformat(),
        }


def _bare(node: str) -> str:
    return node.partition(":")[2]


def _artifact_facts(artifact: Artifact) -> dict[str, Any]:
    return {
        "key": artifact.key,
        "id": str(artifact.id),
        "run_id": artifact.run_id,
        "driver": artifact.driver,
        "uri": artifact.container_uri,
        "table_path": artifact.table_path,
        "array_path": artifact.array_path,
        "hash": artifact.hash,
        "created_at": artifact.created_at.isoformat(),
    }
