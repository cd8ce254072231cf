"""Commands that show artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from consist.cli.options import AsJson, DbPath, Mounts, RunDir, opened
from consist.cli.render import (
    Column,
    clean,
    fits,
    note,
    print_document,
    print_heading,
    print_json,
    print_table,
    print_tree,
)
from consist.cli.runs import known_run, unknown
from consist.errors import ConsistError, FileGone, PathEscape, hint

if TYPE_CHECKING:
    from pandas import DataFrame

    from consist.core.tracker import Tracker
    from consist.models.artifact import Artifact

_MOST_FOUND = 100
_LONGEST_CELL = 40
_OF_A_RUN = (
    Column("Direction"),
    Column("Key", head=True),
    Column("Artifact ID", apart=True),
    Column("URI", apart=True),
    Column("Access"),
    Column("Driver"),
    Column("Hash", least=12),
)
_FOUND = (
    Column("Key", head=True),
    Column("Run", apart=True),
    Column("Driver"),
    Column("URI", apart=True),
)

KeyOrId = Annotated[
    str,
    typer.Argument(
        metavar="KEY_OR_ID", help="A key, which means its latest artifact, or an artifact's id."
    ),
]


def artifacts(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN_ID",
            help="The run; without '~<number>', its latest completed attempt.",
            show_default=False,
        ),
    ] = None,
    key_prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only artifacts whose key begins so.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"Most artifacts to list; without RUN_ID {_MOST_FOUND} by default.",
        ),
    ] = None,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    db_path: DbPath = None,
) -> None:
    """List the artifacts of a run, or the newest of all runs."""
    with opened(db_path, run_dir, mount) as tracker:
        if run_id is None:
            _print_found(tracker, key_prefix or "", limit or _MOST_FOUND, as_json)
        else:
            _print_of_run(tracker, run_id, key_prefix or "", limit, as_json)


def _print_found(tracker: Tracker, prefix: str, limit: int, as_json: bool) -> None:
    from consist.cli.questions import find_by_prefix

    found = find_by_prefix(tracker, prefix, limit + 1)
    if as_json:
        print_json([_brief(artifact) for artifact in found[:limit]])
    elif not found:
        note("No artifacts match." if prefix else "No artifacts yet.")
    else:
        print_table(_FOUND, ((a.key, a.run_id, a.driver, a.container_uri) for a in found[:limit]))
        if len(found) > limit:
            note(f"… and older ones; --limit shows more than {limit}")


def _print_of_run(
    tracker: Tracker, run_id: str, prefix: str, limit: int | None, as_json: bool
) -> None:
    from consist.query.runs import meant_run_id

    known_run(tracker, run_id)
    meant = meant_run_id(tracker, run_id)
    sides = tracker.get_artifacts_for_run(meant)
    both = chain(
        (("input", artifact) for artifact in sides.inputs.values()),
        (("output", artifact) for artifact in sides.outputs.values()),
    )
    linked = [(side, artifact) for side, artifact in both if artifact.key.startswith(prefix)]
    shown = linked[:limit]
    if as_json:
        print_json([{"direction": side, **_brief(a), "access": _access(a)} for side, a in shown])
        return
    if meant != run_id:
        note(f"Run {clean(meant)}")
    if not shown:
        note("No artifacts match." if prefix else "The run has no artifacts.")
        return
    print_table(
        _OF_A_RUN,
        ((side, a.key, a.id, a.container_uri, _access(a), a.driver, a.hash) for side, a in shown),
    )
    if len(linked) > len(shown):
        note(f"… and {len(linked) - len(shown)} more; --limit shows them")


def _brief(artifact: Artifact) -> dict[str, Any]:
    return {
        "key": artifact.key,
        "id": str(artifact.id),
        "run_id": artifact.run_id,
        "driver": artifact.driver,
        "uri": artifact.container_uri,
        "hash": artifact.hash,
        "created_at": artifact.created_at,
    }


def _access(artifact: Artifact) -> str:
    try:
        return "primary" if artifact.path.exists() else "missing"
    except PathEscape:  # recorded on a machine whose folders were others
        return "missing"


def _known_artifact(tracker: Tracker, key_or_id: str) -> Artifact:
    artifact = tracker.get_artifact(key_or_id)
    if artifact is None:
        from consist.cli.questions import similar_keys

        similar = similar_keys(tracker, key_or_id)
        unknown("artifact", key_or_id, similar, "consist artifacts lists what there is")
    return artifact


# ---------------------------------------------------------------- lineage


def lineage(
    key_or_id: KeyOrId,
    max_depth: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="How many runs to go back; by default all."),
    ] = None,
    run_ids: Annotated[bool, typer.Option("--run-ids", help="Name the runs by their ids.")] = False,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """Show what an artifact was made from.

    A tree of artifacts, each with the run that made it.
    """
    from consist.query.lineage import lineage_lines

    with opened(db_path) as tracker:
        found = _known_artifact(tracker, key_or_id)
        tree = tracker.get_artifact_lineage(found.id, max_depth=max_depth)
    if tree is None:
        raise ConsistError(f"artifact {key_or_id!r} is no longer there")
    if as_json:
        print_json(_graph(tree))
    else:
        print_tree(lineage_lines(tree, show_run_ids=run_ids))


def _graph(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a tree as flat lists: a chain of a thousand runs would nest too deep for readers."""
    nodes = {node["artifact"].id: node for node in _nodes(tree)}
    made = [node["producing_run"] for node in nodes.values() if node["producing_run"]]
    return {
        "artifact_id": str(tree["artifact"].id),
        "artifacts": [_brief(node["artifact"]) for node in nodes.values()],
        "runs": [
            {
                "id": run.id,
                "model": run.model_name,
                "status": run.status,
                "year": run.year,
                "input_ids": [str(node["artifact"].id) for node in inputs],
            }
            for run, inputs in {
                each["run"].id: (each["run"], each["inputs"]) for each in made
            }.values()
        ],
    }


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node once, an artifact before what it was made from."""
    seen = {tree["artifact"].id}
    waiting = [tree]
    for node in waiting:
        yield node
        for other in node["producing_run"]["inputs"] if node["producing_run"] else ():
            if other["artifact"].id not in seen:
                seen.add(other["artifact"].id)
                waiting.append(other)


# ---------------------------------------------------------------- preview


class Sample(NamedTuple):
    """The first rows of a table."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]


