"""A store per test, closed at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.store.worlds import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from consist.store.embedded import EmbeddedStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """Yield a store in the test's own folder."""
    opened = open_store(tmp_path)
    yield opened
    opened.close()
