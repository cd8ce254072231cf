"""Say something of runs after they were recorded: labels, remarks, and that they are wrong.

Nothing is taken away. What is said is a record of its own, with who said it and when; the row and
the snapshot of the run are as they follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from consist.artifacts.keys import check_meta
from consist.errors import UsageError, WrongType, hint
from consist.models.record import INVALIDATED, Change, ChangeEvent, new_uuid
from consist.models.run import Run
from consist.query.ask import columns, every, fetch_all
from consist.query.runs import get_run
from consist.settings import MAX_TAG_LENGTH
from consist.store.locks import this_user
from consist.types import is_sequence_of_values

if TYPE_CHECKING:
    from consist.workspace import Workspace

Status = Literal["running", "completed", "failed", "interrupted"]
STATUSES = ("running", "completed", "failed", "interrupted")


def annotate(
    ws: Workspace,
    run: str | Run,
    *,
    tags: str | Iterable[str] = (),
    remove_tags: str | Iterable[str] = (),
    note: str | None = None,
) -> Run:
    """Give a recorded run labels or a remark, or take labels from it.

    What makes the run the same as another stays as it is, so caching is not touched.

    Parameters
    ----------
    run : str or Run
        The run; an id that was asked for several times means the latest attempt.
    tags, remove_tags : str or iterable of str
        Labels that it has from now on, and labels that it loses.
    note : str, optional
        A remark; ``run.meta["notes"]`` lists all of them, with time and author.

    Returns
    -------
    Run
        The run as it is now.

    Raises
    ------
    ValueError
        If there is no such run, nothing is said, or a label or remark is too long.
    RuntimeError
        Without a database, or where the access mode does not allow it.

    Examples
    --------
    >>> tracker.annotate("baseline", tags=["published"], note="figure 3")  # doctest: +SKIP
    """
    ws.check_writable("annotate a run")
    said = {"tags": _tags(ws, "tags", tags), "untagged": _tags(ws, "remove_tags", remove_tags)}
    if note is not None:
        _check_text(ws, "note", note)
    if not any(said.values()) and note is None:
        raise UsageError("nothing to annotate: give tags, remove_tags or a note")
    both = sorted({*said["tags"]} & {*said["untagged"]})
    if both:
        raise UsageError(f"tag {both[0]!r} is to be added and removed at once")
    found = recorded_run(ws, run, "annotate a run")
    say(ws, [found], note=note, **said)
    return _as_it_is(ws, [found])[0]


def invalidate(
    ws: Workspace,
    run: str | Run,
    *,
    reason: str,
    downstream: bool = False,
    dry_run: bool = False,
) -> list[Run]:
    """Let a recorded run never be given back again, in any process.

    The next run of the same identity executes, and says why. What is recorded stays, as do files.

    Parameters
    ----------
    run : str or Run
        The run; an id that was asked for several times means the latest attempt. If it was a cache
        hit, the run that it gave back is what is invalidated.
    reason : str
        Why; whoever misses because of it is told.
    downstream : bool, default False
        Whether also all runs that used its outputs, and those that used theirs, are invalidated.
    dry_run : bool, default False
        Whether only to tell which runs these are.

    Returns
    -------
    list of Run
        The invalidated runs as they are now, the one that was executed first; not the run that was
        asked for, if that one was a hit.

    Raises
    ------
    ValueError
        If there is no such run, or no reason.
    RuntimeError
        Without a database, or where the access mode does not allow it.

    Examples
    --------
    >>> tracker.invalidate("skims_2030", reason="wrong tolls", downstream=True)  # doctest: +SKIP
    """
    ws.check_writable("invalidate a run")
    _check_text(ws, "reason", reason)
    if not reason.strip():
        raise hint(UsageError("a run is invalidated for a reason"), "say what is wrong with it")
    asked = recorded_run(ws, run, "invalidate a run")
    found = executed_run(ws, asked)
    users = _using(ws, found) if downstream else []
    if dry_run:
        return [found, *users]
    say(ws, [found], invalid=True, reason=reason)
    new = [user for user in users if not isinstance(user.meta.get(INVALIDATED), dict)]
    say(ws, new, invalid=True, reason=f"it used what {found.id} put out: {reason}")
    return _as_it_is(ws, [found, *users])


def fix_status(
    ws: Workspace,
    run: str | Run,
    status: Status,
    *,
    reason: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Run:
    """Correct the status of a recorded run.

    A run whose status was corrected is never given back, since its outputs may be partial. Should
    it still be going on and end by itself later, that end counts.

    Parameters
    ----------
    run : str or Run
        The run; an id that was asked for several times means the latest attempt.
    status : {"running", "completed", "failed", "interrupted"}
        How it is from now on.
    reason : str, optional
        Why; ``run.meta["status_fixed"]`` keeps it with what the status was before.
    force : bool, default False
        Whether a run that has ended may be running again.
    dry_run : bool, default False
        Whether only to check that it could be done.

    Returns
    -------
    Run
        The run as it is now.

    Raises
    ------
    ValueError
        If there is no such run or status, or it is running again without ``force``.
    RuntimeError
        Without a database, or where the access mode does not allow it.

    Examples
    --------
    >>> tracker.fix_status("night", "failed", reason="the node was lost")  # doctest: +SKIP
    """
    ws.check_writable("correct a status")
    if status not in STATUSES:
        raise hint(UsageError(f"there is no status {status!r}"), f"one of {', '.join(STATUSES)}")
    if reason is not None:
        _check_text(ws, "reason", reason)
    found = recorded_run(ws, run, "correct a status")
    if found.status == status:
        raise UsageError(f"run {found.id!r} is {status} already")
    if status == "running" and not force:
        problem = UsageError(f"run {found.id!r} has ended ({found.status})")
        raise hint(problem, "only with force can it be running again")
    if dry_run:
        return found
    say(ws, [found], status=status, reason=reason)
    return _as_it_is(ws, [found])[0]


# ---------------------------------------------------------------- which runs


def recorded_run(ws: Workspace, run: str | Run, action: str) -> Run:
    """Return a run as it is recorded now.

    Raises
    ------
    UsageError
        If there is none.
    """
    ws.check_database(action)
    if isinstance(run, Run):
        found = next(iter(_as_it_is(ws, [run])), None)
    elif isinstance(run, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        found = get_run(ws, run)
    else:
        raise WrongType(f"run={run!r} is neither an id nor a Run")
    if found is None:
        run_id = run if isinstance(run, str) else run.id
        problem = UsageError(f"there is no run {run_id!r}")
        raise hint(problem, "find_runs and 'consist runs' tell which there are")
    return found


def executed_run(ws: Workspace, run: Run) -> Run:
    """Return the run that was executed: itself, or the one that it gave back."""
    source = run.meta.get("cache_source") if run.meta.get("cache_hit") else None
    found = None if source is None else fetch_all(ws, Run, every(Run).where(_run.id == source))
    if source is not None and not found:
        problem = UsageError(f"run {run.id!r} was a hit of {source!r}, which is not recorded here")
        raise hint(problem, "invalidate it where it is recorded")
    return found[0] if found else run


_USING = """
WITH RECURSIVE used (run_id, artifact_id) AS (
    SELECT run_id, artifact_id FROM run_artifact_link WHERE direction = 'input'
    UNION ALL
    SELECT l.run_id, a.parent_artifact_id FROM run_artifact_link l
    JOIN artifact a ON a.id = l.artifact_id
    WHERE l.direction = 'input' AND a.parent_artifact_id IS NOT NULL
), executed (run_id, id) AS (
    SELECT id, coalesce(
        CASE WHEN json_extract_string(meta, '$.cache_hit') = 'true'
        THEN json_extract_string(meta, '$.cache_source') END, id
    ) FROM run
), wrong (id) AS (
    SELECT $id
    UNION
    SELECT e.id FROM wrong w
    JOIN run_artifact_link o ON o.run_id = w.id AND o.direction = 'output'
    JOIN used u ON u.artifact_id = o.artifact_id
    JOIN executed e ON e.run_id = u.run_id
)
SELECT r.uid FROM wrong w JOIN run r ON r.id = w.id WHERE r.id <> $id ORDER BY r.created_at, r.uid
"""
"""A hit has the artifacts of its source, and what was executed for it is what is wrong."""


def _using(ws: Workspace, run: Run) -> list[Run]:
    """Return the executed runs that used outputs of a run, and those that used theirs."""
    with ws.store.ask() as connection:
        found: list[tuple[str]] = connection.execute(_USING, {"id": run.id}).fetchall()
    return _of_uids(ws, [uid for (uid,) in found])


_run = columns(Run)


def _as_it_is(ws: Workspace, runs: list[Run]) -> list[Run]:
    return _of_uids(ws, [run.uid for run in runs])


def _of_uids(ws: Workspace, uids: list[str]) -> list[Run]:
    """Return runs by their internal ids, in this order."""
    found = fetch_all(ws, Run, every(Run).where(_run.uid.in_(uids))) if uids else []
    by_uid = {run.uid: run for run in found}
    return [by_uid[uid] for uid in uids if uid in by_uid]


# ---------------------------------------------------------------- what is said


def say(ws: Workspace, runs: list[Run], **said: Any) -> None:
    """Record what is said of runs, as parts of a :class:`~consist.models.record.Change`."""
    at, by = datetime.now(UTC), this_user()
    ws.store.change(
        [
            ChangeEvent(
                run.uid, run.id, Change(id=new_uuid(), at=at, by=by, **said), _folder_of(run)
            )
            for run in runs
        ]
    )


def _folder_of(run: Run) -> str | None:
    folder = run.meta.get("_physical_run_dir")
    return folder if isinstance(folder, str) else None


def _tags(ws: Workspace, name: str, tags: object) -> tuple[str, ...]:
    listed = (tags,) if isinstance(tags, str) else tags
    if not is_sequence_of_values(listed) and not isinstance(listed, set | frozenset):
        raise WrongType(f"{name}={tags!r} is neither text nor a list of it")
    found = tuple(dict.fromkeys(cast("Iterable[Any]", listed)))
    for tag in found:
        _check_text(ws, "tag", tag)
        if not tag or len(tag) > MAX_TAG_LENGTH:
            raise UsageError(
                f"tag {tag[:40]!r} has {len(tag)} characters, not 1 to {MAX_TAG_LENGTH}"
            )
    return found


def _check_text(ws: Workspace, what: str, text: object) -> None:
    if not isinstance(text, str):
        raise WrongType(f"{what}={text!r} is not text")
    check_meta({what: text}, ws.settings)
