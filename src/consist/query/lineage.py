"""What made this, and what came of it: the runs and artifacts around an artifact, run or file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from consist.errors import NotRecorded, UsageError, WrongType
from consist.models.artifact import Artifact
from consist.models.run import Run
from consist.query.artifacts import get_artifact
from consist.query.ask import Ask, among, asking, columns, every, rows_as
from consist.query.lineage_graph import Lineage
from consist.query.lineage_root import Root, root_of
from consist.query.lineage_walk import (
    MADE,
    STEP,
    USED,
    Link,
    Start,
    Walked,
    of_artifact,
    of_run,
    walk_down,
    walk_up,
)
from consist.types import PathLike, check_option

if TYPE_CHECKING:
    from consist.models.result import RunResult
    from consist.workspace import Workspace

Node = dict[str, Any]

DIRECTIONS = ("up", "down", "both")


def lineage(
    ws: Workspace,
    artifact_or_run: Artifact | Run | RunResult | UUID | PathLike,
    *,
    direction: str = "up",
    max_depth: int | None = None,
) -> Lineage:
    """Return what an artifact, run or file comes from, or what came of it.

    Parameters
    ----------
    artifact_or_run : Artifact, Run, RunResult, UUID, str or path
        What to look at. Text is tried as the id of an artifact, as a key, which means its latest
        artifact, as the id of a run, and as a path. A path means what was recorded there: the
        version whose bytes the file has, else the latest; else what has the same bytes elsewhere,
        or the recorded folder that the file lies in.
    direction : {"up", "down", "both"}, default "up"
        To what it was made from, to what used it, or both ways.
    max_depth : int, optional
        How many generations of runs to look through; 0 returns only what was asked for.

    Returns
    -------
    Lineage
        Printed, it is a tree; :meth:`~Lineage.to_mermaid`, :meth:`~Lineage.to_dot` and
        :meth:`~Lineage.to_dict` give other forms. A scenario stands for its steps, a run that was
        given back from the cache for the run that executed.

    Raises
    ------
    KeyError
        If nothing of the kind was recorded.
    RuntimeError
        Without a database.
    """
    check_option("direction", direction, DIRECTIONS)
    _check_depth(max_depth)
    ws.check_database("lineage")
    root = root_of(ws, artifact_or_run)
    with asking(ws) as ask:
        start, walked = _start(ws, ask, root)
        for way, walk in (("up", walk_up), ("down", walk_down)):
            if direction in {way, "both"}:
                _add(walked, walk(ask, start, max_depth))
        return _seen(ws, ask, root, walked, direction, max_depth)


def _check_depth(max_depth: object) -> None:
    if max_depth is None:
        return
    if not isinstance(max_depth, int) or isinstance(max_depth, bool):
        raise WrongType(f"max_depth={max_depth!r} is not a whole number")
    if max_depth < 0:
        raise UsageError(f"max_depth={max_depth} is below zero")


def _start(ws: Workspace, ask: Ask, root: Root) -> tuple[Start, Walked]:
    """Return where to begin: at an artifact; or at a run, and at those that ran inside it."""
    walked = Walked()
    if isinstance(root.entity, Artifact):
        link = _link_to(ask, root.entity)
        walked.new_artifact(link.artifact)
        return Start(link), walked
    found = [root.entity]
    walked.new_runs([root.entity.id])
    level = found
    while level:
        inside = among(columns(Run).parent_run_id, [run.id for run in level])
        statement = every(Run).where(inside).order_by(columns(Run).created_at, columns(Run).id)
        steps = rows_as(ws, Run, ask(statement))
        fresh = {*walked.new_runs(run.id for run in steps)}
        level = [run for run in steps if run.id in fresh]
        for run in level:
            walked.link(of_run(str(run.parent_run_id)), of_run(run.id), STEP)
        found += level
    hits = ((run.id, run.meta.get("cache_source")) for run in found if run.meta.get("cache_hit"))
    sources = tuple((hit, source) for hit, source in hits if isinstance(source, str))
    return Start(None, tuple(walked.runs), sources), walked


def _link_to(ask: Ask, artifact: Artifact) -> Link:
    container, maker = artifact.parent_artifact_id, None
    if container is not None:
        whole = columns(Artifact)
        rows = ask(select(whole.run_id).where(whole.id == container))
        maker = rows[0][0] if rows else None
        container = container if rows else None
    name = None if container is None else str(container)
    return Link("", str(artifact.id), artifact.run_id, name, maker)


def _add(walked: Walked, more: Walked) -> None:
    walked.artifacts |= more.artifacts
    walked.runs |= more.runs
    walked.edges |= more.edges


def _seen(
    ws: Workspace, ask: Ask, root: Root, walked: Walked, direction: str, max_depth: int | None
) -> Lineage:
    """Return what was walked by, as objects; an artifact that is gone leaves no edges."""
    artifacts, runs = _entities(ws, ask, root, walked)
    known = {*map(of_artifact, artifacts), *map(of_run, runs)}
    kept = (edge for edge in walked.edges if edge.source in known and edge.target in known)
    name = (of_artifact if isinstance(root.entity, Artifact) else of_run)(str(root.entity.id))
    return Lineage(name, direction, max_depth, artifacts, runs, tuple(kept), root.file)


def _entities(
    ws: Workspace, ask: Ask, root: Root, walked: Walked
) -> tuple[dict[str, Artifact], dict[str, Run | None]]:
    wanted = among(columns(Artifact).id, walked.artifacts)
    artifacts = {
        str(each.id): each for each in rows_as(ws, Artifact, ask(every(Artifact).where(wanted)))
    }
    runs: dict[str, Run | None] = {}
    if walked.runs:
        rows = rows_as(ws, Run, ask(every(Run).where(among(columns(Run).id, walked.runs))))
        runs.update((run.id, run) for run in rows)
    own: dict[str, Any] = artifacts if isinstance(root.entity, Artifact) else runs
    own.setdefault(str(root.entity.id), root.entity)
    return (
        {each: artifacts[each] for each in walked.artifacts if each in artifacts},
        {each: runs.get(each) for each in walked.runs},
    )


# ---------------------------------------------------------------- as a tree of dicts


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
        ``None`` if there is no such artifact. An artifact that several runs used is one node. An
        artifact that, in the end, would come from itself is a leaf there.

    See Also
    --------
    lineage : The same as a graph, to be drawn, followed downwards, and asked for by a file.
    """
    _check_depth(max_depth)
    artifact = get_artifact(ws, artifact_key_or_id)
    return None if artifact is None else _tree(lineage(ws, artifact, max_depth=max_depth))


