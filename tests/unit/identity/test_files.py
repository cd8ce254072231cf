"""Digests of files and directories (SIG-004, SIG-008, G-20)."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from consist.errors import IdentityError
from consist.identity.files import (
    digest_many,
    digest_path,
    directory_digest,
    fast_digest,
    file_digest,
    scan_directory,
    tree_digest,
)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1 << 18, (1 << 20) + 1])
def test_a_file_digest_is_the_sha256_of_its_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "data"
    content = os.urandom(size)
    path.write_bytes(content)
    assert file_digest(path) == hashlib.sha256(content).hexdigest()
    assert file_digest(str(path)) == digest_path(path) == file_digest(path)


def test_a_missing_file_stays_the_callers_business(tmp_path: Path) -> None:
    """G-23: who knows what the path was for raises the error that says so."""
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        file_digest(tmp_path / "file" / "none")
    with pytest.raises(FileNotFoundError):
        directory_digest(tmp_path / "none")
    with pytest.raises(NotADirectoryError):
        directory_digest(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        digest_path(tmp_path / "none")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="is not a regular file") as caught:
        file_digest(tmp_path)
    assert "directory_digest" in caught.value.__notes__[0]


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IdentityError, match="pipe is not a regular file"):
        file_digest(tmp_path / "pipe")


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the refusal of the system is played."""
    path = tmp_path / "locked"
    path.touch()

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(IdentityError, match=r"cannot read .*locked: Permission denied"):
        file_digest(path)


def test_a_read_that_fails_half_way_gives_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x")

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(IdentityError, match="data: Input/output error"):
        file_digest(path)


def test_a_folder_that_cannot_be_listed_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir
    (tmp_path / "inner").mkdir()

    def refuse(folder: str) -> object:
        if folder.endswith("inner"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(IdentityError, match=r"cannot read .*inner: Permission denied"):
        directory_digest(tmp_path)


def test_a_fast_digest_is_of_size_and_time_and_says_so(tmp_path: Path) -> None:
    """G-20."""
    path = tmp_path / "data"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 1))
    before = fast_digest(path.stat())
    assert before.startswith("fast:")
    path.write_bytes(b"two")
    os.utime(path, ns=(5, 1))
    assert fast_digest(path.stat()) == before
    os.utime(path, ns=(0, 2))
    assert fast_digest(path.stat()) != before
    path.write_bytes(b"three")
    os.utime(path, ns=(0, 1))
    assert fast_digest(path.stat()) != before


# ---------------------------------------------------------------- directories


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "b.txt").write_text("b")
    (root / "sub" / "c.txt").write_text("c")
    (root / ".hidden").write_text("h")
    return root


def test_a_directory_digest_knows_neither_its_place_nor_times(folder: Path, tmp_path: Path) -> None:
    before = directory_digest(folder)
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    for path in copy.rglob("*"):
        os.utime(path, ns=(1, 1))
    assert directory_digest(copy) == before
    assert digest_path(str(copy) + "/") == before


def test_a_directory_digest_hangs_not_on_the_order_of_the_system(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = directory_digest(folder)
    scan = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scan(path) as found:
                self.items = list(found)[::-1]

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.items

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert directory_digest(folder) == before


def change_a_file(folder: Path) -> None:
    (folder / "a.txt").write_text("A")


def rename_a_file(folder: Path) -> None:
    (folder / "a.txt").rename(folder / "z.txt")


def exchange_two_files(folder: Path) -> None:
    (folder / "a.txt").write_text("b")
    (folder / "b.txt").write_text("a")


def move_a_boundary(folder: Path) -> None:
    (folder / "a.txt").write_text("ab")
    (folder / "b.txt").write_text("")


def change_a_hidden_file(folder: Path) -> None:
    (folder / ".hidden").write_text("other")


def move_a_file_up(folder: Path) -> None:
    (folder / "sub" / "c.txt").rename(folder / "c.txt")


def add_an_empty_folder(folder: Path) -> None:
    (folder / "empty").mkdir()


def add_an_empty_file(folder: Path) -> None:
    (folder / "empty").touch()


def remove_an_empty_folder(folder: Path) -> None:
    (folder / "sub" / "deep").rmdir()


def turn_a_folder_into_a_file(folder: Path) -> None:
    (folder / "sub" / "deep").rmdir()
    (folder / "sub" / "deep").touch()


def add_a_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")


def add_another_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "link").symlink_to("nowhere else")


def add_a_link_upwards(folder: Path) -> None:
    (folder / "sub" / "link").symlink_to("..")


def add_a_link_to_a_file(folder: Path) -> None:
    (folder / "link").symlink_to("a.txt")


def add_a_socket(folder: Path) -> None:
    where = Path.cwd()
    os.chdir(folder)  # names of sockets have to be short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
    os.chdir(where)


CHANGES = [
    change_a_file,
    rename_a_file,
    exchange_two_files,
    move_a_boundary,
    change_a_hidden_file,
    move_a_file_up,
    add_an_empty_folder,
    add_an_empty_file,
    remove_an_empty_folder,
    turn_a_folder_into_a_file,
    add_a_link_that_leads_nowhere,
    add_another_link_that_leads_nowhere,
    add_a_link_upwards,
    add_a_link_to_a_file,
    add_a_socket,
]


