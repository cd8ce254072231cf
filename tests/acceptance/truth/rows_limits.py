"""Rows: what no mode sees."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance.truth.project import Project, edit
from tests.acceptance.truth.row import (
    BLUNT,
    MISS,
    UNSEEN,
    Group,
    nothing,
)
from tests.acceptance.truth.rows_packages import LIBRARY, READS, USES
from tests.acceptance.truth.shared import ONE_STEP

GROUP = Group(
    "What no mode sees",
    "These decide a result without being code, config or input. Declare them.",
)

# ---------------------------------------------------------------- limits

GROUP.row(
    "a tracked file that the step reads without declaring it",
    edit("coefficients.yaml", "-0.3", "-0.4"),
    (MISS, UNSEEN, UNSEEN, UNSEEN),
    "make it an input, or name it in `code_identity_extra_deps`",
    files=READS,
)
GROUP.row(
    "a file of data that the step reads without declaring it",
    edit("zones.csv", "1,2", "1,3"),
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "make it an input",
    files={
        "steps.py": (
            "from pathlib import Path\n\n\ndef step():\n    print(Path('zones.csv').read_text())\n"
        ),
    },
    data={"zones.csv": "1,2\n"},
)
GROUP.row(
    "an environment variable that the step reads",
    nothing,
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "put it into the config",
    files={"steps.py": "import os\n\n\ndef step():\n    print(os.environ.get('RATE'))\n"},
    environment={"RATE": "5"},
)
GROUP.row(
    "an installed package is edited, and keeps its version",
    lambda project: project.write(
        Path(project.installed, "growthlib/__init__.py"), "def growth():\n    return 2 * 4\n"
    ),
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "of packages counts the version",
    files={"steps.py": USES},
    installed=LIBRARY,
)
_FAST = (
    "import steps\nask(steps.step, inputs=['zones.csv'], tracker={'hashing_strategy': 'fast'})\n"
)


def _same_size_and_time(project: Project) -> None:
    file = project.root / "zones.csv"
    before = file.stat()
    file.write_text("1,3\n", encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


GROUP.row(
    '`hashing_strategy="fast"`: other bytes of the same size and time',
    _same_size_and_time,
    (UNSEEN, UNSEEN, UNSEEN, UNSEEN),
    "this strategy never reads a file; the default does",
    files=ONE_STEP,
    data={"zones.csv": "1,2\n"},
    code=_FAST,
)
GROUP.row(
    '`hashing_strategy="fast"`: the same bytes, touched',
    lambda project: os.utime(project.root / "zones.csv"),
    (BLUNT, BLUNT, BLUNT, BLUNT),
    "this strategy never reads a file; the default does",
    files=ONE_STEP,
    data={"zones.csv": "1,2\n"},
    code=_FAST,
)
