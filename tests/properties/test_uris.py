"""No text leads out of where it belongs, and every file can be named and found again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consist.errors import ConsistError, InvalidRunId, PathEscape, UsageError
from consist.files.bounds import within
from consist.files.mounts import Mounts
from consist.files.places import decode_name, output_path, safe_name

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)
HOSTILE = st.lists(
    st.sampled_from(
        ["..", ".", "", "/", "\\", "..\\", "%2e%2e", "%2E%2e%2F", "\0", "way", "a", "://", "file:"]
    ),
    max_size=8,
).map("/".join)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        for part in ("run/a", "data/a", "outside"):
            (root / part).mkdir(parents=True)
        (root / "outside" / "secret").write_text("x")
        for inside in ("run", "data"):
            (root / inside / "way").symlink_to(root / "outside")
        yield root


def mounts_of(folder: Path) -> Mounts:
    return Mounts(folder / "run", {"inputs": folder / "data"})


@given(root=st.sampled_from(["run", "data"]), names=st.lists(NAMES, min_size=1, max_size=4))
@example(root="run", names=["..\\..\\x"])
@example(root="data", names=["foo:", "x"])
@example(root="data", names=["%2e%2e", "x"])
def test_naming_and_finding_a_file_gives_it_back(
    folder: Path, root: str, names: list[str]
) -> None:  # URI-006
    mounts, path = mounts_of(folder), "/".join([str(folder), root, *names])
    location = mounts.virtualize(path)
    assert mounts.resolve_uri(location.uri, location.root) == path
    if "way" not in names and not any("\\" in name for name in names):
        assert location.uri.startswith("./" if root == "run" else "inputs://")
    elsewhere = Mounts(folder / "another run", {"inputs": folder / "data"})
    assert elsewhere.resolve_uri(location.uri, location.root) == path


@given(head=st.sampled_from(["./", "", "inputs://", "workspace://"]), tail=HOSTILE)
def test_no_uri_leads_out_of_its_root(folder: Path, head: str, tail: str) -> None:
    uri = head + tail
    if uri.startswith("/") or (not head and "://" in tail):
        return
    root = folder / ("data" if head == "inputs://" else "run")
    try:
        found = mounts_of(folder).resolve_uri(uri)
    except (PathEscape, UsageError):
        return
    assert within(os.path.realpath(found), str(root))
    assert within(os.path.normpath(found.replace("\\", "/")), str(root))


@given(uri=st.text(max_size=40))
@example(uri="file://%2e%2e/%2e%2e/etc")
@example(uri="\ud800")
def test_any_text_is_a_path_or_an_error_of_ours(folder: Path, uri: str) -> None:
    try:
        found = mounts_of(folder).resolve_uri(uri)
    except ConsistError:
        return
    assert found.startswith("/")
    assert os.path.normpath(found) == found


@given(names=st.lists(NAMES, max_size=4))
def test_file_uris_are_decoded(folder: Path, names: list[str]) -> None:
    path = "/" + "/".join(names)
    assert mounts_of(folder).resolve_uri("file://" + quote(path)) == path


@given(run_id=st.text(min_size=1, max_size=60))
@example(run_id="..")
@example(run_id=".hidden~2")
@example(run_id="a/b%2Fc")
def test_every_run_id_has_a_file_name_that_leads_back(run_id: str) -> None:
    try:
        name = safe_name(run_id)
    except InvalidRunId:
        return
    assert decode_name(name) == run_id
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 240


@given(one=st.text(min_size=1, max_size=30), other=st.text(min_size=1, max_size=30))
def test_no_two_run_ids_share_a_file_name(one: str, other: str) -> None:
    try:
        assert (safe_name(one) == safe_name(other)) == (one == other)
    except InvalidRunId:
        return


@given(key=HOSTILE | st.text(max_size=30), ext=st.text(max_size=8) | st.just("../x"))
def test_no_output_leaves_its_folder(folder: Path, key: str, ext: str) -> None:
    base = folder / "run"
    try:
        path = output_path(base, key, ext)
    except ConsistError:
        return
    assert within(os.path.realpath(path), str(base))
    assert path.parent.is_dir()
