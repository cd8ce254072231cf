"""The arrays that many runs recorded under one key, as one lazy Dataset."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from consist.artifacts.keys import check_key
from consist.artifacts.verify import changed, gone, is_guess, overwriter, standing, warn_of_guess
from consist.errors import ConsistError, MissingExtra, Untrusted, UsageError, hint, some_of
from consist.progress import counting
from consist.query import arguments as given
from consist.views.members import (
    Member,
    RunFilter,
    active_ids,
    find_members,
    meant_id,
    of_key,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from xarray import Dataset

    from consist.workspace import Workspace

logger = logging.getLogger("consist.views")

_DRIVER = "zarr"
_AMONG = ("run_id", "scenario", "year", "iteration")


def load_matrix(
    ws: Workspace,
    concept_key: str,
    variables: list[str] | None = None,
    *,
    run_ids: list[str] | None = None,
    parent_id: str | None = None,
    model: str | None = None,
    status: str | None = None,
) -> Dataset:
    """Return the Zarr arrays of a key, of all runs, as one Dataset that reads what is used of it.

    The Dataset has a dimension ``run_id`` and along it the coordinates ``run_id``, ``scenario``
    (the plain name of the scenario, ``None`` outside of one), ``year`` and ``iteration`` (whole
    numbers; floats with NaN where a run has none). Where the arrays have such a name of their
    own, ours begins with ``consist_``. Which run an artifact counts for is decided as for views;
    of several artifacts of a run under the key, the latest counts.

    Dimensions with labels are aligned by them: labels and variables that a run lacks are missing
    there (NaN or NaT, so that whole numbers become floats). Nothing but labels is read until
    values are used, and then only what is selected; with dask installed, ``Dataset.chunk`` makes
    it compute piece by piece.

    Parameters
    ----------
    concept_key : str
        Artifact key.
    variables : list of str, optional
        Variables to keep, with their coordinates; by default all.
    run_ids : list of str, optional
        Only these runs, as recorded (``name~2`` is the second attempt; a plain name means the
        latest completed one), whether they are in a scenario's present attempt or not.
    parent_id : str, optional
        Only runs of this scenario; ``name~1`` is its first attempt.
    model, status : str, optional
        Only runs of this model; of this status instead of completed ones.

    Returns
    -------
    xarray.Dataset
        Without any run if nothing of the key is recorded. Stores that are gone, or hold other
        bytes than were recorded, are passed over with a warning.

    Raises
    ------
    RuntimeError
        Without a database.
    ImportError
        Without the extra ``zarr``.
    ValueError
        If no store has one of the variables, the key's artifacts are no Zarr stores, or
        dimensions without labels differ between runs; run and variable are named.
    FileNotFoundError
        If every store is gone.

    Examples
    --------
    >>> skims = tracker.load_matrix("skims", ["time"], parent_id="baseline")  # doctest: +SKIP
    >>> skims.time.sel(run_id=skims.year == 2030).mean()  # doctest: +SKIP
    """
    ws.check_database("load_matrix")
    check_key(concept_key)
    wanted = None if variables is None else list(dict.fromkeys(given.texts("variables", variables)))
    if not ws.formats.driver(_DRIVER).available():
        raise MissingExtra("load_matrix", "zarr")
    found = _latest_of_runs(_members(ws, concept_key, run_ids, parent_id, model, status))
    stores = _opened(ws, concept_key, found)
    if not stores:
        return _no_runs()
    return _together(stores, wanted)


def _members(
    ws: Workspace,
    key: str,
    run_ids: list[str] | None,
    parent_id: str | None,
    model: str | None,
    status: str | None,
) -> list[Member]:
    runs = RunFilter(
        parent_run_id=given.text("parent_id", parent_id),
        model=given.text("model", model),
        status=given.text("status", status),
    )
    named = None if run_ids is None else list(dict.fromkeys(given.texts("run_ids", run_ids)))
    with ws.store.ask() as connection:
        if named is None:
            return find_members(ws, connection, of_key(key), runs)
        found: list[Member] = []
        for name in named:
            _check_recorded(connection, meant_id(connection, name, active_ids(ws)))
            mine = find_members(ws, connection, of_key(key), replace(runs, run_id=name))
            if not mine:
                logger.warning("[Consist] load_matrix(%r): run %r has none to show", key, name)
            found += mine
    return found


def _check_recorded(connection: DuckDBPyConnection, run_id: str) -> None:
    if connection.execute("SELECT 1 FROM run WHERE id = ? LIMIT 1", [run_id]).fetchone() is None:
        raise hint(UsageError(f"there is no run {run_id!r}"), "see tracker.find_runs()")


def _latest_of_runs(members: Iterable[Member]) -> list[Member]:
    """Return one artifact of each run, in the order of runs."""
    latest: dict[str, Member] = {}
    for member in members:
        other = latest.get(member.run_id)
        if other is None or _when(other) < _when(member):
            latest[member.run_id] = member
    return [*latest.values()]


def _when(member: Member) -> tuple[Any, str]:
    return member.record.created_at, member.record.id


# ---------------------------------------------------------------- stores


def _opened(ws: Workspace, key: str, members: Sequence[Member]) -> list[tuple[Member, Dataset]]:
    """Open the store of each member once, and pass over those that cannot stand for their run."""
    arrays = [member for member in members if member.record.driver == _DRIVER]
    if members and not arrays:
        drivers = some_of(sorted({member.record.driver for member in members}))
        problem = UsageError(f"no artifact {key!r} is a Zarr store; their format is {drivers}")
        raise hint(problem, "read tables with tracker.create_view, other files one by one")
    known: dict[str, Dataset | ConsistError] = {}
    with counting(f"opening {key!r}", len(arrays), shown=ws.settings.progress) as show:
        for number, member in enumerate(arrays, 1):
            if member.record.id not in known:
                known[member.record.id] = _open(ws, member)
            show(number, member.run_id)
    refused = [found for found in known.values() if isinstance(found, ConsistError)]
    if refused and len(refused) == len(known):
        raise refused[0]
    found = [(member, known[member.record.id]) for member in arrays]
    return [(member, store) for member, store in found if not isinstance(store, ConsistError)]


def _open(ws: Workspace, member: Member) -> Dataset | ConsistError:
    """Return the arrays of a member, or why they cannot stand for its run."""
    record = member.record
    try:
        there = standing(ws, record)
    except Untrusted as error:  # in a folder that only somebody else's database names
        logger.warning(
            "[Consist] load_matrix(%r) passes over run %r: %s", record.key, member.run_id, error
        )
        return error
    if there.state == "gone":
        logger.warning(
            "[Consist] load_matrix(%r) passes over run %r: there is no %s",
            record.key, member.run_id, there.path,
        )  # fmt: skip
        return gone(record, there.path)
    if there.state == "changed" and not is_guess(record):
        other = overwriter(ws, record)
        logger.warning(
            "[Consist] load_matrix(%r) passes over run %r: %s was overwritten%s",
            record.key, member.run_id, there.path, f" by run {other!r}" if other else "",
        )  # fmt: skip
        return changed(ws, record, there.path)
    if there.state == "changed":
        warn_of_guess(record, there.path)
    driver = ws.formats.driver(record.driver)
    try:
        return driver.load(there.path, group=record.array_path)
    except ConsistError as error:
        hint(error, f"it is {record.key!r} of run {member.run_id!r}")
        raise


# ---------------------------------------------------------------- one Dataset


def _together(stores: Sequence[tuple[Member, Dataset]], wanted: list[str] | None) -> Dataset:
    from consist.views.stacked import stacked

    if wanted is not None:
        known = sorted({str(name) for _, store in stores for name in store.variables})
        if unknown := [name for name in wanted if name not in known]:
            problem = UsageError(f"no store has a variable {some_of(unknown)}")
            raise hint(problem, f"there are {some_of(known) or 'none'}")
    chosen = [
        store if wanted is None else store[[name for name in wanted if name in store.variables]]
        for _, store in stores
    ]
    members = [member for member, _ in stores]
    taken = {str(name) for store in chosen for name in (*store.variables, *store.dims)}
    names = {name: f"consist_{name}" if name in taken else name for name in _AMONG}
    runs = [f"run {member.run_id!r}" for member in members]
    whole = stacked(chosen, runs, names["run_id"])
    return whole.assign_coords(_coordinates(members, names))


def _no_runs() -> Dataset:
    from xarray import Dataset

    return Dataset(coords=_coordinates([], {name: name for name in _AMONG}))


def _coordinates(members: Sequence[Member], names: dict[str, str]) -> dict[str, Any]:
    values = {
        "run_id": _texts([member.run_id for member in members]),
        "scenario": _texts([member.scenario for member in members]),
        "year": _numbers([member.year for member in members]),
        "iteration": _numbers([member.iteration for member in members]),
    }
    return {names[name]: (names["run_id"], values[name]) for name in _AMONG}


def _texts(values: Sequence[str | None]) -> Any:
    import numpy as np

    return np.array(values, dtype=object)


def _numbers(values: Sequence[int | None]) -> Any:
    """Return whole numbers; floats where one is missing, which is never 0."""
    import numpy as np

    lacking = not values or None in values
    return np.array(values, dtype=np.float64 if lacking else np.int64)
