"""Writing: whole, or not at all, with nothing left behind."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from consist.errors import StoreUnwritable
from consist.files import atomic
from consist.files.atomic import replacing, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_made_with_its_folders(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "f.json", b"one")
    assert (tmp_path / "a" / "b" / "f.json").read_bytes() == b"one"
    assert names(tmp_path / "a" / "b") == ["f.json"]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for content in (b"a long first version", b"short", b""):
        write_atomic(tmp_path / "f", content)
        assert (tmp_path / "f").read_bytes() == content
    assert names(tmp_path) == ["f"]


def test_a_relative_path_belongs_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic("f", b"x")
    write_atomic("g", b"x", exclusive=True)
    assert names(tmp_path) == ["f", "g"]


def test_an_exclusive_write_never_replaces(tmp_path: Path) -> None:  # G-16
    write_atomic(tmp_path / "f", b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "f", b"second", exclusive=True)
    assert (tmp_path / "f").read_bytes() == b"first"
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("links", [True, False])
def test_of_many_exclusive_writers_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    won: list[int] = []
    gate = threading.Barrier(8)

    def claim(number: int) -> None:
        gate.wait()
        try:
            write_atomic(tmp_path / "f", b"%d" % number, exclusive=True)
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "f").read_bytes() == b"%d" % won[0]
    assert names(tmp_path) == ["f"]


def test_a_file_system_that_cannot_exchange_is_written_by_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_renameat2", lambda: None)
    for content in (b"one", b"two"):
        write_atomic(tmp_path / "f", content)
    assert (tmp_path / "f").read_bytes() == b"two"
    assert names(tmp_path) == ["f"]


def test_a_folder_in_the_place_of_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "inside").write_text("kept")
    with pytest.raises(StoreUnwritable):
        write_atomic(tmp_path / "f", b"x")
    assert (tmp_path / "f" / "inside").read_text() == "kept"
    assert names(tmp_path) == ["f"]


def test_readers_see_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    path, versions = tmp_path / "f", [b"a" * 9_000, b"b" * 5_000]
    write_atomic(path, versions[0])
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(500):
        write_atomic(path, versions[number % 2])
    done.set()
    reader.join()
    assert seen <= set(versions)


def refuse(number: int) -> object:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "space"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EIO, "")],
)
def test_a_failed_write_leaves_nothing_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    write_atomic(tmp_path / "f", b"old")
    monkeypatch.setattr(os, "write", refuse(number))
    with pytest.raises(StoreUnwritable) as caught:
        write_atomic(tmp_path / "f", b"new")
    assert caught.value.path == str(tmp_path / "f")
    assert caught.value.reason == os.strerror(number)
    assert remedy in " ".join(getattr(caught.value, "__notes__", [""]))
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk, without a device of our own."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    script = (
        "import sys; from consist.files.atomic import write_atomic;"
        "from consist.errors import StoreUnwritable\n"
        "try: write_atomic(sys.argv[1], b'x' * 5000)\n"
        "except StoreUnwritable as error: print(error.reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "f")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == os.strerror(errno.EFBIG), done.stderr
    assert names(tmp_path) == []


@pytest.mark.usefixtures("permissions_count")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreUnwritable, match="Permission denied"):
            write_atomic(tmp_path / "f", b"x")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable) as caught:
        write_atomic(tmp_path / "file" / "f", b"x")
    assert "a file stands where a folder is needed" in caught.value.__notes__


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "f", b"x")
    assert names(tmp_path) == []


# ---------------------------------------------------------------- replacing


def test_a_writer_gets_a_path_with_the_same_suffixes(tmp_path: Path) -> None:
    target = tmp_path / "new" / "table.csv.gz"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffixes[-2:] == [".csv", ".gz"]
        temporary.write_bytes(b"x")
        assert not target.exists()
    assert target.read_bytes() == b"x"
    assert names(target.parent) == ["table.csv.gz"]


def test_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"old")

    def fail() -> None:
        with replacing(tmp_path / "t.csv") as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "t.csv").read_bytes() == b"old"
    assert names(tmp_path) == ["t.csv"]


def test_a_writer_that_writes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritable), replacing(tmp_path / "t.csv"):
        pass


# ---------------------------------------------------------------- replacing folders


@pytest.fixture(params=["exchange", "rename"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test as on this system, and as on one that cannot swap two names."""
    if request.param == "rename":
        monkeypatch.setattr(atomic, "_renameat2", lambda: None)


