"""A tracker for looking at a database that may be somebody else's."""
# ruff: noqa: PTH100, PTH110, PTH117, PTH120  # paths are text here, see files/bounds.py

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from consist.core.tracker import Tracker
from consist.errors import PathEscape, Untrusted, UsageError, hint
from consist.files.bounds import really_within
from consist.files.history import below_roots
from consist.types import PathLike

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.record import ArtifactRecord

Access = Literal["primary", "recovery", "missing", "untrusted"]


class Found(NamedTuple):
    """Where an artifact lies.

    Attributes
    ----------
    access : {"primary", "recovery", "missing", "untrusted"}
        In its folder, in one that holds copies, nowhere, or only in folders that may not be looked
        into.
    path : str
        The first place that was tried, or where it is.
    """

    access: Access
    path: str


class Visitor(Tracker):
    """A read-only tracker that looks for files only where whoever opened it said.

    A database names folders of the machine that it was written on. One that comes from elsewhere
    may name any file of this machine, so what it names is looked for in the given folders and in
    that of the database, and elsewhere only if the database is trusted.

    Parameters
    ----------
    run_dir : str or path
        Folder of ``./…`` and ``workspace://…``.
    db_path : str or path
        The database; it is never written to.
    mounts : mapping of str to path, optional
        Folders of ``name://…``.
    folders : iterable of str or path, optional
        Further folders that may be looked into.
    trust_db : bool, default False
        Also look in the run folders, mounts and folders for copies that the database names.
    """

    def __init__(
        self,
        run_dir: PathLike,
        db_path: PathLike,
        *,
        mounts: Mapping[str, PathLike] | None = None,
        folders: Iterable[PathLike] = (),
        trust_db: bool = False,
    ) -> None:
        super().__init__(run_dir, db_path, mounts=mounts, access_mode="read_only")
        self.trust_db = trust_db
        given = self.files.mounts.roots.values()
        home = os.path.dirname(os.path.abspath(db_path))
        self._folders = [str(self.run_dir), home, *given, *folders]

    def path_of(self, artifact: ArtifactRecord) -> Path:
        """Return where an artifact's bytes are: of several places, the one with those recorded.

        Raises
        ------
        Untrusted
            If the database alone says where.
        """
        there: list[str] = []
        tried: list[str] = []
        for path, _ in self._places(artifact):
            tried.append(path)
            if os.path.exists(path):
                there.append(path)
        if not there and not self._all_places_count(artifact):
            raise _untrusted(artifact)
        if len(there) > 1:
            same = (path for path in there if self.files.is_same(path, artifact.hash))
            return Path(next(same, there[0]))
        return Path((there or tried or [self.files.mounts.resolve(artifact.container_uri)])[0])

    def seek(self, artifact: Artifact | ArtifactRecord) -> Found:
        """Return where an artifact lies, from names alone: nothing is read."""
        first: str | None = None
        for path, access in self._places(artifact):
            first = first or path
            if os.path.exists(path):
                return Found(access, path)
        if self._all_places_count(artifact):
            return Found("missing", first or artifact.container_uri)
        return Found("untrusted", artifact.container_uri)

    def _places(self, artifact: Any) -> Iterator[tuple[str, Access]]:
        """Yield every place that may be looked at, the likeliest first."""
        seen = set[str]()
        for path, access, recorded in self._candidates(artifact):
            if path not in seen and (not recorded or self.trusts(path)):
                seen.add(path)
                yield path, access

    def _all_places_count(self, artifact: Any) -> bool:
        return all(
            self.trusts(path) for path, _, recorded in self._candidates(artifact) if recorded
        )

    def _candidates(self, artifact: Any) -> Iterator[tuple[str, Access, bool]]:
        """Yield places, what finding the artifact there means, and whether the database says so."""
        uri, root, mounts = artifact.container_uri, artifact.root, self.files.mounts
        scheme, separator, _ = uri.partition("://")
        if os.path.isabs(uri) or scheme == "file":
            with suppress(PathEscape, UsageError):
                yield mounts.resolve_uri(uri), "primary", True
        elif separator and scheme != "workspace" and mounts.mount_of(uri) is None:
            for path in below_roots(uri, [artifact.meta.get("mount_root")]):
                yield path, "primary", True
        else:
            with suppress(PathEscape, UsageError):
                yield mounts.resolve_uri(uri), "primary", False
        if root and root != mounts.run_dir:
            with suppress(PathEscape, UsageError):
                yield mounts.resolve_uri(uri, root), "primary", True
        if artifact.meta.get("is_ingested"):
            with suppress(PathEscape, UsageError):
                yield str(self.restored_place(artifact)), "primary", False
        for path in below_roots(uri, _saved(artifact.meta)):
            yield path, "recovery", True

    def trusts(self, path: str) -> bool:
        """Whether a path lies in a folder that may be looked into."""
        return self.trust_db or any(really_within(path, folder) for folder in self._folders)


def _saved(meta: Mapping[str, Any]) -> list[object]:
    saved: Any = meta.get("recovery_roots")
    return cast("list[object]", saved) if isinstance(saved, list) else [saved]


def _untrusted(artifact: ArtifactRecord) -> Untrusted:
    problem = Untrusted(artifact.key, artifact.container_uri)
    return hint(problem, "--trust-db looks where the database says; --run-dir and --mount say more")
