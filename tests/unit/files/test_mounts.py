"""Portable locations: what a path is called, and where a name leads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consist.errors import PathEscape, UsageError
from consist.files.mounts import Location, Mounts


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    for name in ("run", "data/deep", "outside"):
        (tmp_path / name).mkdir(parents=True)
    folders = {"inputs": tmp_path / "data", "deep": tmp_path / "data" / "deep"}
    return Mounts(tmp_path / "run", folders)


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


# ---------------------------------------------------------------- path to URI


def test_a_mounted_file_is_named_by_its_scheme(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.virtualize(tmp_path / "data" / "a.csv") == Location("", "inputs://a.csv")


def test_the_longest_mount_wins(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.virtualize(tmp_path / "data" / "deep" / "a").uri == "deep://a"
    assert mounts.virtualize(tmp_path / "data" / "deepest").uri == "inputs://deepest"


def test_a_file_of_the_run_folder_belongs_to_that_folder(mounts: Mounts, tmp_path: Path) -> None:
    location = mounts.virtualize(tmp_path / "run" / "outputs" / "a.csv")
    assert location == Location(str(tmp_path / "run"), "./outputs/a.csv")


def test_a_mount_over_the_run_folder_names_its_files(tmp_path: Path) -> None:
    mounts = Mounts(tmp_path / "run", {"all": tmp_path})
    assert mounts.virtualize(tmp_path / "run" / "a").uri == "all://run/a"


def test_everything_else_keeps_its_absolute_path(mounts: Mounts, tmp_path: Path) -> None:
    path = str(tmp_path / "outside" / "a.csv")
    assert mounts.virtualize(path) == Location("", path)


def test_relative_paths_belong_to_the_current_folder(
    mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "data")
    assert mounts.virtualize("sub/../a.csv").uri == "inputs://a.csv"


def test_the_roots_themselves_have_names(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.virtualize(tmp_path / "data").uri == "inputs://"
    assert mounts.virtualize(tmp_path / "run").uri == "./"
    assert mounts.resolve("inputs://") == tmp_path / "data"
    assert mounts.resolve("./") == tmp_path / "run"


def test_a_uri_is_brought_into_its_best_form(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.virtualize("inputs://deep//x/../a").uri == "deep://a"
    assert mounts.virtualize("workspace://a").uri == "./a"
    assert mounts.virtualize(f"file://{tmp_path}/data/a%20b").uri == "inputs://a b"
    assert mounts.virtualize("s3://bucket/a") == Location("", "s3://bucket/a")
    with pytest.raises(PathEscape):
        mounts.virtualize("inputs://../a")


def test_a_file_behind_a_link_is_named_where_it_lies(mounts: Mounts, tmp_path: Path) -> None:
    """Resolving refuses links that lead out, so no name may go through one."""
    real = file(tmp_path / "data" / "zones.csv")
    far = file(tmp_path / "outside" / "far.csv")
    (tmp_path / "run" / "inputs").symlink_to(tmp_path / "data")
    (tmp_path / "run" / "far.csv").symlink_to(far)
    (tmp_path / "run" / "zones.csv").symlink_to(real)
    assert mounts.virtualize(tmp_path / "run" / "inputs" / "zones.csv").uri == "inputs://zones.csv"
    assert mounts.virtualize(tmp_path / "run" / "zones.csv").uri == "inputs://zones.csv"
    given = tmp_path / "run" / "far.csv"
    assert mounts.virtualize(given) == Location("", str(given))
    assert mounts.resolve(str(given)) == given


def test_a_link_that_stays_inside_keeps_its_name(mounts: Mounts, tmp_path: Path) -> None:
    real = file(tmp_path / "run" / "v7.csv")
    (tmp_path / "run" / "latest.csv").symlink_to(real)
    assert mounts.virtualize(tmp_path / "run" / "latest.csv").uri == "./latest.csv"
    assert mounts.resolve("./latest.csv") == tmp_path / "run" / "latest.csv"


def test_a_folder_that_is_reached_by_another_way_is_recognised(tmp_path: Path) -> None:
    file(tmp_path / "real" / "data" / "a.csv")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    by_alias = Mounts(tmp_path / "run", {"inputs": tmp_path / "alias" / "data"})
    assert by_alias.virtualize(tmp_path / "real" / "data" / "a.csv").uri == "inputs://a.csv"
    by_real = Mounts(tmp_path / "run", {"inputs": tmp_path / "real" / "data"})
    assert by_real.virtualize(tmp_path / "alias" / "data" / "a.csv").uri == "inputs://a.csv"


def test_a_name_of_bytes_that_are_not_text_is_refused(mounts: Mounts, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(str(tmp_path / "data")) + b"/\xff.csv")
    with pytest.raises(UsageError, match="not valid Unicode"):
        mounts.virtualize(name)


def test_a_nul_byte_is_refused(mounts: Mounts) -> None:
    with pytest.raises(PathEscape):
        mounts.virtualize("a\0/../../etc/passwd")


# ---------------------------------------------------------------- URI to path


def test_uris_lead_under_their_mount(mounts: Mounts, tmp_path: Path) -> None:  # URI-001, URI-005
    found = mounts.resolve_uri("inputs://file.csv")
    assert isinstance(found, str)
    assert found == str(tmp_path / "data" / "file.csv")


@pytest.mark.parametrize(
    "uri", ["./output/data.parquet", "output/data.parquet", "workspace://output/data.parquet"]
)
def test_relative_uris_lead_into_the_run_folder(
    mounts: Mounts, tmp_path: Path, uri: str
) -> None:  # URI-002
    assert mounts.resolve(uri) == tmp_path / "run" / "output" / "data.parquet"
    other = tmp_path / "other run"
    assert mounts.resolve(uri, str(other)) == other / "output" / "data.parquet"


def test_absolute_paths_and_file_uris_are_taken_as_they_are(mounts: Mounts) -> None:
    assert mounts.resolve_uri("/etc/../etc/hosts") == "/etc/hosts"
    assert mounts.resolve_uri("//etc/hosts") == "/etc/hosts"
    assert mounts.resolve_uri("file:///a/b%20c%23.csv") == "/a/b c#.csv"
    assert mounts.resolve_uri("file://localhost/a") == "/a"
    with pytest.raises(UsageError, match="another host"):
        mounts.resolve_uri("file://server/share/a")
    with pytest.raises(PathEscape):
        mounts.resolve_uri("file:///a%00b")


def test_an_unmounted_scheme_gives_a_path_that_shows_it(
    mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # URI-003
    monkeypatch.chdir(tmp_path)
    assert mounts.resolve_uri("scratch://a/b.csv") == str(tmp_path / "scratch:/a/b.csv")


def test_a_drive_letter_is_no_scheme(
    mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("C:\\data\\a.csv", "C:/data/a.csv", "c://data/a.csv"):
        assert mounts.resolve_uri(path).startswith(str(tmp_path))
    with pytest.raises(UsageError, match="'c' cannot name a mount"):
        Mounts(tmp_path, {"c": tmp_path})


@pytest.mark.parametrize(
    "uri",
    [
        "inputs://../secret",
        "inputs://a/../../secret",
        "inputs:///../secret",
        "inputs://a/..\\..\\..\\secret",
        "inputs://..\\secret",
        "inputs://a\0b",
        "./../secret",
        "../secret",
        "a/../../secret",
        "..",
        "workspace://../secret",
        "scratch://../../../secret",
        "C:\\..\\..\\secret",
    ],
)
def test_no_uri_leaves_its_root(mounts: Mounts, uri: str) -> None:  # URI-004, ERR-066
    with pytest.raises(PathEscape):
        mounts.resolve_uri(uri)


def test_an_absolute_path_behind_a_scheme_stays_under_its_mount(
    mounts: Mounts, tmp_path: Path
) -> None:
    assert mounts.resolve_uri("inputs:///etc/passwd") == f"{tmp_path}/data/etc/passwd"
    assert mounts.resolve_uri(".//etc/passwd") == f"{tmp_path}/run/etc/passwd"


def test_percent_signs_mean_nothing_outside_file_uris(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.resolve_uri("inputs://%2e%2e/a") == f"{tmp_path}/data/%2e%2e/a"


def test_a_link_that_leads_out_is_refused(mounts: Mounts, tmp_path: Path) -> None:
    file(tmp_path / "outside" / "secret")
    (tmp_path / "data" / "way").symlink_to(tmp_path / "outside")
    (tmp_path / "run" / "secret").symlink_to(tmp_path / "outside" / "secret")
    for uri in ("inputs://way/secret", "inputs://way/new", "inputs://way", "./secret"):
        with pytest.raises(PathEscape):
            mounts.resolve_uri(uri)


def test_the_same_uri_leads_elsewhere_on_another_machine(tmp_path: Path) -> None:  # URI-007
    here, there = Mounts(tmp_path, {"inputs": "/here"}), Mounts(tmp_path, {"inputs": "/there"})
    location = here.virtualize("/here/a.csv")
    assert there.resolve(location.uri, location.root) == Path("/there/a.csv")


# ---------------------------------------------------------------- names and questions


@pytest.mark.parametrize(
    "name", ["", "Inputs", "1st", "a b", "a/b", "a:", "file", "http", "https", "ftp", "..", "ä"]
)
def test_a_malformed_or_reserved_mount_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a mount"):
        Mounts(tmp_path, {name: tmp_path})


def test_a_mount_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        Mounts(tmp_path, {"inputs": ""})


def test_workspace_may_be_mounted(tmp_path: Path) -> None:
    """The alias of the run folder may also be given, or be given another meaning."""
    run = tmp_path / "run"
    assert Mounts(run, {"workspace": run}).virtualize(run / "a").uri == "./a"
    elsewhere = Mounts(run, {"workspace": tmp_path / "w"})
    assert elsewhere.resolve_uri("workspace://a") == f"{tmp_path}/w/a"


def test_the_mount_of_a_uri_is_told(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.mount_of("inputs://a") == ("inputs", f"{tmp_path}/data")
    assert mounts.mount_of("scratch://a") is None
    assert mounts.mount_of("./a") is None


def test_what_lies_in_the_run_folder_is_told_with_links_resolved(
    mounts: Mounts, tmp_path: Path
) -> None:
    (tmp_path / "run" / "way").symlink_to(tmp_path / "outside")
    assert mounts.contains(tmp_path / "run" / "new" / "a")
    assert mounts.contains(tmp_path / "run")
    assert not mounts.contains(tmp_path / "run" / "way" / "a")
    assert not mounts.contains(tmp_path / "run2")
    assert not mounts.contains(tmp_path / "run" / ".." / "a")
