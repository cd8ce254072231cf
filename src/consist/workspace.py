"""The wired collaborators that every verb needs; it decides nothing."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.active import ActiveRuns
from consist.errors import NoDatabase, ReadOnlyTracker, TrackerClosed, WrongType
from consist.files import Files
from consist.files.history import alternatives, places
from consist.formats import Formats
from consist.hooks import Hooks
from consist.identity import CodeIdentity, LoadedSources
from consist.models.record import ArtifactRecord
from consist.settings import Settings
from consist.store.base import Store

if TYPE_CHECKING:
    from sqlmodel import SQLModel

    from consist.models.artifact import Artifact
    from consist.models.run import Run


def _no_schemas() -> Mapping[str, type[SQLModel]]:
    return {}


@dataclass(eq=False)
class Workspace:
    """What a tracker is made of.

    Verbs are functions whose first parameter is a workspace; a tracker is a workspace with its
    verbs bound.

    Attributes
    ----------
    store : Store
        Remembers runs and answers questions.
    files : Files
        Portable paths, places of a run's files, digests of unchanged files.
    formats : Formats
        Drivers by name and suffix.
    identity : CodeIdentity
        Which code runs execute.
    loaded : LoadedSources
        Which source files changed after they were loaded.
    active : ActiveRuns
        What is running.
    hooks : Hooks
        Callbacks of users.
    settings : Settings
        Limits and switches.
    run_dir : Path
        Root of this tracker's outputs and snapshots, absolute.
    db_path : Path or None
        The database file.
    project_root : Path
        Where the identity of the code is looked for.
    cache_epoch : int
        Number in every run's identity.
    code_identity : str or None
        How code is identified where a run does not say.
    access_mode : str
        ``"standard"``, ``"analysis"`` or ``"read_only"``.
    allow_external_paths : bool
        Whether outputs may lie outside the run folder.
    run_subdir_fn : callable or None
        Names the output folder of a run.
    schemas : mapping of str to type
        Registered SQLModel classes by name.
    keeps : bool
        Whether runs are identified and remembered at all.
    """

    store: Store
    files: Files
    formats: Formats
    active: ActiveRuns
    hooks: Hooks
    identity: CodeIdentity
    loaded: LoadedSources
    settings: Settings
    run_dir: Path
    db_path: Path | None = None
    project_root: Path = Path()
    cache_epoch: int = 1
    code_identity: str | None = None
    access_mode: str = "standard"
    allow_external_paths: bool = False
    run_subdir_fn: Callable[[Run], str] | None = None
    schemas: Mapping[str, type[SQLModel]] = field(default_factory=_no_schemas)
    keeps: bool = True
    memory: dict[str, Any] = field(default_factory=dict[str, Any])
    """What verbs keep between calls, each under the name of its room."""
    closed: bool = False
    opener: Callable[[], Workspace] | None = None
    """Opens the same tracker in another process; can be pickled."""

    def __post_init__(self) -> None:
        self._token = os.urandom(16).hex()
        _reachable[os.getpid(), self._token] = self

    def __deepcopy__(self, memo: dict[int, Any]) -> Workspace:
        """Return self: copying an artifact does not copy the tracker that finds its path."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Be opened again where this is unpickled, once per process; here, be the same one."""
        if self.opener is None:
            raise WrongType(f"{type(self).__name__} cannot be opened in another process")
        return _reopened, (self._token, self.opener)

    def close(self) -> None:
        """Release every file; nothing is recorded any more."""
        self.closed = True
        self.files.close()
        self.store.close()

    def check_writable(self, action: str) -> None:
        """Refuse to record anything where the tracker is closed or may only look.

        Raises
        ------
        TrackerClosed, ReadOnlyTracker
        """
        if self.closed:
            raise TrackerClosed(action)
        if self.access_mode != "standard":
            raise ReadOnlyTracker(action, self.access_mode)

    def check_database(self, action: str) -> None:
        """Refuse a question where there is no database.

        Raises
        ------
        NoDatabase
        """
        if not self.store.has_database:
            raise NoDatabase(action)

    def artifact_of(self, record: ArtifactRecord) -> Artifact:
        """Return the documented object of a record, with its path resolved by this tracker."""
        from consist.models.artifact import Artifact

        return Artifact.from_record(record, self.path_of)

    def path_of(self, artifact: ArtifactRecord) -> Path:
        """Return where an artifact's bytes should be on this machine.

        The first place with the recorded bytes of these: this tracker's run folder or mount, the
        run folder that it was recorded in, and the folders that its metadata name as
        ``recovery_roots``.
        """
        mounts = self.files.mounts
        uri, root, meta = artifact.container_uri, artifact.root, artifact.meta
        away = bool(root) and root != mounts.run_dir
        if not away and not alternatives(meta):
            return self._or_restored(artifact, mounts.resolve(uri))
        found = places(mounts, uri, root, meta)
        if len(found) == 1:
            return self._or_restored(artifact, Path(found[0]))
        for path in found:
            if self.files.is_same(path, artifact.hash):
                return Path(path)
        return self._or_restored(artifact, Path(found[1] if away else found[0]))

    def trusts(self, path: str) -> bool:  # noqa: ARG002 - a visitor does not trust every place
        """Whether files may be looked for where the record alone says."""
        return True

    def restored_place(self, artifact: ArtifactRecord) -> Path:
        """Return where a file goes that was made again and cannot have the place it had."""
        name = self.files.mounts.resolve(artifact.container_uri).name
        return self.run_dir / "restored" / artifact.id / name

    def _or_restored(self, artifact: ArtifactRecord, path: Path) -> Path:
        if not artifact.meta.get("is_ingested") or path.exists():
            return path
        restored = self.restored_place(artifact)
        return restored if restored.exists() else path


