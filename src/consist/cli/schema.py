"""The group ``schema``: what columns tables had, as a model, and where they changed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consist.cli import complete
from consist.cli.artifacts import known_artifact
from consist.cli.changing import changing
from consist.cli.options import MOST_ROWS, AsJson, DbPath, Mounts, RunDir, TrustDb, opened
from consist.cli.render import Column, clean, note, print_json, print_table
from consist.cli.runs import known_run, unknown
from consist.cli.sections import Sections

if TYPE_CHECKING:
    from consist.core.visitor import Visitor
    from consist.models.artifact import Artifact

schema = typer.Typer(
    name="schema",
    cls=Sections,
    help="Capture what columns tables have, make models of them, see where they changed.\n\n"
    "Examples:\n\n\b\n"
    "  consist schema capture-file --artifact-key trips\n"
    "  consist schema export --artifact-key trips --out models.py\n"
    "  consist schema drift",
    rich_markup_mode=None,
    no_args_is_help=True,
)


class Source(StrEnum):
    """Which schema of an artifact is preferred."""

    file = "file"
    duckdb = "duckdb"


ArtifactKey = Annotated[
    str | None,
    typer.Option(
        "--artifact-key",
        metavar="KEY",
        help="The latest artifact of this key.",
        autocompletion=complete.artifact_keys,
    ),
]
ArtifactId = Annotated[
    str | None, typer.Option("--artifact-id", metavar="ID", help="The artifact by its id.")
]


@schema.command(name="capture-file")
def capture_file(
    artifact_key: Annotated[
        str | None,
        typer.Option(
            "--artifact-key",
            "--table-key",
            metavar="KEY",
            help="The latest artifact of this key.",
            autocompletion=complete.artifact_keys,
        ),
    ] = None,
    artifact_id: ArtifactId = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            help="Only among the inputs and outputs of this run.",
            autocompletion=complete.run_ids,
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the file is now, if it was moved or copied."),
    ] = None,
    sample_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many rows are looked at.")
    ] = 1000,
    if_changed: Annotated[
        bool,
        typer.Option(
            "--if-changed", help="Look at nothing where this content has a schema already."
        ),
    ] = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """Capture the columns of a recorded file after the fact.

    The file must have the bytes that were recorded. What is captured is kept in the record of the
    run that made the file, or used it first, and stays when the file is gone.

    Examples:

    \b
      consist schema capture-file --artifact-key trips
      consist schema capture-file --artifact-key trips --path old/trips.csv
    """
    from consist.maintenance.schemas import capture_file_schema

    with opened(db_path, run_dir, mount, trust_db) as visitor:
        artifact = _meant(visitor, artifact_key, artifact_id, run_id)
        place = path.absolute() if path is not None else _place(visitor, artifact)
    with changing(db_path, run_dir, mount) as tracker:
        found = capture_file_schema(
            tracker, artifact, place, sample_rows=sample_rows, if_changed=if_changed
        )
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found))
        return
    typer.echo(found.schema_id)
    done = "captured from" if found.captured else "known already, not looked at:"
    note(f"{clean(artifact.key)}: {done} {clean(found.path)}")


def _meant(
    tracker: Visitor, key: str | None, artifact_id: str | None, run_id: str | None
) -> Artifact:
    if (key is None) == (artifact_id is None):
        raise typer.BadParameter("give either --artifact-key or --artifact-id")
    if run_id is None:
        return known_artifact(tracker, str(key or artifact_id))
    known_run(tracker, run_id)
    found = tracker.get_artifact(str(key or artifact_id), run_id=run_id)
    if found is None:
        unknown(
            f"artifact of run {run_id!r} named",
            str(key or artifact_id),
            [],
            f"consist artifacts {run_id} lists what it has",
        )
    return found


def _place(tracker: Visitor, artifact: Artifact) -> Path:
    from consist.errors import FileGone, hint

    found = tracker.seek(artifact)
    if found.access == "untrusted":
        problem = FileGone(artifact.key, (found.path,))
        raise hint(problem, "only the database says where it lies: --trust-db looks there")
    if found.access == "missing":
        raise hint(FileGone(artifact.key, (found.path,)), "--path tells where the file is now")
    return Path(found.path)


@schema.command()
def export(
    schema_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The schema by its id.")
    ] = None,
    artifact_key: ArtifactKey = None,
    artifact_id: ArtifactId = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to this file, not to the terminal.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the class.")
    ] = None,
    table_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the table.")
    ] = None,
    include_system_cols: Annotated[
        bool,
        typer.Option("--include-system-cols", help="Also the columns that ingestion adds."),
    ] = False,
    stats_comments: Annotated[
        bool,
        typer.Option(
            "--stats-comments/--no-stats-comments", help="Say in comments what columns hold."
        ),
    ] = True,
    abstract: Annotated[
        bool,
        typer.Option("--abstract/--concrete", help="Whether the class makes no table."),
    ] = True,
    prefer_source: Annotated[
        Source | None,
        typer.Option(
            metavar="file|duckdb", help="The schema of the file, or that of the ingested rows."
        ),
    ] = None,
    db_path: DbPath = None,
) -> None:
    """Print a captured schema as a SQLModel class, to be edited and registered.

    One that was given as a model comes first, whatever --prefer-source says.

    Examples:

    \b
      consist schema export --artifact-key trips --out models.py
      consist schema export --artifact-key trips --prefer-source duckdb --concrete
    """
    given = [name for name in (schema_id, artifact_key, artifact_id) if name is not None]
    if len(given) != 1:
        raise typer.BadParameter("give one of --schema-id, --artifact-key and --artifact-id")
    options: dict[str, Any] = {
        "out_path": out,
        "class_name": class_name,
        "table_name": table_name,
        "include_system_cols": include_system_cols,
        "include_stats_comments": stats_comments,
        "abstract": abstract,
        "prefer_source": None if prefer_source is None else prefer_source.value,
    }
    with opened(db_path) as tracker:
        if schema_id is not None:
            text = tracker.export_schema_sqlmodel(schema_id=schema_id, **options)
        else:
            artifact = known_artifact(tracker, given[0])
            text = tracker.export_schema_sqlmodel(artifact_id=artifact.id, **options)
    if out is None:
        typer.echo(text, nl=False)
    else:
        note(f"Written to {clean(str(out))}.")


@schema.command(name="apply-fks")
def apply_fks(as_json: AsJson = False, db_path: DbPath = None) -> None:
    """Check which foreign keys of captured models the ingested rows keep to.

    DuckDB cannot add foreign keys to tables that exist, so none is made: the relations stand in
    the view consist_schema_links, and this counts the values that refer to nothing. The exit code
    is 0 whatever is found.

    Examples:

    \b
      consist schema apply-fks
      consist schema apply-fks --json
    """
    from consist.maintenance.schemas import check_relations

    with opened(db_path) as tracker:
        found = check_relations(tracker)
    if as_json:
        import msgspec

        relations: Any = msgspec.to_builtins(found)
        print_json({"applied": 0, "relations": relations})
        return
    if not found:
        note("No captured schema has a foreign key: log a file with schema= of a model that has.")
        return
    columns = (
        Column("From", head=True),
        Column("To", head=True),
        Column("State"),
        Column("Rows", right=True),
        Column("Orphans", right=True),
        Column("Such as"),
    )
    print_table(
        columns,
        (
            (
                f"{r.from_table}.{r.from_field}",
                f"{r.to_table}.{r.to_field}",
                r.state,
                r.rows,
                r.orphans,
                r.reason or ", ".join(r.examples),
            )
            for r in found
        ),
    )
    holding = sum(r.state == "holds" for r in found)
    checked = sum(r.state != "unchecked" for r in found)
    note(
        "0 physical foreign keys: DuckDB cannot add them to existing tables."
        f" {holding} of {checked} checked relations hold."
    )


@schema.command()
def drift(
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Only tables of this key.", autocompletion=complete.artifact_keys
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST_ROWS, help="Most drifts to list.")
    ] = 100,
    as_json: AsJson = False,
    db_path: DbPath = None,
) -> None:
    """List where tables of a key have other columns than before, the latest first.

    Only captured schemas are compared, files with files and ingested rows with ingested rows, in
    the order of their capture. Frames that steps return are always captured.

    Examples:

    \b
      consist schema drift
      consist schema drift --key trips --json
    """
    from consist.maintenance.schemas import schema_drifts

    with opened(db_path) as tracker:
        if key is not None:
            known_artifact(tracker, key)
        found = schema_drifts(tracker, key, limit=limit + 1)
    shown = found[:limit]
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(shown))
        return
    if not shown:
        note("No table has other columns than the one before.")
        return
    columns = (
        Column("Key", head=True),
        Column("Of"),
        Column("When"),
        Column("Run", apart=True),
        Column("Before", apart=True),
        Column("What", apart=True),
    )
    from consist.hot.schemas import in_words

    print_table(
        columns,
        (
            (
                d.key,
                d.source,
                d.at[:19],
                d.run_id,
                d.before_run_id,
                in_words(
                    {
                        "gone": d.gone,
                        "new": d.new,
                        "changed": d.changed,
                        "reordered": not (d.gone or d.new or d.changed),
                    }
                ),
            )
            for d in shown
        ),
    )
    if len(found) > limit:
        note(f"… and older ones; --limit shows more than {limit}")
