"""What the tests of files share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def permissions_count(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where nothing is forbidden, as for root."""
    folder = tmp_path_factory.mktemp("forbidden")
    folder.chmod(0o500)
    try:
        Path(folder / "probe").touch()
    except PermissionError:
        return
    pytest.skip("this user may write anywhere")
