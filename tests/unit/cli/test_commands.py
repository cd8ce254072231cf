"""Every command on real terminals and in pipes: it fits, it is plain, it obeys nobody."""

import fcntl
import gc
import json
import os
import pty
import re
import shutil
import struct
import sys
import termios
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len

from consist import Tracker
from consist.cli import app
from tests.unit.cli.calls import CALLS, COMMANDS, HOSTILE, SINGLE, calls
from tests.unit.cli.conftest import clean, report, scale, two_steps

SGR = re.compile(r"\x1b\[[0-9;]*m")
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "json.md"


def refuse():
    raise RuntimeError(HOSTILE)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A project with names that want to take over the terminal, and files for commands."""
    root = tmp_path_factory.mktemp("world")
    raw = root / "raw.csv"
    raw.write_text("zone,trips\n0,1\n1,2\n")
    with Tracker(root / "runs", root / "provenance.duckdb", project_root=root) as tracker:
        for _ in range(2):
            two_steps(tracker, raw)
        with tracker.scenario("toll") as sc:
            cleaned = sc.run(clean, inputs={"raw": raw}, outputs=["clean"], year=2030)
            sc.run(
                scale,
                inputs={"clean": cleaned.outputs["clean"]},
                config={"factor": 3},
                outputs=["scaled"],
            )
        report(tracker)
        with pytest.raises(RuntimeError):
            tracker.run(refuse, name="hostile", run_id="hostile", tags=[HOSTILE], model=HOSTILE)
        with tracker.scenario("sweep") as sc:
            sc.write_points(
                root / "points.json",
                scale,
                [{"factor": 1}],
                config={"text": HOSTILE},
                outputs=["o"],
            )
    next((root / "runs" / "consist_runs").glob("toll_scale*.json")).unlink()
    with Tracker(root / "other", root / "shard.duckdb") as other:
        for run_id in ("x", "report"):
            with other.start_run(run_id, model="m"):
                pass
    return root


@contextmanager
def kept(world, kept_in, asked):
    """Have the folder as it was after a call that changes it.

    A copy of it would not do: a database knows where its run folders are.
    """
    if not asked.changes:
        yield world
        return
    before = shutil.copytree(world, kept_in / "before")
    try:
        yield world
    finally:
        shutil.rmtree(world)
        shutil.move(before, world)
        gc.collect()  # what this process remembers of the database goes with its last tracker


@pytest.fixture
def place(world, tmp_path, request):
    """The folder of the world, which is the same after each test."""
    with kept(world, tmp_path, request.getfixturevalue("asked")) as folder:
        yield folder


class Terminal:
    """A pseudo-terminal as standard input, output and error of this process."""

    def __init__(self, width):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.kept = [os.dup(number) for number in range(3)]
        self.streams = sys.stdin, sys.stdout, sys.stderr
        for number in range(3):
            os.dup2(theirs, number)
        os.close(theirs)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        self.printed = b""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        try:
            while chunk := os.read(self.ours, 65_536):
                self.printed += chunk
        except OSError:  # how Linux tells that the other side is closed
            pass

    def close(self):
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = self.streams
        for number, kept in enumerate(self.kept):
            os.dup2(kept, number)
            os.close(kept)
        self.reader.join()
        os.close(self.ours)
        return self.printed.decode().replace("\r\n", "\n")


def on_a_terminal(words, width):
    """Return what a command prints on a terminal of some width, and how it ends."""
    terminal = Terminal(width)
    try:
        app([*words], prog_name="consist")
        code = None
    except SystemExit as end:
        code = end.code
    finally:
        printed = terminal.close()
    return printed, code


def test_every_command_is_called_here():
    assert [name for name in SINGLE if name not in CALLS] == []


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("colour", [True, False], ids=["colour", "plain"])
@pytest.mark.parametrize("asked", calls(), ids=lambda call: " ".join(call.words))
def test_on_a_terminal(asked, place, width, colour, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    if asked.words == ("shell",):
        monkeypatch.setattr("builtins.input", lambda _prompt="": "exit")
    printed, code = on_a_terminal(asked.words, width)
    assert code == asked.code, printed
    plain = SGR.sub("", printed)
    assert not OBEYED.search(plain), ascii(plain)
    assert "Traceback" not in plain or asked.words[0] == "show"
    assert all(cell_len(line) <= width for line in plain.splitlines()), plain
    if not colour:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", printed), ascii(printed)


@pytest.mark.parametrize("asked", calls(), ids=lambda call: " ".join(call.words))
def test_in_a_pipe(asked, place, monkeypatch):
    monkeypatch.chdir(place)
    code, out, err = piped(asked.words)
    assert code == asked.code, err
    assert not OBEYED.search(out), ascii(out)
    assert not OBEYED.search(err), ascii(err)
    assert "Traceback" not in err


def piped(words):
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, [*words])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits(name, width, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLUMNS", raising=False)
    printed, code = on_a_terminal([*name.split()[1:], "--help"], width)
    assert code == 0
    assert not OBEYED.search(printed)
    assert all(cell_len(line) <= width for line in printed.splitlines()), printed


def test_wide_characters_align(world, monkeypatch):
    monkeypatch.chdir(world)
    _, out, _ = piped(["search", "odd"])
    title, _, row = out.splitlines()[:3]
    before = row[: row.index("completed")]
    assert cell_len(before) == title.index("Status")


# ---------------------------------------------------------------- what --json prints


def documented(name):
    """Return the keys that the page tells of a command: paths such as ``runs[].id``."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE.name} has no section '### {name}'"
    return set(re.findall(r"^\| `([^`]+)` \|", found[1], re.MULTILINE))


def keys_of(value, path=""):
    """Yield the path of every key of a JSON document."""
    if isinstance(value, list):
        for item in value:
            yield from keys_of(item, f"{path}[]")
    elif isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            yield here
            yield from keys_of(inner, here)


def told_by(path, told):
    """Whether the page tells a key, itself or with ``.*`` as one of many below another."""
    if path in told:
        return True
    parents = [path[:at] for at, letter in enumerate(path) if letter in ".["]
    return any(f"{parent}.*" in told for parent in parents)


JSON = [name for name in SINGLE if any("--json" in p.opts for p in COMMANDS[name].params)]


@pytest.mark.parametrize("name", JSON)
def test_json_has_the_keys_that_the_page_names(name, world, tmp_path, monkeypatch):
    told = documented(name)
    printed = set()
    for asked in CALLS[name]:
        with kept(world, tmp_path, asked):
            monkeypatch.chdir(world)
            code, out, err = piped([*asked.words, "--json"])
        assert code == asked.code, err
        assert out.isascii()
        printed |= set(keys_of(json.loads(out)))
    unknown = {path for path in printed if not told_by(path, told)}
    assert not unknown
    assert not {path for path in told if is_there(path, printed)} - printed


def is_there(path, printed):
    """Whether a key has to be there: its object or an item of its list was printed."""
    head = path.rpartition(".")[0]
    if path.endswith(".*"):
        return False
    return not head or any(seen.startswith(f"{head}.") for seen in printed)
