"""The rows of a sweep: of a grid, of a table, of a list of configs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, cast

from consist.errors import WrongType, a_kind, hint
from consist.types import is_mapping, is_sequence_of_values


def rows(over: Any) -> Iterator[Any]:
    """Yield the rows of a grid, a table or an iterable of rows.

    Values of tables and arrays come as plain Python values.

    Raises
    ------
    TypeError
        If it is nothing of the kind.
    """
    if is_mapping(over):
        yield from _grid(over)
    elif hasattr(over, "to_dicts"):  # polars
        yield from over.to_dicts()
    elif hasattr(over, "to_pylist") and hasattr(over, "schema"):  # Arrow
        yield from over.to_pylist()
    elif hasattr(over, "to_dict") and hasattr(over, "columns"):  # pandas
        for row in over.to_dict(orient="records"):
            yield {name: _plain(value) for name, value in row.items()}
    elif is_sequence_of_values(over):
        yield from over
    else:
        problem = WrongType(f"over is {a_kind(over)}")
        raise hint(problem, "pass a mapping of lists, a list of mappings, or a table")


def _grid(lists: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
    values = {name: _values(name, given) for name, given in lists.items()}
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _values(name: object, given: Any) -> list[Any]:
    if is_mapping(given) or not is_sequence_of_values(given):
        problem = WrongType(f"over[{name!r}] is {a_kind(given)}, not a list of values")
        raise hint(problem, f"write {name}=[...], or give what does not vary in config=")
    for to_list in ("to_pylist", "tolist", "to_list"):  # Arrow; numpy and pandas; polars
        if hasattr(given, to_list):
            return [_plain(value) for value in getattr(_in_microseconds(given), to_list)()]
    return [_plain(value) for value in given]


def _in_microseconds(given: Any) -> Any:
    """Return an array of times so that Python makes times of it; of nanoseconds, it makes ints."""
    if type(given).__module__ != "numpy" or "[ns]" not in given.dtype.str:
        return given
    rounded = given.astype(given.dtype.str.replace("[ns]", "[us]"))
    if (rounded != given).any():
        problem = WrongType("an array of times holds nanoseconds, which Python's times do not")
        raise hint(problem, "round it to microseconds, or pass integers")
    return rounded


def _plain(value: Any) -> Any:
    """Return what pandas puts around times, and around what is missing, as Python has it."""
    if value is None or type(value) in {int, float, str, bool}:
        return value
    kind = cast("type[Any]", type(value))
    if kind.__module__.partition(".")[0] != "pandas":
        return value
    if kind.__name__ in {"NaTType", "NAType"}:
        return None
    if kind.__name__ == "Timestamp" and not value.nanosecond:
        return value.to_pydatetime()
    if kind.__name__ == "Timedelta" and not value.nanoseconds:
        return value.to_pytimedelta()
    return value
