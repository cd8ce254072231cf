"""Outputs that a later run wrote over are no sources, however the place is called."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consist import RunResult, Tracker
from consist.errors import ArtifactChanged

Run = Callable[[Tracker, Path, int], RunResult]


def write(tracker: Tracker, place: Path, value: int) -> RunResult:
    """Write one fixed place, with content that depends on the config."""

    def step(value: int) -> Path:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"a\n{value}\n")
        return place

    return tracker.run(step, "write", config={"value": value}, outputs=["f"])


def hits(tracker: Tracker, place: Path, *values: int) -> list[bool]:
    return [write(tracker, place, value).cache_hit for value in values]


def test_three_configs_in_turn_on_one_path_always_execute(tracker: Tracker, here: Path) -> None:
    # SIG-005
    assert hits(tracker, here / "out.csv", 1, 2, 1, 2, 2) == [False, False, False, False, True]


def test_the_place_is_known_from_another_run_folder(tmp_path: Path) -> None:
    # CACHE-017: ./out.csv in one run folder is an absolute path for the other
    database, place = tmp_path / "d.duckdb", tmp_path / "r1" / "out.csv"
    with Tracker(tmp_path / "r1", database) as one, Tracker(tmp_path / "r2", database) as two:
        assert not write(one, place, 1).cache_hit
        assert write(one, place, 1).cache_hit
        assert not write(two, place, 2).cache_hit
        time.sleep(0.15)  # hits look at what others recorded a few times a second
        assert not write(one, place, 1).cache_hit
        assert not write(two, place, 2).cache_hit


def test_the_place_is_known_under_another_mount(tmp_path: Path) -> None:
    # URI-007
    database, place = tmp_path / "d.duckdb", tmp_path / "data" / "out.csv"
    mounted = Tracker(tmp_path / "r", database, mounts={"data": tmp_path / "data"})
    with mounted:
        first = write(mounted, place, 1)
        assert first.output.container_uri == "data://out.csv"
    with Tracker(tmp_path / "r", database) as plain:
        assert hits(plain, place, 2) == [False]
    deeper = Tracker(tmp_path / "r", database, mounts={"all": tmp_path})
    with deeper:
        assert hits(deeper, place, 1) == [False]


@pytest.mark.parametrize("which", ["folder", "file"])
def test_the_place_is_known_through_a_link(tracker: Tracker, here: Path, which: str) -> None:
    (here / "real").mkdir()
    (here / "real" / "out.csv").write_text("")
    if which == "folder":
        (here / "way").symlink_to(here / "real")
        through = here / "way" / "out.csv"
    else:
        through = here / "way.csv"
        through.symlink_to(here / "real" / "out.csv")
    assert hits(tracker, through, 1) == [False]
    assert hits(tracker, here / "real" / "out.csv", 2) == [False]
    assert hits(tracker, through, 1) == [False]


def folder_step(tracker: Tracker, place: Path, value: int, *names: str) -> RunResult:
    """Write files into a folder and log the folder as one output."""

    def step(value: int) -> Path:
        for name in names:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(f"{value}")
        return place

    return tracker.run(step, f"folder_{place.name}", config={"value": value}, outputs=["d"])


@pytest.mark.parametrize("inner", ["part", "deep/part"])
def test_a_folder_in_which_another_run_wrote_is_no_source(
    tracker: Tracker, here: Path, inner: str
) -> None:
    assert not folder_step(tracker, here / "d", 1, inner).cache_hit
    assert folder_step(tracker, here / "d", 1, inner).cache_hit
    assert not write(tracker, here / "d" / inner, 2).cache_hit
    assert not folder_step(tracker, here / "d", 1, inner).cache_hit
    assert not write(tracker, here / "d" / inner, 2).cache_hit


def test_a_folder_in_a_folder_counts_as_well(tracker: Tracker, here: Path) -> None:
    assert not folder_step(tracker, here / "d", 1, "sub/a").cache_hit
    assert not folder_step(tracker, here / "d" / "sub", 2, "a").cache_hit
    assert not folder_step(tracker, here / "d", 1, "sub/a").cache_hit
    assert not folder_step(tracker, here / "d" / "sub", 2, "a").cache_hit


def test_what_another_run_added_beside_an_output_does_not_cost_the_hit(
    tracker: Tracker, here: Path
) -> None:
    # the folder around was recorded later, and the bytes say that the file is as it was
    assert not write(tracker, here / "d" / "a", 1).cache_hit
    assert not folder_step(tracker, here / "d", 2, "b").cache_hit
    assert write(tracker, here / "d" / "a", 1).cache_hit
    assert folder_step(tracker, here / "d", 2, "b").cache_hit


def test_a_run_may_log_a_folder_and_its_files(tracker: Tracker, here: Path) -> None:
    def step() -> dict[str, Path]:
        (here / "d").mkdir(exist_ok=True)
        (here / "d" / "a").write_text("1")
        return {"d": here / "d", "a": here / "d" / "a"}

    assert [tracker.run(step, outputs=["d", "a"]).cache_hit for _ in range(2)] == [False, True]


SCRIPT = """
import sys
from pathlib import Path
from typing import Any
from consist import Tracker

