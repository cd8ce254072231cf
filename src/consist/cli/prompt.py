"""The prompt of ``consist shell``: reads lines and calls commands."""

from __future__ import annotations

import cmd
import os
import re
import shlex
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from consist.cli.offers import offers
from consist.cli.render import clean, note, print_panel
from consist.cli.session import Session
from consist.errors import ConsistError, UsageError, hint

_FAILED, _WRONG, _INTERRUPTED = 1, 2, 130
_ALIASES = {"ls": "artifacts", "cat": "preview"}
_PREFIXES = {"cli", "consist"}
_LEAVING = {"exit", "quit", "q", "EOF"}
_OWN = ("context", "help", "exit", "quit", *_ALIASES)
_REFERENCE = re.compile(r"([#@])([1-9][0-9]{0,6})")
_KINDS: dict[str, Any] = {"#": "runs", "@": "artifacts"}
_HISTORY_LENGTH = 1_000
_HELP = """
In the shell:
  context      which database is looked at, and where its files are
  #3, @3       the third row of the last list of runs, of artifacts
  ls, cat      the same as artifacts, preview
  consist …    any command, as it would be typed outside
  help [NAME]  this, or the help of a command
  exit, quit, q, Ctrl-D
"""


class Prompt(cmd.Cmd):
    """Reads lines and calls the commands that they name.

    Parameters
    ----------
    session : Session
        What the commands share.
    root : command
        The group of all commands.
    """

    def __init__(self, session: Session, root: Any) -> None:
        self._piped = not sys.stdin.isatty()
        super().__init__()
        self.prompt = "consist> "
        self._session, self._root = session, root
        self._defaults = _defaults(root, session)
        self._first_failure = 0
        self._offered: list[str] = []

    def run(self) -> int:
        """Take lines until the end; return the exit code."""
        if self._piped:
            return self._run_lines()
        note(f"{clean(self._session.context.db_path)} · help tells what there is, exit leaves")
        with _line_editing():
            while True:
                try:
                    self.cmdloop()
                    return 0
                except KeyboardInterrupt:
                    typer.echo()

    def _run_lines(self) -> int:
        for line in sys.stdin:
            if self.onecmd(line) or self._first_failure == _INTERRUPTED:
                break
        return self._first_failure

    # ------------------------------------------------------------ one line

    def onecmd(self, line: str) -> bool:
        """Call what a line names; return whether it leaves the shell."""
        if line.lstrip().startswith("#"):
            return False  # a remark in a script
        try:
            words = self._words(line)
        except ConsistError as problem:
            self._complain(problem)
            return False
        if words and words[0] in _PREFIXES:
            words = words[1:] or ["help"]
        match words:
            case []:
                return False
            case [word] if word in _LEAVING:
                if word == "EOF" and not self._piped:
                    typer.echo()
                return True
            case ["help", *names]:
                self._help(names)
            case ["context"]:
                self._print_context()
            case [name, *rest]:
                self._call([_ALIASES.get(name, name), *rest])
            case _:
                pass
        return False

    def _words(self, line: str) -> list[str]:
        try:
            words = shlex.split(line)
            quoted = shlex.split(line, posix=False)
        except ValueError as error:
            raise hint(UsageError(f"{error}: {line.strip()}"), "close the quotation") from None
        if len(words) != len(quoted):
            return words
        return [
            self._row(found) if raw == word and (found := _REFERENCE.fullmatch(word)) else word
            for word, raw in zip(words, quoted, strict=True)
        ]

    def _row(self, reference: re.Match[str]) -> str:
        """Return the id in a row of the last list; what stands in quotes is none."""
        kind, number = _KINDS[reference[1]], int(reference[2])
        rows = self._session.rows.get(kind)
        if rows is None:
            problem = UsageError(
                f"{reference[0]} means a row of a list of {kind}, and none was shown"
            )
            raise hint(problem, f"{kind} shows one")
        if number > len(rows):
            raise UsageError(
                f"there is no {reference[0]}: the last list of {kind} has {len(rows)} rows"
            )
        return rows[number - 1]

    def _call(self, words: list[str]) -> None:
        place = Path.cwd()
        try:
            self._root.main(args=words, prog_name="consist", default_map=self._defaults)
        except SystemExit as end:
            self._ended(end.code if isinstance(end.code, int) else _FAILED)
        except Exception as error:  # noqa: BLE001 - whatever it is, the shell goes on
            self._complain(error)
        finally:
            sys.stdout.flush()
            os.chdir(place)  # a command may have gone where its files are

    def _ended(self, code: int) -> None:
        self._first_failure = self._first_failure or code

    def _complain(self, error: Exception) -> None:
        known = isinstance(error, ConsistError)
        told = str(error) if known else f"{type(error).__name__}: {error}"
        typer.echo(f"Error: {clean(told)}", err=True)
        for remedy in getattr(error, "__notes__", ()):
            typer.echo(f"Hint: {clean(remedy)}", err=True)
        self._ended(_WRONG if known else _FAILED)

    # ------------------------------------------------------------ its own commands

    def _help(self, names: list[str]) -> None:
        names = [_ALIASES.get(name, name) for name in names]
        self._call([*names, "--help"])
        if not names:
            typer.echo(_HELP.rstrip())

    def _print_context(self) -> None:
        context = self._session.context
        facts = {
            "db_path": context.db_path,
            "run_dir": context.run_dir,
            "mounts": ", ".join(f"{name}={path}" for name, path in context.mounts) or "none",
            "trust_db": "yes" if context.trust_db else "no",
        }
        print_panel("Context", facts)

    # ------------------------------------------------------------ the tab key

    def complete(  # pyright: ignore[reportIncompatibleMethodOverride] - typeshed errs
        self, text: str, state: int
    ) -> str | None:
        """Return one of what may stand where the cursor is."""
        if state == 0:
            import readline

            line = readline.get_line_buffer()[: readline.get_begidx()]
            self._offered = self.offered(line, text)
        return self._offered[state] if state < len(self._offered) else None

    def offered(self, line: str, text: str) -> list[str]:
        """Return what may stand behind a line where a word has been begun."""
        words = line.split()
        while words and words[0] in {*_PREFIXES, "help"}:
            words = words[1:]
        if words:
            words[0] = _ALIASES.get(words[0], words[0])
        own = [name for name in _OWN if name.startswith(text)] if not words else []
        with suppress(Exception):  # a tab key has no place to complain
            return [*offers(self._root, words, text, self._defaults), *own]
        return own


