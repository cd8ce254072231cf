"""The truth table: small projects, a change between fresh processes, and what must come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.truth.not_built import excuse
from tests.acceptance.truth.play import Answers, contradictions, play, play_together
from tests.acceptance.truth.row import MODES, Row
from tests.acceptance.truth.table import rows


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
                pytest.xfail(f"{reason}: {'; '.join(found)}")
            assert not found, "; ".join(found)
            assert reason is None, f"this holds now: remove the mark ({reason})"
