"""The state of a project in git, as code identity: the commit and everything that departs from it.

One ``git status`` tells all of it. Files that git ignores are not seen, nor are those that git was
told to take for unchanged (``assume-unchanged``, ``skip-worktree``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from consist.errors import CodeIdentityUnavailableError, hint
from consist.identity.canonical import digest
from consist.identity.files import DigestFile, digest_many, file_digest

if TYPE_CHECKING:
    from subprocess import CompletedProcess

SOURCE_SUFFIXES = frozenset(
    """
    .bash .bat .c .cc .cfg .conf .cpp .cs .cu .cxx .f .f03 .f08 .f77 .f90 .f95 .for .gms .go .groovy
    .h .hh .hpp .hxx .ini .j2 .java .jinja .jinja2 .jl .js .kt .lua .m .mako .mod .nf .pl .proto
    .ps1 .pxd .pxi .py .pyi .pyx .r .rs .scala .sh .smk .sql .stan .toml .ts .yaml .yml
    """.split()  # noqa: SIM905  (sixty quoted words read worse)
)
"""Suffixes, in lower case, of what people write by hand to make a program do what it does.

Source in the languages of the field, templates and hand-written settings. JSON, CSV and XML are
not among them: an untracked file of these is most often something that a run has written, and
would make every later run a miss. A *tracked* file counts whatever its suffix, and a file that a
step reads belongs to its inputs or to ``identity_inputs``.
"""

COMMIT = "commit"
"""Label of the commit among the parts of a state."""

MAX_UNTRACKED = 1_000_000
"""Size in bytes above which an untracked file is taken for data."""

_STATUS = (
    *("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "-z", "--no-renames"),
    *("--untracked-files=all", "--ignored=matching", "--ignore-submodules=none", "--", "."),
)
# What a git hook or an alias leaves in the environment speaks of its repository, not of ours.
_FOREIGN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"),
)
_NOTEBOOK = ".ipynb"
_FIELDS_BEFORE_PATH = {b"1": 8, b"2": 9, b"u": 10}


class RepositoryState(NamedTuple):
    """A project's state in git.

    Attributes
    ----------
    digest : str
        What it counts as; see :func:`repo_git`.
    parts : mapping of str to str
        What the digest was made of: ``commit`` → its name, ``file <path>`` or
        ``untracked file <path>`` → the digest of a file that departs from it, or ``deleted``.
    """

    digest: str
    parts: Mapping[str, str]


class _Rules(NamedTuple):
    is_excluded: Callable[[Path], bool]
    suffixes: frozenset[str]
    largest: int
    digest_file: DigestFile


class _Change(NamedTuple):
    path: str  # relative to the top of the repository
    tracked: bool


def nothing_excluded(_path: Path) -> bool:
    """Exclude no path."""
    return False


def repo_git(
    project_root: str | os.PathLike[str],
    is_excluded: Callable[[Path], bool] = nothing_excluded,
    source_suffixes: frozenset[str] = SOURCE_SUFFIXES,
    max_untracked: int = MAX_UNTRACKED,
    digest_file: DigestFile = file_digest,
) -> str:
    """Return the digest of a project's state in git.

    That is the commit, the content of every tracked file that departs from it (notebooks, which
    change by being looked at, excepted), and untracked source files that git does not ignore. Only
    what lies under the project root counts. Submodules and repositories inside count by the same
    rule. Without changes, the digest depends on the commit alone.

    Parameters
    ----------
    project_root
        Folder of the project: the top of a work tree, or a folder in it.
    is_excluded
        Tells of an absolute path under ``project_root`` that it is not code: run folders, the
        database, recorded artifacts.
    source_suffixes
        Suffixes, in lower case, of untracked files that count.
    max_untracked
        Size in bytes above which an untracked file is taken for data.
    digest_file
        What digests one file.

    Raises
    ------
    CodeIdentityUnavailableError
        If git is not installed, or the project is in no work tree, or git ignores all of it.
    IdentityError
        If a changed file cannot be read.
    """
    rules = _Rules(is_excluded, source_suffixes, max_untracked, digest_file)
    return _state(Path(project_root).absolute(), rules).digest


def repository_state(
    project_root: str | os.PathLike[str],
    is_excluded: Callable[[Path], bool] = nothing_excluded,
    digest_file: DigestFile = file_digest,
) -> RepositoryState:
    """Return the digest of a project's state in git with what it was made of.

    Parameters and errors are those of :func:`repo_git`.
    """
    rules = _Rules(is_excluded, SOURCE_SUFFIXES, MAX_UNTRACKED, digest_file)
    return _state(Path(project_root).absolute(), rules)


def _state(root: Path, rules: _Rules) -> RepositoryState:
    output = _git_status(root)
    top, real = _top_of(root), root.resolve()
    _refuse_ignored(output, real, top)
    found: dict[str, str] = {}
    files: list[tuple[str, Path]] = []
    untracked: set[str] = set()
    for change in _changes(output):
        path = root / os.path.relpath(top / change.path, real)
        name = path.relative_to(root).as_posix()
        if rules.is_excluded(path) or not _counts(path, change, rules):
            continue
        if not change.tracked:
            untracked.add(name)
        if path.is_symlink():
            found[f"{name} ->"] = str(path.readlink())
        if path.is_file():
            files.append((name, path))
        elif path.is_dir() and not path.is_symlink():
            found[name] = _state(path, rules).digest
        else:
            found[name] = "deleted"
    contents = digest_many([path for _, path in files], rules.digest_file)
    found.update(zip((name for name, _ in files), contents, strict=True))
    head = _head(output)
    parts = {COMMIT: head}
    for name, content in sorted(found.items()):
        parts[f"{'untracked file' if name in untracked else 'file'} {name}"] = content
    return RepositoryState(digest("repo", head, sorted(found.items())), MappingProxyType(parts))


def _counts(path: Path, change: _Change, rules: _Rules) -> bool:
    suffix = path.suffix.lower()
    if change.tracked:
        return suffix != _NOTEBOOK
    if path.is_dir():
        return change.path.endswith("/")  # a repository inside; not a link to a folder
    return suffix in rules.suffixes and path.is_file() and path.stat().st_size <= rules.largest


# ---------------------------------------------------------------- git


def changed_between(project_root: str | os.PathLike[str], old: str, new: str) -> list[str] | None:
    """Return the files under a project root that differ between two commits, by name.

    ``None`` if git cannot tell, as where it does not have one of them any more.
    """
    asked = ("diff", "--name-only", "--no-renames", "--relative", "-z", old, new, "--", ".")
    if old.startswith("-") or new.startswith("-"):  # they come from a record, and are no options
        return None
    try:
        done = _git(Path(project_root), asked)
    except CodeIdentityUnavailableError:
        return None
    if done.returncode:
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _git(root: Path, arguments: Iterable[str]) -> CompletedProcess[bytes]:
    import subprocess  # 4 ms, and many processes only ever run callables by their source

    environment = {name: text for name, text in os.environ.items() if name not in _FOREIGN}
    try:
        return subprocess.run(
            ["git", "-C", os.fspath(root), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except OSError as error:
        raise _unavailable(f"git cannot be started ({error.strerror or error})") from error


def _git_status(root: Path) -> list[bytes]:
    done = _git(root, _STATUS)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise _unavailable(f"git status in {root} says: {said.removeprefix('fatal: ')}")
    return done.stdout.split(b"\0")


def _top_of(root: Path) -> Path:
    real = root.resolve()
    for folder in (real, *real.parents):
        if (folder / ".git").exists():
            return folder
    raise _unavailable(f"no .git in {root} or above it")


def _head(output: list[bytes]) -> str:
    mark = b"# branch.oid "
    return next(field[len(mark) :].decode() for field in output if field.startswith(mark))


def _changes(output: list[bytes]) -> Iterator[_Change]:
    fields = iter(output)
    for field in fields:
        kind = field[:1]
        if kind in _FIELDS_BEFORE_PATH:
            yield _Change(
                os.fsdecode(field.split(b" ", _FIELDS_BEFORE_PATH[kind])[-1]), tracked=True
            )
        if kind == b"2":  # a rename, which names the old path next
            yield _Change(os.fsdecode(next(fields)), tracked=True)
        if kind == b"?":
            yield _Change(os.fsdecode(field[2:]), tracked=False)


def _refuse_ignored(output: list[bytes], root: Path, top: Path) -> None:
    for field in output:
        if field.startswith(b"! ") and root.is_relative_to(top / os.fsdecode(field[2:])):
            raise _unavailable(f"{root} is ignored by the repository at {top}")


def _unavailable(reason: str) -> CodeIdentityUnavailableError:
    error = CodeIdentityUnavailableError("repo_git", reason)
    return hint(
        error,
        "Put the project under git, or choose code_identity='callable_module' or "
        "'callable_source', which need a callable and no repository.",
    )
