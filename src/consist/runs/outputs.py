"""What a step gives back becomes recorded outputs."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from consist.active import ActiveRun
from consist.artifacts.items import Item, Linked, Named, local_path, recorded
from consist.artifacts.keys import check_key, key_from
from consist.artifacts.log import log_all
from consist.errors import (
    OutputMismatch,
    OutputMissing,
    PathEscape,
    UsageError,
    WrongType,
    a_kind,
    hint,
)
from consist.files.atomic import replacing
from consist.files.capture import DirectoryCapture, capture_keys
from consist.files.places import output_path as _output_path
from consist.files.stamps import Stamp, mark_of
from consist.formats.base import as_dataset, as_frame, is_array, is_frame
from consist.hot.schemas import OF_FRAME
from consist.runs.arguments import RunRequest
from consist.runs.folders import artifact_dir_of
from consist.types import (
    PathLike,
    is_mapping,
    is_path,
)

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from consist.formats import Driver
    from consist.models.artifact import Artifact
    from consist.workspace import Workspace

logger = logging.getLogger("consist.runs")


@dataclass(frozen=True)
class OutputCapture:
    """What a capture block found.

    Attributes
    ----------
    artifacts : list of Artifact
        Filled when the block ends.
    """

    artifacts: list[Artifact]


# ---------------------------------------------------------------- around a step


class Watch(msgspec.Struct):
    """What the files of a step looked like before it ran."""

    request: RunRequest
    capture: DirectoryCapture | None
    before: Mapping[str, Stamp | str | None]


def watch(ws: Workspace, request: RunRequest) -> Watch:
    """Look at the places where the outputs of a step will be."""
    capture = None
    if request.capture_dir is not None:
        capture = DirectoryCapture(local_path(ws, request.capture_dir), request.capture_pattern)
    places = {
        place for value in request.output_paths.values() for place in _output_places(ws, value)
    }
    return Watch(request, capture, {place: mark_of(place) for place in places})


def record_outputs(ws: Workspace, run: ActiveRun, seen: Watch, value: Any) -> None:
    """Log everything a step produced, and hold it to what it declared.

    Raises
    ------
    OutputMissing, OutputMismatch
        Under the policy ``"error"``.
    TypeError
        If the value cannot be an output.
    """
    _log_outputs(ws, run, seen, value)
    check_missing(run, seen.request)


@contextmanager
def remains_recorded(ws: Workspace, run: ActiveRun, seen: Watch) -> Generator[None]:
    """Log what code left behind that raises; its own error is the one that counts."""
    try:
        yield
    except BaseException:
        try:
            _log_outputs(ws, run, seen, None, written_only=True)
        except Exception as error:  # noqa: BLE001 - anything here would hide the code's own error
            logger.warning("[Consist] outputs of failed run %r: %s", run.run_id, error)
        raise


def _log_outputs(
    ws: Workspace, run: ActiveRun, seen: Watch, value: Any, *, written_only: bool = False
) -> None:
    items = _returned(ws, run, seen.request, value)
    items += _declared_paths(ws, seen, written_only=written_only)
    if seen.capture is not None:
        items += _captured(seen.capture)
    log_all(ws, run, items, "output", announce=False)


def check_missing(run: ActiveRun, request: RunRequest) -> None:
    """Hold a run, executed or given back, to the outputs that it was asked for."""
    produced = {artifact.key for artifact in run.outputs.values()}
    missing = tuple(sorted(request.promised - produced))
    if missing:
        _complain(request.output_missing, OutputMissing(run.run_id, missing))


def _complain(policy: str, problem: Exception) -> None:
    if policy == "error":
        raise problem
    if policy == "warn":
        logger.warning("[Consist] %s", problem)


# ---------------------------------------------------------------- return values


def _returned(ws: Workspace, run: ActiveRun, request: RunRequest, value: Any) -> list[Item]:
    if request.capture_dir is not None:
        if value is not None:
            kind = a_kind(value)
            problem = WrongType(f"step {request.name!r} has capture_dir and returned {kind}")
            raise hint(problem, "a captured step returns None; its files are its outputs")
        return []
    if value is None:
        return []
    if request.outputs is None:
        items = _undeclared(ws, run, request, value)
    else:
        parts = _by_key(run, request, request.outputs, value)
        items = [_item(ws, run, key, part) for key, part in parts.items() if part is not None]
    return _existing(run, request, items)


def _existing(run: ActiveRun, request: RunRequest, items: list[Item]) -> list[Item]:
    """Leave out returned paths where there is nothing."""
    there: list[Item] = []
    undeclared: list[str] = []
    for item in items:
        if isinstance(item, Linked) or Path(item.path).exists():
            there.append(item)
        elif item.key not in request.promised:
            undeclared.append(item.key)
    if undeclared:
        _complain(request.output_missing, OutputMissing(run.run_id, tuple(undeclared)))
    return there


def _by_key(
    run: ActiveRun, request: RunRequest, declared: Sequence[str], value: Any
) -> dict[str, Any]:
    """Assign what a step returned to the keys it declared."""
    if _is_keyed(value):
        unknown = [key for key in value if key not in declared]
        if unknown:
            found = ", ".join(map(str, unknown))
            _complain(
                request.output_mismatch,
                OutputMismatch(run.run_id, tuple(declared), f"also {found}"),
            )
        return {key: part for key, part in value.items() if key in declared}
    parts: list[Any] = list(value) if _is_listed(value) else [value]
    if len(parts) != len(declared):
        problem = OutputMismatch(run.run_id, tuple(declared), f"{len(parts)} values")
        _complain(request.output_mismatch, problem)
    return dict(zip(declared, parts, strict=False))


def _undeclared(ws: Workspace, run: ActiveRun, request: RunRequest, value: Any) -> list[Item]:
    """Log files that a step returned without declaring them; anything else has no key."""
    if _is_keyed(value):
        wrong = [key for key, part in value.items() if not _is_file(part)]
        if not wrong:
            return [_item(ws, run, check_key(key), part) for key, part in value.items()]
        if request.output_paths:
            return []
        kind = a_kind(value[wrong[0]])
        problem = WrongType(f"step {request.name!r} returned {kind} under {wrong[0]!r}")
    elif (record := recorded(value)) is not None:
        return [Linked(record=record)]
    elif is_path(value):
        return [_item(ws, run, key_from(request.name), value)]
    elif request.output_paths:
        return []
    else:
        problem = WrongType(f"step {request.name!r} returned {a_kind(value)}")
    raise hint(problem, "declare outputs=[...] to have values written and recorded")


def _is_keyed(value: object) -> TypeIs[Mapping[Any, Any]]:
    """Whether a step returned values by key; a Dataset of arrays is one value."""
    return is_mapping(value) and not is_array(value)


def _is_file(value: Any) -> bool:
    return is_path(value) or recorded(value) is not None


def _is_listed(value: object) -> TypeIs[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def _item(ws: Workspace, run: ActiveRun, key: str, value: Any) -> Item:
    """Return what is to be logged for one value; frames are written first."""
    record = recorded(value)
    if record is not None:
        return Linked(record=record, name=key)
    if is_path(value):
        return Named(path=local_path(ws, value), key=check_key(key))
    driver = _writer_of(ws, value)
    if driver is None:
        problem = WrongType(f"output {key!r} is {a_kind(value)}, which has no format")
        raise hint(problem, "return a frame, a series, an xarray object, a path or an Artifact")
    path = _output_path(artifact_dir_of(ws, run), key, driver.suffixes[0])
    write_value(driver, as_whole(value, key), path)
    return Named(path=str(path), key=key, driver=driver.name, profile=OF_FRAME)


def as_whole(value: Any, key: str) -> Any:
    """Return a series or array as a frame or Dataset, named by the key if it has no name."""
    if is_frame(value):
        return as_frame(value, key)
    return as_dataset(value, key) if is_array(value) else value


def write_value(driver: Driver, value: Any, path: Path, **options: Any) -> None:
    """Write a value so that the file is there whole or not at all."""
    with replacing(path) as temporary:
        driver.write(value, temporary, **options)


def _writer_of(ws: Workspace, value: Any) -> Driver | None:
    """Return the driver that writes a value: Parquet for frames, else the first that can."""
    preferred = ws.formats.driver("parquet")
    if preferred.accepts(value):
        return preferred
    return next((d for d in ws.formats.all().values() if d.accepts(value)), None)


# ---------------------------------------------------------------- files


def _output_places(ws: Workspace, value: Any) -> list[str]:
    """Return where a declared path may lie: a relative one in the run folder or right here."""
    if not is_path(value):
        return []
    text = os.fspath(value)
    if "://" in text or Path(text).is_absolute():
        return [local_path(ws, text)]
    places = [local_path(ws, text)]
    with suppress(PathEscape):  # such as `../results.csv`, which can only mean the current folder
        places.insert(0, ws.files.mounts.resolve_uri(f"./{text}"))
    return list(dict.fromkeys(places))


def _declared_paths(ws: Workspace, seen: Watch, *, written_only: bool) -> list[Item]:
    """Return the declared files that are there, or only those that this run wrote."""
    items: list[Item] = []
    for key, value in seen.request.output_paths.items():
        record = recorded(value)
        if record is not None:
            items.append(Linked(record=record, name=key))
            continue
        path = _produced_path(ws, key, value, seen.before)
        if path is not None and not (written_only and mark_of(path) == seen.before.get(path)):
            items.append(Named(path=path, key=key))
    return items


def _produced_path(
    ws: Workspace, key: str, value: Any, before: Mapping[str, Stamp | str | None]
) -> str | None:
    """Return the place of a declared output that this run wrote."""
    places = _output_places(ws, value)
    if len(places) == 1:
        return places[0] if Path(places[0]).exists() else None
    written = [place for place in places if mark_of(place) not in {None, before.get(place)}]
    if len(written) > 1:
        problem = UsageError(f"output {key!r} was written twice: {' and '.join(written)}")
        raise hint(problem, "give an absolute path in output_paths")
    return written[0] if written else None


def _captured(capture: DirectoryCapture) -> list[Item]:
    found = capture_keys(capture.changed(), capture.directory)
    return [Named(path=str(path), key=key) for key, path in found.items()]


@contextmanager
def capture_outputs(
    ws: Workspace, directory: PathLike, pattern: str = "*", recursive: bool = False
) -> Generator[OutputCapture]:
    """Log the files that a block creates or changes in a folder, when the block ends.

    Parameters
    ----------
    directory : str or Path
        Folder to watch, relative to the current one; it need not exist yet.
    pattern : str, default "*"
        Which files, as a glob pattern.
    recursive : bool, default False
        Watch the folders below as well.

    Yields
    ------
    OutputCapture
        Its ``artifacts`` are there when the block has ended. Keys are the stems of the files,
        with more of the path where two would be the same.

    Raises
    ------
    RuntimeError
        Outside an active run, or if it ends before the block.
    """
    run = ws.active.require("capture_outputs")
    for what, value in {"directory": directory, "pattern": pattern}.items():
        if not is_path(cast("object", value)):
            raise WrongType(f"{what}={value!r} is not a path or pattern")
    capture = DirectoryCapture(local_path(ws, directory), pattern, recursive=recursive)
    result = OutputCapture([])
    try:
        yield result
    except BaseException:
        try:
            result.artifacts.extend(_log_captured(ws, run, capture))
        except Exception as error:  # noqa: BLE001 - anything here would hide the block's own error
            logger.warning("[Consist] captured outputs of run %r: %s", run.run_id, error)
        raise
    result.artifacts.extend(_log_captured(ws, run, capture))


def _log_captured(ws: Workspace, run: ActiveRun, capture: DirectoryCapture) -> list[Artifact]:
    run.check_open("capture_outputs")
    return [ws.artifact_of(record) for record in log_all(ws, run, _captured(capture), "output")]
