"""Files whose bytes differ while their content is the same: HDF5 as it is written anew."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from consist import RunResult, Tracker
from consist.errors import InputChanged


def write(path: Path, value: float = 1.0, **storage: Any) -> None:
    """Write skims; ``storage`` changes the bytes and not the content."""
    with h5py.File(path, "w") as file:
        file.create_dataset("skims", data=np.full((4, 4), value), **storage)


def use(skims: Path) -> None:
    with h5py.File(skims) as file:
        assert file["skims"].shape == (4, 4)


def test_a_raw_input_that_was_stored_anew_is_the_same(tracker: Tracker, tmp_path: Path) -> None:
    # SIG-004
    path = tmp_path / "skims.h5"

    def hit(**how: Any) -> bool:
        before = path.read_bytes() if path.exists() else b""
        write(path, **how)
        assert path.read_bytes() != before
        return tracker.run(use, inputs={"skims": path}).cache_hit

    assert hit() is False
    assert hit(chunks=(2, 2)) is True
    assert hit(compression="gzip") is True
    assert hit(value=2.0) is False
    assert hit(chunks=(1, 4)) is True


def test_a_step_that_wrote_the_same_content_anew_costs_its_consumers_nothing(
    tracker: Tracker, tmp_path: Path
) -> None:
    # C-27, SIG-026
    def make(version: int, chunks: Any) -> RunResult:
        def make() -> Path:
            path = tmp_path / f"made_{version}.h5"
            write(path, chunks=chunks)
            return path

        return tracker.run(make, outputs=["skims"], config={"version": version})

    first = make(1, None)
    assert not tracker.run(use, inputs={"skims": first.outputs["skims"]}).cache_hit
    second = make(2, (2, 2))
    assert first.outputs["skims"].hash != second.outputs["skims"].hash
    found = tracker.run(use, inputs={"skims": second.outputs["skims"]})
    assert found.cache_hit
    assert found.run.meta["cache_match"] == "content"


def test_a_recorded_file_that_was_stored_anew_is_still_itself(
    tracker: Tracker, tmp_path: Path
) -> None:
    path = tmp_path / "skims.h5"

    def make() -> Path:
        write(path)
        return path

    skims = tracker.run(make, outputs=["skims"]).outputs["skims"]
    write(path, chunks=(2, 2))
    tracker.run(use, inputs={"skims": skims})
    write(path, value=3.0)
    with pytest.raises(InputChanged, match="skims"):
        tracker.run(use, inputs={"skims": skims})


def test_a_damaged_file_is_recorded_by_its_bytes_and_said(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "skims.h5"
    path.write_bytes(b"no HDF5")
    with caplog.at_level(logging.WARNING):
        artifact = tracker.run(lambda: path, "make", outputs=["skims"]).outputs["skims"]
    assert artifact.hash is not None
    assert "content_digest" not in artifact.meta
    assert "skims.h5" in caplog.text


def test_size_and_time_stay_all_there_is_where_asked(tmp_path: Path) -> None:
    # G-20
    path = tmp_path / "skims.h5"
    write(path)
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", hashing_strategy="fast") as tracker:
        artifact = tracker.run(lambda: path, "make", outputs=["skims"]).outputs["skims"]
        assert "content_digest" not in artifact.meta
