"""``consist shell``: every command without its options for the database, one after another."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import typer

from consist.cli.opening import context_of, visit
from consist.cli.options import DbPath, Mounts, RunDir, TrustDb
from consist.cli.session import Session, current, entered
from consist.errors import ConsistError, hint


def shell(
    ctx: typer.Context,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """Open a prompt for commands on one database.

    Every command is there, and none needs --db-path, --run-dir, --mount or --trust-db again.

    '#3' is the third row of the last list of runs and '@3' that of artifacts, wherever an id is
    expected; the tab key completes commands, options, run ids and keys. 'help' tells more. The
    database is free for others between commands. Commands can also be piped in; the exit code is
    then that of the first that failed.

    Examples:

    \b
      consist shell --db-path study/provenance.duckdb
      printf 'runs\\nshow #1\\n' | consist shell
    """
    if current() is not None:
        raise hint(ConsistError("this is a shell already"), "exit leaves it")
    context = context_of(db_path, run_dir, mount, trust_db)
    from consist.cli.prompt import Prompt

    with visit(context) as tracker, _alone(context.db_path):
        session = Session(context, tracker)
        with entered(session):
            code = Prompt(session, ctx.find_root().command).run()
    raise typer.Exit(code)


@contextmanager
def _alone(db_path: str) -> Generator[None]:
    """Let no other ``CONSIST_DB`` come before the database of the shell."""
    earlier = os.environ.get("CONSIST_DB")
    os.environ["CONSIST_DB"] = db_path
    try:
        yield
    finally:
        if earlier is None:
            os.environ.pop("CONSIST_DB", None)
        else:
            os.environ["CONSIST_DB"] = earlier
