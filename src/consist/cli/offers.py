"""What the tab key offers inside ``consist shell``, taken from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from glob import escape, glob
from pathlib import Path
from typing import Any

_PATHS = {"FILE", "DIR"}


def offers(
    root: Any, before: Sequence[str], incomplete: str, defaults: Mapping[str, Any]
) -> list[str]:
    """Return what may stand where a word has been begun.

    Parameters
    ----------
    root : command
        The group of all commands.
    before : sequence of str
        Complete words in front.
    incomplete : str
        The beginning of the word, perhaps empty.
    defaults : mapping
        Values of options that are not given, for each command by name.
    """
    command, words = root, list(before)
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        command, defaults = command.commands.get(name), defaults.get(name, {})
    if command is None:
        return []
    if hasattr(command, "commands"):
        return _beginning((n for n, c in command.commands.items() if not c.hidden), incomplete)
    if incomplete.startswith("-"):
        spelled = (s for p in command.params for s in (*p.opts, *p.secondary_opts))
        return _beginning((s for s in (*spelled, "--help") if s.startswith("-")), incomplete)
    param = _expected(command, words)
    return [] if param is None else _values(command, param, incomplete, defaults)


def _expected(command: Any, words: Sequence[str]) -> Any:
    """Return the option or argument that the next word is for."""
    options = {s: p for p in command.params if not _is_argument(p) for s in p.opts}
    arguments = [param for param in command.params if _is_argument(param)]
    given, takes = 0, None
    for word in words:
        if takes is not None:
            takes = None
        elif word in options:
            takes = None if options[word].is_flag else options[word]
        elif not word.startswith("-"):
            given += 1
    if takes is not None:
        return takes
    if given < len(arguments):
        return arguments[given]
    return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


def _is_argument(param: Any) -> bool:
    return param.param_type_name == "argument"


def _values(command: Any, param: Any, incomplete: str, defaults: Mapping[str, Any]) -> list[str]:
    if param.metavar in _PATHS:
        return _paths(incomplete)
    context = command.make_context(
        command.name, [], resilient_parsing=True, default_map=dict(defaults)
    )
    return [item.value for item in param.shell_complete(context, incomplete)]


def _paths(text: str) -> list[str]:
    found = sorted(glob(f"{escape(text)}*"))  # noqa: PTH207 - the text is offered as it was begun
    return [f"{path}/" if Path(path).is_dir() else path for path in found]


def _beginning(names: Iterable[str], text: str) -> list[str]:
    return sorted({name for name in names if name.startswith(text)})
