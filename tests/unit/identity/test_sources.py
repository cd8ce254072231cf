"""Names, files, sources and bytecode of callables and blocks (SIG-016, SIG-017)."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import linecache
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np
import pytest

from consist.errors import CodeIdentityUnavailableError, IdentityError
from consist.identity.sources import (
    bytecode_digest,
    callable_module,
    callable_source,
    caller_module,
    code_of,
    is_project_source,
    qualified_name,
    unwrapped,
)

STEPS = '''
import functools, sys

LIMIT = 3

def clean(a, b=2):
    """Clean."""
    return a + b

def other():
    return LIMIT

def decorated_with(n):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args):
            return [fn(*args)] * n
        return wrapper
    return decorate

@decorated_with(2)
def decorated():
    return 1

@functools.lru_cache
def cached():
    return 1

class Model:
    rate = 1

    def run(self):
        return self.rate

    def __call__(self):
        return self.rate

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def still():
        return 1

def block():
    return sys._getframe()

frame = sys._getframe()
pair = [lambda: 1, lambda: 2]
'''


def load(path: Path, name: str = "steps") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def steps(tmp_path: Path) -> Any:
    (tmp_path / "steps.py").write_text(STEPS)
    yield load(tmp_path / "steps.py")
    del sys.modules["steps"]


def edited(steps: ModuleType, tmp_path: Path, old: str, new: str) -> Any:
    assert old in STEPS
    folder = tmp_path / "edited"
    folder.mkdir(exist_ok=True)
    (folder / "steps.py").write_text(STEPS.replace(old, new))
    return load(folder / "steps.py")


def defined_by_exec(source: str, name: str = "step") -> Any:
    space: dict[str, Any] = {"__name__": "console"}
    exec(source, space)
    return space[name]


# ---------------------------------------------------------------- names


def test_a_name_is_module_and_qualified_name(steps: Any) -> None:
    model = steps.Model()
    assert qualified_name(steps.clean) == "steps.clean"
    assert qualified_name(functools.partial(steps.clean, 1)) == "steps.clean"
    assert qualified_name(functools.partial(functools.partial(steps.clean, 1), 2)) == "steps.clean"
    assert qualified_name(steps.decorated) == "steps.decorated"
    assert qualified_name(steps.cached) == "steps.cached"
    assert qualified_name(model.run) == "steps.Model.run"
    assert qualified_name(steps.Model.make) == "steps.Model.make"
    assert qualified_name(steps.Model) == "steps.Model"
    assert qualified_name(model) == "steps.Model"
    assert qualified_name(steps.pair[0]) == "steps.<lambda>"
    assert qualified_name(len) == "builtins.len"
    assert qualified_name(steps.block()) == "steps.block"
    assert qualified_name(steps.frame) == "steps.<module>"


def test_compiled_callables_without_a_qualified_name_have_a_name() -> None:
    assert qualified_name(np.add) != qualified_name(np.multiply)
    assert qualified_name(np.add).endswith(".add")


def run_script(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(Path("src").absolute())},
    )
    return done.stdout.strip()


def test_a_script_that_is_run_and_one_that_is_imported_agree(tmp_path: Path) -> None:
    script = """
    from consist.identity.sources import qualified_name
    def step(): ...
    if __name__ == "__main__":
        print(qualified_name(step))
    """
    (tmp_path / "pkg").mkdir()
    for name in ("script.py", "pkg/mod.py"):
        (tmp_path / name).write_text(textwrap.dedent(script))
    assert run_script(["script.py"], tmp_path) == "script.step"
    assert run_script(["-m", "script"], tmp_path) == "script.step"
    assert run_script(["-m", "pkg.mod"], tmp_path) == "pkg.mod.step"
    assert run_script(["-c", textwrap.dedent(script)], tmp_path) == "__main__.step"


def test_a_spawned_worker_agrees_with_its_parent(tmp_path: Path) -> None:
    script = """
    import multiprocessing
    from consist.identity.sources import qualified_name
    def step(): ...
    def ask(_): return qualified_name(step)
    if __name__ == "__main__":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.map(ask, [1])[0])
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    assert run_script(["script.py"], tmp_path) == "script.step"


# ---------------------------------------------------------------- the file


def test_the_module_is_the_file_of_the_callable(steps: Any, tmp_path: Path) -> None:
    """SIG-016."""
    expected = hashlib.sha256((tmp_path / "steps.py").read_bytes()).hexdigest()
    model = steps.Model()
    places = [
        steps.clean, steps.decorated, steps.cached, functools.partial(steps.clean, 1), model,
        model.run, steps.Model, steps.Model.make, steps.Model.still, steps.pair[0],
    ]  # fmt: skip
    assert {callable_module(place) for place in places} == {expected}
    assert caller_module(steps.block()) == caller_module(steps.frame) == expected


