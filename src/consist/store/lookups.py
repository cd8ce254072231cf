"""Keeping the look-up index abreast of what this and other processes record and merge."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from consist.errors import StoreError
from consist.models.record import EVENTS
from consist.store.belonging import Belonging
from consist.store.database import Database
from consist.store.folder import JournalFolder
from consist.store.index import Index
from consist.store.journals import list_journals, read_entries
from consist.store.maintenance import learn_all

_WAIT = 0.25
_RETRY = 1.0


class Lookups:
    """Reads on in journals, and rebuilds the index where journals are not enough.

    Attributes
    ----------
    incomplete : str or None
        Why look-ups may miss what was recorded, or ``None`` if they cannot.
    """

    def __init__(
        self, index: Index, folder: JournalFolder, database: Database, belonging: Belonging
    ) -> None:
        self.index, self.folder, self.database = index, folder, database
        self.belonging = belonging
        self.incomplete: str | None = None
        self._lock = threading.RLock()
        self._notice = -1
        self._retry_at = 0.0
        self._covered = -1

    def catch_up(self, own: str | None) -> bool:
        """Learn what others recorded since the last look; return whether there was anything.

        Parameters
        ----------
        own : str or None
            Token of this process's journal, whose records are known.
        """
        with self._lock:
            learned = self._cover_merged()
            size, tokens = self.folder.noticed(self._notice)
            self._notice = size
            if tokens is not None:
                tokens.discard(own or "")
                if not tokens:
                    return learned
            self._read_on(self.folder.path, tokens)
            return True

    def _cover_merged(self) -> bool:
        """Make sure that the index knows all that was merged; return whether it learned."""
        if self.incomplete is None or time.monotonic() >= self._retry_at:
            self.belonging.look(_WAIT if self.incomplete is None else 0.0)
        generation = self.belonging.state.generation
        if generation != self._covered:
            self.index.forget_generation()
        if self.belonging.doubt is not None:
            return self._give_up(self.belonging.doubt)
        if self.index.generation >= generation:
            self.incomplete, self._covered = None, generation
            return False
        return self._read_merged(generation) or self._rebuild()

    def _read_merged(self, generation: int) -> bool:
        """Read journals that are still there although they were merged."""
        if self.index.generation < self.belonging.state.cleared:
            return False
        self._read_on(self.folder.merged, None)
        self._read_on(self.folder.path, None)
        state = self.folder.state()
        if state is not None and self.index.generation < state.cleared:
            return False  # some were removed while we read
        self.index.persist(generation)
        self.incomplete, self._covered = None, generation
        return True

    def _rebuild(self) -> bool:
        if self.belonging.refill:
            return self._give_up("the database lacks runs that it once had, until the next merge")
        if time.monotonic() < self._retry_at:
            return False
        try:
            with self.database.reading(_WAIT if self.incomplete is None else 0.0) as connection:
                learn_all(connection, self.index)
        except StoreError as error:
            return self._give_up(str(error))
        self.incomplete, self._notice = None, -1
        return True

    def _give_up(self, why: str) -> bool:
        """Count look-ups as misses until the database can be read."""
        if time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + _RETRY
        self.incomplete = why
        return False

    def _read_on(self, folder: Path, tokens: set[str] | None) -> None:
        for journal in list_journals(folder):
            if tokens is not None and journal.token not in tokens:
                continue
            position = self.index.position(journal.token)
            if journal.size <= position:
                continue
            for entry in read_entries(journal.path, position):
                if isinstance(entry.record, EVENTS):
                    self.index.learn(entry.record, journal.token, entry.end)
                else:
                    self.index.advance(journal.token, entry.end)

    # ------------------------------------------------------------ fork

    def freeze(self) -> None:
        """Hold still while this process forks."""
        self._lock.acquire()

    def thaw(self) -> None:
        """End what :meth:`freeze` began."""
        self._lock.release()
