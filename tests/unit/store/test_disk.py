"""Full disks, read-only folders, missing permission: a clear error, and nothing lost before it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from consist.errors import StoreUnwritable
from tests.unit.store.children import run_child
from tests.unit.store.worlds import document, ids, merged, open_store, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITED = """
import signal, logging
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
logging.disable()
from consist.errors import StoreUnwritable
store = open_store(folder)
record(store, document("before"))
size = store.journal.size
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, hard))
try:
    store.append(document("too much", meta={"long": "x" * 5_000}))
    say("written")
except StoreUnwritable as error:
    say("refused:", error, error.__notes__)
say(ids(store), store.journal.size == size)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
record(store, document("after"))
say(ids(store))
store.close()
"""


def test_a_record_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    refused, during, after = run_child(LIMITED, tmp_path)
    assert refused.startswith("refused: cannot write")
    assert "File too large" in refused
    assert "what was recorded before is safe" in refused
    assert during == "['before'] True"
    assert after == "['after', 'before']"
    assert merged(tmp_path, "SELECT id FROM run ORDER BY id") == [("after",), ("before",)]


def mounted(kind: str, *arguments: str) -> bool:
    done = subprocess.run(["mount", *kind.split(), *arguments], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of sixteen megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted("-t tmpfs -o size=16m tmpfs", str(folder)):
        pytest.skip("cannot mount here; the limit on file sizes above stands for it")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


FULL = """
import logging
logging.disable()
from consist.errors import StoreUnwritable
store = open_store(folder)
recorded = 0
if {existing}:
    store.append(document("first"))
    recorded = 1
    store.sync()
try:
    while True:
        store.append(document(meta={"long": "x" * 9_000}))
        recorded += 1
except StoreUnwritable as error:
    say("refused:", error)
try:
    store.sync(); say("merged")
except StoreUnwritable as error:
    say("not merged:", error)
say(recorded == len(ids(store)), recorded > 20)
(folder / "ballast").unlink()  # makes room: the database needs some
store.close()
say(recorded)
"""


@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_refuses_records_by_name_and_keeps_those_before(
    small_disk: Path, *, existing: bool
) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 7_000_000)
    code = FULL.replace("{existing}", str(existing))
    refused, not_merged, asked, recorded = run_child(code, small_disk)
    assert refused.startswith("refused: cannot write")
    assert "No space left" in refused
    assert not_merged.startswith("not merged:")
    assert asked == "True True"
    store = open_store(small_disk)
    assert len(ids(store)) == int(recorded)
    store.close()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Yield a read-only view of a folder with one merged and one unmerged run."""
    folder = tmp_path / "writable"
    store = open_store(folder)
    record(store, document("merged"))
    store.sync()
    run_child('store = open_store(folder); record(store, document("tail")); os._exit(0)', folder)
    view = tmp_path / "view"
    view.mkdir()
    if not mounted("--bind", str(folder), str(view)):
        pytest.skip("cannot mount here; the test without permission stands for it")
    assert mounted("-o remount,ro,bind", str(view))
    yield view
    subprocess.run(["umount", "--lazy", str(view)], check=True)
    store.close()


READ_ONLY = """
import logging
logging.disable()
from consist.errors import StoreUnwritable
from consist.settings import Settings
from consist.store.embedded import EmbeddedStore
settings = Settings(lock_wait=1.0, cache_dir={cache!r})
store = EmbeddedStore(folder / "db.duckdb", folder / "runs", settings)
say(ids(store))
found = [[d.run.id for d in store.candidates("signature of " + n)] for n in ("merged", "tail")]
say(*found, store.incomplete)
more = document("more")
for action in (lambda: store.append(more), lambda: store.sync(), lambda: store.claim("x")):
    try:
        action(); say("worked")
    except StoreUnwritable as error:
        say("refused:", error)
store.close()
say("closed")
"""


def check_read_only(lines: list[str]) -> None:
    assert lines[0] == "['merged', 'tail']"
    assert lines[1] == "['merged'] ['tail'] None"
    assert [line[:21] for line in lines[2:5]] == ["refused: cannot write"] * 3, lines
    assert lines[5] == "closed"


def test_a_read_only_folder_can_be_asked(read_only: Path, tmp_path: Path) -> None:
    check_read_only(run_child(READ_ONLY.format(cache=str(tmp_path / "cache")), read_only))


WARM = """
import tempfile
warm = open_store(Path(tempfile.mkdtemp()))  # imports what another user may not read
record(warm, document("a")); ids(warm); warm.close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without permission")
def test_somebody_without_permission_can_ask(public: Path) -> None:
    folder = public / "mine"
    store = open_store(folder)
    record(store, document("merged"))
    store.sync()
    record(store, document("tail"))
    cache = public / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    check_read_only(run_child(WARM + READ_ONLY.format(cache=str(cache)), folder))
    store.close()


def test_a_run_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.run_dir.rmdir()
    store.run_dir.touch()
    done = document("a")
    text = store.append(done)
    with pytest.raises(StoreUnwritable):
        store.write_snapshot("a", text)
    assert ids(store) == ["a"]
    store.close()
