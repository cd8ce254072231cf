"""A tracker's arguments as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consist.types import PathLike

if TYPE_CHECKING:
    from sqlmodel import SQLModel

    from consist.models.run import Run

__all__ = ["TrackerConfig"]


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """What a :class:`~consist.core.tracker.Tracker` is built from.

    Attributes
    ----------
    run_dir : str or Path
        Folder for outputs and snapshots; created when needed.
    db_path : str or Path, optional
        The DuckDB file. Without one nothing is looked up and every run executes.
    mounts : mapping of str to path, optional
        Folders by URI scheme, which make locations portable.
    project_root : str or Path, default "."
        Where the identity of the code is looked for.
    hashing_strategy : {"full", "fast"}, default "full"
        ``"full"`` is SHA-256 of the bytes, ``"fast"`` size and time of modification.
    cache_epoch : int, default 1
        Number in the identity of every run.
    schemas : sequence of type, optional
        SQLModel classes to register.
    access_mode : {"standard", "analysis", "read_only"}, default "standard"
        What the tracker may do; only ``"standard"`` records runs.
    run_subdir_fn : callable, optional
        Names the output folder of a run, below ``<run_dir>/outputs``.
    allow_external_paths : bool, optional
        Allow outputs outside ``run_dir``; by default ``CONSIST_ALLOW_EXTERNAL_PATHS``.
    code_identity : str, optional
        How the code of runs is identified that do not say, as in
        :class:`~consist.types.CacheOptions`. Without it, ``"repo_git"``, and the module of the
        callable where there is no repository.
    """

    run_dir: PathLike
    db_path: PathLike | None = None
    mounts: Mapping[str, PathLike] | None = None
    project_root: PathLike = "."
    hashing_strategy: str = "full"
    cache_epoch: int = 1
    schemas: Sequence[type[SQLModel]] | None = None
    access_mode: str = "standard"
    run_subdir_fn: Callable[[Run], str] | None = None
    allow_external_paths: bool | None = None
    code_identity: str | None = None
