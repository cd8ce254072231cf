"""Where the outputs of a run go by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.active import ActiveRun
from consist.errors import WrongType, a_kind
from consist.files.places import output_dir as _output_dir
from consist.files.places import output_path as _output_path
from consist.models.record import RunRecord, replace

if TYPE_CHECKING:
    from consist.workspace import Workspace


def run_artifact_dir(ws: Workspace, run: Any = None) -> Path:
    """Return the folder below ``run_dir`` where a run's outputs go by default.

    Parameters
    ----------
    run : Run, optional
        By default the active run; without one, the base of all of them.

    Raises
    ------
    ValueError
        If the folder would lie outside ``run_dir`` without ``allow_external_paths``.
    RuntimeError
        If several runs are open and any of them could be meant.
    """
    if run is not None:
        if not hasattr(run, "to_record"):
            raise WrongType(f"run is {a_kind(run)}, not a Run")
        return folder_of(ws, run.to_record(), allow_external=ws.allow_external_paths)
    active = ws.active.find("the folder of the run")
    return ws.files.places.outputs if active is None else artifact_dir_of(ws, active)


def output_dir(ws: Workspace, namespace: str | None = None) -> Path:
    """Return the managed output folder of the active run, or one below it, and create it."""
    return _output_dir(run_artifact_dir(ws), namespace)


def output_path(ws: Workspace, key: str, ext: str = "parquet") -> Path:
    """Return ``<managed folder>/<key>.<ext>`` of the active run, and create its parents.

    Raises
    ------
    ValueError
        If the path would leave the folder.
    """
    return _output_path(run_artifact_dir(ws), key, ext)


# ---------------------------------------------------------------- for other rooms


def artifact_dir_of(ws: Workspace, run: ActiveRun) -> Path:
    """Return the folder for a run's outputs, decided once."""
    with run.lock:
        if run.artifact_dir is None:
            folder = folder_of(ws, run.record, allow_external=run.allow_external)
            if _is_shared(ws, run.record):
                folder = _made_alone(folder)
                name = folder.relative_to(ws.files.places.outputs).as_posix()
                run.record = replace(run.record, meta={**run.record.meta, "artifact_dir": name})
            run.artifact_dir = folder
        return run.artifact_dir


def _is_shared(ws: Workspace, record: RunRecord) -> bool:
    """Whether the folder is named after an iteration, which variants of a step have in common."""
    named = "artifact_dir" in record.meta or ws.run_subdir_fn is not None
    return not named and record.parent_run_id is not None and record.iteration is not None


def _made_alone(folder: Path) -> Path:
    """Create a folder that no other run has: this one, or the first free ``<folder>~<n>``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    number, candidate = 1, folder
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
            candidate = folder.with_name(f"{folder.name}~{number}")
        else:
            return candidate


def folder_of(ws: Workspace, record: RunRecord, *, allow_external: bool) -> Path:
    """Return the folder for the outputs of a recorded run."""
    subdir = None
    if ws.run_subdir_fn is not None:
        from consist.models.run import Run

        subdir = ws.run_subdir_fn(Run.from_record(record))
    return ws.files.places.artifact_dir(record, subdir=subdir, allow_external=allow_external)
