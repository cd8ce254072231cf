"""The memo of digests: a file that did not change is not read again.

A digest is kept under the file's path with its size, inode and times of modification and of status
change. The last one is set by the system alone, so that a file whose size and time were put
back is still seen to have changed. What this cannot see is a program that keeps a file mapped
into memory and writes to it while we look.
"""
# ruff: noqa: PTH100, PTH116  # paths are text here, see bounds.py

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Literal, TypeAlias, TypeVar

from consist.errors import IdentityError, InvalidOption, hint
from consist.files.memo_file import MemoFile
from consist.files.stamps import glance, line_of, manifest_of, settle, settle_folder, stamp_of
from consist.identity import files as identity
from consist.identity.files import Entry
from consist.types import PathLike

Strategy: TypeAlias = Literal["full", "fast"]
V = TypeVar("V")

_ATTEMPTS = 3


class Memo:
    """Digests of files and folders, computed once as long as they stay unchanged.

    Safe to share between threads; a forked child goes on with what its parent knew.

    Parameters
    ----------
    path : str or path, optional
        SQLite file that keeps digests between processes, created when there is something to
        keep. If it cannot be used, digests are computed as if there were none.
    strategy : {"full", "fast"}, default "full"
        ``"fast"`` never reads: its digests are made of size and time of modification and begin
        with ``"fast:"``.
    digest_file : callable, optional
        Computes the digest of a file; by default the SHA-256 of its bytes, in hex.
    capacity : int, default 100_000
        Files whose digests are held in memory.

    Notes
    -----
    A digest is used but not kept if the file was changed so shortly before it was read that a
    further change could leave no trace in its times: 20 ms on local file systems, 2.5 s on
    shared ones and on those that keep full seconds. Large files are worth waiting for instead.
    """

    def __init__(
        self,
        path: PathLike | None = None,
        *,
        strategy: Strategy = "full",
        digest_file: Callable[[str], str] = identity.file_digest,
        capacity: int = 100_000,
    ) -> None:
        if strategy not in {"full", "fast"}:
            raise InvalidOption("hashing_strategy", strategy, ("full", "fast"))
        self._fast = strategy == "fast"
        self._digest_file = digest_file
        self._capacity = capacity
        self._known: dict[str, tuple[int, int, int, int, str]] = {}
        self._folders: dict[str, tuple[str, str]] = {}
        self._file = MemoFile(None if path is None else os.path.abspath(path))
        self._other: Memo | None = None

    @property
    def strategy(self) -> Strategy:
        """How files are digested."""
        return "fast" if self._fast else "full"

    # ------------------------------------------------------------ questions

    def digest(self, path: PathLike) -> str:
        """Return the digest of a file, or of a folder as :meth:`directory` does.

        Raises
        ------
        FileNotFoundError
            If there is nothing at ``path``.
        IdentityError
            If it cannot be read, or keeps changing while it is read.
        """
        name = os.fspath(path)
        status = os.stat(name)
        known = self._known.get(name)
        if (
            known is not None
            and known[0] == status.st_mtime_ns
            and known[1] == status.st_ctime_ns
            and known[2] == status.st_size
            and known[3] == status.st_ino
        ):
            return known[4]
        if _is_folder(status):
            return self.directory(name)
        return self._unread(name, status) or self._read(name, status)

    def content(self, path: PathLike, kind: str, compute: Callable[[str], str]) -> str:
        """Return the digest of what a file says, computed again only where the file changed.

        Parameters
        ----------
        path : str or path
            The file.
        kind : str
            What computes the digest; digests of different kinds are kept apart.
        compute : callable
            Computes it from the path.

        Raises
        ------
        FileNotFoundError
            If there is nothing at ``path``.
        IdentityError
            If the file keeps changing while it is read.
        """
        name, status = os.fspath(path), os.stat(path)
        key, stamp = f"{name}#{kind}", stamp_of(status)
        known = self._known.get(key)
        if known is not None and known[:4] == stamp:
            return known[4]
        stored = self._file.find(f"{os.path.abspath(name)}#{kind}")
        if stored is not None and stored[0] == stamp:
            _remember(self._known, key, (*stamp, stored[1]), self._capacity)
            return stored[1]
        return self._read(name, status, compute, f"#{kind}")

    def digest_many(
        self, paths: Iterable[PathLike], progress: Callable[[int], None] | None = None
    ) -> list[str]:
        """Return the digests of many files or folders in their order, reading in parallel.

        Parameters
        ----------
        paths : iterable of str or path
            What to digest.
        progress : callable, optional
            Called with the size of each file that is done, also from other threads.

        Raises
        ------
        FileNotFoundError, IdentityError
            For the first path that fails, as :meth:`digest` does.
        """
        names = [os.fspath(path) for path in paths]
        if len(names) == 1 and progress is None:
            return [self.digest(names[0])]
        statuses = {name: os.stat(name) for name in names}
        digests = {name: self._unread(name, status) for name, status in statuses.items()}
        unknown = [name for name, digest in digests.items() if digest is None]
        report = progress or _ignore

        def read(name: str) -> str:
            status = statuses[name]
            found = self.directory(name) if _is_folder(status) else self._read(name, status)
            report(status.st_size)
            return found

        for name in digests.keys() - set(unknown):
            report(statuses[name].st_size)
        sizes = [statuses[name].st_size for name in unknown]
        digests.update(zip(unknown, identity.digest_many(unknown, read, sizes=sizes), strict=True))
        return [digests[name] or "" for name in names]

    def directory(self, path: PathLike) -> str:
        """Return the digest of a folder: of names and contents of all that it holds.

        One ``stat`` for each entry tells whether anything changed; then only changed files are
        read.

        Raises
        ------
        FileNotFoundError, NotADirectoryError
            If there is no such folder.
        IdentityError
            If something in it cannot be read, or keeps changing while it is read.
        """
        name = os.fspath(path)
        known = self._folders.get(name)
        if known is None and not self._fast:
            known = self._file.find_folder(os.path.abspath(name))
        if known is None or glance(name) != known[0]:
            return self._read_folder(name)
        _remember(self._folders, name, known, self._capacity)
        return known[1]

    def matches(self, path: PathLike, digest: str) -> bool:
        """Whether what lies at ``path`` has this digest, whichever strategy made it.

        Nothing there, or nothing readable, does not match.
        """
        fast = digest.startswith(identity.FAST)
        try:
            found = (self if fast == self._fast else self._twin()).digest(path)
            return found == digest or (fast and self._vouches(path, digest))
        except (OSError, IdentityError):
            return False

    def _twin(self) -> Memo:
        """Return the memo of the other strategy, for what was recorded under that one."""
        if self._other is None:
            self._other = Memo(strategy="full" if self._fast else "fast")
        return self._other

    def vouch(self, path: PathLike, digest: str) -> None:
        """Let a file count as having ``digest`` for as long as it stays as it is now.

        For a file that was made again from its rows: it says the same as the recorded one,
        perhaps in other bytes.

        Raises
        ------
        FileNotFoundError
            If there is nothing at ``path``.
        """
        name = os.fspath(path)
        status, _ = settle(name, os.stat(name))
        stamp = stamp_of(status)
        _remember(self._known, name, (*stamp, digest), self._capacity)
        self._file.put(os.path.abspath(name), stamp, digest)

    def _vouches(self, path: PathLike, digest: str) -> bool:
        """Whether a file whose digest is not computed from its bytes was vouched for."""
        name = os.fspath(path)
        stamp, known = stamp_of(os.stat(name)), self._known.get(name)
        found = self._file.find(os.path.abspath(name)) if known is None else (known[:4], known[4])
        return found is not None and found == (stamp, digest)

    # ------------------------------------------------------------ life

    def flush(self) -> None:
        """Write new digests to the file."""
        self._file.flush()

    def close(self) -> None:
        """Write new digests to the file and close it; it opens again when it is needed."""
        self._file.close()

    # ------------------------------------------------------------ one file

    def _unread(self, name: str, status: os.stat_result) -> str | None:
        """Return the digest of a file if it can be had without reading it."""
        if _is_folder(status):
            return None
        if self._fast:
            return identity.fast_digest(status)
        stamp, known = stamp_of(status), self._known.get(name)
        if known is not None and known[:4] == stamp:
            return known[4]
        stored = self._file.find(os.path.abspath(name))
        if stored is None or stored[0] != stamp:
            return None
        _remember(self._known, name, (*stamp, stored[1]), self._capacity)
        return stored[1]

    def _read(
        self,
        name: str,
        status: os.stat_result,
        compute: Callable[[str], str] | None = None,
        suffix: str = "",
    ) -> str:
        """Digest a file that does not change meanwhile, and keep the digest under its name."""
        for _ in range(_ATTEMPTS):
            before, calm = settle(name, status)
            found = (compute or self._digest_file)(name)
            status = os.stat(name)
            if (stamp := stamp_of(status)) == stamp_of(before):
                if calm:
                    _remember(self._known, name + suffix, (*stamp, found), self._capacity)
                    self._file.put(os.path.abspath(name) + suffix, stamp, found)
                return found
        raise _restless(name)

    # ------------------------------------------------------------ one folder

    def _read_folder(self, name: str) -> str:
        for _ in range(_ATTEMPTS):
            entries, calm = settle_folder(name, identity.scan_directory(name))
            manifest = manifest_of(entries)
            try:
                contents = self._contents(name, entries)
                found = identity.tree_digest(name, entries, contents)
            except FileNotFoundError:
                continue  # something in it was removed; the next scan fails if all of it was
            if (glance(name) or manifest_of(identity.scan_directory(name))) == manifest:
                if calm:
                    self._keep_folder(name, (manifest, found), entries, contents)
                return found
        raise _restless(name)

    def _contents(self, name: str, entries: Sequence[Entry]) -> dict[str, str]:
        """Return the digest of each file in a folder, of known ones without reading them."""
        files = [entry for entry in entries if entry.kind == "file"]
        if self._fast:
            return {entry.relative: identity.fast_digest(entry.stat) for entry in files}
        if kept := self._file.folder_contents(os.path.abspath(name)):
            lines = {entry.relative: line_of(entry) for entry in files}
            contents = {name: kept[line] for name, line in lines.items() if line in kept}
            files = [entry for entry in files if entry.relative not in contents]
        else:
            contents = {}
        read = identity.digest_many(
            [f"{name}/{entry.relative}" for entry in files],
            self._digest_file,
            sizes=[entry.stat.st_size for entry in files],
        )
        contents.update(zip((entry.relative for entry in files), read, strict=True))
        return contents

    def _keep_folder(
        self,
        name: str,
        known: tuple[str, str],
        entries: Iterable[Entry],
        contents: dict[str, str],
    ) -> None:
        _remember(self._folders, name, known, self._capacity)
        if not self._fast:
            files = (entry for entry in entries if entry.kind == "file")
            kept = {line_of(entry): contents[entry.relative] for entry in files}
            self._file.put_folder(os.path.abspath(name), *known, kept)


# ---------------------------------------------------------------- memory


def _is_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _restless(name: str) -> IdentityError:
    error = IdentityError(f"{name} changes while it is read")
    return hint(error, "wait until whatever writes it has finished")


def _remember(known: dict[str, V], name: str, value: V, capacity: int) -> None:
    """Keep a value; when there are too many, the tenth that was kept first makes room."""
    if len(known) >= capacity and name not in known:
        for old in list(islice(known, capacity // 10 + 1)):
            known.pop(old, None)
    known[name] = value


def _ignore(_: int) -> None:
    pass
