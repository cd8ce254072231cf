"""What callables reach, found once and remembered for as long as it holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from types import FrameType, FunctionType, MethodType
from typing import Any, cast

from consist.identity.carried import parts_of
from consist.identity.loaded import LoadedSources
from consist.identity.reach.inside import own_code_inside
from consist.identity.reach.plain import is_plain
from consist.identity.reach.reached import PathLike, Reached, finished
from consist.identity.reach.walk import Walk

_MOST_CALLABLES = 1024
# What is carried may be large, and is new with every call of a factory.
_MOST_CARRIED = 32


class Reach:
    """Finds what callables reach.

    Parameters
    ----------
    project_root
        What the names of files are relative to.
    loaded
        Knows which files are not what was loaded from them.
    """

    def __init__(self, project_root: PathLike, loaded: LoadedSources) -> None:
        self._root, self._loaded = project_root, loaded
        self._codes = _Kept(_MOST_CALLABLES)
        self._carried = _Kept(_MOST_CARRIED)
        self._joins: dict[tuple[int, int], tuple[Reached, Reached, Reached]] = {}

    def of(self, place: Callable[..., Any] | FrameType, config: object = None) -> Reached:
        """Return all of the project's own code that a callable, or the block of a frame, reaches.

        The first look reads sources; later ones check that everything is as it was.

        Parameters
        ----------
        place
            Where to begin.
        config
            What it is given; the code of the own classes in it is reached as well.
        """
        found = self._of_place(place)
        for cls in _own_classes(config):
            found = self._joined(found, self._of_place(cls))
        return found

    def _of_place(self, place: Callable[..., Any] | FrameType) -> Reached:
        match cast("object", place):
            case FrameType() as frame:
                return self._of_frame(frame)
            case FunctionType() as function:
                return self._of_function(function)
            case MethodType() as method:
                key = (id(method.__func__), id(method.__self__))
            case found:
                key = id(found)
        fn = cast("Callable[..., Any]", place)
        return self._carried.get(key, fn, lambda: self._walk(lambda walk: walk.callable(fn)))

    def _of_frame(self, frame: FrameType) -> Reached:
        def look() -> Reached:
            return self._walk(lambda walk: walk.block(frame))

        if frame.f_code.co_freevars:
            return look()
        return self._codes.get((id(frame.f_code), frame.f_lineno), frame.f_code, look)

    def _of_function(self, function: FunctionType) -> Reached:
        """Look at the code once for all functions that share it; at what each carries, anew."""
        code, namespace = function.__code__, function.__globals__
        bare = self._codes.get(
            (id(code), id(namespace)),
            (code, namespace),
            lambda: self._walk(lambda walk: walk.code(function)),
        )
        carried = dict(parts_of(function))
        if not carried:
            return bare
        key = tuple((label, id(value)) for label, value in carried.items())
        found = self._carried.get(
            key, carried, lambda: self._of_values(carried, bare.name, function)
        )
        return self._joined(bare, found)

    def _joined(self, bare: Reached, carried: Reached) -> Reached:
        key = id(bare), id(carried)
        known = self._joins.get(key)
        if known is not None and known[0] is bare and known[1] is carried:
            return known[2]
        if len(self._joins) >= _MOST_CARRIED:
            self._joins.clear()
        joined = bare.with_carried(carried)
        self._joins[key] = bare, carried, joined
        return joined

    def _of_values(
        self, carried: Mapping[str, object], name: str, function: FunctionType
    ) -> Reached:
        return self._walk(lambda walk: walk.values(carried, name, function))

    def _walk(self, begin: Callable[[Walk], str]) -> Reached:
        walk = Walk()
        found = finished(walk, walk.finish(begin(walk)), self._root)
        self._loaded.distrust(found.differing)
        changed = self._loaded.changed_among(found.files)
        # What was read there is not what is executed, so it must not pass for it.
        return found if not changed else found.of_another_time(changed)


def _own_classes(config: object) -> list[type]:
    """Return the own classes whose instances a config holds, in the order of their names."""
    if is_plain(config):
        return []
    classes = {type(item) for _, item in own_code_inside([config]) if not isinstance(item, type)}
    return sorted(classes, key=lambda cls: (cls.__module__, cls.__qualname__))


class _Kept:
    """The most recent answers. What they are about is held, so that its id is not used again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[object, Reached]] = OrderedDict()

    def get(self, key: Hashable, about: object, look: Callable[[], Reached]) -> Reached:
        kept = self._kept.get(key)
        if kept is not None and kept[1].holds():
            return kept[1]
        found = look()
        self._kept[key] = about, found
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found
