"""Links lead somewhere, and the command line's reference names every command."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.documents import ROOT, anchors, links, name_of, pages

CLI_REFERENCE = ROOT / "docs" / "reference" / "cli.md"


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in pages()])
def test_relative_links_lead_somewhere(page):
    broken = [
        f"{name_of(page)}:{line} {target}"
        for target, line in links(page.read_text(encoding="utf-8"))
        if not leads_somewhere(page, target)
    ]
    assert not broken


def test_the_cli_reference_names_every_command():
    from typer.main import get_command

    from consist.cli import app

    reference = CLI_REFERENCE.read_text(encoding="utf-8")
    commands = command_lines(get_command(app), "consist")
    assert len(commands) > 1
    missing = [command for command in commands if f"`{command}" not in reference]
    assert not missing


def leads_somewhere(page: Path, target: str) -> bool:
    """Tell whether a link of ``page`` is external or finds its file and heading."""
    url = urlsplit(target)
    if url.scheme or url.netloc:
        return True
    goal = page.parent / unquote(url.path) if url.path else page
    if not goal.exists():
        return False
    if not url.fragment or goal.suffix != ".md":
        return True
    return url.fragment in anchors(goal.read_text(encoding="utf-8"))


def command_lines(command, line):
    """Return ``consist``, ``consist runs``, ``consist db``, ``consist db merge``, …"""
    inner = getattr(command, "commands", {})
    return [
        line,
        *(found for name in inner for found in command_lines(inner[name], f"{line} {name}")),
    ]
