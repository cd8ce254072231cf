"""Who a run is: its inputs, its code, its config, and the signature they make."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec

from consist import identity
from consist.artifacts.describe import describe
from consist.artifacts.items import Named, local_path, recorded
from consist.artifacts.keys import key_from
from consist.artifacts.verify import change_of, changed_input, facts_of
from consist.errors import (
    CodeDiffers,
    CodeIdentityUnavailableError,
    InputMissing,
    WrongType,
    a_kind,
    hint,
)
from consist.hot.marks import is_ingested
from consist.identity import CodeDigest, InputIdentity, RunFields, is_importable, qualified_name
from consist.models.record import ArtifactRecord
from consist.runs.arguments import FoundCode, GivenInput, RunRequest
from consist.runs.bind import binding_plan
from consist.store.locks import this_process
from consist.types import is_path

if TYPE_CHECKING:
    from consist.workspace import Workspace

_UNRESOLVED_KEPT = 100
_PACKAGE = str(Path(__file__).parent.parent)


class Input(msgspec.Struct, frozen=True):
    """A declared input and the artifact it is."""

    name: str | None
    record: ArtifactRecord
    bound: bool
    managed: bool


class Inputs(msgspec.Struct, frozen=True):
    """Every declared input, and those that are no longer what they were recorded as, by key."""

    used: tuple[Input, ...]
    changed: Mapping[str, Mapping[str, str | None]] = {}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of a run, and what is recorded about how they came about.

    A tracker that keeps nothing computes none.
    """

    used: tuple[Input, ...]
    code: str | None = None
    config: str | None = None
    inputs: str | None = None
    signature: str | None = None
    content_signature: str | None = None
    meta: Mapping[str, Any] = {}
    code_parts: Mapping[str, str] = {}
    sources: tuple[str, ...] | None = None
    binding: Mapping[str, str] = {}
    found_code: FoundCode | None = None


def identify(ws: Workspace, request: RunRequest) -> Identity:
    """Compute the identity of a run.

    Raises
    ------
    InputMissing
        If an input, or a file that counts as one, does not exist.
    InputChanged
        If an input given as an artifact has other bytes than were recorded, unless the caller
        takes it as it is.
    UnhashableValue
        If the config holds something without an identity.
    CodeIdentityUnavailableError
        If the identity of the code cannot be had in the mode asked for.
    """
    found = resolve_inputs(
        ws,
        request.inputs,
        request.cache.input_mismatch,
        mends=request.cache.hydration == "inputs-missing",
    )
    used = found.used
    if not ws.keeps:
        return Identity(used=used)
    if ws.loaded.look():
        ws.identity.refresh()
    sent = request.code
    code = found_code(ws, request) if sent is None else _as_sent(ws, request, sent)
    extra = _identity_inputs(ws, request.identity_inputs)
    binding = binding_plan(request)
    config = identity.config_digest(
        request.config,
        RunFields(
            model=request.model,
            year=request.year,
            iteration=request.iteration,
            cache_epoch=request.cache.epoch,
            cache_version=request.cache.version,
        ),
        extra,
        None,
        binding,
    )
    described = [_input_identity(item) for item in used]
    inputs = identity.inputs_digest(described)
    content = identity.content_digest(described)
    return Identity(
        code=code.digest,
        config=config,
        inputs=inputs,
        signature=identity.signature(code.digest, config, inputs),
        content_signature=None
        if content is None
        else identity.signature(code.digest, config, content),
        used=used,
        meta=_notes(code.notes, consist_hash_inputs=extra, changed_inputs=found.changed),
        code_parts=code.parts,
        sources=code.files,
        found_code=code,
        binding=binding,
    )


# ---------------------------------------------------------------- inputs


