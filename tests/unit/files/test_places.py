"""Where the files of a run go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consist.errors import InvalidKey, InvalidRunId, PathEscape, StoreUnwritable, UsageError
from consist.files.places import RunPlaces, decode_name, output_dir, output_path, safe_name


@dataclass
class Run:
    id: str = "base_x1"
    model_name: str = "traffic"
    parent_run_id: str | None = None
    year: int | None = None
    iteration: int | None = None
    meta: Mapping[str, object] = field(default_factory=dict)


@pytest.fixture
def places(tmp_path: Path) -> RunPlaces:
    return RunPlaces(tmp_path / "run")


# ---------------------------------------------------------------- records


def test_records_lie_in_the_run_folder(places: RunPlaces, tmp_path: Path) -> None:  # C-23
    assert places.snapshot_path("a/b~2") == f"{tmp_path}/run/consist_runs/a%2Fb~2.json"
    assert places.latest_path == f"{tmp_path}/run/consist.json"
    assert places.outputs == tmp_path / "run" / "outputs"


@pytest.mark.parametrize(
    ("run_id", "name"),
    [
        ("base_2030~2", "base_2030~2"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("50%", "50%25"),
        ("ü", "%C3%BC"),
        ("a b\n", "a%20b%0A"),
    ],
)
def test_run_ids_become_file_names_and_back(run_id: str, name: str) -> None:
    assert safe_name(run_id) == name
    assert decode_name(name) == run_id


@pytest.mark.parametrize("run_id", ["", "x" * 241, "ü" * 41, "\ud800"])
def test_ids_that_no_file_can_be_called_after_are_refused(run_id: str) -> None:
    with pytest.raises(InvalidRunId):
        safe_name(run_id)


@pytest.mark.parametrize("name", ["a b", "%2e", "%41", "%FF", ".x", "", "50%", "a%2", "a/b"])
def test_names_that_are_not_ours_are_not_decoded(name: str) -> None:
    with pytest.raises(InvalidRunId, match="not an encoded run id"):
        decode_name(name)


# ---------------------------------------------------------------- the folder of a run


def test_a_run_has_a_folder_of_its_own_below_its_model(places: RunPlaces) -> None:
    assert places.artifact_dir(Run()) == places.outputs / "traffic" / "base_x1"


def test_an_iteration_lies_below_its_parent(places: RunPlaces) -> None:
    run = Run(parent_run_id="scenario~2", iteration=3)
    assert places.artifact_dir(run) == places.outputs / "scenario~2" / "traffic" / "iteration_3"
    assert places.artifact_dir(Run(parent_run_id="s")).name == "base_x1"
    assert places.artifact_dir(Run(iteration=0)).name == "base_x1"
    assert places.artifact_dir(Run(parent_run_id="s", iteration=0)).name == "iteration_0"
    dated = places.artifact_dir(Run(parent_run_id="s", year=2030, iteration=0))
    assert dated == places.outputs / "s" / "traffic" / "year_2030" / "iteration_0"


def test_names_of_models_and_runs_are_made_fit_for_folders(places: RunPlaces) -> None:
    assert places.artifact_dir(Run(id="../x", model_name="a/b")) == (
        places.outputs / "a%2Fb" / "%2E.%2Fx"
    )
    long = places.artifact_dir(Run(model_name="m" * 256)).parent.name
    other = places.artifact_dir(Run(model_name="m" * 255 + "n")).parent.name
    assert len(long) <= 240
    assert long != other


def test_a_relative_artifact_dir_lies_below_outputs(places: RunPlaces) -> None:  # TRK-025
    run = Run(meta={"artifact_dir": "sub/x"})
    assert places.artifact_dir(run) == places.outputs / "sub" / "x"
    assert places.artifact_dir(run, subdir="loses") == places.outputs / "sub" / "x"


def test_an_absolute_artifact_dir_in_the_run_folder_is_kept(places: RunPlaces) -> None:  # TRK-026
    inside = places.run_dir / "elsewhere"
    assert places.artifact_dir(Run(meta={"artifact_dir": str(inside)})) == inside
    assert places.artifact_dir(Run(meta={"artifact_dir": inside})) == inside


def test_an_artifact_dir_outside_needs_permission(
    places: RunPlaces, tmp_path: Path
) -> None:  # TRK-027, TRK-028, ERR-008
    run = Run(meta={"artifact_dir": str(tmp_path / "outside")})
    with pytest.raises(PathEscape) as caught:
        places.artifact_dir(run)
    assert "allow_external_paths" in caught.value.__notes__[0]
    assert places.artifact_dir(run, allow_external=True) == tmp_path / "outside"


@pytest.mark.parametrize("asked", ["../x", "a/../../x", "..\\x", "a\0b"])
def test_a_relative_artifact_dir_never_leaves_outputs(places: RunPlaces, asked: str) -> None:
    run = Run(meta={"artifact_dir": asked})
    for allowed in (False, True):
        with pytest.raises(PathEscape):
            places.artifact_dir(run, allow_external=allowed)
    with pytest.raises(PathEscape):
        places.artifact_dir(Run(), subdir=asked)


def test_links_do_not_lead_out(places: RunPlaces, tmp_path: Path) -> None:
    places.outputs.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (places.outputs / "way").symlink_to(tmp_path / "outside")
    for run in (
        Run(meta={"artifact_dir": "way/x"}),
        Run(meta={"artifact_dir": str(places.outputs / "way" / "x")}),
    ):
        with pytest.raises(PathEscape):
            places.artifact_dir(run)


def test_run_subdir_fn_names_a_folder_below_outputs(places: RunPlaces, tmp_path: Path) -> None:
    assert places.artifact_dir(Run(), subdir="year/2030") == places.outputs / "year" / "2030"
    assert places.artifact_dir(Run(), subdir="") == places.outputs / "base_x1"
    with pytest.raises(PathEscape):
        places.artifact_dir(Run(), subdir=str(tmp_path))


def test_what_is_no_path_is_refused(places: RunPlaces) -> None:
    with pytest.raises(UsageError, match="artifact_dir gave 5"):
        places.artifact_dir(Run(meta={"artifact_dir": 5}))
    with pytest.raises(UsageError, match="run_subdir_fn gave 5"):
        places.artifact_dir(Run(), subdir=5)  # type: ignore[arg-type]


# ---------------------------------------------------------------- outputs


def test_output_dir_is_absolute_and_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # CTX-003, CTX-004
    monkeypatch.chdir(tmp_path)
    assert output_dir("base") == tmp_path / "base"
    assert output_dir("base", "sub/x") == tmp_path / "base" / "sub" / "x"
    assert (tmp_path / "base" / "sub" / "x").is_dir()
    assert output_dir("base", "") == tmp_path / "base"


def test_output_path_is_the_key_with_a_suffix(tmp_path: Path) -> None:  # CTX-005, CTX-007
    base = tmp_path / "made"
    assert output_path(base, "key") == base / "key.parquet" == output_path(base, "key")
    assert base.is_dir()
    assert not (base / "key.parquet").exists()


@pytest.mark.parametrize(
    ("ext", "name"),
    [(".CSV", "b.csv"), ("csv", "b.csv"), ("..tar.GZ", "b.tar.gz"), ("", "b"), (".", "b")],
)
def test_the_suffix_is_normalised(tmp_path: Path, ext: str, name: str) -> None:  # CTX-006
    assert output_path(tmp_path, "a/b", ext=ext) == tmp_path / "a" / name
    assert (tmp_path / "a").is_dir()


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a/../x", "..", "/etc/x", "a\0b", "..\\x"])
def test_no_key_leaves_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(PathEscape):
        output_path(tmp_path / "base", key)
    with pytest.raises(PathEscape):
        output_dir(tmp_path / "base", key if key != "a/../x" else "..")


@pytest.mark.parametrize("key", ["", "a/", "/", "a//b", "./a", "a/."])
def test_empty_segments_are_no_keys(tmp_path: Path, key: str) -> None:
    with pytest.raises((InvalidKey, PathEscape)):
        output_path(tmp_path, key)


@pytest.mark.parametrize("ext", ["a/b", "../x", "a\\b", "\0"])
def test_a_suffix_is_no_path(tmp_path: Path, ext: str) -> None:
    with pytest.raises(UsageError, match="not a file suffix"):
        output_path(tmp_path, "a", ext=ext)


def test_links_do_not_lead_outputs_out(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "way").symlink_to(tmp_path)
    with pytest.raises(PathEscape):
        output_path(tmp_path / "base", "way/x")
    with pytest.raises(PathEscape):
        output_dir(tmp_path / "base", "way")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match="file"):
        output_dir(tmp_path / "file" / "sub")
