"""Where a run was done: Python, machine, job, packages and the state of the project in git.

Found once per process and encoded once, so that a run pays next to nothing for it. None of it
counts for the identity of a run. Of environment variables only those that name a job are read.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from consist.models.record import NULL, PackagesEvent, Raw, encode, raw
from consist.runs.dirty import Status
from consist.store.locks import user_name

if TYPE_CHECKING:
    from consist.workspace import Workspace

_MEMORY = "environment"
_PATIENCE = 0.02  # seconds that the first executed run of a process waits for git at its end


class _Found:
    """What one process knows for one tracker."""

    def __init__(self, ws: Workspace) -> None:
        self.pid = os.getpid()
        self._facts = _facts(str(ws.project_root))
        self._status = Status(str(ws.project_root)) if self._facts["commit"] else None
        self._open, self._patience = self._status is not None, _PATIENCE
        self.raw = raw({**self._facts, "dirty": None})

    def wait(self) -> None:
        """Give git a moment more, once."""
        until, self._patience = time.monotonic() + self._patience, 0.0
        while self._open and self._status is not None and not self._status.is_known:
            if time.monotonic() >= until:
                return
            time.sleep(0.001)

    def renew(self) -> Raw:
        """Return what is known now, encoded."""
        if self._open and self._status is not None and self._status.is_known:
            self._open = False
            if self._status.dirty is not None:
                self.raw = raw({**self._facts, "dirty": self._status.dirty})
        return self.raw

    def give_up(self) -> None:
        """Wait no longer for what is not known."""
        if self._status is not None:
            self._status.give_up()


def environment_of(ws: Workspace, *, patient: bool = False) -> Raw:
    """Return where runs of this process are done, encoded; JSON null where none are kept.

    Whether the project departs from its commit is asked once, beside the first run, and unknown
    until git has answered. ``patient`` waits for that a moment, the first time it is asked for.
    """
    if not ws.keeps:
        return NULL
    found: Any = ws.memory.get(_MEMORY)
    if found is None or found.pid != os.getpid():
        found = ws.memory[_MEMORY] = _Found(ws)
        digest, packages = installed()
        ws.store.remember_packages(PackagesEvent(digest, dict(packages), datetime.now(UTC)))
    if patient:
        found.wait()
    return found.renew()


def forget_environment(ws: Workspace) -> None:
    """Wait no longer for git, and leave no process of it behind."""
    found: Any = ws.memory.pop(_MEMORY, None)
    if found is not None:
        found.give_up()


def _facts(project_root: str) -> dict[str, Any]:
    system = os.uname()
    commit, branch = head_of(project_root)
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "platform": f"{system.sysname}-{system.release}-{system.machine}",
        "host": system.nodename,
        "user": user_name(),
        "job": job(),
        "executable": sys.executable or None,
        "virtual_env": sys.prefix if sys.prefix != sys.base_prefix else None,
        "packages": installed()[0],
        "commit": commit,
        "branch": branch,
    }


# ---------------------------------------------------------------- job

_JOBS = {
    "slurm": {
        "id": "SLURM_JOB_ID",
        "array_id": "SLURM_ARRAY_JOB_ID",
        "task": "SLURM_ARRAY_TASK_ID",
        "cluster": "SLURM_CLUSTER_NAME",
    },
    "pbs": {"id": "PBS_JOBID", "task": "PBS_ARRAY_INDEX"},
    "lsf": {"id": "LSB_JOBID", "task": "LSB_JOBINDEX"},
    "sge": {"id": "JOB_ID", "task": "SGE_TASK_ID", "cluster": "SGE_CLUSTER_NAME"},
}


def job() -> dict[str, str] | None:
    """Return the batch job that this process belongs to, ``None`` where it is none."""
    for system, variables in _JOBS.items():
        found = {what: os.environ[name] for what, name in variables.items() if os.environ.get(name)}
        if "id" in found and (system != "sge" or "SGE_ROOT" in os.environ):
            return {"system": system, **found}
    return None


# ---------------------------------------------------------------- packages


@cache
def installed() -> tuple[str, MappingProxyType[str, str]]:
    """Return the installed packages with their versions, and the digest of that list.

    As the names of their metadata folders tell; the first on ``sys.path`` counts.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        for name, version in _distributions(folder or "."):
            found.setdefault(name, version)
    packages = dict(sorted(found.items()))
    return hashlib.sha256(encode(packages)).hexdigest(), MappingProxyType(packages)


def _distributions(folder: str) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.endswith((".dist-info", ".egg-info"))]
    except OSError:  # an archive, or not there
        return
    for name in names:
        parts = name.rpartition(".")[0].split("-")
        if len(parts) > 1:
            yield parts[0].lower().replace("_", "-").replace(".", "-"), parts[1]


# ---------------------------------------------------------------- commit


def head_of(folder: str) -> tuple[str | None, str | None]:
    """Return commit and branch that are checked out around a folder, read without git.

    ``None`` for what is not there: no repository, no commit yet, no branch.
    """
    try:
        repository = _repository(Path(folder).resolve())
        return (None, None) if repository is None else _head(repository)
    except (OSError, UnicodeDecodeError):
        return None, None


def _repository(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        git = place / ".git"
        if git.is_dir():
            return git
        if git.is_file():  # a worktree or a submodule
            text = git.read_text().strip()
            return (place / text.removeprefix("gitdir:").strip()).resolve()
    return None


def _head(repository: Path) -> tuple[str | None, str | None]:
    text = (repository / "HEAD").read_text().strip()
    if not text.startswith("ref:"):
        return text, None
    reference = text.removeprefix("ref:").strip()
    branch = reference.removeprefix("refs/heads/")
    common = repository
    if (repository / "commondir").is_file():
        common = repository / (repository / "commondir").read_text().strip()
    for home in (repository, common):
        if (home / reference).is_file():
            return (home / reference).read_text().strip(), branch
    return _packed(common / "packed-refs", reference), branch


def _packed(path: Path, reference: str) -> str | None:
    if not path.is_file():
        return None
    for line in path.read_text().splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return None
