"""The tracker itself: construction, facts, paths, hooks, life."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for
# ruff: noqa: SIM117 - the outer block is the setting, the inner one the test

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlmodel import Field, SQLModel

import consist
from consist import Run, RunArtifacts, Tracker, TrackerConfig
from consist.core.tracker import Tracker as TrackerAtHome
from consist.core.tracker_config import TrackerConfig as ConfigAtHome


class Broken(Exception):
    """Raised by code under test."""


class PersonRow(SQLModel, table=True):
    person_id: int = Field(primary_key=True)


class HouseholdRow(SQLModel, table=True):
    household_id: int = Field(primary_key=True)


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


# ---------------------------------------------------------------- construction


def test_public_names_are_the_same_objects_as_at_home() -> None:
    # TRK-001, TRK-006, G-24
    import consist.models.run as home

    assert consist.Tracker is TrackerAtHome
    assert consist.TrackerConfig is ConfigAtHome
    assert (consist.Run, consist.RunResult) == (home.Run, home.RunResult)
    assert (consist.RunArtifacts, consist.ConsistRecord) == (home.RunArtifacts, home.ConsistRecord)
    for name in consist.__all__:
        assert getattr(consist, name) is not None


def test_text_paths_are_enough_and_folders_are_made(here: Path) -> None:
    # TRK-002
    with Tracker(run_dir="./deep/runs", db_path="./deep/er/p.duckdb") as tracker:
        result = tracker.run(one, outputs=["f"])
        assert tracker.get_run(result.run_id) is not None
    assert (here / "deep" / "er" / "p.duckdb").is_file()
    assert (here / "deep" / "runs" / "consist_runs" / f"{result.run_id}.json").is_file()


def test_changing_the_current_folder_later_changes_nothing(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # TRK-002
    with Tracker(run_dir="runs", db_path="p.duckdb") as tracker:
        first = tracker.run(one, outputs=["f"])
        monkeypatch.chdir(tmp_path)
        assert tracker.run(one, outputs=["f"]).cache_hit
        assert tracker.load_df(first.outputs["f"])["a"].tolist() == [1]
    assert not (tmp_path / "runs").exists()


def test_a_config_builds_the_same_tracker(tmp_path: Path) -> None:
    # TRK-007
    values: dict[str, Any] = {
        "run_dir": tmp_path / "r",
        "db_path": tmp_path / "d.duckdb",
        "mounts": {"in": tmp_path},
        "hashing_strategy": "fast",
        "cache_epoch": 7,
        "schemas": [PersonRow],
        "allow_external_paths": True,
    }
    with Tracker.from_config(TrackerConfig(**values)) as built, Tracker(**values) as given:
        for name in ("run_dir", "db_path", "cache_epoch", "schemas", "allow_external_paths"):
            assert getattr(built, name) == getattr(given, name)
        assert built.resolve_uri("in://x") == given.resolve_uri("in://x")
        assert built.run(one, outputs=["f"]).run.meta["cache_epoch"] == 7


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("access_mode", "bogus", ValueError),
        ("hashing_strategy", "bogus", ValueError),
        ("cache_epoch", "2", TypeError),
        ("cache_epoch", True, TypeError),
    ],
)
def test_an_argument_that_means_nothing_is_an_error_that_names_it(
    tmp_path: Path, argument: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=argument):
        Tracker(tmp_path / "r", **{argument: value})
    assert list(tmp_path.glob("r")) == []


def test_a_database_path_that_is_a_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=str(tmp_path)):
        Tracker(tmp_path / "r", tmp_path)


def test_schemas_are_registered_by_name_and_the_mapping_is_read_only(tmp_path: Path) -> None:
    # TRK-004, TRK-012
    with Tracker(tmp_path / "r", schemas=[PersonRow, HouseholdRow]) as tracker:
        assert dict(tracker.registered_schemas) == {
            "PersonRow": PersonRow,
            "HouseholdRow": HouseholdRow,
        }
        with pytest.raises(TypeError):
            tracker.registered_schemas["X"] = PersonRow  # type: ignore[index]


def test_the_engine_sees_every_acknowledged_record(tracker: Tracker) -> None:
    # TRK-013, TRK-014, TRK-015, MOD-003, DEP-011
    assert isinstance(tracker.engine, Engine)
    result = tracker.run(one, outputs=["f"])
    with tracker.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT run_id, direction FROM run_artifact_link")
        ).fetchall()
    assert [tuple(row) for row in rows] == [(result.run_id, "output")]
    assert tracker.metadata_store is not None
    assert tracker.hot_data_store is not None


def test_a_closed_trackers_file_is_plain_duckdb(tracker: Tracker) -> None:
    # TRK-014, TRK-015
    result = tracker.run(one, outputs=["f"])
    path = tracker.db_path
    tracker.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.sql("SELECT id, status FROM run").fetchall() == [
            (result.run_id, "completed")
        ]
        assert connection.sql("SELECT key FROM artifact").fetchall() == [("f",)]


def test_closing_twice_does_nothing_and_a_closed_tracker_says_so(tracker: Tracker) -> None:
    tracker.close()
    tracker.close()
    for use in (
        lambda: tracker.run(one, outputs=["f"]),
        lambda: tracker.begin_run("r", "m"),
        lambda: tracker.scenario("s").__enter__(),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            use()


@pytest.mark.parametrize("mode", ["analysis", "read_only"])
def test_other_access_modes_record_nothing(tmp_path: Path, mode: str) -> None:
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker:
        tracker.run(one, run_id="r", outputs=["f"])
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", access_mode=mode) as tracker:
        for use in (
            lambda: tracker.run(one, outputs=["f"]),
            lambda: tracker.begin_run("x", "m"),
            lambda: tracker.scenario("s").__enter__(),
            lambda: tracker.trace("t").__enter__(),
        ):
            with pytest.raises(RuntimeError, match=mode):
                use()
        assert [run.id for run in tracker.find_runs()] == ["r"]


# ---------------------------------------------------------------- hashing strategy


def test_the_fast_strategy_trusts_size_and_time_and_says_so(tmp_path: Path, raw: Path) -> None:
    # G-20, SIG-004
    import os

    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", hashing_strategy="fast") as tracker:
        os.utime(raw, ns=(10**18, 10**18))
        first = tracker.run(one, inputs=[raw], outputs=["f"])
        raw.write_text(raw.read_text().replace("0.2", "0.3"))
        os.utime(raw, ns=(10**18, 10**18))
        assert tracker.run(one, inputs=[raw], outputs=["f"]).cache_hit
        raw.touch()
        assert not tracker.run(one, inputs=[raw], outputs=["f"]).cache_hit
        (artifact,) = tracker.get_run_inputs(first.run_id).values()
        assert artifact.hash is not None
        assert artifact.hash.startswith("fast:")


# ---------------------------------------------------------------- paths


@pytest.fixture
def mounted(tmp_path: Path) -> Any:
    (tmp_path / "data").mkdir()
    with Tracker(
        tmp_path / "r", tmp_path / "d.duckdb", mounts={"inputs": tmp_path / "data"}
    ) as tracker:
        yield tracker


def test_uris_resolve_to_absolute_text(mounted: Tracker, tmp_path: Path) -> None:
    # URI-001, URI-002, URI-005
    found = mounted.resolve_uri("inputs://file.csv")
    assert isinstance(found, str)
    assert found == str(tmp_path / "data" / "file.csv")
    assert mounted.resolve_uri("./output/data.parquet") == str(
        tmp_path / "r" / "output" / "data.parquet"
    )
    assert mounted.resolve_uri("/abs/x") == "/abs/x"
    assert mounted.resolve_uri("file:///abs/x") == "/abs/x"


def test_an_unmounted_scheme_does_not_raise(mounted: Tracker) -> None:
    # URI-003
    assert isinstance(mounted.resolve_uri("other://x/y"), str)


@pytest.mark.parametrize(
    "uri", ["inputs://../secret", "inputs://a/../../secret", "./../x", "workspace://../x"]
)
def test_a_uri_that_leaves_its_root_is_refused(mounted: Tracker, uri: str) -> None:
    # URI-004, ERR-066
    with pytest.raises(ValueError, match=r"\.\."):
        mounted.resolve_uri(uri)


def test_recorded_places_are_portable_and_lead_back(mounted: Tracker, tmp_path: Path) -> None:
    # URI-006, URI-008, ART-005
    inside = mounted.run_dir / "sub" / "x.csv"
    inside.parent.mkdir(parents=True)
    for path, uri in [
        (tmp_path / "data" / "größe x.csv", "inputs://größe x.csv"),
        (inside, "./sub/x.csv"),
    ]:
        path.write_text("a\n1\n")
        with mounted.start_run("r", "m", cache_mode="overwrite"):
            artifact = mounted.log_artifact(path, key="k")
        assert artifact.container_uri == uri
        assert mounted.resolve_uri(artifact.container_uri) == str(path) == str(artifact.path)


def test_a_mounted_artifact_follows_its_mount_to_another_machine(tmp_path: Path) -> None:
    # URI-007
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("a\n1\n")
    database = tmp_path / "d.duckdb"
    with Tracker(tmp_path / "r", database, mounts={"in": tmp_path / "here"}) as tracker:
        with tracker.start_run("r", "m"):
            tracker.log_artifact(tmp_path / "here" / "x.csv", key="k")
    with Tracker(tmp_path / "r", database, mounts={"in": tmp_path / "there"}) as tracker:
        artifact = tracker.get_artifact("k")
        assert artifact is not None
        assert artifact.path == tmp_path / "there" / "x.csv"


# ---------------------------------------------------------------- hooks


@pytest.fixture
def events(tracker: Tracker) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []
    tracker.on_run_start(lambda run: seen.append(("start", run.status)))
    tracker.on_run_complete(
        lambda run, outputs: seen.append(("complete", [a.key for a in outputs]))
    )
    tracker.on_run_failed(lambda run, error: seen.append(("failed", error)))
    return seen


def test_hooks_fire_in_every_way_to_run(tracker: Tracker, events: list[tuple[str, Any]]) -> None:
    # HOOK-001, HOOK-002, HOOK-006, TRK-036
    expected = [("start", "running"), ("complete", [])]
    tracker.begin_run("r", "m")
    tracker.end_run()
    assert events == expected
    with tracker.start_run("s", "m", config={"other": 1}):
        pass
    assert events == expected * 2
    with tracker.trace("t"):
        pass
    assert events == expected * 3
    tracker.run(one, outputs=["f"])
    assert events[6:] == [("start", "running"), ("complete", ["f"])]


def test_the_start_hook_comes_before_the_users_code(tracker: Tracker) -> None:
    # HOOK-001
    order = []
    tracker.on_run_start(lambda run: order.append("hook"))
    tracker.run(lambda: order.append("code"), "s")
    assert order == ["hook", "code"]


def test_the_failed_hook_gets_the_very_exception(
    tracker: Tracker, events: list[tuple[str, Any]]
) -> None:
    # HOOK-003, C-10
    error = Broken("boom")

    def step() -> None:
        raise error

    with pytest.raises(Broken):
        tracker.run(step)
    assert events == [("start", "running"), ("failed", error)]


def test_registering_returns_the_callback_and_all_of_them_are_called(tracker: Tracker) -> None:
    # HOOK-004, HOOK-005
    calls = []

    @tracker.on_run_complete
    def first(run: Run, outputs: Any) -> None:
        calls.append("first")

    def second(run: Run, outputs: Any) -> None:
        calls.append("second")

    assert tracker.on_run_complete(second) is second
    assert callable(first)
    tracker.run(one, outputs=["f"])
    assert calls == ["first", "second"]


@pytest.mark.parametrize("event", ["on_run_start", "on_run_complete", "on_run_failed"])
def test_a_hook_that_raises_is_logged_and_breaks_nothing(
    tracker: Tracker, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    # HOOK-005
    calls = []

    def bad(*facts: Any) -> None:
        raise Broken("hook went wrong")

    getattr(tracker, event)(bad)
    getattr(tracker, event)(lambda *facts: calls.append(1))

    def step() -> None:
        if event == "on_run_failed":
            raise KeyError("own")

    with caplog.at_level(logging.ERROR):
        if event == "on_run_failed":
            with pytest.raises(KeyError, match="own"):
                tracker.run(step, run_id="r")
        else:
            tracker.run(step, run_id="r")
    assert calls == [1]
    assert "hook went wrong" in caplog.text
    run = tracker.get_run("r")
    assert run is not None
    assert run.status == ("failed" if event == "on_run_failed" else "completed")


def test_what_a_hook_asks_sees_the_run(tracker: Tracker) -> None:
    # TRK-036
    seen = []

    @tracker.on_run_complete
    def ask(run: Run, outputs: Any) -> None:
        found = tracker.get_run(run.id)
        seen.append(None if found is None else found.status)

    tracker.run(one, outputs=["f"])
    assert seen == ["completed"]


def test_a_hit_tells_the_same_hooks_as_a_run_that_executes(
    tracker: Tracker, events: list[tuple[str, Any]]
) -> None:
    # HOOK-006
    for _ in range(2):
        tracker.run(one, outputs=["f"])
    assert [kind for kind, _ in events] == ["start", "complete"] * 2
    assert [event for event in events if event[0] == "complete"] == [("complete", ["f"])] * 2


# ---------------------------------------------------------------- models


def test_the_empty_answer_of_run_artifacts_is_two_dicts() -> None:
    # MOD-007
    assert (RunArtifacts().inputs, RunArtifacts().outputs) == ({}, {})
