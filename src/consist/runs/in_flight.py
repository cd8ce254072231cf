"""Waiting for a run of the same identity that somebody executes now, instead of repeating it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from consist.cache.lookup import Answer
from consist.models.record import replace
from consist.store.leases import Holder, Lease

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.runs")

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25

_executes_for_others: ContextVar[bool] = ContextVar("consist_executes_for_others", default=False)


@contextmanager
def in_turn(
    ws: Workspace, identity: str, name: str, first: Answer, look_again: Callable[[], Answer]
) -> Generator[Answer]:
    """Let nobody else who waits execute a run of an identity while the block does.

    A run inside one that others may wait for goes ahead: two such runs could wait for each other.

    Parameters
    ----------
    ws : Workspace
        Tracker of the run.
    identity : str
        The digest by which the run would be found.
    name : str
        What to call the run before others.
    first : Answer
        The miss that was found before.
    look_again : callable
        Looks whether there is a hit now.

    Yields
    ------
    Answer
        A hit, where another executed the run meanwhile. Nobody waits for this block then.
    """
    if _executes_for_others.get():
        yield first
        return
    turn = _Turn(ws, identity, name, look_again)
    try:
        answer = turn.come()
        inside = _executes_for_others.set(turn.lease is not None)
        try:
            yield answer
        finally:
            _executes_for_others.reset(inside)
    finally:
        turn.end()


class _Turn:
    """The lease of one run, or the wait for it.

    Attributes
    ----------
    lease : Lease or None
        Had by this run, as long as others have to wait for it.
    """

    def __init__(
        self, ws: Workspace, identity: str, name: str, look_again: Callable[[], Answer]
    ) -> None:
        self._ws, self._identity, self._name = ws, identity, name
        self._look_again = look_again
        self._awaited: Holder | None = None
        self._began = time.monotonic()
        self.lease: Lease | None = None

    def come(self) -> Answer:
        """Wait until there is a hit, or nobody else executes the run; return what was found.

        Whenever a holder is done, everybody who waits looks, not only who has the lease next.
        """
        for pause in _pauses():
            found = self._ws.store.try_lease(self._identity, self._name)
            if not isinstance(found, Holder):
                self.lease = found
                break
            if found.process is not None and not self._is_awaited(found):
                if self._awaited is not None:
                    answer = self._look_again()
                    if answer.hit is not None:
                        return self._noted(answer)
                self._await(found)
            time.sleep(pause)
        answer = self._look_again()
        if answer.hit is not None:
            self.end()
        return self._noted(answer)

    def end(self) -> None:
        """Let others go on."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()

    def _is_awaited(self, holder: Holder) -> bool:
        return self._awaited is not None and self._awaited.token == holder.token

    def _await(self, holder: Holder) -> None:
        self._awaited = holder
        process = holder.process
        if process is not None:
            logger.info(
                "[Consist] %r waits for %r, which process %d on %s executes",
                self._name,
                holder.what,
                process.pid,
                process.host,
            )

    def _noted(self, answer: Answer) -> Answer:
        """Return an answer with what is recorded about the wait for it."""
        if self._awaited is None or self._awaited.process is None:
            return answer
        process = self._awaited.process
        seconds = round(time.monotonic() - self._began, 3)
        waited: dict[str, Any] = {"host": process.host, "pid": process.pid, "seconds": seconds}
        return replace(answer, waited=waited)


def _pauses() -> Iterator[float]:
    pause = _SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
