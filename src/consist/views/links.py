"""Folders of links through which views in the database file read what lies elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from consist.store.global_tables import identifier, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Links:
    """A folder of links to the files of one view, a folder below it for each scan."""

    def __init__(self, connection: DuckDBPyConnection, folder: Path) -> None:
        self._connection, self._folder = connection, folder
        self._used: set[str] = set()

    def link(
        self, driver: str, columns: Iterable[tuple[str, str]], files: Sequence[str]
    ) -> dict[str, str] | None:
        """Return the link to each file; ``None`` where there can be no links."""
        columns = list(columns)
        digest = hashlib.sha256(repr((driver, columns)).encode()).hexdigest()[:16]
        folder = self._folder / digest
        wanted = {_link_name(file): file for file in files}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lay(folder, driver, columns)
            for name in wanted.keys() - set(os.listdir(folder)):  # noqa: PTH208
                os.symlink(wanted[name], folder / name)  # noqa: PTH211
        except (OSError, NotImplementedError):
            return None
        self._used.add(digest)
        self._drop(folder, wanted)
        return {file: str(folder / name) for name, file in wanted.items()}

    def pattern(self, links: Iterable[str]) -> str:
        """Return the pattern that names some links, all of one folder."""
        folder = os.path.dirname(next(iter(links)))  # noqa: PTH120
        return "".join(f"[{c}]" if c in "*?[" else c for c in folder) + "/*"

    def _lay(self, folder: Path, driver: str, columns: Sequence[tuple[str, str]]) -> None:
        """Lay a table without rows first, so that the pattern always finds a file, and types."""
        first = folder / "0.parquet"
        if driver != "parquet" or first.exists() or not columns:
            return
        picked = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in columns)
        self._connection.execute(
            f"COPY (SELECT {picked} WHERE false) TO {literal(str(first))} (FORMAT parquet)"
        )

    def _drop(self, folder: Path, wanted: Iterable[str]) -> None:
        for name in set(os.listdir(folder)) - set(wanted) - {"0.parquet"}:  # noqa: PTH208
            (folder / name).unlink(missing_ok=True)

    def clear_up(self) -> None:
        """Remove the folders that the view no longer reads."""
        with suppress(OSError):
            for name in set(os.listdir(self._folder)) - self._used:  # noqa: PTH208
                shutil.rmtree(self._folder / name, ignore_errors=True)


def _link_name(file: str) -> str:
    """Return a name by which a file is found again, with the suffixes that tell its format."""
    digest = hashlib.sha256(file.encode(errors="surrogateescape")).hexdigest()[:24]
    base = os.path.basename(file).lower()  # noqa: PTH119
    suffix = next((s for s in (".parquet.gz", ".csv.gz", ".json.gz") if base.endswith(s)), None)
    return digest + (suffix or os.path.splitext(base)[1])  # noqa: PTH122
