"""The bundle that a tracker holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from consist.files import Files, Location


def test_the_files_of_a_run_folder_are_wired(tmp_path: Path) -> None:  # URI-008
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "a.csv"
    path.write_text("x")
    files = Files.at(tmp_path / "run", {"inputs": tmp_path / "data"}, memo_path=tmp_path / "memo")
    location = files.virtualize(path)
    assert location == Location("", "inputs://a.csv")
    assert files.resolve(location) == path
    assert files.places.run_dir == tmp_path / "run"
    assert files.digest(path) == files.memo.digest(path)
    assert files.is_same(path, files.digest(path))
    assert not files.is_same(path, None)
    assert not files.is_same(path, "0" * 64)
    files.close()


def test_locations_can_be_kept_in_sets() -> None:
    assert len({Location("", "a"), Location("", "a"), Location("/run", "a")}) == 2


def test_the_room_is_cheap_to_import() -> None:
    script = (
        "import sys; import consist.files;"
        "print({'sqlite3', 'duckdb', 'pandas', 'numpy', 'ctypes'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "set()", done.stderr
