"""What of the truth table does not hold yet, and why: remove a mark, and the row must hold.

A mark on something that holds is a failure, so none outlives its reason.
"""

from __future__ import annotations

MODES: dict[str, str] = {}
"""Whole modes."""

_MISMATCH = "an edited input is compared only where the step executes"
_OVERWRITER = "the error does not name the run that overwrote the file"
_TAMPERED = "loading and copying compare no bytes yet"
_EAGER = "eager validation compares no bytes yet"
_INGEST = "ingestion is not built yet"
_DEPS = "callable_deps"
_SPELLED = "callable_deps notes changed files by absolute path, the other modes relative"

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
    ("the file is saved after its module was loaded; a new process asks", _DEPS): _SPELLED,
    (
        "the file is saved after its module was loaded, and put back; a new process asks",
        _DEPS,
    ): _SPELLED,
    ("a helper's file is saved after it was loaded; a new process asks", _DEPS): _SPELLED,
    ("a method of the config's class, which the step calls (not annotated)", _DEPS): (
        "stale: the class of a config is followed only where an annotation names it"
    ),
    ("a subclass in a plug-in, found by `__subclasses__`", _DEPS): (
        "stale: subclasses that nobody names are not followed"
    ),
    (
        "the project lies in another folder, and a constant is `Path(__file__).parent`",
        _DEPS,
    ): "needless: a path inside the project counts with the folder that the project lies in",
    (
        "carried: an object without an identity: a generator of random numbers, another seed",
        _DEPS,
    ): "stale and not listed: the value is neither compared nor named on the run",
}
"""Single rows, by name and mode; ``*`` stands for every mode."""


def excuse(row: str, mode: str) -> str | None:
    """Return why a row need not hold in a mode, or ``None`` if it must."""
    return MODES.get(mode) or ROWS.get((row, mode)) or ROWS.get((row, "*"))
