"""Writes ``docs/reference/truth-table.md``.

``python -m tests.acceptance.truth.page > docs/reference/truth-table.md``
"""

from __future__ import annotations

import sys

from tests.acceptance.truth.not_built import MODES as MARKED_MODES
from tests.acceptance.truth.not_built import ROWS as MARKED
from tests.acceptance.truth.row import MODES, Group, Row
from tests.acceptance.truth.table import GROUPS, rows

_OPENING = """\
<!-- Written by `python -m tests.acceptance.truth.page`; a test holds it up to date. -->

# What is found again, and what is not

A cache is worth what it does after a change. This page lists {count} changes and what comes of
each in every [code identity mode](../explanation/identity.md#code). Each line is a small project
that the tests really run: in one process and then, after the change, in another one.

| the table says | that means |
|---|---|
| hit | the earlier result is given back, and it is the right one |
| hit (cannot see) | the earlier result is given back although it may be another one now: this \
mode does not look there, as its documentation says |
| hit (listed) | the earlier result is given back, and the run lists what could not be followed or \
compared, in `run.meta["code_identity_unresolved"]`, and in the other modes values in \
`run.meta["code_identity_unseen"]` |
| miss | the step is executed |
| miss (needless) | the step is executed although it would come to the same: this mode looks at \
more than the step |
| error | nothing is given back; the error names what is wrong |

In `callable_deps` no line is needless. What it cannot see stands [at the end](#what-no-mode-sees):
it is nobody's code, config or input. Lines that do not hold yet, if any, are listed last.
"""


def page() -> str:
    """Return the page."""
    parts = [_OPENING.format(count=len(rows())), *map(_section, GROUPS)]
    return "\n".join([*parts, _not_yet()] if MARKED_MODES or MARKED else parts)


def _not_yet() -> str:
    """Return what the page promises too early."""
    whole = [f"| everything | `{mode}` | {why} |" for mode, why in MARKED_MODES.items()]
    single = [
        f"| {name} | {'all' if mode == '*' else f'`{mode}`'} | {why} |"
        for (name, mode), why in MARKED.items()
    ]
    lines = "\n".join(["| line | modes | why |", "| --- | --- | --- |", *whole, *single])
    return f"## What does not hold yet\n\n{lines}\n"


def _section(group: Group) -> str:
    heads = ["what is changed", *(f"`{mode}`" for mode in MODES), "why"]
    lines = [heads, ["---"] * len(heads), *map(_cells, group.rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"## {group.title}\n\n{group.opening}\n\n{table}\n"


def _cells(row: Row) -> list[str]:
    outcomes = [outcome.printed for outcome in row.expected]
    return [cell.replace("|", r"\|") for cell in (row.title, *outcomes, row.why)]


if __name__ == "__main__":
    sys.stdout.write(page())
