"""Writes ``docs/reference/cli.md``: ``python -m consist.cli.reference > docs/reference/cli.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from textwrap import dedent
from typing import Any

from typer.main import get_command

from consist.cli.app import app
from consist.cli.opening import PLACES
from consist.cli.sections import OTHERS, SECTIONS, section_of, sentence_of

_PLACES = ", ".join(f"`{place}`" for place in PLACES)
_OPENING = f"""\
<!-- Written by `python -m consist.cli.reference`; a test holds it up to date. -->

# Command line

`consist` asks what was recorded, and looks after it. What `--json` prints is told in
[JSON of the command line](json.md), and a tour is
[Ask from the shell](../how-to/ask-from-the-shell.md).

Most commands only read. These change something:

- `annotate`, `invalidate`, `db fix-status`, `validate --fix` and `verify --fix` add to the record;
  nothing that was recorded is lost.
- `db rebuild` and `db merge` add runs, and create the database if it is not there. To all other
  commands a path with nothing behind it is an error.
- `db compact` rewrites the database; what it holds stays the same.
- `db snapshot` and `db export` write new files.
- `gc` removes files, and `db purge` runs and, if told to, files. Both show a plan and ask first,
  unless `--yes` is given.
- `run-point` runs steps and records them; in `shell`, all commands do what they do elsewhere.

All but `annotate`, `run-point` and those with `--fix` take `--dry-run`.

| | |
|---|---|
| the database | `--db-path`, else `CONSIST_DB`, else the first of {_PLACES} |
| a run id | means the latest attempt (`show`, `explain`) or the latest completed one \
(`artifacts`, `scenario`); `<id>~1`, `<id>~2`, … name one exactly |
| an artifact key | means the latest artifact of that key |
| files | are looked for below `--run-dir` and `--mount`, in the folder of the database, and in \
recorded folders inside those; elsewhere only with `--trust-db` |
| `--json` | prints plain JSON on standard output and nothing else |
| exit codes | 0 done · 1 failed, no such run or artifact, or a negative result · 2 wrong usage · \
130 interrupted |
| errors | a line `Error: …`, then a line `Hint: …` for each remedy, on standard error |
| tables | take the width of the terminal, or of `COLUMNS`; in a pipe or file, all they need |
| colours | only on a terminal, and not where `NO_COLOR` is set |

Every command also takes `--help`. `consist --install-completion` teaches bash, zsh or fish to
complete commands, options, run ids, artifact keys, scenarios, models, tags and statuses.
"""


def reference() -> str:
    """Return the page."""
    commands = dict(every_command(get_command(app)))
    tables = [_contents(section, named) for section, named in _by_section(commands).items()]
    sections = [_section(name, command) for name, command in commands.items()]
    return "\n".join([_OPENING, *tables, *sections])


def every_command(group: Any, name: str = "consist") -> Iterator[tuple[str, Any]]:
    """Yield all commands below a group with their full names, a group before its own.

    Of a group itself, only one inside another is named.
    """
    inner: Mapping[str, Any] = group.commands
    for word, command in inner.items():
        yield f"{name} {word}", command
        if hasattr(command, "commands"):
            yield from every_command(command, f"{name} {word}")


def _by_section(commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return commands by the section of `consist --help`, those of a group with it."""
    found: dict[str, dict[str, Any]] = {title: {} for title in (*SECTIONS, OTHERS)}
    section = ""
    for name, command in commands.items():
        if len(name.split()) == 2:
            section = section_of(command)
        found[section][name] = command
    return {title: named for title, named in found.items() if named}


def _contents(section: str, named: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| [`{name}`](#{name.replace(' ', '-')}) | {sentence_of(command)} |"
        for name, command in named.items()
    )
    return f"| {section} | |\n|---|---|\n{rows}\n"


def _section(name: str, command: Any) -> str:
    arguments = [
        _metavar(param) if param.required else f"[{_metavar(param)}]"
        for param in command.params
        if _is_argument(param)
    ]
    if hasattr(command, "commands"):
        arguments.append("COMMAND …")
    usage = " ".join([name, "[OPTIONS]", *arguments])
    parts = [f"## {name}\n\n```text\n{usage}\n```\n", *_paragraphs(command.help or "")]
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    rows = "\n".join(f"| {meaning} | {text} |" for meaning, text in map(_row, shown))
    if rows:
        parts.append(f"| argument or option | |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def _paragraphs(told: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; lines that are kept as they are become a block."""
    for paragraph in cleandoc(told).split("\n\n"):
        kept = paragraph.strip("\n").removeprefix("\b\n")
        if kept == paragraph.strip("\n"):
            yield f"{_escaped(kept)}\n"
            continue
        lines = kept.split("\n")
        while lines and lines[0].rstrip().endswith(":") and not lines[0].startswith(" "):
            yield f"{lines.pop(0)}\n"
        block = dedent("\n".join(lines)).strip("\n")
        yield f"```console\n{block}\n```\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|") if text.lstrip().startswith("|") else text


def _is_argument(param: Any) -> bool:
    return param.param_type_name == "argument"


def _row(param: Any) -> tuple[str, str]:
    return _spelling(param), "; ".join(_facts(param)).replace("|", "\\|")


def _spelling(param: Any) -> str:
    if _is_argument(param):
        return f"`{_metavar(param)}`"
    value = "" if param.is_flag else f" {_metavar(param)}"
    return ", ".join(f"`{name}{value}`" for name in (*param.opts, *param.secondary_opts))


def _metavar(param: Any) -> str:
    return param.metavar or param.name.upper()


def _facts(param: Any) -> Iterator[str]:
    yield (param.help or "").rstrip(".")
    default = param.default
    if isinstance(default, (int, str)) and not isinstance(default, bool):
        yield f"default {getattr(default, 'value', default)}"
    if param.envvar:
        yield f"environment variable `{param.envvar}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
