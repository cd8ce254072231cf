"""Writes ``docs/reference/cli.md``: ``python -m consist.cli.reference > docs/reference/cli.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from typer.main import get_command

from consist.cli.app import app
from consist.cli.options import PLACES

_PLACES = ", ".join(f"`{place}`" for place in PLACES)
_OPENING = f"""\
<!-- Written by `python -m consist.cli.reference`; a test holds it up to date. -->

# Command line

`consist` looks at what was recorded. It never changes a database, and never creates one: a path
with nothing behind it is an error. `consist run-point` alone executes and records; its file names
the database.

| | |
|---|---|
| the database | `--db-path`, else `CONSIST_DB`, else the first of {_PLACES} |
| a run id | means the latest attempt (`show`, `explain`) or the latest completed one \
(`artifacts`); `<id>~1`, `<id>~2`, … name one exactly |
| an artifact key | means the latest artifact of that key |
| `--json` | prints plain JSON on standard output and nothing else |
| exit codes | 0 done · 1 failed, or no such run or artifact · 2 wrong usage · 130 interrupted |
| errors | a line `Error: …`, then a line `Hint: …` for each remedy, on standard error |
| tables | take the width of the terminal, or of `COLUMNS`; in a pipe or file, all they need |
| colours | only on a terminal, and not where `NO_COLOR` is set |

Every command also takes `--help`. `consist --install-completion` teaches your shell to complete
commands and options.
"""


def reference() -> str:
    """Return the page."""
    group: Any = get_command(app)
    commands = group.commands
    names = "\n".join(
        f"| [`consist {name}`](#consist-{name}) | {_sentence(command)} |"
        for name, command in commands.items()
    )
    parts = [_OPENING, f"| command | |\n|---|---|\n{names}\n"]
    parts += (_section(f"consist {name}", command) for name, command in commands.items())
    return "\n".join(parts)


def _sentence(command: Any) -> str:
    return cleandoc(command.help).partition("\n\n")[0]


def _section(name: str, command: Any) -> str:
    arguments = [
        param.metavar if param.required else f"[{param.metavar}]"
        for param in command.params
        if _is_argument(param)
    ]
    usage = " ".join([name, "[OPTIONS]", *arguments])
    rows = "\n".join(f"| {meaning} | {text} |" for meaning, text in map(_row, command.params))
    return (
        f"## {name}\n\n```text\n{usage}\n```\n\n{cleandoc(command.help)}\n\n"
        f"| argument or option | |\n|---|---|\n{rows}\n"
    )


def _is_argument(param: Any) -> bool:
    return param.param_type_name == "argument"


def _row(param: Any) -> tuple[str, str]:
    return _spelling(param), "; ".join(_facts(param))


def _spelling(param: Any) -> str:
    if _is_argument(param):
        return f"`{param.metavar}`"
    value = "" if param.is_flag else f" {param.metavar}"
    return ", ".join(f"`{name}{value}`" for name in param.opts)


def _facts(param: Any) -> Iterator[str]:
    yield param.help.rstrip(".")
    if isinstance(param.default, int) and not isinstance(param.default, bool):
        yield f"default {param.default}"
    if param.envvar:
        yield f"environment variable `{param.envvar}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
