"""Killed at random moments, a process loses nothing that it acknowledged and leaves no half run."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from tests.campaigns.processes import acknowledged, begin, start_worker
from tests.unit.store.worlds import open_store, table

if TYPE_CHECKING:
    from pathlib import Path


def kill_one(folder: Path, prefix: str, way: str, after: float) -> set[str]:
    """Let a worker do runs for ``after`` seconds, kill it, and return what it had acknowledged."""
    worker = start_worker(folder, prefix, 100_000, way)
    timer = threading.Timer(after, worker.kill)
    begin(worker)
    timer.start()
    output, errors = worker.communicate(timeout=60)
    timer.join()
    assert worker.returncode == -9, errors
    return set(acknowledged(output))


def check(folder: Path, done: set[str]) -> None:
    """Ask before and after merging: every acknowledged run is there, once and whole."""
    store = open_store(folder, "checker")
    for _ in range(2):
        found = dict(table(store, "SELECT id, status FROM run"))
        assert table(store, "SELECT count(*) FROM run") == [(len(found),)]
        assert done <= found.keys()
        assert {found[name] for name in done} <= {"completed"}
        assert store.sync(60)
    assert set(found.values()) <= {"completed", "interrupted"}
    assert list(found.values()).count("interrupted") <= len(found) - len(done)
    halves = table(
        store,
        "SELECT r.id, count(l.artifact_id) AS outputs, count(a.id) AS described FROM run r"
        " LEFT JOIN run_artifact_link l ON l.run_id = r.id"
        " LEFT JOIN artifact a ON a.id = l.artifact_id"
        " WHERE r.status = 'completed' GROUP BY r.id HAVING outputs <> 2 OR described <> 2",
    )
    assert halves == []
    some = sorted(done)[:: max(1, len(done) // 20)]
    for name in some:
        ((signature,),) = table(store, f"SELECT signature FROM run WHERE id = '{name}'")
        assert store.candidates(signature)
    store.close()


@pytest.mark.parametrize(
    "kills",
    [6, pytest.param(100, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("way", ["store", "tracker"])
def test_kill_9_loses_nothing(tmp_path: Path, kills: int, way: str) -> None:
    chance = random.Random(kills)
    done: set[str] = set()
    for number in range(kills):
        done |= kill_one(tmp_path, f"k{number}", way, chance.uniform(0.01, 0.4))
        if number % max(1, kills // 20) == 0:
            check(tmp_path, done)
    check(tmp_path, done)


MERGE_KILLED = """
store = open_store(folder, "merger")
say("ready")
wait()
while True:
    record(store, document())
    store.sync(5)
"""


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_9_in_a_merge_loses_nothing(tmp_path: Path, kills: int) -> None:
    from tests.unit.store.children import start

    chance = random.Random(kills)
    done: set[str] = set()
    for number in range(kills):
        merger = start(MERGE_KILLED, tmp_path)
        assert merger.stdout
        assert merger.stdout.readline() == "ready\n"
        begin(merger)
        done |= kill_one(tmp_path, f"m{number}", "store", chance.uniform(0.1, 0.5))
        merger.kill()
        merger.communicate()
    store = open_store(tmp_path, "checker")
    for _ in range(2):
        ids = [row[0] for row in table(store, "SELECT id FROM run")]
        assert len(ids) == len(set(ids))
        assert done <= set(ids)
        links = "SELECT count(*), count(DISTINCT (run_id, artifact_id)) FROM run_artifact_link"
        ((linked, distinct),) = table(store, links)
        assert linked == distinct
        assert store.sync(60)
    store.close()