def step(value):
    Path("out.csv").write_text(f"a\\n{value}\\n")
    return Path("out.csv").resolve()

with Tracker(run_dir="runs", db_path="p.duckdb", code_identity="callable_source") as tracker:
    result = tracker.run(step, "write", config={"value": int(sys.argv[1])}, outputs=["f"])
    print(result.cache_hit)
    if sys.argv[2:] == ["die"]:
        import os
        os._exit(0)
"""


def run_script(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "script.py", *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("way", [(), ("die",)])
def test_processes_know_what_others_overwrote(here: Path, way: tuple[str, ...]) -> None:
    (here / "script.py").write_text(textwrap.dedent(SCRIPT))
    said = [run_script(value, *way) for value in ("1", "1", "2", "1", "2", "2")]
    # a process that dies before it could print was not flushed
    assert [line for line in said if line] in (
        ["False", "True", "False", "False", "False", "True"],
        [],
    )
    if way:
        assert (here / "out.csv").read_text() == "a\n2\n"
        assert run_script("1") == "False"


def test_a_process_that_lives_long_knows_what_others_overwrote(here: Path) -> None:
    (here / "script.py").write_text(textwrap.dedent(SCRIPT))
    with Tracker("runs", "p.duckdb", code_identity="callable_source") as tracker:

        def step(value: int) -> Path:
            Path("out.csv").write_text(f"a\n{value}\n")
            return Path("out.csv").resolve()

        def hit() -> bool:
            done = tracker.run(step, "mine", config={"value": 1}, outputs=["f"])
            return done.cache_hit

        assert [hit(), hit()] == [False, True]
        for number in range(2):  # before a merge and after it
            assert run_script("2") == "False"
            time.sleep(0.15)
            assert [hit(), hit()] == [False, True]
            if number == 0:
                tracker.store.sync(5)


def test_the_run_that_overwrote_is_named_when_the_old_output_is_loaded(
    tracker: Tracker, here: Path
) -> None:
    old = write(tracker, here / "out.csv", 1)
    new = write(tracker, here / "out.csv", 2)
    with pytest.raises(ArtifactChanged, match="'f'") as caught:
        tracker.load_df(old.output)
    assert caught.value.writer == old.run_id
    assert caught.value.overwriter == new.run_id
    assert new.run_id in str(caught.value)
    assert "restore" in caught.value.__notes__[0]


def test_lazy_validation_looks_at_no_output(
    tracker: Tracker, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # HYD-023, CACHE-006
    place = here / "far" / "out.csv"
    assert hits(tracker, place, 1, 1) == [False, True]
    looked: list[str] = []
    for name in ("stat", "lstat", "open", "scandir", "readlink", "listdir"):
        really = getattr(os, name)

        def watched(path: object, *args: object, _really: object = really, **kwargs: object):
            if "far" in str(path):
                looked.append(f"{path}")
            return _really(path, *args, **kwargs)

        monkeypatch.setattr(os, name, watched)
    assert hits(tracker, place, 1) == [True]
    assert looked == []
    assert place.exists()
    assert looked != []


def test_a_place_that_was_overwritten_often_is_looked_at_once(
    tracker: Tracker, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SIG-005: a thousand alternating runs would cost a million comparisons
    hits(tracker, here / "out.csv", *[1, 2] * 5)
    looked: list[str] = []
    overwritten = tracker.store.overwritten

    def counted(artifact: Any) -> Any:
        looked.append(artifact.key)
        return overwritten(artifact)

    monkeypatch.setattr(tracker.store, "overwritten", counted)
    assert hits(tracker, here / "out.csv", 1) == [False]
    assert looked == ["f"]
