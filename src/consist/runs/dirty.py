"""Whether a project departs from its commit, asked of git beside the first run."""

from __future__ import annotations

import atexit
import os
import signal
import weakref
from contextlib import suppress

# What a git hook or an alias leaves in the environment speaks of its repository, not of ours.
_FOREIGN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"),
)

_asked: weakref.WeakSet[Status] = weakref.WeakSet()


class Status:
    """The answer of one ``git status``, which runs while the process goes on.

    Untracked files do not count.

    Attributes
    ----------
    dirty : bool or None
        Whether a tracked file departs from the commit; ``None`` where git did not say.
    """

    def __init__(self, folder: str) -> None:
        self.dirty: bool | None = None
        self._owner = os.getpid()
        self._child, self._pipe = _start(folder)
        self._said = False
        if self._child:
            _asked.add(self)

    @property
    def is_known(self) -> bool:
        """Whether there is nothing to wait for any more; never waits."""
        if self._child and self._owner == os.getpid():
            self._look()
        return not self._child or self._owner != os.getpid()

    def give_up(self) -> None:
        """Leave no process behind, whether it has answered or not."""
        if self.is_known:
            return
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        self._close()

    def _look(self) -> None:
        self._read()
        try:
            ended, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:  # somebody waits for all children of this process
            self._close()
            return
        if ended:
            self._read()
            if os.waitstatus_to_exitcode(status) == 0:
                self.dirty = self._said
            self._close()

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._pipe, 65_536):
                self._said = True

    def _close(self) -> None:
        os.close(self._pipe)
        self._child = 0
        _asked.discard(self)

    def abandon(self) -> None:
        """Forget in a forked child what its parent waits for."""
        if self._child:
            self._close()


def _start(folder: str) -> tuple[int, int]:
    """Start git; return its process and what it says, or zeros."""
    environment = {name: text for name, text in os.environ.items() if name not in _FOREIGN}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    asked = ["git", "-C", folder, "status", "--porcelain", "--untracked-files=no"]
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    null = os.devnull
    try:
        child = os.posix_spawnp(
            "git",
            asked,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
            ],
        )
    except OSError:  # git is not installed
        os.close(reading)
        return 0, 0
    finally:
        os.close(writing)
    return child, reading


@atexit.register
def give_up_all() -> None:
    """Leave no process behind."""
    for status in list(_asked):
        status.give_up()


def _abandon_all() -> None:
    for status in list(_asked):
        status.abandon()


os.register_at_fork(after_in_child=_abandon_all)
