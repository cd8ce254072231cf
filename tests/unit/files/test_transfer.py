"""Copying: whole, verified, and without touching anything else."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from consist.errors import ChangedWhileCopied, HashMismatch, PathEscape, StoreUnwritable, UsageError
from consist.files.transfer import copy

CONTENT = b"line\n" * 1000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_600_000_000_987_654_321))
    path.chmod(0o640)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a" / "deep" / "f").write_bytes(CONTENT)
    (root / "g").write_bytes(b"g")
    (root / "link").symlink_to("a/deep/f")
    return root


def listing(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kernel", [True, False])
def test_a_copy_has_bytes_times_and_permissions(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:  # HYD-016, HYD-028
    if not kernel:
        monkeypatch.setattr(os, "copy_file_range", refuse(errno.EXDEV), raising=False)
    target = tmp_path / "new" / "folder" / "copy.bin"
    copy(source, target)
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert target.stat().st_mode == source.stat().st_mode
    assert names(target.parent) == ["copy.bin"]


def refuse(number: int) -> object:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_an_empty_file_is_copied(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    copy(tmp_path / "empty", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b""


def test_a_read_only_file_is_copied(source: Path, tmp_path: Path) -> None:
    source.chmod(0o400)
    copy(source, tmp_path / "copy")
    copy(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_progress_counts_the_bytes(source: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    copy(source, tmp_path / "copy", progress=steps.append)
    assert sum(steps) == len(CONTENT)


def test_a_copy_that_is_not_confirmed_is_never_published(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"old")

    def refuse_it() -> None:
        assert len(names(tmp_path)) == 3, "the copy is complete and has no name yet"
        raise HashMismatch("source.bin", "a", "b")

    with pytest.raises(HashMismatch):
        copy(source, tmp_path / "copy", confirm=refuse_it)
    assert (tmp_path / "copy").read_bytes() == b"old"
    assert names(tmp_path) == ["copy", "source.bin"]


def test_replacing_can_be_forbidden(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        copy(source, tmp_path / "copy", replace=False)
    assert (tmp_path / "copy").read_bytes() == b"old"
    copy(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert names(tmp_path) == ["copy", "source.bin"]


def test_a_file_copied_onto_itself_stays(source: Path, tmp_path: Path) -> None:
    before = source.stat()
    (tmp_path / "way").symlink_to(tmp_path)
    for target in (source, tmp_path / "way" / "source.bin"):
        copy(source, target)
    assert source.stat().st_ino == before.st_ino
    assert source.read_bytes() == CONTENT


def test_a_second_name_of_the_source_becomes_a_file_of_its_own(
    source: Path, tmp_path: Path
) -> None:
    os.link(source, tmp_path / "second")
    copy(source, tmp_path / "second")
    assert not (tmp_path / "second").samefile(source)
    assert (tmp_path / "second").read_bytes() == CONTENT
    assert names(tmp_path) == ["second", "source.bin"]


# ---------------------------------------------------------------- links


def test_a_hard_link_is_the_source_and_neither_can_be_written(source: Path, tmp_path: Path) -> None:
    copy(source, tmp_path / "new" / "copy", link="hardlink")
    copy(source, tmp_path / "new" / "copy", link="hardlink")
    assert (tmp_path / "new" / "copy").samefile(source)
    for path in (source, tmp_path / "new" / "copy"):
        assert path.stat().st_mode & 0o777 == 0o440
    assert names(tmp_path / "new") == ["copy"]


def test_a_hard_link_replaces_what_was_there(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"old")
    copy(source, tmp_path / "copy", link="hardlink")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert names(tmp_path) == ["copy", "source.bin"]


def test_where_no_link_can_be_made_bytes_are_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EXDEV))
    copy(source, tmp_path / "copy", link="hardlink")
    assert not (tmp_path / "copy").samefile(source)
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert source.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_made_read_only_is_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chmod", refuse(errno.EPERM))
    copy(source, tmp_path / "copy", link="hardlink")
    assert not (tmp_path / "copy").samefile(source)
    assert source.stat().st_nlink == 1


def test_a_folder_of_hard_links_has_folders_of_its_own(tree: Path, tmp_path: Path) -> None:
    copy(tree, tmp_path / "copy", link="hardlink")
    assert listing(tmp_path / "copy") == listing(tree)
    assert (tmp_path / "copy" / "g").samefile(tree / "g")
    (tmp_path / "copy" / "new").touch()
    assert not (tree / "new").exists()


@pytest.mark.parametrize("link", ["reflink", "hardlink"])
def test_a_reflink_or_the_copy_in_its_place_can_be_written(
    source: Path, tmp_path: Path, link: str
) -> None:
    steps: list[int] = []
    copy(source, tmp_path / "copy", link=link, progress=steps.append)
    assert sum(steps) == len(CONTENT)
    if link == "reflink":
        (tmp_path / "copy").write_bytes(b"mine")
        assert source.read_bytes() == CONTENT


def test_a_link_is_no_destination(source: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"kept")
    for link, target in (("link", "victim"), ("broken", "nowhere")):
        (tmp_path / link).symlink_to(tmp_path / target)
        with pytest.raises(PathEscape, match=link):
            copy(source, tmp_path / link)
    assert (tmp_path / "victim").read_bytes() == b"kept"


def test_a_linked_source_is_copied_as_its_content(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    copy(tmp_path / "link", tmp_path / "copy")
    assert not (tmp_path / "copy").is_symlink()
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        copy(tmp_path / "gone", tmp_path / "copy")
    assert names(tmp_path) == []


def test_a_pipe_is_not_copied(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        copy(tmp_path / "pipe", tmp_path / "copy")


def test_a_folder_in_the_place_of_the_file_stays(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "kept").touch()
    with pytest.raises(StoreUnwritable):
        copy(source, tmp_path / "copy")
    assert names(tmp_path / "copy") == ["kept"]
    assert names(tmp_path) == ["copy", "source.bin"]


def test_a_full_disk_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "copy_file_range", refuse(errno.ENOSPC), raising=False)
    monkeypatch.setattr(os, "write", refuse(errno.ENOSPC))
    with pytest.raises(StoreUnwritable, match=r"copy: No space left") as caught:
        copy(source, tmp_path / "copy")
    assert "free some space" in caught.value.__notes__[0]
    assert names(tmp_path) == ["source.bin"]


def test_an_unreadable_source_is_not_taken_for_a_full_disk(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def denied(path: str, flags: int, *more: int) -> int:
        if path == str(source):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return really(path, flags, *more)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionError):
        copy(source, tmp_path / "copy")
    assert names(tmp_path) == ["source.bin"]


def test_a_file_that_changes_meanwhile_is_not_copied(source: Path, tmp_path: Path) -> None:
    def append(_: int) -> None:
        with source.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ChangedWhileCopied, match=r"source\.bin"):
        copy(source, tmp_path / "copy", progress=append)
    assert names(tmp_path) == ["source.bin"]


def test_an_interrupt_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, tmp_path / "copy", progress=interrupt)
    assert names(tmp_path) == ["source.bin"]


# ---------------------------------------------------------------- folders


def test_a_folder_is_copied_whole(tree: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    copy(tree, tmp_path / "new" / "copy", progress=steps.append)
    assert listing(tmp_path / "new" / "copy") == listing(tree)
    assert sum(steps) == len(CONTENT) + 1
    copied, original = tmp_path / "new" / "copy" / "g", tree / "g"
    assert copied.stat().st_mtime_ns == original.stat().st_mtime_ns


def test_a_folder_replaces_what_was_there(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").touch()
    with pytest.raises(FileExistsError):
        copy(tree, tmp_path / "copy", replace=False)
    assert names(tmp_path / "copy") == ["old"]
    copy(tree, tmp_path / "copy")
    assert listing(tmp_path / "copy") == listing(tree)
    assert names(tmp_path) == ["copy", "tree"]


def test_a_file_in_the_place_of_the_folder_stays(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("kept")
    with pytest.raises(StoreUnwritable):
        copy(tree, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "kept"
    assert names(tmp_path) == ["copy", "tree"]


def test_a_folder_that_is_not_confirmed_is_never_published(tree: Path, tmp_path: Path) -> None:
    def refuse_it() -> None:
        raise HashMismatch("tree", "a", "b")

    with pytest.raises(HashMismatch):
        copy(tree, tmp_path / "copy", confirm=refuse_it)
    assert names(tmp_path) == ["tree"]


def test_many_large_files_are_copied_in_parallel(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(24):
        (root / f"{number}.bin").write_bytes(os.urandom(1 << 18))
    threads: set[int] = set()

    def note(_: int) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.02)  # so that one of them cannot do it all before the other has begun

    copy(root, tmp_path / "copy", progress=note)
    assert listing(tmp_path / "copy") == listing(root)
    assert len(threads) > 1 or os.cpu_count() == 1


def test_a_failure_in_one_of_many_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(24):
        (root / f"{number}.bin").write_bytes(os.urandom(1 << 18))
    really = os.utime

    def fails(descriptor: int, **times: tuple[int, int]) -> None:
        if os.fstat(descriptor).st_size and next(calls) == 11:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor, **times)

    calls = itertools.count()
    monkeypatch.setattr(os, "utime", fails)
    with pytest.raises(StoreUnwritable, match="No space"):
        copy(root, tmp_path / "copy")
    assert names(tmp_path) == ["tree"]


@pytest.mark.parametrize("text", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_link_that_leads_out_of_the_folder_is_refused(
    tree: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "outside").write_text("secret")
    (tree / "way").symlink_to(text)
    with pytest.raises(PathEscape, match="way"):
        copy(tree, tmp_path / "copy")
    assert names(tmp_path) == ["outside", "tree"]


def test_a_folder_is_not_copied_into_itself(tree: Path, tmp_path: Path) -> None:
    for source, target in ((tree, tree / "a" / "copy"), (tree / "a", tree)):
        with pytest.raises(UsageError, match="in one another"):
            copy(source, target)
    assert (tree / "a" / "deep" / "f").exists()


def test_a_failure_halfway_leaves_the_old_folder(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").touch()
    os.mkfifo(tree / "pipe")
    with pytest.raises(UsageError, match="pipe"):
        copy(tree, tmp_path / "copy")
    assert names(tmp_path / "copy") == ["old"]
    assert names(tmp_path) == ["copy", "tree"]


def test_if_the_new_folder_cannot_be_named_the_old_one_returns(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "old").touch()
    rename, calls = os.rename, iter(range(3))

    def second_fails(source: str, target: str) -> None:
        if next(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(StoreUnwritable):
        copy(tree, tmp_path / "copy")
    assert names(tmp_path / "copy") == ["old"]
    assert names(tmp_path) == ["copy", "tree"]
