"""Files that nobody loads: they are named, digested and handed over as they are."""

from __future__ import annotations

from consist.errors import ConsistError, MissingExtra, UnsupportedFormat
from consist.formats.base import BaseDriver, Kind


class FileDriver(BaseDriver):
    """Any format without a loader, called after its suffix.

    Parameters
    ----------
    name : str, default "unknown"
        What artifacts call the format.
    """

    def __init__(self, name: str = "unknown") -> None:
        self.name = name


class AbsentDriver(BaseDriver):
    """A format whose loader is not part of this installation.

    Every use raises an error that names what to install.

    Parameters
    ----------
    name : str
        The driver's name.
    suffixes : tuple of str
        Suffixes that it is inferred from.
    kind : str
        What it would load.
    extra : str or None
        The extra that brings it.
    """

    kind: Kind

    def __init__(self, name: str, suffixes: tuple[str, ...], kind: Kind, extra: str | None) -> None:
        self.name, self.suffixes = name, suffixes
        self.kind, self.extra = kind, extra

    def available(self) -> bool:
        """Return false."""
        return False

    def _cannot(self, action: str) -> ConsistError:
        if self.extra is None:
            return UnsupportedFormat(self.name, action)
        return MissingExtra(f"using {self.name!r} files", self.extra)
