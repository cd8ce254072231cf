"""What older versions of the code stored is read, migrated and gone on with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from consist.models.record import FORMAT_VERSION
from consist.store.migrations import SCHEMA_VERSION
from consist.store.snapshots import iter_snapshots
from tests.unit.store.worlds import document, ids, merged, open_store, record, table

GOLDEN = Path(__file__).parents[2] / "golden/store"
VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())
RUNS = {
    "base": "completed",
    "base~2": "completed",
    "broken": "failed",
    "killed": "interrupted",
    "newer": "completed",
    "tail": "completed",
}


@pytest.fixture(params=VERSIONS)
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / request.param, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_there_is_a_fixture_of_the_present_version() -> None:
    assert f"v{SCHEMA_VERSION}" in VERSIONS
    assert FORMAT_VERSION == 1


@pytest.mark.parametrize(("host", "status"), [("vm", "interrupted"), ("elsewhere", "running")])
def test_only_the_host_of_a_process_can_tell_before_a_merge_that_it_is_gone(
    copy: Path, monkeypatch: pytest.MonkeyPatch, host: str, status: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename=host))
    store = open_store(copy)
    asked = dict(table(store, "SELECT id, status FROM run"))
    assert asked == RUNS | {"killed": status}


def test_a_stored_version_is_asked_and_merged(copy: Path) -> None:
    store = open_store(copy)
    assert store.sync()
    assert dict(table(store, "SELECT id, status FROM run")) == RUNS
    linked = table(
        store,
        "SELECT l.run_id, l.direction, a.key FROM run_artifact_link l"
        " JOIN artifact a ON a.id = l.artifact_id ORDER BY ALL",
    )
    assert linked == [
        ("base", "input", "households"),
        ("base", "output", "trips"),
        ("base~2", "input", "households"),
        ("base~2", "input", "trips"),
        ("base~2", "output", "trips"),
        ("broken", "input", "trips"),
        ("killed", "output", "half"),
        ("tail", "output", "summary"),
    ]
    facets = table(
        store,
        "SELECT key, value_type, value_num, value_int, value_bool, value_str FROM run_config_kv"
        " WHERE run_id = 'base' ORDER BY key",
    )
    assert facets == [
        ("nested.big", "int", float(2**53), 2**53 + 1, None, None),
        ("nested.label", "str", None, None, None, "a"),
        ("nested.none", "null", None, None, None, None),
        ("nested.on", "bool", None, None, True, None),
        ("rate", "float", 0.25, None, None, None),
    ]
    assert table(store, "SELECT meta->'ünïcode'->2->>'deep' FROM artifact LIMIT 1") == [("1.5",)]
    record(store, document("added"))
    store.close()
    assert merged(copy, "SELECT count(*) FROM run") == [(len(RUNS) + 1,)]


def test_look_ups_know_a_stored_version(copy: Path) -> None:
    store = open_store(copy)
    assert store.candidates("signature of base") == []  # superseded by the last run
    for name in ("base~2", "tail", "newer"):
        (found,) = store.candidates(f"signature of {name}")
        assert store.candidates(f"content of {name}") == [found]
        assert found.run.id == name
    assert set(store.attempts("base")) == {1, 2}
    assert store.claim("base").attempt == 3
    store.close()


def test_snapshots_of_a_stored_version_fill_a_new_database(copy: Path) -> None:
    assert {d.run.id for d in iter_snapshots(copy / "runs")} == set(RUNS)
    (copy / "db.duckdb").unlink()
    for journal in (copy / "db.duckdb.journal").rglob("*.journal"):
        journal.unlink()
    store = open_store(copy)
    assert ids(store) == sorted(RUNS)
    assert table(store, "SELECT count(*) FROM config_facet") == [(1,)]
    store.close()
