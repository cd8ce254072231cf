"""Fixtures for tests that work in a folder of their own, as a user in a fresh project does."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into an empty project folder that is no git repository."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def raw(here: Path) -> Path:
    """Write a small table and return its path."""
    path = here / "raw.csv"
    path.write_text("category,value\na,0.2\nb,0.6\na,0.9\n")
    return path
