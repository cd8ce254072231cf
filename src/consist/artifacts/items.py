"""What is to be logged: a file that somebody names, or an artifact that was recorded before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from consist.artifacts.keys import check_key
from consist.errors import InvalidKey, UsageError, WrongType, a_kind, hint
from consist.hot.schemas import Profile
from consist.identity import plain
from consist.models.record import ArtifactFacetRecord, ArtifactRecord, storable
from consist.types import ArtifactRef, PathLike, is_mapping, is_path

if TYPE_CHECKING:
    from consist.workspace import Workspace


_LONGEST_NAME = 255


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be recorded, and what the caller says of it.

    ``content_hash`` replaces the digest of the bytes; with ``validate`` it is compared with them,
    with ``force`` it stands even where the record says otherwise. ``anywhere`` lets an input be
    the latest artifact of the same content, wherever that lies.
    """

    path: str
    key: str
    driver: str | None = None
    table_path: str | None = None
    array_path: str | None = None
    content_hash: str | None = None
    force: bool = False
    validate: bool = False
    anywhere: bool = False
    meta: Mapping[str, Any] = {}
    facet: ArtifactFacetRecord | None = None
    profile: Profile | None = None


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that was recorded before, and what the caller says of it now."""

    record: ArtifactRecord
    name: str | None = None
    meta: Mapping[str, Any] = {}
    facet: ArtifactFacetRecord | None = None
    profile: Profile | None = None

    @property
    def key(self) -> str:
        """The key that is asked for; without one, that it was recorded under."""
        return self.name or self.record.key


Item = Named | Linked


def item_of(
    ws: Workspace,
    path: ArtifactRef,
    key: str | None,
    *,
    meta: Mapping[str, Any],
    facet: ArtifactFacetRecord | None,
    force: bool = False,
    validate: bool = False,
    anywhere: bool = False,
    stated: Mapping[str, str | None],
    profile: Profile | None = None,
) -> Item:
    """Return what is to be logged, with everything that the caller says of it.

    ``stated`` are facts of the file, which an artifact that was recorded before has already.
    """
    facts = {name: _text(name, value) for name, value in stated.items() if value is not None}
    known = plain_meta(meta)
    record = recorded(path)
    if record is not None:
        other = {name: value for name, value in facts.items() if value != _fact(record, name)}
        if other:
            raise UsageError(f"artifact {record.key!r} is recorded with another {', '.join(other)}")
        return Linked(record=record, name=key, meta=known, facet=facet, profile=profile)
    if not is_path(path):
        raise WrongType(f"cannot log {a_kind(path)}: pass a path or an Artifact")
    if key is None:
        problem = InvalidKey(None, f"is needed to log the path {os.fspath(path)!r}")
        raise hint(problem, "pass key=, the name that later steps ask for")
    return Named(
        path=local_path(ws, path),
        key=check_key(key),
        force=force,
        validate=validate,
        anywhere=anywhere,
        meta=known,
        facet=facet,
        profile=profile,
        **facts,
    )


def plain_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata of an artifact as plain data.

    Raises
    ------
    TypeError
        If they are no mapping by text, or hold something that has no plain form.
    """
    if not is_mapping(cast("object", meta)):
        raise WrongType(f"metadata are {a_kind(meta)}: pass a mapping")
    return {
        _text("metadata key", name): plain(value, f"metadata {name!r}")
        for name, value in meta.items()
    }


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise WrongType(f"{what}={value!r} is not text")
    if storable(value) != value:
        raise UsageError(f"{what}={value!r} holds what is no character")
    return value


def _fact(record: ArtifactRecord, name: str) -> str | None:
    return record.hash if name == "content_hash" else getattr(record, name)


def recorded(source: object) -> ArtifactRecord | None:
    """Return the record of something that was recorded before, or ``None`` for a path."""
    if isinstance(source, ArtifactRecord):
        return source
    to_record: Callable[[], ArtifactRecord] | None = getattr(source, "to_record", None)
    return None if to_record is None else to_record()


def local_path(ws: Workspace, path: PathLike) -> str:
    """Return the absolute path of what a caller wrote: a path, or a URI of a mount."""
    text = os.fspath(path)
    if not text:
        raise UsageError("a path is empty")
    if "\0" in text:
        raise UsageError(f"the path {text[:80]!r} contains a NUL, which no file name can")
    names = text.split("/") if len(text) * 4 > _LONGEST_NAME else ()
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in names):
        problem = UsageError(f"a name in {text[:80]!r}… is longer than {_LONGEST_NAME} bytes")
        raise hint(problem, "no file system takes one; give the file a shorter name")
    if "://" in text:
        return _mounted(ws, text)
    return os.path.abspath(text)  # noqa: PTH100 - links stay as the caller wrote them


def _mounted(ws: Workspace, uri: str) -> str:
    scheme = uri.partition("://")[0]
    if scheme not in {*ws.files.mounts.roots, "workspace", "file"}:
        problem = UsageError(
            f"{uri!r} names the mount {scheme!r}, which this tracker does not have"
        )
        known = ", ".join(sorted(ws.files.mounts.roots)) or "none"
        raise hint(problem, f"pass mounts={{{scheme!r}: folder}} to Tracker; it has {known}")
    return ws.files.mounts.resolve_uri(uri)
