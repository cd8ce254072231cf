"""Two JSON documents, leaf by leaf."""

from __future__ import annotations

from math import isfinite
from typing import Any

from consist.cache.compare_identity import value_changes
from consist.comparison.columns import Tolerance
from consist.comparison.differences import Difference, DocumentComparison

_MOST_LISTED = 1_000


def compare_documents(left: Any, right: Any, tolerance: Tolerance) -> DocumentComparison:
    """Compare two documents; numbers that are not whole may be as far apart as is tolerated."""
    leaves: list[Difference] = []
    more = 0
    for path, entry in value_changes(left, right):
        old, new = entry.get("old"), entry.get("new")
        if entry["change"] == "changed" and _is_close(old, new, tolerance):
            continue
        if len(leaves) < _MOST_LISTED:
            leaves.append(Difference("outputs", path or "(all)", entry["change"], old, new))
        else:
            more += 1
    notes = (f"{more:,} more leaves differ",) if more else ()
    return DocumentComparison(tuple(leaves), notes)


def _is_close(old: Any, new: Any, tolerance: Tolerance) -> bool:
    if not (_is_number(old) and _is_number(new)) or (isinstance(old, int) and isinstance(new, int)):
        return False
    if old != old and new != new:  # NaN equals itself  # noqa: PLR0124
        return True
    finite = isfinite(old) and isfinite(new)
    return bool(tolerance) and finite and tolerance.allows(float(old), float(new))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
