"""Copies of recorded bytes: right, whole, where they were asked for, and nowhere else."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from consist import Artifact, CacheOptions, Tracker
from consist.errors import ArtifactChanged, FileGone, PathEscape, StoreUnwritable, UsageError


@pytest.fixture
def artifact(tracker: Tracker) -> Artifact:
    with tracker.start_run("r", "m"):
        return tracker.log_dataframe(pd.DataFrame({"a": [1, 2]}), "f", driver="csv", index=False)


@pytest.fixture
def folder(tracker: Tracker) -> Artifact:
    root = tracker.run_dir / "outputs" / "grid.zarr"
    for name in ("a", "deep/b", ".hidden", "ünusual name\n"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to("a")
    with tracker.start_run("r2", "m"):
        return tracker.log_artifact(root, "grid")


def test_the_destination_is_returned_and_has_the_bytes(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    # HYD-016, HYD-027, HYD-028
    target = tmp_path / "new" / "folder" / "f.csv"
    assert tracker.materialize(artifact, target) == str(target)
    assert target.read_bytes() == artifact.path.read_bytes()
    assert target.stat().st_mtime_ns == artifact.path.stat().st_mtime_ns


def test_a_relative_destination_means_the_current_folder(
    tracker: Tracker, artifact: Artifact, here: Path
) -> None:
    assert tracker.materialize(artifact, "sub/f.csv") == str(here / "sub" / "f.csv")
    assert (here / "sub" / "f.csv").exists()


def test_a_destination_may_be_named_by_a_mount(tmp_path: Path) -> None:
    mounts = {"shared": tmp_path / "shared"}
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", mounts=mounts) as tracker:
        with tracker.start_run("r", "m"):
            artifact = tracker.log_dataframe(pd.DataFrame({"a": [1]}), "f")
        found = tracker.materialize(artifact, "shared://x/f.parquet")
        assert found == str(tmp_path / "shared" / "x" / "f.parquet")
        assert Path(found).exists()
        with pytest.raises(ValueError, match="unknown"):
            tracker.materialize(artifact, "unknown://x/f.parquet")


def test_a_missing_source_warns_or_raises(
    tracker: Tracker, artifact: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # HYD-017, ERR-034, G-04
    artifact.path.unlink()
    with caplog.at_level(logging.WARNING):
        assert tracker.materialize(artifact, tmp_path / "x.csv") is None
    assert "'f'" in caplog.text
    with pytest.raises(FileNotFoundError, match="'f'") as caught:
        tracker.materialize(artifact, tmp_path / "x.csv", on_missing="raise")
    assert isinstance(caught.value, FileGone)
    assert "'r'" in caught.value.__notes__[0]
    assert not (tmp_path / "x.csv").exists()


def test_nothing_is_rebuilt_from_the_database(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    record = artifact.to_record()
    ingested = Artifact.from_record(record).bind(tracker.path_of)
    ingested.meta = {**ingested.meta, "is_ingested": True}
    artifact.path.unlink()
    assert tracker.materialize(ingested, tmp_path / "x.csv") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [({"on_missing": "ignore"}, "on_missing"), ({"link": "symbolic"}, "link")],
)
def test_unknown_values_are_errors(
    tracker: Tracker, artifact: Artifact, tmp_path: Path, options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tracker.materialize(artifact, tmp_path / "x.csv", **options)


def test_only_artifacts_go_to_paths(tracker: Tracker, artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Artifact") as caught:
        tracker.materialize("f", tmp_path / "x.csv")  # type: ignore[arg-type]
    assert caught.value.__notes__
    with pytest.raises(TypeError, match="destination_path"):
        tracker.materialize(artifact, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        tracker.materialize(artifact, "")


# ---------------------------------------------------------------- verification


def test_wrong_bytes_are_not_copied(tracker: Tracker, artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("old")
    artifact.path.write_text("a\n7\n8\n")
    with pytest.raises(ArtifactChanged, match="'f'") as caught:
        tracker.materialize(artifact, tmp_path / "x.csv")
    assert caught.value.writer == "r"
    assert (tmp_path / "x.csv").read_text() == "old"


def test_bytes_that_change_while_they_are_copied_are_not_published(
    tracker: Tracker, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.utime

    def late(descriptor: int, **times: Any) -> None:
        really(descriptor, **times)
        status = artifact.path.stat()
        artifact.path.write_text("a\n3\n4\n")  # of the same size
        os.utime.__wrapped__(artifact.path, ns=(status.st_atime_ns, status.st_mtime_ns))

    late.__wrapped__ = really  # type: ignore[attr-defined]
    monkeypatch.setattr(os, "utime", late)
    with pytest.raises((ArtifactChanged, RuntimeError)):
        tracker.materialize(artifact, tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()
    assert not list(tmp_path.glob(".consist-*"))


def test_an_artifact_without_a_digest_is_copied(tracker: Tracker, here: Path) -> None:
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(here / "late.csv", "late")
    (here / "late.csv").write_text("a\n1\n")
    assert tracker.materialize(artifact, here / "copy.csv") == str(here / "copy.csv")


def test_size_and_time_alone_give_a_word_of_doubt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", hashing_strategy="fast") as tracker:
        with tracker.start_run("r", "m"):
            artifact = tracker.log_dataframe(pd.DataFrame({"a": [1]}), "f")
        assert tracker.materialize(artifact, tmp_path / "a.parquet")
        assert "cannot be verified" not in caplog.text
        os.utime(artifact.path, (1, 1))
        assert tracker.materialize(artifact, tmp_path / "b.parquet")
        assert "'f' cannot be verified" in caplog.text


# ---------------------------------------------------------------- folders


def test_a_folder_is_copied_with_everything_in_it(
    tracker: Tracker, folder: Artifact, tmp_path: Path
) -> None:
    target = tmp_path / "copy.zarr"
    assert tracker.materialize(folder, target) == str(target)
    assert tracker.files.digest(target) == folder.hash
    assert (target / "link").is_symlink()
    assert (target / ".hidden").exists()
    assert tracker.materialize(folder, target) == str(target)


def test_a_folder_elsewhere_is_replaced_only_if_nothing_is_lost(
    tracker: Tracker, folder: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert tracker.materialize(folder, tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else") as caught:
        tracker.materialize(folder, tmp_path / "mine")
    assert "run folder" in caught.value.__notes__[0]
    assert (tmp_path / "mine" / "thesis.tex").exists()
    inside = tracker.run_dir / "copies" / "grid.zarr"
    inside.mkdir(parents=True)
    (inside / "older").touch()
    assert tracker.materialize(folder, inside)
    assert not (inside / "older").exists()


@pytest.mark.parametrize("place", ["runs", ".", "provenance.duckdb"])
def test_run_folder_and_database_are_never_replaced(
    tracker: Tracker, tmp_path: Path, place: str
) -> None:
    elsewhere = tmp_path / "project" / "grid"
    elsewhere.mkdir()
    (elsewhere / "a").touch()
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(elsewhere, "grid")
    with pytest.raises(UsageError):
        tracker.materialize(artifact, tmp_path / place)
    assert tracker.run_dir.exists()
    assert tracker.get_run("r") is not None


def test_files_and_folders_do_not_take_each_others_place(
    tracker: Tracker, artifact: Artifact, folder: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is a folder") as caught:
        tracker.materialize(artifact, tmp_path / "project")
    assert str(tmp_path / "project" / "f.csv") in caught.value.__notes__[0]
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="is a file"):
        tracker.materialize(folder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    with pytest.raises(StoreUnwritable):
        tracker.materialize(artifact, tmp_path / "file" / "below.csv")


# ---------------------------------------------------------------- links


def test_a_destination_that_is_a_link_is_refused(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "way").symlink_to(tmp_path / "victim")
    with pytest.raises(PathEscape, match="way"):
        tracker.materialize(artifact, tmp_path / "way")
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_source_that_is_a_link_is_copied_as_its_content(tracker: Tracker, here: Path) -> None:
    (here / "real.csv").write_text("a\n1\n")
    (here / "way.csv").symlink_to(here / "real.csv")
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(here / "way.csv", "f")
    tracker.materialize(artifact, here / "copy.csv")
    assert not (here / "copy.csv").is_symlink()
    assert (here / "copy.csv").read_text() == "a\n1\n"


def test_the_artifact_itself_as_destination_stays(tracker: Tracker, artifact: Artifact) -> None:
    before = artifact.path.stat()
    assert tracker.materialize(artifact, artifact.path) == str(artifact.path)
    assert artifact.path.stat().st_ino == before.st_ino


def test_a_hard_link_cannot_change_the_original_unnoticed(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    target = tmp_path / "linked.csv"
    tracker.materialize(artifact, target, link="hardlink")
    assert target.samefile(artifact.path)
    assert not target.stat().st_mode & 0o222
    assert tracker.load_df(artifact)["a"].tolist() == [1, 2]
    times = target.stat()
    target.chmod(0o644)
    target.write_text("a\n3\n4\n")
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ArtifactChanged):
        tracker.load_df(artifact)


def test_a_hard_link_becomes_a_copy_when_one_is_wanted(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    target = tmp_path / "linked.csv"
    tracker.materialize(artifact, target, link="hardlink")
    tracker.materialize(artifact, target)
    assert not target.samefile(artifact.path)
    assert target.read_bytes() == artifact.path.read_bytes()


def test_a_reflink_is_a_file_of_its_own(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    target = tmp_path / "copy.csv"
    tracker.materialize(artifact, target, link="reflink")
    target.write_text("mine")
    assert tracker.load_df(artifact)["a"].tolist() == [1, 2]


# ---------------------------------------------------------------- again, and elsewhere


def test_what_is_there_already_is_not_copied_again(
    tracker: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    target = tmp_path / "x.csv"
    tracker.materialize(artifact, target)
    inode = target.stat().st_ino
    tracker.materialize(artifact, target)
    assert target.stat().st_ino == inode
    target.write_text("a\n5\n6\n")
    tracker.materialize(artifact, target)
    assert target.read_bytes() == artifact.path.read_bytes()


@pytest.fixture
def later(tmp_path: Path, tracker: Tracker, artifact: Artifact) -> Iterator[Tracker]:
    """Yield a tracker with another run folder on the same database."""
    tracker.close()
    with Tracker(tmp_path / "r2", tmp_path / "provenance.duckdb") as other:
        yield other


def test_another_run_folder_materializes_from_the_original(
    later: Tracker, artifact: Artifact, tmp_path: Path
) -> None:
    # HYD-019, HYD-005
    found = later.get_artifact("f")
    run = later.get_run("r")
    assert found is not None
    assert run is not None
    assert later.resolve_historical_path(found, run) == artifact.path
    assert later.materialize(found, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_bytes() == artifact.path.read_bytes()


def test_a_saved_copy_is_found_below_a_recovery_root(
    tmp_path: Path, tracker: Tracker, artifact: Artifact
) -> None:
    # G-17, background 4.4
    archive = tmp_path / "archive"
    relative = artifact.path.relative_to(tracker.run_dir)
    (archive / relative).parent.mkdir(parents=True)
    artifact.path.rename(archive / relative)
    artifact.meta = {**artifact.meta, "recovery_roots": [str(tmp_path / "none"), str(archive), 3]}
    assert artifact.path == archive / relative
    assert tracker.load_df(artifact)["a"].tolist() == [1, 2]
    assert tracker.materialize(artifact, tmp_path / "x.csv")
    (archive / relative).write_text("a\n9\n9\n")
    assert tracker.materialize(artifact, tmp_path / "y.csv") is None, "it is not the recorded file"


def test_a_closed_terminal_says_nothing_of_progress(
    tracker: Tracker, artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time.sleep(0.01)
    tracker.materialize(artifact, tmp_path / "x.csv")
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- historical paths


def at(tmp_path: Path, name: str, **options: Any) -> Tracker:
    return Tracker(tmp_path / name, tmp_path / "d.duckdb", **options)


def use(**inputs: Any) -> None:
    """Take inputs and leave nothing."""


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def test_a_historical_path_lies_where_the_run_was(tmp_path: Path) -> None:
    # HYD-019
    with at(tmp_path, "r1") as tracker:
        made = tracker.run(frame, outputs=["f"])
        where = made.output.path
    (tmp_path / "r2").mkdir()
    with at(tmp_path, "r2") as tracker:
        artifact, producer = tracker.get_artifact("f"), tracker.get_run(made.run_id)
        assert artifact is not None
        assert producer is not None
        user = tracker.run(use, inputs={"t": artifact}).run
        assert tracker.resolve_historical_path(artifact, producer) == where
        assert tracker.resolve_historical_path(artifact, user) == where
        options = CacheOptions(cache_hydration="inputs-missing", cache_mode="overwrite")
        brought = tracker.run(use, inputs={"t": artifact}, cache_options=options).run
    where.unlink()
    with at(tmp_path, "r3") as tracker:
        copied = tracker.resolve_historical_path(artifact, brought)
        assert copied == tmp_path / "r2" / where.relative_to(tmp_path / "r1")
        assert copied.exists()
        assert tracker.resolve_historical_path(artifact, producer) == where, "though it is gone"


def test_a_historical_path_under_a_mount_lies_where_that_was(tmp_path: Path) -> None:
    # HYD-019, URI-007
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x.csv").write_text("a\n1\n")
    with at(tmp_path, "r1", mounts={"data": tmp_path / "old"}) as tracker:
        with tracker.start_run("r", "m"):
            artifact = tracker.log_artifact(tmp_path / "old" / "x.csv", "x")
        run = tracker.get_run("r")
    assert run is not None
    with at(tmp_path, "r2", mounts={"data": tmp_path / "new"}) as tracker:
        assert tracker.resolve_historical_path(artifact, run) == tmp_path / "old" / "x.csv"
        run.meta = {"_physical_run_dir": str(tmp_path / "r1")}
        assert tracker.resolve_historical_path(artifact, run) == tmp_path / "old" / "x.csv"
        artifact.container_uri = "data://../../etc/passwd"
        with pytest.raises(PathEscape):
            tracker.resolve_historical_path(artifact, run)


def test_a_historical_path_needs_an_artifact_and_a_run(
    tracker: Tracker, artifact: Artifact
) -> None:
    for wrong in ((artifact, "r"), ("f", tracker.get_run("r"))):
        with pytest.raises(TypeError, match="cannot look for") as caught:
            tracker.resolve_historical_path(*wrong)  # type: ignore[arg-type]
        assert "get_run" in caught.value.__notes__[0]


def test_a_copy_does_not_take_the_bytes_from_another_run(tracker: Tracker) -> None:
    # SIG-005
    def make(n: int) -> Path:
        path = tracker.output_path("x", ext="txt")
        path.write_text(str(n))
        return path

    first, second = (tracker.run(make, config={"n": n}, outputs=["x"]) for n in (1, 2))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"is output 'x' of run"):
            tracker.materialize(first.output, second.output.path)
    assert second.output.path.read_text() == "2"
    second.output.path.unlink()
    assert tracker.materialize(first.output, second.output.path) is not None


@pytest.mark.parametrize(("name", "says"), [("a\0b", "NUL"), ("x" * 256, "255 bytes")])
def test_a_name_that_no_file_can_have_is_an_error_that_shows_it(
    tracker: Tracker, here: Path, name: str, says: str
) -> None:
    Path("a.txt").write_text("a")
    artifact = tracker.run(lambda: Path("a.txt"), "make", outputs=["a"]).output
    assert artifact is not None
    with pytest.raises(UsageError, match=says):
        tracker.materialize(artifact, name)
    with pytest.raises(UsageError, match=says):
        tracker.run(lambda a: a, "use", inputs={"a": name})
