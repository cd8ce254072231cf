"""The identity of code in every mode (SIG-002, SIG-015 to SIG-018, G-19)."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consist.errors import CodeIdentityUnavailableError, InputMissing, InvalidOption
from consist.identity import code as code_module
from consist.identity.carried import NOTHING, Carried
from consist.identity.code import MODES, CodeIdentity, code_digest, extra_deps
from consist.identity.files import digest_path

STEPS = """
import sys

def clean(a):
    return a + 1

def other(a):
    return a

def make(threshold):
    def step(a):
        return a > threshold
    return step

def block():
    return sys._getframe()

if len(sys.argv) > 99:
    def twice(a): return 1
one = twice if len(sys.argv) > 99 else None
pair = [lambda: 1, lambda: 2]
"""


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("steps", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["steps"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "steps.py").write_text(STEPS)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    yield root
    sys.modules.pop("steps", None)


@pytest.fixture
def steps(project: Path) -> Any:
    return load(project / "steps.py")


def edit(project: Path, old: str, new: str) -> Any:
    text = (project / "steps.py").read_text()
    assert old in text
    (project / "steps.py").write_text(text.replace(old, new))
    return load(project / "steps.py")


def identity_of(project: Path, fn: Any, mode: str) -> str:
    return CodeIdentity(project).of(fn, mode).digest


EDITS = {
    "the function": ("return a + 1", "return a + 2"),
    "its module": ("return a\n", "return -a\n"),
}


@pytest.mark.parametrize(
    ("mode", "seen"),
    [
        ("repo_git", {"the function", "its module", "another file"}),
        ("callable_module", {"the function", "its module"}),
        ("callable_source", {"the function"}),
    ],
)
def test_every_mode_sees_what_it_promises(project: Path, mode: str, seen: set[str]) -> None:
    """SIG-015, SIG-016, SIG-017."""
    before = identity_of(project, load(project / "steps.py").clean, mode)
    found: set[str] = set()
    for name, (old, new) in EDITS.items():
        if identity_of(project, edit(project, old, new).clean, mode) != before:
            found.add(name)
        edit(project, new, old)
    steps = load(project / "steps.py")
    assert identity_of(project, steps.clean, mode) == before
    (project / "helper.py").write_text("x = 1")
    if identity_of(project, steps.clean, mode) != before:
        found.add("another file")
    assert found == seen


@pytest.mark.parametrize("mode", MODES)
def test_two_callables_of_one_state_are_two(project: Path, steps: Any, mode: str) -> None:
    places = [
        steps.clean, steps.other, steps.pair[0], steps.pair[1], steps.make(1), steps.make(2),
        functools.partial(steps.clean, 1), functools.partial(steps.clean, 2), steps.block(),
    ]  # fmt: skip
    identity = CodeIdentity(project)
    assert len({identity.of(place, mode).digest for place in places}) == len(places)
    again = CodeIdentity(project)
    assert all(identity.of(place, mode) == again.of(place, mode) for place in places)


@pytest.mark.parametrize("mode", MODES)
def test_two_callables_of_one_name_in_one_file_are_two(project: Path, mode: str) -> None:
    (project / "steps.py").write_text(
        "def step():\n    return 1\nfirst = step\ndef step():\n    return 2\n"
    )
    steps = load(project / "steps.py")
    identity = CodeIdentity(project)
    assert identity.of(steps.first, mode).digest != identity.of(steps.step, mode).digest


def test_what_a_callable_carries_is_looked_at_anew(project: Path, steps: Any) -> None:
    identity, table = CodeIdentity(project), {"a": 1}
    step = steps.make(table)
    before = identity.of(step, "callable_source")
    table["a"] = 2
    assert identity.of(step, "callable_source").digest != before.digest
    assert before.carried.values.keys() == {"closure.threshold"}


def test_the_parts_of_an_identity_are_told(project: Path, steps: Any) -> None:
    found = CodeIdentity(project).of(steps.clean, "callable_module", [project / "steps.py"])
    assert found.mode == "callable_module"
    assert found.name == "steps.clean"
    assert found.value == digest_path(project / "steps.py")
    assert found.source is not None
    assert found.extra_deps == (("steps.py", found.value),)
    assert found.carried is NOTHING
    assert found.digest == code_digest(
        found.mode, found.value, found.name, found.source, found.carried, found.extra_deps
    )


def test_every_part_of_an_identity_counts() -> None:
    base = ("repo_git", "v", "n", "s", Carried({"closure.a": "x"}), (("p", "d"),))
    others = ("callable_source", "w", "m", None, NOTHING, ())
    digests = {code_digest(*base)}
    for index, other in enumerate(others):
        digests.add(code_digest(*base[:index], other, *base[index + 1 :]))  # type: ignore[arg-type]
    assert len(digests) == len(base) + 1


def test_a_notebook_cell_counts_beside_the_repository(project: Path) -> None:
    """G-19: a callable that is defined in no file of the project adds its own source."""
    identity = CodeIdentity(project)
    cells = []
    for number, body in enumerate(("return 1", "return 2", "return 1")):
        name = f"<ipython-input-{number}-code>"
        source = f"import sys\ndef step():\n    {body}\nframe = sys._getframe()\n"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(source, name, "exec"), space)
        cells.append(space)
    for name in ("step", "frame"):
        one, other, same = (identity.of(cell[name], "repo_git").digest for cell in cells)
        assert one == same != other


def test_the_repository_is_asked_once(
    project: Path, steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G-19: the code that a process has loaded does not change with the files."""
    asked: list[object] = []
    ask = code_module.repository_state

    def counted(*args: Any, **options: Any) -> Any:
        asked.append(args)
        return ask(*args, **options)

    monkeypatch.setattr(code_module, "repository_state", counted)
    identity = CodeIdentity(project)
    before = identity.of(steps.clean, "repo_git").digest
    (project / "helper.py").write_text("x")
    assert identity.of(steps.clean, "repo_git").digest == before
    assert len(asked) == 1
    identity.refresh()
    assert identity.of(steps.clean, "repo_git").digest != before
    assert len(asked) == 2


