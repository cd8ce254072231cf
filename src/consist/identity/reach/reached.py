"""What a callable reaches, as one value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from consist.identity.canonical import digest
from consist.identity.reach.pins import Pins
from consist.identity.reach.walk import Walk

PathLike = str | os.PathLike[str]


class Reached(NamedTuple):
    """What a callable reaches.

    Attributes
    ----------
    digest : str
        Identity of all of it.
    name : str
        The callable itself.
    parts : mapping of str to str
        Label → digest, or version of a distribution.
    unresolved : tuple of str
        What nobody can tell from here, in words.
    files : tuple of str
        Own source files that something was taken from.
    differing : tuple of str
        Those of them that do not say what was loaded.
    pins : tuple of Pins
        They tell whether it still holds.
    """

    digest: str
    name: str
    parts: Mapping[str, str]
    unresolved: tuple[str, ...]
    files: tuple[str, ...]
    differing: tuple[str, ...]
    pins: tuple[Pins, ...]

    def holds(self) -> bool:
        """Whether everything that was found is still as it was."""
        return all(pins.hold() for pins in self.pins)

    def with_carried(self, carried: Reached) -> Reached:
        """Return this together with what the callable carries."""
        return Reached(
            digest("reach", self.digest, carried.digest),
            self.name,
            {**carried.parts, **self.parts},
            tuple(sorted({*self.unresolved, *carried.unresolved})),
            tuple(sorted({*self.files, *carried.files})),
            tuple(sorted({*self.differing, *carried.differing})),
            (*self.pins, *carried.pins),
        )

    def of_another_time(self, changed: tuple[str, ...]) -> Reached:
        """Return this as the identity of code that is not what its files say any more."""
        return self._replace(digest=digest("reach", self.digest, "changed since loaded", changed))


def finished(walk: Walk, text: str, project_root: PathLike) -> Reached:
    """Return what a walk found.

    Parameters
    ----------
    walk
        A walk that has come to its end.
    text
        What it began with.
    project_root
        What the names of files in labels are relative to; it takes no part in the digest.
    """
    found, parts = walk.found, dict[str, str]()
    listed = found.listed()
    for label, value in listed:
        file = found.file_of(label)
        shown = label if file is None else f"{label} in {_relative(file, project_root)}"
        parts[shown] = f"{parts[shown]} {value}" if shown in parts else value
    return Reached(
        digest("reach", text, listed),
        text.partition(" with ")[0],
        parts,
        tuple(sorted(found.unresolved)),
        tuple(sorted(found.files)),
        tuple(sorted(found.differing)),
        (found.pins,),
    )


def _relative(file: str, root: PathLike) -> str:
    try:
        relative = os.path.relpath(file, root)
    except ValueError:  # on another drive
        return file
    return file if relative.startswith("..") else relative.replace(os.sep, "/")
