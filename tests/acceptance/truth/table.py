"""The whole truth table, in the order of its page."""

from __future__ import annotations

from tests.acceptance.truth import (
    rows_carried,
    rows_config,
    rows_far,
    rows_near,
    rows_session,
)
from tests.acceptance.truth.row import Group, Row

GROUPS: list[Group] = [
    rows_near.GROUP,
    rows_far.IMPORTS,
    rows_far.REACHED,
    rows_session.REPOSITORY,
    rows_session.PROCESSES,
    rows_session.PACKAGES,
    rows_carried.GROUP,
    rows_config.CONFIG,
    rows_config.LABELS,
    rows_session.LIMITS,
]


def rows() -> list[Row]:
    """Return all rows."""
    return [row for group in GROUPS for row in group.rows]