def test_everything_that_a_reader_could_see_counts(folder: Path, tmp_path: Path) -> None:
    """SIG-008: changing anything inside changes the signature."""
    digests = {directory_digest(folder)}
    for number, change in enumerate(CHANGES):
        changed = tmp_path / str(number)
        shutil.copytree(folder, changed)
        change(changed)
        digests.add(directory_digest(changed))
    assert len(digests) == len(CHANGES) + 1


def test_a_link_counts_as_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "target")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "file").symlink_to(folder / "a.txt")
    (linked / "tree").symlink_to(tmp_path / "target")
    copied = tmp_path / "copied"
    shutil.copytree(linked, copied)  # follows links
    assert not (copied / "file").is_symlink()
    assert directory_digest(linked) == directory_digest(copied)
    (folder / "a.txt").write_text("changed")
    assert directory_digest(linked) != directory_digest(copied)


def test_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = {entry.relative: entry.kind for entry in scan_directory(tmp_path)}
    assert found["a/to_b/to_a"] == "link"
    assert found["b/to_a/to_b"] == "link"
    assert found["self"] == "link"
    assert directory_digest(tmp_path) == directory_digest(tmp_path)


def test_an_empty_directory_has_a_digest_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert directory_digest(tmp_path / "empty") != file_digest(tmp_path / "file")


def test_names_that_are_not_utf8_count(tmp_path: Path) -> None:
    digests: set[str] = set()
    for name in (b"\xff", b"\xfe", "ü".encode()):
        path = tmp_path / os.fsdecode(name)
        path.touch()
        digests.add(directory_digest(tmp_path))
        path.unlink()
    assert len(digests) == 3


def test_a_scan_looks_at_everything_once(folder: Path) -> None:
    found = scan_directory(folder)
    names = [entry.relative for entry in found]
    assert names == sorted([".hidden", "a.txt", "b.txt", "sub", "sub/c.txt", "sub/deep"])
    assert {entry.relative: entry.stat.st_size for entry in found}["a.txt"] == 1


def test_a_memo_can_do_the_work_in_its_own_steps(folder: Path) -> None:
    entries = scan_directory(folder)
    contents = {
        entry.relative: file_digest(folder / entry.relative)
        for entry in entries
        if entry.kind == "file"
    }
    assert tree_digest(folder, entries, contents) == directory_digest(folder)


def test_the_digest_of_a_file_can_be_taken_by_another(folder: Path) -> None:
    asked: list[str] = []

    def remembered(path: str) -> str:
        asked.append(path)
        return file_digest(path)

    assert directory_digest(folder, remembered) == directory_digest(folder)
    assert sorted(asked) == sorted(str(path) for path in folder.rglob("*") if path.is_file())


def test_a_directory_of_fast_digests_says_so(folder: Path) -> None:
    found = directory_digest(folder, lambda path: fast_digest(Path(path).stat()))
    assert found.startswith("fast:")
    assert not directory_digest(folder).startswith("fast:")


# ---------------------------------------------------------------- many files


@pytest.fixture
def many(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / str(number) for number in range(300)]
    for path in paths:
        path.write_bytes(path.name.encode() * 10)
    return paths


@pytest.mark.parametrize("workers", [None, 1, 2, 7, 1000])
def test_digests_come_in_the_order_of_the_files(many: list[Path], workers: int | None) -> None:
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in many]
    assert digest_many(many, workers=workers) == expected
    assert digest_many([], workers=workers) == []


def test_large_files_are_digested_by_several_threads(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(bytes(2 << 20))
    both = threading.Barrier(2, timeout=10)

    def meet(path: str) -> str:
        both.wait()  # breaks unless two threads are at work at once
        return file_digest(path)

    if (os.cpu_count() or 1) < 2:
        pytest.skip("one processor")
    assert digest_many(paths, meet) == digest_many(paths)
    assert digest_many(paths, meet, sizes=[2 << 20, 2 << 20])


def test_slow_small_files_are_waited_for_together(many: list[Path]) -> None:
    def distant(path: str) -> str:
        time.sleep(0.005)
        return file_digest(path)

    threads: set[int] = set()

    def watched(path: str) -> str:
        threads.add(threading.get_ident())
        return distant(path)

    assert digest_many(many, watched) == digest_many(many)
    assert len(threads) > 1


def test_small_files_at_hand_need_no_threads(many: list[Path]) -> None:
    threads: set[int] = set()

    def watched(path: str) -> str:
        threads.add(threading.get_ident())
        return file_digest(path)

    digest_many(many[:20], watched)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("workers", [None, 1, 4])
def test_the_first_failure_is_the_one_that_is_raised(many: list[Path], workers: int | None) -> None:
    many[5].unlink()
    with pytest.raises(FileNotFoundError, match=r"5'$"):
        digest_many(many, workers=workers)


def test_no_thread_outlives_the_call(many: list[Path]) -> None:
    before = threading.active_count()
    many[0].unlink()
    with pytest.raises(FileNotFoundError):
        digest_many(many, workers=8)
    assert threading.active_count() == before


def test_an_interrupt_stops_the_work(many: list[Path]) -> None:
    done: list[str] = []

    def interrupted(path: str) -> str:
        done.append(path)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.001)
        return ""

    with pytest.raises(KeyboardInterrupt):
        digest_many(many, interrupted, workers=3)
    assert len(done) < len(many)


def test_a_file_grows_the_process_by_a_buffer_only(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    file_digest(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