def test_what_is_excluded_does_not_count(project: Path, steps: Any) -> None:
    before = CodeIdentity(project).of(steps.clean, "repo_git")
    (project / "written.py").write_text("x")
    with_rule = CodeIdentity(project, lambda path: path.name == "written.py")
    assert with_rule.of(steps.clean, "repo_git") == before


def test_without_a_repository_the_error_comes_each_time_and_git_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    run = subprocess.run

    def counted(*args: Any, **options: Any) -> object:
        asked.append(args)
        return run(*args, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    identity = CodeIdentity(tmp_path)

    def step() -> None: ...

    for _ in range(3):
        with pytest.raises(CodeIdentityUnavailableError, match="repo_git") as caught:
            identity.of(step, "repo_git")
        assert len(caught.value.__notes__) == 1
    assert len(asked) == 1
    assert identity.of(step, "callable_module").digest


def test_a_compiled_callable_counts_by_name_beside_a_repository(project: Path) -> None:
    identity = CodeIdentity(project)
    assert identity.of(len, "repo_git").source is None
    assert identity.of(len, "repo_git").digest != identity.of(print, "repo_git").digest
    for mode in ("callable_module", "callable_source"):
        with pytest.raises(CodeIdentityUnavailableError, match="not written in Python"):
            identity.of(len, mode)


def test_an_unknown_mode_is_an_error_that_names_the_known(project: Path) -> None:
    with pytest.raises(InvalidOption, match="'repo_git', 'callable_module', 'callable_source'"):
        CodeIdentity(project).of(len, "everything")


def test_files_are_digested_by_whom_the_caller_names(project: Path, steps: Any) -> None:
    asked: list[str] = []

    def remembered(path: str) -> str:
        asked.append(Path(path).name)
        return digest_path(path)

    identity = CodeIdentity(project, digest_path=remembered)
    for _ in range(3):
        identity.of(steps.clean, "callable_module")
    assert asked == ["steps.py"]


def test_memory_is_bounded(project: Path, steps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_module, "_MOST_REMEMBERED", 3)
    identity = CodeIdentity(project)
    for number in range(20):
        space: dict[str, Any] = {}
        exec(f"def step(): return {number}", space)
        identity.of(space["step"], "callable_module")
    assert len(identity._known) <= 3


# ---------------------------------------------------------------- added paths


def test_added_files_and_folders_count(project: Path, steps: Any) -> None:
    """SIG-018."""
    (project / "rates").mkdir()
    (project / "rates" / "a.csv").write_text("1")
    (project / "model.f90").write_text("x")
    identity = CodeIdentity(project)
    added = [project / "rates", str(project / "model.f90")]
    digests = {identity.of(steps.clean, "callable_source").digest}
    digests.add(identity.of(steps.clean, "callable_source", added).digest)
    assert identity.of(steps.clean, "callable_source", added[::-1] + added).digest in digests
    (project / "rates" / "a.csv").write_text("2")
    digests.add(identity.of(steps.clean, "callable_source", added).digest)
    (project / "model.f90").write_text("y")
    digests.add(identity.of(steps.clean, "callable_source", added).digest)
    assert len(digests) == 4


def test_added_paths_are_named_within_the_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").touch()
    monkeypatch.chdir(project)
    names = [name for name, _ in extra_deps(["steps.py", project / "steps.py"], project)]
    assert names == ["steps.py"]
    assert extra_deps(["../outside"], project)[0][0] == "../outside"
    assert extra_deps([tmp_path / "outside"], project)[0][0] == str(tmp_path / "outside")
    assert extra_deps([], project) == ()


def test_an_added_path_that_is_missing_is_an_error_that_names_it(project: Path) -> None:
    """G-23."""
    with pytest.raises(InputMissing, match=r"code_identity_extra_deps.*none\.py") as caught:
        CodeIdentity(project).of(len, "repo_git", [project / "none.py"])
    assert isinstance(caught.value, FileNotFoundError)


# ---------------------------------------------------------------- parts


def test_parts_name_the_commit_every_changed_file_and_the_callable(
    project: Path, steps: Any
) -> None:
    clean = CodeIdentity(project).of(steps.clean, "repo_git").parts
    assert len(clean["commit"]) == 40
    assert [label for label in clean if "callable" in label] == [
        f"callable {steps.__name__}.clean in {Path(steps.__file__).relative_to(project)}"
    ]
    tracked = next(p for p in project.rglob("*.py") if ".git" not in p.parts)
    tracked.write_text(tracked.read_text() + "\n# more\n")
    (project / "fresh.py").write_text("x = 1")
    changed = CodeIdentity(project).of(steps.clean, "repo_git").parts
    name = tracked.relative_to(project).as_posix()
    assert changed.keys() - clean.keys() == {f"file {name}", "untracked file fresh.py"}
    tracked.unlink()
    assert CodeIdentity(project).of(steps.clean, "repo_git").parts[f"file {name}"] == "deleted"


def test_parts_of_the_narrow_modes_name_file_and_callable(project: Path, steps: Any) -> None:
    file = Path(steps.__file__).relative_to(project).as_posix()
    label = f"callable {steps.__name__}.clean in {file}"
    assert set(CodeIdentity(project).of(steps.clean, "callable_source").parts) == {label}
    assert set(CodeIdentity(project).of(steps.clean, "callable_module").parts) == {
        label,
        f"file {file}",
    }


def test_parts_name_what_is_carried_and_what_was_added(project: Path) -> None:
    def make(limit: int) -> Any:
        return lambda n=3: n > limit

    (project / "x.f90").write_text("1")
    identity = CodeIdentity(project)
    one, two = (
        identity.of(make(limit), "callable_source", [project / "x.f90"]).parts for limit in (1, 2)
    )
    assert {"carried closure.limit", "carried default.n", "extra dep x.f90"} < one.keys()
    assert {label for label in one if one[label] != two[label]} == {"carried closure.limit"}