def _notes(known: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    return {**known, **{name: dict(note) for name, note in more.items() if note}}


def resolve_inputs(
    ws: Workspace,
    given: tuple[GivenInput, ...],
    mismatch: str = "error",
    *,
    mends: bool = False,
) -> Inputs:
    """Find the artifact of every declared input; files are hashed in parallel.

    Parameters
    ----------
    ws, given
        Tracker and declared inputs.
    mismatch : {"error", "miss"}
        What to do with an artifact whose file is not the recorded one; with ``"miss"`` it is
        taken for the raw file that it is now.
    mends : bool, default False
        Whether files that were made from the database are made again where they changed.

    Raises
    ------
    InputMissing
        Naming key and path of one that does not exist. Artifacts that a run produced may be gone.
    InputChanged
        Under ``"error"``.
    """
    known: list[ArtifactRecord | None] = []
    changes: dict[str, Mapping[str, str | None]] = {}
    for item in given:
        record = _recorded(item.source)
        path = None if record is None else change_of(ws, record)
        if record is not None and path is not None and not (mends and _is_made(ws, record, path)):
            if mismatch == "error":
                raise changed_input(ws, record, path)
            changes[item.name or record.key] = _as_note(ws, record, path)
            record = None
        known.append(record)
    files = [_file(ws, i) for i, record in zip(given, known, strict=True) if record is None]
    described = iter(describe(ws, None, files, "input"))
    used = tuple(
        _raw(item, next(described)) if record is None else _managed(item, record)
        for item, record in zip(given, known, strict=True)
    )
    return Inputs(used, changes)


def _is_made(ws: Workspace, record: ArtifactRecord, path: str) -> bool:
    """Whether a file is one that was made from the rows of an artifact."""
    return path == str(ws.restored_place(record)) and is_ingested(ws, record)


def _as_note(ws: Workspace, record: ArtifactRecord, path: str) -> dict[str, str | None]:
    names = ("path", "recorded", "found", "run_id", "overwritten_by")
    return dict(zip(names, facts_of(ws, record, path)[1:], strict=True))


def _recorded(source: object) -> ArtifactRecord | None:
    """Return the record of an artifact; one that nobody identified is the file at its path."""
    record = recorded(source)
    if record is None or (record.hash is None and record.run_id is None):
        return None
    return record


def _file(ws: Workspace, item: GivenInput) -> Named:
    record = recorded(item.source)
    if record is None and not is_path(item.source):
        problem = WrongType(f"input {item.name!r} is {a_kind(item.source)}")
        raise hint(problem, "pass a path, an Artifact, or the result of a run")
    path = local_path(ws, item.source if record is None else ws.path_of(record))
    key = item.name or key_from(Path(path).name.split(".")[0])
    if not Path(path).exists():
        problem = InputMissing(key, path)
        raise hint(problem, f"relative paths are taken from {Path.cwd()}")
    if record is None:
        return Named(path=path, key=key)
    return Named(
        path=path,
        key=record.key,
        driver=record.driver,
        table_path=record.table_path,
        array_path=record.array_path,
    )


def _managed(item: GivenInput, record: ArtifactRecord) -> Input:
    return Input(item.name, record, item.bound, managed=record.run_id is not None)


def _raw(item: GivenInput, record: ArtifactRecord) -> Input:
    return Input(item.name, record, item.bound, managed=False)


def _input_identity(item: Input) -> InputIdentity:
    record = item.record
    return InputIdentity(
        name=item.name,
        key=record.key,
        digest=record.content,
        producer=record.run_signature if item.managed else None,
        table_path=record.table_path,
        array_path=record.array_path,
    )


def _identity_inputs(ws: Workspace, labelled: Mapping[str, str]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for label, path in labelled.items():
        if not Path(path).exists():
            raise hint(InputMissing(label, path), "identity_inputs take existing files and folders")
        digests[label] = ws.files.digest(path)
    return digests


# ---------------------------------------------------------------- code


def found_code(ws: Workspace, request: RunRequest) -> FoundCode:
    """Return the identity of the code of a run, as it is loaded here.

    Raises
    ------
    CodeIdentityUnavailableError
        If it cannot be had in the mode asked for.
    """
    code, fallback = _code_digest(ws, request)
    notes: dict[str, Any] = {"code_identity": code.mode}
    if fallback is not None:
        notes["code_identity_fallback"] = fallback
    if request.cache.extra_deps:
        notes["code_identity_extra_deps"] = list(request.cache.extra_deps)
    if code.carried.unseen:
        notes["code_identity_unseen"] = list(code.carried.unseen)
    if code.unresolved:
        notes["code_identity_unresolved"] = list(code.unresolved[:_UNRESOLVED_KEPT])
    return FoundCode(digest=code.digest, parts=dict(code.parts), files=code.files, notes=notes)


def _as_sent(ws: Workspace, request: RunRequest, sent: FoundCode) -> FoundCode:
    """Return the identity of code that came from another process.

    A function that came by value is what was identified there, but what it uses was imported
    here, as is all of a function that was imported; that may be another version of it.

    Raises
    ------
    CodeDiffers
        If it is.
    """
    if request.fn is None:
        return sent
    by_value = not is_importable(request.fn)
    try:
        found = found_code(ws, request)
    except CodeIdentityUnavailableError:
        if by_value:
            return sent
        raise
    if found.digest == sent.digest:
        return sent
    labels = _imported_parts(request, found, sent) if by_value else {*found.parts, *sent.parts}
    parts = sorted(label for label in labels if found.parts.get(label) != sent.parts.get(label))
    if by_value and not parts:
        return sent
    problem = CodeDiffers(qualified_name(request.fn), this_process().host, tuple(parts[:10]))
    raise hint(problem, "restart the workers, and let them see the files that the driver sees")


def _imported_parts(request: RunRequest, found: FoundCode, sent: FoundCode) -> set[str]:
    """Return what a function that came by value uses from modules that are imported here."""
    code = None if request.fn is None else identity.code_of(request.fn)
    own = "?" if code is None else Path(code.co_filename).name
    kinds = ("constant ", "function ", "class ", "file ")
    both = found.parts.keys() & sent.parts.keys()
    return {part for part in both if part.startswith(kinds) and not part.endswith(own)}


def _code_digest(ws: Workspace, request: RunRequest) -> tuple[CodeDigest, str | None]:
    """Identify the code in the mode asked for; where there is no repository, by its module.

    The second value is why it is not the repository that identifies it.
    """
    place = request.fn or _caller()
    asked = request.cache.code_identity or ws.code_identity
    extra = request.cache.extra_deps
    try:
        return ws.identity.of(place, asked or "repo_git", extra, request.config), None
    except CodeIdentityUnavailableError as error:
        if asked is not None:
            raise
        reason = error.reason
    return ws.identity.of(place, "callable_module", extra), reason


def is_not_code(ws: Workspace, path: Path) -> bool:
    """Whether a changed file is ours or recorded data, so that it says nothing about the code."""
    text, run_dir = str(path), str(ws.run_dir)
    if text == run_dir or text.startswith(run_dir + os.sep):
        return True
    if ws.db_path is not None and text.startswith(str(ws.db_path)):
        return True
    location = ws.files.virtualize(text)
    return ws.store.located((location.root, location.uri, None, None)) is not None


def _caller() -> FrameType:
    """Return the frame of the code that uses this library."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) and not name.endswith(("contextlib.py", "functools.py")):
            return frame
        frame = frame.f_back
    raise CodeIdentityUnavailableError("callable_module", "no calling code can be found")
