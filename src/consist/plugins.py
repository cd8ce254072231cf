"""What other distributions add: entry points of a group, looked up on first use.

Reading the metadata of everything that is installed takes tens of milliseconds, so nobody does it
before a name turns up that is not our own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from consist.errors import hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

logger = logging.getLogger(__name__)


class Plugins(Mapping[str, object]):
    """The plug-ins of one entry-point group by name, each imported when it is asked for.

    Parameters
    ----------
    group : str
        Entry-point group, such as ``"consist.formats"``.

    Notes
    -----
    If two distributions register one name, the first in alphabetical order of distributions
    has it, and a warning is logged. A plug-in that cannot be imported raises whatever its import
    raised, with a note that names it.

    Examples
    --------
    >>> "no-such-format" in Plugins("consist.formats")
    False
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._loaded: dict[str, object] = {}
        self._lock = threading.RLock()

    def __getitem__(self, name: str) -> object:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(self._entries[name])
            return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points

        found = sorted(entry_points(group=self.group), key=_distribution)
        entries: dict[str, EntryPoint] = {}
        for entry in found:
            first = entries.setdefault(entry.name, entry)
            if first.value != entry.value:
                logger.warning(
                    "[Consist] plug-in %r of group %s: %s of %s hides %s of %s",
                    *(entry.name, self.group),
                    *(first.value, _distribution(first), entry.value, _distribution(entry)),
                )
        return entries

    def _load(self, entry: EntryPoint) -> object:
        try:
            return entry.load()
        except Exception as error:
            hint(error, f"while loading plug-in {entry.name!r} ({entry.value}) of {self.group}")
            raise


def _distribution(entry: EntryPoint) -> str:
    return "" if entry.dist is None else entry.dist.name
