"""Code identity: which code a run executes, in the mode that the user chose.

=================== ============================================================================
mode                what counts
=================== ============================================================================
``repo_git``        the state of the project in git (:mod:`.repository`)
``callable_module`` the file, or notebook cell, that defines the callable
``callable_source`` the callable's own source
``callable_deps``   all of the project's own code that the callable reaches (:mod:`.reach`)
=================== ============================================================================

In the first three count: the qualified name and the source of the callable itself, so that two of
one name in one file are two, and that a notebook cell counts beside a repository; and what the
callable carries (:mod:`.carried`). In all of them count the paths that the user adds. A ``with``
block has no callable. In its place stands the function, or the top level of the module, that the
block stands in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType, MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from consist.errors import CodeIdentityUnavailableError, InputMissing, InvalidOption
from consist.identity.canonical import digest
from consist.identity.carried import NOTHING, Carried, carried_values
from consist.identity.files import DigestFile, PathLike, digest_path
from consist.identity.loaded import LoadedSources
from consist.identity.parts import kept_parts
from consist.identity.repository import RepositoryState, nothing_excluded, repository_state
from consist.identity.sources import (
    Place,
    code_of,
    file_of,
    module_digest,
    not_python,
    qualified_name,
    source_digest,
)

if TYPE_CHECKING:
    from consist.identity.reach import Reach, Reached

MODES = ("repo_git", "callable_module", "callable_source", "callable_deps")

ExtraDeps = tuple[tuple[str, str], ...]

_MOST_REMEMBERED = 10_000
_MOST_REACHED = 64  # each holds what a callable carries


class CodeDigest(NamedTuple):
    """The identity of a piece of code, and what it was made of.

    Attributes
    ----------
    digest : str
        What takes part in the signature.
    mode : str
        How it was obtained.
    value : str
        The digest that the mode asks for.
    name : str
        Qualified name of the callable, or of the function around a block.
    source : str or None
        Digest of its source; None if it is not written in Python.
    carried : Carried
        What the callable carried at that moment.
    extra_deps : tuple of (str, str)
        Paths that the user added, with their digests.
    parts : mapping of str to str
        What the value was made of: label, such as ``function pkg.steps.clean in pkg/steps.py``
        → digest. It explains a miss and takes no part in the identity itself.
    unresolved : tuple of str
        What the code may reach and nobody can tell from here.
    files : tuple of str or None
        The source files that all of it was taken from; None if that is the whole project.
    """

    digest: str
    mode: str
    value: str
    name: str
    source: str | None
    carried: Carried = NOTHING
    extra_deps: ExtraDeps = ()
    parts: Mapping[str, str] = MappingProxyType({})
    unresolved: tuple[str, ...] = ()
    files: tuple[str, ...] | None = None


class CodeIdentity:
    """Finds out what code is, and remembers it for as long as the code is loaded.

    Parameters
    ----------
    project_root
        Folder of the project.
    is_excluded
        Tells of a path in the project that it is not code; see :func:`.repository.repo_git`.
    digest_path
        What digests a file or a directory.
    loaded
        Knows which source files changed after they were loaded.
    """

    def __init__(
        self,
        project_root: PathLike,
        is_excluded: Callable[[Path], bool] = nothing_excluded,
        digest_path: DigestFile = digest_path,
        loaded: LoadedSources | None = None,
    ) -> None:
        self.project_root = Path(project_root)
        self._is_excluded = is_excluded
        self._digest_path = digest_path
        self._loaded = loaded or LoadedSources(project_root)
        self.refresh()

    def refresh(self) -> None:
        """Forget everything, as after code was loaded anew."""
        self._repository: RepositoryState | CodeIdentityUnavailableError | None = None
        # By id, since code objects that look alike are equal. Holding one keeps its id.
        self._known: dict[tuple[int, str, str], tuple[CodeType, CodeDigest]] = {}
        self._reach: Reach | None = None
        self._digests: dict[int, tuple[Reached, CodeDigest]] = {}

    def of(
        self, place: Place, mode: str, extra: Iterable[PathLike] = (), config: object = None
    ) -> CodeDigest:
        """Return the identity of a callable, or of the block that a frame stands in.

        Parameters
        ----------
        place
            The callable or frame.
        mode
            One of :data:`MODES`.
        extra
            Paths whose content counts as code.
        config
            What the callable is given; in ``callable_deps`` the code of its classes counts.

        Raises
        ------
        ValueError
            If nobody knows the mode.
        CodeIdentityUnavailableError
            If the mode has no answer here: no git repository, or no Python source.
        InputMissing
            If an added path does not exist.
        """
        if mode not in MODES:
            raise InvalidOption("code_identity", mode, MODES)
        if mode == "callable_deps":
            return self._reached(place, extra, config)
        bare = self._bare(place, mode)
        carried = NOTHING if isinstance(place, FrameType) else carried_values(place)
        added = extra_deps(extra, self.project_root, self._digest_path)
        if carried is NOTHING and not added:
            return bare
        found = code_digest(mode, bare.value, bare.name, bare.source, carried, added)
        parts = kept_parts({**added_parts(carried, added), **bare.parts})
        return bare._replace(digest=found, carried=carried, extra_deps=added, parts=parts)

    def _reached(self, place: Place, extra: Iterable[PathLike], config: object) -> CodeDigest:
        if code_of(place) is None and not isinstance(place, type):
            raise not_python(place, "callable_deps")
        if self._reach is None:
            # Other modes do without it.
            from consist.identity.reach import Reach

            self._reach = Reach(self.project_root, self._loaded)
        found = self._reach.of(place, config)
        added = extra_deps(extra, self.project_root, self._digest_path)
        known = self._digests.get(id(found))
        if known is not None and known[0] is found and known[1].extra_deps == added:
            return known[1]
        made = CodeDigest(
            code_digest("callable_deps", found.digest, found.name, extra=added),
            "callable_deps",
            found.digest,
            found.name,
            None,
            extra_deps=added,
            parts=kept_parts({**added_parts(NOTHING, added), **found.parts}),
            unresolved=found.unresolved,
            files=found.files,
        )
        if len(self._digests) >= _MOST_REACHED:
            self._digests.clear()
        self._digests[id(found)] = found, made
        return made

    def repository(self) -> RepositoryState:
        """Return the state of the project in git, taken once.

        Raises
        ------
        CodeIdentityUnavailableError
            If it has none; see :func:`.repository.repo_git`.
        """
        if self._repository is None:
            try:
                self._repository = repository_state(
                    self.project_root, self._is_excluded, self._digest_path
                )
            except CodeIdentityUnavailableError as error:
                self._repository = error
        if isinstance(self._repository, CodeIdentityUnavailableError):
            raise self._repository.with_traceback(None)
        return self._repository

    def _bare(self, place: Place, mode: str) -> CodeDigest:
        """Return the identity of what does not change while the code is loaded."""
        code, name = code_of(place), qualified_name(place)
        key = (id(code), mode, name)
        known = self._known.get(key)
        if known is not None and known[0] is code:
            return known[1]
        source, value = _source(place, mode), self._value(place, mode)
        found = CodeDigest(
            code_digest(mode, value, name, source),
            *(mode, value, name, source),
            parts=kept_parts(self._parts(place, mode, value, name, source)),
        )
        if code is not None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = code, found
        return found

    def _value(self, place: Place, mode: str) -> str:
        if mode == "repo_git":
            return self.repository().digest
        if mode == "callable_source":
            return source_digest(place)
        return module_digest(place, self._digest_path)

    def _parts(
        self, place: Place, mode: str, value: str, name: str, source: str | None
    ) -> dict[str, str]:
        """Return what the identity of loaded code was made of, by label."""
        file = file_of(place)
        shown = None if file is None else _in_project(file, self.project_root)
        kind = "block" if isinstance(place, FrameType) else "callable"
        label = f"{kind} {name}" if shown is None else f"{kind} {name} in {shown}"
        parts = {label: source or "not written in Python"}
        if mode == "repo_git":
            parts |= self.repository().parts
        elif mode == "callable_module":
            parts[f"cell of {name}" if shown is None else f"file {shown}"] = value
        return parts


def added_parts(carried: Carried, extra: ExtraDeps) -> dict[str, str]:
    """Return what a callable carries and what the user added, by label."""
    parts = {f"carried {label}": text for label, text in carried.values.items()}
    return parts | {f"extra dep {path}": digest for path, digest in extra}


def _in_project(file: str, root: Path) -> str:
    """Return the name of a file as the project knows it; its last part where it lies outside."""
    path = Path(file)
    with suppress(ValueError):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return path.name


def code_digest(
    mode: str,
    value: str,
    qualname: str,
    source: str | None = None,
    carried: Carried = NOTHING,
    extra: ExtraDeps = (),
) -> str:
    """Return the digest of everything that makes the identity of a piece of code."""
    return digest("code", mode, value, qualname, source, carried.values, extra)


def _source(place: Place, mode: str) -> str | None:
    try:
        return source_digest(place)
    except CodeIdentityUnavailableError:
        if mode != "repo_git":
            raise
        return None


def extra_deps(
    paths: Iterable[PathLike],
    root: PathLike | None = None,
    digest_path: DigestFile = digest_path,
) -> ExtraDeps:
    """Return name and digest of files and directories that the user adds to the code identity.

    Relative paths start from the current directory. A path below ``root`` is named relative to
    it, so that the identity is the same wherever the project lies.

    Raises
    ------
    InputMissing
        If a path does not exist.
    """
    return tuple(sorted({_dep(os.fspath(path), root, digest_path) for path in paths}))


def _dep(path: str, root: PathLike | None, digest_path: DigestFile) -> tuple[str, str]:
    absolute = Path(path).absolute()
    inside = root is not None and absolute.is_relative_to(Path(root).absolute())
    name = absolute.relative_to(Path(root).absolute()) if root and inside else Path(path)
    try:
        return name.as_posix(), digest_path(os.fspath(absolute))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissing("code_identity_extra_deps", path) from error