def write_folder(target: Path, **files: str) -> None:
    with replacing(target) as temporary:
        (temporary / "inner").mkdir(parents=True)
        for name, content in files.items():
            (temporary / "inner" / name).write_text(content)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.usefixtures("either_way")
def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "s.zarr"
    write_folder(target, a="1", b="2")
    assert contents(target) == {"inner/a": "1", "inner/b": "2"}
    with replacing(f"{target}/") as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "c").write_text("3")
    assert contents(target) == {"inner/c": "3"}
    assert names(target.parent) == ["s.zarr"]


@pytest.mark.usefixtures("either_way")
def test_an_empty_folder_and_a_link_to_a_folder_are_replaced_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "elsewhere", a="kept")
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("empty", "link"):
        write_folder(tmp_path / name, b="2")
        assert contents(tmp_path / name) == {"inner/b": "2"}
    assert contents(tmp_path / "elsewhere") == {"inner/a": "kept"}
    assert names(tmp_path) == ["elsewhere", "empty", "link"]


@pytest.mark.usefixtures("either_way")
def test_a_folder_whose_writer_fails_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "s.zarr"
    write_folder(target, a="old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.mkdir()
            (temporary / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert contents(target) == {"inner/a": "old"}
    assert names(tmp_path) == ["s.zarr"]


@pytest.mark.usefixtures("either_way")
def test_a_file_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("kept")
    with pytest.raises(StoreUnwritable) as caught:
        write_folder(tmp_path / "f", a="1")
    assert "a file stands where a folder is needed" in caught.value.__notes__
    assert (tmp_path / "f").read_text() == "kept"
    assert names(tmp_path) == ["f"]


@pytest.mark.usefixtures("either_way")
def test_a_folder_in_the_place_of_a_replaced_file_stays(tmp_path: Path) -> None:
    write_folder(tmp_path / "f", a="kept")
    with (
        pytest.raises(StoreUnwritable, match="f: Is a directory") as caught,
        replacing(tmp_path / "f") as temporary,
    ):
        temporary.write_text("x")
    assert "a folder stands where the file should go" in caught.value.__notes__
    assert contents(tmp_path / "f") == {"inner/a": "kept"}
    assert names(tmp_path) == ["f"]


def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_renameat2", lambda: None)
    write_folder(tmp_path / "s", a="old")
    rename = os.rename

    def only_aside(source: str, target: str) -> None:
        if target == str(tmp_path / "s") and (Path(source) / "inner" / "b").exists():
            number = errno.EIO if not Path(target).exists() else errno.ENOTEMPTY
            raise OSError(number, os.strerror(number))
        rename(source, target)

    monkeypatch.setattr(os, "rename", only_aside)
    with pytest.raises(StoreUnwritable):
        write_folder(tmp_path / "s", b="new")
    assert contents(tmp_path / "s") == {"inner/a": "old"}
    assert names(tmp_path) == ["s"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps two names")
def test_a_folder_that_is_replaced_is_never_absent(tmp_path: Path) -> None:
    target, done = tmp_path / "s", threading.Event()
    write_folder(target, a="0")
    seen: set[bool] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(target.is_dir())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        write_folder(target, a=str(number))
    done.set()
    reader.join()
    assert seen == {True}


@pytest.mark.usefixtures("either_way")
def test_of_many_writers_of_a_folder_one_stays_whole(tmp_path: Path) -> None:
    gate = threading.Barrier(6)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        gate.wait()
        try:
            write_folder(tmp_path / "s", **{f"{part}{number}": str(number) for part in "abc"})
        except StoreUnwritable as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(contents(tmp_path / "s").values())) == 1
    assert len(contents(tmp_path / "s")) == 3
    assert names(tmp_path) == ["s"]
