"""Fill a database from the snapshots of runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from consist.errors import UsageError, hint
from consist.maintenance.disk import folder_of
from consist.maintenance.places import store_of
from consist.progress import counting
from consist.store.taking_in import Depth, take_in
from consist.types import check_option

if TYPE_CHECKING:
    from consist.types import PathLike
    from consist.workspace import Workspace

DEPTHS = ("minimal", "full")


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of snapshots.

    Attributes
    ----------
    json_files_scanned : int
        How many files were read.
    runs_inserted, runs_updated, runs_already_present : int
        Runs that are new, that the database did not know to have ended, and that were there.
    runs_purged : int
        Runs that were removed from this database on purpose and stay away.
    artifacts_inserted : int
        Artifacts that are new.
    errors : list of str
        Files that could not be read, each with the reason; the first thousand.
    error_count : int
        How many there were.
    dry_run : bool
        Whether it was only counted.
    """

    json_files_scanned: int
    runs_inserted: int
    runs_updated: int
    runs_already_present: int
    runs_purged: int
    artifacts_inserted: int
    errors: list[str]
    error_count: int
    dry_run: bool


def rebuild_db(
    ws: Workspace,
    json_dir: PathLike | None = None,
    *,
    mode: Depth = "full",
    dry_run: bool = False,
) -> Rebuilt:
    """Take the runs of snapshots into the database, which may be absent.

    What is there already stays as it is, so a second time nothing happens. A file that is torn is
    counted and named, and the others are taken in. Ingested rows are not in snapshots.

    Parameters
    ----------
    json_dir : str or Path, optional
        Folder of snapshots, or a run folder with ``consist_runs`` in it; by default the run folder
        of the tracker.
    mode : {"full", "minimal"}
        ``"minimal"`` stores runs, artifacts and links; ``"full"`` also the facets and schemas that
        questions can ask, of runs that an earlier minimal rebuild stored as well.
    dry_run : bool, default False
        Count only.

    Returns
    -------
    Rebuilt

    Raises
    ------
    ValueError
        If there is no such folder.
    RuntimeError
        Without a database, or if somebody else holds it.
    """
    check_option("mode", mode, DEPTHS)
    store = store_of(ws, "rebuild_db")
    given = ws.run_dir if json_dir is None else Path(os.path.abspath(json_dir))  # noqa: PTH100
    folder = folder_of(given)
    if not folder.is_dir():
        raise hint(UsageError(f"there is no folder {folder}"), "name the folder with --json-dir")
    names = sorted(_names(folder))
    with counting("rebuilding", len(names), shown=ws.settings.progress) as show:
        found = take_in(
            store,
            (folder / name for name in names),
            run_dir=folder.parent,
            depth=mode,
            dry_run=dry_run,
            advance=lambda done: show(done, ""),
        )
    return Rebuilt(
        json_files_scanned=found.scanned,
        runs_inserted=found.inserted,
        runs_updated=found.updated,
        runs_already_present=found.already_present,
        runs_purged=found.purged,
        artifacts_inserted=found.artifacts,
        errors=[f"{path}: {reason}" for path, reason in found.errors.items()],
        error_count=found.error_count,
        dry_run=dry_run,
    )


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                yield entry.name
