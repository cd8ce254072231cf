"""The state of a project in git, on real repositories (SIG-015, G-19)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from consist.errors import CodeIdentityUnavailableError
from consist.identity.files import file_digest
from consist.identity.repository import SOURCE_SUFFIXES, changed_between, repo_git


def git(folder: Path, *arguments: str) -> str:
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_ALLOW_PROTOCOL": "file",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def make_repository(folder: Path) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "steps.py").write_text("a = 1\n")
    (folder / "data.csv").write_text("1\n")
    (folder / "look.ipynb").write_text("{}")
    (folder / ".gitignore").write_text("ignored/\n*.log\n")
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


def test_without_changes_the_commit_is_all(project: Path, tmp_path: Path) -> None:
    before = repo_git(project)
    git(tmp_path, "clone", "-q", str(project), "copy")
    assert repo_git(tmp_path / "copy") == before
    assert repo_git(str(project)) == before
    git(project, "checkout", "-q", "-b", "other")
    assert repo_git(project) == before
    commit(project)
    assert repo_git(project) != before


def test_a_file_that_was_only_touched_is_unchanged(project: Path) -> None:
    before = repo_git(project)
    os.utime(project / "src" / "steps.py", ns=(1, 1))
    assert repo_git(project) == before


@pytest.mark.parametrize("name", ["src/steps.py", "data.csv", ".gitignore"])
def test_a_changed_tracked_file_counts_whatever_its_suffix(project: Path, name: str) -> None:
    digests = {repo_git(project)}
    for content in ("changed", "changed again"):
        (project / name).write_text(content)
        digests.add(repo_git(project))
        git(project, "add", name)
        assert repo_git(project) in digests  # staged or not is the same
    (project / name).unlink()
    digests.add(repo_git(project))
    assert len(digests) == 4


def test_taking_a_change_back_gives_the_old_state(project: Path) -> None:
    before = repo_git(project)
    (project / "data.csv").write_text("2\n")
    assert repo_git(project) != before
    (project / "data.csv").write_text("1\n")
    assert repo_git(project) == before


def test_a_notebook_changes_by_being_looked_at(project: Path) -> None:
    before = repo_git(project)
    (project / "look.ipynb").write_text('{"outputs": []}')
    (project / "new.ipynb").write_text("{}")
    assert repo_git(project) == before


@pytest.mark.parametrize("name", ["helper.py", "model.F90", "src/new/query.sql", "rates.yaml"])
def test_an_untracked_source_file_counts(project: Path, name: str) -> None:
    path = project / name
    path.parent.mkdir(exist_ok=True)
    digests = {repo_git(project)}
    for content in ("one", "two"):
        path.write_text(content)
        digests.add(repo_git(project))
    path.rename(path.with_stem("renamed"))
    digests.add(repo_git(project))
    assert len(digests) == 4


@pytest.mark.parametrize(
    "name", ["result.csv", "summary.json", "README", "table.parquet", "ignored/a.py", "a.log"]
)
def test_untracked_data_and_ignored_files_do_not_count(project: Path, name: str) -> None:
    before = repo_git(project)
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert repo_git(project) == before


def test_a_huge_untracked_source_file_is_data(project: Path) -> None:
    before = repo_git(project)
    (project / "dump.sql").write_bytes(b"x" * 1_000_001)
    assert repo_git(project) == before
    assert repo_git(project, max_untracked=2_000_000) != before
    (project / "dump.sql").write_bytes(b"x" * 1_000_000)
    assert repo_git(project) != before


def test_suffixes_can_be_chosen(project: Path) -> None:
    before = repo_git(project)
    (project / "notes.rst").write_text("x")
    assert repo_git(project) == before
    assert repo_git(project, source_suffixes=SOURCE_SUFFIXES | {".rst"}) != before


def test_what_is_excluded_does_not_count(project: Path) -> None:
    """Run folders, the database and recorded artifacts are no code."""
    before = repo_git(project)
    (project / "runs").mkdir()
    (project / "runs" / "generated.py").write_text("x")
    (project / "data.csv").write_text("written by a step")
    asked: list[Path] = []

    def is_excluded(path: Path) -> bool:
        asked.append(path)
        return path.is_relative_to(project / "runs") or path == project / "data.csv"

    assert repo_git(project, is_excluded) == before
    assert sorted(asked) == [project / "data.csv", project / "runs" / "generated.py"]
    assert repo_git(project) != before


def test_a_project_in_a_folder_of_a_repository_knows_no_more(project: Path) -> None:
    before = repo_git(project / "src")
    (project / "data.csv").write_text("2\n")
    (project / "helper.py").write_text("x")
    assert repo_git(project / "src") == before
    asked: list[Path] = []
    (project / "src" / "steps.py").write_text("changed")
    repo_git(project / "src", lambda path: bool(asked.append(path)))
    assert asked == [project / "src" / "steps.py"]
    assert repo_git(project / "src") != before


def test_a_project_reached_by_a_link_is_the_same(project: Path, tmp_path: Path) -> None:
    (project / "src" / "steps.py").write_text("changed")
    link = tmp_path / "link"
    link.symlink_to(project)
    asked: list[Path] = []
    assert repo_git(link) == repo_git(project)
    repo_git(link, lambda path: bool(asked.append(path)))
    assert asked == [link / "src" / "steps.py"]


def test_a_relative_project_root_starts_here(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data.csv").write_text("2\n")
    expected = repo_git(project)
    monkeypatch.chdir(project)
    assert repo_git(".") == expected


def test_a_repository_without_a_commit_has_a_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    before = repo_git(tmp_path)
    (tmp_path / "a.py").write_text("x")
    untracked = repo_git(tmp_path)
    git(tmp_path, "add", "a.py")
    assert len({before, untracked}) == 2
    assert repo_git(tmp_path) == untracked


def test_a_renamed_file_is_a_deleted_and_a_new_one(project: Path) -> None:
    before = repo_git(project)
    git(project, "mv", "data.csv", "other.csv")
    git(project, "config", "status.renames", "copies")
    renamed = repo_git(project)
    (project / "other.csv").write_text("2\n")
    assert len({before, renamed, repo_git(project)}) == 3


def test_names_may_be_of_any_kind(project: Path) -> None:
    digests = {repo_git(project)}
    for name in (b"a b.py", b"\xff.py", "ü.py".encode(), b"new\nline.py", b"-- .py", b'"q".py'):
        (project / os.fsdecode(name)).write_text("x")
        digests.add(repo_git(project))
    assert len(digests) == 7


def test_a_changed_link_counts_by_where_it_leads(project: Path) -> None:
    (project / "one").mkdir()
    (project / "two").mkdir()
    (project / "link").symlink_to("one")
    (project / "alias.py").symlink_to("src/steps.py")
    commit(project)
    digests = {repo_git(project)}
    (project / "link").unlink()
    digests.add(repo_git(project))
    for target in ("two", "three", "data.csv"):
        (project / "link").unlink(missing_ok=True)
        (project / "link").symlink_to(target)
        digests.add(repo_git(project))
    assert len(digests) == 5


def test_a_conflict_counts(project: Path) -> None:
    git(project, "checkout", "-q", "-b", "other")
    (project / "data.csv").write_text("2\n")
    commit(project)
    git(project, "checkout", "-q", "main")
    (project / "data.csv").write_text("3\n")
    commit(project)
    before = repo_git(project)
    with pytest.raises(subprocess.CalledProcessError):
        git(project, "merge", "other")
    assert repo_git(project) != before


def test_a_submodule_counts_by_its_own_state(project: Path, tmp_path: Path) -> None:
    make_repository(tmp_path / "library")
    git(project, "submodule", "add", "-q", str(tmp_path / "library"), "library")
    commit(project)
    digests = {repo_git(project)}
    inside = project / "library"
    for change in ("one", "two"):
        (inside / "src" / "steps.py").write_text(change)
        digests.add(repo_git(project))
    (inside / "helper.py").write_text("x")
    digests.add(repo_git(project))
    commit(inside)
    digests.add(repo_git(project))
    assert len(digests) == 5
    assert repo_git(inside) == repo_git(inside)
    (inside / "look.ipynb").write_text("[]")
    assert repo_git(project) in digests


def test_an_untracked_repository_inside_counts_by_its_own_state(project: Path) -> None:
    digests = {repo_git(project)}
    inside = make_repository(project / "vendor")
    digests.add(repo_git(project))
    (inside / "src" / "steps.py").write_text("changed")
    digests.add(repo_git(project))
    assert len(digests) == 3
    assert repo_git(project, lambda path: path == inside) in digests


def test_a_work_tree_of_its_own_is_a_project(project: Path, tmp_path: Path) -> None:
    before = repo_git(project)
    git(project, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert repo_git(tmp_path / "tree") == before
    (tmp_path / "tree" / "data.csv").write_text("2\n")
    assert repo_git(project) == before
    assert repo_git(tmp_path / "tree") != before


def test_the_environment_of_a_git_hook_does_not_mislead(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = repo_git(project)
    other = make_repository(tmp_path / "other")
    commit(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert repo_git(project) == expected


def test_looking_writes_nothing_into_the_repository(project: Path) -> None:
    os.utime(project / "data.csv", ns=(1, 1))  # a status that may write would refresh its index
    index = project / ".git" / "index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    repo_git(project)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_one_question_to_git_is_enough(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    run = subprocess.run

    def counted(command: list[str], **options: object) -> object:
        asked.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    (project / "data.csv").write_text("2\n")
    (project / "helper.py").write_text("x")
    repo_git(project)
    assert len(asked) == 1


def test_files_are_digested_by_whom_the_caller_names(project: Path) -> None:
    (project / "data.csv").write_text("2\n")
    asked: list[str] = []

    def remembered(path: str) -> str:
        asked.append(path)
        return file_digest(path)

    assert repo_git(project, digest_file=remembered) == repo_git(project)
    assert asked == [str(project / "data.csv")]


# ---------------------------------------------------------------- without an answer


def test_a_folder_in_no_repository_has_no_state(tmp_path: Path) -> None:
    with pytest.raises(CodeIdentityUnavailableError, match="not a git repository") as caught:
        repo_git(tmp_path)
    assert caught.value.mode == "repo_git"
    assert "callable_module" in caught.value.__notes__[0]


def test_a_bare_repository_has_no_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare")
    with pytest.raises(CodeIdentityUnavailableError, match="work tree"):
        repo_git(tmp_path)


def test_a_missing_folder_has_no_state(tmp_path: Path) -> None:
    with pytest.raises(CodeIdentityUnavailableError, match="none"):
        repo_git(tmp_path / "none")


@pytest.mark.parametrize("name", ["ignored", "ignored/deep"])
def test_a_folder_that_git_ignores_has_no_state(project: Path, name: str) -> None:
    """The commit would be all of it, and no change would ever be seen."""
    folder = project / name
    folder.mkdir(parents=True)
    (folder / "steps.py").write_text("a = 1\n")
    with pytest.raises(CodeIdentityUnavailableError, match="is ignored by the repository"):
        repo_git(folder)


def test_without_git_there_is_no_state(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CodeIdentityUnavailableError, match="git cannot be started"):
        repo_git(project)


def test_a_broken_repository_has_no_state(project: Path) -> None:
    (project / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(CodeIdentityUnavailableError):
        repo_git(project)


def test_files_between_two_commits_are_named_where_git_knows_both(project: Path) -> None:
    first = git(project, "rev-parse", "HEAD").strip()
    (project / "src" / "steps.py").write_text("a = 2\n")
    commit(project)
    second = git(project, "rev-parse", "HEAD").strip()
    assert changed_between(project, first, second) == ["src/steps.py"]
    assert changed_between(project / "src", first, second) == ["steps.py"]
    assert changed_between(project, first, first) == []
    assert changed_between(project, "0" * 40, second) is None
    assert changed_between(project, "--output=x", second) is None
    assert changed_between(project.parent, first, second) is None
