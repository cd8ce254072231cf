"""Events into a set of tables: the database's or the tail's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from consist.models.changes import changed_run, merged_news
from consist.models.record import (
    Change,
    Event,
    PackagesEvent,
    PurgeEvent,
    RunBound,
    RunEvent,
    RunRecord,
)
from consist.store.known import HASHED, Known, KnownRun, key_of, keys_of
from consist.store.naming import Settled, event_uid, settle
from consist.store.rows import KEYS, Row, Rows, fields

BY_RUN = ("run_artifact_link", "run_config_kv")
"""Tables whose rows belong to one run and are only met again with it."""


class Batch(NamedTuple):
    """What is to be stored of some events.

    Attributes
    ----------
    settled : list of Settled
        The events under their final ids.
    rows : Rows
        New rows only.
    replaced : list of KnownRun
        Runs whose earlier row goes.
    extras : list of str
        Recorded ids of known runs whose earlier row in ``run_extra`` goes.
    keys : set of int
        Keys that were not known before.
    updated : list of str
        Ids of known artifacts whose earlier row goes.
    """

    settled: list[Settled]
    rows: Rows
    replaced: list[KnownRun]
    extras: list[str]
    keys: set[int]
    updated: list[str]


def prepare(events: Iterable[Event], known: Known) -> Batch:
    """Find out which rows some events add to the tables that ``known`` speaks of."""
    listed = list(events)
    keys: set[int] = set()
    for event in listed:
        keys |= keys_of(event)
    present = known.present(keys)
    settled, stored = settle(_run_bound(listed), known, present)
    rows = Rows()
    for event in listed:
        if isinstance(event, PackagesEvent):
            rows.add_packages(event)
    begun = set(stored)
    for event, current, _ in settled:
        uid = event_uid(event)
        rows.add_event(event, current=current, first=uid not in stored, begins=uid not in begun)
        if isinstance(event, RunEvent):
            begun.add(uid)
    _apply_changes(rows, stored, present, known)
    updated = [i for i in sorted(rows.news) if key_of("artifact", i) in present]
    _merge_news(rows, known.artifact_meta(updated) if updated else {})
    _drop_shared(rows, present)
    _drop_linked(rows, stored, known)
    ids = {row["id"] for row in rows.tables.get("run", {}).values()}
    keys |= {key_of("run", run_id) for run_id in ids}
    replaced = [run for run in stored.values() if run.id in ids]
    extras = [run.id for run in replaced if (run.id,) in rows.tables.get("run_extra", {})]
    return Batch(settled, rows, replaced, extras, keys - present, updated)


def without_purged(
    events: Iterable[Event], purged: Callable[[Iterable[str]], set[str]]
) -> list[Event]:
    """Return the events without those about runs that were removed from the record for good."""
    listed = list(events)
    gone = purged({event_uid(event) for event in _run_bound(listed)})
    if not gone:
        return listed
    return [
        event
        for event in listed
        if isinstance(event, PackagesEvent | PurgeEvent) or event_uid(event) not in gone
    ]


def _run_bound(events: Iterable[Event]) -> Iterator[RunBound]:
    for event in events:
        if not isinstance(event, PackagesEvent | PurgeEvent):
            yield event


def _apply_changes(
    rows: Rows, stored: Mapping[str, KnownRun], present: set[int], known: Known
) -> None:
    """Let runs and artifacts be what follows from all that was said of them afterwards."""
    arriving: dict[str, Row] = {row["uid"]: row for row in rows.tables.get("run", {}).values()}
    earlier = known.changes({*arriving, *rows.changes, *stored})
    rows.tell_changes({c.id for c in _all(rows.changes) if key_of("run_change", c.id) in present})
    for artifact_id, said in merged_news(_all(earlier)).items():
        # Of an artifact that is stored already it was taken in when it was said.
        if (artifact_id,) in rows.tables.get("artifact", {}) and (
            key_of("artifact", artifact_id) not in present
        ):
            rows.news[artifact_id] = {**said, **rows.news.get(artifact_id, {})}
    _add_told(rows, present, known)
    changed = {*rows.changes, *earlier}
    runs = [RunRecord(**arriving[uid]) for uid in arriving if uid in changed]
    absent = [uid for uid in rows.changes if uid in stored and uid not in arriving]
    for run in (*runs, *(known.records(absent) if absent else ())):
        changes = (*rows.changes.get(run.uid, ()), *earlier.get(run.uid, ()))
        rows.add("run", fields(changed_run(run, changes)))


def _add_told(rows: Rows, present: set[int], known: Known) -> None:
    """Take in the rows of stored artifacts that a change tells something of."""
    told = [i for i in rows.news if (i,) not in rows.tables.get("artifact", {})]
    for artifact in known.artifacts(told) if told else ():
        rows.add("artifact", fields(artifact))
        present.add(key_of("artifact", artifact.id))


def _all(changes: Mapping[str, Iterable[Change]]) -> Iterator[Change]:
    return chain.from_iterable(changes.values())


def _merge_news(rows: Rows, stored: Mapping[str, dict[str, Any]]) -> None:
    """Let what is said of artifacts stand in their rows, beside what is known of them."""
    artifacts = rows.tables.get("artifact", {})
    for artifact_id, said in rows.news.items():
        row = artifacts.get((artifact_id,))
        if row is not None:
            known = stored.get(artifact_id, row["meta"])
            artifacts[artifact_id,] = {**row, "meta": {**known, **said}}


def _drop_shared(rows: Rows, present: set[int]) -> None:
    for table, columns in HASHED.items():
        found = rows.tables.get(table, {})
        again = rows.news if table == "artifact" else ()
        rows.tables[table] = {
            key: row
            for key, row in found.items()
            if key[0] in again or key_of(table, *(row[name] for name in columns)) not in present
        }


def _drop_linked(rows: Rows, stored: dict[str, KnownRun], known: Known) -> None:
    run_ids = {run.id for run in stored.values()}
    for table in BY_RUN if run_ids else ():
        found = rows.tables.get(table, {})
        met = run_ids & {row["run_id"] for row in found.values()}
        if met:
            there = known.rows_of(table, KEYS[table], met)
            rows.tables[table] = _without(found, there)


def _without(
    rows: dict[tuple[Any, ...], dict[str, Any]], keys: frozenset[tuple[Any, ...]]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {key: row for key, row in rows.items() if key not in keys}
