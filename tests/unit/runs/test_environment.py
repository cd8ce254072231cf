"""Each run remembers where it was done; none of that counts for its identity."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from consist import Tracker
from consist.runs.dirty import Status
from consist.runs.environment import head_of, installed, job

JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "SGE_ROOT")


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "file.txt").write_text("one")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def step() -> None:
    pass


def waited(status: Status) -> bool | None:
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    assert status.is_known
    return status.dirty


def test_a_run_is_recorded_with_where_it_was_done(tmp_path: Path, project: Path) -> None:
    database = tmp_path / "db.duckdb"
    with Tracker(tmp_path / "runs", database, project_root=project) as tracker:
        tracker.run(step, run_id="one")
        hit = tracker.run(step, run_id="two")
        assert hit.cache_hit
        found = tracker.get_run_environment("one")
        assert found is not None
        assert found["commit"] == git(project, "rev-parse", "HEAD")
        assert found["branch"] == "main"
        assert found["packages"]["duckdb"]
        assert found["packages_digest"] == installed()[0]
        assert tracker.get_run_environment("two")["host"] == os.uname().nodename  # type: ignore[index]
        assert tracker.get_run_environment("nobody") is None
        with tracker.store.ask() as connection:
            rows = connection.execute(
                "SELECT e.run_id, e.commit, p.packages FROM run_environment e"
                " JOIN package_set p ON p.id = e.packages ORDER BY 1"
            ).fetchall()
        assert [row[:2] for row in rows] == [("one", found["commit"]), ("two", found["commit"])]
        assert json.loads(rows[0][2]) == dict(installed()[1])
    snapshot = json.loads((tmp_path / "runs/consist_runs/one.json").read_text())
    assert snapshot["extra"]["environment"]["commit"] == found["commit"]
    database.unlink()
    with Tracker(tmp_path / "runs", tmp_path / "other.duckdb") as other:
        assert other.rebuild() == 2
        assert other.get_run_environment("one") == found


def test_another_commit_or_job_gives_a_run_back_all_the_same(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: Any = {"project_root": project, "code_identity": "callable_module"}
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", **where) as tracker:
        tracker.run(step, run_id="one")
    git(project, "commit", "--allow-empty", "-m", "second")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "big")
    monkeypatch.setenv("SECRET_TOKEN", "do not keep")
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", **where) as tracker:
        assert tracker.run(step, run_id="two").cache_hit
        found = tracker.get_run_environment("two")
        assert found is not None
        assert found["job"] == {"system": "slurm", "id": "4711", "cluster": "big"}
        assert found["commit"] == git(project, "rev-parse", "HEAD")
    assert "do not keep" not in (tmp_path / "runs/consist_runs/two.json").read_text()


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, None),
        ({"PBS_JOBID": "7.host"}, {"system": "pbs", "id": "7.host"}),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "2"}, {"system": "lsf", "id": "7", "task": "2"}),
        ({"JOB_ID": "7"}, None),  # anybody may use this name
        ({"JOB_ID": "7", "SGE_ROOT": "/sge"}, {"system": "sge", "id": "7"}),
    ],
)
def test_a_job_is_known_by_its_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: Any
) -> None:
    for name in JOBS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert job() == found


def test_the_commit_is_read_wherever_git_keeps_it(tmp_path: Path, project: Path) -> None:
    commit = git(project, "rev-parse", "HEAD")
    (project / "below").mkdir()
    assert head_of(str(project / "below")) == (commit, "main")
    git(project, "pack-refs", "--all")
    assert head_of(str(project)) == (commit, "main")
    git(project, "worktree", "add", "-b", "side", str(tmp_path / "tree"))
    assert head_of(str(tmp_path / "tree")) == (commit, "side")
    git(project, "checkout", "--detach")
    assert head_of(str(project)) == (commit, None)
    git(tmp_path, "init", "empty")
    assert head_of(str(tmp_path / "empty")) == (None, "main")
    assert head_of("/") == (None, None)


def test_git_tells_whether_tracked_files_changed(project: Path) -> None:
    (project / "untracked.txt").write_text("new")
    assert waited(Status(str(project))) is False
    (project / "file.txt").write_text("two, longer")
    assert waited(Status(str(project))) is True
    assert waited(Status(str(project / "no such folder"))) is None


def test_without_git_nothing_is_known(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    status = Status(str(project))
    assert status.is_known
    assert status.dirty is None


def test_no_process_is_left_behind(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    spawn = os.posix_spawnp

    def noted(*arguments: Any, **options: Any) -> int:
        started.append(spawn(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(os, "posix_spawnp", noted)
    with Tracker(tmp_path / "runs", tmp_path / "db.duckdb", project_root=project) as tracker:
        tracker.run(step)
    (child,) = started
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


def test_a_forked_child_waits_for_no_process_of_its_parent(project: Path) -> None:
    status = Status(str(project))
    child = os.fork()
    if child == 0:
        os._exit(0 if status.is_known and status.dirty is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    status.give_up()
