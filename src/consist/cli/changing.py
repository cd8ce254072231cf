"""The tracker of commands that change something, and how they ask before they do."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consist.cli.opening import find_database, mount_of
from consist.errors import ConsistError, hint

if TYPE_CHECKING:
    from consist.core.tracker import Tracker

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


@contextmanager
def changing(
    db_path: Path | None,
    run_dir: Path | None = None,
    mounts: Iterable[str] | None = None,
    *,
    creates: bool = False,
) -> Generator[Tracker]:
    """Open a tracker that may record, on the database that is meant.

    Parameters
    ----------
    db_path, run_dir, mounts
        Values of ``--db-path``, ``--run-dir`` and ``--mount``. Without ``run_dir``, the one run
        folder that trackers used with the database, else the folder of the database.
    creates : bool, default False
        Whether the database may be absent.

    Raises
    ------
    ConsistError
        If there is no database.
    """
    roots = dict(map(mount_of, mounts or ()))
    try:
        path = find_database(db_path)
    except ConsistError:
        if not creates or (db_path is not None and db_path.exists()):
            raise
        path = (db_path or Path("provenance.duckdb")).absolute()
    from consist.core.tracker import Tracker

    with Tracker(run_dir or _home(path), path, mounts=roots) as tracker:
        yield tracker


def _home(path: Path) -> Path:
    from consist.store.folder import JournalFolder

    state = JournalFolder(path, read_only=True).state()
    used = [] if state is None else [folder for folder in state.run_dirs if Path(folder).is_dir()]
    return Path(used[0]) if len(used) == 1 else path.parent


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is removed; end the command if the answer is no.

    Raises
    ------
    ConsistError
        If there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        problem = ConsistError("nothing was changed: there is no terminal to ask on")
        raise hint(problem, "look at the plan with --dry-run, then repeat with --yes")
    if not typer.confirm(question, err=True):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)
