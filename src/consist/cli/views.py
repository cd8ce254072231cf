"""The group ``views``: one table over the outputs of many runs, kept in the database."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consist.cli import complete
from consist.cli.changing import changing
from consist.cli.options import AsJson, DbPath, Mounts, RunDir
from consist.cli.render import note, print_json
from consist.cli.sections import Sections
from consist.errors import UsageError, hint, some_of

if TYPE_CHECKING:
    from consist.core.tracker import Tracker

views = typer.Typer(
    name="views",
    cls=Sections,
    help="Make one table over the outputs of many runs.\n\n"
    "Examples:\n\n\b\n"
    "  consist views create v_links --schema-id 899e113e --param family=links",
    rich_markup_mode=None,
    no_args_is_help=True,
)


class Mode(StrEnum):
    """Ingested rows, files, or both."""

    hybrid = "hybrid"
    hot_only = "hot_only"
    cold_only = "cold_only"


class IfExists(StrEnum):
    """What happens to a view of the same name."""

    replaced = "replace"
    refused = "error"


class MissingFiles(StrEnum):
    """What happens where a file is gone."""

    warn = "warn"
    error = "error"
    skip_silent = "skip_silent"


@views.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the view in SQL.")],
    schema_id: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Schema of the artifacts; the beginning of its id will do."
        ),
    ],
    namespace: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Where predicates that name no namespace look."),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREDICATE",
            help="Only artifacts whose facet meets [namespace.]key=value, >= or <=; may be given"
            " several times.",
        ),
    ] = None,
    attach_facet: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Show this facet as column facet_KEY; may be given several times."
        ),
    ] = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this format, such as parquet; may be given several times."
        ),
    ] = None,
    system_columns: Annotated[
        bool,
        typer.Option(
            "--include-system-columns/--no-system-columns",
            help="Whether rows tell run, artifact, year, iteration and scenario.",
        ),
    ] = True,
    mode: Annotated[
        Mode, typer.Option(help="Ingested rows and all other files, or only one of them.")
    ] = Mode.hybrid,
    if_exists: Annotated[
        IfExists, typer.Option(help="What happens to a view of this name.")
    ] = IfExists.replaced,
    missing_files: Annotated[
        MissingFiles, typer.Option(help="What happens where a file is gone.")
    ] = MissingFiles.warn,
    run_id: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID", help="Only artifacts of this run.", autocompletion=complete.run_ids
        ),
    ] = None,
    parent_run_id: Annotated[
        str | None,
        typer.Option(metavar="SCENARIO", help="Only runs of this scenario; ~1 is its first."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Only runs of this model.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help="Only runs of this status, not completed ones."),
    ] = None,
    year: Annotated[int | None, typer.Option(help="Only runs of this year.")] = None,
    iteration: Annotated[int | None, typer.Option(help="Only runs of this iteration.")] = None,
    schema_compatible: Annotated[
        bool,
        typer.Option(
            "--schema-compatible", help="Also artifacts with some of its columns, or more."
        ),
    ] = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    db_path: DbPath = None,
) -> None:
    """Make a view over all artifacts of a schema, whatever their keys.

    It stays in the database, for any DuckDB client; each merge of new runs brings it up to date.

    Examples:

    \b
      consist views create v_links --schema-id 899e113e --param family=links
      consist views create v_tolls --schema-id 51d0aa02 --attach-facet toll
    """
    with changing(db_path, run_dir, mount) as tracker:
        tracker.create_grouped_view(
            name,
            schema_id=_whole_id(tracker, schema_id),
            namespace=namespace,
            params=param,
            drivers=driver,
            attach_facets=attach_facet,
            include_system_columns=system_columns,
            mode=mode.value,
            if_exists=if_exists.value,
            missing_files=missing_files.value,
            run_id=run_id,
            parent_run_id=parent_run_id,
            model=model,
            status=status,
            year=year,
            iteration=iteration,
            schema_compatible=schema_compatible,
        )
        told = _kept(tracker, name)
        if as_json:
            print_json(told)
        else:
            some = "1 artifact" if told["artifacts"] == 1 else f"{told['artifacts']} artifacts"
            note(f"View {name} shows {some} in {len(told['columns'])} columns")


def _whole_id(tracker: Tracker, schema_id: str) -> str:
    """Return the one recorded id that begins like this; else what was given."""
    with tracker.store.ask() as connection:
        found = connection.execute(
            "SELECT DISTINCT schema_id FROM artifact_schema_field"
            " WHERE starts_with(schema_id, ?) ORDER BY ALL",
            [schema_id],
        ).fetchall()
    ids = [row[0] for row in found]
    if not schema_id or schema_id in ids or not ids:
        return schema_id
    if len(ids) > 1:
        problem = UsageError(f"{len(ids)} schemas begin with {schema_id!r}: {some_of(ids)}")
        raise hint(problem, "write more of the id")
    return ids[0]


def _kept(tracker: Tracker, name: str) -> dict[str, Any]:
    """Wait until the database has the view; return what it shows."""
    from consist.views.published import keep_now

    view = keep_now(tracker, name)
    with tracker.store.ask(views=True) as connection:
        columns = connection.execute(f'DESCRIBE "{name}"').fetchall()
        members, _ = view.shown(tracker, connection)
    return {
        "view": name,
        "artifacts": len({member.record.id for member in members}),
        "columns": [{"name": row[0], "type": row[1]} for row in columns],
    }
