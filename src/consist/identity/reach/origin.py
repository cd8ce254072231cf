"""Whose code something is: the project's own, a distribution's, Python's or this library's.

It is told by where a file lies, never by what a module is called, so a project may have a
``random.py``. *Own* is what neither Python nor an installed distribution brought: the project, what
lies on ``PYTHONPATH`` beside it, and packages that are installed in place to be worked on.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from importlib import metadata

Origin = Literal["own", "package", "standard", "ours", "none"]

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_OURS = Path(__file__).resolve().parents[2]
_STANDARD = tuple(
    sorted({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")})
)


@functools.lru_cache(maxsize=8192)
def origin_of_file(filename: str) -> Origin:
    """Tell whose code a file holds; ``"none"`` if there is no such file."""
    path = Path(filename)
    if filename.startswith("<"):
        return "standard" if filename.startswith("<frozen ") else "none"
    if not path.exists():
        archive = next((parent for parent in path.parents if parent.is_file()), None)
        return "none" if archive is None else origin_of_file(str(archive))
    path = path.resolve()
    if path.is_relative_to(_OURS):
        return "ours"
    if not _INSTALLED.isdisjoint(path.parts):
        return "package"
    if str(path).startswith(_STANDARD):
        return "standard"
    return "package" if _distribution_beside(path) else "own"


def origin_of_module(module: ModuleType) -> Origin:
    """Tell whose code a module holds."""
    file = module_file(module)
    if file is not None:
        return origin_of_file(file)
    top = module.__name__.partition(".")[0]
    if top == "__main__":
        return "own"  # a notebook or a console
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return "standard"
    folders = [str(folder) for folder in getattr(module, "__path__", ())]
    return origin_of_file(folders[0]) if folders else "none"


def module_file(module: Any) -> str | None:
    """Return the file that a module was loaded from, if any."""
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


# ---------------------------------------------------------------- names


@functools.lru_cache(maxsize=8192)
def import_name(filename: str) -> str:
    """Return the name by which a file is imported, told by the file alone.

    A script that is run, ``python -m`` and an import agree, wherever the project lies.
    """
    path = Path(filename)
    parts = [] if path.stem == "__init__" else [path.name.partition(".")[0]]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or path.parent.name


# ---------------------------------------------------------------- distributions


def distribution_of(module_name: str) -> str:
    """Return name and version of the distribution that a module comes from, such as ``numpy 2.1``.

    A namespace that several distributions share counts with all of them. Without a distribution,
    the answer is the name of the module.
    """
    return _distribution_of(module_name.partition(".")[0])


@functools.lru_cache(maxsize=1024)
def _distribution_of(top: str) -> str:
    from importlib import metadata  # it takes longer to import than all of this room

    try:
        found = metadata.distribution(top)
    except (metadata.PackageNotFoundError, ValueError):
        found = None
    if found is not None and _provides(found, top):
        return f"{top} {found.version}"
    names = sorted(set(_providers().get(top, ())))
    return ", ".join(f"{name} {metadata.version(name)}" for name in names) or top


def _provides(found: metadata.Distribution, top: str) -> bool:
    module = sys.modules.get(top)
    file = None if module is None else module_file(module)
    if file is None:
        return False
    return Path(file).resolve().is_relative_to(Path(str(found.locate_file(top))).resolve()) or (
        Path(str(found.locate_file(Path(file).name))).resolve() == Path(file).resolve()
    )


@functools.lru_cache(maxsize=1)
def _providers() -> Any:
    """Return top-level module → distributions; it reads what is installed, so only when needed."""
    from importlib import metadata

    return metadata.packages_distributions()


def _distribution_beside(path: Path) -> bool:
    """Whether a distribution that is no editable one lies in the folder that this is imported from.

    Such is a folder of ``pip install --target``, put on ``PYTHONPATH``.
    """
    top = path if path.is_dir() else path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    first = path.relative_to(top).parts[0] if path != top else path.name
    return first.partition(".")[0] in _beside(str(top))


@functools.lru_cache(maxsize=256)
def _beside(folder: str) -> frozenset[str]:
    """Return the top-level modules that distributions installed into a folder bring."""
    if not any(Path(folder).glob("*.dist-info")):
        return frozenset()
    from importlib import metadata

    tops: set[str] = set()
    for found in metadata.distributions(path=[folder]):
        listed = (found.read_text("top_level.txt") or "").split()
        files = [str(file).split("/")[0].partition(".")[0] for file in found.files or ()]
        tops.update(listed or files or [found.name.replace("-", "_")])
    return frozenset(tops)


# ---------------------------------------------------------------- loaded things


def origin_of_function(function: FunctionType) -> Origin:
    """Tell whose code a function is; in a notebook, or made by ``exec``, whose module it is in."""
    found = origin_of_file(function.__code__.co_filename)
    if found != "none":
        return found
    module = sys.modules.get(function.__globals__.get("__name__") or "")
    return "own" if module is None else origin_of_module(module)


def origin_of_class(cls: type) -> Origin:
    """Tell whose code a class is."""
    for item in vars(cls).values():
        if isinstance(item, FunctionType):
            found = origin_of_file(item.__code__.co_filename)
            named = item.__code__.co_qualname.startswith(f"{cls.__qualname__}.")
            if found != "none" and named:
                return found
    module = sys.modules.get(cls.__module__)
    if module is None:
        return "own" if cls.__module__ not in sys.stdlib_module_names else "standard"
    return origin_of_module(module)


def is_ours(value: object) -> bool:
    """Whether something is of this library: a tracker, a run, an artifact, a verb."""
    module = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
    if module.partition(".")[0] != "consist":
        return False
    found = sys.modules.get(module)
    return found is not None and origin_of_module(found) == "ours"


def _module_of(value: object) -> str:
    named = value if isinstance(value, (type, FunctionType)) else type(value)
    module = getattr(named, "__module__", None)
    return module if isinstance(module, str) else ""
