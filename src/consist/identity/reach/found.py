"""What a walk gathers, and what its steps may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from consist.identity.reach.names import Chain
from consist.identity.reach.origin import distribution_of
from consist.identity.reach.pins import Pins

Namespace: TypeAlias = Mapping[str, Any]


class Found:
    """Parts of the identity, what could not be told, and where it was read.

    Attributes
    ----------
    unresolved : set of str
        What nobody can tell from here, in words.
    files : set of str
        Own source files that something was taken from.
    differing : set of str
        Those of them that do not say what was loaded.
    pins : Pins
        What was found where, to tell later whether it still holds.
    opaque : int
        How many values were met whose content has no identity.
    """

    def __init__(self) -> None:
        self._parts: dict[str, set[str]] = {}
        self._files_of: dict[str, str] = {}
        self._holders: dict[str, list[object]] = {}
        self.unresolved: set[str] = set()
        self.files: set[str] = set()
        self.differing: set[str] = set()
        self.pins = Pins()
        self.opaque = 0

    def part(self, label: str, digest: str, file: str | None = None) -> None:
        """Add a part; two that people cannot tell apart count both."""
        self._parts.setdefault(label, set()).add(digest)
        if file is not None:
            self.files.add(file)
            self._files_of[label] = file

    def place(self, label: str, file: str) -> None:
        """Say in which file people find a part whose text was not read there."""
        self._files_of.setdefault(label, file)

    def label(self, label: str, holder: object) -> str:
        """Return a label, numbered if something else that is held elsewhere goes by it.

        Modules in folders without ``__init__.py`` may have one name, and classes that a function
        makes.
        """
        known = self._holders.setdefault(label, [])
        places = [place for place, item in enumerate(known) if item is holder]
        if not places:
            known.append(holder)
        number = places[0] if places else len(known) - 1
        return f"{label} ({number + 1})" if number else label

    def package(self, module_name: str) -> str:
        """Add the distribution that a module comes from; return how to refer to it."""
        name, _, version = distribution_of(module_name).partition(" ")
        self.part(f"package {name}", version)
        return f"package {name}"

    def listed(self) -> list[tuple[str, str]]:
        """Return label and digest of every part, in order."""
        return sorted(
            (label, digest) for label, digests in self._parts.items() for digest in digests
        )

    def file_of(self, label: str) -> str | None:
        """Return the file that a part was found in."""
        return self._files_of.get(label)


class Walker(Protocol):
    """What entering one thing may ask of the walk as a whole."""

    found: Found

    def target(self, value: object) -> str:
        """Return the text under which something counts where it is referred to, and enter it."""
        ...

    def references(
        self, namespace: Namespace, chains: Iterable[Chain], where: str | None
    ) -> dict[str, str]:
        """Return chain → target of what code refers to.

        ``where`` names the code in what cannot be told; None passes over names that are not there.
        """
        ...

    def follow_imports(self, nodes: list[Any], namespace: Namespace, where: str) -> None:
        """Enter what imports inside functions lead to."""
        ...

    def later(self, key: Hashable, visit: Callable[[], None]) -> None:
        """Visit something once, when what is in hand is finished."""
        ...

    def executes(self, code: Any, namespace: Namespace) -> None:
        """Note that code is among what is executed."""
        ...
