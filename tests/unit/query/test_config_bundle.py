"""The config that a run was given as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consist.errors import BundleMissing, FileGone

if TYPE_CHECKING:
    from pathlib import Path

    from consist import Tracker


@pytest.fixture
def configured(tracker: Tracker, here: Path) -> Tracker:
    """Record a run with config files of several roles and adapters."""
    for name in ("b", "a", "log", "other", "raw"):
        (here / f"{name}.zip").write_text(name)
    with tracker.start_run("r", "m"):
        tracker.log_input("b.zip", "b", config_role="bundle", config_adapter="beam")
        tracker.log_output("a.zip", "a", config_role="bundle", adapter="activitysim")
        tracker.log_output("log.zip", "a0", config_role="log")
        tracker.log_input("raw.zip", "raw")
    with tracker.start_run("of_adapter", "m", config_adapter="beam"):
        tracker.log_input("other.zip", "other", config_role="bundle")
    return tracker


def test_the_first_by_key_of_a_role_is_taken(configured: Tracker, here: Path) -> None:
    # QRY-038, QRY-040
    assert configured.get_config_bundle("r") == here / "a.zip"
    assert configured.get_config_bundle("r", role="log") == here / "log.zip"


def test_an_adapter_is_that_of_the_artifact_or_of_the_run(configured: Tracker, here: Path) -> None:
    # QRY-039
    assert configured.get_config_bundle("r", adapter="beam") == here / "b.zip"
    assert configured.get_config_bundle("r", adapter="activitysim") == here / "a.zip"
    assert configured.get_config_bundle("of_adapter", adapter="beam") == here / "other.zip"
    assert configured.get_config_bundle("of_adapter", adapter="x", allow_missing=True) is None


def test_of_one_key_the_oldest_is_taken(tracker: Tracker, here: Path) -> None:
    # QRY-040
    for name in ("z_first", "a_second"):
        (here / name).write_text(name)
    with tracker.start_run("r", "m"):
        tracker.log_output("z_first", "k", config_role="bundle")
        tracker.log_output("a_second", "k", config_role="bundle")
    assert tracker.get_config_bundle("r") == here / "z_first"


def test_no_config_is_an_error_that_says_what_was_looked_for(configured: Tracker) -> None:
    # QRY-041
    with pytest.raises(
        FileNotFoundError, match=r"run 'r'.*role 'plan' by adapter 'beam'"
    ) as caught:
        configured.get_config_bundle("r", adapter="beam", role="plan")
    assert isinstance(caught.value, BundleMissing)
    assert "allow_missing=True" in caught.value.__notes__[0]
    assert configured.get_config_bundle("r", role="plan", allow_missing=True) is None
    with pytest.raises(ValueError, match="'nobody'"):
        configured.get_config_bundle("nobody")
    assert configured.get_config_bundle("nobody", allow_missing=True) is None
    with pytest.raises(TypeError):
        configured.get_config_bundle("r", role=3)  # type: ignore[arg-type]


def test_a_config_whose_file_is_gone_is_an_error_of_its_own(
    configured: Tracker, here: Path
) -> None:
    # QRY-041
    (here / "log.zip").unlink()
    for allow in (False, True):
        with pytest.raises(FileGone, match=r"'a0' at .*log\.zip"):
            configured.get_config_bundle("r", role="log", allow_missing=allow)


def test_without_a_database_nothing_is_found(tmp_path: Path) -> None:
    from consist import Tracker

    with Tracker(run_dir=tmp_path) as bare:
        assert bare.get_config_bundle("r", allow_missing=True) is None
        with pytest.raises(FileNotFoundError):
            bare.get_config_bundle("r")
