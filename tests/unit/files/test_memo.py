"""The memo: never a wrong digest, and no reading where nothing changed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consist.errors import IdentityError, InvalidOption
from consist.files import stamps
from consist.files.memo import Memo
from consist.identity import files as identity


class Counting:
    """Digests files and remembers which ones it read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: str) -> str:
        self.read.append(path)
        return sha(Path(path).read_bytes())


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file(path: Path, content: bytes = b"one") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def settle() -> None:
    time.sleep(0.03)


class Clock:
    """Stands in for the clock, so that no test hangs on how fast the machine is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(stamps, "time", self)

    def after(self, seconds: float, path: Path) -> None:
        """Set the clock to some seconds after the last change of a file, or of one below."""
        paths = [path, *(path.rglob("*") if path.is_dir() else ())]
        self.now = max(path.stat().st_ctime for path in paths) + seconds

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def reads() -> Counting:
    return Counting()


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.sqlite"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = file(tmp_path / "data" / "a.csv")
    settle()
    return path


# ---------------------------------------------------------------- one file


def test_an_unchanged_file_is_read_once(data: Path, reads: Counting) -> None:
    memo = Memo(digest_file=reads)
    assert [memo.digest(data) for _ in range(3)] == [sha(b"one")] * 3
    assert len(reads.read) == 1


@pytest.mark.parametrize("content", [b"two", b"another length"])
def test_a_changed_file_is_read_again(data: Path, reads: Counting, content: bytes) -> None:
    memo = Memo(digest_file=reads)
    memo.digest(data)
    data.write_bytes(content)
    assert memo.digest(data) == sha(content)


def test_size_and_time_that_were_put_back_do_not_deceive(data: Path, reads: Counting) -> None:
    memo, before = Memo(digest_file=reads), data.stat()
    memo.digest(data)
    data.write_bytes(b"two")
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert data.stat().st_size == before.st_size
    assert memo.digest(data) == sha(b"two")


def test_another_file_renamed_into_its_place_is_seen(data: Path, reads: Counting) -> None:
    memo, before = Memo(digest_file=reads), data.stat()
    memo.digest(data)
    other = file(data.with_name("other"), b"two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(data)
    assert memo.digest(data) == sha(b"two")


def test_a_file_that_was_just_written_is_not_trusted(data: Path, reads: Counting) -> None:
    """A second write within one tick of the clock leaves size and times as they are."""
    memo = Memo(digest_file=reads)
    for number in range(200):
        content = b"%03d" % (number % 100)
        with data.open("r+b") as same:
            same.write(content)
        assert memo.digest(data) == sha(content)


def test_a_young_file_is_kept_once_it_is_old_enough(
    data: Path, reads: Counting, clock: Clock
) -> None:
    memo = Memo(digest_file=reads)
    for seconds, count in ((0.001, 1), (0.019, 2), (0.021, 3), (9, 3)):
        clock.after(seconds, data)
        memo.digest(data)
        assert len(reads.read) == count


def test_a_file_from_the_future_is_not_kept(data: Path, reads: Counting, clock: Clock) -> None:
    memo = Memo(digest_file=reads)
    clock.after(-3600, data)
    memo.digest(data)
    memo.digest(data)
    assert len(reads.read) == 2


def test_a_large_young_file_is_worth_a_short_wait(
    tmp_path: Path, reads: Counting, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "_BYTES_PER_SECOND", 1e3)
    memo, path = Memo(digest_file=reads), file(tmp_path / "large", b"x" * 1000)
    clock.after(0.001, path)
    memo.digest(path)
    memo.digest(path)
    assert len(reads.read) == 1


@pytest.mark.parametrize("cause", ["network", "whole seconds"])
def test_coarse_or_foreign_clocks_get_longer_to_settle(
    data: Path, reads: Counting, clock: Clock, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    if cause == "network":
        monkeypatch.setattr(stamps, "is_network_device", lambda _: True)
        changed = data.stat().st_ctime
    else:
        changed = float(int(data.stat().st_ctime))
        whole = os.stat_result(tuple(data.stat()), {"st_ctime_ns": int(changed) * 1_000_000_000})
        monkeypatch.setattr(os, "stat", lambda _: whole)
    memo = Memo(digest_file=reads)
    for seconds, count in ((0.1, 1), (2.4, 2), (2.6, 3), (9, 3)):
        clock.now = changed + seconds
        memo.digest(data)
        assert len(reads.read) == count


def test_a_file_that_changes_while_it_is_read_is_read_again(data: Path) -> None:
    contents = iter([b"second", b"third!"])

    def disturbed(path: str) -> str:
        found = sha(Path(path).read_bytes())
        if (content := next(contents, None)) is not None:
            Path(path).write_bytes(content)
        return found

    assert Memo(digest_file=disturbed).digest(data) == sha(b"third!")


def test_a_file_that_never_rests_is_an_error(data: Path) -> None:
    def disturbed(path: str) -> str:
        with Path(path).open("ab") as growing:
            growing.write(b"x")
        return "digest"

    with pytest.raises(IdentityError, match=r"a\.csv changes while it is read"):
        Memo(digest_file=disturbed).digest(data)


def test_failures_are_errors_and_never_kept(data: Path, tmp_path: Path, reads: Counting) -> None:
    def refuse(path: str) -> str:
        raise IdentityError(f"cannot read {path}")

    memo = Memo(tmp_path / "memo", digest_file=refuse)
    for _ in range(2):
        with pytest.raises(IdentityError, match=r"a\.csv"):
            memo.digest(data)
    memo.close()
    assert Memo(tmp_path / "memo", digest_file=reads).digest(data) == sha(b"one")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    memo = Memo()
    for ask in (memo.digest, memo.directory, lambda path: memo.digest_many([path])):
        with pytest.raises(FileNotFoundError, match="gone"):
            ask(tmp_path / "gone")


def test_a_file_that_went_away_is_missing_though_it_was_known(data: Path) -> None:
    memo = Memo()
    memo.digest(data)
    data.unlink()
    with pytest.raises(FileNotFoundError):
        memo.digest(data)


def test_a_pipe_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IdentityError, match="pipe"):
        Memo().digest(tmp_path / "pipe")


def test_relative_paths_follow_the_current_folder(
    tmp_path: Path, reads: Counting, keep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x", "y"):
        file(tmp_path / name / "f", name.encode())
    settle()
    memo = Memo(keep, digest_file=reads)
    for name in ("x", "y", "x"):
        monkeypatch.chdir(tmp_path / name)
        assert memo.digest("f") == sha(name.encode())
    memo.close()
    monkeypatch.chdir(tmp_path)
    assert Memo(keep, digest_file=reads).digest("x/f") == sha(b"x")
    assert len(reads.read) == 3


def test_memory_is_bounded(tmp_path: Path, reads: Counting) -> None:
    memo = Memo(digest_file=reads, capacity=10)
    paths = [file(tmp_path / f"{number}") for number in range(50)]
    settle()
    memo.digest_many(paths)
    assert len(memo._known) <= 10
    memo.digest(paths[-1])
    assert len(reads.read) == 50


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("wukrd"), st.binary(max_size=3)), max_size=25))
def test_whatever_happens_to_a_file_its_digest_is_that_of_its_bytes(
    tmp_path: Path, steps: list[tuple[str, bytes]]
) -> None:
    path, keep = tmp_path / "f", tmp_path / "memo"
    path.write_bytes(b"")
    memo = Memo(keep, digest_file=identity.file_digest)
    for step, content in steps:
        before = path.stat()
        match step:
            case "w":
                path.write_bytes(content)
            case "u":  # rewrite and put the time back
                path.write_bytes(content)
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            case "k":  # another process starts
                memo.close()
                memo = Memo(keep, digest_file=identity.file_digest)
            case "r":
                file(tmp_path / "g", content).replace(path)
            case _:
                time.sleep(0.025)
        assert memo.digest(path) == sha(path.read_bytes())
    memo.close()


# ---------------------------------------------------------------- many files


@pytest.mark.parametrize("size", [10, 300_000])
def test_many_files_are_digested_in_order(tmp_path: Path, size: int) -> None:
    paths = [file(tmp_path / f"{n}", b"%d" % n * size) for n in range(20)]
    expected = [sha(path.read_bytes()) for path in paths]
    settle()
    reads, done = Counting(), list[int]()
    memo = Memo(digest_file=reads)
    memo.digest(paths[3])
    asked = [*paths, paths[0]]
    assert memo.digest_many(asked, done.append) == [*expected, expected[0]]
    assert sorted(reads.read) == sorted(map(str, paths))
    assert sum(done) == sum(path.stat().st_size for path in paths)
    assert memo.digest_many(paths) == expected
    assert len(reads.read) == 20
    assert memo.digest_many([]) == []


def test_folders_are_digested_among_files(tmp_path: Path) -> None:
    one, folder = file(tmp_path / "f"), file(tmp_path / "d" / "g").parent
    memo = Memo()
    assert memo.digest_many([folder, one]) == [memo.directory(folder), sha(b"one")]


def test_the_first_failure_of_many_is_raised(tmp_path: Path) -> None:
    paths = [file(tmp_path / "f"), tmp_path / "pipe"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IdentityError, match="pipe"):
        Memo().digest_many(paths)


def test_threads_may_share_a_memo(tmp_path: Path, keep: Path) -> None:
    paths = [file(tmp_path / f"{n}", b"%d" % n) for n in range(300)]
    settle()
    memo = Memo(keep, capacity=100)
    wrong: list[Path] = []

    def work() -> None:
        wrong.extend(p for p in paths * 3 if memo.digest(p) != sha(p.read_bytes()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memo.close()
    assert not wrong


# ---------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    for name in ("a", "b/c", "b/.hidden"):
        file(root / name, name.encode())
    (root / "empty").mkdir()
    settle()
    return root


def test_a_folder_has_the_digest_that_identity_gives(folder: Path) -> None:
    memo = Memo()
    assert memo.directory(folder) == identity.directory_digest(folder) == memo.digest(folder)


def test_an_unchanged_folder_is_read_once(folder: Path, reads: Counting, keep: Path) -> None:
    memo = Memo(keep, digest_file=reads)
    first = memo.directory(folder)
    assert memo.directory(folder) == first
    memo.close()
    assert Memo(keep, digest_file=reads).directory(folder) == first
    assert len(reads.read) == 3


def test_only_changed_files_of_a_folder_are_read_again(
    folder: Path, reads: Counting, keep: Path
) -> None:
    memo = Memo(keep, digest_file=reads)
    first = memo.directory(folder)
    file(folder / "a", b"A")
    file(folder / "new", b"n")
    settle()
    reads.read.clear()
    assert memo.directory(folder) == identity.directory_digest(folder) != first
    assert sorted(reads.read) == [str(folder / "a"), str(folder / "new")]


def test_a_folder_that_was_just_written_is_not_trusted(
    folder: Path, reads: Counting, clock: Clock
) -> None:
    memo = Memo(digest_file=reads)
    for seconds, count in ((0.001, 3), (0.019, 6), (0.021, 9), (9, 9)):
        clock.after(seconds, folder)
        memo.directory(folder)
        assert len(reads.read) == count


def test_a_large_young_folder_is_worth_a_short_wait(
    folder: Path, reads: Counting, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "_BYTES_PER_SECOND", 1.0)
    memo = Memo(digest_file=reads)
    clock.after(0.001, folder)
    memo.directory(folder)
    memo.directory(folder)
    assert len(reads.read) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a").rename(root / "z"),
        lambda root: (root / "empty").rmdir(),
        lambda root: (root / "another").mkdir(),
        lambda root: (root / "b" / ".hidden").unlink(),
        lambda root: (root / "link").symlink_to("nowhere"),
        lambda root: (root / "link").symlink_to("b"),
        lambda root: (root / "a").write_bytes(b"A"),
    ],
)
def test_every_change_in_a_folder_is_seen(
    folder: Path, keep: Path, change: Callable[[Path], object]
) -> None:
    memo = Memo(keep)
    before = memo.directory(folder)
    change(folder)
    for _ in range(2):
        assert memo.directory(folder) == identity.directory_digest(folder) != before
        settle()


def test_a_folder_with_links_to_folders_is_followed(folder: Path, tmp_path: Path) -> None:
    outside = file(tmp_path / "outside" / "f")
    (folder / "way").symlink_to(outside.parent)
    settle()
    memo = Memo()
    before = memo.directory(folder)
    assert memo.directory(folder) == before
    file(outside, b"two")
    assert memo.directory(folder) == identity.directory_digest(folder) != before


def test_a_folder_that_changes_while_it_is_read_is_read_again(folder: Path) -> None:
    removals = iter([folder / "b" / "c"])

    def disturbed(path: str) -> str:
        for gone in removals:
            gone.unlink()
        return identity.file_digest(path)

    assert Memo(digest_file=disturbed).directory(folder) == identity.directory_digest(folder)


def test_a_folder_that_never_rests_is_an_error(folder: Path) -> None:
    numbers = iter(range(1000))

    def disturbed(path: str) -> str:
        file(folder / f"new{next(numbers)}")
        return identity.file_digest(path)

    with pytest.raises(IdentityError, match="folder changes while it is read"):
        Memo(digest_file=disturbed).directory(folder)


def test_a_file_is_no_folder(data: Path) -> None:
    with pytest.raises(NotADirectoryError):
        Memo().directory(data)


# ---------------------------------------------------------------- fast


def test_the_fast_strategy_never_reads(data: Path, folder: Path, reads: Counting) -> None:  # G-20
    memo = Memo(strategy="fast", digest_file=reads)
    assert memo.digest(data) == identity.fast_digest(data.stat())
    assert memo.directory(folder).startswith("fast:")
    before = memo.directory(folder)
    file(folder / "a", b"longer than before")
    assert memo.directory(folder) != before
    assert memo.digest_many([data]) == [memo.digest(data)]
    assert not reads.read


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'full', 'fast'"):
        Memo(strategy="quick")  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["full", "fast"])
def test_recorded_digests_of_either_strategy_are_compared(
    data: Path, folder: Path, strategy: str
) -> None:
    memo = Memo(strategy=strategy)  # type: ignore[arg-type]
    for path in (data, folder):
        for recorded in (Memo().digest(path), Memo(strategy="fast").digest(path)):
            assert memo.matches(path, recorded)
            assert not memo.matches(path, recorded[:-1] + "x")
    assert not memo.matches(data.with_name("gone"), "fast:x")


# ---------------------------------------------------------------- the file between processes


def test_another_process_need_not_read_again(data: Path, reads: Counting, keep: Path) -> None:
    first = Memo(keep, digest_file=reads)
    first.digest(data)
    first.close()
    assert Memo(keep, digest_file=reads).digest(data) == sha(b"one")
    assert len(reads.read) == 1


def test_no_file_is_made_before_there_is_something_to_keep(
    data: Path, keep: Path, clock: Clock
) -> None:
    memo = Memo(keep)
    clock.after(0.001, data)
    memo.digest(data)
    memo.close()
    assert not keep.parent.exists()


def test_new_digests_are_written_in_batches(tmp_path: Path, keep: Path) -> None:
    paths = [file(tmp_path / f"{n}") for n in range(300)]
    settle()
    memo = Memo(keep)
    memo.digest_many(paths)
    assert rows(keep) == 256
    memo.flush()
    assert rows(keep) == 300
    memo.close()


def rows(keep: Path) -> int:
    with sqlite3.connect(keep) as connection:
        return connection.execute("SELECT count(*) FROM file").fetchone()[0]


def test_a_closed_memo_goes_on(data: Path, keep: Path, reads: Counting) -> None:
    memo = Memo(keep, digest_file=reads)
    memo.close()
    memo.digest(data)
    memo.close()
    memo.close()
    assert rows(keep) == 1


def drop_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript("DROP TABLE file; CREATE TABLE file (path TEXT)")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(b""),
        drop_table,
    ],
)
def test_a_damaged_file_is_made_anew(
    data: Path, keep: Path, reads: Counting, damage: Callable[[Path], object]
) -> None:
    for _ in range(2):
        memo = Memo(keep, digest_file=reads)
        memo.digest(data)
        memo.close()
        damage(keep)
    after = Memo(keep, digest_file=reads)
    assert after.digest(data) == sha(b"one")
    after.close()
    again = Memo(keep, digest_file=reads)
    count = len(reads.read)
    again.digest(data)
    assert len(reads.read) == count


def test_rows_of_the_wrong_kind_count_as_unknown(data: Path, folder: Path, keep: Path) -> None:
    memo = Memo(keep)
    memo.digest(data)
    memo.directory(folder)
    memo.close()
    with sqlite3.connect(keep) as connection:
        connection.executescript(
            "UPDATE file SET digest = NULL; UPDATE folder SET digest = NULL, contents = 'garbage'"
        )
    again = Memo(keep)
    assert again.digest(data) == sha(b"one")
    assert again.directory(folder) == identity.directory_digest(folder)


def test_a_file_of_another_version_is_made_anew(data: Path, keep: Path) -> None:
    memo = Memo(keep)
    memo.digest(data)
    memo.close()
    with sqlite3.connect(keep) as connection:
        connection.execute("PRAGMA user_version = 99")
    again = Memo(keep)
    assert again.digest(data) == sha(b"one")
    again.close()
    assert rows(keep) == 1


def test_a_busy_file_delays_nobody_for_long(data: Path, keep: Path, tmp_path: Path) -> None:
    memo = Memo(keep)
    memo.digest(data)
    memo.flush()
    other = sqlite3.connect(keep, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    paths = [file(tmp_path / f"{n}") for n in range(600)]
    settle()
    begun = time.perf_counter()
    memo.digest_many(paths)
    assert time.perf_counter() - begun < 20
    other.execute("ROLLBACK")
    other.close()
    memo.close()
    assert rows(keep) == 601


@pytest.mark.parametrize("place", ["folder", "file"])
def test_where_nothing_can_be_kept_digests_are_computed(
    data: Path, tmp_path: Path, place: str
) -> None:
    blocked = tmp_path / "blocked"
    if place == "folder":
        blocked.mkdir()
    else:
        file(blocked)
        blocked /= "memo"
    memo = Memo(blocked)
    assert memo.digest(data) == sha(b"one")
    assert memo.directory(data.parent) == identity.directory_digest(data.parent)
    memo.close()


@pytest.mark.usefixtures("permissions_count")
def test_a_read_only_file_is_no_failure(data: Path, keep: Path) -> None:
    memo = Memo(keep)
    memo.digest(data)
    memo.close()
    keep.chmod(0o400)
    keep.parent.chmod(0o500)
    again = Memo(keep)
    data.write_bytes(b"two")
    settle()
    assert again.digest(data) == sha(b"two")
    again.close()
    keep.parent.chmod(0o700)


def test_a_name_of_bytes_that_are_not_text_is_digested_too(tmp_path: Path, keep: Path) -> None:
    path = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff")
    Path(path).write_bytes(b"one")
    settle()
    memo = Memo(keep)
    assert memo.digest(path) == sha(b"one")
    memo.directory(tmp_path)
    memo.close()


def work(keep: Path, paths: list[Path]) -> bool:
    memo = Memo(keep)
    right = all(memo.digest(path) == sha(path.read_bytes()) for path in paths)
    memo.close()
    return right


def test_processes_share_one_file(tmp_path: Path, keep: Path) -> None:
    paths = [file(tmp_path / f"{n}", b"%d" % n) for n in range(400)]
    settle()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert all(pool.starmap(work, [(keep, paths)] * 3))
    assert rows(keep) > 0
    memo = Memo(keep, digest_file=Counting())
    assert memo.digest(paths[0]) == sha(b"0")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_and_its_parent_both_go_on(tmp_path: Path, keep: Path, data: Path) -> None:
    paths = [file(tmp_path / f"{n}", b"%d" % n) for n in range(20)]
    settle()
    memo = Memo(keep)
    memo.digest(data)
    memo.flush()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            memo.flush()
            memo._file.find(str(data))

    thread = threading.Thread(target=busy)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if not child:
            right = all(memo.digest(path) == sha(path.read_bytes()) for path in paths)
            memo.close()
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()
    assert memo.digest(data) == sha(b"one")
    memo.close()
    assert rows(keep) == 21
