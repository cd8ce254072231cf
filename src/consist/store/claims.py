"""Who gets a run id that is asked for by name.

The first run that asks for an id gets it, the next ones become ``<id>~2``, ``<id>~3`` and so on. A
claim is the exclusive creation of a file beside the journal and of the run's snapshot, so that two
processes never get the same one; automatic ids are random enough to need no claim.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from consist.errors import InvalidRunId, a_kind, hint
from consist.files.places import RunPlaces, safe_name
from consist.store import locks

_ATTEMPT = re.compile(r"~\d+$")


class Claim(NamedTuple):
    """An id that now belongs to one run."""

    run_id: str
    requested_id: str
    attempt: int


def check_requested_id(run_id: object) -> str:
    """Return ``run_id`` if a caller may ask for it.

    Raises
    ------
    InvalidRunId
        If it is no text, empty, too long for a file name, or ends like an attempt.
    """
    if not isinstance(run_id, str):
        raise InvalidRunId(run_id, f"is {a_kind(run_id)}, not text")
    if not run_id.strip():
        raise InvalidRunId(run_id, "is empty")
    if "\0" in run_id:
        raise InvalidRunId(run_id, "holds what is no character")
    if _ATTEMPT.search(run_id):
        problem = InvalidRunId(run_id, "ends like an attempt")
        raise hint(problem, "ask for the id without '~<number>'; attempts are numbered by Consist")
    safe_name(run_id)
    return run_id


def attempt_id(requested_id: str, attempt: int) -> str:
    """Return the recorded id of an attempt."""
    return requested_id if attempt == 1 else f"{requested_id}~{attempt}"


def split_attempt(run_id: str) -> tuple[str, int | None]:
    """Return the asked-for id and the attempt that ``run_id`` names, if it names one."""
    found = _ATTEMPT.search(run_id)
    if found is None:
        return run_id, None
    return run_id[: found.start()], int(found.group()[1:])


def claim(requested_id: str, first: int, claims: Path | None, run_dir: Path) -> Claim:
    """Claim the next free attempt of an id.

    Parameters
    ----------
    requested_id : str
        As the caller gave it, checked.
    first : int
        Number to begin with: one more than the attempts known so far.
    claims : Path or None
        Folder of claim files; ``None`` without a database.
    run_dir : Path
        Run folder whose snapshot is created exclusively as well.
    """
    places = RunPlaces(run_dir)
    attempt = first
    while True:
        run_id = attempt_id(requested_id, attempt)
        free = claims is None or _create(claims / safe_name(run_id))
        if free and _create(Path(places.snapshot_path(run_id))):
            return Claim(run_id, requested_id, attempt)
        attempt += 1


def claim_attempt(
    requested_id: str, attempt: int, claims: Path | None, run_dir: Path
) -> Claim | None:
    """Claim one attempt of an id, or return ``None`` if somebody else has it.

    Takes what :func:`claim` takes. Of several that ask at once, one gets it.
    """
    run_id = attempt_id(requested_id, attempt)
    if claims is not None and not _create(claims / safe_name(run_id)):
        return None
    if _create(Path(RunPlaces(run_dir).snapshot_path(run_id))):
        return Claim(run_id, requested_id, attempt)
    # The run folder holds a run of this id that another database knows.
    return None if claims is None else claim(requested_id, attempt + 1, claims, run_dir)


def last_claimed(requested_id: str, known: int, claims: Path | None, run_dir: Path) -> int:
    """Return the highest attempt of an id that was claimed, recorded or not; 0 without any.

    Parameters
    ----------
    known : int
        The highest attempt that is recorded.
    requested_id, claims, run_dir
        As for :func:`claim`.
    """
    places, attempt = RunPlaces(run_dir), known
    while True:
        run_id = attempt_id(requested_id, attempt + 1)
        taken = claims / safe_name(run_id) if claims else Path(places.snapshot_path(run_id))
        if not taken.exists():
            return attempt
        attempt += 1


def _create(path: Path) -> bool:
    try:
        return locks.create_exclusively(str(path))
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return locks.create_exclusively(str(path))
