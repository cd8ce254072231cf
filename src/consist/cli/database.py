"""The group ``db``: keep a provenance database healthy."""

from __future__ import annotations

import typer

db = typer.Typer(
    name="db",
    help="Keep a provenance database healthy.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
