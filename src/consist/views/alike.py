"""Which Parquet files have one layout, so that DuckDB opens one of them to know them all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from consist.formats import sql
from consist.progress import counting
from consist.views.places import Stamp, stamp_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

_REMEMBERED = 100_000
_AT_ONCE = 250
_MOST = 8
"""Layouts with a scan of their own; the files of all others are opened before they are read."""

_LAYOUTS = """
SELECT file_name, md5(string_agg(
    CAST(ROW(name, type, type_length, repetition_type = 'REPEATED', num_children, converted_type,
        scale, precision, logical_type, duckdb_type) AS VARCHAR), chr(10) ORDER BY column_id))
FROM parquet_schema({files}) GROUP BY ALL
"""


def alike(
    ws: Workspace, connection: DuckDBPyConnection, files: Sequence[str]
) -> list[tuple[bool, list[str]]]:
    """Return files in groups, and of each whether they all have the same columns and types.

    What a file was seen to have counts until it changes.
    """
    known: dict[str, tuple[Stamp, str]] = ws.memory.setdefault("view_layouts", {})
    stamps = {file: stamp_of(file) for file in files}
    new = [file for file in files if known.get(file, ((), ""))[0] != stamps[file]]
    if len(known) + len(new) > _REMEMBERED:
        known.clear()
        new = list(files)
    for file, layout in _look(connection, new, shown=ws.settings.progress):
        known[file] = (stamps[file], layout)
    groups: dict[str, list[str]] = {}
    for file in files:
        groups.setdefault(known[file][1], []).append(file)
    if len(groups) <= _MOST:
        return [(True, group) for group in groups.values()]
    large = set(sorted(groups, key=lambda layout: -len(groups[layout]))[: _MOST - 1])
    others = [file for file in files if known[file][1] not in large]
    return [(True, group) for layout, group in groups.items() if layout in large] + [
        (False, others)
    ]


def _look(
    connection: DuckDBPyConnection, files: Sequence[str], *, shown: bool
) -> Iterator[tuple[str, str]]:
    with counting("looking at tables", len(files), shown=shown) as show:
        for start in range(0, len(files), _AT_ONCE):
            some = files[start : start + _AT_ONCE]
            listed = sql.file_list("parquet", some)
            found = dict(connection.execute(_LAYOUTS.format(files=listed)).fetchall())
            for file in some:
                yield file, found.get(os.path.abspath(file), file)  # noqa: PTH100
            show(start + len(some), "")
