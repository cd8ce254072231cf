"""Names of functions and classes by which another process finds them, and the way back.

A name is ``package.module:qualname`` or, for what a script defines, ``/path/to/script.py:name``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from consist.errors import StepNotFound, UsageError, WrongType, a_kind, hint

_MAIN = ("__main__", "__mp_main__")
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_TOP_LEVEL = "define it with its own name at the top level of a module or a script"


# ---------------------------------------------------------------- a name for it


def import_name(value: Any, what: str) -> str:
    """Return the name by which another process finds a function or class.

    Parameters
    ----------
    value : object
        The function or class.
    what : str
        What to call it in an error.

    Raises
    ------
    TypeError
        If it has no such name: a lambda, something defined in a function or in a notebook.
    """
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise _nameless(what, f"is {a_kind(value)}, which has no name")
    if "<lambda>" in qualname:
        raise _nameless(what, "is a lambda, which has no name")
    if "<locals>" in qualname:
        raise _nameless(what, f"{qualname!r} is defined inside a function")
    found = _attribute(sys.modules.get(module), qualname)
    if found is not value and found != value:
        raise _nameless(what, f"is not what {module}.{qualname} is")
    return f"{_place_of(module, what, qualname)}:{qualname}"


def _place_of(name: str, what: str, qualname: str) -> str:
    if name not in _MAIN:
        return name
    module = sys.modules[name]
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None and spec.name not in _MAIN:  # python -m package.module
        return spec.name
    if spec is not None or file is None or not Path(file).is_file():
        raise _nameless(what, f"{qualname!r} is defined in a notebook, a console or an archive")
    return os.path.abspath(file)  # noqa: PTH100 - links are kept as given


def _nameless(what: str, reason: str) -> WrongType:
    return hint(WrongType(f"{what} {reason}, so no other process finds it"), _TOP_LEVEL)


def _attribute(owner: object, qualname: str) -> Any:
    for part in qualname.split("."):
        owner = getattr(owner, part, None)
    return owner


def own_paths() -> list[str]:
    """Return the folders of ``sys.path`` that neither Python nor an installer put there."""
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    found = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - "" is the current one
    return [
        entry
        for entry in dict.fromkeys(found)
        if Path(entry).exists()
        and _INSTALLED.isdisjoint(Path(entry).parts)
        and not any(Path(entry).is_relative_to(folder) for folder in installed)
    ]


# ---------------------------------------------------------------- main part of a script


def check_guarded(values: Iterable[Any], call: str) -> None:
    """Refuse a call that would be made again by whoever loads the script for what it defines.

    Parameters
    ----------
    values : iterable of object
        What will be looked for by name: the step, classes.
    call : str
        What is called, for the error.

    Raises
    ------
    ValueError
        If the script that defines one of them makes the call outside of its main part.
    """
    main = sys.modules["__main__"]
    file, frame = getattr(main, "__file__", None), _top_level_frame(main)
    loaded_again = any(getattr(value, "__module__", None) in _MAIN for value in values)
    if frame is None or file is None or not loaded_again:
        return
    if not _is_in_main_part(file, frame.f_lineno):
        problem = UsageError(
            f"{call} stands at the top level of {file}, which also defines the step: whoever loads"
            " the step would come by it again"
        )
        raise hint(problem, 'put it under if __name__ == "__main__":')


def _top_level_frame(main: ModuleType) -> FrameType | None:
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is vars(main):
            return frame
        frame = frame.f_back
    return None


def _is_in_main_part(file: str, line: int) -> bool:
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True  # it was edited while it ran
    return any(
        isinstance(node, ast.If)
        and _asks_for_main(node.test)
        and node.body[0].lineno <= line <= (node.body[-1].end_lineno or line)
        for node in tree.body
    )


def _asks_for_main(test: ast.expr) -> bool:
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    texts = {node.value for node in ast.walk(test) if isinstance(node, ast.Constant)}
    return "__name__" in names and "__main__" in texts


# ---------------------------------------------------------------- back from the name


def find_again(name: str, paths: tuple[str, ...] = ()) -> Any:
    """Return the function or class of a name; its module is imported, a script is loaded.

    A script is loaded under the name that it has as a module, so that its main part is not
    executed.

    Parameters
    ----------
    name : str
        As :func:`import_name` gave it.
    paths : tuple of str
        Folders to put in front of ``sys.path``, where they are not in it.

    Raises
    ------
    StepNotFound
        Saying what is wrong.
    """
    place, _, qualname = name.rpartition(":")
    if not place or not qualname:
        raise StepNotFound(name, "it is no 'module:name' and no '/path/to/script.py:name'")
    sys.path[:0] = [entry for entry in paths if entry not in sys.path]
    try:
        module = _loaded_script(name, place) if Path(place).is_absolute() else _imported(place)
    except StepNotFound:
        raise
    except (Exception, SystemExit) as error:
        raise StepNotFound(name, f"{type(error).__name__}: {error}") from error
    found = _attribute(module, qualname)
    if not callable(found):
        where = getattr(module, "__file__", None) or place
        problem = StepNotFound(name, f"{where} has no {qualname!r}")
        raise hint(problem, "it may have been renamed; write the points file again")
    return found


def _imported(place: str) -> ModuleType:
    return importlib.import_module(place)


def _loaded_script(name: str, file: str) -> ModuleType:
    module_name = Path(file).stem
    loaded = sys.modules.get(module_name)
    if loaded is not None:
        if _is_from(loaded, file):
            return loaded
        problem = StepNotFound(name, f"a module {module_name!r} is loaded from elsewhere")
        raise hint(problem, "give the script a name of its own and write the points file again")
    if not Path(file).is_file():
        problem = StepNotFound(name, "there is no such file")
        raise hint(problem, "write the points file again where the script is now")
    spec = importlib.util.spec_from_file_location(
        module_name, file, loader=SourceFileLoader(module_name, file)
    )
    if spec is None or spec.loader is None:
        raise StepNotFound(name, "it is no Python source")
    sys.argv[:] = [file]  # its options are not those of this process
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _is_from(module: ModuleType, file: str) -> bool:
    loaded = getattr(module, "__file__", None)
    return isinstance(loaded, str) and Path(loaded).exists() and Path(loaded).samefile(file)
