"""Which changes of a project change what a step reaches: all that may matter, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.identity.reach.conftest import Look


class Row(NamedTuple):
    """A project, a change of one of its files, and whether the change counts."""

    name: str
    files: dict[str, str]
    file: str
    old: str
    new: str
    counts: bool


def rows() -> Iterator[Row]:
    """Read the rows of ``changes.txt``."""
    text = Path(__file__).with_name("changes.txt").read_text("utf-8")
    for block in text.split("\n======== ")[1:]:
        head, *parts = block.split("\n---- ")
        name, _, verdict = head.partition(" | ")
        *files, (change, old), (_, new) = (part.partition("\n")[::2] for part in parts)
        yield Row(
            name,
            {file: f"{content}\n" for file, content in files},
            change.removeprefix("change "),
            old.rstrip("\n"),
            new.rstrip("\n"),
            {"other": True, "same": False}[verdict.strip()],
        )


ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_change_counts_exactly_if_it_may_matter(row: Row, look: Look) -> None:
    # SIG-002, SIG-017
    assert row.old in row.files[row.file]
    before = look(row.files)
    after = look({**row.files, row.file: row.files[row.file].replace(row.old, row.new)})
    assert (before.digest != after.digest) is row.counts, {
        label: (before.parts.get(label), after.parts.get(label))
        for label in before.parts.keys() | after.parts.keys()
    }
