"""The truth table: small projects, a change between fresh processes, and what must come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.truth.not_built import excuse
from tests.acceptance.truth.play import contradictions, play
from tests.acceptance.truth.row import MODES, Row
from tests.acceptance.truth.table import rows


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.id, marks=pytest.mark.slow if row.slow else ()) for row in rows()],
)
def test_row(row: Row, tmp_path: Path, subtests: pytest.Subtests) -> None:
    played = play(row, tmp_path / "here")
    for mode in MODES:
        with subtests.test(mode=mode):
            found, reason = contradictions(row, mode, played), excuse(row.name, mode)
            if found and reason is not None:
                pytest.xfail(f"{reason}: {'; '.join(found)}")
            assert not found, "; ".join(found)
            assert reason is None, f"this holds now: remove the mark ({reason})"
