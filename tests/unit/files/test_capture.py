"""Capturing: what a step wrote, and what it is called."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consist.errors import PathEscape, UsageError
from consist.files import capture as capture_module
from consist.files.atomic import replacing
from consist.files.capture import DirectoryCapture, capture_keys
from consist.settings import KEY_PATTERN


def file(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def changed(capture: DirectoryCapture) -> list[str]:
    return [path.relative_to(capture.directory).as_posix() for path in capture.changed()]


def test_new_and_changed_files_are_found_and_others_are_not(tmp_path: Path) -> None:  # ART-036
    for name in ("same", "rewritten", "grown", "removed"):
        file(tmp_path / name)
    capture = DirectoryCapture(tmp_path)
    file(tmp_path / "rewritten", "y")
    file(tmp_path / "grown", "xy")
    file(tmp_path / "new")
    (tmp_path / "removed").unlink()
    assert changed(capture) == ["grown", "new", "rewritten"]


def test_a_file_written_just_before_and_rewritten_at_once_is_found(tmp_path: Path) -> None:
    """However coarse the clock of the file system is."""
    for _ in range(30):
        path = file(tmp_path / "f", "x")
        capture = DirectoryCapture(tmp_path)
        with path.open("r+") as same:
            same.write("y")
        assert changed(capture) == ["f"]


@pytest.mark.parametrize(("age", "wait"), [(0.001, 0.019), (0.021, None), (-3600, 0.02)])
def test_a_young_file_is_given_time_to_leave_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, wait: float | None
) -> None:
    waits: list[float] = []
    now = file(tmp_path / "f").stat().st_ctime_ns + int(age * 1e9)
    clock = SimpleNamespace(time_ns=lambda: now, sleep=waits.append)
    monkeypatch.setattr(capture_module, "time", clock)
    DirectoryCapture(tmp_path)
    assert waits == ([] if wait is None else [pytest.approx(wait)])


def test_a_change_is_found_whose_time_was_put_back(tmp_path: Path) -> None:
    path = file(tmp_path / "f")
    before = path.stat()
    capture = DirectoryCapture(tmp_path)
    file(path, "y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed(capture) == ["f"]


def test_only_names_that_match_count(tmp_path: Path) -> None:  # ART-035
    capture = DirectoryCapture(tmp_path, "*.csv")
    for name in ("a.csv", "b.CSV", "c.txt", "csv"):
        file(tmp_path / name)
    assert changed(capture) == ["a.csv"]


def test_subfolders_count_if_asked_for(tmp_path: Path) -> None:  # ART-037
    flat, deep = DirectoryCapture(tmp_path), DirectoryCapture(tmp_path, recursive=True)
    file(tmp_path / "a")
    file(tmp_path / "sub" / "deep" / "b")
    assert changed(flat) == ["a"]
    assert changed(deep) == ["a", "sub/deep/b"]


@pytest.mark.parametrize(
    ("pattern", "recursive", "found"),
    [
        ("year=*/*.csv", False, ["year=1/a.csv"]),
        ("**/*.csv", False, ["c.csv", "x/year=2/b.csv", "year=1/a.csv"]),
        ("year=*/*.csv", True, ["x/year=2/b.csv", "year=1/a.csv"]),
    ],
)
def test_a_pattern_may_name_folders(
    tmp_path: Path, pattern: str, recursive: bool, found: list[str]
) -> None:
    capture = DirectoryCapture(tmp_path, pattern, recursive=recursive)
    for name in ("c.csv", "year=1/a.csv", "x/year=2/b.csv", ".hidden/year=3/d.csv"):
        file(tmp_path / name)
    assert changed(capture) == found


def test_hidden_files_count_only_if_asked_for(tmp_path: Path) -> None:
    plain, hidden = DirectoryCapture(tmp_path), DirectoryCapture(tmp_path, ".*")
    for name in (".swp", "a"):
        file(tmp_path / name)
    assert changed(plain) == ["a"]
    assert changed(hidden) == [".swp"]


def test_our_own_temporary_files_never_count(tmp_path: Path) -> None:
    capture = DirectoryCapture(tmp_path, ".*")
    with replacing(tmp_path / "t.csv") as temporary:
        file(temporary)
        assert changed(capture) == []


def test_a_folder_may_be_made_later(tmp_path: Path) -> None:
    capture = DirectoryCapture(tmp_path / "later")
    assert capture.changed() == []
    file(tmp_path / "later" / "a")
    assert changed(capture) == ["a"]


def test_links_count_by_what_they_lead_to(tmp_path: Path) -> None:
    outside = file(tmp_path / "outside" / "f")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken").symlink_to("nowhere")
    capture = DirectoryCapture(folder, recursive=True)
    assert capture.changed() == []
    file(outside, "y")
    assert changed(capture) == ["link"]


def test_the_folder_belongs_to_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # C-14
    monkeypatch.chdir(tmp_path)
    capture = DirectoryCapture("out")
    file(tmp_path / "out" / "a")
    monkeypatch.chdir("/")
    assert capture.changed() == [tmp_path / "out" / "a"]


@pytest.mark.parametrize("pattern", ["../*", "a/../*", "**/.."])
def test_a_pattern_does_not_lead_out(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(PathEscape):
        DirectoryCapture(tmp_path, pattern)


@pytest.mark.parametrize("pattern", ["", "/etc/*"])
def test_a_pattern_is_relative_and_not_empty(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="not a glob"):
        DirectoryCapture(tmp_path, pattern)


def test_a_file_is_no_folder_to_capture(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        DirectoryCapture(file(tmp_path / "f"))


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["trips.csv", "log.txt"], ["log", "trips"]),
        (["a/x.csv", "b/x.csv"], ["a/x", "b/x"]),
        (["x.csv", "x.parquet"], ["x.csv", "x.parquet"]),
        (["a/x.csv", "a/x.parquet", "y.csv"], ["a/x.csv", "a/x.parquet", "y"]),
        (["x.csv", "x.csv.gz"], ["x.csv", "x.csv.gz"]),
        (["x", "x.csv"], ["x", "x.csv"]),
        (["data.2030.csv"], ["data.2030"]),
        (["trips.csv.gz"], ["trips"]),
        (["a b.csv", "a*b.csv"], ["a_b.csv", "a_b.csv-2"]),
        (["ä.csv", "-x.csv", "a..b.csv"], ["_-x", "a__b", "_"]),
        ([], []),
    ],
)
def test_files_are_known_by_the_shortest_name_that_is_theirs_alone(
    names: list[str], keys: list[str]
) -> None:
    found = capture_keys([f"/out/{name}" for name in names], "/out")
    assert list(found) == keys
    assert list(found.values()) == sorted(Path("/out") / name for name in names)


SEGMENTS = st.text("abxé. *-_:\\", min_size=1, max_size=6).filter(lambda name: name.strip("."))


@given(st.lists(st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join), max_size=12))
def test_keys_are_valid_distinct_and_the_same_in_any_order(names: list[str]) -> None:
    paths = [f"/out/{name}" for name in names]
    found = capture_keys(paths, "/out")
    assert sorted(map(str, found.values())) == sorted({os.path.normpath(path) for path in paths})
    assert found == capture_keys(reversed(paths), "/out")
    for key in found:
        assert KEY_PATTERN.fullmatch(key)
        assert ".." not in key
        assert "//" not in key


def test_long_names_stay_distinct() -> None:
    paths = [f"/out/{'x' * 300}{ending}" for ending in ("a", "b", "c")]
    keys = list(capture_keys(paths, "/out"))
    assert len(set(keys)) == 3
    assert all(KEY_PATTERN.fullmatch(key) for key in keys)
