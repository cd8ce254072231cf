"""The command that looks into an artifact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from consist.cli import complete
from consist.cli.artifacts import artifact_of_hash, brief, known_artifact
from consist.cli.options import MOST_ROWS, AsJson, DbPath, Mounts, RunDir, TrustDb, opened
from consist.cli.render import (
    Column,
    clean,
    fits,
    note,
    print_document,
    print_heading,
    print_json,
    print_table,
)
from consist.errors import ConsistError, FileGone, MissingExtra, hint

if TYPE_CHECKING:
    from pandas import DataFrame

    from consist.core.visitor import Visitor
    from consist.models.artifact import Artifact

_LONGEST_CELL = 40


class Sample(NamedTuple):
    """The first rows of a table."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]


class Arrays(NamedTuple):
    """What a file of arrays holds."""

    dims: dict[str, int]
    variables: dict[str, Mapping[str, Any]]


def preview(
    key_or_id: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY_OR_ID",
            help="A key, which means its latest artifact, or an artifact's id.",
            show_default=False,
            autocompletion=complete.artifact_keys,
        ),
    ] = None,
    hash_prefix: Annotated[
        str | None,
        typer.Option("--hash", metavar="PREFIX", help="The artifact by how its hash begins."),
    ] = None,
    rows: Annotated[
        int,
        typer.Option("--rows", "-n", metavar="N", min=0, max=MOST_ROWS, help="Most rows to show."),
    ] = 5,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """Show what a table, a document or a file of arrays holds.

    Of a table the first rows, of arrays their dimensions and variables, of a JSON document its
    first hundred lines. Where the file is gone and its rows were ingested, they are read from the
    database.

    Examples:

    \b
      consist preview trips -n 20
      consist preview --hash 9f86d081
    """
    if (key_or_id is None) == (hash_prefix is None):
        raise typer.BadParameter("give either KEY_OR_ID or --hash")
    with opened(db_path, run_dir, mount, trust_db) as tracker:
        if key_or_id is not None:
            artifact = known_artifact(tracker, key_or_id)
        else:
            artifact = artifact_of_hash(tracker, str(hash_prefix))
        try:
            content = _content(tracker, artifact, rows)
        except FileGone as problem:
            raise hint(problem, "--run-dir and --mount tell where files are now") from None
        except MissingExtra as problem:
            install = f"pip install 'consist[{problem.extra}]'"
            raise hint(problem, f"install the extra: {install}") from None
    if as_json:
        print_json({"artifact": brief(artifact), **_as_json(content)})
        return
    note(f"{clean(artifact.key)} · {artifact.driver} · {clean(artifact.container_uri)}")
    match content:
        case Sample():
            _print_sample(content)
        case Arrays():
            _print_arrays(content)
        case _:
            print_document(content)


def _content(tracker: Visitor, artifact: Artifact, rows: int) -> Sample | Arrays | object:
    match tracker.formats.driver(artifact.driver).kind:
        case "table":
            return _first_rows(tracker, artifact, rows)
        case "array" | "file":
            return _arrays(tracker, artifact)
        case _:
            value = tracker.load(artifact, db_fallback="always")
            return _sample_of(value, rows) if _is_frame(value) else value


def _arrays(tracker: Visitor, artifact: Artifact) -> Arrays:
    from consist.artifacts.verify import verified_path

    driver = tracker.formats.driver(artifact.driver)
    path = verified_path(tracker, artifact.to_record())
    options: dict[str, Any] = {}
    if driver.kind == "array" and artifact.array_path is not None:
        options["group"] = artifact.array_path
    told = driver.describe(path, **options)
    if "variables" not in told:
        problem = ConsistError(
            f"{artifact.key!r} is a file of format {artifact.driver!r}, which has no preview"
        )
        raise hint(problem, f"open it yourself: {path}")
    return Arrays(told.get("dims", {}), told["variables"])


def _first_rows(tracker: Visitor, artifact: Artifact, rows: int) -> Sample:
    from duckdb import Error

    from consist.formats.base import reading

    # A relation reads when rows are fetched, so that is when a damaged file shows.
    damage = reading(artifact.driver, artifact.container_uri, Error)
    with tracker.load_relation(artifact, db_fallback="always") as relation, damage:
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


def _as_json(content: Sample | Arrays | object) -> dict[str, Any]:
    told: dict[str, Any] = dict.fromkeys(("columns", "rows", "document", "dims", "variables"))
    match content:
        case Sample():
            told["columns"] = [{"name": n, "type": kind} for n, kind in content.columns.items()]
            told["rows"] = [dict(zip(content.columns, row, strict=True)) for row in content.rows]
        case Arrays():
            told["dims"] = content.dims
            told["variables"] = [
                {"name": name, **facts} for name, facts in content.variables.items()
            ]
        case _:
            told["document"] = content
    return told


# ---------------------------------------------------------------- show


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


def _print_arrays(arrays: Arrays) -> None:
    if arrays.dims:
        print_heading("Dimensions")
        columns = (Column("Dimension", head=True, apart=True), Column("Length", right=True))
        print_table(columns, arrays.dims.items())
    print_heading("Variables")
    facts = list(dict.fromkeys(fact for told in arrays.variables.values() for fact in told))
    print_table(
        [Column("Variable", head=True, apart=True), *(Column(f.capitalize()) for f in facts)],
        (
            (name, *(_spelled(told.get(fact)) for fact in facts))
            for name, told in arrays.variables.items()
        ),
    )


def _spelled(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return "" if value is None else str(value)