def _tree(graph: Lineage) -> Node:
    """Return a graph as nested nodes, each made once, after those below it."""
    nodes: dict[str, Node] = {}
    made: dict[str, Node] = {}
    opened: set[str] = set()
    stack = [graph.root]
    while stack:
        name = stack[-1]
        if name in nodes:
            stack.pop()
            continue
        inputs = _inputs(graph, name)
        if name not in opened:
            opened.add(name)
            missing = [each for each in inputs if each not in nodes and each not in opened]
            if missing:
                stack += reversed(missing)
                continue
        stack.pop()
        nodes[name] = _node(graph, name, inputs, nodes, made)
    return nodes[graph.root]


def _node(
    graph: Lineage, name: str, inputs: list[str], nodes: dict[str, Node], made: dict[str, Node]
) -> Node:
    maker = _maker(graph, name)
    run = None if maker is None else graph.runs[maker]
    artifact = graph.artifacts[name.partition(":")[2]]
    if run is None:
        return {"artifact": artifact, "producing_run": None}
    if run.id not in made:
        below = [nodes.get(each) or _leaf(graph, each) for each in inputs]
        made[run.id] = {"run": run, "inputs": below}
    return {"artifact": artifact, "producing_run": made[run.id]}


def _leaf(graph: Lineage, name: str) -> Node:
    return {"artifact": graph.artifacts[name.partition(":")[2]], "producing_run": None}


def _maker(graph: Lineage, name: str) -> str | None:
    made = [edge.source for edge in graph.into[name] if edge.kind == MADE]
    return made[0].partition(":")[2] if made else None


def _inputs(graph: Lineage, name: str) -> list[str]:
    maker = _maker(graph, name)
    if maker is None or graph.runs[maker] is None:
        return []
    return [edge.source for edge in graph.into[of_run(maker)] if edge.kind == USED]


# ---------------------------------------------------------------- text


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
    artifact = get_artifact(ws, artifact_key_or_id)
    if artifact is None:
        raise NotRecorded(str(artifact_key_or_id))
    for line in lineage(ws, artifact, max_depth=max_depth).lines(show_run_ids=show_run_ids):
        print(line)  # noqa: T201 - printing is what it is for
