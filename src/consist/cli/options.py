"""Options that several commands share, and the tracker that they open."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consist.errors import ConsistError, hint

if TYPE_CHECKING:
    from consist.core.tracker import Tracker

DATABASE = "provenance.duckdb"
PLACES = tuple(Path(folder, DATABASE) for folder in (".", "data", "db", ".consist"))
"""Where the database is looked for, in this order, if nobody names it."""

_MAGIC, _MAGIC_AT = b"DUCK", 8  # a DuckDB file begins with eight bytes of checksum, then this

AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON.")]
DbPath = Annotated[
    Path | None,
    typer.Option(
        "--db-path",
        envvar="CONSIST_DB",
        metavar="FILE",
        help=f"The database; by default {DATABASE} here, or else in data, db or .consist.",
    ),
]
RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        metavar="DIR",
        help="Where files of the run folder (./ and workspace://) are now; by default the folder of"
        " the database, or else where they were recorded.",
    ),
]
Mounts = Annotated[
    list[str] | None,
    typer.Option(
        "--mount",
        metavar="NAME=PATH",
        help="Where files of a mount (NAME://) are now; may be given several times.",
    ),
]


@contextmanager
def opened(
    db_path: Path | None, run_dir: Path | None = None, mounts: Iterable[str] | None = None
) -> Generator[Tracker]:
    """Open a read-only tracker on the database that is meant.

    Parameters
    ----------
    db_path : Path, optional
        The value of ``--db-path`` or ``CONSIST_DB``.
    run_dir : Path, optional
        The value of ``--run-dir``.
    mounts : iterable of str, optional
        The values of ``--mount``.

    Raises
    ------
    ConsistError
        If there is no database; nothing is created.
    """
    roots = dict(map(_mount, mounts or ()))
    path = find_database(db_path)
    from consist.core.tracker import Tracker

    home = path.parent if run_dir is None else run_dir
    with Tracker(home, path, mounts=roots, access_mode="read_only") as tracker:
        yield tracker


def _mount(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise typer.BadParameter(f"{text!r} is not NAME=PATH", param_hint="--mount")
    return name, Path(path)


def find_database(given: Path | None) -> Path:
    """Return the absolute path of the database that is meant.

    Raises
    ------
    ConsistError
        Naming the paths looked at, if there is none.
    """
    tried = [path.absolute() for path in ((given,) if given else PLACES)]
    for path in tried:
        if _is_there(path):
            return path
    if given and tried[0].is_dir():
        problem = ConsistError(f"{tried[0]} is a folder, not a database")
        raise hint(problem, f"name the file in it, such as {tried[0] / DATABASE}")
    problem = ConsistError(f"no database at {', '.join(map(str, tried))}")
    raise hint(problem, "name it with --db-path or CONSIST_DB; runs of a Tracker create it")


def _is_there(path: Path) -> bool:
    """Whether a database is there; runs that only its journal has so far count too.

    Raises
    ------
    ConsistError
        If something else is there. Opening it would leave a journal beside somebody's file.
    """
    if path.is_dir():
        return False
    if Path(f"{path}.journal").is_dir():
        return True
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        if file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] != _MAGIC:
            raise ConsistError(f"{path} is not a DuckDB database")
    return True
