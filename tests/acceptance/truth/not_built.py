"""What of the truth table does not hold yet, and why: remove a mark, and the row must hold.

A mark on something that holds is a failure, so none outlives its reason.
"""

from __future__ import annotations

MODES: dict[str, str] = {}
"""Whole modes."""

ROWS: dict[tuple[str, str], str] = {}
"""Single rows, by name and mode; ``*`` stands for every mode."""


def excuse(row: str, mode: str) -> str | None:
    """Return why a row need not hold in a mode, or ``None`` if it must."""
    return MODES.get(mode) or ROWS.get((row, mode)) or ROWS.get((row, "*"))
