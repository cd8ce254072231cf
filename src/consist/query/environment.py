"""Where a run was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from consist.query.runs import get_run

if TYPE_CHECKING:
    from consist.workspace import Workspace

_QUESTION = """
SELECT e.extra->'$.environment', p.packages FROM main.run_extra e
LEFT JOIN main.package_set p ON p.id = e.extra->>'$.environment.packages'
WHERE e.run_id = ?
"""


def get_run_environment(ws: Workspace, run_id: str) -> dict[str, Any] | None:
    """Return where a run was done, with the packages that were installed there.

    Returns
    -------
    dict or None
        ``python``, ``implementation``, ``platform``, ``host``, ``user``, ``job`` (the batch job, or
        ``None``), ``executable``, ``virtual_env``, ``commit``, ``branch``, ``dirty`` (whether a
        tracked file departed from the commit; ``None`` where git had not said yet),
        ``packages_digest`` and ``packages`` (name → version; ``None`` where the list is not
        recorded). ``None`` if there is no such run, no database, or nothing was recorded of it.

    Examples
    --------
    >>> tracker.get_run_environment("baseline")["packages"]["numpy"]  # doctest: +SKIP
    '2.4.1'
    """
    run = get_run(ws, run_id)
    if run is None:
        return None
    with ws.store.ask() as connection:
        rows: list[tuple[str | None, str | None]] = connection.execute(
            _QUESTION, [run.id]
        ).fetchall()
    text, packages = rows[0] if rows else (None, None)
    if text is None:
        return None
    found: dict[str, Any] = msgspec.json.decode(text)
    found["packages_digest"] = found.pop("packages", None)
    found["packages"] = None if packages is None else msgspec.json.decode(packages)
    return found
