"""Telling shared file systems from local ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consist.files import filesystem
from consist.files.filesystem import is_network, is_network_device

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:45 / /mnt/with\\040space rw - nfs4 server:/export rw,vers=4.2
31 22 0:46 / /mnt/ssh rw master:1 shared:2 - fuse.sshfs me@host: rw
32 22 0:47 / /mnt/lustre rw - lustre a@tcp:/fs rw
"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    real = Path.read_text

    def read_text(path: Path, **options: str) -> str:
        mounted = str(path) == "/proc/self/mountinfo"
        return real(tmp_path / "mountinfo" if mounted else path, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    is_network_device.cache_clear()
    yield tmp_path / "mountinfo"
    is_network_device.cache_clear()


@pytest.mark.parametrize(
    ("minor", "network"), [((254, 0), False), ((0, 45), True), ((0, 46), True), ((0, 47), True)]
)
def test_the_mount_table_tells(table: Path, minor: tuple[int, int], network: bool) -> None:
    assert is_network_device(os.makedev(*minor)) is network


def test_without_a_table_everything_is_local(table: Path) -> None:
    table.unlink()
    assert not is_network_device(os.makedev(0, 45))


def test_this_machine_is_asked(tmp_path: Path) -> None:
    assert is_network(tmp_path) in {True, False}
    assert filesystem._mounted()
    assert not is_network(tmp_path / "missing")
