"""Which database is meant, and the tracker that looks at it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from consist.cli.session import Context, current
from consist.errors import ConsistError, hint

if TYPE_CHECKING:
    from consist.core.visitor import Visitor

DATABASE = "provenance.duckdb"
PLACES = tuple(Path(folder, DATABASE) for folder in (".", "data", "db", ".consist"))
"""Where the database is looked for, in this order, if nobody names it."""

_BESIDE = {place.parent.name for place in PLACES[1:]}  # such a folder lies in that of the project

_MAGIC, _MAGIC_AT = b"DUCK", 8  # a DuckDB file begins with eight bytes of checksum, then this


@contextmanager
def opened(
    db_path: Path | None,
    run_dir: Path | None = None,
    mounts: Iterable[str] | None = None,
    trust_db: bool | None = None,
) -> Generator[Visitor]:
    """Open a read-only tracker on the database that is meant; in a shell, take the open one.

    Parameters
    ----------
    db_path : Path, optional
        The value of ``--db-path`` or ``CONSIST_DB``.
    run_dir : Path, optional
        The value of ``--run-dir``.
    mounts : iterable of str, optional
        The values of ``--mount``.
    trust_db : bool, optional
        The value of ``--trust-db``; commands without that option take what the shell has, or trust.

    Raises
    ------
    ConsistError
        If there is no database; nothing is created.
    """
    session = current()
    if trust_db is None:
        trust_db = session is None or session.context.trust_db
    context = context_of(db_path, run_dir, mounts, trust_db)
    if session is not None and _same_files(session.context, context):
        yield session.tracker
        return
    with visit(context) as tracker:
        yield tracker


def context_of(
    db_path: Path | None,
    run_dir: Path | None = None,
    mounts: Iterable[str] | None = None,
    trust_db: bool = False,
) -> Context:
    """Return what these options mean.

    Raises
    ------
    ConsistError
        If there is no database.
    """
    roots = dict(map(mount_of, mounts or ()))
    path = find_database(db_path)
    home = str(path.parent) if run_dir is None else os.path.abspath(run_dir)  # noqa: PTH100
    placed = sorted((name, os.path.abspath(root)) for name, root in roots.items())  # noqa: PTH100
    return Context(str(path), home, tuple(placed), trust_db)


def visit(context: Context) -> Visitor:
    """Open a tracker that only looks."""
    from consist.core.visitor import Visitor

    home = Path(context.db_path).parent
    return Visitor(
        context.run_dir,
        context.db_path,
        mounts=dict(context.mounts),
        folders=[home.parent] if home.name in _BESIDE else [],
        trust_db=context.trust_db,
    )


def _same_files(session: Context, asked: Context) -> bool:
    """Whether a session's tracker does: commands without files do not say where those are."""
    plain = asked._replace(run_dir=str(Path(asked.db_path).parent), mounts=())
    return asked == session or (asked == plain and asked.db_path == session.db_path)


def mount_of(text: str) -> tuple[str, Path]:
    """Return name and folder of a mount that is given as ``NAME=PATH``.

    Raises
    ------
    BadParameter
        For anything else.
    """
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
