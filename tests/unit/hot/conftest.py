"""Every test here works in a folder of its own, as a user in a fresh project does."""

from tests.projects import here, raw

__all__ = ["here", "raw"]
