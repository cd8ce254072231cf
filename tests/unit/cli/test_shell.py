"""``consist shell``: commands one after another on one database."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest
from typer.main import get_command

from consist import Tracker
from consist.cli import app, opening
from consist.cli.offers import offers
from consist.cli.prompt import Prompt
from consist.cli.session import Context, Session, current, entered
from tests.unit.cli.conftest import command
from tests.unit.cli.test_database import HOLD


@pytest.fixture
def shell(project, monkeypatch, capsys):
    """Return a function that gives lines to a shell; it returns exit code, output and errors."""
    monkeypatch.chdir(project.root)
    context = opening.context_of(None)
    with opening.visit(context) as tracker, entered(Session(context, tracker)) as session:
        prompt = Prompt(session, get_command(app))

        def given(*lines):
            for line in lines:
                prompt.onecmd(line)
            told = capsys.readouterr()
            return prompt._first_failure, told.out, told.err

        yield given


def script(project, text, *words, **environment):
    """Pipe lines into ``consist shell`` as a process of its own."""
    return subprocess.run(
        command("shell", *words),
        input=text,
        cwd=project.root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_rows_of_the_last_lists_stand_for_ids(shell, project):
    code, out, err = shell("runs --model scale", "show #2", "artifacts #2", "preview @2 -n 1")
    assert (code, err) == (0, "")
    assert f"ID         {project.runs['first']}" in out.replace("ID          ", "ID         ")
    assert "scaled · parquet" in out


def test_each_kind_of_list_has_rows(shell):
    _, out, _ = shell("scenarios", "scenario #1", "search pol", "explain #1", "artifacts", "cat @1")
    assert "#1 base~2" in out
    assert "╭─ Why" in out
    assert "wide · parquet" in out


def test_quoted_signs_are_text(shell):
    code, _, err = shell("runs", 'show "#1"')
    assert code == 1
    assert "there is no run '#1'" in err


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["show #1"], "#1 means a row of a list of runs, and none was shown"),
        (["preview @1"], "@1 means a row of a list of artifacts"),
        (["runs --limit 2", "show #3"], "there is no #3: the last list of runs has 2 rows"),
        (['show "x'], "No closing quotation"),
        (["members x"], "No such command 'members'"),
        (["runs --nonsense"], "No such option: --nonsense"),
        (["shell"], "this is a shell already"),
    ],
)
def test_errors_do_not_end_it(shell, lines, said):
    code, out, err = shell(*lines, "summary")
    assert code in {1, 2}
    assert said in err
    assert "Summary" in out


def test_a_broken_command_does_not_end_it(shell, monkeypatch):
    def broken(*_args, **_options):
        raise ZeroDivisionError("oh\x1b")

    monkeypatch.setattr("consist.cli.questions.totals", broken)
    code, _, err = shell("summary")
    assert code == 1
    assert err == "Error: ZeroDivisionError: oh\\x1b\n"


def test_its_own_commands(shell, project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = shell(
        "context", "help", "help runs", "consist summary", "cli", "ls", "# 1", ""
    )
    assert (code, err) == (0, "")
    assert f"db_path   {project.database}" in out
    assert "trust_db  no" in out
    assert "In the shell:" in out
    assert "Usage: consist runs" in out
    assert "\n@1  wide" in out


@pytest.mark.parametrize("word", ["exit", "quit", "q", "EOF"])
def test_leaving(shell, word, project):
    done = script(project, f"{word}\nsummary\n") if word == "exit" else None
    assert done is None or (done.returncode, done.stdout, done.stderr) == (0, "", "")
    context = Context(str(project.database), str(project.root))
    with opening.visit(context) as tracker, entered(Session(context, tracker)) as session:
        assert Prompt(session, get_command(app)).onecmd(word) is True


def test_a_script_has_no_prompts_and_tells_failure(project):
    done = script(project, "summary\nshow nobody\nnonsense\nruns --limit 1 --json\n")
    assert done.returncode == 1  # of the first that failed
    assert "consist>" not in done.stdout
    assert "there is no run 'nobody'" in done.stderr
    assert done.stdout.rstrip().endswith("]")


def test_the_database_it_was_opened_on_comes_first(project, tmp_path):
    done = script(
        project, "context\nruns\n", "--db-path", project.database, CONSIST_DB=str(tmp_path / "no")
    )
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout


def test_it_sees_what_is_recorded_meanwhile_and_holds_nothing(tmp_path, monkeypatch, capsys):
    database = tmp_path / "provenance.duckdb"
    with Tracker(tmp_path / "runs", database) as tracker, tracker.start_run("first", model="m"):
        pass
    context = Context(str(database), str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with opening.visit(context) as visitor, entered(Session(context, visitor)) as session:
        prompt = Prompt(session, get_command(app))
        prompt.onecmd("runs")
        holder = subprocess.run(
            [sys.executable, "-c", HOLD, str(database)],
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        assert holder.stdout == "held\n", holder.stderr  # another process can have the file
        with Tracker(tmp_path / "runs", database) as tracker, tracker.start_run("later", model="m"):
            pass
        capsys.readouterr()
        prompt.onecmd("runs")
    assert "later" in capsys.readouterr().out
    assert current() is None


def test_commands_use_the_open_tracker(shell, monkeypatch):
    monkeypatch.setattr(opening, "visit", lambda _context: pytest.fail("opened again"))
    code, _, err = shell("runs", "artifacts", "preview scaled", "validate", "lineage scaled")
    assert err == ""
    assert code == 1  # of validate: a file is gone


@pytest.mark.parametrize(
    ("line", "text", "offered"),
    [
        ("", "scen", ["scenario", "scenarios"]),
        ("", "con", ["context"]),
        ("runs ", "--mo", ["--model"]),
        ("runs --status ", "f", ["failed"]),
        ("runs --model ", "sc", ["scale", "scenario"]),
        ("runs --tag ", "pol", ["policy"]),
        ("preview ", "sca", ["scaled"]),
        ("cat -n 3 ", "sca", ["scaled"]),
        ("show ", "rep", ["report"]),
        ("consist show ", "rep", ["report"]),
        ("help ", "summ", ["summary"]),
        ("scenario ", "b", ["base"]),
        ("nonsense ", "x", []),
    ],
)
def test_the_tab_key(shell, project, line, text, offered, monkeypatch):
    with entered(Session(Context("", ""), current().tracker)) as session:
        prompt = Prompt(session, get_command(app))
        prompt._defaults = {}
        assert sorted(prompt.offered(line, text)) == offered


def test_paths_are_offered_for_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file[1].duckdb").touch()
    root = get_command(app)
    assert offers(root, ["runs", "--db-path"], "f", {}) == ["file[1].duckdb", "folder/"]
    assert offers(root, ["runs", "--db-path"], "file[", {}) == ["file[1].duckdb"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads a pseudo-terminal as Linux has it")
def test_on_a_terminal_ctrl_c_stays_and_ctrl_d_leaves(project, tmp_path):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        os.environ.update(TERM="xterm", NO_COLOR="1", CONSIST_CACHE_DIR=str(tmp_path))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background ignores it
        os.execv(sys.executable, command("shell"))
    until(terminal, "consist> ")
    type_in(terminal, "show nob")
    interrupt(terminal)
    type_in(terminal, "summ\t", shows="summary")
    os.write(terminal, b"\n")
    until(terminal, "(?s)Summary.*consist> ")
    os.write(terminal, b"\x04")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert "summary" in (tmp_path / "shell_history").read_text()


def type_in(terminal, keys, shows=None):
    """Press keys, and wait for what the line shows of them as a person would."""
    os.write(terminal, keys.encode())
    until(terminal, shows or keys)


def interrupt(terminal):
    """Press Ctrl-C until there is another prompt.

    A signal that comes between a key and the wait for the next one is noticed with the next one:
    Python's reader of lines asks for signals only where its wait was interrupted.
    """
    for _ in range(10):
        os.write(terminal, b"\x03")
        if shown(terminal, "consist> ", seconds=3):
            return
    raise AssertionError("Ctrl-C brought no prompt")


def until(terminal, pattern):
    """Read a terminal until it shows what a pattern says."""
    said = []
    assert shown(terminal, pattern, seconds=60, said=said), "".join(said)


def shown(terminal, pattern, seconds, said=None):
    """Whether a terminal shows in time what a pattern says."""
    said = [] if said is None else said
    deadline = time.monotonic() + seconds
    while not re.search(pattern, re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", "".join(said))):
        if time.monotonic() > deadline:
            return False
        if select.select([terminal], [], [], 0.2)[0]:
            said.append(os.read(terminal, 65_536).decode(errors="replace"))
    return True
