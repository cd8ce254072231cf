"""Copy recorded bytes to where they are wanted."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.artifacts.items import local_path, recorded
from consist.artifacts.verify import changed, gone, is_guess, warn_of_guess
from consist.errors import PathEscape, UsageError, WrongType, a_kind, hint
from consist.files.bounds import within
from consist.files.transfer import check_places, copy, for_each, size_of
from consist.models.record import ArtifactRecord
from consist.progress import Advance, progress
from consist.types import LINK_MODES, ON_MISSING, PathLike, check_option, is_path

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.workspace import Workspace

logger = logging.getLogger("consist.artifacts")


class Copy(msgspec.Struct, frozen=True):
    """One artifact that is to be copied: from where its bytes are to where they are wanted."""

    record: ArtifactRecord
    source: Path
    destination: Path


def materialize(
    ws: Workspace,
    artifact: Artifact,
    destination_path: PathLike,
    *,
    on_missing: str = "warn",
    link: str = "never",
) -> str | None:
    """Copy the file or folder of an artifact to a place of your choice.

    The bytes are compared with the record first, and the copy appears whole or not at all, with
    the modification times of the original. Nothing is rebuilt from the database.

    Parameters
    ----------
    artifact : Artifact
        What to copy.
    destination_path : str or Path
        The new file or folder itself, relative to the current folder, or a URI of a mount. It may
        lie anywhere. An existing file is replaced. An existing folder is replaced whole if it is
        empty or lies in the run folder, and refused elsewhere.
    on_missing : {"warn", "raise"}
        What to do if the bytes are nowhere: log a warning and return ``None``, or raise.
    link : {"never", "hardlink", "reflink"}
        How to save space. ``"reflink"`` lets original and copy share their blocks until one of
        them is written to, where the file system can (Btrfs, XFS, APFS do not need it: there, a
        copy may do so by itself). ``"hardlink"`` gives the original a second name. That is one
        file with two names, so both become read-only, and a program that writes in place fails
        instead of changing the recorded original; one that writes a new file and renames it, as
        ours do, leaves the original alone. Whoever takes the write permission back and changes the
        file is found out: its times of change differ from the record's, so it is read again, and
        every load, materialization or run that gets the original is an error. Where the system
        cannot link, bytes are copied.

    Returns
    -------
    str or None
        The absolute destination; ``None`` if there was nothing to copy.

    Raises
    ------
    FileNotFoundError
        If the bytes are nowhere, with ``on_missing="raise"``.
    ArtifactChanged
        If they are no longer those that were recorded.
    ValueError
        If an option has a value it does not know, the destination is a symbolic link, or it holds
        something that must not be replaced.
    StoreUnwritable
        If the destination cannot be written.
    """
    check_option("on_missing", on_missing, ON_MISSING)
    check_option("link", link, LINK_MODES)
    record = recorded(artifact)
    if record is None:
        problem = WrongType(f"cannot materialize {a_kind(artifact)}")
        raise hint(problem, "pass an Artifact, such as result.outputs[key]")
    if not is_path(destination_path):
        raise WrongType(f"destination_path is {a_kind(destination_path)}, not a path")
    destination = Path(local_path(ws, destination_path))
    source = source_of(ws, record)
    if source is None:
        problem = gone(record, str(ws.path_of(record)))
        if on_missing == "raise":
            raise problem
        logger.warning("[Consist] not materialized: %s", problem)
        return None
    carry_out(ws, [Copy(record, source, destination)], link=link)
    return str(destination)


def carry_out(ws: Workspace, copies: Sequence[Copy], *, link: str = "never") -> dict[str, str]:
    """Copy everything, or nothing if any source or destination is not as it should be.

    A destination that holds the recorded bytes already is left alone.

    Returns
    -------
    dict of str to str
        Destinations by key.

    Raises
    ------
    FileGone, ArtifactChanged
        If a source is not there, or not what was recorded.
    UsageError, PathEscape
        If a destination cannot take the place it was given.
    """
    _know_digests(ws, copies)
    for item in copies:
        _check_source(ws, item)
        _check_destination(ws, item)
    due = {str(n): item for n, item in enumerate(copies) if not _is_there(ws, item, link)}
    sizes = {name: size_of(item.source) for name, item in due.items()} if len(due) > 1 else {}

    def total() -> int:
        return sum(sizes.values()) or sum(size_of(item.source) for item in due.values())

    with progress("copying", total, shown=ws.settings.progress) as advance:
        for_each(
            list(due),
            lambda name: _copy(ws, due[name], link, advance),
            [sizes.get(name, 0) for name in due],
        )
    return {item.record.key: str(item.destination) for item in copies}


def _know_digests(ws: Workspace, copies: Sequence[Copy]) -> None:
    """Read what the memo does not know, in parallel, so that checking costs one look each."""
    paths = [str(c.source) for c in copies if c.record.hash is not None and c.source.is_file()]
    if not ws.keeps or len(paths) < 2:
        return

    def total() -> int:
        return sum(Path(path).stat().st_size for path in paths)

    with progress("verifying", total, shown=ws.settings.progress) as advance:
        ws.files.memo.digest_many(paths, advance)


def _check_source(ws: Workspace, item: Copy) -> None:
    if not item.source.exists():
        raise gone(item.record, str(item.source))
    _confirm(ws, item)
    if is_guess(item.record) and not ws.files.is_same(item.source, item.record.hash):
        warn_of_guess(item.record, str(item.source))


def _confirm(ws: Workspace, item: Copy) -> None:
    """Check that the source is what was recorded, as far as can be told."""
    record, source = item.record, str(item.source)
    if not ws.keeps or record.hash is None or is_guess(record):
        return
    if not ws.files.is_same(source, record.hash):
        raise changed(ws, record, source)


def _copy(ws: Workspace, item: Copy, link: str, advance: Advance) -> None:
    copy(
        item.source,
        item.destination,
        link=link,
        confirm=lambda: _confirm(ws, item),
        progress=advance,
    )


def _is_there(ws: Workspace, item: Copy, link: str) -> bool:
    """Whether the destination holds the recorded bytes already, as a file of its own."""
    source, destination, digest = item.source, item.destination, item.record.hash
    if not ws.keeps or digest is None or is_guess(item.record) or not destination.exists():
        return False
    if link == "hardlink" or destination.samefile(source):
        return False
    if destination.is_file() and destination.stat().st_size != source.stat().st_size:
        return False
    return ws.files.is_same(str(destination), digest)


# ---------------------------------------------------------------- destinations


def _check_destination(ws: Workspace, item: Copy) -> None:
    """Refuse a destination before anything is copied, rather than halfway."""
    source, target = str(item.source), str(item.destination)
    check_places(source, target)
    for kept in (str(ws.run_dir), *(() if ws.db_path is None else (str(ws.db_path),))):
        if within(kept, target):
            raise UsageError(f"{target} holds {kept}, which a copy must not replace")
    if not os.path.lexists(target) or item.destination.samefile(item.source):
        return
    _check_not_recorded(ws, item, target)
    into, folder = item.destination.is_dir(), item.source.is_dir()
    if into and not folder:
        problem = UsageError(f"{target} is a folder, and {item.record.key!r} is a file")
        raise hint(problem, f"name the file: {item.destination / item.source.name}")
    if folder and not into:
        problem = UsageError(f"{target} is a file, and {item.record.key!r} is a folder")
        raise hint(problem, "remove the file, or name another place")
    if folder and not _may_be_replaced(ws, item):
        problem = UsageError(f"{target} is a folder that holds something else")
        raise hint(
            problem,
            "remove it, or name a new one: folders are only replaced in the run folder",
        )


def _check_not_recorded(ws: Workspace, item: Copy, target: str) -> None:
    """Refuse to take the bytes from another artifact that is still what was recorded."""
    place = ws.files.virtualize(target)
    held = ws.store.located((place.root, place.uri, None, None))
    if held is None or held.run_id is None or held.hash in {None, item.record.hash}:
        return
    if held.id != item.record.id and ws.files.is_same(target, held.hash):
        problem = UsageError(f"{target} is output {held.key!r} of run {held.run_id!r}")
        raise hint(problem, "name another place: a copy there would leave that run without it")


def _may_be_replaced(ws: Workspace, item: Copy) -> bool:
    if ws.files.mounts.contains(item.destination):
        return True
    return not any(item.destination.iterdir()) or ws.files.is_same(
        str(item.destination), item.record.hash
    )


def check_permitted(ws: Workspace, destination: Path, *, allow_external: bool) -> None:
    """Refuse a place outside the run folder, symbolic links resolved, without permission.

    Raises
    ------
    PathEscape
    """
    if allow_external or ws.files.mounts.contains(destination):
        return
    problem = PathEscape(str(destination), str(ws.run_dir))
    raise hint(problem, "pass allow_external_paths=True to copy outside the run folder")


def source_of(ws: Workspace, record: ArtifactRecord) -> Path | None:
    """Return where an artifact lies, whatever it holds by now; ``None`` if it is gone."""
    path = ws.path_of(record)
    return path if path.exists() else None
