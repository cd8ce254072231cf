"""Which file systems are shared over a network, where clocks, locks and caches are others'."""
# ruff: noqa: PTH116  # paths are text here, see bounds.py

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from consist.types import PathLike

# What /proc/self/mountinfo calls them; FUSE file systems are told by their prefix.
_NETWORK = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs"),
        *("vboxsf", "virtiofs", "wekafs"),
    }
)


def is_network(path: PathLike) -> bool:
    """Whether ``path`` lies on a file system that other hosts may share.

    Looks the device up in Linux's mount table; where there is none, or the path does not exist,
    the answer is no.
    """
    try:
        device = os.stat(path).st_dev
    except OSError:
        return False
    return is_network_device(device)


@cache
def is_network_device(device: int) -> bool:
    """Whether a device number, as in ``st_dev``, belongs to a network file system."""
    kind = _mounted().get(f"{os.major(device)}:{os.minor(device)}", "")
    return kind in _NETWORK or kind.startswith("fuse.")


def _mounted() -> dict[str, str]:
    """Return the type of each mounted file system by ``major:minor``."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return dict(_device_and_type(line) for line in lines)


def _device_and_type(line: str) -> tuple[str, str]:
    # 36 35 98:0 /root /mount options [optional fields] - type source options
    head, _, tail = line.partition(" - ")
    return head.split(" ", 3)[2], tail.split(" ", 1)[0]
