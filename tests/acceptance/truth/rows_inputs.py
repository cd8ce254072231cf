"""Rows: files that go in, and what earlier steps made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.truth.project import (
    Change,
    Project,
    append,
    delete,
    edit,
    rename,
    several,
    write,
)
from tests.acceptance.truth.row import (
    HIT,
    MISS,
    Group,
    Process,
    always,
    error,
    nothing,
)

GROUP = Group(
    "Input files",
    "Files that no run has made count by their content. The code stays as it is, so all modes "
    "agree.",
)

FILES = {
    "steps.py": """
    from pathlib import Path


    def step(zones: Path):
        print(zones)


    def every(**files):
        print(sorted(files))


    def plain():
        print(2 * 3)


    def discovers(_consist_ctx):
        _consist_ctx.log_input("zones.csv", key="zones")
    """,
    # Data are seldom under git; where they are, an edit also is another state of the repository.
    ".gitignore": "*.csv\nskims/\n",
}
DATA = {
    "zones.csv": "zone,jobs\n1,100\n2,200\n",
    "areas.csv": "zone,jobs\n1,999\n",
    "skims/am.txt": "12\n",
    "skims/pm.txt": "14\n",
}


def _on(path: str, act: Callable[[Path], object]) -> Change:
    def change(project: Project) -> None:
        act(project.root / path)

    return change


def _other_bytes_same_stat(file: Path) -> None:
    before = file.stat()
    file.write_text(file.read_text(encoding="utf-8").replace("100", "101"), encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced_same_stat(file: Path) -> None:
    before = file.stat()
    new = file.with_suffix(".new")
    new.write_text(file.read_text(encoding="utf-8").replace("100", "101"), encoding="utf-8")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(file)


ZONES = "import steps\nask(steps.step, inputs={'zones': 'zones.csv'})\n"
SKIMS = "import steps\nask(steps.step, inputs={'zones': 'skims'})\n"
_EDIT = edit("zones.csv", "1,100", "1,101")

for name, change, code, then, outcome, why in [
    ("touched", _on("zones.csv", os.utime), ZONES, ZONES, HIT, "its time does not count"),
    (
        "written again with the same bytes",
        _on("zones.csv", lambda file: file.write_bytes(file.read_bytes())),
        ZONES,
        ZONES,
        HIT,
        "its content counts",
    ),
    (
        "moved",
        rename("zones.csv", "elsewhere.csv"),
        ZONES,
        ZONES.replace("zones.csv", "elsewhere.csv"),
        HIT,
        "neither name nor folder counts",
    ),
    ("other bytes", _EDIT, ZONES, ZONES, MISS, "its content counts"),
    ("a line more", append("zones.csv", "3,300\n"), ZONES, ZONES, MISS, "its content counts"),
    (
        "other bytes of the same size, with the old time",
        _on("zones.csv", _other_bytes_same_stat),
        ZONES,
        ZONES,
        MISS,
        "the system's time of change gives it away",
    ),
    (
        "replaced by a file of the same size, with the old time",
        _on("zones.csv", _replaced_same_stat),
        ZONES,
        ZONES,
        MISS,
        "it is another file",
    ),
    (
        "gone",
        delete("zones.csv"),
        ZONES,
        ZONES,
        error(FileNotFoundError, "zones", "zones.csv"),
        "a missing file is never taken for an empty answer",
    ),
    (
        "a folder: a new file in it",
        write("skims/night.txt", "9\n"),
        SKIMS,
        SKIMS,
        MISS,
        "all names and contents count",
    ),
    (
        "a folder: a hidden file in it",
        write("skims/.settings", "fast\n"),
        SKIMS,
        SKIMS,
        MISS,
        "all names and contents count",
    ),
    (
        "a folder: a file is renamed",
        rename("skims/am.txt", "skims/morning.txt"),
        SKIMS,
        SKIMS,
        MISS,
        "all names and contents count",
    ),
    (
        "a folder: a file is changed",
        edit("skims/am.txt", "12", "13"),
        SKIMS,
        SKIMS,
        MISS,
        "all names and contents count",
    ),
    (
        "a folder: what was in two files is exchanged",
        several(edit("skims/am.txt", "12", "14"), edit("skims/pm.txt", "14", "12")),
        SKIMS,
        SKIMS,
        MISS,
        "contents count with their names",
    ),
    (
        "a folder: a file is gone",
        delete("skims/pm.txt"),
        SKIMS,
        SKIMS,
        MISS,
        "all names and contents count",
    ),
    (
        "a folder: everything in it is touched",
        several(_on("skims/am.txt", os.utime), _on("skims/pm.txt", os.utime)),
        SKIMS,
        SKIMS,
        HIT,
        "times do not count",
    ),
    (
        "a folder: copied elsewhere",
        _on("skims", lambda folder: shutil.copytree(folder, folder.with_name("copy"))),
        SKIMS,
        SKIMS.replace("'skims'", "'copy'"),
        HIT,
        "where it lies does not count",
    ),
]:
    GROUP.row(
        f"input: {name}",
        change,
        always(outcome),
        why,
        files=FILES,
        data=DATA,
        code=code,
        then=then,
    )

_EVERY = (
    "import steps\nfrom consist import ExecutionOptions\n"
    "ask(steps.every, inputs={inputs}, "
    "execution_options=ExecutionOptions(input_binding='paths'))\n"
)
for name, one, other, outcome, why in [
    (
        "under another name",
        "{'zones': 'zones.csv'}",
        "{'areas': 'zones.csv'}",
        MISS,
        "the step gets it as another argument",
    ),
    (
        "two of them exchanged",
        "{'a': 'zones.csv', 'b': 'areas.csv'}",
        "{'a': 'areas.csv', 'b': 'zones.csv'}",
        MISS,
        "each is bound to the other's name",
    ),
    (
        "two of them in another order",
        "{'a': 'zones.csv', 'b': 'areas.csv'}",
        "{'b': 'areas.csv', 'a': 'zones.csv'}",
        HIT,
        "names decide, not their order",
    ),
    (
        "one more",
        "{'a': 'zones.csv'}",
        "{'a': 'zones.csv', 'b': 'areas.csv'}",
        MISS,
        "the step gets more",
    ),
]:
    GROUP.row(
        f"input: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        data=DATA,
        code=_EVERY.format(inputs=one),
        then=_EVERY.format(inputs=other),
    )
for name, options, change, outcome, why in [
    ("`depends_on`: other bytes", "depends_on=['zones.csv']", _EDIT, MISS, "it counts like inputs"),
    (
        "`identity_inputs`: other bytes",
        "identity_inputs=['zones.csv']",
        _EDIT,
        MISS,
        "it counts and is passed nowhere",
    ),
    (
        "`identity_inputs`: touched",
        "identity_inputs=['zones.csv']",
        _on("zones.csv", os.utime),
        HIT,
        "its content counts",
    ),
    (
        "`identity_inputs`: a file in a folder",
        "identity_inputs=[('skims', 'skims')]",
        edit("skims/am.txt", "12", "13"),
        MISS,
        "all names and contents count",
    ),
    (
        "`identity_inputs`: gone",
        "identity_inputs=['zones.csv']",
        delete("zones.csv"),
        error(FileNotFoundError, "zones"),
        "a missing file is never taken for an empty answer",
    ),
    (
        "logged while the step ran: other bytes",
        "execution_options=ExecutionOptions(inject_context=True)",
        _EDIT,
        MISS,
        "it is remembered, and compared the next time",
    ),
    (
        "logged while the step ran: touched",
        "execution_options=ExecutionOptions(inject_context=True)",
        _on("zones.csv", os.utime),
        HIT,
        "its content counts",
    ),
]:
    step = "discovers" if name.startswith("logged") else "plain"
    GROUP.row(
        f"input: {name}",
        change,
        always(outcome),
        why,
        files=FILES,
        data=DATA,
        code=f"import steps\nfrom consist import ExecutionOptions\nask(steps.{step}, {options})\n",
    )


def _link(project: Project) -> None:
    file = project.root / "link.csv"
    file.unlink(missing_ok=True)
    file.symlink_to("zones.csv")


def _relink(project: Project) -> None:
    (project.root / "link.csv").unlink()
    (project.root / "link.csv").symlink_to("areas.csv")


def _unlink(project: Project) -> None:
    (project.root / "link.csv").unlink()
    shutil.copy(project.root / "zones.csv", project.root / "link.csv")


_LINK = ZONES.replace("zones.csv", "link.csv")
for name, change, outcome, why in [
    ("a link that leads to another file now", _relink, MISS, "the content behind it counts"),
    ("other bytes behind a link", _EDIT, MISS, "the content behind it counts"),
    ("a copy in the place of a link", _unlink, HIT, "the content behind it counts"),
]:
    GROUP.row(
        f"input: {name}",
        change,
        always(outcome),
        why,
        files=FILES,
        data=DATA,
        code=_LINK,
        begin=Process(expected=always(MISS), change=_link, code=_LINK),
    )
GROUP.row(
    "input: `hash_inputs` of a run by hand: other bytes",
    _EDIT,
    always(MISS),
    "it counts and is passed nowhere",
    files={
        "blocks.py": """
        def block(tracker, folder):
            with tracker.start_run("by_hand", model="hand", hash_inputs=["zones.csv"]):
                return tracker.is_cached
        """,
        ".gitignore": "*.csv\n",
    },
    data={"zones.csv": DATA["zones.csv"]},
    code="import blocks\neach(blocks.block)\n",
)