def preview(
    key_or_id: KeyOrId,
    rows: Annotated[
        int, typer.Option("--rows", "-n", metavar="N", min=0, help="Most rows to show.")
    ] = 5,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    db_path: DbPath = None,
) -> None:
    """Show the first rows of a table, or a JSON document."""
    with opened(db_path, run_dir, mount) as tracker:
        artifact = _known_artifact(tracker, key_or_id)
        try:
            content = _content(tracker, artifact, rows)
        except FileGone as problem:
            raise hint(problem, "--run-dir and --mount tell where files are now") from None
    if as_json:
        print_json({"artifact": _brief(artifact), **_as_json(content)})
        return
    note(f"{artifact.key} · {artifact.driver} · {clean(artifact.container_uri)}")
    if isinstance(content, Sample):
        _print_sample(content)
    else:
        print_document(content)


def _content(tracker: Tracker, artifact: Artifact, rows: int) -> Sample | object:
    match tracker.formats.driver(artifact.driver).kind:
        case "table":
            return _first_rows(tracker, artifact, rows)
        case "file":
            problem = ConsistError(
                f"{artifact.key!r} is a file of format {artifact.driver!r}, which has no preview"
            )
            raise hint(problem, f"open it yourself: {artifact.path}")
        case _:
            value = tracker.load(artifact)
            return _sample_of(value, rows) if _is_frame(value) else value


def _first_rows(tracker: Tracker, artifact: Artifact, rows: int) -> Sample:
    from duckdb import Error

    from consist.formats.base import reading

    # A relation reads when rows are fetched, so that is when a damaged file shows.
    damage = reading(artifact.driver, str(artifact.path), Error)
    with tracker.load_relation(artifact) as relation, damage:
        types = map(str, relation.types)
        columns = dict(zip(relation.columns, types, strict=True))
        return Sample(columns, relation.limit(rows).fetchall())


def _is_frame(value: object) -> bool:
    from consist.formats.base import is_frame

    return is_frame(value)


def _sample_of(frame: DataFrame, rows: int) -> Sample:
    first = frame.head(rows).astype(object)
    known = first.where(first.notna(), None)
    columns = {str(name): str(kind) for name, kind in frame.dtypes.items()}
    return Sample(columns, list(known.itertuples(index=False, name=None)))


def _as_json(content: Sample | object) -> dict[str, Any]:
    if not isinstance(content, Sample):
        return {"document": content}
    return {
        "columns": [{"name": name, "type": kind} for name, kind in content.columns.items()],
        "rows": [dict(zip(content.columns, row, strict=True)) for row in content.rows],
    }


def _print_sample(sample: Sample) -> None:
    """Print rows below column names, or if that is too wide, one line for each column."""
    cells = [[_short(value) for value in row] for row in sample.rows]
    across = [Column(clean(name)) for name in sample.columns]
    print_heading(f"{len(sample.columns)} columns, first {len(cells)} rows")
    if cells and fits(across, cells):
        print_table(across, cells)
        return
    down = (Column("Column", least=12), Column("Type", least=8), Column("Values", least=20))
    print_table(
        down,
        (
            (name, kind, ", ".join(values))
            for (name, kind), values in zip(
                sample.columns.items(), _turned(cells, len(sample.columns)), strict=True
            )
        ),
    )


def _turned(cells: Sequence[Sequence[str]], width: int) -> Iterable[Sequence[str]]:
    return zip(*cells, strict=True) if cells else [()] * width


def _short(value: object) -> str:
    text = "null" if value is None else clean(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
