"""Portable paths, places of a run's files, safe transfers, digests of unchanged files."""

from consist.files.facade import Files
from consist.files.mounts import Location

__all__ = ["Files", "Location"]
