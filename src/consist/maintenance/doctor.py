"""What is wrong with a database and its folder, and what to do about it; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from consist.errors import SnapshotMissing
from consist.maintenance.places import run_folders, snapshot_files, store_of
from consist.models.record import IngestEvent
from consist.progress import counting
from consist.store import locks
from consist.store.arriving import NOTE, can_be_read, rows_aside
from consist.store.condition import (
    contradictions,
    drift,
    kept_apart,
    run_ids,
    still_aside,
    unended,
)
from consist.store.copying import temporaries
from consist.store.database import ALIAS
from consist.store.journals import UnknownRecord, list_journals, read_entries
from consist.store.migrations import SCHEMA_VERSION, store_values
from consist.store.refill import Stored
from consist.store.snapshots import load_snapshot
from consist.store.staging import abandoned
from consist.store.tail import stored_positions

if TYPE_CHECKING:
    from pathlib import Path

    from consist.store.embedded import EmbeddedStore
    from consist.workspace import Workspace

_SHOWN = 1_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be.

    Attributes
    ----------
    check : str
        What was looked at.
    severity : {"problem", "note"}
        Whether something is wrong, or only worth knowing.
    count : int
        How often it was found.
    items : list of str
        Ids, paths or sentences; the first thousand.
    remedy : str
        What to do about it.
    """

    check: str
    severity: Literal["problem", "note"]
    count: int
    items: list[str]
    remedy: str


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked at in a database.

    Attributes
    ----------
    zombie_run_ids : list of str
        Runs recorded as running whose process is gone, or that have an end.
    completed_without_end_time, dangling_parent_run_ids : list of str
        Ended runs without an end, and ids of parents that are not there.
    artifacts_with_missing_producing_run : list of str
        Artifacts of runs that are not there, and were not purged.
    global_table_schema_drift : dict
        What is wrong with tables of ingested rows, by table.
    schema_version, schema_version_expected : int
        Of the database, and of this library.
    findings : list of Finding
        All of this and more, with remedies; empty if all is well.
    """

    zombie_run_ids: list[str]
    completed_without_end_time: list[str]
    dangling_parent_run_ids: list[str]
    artifacts_with_missing_producing_run: list[str]
    global_table_schema_drift: dict[str, str]
    schema_version: int
    schema_version_expected: int
    findings: list[Finding]

    @property
    def is_healthy(self) -> bool:
        """Whether there is no problem; notes aside."""
        return not any(finding.severity == "problem" for finding in self.findings)


def doctor_db(ws: Workspace, *, snapshots: bool = True) -> Diagnosis:
    """Look for whatever may be wrong with the database, its journals and its snapshots.

    Nothing is changed; every finding says what to do about it.

    Parameters
    ----------
    snapshots : bool, default True
        Whether to read every snapshot and compare it with the database: about a second for ten
        thousand runs.

    Raises
    ------
    RuntimeError
        Without a database, or if it cannot be read within ``CONSIST_LOCK_WAIT`` seconds.
    """
    store = store_of(ws, "doctor_db", changes=False)
    with store.ask() as connection:
        values = store_values(connection, ALIAS)
        positions = stored_positions(connection) if values else {}
        open_runs, wrong, rows = unended(connection), contradictions(connection), drift(connection)
        stored, runs = Stored(connection, "main"), run_ids(connection)
        apart, aside = kept_apart(connection), still_aside(connection, rows_aside(store.folder))
    findings = [
        *_of_runs(open_runs.dead, open_runs.unknown),
        *_of_tables(wrong, rows),
        *_of_rows(apart, aside),
        *_of_identity(store, values),
        *_of_journals(store, positions),
        *(_of_snapshots(ws, store, stored, runs) if snapshots else ()),
    ]
    return Diagnosis(
        zombie_run_ids=open_runs.dead,
        completed_without_end_time=wrong["completed_without_end_time"],
        dangling_parent_run_ids=wrong["dangling_parent_run_ids"],
        artifacts_with_missing_producing_run=wrong["artifacts_with_missing_producing_run"],
        global_table_schema_drift=rows,
        schema_version=int(values.get("schema_version", 0)),
        schema_version_expected=SCHEMA_VERSION,
        findings=findings,
    )


def _finding(
    check: str, items: Sequence[str], remedy: str, *, note: bool = False
) -> Iterator[Finding]:
    if items:
        yield Finding(
            check=check,
            severity="note" if note else "problem",
            count=len(items),
            items=list(items[:_SHOWN]),
            remedy=remedy,
        )


# ---------------------------------------------------------------- the tables


def _of_runs(dead: Sequence[str], unknown: Mapping[str, str]) -> Iterator[Finding]:
    yield from _finding(
        "zombie_run_ids",
        dead,
        "the next merge marks those as interrupted whose process is known to be gone; the others:"
        " consist db fix-status RUN failed --reason '…'",
    )
    yield from _finding(
        "unknown_run_ids",
        [f"{run_id}: {what}" for run_id, what in unknown.items()],
        "look on that host whether they still run; if not: consist db fix-status RUN failed",
        note=True,
    )


_REMEDIES = {
    "completed_without_end_time": "consist db fix-status RUN completed writes the status again",
    "dangling_parent_run_ids": "merge the database that has the parent; after an export without"
    " it, nothing need be done",
    "artifacts_with_missing_producing_run": "consist db rebuild --json-dir DIR with the snapshots"
    " of the missing runs",
    "duplicate_run_ids": "move the database away and let consist db rebuild fill a new one",
    "duplicate_artifact_ids": "move the database away and let consist db rebuild fill a new one",
    "links_to_missing_artifacts": "consist db rebuild --json-dir DIR with the runs' snapshots into"
    " a new database",
    "links_of_missing_runs": "consist db rebuild --json-dir DIR with the snapshots of these runs",
}


def _of_tables(wrong: Mapping[str, list[str]], rows: Mapping[str, str]) -> Iterator[Finding]:
    for check, items in wrong.items():
        yield from _finding(check, items, _REMEDIES[check], note=check == "dangling_parent_run_ids")
    yield from _finding(
        "global_table_schema_drift",
        [f"{table}: {what}" for table, what in rows.items()],
        "somebody else changed these tables; ingest their artifacts again, or take a copy from"
        " before: consist db snapshot",
    )


def _of_rows(apart: Sequence[str], aside: Sequence[str]) -> Iterator[Finding]:
    yield from _finding(
        "columns_kept_apart",
        apart,
        "ask both columns; or convert the values and ingest these artifacts again",
        note=True,
    )
    yield from _finding(
        "rows_put_aside",
        aside,
        "the tables do not have them: ingest these artifacts again, then remove the files from"
        " damaged/ beside the journal",
    )


def _of_identity(store: EmbeddedStore, values: Mapping[str, str]) -> Iterator[Finding]:
    state, version = store.belonging.state, int(values.get("schema_version", 0))
    if values and version < SCHEMA_VERSION:
        yield from _finding(
            "schema_version",
            [f"the database has schema {version}, this library writes {SCHEMA_VERSION}"],
            "the next merge migrates it; make a copy first: consist db snapshot --out FILE",
            note=True,
        )
    strange = []
    if not values and state.generation:
        strange = [f"{store.db_path} is gone, or not a database of Consist"]
    elif values and state.generation and values.get("store_id") != state.store_id:
        strange = [f"{store.db_path} belongs to another store than {store.folder.path}"]
    elif values and int(values.get("generation", 0)) < state.generation:
        strange = [f"{store.db_path} is older than {store.folder.path} remembers"]
    yield from _finding(
        "store_identity",
        strange,
        "the next merge fills the database in from journals and snapshots by itself; if the file"
        " was swapped by mistake, put the right one back first",
    )


# ---------------------------------------------------------------- the folder


def _of_journals(store: EmbeddedStore, positions: Mapping[str, int]) -> Iterator[Finding]:
    folder = store.folder
    unread: list[str] = []
    lost: list[str] = []
    broken: list[str] = []
    named = set[str]()
    for journal in list_journals(folder.path):
        for entry in read_entries(journal.path, positions.get(journal.token, 0)):
            if isinstance(entry.record, UnknownRecord):
                unread.append(f"{journal.path} has records of a newer Consist")
                break
            if isinstance(entry.record, IngestEvent):
                told = f"{entry.record.artifact.key} of {entry.record.run_id}"
                named.update(entry.record.rows.files)
                paths = [folder.rows / name for name in entry.record.rows.files]
                lost += [f"{told}: {path}" for path in paths if not path.exists()]
                broken += [f"{told}: {path}" for path in _unreadable(store, paths)]
        if not locks.is_locked(str(journal.path)) and _reached(journal.path) < journal.size:
            unread.append(f"{journal.path} ends in the middle of a record")
    yield from _finding(
        "unreadable_journals",
        unread,
        "upgrade consist where a newer one wrote; what is torn was never acknowledged, and the"
        " next merge sets it aside",
        note=True,
    )
    yield from _finding("staged_rows_without_file", lost, "ingest these artifacts again")
    yield from _finding(
        "staged_rows_damaged",
        broken,
        "ingest these artifacts again; the next merge puts the files aside",
    )
    yield from _finding(
        "staged_rows_without_record",
        [str(path) for path in abandoned(folder.rows, named)],
        "their rows are stored, or were never acknowledged; the next merge removes the files",
        note=True,
    )
    told = {name for rows in rows_aside(folder) for name in rows.files}
    damaged = [
        str(path)
        for path in sorted(_listed(folder.damaged))
        if path.name.partition(NOTE)[0] not in told
    ]
    yield from _finding(
        "damaged_files",
        damaged,
        "what could be read of them was stored; look at them and remove them by hand",
    )
    yield from _finding(
        "leftover_temporary_files",
        [str(path) for path in temporaries(store)],
        "consist db compact removes them",
        note=True,
    )


def _unreadable(store: EmbeddedStore, paths: Sequence[Path]) -> list[Path]:
    with store.database.aside() as connection:
        return [path for path in paths if path.exists() and not can_be_read(connection, path)]


def _reached(path: Path) -> int:
    return max((entry.end for entry in read_entries(path, resync=True)), default=0)


def _listed(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


# ---------------------------------------------------------------- the snapshots


def _of_snapshots(
    ws: Workspace,
    store: EmbeddedStore,
    stored: Stored,
    runs: Mapping[str, str],
) -> Iterator[Finding]:
    folders = run_folders(ws, store)
    files = list(snapshot_files(folders))
    unreadable: list[str] = []
    absent: list[str] = []
    newer: list[str] = []
    met = set[str]()
    with counting("snapshots", len(files), shown=ws.settings.progress) as show:
        for number, path in enumerate(files):
            show(number, "")
            try:
                document = load_snapshot(path, path.stem)
            except SnapshotMissing:
                unreadable.append(str(path))
                continue
            met.add(document.run.uid)
            match stored.standing(document):
                case "new":
                    absent.append(str(path))
                case "newer":
                    newer.append(str(path))
                case _:
                    pass
    rebuild = "consist db rebuild --json-dir DIR takes them in"
    yield from _finding("snapshots_not_in_database", absent, rebuild)
    yield from _finding("snapshots_newer_than_database", newer, rebuild)
    yield from _finding(
        "unreadable_snapshots",
        unreadable,
        "empty ones belong to runs that never began; others are written anew at the next change of"
        " their run, and the database has what they held, their configs aside",
        note=True,
    )
    missing = [run_id for uid, run_id in runs.items() if uid not in met]
    yield from _finding(
        "runs_without_snapshot",
        missing,
        f"their snapshots are not in {', '.join(folders)}; where they lie elsewhere, name the"
        " folder with --run-dir",
        note=True,
    )
