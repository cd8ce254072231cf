"""The whole truth table, in the order of its page."""

from __future__ import annotations

from tests.acceptance.truth import (
    rows_carried,
    rows_config,
    rows_edits,
    rows_import_time,
    rows_imports,
    rows_inputs,
    rows_limits,
    rows_near,
    rows_outputs,
    rows_packages,
    rows_processes,
    rows_project,
    rows_reached,
    rows_runs,
    rows_upstream,
)
from tests.acceptance.truth.row import Group, Row

GROUPS: list[Group] = [
    rows_near.GROUP,
    rows_imports.GROUP,
    rows_reached.GROUP,
    rows_import_time.GROUP,
    rows_packages.GROUP,
    rows_project.GROUP,
    rows_processes.GROUP,
    rows_edits.GROUP,
    rows_carried.GROUP,
    rows_config.CONFIG,
    rows_config.LABELS,
    rows_inputs.GROUP,
    rows_upstream.GROUP,
    rows_outputs.GROUP,
    rows_runs.ENDINGS,
    rows_runs.ASKING,
    rows_runs.RECORD,
    rows_limits.GROUP,
]


def rows() -> list[Row]:
    """Return all rows."""
    return [row for group in GROUPS for row in group.rows]
