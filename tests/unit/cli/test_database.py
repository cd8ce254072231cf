"""Which database is meant, and what happens if it is not there, held or cannot be written."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consist import Tracker
from tests.unit.cli.conftest import call, command

HOLD = """
import duckdb, sys
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(project):
    """The project's database, held read-write by another process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    yield project.database
    holder.communicate()


def make_database(path, run_id):
    with Tracker(path.parent / "runs", path) as tracker, tracker.start_run(run_id, model="m"):
        pass


def test_the_places_are_tried_in_order(tmp_path, monkeypatch, consist):
    monkeypatch.chdir(tmp_path)
    for place in (".consist", "db", "data", "."):  # from the last to the first
        (tmp_path / place).mkdir(exist_ok=True)
        name = place.strip(".") or "here"
        make_database(tmp_path / place / "provenance.duckdb", f"run_of_{name}")
        assert f"run_of_{name}" in consist("runs").stdout


def test_what_is_named_comes_before_what_is_found(tmp_path, monkeypatch, consist):
    for name in ("option", "variable"):
        make_database(tmp_path / f"{name}.duckdb", f"by_{name}")
    monkeypatch.setenv("CONSIST_DB", str(tmp_path / "variable.duckdb"))
    assert "by_variable" in consist("runs").stdout
    assert "by_option" in consist("runs", "--db-path", tmp_path / "option.duckdb").stdout
    monkeypatch.setenv("CONSIST_DB", "")
    assert "report" in consist("runs").stdout


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["summary"], ["show", "x"]])
def test_no_database_names_the_paths_and_leaves_nothing(tmp_path, monkeypatch, consist, words):
    monkeypatch.chdir(tmp_path)
    done = consist(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"Error: no database at {tmp_path / 'provenance.duckdb'}, ")
    assert error.endswith(str(tmp_path / ".consist" / "provenance.duckdb"))
    assert hint.startswith("Hint: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_wrong_path_is_not_replaced_by_a_guess(tmp_path, monkeypatch, consist, by):
    wrong = tmp_path / "wrong" / "x.duckdb"
    if by == "variable":
        monkeypatch.setenv("CONSIST_DB", str(wrong))
    done = consist("runs", *(["--db-path", wrong] if by == "option" else []))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: no database at {wrong}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"zone,trips\n1,2\n", b"DUCK"])
def test_another_file_is_left_alone(tmp_path, consist, content):
    other = tmp_path / "other.csv"
    other.write_bytes(content)
    done = consist("runs", "--db-path", other)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert list(tmp_path.iterdir()) == [other]
    assert other.read_bytes() == content


def test_a_folder_is_no_database(tmp_path, consist):
    done = consist("runs", "--db-path", tmp_path)
    assert done.exit_code == 1
    assert "is a folder" in done.stderr
    assert f"Hint: name the file in it, such as {tmp_path / 'provenance.duckdb'}" in done.stderr


def test_runs_that_are_only_in_the_journal_are_there(tmp_path, consist):
    database = tmp_path / "provenance.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker:
        with tracker.start_run("young", model="m"):
            pass
        assert not database.exists()
        done = call("runs", "--db-path", database, cwd=tmp_path)
    assert "young" in done.stdout


def test_a_held_database_is_an_error_with_a_hint(held, project):
    done = call("runs", cwd=project.root, CONSIST_LOCK_WAIT="0.2")
    assert (done.returncode, done.stdout) == (1, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"Error: {held} is held by ")
    assert hint.startswith("Hint: ")


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are of Linux")
def test_a_read_only_folder_can_be_asked(project, tmp_path):
    place = tmp_path / "archive"
    place.mkdir()
    shutil.copy(project.database, place)
    place.chmod(0o555)
    try:
        for words in (["runs"], ["show", "base"], ["lineage", "scaled", "--json"]):
            done = subprocess.run(
                command(*words),
                cwd=place,
                capture_output=True,
                text=True,
                preexec_fn=obey_permissions,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert "scale" in done.stdout or "base" in done.stdout
        assert [path.name for path in place.iterdir()] == ["provenance.duckdb"]
    finally:
        place.chmod(0o755)


def obey_permissions():
    """Let root be refused what the permissions of a folder refuse."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override_permissions = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, override_permissions, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupt_ends_with_130_and_without_a_traceback(held, project):
    waiting = subprocess.Popen(
        command("runs"),
        cwd=project.root,
        env={**os.environ, "CONSIST_LOCK_WAIT": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_it_waits(waiting.pid)
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out, err) == (130, "", "")


def wait_until_it_waits(pid):
    """Wait until a process has held an advisory lock for a while: it waits for the database."""
    deadline, held_for = time.monotonic() + 60, 0
    while held_for < 10 and time.monotonic() < deadline:
        time.sleep(0.05)
        locks = Path("/proc/locks").read_text().splitlines()
        holds = any("FLOCK" in line and str(pid) in line.split() for line in locks)
        held_for = held_for + 1 if holds else 0
