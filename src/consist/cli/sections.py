"""``consist --help`` in sections, as plain text."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

from typer.core import TyperGroup

SECTIONS = {
    "Runs": ("runs", "show", "explain", "search", "summary", "compare", "annotate", "invalidate"),
    "Scenarios": ("scenarios", "scenario"),
    "Artifacts": ("artifacts", "lineage", "preview", "schema", "views", "validate", "verify", "gc"),
    "Work": ("run-point", "shell"),
    "Database": ("db",),
}
OTHERS = "Commands"
"""Where commands stand that no section names; a test finds none."""


class Sections(TyperGroup):
    """A group whose help lists commands by sections.

    Typer itself does so only with Rich, which takes twice as long to start.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with their first sentence, section by section."""
        sections: dict[str, list[tuple[str, Any]]] = {title: [] for title in (*SECTIONS, OTHERS)}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                sections[section_of(command)].append((name, command))
        widest = max((len(name) for members in sections.values() for name, _ in members), default=0)
        for section, members in sections.items():
            if not members:
                continue
            with formatter.section(section):
                rows = [(name.ljust(widest), sentence_of(command)) for name, command in members]
                formatter.write_dl(rows)


def section_of(command: Any) -> str:
    """Return the section that a command stands in."""
    return next((title for title, names in SECTIONS.items() if command.name in names), OTHERS)


def sentence_of(command: Any) -> str:
    """Return the first sentence of a command's help, which says what it does."""
    paragraph = cleandoc(command.help or "").partition("\n\n")[0]
    return " ".join(paragraph.split())
