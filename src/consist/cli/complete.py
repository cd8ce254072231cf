"""What a shell offers when somebody presses the tab key: names that the database knows.

Nothing here fails, waits or writes: without a database, or while another program holds it, nothing
is offered.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any

import typer

from consist.cli.opening import context_of, visit

_OFFERED = 200
_PATIENCE = "0.2"  # seconds that completing may wait for the database

# Shells evaluate what they are offered: a name that is no plain word is left to be typed.
_PLAIN = re.compile(r"[\w.:/~+,=@%-]+")

_QUESTIONS = {
    "runs": "select id, max(created_at) from run where starts_with(id, ?) group by id",
    "keys": "select key, max(created_at) from artifact where starts_with(key, ?) group by key",
    "models": "select model_name, max(created_at) from run where starts_with(model_name, ?)"
    " group by model_name",
    "tags": "select tag, max(created_at) from (select created_at,"
    " unnest(json_extract_string(tags, '$[*]')) as tag from run) where starts_with(tag, ?)"
    " group by tag",
    "scenarios": "select requested_id, max(created_at) from run where starts_with(requested_id, ?)"
    """ and json_contains(tags, '"scenario_header"') group by requested_id""",
}


def run_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer run ids, the newest first."""
    return _offered(ctx, "runs", incomplete)


def artifact_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer artifact keys."""
    return _offered(ctx, "keys", incomplete)


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer names of models."""
    return _offered(ctx, "models", incomplete)


def tags(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer tags of runs."""
    return _offered(ctx, "tags", incomplete)


def scenario_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer names of scenarios."""
    return _offered(ctx, "scenarios", incomplete)


def _offered(ctx: Any, what: str, incomplete: str) -> list[str]:
    with suppress(Exception):  # a tab key has no place to complain
        return [name for name in _asked(ctx, what, incomplete) if _PLAIN.fullmatch(name)]
    return []


def _asked(ctx: Any, what: str, incomplete: str) -> list[str]:
    earlier = os.environ.get("CONSIST_LOCK_WAIT")
    os.environ["CONSIST_LOCK_WAIT"] = _PATIENCE
    try:
        context = context_of(ctx.params.get("db_path"))
        with visit(context) as tracker, tracker.store.ask() as connection:
            question = f"{_QUESTIONS[what]} order by 2 desc, 1 limit {_OFFERED}"
            return [row[0] for row in connection.execute(question, [incomplete]).fetchall()]
    finally:
        if earlier is None:
            del os.environ["CONSIST_LOCK_WAIT"]
        else:
            os.environ["CONSIST_LOCK_WAIT"] = earlier
