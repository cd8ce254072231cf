"""The truth table: small projects, a change between fresh processes, and what must come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.truth.not_built import ROWS, excuse
from tests.acceptance.truth.page import page
from tests.acceptance.truth.play import Answers, contradictions, play, play_together
from tests.acceptance.truth.row import BLUNT, LISTED, MODES, UNSEEN, Row
from tests.acceptance.truth.table import GROUPS, rows

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "truth-table.md"


_TOGETHER: dict[str, dict[str, list[Answers]]] = {}


def _played(row: Row, place: Path) -> list[Answers]:
    if row.shares is None:
        return play(row, place)
    if row.shares not in _TOGETHER:
        together = [other for other in rows() if other.shares == row.shares]
        _TOGETHER[row.shares] = play_together(together, place)
    return _TOGETHER[row.shares][row.id]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.id, marks=pytest.mark.slow if row.slow else ()) for row in rows()],
)
def test_row(row: Row, tmp_path: Path, subtests: pytest.Subtests) -> None:
    played = _played(row, tmp_path / "here")
    for mode in MODES:
        with subtests.test(mode=mode):
            found, reason = contradictions(row, mode, played), excuse(row.name, mode)
            if found and reason is not None:
                pytest.xfail(reason)
            assert not found, "; ".join(found)
            assert reason is None, f"this holds now: remove the mark ({reason})"


def test_no_row_asks_callable_deps_to_be_stale_or_needless() -> None:
    for group in GROUPS:
        for row in group.rows:
            told = row.expected.callable_deps
            if group.title == "What no mode sees":
                assert {UNSEEN, BLUNT} & set(row.expected), row.name
            else:
                assert told not in {UNSEEN, BLUNT}, row.name
            if told is LISTED:
                assert row.processes[row.shown].deps_meta, f"{row.name}: what must be listed?"


def test_rows_have_names_of_their_own_and_marks_name_rows() -> None:
    names = [row.name for row in rows()]
    assert len({row.id for row in rows()}) == len(names) >= 100
    assert {name for name, _ in ROWS} <= set(names)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m tests.acceptance.truth.page > docs/reference/truth-table.md"
    )
