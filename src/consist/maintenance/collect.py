"""Free the bytes of outputs that can be made again; what is known of them stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from consist.errors import UsageError, hint
from consist.maintenance.freeing import Collection, Freeable, Plan
from consist.maintenance.marks import mark
from consist.maintenance.places import Bounds, store_of
from consist.progress import counting
from consist.store.locks import this_user

if TYPE_CHECKING:
    from consist.workspace import Workspace

FREED = "freed"
"""Metadata of an artifact whose bytes were freed: when, by whom and how many."""

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def collect_garbage(
    ws: Workspace,
    *,
    older_than: str | timedelta | None = None,
    keep_size: str | int | None = None,
    scenarios: Sequence[str] = (),
    keep_latest: int = 0,
    keep_tag: str = "keep",
    allow_external: bool = False,
    dry_run: bool = False,
) -> Collection:
    """Free bytes of outputs that can be made again, while all that is known of them stays.

    A freed output is marked, so that whoever asks for it is told how to make it again, and a run
    that would have been given back is executed again where its outputs are looked at, as with
    ``validate_cached_outputs="eager"``. Nothing is freed that nobody can make again,
    that holds other bytes than were recorded, that another artifact refers to, that a running run
    uses, that was given back to a run which is not meant, or that is tagged. Ingested rows stay.

    Parameters
    ----------
    older_than : str or timedelta, optional
        Only outputs that no run has made, used or been given back for so long: ``"30d"``,
        ``"12h"``, ``"2w"``.
    keep_size : str or int, optional
        Free only until all outputs together take no more than this: ``"500GB"``, ``"1TiB"``, or
        bytes. What saves most bytes for each second of doing it again goes first.
    scenarios : sequence of str
        Only outputs of these scenarios, all attempts.
    keep_latest : int, default 0
        Keep the outputs of the latest so many attempts of each scenario; where no scenarios are
        named, of the latest so many runs of each model.
    keep_tag : str, default "keep"
        Runs with this tag, all steps of scenarios with it, and artifacts with it in their
        ``tags`` keep their outputs, those that they were given back among them.
    allow_external : bool, default False
        Also outputs outside the run folders and mounts.
    dry_run : bool, default False
        Only plan.

    Returns
    -------
    Collection

    Raises
    ------
    ValueError
        If nothing says what is to be freed, or an age or size cannot be read.
    KeyError
        If a scenario is not known.
    RuntimeError
        Without a database, or where nothing may be recorded.
    """
    store_of(ws, "collect_garbage", changes=not dry_run)
    limit = None if keep_size is None else _bytes(keep_size)
    age = None if older_than is None else _age(older_than)
    if age is None and limit is None and not scenarios:
        problem = UsageError("nothing says which outputs are to be freed")
        raise hint(problem, "give older_than, keep_size or scenarios")
    if keep_latest < 0:
        raise UsageError(f"keep_latest={keep_latest!r} is negative")
    plan = Plan(ws, keep_tag=keep_tag, allow_external=allow_external)
    found = plan.choose(plan.wanted_runs(scenarios, keep_latest), age, limit)
    if not dry_run:
        _carry_out(ws, found)
    return found


def _age(given: str | timedelta) -> timedelta:
    if isinstance(given, timedelta):
        return given
    found = _AGE.fullmatch(str(given).strip().lower())
    if found is None:
        problem = UsageError(f"older_than={given!r} is no age")
        raise hint(problem, "write a number and one of s, m, h, d, w, y, such as 30d")
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


def _bytes(given: str | int) -> int:
    if isinstance(given, int) and given >= 0:
        return given
    found = _SIZE.fullmatch(str(given).strip())
    if found is None:
        problem = UsageError(f"keep_size={given!r} is no size")
        raise hint(problem, "write a number and one of B, KB, MB, GB, TB, GiB, such as 500GB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _POWERS[found[2].lower()])


# ---------------------------------------------------------------- freeing


def _carry_out(ws: Workspace, found: Collection) -> None:
    """Mark outputs as freed and remove them, run by run.

    The mark comes first: bytes that are gone without one look lost, and a mark on bytes that are
    still there means nothing.
    """
    bounds, by = Bounds(ws, store_of(ws, "collect_garbage")), this_user()
    with counting("freeing", len(found.runs), shown=ws.settings.progress) as show:
        for start in range(0, len(found.runs), 100):
            piece = found.runs[start : start + 100]
            at = datetime.now(UTC).isoformat()
            mark(
                ws,
                {i: {FREED: _said(item, at, by)} for item in piece for i in item.artifact_ids},
                by,
            )
            back: dict[str, dict[str, Any]] = {}
            for item in piece:
                for path in item.paths:
                    try:
                        bounds.remove(path)
                    except OSError as error:
                        found.failed[path] = error.strerror or str(error)
                        back |= {i: {FREED: None} for i in item.artifact_ids}
            if back:
                mark(ws, back, by)
            show(start + len(piece), "")
    found.executed = True


def _said(item: Freeable, at: str, by: str) -> dict[str, Any]:
    return {"at": at, "by": by, "bytes": item.bytes, "seconds": round(item.seconds, 3)}
