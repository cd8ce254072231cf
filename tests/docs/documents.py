"""Reads the project's Markdown: which code a page shows, what it prints, where it links to.

Above a fenced block, an HTML comment may stand:

``<!-- not run: reason -->``
    The ``python`` block below is shown and not run.
``<!-- output -->``
    The ``text`` block below is what the ``python`` block before it prints; ``...`` in it stands
    for anything.

and anywhere ``<!-- setup``, Python lines, ``-->`` is code that runs at its place, unseen.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

_NOT_RUN = re.compile(r"<!--\s*not run\b:?(?P<reason>.*?)-->\s*", re.DOTALL)
_SETUP = re.compile(r"<!--[ \t]*setup[ \t]*\n(?P<code>.*?)-->\s*", re.DOTALL)
_OUTPUT = re.compile(r"<!--\s*output\s*-->\s*")


@dataclass(frozen=True)
class Block:
    """Some Python of a document; ``line`` is that of its first line of code, from 1."""

    code: str
    line: int
    not_run: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class Fence:
    """The opening of a fenced block: the word behind the backticks, and where it stands."""

    language: str
    line: int


def documents() -> list[Path]:
    """Return every page whose examples run: the root's and those of ``docs/``."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def pages() -> list[Path]:
    """Return every page whose links must hold: the documents and the notes beside the code."""
    folders = ("requirements", "tests", "examples", "benchmarks")
    notes = [page for folder in folders for page in ROOT.glob(f"{folder}/**/*.md")]
    return sorted([*documents(), *notes])


def name_of(page: Path) -> str:
    """Return the path of ``page`` inside the project, for test ids and messages."""
    return page.relative_to(ROOT).as_posix()


def fences(text: str) -> list[Fence]:
    """Return the opening of every fenced block of a page."""
    return [
        Fence(_language(token), _line(token)) for token in _parse(text) if token.type == "fence"
    ]


def blocks(text: str) -> list[Block]:
    """Return the Python of a page in reading order, set-up code included."""
    found: list[Block] = []
    before = ""  # the HTML comment right above, if there is one
    for token in _parse(text):
        if token.type == "html_block":
            if setup := _SETUP.fullmatch(token.content):
                found.append(Block(setup["code"], _line(token) + 1))
            before = token.content
            continue
        if token.type == "fence" and _language(token) == "python":
            excuse = _NOT_RUN.fullmatch(before)
            reason = excuse["reason"].strip() if excuse else None
            found.append(Block(token.content, _line(token) + 1, reason))
        elif token.type == "fence" and _OUTPUT.fullmatch(before):
            found[-1] = _with_output(found[-1:], token)
        before = ""
    return found


def links(text: str) -> list[tuple[str, int]]:
    """Return the target of every link and image of a page, with its line."""
    found: list[tuple[str, int]] = []
    for token in _parse(text):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None:
                found.append((str(target), _line(token)))
    return found


def anchors(text: str) -> set[str]:
    """Return the fragments that a page can be linked to with: one per heading."""
    found = set[str]()
    for heading, content in pairwise(_parse(text)):
        if heading.type != "heading_open":
            continue
        words = "".join(child.content for child in content.children or ())
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        found.add(next(s for s in _numbered(slug) if s not in found))
    return found


def printed_as_told(told: str, printed: str) -> bool:
    """Tell whether ``printed`` is what the page tells, where ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in _trimmed(told).split("..."))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def _parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def _language(token: Token) -> str:
    return (token.info.split() or [""])[0]


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _with_output(last: list[Block], token: Token) -> Block:
    if not last or last[0].not_run is not None:
        message = f"line {_line(token)}: this output belongs to no block that is run"
        raise ValueError(message)
    return Block(last[0].code, last[0].line, output=token.content)


def _numbered(slug: str) -> list[str]:
    return [slug, *(f"{slug}-{number}" for number in range(1, 100))]


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