def test_a_file_is_digested_by_whom_the_caller_names(steps: Any, tmp_path: Path) -> None:
    assert callable_module(steps.clean, lambda path: f"digest of {Path(path).name}") == (
        "digest of steps.py"
    )
    assert caller_module(steps.frame, lambda path: Path(path).name) == "steps.py"


def test_a_notebook_cell_is_a_module_of_its_own() -> None:
    def cell(number: int, source: str) -> Any:
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(source, name, "exec"), space)
        return space

    source = "import sys\n\ndef step():\n    return 1\n\nframe = sys._getframe()\n"
    one, same = cell(1, source), cell(2, source)
    assert callable_module(one["step"]) == callable_module(same["step"])
    assert callable_source(one["step"]) == callable_source(same["step"])
    assert caller_module(one["frame"]) == callable_module(one["step"])
    other = cell(3, source + "print()\n")
    assert callable_module(other["step"]) != callable_module(one["step"])
    assert callable_source(other["step"]) == callable_source(one["step"])


def test_a_callable_from_a_console_counts_by_its_bytecode() -> None:
    one = defined_by_exec("def step(a):\n    return a + 1")
    same = defined_by_exec("\n\ndef step(a):\n\n    return (a + 1)  # comment")
    other = defined_by_exec("def step(a):\n    return a + 2")
    for digest in (callable_module, callable_source):
        assert digest(one) == digest(same) != digest(other)
    frame = defined_by_exec("import sys\nframe = sys._getframe()", "frame")
    assert len(caller_module(frame)) == 64


def test_a_callable_from_an_archive_counts_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("packed.py", STEPS)
        archive.writestr("packed_too.py", STEPS.replace("LIMIT = 3", "LIMIT = 4"))
    monkeypatch.syspath_prepend(str(tmp_path / "lib.zip"))
    packed, other = __import__("packed"), __import__("packed_too")
    assert callable_module(packed.clean) != callable_module(other.clean)
    assert callable_source(packed.clean) == callable_source(other.clean)
    assert callable_source(packed.clean) != callable_source(packed.other)


# ---------------------------------------------------------------- the source


def test_editing_the_function_changes_its_source_and_nothing_else_does(
    steps: Any, tmp_path: Path
) -> None:
    """SIG-017."""
    before = {name: callable_source(getattr(steps, name)) for name in ("clean", "other", "Model")}
    moved = edited(steps, tmp_path, "LIMIT = 3", "LIMIT = 4\n\n# moved")
    assert {name: callable_source(getattr(moved, name)) for name in before} == before
    changed = edited(steps, tmp_path, "return a + b", "return a - b")
    assert callable_source(changed.clean) != before["clean"]
    assert callable_source(changed.other) == before["other"]
    changed = edited(steps, tmp_path, "rate = 1", "rate = 2")
    assert callable_source(changed.Model) != before["Model"]
    assert callable_source(changed.Model()) == callable_source(changed.Model)


def test_a_module_that_is_loaded_anew_shows_its_new_source(steps: Any, tmp_path: Path) -> None:
    before = callable_source(steps.clean)
    path = tmp_path / "steps.py"
    path.write_text(STEPS.replace("return a + b", "return a - b"))
    assert callable_source(load(path).clean) != before
    path.write_text(STEPS)
    assert callable_source(load(path).clean) == before


def test_a_class_that_inherits_everything_counts_by_what_it_inherits(
    steps: Any, tmp_path: Path
) -> None:
    (tmp_path / "child.py").write_text("import steps\nclass Child(steps.Model): pass\n")
    child = load(tmp_path / "child.py", "child").Child
    before = callable_source(child())
    assert callable_module(child) == callable_module(child())
    assert (
        callable_module(child) == hashlib.sha256((tmp_path / "child.py").read_bytes()).hexdigest()
    )
    edited(
        steps,
        tmp_path,
        "def __call__(self):\n        return",
        "def __call__(self):\n        return -",
    )
    assert callable_source(load(tmp_path / "child.py", "child").Child()) != before


def test_a_dataclass_lies_in_its_file_and_not_where_its_methods_were_made(tmp_path: Path) -> None:
    source = "import dataclasses\n@dataclasses.dataclass\nclass Step:\n    rate: float = 1\n"
    (tmp_path / "data.py").write_text(source)
    step = load(tmp_path / "data.py", "data").Step
    assert callable_module(step) == hashlib.sha256(source.encode()).hexdigest()
    assert is_project_source(step, tmp_path)


def test_a_decorator_above_a_function_is_part_of_its_source(steps: Any, tmp_path: Path) -> None:
    before = callable_source(steps.decorated)
    changed = edited(steps, tmp_path, "@decorated_with(2)", "@decorated_with(3)")
    assert callable_source(changed.decorated) != before


def test_wrappers_are_looked_through(steps: Any) -> None:
    expected = callable_source(steps.clean)
    assert callable_source(functools.partial(steps.clean, 1)) == expected
    assert callable_source(functools.lru_cache(steps.clean)) == expected
    model = steps.Model()
    assert callable_source(model.run) == callable_source(steps.Model.run)
    assert callable_source(steps.Model.make) != callable_source(steps.Model.still)


