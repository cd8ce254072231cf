"""How files of each format are read, written and described."""

from consist.formats.base import BaseDriver, Driver
from consist.formats.registry import Formats

__all__ = ["BaseDriver", "Driver", "Formats"]