def _defaults(root: Any, session: Session) -> dict[str, Any]:
    """Return the options that the shell was opened with, for every command that has them."""
    context = session.context
    values = {
        "db_path": context.db_path,
        "run_dir": context.run_dir,
        "mount": [f"{name}={path}" for name, path in context.mounts],
        "trust_db": context.trust_db,
    }
    return _for_each(root, values)


def _for_each(command: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    if inner:
        return {name: _for_each(found, values) for name, found in inner.items()}
    return {param.name: values[param.name] for param in command.params if param.name in values}


# ---------------------------------------------------------------- line editing


@contextmanager
def _line_editing() -> Generator[None]:
    """Let lines be edited and found again, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    history = _history_file()
    earlier = readline.get_completer_delims()
    readline.set_completer_delims(" \t\n")
    readline.set_history_length(_HISTORY_LENGTH)
    if "libedit" in (readline.__doc__ or ""):
        readline.parse_and_bind("bind ^I rl_complete")
    with suppress(OSError):
        readline.read_history_file(history)
    try:
        yield
    finally:
        readline.set_completer_delims(earlier)
        with suppress(OSError):
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(history)


def _history_file() -> Path:
    from consist.settings import Settings
    from consist.store.index_file import user_cache

    return user_cache(Settings.from_environment().cache_dir) / "shell_history"