def test_indentation_does_not_count(tmp_path: Path) -> None:
    flat = "def step():\n    return 1\n"
    (tmp_path / "flat.py").write_text(flat)
    (tmp_path / "deep.py").write_text("if True:\n" + textwrap.indent(flat, "    "))
    flat_step, deep_step = load(tmp_path / "flat.py", "flat"), load(tmp_path / "deep.py", "deep")
    assert callable_source(flat_step.step) == callable_source(deep_step.step)


def test_two_lambdas_in_one_line_are_two(steps: Any) -> None:
    assert callable_source(steps.pair[0]) != callable_source(steps.pair[1])


def test_the_source_of_a_block_is_its_function(steps: Any, tmp_path: Path) -> None:
    from consist.identity.sources import source_digest

    assert source_digest(steps.block()) == callable_source(steps.block)
    assert source_digest(steps.frame) != callable_source(steps.block)
    changed = edited(steps, tmp_path, "return a + b", "return a - b")
    assert source_digest(changed.block()) == source_digest(steps.block())
    assert source_digest(changed.frame) != source_digest(steps.frame)


def test_a_class_without_source_counts_by_its_methods() -> None:
    one = defined_by_exec("class step:\n    def run(self): return 1")
    other = defined_by_exec("class step:\n    def run(self): return 2")
    assert callable_source(one) != callable_source(other)
    assert callable_module(one) != callable_module(other)


@pytest.mark.parametrize("fn", [len, np.add, [].append, int, functools.partial(len)])
def test_what_is_not_written_in_python_has_no_source(fn: Any) -> None:
    for digest, mode in (
        (callable_module, "callable_module"),
        (callable_source, "callable_source"),
    ):
        with pytest.raises(CodeIdentityUnavailableError, match="not written in Python") as caught:
            digest(fn)
        assert caught.value.mode == mode
        assert "Python function" in caught.value.__notes__[0]


def test_a_callable_that_wraps_itself_is_an_error() -> None:
    def step() -> None: ...

    step.__wrapped__ = step  # type: ignore[attr-defined]
    with pytest.raises(IdentityError, match="wraps itself"):
        unwrapped(step)


# ---------------------------------------------------------------- bytecode


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return 1", "return 1.0"),
        ("return 0.0", "return -0.0"),
        ("return True", "return 1"),
        ("return (1, 'a')", "return (1, 'b')"),
        ("return a in {1, 2}", "return a in {1, 3}"),
        ("return a.x", "return a.y"),
        ("return lambda: 1", "return lambda: 2"),
        ("return a + 1", "return a - 1"),
        (f"return {10**50}", f"return {10**50 + 1}"),
        ("return b'x'", "return 'x'"),
        ("return ...", "return None"),
        ("try: a()\n  except ValueError: pass", "try: a()\n  except KeyError: pass"),
    ],
)
def test_bytecode_tells_functions_apart(one: str, other: str) -> None:
    functions = [defined_by_exec(f"def step(a):\n  {body}") for body in (one, other)]
    assert len({bytecode_digest(function.__code__) for function in functions}) == 2


def test_bytecode_does_not_hang_on_the_process() -> None:
    """Sets have another order in every process."""
    script = (
        "from consist.identity.sources import bytecode_digest\n"
        "space = {}\n"
        'exec(\'def f(a): return a in {"x", "y", "z", (1, "b")}\', space)\n'
        "print(bytecode_digest(space['f'].__code__))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_a_class_shows_the_code_of_its_own_methods(steps: Any) -> None:
    class Child(steps.Model):  # type: ignore[misc,name-defined]
        def run(self) -> int:
            return 2

    code = code_of(Child)
    assert code is not None
    assert code.co_filename == __file__
    assert code_of(int) is None


# ---------------------------------------------------------------- the project


def test_the_projects_own_source_lies_under_its_root(steps: Any, tmp_path: Path) -> None:
    assert is_project_source(steps.clean, tmp_path)
    assert is_project_source(steps.Model().run, str(tmp_path))
    assert is_project_source(steps.frame, tmp_path)
    assert not is_project_source(steps.clean, tmp_path / "elsewhere")
    assert not is_project_source(functools.wraps, tmp_path)
    assert not is_project_source(len, tmp_path)
    assert not is_project_source(defined_by_exec("def step(): ..."), tmp_path)


def test_an_environment_in_the_project_is_not_its_own_source(tmp_path: Path) -> None:
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "library.py").write_text("def step(): ...")
    assert not is_project_source(load(installed / "library.py", "library").step, tmp_path)


def test_a_project_reached_by_a_link_is_the_same(steps: Any, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert is_project_source(steps.clean, tmp_path / "link")
    assert isinstance(steps.frame, FrameType)
