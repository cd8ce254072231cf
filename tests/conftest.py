"""What every test may lean on: a clean environment and a tracker on real files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from consist import Tracker

# A module that a test writes twice within a second would otherwise be loaded from what was compiled
# of the first, since Python compares whole seconds.
sys.dont_write_bytecode = True

# A machine that is shared or busy makes single examples slow; that is no failure.
settings.register_profile("consist", deadline=None)
settings.load_profile("consist")


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No setting of the developer's reaches a test, and no test writes to their cache folder."""
    for name in [name for name in os.environ if name.startswith("CONSIST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONSIST_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    """Yield a tracker with a database, both in the test's own folder."""
    from consist import Tracker

    with_database = Tracker(run_dir=tmp_path / "runs", db_path=tmp_path / "provenance.duckdb")
    yield with_database
    with_database.close()
