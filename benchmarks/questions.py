"""Questions to a database with many runs, beside the same SQL on a plain connection."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from benchmarks.harness import Figure, Samples, Sizes, alternate, at_most, calls
from benchmarks.work import Project, chained, filled
from consist import Tracker

_FIXED, _PER_ROW, _IN_TURN, _CHAIN = 30e-3, 0.1e-3, 20e-3, 20e-3
_EXPLAINED = 50e-3
_CALLS = 3


class _Question(NamedTuple):
    name: str
    ask: Callable[[], Any]
    sql: str
    values: tuple[object, ...] = ()


def questions(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    project = filled(folder, sizes.recorded_runs)
    copy = folder / "copy.duckdb"
    with project.tracker() as tracker:
        tracker.store.sync(wait=60.0)
        shutil.copy(project.database, copy)
        with duckdb.connect(copy, read_only=True) as plain:
            number = sizes.recorded_runs // 2
            run_id = f"scale_filled{number:07d}"
            for question in (*_questions(tracker, run_id), *_of_facets(tracker, number)):
                yield _asked(sizes, question, plain)
        yield _in_turn(sizes, project, tracker)
        yield _lineage(sizes, project, tracker)


def explain(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """Tell why a run would be no hit, in one process and as the first thing that it does."""
    project = filled(folder, sizes.recorded_runs)
    with project.tracker() as tracker:
        recorded = project.run(tracker, 3.5).run_id

        def ours(number: int) -> None:
            why = project.explain(tracker, 1_000.5 + number)
            assert why.candidate_run_id == recorded

        def theirs(_number: int) -> None:
            assert project.explain(tracker, 3.5).would_hit

        found = alternate(
            {"ours": calls(ours, sizes.calls), "hit": calls(theirs, sizes.calls)},
            sizes.rounds,
            sizes.calls,
        )
    yield Figure(
        work=f"explain a miss among {sizes.recorded_runs:,} runs",
        ours=found["ours"].seconds,
        cpu=found["ours"].cpu_seconds,
        reference="explain a hit",
        theirs=found["hit"].seconds,
        goals=[at_most(found["ours"].judged, _EXPLAINED)],
    )
    first = Samples()
    for number in range(sizes.rounds):
        with project.tracker() as tracker, first.timed():
            why = project.explain(tracker, 2_000.5 + number)
            assert not why.would_hit
    yield Figure(
        work=f"explain, the first question of a tracker, among {sizes.recorded_runs:,} runs",
        ours=first.seconds,
        cpu=first.cpu_seconds,
        goals=[at_most(first.judged, _EXPLAINED)],
    )


def _questions(tracker: Tracker, run_id: str) -> Iterator[_Question]:
    artifact = tracker.get_run_outputs(run_id)["scaled"]
    yield _Question(
        "find_runs(limit=100)",
        lambda: tracker.find_runs(limit=100),
        "SELECT * FROM run ORDER BY created_at DESC LIMIT 100",
    )
    yield _Question(
        "find_runs(model, year, status)",
        lambda: tracker.find_runs(model="model_7", year=2027, status="completed"),
        "SELECT * FROM run WHERE model_name = ? AND year = ? AND status = ?"
        " ORDER BY created_at DESC LIMIT 100",
        ("model_7", 2027, "completed"),
    )
    yield _Question(
        "find_runs(tags)",
        lambda: tracker.find_runs(tags=["tag_7"]),
        "SELECT * FROM run WHERE tags::VARCHAR LIKE ? ORDER BY created_at DESC LIMIT 100",
        ('%"tag_7"%',),
    )
    yield _Question(
        "find_runs(tags, index_by a facet)",
        lambda: tracker.find_runs(tags=["tag_7"], index_by="facet.zone").values(),
        "SELECT r.*, k.value_num FROM run r JOIN run_config_kv k ON k.run_id = r.id"
        " WHERE r.tags::VARCHAR LIKE ? AND k.key = 'zone' ORDER BY r.created_at DESC LIMIT 100",
        ('%"tag_7"%',),
    )
    yield _Question(
        "get_run", lambda: [tracker.get_run(run_id)], "SELECT * FROM run WHERE id = ?", (run_id,)
    )
    yield _Question(
        "get_artifact by id",
        lambda: [tracker.get_artifact(artifact.id)],
        "SELECT * FROM artifact WHERE id = ?",
        (str(artifact.id),),
    )
    yield _Question(
        "get_artifact by key",
        lambda: [tracker.get_artifact("scaled")],
        "SELECT * FROM artifact WHERE key = ? ORDER BY created_at DESC LIMIT 1",
        ("scaled",),
    )
    yield _Question(
        "get_run_outputs",
        lambda: tracker.get_run_outputs(run_id),
        "SELECT a.* FROM artifact a JOIN run_artifact_link l ON l.artifact_id = a.id"
        " WHERE l.run_id = ? AND l.direction = 'output'",
        (run_id,),
    )


def _of_facets(tracker: Tracker, number: int) -> Iterator[_Question]:
    """Ask for values of which one run has each, and for values that many share."""
    run_id, model = f"scale_filled{number:07d}", f"model_{number % 20}"
    leaf = "key = ? AND namespace = ?"
    newest = "ORDER BY created_at DESC LIMIT 100"
    yield _Question(
        "get_config_values",
        lambda: tracker.get_config_values(run_id),
        "SELECT * FROM run_config_kv WHERE run_id = ?",
        (run_id,),
    )
    yield _Question(
        "find_runs_by_facet_kv, a number of many",
        lambda: tracker.find_runs_by_facet_kv(namespace=model, key="zone", value_num=number % 25),
        f"SELECT * FROM run WHERE id IN (SELECT run_id FROM run_config_kv WHERE {leaf}"
        f" AND value_num = ?) {newest}",
        ("zone", model, number % 25),
    )
    yield _Question(
        "find_runs_by_facet_kv, a text of one",
        lambda: tracker.find_runs_by_facet_kv(
            namespace=model, key="note", value_str=f"variant {number}"
        ),
        f"SELECT * FROM run WHERE id IN (SELECT run_id FROM run_config_kv WHERE {leaf}"
        f" AND value_str = ?) {newest}",
        ("note", model, f"variant {number}"),
    )
    yield _Question(
        "find_runs_by_facet_kv, a whole number of one",
        lambda: tracker.find_runs_by_facet_kv(
            namespace=model, key="seed", value_num=number * 1_000_003
        ),
        f"SELECT * FROM run WHERE id IN (SELECT run_id FROM run_config_kv WHERE {leaf}"
        f" AND value_int = ?) {newest}",
        ("seed", model, number * 1_000_003),
    )
    one = "id IN (SELECT run_id FROM run_config_kv WHERE key = ? AND {} = ?)"
    yield _Question(
        "find_runs(facet of many)",
        lambda: tracker.find_runs(facet={"mode": "bike"}),
        f"SELECT * FROM run WHERE {one.format('value_str')} {newest}",
        ("mode", "bike"),
    )
    yield _Question(
        "find_runs(two values of a facet, status)",
        lambda: tracker.find_runs(facet={"mode": "bike", "demand.base": 3}, status="completed"),
        f"SELECT * FROM run WHERE {one.format('value_str')} AND {one.format('value_num')}"
        f" AND status = ? {newest}",
        ("mode", "bike", "demand.base", 3, "completed"),
    )
    yield _Question(
        "find_runs(metadata)",
        lambda: tracker.find_runs(metadata={"cache_epoch": 1}),
        f"SELECT * FROM run WHERE meta->>'cache_epoch' = '1' {newest}",
    )


def _lineage(sizes: Sizes, project: Project, tracker: Tracker) -> Figure:
    """Ask where the end of a chain comes from, beside asking for one run."""
    last = chained(project, tracker, sizes.steps)
    found = alternate(
        {
            "ours": calls(lambda _: tracker.get_artifact_lineage(last.id), _CALLS),
            "one": calls(lambda _: tracker.get_run(str(last.run_id)), _CALLS),
        },
        sizes.rounds,
        _CALLS,
    )
    return Figure(
        work=f"lineage of a chain of {sizes.steps} among {sizes.recorded_runs:,} runs",
        ours=found["ours"].seconds,
        cpu=found["ours"].cpu_seconds,
        reference="get_run",
        theirs=found["one"].seconds,
        goals=[at_most(found["ours"].judged, _CHAIN)],
    )


def _asked(sizes: Sizes, question: _Question, plain: duckdb.DuckDBPyConnection) -> Figure:
    rows = len(question.ask())
    assert rows
    found = alternate(
        {
            "ours": calls(lambda _: question.ask(), _CALLS),
            "plain": calls(
                lambda _: plain.execute(question.sql, question.values).fetchall(), _CALLS
            ),
        },
        sizes.rounds,
        _CALLS,
    )
    ours, theirs = found["ours"], found["plain"]
    return Figure(
        work=f"{question.name} among {sizes.recorded_runs:,} runs: {rows} row{'s' * (rows > 1)}",
        ours=ours.seconds,
        cpu=ours.cpu_seconds,
        reference="the same SQL, plain DuckDB",
        theirs=theirs.seconds,
        ratio=ours.over(theirs),
        goals=[at_most(ours.judged, _FIXED + _PER_ROW * rows)],
    )


def _in_turn(sizes: Sizes, project: Project, tracker: Tracker) -> Figure:
    """Record one run, ask for it, and again: nobody can put the work off."""
    recording, asking = Samples(), Samples()
    for number in range(sizes.asked):
        with recording.timed():
            result = project.run(tracker, 10_000 + number)
        with asking.timed():
            (found,) = tracker.find_runs(limit=1)
        assert found.id == result.run_id
    return Figure(
        work=f"record one, ask one, {sizes.asked} times: one question",
        ours=asking.seconds,
        cpu=asking.cpu_seconds,
        reference="recording it",
        theirs=recording.seconds,
        goals=[at_most(asking.judged, _IN_TURN)],
    )
