"""The command that shows where an artifact comes from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consist.cli import complete
from consist.cli.artifacts import known_artifact
from consist.cli.options import MOST_ROWS, AsJson, DbPath, Mounts, RunDir, opened
from consist.cli.render import clean, json_text, print_lines, print_tree
from consist.errors import UnknownKey

if TYPE_CHECKING:
    from consist.core.visitor import Visitor
    from consist.query.lineage_graph import Lineage


class Format(StrEnum):
    """How a lineage is written."""

    tree = "tree"
    mermaid = "mermaid"
    dot = "dot"
    json = "json"


class Direction(StrEnum):
    """Which way a lineage goes."""

    up = "up"
    down = "down"
    both = "both"


def lineage(
    key_or_id: Annotated[
        str,
        typer.Argument(
            metavar="KEY_OR_ID",
            help="A key, which means its latest artifact, the id of an artifact or run, or the path"
            " of a file.",
            autocompletion=complete.artifact_keys,
        ),
    ],
    form: Annotated[
        Format,
        typer.Option("--format", metavar="FORMAT", help="One of tree, mermaid, dot and json."),
    ] = Format.tree,
    direction: Annotated[
        Direction,
        typer.Option(
            metavar="WAY",
            help="up: what it was made from; down: what was made from it; or both.",
        ),
    ] = Direction.up,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            "--max-depth",
            metavar="N",
            min=0,
            max=MOST_ROWS,
            help="How many runs to go back; by default all.",
        ),
    ] = None,
    run_ids: Annotated[bool, typer.Option("--run-ids", help="Name the runs by their ids.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead."),
    ] = None,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    db_path: DbPath = None,
) -> None:
    """Show what an artifact was made from, or what was made from it.

    A tree of artifacts, each with the run that made it; or the same as a graph, for Mermaid,
    Graphviz or programs.

    Examples:

    \b
      consist lineage skims --depth 2
      consist lineage results/trips.parquet --format mermaid -o trips.mmd
    """
    if as_json and form not in {Format.tree, Format.json}:
        raise typer.BadParameter(f"--json and --format {form.value} exclude each other")
    with opened(db_path, run_dir, mount) as tracker:
        found = _found(tracker, key_or_id, direction.value, depth)
    told = _told(found, Format.json if as_json else form, run_ids=run_ids)
    if output is not None:
        output.write_text(f"{told}\n", encoding="utf-8")
    elif form is Format.tree and not as_json:
        print_tree(told.split("\n"))
    else:
        print_lines(told)


def _found(tracker: Visitor, key_or_id: str, direction: str, depth: int | None) -> Lineage:
    try:
        return tracker.lineage(key_or_id, direction=direction, max_depth=depth)
    except UnknownKey:
        known_artifact(tracker, key_or_id)  # says what may have been meant
        raise


def _told(found: Lineage, form: Format, *, run_ids: bool) -> str:
    match form:
        case Format.mermaid:
            return found.to_mermaid().rstrip("\n")
        case Format.dot:
            return found.to_dot().rstrip("\n")
        case Format.json:
            return json_text(found.to_dict())
        case Format.tree:
            return "\n".join(map(clean, found.lines(show_run_ids=run_ids)))
