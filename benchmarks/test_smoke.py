"""Every benchmark works, with the smallest sizes: ``pytest benchmarks``."""

import math

import pytest

from benchmarks.__main__ import as_plain, table
from benchmarks.harness import SMOKE
from benchmarks.themes import THEMES


@pytest.mark.parametrize("name", list(THEMES))
def test_theme_gives_figures_that_can_be_shown(name, tmp_path):
    figures = list(THEMES[name](SMOKE, tmp_path))
    assert figures
    assert all(math.isfinite(figure.ours) for figure in figures)
    assert table(figures).row_count == len(figures)
    assert len(as_plain({name: figures})["figures"]) == len(figures)
