"""Recent runs as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func

from consist.errors import UsageError, WrongType, hint
from consist.models.run import Run
from consist.query.ask import columns, fetch_all, newest
from consist.query.runs import as_json
from consist.types import is_sequence_of_values

if TYPE_CHECKING:
    import pandas as pd

    from consist.workspace import Workspace


def history(ws: Workspace, limit: int = 10, tags: list[str] | None = None) -> pd.DataFrame:
    """Return recent runs as a table, newest first.

    Parameters
    ----------
    limit : int, default 10
        Most runs to return.
    tags : list of str, optional
        Labels of which a run has to have at least one; an empty list asks for none in particular.

    Returns
    -------
    DataFrame
        The columns of :class:`~consist.models.run.Run` and ``duration_seconds``; empty without a
        database.

    Raises
    ------
    TypeError, ValueError
        If ``limit`` is no number of runs, or ``tags`` no list of text.
    """
    import pandas as pd
    from sqlalchemy import or_

    _check(limit, tags)
    names = [*Run.model_fields, "duration_seconds"]
    if not ws.store.has_database:
        return pd.DataFrame(columns=names)
    labels = columns(Run).tags
    any_of = [or_(*(func.json_contains(labels, as_json(tag)) for tag in tags))] if tags else []
    rows = [
        {**{name: getattr(run, name) for name in Run.model_fields},
         "duration_seconds": run.duration_seconds}
        for run in fetch_all(ws, Run, newest(Run, any_of, limit))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _check(limit: object, tags: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise WrongType(f"limit={limit!r} is not a whole number")
    if limit < 0:
        raise UsageError(f"limit={limit} is below zero")
    if tags is not None and not (
        is_sequence_of_values(tags) and all(isinstance(tag, str) for tag in tags)
    ):
        raise hint(WrongType(f"tags={tags!r} is no list of text"), 'tags=["base"]')
