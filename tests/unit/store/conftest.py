"""A store per test, closed at its end."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.store.worlds import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consist.store.embedded import EmbeddedStore


@pytest.fixture
def public() -> Iterator[Path]:
    """Yield a folder that every user can reach; pytest keeps its own to itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """Yield a store in the test's own folder."""
    opened = open_store(tmp_path)
    yield opened
    opened.close()
