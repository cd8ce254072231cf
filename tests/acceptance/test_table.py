"""The table of this folder's README tells where every cited promise is held."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parents[1]
_ID = re.compile(r"\b(?:[A-Z]{2,5}-\d{3}|[CG]-\d\d)\b")


def test_the_table_names_every_cited_id_with_the_files_that_cite_it() -> None:
    cited: dict[str, set[str]] = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        for line in file.read_text("utf-8").splitlines():
            for found in _ID.findall(line.partition("#")[2]):
                cited[found].add(f"`{file.relative_to(TESTS).as_posix()}`")
    listed: dict[str, set[str]] = {}
    for line in (TESTS / "acceptance/README.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if _ID.fullmatch(cells[0]):
            assert cells[0] not in listed, f"{cells[0]} is listed twice"
            listed[cells[0]] = set(cells[2].split(", "))
    assert listed == dict(cited)
