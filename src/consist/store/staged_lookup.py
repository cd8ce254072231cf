"""Staged rows found in the journals alone, so that reading them needs no database."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

from consist.models.record import IngestEvent
from consist.store import locks, staging
from consist.store.folder import JournalFolder
from consist.store.global_tables import Staged
from consist.store.journals import list_journals, read_entries


class StagedLookup:
    """Knows which rows are staged, by artifact; reads each journal record once."""

    def __init__(self, folder: JournalFolder) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._positions: dict[str, int] = {}
        self._found: dict[str, IngestEvent] = {}

    @contextmanager
    def held(self, artifact_id: str) -> Generator[Staged | None]:
        """Yield the staged rows of an artifact; no merge removes them before the block ends."""
        event = self._find(artifact_id)
        if event is None:
            yield None
            return
        staged = Staged(event, self.folder.rows / event.rows.file)
        try:
            descriptor = locks.open_guarded(str(staged.path), os.O_RDONLY)
        except OSError:  # a merge was faster
            yield None
            return
        try:
            ours = locks.try_flock(descriptor, fcntl.LOCK_SH) and staged.path.exists()
            yield staged if ours else None
        finally:
            locks.close_guarded(descriptor)

    def _find(self, artifact_id: str) -> IngestEvent | None:
        if not staging.listed(self.folder.rows):
            return None
        with self._lock:
            # What was ingested again may stand in a journal that was merged already.
            for folder in (self.folder.merged, self.folder.path):
                for journal in list_journals(folder):
                    position = self._positions.get(journal.token, 0)
                    if journal.size <= position:
                        continue
                    for entry in read_entries(journal.path, position):
                        self._positions[journal.token] = entry.end
                        if isinstance(entry.record, IngestEvent):
                            self._note(entry.record)
            return self._found.get(artifact_id)

    def _note(self, event: IngestEvent) -> None:
        known = self._found.get(event.artifact.id)
        if known is None or known.at <= event.at:
            self._found[event.artifact.id] = event
