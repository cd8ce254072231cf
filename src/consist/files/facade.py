"""The file side of a tracker, bundled for those who need all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consist.files.memo import Memo, Strategy
from consist.files.mounts import Location, Mounts
from consist.files.places import RunPlaces
from consist.types import PathLike


@dataclass(frozen=True)
class Files:
    """Where files are, where they go and what is in them.

    Attributes
    ----------
    mounts : Mounts
        Portable locations.
    places : RunPlaces
        Layout of the run folder.
    memo : Memo
        Digests of unchanged files.
    """

    mounts: Mounts
    places: RunPlaces
    memo: Memo

    @classmethod
    def at(
        cls,
        run_dir: PathLike,
        mounts: Mapping[str, PathLike] | None = None,
        *,
        memo_path: PathLike | None = None,
        strategy: Strategy = "full",
    ) -> Files:
        """Wire the files of one run folder.

        Parameters
        ----------
        run_dir : str or path
            The run folder.
        mounts : mapping of str to path, optional
            Folders by URI scheme.
        memo_path : str or path, optional
            File that keeps digests between processes.
        strategy : {"full", "fast"}, default "full"
            How files are digested.
        """
        return cls(Mounts(run_dir, mounts), RunPlaces(run_dir), Memo(memo_path, strategy=strategy))

    def virtualize(self, path: PathLike) -> Location:
        """Return the portable location of a path, as :meth:`Mounts.virtualize` does."""
        return self.mounts.virtualize(path)

    def resolve(self, location: Location) -> Path:
        """Return the path of a location, as :meth:`Mounts.resolve` does."""
        return self.mounts.resolve(location.uri, location.root)

    def digest(self, path: PathLike) -> str:
        """Return the digest of a file or folder, as :meth:`Memo.digest` does."""
        return self.memo.digest(path)

    def is_same(self, path: PathLike, digest: str | None) -> bool:
        """Whether what lies at ``path`` has a recorded digest; without one, nothing does."""
        return digest is not None and self.memo.matches(path, digest)

    def close(self) -> None:
        """Keep what was learned about files for the next process."""
        self.memo.close()
