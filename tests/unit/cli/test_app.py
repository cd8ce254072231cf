"""The command line as a whole: help, version, start-up, reference."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from consist import __version__
from consist.cli import app, main
from consist.cli.reference import every_command, reference
from consist.cli.sections import OTHERS
from tests.unit.cli.conftest import call, command

SLOW = {"duckdb", "numpy", "pandas", "pyarrow", "rich", "sqlalchemy", "sqlmodel"}
NAMES = list(get_command(app).commands)
COMMANDS = dict(every_command(get_command(app)))


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(consist, flag):
    assert consist(flag).stdout == f"consist {__version__}\n"


def test_the_commands_are_those_documented():
    documented = {
        *("runs", "show", "artifacts", "lineage", "scenarios", "scenario", "search", "summary"),
        *("preview", "validate", "shell", "explain", "run-point"),
    }
    assert documented <= set(NAMES)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_examples_and_the_common_options(consist, name):
    done = consist(*name.split()[1:], "--help")
    assert done.exit_code == 0
    if hasattr(COMMANDS[name], "commands"):
        return
    assert "Examples:" in done.stdout
    assert f"    {name}" in done.stdout or f"| {name}" in done.stdout
    if name not in {"consist shell", "consist schema export"}:  # what these print is no table
        assert "--json" in done.stdout
    if name != "consist run-point":  # a points file names its database
        assert "--db-path" in done.stdout
        assert "CONSIST_DB" in done.stdout


def test_help_is_in_sections(consist):
    told = consist("--help").stdout
    sections = [line for line in told.splitlines() if line.endswith(":") and line[0] != " "]
    assert sections[:4] == ["Options:", "Runs:", "Scenarios:", "Artifacts:"]
    assert f"{OTHERS}:" not in sections  # SECTIONS names every command
    for name in NAMES:
        assert f"\n  {name} " in told


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["runs", "extra"], []])
def test_wrong_usage_ends_with_2(consist, words):
    done = consist(*words)
    assert done.exit_code == 2
    assert done.stdout == ""


def test_usage_errors_begin_like_all_others(consist):
    assert any(line.startswith("Error: ") for line in consist("nonsense").stderr.splitlines())


@pytest.mark.parametrize("words", [["--help"], ["runs", "--help"], ["--version"]])
def test_help_loads_no_slow_library(words):
    script = (
        "import json, sys\nfrom consist.cli import app\n"
        f"app({words!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "typer" in loaded
    assert not loaded & SLOW


def test_the_script_is_installed():
    [script] = entry_points(group="console_scripts", name="consist")
    assert script.load() is main


def test_the_module_is_the_same_program(tmp_path):
    done = call("--version", cwd=tmp_path)
    assert done.stdout == f"consist {__version__}\n"
    usage = subprocess.run(command("nonsense"), capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stdout) == (2, "")
    assert usage.stderr.startswith("Usage: consist ")


def test_the_reference_is_up_to_date():
    page = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "run: python -m consist.cli.reference > docs/reference/cli.md"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_tells_every_option_and_example(name):
    page = reference()
    assert f"[`{name}`](#{name.replace(' ', '-')})" in page
    section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for param in COMMANDS[name].params:
        if not getattr(param, "hidden", False):
            assert all(f"`{spelling}" in section for spelling in param.opts if spelling[0] == "-")
    if not hasattr(COMMANDS[name], "commands"):
        assert "```console\n" in section
    assert "\b" not in section


def test_the_reference_tells_groups():
    group = typer.Typer(rich_markup_mode=None)
    inner = typer.Typer(rich_markup_mode=None)

    @inner.command()
    def one(name: str) -> None:
        """Do one thing."""

    @inner.command()
    def two() -> None:
        """Do another."""

    group.add_typer(inner, name="db", help="Look after a database.")
    group.command(name="plain")(two)
    assert [*dict(every_command(get_command(group)))] == [
        *("consist plain", "consist db", "consist db one", "consist db two")
    ]
