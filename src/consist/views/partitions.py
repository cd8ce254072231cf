"""Columns that the folders of a Hive-partitioned table name, such as ``year=2030/part.parquet``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_NULL = "__HIVE_DEFAULT_PARTITION__"


def hive_values(folder: str, file: str) -> dict[str, str | None]:
    """Return what the folders between an artifact and one of its files say, by column."""
    if folder == file:
        return {}
    parts = Path(file).relative_to(folder).parts[:-1]
    named = (part.partition("=") for part in parts)
    return {
        unquote(key): None if value == _NULL else unquote(value)
        for key, sign, value in named
        if sign and key
    }


def partition_types(keys: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the types of partition columns: whole numbers where every value is one, else text."""
    rows = list(rows)
    return {
        key: "BIGINT" if all(_is_whole(row[key]) for row in rows) else "VARCHAR" for key in keys
    }


def _is_whole(text: str | None) -> bool:
    if text is None:
        return True
    digits = text.removeprefix("-")
    return digits.isdecimal() and digits.isascii() and str(int(digits)) == digits and len(text) < 19
