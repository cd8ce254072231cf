"""Which commands there are, and how each of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from consist import __version__
from consist.cli import (
    artifacts,
    care,
    changes,
    comparison,
    lineage,
    points,
    preview,
    runs,
    scenarios,
    shell,
    validate,
)
from consist.cli.database import db
from consist.cli.render import clean
from consist.cli.schema import schema
from consist.cli.sections import Sections
from consist.cli.views import views
from consist.errors import ConsistError

OK, FAILED, INTERRUPTED = 0, 1, 130


class Commands(Sections):
    """The commands; whichever is called, it ends with one of the documented exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command that was asked for."""
        with _ending():
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, so that a full disk or a closed pipe is still answered
            return result


# Without markup, Typer prints help and usage errors as plain text: twice as fast as with Rich, and
# a usage error is one line that begins with "Error:" like all others.
app = typer.Typer(
    name="consist",
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)

app.command()(runs.runs)
app.command()(runs.show)
app.command()(runs.explain)
app.command()(comparison.compare)
app.command()(scenarios.search)
app.command()(runs.summary)
app.command()(scenarios.scenarios)
app.command()(scenarios.scenario)
app.command()(artifacts.artifacts)
app.command()(lineage.lineage)
app.command()(preview.preview)
app.command()(validate.validate)
app.command()(points.run_point)
app.command()(changes.annotate)
app.command()(changes.invalidate)
app.command()(care.verify)
app.command()(care.gc)
db.command()(changes.fix_status)
app.add_typer(db)
app.add_typer(schema)
app.add_typer(views)
app.command()(shell.shell)


def main() -> None:
    """Run the command line on the arguments of the process."""
    try:
        app(prog_name="consist")
    except KeyboardInterrupt:  # before or after the command
        sys.exit(INTERRUPTED)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"consist {__version__}")
        raise typer.Exit


@app.callback()
def consist(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Look at what was run, on what, and with what result."""


@contextmanager
def _ending() -> Generator[None]:
    """Turn what stops a command into a message and an exit code."""
    try:
        yield
    except BrokenPipeError:
        # Whoever reads has seen enough. Python flushes once more at its end, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (ConsistError, OSError) as error:
        _complain(error)
        raise typer.Exit(FAILED) from error


def _complain(error: Exception) -> None:
    typer.echo(f"Error: {_sentence(error)}", err=True)
    for note in getattr(error, "__notes__", ()):
        typer.echo(f"Hint: {clean(note)}", err=True)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ConsistError) and error.strerror:
        where = "" if error.filename is None else f": {error.filename}"
        return clean(f"{error.strerror}{where}")
    return clean(error)
