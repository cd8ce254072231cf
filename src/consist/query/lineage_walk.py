"""Follow the links between runs and artifacts: up to what made them, down to what used them.

The links that matter are read in one statement, whatever their depth: a statement for each of two
hundred generations takes seconds. Then they are followed in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import String, exists, func, literal, select, type_coerce

from consist.models.artifact import Artifact
from consist.models.run import Run, RunArtifactLink
from consist.query.ask import Ask, among, columns, unpacked

USED, MADE, GAVE_BACK, REUSED, PART, STEP = (
    "used", "made", "gave back", "reused", "part", "step",
)  # fmt: skip
"""What an edge says: a run used an artifact, made it, gave it back from the cache; a hit reused a
run; one artifact is a part of the other; a run is a step of a scenario."""

_FEW_LINKS = 10_000
"""Up to here, reading every link is faster than asking for those that matter."""


_SHALLOW = 8
"""Up to this depth, the question itself ends there; below, the walk does."""


class Edge(NamedTuple):
    """One link of a lineage, in the direction in which data flows.

    Attributes
    ----------
    source, target : str
        ``"artifact:<id>"`` or ``"run:<id>"``.
    kind : {"used", "made", "gave back", "reused", "part", "step"}
        What the link says.
    """

    source: str
    target: str
    kind: str


class Link(NamedTuple):
    """A run used or gave an artifact; which run made that, and what it is a part of."""

    run: str
    artifact: str
    made_by: str | None
    container: str | None = None
    container_made_by: str | None = None


def of_artifact(artifact_id: object) -> str:
    """Return the name of an artifact among the ends of edges."""
    return f"artifact:{artifact_id}"


def of_run(run_id: str) -> str:
    """Return the name of a run among the ends of edges."""
    return f"run:{run_id}"


@dataclass
class Walked:
    """What a walk came by, in the order in which it did.

    Attributes
    ----------
    artifacts, runs : dict
        Ids, as an ordered set.
    edges : dict of Edge
        The links between them, as an ordered set.
    """

    artifacts: dict[str, None] = field(default_factory=dict[str, None])
    runs: dict[str, None] = field(default_factory=dict[str, None])
    edges: dict[Edge, None] = field(default_factory=dict["Edge", None])

    def new_runs(self, run_ids: Iterable[str]) -> list[str]:
        """Take in runs, and return those that were not known."""
        fresh = [run_id for run_id in dict.fromkeys(run_ids) if run_id not in self.runs]
        self.runs.update(dict.fromkeys(fresh))
        return fresh

    def new_artifact(self, artifact_id: str) -> bool:
        """Take in an artifact, and return whether it was not known."""
        if artifact_id in self.artifacts:
            return False
        self.artifacts[artifact_id] = None
        return True

    def link(self, source: str, target: str, kind: str) -> None:
        """Take in an edge."""
        self.edges[Edge(source, target, kind)] = None


class Start(NamedTuple):
    """Where a walk begins: at an artifact, or at runs."""

    artifact: Link | None
    runs: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    """Runs of the start that are hits, each with the run that it gave back."""


# ---------------------------------------------------------------- up


def walk_up(ask: Ask, start: Start, max_depth: int | None) -> Walked:
    """Follow what was used and who made it."""
    first = [*start.runs, *(source for _, source in start.sources)]
    if start.artifact is not None:
        first += _makers(start.artifact)
    used: dict[str, list[Link]] = defaultdict(list)
    if first:
        for link in _links_of(ask, _ancestors(first, max_depth), "input")[0]:
            used[link.run].append(link)
    walked = Walked(runs=dict.fromkeys(start.runs))
    level = [] if start.artifact is None else [start.artifact]
    runs, depth = list(start.runs), 0
    walked.artifacts.update((link.artifact, None) for link in level)
    while max_depth is None or depth < max_depth:
        made = [run for link in level for run in _made(walked, link)]
        runs += walked.new_runs(made)
        if not runs:
            break
        level = [link for run in runs for link in used[run] if _uses(walked, link)]
        runs = list(_reused(walked, start) if depth == 0 and max_depth != 1 else ())
        depth += 1
    return walked


def _makers(link: Link) -> list[str]:
    return [run for run in (link.made_by, link.container_made_by) if run is not None]


def _made(walked: Walked, link: Link) -> Iterator[str]:
    """Link an artifact with the run that made it, and with its container; yield the runs."""
    if link.made_by is not None:
        walked.link(of_run(link.made_by), of_artifact(link.artifact), MADE)
        yield link.made_by
    if link.container is not None:
        walked.new_artifact(link.container)
        walked.link(of_artifact(link.container), of_artifact(link.artifact), PART)
        if link.container_made_by is not None:
            walked.link(of_run(link.container_made_by), of_artifact(link.container), MADE)
            yield link.container_made_by


def _uses(walked: Walked, link: Link) -> bool:
    walked.link(of_artifact(link.artifact), of_run(link.run), USED)
    return walked.new_artifact(link.artifact)


def _reused(walked: Walked, start: Start) -> Iterator[str]:
    for hit, source in start.sources:
        walked.link(of_run(source), of_run(hit), REUSED)
        yield from walked.new_runs([source])


# ---------------------------------------------------------------- down


def walk_down(ask: Ask, start: Start, max_depth: int | None) -> Walked:
    """Follow who used what, and what came of it."""
    uses, gives = _links_of(ask, _descendants(start, max_depth), "input", "output")
    by_artifact, by_container = _by_artifact(uses)
    given: dict[str, list[Link]] = defaultdict(list)
    for link in gives:
        given[link.run].append(link)
    walked = Walked(runs=dict.fromkeys(start.runs))
    runs, depth = list(start.runs), 0
    level = [] if start.artifact is None else [start.artifact]
    walked.artifacts.update((link.artifact, None) for link in level)
    while max_depth is None or depth < max_depth:
        users: list[str] = []
        for link in level:
            users += _users(walked, link, by_artifact, by_container)
        runs += walked.new_runs(users)
        if not runs:
            break
        level = [link for run in runs for link in given[run] if _gives(walked, link)]
        runs, depth = [], depth + 1
    return walked


def _by_artifact(used: Iterable[Link]) -> tuple[dict[str, list[Link]], dict[str, list[Link]]]:
    by_artifact: dict[str, list[Link]] = defaultdict(list)
    by_container: dict[str, list[Link]] = defaultdict(list)
    for link in used:
        by_artifact[link.artifact].append(link)
        if link.container is not None:
            by_container[link.container].append(link)
    return by_artifact, by_container


def _users(
    walked: Walked,
    link: Link,
    by_artifact: dict[str, list[Link]],
    by_container: dict[str, list[Link]],
) -> Iterator[str]:
    """Link an artifact with the runs that used it, a part of it, or the container it is in."""
    for use in by_artifact.get(link.artifact, ()):
        walked.link(of_artifact(link.artifact), of_run(use.run), USED)
        yield use.run
    for use in by_container.get(link.artifact, ()):
        walked.new_artifact(use.artifact)
        walked.link(of_artifact(link.artifact), of_artifact(use.artifact), PART)
        walked.link(of_artifact(use.artifact), of_run(use.run), USED)
        yield use.run
    for use in by_artifact.get(link.container or "", ()):
        walked.new_artifact(use.artifact)
        walked.link(of_artifact(link.artifact), of_artifact(use.artifact), PART)
        walked.link(of_artifact(use.artifact), of_run(use.run), USED)
        yield use.run


def _gives(walked: Walked, link: Link) -> bool:
    kind = MADE if link.made_by == link.run else GAVE_BACK
    walked.link(of_run(link.run), of_artifact(link.artifact), kind)
    return walked.new_artifact(link.artifact)


# ---------------------------------------------------------------- links


def _links_of(ask: Ask, reachable: Any, *directions: str) -> list[list[Link]]:
    """Read the links of every run that can be reached; of all runs where that is simpler."""
    link, artifact = columns(RunArtifactLink), columns(Artifact)
    count = select(func.count()).select_from(link.run_id.table).scalar_subquery()
    parted = exists(select(artifact.id).where(artifact.parent_artifact_id.is_not(None)))
    ((links, has_parts),) = ask(select(count, parted))
    run_ids = None
    if links > _FEW_LINKS and not has_parts:
        run_ids = [row[0] for row in ask(reachable)]
    return [
        [Link(*row) for row in ask(_select(direction, run_ids, parts=has_parts))]
        for direction in directions
    ]


def _select(direction: str, run_ids: list[str] | None, *, parts: bool) -> Any:
    link, artifact = columns(RunArtifactLink), columns(Artifact)
    chosen = (link.run_id, _text(link.artifact_id), artifact.run_id)
    joined = (artifact.id.table, artifact.id == link.artifact_id)
    if not parts:
        statement = select(*chosen).join(*joined)
    else:
        whole = artifact.id.table.alias("whole")
        statement = (
            select(*chosen, _text(artifact.parent_artifact_id), whole.c.run_id)
            .join(*joined)
            .join(whole, whole.c.id == artifact.parent_artifact_id, isouter=True)
        )
    statement = statement.where(link.direction == direction).order_by(link.run_id, artifact.key)
    return statement if run_ids is None else statement.where(among(link.run_id, run_ids))


def _text(column: Any) -> Any:
    return type_coerce(column, String)


def _ancestors(run_ids: Collection[str], max_depth: int | None) -> Any:
    """Return a select of these runs and of all that made what they used, and so on."""
    link, artifact = columns(RunArtifactLink), columns(Artifact)
    above = select(*_first(_listed(run_ids))).cte("above", recursive=True)
    return select(
        above.union(
            select(artifact.run_id, above.c.depth + _step(max_depth))
            .join_from(above, link.run_id.table, link.run_id == above.c.run_id)
            .join(artifact.id.table, artifact.id == link.artifact_id)
            .where(link.direction == "input", artifact.run_id.is_not(None))
            .where(*_bound(above, max_depth))
        ).c.run_id
    ).distinct()


def _first(runs: Any) -> tuple[Any, Any]:
    chosen = runs.subquery()
    return chosen.c.run_id, literal(0).label("depth")


def _step(max_depth: int | None) -> int:
    """Return what one generation counts: nothing where depth would only make runs differ."""
    return 0 if max_depth is None or max_depth > _SHALLOW else 1


def _bound(walked: Any, max_depth: int | None) -> list[Any]:
    return [walked.c.depth < max_depth] if _step(max_depth) else []


def _listed(run_ids: Collection[str]) -> Any:
    """Return a select of these ids, whether or not there are such runs."""
    return select(func.unnest(unpacked(run_ids)).label("run_id"))


def _runs(run_ids: Collection[str]) -> Any:
    run = columns(Run)
    return select(run.id.label("run_id")).where(among(run.id, run_ids))


def _descendants(start: Start, max_depth: int | None) -> Any:
    """Return a select of the runs of a start, or that used its artifact, and of all below them."""
    link = columns(RunArtifactLink)
    using = link.run_id.table.alias("using_")
    first = _runs(start.runs)
    if start.artifact is not None:
        used = link.artifact_id == start.artifact.artifact
        first = select(link.run_id).where(link.direction == "input", used)
    below = select(*_first(first)).cte("below", recursive=True)
    return select(
        below.union(
            select(using.c.run_id, below.c.depth + _step(max_depth))
            .join_from(below, link.run_id.table, link.run_id == below.c.run_id)
            .join(using, using.c.artifact_id == link.artifact_id)
            .where(link.direction == "output", using.c.direction == "input")
            .where(*_bound(below, max_depth))
        ).c.run_id
    ).distinct()
