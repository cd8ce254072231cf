"""What the blocks share that join one scenario, beside the record of its header.

The header is one record, and blocks in many processes add to it. A block that ends takes the lock
of the scenario, adds what it knows to the file of the attempt, and records the header anew from
that: the file is what they agree on, whatever the snapshot or a journal holds meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from consist.files.atomic import unwritable, write_atomic
from consist.files.places import safe_name
from consist.models.record import ArtifactRecord, encode
from consist.store.locks import FileLock, locks_work


class JointState(msgspec.Struct, frozen=True, kw_only=True):
    """What the blocks of an attempt said that have ended.

    Attributes
    ----------
    run_dir : str
        Run folder that the header's snapshot lies in.
    updated_at : datetime or None
        When the header was recorded last from this.
    steps : tuple of dict
        What the header tells of their steps.
    steps_left_out : int
        How many steps are not among them.
    failures : tuple of dict or None
        Which blocks failed and were not made good; ``None`` until one has looked.
    failures_left_out : int
        How many are not among them.
    sweeps : tuple of dict or None
        What the header tells of sweeps; ``None`` until one has looked.
    meta : dict
        Metadata that they logged.
    inputs, outputs : tuple of ArtifactRecord
        What they logged to the header.
    """

    run_dir: str
    updated_at: datetime | None = None
    steps: tuple[dict[str, Any], ...] = ()
    steps_left_out: int = 0
    failures: tuple[dict[str, Any], ...] | None = None
    failures_left_out: int = 0
    sweeps: tuple[dict[str, Any], ...] | None = None
    meta: dict[str, Any] = {}
    inputs: tuple[ArtifactRecord, ...] = ()
    outputs: tuple[ArtifactRecord, ...] = ()


class Joint:
    """Files of a scenario that blocks join: one lock per name, one state per attempt.

    Parameters
    ----------
    folder : Path
        Where they lie; created when they are written.
    requested_id : str
        Name of the scenario.
    """

    def __init__(self, folder: Path, requested_id: str) -> None:
        self._folder = folder
        self._lock_path = folder / f"{safe_name(requested_id)}.lock"

    @contextmanager
    def held(self, wait: float) -> Generator[bool]:
        """Let no other block open or end this scenario meanwhile, where file locks work.

        Yields
        ------
        bool
            Whether the others are really kept out; after ``wait`` seconds, they are not.

        Raises
        ------
        StoreUnwritable
            If the folder cannot be created.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(str(self._folder), error) from error
        lock = FileLock(str(self._lock_path))
        held = lock.acquire(wait=wait)
        try:
            yield held and locks_work(str(self._folder))
        finally:
            lock.release()

    def exists(self, run_id: str) -> bool:
        """Whether a block has joined this attempt and ended, or opened it to be joined."""
        return self._path(run_id).exists()

    def state(self, run_id: str) -> JointState | None:
        """Return the state of an attempt; ``None`` where there is none that can be read."""
        try:
            return msgspec.json.decode(self._path(run_id).read_bytes(), type=JointState)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, run_id: str, state: JointState) -> None:
        """Write the state of an attempt.

        Raises
        ------
        StoreUnwritable
            If that is not possible; the earlier state stays.
        """
        write_atomic(self._path(run_id), encode(state))

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{safe_name(run_id)}.json"
