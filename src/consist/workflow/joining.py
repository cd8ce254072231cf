"""Joining a scenario that another process, or this one, has opened: one job per year, one header.

Who comes first opens the scenario, and everybody else joins. Under the lock of the name, and where
file locks do not work by the exclusive creation of a claim alone, one attempt is opened however
many ask at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from consist.active import ActiveRun
from consist.errors import UsageError, hint
from consist.models.record import NULL, ArtifactRecord, RunDocument
from consist.runs.arguments import RunRequest
from consist.runs.ids import now
from consist.runs.lifecycle import adopted, new_run, running, stored_config
from consist.store.claims import Claim, attempt_id
from consist.store.joint import JointState
from consist.workflow.blocks import BlockEnd, logged_meta, opener_is_gone, record_end
from consist.workflow.coupler import Coupler
from consist.workflow.shelf import ROOT, Shelf, Unmade

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.store.joint import Joint
    from consist.workspace import Workspace

HEADER_TAG = "scenario_header"
_OPEN_WAIT = 60.0
_PATIENCE = 5.0  # for the record of somebody who has claimed the scenario
_PAUSE = 0.005


def open_or_join(ws: Workspace, request: RunRequest) -> ActiveRun | RunDocument:
    """Open a scenario if nobody has, else return the header of its latest attempt.

    Parameters
    ----------
    ws : Workspace
        Tracker.
    request : RunRequest
        The header asked for.

    Returns
    -------
    ActiveRun or RunDocument
        The header that was opened, or the one to join.

    Raises
    ------
    ValueError
        If the header has another config than the one asked for, or is no scenario's.
    """
    name = str(request.run_id)
    joint = ws.store.joint(name)
    with joint.held(_OPEN_WAIT) as alone:
        found = _latest(ws, joint, name, alone=alone)
        if isinstance(found, Claim):
            run = new_run(ws, request, None, claim=found)
            state = JointState(run_dir=str(ws.run_dir), failures=(), sweeps=())
            joint.write(run.run_id, state)
            with running(ws, run):
                return run
    _check_same(ws, request, found)
    return found


def _latest(ws: Workspace, joint: Joint, name: str, *, alone: bool) -> RunDocument | Claim:
    """Return the header of the latest attempt, or the claim to a new one if there is none.

    Who claimed an attempt and died leaves it without a record. If that was a block that joins, it
    held the lock until then, so its claim goes to the next; anybody else gets a while.
    """
    waits_for, since = 0, 0.0
    while True:
        number = ws.store.last_claimed(name)
        if number:
            claim = Claim(attempt_id(name, number), name, number)
            state = joint.state(claim.run_id)
            found = ws.store.recorded(claim, None if state is None else state.run_dir)
            if found is not None:
                return found
            if alone and state is not None:
                return claim
            if number != waits_for:
                waits_for, since = number, time.monotonic()
        if number == 0 or time.monotonic() - since > _PATIENCE:
            claimed = ws.store.claim_attempt(name, number + 1)
            if claimed is not None:
                return claimed
        time.sleep(_PAUSE)


def _check_same(ws: Workspace, request: RunRequest, header: RunDocument) -> None:
    run_id = header.run.id
    if HEADER_TAG not in header.run.tags:
        problem = UsageError(f"cannot join {run_id!r}: it is a run, and no scenario")
        raise hint(problem, "a scenario to join needs a name that no run has")
    if request.config is None or bytes(header.config) == bytes(NULL):
        return
    ours = msgspec.json.decode(stored_config(ws, request.config))
    theirs = msgspec.json.decode(header.config)
    differing = sorted(
        key for key in {*ours, *theirs} if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT)
    )
    if differing:
        names = ", ".join(map(repr, differing))
        problem = UsageError(f"cannot join scenario {run_id!r}: its config differs in {names}")
        raise hint(problem, "pass the config it was opened with, or none; steps have their own")


_ABSENT = object()


class JoinedBlock:
    """The part that a block has in a scenario which was opened elsewhere.

    Parameters
    ----------
    ws : Workspace
        Tracker of the block.
    header : RunDocument
        The header as recorded.

    Attributes
    ----------
    run : ActiveRun
        The header, for the steps of this block.
    """

    def __init__(self, ws: Workspace, header: RunDocument) -> None:
        self._workspace, self._header = ws, header
        self._began, self._after_opener = now(), opener_is_gone(header)
        self._adoption = adopted(ws, header.run)
        self.run = self._adoption.__enter__()

    @property
    def config(self) -> dict[str, Any] | None:
        """The config that the scenario was opened with, ``None`` where that is not at hand."""
        known = bytes(self._header.config) != bytes(NULL)
        return msgspec.json.decode(self._header.config) if known else None

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The inputs of the scenario when the block joined."""
        return {a.key: self._workspace.artifact_of(a) for a in self._header.inputs}

    def coupler_like(self, other: Coupler) -> JoinedCoupler:
        """Return a coupler that knows what others put out, and expects what another one does."""
        ws, run_id = self._workspace, self.run.run_id
        return JoinedCoupler(
            ws.files.mounts.resolve_uri,
            lambda: ws.store.artifacts_of_scenario(run_id),
            ws.artifact_of,
            like=other,
        )

    def leave(self, failure: dict[str, Any] | None, sweeps: list[dict[str, Any]]) -> None:
        """End the block: tell the header how it went."""
        run = self.run
        self._adoption.__exit__(None, None, None)
        end = BlockEnd(
            began=self._began,
            steps=run.steps,
            failure=failure,
            sweeps=sweeps,
            after_opener=self._after_opener,
            meta=logged_meta(run, self._header),
            inputs=tuple(run.inputs.values()),
            outputs=tuple(run.outputs.values()),
        )
        record_end(self._workspace, self._header, end)


