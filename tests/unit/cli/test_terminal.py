"""What reaches the terminal: it fits, it obeys nobody, and it is plain where nobody looks."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.cells import cell_len

from consist.cli.render import Column, clean, print_table
from tests.unit.cli.conftest import ODD, call, command

COMMANDS = [
    ["runs"],
    ["runs", "--json"],
    ["show", "report"],
    ["show", "base"],
    ["artifacts"],
    ["artifacts", "report"],
    ["lineage", "scaled", "--run-ids"],
    ["preview", "wide"],
    ["preview", "odd"],
    ["preview", "facts"],
    ["summary"],
    ["compare", "base", "base~1"],
]
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
SGR = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(words, width, cwd):
    """Return what a command prints on a terminal of some width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        command(*words), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    printed = b""
    try:
        while chunk := os.read(ours, 65_536):
            printed += chunk
    except OSError:  # how Linux tells that the other side is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0, printed
    return printed.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("width", [120, 80, 40, 20])
@pytest.mark.parametrize("words", [words for words in COMMANDS if "--json" not in words], ids=str)
def test_output_fits_and_obeys_nobody(consist, monkeypatch, words, width):
    monkeypatch.setenv("COLUMNS", str(width))
    done = consist(*words)
    assert done.exit_code == 0
    assert not OBEYED.search(done.stdout)
    assert all(cell_len(line) <= width for line in done.stdout.splitlines())


@pytest.mark.parametrize("words", [["runs"], ["artifacts", "report"]], ids=str)
@pytest.mark.parametrize("width", [80, 40])
def test_output_fits_a_real_terminal(project, words, width):
    printed = SGR.sub("", on_a_terminal(words, width, project.root))
    assert not OBEYED.search(printed)
    assert all(cell_len(line) <= width for line in printed.splitlines())
    assert max(map(cell_len, printed.splitlines())) > width / 2


@pytest.mark.parametrize("width", [200, 80, 40])
def test_ids_are_whole_at_every_width(consist, monkeypatch, project, width):
    monkeypatch.setenv("COLUMNS", str(width))
    listed = consist("runs").stdout
    assert project.runs["first"] in listed
    artifact = json.loads(consist("artifacts", "report", "--json").stdout)[0]
    assert artifact["id"] in consist("artifacts", "report").stdout


def test_colours_are_for_terminals(project):
    assert "\x1b[32m" in on_a_terminal(["runs"], 120, project.root)


@pytest.mark.parametrize("words", COMMANDS, ids=str)
def test_output_is_plain_where_nobody_looks(consist, words):
    done = consist(*words)
    assert done.exit_code == 0
    assert not OBEYED.search(done.stdout)
    if "--json" in words:
        json.loads(done.stdout)


def test_odd_names_are_shown_as_they_are(consist):
    shown = consist("runs", "--tag", ODD).stdout
    assert r"[red]odd[/red] \x1b[31m\x9b2J 日本語" in shown
    assert "red" in consist("show", "report").stdout


def test_odd_words_are_not_obeyed_in_errors(consist):
    done = consist("show", ODD)
    assert done.exit_code == 1
    assert "\x1b" not in done.stderr
    assert "\x9b" not in done.stderr


def test_a_table_that_is_too_wide_loses_nothing_but_what_may_be_cut(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "30")
    columns = (
        Column("ID", apart=True, head=True),
        Column("Text", least=6),
        Column("N", right=True),
    )
    print_table(columns, [("an_id_that_is_longer_than_the_terminal_is", "漢字" * 20, 7)])
    printed = capsys.readouterr().out
    assert all(cell_len(line) <= 30 for line in printed.splitlines())
    assert "an_id_that_is_longer_than_the_terminal_is" in printed.replace("\n", "")
    assert "…" in printed


@pytest.mark.parametrize("width", range(1, 60, 7))
def test_no_width_is_too_small(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    columns = (Column("First", head=True), Column("Second", apart=True), Column("Third", least=3))
    print_table(columns, [("first value", "second value", "third value"), ("", None, "")])
    printed = capsys.readouterr().out
    assert all(cell_len(line) <= max(width, 3) for line in printed.splitlines())


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain ünïcödé 日本", "plain ünïcödé 日本"),
        ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
        ("line\nbreak\ttab\r", r"line\nbreak\ttab\r"),
        ("\u202edrawrof\u2066", r"\u202edrawrof\u2066"),
        ("half\udc80", r"half\udc80"),
        (None, "None"),
    ],
)
def test_clean(given, shown):
    assert clean(given) == shown


def test_an_old_encoding_is_no_crash(project):
    for words in (["runs"], ["lineage", "scaled"], ["show", "report"], ["--help"]):
        done = call(*words, cwd=project.root, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()


def test_a_reader_that_has_enough_is_no_error(project):
    pipe = f"{sys.executable} -m consist.cli runs --json | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", pipe], cwd=project.root, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[\n0\n"
    assert done.stderr == ""


def test_a_closed_pipe_is_quiet(project):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command("runs"), cwd=project.root, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_an_error(project):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            command("runs"), cwd=project.root, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"Error: No space left on device\n")
