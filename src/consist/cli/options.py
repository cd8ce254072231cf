"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consist.cli import complete
from consist.cli.opening import DATABASE, find_database, opened

__all__ = [
    "MOST_ROWS",
    "AsJson",
    "DbPath",
    "KeyOrId",
    "Mounts",
    "RunDir",
    "RunId",
    "TrustDb",
    "find_database",
    "opened",
]

MOST_ROWS = 1_000_000
"""What ``--limit`` and the like may be at most."""

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
        " the database, and the recorded folder if it lies in that.",
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
TrustDb = Annotated[
    bool,
    typer.Option(
        "--trust-db",
        help="Also look for files where the database says: in recorded run folders, mounts and"
        " folders of copies, wherever they are on this machine.",
    ),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN_ID",
        help="The run; without '~<number>', its latest attempt.",
        autocompletion=complete.run_ids,
    ),
]
KeyOrId = Annotated[
    str,
    typer.Argument(
        metavar="KEY_OR_ID",
        help="A key, which means its latest artifact, or an artifact's id.",
        autocompletion=complete.artifact_keys,
    ),
]
