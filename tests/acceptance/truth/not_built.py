"""What of the truth table does not hold yet, and why: remove a mark, and the row must hold.

A mark on something that holds is a failure, so none outlives its reason.
"""

from __future__ import annotations

MODES: dict[str, str] = {"callable_deps": "the mode is not built yet"}
"""Whole modes."""

_MISMATCH = "an edited input is compared only where the step executes"
_OVERWRITER = "the error does not name the run that overwrote the file"
_TAMPERED = "loading and copying compare no bytes yet"
_EAGER = "eager validation compares no bytes yet"
_INGEST = "ingestion is not built yet"

ROWS: dict[tuple[str, str], str] = {
    ("upstream: its file was edited by hand; it would be a hit", "*"): _MISMATCH,
    ('upstream: its file was edited by hand; `input_mismatch="miss"`', "*"): (
        "`input_mismatch` is not built yet"
    ),
    ("upstream: another run has written to its place since", "*"): _OVERWRITER,
    ("output: another run wrote to its path, then it is loaded", "*"): _TAMPERED,
    ("output: edited by hand, then loaded", "*"): _TAMPERED,
    ("output: edited by hand, then copied by `outputs-all`", "*"): _TAMPERED,
    ("output: edited by hand; eager", "*"): _EAGER,
    ("output: a file in a folder was edited by hand; eager", "*"): _EAGER,
    ("output: ingested, then its file deleted; eager", "*"): _INGEST,
    ("output: ingested, then its file deleted, then loaded from the database", "*"): _INGEST,
}
"""Single rows, by name and mode; ``*`` stands for every mode."""


def excuse(row: str, mode: str) -> str | None:
    """Return why a row need not hold in a mode, or ``None`` if it must."""
    return MODES.get(mode) or ROWS.get((row, mode)) or ROWS.get((row, "*"))
