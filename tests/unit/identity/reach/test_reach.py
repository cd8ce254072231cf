"""What a process remembers of a callable, when it looks anew, and what it says it cannot tell."""

from __future__ import annotations

import importlib
import linecache
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consist.errors import CodeIdentityUnavailableError
from consist.identity import CodeIdentity, LoadedSources
from consist.identity.reach import Reach
from tests.unit.identity.reach.conftest import Look, write


@pytest.fixture
def reach(tmp_path: Path) -> Reach:
    return Reach(tmp_path, LoadedSources(tmp_path))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Write modules of one-time names and import them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def load(**texts: str) -> Any:
        write(tmp_path, {f"{name}.py": text for name, text in texts.items()})
        importlib.invalidate_caches()
        return importlib.import_module(next(iter(texts)))

    yield load
    for name in set(sys.modules) - known:
        del sys.modules[name]


class Notebook:
    """Cells that are executed one after the other in one namespace, as IPython does it."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self._count = 0

    def cell(self, text: str) -> None:
        self._count += 1
        name = f"<ipython-input-{self._count}-{id(self)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(self.module))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook()
    monkeypatch.setitem(sys.modules, "__main__", made.module)
    return made


# ---------------------------------------------------------------- memory


def test_a_second_look_gives_the_same_answer_without_a_walk(
    load: Callable[..., Any], reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = load(reach_a="K = [1]\ndef step(n=2):\n    return K, n\n")
    first = reach.of(steps.step)
    monkeypatch.setattr("consist.identity.reach.remembered.Walk", None)
    assert reach.of(steps.step) == first


@pytest.mark.parametrize(
    "change",
    [
        "steps.help = steps.other",
        "steps.K = 3",
        "steps.T['a'] = 3",
        "steps.T['b'] = steps.other",
        "steps.F['a'] = steps.other",
        "steps.A.n = 3",
        "steps.A.f = steps.other",
        "steps.a.m = 3",
        "steps.help.__code__ = steps.other.__code__",
        "steps.step.__defaults__ = (7,)",
        "steps.L.append(3)",
        "steps.a.new = 3",
        "steps.s.n = 3",
    ],
)
def test_what_changes_in_memory_is_seen(
    change: str, load: Callable[..., Any], reach: Reach
) -> None:
    text = """
        K, T, L = 1, {"a": 1}, [1]
        def other(self=None): return 2
        def help(): return 1
        F = {"a": help}
        class A:
            n = 1
            def __init__(self): self.m = 1
            def f(self): return 1
        a = A()
        class S:
            __slots__ = ("n",)
            def __init__(self): self.n = 1
        s = S()
        def step(n=2): return help(), K, T, L, F["a"](), a.f(), A.n, s.n
    """
    steps = load(reach_b=text)
    before = reach.of(steps.step).digest
    assert reach.of(steps.step).digest == before
    exec(change, {"steps": steps})
    assert reach.of(steps.step).digest != before


def test_what_the_step_changes_itself_is_no_change(load: Callable[..., Any], reach: Reach) -> None:
    steps = load(
        reach_c="""
        MEMO, N, SEEN = {}, 0, []
        class Counter:
            def __init__(self): self.count = 0
            def add(self): self.count += 1
        class Numbered:
            made = 0
            def __init__(self): Numbered.made += 1
        counter = Counter()
        MADE = {}
        def step():
            global N
            N += 1
            MEMO[N] = N
            SEEN.append(N)
            counter.add()
            Numbered()
            MADE[N] = Counter()
        """
    )
    before = reach.of(steps.step).digest
    steps.step()
    assert reach.of(steps.step).digest == before


def test_a_redefined_helper_of_a_notebook_is_seen(notebook: Notebook, reach: Reach) -> None:
    notebook.cell("def help():\n    return 1\n")
    notebook.cell("class A:\n    n = 1\n")
    notebook.cell("RATE = 1\ndef step():\n    return help() * RATE * A.n\n")
    step = notebook.module.step
    digests = [reach.of(step).digest]
    notebook.cell("def help():\n    return 1  # the same\n")
    assert reach.of(step).digest == digests[0]
    for cell in ("def help():\n    return 2\n", "RATE = 2\n", "class A:\n    n = 2\n"):
        notebook.cell(cell)
        digests.append(reach.of(step).digest)
    assert len(set(digests)) == 4


def test_a_cell_that_is_run_again_is_the_same(notebook: Notebook, reach: Reach) -> None:
    notebook.cell("def step():\n    return 1\n")
    before = reach.of(notebook.module.step).digest
    notebook.cell("\n# moved\ndef step():\n    return 1\n")
    assert reach.of(notebook.module.step).digest == before
    notebook.cell("def step():\n    return 2\n")
    assert reach.of(notebook.module.step).digest != before


def test_a_reloaded_helper_is_seen(load: Callable[..., Any], reach: Reach, tmp_path: Path) -> None:
    steps = load(
        reach_d="import reach_e\ndef step():\n    return reach_e.f()\n",
        reach_e="def f():\n    return 1\n",
    )
    before = reach.of(steps.step).digest
    write(tmp_path, {"reach_e.py": "def f():\n    return 12345\n"})
    assert reach.of(steps.step).digest == before  # still what was loaded
    importlib.reload(sys.modules["reach_e"])
    assert reach.of(steps.step).digest != before


def test_a_file_that_was_edited_after_it_was_loaded_does_not_pass_for_the_new_text(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    steps = load(reach_f="def step():\n    return 1\n")
    loaded = LoadedSources(tmp_path)
    loaded.look()
    old = Reach(tmp_path, loaded).of(steps.step).digest
    write(tmp_path, {"reach_f.py": "def step():\n    return 12345\n"})
    found = Reach(tmp_path, loaded).of(steps.step)
    assert loaded.changed_among(found.files) == ("reach_f.py",)
    importlib.reload(steps)
    new = Reach(tmp_path, LoadedSources(tmp_path)).of(steps.step).digest
    assert len({old, found.digest, new}) == 3


def test_closures_of_one_factory_are_told_apart(load: Callable[..., Any], reach: Reach) -> None:
    steps = load(reach_g="def make(n):\n    def step():\n        return n\n    return step\n")
    digests = {reach.of(steps.make(n)).digest for n in (1, 2, 1.0)}
    assert len(digests) == 2
    assert reach.of(partial(steps.make, 1)).digest != reach.of(partial(steps.make, 2)).digest


def test_values_of_functions_that_are_gone_are_not_held(
    load: Callable[..., Any], reach: Reach
) -> None:
    import gc
    import weakref

    steps = load(reach_h="def make(n):\n    def step():\n        return n\n    return step\n")

    class Large(list[int]):
        pass

    held = []
    for number in range(100):
        large = Large([number])
        held.append(weakref.ref(large))
        reach.of(steps.make(large))
    del large
    gc.collect()
    assert sum(found() is not None for found in held) <= 40


# ---------------------------------------------------------------- the same answer everywhere

_FILES = {
    "pkg/__init__.py": "",
    "pkg/help.py": "import os\nTABLE = {'b', 'a', 'c'}\ndef f():\n    return TABLE\n",
    "pkg/steps.py": "import logging, sys\nsys.path.insert(0, '.')\nfrom pkg.help import f\n"
    "LOG = logging.getLogger(__name__)\n"
    "def step():\n    return f(), LOG, __file__\n"
    "if __name__ == '__main__':\n"
    "    from consist.identity import LoadedSources\n"
    "    from consist.identity.reach import Reach\n"
    "    print(Reach('.', LoadedSources('.')).of(step).digest)\n",
    "run.py": "from pkg.steps import step\n"
    "from consist.identity import LoadedSources\n"
    "from consist.identity.reach import Reach\n"
    "print(Reach('.', LoadedSources('.')).of(step).digest)\n",
}


def test_script_module_and_import_agree_wherever_the_project_lies(tmp_path: Path) -> None:
    digests: set[str] = set()
    for place in ("here", "moved/there"):
        write(tmp_path / place, _FILES)
        for number, words in enumerate((["pkg/steps.py"], ["-m", "pkg.steps"], ["run.py"])):
            done = subprocess.run(
                [sys.executable, *words],
                cwd=tmp_path / place,
                env={**os.environ, "PYTHONHASHSEED": str(number)},
                capture_output=True,
                text=True,
                check=True,
            )
            digests.add(done.stdout)
    assert len(digests) == 1


# ---------------------------------------------------------------- distributions


def test_the_version_of_a_distribution_counts(look: Look) -> None:
    def project(version: str, code: str) -> dict[str, str]:
        return {
            "steps.py": "import fake\nimport unused\ndef step():\n    return fake.f()\n",
            "lib/fake/__init__.py": code,
            f"lib/fake-{version}.dist-info/METADATA": f"Name: fake\nVersion: {version}\n",
            "lib/unused/__init__.py": "",
            f"lib/unused-{version}.dist-info/METADATA": f"Name: unused\nVersion: {version}\n",
        }

    text = "def f():\n    return 1\n"
    first = look(project("1.0", text), paths=("lib",))
    assert first.parts["package fake"] == "1.0"
    assert "package unused" not in first.parts
    assert look(project("1.1", text), paths=("lib",)).digest != first.digest
    # A distribution counts by its version, not by its code.
    assert look(project("1.0", f"{text}# edited\n"), paths=("lib",)).digest == first.digest


def test_code_on_the_path_beside_the_project_is_own_code(look: Look) -> None:
    files = {"steps.py": "import shared\ndef step():\n    return shared.f()\n"}
    first = look({**files, "lib/shared.py": "def f():\n    return 1\n"}, paths=("lib",))
    second = look({**files, "lib/shared.py": "def f():\n    return 2\n"}, paths=("lib",))
    assert first.digest != second.digest
    assert "function shared.f in lib/shared.py" in first.parts


# ---------------------------------------------------------------- what cannot be told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import importlib\ndef step():\n    importlib.import_module('x')\n", "importlib.import_m"),
        ("def step():\n    exec('x')\n", "exec() in function steps.step"),
        ("def step():\n    __import__('x')\n", "__import__()"),
        ("import helpers\ndef step():\n    helpers.f = 3\n", "helpers.f is replaced"),
        ("def step():\n    import nowhere\n", "import of nowhere"),
        ("def step():\n    from helpers import nothing\n", "helpers.nothing"),
        ("def step():\n    return nobody\n", "nobody in function steps.step"),
    ],
)
def test_what_cannot_be_told_is_listed(text: str, says: str, look: Look) -> None:
    found = look({"steps.py": text, "helpers.py": "def f():\n    return 1\n"})
    assert any(says in item for item in found.unresolved), found.unresolved


def test_ordinary_code_leaves_nothing_open(look: Look) -> None:
    text = """
        from __future__ import annotations
        import logging, math
        from pathlib import Path
        from typing import Optional
        import numpy as np
        log = logging.getLogger(__name__)
        def step(path: Optional[Path] = None) -> list[int]:
            log.info("x")
            import json
            return [int(x) for x in np.exp([math.pi])], json.dumps(1), __name__
    """
    assert look({"steps.py": text}).unresolved == []


def test_what_is_not_written_in_python_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CodeIdentityUnavailableError):
        CodeIdentity(tmp_path).of(len, "callable_deps")


def test_the_classes_of_a_config_count(load: Callable[..., Any], reach: Reach) -> None:
    text = "class Plan:\n    def rate(self): return {}\ndef step(config): return config.rate()\n"
    steps = load(reach_i=text.format(1))
    bare, one = reach.of(steps.step).digest, reach.of(steps.step, steps.Plan()).digest
    assert bare != one
    assert reach.of(steps.step, {"rate": 1, "names": ["a"]}).digest == bare
    assert reach.of(steps.step, {"plan": [steps.Plan()]}).digest == one
    steps.Plan.rate = lambda _: 3
    assert reach.of(steps.step, steps.Plan()).digest != one


def test_a_carried_value_without_identity_is_listed(load: Callable[..., Any], reach: Reach) -> None:
    steps = load(reach_j="def make(n):\n    def step():\n        return n\n    return step\n")
    found = reach.of(steps.make(object()))
    (listed,) = found.unresolved
    assert listed.startswith("the value of closure.n (object) of function reach_j.make")


def test_a_path_in_the_project_is_the_same_wherever_the_project_lies(look: Look) -> None:
    text = """
        from pathlib import Path
        import os
        HERE, DATA = Path(__file__).parent, os.path.join(os.path.dirname(__file__), "{}")
        def step(): return HERE, DATA
    """
    assert (
        look({"steps.py": text.format("a")}).digest == look({"steps.py": text.format("a")}).digest
    )
    assert (
        look({"steps.py": text.format("a")}).digest != look({"steps.py": text.format("b")}).digest
    )


# ---------------------------------------------------------------- size


@pytest.mark.parametrize(
    "text",
    [
        f"def step():\n    return {'+'.join(['x'] * 1500)}\n",
        "def step(x):\n    if x: pass\n" + "    elif x: pass\n" * 600,
        "def step():\n    from chain import f0\n",
    ],
)
def test_long_code_is_no_trouble(text: str, look: Look) -> None:
    chain = "".join(f"def f{i}(): return f{i + 1}()\n" for i in range(1200)) + "f1200 = int\n"
    assert look({"steps.py": text, "chain.py": chain}).parts["function steps.step in steps.py"]


def test_code_in_an_archive_is_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    digests: list[str] = []
    for number in (1, 2):
        archive = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(f"reach_zip{number}.py", f"def step():\n    return {number}\n")
        monkeypatch.syspath_prepend(str(archive))
        module = importlib.import_module(f"reach_zip{number}")
        found = Reach(tmp_path, LoadedSources(tmp_path)).of(module.step)
        assert any(label.startswith("function ") for label in found.parts)
        digests.append(found.digest)
    assert len(set(digests)) == 2


def test_a_module_without_readable_source_is_listed(
    load: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import py_compile

    write(tmp_path / "bare", {"reach_bare.py": "def f():\n    return 1\n"})
    source = tmp_path / "bare/reach_bare.py"
    py_compile.compile(str(source), cfile=str(tmp_path / "bare/reach_bare.pyc"))
    source.unlink()
    monkeypatch.syspath_prepend(str(tmp_path / "bare"))
    steps = load(reach_k="import reach_bare\ndef step():\n    return reach_bare.f()\n")
    found = Reach(tmp_path, LoadedSources(tmp_path)).of(steps.step)
    assert found.unresolved == ("import of reach_bare, whose source cannot be read",)
    assert "function reach_bare.f" in found.parts
