"""From a path that somebody names to the record of an artifact."""

# ruff: noqa: PTH112, PTH114, PTH118  # paths come by the thousand here

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from consist.active import ActiveRun
from consist.artifacts.facets import facet_meta
from consist.artifacts.items import Named
from consist.errors import HashMismatch, UnsupportedFormat
from consist.files.mounts import Location
from consist.models.record import (
    ArtifactRecord,
    Direction,
    RunRecord,
    content_id,
    new_uuid,
)

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.artifacts")


def describe(
    ws: Workspace, run: ActiveRun | None, named: Sequence[Named], direction: Direction
) -> list[ArtifactRecord]:
    """Make or find the records of files.

    Every output gets a record of its own. An input whose bytes are those recorded last at its
    location is that artifact, which makes the link to its producer; any other one is new.

    Parameters
    ----------
    ws : Workspace
        The tracker.
    run : ActiveRun or None
        The run that logs them; ``None`` while its identity is still being computed.
    named : sequence of Named
        The files.
    direction : {"input", "output"}
        How the run stands to them.
    """
    now = datetime.now(UTC)
    real = _RealPaths()
    producer = run.record if run is not None and direction == "output" else None
    records: list[ArtifactRecord] = []
    twice: dict[tuple[object, ...], ArtifactRecord] = {}
    for item, digest in zip(named, digest_all(ws, named), strict=True):
        file = _look(ws, item, digest)
        if direction == "output":
            records.append(_fresh(ws, file, producer, now, real))
            continue
        same = (item.key, file.driver, file.location, item.table_path, item.array_path)
        if same not in twice:
            twice[same] = _known(ws, run, file) or _fresh(ws, file, producer, now)
        records.append(twice[same])
    return records


class _File(msgspec.Struct, frozen=True):
    """A named file as it was found."""

    item: Named
    location: Location
    driver: str
    digest: str | None


def _look(ws: Workspace, item: Named, digest: str | None) -> _File:
    driver = item.driver or ws.formats.infer_driver(item.path)
    return _File(item, ws.files.virtualize(item.path), driver, digest)


class _RealPaths:
    """Resolves symbolic links, once for each folder."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        found = os.path.join(self._folders[folder], name)
        return os.path.realpath(found) if os.path.islink(found) else found


def _fresh(
    ws: Workspace,
    file: _File,
    producer: RunRecord | None,
    now: datetime,
    real: _RealPaths | None = None,
) -> ArtifactRecord:
    item, location = file.item, file.location
    meta = dict(item.meta) | dict(facet_meta(item.facet)) | content_meta(ws, file.driver, item)
    mount = ws.files.mounts.mount_of(location.uri)
    if mount is not None:
        meta["mount_scheme"], meta["mount_root"] = mount
    if real is not None and ws.keeps:
        _add_nature(meta, item.path, real.of(item.path))
    return ArtifactRecord(
        id=new_uuid(),
        key=item.key,
        container_uri=location.uri,
        root=location.root,
        driver=file.driver,
        hash=file.digest,
        content_id=content_id(file.digest, file.driver),
        table_path=item.table_path,
        array_path=item.array_path,
        run_id=None if producer is None else producer.id,
        run_signature=None if producer is None else producer.signature,
        meta=meta,
        created_at=now,
    )


def _add_nature(meta: dict[str, Any], path: str, real_path: str) -> None:
    """Note what a later look at the record could not tell: a folder, or a way over links."""
    if real_path != path:
        meta["real_path"] = real_path
    if os.path.isdir(real_path):
        meta["artifact_kind"] = "directory"


def _known(ws: Workspace, run: ActiveRun | None, file: _File) -> ArtifactRecord | None:
    """Return the recorded artifact that an input is, if its bytes are still the recorded ones."""
    item, place = file.item, file.location
    location = (place.root, place.uri, item.table_path, item.array_path)
    known = None if run is None else run.logged_at(location)
    known = known or ws.store.located(location)
    if known is not None and file.digest is not None and known.hash == file.digest:
        # What a run produced keeps its key; a raw input under another one is another artifact.
        named = (known.key, known.driver) == (item.key, file.driver)
        if named or known.run_id is not None:
            return known
    return _equal(ws, file) if item.anywhere else None


def _equal(ws: Workspace, file: _File) -> ArtifactRecord | None:
    """Return the latest recorded artifact of the same content and part."""
    content = content_id(file.digest, file.driver)
    if content is None:
        return None
    part = (file.item.table_path, file.item.array_path)
    found = ws.store.of_content(content)
    return next((a for a in found if (a.table_path, a.array_path) == part), None)


# ---------------------------------------------------------------- digests


def content_meta(ws: Workspace, driver: str, item: Named) -> dict[str, str]:
    """Return what the driver says of the content of a file, for formats that tell it apart."""
    found = None
    if ws.keeps and ws.formats.has_digest(driver) and _must_read(item):
        found = content_digest(ws, driver, item.path)
    return {} if found is None else {"content_digest": found}


def content_digest(ws: Workspace, driver: str, path: str) -> str | None:
    """Return the digest of what a file says, however it is stored; None if nobody can tell.

    A tracker that identifies files by size and time reads none.
    """
    if not Path(path).is_file() or ws.files.memo.strategy == "fast":
        return None
    try:
        found = ws.files.memo.content(path, driver, lambda name: _told(ws, driver, name))
    except UnsupportedFormat as error:
        logger.warning("[Consist] the content of %s cannot be told: %s", path, error)
        return None
    return f"{driver}:{found}" if found else None


def _told(ws: Workspace, driver: str, path: str) -> str:
    return ws.formats.driver(driver).digest(path) or ""


def digest_all(ws: Workspace, named: Sequence[Named]) -> list[str | None]:
    """Return the digest of every file; ``None`` for what does not exist."""
    if not ws.keeps:
        return [item.content_hash for item in named]
    paths = [item.path for item in named if _must_read(item) and Path(item.path).is_file()]
    found = dict(zip(paths, ws.files.memo.digest_many(paths), strict=True))
    return [_digest(ws, item, found) for item in named]


def _must_read(item: Named) -> bool:
    return item.content_hash is None or item.validate


def _digest(ws: Workspace, item: Named, found: Mapping[str, str]) -> str | None:
    actual = found.get(item.path)
    if actual is None and _must_read(item) and Path(item.path).is_dir():
        actual = ws.files.digest(item.path)
    if item.content_hash is None:
        if actual is None:
            logger.warning("[Consist] %r is not there: %s", item.key, item.path)
        return actual
    if item.validate and actual != item.content_hash:
        raise HashMismatch(item.path, item.content_hash, actual or "nothing")
    return _override(ws, item)


def _override(ws: Workspace, item: Named) -> str | None:
    """Return the stated hash, unless the record of this location disagrees."""
    location = ws.files.virtualize(item.path)
    known = ws.store.located((location.root, location.uri, item.table_path, item.array_path))
    if item.force or known is None or known.hash in {None, item.content_hash}:
        return item.content_hash
    logger.warning(
        "[Consist] content_hash of %r differs from the recorded %s and is ignored;"
        " force_hash_override=True makes it stand",
        item.key,
        known.hash,
    )
    return known.hash