# ---------------------------------------------------------------- in other processes

_Key = tuple[int, str]

_MOST_OPEN = 8  # a worker of a cluster outlives the processes that send it work
_reachable: weakref.WeakValueDictionary[_Key, Workspace] = weakref.WeakValueDictionary()
_reopened_here: dict[_Key, Workspace] = {}
_reopening = threading.Lock()


def _reopened(token: str, opener: Callable[[], Workspace]) -> Workspace:
    """Return the tracker of a token in this process.

    The one that has it; in a forked child, that of the parent, so that code that holds it finds
    its runs; one that a module opened with the same arguments; else one that is opened now.
    """
    key = os.getpid(), token
    with _reopening:
        found = _reachable.get(key) or _reopened_here.get(key)
        if found is None or found.closed:
            found = _inherited(token) or _opened_alike(opener)
        if found is None:
            _make_room(key[0])
            found = opener()
        _reopened_here[key] = found
        return found


def _inherited(token: str) -> Workspace | None:
    """Return the tracker of a token that this process was forked with."""
    for (_, known), workspace in [*_reachable.items()]:
        if known == token and not workspace.closed:
            workspace.active.begin_anew()
            return workspace
    return None


def _opened_alike(opener: Callable[[], Workspace]) -> Workspace | None:
    for (process, _), workspace in [*_reachable.items()]:
        if process == os.getpid() and workspace.opener == opener and not workspace.closed:
            return workspace
    return None


def _make_room(process: int) -> None:
    """Let go of what this process inherited, and close what nothing has used for longest."""
    for stale in [known for known in _reopened_here if known[0] != process]:
        del _reopened_here[stale]
    idle = [key for key, workspace in _reopened_here.items() if not [*workspace.active]]
    for key in idle[: max(len(_reopened_here) - _MOST_OPEN + 1, 0)]:
        _reopened_here.pop(key).close()


def _begin_anew() -> None:
    global _reopening  # noqa: PLW0603 - another thread of the parent may have held it
    _reopening = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
