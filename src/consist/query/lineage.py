"""What made this: the runs and inputs behind an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from consist.errors import UnknownKey
from consist.models.artifact import Artifact
from consist.models.run import Run, RunArtifactLink
from consist.query.artifacts import get_artifact
from consist.query.ask import columns, entity, every, fetch, fetch_all

if TYPE_CHECKING:
    from consist.workspace import Workspace

Node = dict[str, Any]


def get_artifact_lineage(
    ws: Workspace, artifact_key_or_id: str | UUID, *, max_depth: int | None = None
) -> Node | None:
    """Return the tree of runs and inputs that an artifact comes from.

    Parameters
    ----------
    artifact_key_or_id : str or UUID
        An artifact's id, or a key, which means its latest artifact.
    max_depth : int, optional
        How many runs to go back; 0 returns only the artifact.

    Returns
    -------
    dict or None
        ``{"artifact": Artifact, "producing_run": None or {"run": Run, "inputs": [nodes]}}``;
        ``None`` if there is no such artifact. An artifact that several runs used is one node.
    """
    artifact = get_artifact(ws, artifact_key_or_id)
    if artifact is None:
        return None
    nodes: dict[UUID, Node] = {}
    root = _node(nodes, artifact)
    level, depth = [artifact], 0
    while level and (max_depth is None or depth < max_depth):
        level, depth = _grow(ws, nodes, level), depth + 1
    return root


def _node(nodes: dict[UUID, Node], artifact: Artifact) -> Node:
    return nodes.setdefault(artifact.id, {"artifact": artifact, "producing_run": None})


def _grow(ws: Workspace, nodes: dict[UUID, Node], level: list[Artifact]) -> list[Artifact]:
    """Attach the producing runs of a level, and return the inputs that are new."""
    run_ids = {artifact.run_id for artifact in level if artifact.run_id is not None}
    if not run_ids:
        return []
    found = fetch_all(ws, Run, every(Run).where(columns(Run).id.in_(run_ids)))
    runs: dict[str, Run] = {run.id: run for run in found}
    inputs = _inputs_of(ws, run_ids)
    fresh: list[Artifact] = []
    for artifact in level:
        if artifact.run_id is None or artifact.run_id not in runs:
            continue
        used = inputs.get(artifact.run_id, [])
        fresh += [other for other in used if other.id not in nodes]
        children = [_node(nodes, other) for other in used]
        nodes[artifact.id]["producing_run"] = {"run": runs[artifact.run_id], "inputs": children}
    return list({artifact.id: artifact for artifact in fresh}.values())


def _inputs_of(ws: Workspace, run_ids: set[str]) -> dict[str, list[Artifact]]:
    link, artifact = columns(RunArtifactLink), columns(Artifact)
    rows = fetch(
        ws,
        every(Artifact, link.run_id)
        .join(RunArtifactLink, link.artifact_id == artifact.id)
        .where(link.run_id.in_(run_ids), link.direction == "input")
        .order_by(artifact.key),
    )
    inputs: dict[str, list[Artifact]] = {}
    names = artifact.keys()
    for *values, owner in rows:
        used = entity(ws, Artifact, dict(zip(names, values, strict=True)))
        inputs.setdefault(owner, []).append(used)
    return inputs


# ---------------------------------------------------------------- text


def lineage_lines(tree: Node, *, show_run_ids: bool = False) -> Iterator[str]:
    """Yield a lineage tree as lines of text; what was shown before is only named again."""
    shown: set[UUID] = set()
    stack: list[tuple[Node, str, str]] = [(tree, "", "")]
    while stack:
        node, lead, below = stack.pop()
        artifact, made = node["artifact"], node["producing_run"]
        again = artifact.id in shown and made is not None and made["inputs"]
        yield f"{lead}{_label(artifact, made, show_run_ids)}{' (see above)' if again else ''}"
        shown.add(artifact.id)
        children: list[Node] = [] if made is None or again else made["inputs"]
        for number, child in reversed(list(enumerate(children))):
            last = number == len(children) - 1
            branch, space = ("└── ", "    ") if last else ("├── ", "│   ")
            stack.append((child, below + branch, below + space))


def _label(artifact: Artifact, made: Any, show_run_ids: bool) -> str:
    text = f"{artifact.key} [{artifact.driver}]"
    if made is None:
        return text if artifact.run_id is None else f"{text} ← {artifact.run_id}"
    run: Run = made["run"]
    facts = [run.model_name]
    if run.year is not None:
        facts.append(str(run.year))
    if show_run_ids:
        facts.append(run.id)
    return f"{text} ← {', '.join(facts)}"


def print_lineage(
    ws: Workspace,
    artifact_key_or_id: str | UUID,
    *,
    max_depth: int | None = None,
    show_run_ids: bool = False,
) -> None:
    """Print what an artifact comes from, as a tree.

    Parameters
    ----------
    artifact_key_or_id, max_depth
        As for :func:`get_artifact_lineage`.
    show_run_ids : bool, default False
        Name the runs by their ids as well.

    Raises
    ------
    KeyError
        If there is no such artifact.
    """
    ws.check_database("print_lineage")
    tree = get_artifact_lineage(ws, artifact_key_or_id, max_depth=max_depth)
    if tree is None:
        raise UnknownKey(str(artifact_key_or_id), "the database", ())
    for line in lineage_lines(tree, show_run_ids=show_run_ids):
        print(line)  # noqa: T201 - printing is what it is for
