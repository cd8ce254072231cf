"""One readable JSON file per run, and the latest one beside them.

``<run_dir>/consist_runs/<run id>.json`` for every run and ``<run_dir>/consist.json`` for the run
that was written last. A snapshot is the same document as the journal's record, indented; the whole
database can be rebuilt from snapshots alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from consist.errors import SnapshotMissing, StoreUnwritable, hint
from consist.files.atomic import write_atomic
from consist.files.places import RunPlaces
from consist.models.changes import changed_document, own_status
from consist.models.record import (
    NULL,
    Change,
    PackagesEvent,
    RunDocument,
    decode_document,
    encode,
    indent,
    replace,
)

FOLDER = "consist_runs"
PACKAGES = "packages"
"""Folder below it, with the packages of each environment."""


def write_snapshot(places: RunPlaces, run_id: str, document: bytes, *, latest: bool = True) -> None:
    """Write the snapshot of a run.

    Parameters
    ----------
    places : RunPlaces
        Layout of the run folder.
    run_id : str
        Id as recorded.
    document : bytes
        The encoded :class:`~consist.models.record.RunDocument`.
    latest : bool, default True
        Whether to make it the latest of its run folder as well.

    Raises
    ------
    StoreUnwritable
        If a file cannot be written; the earlier snapshot stays whole.
    """
    text = indent(document)
    write_atomic(places.snapshot_path(run_id), text)
    if latest:
        write_atomic(places.latest_path, text)


def read_snapshot(run_dir: str | Path, run_id: str) -> RunDocument:
    """Read the snapshot of a run.

    Raises
    ------
    SnapshotMissing
        If there is none, or it cannot be read as one.
    """
    return load_snapshot(Path(RunPlaces(run_dir).snapshot_path(run_id)), run_id)


def first_snapshot(
    run_dirs: Iterable[str | None], run_id: str, uid: str | None = None
) -> RunDocument | None:
    """Return the snapshot of a run from the first of some folders that has it.

    ``uid`` is the internal id of the run, where that is known: folders may be shared by stores.
    """
    for run_dir in run_dirs:
        try:
            document = None if run_dir is None else read_snapshot(run_dir, run_id)
        except SnapshotMissing:
            continue
        if document is not None and uid in {None, document.run.uid}:
            return document
    return None


def load_snapshot(path: Path, run_id: str) -> RunDocument:
    """Read one snapshot file.

    Raises
    ------
    SnapshotMissing
        If it is not there, or cannot be read as one.
    """
    try:
        return _compacted(decode_document(path.read_bytes()))
    except FileNotFoundError:
        raise SnapshotMissing(run_id, str(path)) from None
    except (OSError, msgspec.DecodeError) as error:
        problem = SnapshotMissing(run_id, str(path))
        raise hint(problem, f"the file is there but cannot be read: {error}") from error


def _compacted(document: RunDocument) -> RunDocument:
    """Return the document without the line breaks that its embedded parts have in the file."""
    return replace(
        document,
        config=_compact(document.config),
        cached_run=_compact(document.cached_run),
        extra=replace(document.extra, environment=_compact(document.extra.environment)),
    )


def _compact(part: msgspec.Raw) -> msgspec.Raw:
    # Else it would not count as absent, and be written.
    return NULL if part == NULL else msgspec.Raw(msgspec.json.format(part, indent=-1))


def iter_snapshots(run_dir: str | Path) -> Iterator[RunDocument]:
    """Yield every readable snapshot of a run folder; empty and torn ones are passed over."""
    folder = Path(run_dir) / FOLDER
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))  # noqa: PTH208
    except OSError:
        return
    for name in names:
        try:
            yield load_snapshot(folder / name, name)
        except SnapshotMissing:
            continue


def refresh_snapshot(run_dir: str | Path, document: RunDocument) -> bool:
    """Rewrite the snapshot of a run if it lags behind ``document``; return whether it did.

    What it says of changes stays. The latest run of the folder stays the latest.
    """
    places = RunPlaces(run_dir)
    path = Path(places.snapshot_path(document.run.id))
    if not places.run_dir.is_dir() or not _lags(path, document):
        return False
    _rewrite(places, with_changes_in(path, document))
    return True


def with_changes_in(path: Path, document: RunDocument) -> RunDocument:
    """Return a document with the changes that the snapshot of the same run in ``path`` tells of."""
    try:
        known = load_snapshot(path, document.run.id)
    except SnapshotMissing:
        return document
    same = known.run.uid == document.run.uid
    return changed_document(document, known.extra.changes) if same else document


def tell_snapshot(run_dir: str | Path, run_id: str, uid: str, change: Change) -> bool:
    """Let the snapshot of a run tell of a change; return whether it is there and could be written.

    Others must not write it meanwhile.
    """
    places = RunPlaces(run_dir)
    try:
        known = load_snapshot(Path(places.snapshot_path(run_id)), run_id)
        if known.run.uid != uid:
            return False
        document = changed_document(known, (change,))
        if document is not known:
            _rewrite(places, document)
    except (SnapshotMissing, StoreUnwritable, OSError):
        return False
    return True


def write_packages(places: RunPlaces, event: PackagesEvent) -> None:
    """Keep the packages of an environment beside the snapshots of its runs, once."""
    path = Path(places.run_dir, FOLDER, PACKAGES, f"{event.id}.json")
    if not path.exists():
        write_atomic(path, indent(encode(event)))


def iter_packages(run_dir: str | Path) -> Iterator[PackagesEvent]:
    """Yield the packages that are kept in a run folder; what cannot be read is passed over."""
    for path in sorted(Path(run_dir, FOLDER, PACKAGES).glob("*.json")):
        with suppress(OSError, msgspec.DecodeError):
            yield msgspec.json.decode(path.read_bytes(), type=PackagesEvent)


def _rewrite(places: RunPlaces, document: RunDocument) -> None:
    path = Path(places.snapshot_path(document.run.id))
    text = indent(encode(document))
    write_atomic(path, text)
    if _is_of(Path(places.latest_path), document):
        write_atomic(places.latest_path, text)


def _lags(path: Path, document: RunDocument) -> bool:
    try:
        known = load_snapshot(path, document.run.id)
    except SnapshotMissing:
        return True
    if known.run.uid != document.run.uid:
        return False
    status = own_status(known.run.status, known.run.meta)
    told = {change.id for change in known.extra.changes}
    return (
        status == "running"
        or known.run.updated_at < document.run.updated_at
        or not told.issuperset(change.id for change in document.extra.changes)
    )


def _is_of(path: Path, document: RunDocument) -> bool:
    try:
        return load_snapshot(path, document.run.id).run.uid == document.run.uid
    except SnapshotMissing:
        return False
