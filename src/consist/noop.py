"""The tracker that does nothing but run the steps, for code whose users may do without tracking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.core.tracker import Tracker
from consist.errors import UsageError, WrongType, hint
from consist.formats import Formats
from consist.models.record import ArtifactRecord, new_uuid
from consist.runs.ids import now
from consist.types import PathLike

if TYPE_CHECKING:
    from consist.models.artifact import Resolver
    from consist.models.run import Run

_FORMATS = Formats()

__all__ = ["NoopArtifact", "NoopTracker", "create_tracker"]


def create_tracker(
    *,
    enabled: bool = True,
    tracker_factory: Callable[[], Tracker] | None = None,
    run_dir: PathLike = "./runs",
) -> Tracker:
    """Return a tracker, or one that does nothing, by a switch.

    Parameters
    ----------
    enabled : bool, default True
        Whether to track.
    tracker_factory : callable, optional
        Makes the tracker; needed where it is enabled. What it raises is raised.
    run_dir : str or Path, default "./runs"
        Where outputs go that a step writes into its managed folder while tracking is disabled.

    Returns
    -------
    Tracker
        What the factory returned, or a :class:`NoopTracker`.

    Raises
    ------
    ValueError
        If it is enabled without a factory.
    TypeError
        If ``enabled`` is no bool; a text such as ``"false"`` is true in Python.

    Examples
    --------
    >>> tracker = create_tracker(enabled=False)
    >>> tracker.run(lambda: None, "nothing").cache_hit
    False
    """
    if type(enabled) is not bool:
        raise WrongType(f"enabled={enabled!r} is not a bool")
    if not enabled:
        return NoopTracker(run_dir)
    if tracker_factory is None:
        problem = UsageError("create_tracker is enabled and has no tracker_factory")
        raise hint(problem, "pass tracker_factory=lambda: Tracker(run_dir=..., db_path=...)")
    return tracker_factory()


class NoopTracker(Tracker):
    """A tracker that executes every step and remembers nothing.

    Steps get their arguments, outputs go to their places and from step to step, checks of
    arguments and outputs hold, and callbacks are called, all as with tracking. But nothing is
    hashed, looked up or recorded: no snapshot, no database. Questions have the answers of a
    tracker without a database.

    Parameters
    ----------
    run_dir : str or Path, default "./runs"
        Root of the managed output folders.
    mounts, allow_external_paths, run_subdir_fn
        See :class:`~consist.core.tracker_config.TrackerConfig`.
    """

    def __init__(
        self,
        run_dir: PathLike = "./runs",
        *,
        mounts: Mapping[str, PathLike] | None = None,
        allow_external_paths: bool | None = None,
        run_subdir_fn: Callable[[Run], str] | None = None,
    ) -> None:
        super().__init__(
            run_dir,
            mounts=mounts,
            allow_external_paths=allow_external_paths,
            run_subdir_fn=run_subdir_fn,
        )
        self.keeps = False
        self.opener = partial(
            NoopTracker,
            self.run_dir,
            mounts=dict(self.files.mounts.roots),
            allow_external_paths=allow_external_paths,
            run_subdir_fn=run_subdir_fn,
        )

    def __repr__(self) -> str:
        return f"NoopTracker(run_dir={str(self.run_dir)!r})"

    def artifact_of(self, record: ArtifactRecord) -> Any:
        """Return what stands for an artifact here."""
        return NoopArtifact.from_record(record, self.path_of)


class NoopArtifact:
    """Stands for an artifact where nothing is recorded: a key and a path.

    It may be used wherever an artifact may: as an input, in a coupler, in ``load_df``.

    Parameters
    ----------
    key : str
        Semantic name.
    path : str or Path
        Where the bytes are.
    container_uri : str, optional
        Portable location; by default the path.
    meta : mapping, optional
        Free metadata.
    driver : str, default "file"
        Format; ``"file"`` leaves it to the suffix.
    """

    run_id: None = None
    hash: None = None
    content_id: None = None

    def __init__(
        self,
        key: str,
        path: PathLike,
        container_uri: str | None = None,
        meta: Mapping[str, Any] | None = None,
        driver: str = "file",
    ) -> None:
        self.key = key
        self.path = Path(path)
        self.container_uri = str(path) if container_uri is None else container_uri
        self.meta = dict(meta or {})
        self.driver = driver
        self.resolver: Resolver | None = None
        self._record: ArtifactRecord | None = None

    @classmethod
    def from_record(cls, record: ArtifactRecord, resolver: Resolver) -> NoopArtifact:
        """Make what stands for a described file."""
        path = resolver(record)
        made = cls(record.key, path, record.container_uri, record.meta, record.driver)
        made.resolver, made._record = resolver, record
        return made

    def __repr__(self) -> str:
        return f"NoopArtifact(key={self.key!r}, path={str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the tracker behind: a copy in another process keeps the path."""
        return NoopArtifact, (self.key, self.path, self.container_uri, self.meta, self.driver)

    def to_record(self) -> ArtifactRecord:
        """Return the description that steps hand on."""
        if self._record is None:
            self._record = ArtifactRecord(
                id=new_uuid(),
                key=self.key,
                container_uri=str(self.path.absolute()),
                driver=_FORMATS.infer_driver(self.path) if self.driver == "file" else self.driver,
                meta=self.meta,
                created_at=now(),
            )
        return self._record