# ---------------------------------------------------------------- coupler


class JoinedCoupler(Coupler):
    """A coupler that also knows what other blocks of the scenario have put out.

    A key that this block has not set stands for the latest artifact that a completed step of the
    attempt recorded under it. The database is asked when such a key is first used, and not again
    for a key that was found.

    Parameters
    ----------
    resolve : callable
        As for :class:`Coupler`.
    ask : callable
        Returns the latest artifact of each key.
    make : callable
        Returns the documented object of a record.
    like : Coupler
        One whose declared outputs are expected here as well.
    """

    def __init__(
        self,
        resolve: Callable[[str], str],
        ask: Callable[[], list[ArtifactRecord]],
        make: Callable[[ArtifactRecord], Any],
        *,
        like: Coupler,
    ) -> None:
        super().__init__(resolve)
        self._shelf = JoinedShelf(resolve, ask, make, like=like._shelf)  # noqa: SLF001


class JoinedShelf(Shelf):
    """A shelf that also knows what others have put out."""

    def __init__(
        self,
        resolve: Callable[[str], str],
        ask: Callable[[], list[ArtifactRecord]],
        make: Callable[[ArtifactRecord], Any],
        *,
        like: Shelf,
    ) -> None:
        super().__init__(resolve)
        self.expect_as(like)
        self._ask, self._make = ask, make
        self._others: dict[str, Unmade] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave what others put out behind as it is known now."""
        copy = Shelf(None)
        copy.expect_as(self)
        copy.put({key: self.get(key) for key in self.keys(ROOT)}, warn=False)
        return _itself, (copy,)

    def _learn(self) -> None:
        for record in self._ask():
            self._others.setdefault(record.key, Unmade(record, partial(self._make, record)))

    def _other(self, key: Any) -> Unmade | None:
        if key not in self._others:
            self._learn()
        return self._others.get(key)

    def peek(self, key: Any) -> Any:
        """Return the value of a key as it is kept here, or else by others, or ``None``."""
        return super().peek(key) if self.holds(key) else self._other(key)

    def get(self, key: Any) -> Any:
        """Return the value of a key, set here or else by others, or ``None``."""
        if self.holds(key):
            return super().get(key)
        other = self._other(key)
        return None if other is None else other.make()

    def keys(self, prefix: str) -> list[str]:
        """Return the full keys that begin with a prefix, set here or by others."""
        self._learn()
        others = [key for key in self._others if key.startswith(prefix)]
        return list(dict.fromkeys([*others, *super().keys(prefix)]))

    def count(self, prefix: str) -> int:
        """Return how many keys begin with a prefix."""
        return len(self.keys(prefix))


def _itself(shelf: Shelf) -> Shelf:
    return shelf
