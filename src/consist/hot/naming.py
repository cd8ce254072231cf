"""What tables and columns of ingested rows are called."""

from __future__ import annotations

import re
from collections.abc import Iterable

from consist.store.global_tables import is_reserved

_ACRONYM = re.compile(r"([A-Z]+)([A-Z][a-z])")
_CAMEL = re.compile(r"([a-z\d])([A-Z])")
_OTHER = re.compile(r"[^a-zA-Z\d]+")


def table_name(key: str) -> str:
    """Return the table that the rows of a key go to: the key in snake case.

    Examples
    --------
    >>> table_name("LinkStats/2030 final")
    'link_stats_2030_final'
    """
    words = _CAMEL.sub(r"\1_\2", _ACRONYM.sub(r"\1_\2", key))
    name = _OTHER.sub("_", words).strip("_").lower()
    if not name:
        return "rows"
    return f"_{name}" if name[0].isdigit() else name


def stored_names(names: Iterable[str]) -> list[str]:
    """Return what columns are called in a table, where case makes no difference.

    A name that belongs to a column of provenance, or to an earlier column, gets a number; one
    that begins like a column of the library loses the underscores before it.

    Examples
    --------
    >>> stored_names(["id", "ID", "consist_run_id", "_dlt_id"])
    ['id', 'ID_1', 'consist_run_id_1', 'dlt_id']
    """
    listed = list(names)
    wanted = {name.lower() for name in listed}
    taken: set[str] = set()
    found: list[str] = []
    for name in listed:
        base = name.lstrip("_") if is_reserved(name) else name
        fit, number = base, 0
        while is_reserved(fit) or fit.lower() in taken or (fit != name and fit.lower() in wanted):
            number += 1
            fit = f"{base}_{number}"
        taken.add(fit.lower())
        found.append(fit)
    return found
